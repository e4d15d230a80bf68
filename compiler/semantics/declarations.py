"""Reads the declarations of a definition into its scope, and says what is wrong with them.

Names that are declared twice, capitals and small letters in the wrong place, equations for what is given, instances of
layers that there are not: a name whose declaration is wrong is `broken`, so that its uses are not complained about.
"""

from __future__ import annotations

from collections.abc import Iterator

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.library import standard_home
from dlc.compiler.semantics.errors_calls import InstanceSubscript
from dlc.compiler.semantics.errors_names import (
    CapitalTensor,
    Duplicate,
    KeywordSet,
    RedefinedInput,
    ScalarAndIndex,
    SmallSet,
    UndefinedOutput,
    UnknownFunction,
)
from dlc.compiler.semantics.errors_state import NotAState, TotalOutsideOptimizer
from dlc.compiler.semantics.modules import Module, Resolved
from dlc.compiler.semantics.scope import (
    KEYWORDS,
    InstanceEntry,
    Scope,
    SetEntry,
    capitals_of,
    set_of,
    variable_of,
)
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast


def make_scope(module: Module, definition: ast.Definition) -> Scope:
    """The scope of a definition, with the problems of its declarations."""
    scope = Scope(module, definition)
    _Reader(scope).read()
    return scope


