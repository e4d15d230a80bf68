"""Products with one factor left out, for every factor, in linear time.

``prod[j : j != i] f(j)`` for every ``i`` is what the derivative of a product holds.  Multiplied out it takes a time
that is quadratic in the number of factors.  Here it is the product of the factors before ``i``, which one loop
accumulates, times that of the factors behind, which another accumulates from the end; without a division, so it is
right where factors are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dlc.compiler.ir.affine import equal
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, free_indices, op, reads, refresh
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import Statement, Store, Update, Var
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower.ranges import combined, guarded, loops, under

_ONE = Const(1.0)


def omitted(equation: Equation, value: Reduce) -> dict[Index, Index]:
    """The reduced indices of such a product, each with the free one that it must differ from; empty if it is none."""
    if value.op != "prod" or value.type != "real" or not equation.is_slice:
        return {}
    conditions, body = guarded(value)
    for cond in conditions:
        pairs = _differing(cond, equation, value)
        left_out = set(pairs.values())
        rest = [other for other in conditions if other is not cond]
        of_element = [other for other in rest if left_out & set(free_indices(other))]
        if not pairs or any(set(value.indices) & set(free_indices(other)) for other in of_element):
            continue
        # factors are asked before it is known that there is an element, which may be what keeps this in range
        reads_early = of_element and any(
            r.subscripts for other in rest if other not in of_element for r in reads(other)
        )
        return {} if reads_early or left_out & set(free_indices(body)) else pairs
    return {}


def _differing(cond: Expr, equation: Equation, value: Reduce) -> dict[Index, Index]:
    """``j != i``, or ``j != i or k != h``, with all reduced indices on one side and free ones on the other."""
    found: dict[Index, Index] = {}
    for part in cond.args if isinstance(cond, Op) and cond.name == "or" else (cond,):
        if not (isinstance(part, Op) and part.name == "ne"):
            return {}
        reduced, free = part.args if part.args[0] in value.indices else part.args[::-1]
        if not (isinstance(reduced, Index) and isinstance(free, Index)):
            return {}
        if reduced in value.indices and free in equation.indices and equal(reduced.size, free.size):
            found[reduced] = free
    return found if len(found) == len(value.indices) == len(set(found.values())) else {}


def nest(
    tensor: Tensor, equation: Equation, value: Reduce, pairs: Mapping[Index, Index], names: Callable[[str], str]
) -> tuple[Statement, ...]:
    conditions, body = guarded(value)
    chosen = next(cond for cond in conditions if _differing(cond, equation, value) == pairs)
    conditions = [cond for cond in conditions if cond is not chosen]
    left_out = set(pairs.values())
    elements = [cond for cond in conditions if left_out & set(free_indices(cond))]  # where anything is left out at all
    factors = [cond for cond in conditions if cond not in elements]
    here: dict[Expr, Expr] = {free: reduced for reduced, free in pairs.items()}
    back = {index: refresh(index) for index in value.indices}
    mirrored: dict[Expr, Expr] = {i: op("add", i.size, Const(-1), op("neg", again)) for i, again in back.items()}

    def change(expression: Expr, from_the_end: bool) -> Expr:
        expression = substitute(expression, here)
        return substitute(expression, mirrored) if from_the_end else expression

    def sweep(from_the_end: bool) -> tuple[Statement, ...]:
        total = Read(names(tensor.id), (), "real")
        target = Read(tensor.id, tuple(change(s, from_the_end) for s in equation.subscripts), "real")
        wanted = [change(cond, from_the_end) for cond in elements]
        if from_the_end:
            store = under(wanted, (_store(target, combined("prod", target, total)),))
        else:
            store = (_store(target, Select(op("and", *wanted), total, _ONE) if wanted else total),)
        update = Update(total.tensor, combined("prod", total, change(body, from_the_end)))
        steps = (*store, *under([change(cond, from_the_end) for cond in factors], (update,)))
        over = tuple(back.values()) if from_the_end else value.indices
        return (Var(total.tensor, _ONE), *loops(over, steps))

    around = [index for index in equation.indices if index not in left_out]
    return loops(around, (*sweep(from_the_end=False), *sweep(from_the_end=True)))


def _store(at: Read, value: Expr) -> Store:
    return Store(at.tensor, at.subscripts, value)
