"""Calls: scalar functions, functions of the author, layers and instances, which are inlined where they are called.

A layer is mapped over the index variables in its arguments that are free where it is called, and over whole axes
beyond the formal ones, from the left.  The tensors of its body get these as leading axes (``equations``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.expr import Expr, Index
from dlc.compiler.library import standard_home
from dlc.compiler.semantics.arguments import Given, match
from dlc.compiler.semantics.binding import bind
from dlc.compiler.semantics.contexts import Context, WholeAxes, evaluate, rule, value_rule
from dlc.compiler.semantics.errors import called_from
from dlc.compiler.semantics.errors_calls import (
    NotACallable,
    ParametersMissing,
    WrongKind,
)
from dlc.compiler.semantics.errors_names import NoOutput, UnknownFunction, UnknownMember
from dlc.compiler.semantics.frames import (
    Axis,
    Frame,
    Instance,
    Poisoned,
    Value,
    collecting,
    scope_of,
)
from dlc.compiler.semantics.functions import builtin, expanded, scope_of_function
from dlc.compiler.semantics.instances import has_parameters, made_parameters, resolve_instance
from dlc.compiler.semantics.lookup import tensor
from dlc.compiler.semantics.parameters import parameter
from dlc.compiler.semantics.scope import Scope
from dlc.compiler.semantics.states import has_states, remember_use, state
from dlc.compiler.semantics.summation import NO_SUMS
from dlc.compiler.semantics.systems import SOLVE, scope_of_solve, solution
from dlc.compiler.syntax import ast

_INTEGERS_TOO = ("abs", "sign", "stop")


@rule(ast.Call)
def call(context: Context, node: ast.Call) -> Expr:
    value = call_value(context, node)
    if value is not None:
        words = f"`{' '.join(node.function.span.text.split())}(..)`"
        return value.at(context.axes.take(context.frame, value, words, node.span))
    assert isinstance(node.function, ast.Name)
    kind, found = context.frame.scope.callee(node)
    if kind == "function" and found is not None:
        assert isinstance(found.item, ast.Function)
        return expanded(context, node, found.item, scope_of_function(found, found.item))
    return builtin(context, node, node.function.text)


@value_rule(ast.Call)
def call_value(context: Context, node: ast.Call) -> Value | None:
    """The first output of a layer or an instance that is called; None for a function of scalars."""
    called = _called(context, node)
    return None if called is None else _output(called, node, None)


def _called(context: Context, node: ast.Call) -> Called | None:
    scope = context.frame.scope
    kind, found = scope.callee(node)
    if kind == "instance":
        return _call_instance(context, node)
    if kind == "layer" and found is not None:
        if not isinstance(found.item, ast.Layer):
            raise CompileError(WrongKind(node.function.span, found.name, type(found.item).__name__.lower()))
        return _call_layer(context, node, scope_of(found, found.item))
    if kind == "unknown":
        raise _unknown(context, node)
    if isinstance(node.function, ast.Name) and node.function.text == SOLVE and kind == "builtin":
        return _call_layer(context, node, scope_of_solve())
    return None


def _unknown(context: Context, node: ast.Call) -> Exception:
    assert isinstance(node.function, ast.Name)
    name = node.function.text
    scope = context.frame.scope
    if name in scope.module.missing or name in scope.broken:
        return Poisoned()
    is_tensor = scope.is_tensor(name) or name in context.env
    home = standard_home(name)
    return CompileError(UnknownFunction(node.function.span, name, scope.callable_names(), is_tensor, home))


# -- layers and instances ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Called:
    """A layer in use; ``extras`` run over the whole axes that it is mapped over."""

    frame: Frame
    extras: tuple[Index, ...]


def _call_layer(context: Context, node: ast.Call, scope: Scope) -> Called:
    """A layer with everything that it needs."""
    given = match(scope, node, "direct", scope.name)
    names = tuple(scope.parameters)
    if names and not given.parameters:
        raise CompileError(ParametersMissing(node.span, scope.name, names, False))
    if has_parameters(scope, own_only=True):
        raise CompileError(ParametersMissing(node.span, scope.name, made_parameters(scope), True))
    build = context.frame.build
    instance = Instance(scope, scope.name, node.span, passed={})
    subscripts: tuple[Expr, ...] = ()
    if has_states(scope):  # a call with states of its own, one for each element of the array that it stands in
        owner = context.frame.instance
        path = f"{owner.path}.{scope.name}" if owner.path else scope.name
        instance = Instance(scope, path, node.span, owner.axes, passed={})
        subscripts = context.frame.subscripts
    instance.statics = Frame(build, scope, instance, is_static=True, trail=_trail(context, node, scope))
    written = given.hypers
    results = collecting([lambda name=name: evaluate(context, written[name]) for name in written])
    instance.hypers = dict(zip(written, results, strict=True))
    return _inlined(context, node, instance, given, subscripts)


def _call_instance(context: Context, node: ast.Call) -> Called:
    instance, subscripts = resolve_instance(context, node.function)
    if instance is None:
        raise CompileError(NotACallable(node.function.span, "this"))
    given = match(instance.scope, node, "instance", instance.name, instance.span)
    return _inlined(context, node, instance, given, subscripts)


def _trail(context: Context, node: ast.Call, scope: Scope):  # a closure of the type that frames hold
    def trail(problems: Iterable[Diagnostic]) -> list[Diagnostic]:
        return context.frame.trail(called_from(problems, node.span, scope.name))

    return trail


def _inlined(
    context: Context, node: ast.Call, instance: Instance, given: Given, subscripts: tuple[Expr, ...]
) -> Called:
    """A frame for this call, in which the formals have their values."""
    trail = _trail(context, node, instance.scope)
    key = context.frame.build.expansion((*context.frame.key, node.span.start))
    frame = Frame(context.frame.build, instance.scope, instance, subscripts, trail=trail, key=key)
    extras = bind(context, frame, node, given)
    remember_use(frame, context.frame, node)
    return Called(frame, extras)


def _output(called: Called, node: ast.Expression, name: str | None) -> Value:
    frame, scope = called.frame, called.frame.scope
    if not scope.outputs:
        raise CompileError(NoOutput(scope.definition.name.span, scope.name))
    name = next(iter(scope.outputs)) if name is None else name
    if name not in scope.outputs:
        raise CompileError(UnknownMember(node.span, name, scope.name, scope.name, tuple(scope.outputs)))
    if not scope.is_tensor(name):
        raise Poisoned  # the scope of the layer says that nothing defines it
    if scope is scope_of_solve():
        value = solution(frame, node.span)
    else:
        value = tensor(Context(frame, {}, NO_SUMS, WholeAxes()), name, node.span)
    axes = (*(Axis(index.size, _set(index)) for index in called.extras), *value.axes)
    indices = (*called.extras, *value.indices)
    return Value(f"{scope.name}(..)", axes, indices, value.body, value.span, value.bound, value.bound_set)


def _set(index: Index) -> str:
    return index.hint if index.hint[:1].isupper() else ""


# -- members -----------------------------------------------------------------------------------------------------------


@value_rule(ast.Member)
def member(context: Context, node: ast.Member) -> Value:
    """`fc1.w`, a parameter of an instance; `bn1.m`, a state; `f(x[I]).c`, another output of a call."""
    if isinstance(node.base, ast.Call):
        return _other_output(context, node, node.base)
    instance, subscripts = resolve_instance(context, node.base)
    name = node.name.text
    if instance is None:
        words = " ".join(node.base.span.text.split())
        raise CompileError(NotACallable(node.base.span, f"`{words}` is a tensor and", name))
    scope = instance.scope
    if name in scope.states:
        return replace(state(instance, context.frame, name, subscripts), name=f"{instance.name}.{name}")
    if name not in scope.parameters and name not in scope.own_parameters:
        known = (*scope.parameters, *scope.own_parameters, *scope.states, *scope.instances)
        raise CompileError(UnknownMember(node.name.span, name, instance.name, scope.name, known))
    value = parameter(instance, context.frame, name, subscripts)
    return replace(value, name=f"{instance.name}.{name}")


def _other_output(context: Context, node: ast.Member, base: ast.Call) -> Value:
    called = _called(context, base)
    if called is None:
        raise CompileError(NotACallable(node.span, "the value of a scalar function", node.name.text))
    return _output(called, node.name, node.name.text)
