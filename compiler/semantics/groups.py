"""Flattened groups of axes: `(g,c)` is `g*|C| + c`, on the right and on the left."""

from __future__ import annotations

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, walk
from dlc.compiler.semantics.arithmetic import added, multiplied
from dlc.compiler.semantics.contexts import Context
from dlc.compiler.semantics.errors_sizes import GroupPart
from dlc.compiler.semantics.frames import Value
from dlc.compiler.semantics.names import integer
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.syntax import ast


def group(context: Context, written: ast.Group, value: Value | None = None, axis: int = 0) -> Expr:
    """`(g,c)` is `g*|C| + c`; whole sets in a group check that the axis is their product."""
    result: Expr = Const(0)
    total: Expr = Const(1)
    for part in written.parts:
        index, size = _part(context, part)
        result = added([multiplied([result, size], part.span), index], part.span)
        total = multiplied([total, size], part.span)
    names = [part for part in written.parts if isinstance(part, ast.Name)]
    if value is not None and len(names) == len(written.parts):
        build = context.frame.build
        right = Evidence(f"`{written.span.text}`", written.span)
        if all(name.is_capital for name in names):
            build.sizes.unify(
                value.axes[axis].size, total, value.evidence(axis, written.span), right, context.frame.report
            )
        else:
            build.sizes.suggest(value.axes[axis].size, total, right)
    return result


def _part(context: Context, part: ast.Expression) -> tuple[Expr, Expr]:
    """A part of a group: its value, and how many values it can have."""
    if isinstance(part, ast.Name) and part.is_capital:
        index: Expr = context.whole_axis(part)
    else:
        index = integer(context, part, "a subscript")
    for node in walk(index):
        if isinstance(node, Index) and index is node:
            return index, node.size
    if isinstance(index, Read):
        bound, _ = context.frame.build.bound_of_tensor(index.tensor)
        if bound is not None:
            return index, bound
    if isinstance(index, Op) and index.name == "mod":
        return index, index.args[1]
    raise CompileError(GroupPart(part.span, " ".join(part.span.text.split())))
