"""Unroll and jam: rows added to one row are added four at a time, so that it is read and written a quarter as often.

::

    for b < |B|                        for b4 < |B|//4
        for i < |I|                        for i < |I|
            y[i] += x[b,i]                     y[i] += x[4*b4,i] + x[4*b4+1,i] + x[4*b4+2,i] + x[4*b4+3,i]
                                       for b in |B|//4*4 .. |B|
                                           for i < |I|
                                               y[i] += x[b,i]

Products and extremes do likewise.  Left out: rows of which an element takes so much that the sum hardly counts,
and the pieces of shards, which are few.
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.ir.affine import integer, known, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import ZERO, Const, Expr, Index, Op, Read, Select, free_indices, fresh, op, reads, walk
from dlc.compiler.ir.loops import SHARDS, For, If, Statement, Store
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.lower.fusion import Body

_ABREAST = 4  # rows
_FEW = 16  # rows or elements of a row, where the loops are no longer than what they save
_MUCH = 6  # operations and reads for one element
_OPERATORS = frozenset({"add", "mul", "max", "min"})


def jammed(body: Body) -> Body:
    """The body with the loops that go on for four rows at once."""
    return tuple(one for statement in body for one in _statements(statement))


def _statements(statement: Statement) -> Body:
    if isinstance(statement, If):
        return (replace(statement, body=jammed(statement.body)),)
    if not isinstance(statement, For):
        return (statement,)
    (inner, *others) = statement.body
    if isinstance(inner, For) and not others and adds_rows(statement, inner):
        return abreast(statement, inner)
    return (replace(statement, body=jammed(statement.body)),)


def adds_rows(loop: For, inner: For) -> bool:
    """Whether the inner loop adds something to a row that is the same in all rounds of the outer one."""
    (store, *others) = inner.body
    if others or not isinstance(store, Store) or store.value.type != "real":
        return False
    row = (inner.start, inner.stop, *store.subscripts)
    if loop.index in free_indices(op("add", *row)) or not _is_long(loop) or not _is_long(inner):
        return False
    value = store.value
    if not isinstance(value, Op) or value.name not in _OPERATORS or len(value.args) != 2:
        return False
    old, more = value.args
    if old is not Read(store.buffer, store.subscripts, "real") or loop.index not in free_indices(more):
        return False
    nodes = [node for node in walk(more) if node.type == "real"]
    if any(isinstance(node, Select) for node in walk(more)) or len(nodes) > _MUCH:
        return False
    return store.buffer not in {read.tensor for read in reads(more, *row)}


def _is_long(loop: For) -> bool:
    length = known(loop.length)
    return loop.stop is not SHARDS and (length is None or length >= _FEW)


def abreast(loop: For, inner: For) -> Body:
    (store,) = inner.body
    assert isinstance(store, Store) and isinstance(store.value, Op)
    old, more = store.value.args
    length = loop.length
    filled = length if nonnegative(polynomial(length)) else op("max", ZERO, length)  # a range may end before it begins
    count = op("floordiv", filled, Const(_ABREAST))
    block = fresh(count, f"{loop.index.hint}{_ABREAST}")
    first = op("add", loop.start, op("mul", Const(_ABREAST), block))
    more, *others = [_at(more, loop.index, integer(op("add", first, Const(row)))) for row in range(_ABREAST)]
    for other in others:
        more = op(store.value.name, more, other)
    many = For(block, ZERO, count, (replace(inner, body=(replace(store, value=Op(store.value.name, (old, more))),)),))
    if (known(length) or 1) % _ABREAST == 0:
        return (many,)
    rest = replace(loop, start=integer(op("add", loop.start, op("mul", Const(_ABREAST), count))))
    return (many, rest)


def _at(value: Expr, index: Index, place: Expr) -> Expr:
    """The value at one place of the index."""

    def normal(node: Expr) -> Expr | None:
        return Read(node.tensor, tuple(map(integer, node.subscripts)), node.type) if isinstance(node, Read) else None

    return transform(substitute(value, {index: place}), normal)
