"""What a definition is trained for: its losses, and the parameters that each step moves.

Every `minimize` is an objective of its own, called by its loss.  A model without one minimises its output `loss`, or
its only scalar output, over all parameters; a layer has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.expr import Read
from dlc.compiler.ir.graph import Objective
from dlc.compiler.semantics.contexts import Context
from dlc.compiler.semantics.errors import counted
from dlc.compiler.semantics.errors_objectives import BadLoss, MinimisedTwice, NotAParameter, PartOfAnArray
from dlc.compiler.semantics.frames import Elaboration, Frame, Instance, Poisoned
from dlc.compiler.semantics.lookup import tensor
from dlc.compiler.semantics.scope import set_of
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast


def objectives(build: Elaboration, context: Context) -> list[Objective]:
    """The objectives of a definition whose equations were elaborated; what is wrong with them is reported."""
    definition = context.frame.scope.definition
    written = [one for one in definition.body if isinstance(one, ast.Minimize)]
    if not written:
        loss = _implied(context.frame) if isinstance(definition, ast.Model) else None
        return [] if loss is None else [Objective(loss[0], loss[1], _all_parameters(build))]
    found: list[Objective] = []
    first: dict[str, Span] = {}
    for one in written:
        known = first.setdefault(one.loss.text, one.loss.span)
        if known is not one.loss.span:
            build.report(MinimisedTwice(one.loss.span, one.loss.text, known))
            continue
        try:
            found.append(Objective(one.loss.text, _loss(build, context, one.loss), _over(build, context.frame, one)))
        except CompileError as error:
            for problem in error.diagnostics:
                build.report(problem)
        except Poisoned:
            continue
    return found


# -- losses ------------------------------------------------------------------------------------------------------------


def _implied(frame: Frame) -> tuple[str, str] | None:
    """The output `loss`, or the only scalar output: its name and its tensor."""
    scalars: dict[str, str] = {}
    for name, output in frame.scope.outputs.items():
        value = frame.values.get(name)
        if not output.axes and value is not None and value.type == "real" and not value.rank:
            made = _tensor_of(frame, name)
            if made is not None:
                scalars[name] = made
    name = "loss" if "loss" in scalars else next(iter(scalars), None) if len(scalars) == 1 else None
    return None if name is None else (name, scalars[name])


def _tensor_of(frame: Frame, name: str) -> str | None:
    body = frame.values[name].body if name in frame.values else None
    return body.tensor if isinstance(body, Read) else None


def _loss(build: Elaboration, context: Context, name: ast.Name) -> str:
    frame = context.frame
    if name.text in frame.scope.instances:
        raise CompileError(BadLoss(name.span, name.text, "it is an instance"))
    value = tensor(context, name.text, name.span)
    if value.rank:
        raise CompileError(BadLoss(name.span, name.text, f"it has {counted(value.rank, 'axis')}"))
    if value.type != "real":
        raise CompileError(BadLoss(name.span, name.text, "it is not a real number"))
    made = _tensor_of(frame, name.text)
    if made is None or build.drafts[made].tensor.kind != "computed":
        raise CompileError(BadLoss(name.span, name.text, "it is not computed"))
    return made


# -- parameters --------------------------------------------------------------------------------------------------------


def _all_parameters(build: Elaboration) -> tuple[str, ...]:
    return tuple(name for name, draft in build.drafts.items() if draft.tensor.kind == "parameter")


def _over(build: Elaboration, frame: Frame, step: ast.Minimize) -> tuple[str, ...]:
    """The parameters that a step moves, in the order of the definition."""
    if not step.over:
        return _all_parameters(build)
    problems: list[Diagnostic] = []
    chosen: set[str] = set()
    for place in step.over:
        try:
            chosen.update(_parameters_at(build, frame, place))
        except CompileError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise CompileError(problems)
    return tuple(name for name in _all_parameters(build) if name in chosen)


def _parameters_at(build: Elaboration, frame: Frame, place: ast.Expression) -> list[str]:
    found = _found(build, frame, place)
    if isinstance(found, str):
        return [found]
    names = list(_under(build, found))
    if not names:
        reason = "it has no parameters" if not found.scope.parameters else "nothing uses it"
        raise CompileError(NotAParameter(place.span, _text(place), (), reason))
    return names


def _under(build: Elaboration, instance: Instance) -> Iterator[str]:
    """The parameters of an instance, of those in it, and those that were passed to it."""
    yield from (draft.tensor.id for draft in instance.parameters.values())
    for value in (instance.passed or {}).values():
        if isinstance(value.body, Read) and build.drafts[value.body.tensor].tensor.kind == "parameter":
            yield value.body.tensor
    for inner in instance.nested.values():
        yield from _under(build, inner)


def _found(build: Elaboration, frame: Frame, place: ast.Expression) -> Instance | str:
    """The instance or the parameter at `gen`, `gen.w`, `blocks[L].fc`."""
    match place:
        case ast.Name(text=name):
            return _member(build, frame.instance, name, place)
        case ast.Member(base=base, name=member):
            inside = _found(build, frame, base)
            if isinstance(inside, str):
                raise CompileError(NotAParameter(place.span, _text(place)))
            return _member(build, inside, member.text, place)
        case ast.Indexed(base=base, subscripts=subscripts):
            inside = _found(build, frame, base)
            outer = 0 if isinstance(base, ast.Name) or isinstance(inside, str) else _outer_axes(build, frame, base)
            axes = () if isinstance(inside, str) else tuple(axis.set for axis in inside.axes[outer:])
            whole = tuple(set_of(one.text) for one in subscripts if isinstance(one, ast.Name) and one.is_capital)
            if not axes or len(whole) != len(subscripts) or whole != axes:
                raise CompileError(PartOfAnArray(place.span, _text(base), axes))
            return inside
    raise CompileError(NotAParameter(place.span, _text(place)))


def _outer_axes(build: Elaboration, frame: Frame, base: ast.Expression) -> int:
    """How many axes an instance has from those around it."""
    around = _found(build, frame, base.base) if isinstance(base, ast.Member) else None
    return len(around.axes) if isinstance(around, Instance) else 0


def _member(build: Elaboration, instance: Instance, name: str, place: ast.Expression) -> Instance | str:
    scope = instance.scope
    if name in scope.instances:
        if name not in instance.nested:
            raise CompileError(NotAParameter(place.span, _text(place), (), "nothing uses it"))
        return instance.nested[name]
    draft = instance.parameters.get(name)
    if draft is not None:
        return draft.tensor.id
    passed = (instance.passed or {}).get(name)
    if passed is not None and isinstance(passed.body, Read):
        if build.drafts[passed.body.tensor].tensor.kind == "parameter":
            return passed.body.tensor
    if name in scope.broken:
        raise Poisoned
    if name in scope.parameters or name in scope.own_parameters:
        raise CompileError(NotAParameter(place.span, _text(place), (), "nothing uses it"))
    known = (*scope.instances, *scope.parameters, *scope.own_parameters)
    around = f"{instance.path}." if instance.path else ""
    raise CompileError(NotAParameter(place.span, _text(place), tuple(f"{around}{one}" for one in known)))


def _text(place: ast.Expression) -> str:
    return " ".join(place.span.text.split())
