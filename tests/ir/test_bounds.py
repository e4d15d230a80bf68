"""What the prover of integer inequalities can show, and what it must not."""

from __future__ import annotations

import pytest

from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import extreme, facts_of, facts_of_all, nonnegative, within
from dlc.compiler.ir.expr import Const, Expr, Size, fresh, op


def product(*factors: Expr) -> Expr:
    return op("mul", *factors)


def total(*terms: Expr | int) -> Expr:
    return op("add", *(Const(term) if isinstance(term, int) else term for term in terms))


H, W, C = Size("H"), Size("W"), Size("C")
ROWS, COLUMNS = total(H, -2), total(W, product(Const(-1), Size("Q")), 1)


@pytest.mark.parametrize(
    "sizes",
    [(H, W), (ROWS, COLUMNS), (C, H, W), (C, ROWS, COLUMNS), (ROWS, C, COLUMNS), (ROWS, C, COLUMNS, Const(3))],
    ids=["plain", "sums", "three", "sums-inside", "sums-outside", "four"],
)
def test_a_flattened_group_fills_its_axis_and_stays_on_it(sizes: tuple[Expr, ...]) -> None:
    place: Expr = Const(0)
    for size in sizes:
        place = total(product(place, size), fresh(size, "i"))
    assert within(place, product(*sizes))
    assert extreme(polynomial(place), False) == Polynomial(())
    assert extreme(polynomial(place), True) == polynomial(total(product(*sizes), -1))
    assert not within(total(place, 1), product(*sizes))
    assert not nonnegative(polynomial(total(place, -1)))


def test_an_index_in_a_remainder_or_a_quotient_leaves_an_extreme_unknown() -> None:
    i = fresh(H, "i")
    for name in ("mod", "floordiv"):
        assert extreme(polynomial(total(op(name, total(i, -2), W), 1)), True) is None


def test_a_group_with_the_stride_of_another_size_is_not_on_its_axis() -> None:
    u, v = fresh(ROWS, "u"), fresh(COLUMNS, "v")
    assert not within(total(product(u, ROWS), v), product(ROWS, COLUMNS))
    assert not within(total(product(u, total(COLUMNS, 1)), v), product(ROWS, COLUMNS))


def test_a_quotient_and_its_remainder_make_the_whole() -> None:
    i = fresh(H, "i")
    half, odd = op("floordiv", i, Const(2)), polynomial(op("mod", i, Const(2)))
    slack = polynomial(total(product(Const(2), half), 1, product(Const(-1), i)))  # 2*(i // 2) + 1 - i
    assert nonnegative(slack, (odd, -odd))
    assert nonnegative(slack - 1, (odd, -odd))
    assert not nonnegative(slack - 2, (odd, -odd))
    assert not nonnegative(slack - 1)


def test_what_is_divided_is_as_large_as_its_remainder() -> None:
    """d - 1 where d mod 2 is 1, and d + 1 < 2*|I| where it is 0: the partner of an element in its pair."""
    size = op("mul", Const(2), Size("I"))
    index = fresh(size, "d")
    odd = op("eq", op("mod", index, Const(2)), Const(1))
    value = polynomial(index)
    assert nonnegative(value - 1, facts_of(odd))
    assert nonnegative(polynomial(size) - value - 2, facts_of(odd, False))
    swapped = value + 1 - polynomial(op("mod", index, Const(2))) * 2
    assert nonnegative(swapped) and nonnegative(polynomial(size) - swapped - 1)
    assert not nonnegative(value - 1)
    assert not nonnegative(polynomial(Size("J")) - polynomial(fresh(Size("J"), "d")) - 2, facts_of(odd, False))


def test_what_differs_from_its_bound_lies_inside_in_whichever_order_that_is_said() -> None:
    i, j = fresh(H, "i"), fresh(H, "j")
    apart, below = (op("eq", i, j), False), (op("lt", i, j), False)
    inside = polynomial(total(i, product(Const(-1), j), -1))
    for conditions in ((apart, below), (below, apart)):
        assert nonnegative(inside, facts_of_all(conditions))
        assert not nonnegative(inside - 1, facts_of_all(conditions))
    assert facts_of_all((apart,)) == []


def test_what_a_fact_says_of_an_index_holds_times_the_size_behind_it() -> None:
    y, x = fresh(H, "y"), fresh(W, "x")
    above = polynomial(total(product(total(y, -1), W), x))  # (y - 1)*|W| + x
    assert nonnegative(above, (polynomial(total(y, -1)),))
    assert not nonnegative(above)
    assert not nonnegative(above - 1, (polynomial(total(y, -1)),))
