"""The front door of semantics: a parsed file and the name of a definition become a graph.

Elaboration is driven by demand: every equation of the definition is asked for, and asks for what it needs.  A
hyper-parameter is a number that can be changed on the compiled object until it shows up in a size, in a subscript or
in a choice that decides structure; then everything begins again with that hyper-parameter fixed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.expr import Const, Expr, Read, Size
from dlc.compiler.ir.graph import Graph, Output, Tensor
from dlc.compiler.semantics import errors_unsupported as unsupported
from dlc.compiler.semantics import rules  # noqa: F401  # fills the table of rules
from dlc.compiler.semantics.arguments import match
from dlc.compiler.semantics.contexts import evaluate, static_context
from dlc.compiler.semantics.errors import counted
from dlc.compiler.semantics.errors_calls import MissingValue, NotKnownHere
from dlc.compiler.semantics.errors_limits import NestedTooDeep
from dlc.compiler.semantics.errors_names import (
    AmbiguousDefinition,
    BadLoss,
    NoOutput,
    NotAParameter,
    UnknownDefinition,
    UnknownSetting,
)
from dlc.compiler.semantics.errors_sizes import CircularSizes
from dlc.compiler.semantics.finish import assemble, settle, too_large
from dlc.compiler.semantics.folding import known_value
from dlc.compiler.semantics.frames import (
    Axis,
    Draft,
    Elaboration,
    Frame,
    Instance,
    Poisoned,
    Restart,
    Value,
    scope_of,
    tensor_value,
)
from dlc.compiler.semantics.limits import Count
from dlc.compiler.semantics.lookup import tensor
from dlc.compiler.semantics.modules import Loader, Module, Resolved
from dlc.compiler.semantics.names import hyper, set_size
from dlc.compiler.semantics.parameters import parameter
from dlc.compiler.semantics.scope import Scope, set_of
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

Number = int | float | bool
Result = TypeVar("Result")

_RECURSION = 60_000  # frames of Python: the tree is walked by recursion, its depth is limited (`contexts.DEEPEST`)


def definitions(file: ast.File, loader: Loader | None = None) -> tuple[ast.Layer | ast.Model, ...]:
    """What a file compiles to: its models, or its layers if it has none."""
    models = tuple(item for item in file.definitions if isinstance(item, ast.Model))
    layers = tuple(item for item in file.definitions if isinstance(item, ast.Layer))
    return models or layers


def elaborate(
    file: ast.File,
    definition: str | None,
    loader: Loader,
    sizes: Mapping[str, int] | None = None,
    hypers: Mapping[str, Number] | None = None,
) -> Graph:
    """The graph of a definition (the only one, if none is named); raises `CompileError` with all independent errors."""

    def work() -> Graph:
        module = loader.module(file)
        item = _chosen(file, definition)
        problems = module.every_problem()
        graph, found = _elaborated(module, item, loader, sizes or {}, hypers or {}, False)
        if found or problems or graph is None:
            raise CompileError([*problems, *found])
        return graph

    return _deep(work, file)


def problems_of(module: Module, item: ast.Layer | ast.Model, loader: Loader) -> list[Diagnostic]:
    """Every error of a definition, taken generically: the sets of a layer's signature have any size."""

    def work() -> list[Diagnostic]:
        return _elaborated(module, item, loader, {}, {}, True)[1]

    try:
        return _deep(work, module.file)
    except CompileError as error:
        return list(error.diagnostics)


def _deep(work: Callable[[], Result], file: ast.File) -> Result:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION))
    try:
        return work()
    except RecursionError:
        raise CompileError(NestedTooDeep(file.span.source.span(0, 0), "this file", 1000)) from None
    finally:
        sys.setrecursionlimit(before)


def _chosen(file: ast.File, name: str | None) -> ast.Layer | ast.Model:
    known = [item for item in file.definitions if isinstance(item, ast.Layer | ast.Model)]
    names = tuple(item.name.text for item in known)
    if name is not None:
        found = next((item for item in known if item.name.text == name), None)
        if found is None:
            raise CompileError(UnknownDefinition(None, name, file.span.source.name, names))
        return found
    exported = definitions(file)
    if len(exported) != 1:
        raise CompileError(AmbiguousDefinition(None, file.span.source.name, tuple(item.name.text for item in exported)))
    return exported[0]


def _elaborated(
    module: Module,
    item: ast.Layer | ast.Model,
    loader: Loader,
    sizes: Mapping[str, int],
    hypers: Mapping[str, Number],
    checking: bool,
) -> tuple[Graph | None, list[Diagnostic]]:
    """The graph if there are no errors, else these."""
    scope = scope_of(Resolved(module, item), item)
    problems = [*scope.problems, *_unsupported(scope), *_settings(scope, sizes, hypers)]
    try:
        Count().check(scope)
    except CompileError as error:
        return None, [*problems, *error.diagnostics]
    fixed = dict(hypers)
    while True:
        build = Elaboration(loader, sizes, fixed, isinstance(item, ast.Layer), checking)
        try:
            graph = _Definition(build, scope).run()
        except Restart as restart:
            missing = _fix(build, fixed, restart.names)
            if missing:
                return None, [*problems, *missing]
            continue
        found = [*problems, *build.problems]
        return (None if found or graph is None else graph), found


