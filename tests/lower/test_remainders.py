"""Rows that are no whole number of vectors go block by block, the last block beginning early, and say the same."""

from __future__ import annotations

import pytest
from building import add, at, given, graph, index, mul
from lower.agreement import agree, drawn, loops_in

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.expr import ZERO, Const, Expr, Reduce, op
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.ir.loops import For, Store, statements
from dlc.compiler.lower import lower
from dlc.compiler.lower.remainders import without_rests


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


def copied(width: int, stride: int, offset: int = 0) -> Graph:
    b, v = index("b", "B"), index("v", width)
    x = given("x", "B", stride * width)
    return graph(x, whole("y", (b, v), at(x, b, add(mul(Const(stride), v), Const(offset)))), outputs=["y"], sizes=["B"])


@pytest.mark.parametrize(("stride", "offset"), [(5, 0), (6, 1), (8, 7)])
@pytest.mark.parametrize("width", [9, 13, 16, 24])
def test_copies_with_gaps_go_in_blocks(width: int, stride: int, offset: int) -> None:
    made = copied(width, stride, offset)
    program = lower({"forward": made})
    assert loops_in(program) == ["b", "block", "v"]
    agree(made, program, drawn(made, {"B": 3}), {"B": 3})


@pytest.mark.parametrize("width", [3, 4, 5, 16, 21])
def test_copies_with_gaps_of_open_rows_leave_a_rest(width: int) -> None:
    b, v = index("b", "B"), index("v", "V")
    x = given("x", "B", 106)
    made = graph(x, whole("y", (b, v), at(x, b, add(mul(Const(5), v), Const(1)))), outputs=["y"], sizes=["B", "V"])
    program = lower({"forward": made})
    assert loops_in(program) == ["b", "block", "v", "v"]
    agree(made, program, drawn(made, {"B": 3, "V": width}), {"B": 3, "V": width})


@pytest.mark.parametrize(("width", "length"), [(13, 8), (18, 8), (28, 16), (33, 8), (47, 16)])
def test_blocks_with_choices_are_longer_where_no_more_is_computed(width: int, length: int) -> None:
    program = lower({"forward": windows(width, operation="argmax")})
    (kernel,) = program.kernels.values()
    (row,) = (s for s in statements(kernel.body) if isinstance(s, For) and s.index.hint == "v")
    assert (polynomial(row.stop) - polynomial(row.start)).value == length


@pytest.mark.parametrize(("width", "stride"), [(8, 5), (13, 1), (16, 1), (300, 5), (16, 9), (13, 2), (16, 4)])
def test_copies_without_gaps_and_long_and_short_ones_and_those_of_the_runtime_stay(width: int, stride: int) -> None:
    assert loops_in(lower({"forward": copied(width, stride)})) == ["b", "v"]


def test_what_is_read_between_leaves_no_gaps() -> None:
    b, v = index("b", "B"), index("v", 16)
    x = given("x", "B", 32)
    twice = mul(Const(2), v)
    made = graph(
        x, whole("y", (b, v), op("max", at(x, b, twice), at(x, b, add(twice, Const(1))))), outputs=["y"], sizes=["B"]
    )
    assert loops_in(lower({"forward": made})) == ["b", "v"]


@pytest.mark.parametrize(("width", "goes"), [(13, True), (16, False), (8, False)])
def test_rows_of_one_number_go_in_blocks(width: int, goes: bool) -> None:
    v = index("v", width)
    row = For(v, ZERO, v.size, (Store("y", (v,), Const(2.0)),))
    b = index("b", 7)
    (found,) = without_rests((For(b, ZERO, b.size, (row,)),), lambda name: name)
    assert isinstance(found, For) and isinstance(found.body[0], For)
    assert (found.body[0].index.hint == "block") == goes
    assert without_rests((row,), lambda name: name) == (row,)


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
