"""Sums over an axis that lies side by side in memory: a transposed copy puts their results side by side.

::

    y[i,j] = sum[d] (x[i,d] - z[j,d])^2        z.packed[d,j] = z[j,d]
                                               y[i,j] = sum[d] (x[i,d] - z.packed[d,j])^2

A sum over ``d`` in vectors ends in adding up the numbers of one vector, for every ``i`` and ``j``.  With the copy all
``j`` of a row are added up at once, and what is computed of a row of sums is computed in vectors too.  It is made where
every element is read for many ``i``.

Left out: products, which are for tiles (``contractions.py``), and what a condition keeps in range: it would be copied
as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.compiler.ir.affine import equal, known
from dlc.compiler.ir.expr import Expr, Index, Read, Reduce, free_indices, reads
from dlc.compiler.ir.graph import Equation
from dlc.compiler.lower.nests import is_unit, volume

_REDUCTIONS = frozenset({"sum", "prod", "max", "min"})
_POSITIONS = frozenset({"argmax", "argmin"})  # a vector of them finds nothing: there is no cheap end
_OFTEN = 16  # times that a copied element is read
_WIDE = 16  # results side by side
_LONG = 256  # terms of a sum that make its end cheap


def transposed(equation: Equation, sizes: Mapping[str, Sequence[Expr]]) -> dict[Read, tuple[Index, ...]]:
    """The reads that go through rows of memory with the last free index, each with its axes as they should lie;
    ``sizes`` are those of the tensors that it reads.
    """
    value = equation.value
    if not isinstance(value, Reduce) or value.op not in _REDUCTIONS | _POSITIONS or not equation.is_whole:
        return {}
    if value.body.type != "real" or len(equation.indices) < 2 or len(value.indices) != 1:
        return {}
    last, (inner,) = equation.indices[-1], value.indices
    if (known(last.size) or _WIDE) < _WIDE or (value.op in _REDUCTIONS and (known(inner.size) or 0) > _LONG):
        return {}
    found: dict[Read, tuple[Index, ...]] = {}
    for read in reads(value.body):
        if last not in free_indices(read) or is_unit(read, last):
            continue
        axes = tuple(one for one in read.subscripts if isinstance(one, Index) and one is not last)
        rest = [index for index in equation.indices if index not in free_indices(read)]
        is_matrix = last in read.subscripts and len(axes) == len(read.subscripts) - 1 == len(set(axes))
        pairs = zip(read.subscripts, sizes[read.tensor], strict=False)
        is_matrix = is_matrix and all(isinstance(one, Index) and equal(one.size, size) for one, size in pairs)
        if not is_matrix or axes[-1:] != (inner,) or read.type != "real" or volume(rest) < _OFTEN:
            return {}
        found[read] = (*axes, last)
    return found
