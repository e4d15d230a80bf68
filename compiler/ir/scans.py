"""Loops along a row in which every element is the one before and something else, ``y[t+1] = y[t] + x[t]``.

They are loops like others to everything that reads them; what writes them out may have the runtime combine many
elements at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.compiler.ir.affine import equal, integer, known, polynomial
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, free_indices, op, reads
from dlc.compiler.ir.loops import For, Store
from dlc.compiler.ir.rewriting import substitute

#: Elements that are too few for a vector.
_FEW = 8
_OPERATORS = {"add": "sum", "mul": "prod", "max": "max", "min": "min"}


@dataclass(frozen=True)
class Scan:
    """``operator`` (sum, prod, max or min) of the ``value`` and the element before, or behind it if it ``descends``."""

    loop: For
    store: Store
    operator: str
    value: Expr
    descends: bool

    @property
    def first(self) -> list[Expr]:
        """The subscripts of the first element in memory."""
        place = op("add", self.loop.stop, Const(-1)) if self.descends else self.loop.start
        return [integer(substitute(subscript, {self.loop.index: place})) for subscript in self.store.subscripts]


def scan(loop: For) -> Scan | None:
    """The loop as one of these, if it is one of some size."""
    (store, *others) = loop.body
    if others or not isinstance(store, Store) or not isinstance(store.value, Op) or store.value.type != "real":
        return None
    if store.value.name not in _OPERATORS or not store.subscripts:
        return None
    *row, last = store.subscripts
    step = _step(last, loop.index)
    if step is None or any(loop.index in free_indices(subscript) for subscript in row):
        return None
    before = op("add", last, Const(-step))
    own = [arg for arg in store.value.args if isinstance(arg, Read) and arg.tensor == store.buffer]
    rest = [arg for arg in store.value.args if arg not in own]
    if len(own) != 1 or list(own[0].subscripts[:-1]) != row or not equal(own[0].subscripts[-1], before):
        return None
    if len(rest) != len(store.value.args) - 1 or any(read.tensor == store.buffer for read in reads(*rest)):
        return None
    value = rest[0] if len(rest) == 1 else op(store.value.name, *rest)
    found = Scan(loop, store, _OPERATORS[store.value.name], value, step < 0)
    return None if (known(found.loop.length) or _FEW) < _FEW else found


def _step(subscript: Expr, index: Index) -> int | None:
    """1 or -1 where the subscript goes up or down by one from round to round."""
    parts = polynomial(subscript).split(index)
    factor = parts[0].value if parts is not None else None
    return factor if factor in (1, -1) else None
