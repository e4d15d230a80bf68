"""One equation as a loop nest.

A map becomes loops over its indices around one store.  A reduction takes one of three forms:

- *register*: loops over the free indices, an accumulator, loops over the reduced ones (row sums, dot products);
- *row*: the innermost loop runs over the last free index, so that a whole row accumulates at once (column sums,
  small windows): chosen where that index, not a reduced one, walks through memory one by one;
- *scatter*: ``sum[k] [v == z[k]] * e`` with ``v`` free visits each ``k`` once and adds to the element that ``z`` names.

Conditions on a reduced index become bounds of its loop where they can be solved for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.bounds import nonnegative, within
from dlc.compiler.ir.expr import (
    ONE,
    ZERO,
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
    substitute,
)
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var
from dlc.compiler.lower.fusion import renamed

Names = Callable[[str], str]  # a fresh name for a local
Facts = Callable[[Expr], list[Polynomial]]  # what is known of the integer reads in an expression

_SMALL_EXTENT = 16  # a reduced loop known to be this short is no place for vector lanes


def nest(tensor: Tensor, equation: Equation, names: Names, facts: Facts) -> tuple[Statement, ...]:
    """The statements that compute one equation of ``tensor``."""
    value = equation.value
    if not isinstance(value, Reduce):
        return loops(equation.indices, (Store(tensor.id, equation.subscripts, value),))
    if value.op in ("argmax", "argmin"):
        return _position(tensor, equation, value, names)
    scattered = _scattered(equation, value)
    if scattered:
        return _scatter(tensor, equation, value, scattered, facts)
    if _rows_are_contiguous(equation, value):
        return _row_form(tensor, equation, value)
    return _register_form(tensor, equation, value, names)


def loops(indices: Sequence[Index], body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Loops over the whole ranges of the indices, the first outermost."""
    for index in reversed(indices):
        body = (For(index, ZERO, index.size, body),)
    return body


# -- reductions -----------------------------------------------------------------------------------------------------

_COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "any": "or", "all": "and"}


def _combined(reduction: str, total: Expr, value: Expr) -> Expr:
    return Op(_COMBINE[reduction], (total, value))


def _register_form(tensor: Tensor, equation: Equation, value: Reduce, names: Names) -> tuple[Statement, ...]:
    total = Read(names(tensor.id), (), value.type)
    conditions, body = _guarded(value)
    bounded, left = _bounded(value.indices, conditions)
    update: Statement = Update(total.tensor, _combined(value.op, total, body))
    inner = bounded((update,) if not left else (If(op("and", *left), (update,)),))
    start = Var(total.tensor, identity_of(value.op, value.body.type))
    return loops(equation.indices, (start, *inner, Store(tensor.id, equation.subscripts, total)))


def _row_form(tensor: Tensor, equation: Equation, value: Reduce) -> tuple[Statement, ...]:
    *outer, last = equation.indices
    target = Read(tensor.id, equation.subscripts, value.type)
    first = loops((last,), (Store(tensor.id, equation.subscripts, identity_of(value.op, value.body.type)),))
    again = refresh(last)
    conditions, body = _guarded(value)
    bounded, left = _bounded(value.indices, [c for c in conditions if last not in free_indices(c)])
    left += [c for c in conditions if last in free_indices(c)]
    neutral = identity_of(value.op, value.body.type)
    if left:
        body = Select(op("and", *left), body, neutral)
    add = Store(tensor.id, equation.subscripts, _combined(value.op, target, body))
    rows = renamed(loops((last,), (add,)), {last: again})
    return loops(outer, (*first, *bounded(rows)))


