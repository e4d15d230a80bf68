"""Sums whose few results read the same elements: all of them in one pass, each in a local of its own.

``d_k[p,q] = sum[h,w] d_y[h,w]*x[h+p,w+q]`` would read ``d_y`` once for each ``p`` and ``q``, and wait for a sum at the
end of each row.  With nine locals every element is read once, and nine sums go on side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, free_indices, identity_of, reads
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import Statement, Store, Update, Var
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower.ranges import bounded_loops, combined, guarded, loops, under
from dlc.compiler.lower.windows import settled

_MOST = 12  # locals: as many vectors as registers hold beside what is read
_FEWEST_TERMS = 64  # of a sum, where the indices have known sizes

Names = Callable[[str], str]


def nest(tensor: Tensor, equation: Equation, value: Reduce, names: Names) -> tuple[Statement, ...]:
    """The loops over the other indices around sums that go on side by side; nothing if there are no such sums."""
    taps = _taps(equation, value)
    if not taps:
        return ()
    conditions, body = guarded(value)
    around, left = bounded_loops(value.indices, conditions)
    neutral = identity_of(value.op, value.body.type)
    before: list[Statement] = []
    inner: list[Statement] = []
    after: list[Statement] = []
    for place in product(*(range(known(index.size) or 0) for index in taps)):
        numbers: dict[Expr, Expr] = {index: Const(n) for index, n in zip(taps, place, strict=True)}
        total = Read(names(tensor.id), (), value.type)
        before.append(Var(total.tensor, neutral))
        inner.append(Update(total.tensor, combined(value.op, total, settled(body, numbers))))
        after.append(Store(tensor.id, tuple(substitute(s, numbers) for s in equation.subscripts), total))
    others = [index for index in equation.indices if index not in taps]
    return loops(others, (*before, *around(under(left, tuple(inner))), *after))


def _taps(equation: Equation, value: Reduce) -> list[Index]:
    """The free indices that are written out: those that move windows, from the last on, as many as registers allow."""
    if value.op != "sum" or _volume(value.indices) < _FEWEST_TERMS:
        return []
    conditions, body = guarded(value)
    sizes = [one.size for one in (*value.indices, *equation.indices)]
    fixed = {index for part in (*conditions, *sizes) for index in free_indices(part)}
    found: list[Index] = []
    count = 1
    for index in reversed(equation.indices):
        extent = known(index.size)
        if extent is None or extent < 2 or index in fixed or not _moves_a_window(index, value.indices, body):
            continue
        if count * extent > _MOST:
            break
        found.insert(0, index)
        count *= extent
    return found


def _moves_a_window(index: Index, summed: Sequence[Index], body: Expr) -> bool:
    """Whether the index stands in sums with summed ones, and nowhere else."""
    places = [s for read in reads(body) for s in read.subscripts if index in free_indices(s)]
    return bool(places) and all(set(free_indices(s)) & set(summed) for s in places)


def _volume(indices: Sequence[Index]) -> int:
    count = 1
    for index in indices:
        count *= known(index.size) or _FEWEST_TERMS
    return count
