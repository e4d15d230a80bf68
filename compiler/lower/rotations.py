"""Rows that are read around their end go in two loops, without a remainder for every element.

::

    for t < |T|                            shift = 3 mod max(|T|, 1)
        y[t] = x[(t + 3) mod |T|]          for t < |T| - shift
                                               y[t] = x[t + shift]
                                           for t in |T| - shift .. |T|
                                               y[t] = x[t + shift - |T|]

A remainder takes a division, and LLVM finds no vectors beside one. The rounds stay in their order, so the body may be
anything; one with several rotations is cut several times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dlc.compiler.ir.affine import equal, integer
from dlc.compiler.ir.expr import ONE, ZERO, Expr, Index, Op, Read, free_indices, op, reads, refresh, walk
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, expressions
from dlc.compiler.ir.rewriting import replaced
from dlc.compiler.lower.fusion import Body, mapped, renamed

_MOST = 2  # rotations of one loop: every one doubles its text

Names = Callable[[str], str]


def unrolled_around(body: Body, names: Names) -> Body:
    """The body with its innermost loops cut where what they read begins again."""
    return tuple(made for one in body for made in _cut(one, names))


def _cut(statement: Statement, names: Names) -> Body:
    if not isinstance(statement, For | If):
        return (statement,)
    if isinstance(statement, For) and (turns := _rotations(statement)):
        return _in_two(statement, turns, names)
    return (replace(statement, body=unrolled_around(statement.body, names)),)


def _rotations(loop: For) -> list[Expr]:
    """The remainders of a number beside the index by all of its range, if the loop goes through it."""
    is_whole = loop.start is ZERO and equal(loop.stop, loop.index.size)
    if not is_whole or not all(isinstance(one, Store | Update) for one in loop.body):
        return []
    changing = {one.name for one in loop.body if isinstance(one, Update)}
    nodes = dict.fromkeys(node for one in loop.body for e in expressions(one) for node in walk(e))
    found = [node for node in nodes if _shift(node, loop.index) is not None]
    # an element is read where it was: a loop without rounds reads nothing
    if len(found) > _MOST or any(one.subscripts or one.tensor in changing for one in reads(*found)):
        return []
    return found


def _shift(node: Expr, index: Index) -> Expr | None:
    """``c`` of ``(index + c) mod |index|``."""
    if not isinstance(node, Op) or node.name != "mod" or not equal(node.args[1], index.size):
        return None
    if index not in free_indices(node.args[0]):
        return None
    shift = integer(op("add", node.args[0], op("neg", index)))
    return None if index in free_indices(shift) else shift


def _in_two(loop: For, turns: list[Expr], names: Names) -> Body:
    size, lets, loops = loop.index.size, [], [loop]
    for turn in turns:
        wanted = _shift(turn, loop.index)
        assert wanted is not None
        shift = Read(names("shift"), (), "int")
        lets.append(Let(shift.tensor, op("mod", wanted, op("max", size, ONE))))
        end = integer(op("add", size, op("neg", shift)))
        near = integer(op("add", loop.index, shift))
        far = integer(op("add", loop.index, shift, op("neg", size)))
        loops = [half for one in loops for half in _halves(one, turn, end, near, far, one is loop)]
    first, *rest = loops
    again = [made for one in rest for made in renamed((one,), {loop.index: refresh(loop.index)})]
    return (*lets, first, *again)


def _halves(one: For, turn: Expr, end: Expr, near: Expr, far: Expr, is_whole: bool) -> tuple[For, For]:
    place = end if is_whole else op("min", op("max", end, one.start), one.stop)
    first, second = (mapped(one.body, lambda root, to=to: replaced(root, {turn: to})) for to in (near, far))
    return replace(one, stop=place, body=first), replace(one, start=place, body=second)
