"""A row in which single elements have one more term.

``d[b,y] = ([y == z[b]]*c if ..) + e`` would compare every ``y`` with ``z[b]``.  Here the row is computed without that
term, which is added where it stands: ``d[b,z[b]]``.  If there are no other terms, the row is 0, but for this element.
A plane with one such element is likewise, or one with an element in each of its blocks, see ``spikes_of_blocks.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.bounds import within
from dlc.compiler.ir.conditions import conjuncts, is_zero
from dlc.compiler.ir.expr import ZERO, Const, Expr, Index, Op, Read, Select, free_indices, op
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import Statement, Store
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower.ranges import loops, under
from dlc.compiler.lower.scatter import Facts, sides

_SMALL_EXTENT = 16  # a row known to be this short is as fast with a comparison


@dataclass(frozen=True)
class Spike:
    """A term that is there at one place, under conditions."""

    place: Expr
    conditions: tuple[Expr, ...]
    value: Expr


def nest(tensor: Tensor, equation: Equation, facts: Facts) -> tuple[Statement, ...]:
    """The loops of a map whose sum has such terms; nothing if there are none."""
    value = equation.value
    if value.type != "real" or not equation.indices:
        return ()
    terms = value.args if isinstance(value, Op) and value.name == "add" else (value,)
    *outer, last = equation.indices
    extent = known(last.size)
    if (extent is not None and extent <= _SMALL_EXTENT) or equation.subscripts[-1:] != (last,):
        return ()
    if any(last in free_indices(subscript) for subscript in equation.subscripts[:-1]):
        return ()
    found = [(term, _spike(term, last)) for term in terms]
    spikes = [spike for _, spike in found if spike is not None]
    rest = [term for term, spike in found if spike is None]
    if not spikes:
        return ()
    row = loops((last,), (Store(tensor.id, equation.subscripts, op("add", *rest) if rest else Const(0.0)),))
    added = (one for spike in spikes for one in _added(tensor, equation, last, spike, facts))
    return loops(outer, (*row, *added))


def _spike(term: Expr, last: Index) -> Spike | None:
    """The term as one that is there for a single value of the index, which is looked at before anything else."""
    if not isinstance(term, Select) or not is_zero(term.no):
        return None
    first, *others = conjuncts(term.cond)
    for index, place in sides(first):
        if index is last and last not in free_indices(place):
            return Spike(place, tuple(others), term.yes)
    return None


def _added(tensor: Tensor, equation: Equation, last: Index, spike: Spike, facts: Facts) -> tuple[Statement, ...]:
    at: dict[Expr, Expr] = {last: spike.place}
    checks = [substitute(cond, at) for cond in spike.conditions]
    if not within(spike.place, last.size, facts(spike.place)):
        checks = [op("le", ZERO, spike.place), op("lt", spike.place, last.size), *checks]
    element = Read(tensor.id, (*equation.subscripts[:-1], spike.place), "real")
    term = substitute(spike.value, at)
    value = term if isinstance(equation.value, Select) else op("add", element, term)
    return under(checks, (Store(tensor.id, element.subscripts, value),))
