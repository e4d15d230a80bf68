"""Sums of products of two tensors that are matrix products.

``c[..] = sum[K] f*g``: every index stands in a group.  *Batch* indices are free and occur in both factors, the others
that are free belong to one factor, the reduced ones occur in both.  The last axes of ``c`` that belong to one factor
are the columns of the product, the axes before them that belong to the other factor its rows; what is left is looped
over.  Where the factors are read from is decided in ``products.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dlc.compiler.ir.affine import Polynomial
from dlc.compiler.ir.expr import (
    Const,
    Expr,
    Index,
    Read,
    Reduce,
    Select,
    free_indices,
    op,
)
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.products import guarded_product
from dlc.compiler.lower.layouts import Layout, layout
from dlc.compiler.lower.nests import volume
from dlc.compiler.lower.ranges import band, guarded

NeedsMore = Callable[[Expr, Sequence[Expr], Sequence[Expr]], bool]
"""Whether an expression reads in range where all of the second conditions hold, and perhaps not where the first do."""

_BAND = 4  # a product does this many multiplications in the time that a loop needs for one


@dataclass(frozen=True)
class Factor:
    """One factor, the conditions that concern it, and its own free indices (rows or columns)."""

    value: Expr
    own: tuple[Index, ...]


@dataclass(frozen=True)
class Contraction:
    """``rows`` are consecutive axes of the result and of ``left``, ``columns`` of ``right``; ``batch`` the others.
    Where the result has none that lie evenly, there are neither rows nor columns.
    """

    tensor: Tensor
    equation: Equation
    result: Layout
    left: Factor
    right: Factor
    batch: tuple[Index, ...]
    rows: tuple[Index, ...]
    columns: tuple[Index, ...]
    reduced: tuple[Index, ...]

    @property
    def is_even(self) -> bool:
        return bool(self.rows)


def contraction(
    tensor: Tensor,
    equation: Equation,
    needs_more: NeedsMore,
    over: frozenset[Index],
    smallest: int,
) -> Contraction | None:
    """The equation as a matrix product, or None if it is none; in a recurrence at one time, which the indices ``over``
    tell.  One product, for one value of the batch indices, has at least ``smallest`` multiplications: calls for fewer
    take longer than loops.  ``needs_more`` knows what a factor needs to read in range.
    """
    value = equation.value
    if not (isinstance(value, Reduce) and value.op == "sum" and value.type == "real"):
        return None
    factors = _factors(value.body, needs_more, over)
    if factors is None:
        return None
    reduced = set(value.indices)
    free = [set(free_indices(factor)) for factor in factors]
    if not all(reduced <= indices for indices in free):
        return None
    own = [tuple(i for i in equation.indices if i in free[n] and i not in free[1 - n]) for n in (0, 1)]
    if not (own[0] and own[1]):
        return None
    if volume((*own[0], *own[1], *value.indices)) < smallest or _is_banded(value):
        return None
    result = layout(Read(tensor.id, equation.subscripts, "real"), tensor.sizes, over)
    if result is None:
        return None
    last = 0 if equation.indices.index(own[0][-1]) > equation.indices.index(own[1][-1]) else 1
    rows, columns = _evenly(equation.indices, own[1 - last], own[last], result)
    batch = tuple(index for index in equation.indices if index not in (*rows, *columns))
    left, right = Factor(factors[1 - last], own[1 - last]), Factor(factors[last], own[last])
    return Contraction(tensor, equation, result, left, right, batch, rows, columns, value.indices)


def _is_banded(value: Reduce) -> bool:
    """Whether the conditions leave so few values to a reduced index that loops over them do far less work."""
    conditions, _ = guarded(value)
    widths = ((band(index, conditions), volume((index,))) for index in value.indices)
    return any(width is not None and _BAND * width <= extent for width, extent in widths)


def _factors(body: Expr, needs_more: NeedsMore, over: frozenset[Index]) -> tuple[Expr, Expr] | None:
    """The two factors of a product; conditions around it go to the first factor that has their indices, and to the
    other one where it, or a condition of its own, reads out of range without them.
    """
    conditions, factors = guarded_product(body)
    if len(factors) != 2:
        return None
    guarded: list[list[Expr]] = [[], []]
    free = [set(free_indices(factor)) for factor in factors]
    for cond in conditions:
        needed = set(free_indices(cond)) - over
        place = next((n for n in (0, 1) if needed <= free[n]), None)
        if place is None:
            return None
        guarded[place].append(cond)
    for conds, factor, indices in zip(guarded, factors, free, strict=True):
        if any(needs_more(one, conds, conditions) for one in (factor, *conds)):
            conds[:] = [cond for cond in conditions if set(free_indices(cond)) - over <= indices]
            if any(needs_more(one, conds, conditions) for one in (factor, *conds)):
                return None
    pair = [
        Select(op("and", *conds), factor, Const(0.0)) if conds else factor
        for factor, conds in zip(factors, guarded, strict=True)
    ]
    return pair[0], pair[1]


def _evenly(
    indices: tuple[Index, ...], of_left: tuple[Index, ...], of_right: tuple[Index, ...], result: Layout
) -> tuple[tuple[Index, ...], tuple[Index, ...]]:
    """The rows and columns, or neither."""
    columns = _trailing(indices, of_right)
    rows = _last_run(indices[: len(indices) - len(columns)], of_left)
    if not (rows and columns) or volume(rows) < 2 or volume(columns) < 2:
        return (), ()
    if result.stride(rows) is None or not _is_one(result.stride(columns)):
        return (), ()
    return rows, columns


def _trailing(indices: Sequence[Index], group: Sequence[Index]) -> tuple[Index, ...]:
    """The longest run of ``group`` members at the end of ``indices``."""
    count = 0
    while count < len(indices) and indices[len(indices) - 1 - count] in group:
        count += 1
    return tuple(indices[len(indices) - count :])


def _is_one(stride: Polynomial | None) -> bool:
    return stride is not None and stride.value == 1


def _last_run(indices: Sequence[Index], group: Sequence[Index]) -> tuple[Index, ...]:
    """The last run of ``group`` members in ``indices``; others may stand behind it."""
    end = max((n + 1 for n, index in enumerate(indices) if index in group), default=0)
    return _trailing(indices[:end], group)
