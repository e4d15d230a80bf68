"""Linear systems: the loops that fill one, the call that solves it, and the loops that hand out the solution.

The indices of the equation are those that the matrix depends on, the others, and the position in the solution. For each
value of the first, the matrix is factorised once, for the right sides of all values of the second together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dlc.compiler.ir.affine import Polynomial, equal, integer, polynomial
from dlc.compiler.ir.expr import ONE, Expr, Index, Read, Solve, free_indices, op, refresh
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import SHARD, SHARDS, START, STOP, For, Statement, Store, System
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower.nests import sizes_product
from dlc.compiler.lower.ranges import loops


class Solving(NamedTuple):
    """``scratch`` are tensors that nothing defines: what the call overwrites.  Shards share the matrices out."""

    body: tuple[Statement, ...]
    scratch: tuple[Tensor, Tensor]
    split: Expr | None
    work: Polynomial


def solving(tensor: Tensor, equation: Equation, value: Solve, fresh_id: Callable[[str], str]) -> Solving:
    used = free_indices(value.matrix)
    systems = tuple(index for index in equation.indices if index in used)
    others = tuple(i for i in equation.indices if i not in used and i is not value.position)
    split = systems[0] if systems and systems[0] is equation.indices[0] else None
    piece: tuple[Expr, ...] = (SHARD,) if split is not None else ()
    body = _one(tensor, equation, value, others, piece, fresh_id)
    statements = loops(systems, body.body)
    if split is not None:
        (outer,) = statements
        assert isinstance(outer, For) and equal(outer.stop, split.size)
        statements = (For(outer.index, START, STOP, outer.body),)
    row, column = value.indices
    cubed = sizes_product((*systems, row, row, column))
    squared = sizes_product((*systems, *others, row, column))
    work = Polynomial.of((*cubed.terms, *squared.terms))
    return Solving(statements, body.scratch, None if split is None else split.size, work)


def _one(
    tensor: Tensor,
    equation: Equation,
    value: Solve,
    others: tuple[Index, ...],
    piece: tuple[Expr, ...],
    fresh_id: Callable[[str], str],
) -> Solving:
    """Everything with one matrix.  LAPACK's matrices are column by column, so rows are the last axis here."""
    row, column = value.indices
    n = row.size
    pieces = (SHARDS,) if piece else ()
    count = integer(op("mul", ONE, *(index.size for index in others)))
    # behind the columns of the matrix there is room for the pivots
    matrix = Tensor(fresh_id(f"{tensor.id}.matrix"), (*pieces, integer(op("add", n, ONE)), n), "real", "computed")
    right = tuple(index.size for index in others)
    sides = Tensor(fresh_id(f"{tensor.id}.sides"), (*pieces, *right, n), "real", "computed")
    again = refresh(row)
    vector = substitute(value.vector, {row: again})
    assert isinstance(value.position, Index)
    found = Read(sides.id, (*piece, *others, value.position), "real")
    body = (
        *loops((column, row), (Store(matrix.id, (*piece, column, row), value.matrix),)),
        *loops((*others, again), (Store(sides.id, (*piece, *others, again), vector),)),
        System(n, count, matrix.id, sides.id, piece),
        *loops((*others, value.position), (Store(tensor.id, equation.subscripts, found),)),
    )
    return Solving(body, (matrix, sides), None, polynomial(ONE))
