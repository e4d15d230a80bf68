"""Rows that go through one matrix go through it four at a time, and give what they gave one by one."""

from __future__ import annotations

import pytest
from building import add, at, given, graph, index, mul, sub, total
from lower.agreement import agreeing, loops_in

from dlc.compiler.ir.expr import Const, Expr, Read, Reduce, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import For, Program, statements
from dlc.compiler.ir.short_rows import is_row_of_an_image
from dlc.compiler.lower import lower

SIZES = {"B": 2, "U": 11, "J": 19, "D": 18}
B, U, J, D = (index(name.lower(), name) for name in SIZES)
X, Z = given("x", "U", "D"), given("z", "D", "J")


def far(x: Read, z: Read) -> Expr:
    return op("abs", sub(x, z))


def lowered(*tensors: Tensor, shards: int = 2, **changed: int) -> Program:
    return agreeing(*tensors, sizes={**SIZES, **changed}, shards=shards)


def tiles(program: Program) -> int:
    return loops_in(program).count("u4")


SUM = whole("s", (U, J), total(D, of=far(at(X, U, D), at(Z, D, J))))


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("rows", "terms", "width"), [(11, 18, 19), (1, 4, 2), (0, 4, 2), (8, 0, 3), (13, 3, 0)])
@pytest.mark.parametrize("reduction", ["sum", "max", "min", "prod"])
def test_four_rows_at_a_time(reduction: str, rows: int, terms: int, width: int, shards: int) -> None:
    y = whole("y", (U, J), Reduce(reduction, (D,), far(at(X, U, D), at(Z, D, J))))
    assert tiles(lowered(X, Z, y, shards=shards, U=rows, D=terms, J=width)) == 1


def test_rows_of_sums_are_no_rows_of_an_image() -> None:
    """They are long, and masks would halve the vectors."""
    bodies = [kernel.body for kernel in lowered(X, Z, SUM).kernels.values()]
    assert not [one for body in bodies for one in statements(body) if isinstance(one, For) and is_row_of_an_image(one)]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("rows", [1, 3, 4, 11])
def test_what_is_computed_of_a_row_of_sums_stays_with_it(rows: int, shards: int) -> None:
    w = given("w", "U", "J")
    y = whole("y", (U,), total(J, of=mul(at(w, U, J), op("exp", op("neg", at(SUM, U, J))))))
    program = lowered(X, Z, w, SUM, y, shards=shards, U=rows)
    assert tiles(program) == 1


def test_samples_have_tiles_of_their_own() -> None:
    x, z = given("x", "B", "U", "D"), given("z", "B", "D", "J")
    y = whole("y", (B, U, J), total(D, of=far(at(x, B, U, D), at(z, B, D, J))))
    assert tiles(lowered(x, z, y)) == 1


@pytest.mark.parametrize("rows", [9, 12])
def test_a_known_number_of_rows(rows: int) -> None:
    u = index("u", rows)
    x = given("x", rows, "D")
    assert tiles(lowered(x, Z, whole("y", (u, J), total(D, of=far(at(x, u, D), at(Z, D, J)))))) == 1


def test_few_rows_go_one_by_one() -> None:
    u, x = index("u", 3), given("x", 3, "D")
    assert not tiles(lowered(x, Z, whole("y", (u, J), total(D, of=far(at(x, u, D), at(Z, D, J))))))


def test_a_small_matrix_is_at_hand_anyway() -> None:
    d, j = index("d", 16), index("j", 16)
    x, z = given("x", "U", 16), given("z", 16, 16)
    assert not tiles(lowered(x, z, whole("y", (U, j), total(d, of=far(at(x, U, d), at(z, d, j))))))


def test_rows_with_matrices_of_their_own_go_one_by_one() -> None:
    z = given("z", "U", "D", "J")
    assert not tiles(lowered(X, z, whole("y", (U, J), total(D, of=far(at(X, U, D), at(z, U, D, J))))))


def test_a_sum_up_to_the_row_goes_alone() -> None:
    before = op("real", op("le", D, U))
    y = whole("y", (U, J), total(D, of=add(mul(before, at(X, U, D)), at(Z, D, J))))
    lowered(X, Z, y)
    bounded = whole("y", (U, J), total(D, of=op("mul", before, far(at(X, U, D), at(Z, D, J)))))
    lowered(X, Z, bounded)


def test_rows_that_data_finds_go_one_by_one() -> None:
    """Beside the rows of a shard such a place may not be computed yet."""
    k, z = given("k", "U", type="int", bound=Const(5)), given("t", 5, "J")
    y = whole("y", (U, J), total(D, of=far(at(Z, D, J), at(z, at(k, U), J))))
    assert not tiles(lower({"forward": graph(Z, k, z, y, outputs=["y"], sizes=list(SIZES))}))
