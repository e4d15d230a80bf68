"""Sums through short rows go through four of them at a time: vectors are added up a quarter as often.

::

    for u < 14                         for u4 < 3
        for v < 14                         for v < 14
            s += x[u,v]*z[u+1,v]               for u = 4*u4 .. 4*u4 + 4
                                                   s += x[u,v]*z[u+1,v]
                                       for v < 14
                                           for u = 12 .. 14
                                               s += x[u,v]*z[u+1,v]

LLVM writes out what is innermost now, and goes along the rows in vectors. It adds up what is in a vector whenever
a loop along a row ends, which for nine sums takes longer than a row of 14 elements. Rows that several sums
have in common are read once. What else is computed in such a loop gets one of its own before.
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.ir.affine import integer, known
from dlc.compiler.ir.expr import ZERO, Const, Expr, Op, Read, Select, free_indices, fresh, op, reads, refresh, walk
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var, expressions
from dlc.compiler.lower.fusion import Body, renamed

_ABREAST = 4  # rows
_ALL = 7  # rows that are written out as a whole
_SHORT, _LONG = 5, 64  # elements of a row that has vectors, and of one at the end of which adding one up hardly counts
_MUCH = 6  # operations and reads for one element


def by_rows_abreast(body: Body) -> Body:
    """The body with its sums of rows four rows at a time."""
    return tuple(made for one in body for made in _statements(one))


def _statements(statement: Statement) -> Body:
    if isinstance(statement, If):
        return (replace(statement, body=by_rows_abreast(statement.body)),)
    if not isinstance(statement, For):
        return (statement,)
    (inner, *others) = statement.body
    if isinstance(inner, For) and not others and (sums := _sums(statement, inner)):
        rest = tuple(one for one in inner.body if one not in sums)
        before = (replace(statement, body=(replace(inner, body=rest),)),) if rest else ()
        return *before, *_abreast(statement, replace(inner, body=sums))
    return (replace(statement, body=by_rows_abreast(statement.body)),)


def _sums(loop: For, inner: For) -> Body:
    """What adds to numbers in all rounds of both loops, if it may go on for itself."""
    length = known(inner.length)
    if known(loop.length) is None or length is None or not _SHORT <= length < _LONG:
        return ()
    if not all(isinstance(one, Let | Var | Update | Store) for one in inner.body):
        return ()
    own = {one.name for one in inner.body if isinstance(one, Let | Var)}
    sums = tuple(one for one in inner.body if isinstance(one, Update) and one.name not in own)
    if not all(_adds_little(one, loop) for one in sums):
        return ()
    names = {one.name for one in sums}
    others = [one for one in inner.body if one not in sums]
    changed = names | own | {one.buffer for one in others if isinstance(one, Store)}
    added = {read.tensor for one in sums for read in reads(*_terms(one))}
    mentioned = {read.tensor for one in others for read in reads(*expressions(one))}
    return () if mentioned & names or changed & added else sums


def _adds_little(sum_: Update, loop: For) -> bool:
    value = sum_.value
    if not isinstance(value, Op) or value.name != "add" or value.args[0] is not Read(sum_.name, (), "real"):
        return False
    nodes = [node for node in walk(*_terms(sum_)) if node.type != "int"]
    is_little = len(nodes) <= _MUCH and not any(isinstance(node, Select) for node in nodes)
    rows = [read.subscripts for read in reads(*_terms(sum_)) if read.subscripts]
    is_across = loop.index in free_indices(value) and not any(loop.index in free_indices(row[-1]) for row in rows)
    return is_little and is_across


def _terms(sum_: Update) -> tuple[Expr, ...]:
    """What a sum adds."""
    assert isinstance(sum_.value, Op)
    return sum_.value.args[1:]


def _abreast(loop: For, inner: For) -> Body:
    rows = known(loop.length) or 0
    if rows <= _ALL:
        return (replace(inner, body=(replace(loop, body=inner.body),)),)
    count = Const(rows // _ABREAST)
    block = fresh(count, f"{loop.index.hint}{_ABREAST}")
    first, last = (integer(op("add", loop.start, op("mul", Const(_ABREAST), at))) for at in (block, count))
    some = replace(loop, start=first, stop=integer(op("add", first, Const(_ABREAST))), body=inner.body)
    many = For(block, ZERO, count, (replace(inner, body=(some,)),))
    if rows % _ABREAST == 0:
        return (many,)
    left = replace(inner, body=(replace(loop, start=last, body=inner.body),))
    return many, *renamed((left,), {index: refresh(index) for index in (loop.index, inner.index)})
