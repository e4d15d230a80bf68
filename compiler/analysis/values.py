"""Integer expressions as numbers, once sizes are chosen; what depends on data has no value here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Select, Size, op, reads
from dlc.compiler.ir.rewriting import transform

Scope = Mapping[Any, int]  # sizes and locals by name, indices by themselves


class UnknownError(Exception):
    """The expression depends on data."""


def value(node: Expr, scope: Scope) -> Any:
    """The number or the truth value that the expression is.  Raises UnknownError."""
    match node:
        case Const(value=number):
            return number
        case Size(name=name) | Read(tensor=name, subscripts=()) if name in scope:
            return scope[name]
        case Index() if node in scope:
            return scope[node]
        case Select(cond=cond, yes=yes, no=no):
            return value(yes if value(cond, scope) else no, scope)
        case Op(name="and", args=args):
            return all(value(arg, scope) for arg in args)
        case Op(name="or", args=args):
            return any(value(arg, scope) for arg in args)
        case Op(name=name, args=args) if name in _OPERATORS:
            return _OPERATORS[name](*(value(arg, scope) for arg in args))
    raise UnknownError


def whole(node: Expr, scope: Scope) -> int:
    """The value of an extent or of a bound."""
    return int(value(node, scope))


def widest(node: Expr, scope: Scope) -> int:
    """The value of an extent or of a bound where data leaves nothing out."""

    def change(one: Expr) -> Expr | None:
        if not (isinstance(one, Op) and one.name in ("min", "max")):
            return None
        kept = [arg for arg in one.args if not any(read.subscripts for read in reads(arg))]
        if not 0 < len(kept) < len(one.args):
            return None
        return op(one.name, *kept) if len(kept) > 1 else kept[0]

    return whole(transform(node, change), scope)


_OPERATORS: Mapping[str, Any] = {
    "add": lambda *args: sum(args),
    "mul": lambda *args: math.prod(args),
    "neg": lambda x: -x,
    "max": max,
    "min": min,
    "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "floordiv": lambda x, y: x // y,
    "mod": lambda x, y: x % y,
    "isqrt": math.isqrt,
    "pow": lambda x, y: x**y,
    "stop": lambda x: x,
    "after": lambda x, _: x,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "not": lambda x: not x,
}
