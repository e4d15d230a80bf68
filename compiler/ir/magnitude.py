"""How small a number may be that is not 0: what decides whether its inverse is a number.

The inverse of a number below the normal ones overflows where a quotient by it does not.  ``never_tiny`` proves of an
expression that it is 0, infinite, nan or at least as large as ``LEAST``: then ``x*(1/y)`` is what ``x/y`` is, but for
rounding.  A root never is that small, nor is a sum of terms that are not negative with one that is a constant, nor the
sum of the exponentials of a row whose greatest is taken off.  ``never_positive`` proves of an exponent that its
exponential does not overflow.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, prod

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.conditions import guard_of, negation
from dlc.compiler.ir.expr import Const, Expr, Op, Read, Reduce, Select, identity_of
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.scaled import GREATEST

LEAST = 1e-37  # normal in float32
_DEEPEST = 4  # tensors that are looked through

Definition = Callable[[Expr], Expr]
"""What an element of a tensor is computed from, one step back; itself if nothing is known."""


def never_tiny(node: Expr, definition: Definition, depth: int = _DEEPEST) -> bool:
    """Whether the value is 0, infinite, nan, or at least ``LEAST`` in magnitude."""
    match node:
        case Const(value=value):
            return value == 0 or abs(value) >= LEAST
        case Op(name="real" | "sqrt"):
            return True  # the root of the smallest number there is, is far larger
        case Op(name="neg" | "stop" | "abs", args=(arg,)):
            return never_tiny(arg, definition, depth)
        case Select(yes=yes, no=no):
            return never_tiny(yes, definition, depth) and never_tiny(no, definition, depth)
        case Read():
            found = definition(node) if depth else node
            return found is not node and never_tiny(found, definition, depth - 1)
        case Reduce(op="sum") if _has_a_one(node, definition):
            return True
    return least(node, definition, depth) >= LEAST


def least(node: Expr, definition: Definition, depth: int = _DEEPEST) -> float:
    """A number that the value is not below, unless it is nan."""
    match node:
        case Const(value=value):
            return float(value)
        case Op(name="exp" | "sqrt" | "abs" | "sigmoid" | "relu" | "softplus"):
            return 0.0
        case Op(name="cosh"):
            return 1.0
        case Op(name="pow", args=(_, Const(value=value))) if value % 2 == 0 and value > 0:
            return 0.0
        case Op(name="stop", args=(arg,)):
            return least(arg, definition, depth)
        case Op(name="max", args=args):
            return max(least(arg, definition, depth) for arg in args)
        case Op(name="min", args=args):
            return min(least(arg, definition, depth) for arg in args)
        case Op(name="add", args=args):
            return sum(least(arg, definition, depth) for arg in args)
        case Op(name="mul", args=(left, right)) if left is right:
            return 0.0
        case Op(name="mul", args=args):
            parts = [least(arg, definition, depth) for arg in args]
            return prod(parts) if min(parts) > 0 else 0.0 if min(parts) >= 0 else -inf
        case Op(name="div", args=args):
            return 0.0 if min(least(arg, definition, depth) for arg in args) >= 0 else -inf
        case Op(name="real", args=(arg,)) if arg.type == "bool" or nonnegative(polynomial(arg)):
            return 0.0
        case Select(yes=yes, no=no):
            return min(least(yes, definition, depth), least(no, definition, depth))
        case Reduce(op="sum", body=body):
            return 0.0 if least(body, definition, depth) >= 0 else -inf
        case Read():
            found = definition(node) if depth else node
            return -inf if found is node else least(found, definition, depth - 1)
    return -inf


def never_positive(node: Expr, definition: Definition, depth: int = _DEEPEST) -> bool:
    """Whether the value is 0, negative or nan."""
    match node:
        case Const(value=value):
            return value <= 0
        case Op(name="neg", args=(arg,)):
            return least(arg, definition, depth) >= 0
        case Op(name="stop", args=(arg,)):
            return never_positive(arg, definition, depth)
        case Op(name="min", args=args):
            return any(never_positive(arg, definition, depth) for arg in args)
        case Op(name="add", args=args):
            return all(never_positive(arg, definition, depth) for arg in args)
        case Select(cond=cond, yes=yes, no=no):
            asked = ((yes, negation(cond)), (no, cond))
            return all(_is_positive(one, by) or never_positive(one, definition, depth) for one, by in asked)
        case Read():
            found = definition(node) if depth else node
            return found is not node and never_positive(found, definition, depth - 1)
    return False


def _is_positive(node: Expr, cond: Expr) -> bool:
    """Whether the condition says so."""
    match cond:
        case Op(name="lt" | "le", args=(Const(value=value), other)):
            return value >= 0 and other is node
    return False


def _has_a_one(node: Reduce, definition: Definition) -> bool:
    """Whether the sum is one of exponentials of numbers whose greatest is taken off: it is 0 or has a term that is 1,
    or one that is infinite.
    """
    cond, value = guard_of(node.body)
    match value:
        case Op(name="exp", args=(Op(name="add", args=(Read() as number, Op(name="neg", args=(taken,)))),)):
            greatest = definition(_unbounded(taken))
        case _:
            return False
    if not (isinstance(greatest, Reduce) and greatest.op == "max" and len(greatest.indices) == len(node.indices)):
        return False
    names: dict[Expr, Expr] = dict(zip(greatest.indices, node.indices, strict=True))
    held, body = guard_of(substitute(greatest.body, names), identity_of("max", "real"))
    return held is cond and _unbounded(body) is number


def _unbounded(node: Expr) -> Expr:
    """The number between bounds that are as far away as those of ``finite``."""
    match node:
        case Op(name="stop", args=(arg,)):
            return _unbounded(arg)
        case Op(name="max" | "min", args=(arg, Const(value=bound))) if abs(bound) >= GREATEST:
            return _unbounded(arg)
    return node