def _fix(build: Elaboration, fixed: dict[str, Number], names: Iterable[str]) -> list[Diagnostic]:
    """Take the defaults of hyper-parameters that decide structure; what has none must be given."""
    problems: list[Diagnostic] = []
    for name in names:
        draft = build.drafts[name]
        default = draft.tensor.default
        if default is None:
            problems.append(MissingValue(draft.tensor.span, name, "the definition"))
        else:
            fixed[name] = int(default) if build.hypers[name] else default
    return problems


def _settings(scope: Scope, sizes: Mapping[str, int], hypers: Mapping[str, Number]) -> list[Diagnostic]:
    """Sizes and hyper-parameters that the definition does not have."""
    found: list[Diagnostic] = []
    for name in sizes:
        if name not in scope.sets:
            found.append(UnknownSetting(None, name, "index set", scope.name, tuple(scope.sets)))
    for name in hypers:
        if name not in scope.hypers and name != "train":
            found.append(UnknownSetting(None, name, "hyper-parameter", scope.name, tuple(scope.hypers)))
    return found


def _unsupported(scope: Scope) -> list[Diagnostic]:
    """Statements that are not translated yet, one diagnostic each."""
    kinds: dict[type[ast.Statement], type[unsupported.NotSupportedYet]] = {
        ast.Draw: unsupported.DrawNotSupported,
        ast.State: unsupported.StateNotSupported,
        ast.Update: unsupported.UpdateNotSupported,
        ast.Total: unsupported.TotalNotSupported,
        ast.Check: unsupported.CheckNotSupported,
    }
    body = scope.definition.body
    found: list[Diagnostic] = [kinds[type(one)](_place_of(one)) for one in body if type(one) in kinds]
    losses = [one for one in body if isinstance(one, ast.Minimize)]
    found.extend(unsupported.SeveralLosses(one.span, losses[0].span) for one in losses[1:])
    return found


def _place_of(statement: ast.Statement) -> Span:
    return statement.declarations[0].span if isinstance(statement, ast.State) else statement.span


