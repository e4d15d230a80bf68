"""Terms that a single element of a row has are added to it alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, when
from lower.agreement import agree

from dlc.compiler.ir.expr import Const, Expr, Index, Select, op, walk
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.loops import Program, expressions, statements
from dlc.compiler.lower import lower

X, C = given("x", "B", "D"), given("c", "B")
Z, FREE = given("z", "B", type="int", bound=X.sizes[1]), given("z", "B", type="int")
ARRAYS = {"x": np.random.default_rng(0).normal(size=(4, 5)), "c": np.arange(4.0)}
Condition = Callable[[Index, Index], Expr]


def lowered(place: Tensor, *conditions: Condition) -> tuple[Program, Graph]:
    b, d = index("b", "B"), index("d", "D")
    spot = op("and", op("eq", d, at(place, b)), *(condition(b, d) for condition in conditions))
    value = add(when(spot, mul(at(C, b), op("real", d))), op("sin", at(X, b, d)))
    made = graph(X, C, place, whole("y", (b, d), value), outputs=["y"], sizes=["B", "D"])
    return lower({"forward": made}), made


def choices(program: Program) -> int:
    kernels = program.kernels.values()
    return sum(isinstance(n, Select) for k in kernels for s in statements(k.body) for n in walk(*expressions(s)))


@pytest.mark.parametrize("place", [[0, 4, 2, 2], [-1, 5, 7, 3]])
@pytest.mark.parametrize("conditions", [(), (lambda b, d: op("lt", b, d),)])
def test_the_value_is_the_same(place: list[int], conditions: tuple[Condition, ...]) -> None:
    program, made = lowered(FREE, *conditions)
    assert choices(program) == 0
    arrays = {**ARRAYS, "z": np.array(place)}
    agree(made, program, arrays, {"B": 4, "D": 5})


@pytest.mark.parametrize("place", [[0, 4, 2, 2], [-1, 5, 7, 3]])
def test_a_row_of_nothing_else_is_zero(place: list[int]) -> None:
    b, d = index("b", "B"), index("d", "D")
    y = whole("y", (b, d), when(op("eq", d, at(FREE, b)), at(C, b)))
    made = graph(C, FREE, y, outputs=["y"], sizes=["B", "D"])
    program, arrays, sizes = lower({"forward": made}), {"c": ARRAYS["c"] - 2, "z": np.array(place)}, {"B": 4, "D": 5}
    assert choices(program) == 0
    agree(made, program, arrays, sizes)


def test_a_place_that_is_in_range_is_not_looked_at() -> None:
    assert "If" not in repr(lowered(Z)[0].kernels)
    assert "If" in repr(lowered(FREE)[0].kernels)


def test_short_rows_compare() -> None:
    short = given("x", "B", 5)
    b, d = index("b", "B"), index("d", 5)
    value = add(when(op("eq", d, at(FREE, b)), Const(1.0)), at(short, b, d))
    program = lower({"forward": graph(short, FREE, whole("y", (b, d), value), outputs=["y"], sizes=["B"])})
    assert choices(program) == 1
