"""Calls: scalar functions, functions of the author, layers and instances, which are inlined where they are called.

A layer is mapped over the index variables in its arguments that are free where it is called, and over whole axes
beyond the formal ones, from the left.  The tensors of its body get these as leading axes (``equations``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Select, fresh, number, op, walk
from dlc.compiler.semantics import errors_unsupported as unsupported
from dlc.compiler.semantics.arguments import Given, match
from dlc.compiler.semantics.arithmetic import check_weight, extreme, numeric, real
from dlc.compiler.semantics.contexts import Context, WholeAxes, evaluate, rule
from dlc.compiler.semantics.equations import at_most, bound_of, draft_of
from dlc.compiler.semantics.errors import called_from
from dlc.compiler.semantics.errors_calls import (
    NotACallable,
    ParametersMissing,
    RepeatedArgument,
    UnknownArgument,
    WrongArgumentRank,
    WrongCount,
    WrongKind,
)
from dlc.compiler.semantics.errors_indices import OutsideMisplaced, WrongRank
from dlc.compiler.semantics.errors_names import NoOutput, UnknownFunction, UnknownMember
from dlc.compiler.semantics.errors_types import NotWithinSet, WrongType
from dlc.compiler.semantics.expressions import condition
from dlc.compiler.semantics.frames import (
    Axis,
    Frame,
    Instance,
    Poisoned,
    Value,
    collecting,
    scalar_value,
    scope_of,
    tensor_value,
)
from dlc.compiler.semantics.instances import has_parameters, made_parameters, resolve_instance
from dlc.compiler.semantics.names import set_size, size_expression, take_default, tensor
from dlc.compiler.semantics.parameters import parameter
from dlc.compiler.semantics.reductions import whole_axes_context
from dlc.compiler.semantics.scope import FUNCTIONS, LATER, OUTSIDE, Scope, set_of
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.semantics.summation import NO_SUMS
from dlc.compiler.semantics.targets import LeftSide
from dlc.compiler.source import Span
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
        return _function(context, node, found.item, scope_of_function(found))
    return _builtin(context, node, node.function.text)


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
    return None


def _unknown(context: Context, node: ast.Call) -> Exception:
    assert isinstance(node.function, ast.Name)
    name = node.function.text
    scope = context.frame.scope
    if name in scope.module.missing or name in scope.broken:
        return Poisoned()
    is_tensor = scope.is_tensor(name) or name in context.env
    return CompileError(UnknownFunction(node.function.span, name, scope.callable_names(), is_tensor))


# -- functions of scalars ----------------------------------------------------------------------------------------------


def _positional(node: ast.Call, name: str, least: int, most: int | None) -> list[ast.Expression]:
    values = [argument.value for argument in node.arguments]
    wrong = len(values) < least or (most is not None and len(values) > most) or node.named or len(node.groups) > 1
    if wrong:
        formals = ("a", "b") if least > 1 else ("x",)
        hint = "its arguments have no names and stand between commas" if node.named or len(node.groups) > 1 else None
        if name in ("max", "min") and len(values) == 1:
            hint = f"over an index it is a reduction: `{name}[i] x[i]`"
        raise CompileError(WrongCount(node.span, name, "argument", formals, len(values), hint))
    return values


def _builtin(context: Context, node: ast.Call, name: str) -> Expr:
    if name in OUTSIDE:
        raise CompileError(OutsideMisplaced(node.span, name))
    if name in LATER:
        kind = unsupported.GradNotSupported if name == "grad" else unsupported.SolveNotSupported
        raise CompileError(kind(node.span))
    assert name in FUNCTIONS
    many = name in ("max", "min")
    written = _positional(node, name, 2 if many else 1, None if many else 1)
    values = collecting([lambda argument=argument: evaluate(context, argument) for argument in written])
    values, type = numeric(values, [argument.span for argument in written])
    if many:
        result = values[0]
        for value in values[1:]:
            result = extreme(name, result, value)
        return result
    return op(name, values[0] if type == "int" and name in _INTEGERS_TOO else real(values[0]))


def _function(context: Context, node: ast.Call, item: ast.Function, scope: Scope) -> Expr:
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
            raise CompileError(WrongCount(argument.span, item.name.text, "argument", tuple(formals), len(node.arguments), None, item.name.span))
        given[name] = argument.value
    required = [p.name.text for p in item.parameters if p.value is None]
    if any(name not in given for name in required):
        raise CompileError(WrongCount(node.span, item.name.text, "argument", tuple(formals), len(given), None, item.name.span))
    frame = Frame(context.frame.build, scope, context.frame.instance, trail=context.frame.trail)
    inner = Context(frame, {}, NO_SUMS, context.axes, context.static)
    names = list(given)
    results = collecting([lambda name=name: evaluate(context, given[name]) for name in names])
    values = dict(zip(names, results, strict=True))
    for parameter in item.parameters:
        name = parameter.name.text
        body = values[name] if name in values else evaluate(inner, parameter.value)  # type: ignore[arg-type]
        frame.values[name] = scalar_value(name, body, parameter.span)
    check_weight(results, node.span)
    try:
        result = evaluate(inner, item.value)
        check_weight([result], node.span)
        return result
    except CompileError as error:
        raise CompileError(called_from(error.diagnostics, node.span, item.name.text)) from None


def scope_of_function(found: object) -> Scope:
    """The names that a function sees: its parameters and what its file defines."""
    from dlc.compiler.semantics.modules import Resolved

    assert isinstance(found, Resolved) and isinstance(found.item, ast.Function)
    item = found.item
    key = f"fn {item.name.text}"
    known = found.module.scopes.get(key)
    if known is None:
        signature = ast.Signature(data=item.parameters, span=item.span)
        definition = ast.Layer(item.name, signature, (), span=item.span)
        known = found.module.scopes[key] = Scope(found.module, definition, data={p.name.text: p for p in item.parameters})
    return known


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
    instance.statics = Frame(build, scope, instance, is_static=True, trail=_trail(context, node, scope))
    written = given.hypers
    results = collecting([lambda name=name: evaluate(context, written[name]) for name in written])
    instance.hypers = dict(zip(written, results, strict=True))
    return _inlined(context, node, instance, given, ())


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


def _inlined(context: Context, node: ast.Call, instance: Instance, given: Given, subscripts: tuple[Expr, ...]) -> Called:
    """A frame for this call, in which the formals have their values."""
    trail = _trail(context, node, instance.scope)
    frame = Frame(context.frame.build, instance.scope, instance, subscripts, trail=trail)
    return Called(frame, _bind(context, frame, node, given))


def _output(called: Called, node: ast.Expression, name: str | None) -> Value:
    frame, scope = called.frame, called.frame.scope
    if not scope.outputs:
        raise CompileError(NoOutput(scope.definition.name.span, scope.name))
    name = next(iter(scope.outputs)) if name is None else name
    if name not in scope.outputs:
        raise CompileError(UnknownMember(node.span, name, scope.name, scope.name, tuple(scope.outputs)))
    if not scope.is_tensor(name):
        raise Poisoned  # the scope of the layer says that nothing defines it
    value = tensor(Context(frame, {}, NO_SUMS, WholeAxes()), name, node.span)
    axes = (*(Axis(index.size, _set(index)) for index in called.extras), *value.axes)
    indices = (*called.extras, *value.indices)
    return Value(f"{scope.name}(..)", axes, indices, value.body, value.span, value.bound, value.bound_set)


def _sets(value: Value) -> tuple[str, ...]:
    return tuple(axis.set for axis in value.axes)


def _set(index: Index) -> str:
    return index.hint if index.hint[:1].isupper() else ""


# -- formals and actuals -----------------------------------------------------------------------------------------------


def _bind(context: Context, frame: Frame, node: ast.Call, given: Given) -> tuple[Index, ...]:
    """Give the formals their values and the sets their sizes; the result are the whole axes that are mapped over."""
    build, scope = frame.build, frame.scope
    for name, written in given.sets.items():
        _name_set(frame, name, size_expression(context.frame, written), written.span)
    for name, (size, span) in frame.instance.given_sets.items():
        _name_set(frame, name, size, span)
    if given.parameters:
        frame.instance.passed = passed_parameters(context, frame, given)
    actuals: dict[str, Value] = {}
    problems: list[Diagnostic] = []
    poisoned = False
    for name, written in given.data.items():
        try:
            actuals[name] = _actual(context, frame, scope.data[name], written)
        except CompileError as error:
            problems.extend(error.diagnostics)
        except Poisoned:
            poisoned = True
    if problems:
        raise CompileError(problems)
    if poisoned:
        raise Poisoned
    extras = _extras(frame, actuals, given)
    for name, actual in actuals.items():
        _match_axes(frame, scope.data[name], actual, extras, given.data[name].span)
    for name in scope.sets:
        take_default(frame, name)
    for name, declaration in scope.data.items():
        if name not in actuals:
            actuals[name] = _default(frame, declaration)
            frame.values[name] = actuals[name]
    for name, declaration in scope.data.items():
        if declaration.element_of is not None:
            _element_of(frame, declaration, actuals[name], given.data.get(name))
    for name in (*scope.parameters, *scope.own_parameters):
        parameter(frame.instance, frame, name)
    build.frames.append(frame)
    return extras


def _name_set(frame: Frame, name: str, size: Expr, span: Span) -> None:
    entry = frame.scope.sets[name]
    left = Evidence(f"`{name}`, given here,", span)
    frame.build.sizes.unify(size, set_size(frame, name, entry.span), left, Evidence(f"`{name}`", entry.span), frame.report)


def passed_parameters(context: Context, frame: Frame, given: Given) -> dict[str, Value]:
    """The parameters that a call, or the making of an instance, passes."""
    formals = frame.scope.parameters
    return {name: _passed(context, frame, formals[name], written) for name, written in given.parameters.items()}


def _passed(context: Context, frame: Frame, formal: ast.Declaration, written: ast.Expression) -> Value:
    """A parameter that the caller passes."""
    if isinstance(written, ast.Name) and context.frame.scope.is_tensor(written.text):
        value = tensor(context, written.text, written.span)
    elif isinstance(written, ast.Member):
        value = member(context, written)
    else:
        value = argument_value(context, frame, formal, written)
    if any(isinstance(axis, ast.AllAxes) for axis in formal.axes):
        return value
    if value.rank != len(formal.axes):
        raise CompileError(_wrong_rank(context, frame, formal, value.rank, written))
    for number, axis in enumerate(formal.axes):
        assert isinstance(axis, ast.Name)
        size = set_size(frame, set_of(axis.text), axis.span)
        right = Evidence(f"axis `{axis.text}` of `{formal.name.text}` in `{frame.scope.name}`", axis.span)
        frame.build.sizes.unify(value.axes[number].size, size, value.evidence(number, written.span), right, frame.report)
    return replace(value, body=_as_declared(formal, value.body, written.span))


def _wrong_rank(
    context: Context, frame: Frame, formal: ast.Declaration, rank: int, written: ast.Expression
) -> WrongArgumentRank:
    axes = tuple(axis.text for axis in formal.axes if isinstance(axis, ast.Name))
    summed = tuple(
        name for part in ast.walk(written) if isinstance(part, ast.Product) for name in context.sums.of(part) if name[0].isupper()
    )
    is_data = formal.name.text in frame.scope.data
    return WrongArgumentRank(written.span, formal.name.text, frame.scope.name, axes, rank, formal.span, is_data, summed)


def _actual(context: Context, frame: Frame, formal: ast.Declaration, written: ast.Expression) -> Value:
    if isinstance(written, ast.Name) and context.frame.scope.is_tensor(written.text) and written.text not in context.env:
        value = tensor(context, written.text, written.span)
        if value.rank:
            raise CompileError(WrongRank(written.span, written.text, value.rank, 0, value.span, _sets(value)))
    value = argument_value(context, frame, formal, written)
    everything = any(isinstance(axis, ast.AllAxes) for axis in formal.axes)
    if not everything and value.rank < len(formal.axes):
        raise CompileError(_wrong_rank(context, frame, formal, value.rank, written))
    return replace(value, body=_as_declared(formal, value.body, written.span))


def _as_declared(formal: ast.Declaration, body: Expr, span: Span) -> Expr:
    """An argument has the type that the formal is declared with; integers become reals where reals are declared."""
    wanted = "int" if formal.element_of is not None else formal.type or "real"
    if body.type == wanted:
        return body
    if wanted == "real" and body.type == "int":
        return real(body)
    raise CompileError(WrongType(span, formal.name.text, wanted, body.type, formal.span))


def argument_value(context: Context, frame: Frame, formal: ast.Declaration, written: ast.Expression) -> Value:
    """An argument with its whole axes; what is more than an element of a tensor becomes a tensor of its own."""
    inner, axes = whole_axes_context(context, written)
    is_truth = formal.type == "bool"
    body = condition(inner, written) if is_truth and not isinstance(written, ast.Indexed) else evaluate(inner, written)
    name = _words(written)
    indices = tuple(axes.indices)
    if context.guards and any(isinstance(part, Read) for part in walk(body)):
        # the layer is evaluated everywhere, its argument only where the guard around the call lets it be read
        zero = Const(False) if body.type == "bool" else number(0, body.type)
        body = Select(op("and", *context.guards), body, zero)
    if _is_plain(body):
        bound, bound_set = bound_of(frame.build, body)
        return Value(name, tuple(axes.axes), indices, body, written.span, bound, bound_set)
    return materialised(frame, formal.name.text, name, body, indices, axes.axes, written.span)


def materialised(
    frame: Frame, wanted: str, name: str, body: Expr, indices: tuple[Index, ...], axes: Sequence[Axis], span: Span
) -> Value:
    """A tensor that holds ``body`` at all values of ``indices``."""
    target = ast.Target(ast.Name(wanted, span=span), (), span=span)
    left = LeftSide(target, {}, indices, indices, WholeAxes(), tuple(axis.set for axis in axes))
    draft = draft_of(frame, wanted, [left], [body], [index.size for index in indices], [span])
    frame.build.add(draft)
    return replace(tensor_value(draft, name, draft.lead, span), name=name)


def _words(written: ast.Expression) -> str:
    base = written.base if isinstance(written, ast.Indexed) else written
    words = " ".join(base.span.text.split())
    return words if len(words) <= 40 else f"{words[:37]}..."


def _is_plain(body: Expr) -> bool:
    """Whether reading ``body`` again costs nothing: an element at subscripts without data, a number, an index."""
    if isinstance(body, Read):
        return not any(isinstance(part, Read) for subscript in body.subscripts for part in walk(subscript))
    return isinstance(body, Const | Index)


def _extras(frame: Frame, actuals: dict[str, Value], given: Given) -> tuple[Index, ...]:
    """Index variables over the whole axes beyond the formal ones, from the left; those of all arguments run together."""
    extras: list[Index] = []
    known: list[Evidence] = []
    for name, actual in actuals.items():
        formal = frame.scope.data[name]
        if any(isinstance(axis, ast.AllAxes) for axis in formal.axes):
            continue
        for number in range(actual.rank - len(formal.axes)):
            evidence = actual.evidence(number, given.data[name].span)
            if number == len(extras):
                extras.append(fresh(actual.axes[number].size, actual.axes[number].set or "i"))
                known.append(evidence)
            else:
                frame.build.sizes.unify(actual.axes[number].size, extras[number].size, evidence, known[number], frame.report)
    return tuple(extras)


def _match_axes(
    frame: Frame, formal: ast.Declaration, actual: Value, extras: tuple[Index, ...], span: Span
) -> None:
    name = formal.name.text
    if any(isinstance(axis, ast.AllAxes) for axis in formal.axes):
        frame.values[name] = replace(actual, name=name)
        if frame.all_axes is None or (not frame.all_axes and actual.rank):
            frame.all_axes = actual.axes
        return
    skip = actual.rank - len(formal.axes)
    indices = tuple(fresh(axis.size, _index_hint(formal, number)) for number, axis in enumerate(actual.axes[skip:]))
    sizes = frame.build.sizes
    axes: list[Axis] = []
    for number, axis in enumerate(formal.axes):
        assert isinstance(axis, ast.Name)
        size = set_size(frame, set_of(axis.text), axis.span)
        right = Evidence(f"axis `{axis.text}` of `{name}` in `{frame.scope.name}`", axis.span)
        sizes.unify(actual.axes[skip + number].size, size, actual.evidence(skip + number, span), right, frame.report)
        axes.append(Axis(size, set_of(axis.text)))
    body = actual.at((*extras[:skip], *indices))
    frame.values[name] = Value(name, tuple(axes), indices, body, formal.span, actual.bound, actual.bound_set)


def _index_hint(formal: ast.Declaration, number: int) -> str:
    axis = formal.axes[number]
    return axis.text if isinstance(axis, ast.Name) else "i"


def _default(frame: Frame, declaration: ast.Declaration) -> Value:
    """A data argument that is not given: its default at every element."""
    assert declaration.value is not None
    body = evaluate(Context(frame, {}, NO_SUMS, WholeAxes(), static=True), declaration.value)
    body = _as_declared(declaration, body, declaration.value.span)
    axes = tuple(
        Axis(set_size(frame, set_of(axis.text), axis.span), set_of(axis.text))
        for axis in declaration.axes
        if isinstance(axis, ast.Name)
    )
    indices = tuple(fresh(axis.size, axis.set) for axis in axes)
    return Value(declaration.name.text, axes, indices, body, declaration.span, *bound_of(frame.build, body))


def _element_of(frame: Frame, formal: ast.Declaration, actual: Value, written: ast.Expression | None) -> None:
    """`z in V`: the argument is known to lie in `V`, which it binds if nothing else does."""
    assert formal.element_of is not None
    set = set_of(formal.element_of.text)
    size = set_size(frame, set, formal.element_of.span)
    span = written.span if written is not None else formal.span
    if actual.bound is None:
        reason = f"nothing says that `{actual.name}` does"
        raise CompileError(NotWithinSet(span, formal.name.text, set, reason, False, formal.span))
    right = Evidence(f"`{set}` of `{frame.scope.name}`", formal.element_of.span)
    frame.build.sizes.suggest(size, actual.bound, right)
    at_most(frame, actual.bound, size, span, actual.name, set)
    value = frame.values[formal.name.text]
    frame.values[formal.name.text] = replace(value, bound=size, bound_set=set)


# -- members -----------------------------------------------------------------------------------------------------------


def member(context: Context, node: ast.Member) -> Value:
    """`fc1.w`, a parameter of an instance; `f(x[I]).c`, another output of a call."""
    if isinstance(node.base, ast.Call):
        return _other_output(context, node, node.base)
    instance, subscripts = resolve_instance(context, node.base)
    name = node.name.text
    if instance is None:
        words = " ".join(node.base.span.text.split())
        raise CompileError(NotACallable(node.base.span, f"`{words}` is a tensor and", name))
    scope = instance.scope
    if name not in scope.parameters and name not in scope.own_parameters:
        known = (*scope.parameters, *scope.own_parameters, *scope.instances)
        raise CompileError(UnknownMember(node.name.span, name, instance.name, scope.name, known))
    value = parameter(instance, context.frame, name, subscripts)
    return replace(value, name=f"{instance.name}.{name}")


def _other_output(context: Context, node: ast.Member, base: ast.Call) -> Value:
    called = _called(context, base)
    if called is None:
        raise CompileError(NotACallable(node.span, "the value of a scalar function", node.name.text))
    return _output(called, node.name, node.name.text)