def _position(tensor: Tensor, equation: Equation, value: Reduce, names: Names) -> tuple[Statement, ...]:
    """argmax, argmin: the best value so far and where it stood; the first one wins a tie."""
    best = Read(names(f"{tensor.id}.best"), (), value.body.type)
    place = Read(names(tensor.id), (), "int")
    candidate = Read(names(f"{tensor.id}.candidate"), (), value.body.type)
    better = op("lt", best, candidate) if value.op == "argmax" else op("lt", candidate, best)
    conditions, body = _guarded(value)
    bounded, left = _bounded(value.indices, conditions)
    if left:
        body = Select(op("and", *left), body, identity_of(value.op, body.type))
    update: tuple[Statement, ...] = (
        Let(candidate.tensor, body),
        Update(place.tensor, Select(better, flat(value.indices), place)),
        Update(best.tensor, Select(better, candidate, best)),
    )
    start = (Var(best.tensor, identity_of(value.op, value.body.type)), Var(place.tensor, ZERO))
    finish = Store(tensor.id, equation.subscripts, place)
    return loops(equation.indices, (*start, *bounded(update), finish))


def flat(indices: Sequence[Index]) -> Expr:
    """The row-major position of an index tuple."""
    position: Expr = ZERO
    for index in indices:
        position = op("add", op("mul", position, index.size), index)
    return polynomial(position).expression()


def _guarded(value: Reduce) -> tuple[list[Expr], Expr]:
    """The conditions under which the body counts, and the body under them."""
    body = value.body
    if isinstance(body, Select) and body.no is identity_of(value.op, body.type):
        cond = body.cond
        return list(cond.args) if isinstance(cond, Op) and cond.name == "and" else [cond], body.yes
    return [], body


# -- row form or register form ---------------------------------------------------------------------------------------


def _rows_are_contiguous(equation: Equation, value: Reduce) -> bool:
    """Whether the innermost loop should run over the last free index: fewer reads then jump through memory."""
    if not equation.indices or not equation.is_whole or value.op in ("any", "all"):
        return False
    row, inner = equation.indices[-1], value.indices[-1]
    row_extent, extent = known(row.size), known(inner.size)
    if row_extent is not None and row_extent < 4:
        return False
    found = reads(value.body)
    row_jumps = sum(row in free_indices(read) and not _is_unit(read, row) for read in found)
    inner_jumps = sum(inner in free_indices(read) and not _is_unit(read, inner) for read in found)
    if row_jumps == inner_jumps == 0 and extent is not None and extent <= _SMALL_EXTENT:
        return row_extent is None or row_extent > extent
    return row_jumps < inner_jumps


def _is_unit(read: Read, index: Index) -> bool:
    """Whether the read's address moves by one element when the index does."""
    if not read.subscripts or any(index in free_indices(s) for s in read.subscripts[:-1]):
        return False
    parts = polynomial(read.subscripts[-1]).split(index)
    return parts is not None and parts[0].value == 1


# -- conditions become bounds ------------------------------------------------------------------------------------------


