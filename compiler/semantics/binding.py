"""Formals and actuals: a call gives the arguments of a layer their values, and its sets their sizes.

An argument is seen through its whole axes: a read of a tensor at subscripts stays one, anything else becomes a tensor
of its own.  Axes of the actual are matched with those of the formal, from the right; what is left over is mapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Select, fresh, number, op, walk
from dlc.compiler.semantics.arguments import Given
from dlc.compiler.semantics.arithmetic import real
from dlc.compiler.semantics.contexts import Context, WholeAxes, evaluate, whole_value
from dlc.compiler.semantics.derivatives import as_variable, variables_of
from dlc.compiler.semantics.elements import at_most, bound_of
from dlc.compiler.semantics.errors_calls import WrongArgumentRank
from dlc.compiler.semantics.errors_indices import WrongRank
from dlc.compiler.semantics.errors_types import NotWithinSet, WrongType
from dlc.compiler.semantics.expressions import condition
from dlc.compiler.semantics.frames import Axis, Frame, Poisoned, Value
from dlc.compiler.semantics.lookup import tensor
from dlc.compiler.semantics.names import set_size, size_expression, take_default
from dlc.compiler.semantics.parameters import parameter
from dlc.compiler.semantics.reductions import whole_axes_context
from dlc.compiler.semantics.scope import set_of
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.semantics.summation import NO_SUMS
from dlc.compiler.semantics.temporaries import materialised
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast


def bind(context: Context, frame: Frame, node: ast.Call, given: Given) -> tuple[Index, ...]:
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
    frame.mapped = _mapped(context, frame, actuals.values(), extras)
    for name in variables_of(scope.definition):
        if name in scope.data or name in (frame.instance.passed or ()):
            value = tensor(Context(frame, {}, NO_SUMS, WholeAxes()), name, node.span)
            frame.values[name] = as_variable(frame, value, name)
    build.frames.append(frame)
    return extras


def _mapped(context: Context, frame: Frame, actuals: Iterable[Value], extras: Sequence[Index]) -> tuple[Index, ...]:
    """The index variables that a use of a layer is mapped over, in the order in which they were bound: those of the
    caller, those in what it is given, and those of the whole axes beyond the formal ones."""
    found = {*context.frame.mapped, *extras}
    for value in (*actuals, *(frame.instance.passed or {}).values()):
        found.update(value.mapped)
    found.update(context.mapped_in(*frame.subscripts, *frame.instance.hypers.values()))
    return tuple(sorted(found, key=lambda index: index.id))


def _name_set(frame: Frame, name: str, size: Expr, span: Span) -> None:
    entry = frame.scope.sets[name]
    left = Evidence(f"`{name}`, given here,", span)
    frame.build.sizes.unify(
        size, set_size(frame, name, entry.span), left, Evidence(f"`{name}`", entry.span), frame.report
    )


def passed_parameters(context: Context, frame: Frame, given: Given) -> dict[str, Value]:
    """The parameters that a call, or the making of an instance, passes."""
    formals = frame.scope.parameters
    return {name: _passed(context, frame, formals[name], written) for name, written in given.parameters.items()}


def _passed(context: Context, frame: Frame, formal: ast.Declaration, written: ast.Expression) -> Value:
    """A parameter that the caller passes."""
    if isinstance(written, ast.Name) and context.frame.scope.is_tensor(written.text):
        value = tensor(context, written.text, written.span)
    elif isinstance(written, ast.Member):
        value = whole_value(context, written)
        assert value is not None
        value = replace(value, mapped=context.mapped_in(value.body))
    else:
        value = argument_value(context, frame, formal, written)
    if any(isinstance(axis, ast.AllAxes) for axis in formal.axes):
        return value
    if value.rank != len(formal.axes):
        raise CompileError(_wrong_rank(context, frame, formal, value.rank, written))
    for position, axis in enumerate(formal.axes):
        assert isinstance(axis, ast.Name)
        size = set_size(frame, set_of(axis.text), axis.span)
        right = Evidence(f"axis `{axis.text}` of `{formal.name.text}` in `{frame.scope.name}`", axis.span)
        frame.build.sizes.unify(
            value.axes[position].size, size, value.evidence(position, written.span), right, frame.report
        )
    return replace(value, body=_as_declared(formal, value.body, written.span))


def _wrong_rank(
    context: Context, frame: Frame, formal: ast.Declaration, rank: int, written: ast.Expression
) -> WrongArgumentRank:
    axes = tuple(axis.text for axis in formal.axes if isinstance(axis, ast.Name))
    summed = tuple(
        name
        for part in ast.walk(written)
        if isinstance(part, ast.Product)
        for name in context.sums.of(part)
        if name[0].isupper()
    )
    is_data = formal.name.text in frame.scope.data
    return WrongArgumentRank(written.span, formal.name.text, frame.scope.name, axes, rank, formal.span, is_data, summed)


def _actual(context: Context, frame: Frame, formal: ast.Declaration, written: ast.Expression) -> Value:
    if (
        isinstance(written, ast.Name)
        and context.frame.scope.is_tensor(written.text)
        and written.text not in context.env
    ):
        value = tensor(context, written.text, written.span)
        if value.rank:
            raise CompileError(
                WrongRank(written.span, written.text, value.rank, 0, value.span, context.frame.written_axes(value))
            )
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
    mapped = context.mapped_in(body)  # a guard around the call is not written in the argument
    if context.guards and any(isinstance(part, Read) for part in walk(body)):
        # the layer is evaluated everywhere, its argument only where the guard around the call lets it be read
        zero = Const(False) if body.type == "bool" else number(0, body.type)
        body = Select(op("and", *context.guards), body, zero)
    if _is_plain(body):
        bound, bound_set = bound_of(frame.build, body)
        return Value(name, tuple(axes.axes), indices, body, written.span, bound, bound_set, mapped)
    value = materialised(frame, formal.name.text, name, body, indices, axes.axes, written.span)
    return replace(value, mapped=mapped)


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
    """Index variables over the whole axes beyond the formal ones, from the left; those of all arguments go together."""
    extras: list[Index] = []
    known: list[Evidence] = []
    for name, actual in actuals.items():
        formal = frame.scope.data[name]
        if any(isinstance(axis, ast.AllAxes) for axis in formal.axes):
            continue
        for position in range(actual.rank - len(formal.axes)):
            evidence = actual.evidence(position, given.data[name].span)
            if position == len(extras):
                extras.append(fresh(actual.axes[position].size, actual.axes[position].set or "i"))
                known.append(evidence)
            else:
                frame.build.sizes.unify(
                    actual.axes[position].size, extras[position].size, evidence, known[position], frame.report
                )
    return tuple(extras)


def _match_axes(frame: Frame, formal: ast.Declaration, actual: Value, extras: tuple[Index, ...], span: Span) -> None:
    name = formal.name.text
    if any(isinstance(axis, ast.AllAxes) for axis in formal.axes):
        frame.values[name] = replace(actual, name=name)
        if frame.all_axes is None or (not frame.all_axes and actual.rank):
            frame.all_axes = actual.axes
        return
    skip = actual.rank - len(formal.axes)
    indices = tuple(fresh(axis.size, _index_hint(formal, position)) for position, axis in enumerate(actual.axes[skip:]))
    sizes = frame.build.sizes
    axes: list[Axis] = []
    for position, axis in enumerate(formal.axes):
        assert isinstance(axis, ast.Name)
        size = set_size(frame, set_of(axis.text), axis.span)
        right = Evidence(f"axis `{axis.text}` of `{name}` in `{frame.scope.name}`", axis.span)
        left = actual.evidence(skip + position, span)
        sizes.unify(actual.axes[skip + position].size, size, left, right, frame.report)
        axes.append(Axis(size, set_of(axis.text)))
    body = actual.at((*extras[:skip], *indices))
    frame.values[name] = Value(name, tuple(axes), indices, body, formal.span, actual.bound, actual.bound_set)


def _index_hint(formal: ast.Declaration, position: int) -> str:
    axis = formal.axes[position]
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
    name = set_of(formal.element_of.text)
    size = set_size(frame, name, formal.element_of.span)
    span = written.span if written is not None else formal.span
    if actual.bound is None:
        reason = f"nothing says that `{actual.name}` does"
        raise CompileError(NotWithinSet(span, formal.name.text, name, reason, False, formal.span))
    right = Evidence(f"`{name}` of `{frame.scope.name}`", formal.element_of.span)
    frame.build.sizes.suggest(size, actual.bound, right)
    at_most(frame, actual.bound, size, span, actual.name, name)
    value = frame.values[formal.name.text]
    frame.values[formal.name.text] = replace(value, bound=size, bound_set=name)
