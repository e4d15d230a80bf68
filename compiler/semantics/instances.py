"""Instances of layers: made where they are first used, shared by all their uses."""

from __future__ import annotations

from collections.abc import Iterable

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.expr import Expr, Read, walk
from dlc.compiler.semantics.arguments import match
from dlc.compiler.semantics.binding import passed_parameters
from dlc.compiler.semantics.contexts import Context, evaluate, static_context
from dlc.compiler.semantics.errors import called_from
from dlc.compiler.semantics.errors_calls import InstanceRank, NotACallable, NotKnownHere
from dlc.compiler.semantics.errors_names import UnknownMember, UnknownName
from dlc.compiler.semantics.frames import Axis, Frame, Instance, Place, Poisoned, Value, collecting, scope_of
from dlc.compiler.semantics.names import integer, set_size, size_expression
from dlc.compiler.semantics.scope import InstanceEntry, Scope, set_of
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.syntax import ast


def resolve_instance(context: Context, node: ast.Expression) -> tuple[Instance | None, tuple[Expr, ...]]:
    """The instance that an expression names, and which one of an array."""
    instance, subscripts = _resolve(context, node)
    if instance is not None and len(subscripts) != len(instance.axes):
        axes = tuple(axis.set for axis in instance.axes)
        raise CompileError(InstanceRank(node.span, instance.name, axes, len(subscripts)))
    return instance, subscripts


def _resolve(context: Context, node: ast.Expression) -> tuple[Instance | None, tuple[Expr, ...]]:
    match node:
        case ast.Name(text=name):
            frame = context.frame
            if name in frame.scope.instances:
                return nested(frame, name), frame.subscripts
            if name in frame.scope.broken:
                raise Poisoned
            if frame.scope.is_tensor(name):
                return None, ()
            raise CompileError(UnknownName(node.span, name, "instance", tuple(frame.scope.instances)))
        case ast.Indexed(base=base, subscripts=written):
            instance, before = _resolve(context, base)
            if instance is None:
                return None, ()
            return instance, (*before, *_positions(context, instance, len(before), written))
        case ast.Member(base=base, name=member):
            instance, subscripts = resolve_instance(context, base)
            if instance is None:
                return None, ()
            if member.text not in instance.scope.instances:
                known = tuple(instance.scope.instances)
                raise CompileError(UnknownMember(member.span, member.text, instance.name, instance.scope.name, known))
            return nested(instance.statics, member.text), subscripts
    raise CompileError(NotACallable(node.span, "this"))


def _positions(context: Context, instance: Instance, before: int, written: tuple[ast.Subscript, ...]) -> list[Expr]:
    results: list[Expr] = []
    axes = instance.axes[before:]
    names = tuple(axis.set for axis in axes)
    if len(written) != len(axes):
        span = written[0].span.merge(written[-1].span)
        raise CompileError(InstanceRank(span, instance.name, names, len(written)))
    for subscript, axis in zip(written, axes, strict=True):
        if isinstance(subscript, ast.Name) and subscript.is_capital and subscript.text in context.env:
            results.append(context.env[subscript.text])
            continue
        if not isinstance(subscript, ast.Expression):
            raise CompileError(InstanceRank(subscript.span, instance.name, names, len(written)))
        value = integer(context, subscript, "a subscript")
        text = " ".join(subscript.span.text.split())
        array = Value(instance.name, (axis,), (), value, instance.span)
        context.frame.build.positions.append((value, Place(array, (subscript.span,), (text,))))
        results.append(value)
    return results


def nested(frame: Frame, name: str) -> Instance:
    """The instance of that name in the frame's definition."""
    owner = frame.instance
    known = owner.nested.get(name)
    if known is None:
        known = owner.nested[name] = _make(owner.statics, name, frame.scope.instances[name])
    return known


def _make(frame: Frame, name: str, entry: InstanceEntry) -> Instance:
    """``frame`` is the one that holds what all uses of the definition around the instance share."""
    assert isinstance(entry.layer.item, ast.Layer)
    scope = scope_of(entry.layer, entry.layer.item)
    owner = frame.instance
    given = match(scope, entry.call, "making", scope.name)
    own = tuple(Axis(set_size(frame, set_of(axis.text), axis.span), set_of(axis.text)) for axis in entry.axes)
    path = f"{owner.path}.{name}" if owner.path else name
    instance = Instance(scope, path, entry.call.span, (*owner.axes, *own))
    outer = frame.trail

    def trail(problems: Iterable[Diagnostic]) -> list[Diagnostic]:
        return outer(called_from(problems, entry.call.span, scope.name))

    instance.statics = Frame(frame.build, scope, instance, is_static=True, trail=trail)
    context = static_context(frame)
    names = list(given.hypers)
    results = collecting([lambda one=one: evaluate(context, given.hypers[one]) for one in names])
    for one, value in zip(names, results, strict=True):
        if _reads_data(frame, value):
            raise CompileError(NotKnownHere(given.hypers[one].span, " ".join(given.hypers[one].span.text.split())))
    instance.hypers = dict(zip(names, results, strict=True))
    for one, written in given.sets.items():
        size = size_expression(frame, written)
        instance.given_sets[one] = (size, written.span)
        left, right = Evidence(f"`{one}`, given here,", written.span), Evidence(f"`{one}`", scope.sets[one].span)
        symbol = set_size(instance.statics, one, written.span)
        frame.build.sizes.unify(size, symbol, left, right, instance.statics.report)
    if given.parameters:
        instance.passed = passed_parameters(context, instance.statics, given)
    return instance


def _reads_data(frame: Frame, value: Expr) -> bool:
    read = [part.tensor for part in walk(value) if isinstance(part, Read)]
    return any(frame.build.drafts[name].tensor.kind in ("input", "computed", "state") for name in read)


def has_parameters(scope: Scope, own_only: bool = False) -> bool:
    """Whether a layer has parameters, its own or its instances' (``own_only``: apart from the signature's)."""
    if scope.parameters and not own_only:
        return True
    return bool(made_parameters(scope))


def made_parameters(scope: Scope) -> tuple[str, ...]:
    """Parameters that a layer makes in its body: those declared there and those of its instances."""
    found = list(scope.own_parameters)
    for name, entry in scope.instances.items():
        assert isinstance(entry.layer.item, ast.Layer)
        inner = scope_of(entry.layer, entry.layer.item)
        found.extend(f"{name}.{one}" for one in (*inner.parameters, *made_parameters(inner)))
    return tuple(found)
