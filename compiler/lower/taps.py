"""Sums whose few results read the same elements: all of them in one pass, each in a local of its own.

``d_k[p,q] = sum[h,w] d_y[h,w]*x[h+p,w+q]`` would read ``d_y`` once for each ``p`` and ``q``, and wait for a sum at the
end of each row.  With nine locals every element is read once, and nine sums go on side by side.  Of a kernel whose size
is not known, four elements of a row go on side by side, and what they leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import product

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, free_indices, identity_of, reads, refresh
from dlc.compiler.ir.forms import is_few
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import Statement, Store, Update, Var
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower.fusion import renamed
from dlc.compiler.lower.ranges import bounded_loops, combined, guarded, in_groups, loops, under
from dlc.compiler.lower.windows import settled

_MOST = 12  # locals: as many vectors as registers hold beside what is read
_FEWEST_TERMS = 64  # of a sum, where the indices have known sizes

Names = Callable[[str], str]


def nest(
    tensor: Tensor, equation: Equation, value: Reduce, names: Names, windows: Set[str] = frozenset()
) -> tuple[Statement, ...]:
    """The loops over the other indices around sums that go on side by side; nothing if there are no such sums."""
    taps = _taps(equation, value)
    if taps:
        places = product(*(range(known(index.size) or 0) for index in taps))
        numbers = [dict(zip(taps, map(Const, place), strict=True)) for place in places]
        others = [index for index in equation.indices if index not in taps]
        return loops(others, _side_by_side(tensor, equation, value, names, numbers))
    *others, last = equation.indices or (None,)
    if last is None or not is_few(last, windows) or not _is_a_tap(last, equation, value):
        return ()

    def some(places: Sequence[Expr]) -> tuple[Statement, ...]:
        found = _side_by_side(tensor, equation, value, names, [{last: place} for place in places])
        return renamed(found, {index: refresh(index) for index in value.indices})

    return loops(others, in_groups(last, some))


def _side_by_side(
    tensor: Tensor, equation: Equation, value: Reduce, names: Names, taps: Iterable[Mapping[Index, Expr]]
) -> tuple[Statement, ...]:
    """The sums for these places of the indices that are written out, in one pass."""
    conditions, body = guarded(value)
    around, left = bounded_loops(value.indices, conditions)
    neutral = identity_of(value.op, value.body.type)
    before: list[Statement] = []
    inner: list[Statement] = []
    after: list[Statement] = []
    for place in taps:
        numbers: dict[Expr, Expr] = {**place}
        total = Read(names(tensor.id), (), value.type)
        before.append(Var(total.tensor, neutral))
        inner.append(Update(total.tensor, combined(value.op, total, settled(body, numbers))))
        after.append(Store(tensor.id, tuple(substitute(s, numbers) for s in equation.subscripts), total))
    return (*before, *around(under(left, tuple(inner))), *after)


def _taps(equation: Equation, value: Reduce) -> list[Index]:
    """The free indices that are written out: those that move windows, from the last on, as many as registers allow."""
    found: list[Index] = []
    count = 1
    for index in reversed(equation.indices):
        extent = known(index.size)
        if extent is None or extent < 2 or not _is_a_tap(index, equation, value):
            continue
        if count * extent > _MOST:
            break
        found.insert(0, index)
        count *= extent
    return found


def _is_a_tap(index: Index, equation: Equation, value: Reduce) -> bool:
    """Whether the free index moves windows over which a long sum runs, and no condition or size asks for it."""
    if value.op != "sum" or _volume(value.indices) < _FEWEST_TERMS:
        return False
    conditions, body = guarded(value)
    sizes = [one.size for one in (*value.indices, *equation.indices)]
    fixed = {index for part in (*conditions, *sizes) for index in free_indices(part)}
    return index not in fixed and _moves_a_window(index, value.indices, body)


def _moves_a_window(index: Index, summed: Sequence[Index], body: Expr) -> bool:
    """Whether the index stands in sums with summed ones, and nowhere else but in remainders by numbers beside them."""
    places = [s for read in reads(body) for s in read.subscripts if index in free_indices(s) and not _is_remainder(s)]
    return bool(places) and all(set(free_indices(s)) & set(summed) for s in places)


def _is_remainder(subscript: Expr) -> bool:
    if not isinstance(subscript, Op) or subscript.name != "mod":
        return False
    return isinstance(subscript.args[0], Index) and known(subscript.args[1]) is not None


def _volume(indices: Sequence[Index]) -> int:
    count = 1
    for index in indices:
        count *= known(index.size) or _FEWEST_TERMS
    return count
