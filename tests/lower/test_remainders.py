"""Rows that are no whole number of vectors go block by block, the last block beginning early, and say the same."""

from __future__ import annotations

import pytest
from building import add, at, given, graph, index, mul
from lower.agreement import agree, drawn, loops_in

from dlc.compiler.ir.expr import Const, Expr, Reduce, op
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.lower import lower


def windows(width: int, taps: int = 3, operation: str = "max") -> Graph:
    b, v, p, q = index("b", "B"), index("v", width), index("p", 3), index("q", taps)
    x = given("x", "B", 3, width + taps - 1)
    return graph(x, whole("y", (b, v), Reduce(operation, (p, q), at(x, b, p, add(v, q)))), outputs=["y"], sizes=["B"])


@pytest.mark.parametrize("operation", ["max", "sum", "argmax"])
@pytest.mark.parametrize("width", [9, 13, 28, 31])
def test_windows_of_uneven_rows_go_in_blocks(width: int, operation: str) -> None:
    made = windows(width, operation=operation)
    program = lower({"forward": made})
    assert loops_in(program) == ["b", "block", "v"]
    agree(made, program, drawn(made, {"B": 3}), {"B": 3})


@pytest.mark.parametrize("width", [7, 8, 16, 300])
def test_whole_vectors_and_long_and_short_rows_stay(width: int) -> None:
    assert loops_in(lower({"forward": windows(width)})) == ["b", "v"]


def test_what_takes_little_stays() -> None:
    b, v = index("b", "B"), index("v", 13)
    x = given("x", "B", 3, 13)
    made = graph(x, whole("y", (b, v), mul(at(x, b, Const(1), v), Const(2.0))), outputs=["y"], sizes=["B"])
    assert "block" not in loops_in(lower({"forward": made}))


def test_what_adds_up_stays() -> None:
    b, v = index("b", "B"), index("v", 13)
    x = given("x", "B", 3, 13)
    value: Expr = at(x, b, Const(0), v)
    for _ in range(8):
        value = op("max", mul(value, at(x, b, Const(1), v)), at(x, b, Const(2), v))
    made = graph(x, whole("y", (b,), Reduce("sum", (v,), value)), outputs=["y"], sizes=["B"])
    program = lower({"forward": made})
    assert "block" not in loops_in(program)
    agree(made, program, drawn(made, {"B": 2}), {"B": 2})
