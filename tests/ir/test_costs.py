"""What arithmetic costs: places are free, powers are products, and the classes that passes ask for lie nested."""

from __future__ import annotations

import pytest
from building import add, at, given, index, mul

from dlc.compiler.ir.costs import cost, is_cheap, is_costly, is_slow, operations
from dlc.compiler.ir.expr import Const, Expr, op
from dlc.compiler.ir.ops import OPERATORS

PLACE = index("i", "I")
X = at(given("x", "I"), PLACE)


def of(name: str, type: str = "real") -> Expr:
    argument = X if type == "real" else PLACE
    return op(name, *[argument] * (OPERATORS[name].arity or 3))


def test_terms_are_counted_one_by_one() -> None:
    assert cost(add(X, mul(X, X), X)) == 2
    assert operations(add(X, mul(X, X), op("exp", mul(X, X)))) == 2 + 1 + OPERATORS["exp"].cost


def test_places_are_free() -> None:
    assert operations(op("real", op("floordiv", mul(PLACE, PLACE), Const(3)))) == 0
    assert is_cheap(of("mod", "int")) and not is_cheap(op("random_integer", PLACE, PLACE, PLACE, PLACE, PLACE))


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, 0), (2.0, 1), (3.0, 2), (5.0, 3), (64.0, 6), (-2.0, 1 + 4)])
def test_whole_powers_are_products(exponent: float, expected: int) -> None:
    assert cost(op("pow", X, Const(exponent))) == expected


def test_other_powers_are_not() -> None:
    assert cost(op("pow", X, Const(0.5))) == OPERATORS["sqrt"].cost
    assert cost(op("pow", X, Const(2.5))) == cost(op("pow", X, Const(65.0))) == OPERATORS["pow"].cost


def test_classes() -> None:
    real = [of(name) for name, row in OPERATORS.items() if row.arguments in ("same", "real") and row.result != "bool"]
    assert all(is_costly(node) for node in real if is_slow(node))
    assert not any(is_cheap(node) for node in real if is_costly(node))
    named = {predicate: {node.name for node in real if predicate(node)} for predicate in (is_cheap, is_slow)}  # type: ignore[attr-defined]
    assert {"add", "mul", "neg", "max"} <= named[is_cheap] and {"exp", "tanh", "softplus"} <= named[is_slow]
    assert not is_cheap(of("div")) and not is_costly(of("div")) and is_costly(of("sqrt")) and not is_slow(of("sqrt"))
