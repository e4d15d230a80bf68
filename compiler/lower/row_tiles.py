"""Tiles of rows: where every row of a kernel goes through one and the same matrix, four of them go through it together.

::

    for n in start .. stop                      for n4 in start//4 .. (stop + 3)//4
        for m < |M|                                 for n in 4*n4 .. 4*n4 + 4, within start .. stop
            s[m] = 0                                    for m < |M|
        for d < |D|                                         s[n - 4*n4,m] = 0
            for m < |M|                             for d4 < |D|//4
                s[m] += (x[n,d] - y[d,m])^2             for m < |M|
        for m < |M|                                         s[0,m] += (x[4*n4,4*d4] - y[4*d4,m])^2 + ..
            .. s[m] ..                                      s[1,m] += (x[4*n4 + 1,4*d4] - y[4*d4,m])^2 + ..
                                                            ..
                                                    for n in 4*n4 .. 4*n4 + 4, within start .. stop
                                                        for m < |M|
                                                            .. s[n - 4*n4,m] ..

What is read of the matrix serves four rows, and four of its rows at a time are added to each: of sums that are no
products, for which the tile of matrix products has no arithmetic, twice as many are added up in the same time.

Tiles begin at multiples of four, whatever part of the rows a shard has, so that the same instructions compute an
element for any number of threads. Where a part begins or ends inside a tile, some of its rows are computed for nobody.

Left out: rows that need what another row computes, and sums whose range is another one for every row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from dlc.compiler.ir.affine import guessed, integer, known
from dlc.compiler.ir.expr import ZERO, Const, Expr, Index, Read, free_indices, fresh, op, reads, refresh
from dlc.compiler.ir.loops import (
    SHARD,
    Buffer,
    For,
    If,
    Let,
    Statement,
    Store,
    Update,
    Var,
    expressions,
    statements,
)
from dlc.compiler.ir.rewriting import replaced, substitute
from dlc.compiler.lower.fusion import Body, accesses, mapped, renamed, touches, writes
from dlc.compiler.lower.kernels import a_piece_each
from dlc.compiler.lower.unroll_and_jam import abreast, adds_rows

_ROWS = 4  # of a tile
_FEW = 8  # rows that are no tiles
_SMALL = 1024  # elements of a matrix that is read as quickly for every row

Names = Callable[[str], str]


@dataclass
class _Tiling:
    """``private`` are the buffers that nobody touches but this kernel."""

    whole: Body
    private: set[str]
    is_split: bool
    buffers: dict[str, Buffer]
    names: Names
    fresh_id: Names

    def body(self, body: Body) -> Body:
        return tuple(self._statement(one) for one in body)

    def _statement(self, statement: Statement) -> Statement:
        if not isinstance(statement, For | If):
            return statement
        made = self._tiled(statement) if isinstance(statement, For) else None
        return made or replace(statement, body=self.body(statement.body))

    def _tiled(self, loop: For) -> For | None:
        """The loop over rows with a loop over tiles of them in its place."""
        if not any(_is_shared(one, loop) for one in loop.body) or not _is_plain(loop):
            return None
        made: dict[str, Buffer] = {}
        loop = replace(loop, body=tuple(part for one in loop.body for part in self._apart(one, loop, made)))
        sums = [one for one in loop.body if isinstance(one, For) and _is_shared(one, loop)]
        units = _units(loop.body, sums)
        slotted = self._slotted(loop, units, sums, made)
        if slotted is None:
            return None
        self.buffers.update(made)
        for name, axis in slotted.items():
            old = self.buffers[name]
            self.buffers[name] = replace(old, sizes=(*old.sizes[:axis], Const(_ROWS), *old.sizes[axis:]))
        return _Tile(loop, slotted, self.names).of(units, sums)

    def _slotted(
        self, loop: For, units: Sequence[Body], sums: Sequence[For], made: Mapping[str, Buffer]
    ) -> dict[str, int] | None:
        """What has a place for each row of a tile, with the axis of the places; None if rows have to go one by one."""
        found = accesses(loop.body)
        slotted: dict[str, int] = {}
        for name in sorted(writes(loop.body)):
            users = [unit for unit in units if name in touches(unit)]
            if _is_own(found.get(name, ()), loop.index):
                continue
            if name in made or (name in self.private and self._is_of_one_row(name, loop)):
                slotted[name] = int(found[name][0][:1] == (SHARD,))
            elif len(users) > 1 or users[0][0] in sums:
                return None
        return slotted

    def _apart(self, one: Statement, loop: For, made: dict[str, Buffer]) -> Body:
        """A sum in a row of its own, where it would stand in a row of a tensor."""
        if not isinstance(one, For) or not _is_shared(one, loop):
            return (one,)
        inner, store = _inner(one)
        if loop.index not in free_indices(op("add", *store.subscripts)):
            return (one,)
        lead, sizes = a_piece_each((inner.index.size,)) if self.is_split else ((), (inner.index.size,))
        name = self.fresh_id(f"{store.buffer}.tile")
        made[name] = Buffer(name, sizes, "real", "workspace")
        old, new = (Read(store.buffer, store.subscripts, "real"), Read(name, (*lead, inner.index), "real"))
        into, back = Store(name, new.subscripts, old), replace(store, value=new)
        copies = [
            renamed((replace(inner, body=(copy,)),), {inner.index: refresh(inner.index)}) for copy in (into, back)
        ]
        value = replaced(store.value, {old: new})
        return *copies[0], replace(one, body=(replace(inner, body=(Store(name, new.subscripts, value),)),)), *copies[1]

    def _is_of_one_row(self, name: str, loop: For) -> bool:
        """Whether a buffer has what one row needs until the next one begins: nothing else touches it, and each row
        begins by filling it.
        """
        inside = _touching(loop.body, name)
        if len(inside) < len(_touching(self.whole, name)):
            return False
        first = inside[0]
        fills = isinstance(first, Store) and name not in {read.tensor for read in reads(*expressions(first))}
        places = accesses(loop.body)[name]
        return fills and all(places) and len({place[:1] == (SHARD,) for place in places}) == 1


@dataclass
class _Tile:
    """``slotted``: the buffers that have a place for each row of the tile, with the axis of the places."""

    loop: For
    slotted: Mapping[str, int]
    names: Names

    def of(self, units: Sequence[Body], sums: Sequence[For]) -> For:
        loop, names = self.loop, self.names
        row, size = loop.index, loop.index.size
        count = op("floordiv", op("add", size, Const(_ROWS - 1)), Const(_ROWS))
        tile = fresh(count, f"{row.hint}{_ROWS}")
        begin = integer(op("mul", Const(_ROWS), tile))
        first, last = (Read(names(f"{row.hint}.{hint}"), (), "int") for hint in ("first", "last"))
        body: list[Statement] = [
            Let(first.tensor, begin if loop.start is ZERO else op("max", loop.start, begin)),
            Let(last.tensor, op("min", loop.stop, integer(op("add", begin, Const(_ROWS))))),
        ]
        rows = [integer(op("add", begin, Const(number))) for number in range(_ROWS)]
        if (known(size) or 1) % _ROWS:  # the last tile may end behind the last row
            end = integer(op("add", size, Const(-1)))
            within = [Read(names(f"{row.hint}.{number}"), (), "int") for number in range(_ROWS)]
            body += [Let(one.tensor, op("min", place, end)) for one, place in zip(within, rows, strict=True)]
            rows = list(within)
        for unit in units:
            if unit[0] in sums:
                assert isinstance(unit[0], For)
                body += self._summed(unit[0], rows)
                continue
            again = refresh(row)
            slot = integer(op("add", again, op("neg", begin)))
            body.append(For(again, first, last, self._at(unit, again, slot)))
        start = op("floordiv", loop.start, Const(_ROWS))
        stop = op("floordiv", integer(op("add", loop.stop, Const(_ROWS - 1))), Const(_ROWS))
        return For(tile, start, stop, tuple(body))

    def _summed(self, sum_: For, rows: Sequence[Expr]) -> Iterable[Statement]:
        """The sum for all rows of the tile."""
        for loop in abreast(sum_, _inner(sum_)[0]):
            assert isinstance(loop, For) and isinstance(loop.body[0], For)
            across = loop.body[0]
            stores = tuple(one for slot, row in enumerate(rows) for one in self._at(across.body, row, Const(slot)))
            yield replace(loop, body=(replace(across, body=stores),))

    def _at(self, body: Body, row: Expr, slot: Expr) -> Body:
        """The body at a row of the tile."""

        def place(name: str, subscripts: tuple[Expr, ...]) -> tuple[Expr, ...]:
            axis = self.slotted.get(name)
            return subscripts if axis is None else (*subscripts[:axis], slot, *subscripts[axis:])

        def change(expression: Expr) -> Expr:
            slots: dict[Expr, Expr] = {
                read: Read(read.tensor, place(read.tensor, read.subscripts), read.type)
                for read in reads(expression)
                if read.tensor in self.slotted
            }
            return substitute(replaced(expression, slots), {self.loop.index: row})

        def store(statement: Statement) -> Statement:
            if isinstance(statement, For | If):
                return replace(statement, body=tuple(map(store, statement.body)))
            if isinstance(statement, Store):
                return replace(statement, subscripts=place(statement.buffer, statement.subscripts))
            return statement

        return tuple(map(store, mapped(body, change)))


def in_row_tiles(
    body: Body, private: set[str], is_split: bool, buffers: dict[str, Buffer], names: Names, fresh_id: Names
) -> Body:
    """The body of a finished kernel with its rows in tiles where that is worth while."""
    return _Tiling(body, private, is_split, buffers, names, fresh_id).body(body)


def _touching(body: Body, name: str) -> list[Statement]:
    """The statements, without loops around them, that touch the buffer."""
    return [one for one in statements(body) if not isinstance(one, For | If) and name in touches((one,))]


def _inner(sum_: For) -> tuple[For, Store]:
    """The loop along a row to which a loop adds rows, and what it stores."""
    (inner,) = sum_.body
    assert isinstance(inner, For)
    (store,) = inner.body
    assert isinstance(store, Store)
    return inner, store


def _is_plain(loop: For) -> bool:
    """Whether there are rows for a tile, and nothing in the loop but loops and numbers."""
    inside = statements(loop.body)
    return (known(loop.index.size) or _FEW) >= _FEW and all(
        isinstance(one, For | If | Let | Var | Update | Store) for one in inside
    )


def _is_shared(one: Statement, loop: For) -> bool:
    """Whether rows are added to a row, all of them read from what is the same for every row of the loop."""
    if not isinstance(one, For) or len(one.body) != 1 or not isinstance(one.body[0], For):
        return False
    if not adds_rows(one, one.body[0]):
        return False
    inner, store = _inner(one)
    if loop.index in free_indices(op("add", one.start, one.stop, inner.start, inner.stop)):
        return False
    found = [read for read in reads(store.value) if read.subscripts]
    if any(place is not SHARD for read in found for place in reads(*read.subscripts)):
        return False  # beside the rows of a shard there may be anything in the place of a number
    both = {one.index, inner.index}
    others = [read for read in found if loop.index not in free_indices(read) and read.subscripts[0] is not SHARD]
    is_small = prod(guessed(index.size) for index in both) < _SMALL
    return not is_small and any(both <= set(free_indices(read)) for read in others)


def _units(body: Body, sums: Sequence[For]) -> list[Body]:
    """The sums, each by itself, and what stands before, between and behind them."""
    units: list[Body] = []
    for one in body:
        if one in sums or not units or units[-1][0] in sums:
            units.append((one,))
        else:
            units[-1] = (*units[-1], one)
    return units


def _is_own(places: Sequence[tuple[Expr, ...]], row: Index) -> bool:
    """Whether every access stands at the row, along one and the same axis."""
    axes = range(min(map(len, places), default=0))
    return any(all(place[axis] is row for place in places) for axis in axes)
