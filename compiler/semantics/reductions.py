"""Reductions: `sum prod max min mean logsumexp argmax argmin any all`, over indices or everything, with a condition."""

from __future__ import annotations

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import FALSE, TRUE, Const, Expr, Index, Reduce, Select, fresh, identity_of, op
from dlc.compiler.semantics.arithmetic import real
from dlc.compiler.semantics.contexts import Context, WholeAxes, evaluate, rule
from dlc.compiler.semantics.errors_indices import AllAxesMisplaced
from dlc.compiler.semantics.errors_reductions import OneIndexOnly
from dlc.compiler.semantics.errors_types import BoolInArithmetic
from dlc.compiler.semantics.expressions import condition
from dlc.compiler.semantics.frames import Axis
from dlc.compiler.semantics.names import set_size
from dlc.compiler.semantics.scope import set_of
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.syntax import ast


@rule(ast.Reduction)
def reduction(context: Context, node: ast.Reduction) -> Expr:
    if node.everything:
        return _everything(context, node)
    if node.kind in ("argmax", "argmin") and len(node.indices) != 1:
        raise CompileError(OneIndexOnly(node.span, node.kind))
    indices = {
        name.text: fresh(set_size(context.frame, set_of(name.text), name.span), name.text) for name in node.indices
    }
    return _reduced(context.binding(indices), node, tuple(indices.values()))


def _everything(context: Context, node: ast.Reduction) -> Expr:
    """`sum[..] e`: over the whole axes of ``e``."""
    inner, axes = whole_axes_context(context, node)
    if node.kind in ("any", "all"):
        body = condition(inner, node.body)
    else:
        body = evaluate(inner, node.body)
    if not axes.indices:
        raise CompileError(AllAxesMisplaced(node.body.span, "this has no whole axes"))
    return _finished(node, tuple(axes.indices), TRUE, body)


def whole_axes_context(context: Context, node: ast.Node) -> tuple[Context, WholeAxes]:
    """A context in which the capitals that the summation rule found at ``node`` are whole axes of their own."""
    frame = context.frame
    names = context.sums.axes_of(node)
    indices = [fresh(set_size(frame, set_of(name), node.span), name) for name in names]
    axes = WholeAxes(
        indices,
        [Axis(index.size, set_of(name)) for index, name in zip(indices, names, strict=True)],
        not names,
        [Evidence(f"`{name}`", node.span) for name in names],
    )
    return context.binding(dict(zip(names, indices, strict=True))).within(axes), axes


def _reduced(context: Context, node: ast.Reduction, indices: tuple[Index, ...]) -> Expr:
    guard = TRUE if node.condition is None else condition(context, node.condition)
    inside = context if guard is TRUE else context.guarded(guard)
    body = condition(inside, node.body) if node.kind in ("any", "all") else evaluate(inside, node.body)
    return _finished(node, indices, guard, body)


def _finished(node: ast.Reduction, indices: tuple[Index, ...], guard: Expr, body: Expr) -> Expr:
    kind = node.kind
    if kind in ("any", "all"):
        return Reduce(kind, indices, body if guard is TRUE else _truth_guarded(kind, guard, body))
    if body.type == "bool":
        raise CompileError(BoolInArithmetic(node.body.span))
    if kind == "mean":
        return op("div", Reduce("sum", indices, _guarded(guard, real(body), "sum")), _count(indices, guard))
    if kind == "logsumexp":
        return op("log", Reduce("sum", indices, _guarded(guard, op("exp", real(body)), "sum")))
    return Reduce(kind, indices, _guarded(guard, body, kind))


def _truth_guarded(kind: str, guard: Expr, body: Expr) -> Expr:
    return Select(guard, body, FALSE if kind == "any" else TRUE)


def _guarded(guard: Expr, body: Expr, kind: str) -> Expr:
    return body if guard is TRUE else Select(guard, body, identity_of(kind, body.type))


def _count(indices: tuple[Index, ...], guard: Expr) -> Expr:
    if guard is TRUE:
        return real(op("mul", *(index.size for index in indices)))
    return Reduce("sum", indices, Select(guard, Const(1.0), Const(0.0)))
