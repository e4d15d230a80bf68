"""What every round of a loop fills with a number, and then writes to at the same places, is filled once, before all.

::

    for c < |C|                                      for h < |H| + 2
        for h < |H| + 2                                  for w < |W| + 2
            for w < |W| + 2                                  z[h,w] = 0
                z[h,w] = 0                           for c < |C|
            for w in 1 .. |W| + 1 if 0 < h <= |H|        for h < |H| + 2
                z[h,w] = x[c,h-1,w-1]                        for w in 1 .. |W| + 1 if 0 < h <= |H|
        ..                                                       z[h,w] = x[c,h-1,w-1]
                                                         ..

So are the borders that small windows read: of small images, filling all rows of a plane takes as long as copying them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from dlc.compiler.ir.expr import Const, Expr, Index, free_indices, reads, refresh
from dlc.compiler.ir.loops import SHARD, Buffer, For, If, Statement, Store, expressions, statements
from dlc.compiler.lower.fusion import Body, renamed, touches, writes

Around = tuple[For | If, ...]


def filled_once(body: Body, buffers: Mapping[str, Buffer]) -> Body:
    """The body with such fills in front of its loops."""
    made: list[Statement] = []
    for statement in body:
        if isinstance(statement, For | If):
            statement = replace(statement, body=filled_once(statement.body, buffers))
        if isinstance(statement, For):
            fills, statement = _apart(statement, buffers)
            made += fills
        made.append(statement)
    return tuple(made)


def _apart(loop: For, buffers: Mapping[str, Buffer]) -> tuple[Body, For]:
    """The fills that may stand in front of the loop, and the loop without them."""
    fills: list[Statement] = []
    for name in _filled(loop.body):
        if buffers[name].role != "workspace" or not _repeats(loop, name):
            continue
        for fill in _kept(loop.body, partial(_fills, name=name)):
            indices = {one.index: refresh(one.index) for one in statements((fill,)) if isinstance(one, For)}
            fills += renamed((fill,), indices)
        loop = replace(loop, body=_kept(loop.body, lambda one, name=name: not _fills(one, name)))
    return tuple(fills), loop


def _filled(body: Body) -> dict[str, None]:
    """The buffers that some statement stores a number in."""
    return {one.buffer: None for one in statements(body) if isinstance(one, Store) and isinstance(one.value, Const)}


def _fills(statement: Statement, name: str) -> bool:
    return isinstance(statement, Store) and statement.buffer == name and isinstance(statement.value, Const)


def _repeats(loop: For, name: str) -> bool:
    """Whether every round writes to the same places of the buffer, a number first, before it reads any."""
    writing = [one for one in loop.body if name in writes((one,))]
    reading = [n for n, one in enumerate(loop.body) if name in touches((one,)) and one not in writing]
    last = max(n for n, one in enumerate(loop.body) if one in writing)
    if any(n < last for n in reading) or not reading:
        return False
    found = [each for one in writing for each in _accesses(one, name)]
    fills = [_fills(store, name) for _, store in found]
    return (
        fills == sorted(fills, reverse=True)
        and _keep_apart(found)
        and all(_is_same(around, store, loop, name) for around, store in found)
    )


def _accesses(statement: Statement, name: str, around: Around = ()) -> Iterator[tuple[Around, Statement]]:
    """What writes to the buffer or reads it below the statement, with the loops and conditions around it."""
    if isinstance(statement, For | If):
        for one in statement.body:
            yield from _accesses(one, name, (*around, statement))
    elif name in touches((statement,)):
        yield around, statement


def _is_same(around: Around, store: Statement, loop: For, name: str) -> bool:
    """Whether it writes to places, and something, that depend neither on what the buffer holds nor, the places, on the
    round or on data.
    """
    if not isinstance(store, Store) or any(read.tensor == name for e in expressions(store) for read in reads(e)):
        return False
    told: list[Expr] = [*store.subscripts]
    for one in around:
        told += [one.cond] if isinstance(one, If) else [one.start, one.stop]
    if any(read is not SHARD for read in reads(*told)):
        return False
    return loop.index not in {index for e in told for index in free_indices(e)}


def _keep_apart(found: Sequence[tuple[Around, Statement]]) -> bool:
    """Whether each round of the loops around has places of its own, so that it does not matter in what order rounds
    fill and write.
    """
    axes: dict[Index, int] = {}
    for around, store in found:
        subscripts = store.subscripts if isinstance(store, Store) else ()
        for index in (one.index for one in around if isinstance(one, For)):
            if index not in subscripts or axes.setdefault(index, axis := subscripts.index(index)) != axis:
                return False
    return True


def _kept(body: Body, is_kept: Callable[[Statement], bool]) -> Body:
    """The body without what is not kept of it, and without loops around nothing."""
    made: list[Statement] = []
    for one in body:
        if not isinstance(one, For | If):
            made += (one,) if is_kept(one) else ()
        elif inside := _kept(one.body, is_kept):
            made.append(replace(one, body=inside))
    return tuple(made)
