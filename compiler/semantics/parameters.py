"""Parameters: of the signature, declared in a body, and of instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dlc.compiler.diagnostics import CompileError, did_you_mean
from dlc.compiler.ir.expr import Expr
from dlc.compiler.ir.graph import Initialiser, Tensor
from dlc.compiler.semantics.contexts import evaluate, static_context
from dlc.compiler.semantics.errors_calls import BadInitialiser
from dlc.compiler.semantics.errors_indices import AllAxesMisplaced
from dlc.compiler.semantics.folding import known_value
from dlc.compiler.semantics.frames import Axis, Draft, Frame, Instance, Value, tensor_value
from dlc.compiler.semantics.names import fix_hypers, set_size
from dlc.compiler.semantics.scope import set_of
from dlc.compiler.syntax import ast

ARITY: dict[str, tuple[int, ...]] = {
    "uniform": (2,),
    "normal": (2,),
    "xavier_uniform": (0, 1),
    "xavier_normal": (0, 1),
    "kaiming_uniform": (0, 1),
    "kaiming_normal": (0, 1),
    "zeros": (0,),
    "ones": (0,),
}
"""The initialisers of the runtime, with how many numbers each takes."""


def parameter(instance: Instance, frame: Frame, name: str, subscripts: tuple[Expr, ...] | None = None) -> Value:
    """A parameter as a frame reads it; it becomes a tensor of the graph when it is first asked for."""
    if instance.passed is not None and name in instance.passed:
        return replace(instance.passed[name], name=name)
    draft = instance.parameters.get(name)
    if draft is None:
        draft = instance.parameters[name] = _made(instance, name)
        frame.build.add(draft)
    return tensor_value(draft, name, frame.subscripts if subscripts is None else subscripts, draft.tensor.span)


def _made(instance: Instance, name: str) -> Draft:
    scope = instance.scope
    declaration = scope.parameters.get(name) or scope.own_parameters[name]
    if declaration.type not in (None, "real") or declaration.element_of is not None:
        raise CompileError(
            BadInitialiser(declaration.span, f"the parameter `{name}` cannot be learned: it is not real")
        )
    axes: list[Axis] = list(instance.axes)
    for axis in declaration.axes:
        if isinstance(axis, ast.AllAxes):
            raise CompileError(AllAxesMisplaced(axis.span, "the axes of a parameter are named"))
        axes.append(Axis(set_size(instance.statics, set_of(axis.text), axis.span), set_of(axis.text)))
    path = f"{instance.path}.{name}" if instance.path else name
    tensor = Tensor(
        instance.statics.build.fresh_id(path),
        tuple(axis.size for axis in axes),
        "real",
        "parameter",
        sets=tuple(axis.set for axis in axes),
        span=declaration.span,
    )
    draft = Draft(tensor, report=instance.statics.report)
    instance.statics.build.array_axes[tensor.id] = len(instance.axes)
    start = initialiser(instance, declaration)

    def later() -> None:
        draft.tensor = replace(draft.tensor, initialiser=start())

    instance.statics.build.late.append(later)
    return draft


def initialiser(instance: Instance, declaration: ast.Declaration) -> Callable[[], Initialiser | None]:
    """How a parameter or a state starts, once the sizes are found."""
    if declaration.value is not None:
        value = _number(instance, declaration.value)
        return lambda: Initialiser("constant", (value(),))
    written = declaration.initialiser
    if written is None:
        if instance.path or declaration.name.text in instance.scope.own_parameters:
            raise CompileError(
                BadInitialiser(declaration.span, f"nothing says how the parameter `{declaration.name.text}` starts")
            )
        return lambda: None
    name, arguments = _written(written)
    if len(arguments) not in ARITY[name]:
        takes = " or ".join(map(str, ARITY[name]))
        raise CompileError(
            BadInitialiser(written.span, f"`{name}` takes {takes} numbers, and {len(arguments)} are given")
        )
    numbers = [_number(instance, argument) for argument in arguments]
    return lambda: Initialiser(name, tuple(number() for number in numbers))


def _written(written: ast.Expression) -> tuple[str, list[ast.Expression]]:
    match written:
        case ast.Name(text=name):
            arguments: list[ast.Expression] = []
        case ast.Call(function=ast.Name(text=name)) if not written.named and len(written.groups) == 1:
            arguments = [argument.value for argument in written.arguments]
        case _:
            raise CompileError(BadInitialiser(written.span, "this is not an initialiser"))
    if name not in ARITY:
        close = did_you_mean(name, ARITY)
        meant = f"; did you mean `{close}`?" if close else ""
        raise CompileError(BadInitialiser(written.span, f"there is no initialiser `{name}`{meant}"))
    return name, arguments


def _number(instance: Instance, node: ast.Expression) -> Callable[[], float]:
    context = static_context(instance.statics)
    value = evaluate(context, node)
    fix_hypers(context, value, whole_only=False)

    def known() -> float:
        number = known_value(instance.statics.build.sizes.resolve(value))
        if number is None or isinstance(number, bool):
            raise CompileError(BadInitialiser(node.span, "this is not a number when compiling"))
        return float(number)

    return known
