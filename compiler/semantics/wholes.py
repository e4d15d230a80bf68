"""Whole numbers among the reals as integers, where an integer is needed: ``x[clamp(floor(p[u]) + 1)]``.

`floor` and `ceil` give reals, which go beyond all integers and may be nan.  What is made of these, of integers and of
whole constants by ``+ - *``, `max`, `min` and `abs` is whole too, and so are the elements of a tensor of such.
"""

from __future__ import annotations

from dlc.compiler.ir.expr import Const, Expr, Op, Read, Select, op, walk
from dlc.compiler.semantics.frames import Elaboration

_GREATEST = 2**53
"""Up to this, a real constant is the number that was written."""


def whole(build: Elaboration, value: Expr) -> Expr | None:
    """The integer that a real is for a reason that can be seen; None if there is none."""
    found = _whole(build, value, frozenset())
    is_rounded = found is not None and any(isinstance(part, Op) and part.name == "int" for part in walk(found))
    return found if is_rounded else None


def _whole(build: Elaboration, value: Expr, within: frozenset[str]) -> Expr | None:
    """``within`` are the tensors whose equations are looked at: one that reads itself is whole if all else is."""
    if value.type == "int":
        return value
    match value:
        case Const(value=number) if value.type == "real" and abs(number) <= _GREATEST and number == int(number):
            return Const(int(number))
        case Op(name="real", args=(integer,)) if integer.type == "int":
            return integer
        case Op(name="floor" | "ceil"):
            return op("int", value)
        case Op(name="add" | "mul" | "neg" | "max" | "min" | "abs" | "stop" as name, args=args):
            parts = [part for arg in args if (part := _whole(build, arg, within)) is not None]
            return op(name, *parts) if len(parts) == len(args) else None
        case Select(cond=cond, yes=yes, no=no):
            first, second = _whole(build, yes, within), _whole(build, no, within)
            return None if first is None or second is None else Select(cond, first, second)
        case Read(tensor=tensor) if tensor in within:
            return op("int", value)
        case Read(tensor=tensor) if tensor in build.drafts and build.drafts[tensor].bodies:
            bodies, within = build.drafts[tensor].bodies, within | {tensor}
            return op("int", value) if all(_whole(build, body, within) is not None for body in bodies) else None
    return None
