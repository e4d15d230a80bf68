"""One definition becomes a graph: what is given, every equation, what is wanted of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import Expr, Read, Size
from dlc.compiler.ir.graph import Claim, Graph, Output, Tensor
from dlc.compiler.semantics.arguments import match
from dlc.compiler.semantics.claims import claim, claims_of
from dlc.compiler.semantics.contexts import Context, WholeAxes, evaluate, static_context
from dlc.compiler.semantics.errors_calls import NotKnownHere
from dlc.compiler.semantics.errors_names import NoOutput
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
    Value,
    scope_of,
    tensor_value,
)
from dlc.compiler.semantics.lookup import tensor
from dlc.compiler.semantics.names import hyper, set_size
from dlc.compiler.semantics.objectives import objectives
from dlc.compiler.semantics.parameters import parameter
from dlc.compiler.semantics.recurrences import correct
from dlc.compiler.semantics.scope import Scope, set_of
from dlc.compiler.semantics.states import Updates, state
from dlc.compiler.semantics.summation import NO_SUMS
from dlc.compiler.syntax import ast

Number = int | float | bool
Result = TypeVar("Result")


@dataclass
class DefinitionGraph:
    """One attempt to elaborate a definition."""

    build: Elaboration
    scope: Scope

    def run(self) -> Graph | None:
        frame = self.frame = self.new_frame()
        self.attempt(self.inputs)
        self.attempt(self.declared)
        self.written()
        for name in (*self.scope.equations, *self.scope.draws):
            self.attempt(lambda name=name: tensor(self.context, name, self.scope.written(name)[0].target.span))
        outputs = self.outputs()
        wanted = objectives(self.build, self.context)
        claims = self.claims() if self.build.claims else ()
        updates = Updates(self.build).collect(frame)
        correct(self.build)
        settle(self.build, frame)
        if self.build.problems.has_errors or self.scope.problems:
            return None
        doc = self.scope.definition.doc or ""
        graph = assemble(self.build, self.scope.name, outputs, wanted, updates, claims, doc)
        for problem in too_large(graph.tensors.values()) if graph is not None else ():
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
            kind,
            "input",
            sets=tuple(axis.set for axis in axes),
            bound=bound,
            bound_set=bound_set,
            default=self.default(declaration),
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
        """Parameters, states and hyper-parameters exist whether or not an equation reads them."""
        for name in (*self.scope.parameters, *self.scope.own_parameters):
            self.attempt(lambda name=name: parameter(self.frame.instance, self.frame, name))
        for name in self.scope.states:
            self.attempt(lambda name=name: state(self.frame.instance, self.frame, name))
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

    def claims(self) -> tuple[Claim, ...]:
        found: list[Claim | None] = []
        for number, written in enumerate(claims_of(self.scope), 1):
            found.append(self.attempt(lambda w=written, n=number: claim(self.frame, w, n)))
        return tuple(one for one in found if one is not None)
