"""Products with their guards, taken apart."""

from __future__ import annotations

from building import at, given, index, mul, when

from dlc.compiler.ir.conditions import guard_inside
from dlc.compiler.ir.expr import TRUE, Const, Reduce, Select, identity_of, op
from dlc.compiler.ir.products import guarded_product

PLACE = index("i", "I")
X, Y = (at(given(name, "I"), PLACE) for name in "xy")
FIRST, SECOND = op("lt", PLACE, Const(3)), op("lt", Const(0.0), X)


def test_conditions_and_factors_stand_in_their_order() -> None:
    assert guarded_product(when(op("and", FIRST, SECOND), mul(X, Y))) == ((FIRST, SECOND), (X, Y))
    assert guarded_product(when(FIRST, X)) == ((FIRST,), (X,))
    assert guarded_product(mul(X, Y)) == ((), (X, Y))


def test_another_choice_is_a_factor() -> None:
    choice = Select(FIRST, X, Const(1.0))
    assert guarded_product(choice) == ((), (choice,))


def test_a_reduction_leaves_out_what_changes_nothing_in_it() -> None:
    none = identity_of("max", "real")
    assert guard_inside(Reduce("max", (PLACE,), Select(FIRST, X, none))) == (FIRST, X)
    choice = Select(FIRST, X, Const(0.0))
    assert guard_inside(Reduce("max", (PLACE,), choice)) == (TRUE, choice)
    assert guard_inside(Reduce("sum", (PLACE,), choice)) == (FIRST, X)
