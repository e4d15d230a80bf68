"""Loops that copy every second element of a row, or the like, ``y[i] = x[2*i + 1]``.

They are loops like others to everything that reads them; what writes them out may have the runtime do it in vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.ir.affine import integer, known, step_of
from dlc.compiler.ir.expr import Expr, Read, free_indices
from dlc.compiler.ir.loops import For, Store
from dlc.compiler.ir.rewriting import substitute

_FEW = 4  # elements: as many are copied one by one
_LONGEST_STEP = 4  # elements: further apart, a vector is put together from too many


@dataclass(frozen=True)
class StridedCopy:
    loop: For
    store: Store
    source: Read
    step: int

    def start(self, subscripts: Sequence[Expr]) -> list[Expr]:
        """Where the first element stands."""
        return [integer(substitute(subscript, {self.loop.index: self.loop.start})) for subscript in subscripts]


def strided_copy(loop: For) -> StridedCopy | None:
    """The loop as such a copy, if it is one of some length."""
    (store, *others) = loop.body
    if others or not isinstance(store, Store) or not isinstance(source := store.value, Read):
        return None
    if source.type != "real" or source.tensor == store.buffer or not source.subscripts or not store.subscripts:
        return None
    if any(loop.index in free_indices(one) for one in (*store.subscripts[:-1], *source.subscripts[:-1])):
        return None
    written, read = (step_of(one[-1], loop.index) for one in (store.subscripts, source.subscripts))
    if written is None or written[0] != 1 or read is None or not 1 < read[0] <= _LONGEST_STEP:
        return None
    length = known(loop.length)
    return StridedCopy(loop, store, source, read[0]) if length is None or length >= _FEW else None
