"""The names of one definition, before anything is instantiated: index sets, tensors, instances, hyper-parameters.

A scope is made once for a definition, however often it is inlined.  It says what a name *is*, which is all that the
summation rule needs; sizes, ranks of `[..]` and values belong to a frame (``frames``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from dlc.compiler.diagnostics import Diagnostic
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

LAYERS = ("solve",)
"""What the language has and is called as a layer."""
BUILT_IN = (*FUNCTIONS, *OUTSIDE, "grad", *LAYERS)

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
    updates: dict[str, list[ast.Update]] = field(default_factory=dict)
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
        return self.written(name)[0].target.span if self.is_computed(name) else None

    def written(self, name: str) -> Sequence[ast.Equation | ast.Draw]:
        """The statements that give a tensor its elements."""
        return self.equations.get(name) or [self.draws[name]]

    def is_computed(self, name: str) -> bool:
        return name in self.equations or name in self.draws

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

    def calls_scalars(self, node: ast.Expression) -> bool:
        """Whether an expression is a function of scalars, which maps over the whole axes of its arguments."""
        if not isinstance(node, ast.Call) or not isinstance(node.function, ast.Name):
            return False
        kind = self.callee(node)[0]
        return kind == "function" or (kind == "builtin" and node.function.text in FUNCTIONS)

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
