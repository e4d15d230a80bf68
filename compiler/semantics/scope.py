"""The names of one definition, before anything is instantiated: index sets, tensors, instances, hyper-parameters.

A scope is made once for a definition, however often it is inlined.  It says what a name *is*, which is all that the
summation rule needs; sizes, ranks of `[..]` and values belong to a frame (``frames``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from dlc.compiler.diagnostics import Diagnostic
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
from dlc.compiler.semantics.modules import Module, Resolved
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

CONSTANTS = ("pi", "inf", "true", "false", "train")
KEYWORDS = ("if", "else", "and", "or", "not", "in", "mod", *CONSTANTS)
"""Words that no index variable can be."""

FUNCTIONS = (
    "exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "sigmoid", "erf", "abs", "sign", "floor", "ceil",
    "log1p", "expm1", "relu", "softplus", "max", "min", "stop",
)  # fmt: skip
OUTSIDE = ("pad", "clamp", "wrap")
"""What may stand around a subscript that leaves its axis."""

LATER = ("grad", "solve")
BUILT_IN = (*FUNCTIONS, *OUTSIDE, *LATER)

CalleeKind: TypeAlias = Literal["instance", "layer", "function", "builtin", "unknown"]


def set_of(variable: str) -> str:
    """The index set that an index variable (or a whole axis, `I'`) runs over."""
    stem = variable.rstrip("'")
    return stem[0].upper() + stem[1:]


def variable_of(name: str) -> str:
    return name[0].lower() + name[1:]


@dataclass
class SetEntry:
    """An index set of a definition.  ``size`` fixes it, ``default`` is taken where nothing else does."""

    name: str
    span: Span
    size: ast.Expression | None = None
    size_span: Span | None = None
    default: ast.Expression | None = None
    in_signature: bool = False
    of_data: bool = False  # an axis of a data argument has it, so an input's shape binds it
    from_file: bool = False


@dataclass(frozen=True)
class InstanceEntry:
    """``fc = Linear(I=128)``; ``axes`` are the sets of an instance array ``blocks[L] = ..``."""

    equation: ast.Equation
    call: ast.Call
    layer: Resolved
    axes: tuple[ast.Name, ...]


@dataclass(eq=False)
class Scope:
    module: Module
    definition: ast.Definition
    sets: dict[str, SetEntry] = field(default_factory=dict)
    data: dict[str, ast.Declaration] = field(default_factory=dict)
    parameters: dict[str, ast.Declaration] = field(default_factory=dict)  # of the signature
    own_parameters: dict[str, ast.Declaration] = field(default_factory=dict)  # `param` in the body
    hypers: dict[str, ast.Declaration] = field(default_factory=dict)
    outputs: dict[str, ast.Declaration] = field(default_factory=dict)
    equations: dict[str, list[ast.Equation]] = field(default_factory=dict)
    instances: dict[str, InstanceEntry] = field(default_factory=dict)
    draws: dict[str, ast.Draw] = field(default_factory=dict)
    states: dict[str, ast.Declaration] = field(default_factory=dict)
    totals: dict[str, ast.Total] = field(default_factory=dict)
    static_sets: frozenset[str] | None = None
    broken: set[str] = field(default_factory=set)  # names whose declaration is wrong: said once
    problems: list[Diagnostic] = field(default_factory=list)
    sums: dict[int, Any] = field(default_factory=dict)  # the summation rule applied, by equation

    @property
    def name(self) -> str:
        return self.definition.name.text

    @property
    def kind(self) -> str:
        return type(self.definition).__name__.lower()

    @property
    def tensor_names(self) -> tuple[str, ...]:
        tables = (self.data, self.parameters, self.own_parameters, self.hypers, self.equations, self.draws, self.states)
        return tuple(dict.fromkeys(name for table in (*tables, self.totals) for name in table))

    def is_tensor(self, name: str) -> bool:
        return name in self.tensor_names_set

    @property
    def tensor_names_set(self) -> frozenset[str]:
        known = self.__dict__.get("_names")
        if known is None:
            known = self.__dict__["_names"] = frozenset(self.tensor_names)
        return known

    def rank(self, name: str) -> int | None:
        """The number of axes of a tensor of this definition; None for `[..]` and for what is none."""
        for table in (self.data, self.parameters, self.own_parameters, self.hypers, self.states):
            if name in table:
                return _rank(table[name].axes)
        if name in self.equations:
            return _rank(self.equations[name][0].target.subscripts)
        if name in self.draws:
            return _rank(self.draws[name].target.subscripts)
        return 0 if name in self.totals else None

    def place(self, name: str) -> Span | None:
        """Where a tensor of this definition is declared, or its first left side."""
        for table in (self.data, self.parameters, self.own_parameters, self.hypers, self.states):
            if name in table:
                return table[name].span
        return self.equations[name][0].target.span if name in self.equations else None

    def is_scalar(self, name: str) -> bool:
        return self.is_tensor(name) and self.rank(name) == 0

    def is_index(self, name: str) -> bool:
        """Whether a bare name is an index variable here (or the whole axis of a set)."""
        if name[0].isupper():
            return name.rstrip("'") in self.sets
        return set_of(name) in self.sets and not self.is_scalar(name) and name not in KEYWORDS

    def callee(self, call: ast.Call) -> tuple[CalleeKind, Resolved | None]:
        """What a call calls."""
        function = call.function
        if not isinstance(function, ast.Name):
            return "instance", None
        if function.text in self.instances:
            return "instance", self.instances[function.text].layer
        return self.named(function.text)

    def named(self, name: str) -> tuple[CalleeKind, Resolved | None]:
        found = self.module.find(name)
        if found is not None:
            return ("function" if isinstance(found.item, ast.Function) else "layer"), found
        return ("builtin" if name in BUILT_IN else "unknown"), None

    def callable_names(self) -> tuple[str, ...]:
        return (*self.instances, *self.module.names, *BUILT_IN)


def _rank(axes: Iterable[object]) -> int | None:
    listed = tuple(axes)
    return None if any(isinstance(axis, ast.AllAxes) for axis in listed) else len(listed)


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
            case ast.Total(name=name):
                if self.new_name(name, "the total"):
                    self.scope.totals[name.text] = statement

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
            self.report(RedefinedInput(name.span, name.text, *given))
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
            self.report(UnknownFunction(layer.span, layer.text, self.scope.callable_names()))

    def given(self, name: str) -> tuple[str, Span] | None:
        tables = (
            (self.scope.data, "a data argument"),
            (self.scope.parameters, "a parameter"),
            (self.scope.own_parameters, "a parameter"),
            (self.scope.hypers, "a hyper-parameter"),
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


def capitals_of(subscripts: Iterable[ast.Subscript]) -> Iterator[ast.Name]:
    """Whole axes among subscripts, those in groups and sums (`|C1| + C2`) too."""
    for subscript in subscripts:
        match subscript:
            case ast.Name() if subscript.is_capital:
                yield subscript
            case ast.Group(parts=parts):
                yield from capitals_of(parts)
            case ast.Sum(terms=terms):
                yield from capitals_of(terms)
            case ast.Product(factors=factors):
                yield from capitals_of(factors)


def _binders(statement: ast.Statement) -> Iterator[str]:
    """Names that a statement binds as index variables."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Reduction):
            yield from (name.text for name in node.indices)
        elif isinstance(node, ast.Target):
            for subscript in node.subscripts:
                yield from (name.text for name in ast.walk(subscript) if isinstance(name, ast.Name))
