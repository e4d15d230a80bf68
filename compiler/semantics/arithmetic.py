"""Types of expressions: reals, integers and truth values, and how operators bring them together.

Integers stay integers as long as only integers meet; beside a real they become one.  Integer constants are folded, so
that sizes and hyper-parameters that are numbers stay numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import Const, Expr, Op, Select, op
from dlc.compiler.ir.ops import Type
from dlc.compiler.semantics.errors_limits import ConstantTooLarge, DivisionByZero, ExpressionTooLarge
from dlc.compiler.semantics.errors_types import BoolInArithmetic
from dlc.compiler.source import Span

LARGEST = 2**63 - 1
HEAVIEST = 50_000
"""Terms of one expression, written out: what is shared counts as often as it stands there."""
DEEPEST = 250
"""Levels of one expression, which the passes behind walk by recursion."""


@lru_cache(maxsize=1 << 16)
def weight(node: Expr) -> int:
    """How many nodes the expression has when it is written out, at most a little more than the limit."""
    return min(HEAVIEST + 1, 1 + sum(map(weight, node.children)))


@lru_cache(maxsize=1 << 16)
def depth(node: Expr) -> int:
    """How deep the expression is nested, at most a little more than the limit."""
    return min(DEEPEST + 1, 1 + max(map(depth, node.children), default=0))


def check_weight(nodes: Sequence[Expr], span: Span) -> None:
    """Raises `CompileError` if the expressions, taken together, are too large to be written out."""
    if sum(map(weight, nodes)) > HEAVIEST:
        raise CompileError(ExpressionTooLarge(span, HEAVIEST, "terms"))
    if max(map(depth, nodes), default=0) > DEEPEST:
        raise CompileError(ExpressionTooLarge(span, DEEPEST, "levels"))


def real(node: Expr) -> Expr:
    """``node`` as a real number."""
    if node.type == "real":
        return node
    match node:
        case Const(value=value):
            return Const(float(value))
        case Select(cond=cond, yes=Const(), no=Const()):
            return Select(cond, real(node.yes), real(node.no))
        case Op(name="neg", args=(arg,)) if isinstance(arg, Const | Select):
            return op("neg", real(arg))
    return op("real", node)


def numeric(nodes: Sequence[Expr], spans: Sequence[Span]) -> tuple[list[Expr], Type]:
    """Numbers of one type: integers if all are, else reals."""
    for node, span in zip(nodes, spans, strict=True):
        if node.type == "bool":
            raise CompileError(BoolInArithmetic(span))
    if all(node.type == "int" for node in nodes):
        return list(nodes), "int"
    return [real(node) for node in nodes], "real"


def literal(value: int | float, span: Span) -> Const:
    if isinstance(value, int) and value > LARGEST:
        raise CompileError(ConstantTooLarge(span, str(value) if value < 10**30 else "this number"))
    return Const(value)


def negative(node: Expr) -> Expr:
    if isinstance(node, Const) and node.type != "bool":
        return Const(-node.value)
    return op("neg", node)


def added(terms: Sequence[Expr], span: Span) -> Expr:
    """The sum of numbers of one type; among integers, constants are folded and zeros left out."""
    values = [int(term.value) for term in terms if isinstance(term, Const) and term.type == "int"]
    check_weight(terms, span)
    if not values:
        return op("add", *terms)
    total = _checked(sum(values), span)
    rest = [term for term in terms if not isinstance(term, Const)]
    if not rest:
        return total
    return op("add", *rest, *([total] if total.value else []))


def multiplied(factors: Sequence[Expr], span: Span) -> Expr:
    """The product of numbers of one type; among integers, constants are folded and ones left out."""
    values = [int(factor.value) for factor in factors if isinstance(factor, Const) and factor.type == "int"]
    check_weight(factors, span)
    if not values:
        return op("mul", *factors)
    result = 1
    for value in values:
        result = int(_checked(result * value, span).value)
    rest = [factor for factor in factors if not isinstance(factor, Const)]
    if not rest or result == 0:
        return Const(result)
    return op("mul", *([Const(result)] if result != 1 else []), *rest)


def quotient(name: str, left: Expr, right: Expr, span: Span) -> Expr:
    """``floordiv`` or ``mod`` of integers."""
    if isinstance(right, Const) and right.value == 0:
        raise CompileError(DivisionByZero(span))
    if isinstance(left, Const) and isinstance(right, Const):
        a, b = int(left.value), int(right.value)
        return Const(a // b if name == "floordiv" else a % b)
    return op(name, left, right)


def extreme(name: str, left: Expr, right: Expr) -> Expr:
    if isinstance(left, Const) and isinstance(right, Const):
        return left if (left.value >= right.value) == (name == "max") else right
    return op(name, left, right)


def power(base: Expr, exponent: Expr, span: Span) -> Expr:
    """An integer stays one under an integer exponent that is not negative."""
    if isinstance(exponent, Const) and exponent.type == "int":
        if base.type == "int" and exponent.value < 0:
            base = real(base)
        if isinstance(base, Const) and base.type == "int":
            if exponent.value > 64 and abs(base.value) > 1:
                raise CompileError(ConstantTooLarge(span, f"{base.value}^{exponent.value}"))
            return _checked(int(base.value) ** int(exponent.value), span)
        return op("pow", base, exponent)
    return op("pow", real(base), real(exponent))


def compared(operator: str, left: Expr, right: Expr) -> Expr:
    """A comparison of two values of one type."""
    rows = {"==": ("eq", False), "!=": ("ne", False), "<": ("lt", False), "<=": ("le", False),
            ">": ("lt", True), ">=": ("le", True)}  # fmt: skip
    name, swapped = rows[operator]
    return op(name, right, left) if swapped else op(name, left, right)


def _checked(value: int, span: Span) -> Const:
    if abs(value) > LARGEST:
        raise CompileError(ConstantTooLarge(span, str(value) if abs(value) < 10**30 else "this number"))
    return Const(value)