def _bounded(
    indices: Sequence[Index], conditions: Sequence[Expr]
) -> tuple[Callable[[tuple[Statement, ...]], tuple[Statement, ...]], list[Expr]]:
    """Loops over ``indices``, narrowed by the conditions that can be solved for one of them, and the others."""
    left = list(conditions)
    ranges: list[tuple[Index, Expr, Expr]] = []
    for position in range(len(indices) - 1, -1, -1):
        index = indices[position]
        inner = set(indices[position + 1 :])
        low: list[Polynomial] = [Polynomial(())]
        high: list[Polynomial] = [polynomial(index.size)]
        for cond in list(left):
            solved = _solved(cond, index)
            if solved is None or inner & set(free_indices(cond)):
                continue
            left.remove(cond)
            low += solved[0]
            high += solved[1]
        ranges.append((index, _extreme("max", low), _extreme("min", high)))

    def around(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        for index, start, stop in ranges:
            body = (For(index, start, stop, body),)
        return body

    return around, left


def _solved(cond: Expr, index: Index) -> tuple[list[Polynomial], list[Polynomial]] | None:
    """``(lower bounds, exclusive upper bounds)`` equivalent to the condition, if it is a bound on ``index``."""
    if not (isinstance(cond, Op) and cond.name in ("lt", "le", "eq") and cond.args[0].type == "int"):
        return None
    if reads(cond):
        return None
    left, right = polynomial(cond.args[0]), polynomial(cond.args[1])
    slack = right - left - (1 if cond.name == "lt" else 0)  # the condition is slack >= 0 (or == 0)
    parts = slack.split(index)
    if parts is None or parts[0].value not in (1, -1):
        return None
    rest = parts[1] if parts[0].value == 1 else -parts[1]
    if cond.name == "eq":
        return [-rest], [-rest + 1]
    return ([-rest], []) if parts[0].value == 1 else ([], [-rest + 1])


def _extreme(name: str, bounds: list[Polynomial]) -> Expr:
    """The greatest lower or least upper bound, leaving out those that another one implies."""
    kept: list[Polynomial] = []
    for bound in bounds:
        sign = 1 if name == "max" else -1
        if any(nonnegative((other - bound) * sign) for other in kept):
            continue
        kept = [other for other in kept if not nonnegative((bound - other) * sign)] + [bound]
    result = kept[0].expression()
    for bound in kept[1:]:
        result = op(name, result, bound.expression())
    return result


# -- scatter ---------------------------------------------------------------------------------------------------------


def _scattered(equation: Equation, value: Reduce) -> dict[Index, Expr]:
    """Free indices that a condition sets to something computed from the reduced ones."""
    if value.op != "sum" or not equation.is_whole:
        return {}
    reduced = set(value.indices)
    found: dict[Index, Expr] = {}
    for cond in _guarded(value)[0]:
        for index, place in _sides(cond):
            free = set(free_indices(place))
            apart = not free & {*found, index} and not any(index in free_indices(other) for other in found.values())
            if index in equation.indices and index not in found and free & reduced and apart:
                found[index] = place
                break
    return found


def _sides(cond: Expr) -> Iterator[tuple[Index, Expr]]:
    if isinstance(cond, Op) and cond.name == "eq" and cond.args[0].type == cond.args[1].type == "int":
        left, right = cond.args
        if isinstance(left, Index):
            yield left, right
        if isinstance(right, Index):
            yield right, left


def _scatter(
    tensor: Tensor, equation: Equation, value: Reduce, places: Mapping[Index, Expr], facts: Facts
) -> tuple[Statement, ...]:
    # a place that depends on a free index is known inside its loop: `x[b, z[b,t]]` is scattered for one b at a time
    around = [index for index in equation.indices if any(index in free_indices(place) for place in places.values())]
    inside = [index for index in equation.indices if index not in around]
    first = loops(inside, (Store(tensor.id, equation.subscripts, identity_of("sum", value.type)),))
    renamed = {index: refresh(index) for index in inside if index not in places}
    conditions, body = _guarded(value)
    replaced: dict[Expr, Expr] = {**places, **renamed}
    kept = [c for c in conditions if not any(index in places and places[index] is e for index, e in _sides(c))]
    checks = [substitute(c, replaced) for c in kept]
    for index, place in places.items():
        if not within(place, index.size, facts(place)):
            checks += [op("le", ZERO, place), op("lt", place, index.size)]
    subscripts = tuple(substitute(s, replaced) for s in equation.subscripts)
    add = Store(tensor.id, subscripts, op("add", Read(tensor.id, subscripts, value.type), substitute(body, replaced)))
    outer = [c for c in checks if not set(free_indices(c)) & set(renamed.values())]
    inner = [c for c in checks if c not in outer]
    rows = loops(list(renamed.values()), (If(op("and", *inner), (add,)),) if inner else (add,))
    bounded, left = _bounded(value.indices, outer)
    return loops(around, (*first, *bounded((If(op("and", *left), rows),) if left else rows)))


# -- cost ------------------------------------------------------------------------------------------------------------

_USUAL_SIZE = 64  # stands for a size that is not known


def volume(indices: Sequence[Index]) -> int:
    """The number of iterations, with an assumption for sizes that are not known."""
    result = 1
    for index in indices:
        size = known(index.size)
        result *= _USUAL_SIZE if size is None else max(size, 1)
    return result


def sizes_product(indices: Sequence[Index]) -> Polynomial:
    """The number of iterations as a polynomial in the sizes."""
    result = polynomial(ONE)
    for index in indices:
        result = result * polynomial(index.size)
    return result
