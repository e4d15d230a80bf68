"""Loops that copy a matrix with rows and columns exchanged, ``y[j,i] = x[i,j]``.

They are loops like others to everything that reads them; what writes them out may have the runtime do it in squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.ir.affine import integer, known
from dlc.compiler.ir.expr import Const, Expr, Index, Read, free_indices, op
from dlc.compiler.ir.loops import For, Store
from dlc.compiler.ir.rewriting import substitute

#: Rows and columns that are too few for a square.
_FEW = 8


@dataclass(frozen=True)
class Transposition:
    """``rows`` moves along an axis of the target, ``columns`` along its last one; in the source the other way round."""

    rows: For
    columns: For
    store: Store
    source: Read

    def start(self, subscripts: Sequence[Expr]) -> list[Expr]:
        """Where the first element stands."""
        first = {loop.index: loop.start for loop in (self.rows, self.columns)}
        return [integer(substitute(subscript, first)) for subscript in subscripts]

    @property
    def extents(self) -> list[Expr]:
        return [loop.length for loop in (self.rows, self.columns)]

    def steps(self, target: Sequence[Expr], source: Sequence[Expr]) -> list[Expr]:
        """How far the rows of both lie apart, in buffers of these sizes."""
        found = []
        for sizes, subscripts, index in (
            (target, self.store.subscripts, self.rows.index),
            (source, self.source.subscripts, self.columns.index),
        ):
            axis = next(n for n, subscript in enumerate(subscripts) if index in free_indices(subscript))
            found.append(integer(op("mul", Const(1), *sizes[axis + 1 :])))
        return found


def transposition(outer: For) -> Transposition | None:
    """The loop as such a copy, if it is one of some size."""
    if len(outer.body) != 1 or not isinstance(inner := outer.body[0], For) or len(inner.body) != 1:
        return None
    (store,) = inner.body
    if not isinstance(store, Store) or not isinstance(store.value, Read) or store.value.type != "real":
        return None
    source = store.value
    if source.tensor == store.buffer or outer.index in free_indices(inner.start) + free_indices(inner.stop):
        return None
    for rows, columns in ((outer, inner), (inner, outer)):
        own, other = rows.index, columns.index
        if _is_row(store.subscripts, own, other) and _is_row(source.subscripts, other, own):
            found = Transposition(rows, columns, store, source)
            few = any((known(extent) or _FEW) < _FEW for extent in found.extents)
            return None if few else found
    return None


def _is_row(subscripts: Sequence[Expr], row: Index, column: Index) -> bool:
    """Whether one axis is `row` and something, the last one `column` and something, and no other has either."""
    if not subscripts or not _is_beside(subscripts[-1], column, row):
        return False
    moving = [one for one in subscripts[:-1] if {row, column} & set(free_indices(one))]
    return len(moving) == 1 and _is_beside(moving[0], row, column)


def _is_beside(subscript: Expr, index: Index, other: Index) -> bool:
    """Whether the subscript is the index, and what neither of the two is part of."""
    if index not in free_indices(subscript):
        return False
    return {index, other}.isdisjoint(free_indices(integer(op("add", subscript, op("neg", index)))))
