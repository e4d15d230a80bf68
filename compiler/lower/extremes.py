"""Places of extremes, and first places where a condition holds, as loop nests.

::

    for s < |S|                                     for s < |S|
        best = -inf                                     best[s] = -inf
        place = 0                                       z[s] = 0
        for r < |R|                                 for r < |R|
            if v[r] + a[r,s] is better                  for s < |S|
                best = v[r] + a[r,s]                        if v[r] + a[r,s] is better
                place = r                                       z[s] = r
        z[s] = place                                            best[s] = v[r] + a[r,s]

Every element has to wait for the one before, so that a place by itself (left) takes a chain of comparisons.  Where the
last free index walks through memory, a whole row of places is sought at once (right), in vectors; what was best so far
then stands in a row that only the nest touches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.expr import (
    ZERO,
    Const,
    Expr,
    Index,
    Read,
    Reduce,
    Select,
    free_indices,
    identity_of,
    op,
    refresh,
)
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import Let, Statement, Store, Update, Var
from dlc.compiler.ir.ops import Type
from dlc.compiler.lower.fusion import renamed
from dlc.compiler.lower.ranges import better, bounded_loops, combined, guarded, loops

Names = Callable[[str], str]  # a fresh name for a local
Scratch = Callable[[str, Sequence[Index], Type], Read]  # an element of a new tensor, by its name and its indices


def nest(
    tensor: Tensor, equation: Equation, value: Reduce, by_rows: bool, names: Names, scratch: Scratch | None
) -> tuple[Statement, ...]:
    """The statements that find the places of one equation, whole rows of them at once if ``by_rows`` says so."""
    cond = _sought(value)
    if cond is not None:
        return (_first_of_rows if by_rows else _first)(tensor, equation, value, cond, names)
    if by_rows and scratch is not None:
        best = scratch(f"{tensor.id}.best", equation.indices, value.body.type)
        return _rows_of_places(tensor, equation, value, best, names)
    return _place(tensor, equation, value, names)


def _place(tensor: Tensor, equation: Equation, value: Reduce, names: Names) -> tuple[Statement, ...]:
    """The best value so far and where it stood; the first one wins a tie, and the first nan wins."""
    best = Read(names(f"{tensor.id}.best"), (), value.body.type)
    place = Read(names(tensor.id), (), "int")
    start = (Var(best.tensor, identity_of(value.op, value.body.type)), Var(place.tensor, ZERO))
    conditions, body = guarded(value)
    around, left = bounded_loops(value.indices, conditions)
    lets, position, candidate = _step(tensor, value, _under(left, body, value), place, best, names)
    update = (*lets, Update(place.tensor, position), Update(best.tensor, candidate))
    finish = Store(tensor.id, equation.subscripts, place)
    return loops(equation.indices, (*start, *around(update), finish))


def _rows_of_places(
    tensor: Tensor, equation: Equation, value: Reduce, best: Read, names: Names
) -> tuple[Statement, ...]:
    """The same for a whole row at once."""
    *outer, last = equation.indices
    place = Read(tensor.id, equation.subscripts, "int")
    start = (
        Store(best.tensor, best.subscripts, identity_of(value.op, value.body.type)),
        Store(place.tensor, place.subscripts, ZERO),
    )
    conditions, body = guarded(value)
    around, left = bounded_loops(value.indices, [one for one in conditions if last not in free_indices(one)])
    left = [one for one in conditions if one in left or last in free_indices(one)]  # one may keep the next in range
    lets, position, candidate = _step(tensor, value, _under(left, body, value), place, best, names)
    stores = (Store(place.tensor, place.subscripts, position), Store(best.tensor, best.subscripts, candidate))
    rows = renamed(loops((last,), (*lets, *stores)), {last: refresh(last)})
    return loops(outer, (*loops((last,), start), *around(rows)))


def _step(
    tensor: Tensor, value: Reduce, body: Expr, place: Read, best: Read, names: Names
) -> tuple[tuple[Statement, ...], Expr, Expr]:
    """An element is looked at: locals, and what the place and the best value are after it."""
    candidate = Read(names(f"{tensor.id}.candidate"), (), value.body.type)
    is_better = Read(names(f"{tensor.id}.is_better"), (), "bool")
    lets = (Let(candidate.tensor, body), Let(is_better.tensor, better(value.op, best, candidate)))
    return lets, Select(is_better, _position(value.indices), place), Select(is_better, candidate, best)


def _under(conditions: Sequence[Expr], body: Expr, value: Reduce) -> Expr:
    """The body where the conditions hold, and elsewhere what is never better."""
    return Select(op("and", *conditions), body, identity_of(value.op, body.type)) if conditions else body


# -- the first place where a condition holds ---------------------------------------------------------------------------


def _sought(value: Reduce) -> Expr | None:
    """The condition, if the first place is sought where one holds."""
    match value:
        case Reduce(op="argmax", body=Select(cond=cond, yes=Const(value=1.0), no=Const(value=0.0))):
            return cond
    return None


def _first(tensor: Tensor, equation: Equation, value: Reduce, cond: Expr, names: Names) -> tuple[Statement, ...]:
    """The least place where the condition holds; 0 if it never does."""
    place, nowhere = Read(names(tensor.id), (), "int"), _nowhere(value)
    inner = loops(value.indices, (Update(place.tensor, _sooner(value, cond, place)),))
    finish = Store(tensor.id, equation.subscripts, _found(value, place))
    return loops(equation.indices, (Var(place.tensor, nowhere), *inner, finish))


def _first_of_rows(tensor: Tensor, equation: Equation, value: Reduce, cond: Expr, _: Names) -> tuple[Statement, ...]:
    """The same for a whole row at once."""
    *outer, last = equation.indices
    place = Read(tensor.id, equation.subscripts, "int")
    steps = [((), _nowhere(value)), (value.indices, _sooner(value, cond, place)), ((), _found(value, place))]
    rows = (loops((*around, last), (Store(tensor.id, equation.subscripts, one),)) for around, one in steps)
    again = (renamed(row, {last: refresh(last)}) for row in rows)
    return loops(outer, tuple(statement for row in again for statement in row))


def _nowhere(value: Reduce) -> Expr:
    count = polynomial(Const(1))
    for index in value.indices:
        count = count * polynomial(index.size)
    return count.expression()


def _sooner(value: Reduce, cond: Expr, place: Expr) -> Expr:
    return combined("min", place, Select(cond, _position(value.indices), _nowhere(value)))


def _found(value: Reduce, place: Expr) -> Expr:
    return Select(op("lt", place, _nowhere(value)), place, ZERO)


def _position(indices: Sequence[Index]) -> Expr:
    """The row-major position of an index tuple."""
    position: Expr = ZERO
    for index in indices:
        position = op("add", op("mul", position, index.size), index)
    return polynomial(position).expression()
