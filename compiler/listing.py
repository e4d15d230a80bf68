"""A spec at the stages of its compilation, as text for people: what `dlc show`, `dlc grad` and `--print-after` print.

Golden tests pin these texts, so they name no file by its path, and nothing of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dlc.compiler import compilation, options, pipeline, semantics
from dlc.compiler.derivative import Wanted, derivative_lines, with_derivatives
from dlc.compiler.diagnostics import CompileError, Diagnostic, suggestion
from dlc.compiler.ir import loops_printer, printer
from dlc.compiler.ir.graph import Graph, Output
from dlc.compiler.options import Options
from dlc.compiler.sources import Spec
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.parse import parse


def stage(spec: Spec, name: str, chosen: Options) -> str:
    """The spec at a stage: a key of `STAGES`. Raises `CompileError`."""
    return STAGES[name](spec, chosen)


def _ast(spec: Spec, chosen: Options) -> str:
    return "\n".join(_tree_lines(parse(spec.source))) + "\n"


def _tree_lines(file: ast.File) -> Iterator[str]:
    """One line an item, and one a statement of its body."""
    for item in file.items:
        if not isinstance(item, ast.Definition):
            yield ast.dump(item)
            continue
        yield ast.dump(replace(item, body=()))
        yield from (f"    {ast.dump(statement)}" for statement in item.body)


def _sums(spec: Spec, chosen: Options) -> str:
    file = parse(spec.source)
    definitions = options.chosen(file, chosen)
    options.check_names(file, definitions, chosen)
    if chosen.model is None:
        definitions = file.definitions  # what is not compiled by itself too
    loader = semantics.Loader()
    texts = [semantics.written_sums(file, item.name.text, loader) for item in definitions]
    return "\n".join(text.rstrip("\n") + "\n" for text in texts)


def _of_each(text: Callable[[Graph, Options], str]) -> Callable[[Spec, Options], str]:
    def of_spec(spec: Spec, chosen: Options) -> str:
        return "\n".join(text(graph, chosen) for graph in compilation.graphs(spec, chosen))

    return of_spec


def _graph(graph: Graph, chosen: Options) -> str:
    return printer.text(pipeline.prepared(graph))


def _grad(graph: Graph, chosen: Options) -> str:
    entries = pipeline.checkpointed(pipeline.entries(graph, chosen.wrt), chosen.checkpoint)
    derived = [printer.text(entry) for name, entry in entries.items() if not name.startswith(pipeline.FORWARD)]
    return "\n".join(derived) if derived else f"# {graph.name} has no derivative\n"


def _loops(graph: Graph, chosen: Options) -> str:
    return loops_printer.text(pipeline.program(graph, chosen.wrt, (), chosen.checkpoint, chosen.ways))


def _python(spec: Spec, chosen: Options) -> str:
    return compilation.module_text(spec, chosen).python


STAGES: dict[str, Callable[[Spec, Options], str]] = {
    "ast": _ast,
    "sums": _sums,
    "graph": _of_each(_graph),
    "grad": _of_each(_grad),
    "loops": _of_each(_loops),
    "python": _python,
}


def passes(spec: Spec, chosen: Options, stop_after: str | None = None) -> Iterator[tuple[str, str]]:
    """The program after every pass, up to `stop_after`."""
    for graph in compilation.graphs(spec, chosen):
        reached = False
        for name, text in _passes(graph, chosen):
            if reached and name != stop_after:  # a stage of the derivative occurs for each objective
                break
            reached = name == stop_after
            yield name, text
    if stop_after in (None, pipeline.EMIT):
        yield pipeline.EMIT, _python(spec, chosen)


def _passes(graph: Graph, chosen: Options) -> Iterator[tuple[str, str]]:
    for name, after in pipeline.stages(graph, chosen.wrt, (), chosen.checkpoint):
        yield name, printer.text(after)
    yield pipeline.LOWER, _loops(graph, chosen)


# --- derivatives ------------------------------------------------------------------------------------------------------


def derivative(spec: Spec, wanted: Wanted, chosen: Options) -> str:
    """The derivative of a tensor with respect to another, in every definition that has both."""
    of, wrt = wanted.of, wanted.wrt
    graphs = compilation.graphs(spec, chosen)
    having = [graph for graph in graphs if of in graph.tensors and wrt in graph.tensors]
    if not having:
        known = tuple(dict.fromkeys(name for graph in graphs for name in graph.tensors))
        unknown = [UnknownTensor(None, name, known) for name in (of, wrt) if name not in known]
        raise CompileError(unknown or NotTogether(None, of, wrt))
    discrete = [NotReal(None, name) for name in (of, wrt) if having[0].tensors[name].type != "real"]
    if discrete:
        raise CompileError(discrete)
    texts = ["\n".join(_derivative_lines(graph, wanted)) for graph in having]
    if len(texts) == 1:
        return texts[0] + "\n"
    return "\n\n".join(f"# {graph.name}\n{text}" for graph, text in zip(having, texts, strict=True)) + "\n"


def _derivative_lines(graph: Graph, wanted: Wanted) -> Iterator[str]:
    """All that the spec defines is kept, so that the derivative can be told in terms of it."""
    named = tuple(tensor.id for tensor in graph.of_kind("computed"))
    outputs = dict.fromkeys((wanted.of, wanted.wrt, *named))
    kept = replace(graph, outputs=tuple(Output(name, name) for name in outputs))
    forward = frozenset(pipeline.prepared(kept).tensors)
    yield from derivative_lines(pipeline.prepared(with_derivatives(kept, wanted)), wanted, forward, frozenset(named))


@dataclass(frozen=True)
class UnknownTensor(Diagnostic):
    """A derivative of, or by, what is no tensor."""

    code = "DL918"
    title = "unknown tensor"
    name: str
    candidates: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"no tensor is called `{self.name}`"

    @property
    def help(self) -> str | None:
        known = f"there are {', '.join(self.candidates)}" if self.candidates else None
        return suggestion(self.name, self.candidates) or known


@dataclass(frozen=True)
class NotTogether(Diagnostic):
    """The two tensors are of different definitions."""

    code = "DL919"
    title = "tensors of different definitions"
    of: str
    wrt: str

    @property
    def message(self) -> str:
        return f"no definition has both `{self.of}` and `{self.wrt}`"


@dataclass(frozen=True)
class NotReal(Diagnostic):
    """A derivative of, or by, integers or truth values."""

    code = "DL920"
    title = "tensor is not real"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` is not real, and has no derivative"
