"""Integers that lie in an index set: below which size the elements of an integer expression lie, and where they must.

The bound of an expression is a size, or `max(a, b)` of several where it has several branches or parts
(`alternatives`).  What a recurrence reads of itself lies below the bound that the whole tensor turns out to have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, op
from dlc.compiler.semantics.errors_types import NotWithinSet
from dlc.compiler.semantics.frames import Elaboration, Frame
from dlc.compiler.source import Span

Bounds = dict[Expr, str]
"""Sizes with the sets that have them ("" for none): an element lies below the greatest."""


def bound_of(build: Elaboration, body: Expr) -> tuple[Expr | None, str]:
    """``n`` if the integer lies in ``0 .. n-1`` for a reason that can be seen, and the set that has this size."""
    return bound_of_all(build, (body,))


def bound_of_all(build: Elaboration, bodies: Iterable[Expr]) -> tuple[Expr | None, str]:
    found = bounds_of_all(build, bodies)
    return joined(build, found) if found else (None, "")


def bounds_of_all(build: Elaboration, bodies: Iterable[Expr]) -> Bounds | None:
    """The bounds of all bodies together; None if one has none."""
    result: Bounds = {}
    for body in bodies:
        found = bounds_of(build, body)
        if found is None:
            return None
        result.update(found)
    return result


def bounds_of(build: Elaboration, body: Expr) -> Bounds | None:
    if body.type != "int":
        return None
    match body:
        case Index(size=size):
            return {size: set_name(body)}
        case Read(tensor=tensor):
            bound, name = build.bound_of_tensor(tensor)
            return None if bound is None else {bound: name}
        case Reduce(op="argmax" | "argmin", indices=(index,)):
            return {index.size: set_name(index)}
        case Reduce(op="max" | "min", body=inner):
            return None if isinstance(inner, Select) else bounds_of(build, inner)
        case Op(name="mod", args=(_, Const() as divisor)):
            return {divisor: ""} if divisor.value > 0 else None
        case Op(name="mod", args=(_, divisor)):
            return {divisor: ""}
        case Op(name="min", args=(Op(name="max", args=(_, Const(value=0))), last)):
            return {op("add", last, Const(1)): ""}
        case Op(name="max", args=args):
            return bounds_of_all(build, args)
        case Op(name="min", args=args):
            found = [bounds_of(build, arg) for arg in args]
            return None if None in found else found[0]
        case Op(name="random_integer", args=(*_, size)):
            return {size: ""}
        case Const(value=value) if value >= 0:
            return {Const(int(value) + 1): ""}
        case Select(yes=yes, no=no):
            return bounds_of_all(build, (yes, no))
    return None


def joined(build: Elaboration, found: Mapping[Expr, str]) -> tuple[Expr, str]:
    """The greatest of the bounds, as one expression."""
    left = _greatest(build, found)
    result = left[0]
    for bound in left[1:]:
        result = op("max", result, bound)
    return result, found[result] if len(left) == 1 else ""


def alternatives(build: Elaboration, bound: Expr) -> list[Expr]:
    """The sizes, one of which is the bound: what is to hold of elements must hold below each."""
    waiting, found = [build.sizes.value(bound)], []
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, Op) and one.name == "max":
            waiting[:0] = one.args
        else:
            found.append(build.sizes.value(one))
    return _greatest(build, found)


def _greatest(build: Elaboration, bounds: Iterable[Expr]) -> list[Expr]:
    """The bounds without those that another one surely reaches."""
    values = {bound: polynomial(build.sizes.value(bound)) for bound in bounds}
    kept: list[Expr] = []
    for bound, value in values.items():
        others = [values[one] for one in kept]
        if any(nonnegative(other - value) for other in others):
            continue
        kept = [one for one in kept if not nonnegative(value - values[one])]
        kept.append(bound)
    return kept


def set_name(index: Index) -> str:
    stem = index.hint.rstrip("'")
    return stem[:1].upper() + stem[1:]


def at_most(
    frame: Frame, bound: Expr, size: Expr, span: Span | None, name: str, set: str, declared: Span | None = None
) -> None:
    """Integers below ``bound`` lie in the set: proved, refuted, or left to be checked when the sizes are known.

    ``declared`` is where an output says that it does.
    """
    build = frame.build

    def later() -> None:
        for one in alternatives(build, bound):
            _compared(frame, one, size, span, name, set, declared)

    build.late.append(later)


def _compared(
    frame: Frame, bound: Expr, size: Expr, span: Span | None, name: str, set: str, declared: Span | None
) -> None:
    sizes = frame.build.sizes
    slack = polynomial(sizes.value(size)) - polynomial(bound)
    if nonnegative(slack):
        return
    if nonnegative(-slack - 1):
        greatest = sizes.show((polynomial(bound) - 1).expression())
        reason = f"its elements go up to {greatest} and `{set}` has {sizes.show(size)}"
        frame.report(NotWithinSet(span, name, set, reason, declared is not None, declared))
        return
    message = f"`{name}` has elements below {sizes.show(bound)}, which must lie in `{set}`"
    sizes.require(slack.expression(), message, span)
