"""The algebra of scalars, one row a rule.

What holds of numbers: integers are exact, so they take the normal form of polynomials.  Reals keep the meaning of
nan and infinity: ``x - x`` stays, and terms are collected only where the coefficients have one sign.  One convention
goes beyond IEEE arithmetic: a *literal* zero is an absent term.  ``0*x`` with the constant 0 is 0 even if x may be
infinite, for it comes from a derivative that does not exist or from a user who wrote nothing; so are ``0/x`` and the
other branch of a guard.  The sign of a zero is not kept.

A guard ``Select(c, e, 0)`` moves out of products, quotients and signs, which makes it protect all their factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.conditions import (
    conjunction,
    guarded,
    is_zero,
)
from dlc.compiler.ir.expr import Const, Expr, Op, Select, number, op
from dlc.compiler.ir.logic import LOGIC_RULES
from dlc.compiler.ir.simplifier import Rule

# -- constants ------------------------------------------------------------------------------------------------------

_FOLDED: dict[str, Callable[..., Any]] = {
    "add": lambda *args: sum(args[1:], args[0]),
    "mul": lambda *args: math.prod(args),
    "neg": lambda x: -x,
    "max": max,
    "min": min,
    "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "div": lambda x, y: x / y,
    "floordiv": lambda x, y: x // y,
    "mod": lambda x, y: x % y,
    "isqrt": math.isqrt,
    "pow": lambda x, y: x**y,
    "real": float,
    "int": lambda x: int(min(max(x, -(2.0**62)), 2.0**62)),
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "erf": math.erf,
    "floor": math.floor,
    "ceil": math.ceil,
    "log1p": math.log1p,
    "expm1": math.expm1,
    "relu": lambda x: max(x, 0.0),
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "stop": lambda x: x,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
}


def _fold(node: Expr) -> Expr | None:
    assert isinstance(node, Op)
    if node.name not in _FOLDED or not all(isinstance(arg, Const) for arg in node.args):
        return None
    values = [arg.value for arg in node.args if isinstance(arg, Const)]
    if any(isinstance(value, float) and math.isnan(value) for value in values):
        return None  # Python's max and comparisons treat a nan in ways of their own
    try:
        value: Any = _FOLDED[node.name](*values)
    except (ArithmeticError, ValueError):
        return None  # the machine's answer: an infinity, a nan, or an error in an integer
    if node.type == "bool":
        return Const(bool(value))
    if isinstance(value, complex):
        return None
    if not math.isfinite(value):
        keeps = node.name in ("neg", "max", "min", "abs", "stop", "real")
        return Const(float(value)) if keeps else None
    if node.type == "int":
        return Const(int(value)) if abs(value) < 2**63 else None
    return Const(float(value))


def _integers(node: Expr) -> Expr | None:
    return integer(node) if node.type == "int" else None


# -- sums -----------------------------------------------------------------------------------------------------------


def _terms(node: Expr) -> tuple[Expr, ...]:
    return node.args if isinstance(node, Op) and node.name == "add" else (node,)


def _negated_sums(node: Expr) -> Expr | None:
    terms: list[Expr] = []
    for term in _terms(node):
        if isinstance(term, Op) and term.name == "neg" and len(_terms(term.args[0])) > 1:
            terms.extend(op("neg", part) for part in _terms(term.args[0]))
        else:
            terms.append(term)
    return op("add", *terms) if len(terms) > len(_terms(node)) else None


def _constant_terms(node: Expr) -> Expr | None:
    terms = _terms(node)
    constants = [term for term in terms if isinstance(term, Const)]
    others = [term for term in terms if not isinstance(term, Const)]
    total = _fold(op("add", *constants)) if len(constants) > 1 else (constants or [None])[0]
    if total is None:
        return None
    if is_zero(total) and others:
        return op("add", *others)
    return op("add", *others, total) if len(constants) > 1 else None


def _coefficient(term: Expr) -> tuple[float, Expr]:
    """``(c, e)`` with term = c*e for a number c."""
    if isinstance(term, Op) and term.name == "neg":
        factor, rest = _coefficient(term.args[0])
        return -factor, rest
    if isinstance(term, Op) and term.name == "mul" and isinstance(term.args[0], Const):
        return float(term.args[0].value), op("mul", *term.args[1:])
    return 1.0, term


def _like_terms(node: Expr) -> Expr | None:
    if node.type != "real":
        return None
    total: dict[tuple[Expr, bool], float] = {}
    for term in _terms(node):
        factor, rest = _coefficient(term)
        key = (rest, factor > 0)
        total[key] = total.get(key, 0.0) + factor
    if len(total) == len(_terms(node)):
        return None
    return op("add", *(_scaled(factor, rest) for (rest, _), factor in total.items()))


def _scaled(factor: float, rest: Expr) -> Expr:
    size = rest if abs(factor) == 1 else op("mul", Const(abs(factor)), rest)
    return size if factor > 0 else op("neg", size)


def _like_guards(node: Expr) -> Expr | None:
    groups: dict[Expr, list[Expr]] = {}
    for term in _terms(node):
        if isinstance(term, Select) and is_zero(term.no):
            groups.setdefault(term.cond, []).append(term.yes)
    if all(len(parts) == 1 for parts in groups.values()):
        return None
    terms: list[Expr] = []
    for term in _terms(node):
        if not (isinstance(term, Select) and is_zero(term.no)):
            terms.append(term)
        elif parts := groups.pop(term.cond, None):
            terms.append(guarded(term.cond, op("add", *parts)))
    return op("add", *terms)


# -- products and quotients -----------------------------------------------------------------------------------------


def _zero_factor(node: Expr) -> Expr | None:
    return number(0, node.type) if any(map(is_zero, node.children)) else None


def _guarded_factor(node: Expr) -> Expr | None:
    assert isinstance(node, Op)
    conditions = [arg.cond for arg in node.args if isinstance(arg, Select) and is_zero(arg.no)]
    if not conditions:
        return None
    bare = [arg.yes if isinstance(arg, Select) and is_zero(arg.no) else arg for arg in node.args]
    return guarded(conjunction(conditions), op("mul", *bare))


def _signed_factors(node: Expr) -> Expr | None:
    assert isinstance(node, Op)
    if node.type != "real":
        return None
    negative, factors = 0, []
    for arg in node.args:
        if isinstance(arg, Op) and arg.name == "neg":
            negative, arg = negative + 1, arg.args[0]
        elif isinstance(arg, Const) and arg.value < 0:
            negative, arg = negative + 1, Const(-arg.value)
        factors.append(arg)
    if not negative:
        return None
    product = op("mul", *factors)
    return op("neg", product) if negative % 2 else product


def _constant_factors(node: Expr) -> Expr | None:
    assert isinstance(node, Op)
    if node.type != "real":
        return None
    constants = [arg for arg in node.args if isinstance(arg, Const)]
    if not constants:
        return None
    others = [arg for arg in node.args if not isinstance(arg, Const)]
    total = _fold(op("mul", *constants)) if len(constants) > 1 else constants[0]
    if total is None or not others:
        return total
    if isinstance(total, Const) and total.value == 1:
        return op("mul", *others)
    return op("mul", total, *others)


def _reciprocal_factor(node: Expr) -> Expr | None:
    assert isinstance(node, Op)
    for position, arg in enumerate(node.args):
        if isinstance(arg, Op) and arg.name == "div" and isinstance(arg.args[0], Const):
            over, under = arg.args
            rest = op("mul", over, *node.args[:position], *node.args[position + 1 :])
            return op("div", rest, under)
    return None


def _constant_quotient_factor(node: Expr) -> Expr | None:
    """a*(x/c) = (a/c)*x for numbers a and c."""
    assert isinstance(node, Op)
    if not isinstance(node.args[0], Const):
        return None
    for position, arg in enumerate(node.args):
        if isinstance(arg, Op) and arg.name == "div" and isinstance(arg.args[1], Const):
            factor = _fold(op("div", node.args[0], arg.args[1]))
            if factor is not None:
                return op("mul", factor, *node.args[1:position], arg.args[0], *node.args[position + 1 :])
    return None


def _quotient_of_nothing(node: Expr) -> Expr | None:
    over, under = node.children
    if is_zero(over):
        return over
    if isinstance(under, Const) and under.value in (1, -1):
        return over if under.value == 1 else op("neg", over)
    return None


def _guarded_quotient(node: Expr) -> Expr | None:
    over, under = node.children
    if isinstance(over, Select) and is_zero(over.no):
        return guarded(over.cond, op("div", over.yes, under))
    return None


def _signed_quotient(node: Expr) -> Expr | None:
    over, under = node.children
    if isinstance(over, Op) and over.name == "neg":
        return op("neg", op("div", over.args[0], under))
    if isinstance(under, Op) and under.name == "neg":
        return op("neg", op("div", over, under.args[0]))
    if isinstance(over, Const) and over.value < 0:
        return op("neg", op("div", Const(-over.value), under))
    return None


def _constants_over(node: Expr) -> Expr | None:
    over, under = node.children
    if not (isinstance(under, Const) and isinstance(over, Op) and over.name == "mul" and under.value):
        return None
    if not isinstance(over.args[0], Const):
        return None
    factor = _fold(op("div", over.args[0], under))
    return None if factor is None else op("mul", factor, *over.args[1:])


def _constants_under(node: Expr) -> Expr | None:
    over, under = node.children
    if not (isinstance(under, Op) and under.name == "mul" and isinstance(under.args[0], Const)):
        return None
    factor = _fold(op("div", Const(1.0), under.args[0]))
    return None if factor is None else op("div", op("mul", factor, over), op("mul", *under.args[1:]))


def _double_sign(node: Expr) -> Expr | None:
    (arg,) = node.children
    if isinstance(arg, Op) and arg.name == "neg":
        return arg.args[0]
    if isinstance(arg, Select) and is_zero(arg.no):
        return guarded(arg.cond, op("neg", arg.yes))
    if isinstance(arg, Op) and arg.name == "mul" and isinstance(arg.args[0], Const) and arg.args[0].value < 0:
        return op("mul", Const(-arg.args[0].value), *arg.args[1:])
    return None


def _power(node: Expr) -> Expr | None:
    base, exponent = node.children
    if not isinstance(exponent, Const):
        return None
    value = exponent.value
    if value == 0:
        return number(1, node.type)
    if value == 1:
        return base
    if node.type == "int":
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**31:
        return op("pow", base, Const(int(value)))
    if value == -1:
        return op("div", Const(1.0), base)
    if value == 0.5:
        return op("sqrt", base)
    if value % 2 == 0 and isinstance(base, Op) and base.name in ("neg", "abs"):
        return op("pow", base.args[0], exponent)
    return None


def _extreme(node: Expr) -> Expr | None:
    assert isinstance(node, Op)
    left, right = node.args
    if left is right:
        return left
    neutral = -math.inf if node.name == "max" else math.inf
    for arg, other in ((left, right), (right, left)):
        if isinstance(arg, Const) and arg.value == neutral:
            return other
    return None


def _useless_extreme(node: Expr) -> Expr | None:
    """max(x, 0) where x >= 0 is known of integers is done by their normal form; this is for reals of integers."""
    assert isinstance(node, Op)
    if node.type != "real":
        return None
    sides = []
    for arg in node.args:
        if isinstance(arg, Op) and arg.name == "real" and arg.args[0].type == "int":
            sides.append(polynomial(arg.args[0]))
        elif isinstance(arg, Const) and float(arg.value).is_integer():
            sides.append(Polynomial.constant(int(arg.value)))
        else:
            return None
    left, right = sides
    if nonnegative(left - right):
        return node.args[0 if node.name == "max" else 1]
    return node.args[1 if node.name == "max" else 0] if nonnegative(right - left) else None


def _as_real(node: Expr) -> Expr | None:
    (arg,) = node.children
    if arg.type == "bool":
        return guarded(arg, Const(1.0))
    if isinstance(arg, Select) and (isinstance(arg.yes, Const) or isinstance(arg.no, Const)):
        return Select(arg.cond, op("real", arg.yes), op("real", arg.no))
    return None


def _stopped(node: Expr) -> Expr | None:
    (arg,) = node.children
    return arg if isinstance(arg, Op) and arg.name == "stop" else None


# -- the table ------------------------------------------------------------------------------------------------------

SCALAR_RULES = (
    Rule("fold", "op", "f(1, 2) is a number", _fold),
    # integers
    Rule("guarded-factor", "mul", "[c]*a * b = [c]*(a*b)", _guarded_factor),
    Rule("integers", "op", "integers are polynomials in normal form", _integers),
    # sums
    Rule("negated-sum", "add", "a - (b + c) = a - b - c", _negated_sums),
    Rule("constant-terms", "add", "x + 0 = x;  1 + x + 2 = x + 3", _constant_terms),
    Rule("like-terms", "add", "2*x + x = 3*x, for coefficients of one sign", _like_terms),
    Rule("like-guards", "add", "[c]*a + [c]*b = [c]*(a + b)", _like_guards),
    # products
    Rule("zero-factor", "mul", "0*x = 0 for a literal 0: an absent term", _zero_factor),
    Rule("signed-factors", "mul", "-a * b = -(a*b)", _signed_factors),
    Rule("reciprocal-factor", "mul", "a * (2/b) = (2*a)/b", _reciprocal_factor),
    Rule("constant-factors", "mul", "1*x = x;  2*x*3 = 6*x", _constant_factors),
    Rule("constant-quotient-factor", "mul", "4*(x/2) = 2*x", _constant_quotient_factor),
    Rule("double-sign", "neg", "-(-x) = x;  -[c]*x = [c]*(-x);  -(-2*x) = 2*x", _double_sign),
    Rule("quotient-of-nothing", "div", "0/x = 0 for a literal 0;  x/1 = x;  x/(-1) = -x", _quotient_of_nothing),
    Rule("guarded-quotient", "div", "([c]*a)/b = [c]*(a/b)", _guarded_quotient),
    Rule("signed-quotient", "div", "-a/b = -(a/b);  a/-b = -(a/b)", _signed_quotient),
    Rule("constants-over", "div", "(6*x)/2 = 3*x", _constants_over),
    Rule("constants-under", "div", "x/(2*y) = (0.5*x)/y", _constants_under),
    Rule("power", "pow", "x^0 = 1;  x^1 = x;  x^-1 = 1/x;  x^0.5 = sqrt x;  (-x)^2 = x^2", _power),
    Rule("max", "max", "max(x, x) = x;  max(x, -inf) = x", _extreme),
    Rule("min", "min", "min(x, x) = x;  min(x, inf) = x", _extreme),
    Rule("known-max", "max", "max(i, 0) = i for an integer i >= 0", _useless_extreme),
    Rule("known-min", "min", "min(i, 0) = 0 for an integer i >= 0", _useless_extreme),
    Rule("real", "real", "real(c) = [c] for a condition c", _as_real),
    Rule("stop", "stop", "stop(stop(x)) = stop(x)", _stopped),
    *LOGIC_RULES,
)
