"""A row under conditions on its place goes in sections, in each of which they are known.

::

    for d < 2*|E|                                          for d < |E|
        y[d] = (f(x[d]) if d < |E| else 0)                     y[d] = f(x[d])
             + (g(x[d-|E|]) if |E| <= d else 0)            for d in |E| .. 2*|E|
                                                               y[d] = g(x[d-|E|])

LLVM finds no vectors where an element is read under a condition, and a condition that is not asked costs nothing. Such
are the gradients of what takes a row apart, of neighbours, and what has parts. The rounds stay in their order, so the
body may be anything.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.conditions import is_comparison
from dlc.compiler.ir.expr import Const, Expr, Op, Select, Size, free_indices, op, reads, refresh, walk
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var, expressions
from dlc.compiler.ir.rewriting import replaced
from dlc.compiler.ir.simplifier import Simplifier
from dlc.compiler.lower.fusion import Body, mapped, renamed
from dlc.compiler.lower.ranges import solved_for

_MOST = 3  # places at which one loop is cut: every one adds to the text
_USUAL = 64  # what a size is guessed to be
_SHORT = 16  # elements of a row that is as quick with its conditions


def in_sections(body: Body) -> Body:
    """The body with its innermost loops cut where conditions on their index change."""
    simplified = Simplifier(SCALAR_RULES)
    return tuple(made for one in body for made in _cut(one, simplified))


def _cut(statement: Statement, simplified: Simplifier) -> Body:
    if not isinstance(statement, For | If):
        return (statement,)
    if isinstance(statement, For) and all(isinstance(one, Let | Var | Update | Store) for one in statement.body):
        return _sections(statement, simplified)
    return (replace(statement, body=tuple(made for one in statement.body for made in _cut(one, simplified))),)


def _sections(loop: For, simplified: Simplifier) -> Body:
    extent = known(loop.length)
    conditions = _conditions(loop) if extent is None or extent >= _SHORT else {}
    places = sorted(dict.fromkeys(place for place, _ in conditions.values()), key=_guessed)
    if not 0 < len(places) <= _MOST:
        return (loop,)
    made: list[For] = []
    start = polynomial(loop.start)
    for number, place in enumerate((*places, None)):
        stop = polynomial(loop.stop) if place is None else _between(start, place, loop)
        if start != stop:
            answers: dict[Expr, Expr] = {
                cond: Const((places.index(where) < number) == from_there)
                for cond, (where, from_there) in conditions.items()
                if where in places[:number] or (place is not None and nonnegative(where - place))
            }
            inside = mapped(loop.body, lambda root, answers=answers: simplified(replaced(root, answers)))
            made.append(For(loop.index, start.expression(), stop.expression(), inside))
        start = stop
    first, *rest = made
    return (first, *(one for each in rest for one in renamed((each,), {loop.index: refresh(loop.index)})))


def _guessed(place: Polynomial) -> int:
    """What places are ordered by: any order is right, and in that of their values no section keeps a condition."""
    return sum(
        factor * prod(_USUAL if isinstance(atom, Size) else _USUAL // 2 for atom in atoms)
        for atoms, factor in place.terms
    )


def _between(start: Polynomial, place: Polynomial, loop: For) -> Polynomial:
    """The place, or the nearer end of what is left of the loop, where it lies outside of that."""
    if not nonnegative(polynomial(loop.stop) - place):
        place = polynomial(op("min", place.expression(), loop.stop))
    if not nonnegative(place - start):
        place = polynomial(op("max", place.expression(), start.expression()))
    return place


def _conditions(loop: For) -> dict[Expr, tuple[Polynomial, bool]]:
    """The comparisons of the index with sizes below choices: the place where each changes, and whether it holds from
    there on, or up to there.
    """
    found: dict[Expr, tuple[Polynomial, bool]] = {}
    choices = [node for one in loop.body for e in expressions(one) for node in walk(e) if isinstance(node, Select)]
    for node in walk(*(choice.cond for choice in choices)):
        if not is_comparison(node) or free_indices(node) != (loop.index,) or reads(node):
            continue
        assert isinstance(node, Op)
        if node.name not in ("le", "lt"):
            continue
        slack = polynomial(node.args[1]) - polynomial(node.args[0]) - (1 if node.name == "lt" else 0)
        bounds = solved_for(slack, loop.index)
        if bounds is not None:
            lows, highs = bounds
            found[node] = (lows[0], True) if lows else (highs[0], False)
    return found