class _Reader:
    """Fills a scope from the declarations of a definition."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.places: dict[str, Span] = {}

    def read(self) -> None:
        signature = self.scope.definition.signature
        for declaration in signature.data:
            self.tensor(declaration, self.scope.data, "the data argument", of_data=True)
        for declaration in signature.parameters:
            self.tensor(declaration, self.scope.parameters, "the parameter")
        for declaration in signature.hyper_parameters:
            self.hyper(declaration)
        for declaration in signature.outputs:
            self.output(declaration)
        for statement in self.scope.definition.body:
            self.statement(statement)
        self.file_sets()
        self.used_sets()
        self.clashes()
        self.updated_states()
        self.defined_outputs()

    # -- declarations ------------------------------------------------------------------------------------------------

    def tensor(
        self, declaration: ast.Declaration, table: dict[str, ast.Declaration], what: str, of_data: bool = False
    ) -> None:
        in_signature = table is self.scope.data or table is self.scope.parameters
        self.axes(declaration, in_signature, of_data)
        if self.new_name(declaration.name, what):
            table[declaration.name.text] = declaration

    def axes(self, declaration: ast.Declaration, in_signature: bool, of_data: bool = False) -> None:
        named = [axis for axis in declaration.axes if isinstance(axis, ast.Name)]
        for axis in named:
            self.set(axis, in_signature).of_data |= of_data
        if declaration.element_of is not None:
            self.set(declaration.element_of, in_signature)

    def set(self, name: ast.Name, in_signature: bool = False) -> SetEntry:
        """The entry of a set that is mentioned; a new one if it is new."""
        if not name.is_capital:
            self.report(SmallSet(name.span, name.stem))
        stem = set_of(name.text)
        entry = self.scope.sets.get(stem)
        if entry is None:
            entry = self.scope.sets[stem] = SetEntry(stem, name.span)
            if variable_of(stem) in KEYWORDS:
                self.report(KeywordSet(name.span, stem))
        entry.in_signature |= in_signature
        return entry

    def hyper(self, declaration: ast.Declaration) -> None:
        name = declaration.name
        if not name.is_capital:
            self.tensor(declaration, self.scope.hypers, "the hyper-parameter")
            return
        entry = self.set(name, True)
        if entry.default is not None:
            self.report(Duplicate(name.span, name.text, "the index set", entry.span))
        entry.default = declaration.value

    def output(self, declaration: ast.Declaration) -> None:
        name = declaration.name
        self.axes(declaration, True)
        if name.is_capital:
            self.report(CapitalTensor(name.span, name.text))
        elif name.text in self.scope.outputs:
            first = self.scope.outputs[name.text].name.span
            self.report(Duplicate(name.span, name.text, "the output", first))
        else:
            self.scope.outputs[name.text] = declaration

    def new_name(self, name: ast.Name, what: str) -> bool:
        if name.is_capital:
            self.report(CapitalTensor(name.span, name.text))
            self.scope.broken.add(name.text)
            return False
        if name.text in self.places:
            self.report(Duplicate(name.span, name.text, what, self.places[name.text]))
            return False
        self.places[name.text] = name.span
        return True

    # -- statements --------------------------------------------------------------------------------------------------

    def statement(self, statement: ast.Statement) -> None:
        match statement:
            case ast.IndexLine(sets=sets):
                for one in sets:
                    self.index_set(one)
            case ast.Equation():
                self.equation(statement)
            case ast.Draw(target=target):
                if self.new_name(target.name, "the random tensor"):
                    self.scope.draws[target.name.text] = statement
            case ast.Param(declarations=declarations):
                for declaration in declarations:
                    self.tensor(declaration, self.scope.own_parameters, "the parameter")
            case ast.State(declarations=declarations):
                for declaration in declarations:
                    self.tensor(declaration, self.scope.states, "the state")
            case ast.Update():
                self.update(statement)
            case ast.Total():
                self.total(statement)

    def update(self, statement: ast.Update) -> None:
        """A state may be declared below its update, so what is updated is looked at in the end."""
        self.scope.updates.setdefault(statement.target.name.text, []).append(statement)

    def total(self, statement: ast.Total) -> None:
        if not isinstance(self.scope.definition, ast.Optimizer):
            self.report(TotalOutsideOptimizer(statement.span, statement.name.text, self.scope.kind))
            self.scope.broken.add(statement.name.text)
        if self.new_name(statement.name, "the total"):
            self.scope.totals[statement.name.text] = statement

    def updated_states(self) -> None:
        """An update changes a state, and nothing else; in an optimizer also what it is given."""
        given = self.scope.data if isinstance(self.scope.definition, ast.Optimizer) else {}
        for name, statements in list(self.scope.updates.items()):
            if name in self.scope.states or name in given:
                continue
            del self.scope.updates[name]
            known = self.given(name) or (("a tensor of equations", self.places[name]) if name in self.places else None)
            what, first = known or (None, None)
            if name not in self.scope.broken:
                target = statements[0].target.name
                self.report(NotAState(target.span, name, what, first, tuple(self.scope.states)))

    def index_set(self, one: ast.IndexSet) -> None:
        entry = self.set(one.name)
        if one.size is None:
            return
        if entry.size is not None:
            self.report(Duplicate(one.name.span, entry.name, "the size of the index set", entry.size_span))
            return
        entry.size, entry.size_span = one.size, one.span

    def equation(self, equation: ast.Equation) -> None:
        name = equation.target.name
        layer = self.instantiated(equation)
        if layer is not None:
            self.instance(equation, layer)
            return
        if name.is_capital:
            self.report(CapitalTensor(name.span, name.text))
            self.scope.broken.add(name.text)
            return
        if self.is_broken_instance(equation):
            self.broken_instance(name.text, equation)
        given = self.given(name.text)
        if given is not None:
            in_optimizer = isinstance(self.scope.definition, ast.Optimizer)
            is_updated = name.text in (*self.scope.states, *(self.scope.data if in_optimizer else ()))
            self.report(RedefinedInput(name.span, name.text, *given, is_updated))
            if in_optimizer:
                self.scope.broken.add(name.text)
            return
        if name.text not in self.scope.equations:
            if not self.new_name(name, "the tensor"):
                return
            self.scope.equations[name.text] = []
        self.scope.equations[name.text].append(equation)

    def is_broken_instance(self, equation: ast.Equation) -> bool:
        """Whether this was meant to make an instance, of a layer that there is not."""
        call = equation.value
        return (
            isinstance(call, ast.Call)
            and isinstance(call.function, ast.Name)
            and call.function.is_capital
            and self.scope.named(call.function.text)[0] == "unknown"
        )

    def broken_instance(self, name: str, equation: ast.Equation) -> None:
        assert isinstance(equation.value, ast.Call) and isinstance(equation.value.function, ast.Name)
        self.scope.broken.add(name)
        layer = equation.value.function
        if layer.text not in self.scope.module.missing:
            home = standard_home(layer.text)
            self.report(UnknownFunction(layer.span, layer.text, self.scope.callable_names(), home=home))

    def given(self, name: str) -> tuple[str, Span] | None:
        tables = (
            (self.scope.data, "a data argument"),
            (self.scope.parameters, "a parameter"),
            (self.scope.own_parameters, "a parameter"),
            (self.scope.hypers, "a hyper-parameter"),
            (self.scope.states, "a state"),
        )
        return next(((what, table[name].name.span) for table, what in tables if name in table), None)

    def instantiated(self, equation: ast.Equation) -> Resolved | None:
        """The layer that an equation makes an instance of: one that is called without its data."""
        call = equation.value
        if not isinstance(call, ast.Call) or not isinstance(call.function, ast.Name):
            return None
        kind, layer = self.scope.named(call.function.text)
        if kind != "layer" or layer is None or not isinstance(layer.item, ast.Layer):
            return None
        signature = layer.item.signature
        names = {declaration.name.text for declaration in signature.data}
        given = [a for a in call.groups[0] if a.name is None or a.name.text in names]
        if given:
            return None
        subscripts = equation.target.subscripts
        if any(declaration.value is None for declaration in signature.data) or not subscripts:
            return layer
        # a layer that needs no data: with its output's axes on the left, its value is meant
        rank = len(signature.outputs[0].axes) if signature.outputs else 0
        return None if len(subscripts) == rank else layer

    def instance(self, equation: ast.Equation, layer: Resolved) -> None:
        target = equation.target
        axes: list[ast.Name] = []
        for subscript in target.subscripts:
            if isinstance(subscript, ast.Name) and subscript.is_capital:
                self.set(subscript)
                axes.append(subscript)
            else:
                self.report(InstanceSubscript(subscript.span, target.name.text))
                return
        if target.name.is_capital:
            self.report(CapitalTensor(target.name.span, target.name.text))
            return
        if self.new_name(target.name, "the instance"):
            assert isinstance(equation.value, ast.Call)
            self.scope.instances[target.name.text] = InstanceEntry(equation, equation.value, layer, tuple(axes))

    # -- the whole ---------------------------------------------------------------------------------------------------

    def file_sets(self) -> None:
        """Sets that an `index` line of the file declares: all of them in a model, in a layer those that it does not."""
        is_layer = isinstance(self.scope.definition, ast.Layer)
        for line in self.scope.module.file.index_lines:
            for one in line.sets:
                stem = set_of(one.name.text)
                entry = self.scope.sets.get(stem)
                if entry is None:
                    if not one.name.is_capital:
                        continue
                    entry = self.scope.sets[stem] = SetEntry(stem, one.name.span, from_file=True)
                elif is_layer and entry.in_signature:
                    continue
                if entry.size is None and one.size is not None:
                    entry.size, entry.size_span = one.size, one.span

    def used_sets(self) -> None:
        """A capital at an axis introduces its set, if that is new."""
        for node in self.body_nodes():
            if isinstance(node, ast.Indexed | ast.Target):
                for name in capitals_of(node.subscripts):
                    self.set(name)

    def body_nodes(self) -> Iterator[ast.Node]:
        for statement in self.scope.definition.body:
            yield from ast.walk(statement)

    def clashes(self) -> None:
        """A scalar may not share its name with an index variable in scope."""
        bound = {name for statement in self.scope.definition.body for name in _binders(statement)}
        for name, span in self.places.items():
            entry = self.scope.sets.get(set_of(name))
            if entry is None or not self.scope.is_scalar(name) or name in self.scope.instances:
                continue
            if not entry.from_file or name in bound:
                self.report(ScalarAndIndex(span, name, entry.name, entry.span))
                self.scope.broken.add(name)

    def defined_outputs(self) -> None:
        for name, declaration in self.scope.outputs.items():
            if name not in self.places:
                candidates = tuple(self.scope.equations)
                self.report(UndefinedOutput(declaration.name.span, name, self.scope.name, candidates))

    def report(self, problem: Diagnostic) -> None:
        self.scope.problems.append(problem)


def _binders(statement: ast.Statement) -> Iterator[str]:
    """Names that a statement binds as index variables."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Reduction):
            yield from (name.text for name in node.indices)
        elif isinstance(node, ast.Target):
            for subscript in node.subscripts:
                yield from (name.text for name in ast.walk(subscript) if isinstance(name, ast.Name))
