"""Loops over the indices of a reduction: its conditions become bounds of the loops where they can be solved for them.

``sum[s : s <= t] ..`` loops over ``s < t + 1``; a stride turns into a quotient, ``2*u + p < |H|`` into
``u < (|H| - p + 1) // 2``.  A bound may be data, ``s < n[b]``, if it can be read wherever the loop stands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.conditions import conjuncts, guard_inside
from dlc.compiler.ir.expr import TRUE, ZERO, Const, Expr, Index, Op, Reduce, free_indices, fresh, op, reads
from dlc.compiler.ir.loops import For, If, Statement
from dlc.compiler.ir.rewriting import substitute

_TOGETHER = 4  # rounds: so many sums have a register each, and rests of all lengths are short to write
_BEYOND = 1 << 50  # no size is so large
_COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "any": "or", "all": "and"}


def combined(reduction: str, total: Expr, value: Expr) -> Expr:
    """What a reduction has reached after one more element."""
    return Op(_COMBINE[reduction], (total, value))


def better(reduction: str, best: Expr, candidate: Expr) -> Expr:
    """Whether ``argmax`` or ``argmin`` prefers an element to an earlier one: as numpy does, the first nan to all."""
    left, right = (best, candidate) if reduction == "argmax" else (candidate, best)
    if best.type != "real":
        return op("lt", left, right)
    return op("and", op("not", op("le", right, left)), op("eq", best, best))


def guarded(value: Reduce) -> tuple[list[Expr], Expr]:
    """The conditions under which the body counts, and the body under them."""
    cond, body = guard_inside(value)
    if cond is TRUE and value.op == "any" and not isinstance(body, Const):
        return list(conjuncts(body)), TRUE
    return list(conjuncts(cond)), body


def loops(indices: Sequence[Index], body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Loops over the whole ranges of the indices, the first outermost."""
    for index in reversed(indices):
        body = (For(index, ZERO, index.size, body),)
    return body


def in_groups(index: Index, rounds: Callable[[Sequence[Expr]], tuple[Statement, ...]]) -> tuple[Statement, ...]:
    """The rounds of an index of open size, some at a time, and what is left together too; ``rounds`` are those of the
    places given, with loops of their own.
    """
    group, size = Const(_TOGETHER), index.size
    count = op("floordiv", size, group)
    block = fresh(count, f"{index.hint}{_TOGETHER}")
    many = For(block, ZERO, count, tuple(rounds(_places(op("mul", group, block), _TOGETHER))))
    left = op("mod", size, group)
    rests = [
        If(op("eq", left, Const(number)), rounds(_places(op("mul", group, count), number)))
        for number in range(1, _TOGETHER)
    ]
    return (many, *rests)


def _places(first: Expr, number: int) -> list[Expr]:
    return [integer(op("add", first, Const(place))) for place in range(number)]


