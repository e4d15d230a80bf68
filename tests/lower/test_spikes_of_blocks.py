"""A plane that is zero but for single elements is filled, and these are stored where they stand."""

from __future__ import annotations

import numpy as np
import pytest
from building import add, at, extent, given, graph, index, mul, when
from lower.agreement import agree, loops_in

from dlc.compiler.ir.expr import Expr, Select, Size, op, walk
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.ir.loops import Program, expressions, statements
from dlc.compiler.lower import lower

SIZES = {"B": 3, "H": 7, "W": 10, "U": 3, "V": 3}
RNG = np.random.default_rng(0)


def quotient(index: Expr, size: Expr) -> Expr:
    return op("floordiv", index, size)


def choices(program: Program) -> int:
    kernels = program.kernels.values()
    return sum(isinstance(n, Select) for k in kernels for s in statements(k.body) for n in walk(*expressions(s)))


def filled(made: Graph, places: np.ndarray, **changed: int) -> Program:
    """The program, found to be right at these places, without a choice for every element."""
    sizes = {**SIZES, **changed}
    program = lower({"forward": made})
    given = {"z": places, "c": RNG.normal(size=places.shape), "x": RNG.normal(size=(sizes["H"], sizes["W"]))}
    agree(made, program, {one.id: given[one.id] for one in made.of_kind("input")}, sizes)
    assert choices(program) == 0
    return program


def whole_plane(*conditions: Expr) -> Graph:
    b, h, w = index("b", "B"), index("h", "H"), index("w", "W")
    z, c = given("z", "B", type="int"), given("c", "B")
    there = op("eq", add(mul(h, Size("W")), w), at(z, b))
    value = when(op("and", *conditions, there), at(c, b))
    return graph(z, c, whole("y", (b, h, w), value), outputs=["y"], sizes=list(SIZES))


@pytest.mark.parametrize("places", [[0, 69, 35], [-1, 70, 9], [10, 10, 11]])
def test_a_plane_has_one_element(places: list[int]) -> None:
    assert loops_in(filled(whole_plane(), np.array(places))) == ["b", "hw"]


@pytest.mark.parametrize("changed", [{"H": 0}, {"W": 0}, {"H": 1, "W": 1}], ids=str)
def test_a_plane_without_elements(changed: dict[str, int]) -> None:
    filled(whole_plane(), np.array([0, 0, 0]), **changed)


def blocks(rows: int | Expr, columns: int | Expr, *guards: str) -> Graph:
    """Blocks of so many rows and columns; guards keep blocks in range that are not whole."""
    b, h, w = index("b", "B"), index("h", "H"), index("w", "W")
    p, q = extent(rows), extent(columns)
    z, c = given("z", "B", "U", "V", type="int"), given("c", "B", "U", "V")
    x = given("x", "H", "W")
    u, v = quotient(h, p), quotient(w, q)
    known = {
        "rows": op("lt", h, mul(Size("U"), p)),
        "columns": op("lt", w, mul(Size("V"), q)),
        "data": op("lt", at(x, h, w), at(c, b, u, v)),
    }
    place = add(mul(q, op("mod", h, p)), op("mod", w, q))
    there = op("and", *(known[one] for one in guards), op("eq", place, at(z, b, u, v)))
    made = whole("y", (b, h, w), when(there, at(c, b, u, v)))
    inputs = [z, c, x] if "data" in guards else [z, c]
    return graph(*inputs, made, outputs=["y"], sizes=list(SIZES))


def places(rows: int, columns: int, least: int = 0) -> np.ndarray:
    return RNG.integers(least, rows * columns, (SIZES["B"], SIZES["U"], SIZES["V"]))


@pytest.mark.parametrize(("height", "width"), [(12, 15), (13, 17), (14, 15)])
@pytest.mark.parametrize("more", [(), ("data",)], ids=["", "data"])
def test_each_block_has_one_element(height: int, width: int, more: tuple[str, ...]) -> None:
    program = filled(blocks(4, 5, "rows", "columns", *more), places(4, 5, -3), H=height, W=width)
    assert loops_in(program) == ["b", "hw", "h", "w"]


def test_the_last_block_may_not_be_whole() -> None:
    filled(blocks(4, 5), places(4, 5), H=11, W=13)


@pytest.mark.parametrize(("height", "width"), [(9, 6), (11, 7), (2, 9), (3, 0)])
def test_blocks_of_open_size(height: int, width: int) -> None:
    rows, columns = quotient(Size("H"), Size("U")), quotient(Size("W"), Size("V"))
    found = places(max(height // 3, 1), max(width // 3, 1))
    filled(blocks(rows, columns, "rows", "columns"), found, H=height, W=width)


def test_small_blocks_compare() -> None:
    assert choices(lower({"forward": blocks(2, 4, "rows", "columns")})) > 0
