"""Functions in terms of exponentials, logarithms and choices, in which their relations show."""

from __future__ import annotations

from collections.abc import Callable

from dlc.compiler.ir.expr import Const, Expr, Select, op

_HALF, _ONE, _TWO = Const(0.5), Const(1.0), Const(2.0)


def _one_plus_exp(x: Expr) -> Expr:
    return op("add", _ONE, op("exp", x))


def _inverse(x: Expr) -> Expr:
    return op("div", _ONE, x)


def _minus(x: Expr) -> Expr:
    return op("neg", x)


def _zero(x: Expr) -> Expr:
    return Const(0) if x.type == "int" else Const(0.0)


REWRITTEN: dict[str, Callable[..., Expr]] = {
    "tanh": lambda x: op("add", _ONE, _minus(op("div", _TWO, _one_plus_exp(op("mul", _TWO, x))))),
    "sigmoid": lambda x: _inverse(_one_plus_exp(_minus(x))),
    "sinh": lambda x: op("mul", _HALF, op("add", op("exp", x), _minus(op("exp", _minus(x))))),
    "cosh": lambda x: op("mul", _HALF, op("add", op("exp", x), op("exp", _minus(x)))),
    "softplus": lambda x: op("log", _one_plus_exp(x)),
    "log1p": lambda x: op("log", op("add", _ONE, x)),
    "expm1": lambda x: op("add", op("exp", x), _minus(_ONE)),
    "relu": lambda x: Select(op("lt", _zero(x), x), x, _zero(x)),
    "abs": lambda x: Select(op("lt", x, _zero(x)), _minus(x), x),
    "max": lambda a, b: Select(op("lt", a, b), b, a),
    "min": lambda a, b: Select(op("lt", b, a), b, a),
    "sign": lambda x: Select(op("lt", _zero(x), x), _ONE, Select(op("lt", x, _zero(x)), _minus(_ONE), Const(0.0))),
}
