"""Sums through short rows go through several of them at a time, and add up to the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from building import add, at, given, graph, index, mul, total
from lower.agreement import agree, agreeing, drawn, loops_in

from dlc.compiler.ir.expr import ZERO, Const, Expr, Read, Select, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import For, Program, Store, Update, Var, statements
from dlc.compiler.ir.short_rows import is_row_of_an_image, is_short_row
from dlc.compiler.lower import lower


def kernels_gradient(rows: int, width: int, taps: int = 3) -> tuple[Tensor, ...]:
    c, p, q, u, v = (index(*one) for one in (("c", "C"), ("p", taps), ("q", taps), ("u", rows), ("v", width)))
    d, x = given("d", "C", rows, width), given("x", "C", rows + taps - 1, width + taps - 1)
    return d, x, whole("k", (c, p, q), total(u, v, of=mul(at(d, c, u, v), at(x, c, add(u, p), add(v, q)))))


def sum_of(rows: int, width: int, element: Expr | None = None) -> Program:
    c, u, v = (index(*one) for one in (("c", "C"), ("u", rows), ("v", width)))
    x, z = given("x", "C", rows, width + 1), given("z", width, "C", rows)
    value = mul(at(x, c, u, v), at(z, v, c, u)) if element is None else element
    return agreeing(x, z, whole("y", (c,), total(u, v, of=value)), sizes={"C": 3})


def short_rows(program: Program) -> int:
    return sum(map(is_short_row, all_loops(program)))


def all_loops(program: Program) -> list[For]:
    return [one for kernel in program.kernels.values() for one in statements(kernel.body) if isinstance(one, For)]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("rows", "width"), [(8, 8), (14, 14), (9, 63), (11, 6), (28, 28)])
def test_four_rows_at_a_time(rows: int, width: int, shards: int) -> None:
    program = agreeing(*kernels_gradient(rows, width), sizes={"C": 5}, shards=shards)
    rest = ["v", "u"] if rows % 4 else []
    assert loops_in(program) == ["c", "u4", "v", "u", *rest]


def test_few_rows_are_written_out_as_a_whole() -> None:
    program = agreeing(*kernels_gradient(7, 7), sizes={"C": 5})
    assert loops_in(program) == ["c", "p", "q", "v", "u"]


@pytest.mark.parametrize("width", [4, 64])
def test_rows_without_vectors_and_long_ones_stay(width: int) -> None:
    assert "u4" not in loops_in(agreeing(*kernels_gradient(16, width), sizes={"C": 2}))


def test_rows_of_open_length_stay() -> None:
    c, p, q, u, v = index("c", "C"), index("p", 3), index("q", 3), index("u", 12), index("v", "V")
    d, x = given("d", "C", 12, "V"), given("x", "C", 14, "X")
    y = whole("k", (c, p, q), total(u, v, of=mul(at(d, c, u, v), at(x, c, add(u, p), add(v, q)))))
    assert "u4" not in loops_in(agreeing(d, x, y, sizes={"C": 2, "V": 9, "X": 11}))


def test_what_lies_across_the_rows_stays() -> None:
    assert "u4" not in loops_in(sum_of(12, 12))


def test_what_is_computed_beside_the_sums_gets_a_loop_of_its_own() -> None:
    d, x, k = kernels_gradient(12, 12)
    c, p, q, u, v = (index(*one) for one in (("c", "C"), ("p", 3), ("q", 3), ("u", 12), ("v", 12)))
    w = given("w", "C", 3, 3)
    y = whole("y", (c, u, v), total(p, q, of=mul(at(w, c, p, q), at(x, c, add(u, p), add(v, q)))))
    program = agreeing(d, x, w, k, y, sizes={"C": 3})
    assert len(program.kernels) == 1
    assert "u4" in loops_in(program)
    for one in all_loops(program):
        sums = {each.name for each in one.body if isinstance(each, Update)}
        own = {each.name for each in one.body if isinstance(each, Var)}
        assert sums <= own or not any(isinstance(each, Store) for each in one.body)


@pytest.mark.parametrize(("width", "expected"), [(4, 0), (5, 1), (7, 1), (8, 0)])
def test_rows_of_fewer_elements_than_a_vector_are_found(width: int, expected: int) -> None:
    c, p, u, v = index("c", "C"), index("p", 3), index("u", 3), index("v", width)
    x, w = given("x", "C", 5, width), given("w", 3)
    made = graph(
        x, w, whole("y", (c, u, v), total(p, of=mul(at(w, p), at(x, c, add(u, p), v)))), outputs=["y"], sizes=["C"]
    )
    program = lower({"forward": made})
    agree(made, program, drawn(made, {"C": 4}), {"C": 4})
    assert short_rows(program) == expected


def test_rows_that_take_little_or_lie_apart_are_none() -> None:
    c, u, v = index("c", "C"), index("u", 3), index("v", 7)
    x, z = given("x", "C", 3, 7), given("z", 7, "C", 3)
    sizes = {"C": 2}
    assert not short_rows(agreeing(x, whole("y", (c, u, v), op("neg", at(x, c, u, v))), sizes=sizes))
    apart = mul(at(z, v, c, u), op("exp", at(z, v, c, u)), op("sin", at(x, c, u, v)), at(x, c, u, v))
    assert not short_rows(agreeing(x, z, whole("y", (c, u, v), apart), sizes=sizes))


@pytest.mark.parametrize(("taps", "rows", "expected"), [(3, 3, 1), (2, 2, 1), (5, 1, 0), (1, 2, 0)])
def test_rows_of_open_length_count_where_windows_of_several_rows_go_along_them(
    taps: int, rows: int, expected: int
) -> None:
    c, u, v, p, q = index("c", "C"), index("u", "U"), index("v", "V"), index("p", rows), index("q", taps)
    x, w = given("x", "C", "X", "Y"), given("w", rows, taps)
    y = whole("y", (c, u, v), total(p, q, of=mul(at(w, p, q), at(x, c, add(u, p), add(v, q)))))
    program = agreeing(x, w, y, sizes={"C": 2, "U": 3, "V": 6, "X": 6, "Y": 11})
    assert sum(map(is_row_of_an_image, all_loops(program))) == expected


@pytest.mark.parametrize("length", [7, None])
@pytest.mark.parametrize("first", [1, 2])
def test_rows_of_which_every_second_element_is_stored_count_if_all_are(length: int | None, first: int) -> None:
    """By one store those in between of another; of open length those that take choices."""
    c, v = index("c", "C"), index("v", length or "V")
    x = Read("x", (c, v), "real")
    more = mul(x, Select(op("lt", x, Read("x", (c, add(v, Const(1))), "real")), x, Const(2.0)))
    twice = mul(Const(2), v)
    stores = (Store("y", (c, twice), more), Store("y", (c, add(twice, Const(first))), op("neg", more)))
    row = For(v, ZERO, v.size, stores)
    assert (is_short_row(row), is_row_of_an_image(row)) == (first == 1 and bool(length), first == 1 and not length)
    assert not is_short_row(replace(row, body=stores[:1])) and not is_row_of_an_image(replace(row, body=stores[:1]))


@pytest.mark.parametrize("is_by_data", [True, False])
def test_of_open_rows_in_steps_those_with_a_condition_on_their_place_do_not_count(is_by_data: bool) -> None:
    c, v = index("c", "C"), index("v", "V")
    x, twice = Read("x", (c, v), "real"), mul(Const(2), v)
    place = [] if is_by_data else [op("lt", add(c, Const(1)), c.size)]
    more = mul(x, Select(op("and", *place, op("lt", x, Read("x", (c, add(v, Const(1))), "real"))), x, Const(2.0)))
    stores = (Store("y", (c, twice), more), Store("y", (c, add(twice, Const(1))), op("neg", more)))
    assert is_row_of_an_image(For(v, ZERO, v.size, stores)) == is_by_data


def test_short_rows_that_read_under_a_condition_on_their_place_do_not_count() -> None:
    """Two copies with a border, which the elements of a row are at the end of, or not."""
    c, v = index("c", "C"), index("v", 5)
    inside = op("lt", Const(0), v)
    copied = Select(inside, Read("x", (c, add(v, Const(-1))), "real"), Const(0.0))
    doubled = Select(inside, mul(Const(2.0), Read("x", (c, add(v, Const(-1))), "real")), Const(0.0))
    stores = tuple(Store(name, (c, v), value) for name, value in (("y", copied), ("z", doubled), ("u", copied)))
    assert not is_short_row(For(v, ZERO, v.size, stores))
    anywhere = tuple(replace(one, value=one.value.yes) for one in stores if isinstance(one.value, Select))
    assert is_short_row(For(v, ZERO, v.size, (*anywhere, *anywhere)))
