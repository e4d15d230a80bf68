"""Two loops over axes that lie one behind the other are one, and compute what two did."""

from __future__ import annotations

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, total
from lower.agreement import agreeing, loops_in

from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.expr import Const, Index, Size, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import Program
from dlc.compiler.lower import lower

SIZES = ("N", "C", "H", "W")


def axes() -> tuple[Index, ...]:
    return tuple(index(name.lower(), name) for name in SIZES)


def lowered(*tensors: Tensor, shards: int = 2, height: int = 3, width: int = 5) -> Program:
    return agreeing(*tensors, sizes={"N": 3, "C": 2, "H": height, "W": width}, shards=shards)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (1, 1), (0, 4), (4, 0)])
def test_a_sum_over_neighbours_is_one_loop(height: int, width: int) -> None:
    n, c, h, w = axes()
    x = given("x", *SIZES)
    assert loops_in(lowered(x, whole("y", (n, c), total(h, w, of=at(x, n, c, h, w))), height=height, width=width)) == [
        "n",
        "c",
        "hw",
    ]


def test_what_stands_outside_stays_a_loop() -> None:
    n, c, h, w = axes()
    x = given("x", *SIZES)
    assert loops_in(lowered(x, whole("y", (c,), total(n, h, w, of=at(x, n, c, h, w))))) == ["c", "n", "hw"]


def test_three_axes_are_one_run() -> None:
    n, c, h, w = axes()
    x = given("x", *SIZES)
    assert loops_in(lowered(x, whole("y", (n,), total(c, h, w, of=at(x, n, c, h, w))))) == ["n", "chw"]


def test_another_tensor_at_the_row_alone_keeps_the_rows() -> None:
    n, c, h, w = axes()
    x, k = given("x", *SIZES), given("k", "W")
    made = whole("y", (n, c), total(h, w, of=mul(at(x, n, c, h, w), at(k, w))))
    assert loops_in(lowered(x, k, made)) == ["n", "c", "h", "w"]


def test_a_sum_that_asks_for_its_place_keeps_the_rows() -> None:
    n, c, h, w = axes()
    x = given("x", *SIZES)
    made = whole("y", (n, c), total(h, w, of=mul(at(x, n, c, h, w), op("real", add(w, h)))))
    assert loops_in(lowered(x, made)) == ["n", "c", "h", "w"]


def test_the_place_of_an_element_counts_through_the_run() -> None:
    n, c, h, w = axes()
    x = given("x", *SIZES)
    place = add(mul(h, Size("W")), w)
    made = whole("y", (n, c), total(h, w, of=mul(at(x, n, c, h, w), op("real", add(mul(Const(2), place), c)))))
    assert loops_in(lowered(x, made)) == ["n", "c", "hw"]


def test_short_rows_of_a_map_are_one_run() -> None:
    n, h, w = index("n", "N"), index("h", 3), index("w", 5)
    x = given("x", "N", 3, 5)
    made = graph(x, whole("y", (n, h, w), add(at(x, n, h, w), Const(1.0))), outputs=["y"], sizes=["N"])
    program = lower({"forward": made})
    assert loops_in(program) == ["nhw"]
    values = {"x": np.arange(60.0).reshape(4, 3, 5)}
    found = loops_reference.run(program, "forward", values, {"N": 4}, 3)
    np.testing.assert_array_equal(found["y"], values["x"] + 1)


def test_rows_of_open_length_of_a_map_are_one_run() -> None:
    n, c, h, w = axes()
    x = given("x", *SIZES)
    assert loops_in(lowered(x, whole("y", (n, c, h, w), add(at(x, n, c, h, w), Const(1.0))))) == ["nchw"]


def test_parts_of_rows_are_no_run() -> None:
    n, c, h, v = index("n", "N"), index("c", "C"), index("h", "H"), index("v", 4)
    x = given("x", "N", "C", "H", 5)
    made = graph(x, whole("y", (n, c), total(h, v, of=at(x, n, c, h, v))), outputs=["y"], sizes=SIZES[:3])
    assert loops_in(lower({"forward": made})) == ["n", "c", "h", "v"]
