"""The table of derivatives: for each operator, what the adjoint ``g`` of its value ``y`` gives to its arguments.

A row is ``g·∂y/∂a`` for each argument ``a``, as an expression; None stands for zero.  Where the derivative can be said
with the value ``y`` it is, because the forward pass has it already.  A contribution that is there only under a
condition is a ``Select`` whose other branch is zero: the walk keeps such guards outermost, so that what they exclude
is never evaluated.

At kinks: relu'(0) = 0, abs'(0) = 0, the root of a sum of squares has slope 0 at 0 (``squares``), and max and min send
everything to their first argument when both are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

from dlc.compiler.ir.expr import Const, Expr, Op, Select, number, op

Contributions = tuple[Expr | None, ...]
Row = Callable[..., Contributions]  # of g, y and the arguments

_ZERO, _ONE, _TWO = Const(0.0), Const(1.0), Const(2.0)


# -- building: ones and double signs are left out, everything else is the simplifier's business --------------------


def add(*terms: Expr) -> Expr:
    return op("add", *terms)


def mul(*factors: Expr) -> Expr:
    kept = [factor for factor in factors if factor is not _ONE]
    return op("mul", *kept) if kept else _ONE


def neg(x: Expr) -> Expr:
    return x.args[0] if isinstance(x, Op) and x.name == "neg" else op("neg", x)


def div(x: Expr, y: Expr) -> Expr:
    return op("div", x, y)


def where(cond: Expr, x: Expr) -> Expr:
    """``[cond]*x``."""
    return Select(cond, x, _ZERO)


def unless(cond: Expr, x: Expr) -> Expr:
    return Select(cond, _ZERO, x)


# -- rows that take more than a line -------------------------------------------------------------------------------


def _product(g: Expr, y: Expr, *args: Expr) -> Contributions:
    """∂(a·b·c)/∂b = a·c"""
    return tuple(mul(g, *args[:place], *args[place + 1 :]) for place in range(len(args)))


def _power(g: Expr, y: Expr, x: Expr, n: Expr) -> Contributions:
    """∂(xⁿ)/∂x = n·xⁿ⁻¹, and 0 for n = 0;  ∂(xⁿ)/∂n = xⁿ·log x, and 0 for x = 0 ≤ n"""
    if x.type != "real":
        return None, None
    if n.type != "real":
        return _power_base(g, x, n), None
    zero_base = op("and", op("eq", x, _ZERO), op("le", _ZERO, n))
    return _power_base(g, x, n), unless(zero_base, mul(g, y, op("log", x)))


def _power_base(g: Expr, x: Expr, n: Expr) -> Expr | None:
    zero, factor = number(0, n.type), n if n.type == "real" else op("real", n)
    if not isinstance(n, Const):
        return unless(op("eq", n, zero), mul(g, factor, op("pow", x, add(n, number(-1, n.type)))))
    if n.value == 0:
        return None
    if n.value == 1:
        return g
    rest = x if n.value == 2 else op("pow", x, number(n.value - 1, n.type))
    return mul(g, Const(float(n.value)), rest)


#: ``y`` is the value, ``x`` (or ``a``, ``b``) the arguments.  None for the whole row: derivative 0, or no derivative
#: because the value is no real number.
RULES: dict[str, Row | None] = {
    "add": lambda g, y, *args: (g,) * len(args),  # ∂(a + b)/∂a = 1
    "mul": _product,
    "neg": lambda g, y, x: (neg(g),),  # ∂(-x) = -1
    "max": lambda g, y, a, b: (where(op("le", b, a), g), unless(op("le", b, a), g)),  # [b ≤ a], [a < b]
    "min": lambda g, y, a, b: (where(op("le", a, b), g), unless(op("le", a, b), g)),  # [a ≤ b], [b < a]
    "abs": lambda g, y, x: (mul(g, op("sign", x)),),  # sign x
    "sign": None,
    "div": lambda g, y, a, b: (div(g, b), neg(div(mul(g, y), b))),  # 1/b, -y/b
    "floordiv": None,
    "mod": None,
    "isqrt": None,
    "pow": _power,
    "real": None,
    "int": None,
    "exp": lambda g, y, x: (mul(g, y),),  # y
    "log": lambda g, y, x: (div(g, x),),  # 1/x
    "sqrt": lambda g, y, x: (div(g, mul(_TWO, y)),),  # 1/(2y)
    "sin": lambda g, y, x: (mul(g, op("cos", x)),),  # cos x
    "cos": lambda g, y, x: (neg(mul(g, op("sin", x))),),  # -sin x
    "tan": lambda g, y, x: (mul(g, add(_ONE, op("pow", y, Const(2)))),),  # 1 + y²
    "sinh": lambda g, y, x: (mul(g, op("cosh", x)),),  # cosh x
    "cosh": lambda g, y, x: (mul(g, op("sinh", x)),),  # sinh x
    "tanh": lambda g, y, x: (mul(g, add(_ONE, neg(op("pow", y, Const(2))))),),  # 1 - y²
    "sigmoid": lambda g, y, x: (mul(g, y, add(_ONE, neg(y))),),  # y·(1 - y)
    "erf": lambda g, y, x: (mul(g, Const(2 / sqrt(pi)), op("exp", neg(op("pow", x, Const(2))))),),  # 2/√π · exp(-x²)
    "floor": None,
    "ceil": None,
    "log1p": lambda g, y, x: (div(g, add(_ONE, x)),),  # 1/(1 + x)
    "expm1": lambda g, y, x: (mul(g, add(y, _ONE)),),  # y + 1
    "relu": lambda g, y, x: (where(op("lt", _ZERO, y), g),),  # [y > 0]
    "softplus": lambda g, y, x: (mul(g, op("sigmoid", x)),),  # sigmoid x
    "stop": None,
    "after": lambda g, y, x, _: (g, _ZERO),  # 1, 0
    "random_uniform": None,
    "random_normal": None,
    "random_integer": None,
    "lt": None,
    "le": None,
    "eq": None,
    "ne": None,
    "and": None,
    "or": None,
    "not": None,
}
