"""Rows under conditions on their place go in sections without them, and give what they did."""

from __future__ import annotations

import pytest
from building import add, at, given, index, mul, total
from lower.agreement import agreeing, loops_in

from dlc.compiler.ir.expr import Const, Expr, Select, Size, op, walk
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import Program, expressions, statements

B, T = index("b", "B"), index("t", "T")
X = given("x", "B", "T")
HALF = op("floordiv", Size("T"), Const(2))


def beyond(place: Expr, value: Expr) -> Expr:
    return Select(op("le", place, T), value, Const(0.0))


def before(place: Expr, value: Expr) -> Expr:
    return Select(op("lt", T, place), value, Const(0.0))


def moved(by: Expr) -> Expr:
    return at(X, B, add(T, by))


def lowered(*tensors: Tensor, length: int = 40) -> Program:
    return agreeing(X, *tensors, sizes={"B": 3, "T": length}, shards=2)


def choices(program: Program) -> int:
    every = [e for kernel in program.kernels.values() for one in statements(kernel.body) for e in expressions(one)]
    return sum(isinstance(node, Select) for node in walk(*every))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 40, 41])
def test_both_halves_of_a_row(length: int) -> None:
    value = add(before(HALF, op("sin", moved(HALF))), beyond(HALF, moved(op("neg", HALF))))
    program = lowered(whole("y", (B, T), value), length=length)
    assert loops_in(program).count("t") == 2
    assert choices(program) == 0


@pytest.mark.parametrize("length", [0, 1, 2, 5, 40])
def test_both_neighbours(length: int) -> None:
    value = add(beyond(Const(1), moved(Const(-1))), before(add(Size("T"), Const(-1)), moved(Const(1))), at(X, B, T))
    program = lowered(whole("y", (B, T), mul(value, value)), length=length)
    assert loops_in(program).count("t") == 3


@pytest.mark.parametrize("length", [0, 1, 3, 9])
def test_a_place_beyond_the_end(length: int) -> None:
    value = add(beyond(Const(5), moved(Const(-5))), mul(Const(2.0), at(X, B, T)))
    program = lowered(whole("y", (B, T), value), length=length)
    assert loops_in(program).count("t") == 2
    assert choices(program) == 0


def test_a_sum_goes_on_from_section_to_section() -> None:
    value = add(beyond(HALF, moved(op("neg", HALF))), at(X, B, T))
    program = lowered(whole("y", (B,), total(T, of=mul(value, at(X, B, T)))))
    assert loops_in(program).count("t") == 2


def test_a_short_row_keeps_its_conditions() -> None:
    x, t = given("x", "B", 6), index("t", 6)
    value = add(Select(op("le", Const(2), t), at(x, B, add(t, Const(-2))), Const(0.0)), at(x, B, t))
    program = agreeing(x, whole("y", (B, t), value), sizes={"B": 3})
    assert loops_in(program).count("t") == 1
