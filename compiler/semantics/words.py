"""Integer expressions in the words of a spec: `|T| + 1`, `2*i - 1`, for messages."""

from __future__ import annotations

from typing import TypeGuard

from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, Size

UNKNOWN = "?"
"""Begins the name of a size that is not found yet."""

_INFIX = {"floordiv": " // ", "mod": " mod "}


def is_unknown(node: Expr) -> TypeGuard[Size]:
    return isinstance(node, Size) and node.name.startswith(UNKNOWN)


def in_words(node: Expr) -> str:
    return polynomial_in_words(polynomial(node)) if node.type == "int" else "this value"


def polynomial_in_words(value: Polynomial) -> str:
    text = ""
    for monomial, factor in value.terms:
        sign = "-" if factor < 0 else "+"
        factors = [*([str(abs(factor))] if abs(factor) != 1 or not monomial else []), *map(_atom, monomial)]
        text += f" {sign} {'*'.join(factors)}" if text else f"{'-' if factor < 0 else ''}{'*'.join(factors)}"
    return text or "0"


def _operand(node: Expr) -> str:
    """A sum or a product in parentheses."""
    terms = polynomial(node).terms
    stands_alone = not terms or (len(terms) == 1 and (not terms[0][0] or (len(terms[0][0]) == 1 and terms[0][1] == 1)))
    return in_words(node) if stands_alone else f"({in_words(node)})"


def _atom(node: Expr) -> str:
    match node:
        case Size(name=name):
            return "an unknown size" if is_unknown(node) else f"|{name}|"
        case Index(hint=hint):
            return hint
        case Const(value=value):
            return str(value)
        case Read(tensor=tensor, subscripts=subscripts):
            inside = ",".join(map(in_words, subscripts))
            return f"{tensor}[{inside}]" if inside else tensor
        case Op(name="floordiv" | "mod", args=(left, right)):
            return f"({_operand(left)}{_INFIX[node.name]}{_operand(right)})"
        case Op(name=name, args=args):
            return f"{name}({', '.join(map(in_words, args))})"
        case Reduce(op=name):
            return f"{name}[..]"
        case Select():
            return "a conditional"
    return "?"
