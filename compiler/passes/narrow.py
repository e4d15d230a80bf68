"""Guards that say no more than that an index lies in a shorter range become that range.

    sum[a] [a < |T|]*e[a]               sum[t] e[t]
    d[a,j] = sum[i] [1 <= a]*f[a,i,j]   d'[t,j] = sum[i] f[t+1,i,j],  and [1 <= a]*d'[a-1,j] where d[a,j] is read
    d[a,j] = sum[i] [a == 0]*f[a,i,j]   d'[t,j] = sum[i] f[t,i,j] for one t

so that what is left is a plain product of matrices, over as many rows as there are. A reader that is under the guard
anyway, such as the adjoint of a recurrence, which has one row more than the recurrence has steps, loses nothing by it.
A tensor is made shorter if it is a contraction, or if no reader needs a guard that it has not got already. One that is
needed outside stays as long as it is, and reads the shorter one.

Left out: guards that two indices or data have a say in, ranges whose length may be negative, and tensors of several
parts. A tensor is made shorter once, so one that reads itself is not peeled row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import Polynomial, integer, known, polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.bounds import facts_of, nonnegative
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_inside, guarded, is_comparison
from dlc.compiler.ir.dependences import guarded_reads
from dlc.compiler.ir.expr import (
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    Size,
    free_indices,
    fresh,
    identity_of,
    op,
)
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, reads_of, unique
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.ir.simplifier import Simplifier

NAME = "narrow"

_BOUNDED = ("sum", "prod", "max", "min")  # where what is left out has no say, and no position is asked for
_NOTHING = Polynomial(())


@dataclass(frozen=True)
class _Range:
    """``start <= index < stop``, said by ``conditions``."""

    start: Polynomial
    stop: Polynomial
    conditions: tuple[Expr, ...]

    @property
    def size(self) -> Expr:
        return (self.stop - self.start).expression()


@dataclass(frozen=True)
class _Shorter:
    """A tensor over a part of its elements; it is ``rest`` in all others. ``ranges`` are of its axes, None: all."""

    tensor: Tensor
    ranges: tuple[_Range | None, ...]
    rest: Const

    def element(self, read: Read) -> Expr:
        """What a read of the tensor, as it was, is now."""
        conditions, subscripts = [], []
        for subscript, range_ in zip(read.subscripts, self.ranges, strict=True):
            if range_ is not None:
                place = polynomial(subscript)
                conditions.append(op("le", range_.start.expression(), subscript))
                conditions.append(op("lt", subscript, range_.stop.expression()))
                subscript = (place - range_.start).expression()
            subscripts.append(subscript)
        return Select(op("and", *conditions), Read(self.tensor.id, tuple(subscripts), read.type), self.rest)


def run(graph: Graph) -> Graph:
    facts = graph.facts
    kept = graph.kept | graph.held
    simplified = Simplifier(SCALAR_RULES)
    graph = graph.with_tensors(_over_shorter_sums(tensor, facts, simplified) for tensor in graph.tensors.values())
    done: set[str] = set()
    while True:
        found = {
            name: shorter
            for name, tensor in graph.tensors.items()
            if name not in done and (shorter := _shorter(tensor, facts, name in kept, graph)) is not None
        }
        if not found:
            return graph
        done.update(found, (shorter.tensor.id for shorter in found.values()))
        graph = _with_shorter(graph, found, kept, simplified)
        graph = graph.with_tensors(_over_shorter_sums(tensor, facts, simplified) for tensor in graph.tensors.values())


def _with_shorter(graph: Graph, found: Mapping[str, _Shorter], kept: Collection[str], simplified: Simplifier) -> Graph:
    def change(node: Expr) -> Expr | None:
        return found[node.tensor].element(node) if isinstance(node, Read) and node.tensor in found else None

    def reading(tensor: Tensor) -> Tensor:
        if found.keys().isdisjoint(reads_of(tensor)):
            return tensor
        return _with_values(tensor, lambda value: _simple(transform(value, change), simplified))

    tensors: list[Tensor] = []
    for name, tensor in graph.tensors.items():
        if name in found:
            tensors.append(reading(found[name].tensor))
        if name not in found or name in kept:
            tensors.append(reading(_copy(tensor, found[name]) if name in found else tensor))
    return graph.with_tensors(tensors)


def _copy(tensor: Tensor, shorter: _Shorter) -> Tensor:
    """The tensor that is needed outside, as it reads the shorter one."""
    (equation,) = tensor.equations
    value = Simplifier(SCALAR_RULES)(shorter.element(Read(tensor.id, equation.indices, tensor.type)))
    return replace(tensor, equations=(replace(equation, value=value),))


# -- axes -----------------------------------------------------------------------------------------------------------


def _shorter(tensor: Tensor, facts: Sequence[Polynomial], is_kept: bool, graph: Graph) -> _Shorter | None:
    """The part of a tensor that its guard leaves, if that is worth it."""
    if tensor.kind != "computed" or len(tensor.equations) != 1 or not tensor.equations[0].is_whole:
        return None
    (equation,) = tensor.equations
    cond, rest = _guard_at_root(equation.value)
    ranges = tuple(_range_of(index, cond, facts) for index in equation.indices)
    if rest is None or not any(ranges):
        return None
    names, value = _in_ranges(equation.value, dict(zip(equation.indices, ranges, strict=True)))
    indices = tuple(names.get(index, index) for index in equation.indices)
    made = Equation(indices, indices, value, equation.span)
    name = unique(f"{tensor.id}.inner", graph.tensors) if is_kept else tensor.id
    result = _Shorter(
        replace(tensor, id=name, sizes=tuple(index.size for index in indices), sets=(), equations=(made,)), ranges, rest
    )
    if is_contraction(replace(made, value=value)):
        return result
    return result if not is_kept and _needs_no_guard(result, tensor.id, graph, facts) else None


def _guard_at_root(value: Expr) -> tuple[Expr, Const | None]:
    """``(cond, c)``: the value is the constant ``c`` where the condition does not hold."""
    if isinstance(value, Select) and isinstance(value.no, Const):
        return value.cond, value.no
    if isinstance(value, Reduce) and value.op in _BOUNDED:
        return guard_inside(value)[0], identity_of(value.op, value.type)
    return Const(True), None


def _needs_no_guard(shorter: _Shorter, name: str, graph: Graph, facts: Sequence[Polynomial]) -> bool:
    """Whether every read of the tensor is of an element that is left, as the guards around it say."""
    return all(
        range_ is None
        or (
            nonnegative(polynomial(subscript) - range_.start, (*facts, *guards))
            and nonnegative(range_.stop - polynomial(subscript) - 1, (*facts, *guards))
        )
        for tensor in graph.tensors.values()
        for equation in tensor.equations
        for read, guards in guarded_reads(equation.value)
        if read.tensor == name
        for subscript, range_ in zip(read.subscripts, shorter.ranges, strict=True)
    )


# -- bound indices --------------------------------------------------------------------------------------------------


def _over_shorter_sums(tensor: Tensor, facts: Sequence[Polynomial], simplified: Simplifier) -> Tensor:
    """The tensor with every reduction over what its guard leaves."""

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Reduce) or node.op not in _BOUNDED:
            return None
        if node.op == "sum":  # of extremes the derivative asks where they are, outside of their range too
            node = _of_single_places(node)
        cond, _ = guard_inside(node)
        ranges = {index: _range_of(index, cond, facts) for index in node.indices}
        if not any(ranges.values()):
            return None
        names, value = _in_ranges(node.body, ranges)
        indices = tuple(names.get(index, index) for index in node.indices)
        single: dict[Expr, Expr] = {index: ZERO for index in names.values() if known(index.size) == 1}
        indices = tuple(index for index in indices if index not in single)
        value = substitute(value, single)
        return Reduce(node.op, indices, value) if indices else value

    return _with_values(tensor, lambda value: _simple_if_changed(value, transform(value, change), simplified))


def _of_single_places(node: Reduce) -> Reduce:
    """The reduction whose conditions know that an index over one place is 0: ``[0 < 2*u + p]`` is ``[0 < p]``."""
    cond, body = guard_inside(node)
    single: dict[Expr, Expr] = {index: ZERO for index in free_indices(cond) if known(index.size) == 1}
    if not single:
        return node
    return Reduce(node.op, node.indices, guarded(substitute(cond, single), body, identity_of(node.op, node.type)))


# -- ranges ---------------------------------------------------------------------------------------------------------


def _range_of(index: Index, cond: Expr, facts: Sequence[Polynomial]) -> _Range | None:
    """The shorter range that the condition leaves to the index; None if it says nothing of that kind."""
    start, stop = _NOTHING, polynomial(index.size)
    used: list[Expr] = []
    for part in conjuncts(cond):
        low, high = start, stop
        bounds = list(_bounds(part, index))
        for slack, rising in bounds:
            # an equation leaves one place, and so not none of an empty axis
            given = facts if len(bounds) > 1 else (*facts, *_sizes_are_positive(slack, low, high))
            if rising and nonnegative(-slack - low, given):
                low = -slack
            elif not rising and nonnegative(high - slack - 1, given):
                high = slack + 1
            else:
                break
        else:
            start, stop = low, high
            used += [part] if bounds else []
    if not used or not nonnegative(stop - start, (*facts, *_sizes_are_positive(stop, start))):
        return None
    return _Range(start, stop, tuple(used))


def _bounds(cond: Expr, index: Index) -> Iterator[tuple[Polynomial, bool]]:
    """``(s, True)`` for ``index + s >= 0``, ``(s, False)`` for ``s - index >= 0``, where ``s`` speaks of sizes; both
    for an equation.
    """
    if not (is_comparison(cond) and isinstance(cond, Op) and cond.name in ("lt", "le", "eq")):
        return
    for slack in facts_of(cond):
        parts = slack.split(index)
        if parts is None or parts[0].value not in (1, -1):
            continue
        if all(isinstance(atom, Size) for atom in parts[1].atoms):
            yield parts[1], parts[0].value == 1


def _sizes_are_positive(*values: Polynomial) -> Iterable[Polynomial]:
    """As if no axis were empty: where one is, the length of a range may be negative, and counts as 0."""
    return (polynomial(atom) - 1 for value in values for atom in value.atoms if isinstance(atom, Size))


def _in_ranges(value: Expr, ranges: Mapping[Index, _Range | None]) -> tuple[dict[Index, Index], Expr]:
    """The value over indices that run over their ranges, without the conditions that said so."""
    names: dict[Index, Index] = {}
    places: dict[Expr, Expr] = {}
    for index, range_ in ranges.items():
        if range_ is not None:
            names[index] = fresh(range_.size, index.hint)
            places[index] = (polynomial(names[index]) + range_.start).expression()
    gone = {cond for range_ in ranges.values() if range_ is not None for cond in range_.conditions}
    return names, transform(substitute(_without(value, gone), places), _in_normal_form)


def _in_normal_form(node: Expr) -> Expr | None:
    """h[t] for h[t+1-1]"""
    return Read(node.tensor, tuple(map(integer, node.subscripts)), node.type) if isinstance(node, Read) else None


def _without(value: Expr, gone: set[Expr]) -> Expr:
    """The value without those conditions of its guard."""
    if isinstance(value, Reduce):
        return value.rebuild((_without(value.body, gone),))
    assert isinstance(value, Select)
    return guarded(conjunction(part for part in conjuncts(value.cond) if part not in gone), value.yes, value.no)


def _with_values(tensor: Tensor, change: Callable[[Expr], Expr]) -> Tensor:
    equations = tuple(replace(equation, value=change(equation.value)) for equation in tensor.equations)
    return tensor if equations == tensor.equations else replace(tensor, equations=equations)


def _simple_if_changed(before: Expr, value: Expr, simplified: Simplifier) -> Expr:
    return value if value is before else _simple(value, simplified)


def _simple(value: Expr, simplified: Simplifier) -> Expr:
    """Guards collected; a reduction stays at the root."""
    if isinstance(value, Reduce):
        return value.rebuild((simplified(value.body),))
    return simplified(value)
