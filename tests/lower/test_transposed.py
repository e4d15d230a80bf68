"""Sums whose results would lie crosswise to what they read get a transposed copy, and stay what they were."""

from __future__ import annotations

import pytest
from building import add, at, given, index, mul, sub, total, when
from lower.agreement import agreeing

from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.loops import Program

SIZES = {"B": 2, "U": 17, "J": 19, "D": 3}
B, U, J, D = (index(name.lower(), name) for name in SIZES)
X, Z = given("x", "U", "D"), given("z", "J", "D")


def far(x: Read, z: Read) -> Expr:
    return op("abs", sub(x, z))


def copies(program: Program) -> list[str]:
    return [name for name in program.buffers if name.endswith(".packed")]


def lowered(*tensors: Tensor, shards: int = 2, **changed: int) -> Program:
    return agreeing(*tensors, sizes={**SIZES, **changed}, shards=shards)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("i", "j", "d"), [(17, 19, 3), (1, 1, 1), (0, 4, 2), (4, 0, 2), (4, 3, 0)])
@pytest.mark.parametrize("reduction", ["sum", "max", "min", "prod"])
def test_the_copy_has_the_results_side_by_side(reduction: str, i: int, j: int, d: int, shards: int) -> None:
    y = whole("y", (U, J), Reduce(reduction, (D,), far(at(X, U, D), at(Z, J, D))))
    assert copies(lowered(X, Z, y, shards=shards, U=i, J=j, D=d)) == ["z.packed"]


def test_a_copy_is_shared() -> None:
    y = whole("y", (U, J), total(D, of=far(at(X, U, D), at(Z, J, D))))
    u = whole("u", (U, J), Reduce("max", (D,), add(at(X, U, D), at(Z, J, D))))
    assert len(copies(lowered(X, Z, y, u))) == 1


def test_axes_in_front_stay_in_front() -> None:
    x, z = given("x", "B", "U", "D"), given("z", "B", "J", "D")
    y = whole("y", (B, U, J), total(D, of=far(at(x, B, U, D), at(z, B, J, D))))
    assert copies(lowered(x, z, y)) == ["z.packed"]


@pytest.mark.parametrize("guard", [J, D], ids=["rows", "terms"])
def test_what_a_condition_keeps_in_range_is_not_copied(guard: Index) -> None:
    few = given("few", *(3 if axis is guard else axis.size for axis in (J, D)))
    body = when(op("lt", guard, Const(3)), far(at(X, U, D), at(few, J, D)))
    assert not copies(lowered(X, few, whole("y", (U, J), total(D, of=body)), D=5))


def test_what_is_read_once_is_not_copied() -> None:
    x, z = given("x", "U", "J", "D"), given("z", "U", "J", "D")
    y = whole("y", (U, J), total(D, of=far(at(x, U, J, D), at(z, U, J, D))))
    assert not copies(lowered(x, z, y))


def _few() -> tuple[Index, Tensor]:
    few = index("j", 4)
    return few, given("z", 4, "D")


def test_few_results_are_added_up_one_by_one() -> None:
    few, z = _few()
    assert not copies(lowered(X, z, whole("y", (U, few), total(D, of=far(at(X, U, D), at(z, few, D))))))


def test_long_sums_are_added_up_one_by_one() -> None:
    d = index("d", 300)
    x, z = given("x", "U", 300), given("z", "J", 300)
    assert not copies(lowered(x, z, whole("y", (U, J), total(d, of=far(at(x, U, d), at(z, J, d))))))


def test_sums_of_rows_that_move_stay() -> None:
    z = given("z", add(D.size, J.size), "D")
    y = whole("y", (U, J), total(D, of=far(at(X, U, D), at(z, add(D, J), D))))
    assert not copies(lowered(X, z, y))


def test_products_are_for_tiles() -> None:
    y = whole("y", (U, J), total(D, of=mul(at(X, U, D), at(Z, J, D))))
    assert not copies(lowered(X, Z, y))
