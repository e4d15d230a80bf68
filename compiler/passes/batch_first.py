"""Batch first: what products are made for one by one stands in front of their rows and columns.

    s[b,t,t',h] = sum[d] q[b,t,h,d]*k[b,t',h,d]      s[b,h,t,t'], a matrix for every b and h

Where the last axis of a tensor is one for whose elements products are made one by one, as for the heads of attention,
neither its rows nor its columns lie side by side.  Such axes at the end are put in front of the rows and the columns,
behind others for which products are made one by one; so are they of what is computed from it element by element or
along an axis, and what that reads.  What is needed outside keeps its axes, and so do recurrences: where rows, columns
and sums are long, products read a copy of it with the batch in front, or are copied to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from math import prod

from dlc.compiler.ir.affine import guessed
from dlc.compiler.ir.axes import with_axes_permuted
from dlc.compiler.ir.expr import Expr, Index, Read, Reduce, free_indices, fresh, reads, refresh
from dlc.compiler.ir.forms import matrices
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique, whole
from dlc.compiler.ir.rewriting import replaced

NAME = "batch_first"

_OFTEN = 32  # times that an element is used, from where on a copy takes less than to read with gaps
_SMALLEST = 1 << 11  # multiplications of a product; fewer are loops, which like a long last axis


@dataclass(frozen=True)
class _Turn:
    """So many axes stay in front, and so many at the end come behind them."""

    rank: int
    front: int
    end: int

    @property
    def order(self) -> tuple[int, ...]:
        behind = self.rank - self.end
        return (*range(self.front), *range(behind, self.rank), *range(self.front, behind))


def run(graph: Graph) -> Graph:
    fixed = {tensor.id for tensor in graph.tensors.values() if tensor.kind != "computed"}
    fixed |= graph.kept | graph.held | {name for component in graph.recurrences for name in component}
    graph = _with_copies(graph, fixed)
    equations = [(tensor.id, equation) for tensor in graph.tensors.values() for equation in tensor.equations]
    turns: dict[str, _Turn] = {}
    for name, equation in equations:
        _add(turns, _of_product(name, equation), fixed)
    before = -1
    while before < len(turns):
        before = len(turns)
        for name, equation in equations:
            if matrices(equation) is None:
                _add(turns, _alike(name, equation, turns), fixed)
    return with_axes_permuted(graph, {name: turn.order for name, turn in turns.items()})


def _with_copies(graph: Graph, fixed: Collection[str]) -> Graph:
    """Products read copies of what keeps its axes, and are copied to what does, where every element is used often."""
    taken = dict[str, object](graph.tensors)
    copies: dict[str, str] = {}
    made: list[Tensor] = []

    def copy(name: str) -> str:
        taken[found := unique(f"{name}.first", taken)] = None
        return found

    for tensor in graph.tensors.values():
        turned = _copied(graph, tensor) & set(fixed)
        if not turned:
            made.append(tensor)
            continue
        (equation,) = tensor.equations
        for name in sorted(turned - {tensor.id} - copies.keys()):
            copies[name] = copy(name)
        inputs: dict[Expr, Expr] = {
            read: Read(copies[read.tensor], read.subscripts, read.type)
            for read in reads(equation.value)
            if read.tensor in turned
        }
        product = replace(equation, value=replaced(equation.value, inputs))
        if tensor.id in turned:
            made.append(whole(copy(tensor.id), equation.indices, product.value, equation.span))
            axes = tuple(map(refresh, equation.indices))
            product = Equation(axes, axes, Read(made[-1].id, axes, "real"), equation.span)
        made.append(replace(tensor, equations=(product,)))
    for name, other in copies.items():
        axes = tuple(fresh(size, f"i{axis}") for axis, size in enumerate(graph.tensors[name].sizes))
        made.append(whole(other, axes, Read(name, axes, "real")))
    return graph.with_tensors(made) if len(made) > len(graph.tensors) else graph


def _copied(graph: Graph, tensor: Tensor) -> set[str]:
    """What has its batch at the end in a product of which rows, columns and sums are long: copies take less."""
    factors = matrices(tensor.equations[0]) if len(tensor.equations) == 1 else None
    if factors is None or not tensor.equations[0].is_whole or tensor.id in graph.recurrence_of:
        return set()
    left, right = (set(free_indices(factor)) for factor in factors)
    for group in (left - right, right - left, (left & right) - set(tensor.equations[0].indices)):
        if prod(guessed(index.size) for index in group) < _OFTEN:
            return set()
    return {place for place, _ in _of_product(tensor.id, tensor.equations[0])}


def _add(turns: dict[str, _Turn], found: Iterable[tuple[str, _Turn]], fixed: Collection[str]) -> None:
    for name, turn in list(found):
        if name not in fixed:
            turns.setdefault(name, turn)


def _of_product(name: str, equation: Equation) -> Iterator[tuple[str, _Turn]]:
    """What a large product has at the end of its factors and its result."""
    factors = matrices(equation)
    if factors is None:
        return
    batch = set(equation.indices) & set(free_indices(factors[0])) & set(free_indices(factors[1]))
    value = equation.value
    assert isinstance(value, Reduce)
    own = (index for index in (*equation.indices, *value.indices) if index not in batch)
    if prod(guessed(index.size) for index in own) < _SMALLEST:
        return
    for place, subscripts in _places(name, equation):
        turn = _turn(subscripts, batch, batch)
        if turn is not None:
            yield place, turn


def _alike(name: str, equation: Equation, turns: Mapping[str, _Turn]) -> Iterator[tuple[str, _Turn]]:
    """What has the same indices at the end as a tensor in the equation that is turned."""
    places = list(_places(name, equation))
    for turned, subscripts in places:
        own = turns.get(turned)
        if own is None or not all(isinstance(subscript, Index) for subscript in subscripts):
            continue
        front, end = set(subscripts[: own.front]), set(subscripts[own.rank - own.end :])
        for place, others in places:
            turn = _turn(others, front, end) if place != turned else None
            if turn is not None:
                yield place, turn


def _places(name: str, equation: Equation) -> Iterator[tuple[str, tuple[Expr, ...]]]:
    """The tensors of the equation, and where it touches them."""
    yield name, equation.subscripts
    for read in reads(equation.value):
        yield read.tensor, read.subscripts


def _turn(subscripts: Sequence[Expr], front: Collection[Expr], end: Collection[Expr]) -> _Turn | None:
    """What of ``front`` the axes begin with stays there; what of ``end`` they end with comes behind that."""
    first = len(list(takewhile(lambda subscript: subscript in front, subscripts)))
    last = len(list(takewhile(lambda subscript: subscript in end, reversed(subscripts[first:]))))
    return _Turn(len(subscripts), first, last) if 0 < last < len(subscripts) - first else None