def under(conditions: Sequence[Expr], body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    return (If(op("and", *conditions), body),) if conditions else body


def bounded_loops(
    indices: Sequence[Index], conditions: Sequence[Expr], given: Collection[Expr] = ()
) -> tuple[Callable[[tuple[Statement, ...]], tuple[Statement, ...]], list[Expr]]:
    """Loops over ``indices``, narrowed by the conditions that can be solved for one of them, and the others; those that
    read what is not ``given`` are among these.
    """
    left = list(conditions)
    ranges: list[tuple[Index, Expr, Expr]] = []
    for position in range(len(indices) - 1, -1, -1):
        index = indices[position]
        inner = set(indices[position + 1 :])
        low: list[Polynomial] = [Polynomial(())]
        high: list[Polynomial] = [polynomial(index.size)]
        for cond in list(left):
            solved = _solved(cond, index, given)
            if solved is None or inner & set(free_indices(cond)):
                continue
            left.remove(cond)
            low += solved[0]
            high += solved[1]
        ranges.append((index, extreme("max", low), extreme("min", high)))

    def around(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        for index, start, stop in ranges:
            body = (For(index, start, stop, body),)
        return body

    return around, left


def band(index: Index, conditions: Sequence[Expr]) -> int | None:
    """The most values that the conditions leave to the index for any one value of the others, where that is known."""
    solved = [bounds for cond in conditions if (bounds := _solved(cond, index)) is not None]
    widths = [(high - low).value for lows, _ in solved for low in lows for _, highs in solved for high in highs]
    return min((width for width in widths if width is not None), default=None)


def _solved(cond: Expr, index: Index, given: Collection[Expr] = ()) -> tuple[list[Polynomial], list[Polynomial]] | None:
    """``(lower bounds, exclusive upper bounds)`` equivalent to the condition, if it is a bound on ``index``."""
    if not (isinstance(cond, Op) and cond.name in ("lt", "le", "eq") and cond.args[0].type == "int"):
        return None
    if any(read not in given for read in reads(cond)):
        return None
    left, right = polynomial(cond.args[0]), polynomial(cond.args[1])
    slack = right - left - (1 if cond.name == "lt" else 0)  # the condition is slack >= 0 (or == 0)
    if cond.name != "eq":
        return solved_for(slack, index)
    parts = slack.split(index)
    factor = parts[0].value if parts is not None else None
    if parts is None or factor not in (1, -1) or not _is_told(slack):
        return None
    exactly = parts[1] * -factor
    return [_of_small(exactly)], [_of_small(exactly + 1)]


def solved_for(slack: Polynomial, index: Index) -> tuple[list[Polynomial], list[Polynomial]] | None:
    """``(lower bounds, exclusive upper bounds)`` on ``index`` that say that ``slack`` is not negative."""
    parts = slack.split(index)
    factor = parts[0].value if parts is not None else None
    if parts is None or not factor or not _is_told(slack):
        return None
    if factor > 0:
        return [_of_small(_quotient(-parts[1] + factor - 1, factor))], []
    return [], [_of_small(_quotient(parts[1], -factor) + 1)]  # how long a range is must not overflow either


def _quotient(value: Polynomial, divisor: int) -> Polynomial:
    return value if divisor == 1 else polynomial(op("floordiv", value.expression(), Const(divisor)))


def _is_told(slack: Polynomial) -> bool:
    """Whether at most one number is read, and is what it is: a multiple of it may have overflowed."""
    found = [(atom, monomial, factor) for monomial, factor in slack.terms for atom in monomial if reads(atom)]
    return not found or (len(found) == 1 and len(found[0][1]) == 1 and abs(found[0][2]) == 1)


def _of_small(bound: Polynomial) -> Polynomial:
    """The bound, of data that does not overflow when something is added to it: what no size reaches is as good."""
    value = bound.expression()
    least, most = Const(-_BEYOND), Const(_BEYOND)
    clamped: dict[Expr, Expr] = {read: op("max", op("min", read, most), least) for read in reads(value)}
    return polynomial(substitute(value, clamped)) if clamped else bound


def extreme(name: str, bounds: Sequence[Polynomial], facts: Sequence[Polynomial] = ()) -> Expr:
    """The greatest lower or least upper bound, leaving out those that another one implies."""
    kept: list[Polynomial] = []
    for bound in bounds:
        sign = 1 if name == "max" else -1
        if any(nonnegative((other - bound) * sign, facts) for other in kept):
            continue
        kept = [other for other in kept if not nonnegative((bound - other) * sign, facts)] + [bound]
    result = kept[0].expression()
    for bound in kept[1:]:
        result = op(name, result, bound.expression())
    return result


def apart(conditions: Sequence[Expr], indices: Sequence[Index]) -> tuple[list[Expr], list[Expr]]:
    """The conditions that can be looked at once before the loops over the indices, and the others.  One that reads
    elements stays behind what is asked before it, and may keep it in range."""
    before: list[Expr] = []
    behind: list[Expr] = []
    for cond in conditions:
        depends = bool(set(indices) & set(free_indices(cond)))
        needs_others = bool(behind) and any(read.subscripts for read in reads(cond))
        (behind if depends or needs_others else before).append(cond)
    return before, behind
