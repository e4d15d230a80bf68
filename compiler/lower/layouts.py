"""Where the elements of a read lie in memory, and copies of those that do not lie as a product wants them.

An affine read moves by one fixed stride with every index.  What does not may be *packed*: copied into a tensor with one
axis an index, an ordinary equation that is lowered like any other.  A gather or a product within a factor is evaluated
while packing.  Copies, these and those of what windows overlap in, are shared by all contractions that want the same
elements (a convolution and its weight gradient).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.alike import key
from dlc.compiler.ir.expr import ONE, Const, Expr, Index, Read, Select, free_indices, reads, refresh
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, whole
from dlc.compiler.ir.loops import Operand, Steps
from dlc.compiler.ir.rewriting import canonical, rename_bound, substitute
from dlc.compiler.lower.borders import Bordered, bordered

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
        formulas: Mapping[str, Expr] | None = None,
    ) -> None:
        self._sizes = sizes
        self._formulas = formulas or {}
        self._fresh_id = fresh_id
        self._over = over
        self._members = members
        self._made: dict[Expr, list[tuple[str, tuple[int, ...]]]] = {}
        self._copied: dict[tuple[Expr, tuple[Expr, ...]], str] = {}
        self.tensors: list[Tensor] = []

    def among(self, names: Collection[str]) -> Packer:
        """One that knows these copies only."""
        found = Packer(self._sizes, self._fresh_id, self._over, self._members, self._formulas)
        for form, copies in self._made.items():
            found._made[form] = [copy for copy in copies if copy[0] in names]
        found._copied = {form: name for form, name in self._copied.items() if name in names}
        return found

    @property
    def is_in_rounds(self) -> bool:
        """Whether the products are those of a recurrence."""
        return bool(self._over)

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

    def pack(
        self, value: Expr, order: Sequence[Index], owner: Tensor, equation: Equation, row: Sequence[Index]
    ) -> Layout:
        """A new tensor that holds the elements of ``value`` with its axes in this order, the last ones, which lie side
        by side, being those of ``row``."""
        own = tuple(refresh(index) for index in order)
        name = self._fresh_id(f"{value.tensor if isinstance(value, Read) else owner.id}.packed")
        copied = substitute(rename_bound(value), dict(zip(order, own, strict=True)))
        packed = whole(name, own, copied, equation.span)
        if self.is_steady(value) and len(row) == 1:
            packed = replace(packed, sizes=spread(packed.sizes))
        self.tensors.append(packed)
        self._sizes[name] = packed.sizes
        if not self._over:
            form, free = key(value)
            self._made.setdefault(form, []).append((name, tuple(map(free.index, order))))
        result = layout(Read(name, tuple(order), "real"), self._sizes[name])
        assert result is not None
        return result

    def remember(self, tensor: Tensor, equation: Equation) -> None:
        """A tensor that may be a copy of another one, with a border, which products read too."""
        value = equation.value
        if not self._over and equation.is_whole and isinstance(value, Select) and reads(value) == [value.yes]:
            form = canonical(value, equation.indices), tuple(index.size for index in equation.indices)
            self._copied.setdefault(form, tensor.id)

    def bordered(self, value: Expr) -> Bordered | None:
        return bordered(value, self._over, self._formulas)

    def copied(self, found: Bordered, value: Expr, owner: Tensor, equation: Equation) -> Layout:
        """Where the windows lie in a tensor that holds what they overlap in."""
        form = canonical(found.value, found.axes), tuple(index.size for index in found.axes)
        name = self._copied.get(form)
        if name is None:
            (read, *others) = reads(value)
            name = self._fresh_id(f"{owner.id if others else read.tensor}.padded")
            self.tensors.append(whole(name, found.axes, rename_bound(found.value), equation.span))
            self._sizes[name] = form[1]
            if not self._over:
                self._copied[form] = name
        result = layout(Read(name, found.subscripts, "real"), self._sizes[name], self._over)
        assert result is not None
        return result


def operand(
    place: Layout, looped: Sequence[Index], start: Polynomial, row: Expr | Steps, column: Expr | Steps
) -> Operand:
    """A matrix that begins ``start`` elements behind where the indices looped over say."""
    offset = place.offset + start
    for index in looped:
        if index in place.strides:
            offset = offset + place.strides[index] * polynomial(index)
    piece = place.piece(looped)
    step = polynomial(ONE)
    for axis in reversed(range(len(place.sizes))):
        if axis < len(piece):
            offset = offset - polynomial(piece[axis]) * step
        step = step * polynomial(place.sizes[axis])
    return Operand(place.buffer, offset.expression(), row, column, piece)


def steady_factors(graph: Graph) -> Iterator[str]:
    """What is computed before a recurrence for its products to read, and for nothing else."""
    circles = graph.recurrence_of
    readers: dict[str, list[bool]] = {}
    for tensor in graph.tensors.values():
        for equation in tensor.equations:
            factors = is_contraction(equation) and tensor.id in circles
            for read in reads(equation.value, *equation.subscripts):
                readers.setdefault(read.tensor, []).append(factors and circles.get(read.tensor) != circles[tensor.id])
    for tensor in graph.of_kind("computed"):
        if tensor.id not in graph.roots and tensor.id not in circles and all(readers.get(tensor.id, (False,))):
            yield tensor.id
