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

Several such loops in one, as in a transposition of several matrices side by side, have all its rounds each to itself.

What is computed of an element that lies crosswise is computed behind its turned copy, which lies in the place of the
result: ``y[j,i] = x[i,j]`` for a block of rows, then ``y[j,i] = tanh(y[j,i])`` in vectors. The copy of a block of rows
is left in one piece, so that the runtime makes it in registers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import integer, known
from dlc.compiler.ir.conditions import certain
from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Index, Read, free_indices, fresh, op, reads, refresh
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, expressions, statements
from dlc.compiler.ir.rewriting import replaced
from dlc.compiler.ir.transpositions import transposition
from dlc.compiler.lower.fusion import Body, renamed

_WIDE = 8  # the ways of a first cache: so many lines of one set are there at a time
_LONG = 64  # rounds of the loop that the lines are kept for
_WORTH = 32  # elements along either loop, if they are known


def by_blocks(body: Body) -> Body:
    """The body with the loops in blocks that cross."""
    return tuple(made for one in body for made in _blocked(one))


def _blocked(statement: Statement) -> Body:
    if isinstance(statement, If):
        return (replace(statement, body=by_blocks(statement.body)),)
    if not isinstance(statement, For):
        return (statement,)
    nest = _nest(statement)
    pair = _crossing(nest)
    if pair is not None:
        return (_in_blocks(nest, pair),)
    alone = [replace(statement, body=(one,)) for one in statement.body]
    if len(alone) > 1 and any(_crossing(_nest(one)) is not None for one in alone) and _go_alone(statement):
        return by_blocks(tuple(alone))
    return (replace(statement, body=by_blocks(statement.body)),)


def _in_blocks(nest: Sequence[For], pair: int) -> For:
    outer, inner = nest[pair], nest[-1]
    length, width = _block(outer, _LONG), _block(inner, _WIDE)
    turned, rest = _turned_first(outer, inner)
    whole = _within(outer, length.index, _LONG, (replace(inner, body=turned),))
    body: Body = (whole,)
    if transposition(whole) is None:
        body = (replace(width, body=(replace(whole, body=(_within(inner, width.index, _WIDE, turned),)),)),)
    if rest:
        row = {outer.index: refresh(outer.index), inner.index: refresh(inner.index)}
        body += renamed((_within(outer, length.index, _LONG, (replace(inner, body=rest),)),), row)
    for loop in reversed((*nest[:pair], length, *nest[pair + 1 : -1])):
        body = (replace(loop, body=body),)
    (made,) = body
    assert isinstance(made, For)
    return made


def _go_alone(loop: For) -> bool:
    """Whether the loops within may each have all the rounds of this one to itself, one after the other."""
    inner = [within for one in loop.body if isinstance(one, For) for within in statements(one.body)]
    if not all(isinstance(one, For) for one in loop.body) or not all(isinstance(one, For | Store) for one in inner):
        return False
    return _are_apart([loop], inner, list(_accesses(inner)))


def _turned_first(outer: For, inner: For) -> tuple[Body, Body]:
    """What is done in blocks, and what is done of it in rows: all and nothing, unless one element lies crosswise that
    something is computed of. Its place is a result that nothing else needs, which is then stored last.
    """
    stores = [one for one in inner.body if isinstance(one, Store)]
    found = {read for one in stores for read in reads(one.value)}
    turned = [read for read in found if _lies_crosswise(read.subscripts, outer.index, inner.index)]
    kept = {read.tensor for read in found}
    places = [one for one in stores if one.buffer not in kept and one.value.type == "real"]
    if len(stores) < len(inner.body) or len(turned) != 1 or turned[0].type != "real" or not places:
        return inner.body, ()
    place = places[0]
    copy = replace(place, value=turned[0])
    if stores == [copy] or not _beside(place.subscripts[-1], inner.index, [inner.index]):
        return inner.body, ()
    if not any(turned[0] in certain(one.value) for one in stores):
        return inner.body, ()  # it may be in range only where it is needed
    here: dict[Expr, Expr] = {turned[0]: Read(place.buffer, place.subscripts, "real")}
    rest = [one for one in stores if one is not place] + [place] * (place != copy)
    return (copy,), tuple(replace(one, value=replaced(one.value, here)) for one in rest)


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
    along = any(_beside(subscripts[-1], inner.index, [inner.index]) for _, subscripts in accesses)
    for number, outer in enumerate(around):
        crosswise = any(_lies_crosswise(subscripts, outer.index, inner.index) for _, subscripts in accesses)
        bounds = [bound for loop in nest[number:] for bound in (loop.start, loop.stop)]
        is_box = not any(loop.index in free_indices(bound) for loop in nest[number:] for bound in bounds)
        is_long = all((known(loop.index.size) or _WORTH) >= _WORTH for loop in (outer, inner))
        if along and crosswise and is_long and is_box and _are_apart(nest[number:], inner.body, accesses):
            return number
    return None


def _lies_crosswise(subscripts: Sequence[Expr], outer: Index, inner: Index) -> bool:
    return bool(subscripts) and outer in free_indices(subscripts[-1]) and _is_among(inner, subscripts[:-1])


def _is_among(index: Index, subscripts: Sequence[Expr]) -> bool:
    return any(index in free_indices(subscript) for subscript in subscripts)


def _accesses(body: Iterable[Statement]) -> Iterator[tuple[str, tuple[Expr, ...]]]:
    for statement in body:
        if isinstance(statement, Store):
            yield statement.buffer, statement.subscripts
        yield from ((read.tensor, read.subscripts) for read in reads(*expressions(statement)) if read.subscripts)


def _are_apart(
    nest: Sequence[For], body: Iterable[Statement], accesses: Sequence[tuple[str, tuple[Expr, ...]]]
) -> bool:
    """Whether no round touches what another one writes: all that touches such a buffer is at a place of its own."""
    written = {one.buffer for one in body if isinstance(one, Store)}
    touched = {name: [subscripts for buffer, subscripts in accesses if buffer == name] for name in written}
    return all(_is_own(loop.index, places, nest) for loop in nest for places in touched.values())


def _is_own(index: Index, places: Sequence[tuple[Expr, ...]], nest: Sequence[For]) -> bool:
    """Whether one axis has the same subscript everywhere: the index, and what all rounds have in common."""
    moving = [loop.index for loop in nest]
    return any(
        all(place is axis[0] for place in axis) and _beside(axis[0], index, moving)
        for axis in zip(*places, strict=True)
    )


def _beside(subscript: Expr, index: Index, moving: Sequence[Index]) -> bool:
    """Whether the subscript is the index, and what none of those that move is part of."""
    if index not in free_indices(subscript):
        return False
    return set(moving).isdisjoint(free_indices(integer(op("add", subscript, op("neg", index)))))


def _block(loop: For, length: int) -> For:
    """The loop over the blocks of another one."""
    count = op("floordiv", integer(op("add", loop.length, Const(length - 1))), Const(length))
    return For(fresh(count, f"{loop.index.hint}t"), ZERO, count, ())


def _within(loop: For, block: Index, length: int, body: Body) -> For:
    """The rounds of the loop in one block."""
    start, stop = (integer(op("add", loop.start, op("mul", Const(length), op("add", block, n)))) for n in (ZERO, ONE))
    return replace(loop, start=start, stop=op("min", loop.stop, stop), body=body)
