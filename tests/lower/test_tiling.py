"""Where what is read and what is written lie crosswise, loops go on in blocks, and compute what they did without."""

from __future__ import annotations

import pytest
from building import add, at, given, index, mul, parts, total
from lower.agreement import agreeing, loops_in

from dlc.compiler.ir.expr import Const, Size, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import Program

SIZES = {"N": 3, "C": 70, "H": 5, "W": 20}
NAMES = tuple(SIZES)
N, C, H, W = (index(name.lower(), name) for name in NAMES)


def lowered(*tensors: Tensor, shards: int = 2, **changed: int) -> Program:
    return agreeing(*tensors, sizes={**SIZES, **changed}, shards=shards)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("width", "channels"), [(20, 70), (64, 8), (1, 1), (7, 129), (0, 4), (4, 0)])
def test_a_transposition_goes_in_blocks(width: int, channels: int, shards: int) -> None:
    x = given("x", "C", "W")
    assert loops_in(lowered(x, whole("y", (W, C), at(x, C, W)), shards=shards, W=width, C=channels)) == ["wt", "w", "c"]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("width", "channels"), [(20, 70), (64, 8), (1, 1), (7, 129), (0, 4), (4, 0)])
def test_what_is_no_copy_goes_in_blocks_that_cross(width: int, channels: int, shards: int) -> None:
    x, z = given("x", "C", "W"), given("z", "C", "W")
    y = whole("y", (W, C), mul(at(x, C, W), at(z, C, W)))
    assert loops_in(lowered(x, z, y, shards=shards, W=width, C=channels)) == ["wt", "ct", "w", "c"]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("width", "channels"), [(20, 70), (64, 8), (1, 1), (7, 129), (0, 4), (4, 0)])
def test_what_is_computed_of_it_is_computed_in_rows_behind_the_copy(width: int, channels: int, shards: int) -> None:
    x, row, scale = given("x", "C", "W"), given("row", "W", "C"), given("scale")
    y = whole("y", (W, C), op("tanh", mul(at(row, W, C), at(scale), at(x, C, W))))
    assert loops_in(lowered(x, row, scale, y, shards=shards, W=width, C=channels)) == ["wt", "w", "c", "w", "c"]


def test_axes_between_stay_around_both() -> None:
    x = given("x", *NAMES)
    y = whole("y", (N, W, H, C), op("exp", at(x, N, C, H, W)))
    assert loops_in(lowered(x, y)) == ["n", "wt", "h", "w", "c", "w", "c"]


def test_what_is_computed_of_two_turned_elements_stays_in_the_blocks() -> None:
    x, z = given("x", "C", "W"), given("z", "C", "W")
    y = whole("y", (W, C), op("tanh", mul(at(x, C, W), at(z, C, W))))
    assert loops_in(lowered(x, z, y)) == ["wt", "ct", "w", "c"]


def test_axes_between_stay_around() -> None:
    x = given("x", *NAMES)
    assert loops_in(lowered(x, whole("y", (N, W, H, C), at(x, N, C, H, W)))) == ["n", "wt", "h", "w", "c"]


def test_a_result_may_be_computed_of_another_and_share_its_copy() -> None:
    x, z = given("x", "C", "W"), given("z", "W", "C")
    y = whole("y", (W, C), add(at(x, C, W), at(z, W, C)))
    assert loops_in(lowered(x, z, y, whole("u", (W, C), mul(at(y, W, C), at(x, C, W))))) == ["wt", "w", "c", "w", "c"]


def test_two_results_of_one_turned_element_share_its_copy() -> None:
    """The copy lies in the place of the one, which is stored when the other has read it."""
    x, z = given("x", "C", "W"), given("z", "W", "C")
    results = (whole("y", (W, C), add(at(x, C, W), at(z, W, C))), whole("u", (W, C), mul(at(z, W, C), at(x, C, W))))
    assert loops_in(lowered(x, z, *results, W=70)) == ["wt", "w", "c", "w", "c"]


def test_what_is_read_as_it_is_written_needs_no_blocks() -> None:
    x, row = given("x", "W", "C"), given("row", "C")
    assert loops_in(lowered(x, row, whole("y", (W, C), mul(at(x, W, C), at(row, C))))) == ["w", "c"]


def test_a_column_beside_needs_no_blocks() -> None:
    x, column = given("x", "W", "C"), given("column", "W")
    assert loops_in(lowered(x, column, whole("y", (W, C), mul(at(x, W, C), at(column, W))))) == ["w", "c"]


def test_sums_stay_as_they_are() -> None:
    x = given("x", "C", "W")
    assert loops_in(lowered(x, whole("y", (W,), total(C, of=at(x, C, W))))).count("ct") == 0


def test_what_reads_what_other_rounds_write_stays_in_order() -> None:
    """``y[w,c]`` and in the same loops an element of it that another round has written."""
    x = given("x", "C", "W")
    y = whole("y", (W, C), at(x, C, W))
    z = whole("z", (W, C), add(at(y, W, C), at(y, W, op("max", add(C, Const(-1)), Const(0)))))
    lowered(x, y, z)


def test_few_columns_need_no_blocks() -> None:
    few = index("k", 4)
    x = given("x", 4, "W")
    assert loops_in(lowered(x, whole("y", (W, few), at(x, few, W)))) == ["w", "k"]


@pytest.mark.parametrize("shards", [1, 3])
def test_several_side_by_side_are_transposed_one_after_the_other(shards: int) -> None:
    """``y[w,c] = x[c,w]; y[w,|C|+c] = z[c,w]``: the weights that a recurrence reads in every step."""
    x, z, later = given("x", "C", "W"), given("z", "C", "W"), index("c", "C")
    places = ((W, C), (W, C), at(x, C, W)), ((W, later), (W, add(Size("C"), later)), at(z, later, W))
    y = parts("y", ("W", op("mul", Const(2), Size("C"))), *places)
    assert loops_in(lowered(x, z, y, shards=shards, W=70)) == ["wt", "w", "c"] * 2


def test_a_row_that_the_next_loop_reads_stays_with_it() -> None:
    """``s[w]`` is summed of a row that is kept for one round only."""
    x, z = given("x", "C", "W"), given("z", "W", "C")
    row = whole("row", (W, C), op("exp", add(at(x, C, W), at(z, W, C))))
    lowered(x, z, row, whole("s", (W,), total(C, of=at(row, W, C))), W=70)
