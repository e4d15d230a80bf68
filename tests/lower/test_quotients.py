"""Rows that read at a quotient of their index go block by block."""

from __future__ import annotations

import pytest
from building import add, at, given, index, when
from lower.agreement import agreeing, loops_in

from dlc.compiler.ir.affine import integer
from dlc.compiler.ir.expr import Const, Expr, Op, Size, free_indices, op, walk
from dlc.compiler.ir.graph import whole
from dlc.compiler.ir.loops import Program, expressions, statements

B, W = index("b", "B"), index("w", "W")
C = given("c", "B", 4)
BLOCK = op("floordiv", Size("W"), Const(4))


def spread(block: Expr, width: int, *more: Expr) -> Program:
    inside = op("lt", W, integer(op("mul", Const(4), block)))
    value = when(inside, add(at(C, B, op("floordiv", W, block)), *more))
    return agreeing(C, whole("y", (B, W), value), sizes={"B": 3, "W": width})


def quotients(program: Program) -> int:
    """How many are taken of an index."""
    roots = [e for kernel in program.kernels.values() for s in statements(kernel.body) for e in expressions(s)]
    found = (n for n in walk(*roots) if isinstance(n, Op) and n.name in ("floordiv", "mod"))
    return sum(bool(free_indices(n.args[0])) for n in found)


@pytest.mark.parametrize("width", [0, 3, 4, 11, 21])
def test_a_block_after_the_other(width: int) -> None:
    program = spread(BLOCK, width)
    assert loops_in(program)[-2:] == ["w", "w"] and not quotients(program)


def test_what_is_left_within_a_block() -> None:
    program = spread(BLOCK, 22, op("real", op("mod", W, BLOCK)))
    assert loops_in(program)[-2:] == ["w", "w"] and not quotients(program)


def test_blocks_of_two_lengths_stay() -> None:
    assert quotients(spread(BLOCK, 22, at(C, B, op("floordiv", W, op("max", Size("W"), Const(1))))))
