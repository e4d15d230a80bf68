"""Axes that lie one behind the other in memory, in one loop: ``x[n,c,h,w]`` over all h and w is one run of elements.

::

    for h < |H|                            for hw < |H|*|W|
        for w < |W|                            s += x[n,c,hw]
            s += x[n,c,h,w]

A subscript in the last place counts through all the axes that are left, and so does a place that is told by both, such
as that of an extreme, ``h*|W| + w``.  A sum is then added up across its vectors once in the place of
once a row, and no row leaves a rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dlc.compiler.ir.affine import Polynomial, integer, known, polynomial
from dlc.compiler.ir.expr import ZERO, Expr, Index, Op, Read, free_indices, fresh, op
from dlc.compiler.ir.loops import (
    Buffer,
    For,
    If,
    Matmul,
    Statement,
    Store,
    System,
    Update,
    Var,
    expressions,
    statements,
)
from dlc.compiler.ir.rewriting import transform
from dlc.compiler.lower.fusion import Body, mapped

_LONG = 256  # elements of a row from which on a loop of its own costs nothing


def in_runs(body: Body, buffers: Mapping[str, Buffer]) -> Body:
    """The body with one loop where two run over neighbouring axes of all that they touch."""

    def one(statement: Statement) -> Statement:
        if isinstance(statement, If):
            return replace(statement, body=tuple(map(one, statement.body)))
        if not isinstance(statement, For):
            return statement
        loop = replace(statement, body=tuple(map(one, statement.body)))
        return _joined(loop, buffers) or loop

    return tuple(map(one, body))


def _joined(outer: For, buffers: Mapping[str, Buffer]) -> For | None:
    """Both loops as one, or None."""
    inner = outer.body[0] if len(outer.body) == 1 else None
    if not isinstance(inner, For) or inner.start is not ZERO or outer.index in free_indices(inner.stop):
        return None
    if not _pays(inner) or any(isinstance(one, Matmul | System) for one in statements(inner.body)):
        return None
    length = polynomial(inner.stop)
    index = fresh(integer(op("mul", outer.index.size, inner.stop)), f"{outer.index.hint}{inner.index.hint}".lower())

    def shorter(buffer: str, subscripts: tuple[Expr, ...]) -> tuple[Expr, ...]:
        is_run = subscripts[-2:] == (outer.index, inner.index) and _last_extent(buffers[buffer], subscripts) == length
        return (*subscripts[:-2], index) if is_run else subscripts

    def read(node: Expr) -> Expr | None:
        return Read(node.tensor, shorter(node.tensor, node.subscripts), node.type) if isinstance(node, Read) else None

    def store(statement: Statement) -> Statement:
        if isinstance(statement, For | If):
            return replace(statement, body=tuple(map(store, statement.body)))
        if isinstance(statement, Store):
            return replace(statement, subscripts=shorter(statement.buffer, statement.subscripts))
        return statement

    def counted(node: Expr) -> Expr | None:
        return read(node) or _place(node, outer.index, inner, index)

    body = tuple(map(store, mapped(inner.body, lambda e: transform(e, counted))))
    left = {i for one in statements(body) for e in expressions(one) for i in free_indices(e)}
    if left & {outer.index, inner.index} or index not in left:
        return None
    start, stop = (integer(op("mul", bound, inner.stop)) for bound in (outer.start, outer.stop))
    return For(index, start, stop, body)


def _place(node: Expr, outer: Index, inner: For, index: Index) -> Expr | None:
    """The place in the run, where a number counts through both loops: ``h*|W| + w`` is ``hw``."""
    if not isinstance(node, Op) or node.type != "int" or not {outer, inner.index} <= set(free_indices(node)):
        return None
    place = polynomial(node)
    rows, row = place.split(outer), place.split(inner.index)
    if rows is None or row is None or rows[0] != row[0] * polynomial(inner.stop):
        return None
    rest = place - rows[0] * polynomial(outer) - row[0] * polynomial(inner.index)
    return (row[0] * polynomial(index) + rest).expression()


def _pays(inner: For) -> bool:
    """Whether rows may be short, or each adds to what lives longer than a row."""
    own = {one.name for one in statements(inner.body) if isinstance(one, Var)}
    adds = any(isinstance(one, Update) and one.name not in own for one in statements(inner.body))
    return adds or (known(inner.stop) or 0) < _LONG


def _last_extent(buffer: Buffer, subscripts: tuple[Expr, ...]) -> Polynomial:
    """How many elements the last subscript counts through."""
    extent = Polynomial.constant(1)
    for size in buffer.sizes[len(subscripts) - 1 :]:
        extent = extent * polynomial(size)
    return extent
