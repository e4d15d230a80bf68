"""Reductions that visit each element once and combine it into the place that it names.

``sum[k] [v == z[k]] * e`` with ``v`` free would look at every ``k`` for every ``v``.  Here each ``k`` is visited once:
the result is set to 0, and ``e`` is added at ``z[k]``.  Products and extremes do likewise.  The place of an extreme is
found by comparing each element with the one at the best place so far.  What ``deltas`` cannot solve for a reduced index
is of this kind too, ``[v + t // 7 == 7*(s // 7) + s mod 7]``.

Free indices in front of the one that is named, and those that its place depends on, are loops around all of this:
``y[b, z[b,k]]`` is scattered row by row, so rows stay in the cache, and shards may share them out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import implied, positive, within
from dlc.compiler.ir.expr import (
    TRUE,
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    free_indices,
    identity_of,
    op,
    reads,
    refresh,
)
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import If, Statement, Store
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower.fusion import renamed
from dlc.compiler.lower.ranges import apart, better, bounded_loops, combined, guarded, loops, under

Facts = Callable[[Expr], list[Polynomial]]  # what is known of the integer reads in an expression

_COMBINED = frozenset({"sum", "prod", "max", "min", "any"})
_NOWHERE = Const(-1)


def places(equation: Equation, value: Reduce) -> dict[Index, Expr]:
    """Free indices that a condition sets to something computed from the reduced ones."""
    is_position = value.op in ("argmax", "argmin") and len(value.indices) == 1
    if not (is_position or value.op in _COMBINED) or not equation.is_slice:
        return {}
    found: dict[Index, Expr] = {}
    for cond in guarded(value)[0]:
        for index, place in sides(cond):
            free = set(free_indices(place))
            apart = not free & {*found, index} and not any(index in free_indices(other) for other in found.values())
            if index in equation.indices and index not in found and free & set(value.indices) and apart:
                found[index] = place
                break
    return found


def sides(cond: Expr) -> Iterator[tuple[Index, Expr]]:
    """Each index that a condition sets, and to what: one that is alone on its side, or else can be made so."""
    if isinstance(cond, Op) and cond.name == "eq" and cond.args[0].type == cond.args[1].type == "int":
        left, right = cond.args
        if isinstance(left, Index):
            yield left, right
        if isinstance(right, Index):
            yield right, left
        if not isinstance(left, Index) and not isinstance(right, Index):
            yield from _solved(polynomial(left) - polynomial(right), free_indices(cond))


def _solved(difference: Polynomial, indices: Sequence[Index]) -> Iterator[tuple[Index, Expr]]:
    """What each index is where the difference is 0, if that takes no division."""
    for index in indices:
        parts = difference.split(index)
        if parts is not None and parts[0].value in (1, -1):
            yield index, (parts[1] * -parts[0].value).expression()


def nest(
    tensor: Tensor, equation: Equation, value: Reduce, places: Mapping[Index, Expr], facts: Facts
) -> tuple[Statement, ...]:
    outer_indices = around(equation, places)
    inside = [index for index in equation.indices if index not in outer_indices]
    rows = {index: refresh(index) for index in inside if index not in places}
    replaced: dict[Expr, Expr] = {**places, **rows}
    conditions, body = guarded(value)
    kept = [c for c in conditions if not any(index in places and places[index] is e for index, e in sides(c))]
    checks = [
        substitute(c, dict(rows)) for index, place in places.items() if reads(place) for c in implied(kept, index)
    ]
    for index, place in places.items():
        told = facts(place)
        if not within(place, index.size, told):
            checks += [op("le", ZERO, place), op("lt", place, index.size)]
        elif not positive(polynomial(index.size), [*told, *(polynomial(one.size) - 1 for one in free_indices(place))]):
            checks.append(op("lt", ZERO, index.size))  # of no places, none is named by a remainder
    checks += [substitute(c, replaced) for c in kept]  # which may read what stands there
    element = Read(tensor.id, equation.subscripts, value.type)
    target = Read(tensor.id, tuple(substitute(s, replaced) for s in equation.subscripts), value.type)
    first, update, last = _steps(value, element, target, substitute(body, replaced))
    outer, inner = apart(checks, list(rows.values()))
    visit = loops(list(rows.values()), under(inner, update))
    over_reduced, left = bounded_loops(value.indices, outer)
    return loops(outer_indices, (*loops(inside, first), *over_reduced(under(left, visit)), *_again(inside, last)))


def around(equation: Equation, places: Mapping[Index, Expr]) -> list[Index]:
    """The indices of the loops that all visits stand in."""
    needed = {index for place in places.values() for index in free_indices(place)}
    front = next(number for number, index in enumerate(equation.indices) if index in places)
    return [index for number, index in enumerate(equation.indices) if number < front or index in needed]


def _again(indices: list[Index], body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Another sweep over the indices."""
    return renamed(loops(indices, body), {index: refresh(index) for index in indices}) if body else ()


def _steps(
    value: Reduce, element: Read, target: Read, body: Expr
) -> tuple[tuple[Statement, ...], tuple[Statement, ...], tuple[Statement, ...]]:
    """What is stored at every element before, at the target for one visit, and at every element after."""
    if value.op in _COMBINED:
        neutral = identity_of(value.op, value.body.type)
        return (_store(element, neutral),), (_store(target, combined(value.op, target, body)),), ()
    (index,) = value.indices
    best = substitute(body, {index: target})
    visit = If(Select(op("lt", target, ZERO), TRUE, better(value.op, best, body)), (_store(target, index),))
    return (_store(element, _NOWHERE),), (visit,), (_store(element, op("max", element, ZERO)),)


def _store(at: Read, value: Expr) -> Store:
    return Store(at.tensor, at.subscripts, value)
