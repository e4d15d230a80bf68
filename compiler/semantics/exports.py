"""The functions of a file, for callers outside the language.

A function has no types of its own: it is written out where it is called.  Its callers in Python need some, so the types
of the parameters are found: the ones that are declared (`n : int`), else real numbers, and integers or truth values
where the body takes nothing else (`step // 30`).  An integer may be given for a real number.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.expr import Const, Expr, Read, op, reads
from dlc.compiler.ir.functions import FunctionParameter, ScalarFunction
from dlc.compiler.ir.graph import Tensor
from dlc.compiler.ir.ops import Type
from dlc.compiler.ir.rewriting import transform
from dlc.compiler.semantics.contexts import Context, WholeAxes, evaluate
from dlc.compiler.semantics.derivatives import as_variable, variables_of
from dlc.compiler.semantics.errors_names import Duplicate
from dlc.compiler.semantics.errors_types import BadFunctionParameter
from dlc.compiler.semantics.folding import known_value
from dlc.compiler.semantics.frames import Draft, Elaboration, Frame, Instance, Poisoned, scalar_value
from dlc.compiler.semantics.functions import scope_of_function
from dlc.compiler.semantics.limits import Count
from dlc.compiler.semantics.modes import training
from dlc.compiler.semantics.modules import Loader, Module, Resolved
from dlc.compiler.semantics.summation import NO_SUMS
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

MOST_TRIES = 400
"""Of types for the parameters of one function; beyond them it has to declare some."""

_OF_TYPES = (*(f"DL{number}" for number in range(100, 110)), "DL122")
_TYPES: tuple[Type, ...] = ("real", "int", "bool")


def exported(module: Module, item: ast.Function, loader: Loader) -> ScalarFunction:
    """The function with types for its parameters: the most real ones that it allows. Raises `CompileError`."""
    Count().check_item(module, item)
    problems: list[Diagnostic] = []
    problems += [BadFunctionParameter(one.span, one.name.text) for one in item.parameters if not _is_scalar(one)]
    places: dict[str, Span] = {}
    for one in item.parameters:
        if places.setdefault(one.name.text, one.name.span) is not one.name.span:
            problems.append(Duplicate(one.name.span, one.name.text, "the parameter", places[one.name.text]))
    if problems:
        raise CompileError(problems)
    first: CompileError | None = None
    for types in _assignments(item):
        try:
            return _typed(module, item, loader, types)
        except CompileError as error:
            first = first or error
            if any(problem.code not in _OF_TYPES for problem in error.diagnostics):
                break  # nothing that other types mend
    assert first is not None
    raise first


def functions(file: ast.File, loader: Loader) -> tuple[ScalarFunction, ...]:
    """Every function of a file, with types. Raises `CompileError` with the errors of all."""
    module = loader.module(file)
    problems = module.every_problem()
    problems += [problem for item in file.functions for problem in function_problems(module, item, loader)]
    if problems:
        raise CompileError(problems)
    return tuple(exported(module, item, loader) for item in file.functions)


def function_problems(module: Module, item: ast.Function, loader: Loader) -> list[Diagnostic]:
    """What is wrong with a function, whatever it is called with."""
    try:
        exported(module, item, loader)
    except CompileError as error:
        return list(error.diagnostics)
    except Poisoned:  # said elsewhere
        return []
    return []


def _is_scalar(declaration: ast.Declaration) -> bool:
    return not declaration.axes and declaration.element_of is None and declaration.initialiser is None


def _assignments(item: ast.Function) -> Iterator[tuple[Type, ...]]:
    """Types of the parameters, the ones with the fewest integers and truth values first."""
    choices: list[tuple[Type, ...]] = [
        tuple(kind for kind in _TYPES if one.type in (None, kind)) for one in item.parameters
    ]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MOST_TRIES:
        yield tuple(choice[0] for choice in choices)
        yield tuple(choice[min(1, len(choice) - 1)] for choice in choices)
        return
    yield from sorted(product(*choices), key=lambda types: sum(map(_TYPES.index, types)))


def _typed(module: Module, item: ast.Function, loader: Loader, types: tuple[Type, ...]) -> ScalarFunction:
    build = Elaboration(loader)
    scope = scope_of_function(Resolved(module, item), item)
    frame = Frame(build, scope, Instance(scope, "", item.name.span))
    frame.instance.statics = frame
    context = Context(frame, {}, NO_SUMS, WholeAxes())
    parameters: list[FunctionParameter] = []
    for declaration, kind in zip(item.parameters, types, strict=True):
        name = declaration.name.text
        default = None if declaration.value is None else _as(kind, evaluate(context, declaration.value), declaration)
        parameters.append(FunctionParameter(name, kind, default))
        build.add(Draft(Tensor(name, (), kind, "input", span=declaration.span)))
        frame.values[name] = scalar_value(name, Read(name, (), kind), declaration.span)
        if name in variables_of(item):
            frame.values[name] = as_variable(frame, frame.values[name], name)
    value = evaluate(context, item.value)
    if build.problems.has_errors:
        raise CompileError(list(build.problems))
    mode = training(frame)
    if mode in reads(value):
        parameters.append(FunctionParameter("train", "bool", Const(False)))
        value = transform(value, lambda node: Read("train", (), "bool") if node is mode else None)
    text = " ".join(item.value.span.text.split())
    tensors = tuple(one.tensor for one in build.drafts.values() if one.tensor.kind in ("computed", "derivative"))
    return ScalarFunction(item.name.text, tuple(parameters), value, text, tensors, item.doc or "", item.span)


def _as(type: Type, value: Expr, declaration: ast.Declaration) -> Expr:
    """A default in the type of its parameter."""
    if value.type == type:
        return value
    if type != "real" or value.type != "int":
        raise CompileError(BadFunctionParameter(declaration.span, declaration.name.text, type, value.type))
    number = known_value(value)
    return op("real", value) if number is None else Const(float(number))
