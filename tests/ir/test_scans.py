"""Which loops combine each element of a row with the one before."""

from __future__ import annotations

from building import add, index, mul

from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Read, op
from dlc.compiler.ir.loops import For, Store
from dlc.compiler.ir.scans import scan

B, T = index("b", "B"), index("t", "T")


def loop(place: Expr, value: Expr, stop: Expr = T.size) -> For:
    return For(T, ZERO, stop, (Store("y", (B, place), value),))


def y(place: Expr) -> Read:
    return Read("y", (B, place), "real")


X = Read("x", (B, T), "real")


def test_each_operator_goes_up_and_down() -> None:
    behind, back = add(T, ONE), add(T.size, mul(Const(-1), T), Const(-1))
    for name, operator in {"add": "sum", "mul": "prod", "max": "max", "min": "min"}.items():
        up = scan(loop(behind, op(name, y(T), X)))
        assert up is not None and (up.operator, up.value, up.descends) == (operator, X, False)
        assert up.first == [B, ONE] and up.loop.length is T.size
    down = scan(loop(back, add(X, y(add(T.size, mul(Const(-1), T))))))
    assert down is not None and down.descends and down.first == [B, ZERO]


def test_what_is_none() -> None:
    behind = add(T, ONE)
    for value in (
        X,
        op("add", y(behind), X),  # of itself
        op("add", op("mul", y(T), X), X),  # a multiple of the element before
        op("add", y(T), y(T)),
        op("add", Read("y", (T, T), "real"), X),  # of another row
        op("exp", y(T)),
    ):
        assert scan(loop(behind, value)) is None
    assert scan(loop(mul(Const(2), T), add(y(T), X))) is None  # not side by side
    assert scan(loop(behind, add(y(T), X), Const(5))) is None  # a short row
