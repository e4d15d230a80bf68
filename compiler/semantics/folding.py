"""The value of an expression over constants alone: conditions on hyper-parameters and sizes that are numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from dlc.compiler.ir.expr import Const, Expr, Op, Select

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda *args: sum(args),
    "mul": lambda *args: math.prod(args),
    "neg": operator.neg,
    "max": max,
    "min": min,
    "abs": abs,
    "sign": lambda a: (a > 0) - (a < 0),
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": operator.pow,
    "real": float,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "floor": math.floor,
    "ceil": math.ceil,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
    "and": lambda *args: all(args),
    "or": lambda *args: any(args),
    "not": operator.not_,
}


def known_value(node: Expr) -> int | float | bool | None:
    """The number or truth value that an expression is, if it is made of constants; None too where it has none."""
    match node:
        case Const(value=value):
            return value
        case Select(cond=cond, yes=yes, no=no):
            answer = known_value(cond)
            return None if answer is None else known_value(yes if answer else no)
        case Op(name=name, args=args) if name in _FUNCTIONS:
            values = [known_value(arg) for arg in args]
            if any(value is None for value in values):
                return None
            try:
                result = _FUNCTIONS[name](*values)
            except (ArithmeticError, ValueError):
                return None
            return None if isinstance(result, complex) else result
    return None


def known_truth(node: Expr) -> bool | None:
    value = known_value(node)
    return value if isinstance(value, bool) else None