@dataclass
class _Definition:
    """One attempt to elaborate a definition."""

    build: Elaboration
    scope: Scope

    def run(self) -> Graph | None:
        frame = self.frame = self.new_frame()
        self.attempt(self.inputs)
        self.attempt(self.declared)
        self.written()
        for name in self.scope.equations:
            self.attempt(lambda name=name: tensor(self.context, name, self.scope.equations[name][0].target.span))
        outputs = self.outputs()
        loss = self.attempt(self.loss)
        trainable = self.attempt(self.trainable) or ()
        settle(self.build, frame)
        if self.build.problems.has_errors or self.scope.problems:
            return None
        graph = assemble(self.build, self.scope.name, outputs, loss, trainable, self.scope.definition.doc or "")
        for problem in too_large(graph.tensors.values()):
            self.build.report(problem)
        return graph

    def new_frame(self) -> Frame:
        instance = Instance(self.scope, "", self.scope.definition.name.span)
        frame = Frame(self.build, self.scope, instance)
        instance.statics = frame
        if any(isinstance(axis, ast.AllAxes) for one in self.scope.data.values() for axis in one.axes):
            name = next(one for one in ("N", "N1", "N2", "N3") if one not in self.scope.sets)
            frame.all_axes = (Axis(Size(name), name),)
        return frame

    @property
    def context(self):  # contexts.Context
        from dlc.compiler.semantics.contexts import Context, WholeAxes
        from dlc.compiler.semantics.summation import NO_SUMS

        return Context(self.frame, {}, NO_SUMS, WholeAxes())

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        try:
            return work()
        except CompileError as error:
            for problem in error.diagnostics:
                self.build.report(problem)
        except Poisoned:
            pass
        return None

    # -- what is given -------------------------------------------------------------------------------------------------

    def inputs(self) -> None:
        for name, declaration in self.scope.data.items():
            if self.attempt(lambda n=name, d=declaration: self.input(n, d)) is None:
                self.frame.failed.add(name)

    def input(self, name: str, declaration: ast.Declaration) -> Value:
        axes = self.axes(declaration)
        bound: Expr | None = None
        bound_set = ""
        kind = declaration.type or "real"
        if declaration.element_of is not None:
            bound_set, kind = set_of(declaration.element_of.text), "int"
            bound = set_size(self.frame, bound_set, declaration.element_of.span)
        made = Tensor(
            name,
            tuple(axis.size for axis in axes),
            kind,  # type: ignore[arg-type]  # the parser knows the types
            "input",
            sets=tuple(axis.set for axis in axes),
            bound=bound,
            bound_set=bound_set,
            default=self.default(declaration),
            doc=declaration.doc if hasattr(declaration, "doc") else "",
            span=declaration.span,
        )
        draft = Draft(made)
        self.build.add(draft)
        value = self.frame.values[name] = tensor_value(draft, name, (), declaration.span)
        return value

    def axes(self, declaration: ast.Declaration) -> list[Axis]:
        axes: list[Axis] = []
        for axis in declaration.axes:
            if isinstance(axis, ast.AllAxes):
                axes.extend(self.frame.all_axes or ())
            else:
                axes.append(Axis(set_size(self.frame, set_of(axis.text), axis.span), set_of(axis.text)))
        return axes

    def default(self, declaration: ast.Declaration) -> Number | None:
        if declaration.value is None:
            return None
        value = known_value(evaluate(static_context(self.frame), declaration.value))
        if value is None:
            written = declaration.value.span
            raise CompileError(NotKnownHere(written, " ".join(written.text.split())))
        return value

    def declared(self) -> None:
        """Parameters and hyper-parameters exist whether or not an equation reads them."""
        for name in (*self.scope.parameters, *self.scope.own_parameters):
            self.attempt(lambda name=name: parameter(self.frame.instance, self.frame, name))
        for name, declaration in self.scope.hypers.items():
            self.attempt(lambda n=name, d=declaration: hyper(self.frame, n, d.span))

    def written(self) -> None:
        """Sizes and instances are looked at even where nothing uses them."""
        for name, entry in self.scope.sets.items():
            if entry.size is not None and not entry.from_file and name not in self.circular_sets():
                self.attempt(lambda name=name, entry=entry: set_size(self.frame, name, entry.size_span))
        for entry in self.scope.instances.values():
            assert isinstance(entry.layer.item, ast.Layer)
            layer = scope_of(entry.layer, entry.layer.item)
            self.attempt(lambda entry=entry, layer=layer: match(layer, entry.call, "making", layer.name))

    def circular_sets(self) -> set[str]:
        """Sets of circles that were reported."""
        return {name for one in self.build.problems if isinstance(one, CircularSizes) for name in one.circle}

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def outputs(self) -> list[Output]:
        if not self.scope.outputs:
            self.build.report(NoOutput(self.scope.definition.name.span, self.scope.name))
        found: list[Output] = []
        for name in self.scope.outputs:
            value = self.frame.values.get(name)
            if value is not None and isinstance(value.body, Read):
                found.append(Output(name, value.body.tensor))
        return found

    def loss(self) -> str | None:
        minimise = next((one for one in self.scope.definition.body if isinstance(one, ast.Minimize)), None)
        if minimise is not None:
            return self.scalar_loss(minimise.loss)
        if not isinstance(self.scope.definition, ast.Model):
            return None
        scalars = [name for name, one in self.scope.outputs.items() if not one.axes and self.is_real(name)]
        name = "loss" if "loss" in scalars else scalars[0] if len(scalars) == 1 else None
        return self.draft_of(name)

    def is_real(self, name: str) -> bool:
        value = self.frame.values.get(name)
        return value is not None and value.type == "real" and value.rank == 0

    def draft_of(self, name: str | None) -> str | None:
        body = self.frame.values[name].body if name is not None else None
        return body.tensor if isinstance(body, Read) else None

    def scalar_loss(self, name: ast.Name) -> str | None:
        if name.text in self.scope.instances:
            raise CompileError(BadLoss(name.span, name.text, "it is an instance"))
        value = tensor(self.context, name.text, name.span)
        if value.rank:
            raise CompileError(BadLoss(name.span, name.text, f"it has {counted(value.rank, 'axis')}"))
        if value.type != "real":
            raise CompileError(BadLoss(name.span, name.text, "it is not a real number"))
        made = self.draft_of(name.text) if name.text in self.frame.values else None
        if made is None or self.build.drafts[made].tensor.kind != "computed":
            raise CompileError(BadLoss(name.span, name.text, "it is not computed"))
        return made

    def trainable(self) -> tuple[str, ...]:
        parameters = [name for name, draft in self.build.drafts.items() if draft.tensor.kind == "parameter"]
        minimise = next((one for one in self.scope.definition.body if isinstance(one, ast.Minimize)), None)
        if minimise is None or not minimise.over:
            return tuple(parameters)
        chosen: list[str] = []
        for place in minimise.over:
            path = _path(place)
            found = [name for name in parameters if name == path or name.startswith(f"{path}.")]
            if not found:
                known = tuple(dict.fromkeys((*self.scope.instances, *parameters)))
                raise CompileError(NotAParameter(place.span, path or place.span.text, known))
            chosen.extend(found)
        return tuple(name for name in parameters if name in chosen)


def _path(node: ast.Expression) -> str:
    match node:
        case ast.Name(text=text):
            return text
        case ast.Member(base=base, name=name):
            return f"{_path(base)}.{name.text}"
        case ast.Indexed(base=base):
            return _path(base)
    return ""


_ = Const
