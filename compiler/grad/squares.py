"""Sums of squares: what is never negative, and has slope 0 wherever it is 0.

The root of such an expression is a norm, or a standard deviation.  Its slope at 0 does not exist; 0 lies between all
that it could be, as that of ``abs`` does, and is what is passed on (``walk``).  Without it the chain rule would
multiply the infinite slope of the root by the zero ones of the squares.
"""

from __future__ import annotations

from enum import IntEnum

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import Const, Expr, Op, Read, Reduce, Select
from dlc.compiler.ir.graph import Graph


class Kind(IntEnum):
    """What is known of an expression, from the least to the most."""

    UNKNOWN = 0
    SQUARE = 1  # not negative, with slope 0 where it is 0
    POSITIVE = 2  # above 0


class Squares:
    """Which expressions over the tensors of a graph are sums of squares."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: dict[str, Kind] = {}

    def has_kink(self, node: Expr) -> bool:
        """Whether the node is a root of a sum of squares, which may be 0."""
        match node:
            case Op(name="sqrt", args=(arg,)):
                return self.kind(arg) is Kind.SQUARE
            case Op(name="pow", args=(arg, Const(value=power))):
                return 0 < power < 1 and self.kind(arg) is Kind.SQUARE
        return False

    def kind(self, node: Expr) -> Kind:
        match node:
            case Const(value=value):
                return Kind.POSITIVE if value > 0 else Kind.SQUARE if value == 0 else Kind.UNKNOWN
            case Read(tensor=name):
                return self.kind_of_tensor(name)
            case Select(yes=yes, no=no):
                return min(self.kind(yes), self.kind(no))
            case Reduce(op="sum", body=body):
                return min(self.kind(body), Kind.SQUARE)  # it may be empty
            case Op(name="add", args=args):
                kinds = [self.kind(arg) for arg in args]
                return max(kinds) if Kind.UNKNOWN not in kinds else Kind.UNKNOWN
            case Op(name="mul", args=args):
                pairs = len(args) == 2 and args[0] is args[1]
                return Kind.SQUARE if pairs else min(self.kind(arg) for arg in args)
            case Op(name="div", args=(over, under)):
                return self.kind(over) if self.kind(under) is Kind.POSITIVE or _is_natural(under) else Kind.UNKNOWN
            case Op(name="pow", args=(base, Const(value=power))):
                return self.power(base, power)
            case Op(name="real"):
                return Kind.SQUARE if _is_natural(node) else Kind.UNKNOWN
            case Op(name="exp" | "cosh" | "sigmoid" | "softplus"):
                return Kind.POSITIVE
        return Kind.UNKNOWN

    def power(self, base: Expr, power: float) -> Kind:
        kind = self.kind(base)
        if kind is Kind.POSITIVE:
            return kind
        is_absolute = isinstance(base, Op) and base.name == "abs"
        if power > 1 and (power % 2 == 0 or is_absolute or kind is Kind.SQUARE):
            return Kind.SQUARE
        return Kind.UNKNOWN

    def kind_of_tensor(self, name: str) -> Kind:
        if name not in self.tensors:
            self.tensors[name] = Kind.UNKNOWN  # while it is asked for: a recurrence
            kinds = [self.kind(equation.value) for equation in self.graph.tensors[name].equations]
            self.tensors[name] = min(kinds, default=Kind.UNKNOWN)
        return self.tensors[name]


def _is_natural(node: Expr) -> bool:
    """Whether the node is a count or a truth value as a number, which has no slope; a quotient by it is 0 as before."""
    if not (isinstance(node, Op) and node.name == "real"):
        return False
    (arg,) = node.args
    return arg.type == "bool" or nonnegative(polynomial(arg))
