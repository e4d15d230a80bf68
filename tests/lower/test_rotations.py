"""Rows that are read around their end are read in two loops, and give what they did."""

from __future__ import annotations

import pytest
from building import add, at, given, graph, index, mul, total
from lower.agreement import agreeing

from dlc.compiler.ir.expr import Const, Expr, Size, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import Program, statements
from dlc.compiler.lower import lower

B, K, T = index("b", "B"), index("k", "K"), index("t", "T")
X = given("x", "B", "T")


def around(shift: Expr) -> Expr:
    return op("mod", add(T, shift), Size("T"))


def lowered(*tensors: Tensor, **sizes: int) -> Program:
    return agreeing(*tensors, sizes={"B": 3, "K": 2, "T": 7, **sizes}, shards=2)


def loops_over(program: Program, hint: str) -> int:
    nodes = [one for kernel in program.kernels.values() for one in statements(kernel.body)]
    return sum(getattr(getattr(one, "index", None), "hint", "") == hint for one in nodes)


@pytest.mark.parametrize("length", [0, 1, 3, 7])
@pytest.mark.parametrize("shift", [3, -2, 7, -15])
def test_a_row_is_read_from_a_place_on(shift: int, length: int) -> None:
    made = lowered(X, whole("y", (B, T), at(X, B, around(Const(shift)))), T=length)
    assert loops_over(made, "t") == 2


@pytest.mark.parametrize("length", [0, 1, 5])
def test_two_places_cut_a_row_twice(length: int) -> None:
    value = add(at(X, B, around(Const(3))), mul(at(X, B, around(Const(-1))), at(X, B, T)))
    assert loops_over(lowered(X, whole("y", (B, T), value), T=length), "t") == 4


def test_more_places_leave_it_whole() -> None:
    value = add(*(at(X, B, around(Const(shift))) for shift in (1, 2, 3)))
    assert loops_over(lowered(X, whole("y", (B, T), value)), "t") == 1


def test_a_convolution_around_a_circle() -> None:
    w = given("w", "K")
    lowered(X, w, whole("y", (B, T), total(K, of=mul(at(w, K), at(X, B, around(K))))))


def test_places_that_are_data_are_read_in_the_loop() -> None:
    n = given("n", "B", type="int", bound=Size("T"))
    made = graph(X, n, whole("y", (B, T), at(X, B, around(at(n, B)))), outputs=["y"], sizes=["B", "T"])
    assert loops_over(lower({"forward": made}), "t") == 1
