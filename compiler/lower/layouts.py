"""Where the elements of a read lie in memory, and packed copies of those that do not lie evenly.

An affine read moves by one fixed stride with every index.  What does not is *packed*: copied into a tensor with one
axis an index, an ordinary equation that is lowered like any other.  So a convolution packs its windows, a gather or a
guard is evaluated while packing, and a packed tensor is shared by all contractions that want the same elements (a
convolution and its weight gradient).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.alike import key
from dlc.compiler.ir.expr import (
    ONE,
    Const,
    Expr,
    Index,
    Read,
    free_indices,
    reads,
    refresh,
    rename_bound,
    substitute,
)
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, components, is_recurrent, whole

_CROWDED, _BEHIND_A_ROW = 128, 16  # elements: rows so far apart are crowded, with so many behind each they are not


@dataclass(frozen=True)
class Layout:
    """Where the elements of a read lie: ``offset`` plus the sum of index times stride, in elements."""

    read: Read
    sizes: tuple[Expr, ...]
    strides: dict[Index, Polynomial]
    offset: Polynomial

    @property
    def buffer(self) -> str:
        return self.read.tensor

    def stride(self, indices: Sequence[Index]) -> Polynomial | None:
        """The one stride of a group of indices taken as one, in row-major order; None if they do not lie evenly."""
        step = self.strides.get(indices[-1])
        if step is None:
            return None
        expected = step
        for inner, outer in zip(reversed(indices), list(reversed(indices))[1:], strict=False):
            expected = expected * polynomial(inner.size)
            if self.strides.get(outer) != expected:
                return None
        return step

    def piece(self, looped: Sequence[Index]) -> tuple[Expr, ...]:
        """The leading subscripts that do not move but with the indices that are looped over."""
        moving = set(self.strides) - set(looped)
        fixed = takewhile(lambda subscript: moving.isdisjoint(free_indices(subscript)), self.read.subscripts)
        return tuple(fixed)


def layout(value: Expr, sizes: Sequence[Expr], over: frozenset[Index] = frozenset()) -> Layout | None:
    """The layout of an affine read of a tensor with these axes; None for anything else.  The indices ``over`` are
    fixed, and part of the offset.
    """
    if not isinstance(value, Read) or not value.subscripts:
        return None
    step = polynomial(ONE)
    address = Polynomial(())
    for subscript, size in zip(reversed(value.subscripts), reversed(sizes), strict=True):
        address = address + polynomial(subscript) * step
        step = step * polynomial(size)
    strides: dict[Index, Polynomial] = {}
    for index in free_indices(value):
        if index in over:
            continue
        parts = address.split(index)
        if parts is None:
            return None
        strides[index], address = parts
    return Layout(value, tuple(sizes), strides, address)


@dataclass(frozen=True)
class Placed:
    """A factor in memory and the strides of its own group and of the inner reduced indices."""

    layout: Layout
    own: Polynomial
    inner: Polynomial


def evenly_placed(place: Layout, own: tuple[Index, ...], inner: tuple[Index, ...]) -> Placed | None:
    own_stride, inner_stride = place.stride(own), place.stride(inner)
    if own_stride is None or inner_stride is None or 1 not in (own_stride.value, inner_stride.value):
        return None
    return Placed(place, own_stride, inner_stride)


def spread(sizes: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """The axes of a matrix that is read again and again, in memory: rows whose starts fell on few lines of the cache
    are longer there."""
    length = known(sizes[-1]) if len(sizes) > 1 else None
    return (*sizes[:-1], Const(length + _BEHIND_A_ROW)) if length and length % _CROWDED == 0 else sizes


class Packer:
    """Makes packed copies of factors and remembers them, so that equal ones are made once; in a recurrence, where
    elements change from round to round (``over``) because they are of its ``members``, every product makes its own.
    """

    def __init__(
        self,
        sizes: dict[str, tuple[Expr, ...]],
        fresh_id: Callable[[str], str],
        over: frozenset[Index] = frozenset(),
        members: frozenset[str] = frozenset(),
    ) -> None:
        self._sizes = sizes
        self._fresh_id = fresh_id
        self._over = over
        self._members = members
        self._made: dict[Expr, list[tuple[str, tuple[int, ...]]]] = {}
        self.tensors: list[Tensor] = []

    def among(self, names: Collection[str]) -> Packer:
        """One that knows these copies only."""
        found = Packer(self._sizes, self._fresh_id, self._over, self._members)
        for form, copies in self._made.items():
            found._made[form] = [copy for copy in copies if copy[0] in names]
        return found

    def is_steady(self, value: Expr) -> bool:
        """Whether the elements are the same in all rounds of a recurrence."""
        changes = any(read.tensor in self._members for read in reads(value))
        return bool(self._over) and not changes and self._over.isdisjoint(free_indices(value))

    def in_place(self, value: Expr) -> list[Layout]:
        """The layouts in which the elements of ``value`` lie in memory already."""
        found = [layout(value, self._sizes[value.tensor], self._over)] if isinstance(value, Read) else []
        form, free = key(value)
        for tensor, order in self._made.get(form, []):
            found.append(layout(Read(tensor, tuple(free[n] for n in order), "real"), self._sizes[tensor]))
        return [place for place in found if place is not None]

    def pack(self, value: Expr, order: Sequence[Index], owner: Tensor, equation: Equation) -> Layout:
        """A new tensor that holds the elements of ``value`` with its axes in this order."""
        own = tuple(refresh(index) for index in order)
        name = self._fresh_id(f"{value.tensor if isinstance(value, Read) else owner.id}.packed")
        copied = substitute(rename_bound(value), dict(zip(order, own, strict=True)))
        packed = whole(name, own, copied, equation.span)
        if self.is_steady(value):
            packed = replace(packed, sizes=spread(packed.sizes))
        self.tensors.append(packed)
        self._sizes[name] = packed.sizes
        if not self._over:
            form, free = key(value)
            self._made.setdefault(form, []).append((name, tuple(map(free.index, order))))
        result = layout(Read(name, tuple(order), "real"), self._sizes[name])
        assert result is not None
        return result


def steady_factors(graph: Graph) -> Iterator[str]:
    """What is computed before a recurrence for its products to read, and for nothing else."""
    home = {name: number for number, component in enumerate(components(graph)) for name in component}
    circles = {home[one[0]] for one in components(graph) if is_recurrent(graph, one)}
    readers: dict[str, list[bool]] = {}
    for tensor in graph.tensors.values():
        for equation in tensor.equations:
            factors = is_contraction(equation) and home[tensor.id] in circles
            for read in reads(equation.value, *equation.subscripts):
                readers.setdefault(read.tensor, []).append(factors and home[read.tensor] != home[tensor.id])
    for tensor in graph.of_kind("computed"):
        if tensor.id not in graph.roots and home[tensor.id] not in circles and all(readers.get(tensor.id, (False,))):
            yield tensor.id
