"""Functions of scalars: those of the language, and those of the author, which are written out where they are called."""

from __future__ import annotations

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import Expr, op
from dlc.compiler.semantics.arithmetic import check_weight, extreme, numeric, real
from dlc.compiler.semantics.contexts import Context, evaluate
from dlc.compiler.semantics.derivatives import as_variable, derivative, variables_of
from dlc.compiler.semantics.errors import called_from
from dlc.compiler.semantics.errors_calls import RepeatedArgument, UnknownArgument, WrongCount
from dlc.compiler.semantics.errors_indices import OutsideMisplaced
from dlc.compiler.semantics.frames import Frame, collecting, scalar_value
from dlc.compiler.semantics.modules import Resolved
from dlc.compiler.semantics.scope import FUNCTIONS, OUTSIDE, Scope
from dlc.compiler.semantics.summation import NO_SUMS
from dlc.compiler.syntax import ast

_INTEGERS_TOO = ("abs", "sign", "stop")


def _positional(node: ast.Call, name: str, least: int, most: int | None) -> list[ast.Expression]:
    values = [argument.value for argument in node.arguments]
    wrong = len(values) < least or (most is not None and len(values) > most) or node.named or len(node.groups) > 1
    if wrong:
        formals = ("e", "x[i]") if name == "grad" else ("a", "b") if least > 1 else ("x",)
        hint = "its arguments have no names and stand between commas" if node.named or len(node.groups) > 1 else None
        if name in ("max", "min") and len(values) == 1:
            hint = f"over an index it is a reduction: `{name}[i] x[i]`"
        raise CompileError(WrongCount(node.span, name, "argument", formals, len(values), hint))
    return values


def builtin(context: Context, node: ast.Call, name: str) -> Expr:
    if name in OUTSIDE:
        raise CompileError(OutsideMisplaced(node.span, name))
    if name == "grad":
        return derivative(context, *_positional(node, name, 2, 2))
    assert name in FUNCTIONS
    many = name in ("max", "min")
    written = _positional(node, name, 2 if many else 1, None if many else 1)
    values = collecting([lambda argument=argument: evaluate(context, argument) for argument in written])
    values, kind = numeric(values, [argument.span for argument in written])
    if many:
        result = values[0]
        for value in values[1:]:
            result = extreme(name, result, value)
        return result
    return op(name, values[0] if kind == "int" and name in _INTEGERS_TOO else real(values[0]))


def expanded(context: Context, node: ast.Call, item: ast.Function, scope: Scope) -> Expr:
    """A function of the author: its body at the values of the arguments."""
    formals = [parameter.name.text for parameter in item.parameters]
    given: dict[str, ast.Expression] = {}
    for position, argument in enumerate(node.arguments):
        name = argument.name.text if argument.name is not None else formals[position] if position < len(formals) else ""
        if argument.name is not None and name not in formals:
            raise CompileError(UnknownArgument(argument.name.span, name, item.name.text, tuple(formals)))
        if name in given:
            raise CompileError(RepeatedArgument(argument.span, name))
        if name not in formals or len(node.groups) > 1:
            raise CompileError(
                WrongCount(
                    argument.span, item.name.text, "argument", tuple(formals), len(node.arguments), None, item.name.span
                )
            )
        given[name] = argument.value
    required = [p.name.text for p in item.parameters if p.value is None]
    if any(name not in given for name in required):
        raise CompileError(
            WrongCount(node.span, item.name.text, "argument", tuple(formals), len(given), None, item.name.span)
        )
    key = context.frame.build.expansion((*context.frame.key, node.span.start))
    frame = Frame(context.frame.build, scope, context.frame.instance, trail=context.frame.trail, key=key)
    inner = Context(frame, {}, NO_SUMS, context.axes, context.static)
    names = list(given)
    results = collecting([lambda name=name: evaluate(context, given[name]) for name in names])
    values = dict(zip(names, results, strict=True))
    frame.mapped = tuple(dict.fromkeys((*context.frame.mapped, *context.mapped_in(*results))))
    for parameter in item.parameters:
        name, default = parameter.name.text, parameter.value
        body = values[name] if default is None or name in values else evaluate(inner, default)
        frame.values[name] = scalar_value(name, body, parameter.span)
        if name in variables_of(item):
            frame.values[name] = as_variable(frame, frame.values[name], f"{item.name.text}.{name}", context.guards)
    check_weight(results, node.span)
    try:
        result = evaluate(inner, item.value)
        check_weight([result], node.span)
        return result
    except CompileError as error:
        raise CompileError(called_from(error.diagnostics, node.span, item.name.text)) from None


def scope_of_function(found: Resolved, item: ast.Function) -> Scope:
    """The names that a function sees: its parameters and what its file defines."""
    key = f"fn {item.name.text}"
    known = found.module.scopes.get(key)
    if known is None:
        signature = ast.Signature(data=item.parameters, span=item.span)
        definition = ast.Layer(item.name, signature, (), span=item.span)
        known = found.module.scopes[key] = Scope(
            found.module, definition, data={p.name.text: p for p in item.parameters}
        )
    return known
