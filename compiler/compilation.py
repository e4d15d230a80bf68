"""From the text of a spec to the text of its module: the front end, the pipeline and the back end, one after the other.

Nothing is read here but the files that the spec uses, and nothing is written. All errors of all definitions are
reported together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import dlc
from dlc.compiler import options, pipeline, semantics
from dlc.compiler.diagnostics import CompileError, Diagnostic, Severity
from dlc.compiler.emit import emit
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import Program, with_kernels_apart
from dlc.compiler.options import Options
from dlc.compiler.sources import Spec
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.parse import parse

if TYPE_CHECKING:
    from dlc.compiler.verification import Verdict

Item = TypeVar("Item")
Made = TypeVar("Made")


class ModuleText(NamedTuple):
    """The generated module, the declarations of its types for checkers and editors, and what its author should know."""

    python: str
    stub: str
    remarks: tuple[Diagnostic, ...] = ()


def graphs(spec: Spec, chosen: Options) -> tuple[Graph, ...]:
    """The graph of every definition that is meant, as semantics gives it; raises `CompileError` with all errors."""
    file = parse(spec.source)
    definitions = options.chosen(file, chosen)
    loader = semantics.Loader()
    known = [(file, item) for item in definitions]
    if not any(isinstance(item, ast.Optimizer) and item.name.text == chosen.model for item in definitions):
        known += semantics.used_optimizers(file, loader)
    options.check_names(file, [item for _, item in known], chosen)

    def elaborated(place: tuple[ast.File, ast.Definition]) -> Graph:
        owner, item = place
        sizes, hypers = options.sizes_for(owner, item, chosen), options.hypers_for(item, chosen)
        return semantics.elaborate(owner, item.name.text, loader, sizes, hypers)

    found = _each(known, elaborated)
    options.check_wrt([graph for graph in found if not graph.is_optimizer], chosen.wrt)
    return found


def _each(items: Sequence[Item], make: Callable[[Item], Made]) -> tuple[Made, ...]:
    """What is made of each, or the errors of all."""
    made: list[Made] = []
    problems: list[Diagnostic] = []
    for item in items:
        try:
            made.append(make(item))
        except CompileError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise CompileError(problems)
    return tuple(made)


def programs(spec: Spec, chosen: Options, off: Collection[str] = ()) -> tuple[Program, ...]:
    """The loops of every definition that is meant."""
    return tuple(program for program, _ in _programs(spec, chosen, off))


def _programs(
    spec: Spec, chosen: Options, off: Collection[str] = ()
) -> Iterator[tuple[Program, tuple[Diagnostic, ...]]]:
    """The loops of every definition, with remarks on it."""
    for graph in graphs(spec, chosen):
        entries = pipeline.entries(graph, chosen.wrt, off)
        remarks: tuple[Diagnostic, ...] = ()
        if chosen.checkpoint is not None and not graph.is_optimizer:
            remarks = tuple(_on_checkpoints(graph, entries))
            entries = pipeline.checkpointed(entries, chosen.checkpoint)
        yield pipeline.lowered(entries, chosen.ways), remarks


def _on_checkpoints(graph: Graph, entries: Mapping[str, Graph]) -> Iterator[Diagnostic]:
    kept = pipeline.keeping_all(entries)
    if kept is None:
        yield options.NothingToCheckpoint(None, graph.name)
    for tensor in kept or ():
        yield options.KeepsAllStates(tensor.span, tensor.id)


def module_text(
    spec: Spec, chosen: Options, kernels: str = "", off: Collection[str] = (), apart: bool = False
) -> ModuleText:
    """The module as text: the same for the same spec and options, byte by byte; `apart`: with a region for each kernel.

    `kernels` is the fingerprint of the runtime's kernels: a module that has one refuses to run with others.
    """
    found = tuple(_programs(spec, chosen, off))
    made = tuple(with_kernels_apart(program) if apart else program for program, _ in found)
    remarks = tuple(remark for _, several in found for remark in several)
    functions = semantics.functions(parse(spec.source), semantics.Loader())
    exports = tuple(pipeline.without_derivatives(function) for function in functions)
    header, name = _header(spec, chosen), spec.path.name
    texts = emit(made, chosen.dtype, header, spec=name, fingerprint=kernels, exports=exports)
    return ModuleText(*texts, remarks)


def _header(spec: Spec, chosen: Options) -> str:
    """What the module says of how it was made."""
    values = (*sorted(chosen.sizes.items()), *sorted(chosen.hyper.items()))
    given = f" with {', '.join(f'{name}={value}' for name, value in values)}" if values else ""
    if chosen.checkpoint is not None:
        given += f", checkpoints {f'every {chosen.checkpoint} steps' if chosen.checkpoint else 'about every √T steps'}"
    given += f", {chosen.ways.described}" if chosen.ways.described else ""
    return f"Compiled by dlc {dlc.__version__} from {spec.path.name}{given}: change that, and compile it again."


def verdicts(spec: Spec, chosen: Options, points: int, seed: int) -> Iterator[list[Verdict]]:
    """The verdicts on the claims of every definition that has some; raises `CompileError` with all that is wrong in
    the spec, also in definitions that claim nothing.
    """
    from dlc.compiler.verification import verify  # loads SciPy, which compiling need not

    file = parse(spec.source)
    loader = semantics.Loader()
    wrong = [problem for problem in semantics.check(file, loader) if problem.severity is Severity.ERROR]
    if wrong:
        raise CompileError(wrong)
    for item in file.definitions:
        if isinstance(item, ast.Layer | ast.Model) and any(isinstance(line, ast.Check) for line in item.body):
            sizes, hypers = options.sizes_for(file, item, chosen), options.hypers_for(item, chosen)
            graph = semantics.elaborate(file, item.name.text, loader, sizes, hypers, claims=True)
            yield verify(graph, points, seed)


def names(spec: Spec) -> tuple[set[str], set[str]]:
    """The index sets and the hyper-parameters of all definitions, to which `-D` may give values."""
    file = parse(spec.source)
    sets = {name for item in file.definitions for name in options.index_sets(file, item)}
    return sets, {name for item in file.definitions for name in options.hyper_parameters(item)}


def problems(spec: Spec) -> list[Diagnostic]:
    """Every error and warning of the spec: of its syntax, or of the meaning of all its definitions."""
    try:
        file = parse(spec.source)
    except CompileError as error:
        return list(error.diagnostics)
    found = list(semantics.check(file, semantics.Loader()))
    if not any(problem.severity is Severity.ERROR for problem in found) and not file.definitions and not file.functions:
        found.append(options.NothingToCompile(None, spec.source.name))
    return found
