"""Blocks of loops where what is read and what is written lie crosswise, as in a transposition.

::

    for j < |J|                        for jt < (|J| + 63)//64
        for i < |I|                        for it < (|I| + 7)//8
            y[j,i] = tanh(x[i,j])              for j in 64*jt .. min(64*jt + 64, |J|)
                                                   for i in 8*it .. min(8*it + 8, |I|)
                                                       y[j,i] = tanh(x[i,j])

One of the two is gone through with a step of a whole row, and its cache lines are needed again for the next column. Of
as few rows as a block has they are still there then, even if all of them, being a power of two apart, fall on one set
of the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import integer, known
from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Index, free_indices, fresh, op, reads
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, expressions
from dlc.compiler.lower.fusion import Body

_WIDE = 8  # the ways of a first cache: so many lines of one set are there at a time
_LONG = 64  # rounds of the loop that the lines are kept for
_WORTH = 32  # elements along either loop, if they are known


def by_blocks(body: Body) -> Body:
    """The body with the loops in blocks that cross."""
    return tuple(_blocked(one) for one in body)


def _blocked(statement: Statement) -> Statement:
    if isinstance(statement, If):
        return replace(statement, body=by_blocks(statement.body))
    if not isinstance(statement, For):
        return statement
    nest = _nest(statement)
    pair = _crossing(nest)
    if pair is None:
        return replace(statement, body=by_blocks(statement.body))
    outer, inner = nest[pair], nest[-1]
    length, width = _block(outer, _LONG), _block(inner, _WIDE)
    body: Body = (_within(outer, length.index, _LONG, (_within(inner, width.index, _WIDE, inner.body),)),)
    for loop in reversed((*nest[:pair], length, *nest[pair + 1 : -1], width)):
        body = (replace(loop, body=body),)
    return body[0]


def _nest(loop: For) -> list[For]:
    """The loop, and those that each stand alone in the one before."""
    nest = [loop]
    while len(nest[-1].body) == 1 and isinstance(nest[-1].body[0], For):
        nest.append(nest[-1].body[0])
    return nest


def _crossing(nest: Sequence[For]) -> int | None:
    """The number of the loop along whose index elements lie side by side of what the innermost loop goes through row by
    row, if the rounds of all loops from there on may change places.
    """
    *around, inner = nest
    accesses = list(_accesses(inner.body))
    if not all(isinstance(one, Let | Store) for one in inner.body):
        return None
    along = any(subscripts[-1] is inner.index for _, subscripts in accesses)
    for number, outer in enumerate(around):
        crosswise = any(
            outer.index in free_indices(subscripts[-1]) and _is_among(inner.index, subscripts[:-1])
            for _, subscripts in accesses
        )
        bounds = [bound for loop in nest[number:] for bound in (loop.start, loop.stop)]
        is_box = not any(loop.index in free_indices(bound) for loop in nest[number:] for bound in bounds)
        is_long = all((known(loop.index.size) or _WORTH) >= _WORTH for loop in (outer, inner))
        if along and crosswise and is_long and is_box and _are_apart(nest[number:], accesses):
            return number
    return None


def _is_among(index: Index, subscripts: Sequence[Expr]) -> bool:
    return any(index in free_indices(subscript) for subscript in subscripts)


def _accesses(body: Body) -> Iterator[tuple[str, tuple[Expr, ...]]]:
    for statement in body:
        if isinstance(statement, Store):
            yield statement.buffer, statement.subscripts
        yield from ((read.tensor, read.subscripts) for read in reads(*expressions(statement)) if read.subscripts)


def _are_apart(nest: Sequence[For], accesses: Sequence[tuple[str, tuple[Expr, ...]]]) -> bool:
    """Whether no round touches what another one writes: each writes at indices of its own, and reads it only there."""
    written = {one.buffer: one.subscripts for one in nest[-1].body if isinstance(one, Store)}
    own = all(loop.index in subscripts for loop in nest for subscripts in written.values())
    return own and all(written.get(buffer, subscripts) == subscripts for buffer, subscripts in accesses)


def _block(loop: For, length: int) -> For:
    """The loop over the blocks of another one."""
    count = op("floordiv", integer(op("add", loop.stop, op("neg", loop.start), Const(length - 1))), Const(length))
    return For(fresh(count, f"{loop.index.hint}t"), ZERO, count, ())


def _within(loop: For, block: Index, length: int, body: Body) -> For:
    """The rounds of the loop in one block."""
    start, stop = (integer(op("add", loop.start, op("mul", Const(length), op("add", block, n)))) for n in (ZERO, ONE))
    return replace(loop, start=start, stop=op("min", loop.stop, stop), body=body)
