"""Rows that are no whole number of vectors, in vectors all the same: the last one begins early enough.

::

    for v < 28                         for block < 4
        y[u,v] = ..                        first = min(8*block, 20)
                                           for v = first .. first + 8
                                               y[u,v] = ..

Four elements are then computed twice, which takes less than computing them one by one.  So it is done where an element
takes some arithmetic, and where computing it again changes nothing: a loop that adds to something stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import ZERO, Const, Op, Read, Select, fresh, op, reads, walk
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var, expressions
from dlc.compiler.lower.fusion import Body

_LANES = 8  # elements that LLVM takes together, however few there are
_LONG = 256  # elements of a row of which a rest is a small part
_MUCH = 6  # operations and reads of one element
_MUCH_WITH_CHOICES = 30  # LLVM unrolls eight rounds of less than that, and finds no vectors in choices side by side

Names = Callable[[str], str]


def without_rests(body: Body, names: Names) -> Body:
    """The body with its innermost loops block by block, where they would leave a rest."""

    def one(statement: Statement) -> Statement:
        if isinstance(statement, If):
            return replace(statement, body=tuple(map(one, statement.body)))
        if not isinstance(statement, For):
            return statement
        if _leaves_a_rest(statement) and _may_run_again(statement.body) and _takes_much(statement.body):
            return _in_blocks(statement, names)
        return replace(statement, body=tuple(map(one, statement.body)))

    return tuple(map(one, body))


def _leaves_a_rest(loop: For) -> bool:
    extent = known(loop.stop)
    return loop.start is ZERO and extent is not None and _LANES < extent < _LONG and extent % _LANES != 0


def _may_run_again(body: Body) -> bool:
    """Whether the body stores elements of buffers that it does not read, and changes nothing else."""
    own = {one.name for one in body if isinstance(one, Var)}
    stored = {one.buffer for one in body if isinstance(one, Store)}
    read = {found.tensor for one in body for e in expressions(one) for found in reads(e)}
    if any(isinstance(one, Update) and one.name not in own for one in body):
        return False
    return all(isinstance(one, Let | Var | Update | Store) for one in body) and not stored & read


def _takes_much(body: Body) -> bool:
    """Whether computing some elements twice costs less than computing as many one by one."""
    nodes = [node for one in body for e in expressions(one) for node in walk(e)]
    work = sum(isinstance(node, Op | Select) and node.type != "int" for node in nodes)
    work += sum(isinstance(node, Read) and bool(node.subscripts) for node in nodes)
    return work >= (_MUCH_WITH_CHOICES if any(isinstance(node, Select) for node in nodes) else _MUCH)


def _in_blocks(loop: For, names: Names) -> For:
    extent = known(loop.stop) or 0
    block = fresh(Const(-(-extent // _LANES)), "block")
    first = Read(names("first"), (), "int")
    start = op("min", op("mul", Const(_LANES), block), Const(extent - _LANES))
    inner = replace(loop, start=first, stop=op("add", first, Const(_LANES)))
    return For(block, ZERO, block.size, (Let(first.tensor, start), inner))
