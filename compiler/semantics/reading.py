"""Elements of tensors: subscripts, whole axes, flattened groups, and reading outside on purpose.

Whether a subscript stays in range is proved when all sizes are found (``ranges``); here each read remembers where it
was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Select, number, op, walk
from dlc.compiler.semantics.arithmetic import added
from dlc.compiler.semantics.contexts import Context, evaluate, rule, whole_value
from dlc.compiler.semantics.errors_calls import InstanceAsValue
from dlc.compiler.semantics.errors_indices import AllAxesMisplaced, OutsideMisplaced, WrongRank
from dlc.compiler.semantics.errors_sizes import AxisOfAnotherSize
from dlc.compiler.semantics.frames import Place, Value, collecting
from dlc.compiler.semantics.groups import group
from dlc.compiler.semantics.lookup import tensor
from dlc.compiler.semantics.names import integer
from dlc.compiler.semantics.reductions import whole_axes_context
from dlc.compiler.semantics.scope import OUTSIDE, set_of
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.semantics.words import is_unknown
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast


@dataclass(frozen=True)
class Subscript:
    """``guard`` must hold for the element to be read; where it does not, the value is zero."""

    value: Expr
    guard: tuple[Expr, ...] = ()


def read_value(context: Context, value: Value, subscripts: Sequence[ast.Subscript], span: Span) -> Expr:
    """The element of ``value`` at written subscripts."""
    if len(subscripts) == 1 and isinstance(subscripts[0], ast.AllAxes):
        return at_all_axes(context, value, subscripts[0].span)
    for subscript in subscripts:
        if isinstance(subscript, ast.AllAxes):
            raise CompileError(AllAxesMisplaced(subscript.span, "it stands for all axes, so it stands alone"))
    if len(subscripts) != value.rank:
        raise CompileError(WrongRank(span, value.name, value.rank, len(subscripts), value.span))
    found: list[Subscript] = []

    def step(axis: int, written: ast.Subscript) -> Expr:
        found.append(_subscript(context, value, axis, written))
        return found[-1].value

    collecting([lambda a=axis, w=written: step(a, w) for axis, written in enumerate(subscripts)])
    element = value.at([subscript.value for subscript in found])
    remember(context, element, value, subscripts)
    guards = tuple(dict.fromkeys(guard for subscript in found for guard in subscript.guard))
    return Select(op("and", *guards), element, _zero(element)) if guards else element


def _zero(element: Expr) -> Const:
    return Const(False) if element.type == "bool" else number(0, element.type)


def at_all_axes(context: Context, value: Value, span: Span) -> Expr:
    """`x[..]`"""
    if not context.axes.indices and not context.axes.is_open and value.rank:
        raise CompileError(AllAxesMisplaced(span, "the left side has no axes that it could stand for"))
    return value.at(context.axes.take(context.frame, value, f"`{value.name}[..]`", span))


def remember(context: Context, element: Expr, value: Value, written: Sequence[ast.Subscript]) -> None:
    """Keep the place of a read for messages about its range."""
    spans = tuple(subscript.span for subscript in written)
    place = Place(value, spans, tuple(" ".join(span.text.split()) for span in spans))
    for node in walk(element):
        if isinstance(node, Read) and node not in context.frame.build.places:
            context.frame.build.places[node] = place


# -- one subscript -----------------------------------------------------------------------------------------------------


def _subscript(context: Context, value: Value, axis: int, written: ast.Subscript) -> Subscript:
    size = value.axes[axis].size
    match written:
        case ast.Group():
            return Subscript(group(context, written, value, axis))
        case ast.Name() if written.is_capital:
            return Subscript(_whole_axis(context, value, axis, written))
        case ast.Call(function=ast.Name(text=name)) if (
            name in OUTSIDE and context.frame.scope.callee(written)[0] == "builtin"
        ):
            return _outside(context, name, written, size)
        case ast.AllAxes():
            raise AssertionError("handled by read_value")
    result = integer(context, written, "a subscript")
    if isinstance(result, Index) and isinstance(written, ast.Name):
        evidence = value.evidence(axis, written.span)
        context.frame.build.sizes.suggest(result.size, size, evidence)
        context.frame.build.sizes.suggest(size, result.size, Evidence(f"`{written.text}`", written.span))
    return Subscript(result)


def _whole_axis(context: Context, value: Value, axis: int, written: ast.Name) -> Expr:
    """A capital at an axis says that the axis has that set's size: bound if the set is new, else checked."""
    index = context.whole_axis(written)
    sizes = context.frame.build.sizes
    mine, its = sizes.value(index.size), sizes.value(value.axes[axis].size)
    entry = context.frame.scope.sets[set_of(written.text)]
    declared = Evidence(f"`{entry.name}`", entry.span)

    def report(_: object) -> None:
        shown = sizes.show(its), entry.name, sizes.show(mine)
        sets = tuple(one.set for one in value.axes)
        problem = AxisOfAnotherSize(written.span, value.name, axis + 1, *shown, value.span, sets, entry.size_span)
        context.frame.report(problem)

    if is_unknown(mine) or is_unknown(its) or mine is its:
        sizes.unify(its, mine, value.evidence(axis, written.span), declared, context.frame.report)
    else:
        sizes.unify(its, mine, value.evidence(axis, written.span), declared, report)
    return index


def _outside(context: Context, name: str, call: ast.Call, size: Expr) -> Subscript:
    arguments = call.arguments
    if len(arguments) != 1:
        raise CompileError(OutsideMisplaced(call.span, name))
    value = integer(context, arguments[0].value, f"`{name}`")
    last = added([size, Const(-1)], call.span)
    if name == "pad":
        return Subscript(value, (op("le", Const(0), value), op("lt", value, size)))
    if name == "clamp":
        value = op("min", op("max", value, Const(0)), last)
    else:
        value = op("mod", value, size)
    context.frame.build.clamped.add(value)
    return Subscript(value)


# -- rules -------------------------------------------------------------------------------------------------------------


@rule(ast.Indexed)
def indexed(context: Context, node: ast.Indexed) -> Expr:
    match node.base:
        case ast.Name(text=name) if name in context.frame.scope.instances:
            raise CompileError(InstanceAsValue(node.span, name))
        case ast.Name(text=name):
            return read_value(context, tensor(context, name, node.base.span), node.subscripts, node.span)
        case _:
            value = whole_value(context, node.base) or _mapped(context, node.base)
            if value is not None:
                return read_value(context, value, node.subscripts, node.span)
    raise CompileError(WrongRank(node.span, _words(node.base), 0, len(node.subscripts), None))


def _mapped(context: Context, node: ast.Expression) -> Value | None:
    """A function of scalars over the whole axes of its arguments."""
    if not context.frame.scope.calls_scalars(node):
        return None
    inner, axes = whole_axes_context(context, node)
    body = evaluate(inner, node)
    if not axes.indices:
        return None
    return Value(_words(node), tuple(axes.axes), tuple(axes.indices), body, node.span)


def _words(node: ast.Expression) -> str:
    words = " ".join(node.span.text.split())
    return words if len(words) < 30 else "this"
