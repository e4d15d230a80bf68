"""Windows of four rows at a time: their sums go on side by side, and what they have in common is read once.

::

    for u < 30                                     for u4 < 8
        for v < |V|                                    first = min(4*u4, 26)
            s = k[0]*x[u,v]                            for v < |V|
            s += k[1]*x[u+1,v]                             s0 = k[0]*x[first,v]
            ..                                             ..
            y[u,v] = s                                     s3 = k[0]*x[first+3,v]
                                                           s0 += k[1]*x[first+1,v]
                                                           ..
                                                           y[first+3,v] = s3

A sum of many terms waits at each for the one before, and a row of an image is too short for other sums to go on
meanwhile. The last rows begin early, which computes some of them twice; fewer than four rows, where their number is
open, go one by one.

Left out: rows that are shared out, which would be computed otherwise for another number of threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import integer, known, step_of
from dlc.compiler.ir.expr import (
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Select,
    free_indices,
    fresh,
    op,
    reads,
    refresh,
    walk,
)
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var, expressions
from dlc.compiler.ir.rewriting import replaced, substitute, transform
from dlc.compiler.lower.fusion import Body, renamed

_MOST = 4  # rows: as many sums as make up for the time that one addition takes
_FEWEST_TERMS = 6  # of a sum
_FEWEST = 16  # elements of a row: two vectors
_MANY_TERMS, _FEWEST_OF_MANY = 36, 8  # terms for which one vector is enough, or a length that is not known

Names = Callable[[str], str]


def with_rows_abreast(body: Body, names: Names) -> Body:
    """The body with the loops over rows of windows that go on for several rows at once."""
    return tuple(made for one in body for made in _statements(one, names))


def _statements(statement: Statement, names: Names) -> Body:
    if isinstance(statement, If):
        return (replace(statement, body=with_rows_abreast(statement.body, names)),)
    if not isinstance(statement, For):
        return (statement,)
    (inner, *others) = statement.body
    if isinstance(inner, For) and not others and _are_windows(statement, inner):
        return _abreast(statement, inner, names)
    return (replace(statement, body=with_rows_abreast(statement.body, names)),)


def _are_windows(loop: For, inner: For) -> bool:
    """Whether each round of the inner loop adds up a window that moves from row to row."""
    rows, row = known(loop.length), known(inner.length)
    if (rows is not None and rows < 2) or reads(loop.start, loop.stop):
        return False
    if loop.index in free_indices(op("add", inner.start, inner.stop)) or not _keep_apart(inner.body, loop.index):
        return False
    terms = max((_terms(one, inner.body, loop.index) for one in inner.body if isinstance(one, Var)), default=0)
    if terms >= _MANY_TERMS:
        return row is None or row >= _FEWEST_OF_MANY
    return terms >= _FEWEST_TERMS and row is not None and row >= _FEWEST


def _keep_apart(body: Body, row: Index) -> bool:
    """Whether a row stores elements of its own alone, changes nothing else, and reads nothing that is stored."""
    own = {one.name for one in body if isinstance(one, Let | Var)}
    stores = [one for one in body if isinstance(one, Store)]
    read = {found.tensor for one in body for e in expressions(one) for found in reads(e)}
    if not all(isinstance(one, Let | Var | Store) or (isinstance(one, Update) and one.name in own) for one in body):
        return False
    if not stores or any(one.buffer in read for one in stores):
        return False
    for store in stores:
        moving = [subscript for subscript in store.subscripts if row in free_indices(subscript)]
        if len(moving) != 1 or step_of(moving[0], row) is None or set(free_indices(moving[0])) != {row}:
            return False
    return True


def _terms(total: Var, body: Body, row: Index) -> int:
    """How many terms are added to the local one after the other, if they are read in several rows of one tensor and the
    next row reads the same ones and one more: where windows move in steps, they have less in common.
    """
    local = Read(total.name, (), "real")
    steps = [one for one in body if isinstance(one, Update) and one.name == total.name]
    if not all(isinstance(one.value, Op) and local in one.value.args for one in steps):
        return 0
    nodes = [node for one in (total, *steps) for node in walk(one.value)]
    if any(isinstance(node, Select) for node in nodes):
        return 0
    places: set[tuple[str, Expr]] = set()
    for one in (node for node in nodes if isinstance(node, Read)):
        moving = [subscript for subscript in one.subscripts if row in free_indices(subscript)]
        if any((step_of(subscript, row) or (0,))[0] not in (1, -1) for subscript in moving):
            return 0
        places.update((one.tensor, subscript) for subscript in moving)
    return len(steps) + 1 if len({name for name, _ in places}) < len(places) else 0


def _abreast(loop: For, inner: For, names: Names) -> Body:
    rows = known(loop.length)
    if rows is None:
        are_enough = op("le", Const(_MOST), loop.length)
        count = Select(
            are_enough, integer(op("floordiv", op("add", loop.length, Const(_MOST - 1)), Const(_MOST))), ZERO
        )
        block = fresh(count, f"{loop.index.hint}{_MOST}")
        first = op("min", op("mul", Const(_MOST), block), integer(op("add", loop.length, Const(-_MOST))))
        many = _block(loop, inner, block, first, _MOST, names)
        few = replace(loop, stop=Select(are_enough, loop.start, loop.stop))
        return many, *renamed((few,), {index: refresh(index) for index in (loop.index, inner.index)})
    abreast = min(range(2, _MOST + 1), key=lambda number: (-(-rows // number) * (number + 1), -number))
    block = fresh(Const(-(-rows // abreast)), f"{loop.index.hint}{abreast}")
    first = op("mul", Const(abreast), block)
    if rows % abreast:
        first = op("min", first, Const(rows - abreast))
    return (_block(loop, inner, block, first, abreast, names),)


def _block(loop: For, inner: For, block: Index, first: Expr, abreast: int, names: Names) -> For:
    """So many rows from the first one of a block on."""
    start = Read(names(f"{loop.index.hint}.first"), (), "int")
    ways = [_Row(loop.index, integer(op("add", start, Const(number))), {}, names) for number in range(abreast)]
    steps = [way.at(one) for one in inner.body if not isinstance(one, Store) for way in ways]
    stores = [way.at(one) for way in ways for one in inner.body if isinstance(one, Store)]
    along = replace(inner, body=_reading_once([*steps, *stores], names))
    return For(block, ZERO, block.size, (Let(start.tensor, integer(op("add", loop.start, first))), along))


def _reading_once(body: Sequence[Statement], names: Names) -> Body:
    """The statements with a local for each element that several of them read; none of them stores what is read."""
    uses = Counter(read for one in body for read in set(reads(*_values(one))) if read.subscripts)
    own: dict[Expr, Expr] = {}
    made: list[Statement] = []
    for one in body:
        for read in reads(*_values(one)):
            if uses[read] > 1 and read not in own:
                local = Read(names(read.tensor), (), read.type)
                made.append(Let(local.tensor, read))
                own[read] = local
        assert isinstance(one, Let | Var | Update | Store)
        made.append(replace(one, value=replaced(one.value, own)))
    return tuple(made)


def _values(statement: Statement) -> tuple[Expr, ...]:
    assert isinstance(statement, Let | Var | Update | Store)
    return (statement.value,)


class _Row:
    """What a row computes, with locals of its own."""

    def __init__(self, index: Index, place: Expr, own: dict[str, str], names: Names) -> None:
        self.index, self.place, self.own, self.names = index, place, own, names

    def at(self, statement: Statement) -> Statement:
        if isinstance(statement, Let | Var):
            self.own[statement.name] = self.names(statement.name.rpartition(".v")[0] or statement.name)
        if isinstance(statement, Store):
            subscripts = tuple(integer(self._value(subscript)) for subscript in statement.subscripts)
            return replace(statement, subscripts=subscripts, value=self._value(statement.value))
        assert isinstance(statement, Let | Var | Update)
        return replace(statement, name=self.own[statement.name], value=self._value(statement.value))

    def _value(self, value: Expr) -> Expr:
        locals_ = {
            one: Read(self.own[one.tensor], (), one.type)
            for one in reads(value)
            if not one.subscripts and one.tensor in self.own
        }
        changes: dict[Expr, Expr] = {self.index: self.place}
        return transform(substitute(replaced(value, {**locals_}), changes), _normal)


def _normal(node: Expr) -> Expr | None:
    return Read(node.tensor, tuple(map(integer, node.subscripts)), node.type) if isinstance(node, Read) else None
