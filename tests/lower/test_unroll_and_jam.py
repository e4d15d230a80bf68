"""Rows that are added to one row go on four at a time, and give what they gave one by one."""

from __future__ import annotations

import pytest
from building import add, at, given, index, mul, sub, total
from lower.agreement import agreeing, loops_in

from dlc.compiler.ir.expr import Reduce, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import Program

SIZES = {"N": 3, "B": 21, "D": 5}
N, B, D = (index(name.lower(), name) for name in SIZES)
X = given("x", "B", "D")


def lowered(*tensors: Tensor, shards: int = 2, **changed: int) -> Program:
    return agreeing(*tensors, sizes={**SIZES, **changed}, shards=shards)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("rows", "width"), [(21, 5), (0, 3), (1, 1), (3, 2), (4, 0), (8, 4), (5, 1)])
@pytest.mark.parametrize("reduction", ["sum", "max", "min", "prod"])
def test_four_rows_at_a_time(reduction: str, rows: int, width: int, shards: int) -> None:
    y = whole("y", (D,), Reduce(reduction, (B,), at(X, B, D)))
    program = lowered(X, y, shards=shards, B=rows, D=width)
    assert loops_in(program) == ["d", "b4", "d", "b", "d"]


def test_rows_of_one_sample_each() -> None:
    x = given("x", "N", "B", "D")
    y = whole("y", (N, D), total(B, of=mul(at(x, N, B, D), at(x, N, B, D))))
    assert "b4" in loops_in(lowered(x, y))


def test_a_range_that_depends_on_what_is_around_it() -> None:
    x, a = given("x", "B", "D"), given("a", "B")
    t = index("t", "B")
    before = op("le", B, t)
    lowered(x, a, whole("y", (t, D), total(B, of=op("mul", op("real", before), sub(at(x, B, D), at(a, t))))))


def test_a_known_number_of_rows_leaves_no_rest() -> None:
    b = index("b", 64)
    x = given("x", 64, "D")
    assert loops_in(lowered(x, whole("y", (D,), total(b, of=at(x, b, D))))) == ["d", "b4", "d"]


def test_few_rows_go_on_one_by_one() -> None:
    b = index("b", 8)
    x = given("x", 8, "D")
    assert "b4" not in loops_in(lowered(x, whole("y", (D,), total(b, of=at(x, b, D)))))


def test_what_takes_much_goes_on_one_by_one() -> None:
    value = op("exp", op("tanh", mul(at(X, B, D), add(at(X, B, D), op("sin", at(X, B, D))))))
    assert "b4" not in loops_in(lowered(X, whole("y", (D,), total(B, of=mul(value, value)))))
