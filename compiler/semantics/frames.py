"""What names mean while a definition is being inlined: frames, instances, and values that can be read.

A `Frame` is one use of a definition: its index sets have sizes (some not found yet), its formals have values.  An
`Instance` holds what all uses of an instance share: parameters, nested instances, and the sets that these depend on.
The tensors of all frames go into one `Elaboration`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dlc.compiler.diagnostics import CompileError, Diagnostic, Diagnostics
from dlc.compiler.ir.expr import Expr, Index, Read, fresh
from dlc.compiler.ir.graph import Tensor, unique
from dlc.compiler.ir.ops import Type
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.semantics.declarations import make_scope
from dlc.compiler.semantics.modules import Loader, Resolved
from dlc.compiler.semantics.scope import Scope
from dlc.compiler.semantics.sizes import Evidence, Sizes
from dlc.compiler.semantics.summation import Sums, sums_of_equation
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast


class Poisoned(Exception):  # noqa: N818  # nothing went wrong here: it was said elsewhere
    """Something depends on what failed already: nothing more is said about it."""


class Restart(Exception):  # noqa: N818  # a way back, not an error
    """Hyper-parameters that turned out to decide structure: elaboration begins again with them fixed.

    With no names, it begins again with guesses corrected.
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.names = tuple(names)


@dataclass(frozen=True)
class Axis:
    """``set`` is what the spec calls it, "" where it has no name."""

    size: Expr
    set: str = ""


@dataclass(frozen=True)
class Value:
    """Something with elements: ``body`` is the element at ``indices``."""

    name: str
    axes: tuple[Axis, ...]
    indices: tuple[Index, ...]
    body: Expr
    span: Span | None = None
    bound: Expr | None = None  # of integers: they lie in 0 .. bound-1
    bound_set: str = ""
    mapped: tuple[Index, ...] = ()  # of an argument: the index variables that are written in it

    @property
    def rank(self) -> int:
        return len(self.axes)

    @property
    def type(self) -> Type:
        return self.body.type

    def at(self, subscripts: Sequence[Expr]) -> Expr:
        return substitute(self.body, dict(zip(self.indices, subscripts, strict=True)))

    def axis_words(self, axis: int) -> str:
        name = self.axes[axis].set
        return f"axis `{name}` of `{self.name}`" if name else f"axis {axis + 1} of `{self.name}`"

    def evidence(self, axis: int, span: Span | None = None) -> Evidence:
        return Evidence(self.axis_words(axis), span or self.span)


@dataclass(frozen=True)
class Place:
    """Where a read was written, for messages about its subscripts."""

    value: Value
    subscripts: tuple[Span, ...]
    texts: tuple[str, ...]


@dataclass(eq=False)
class Draft:
    """A tensor of the graph in the making."""

    tensor: Tensor
    lead: tuple[Index, ...] = ()  # the caller's index variables that its first axes stand for
    bodies: tuple[Expr, ...] = ()  # the right sides as they were built, in terms of ``lead``
    is_local: bool = False  # a tensor of an inlined layer: it may take the name that the caller gives it
    report: Callable[[Diagnostic], None] | None = None
    left_spans: tuple[Span, ...] = ()  # of its equations
    name: str = ""  # what the definition calls it


@dataclass(frozen=True)
class Guess:
    """What is taken to hold of a tensor while it is being made (``recurrences``)."""

    type: Type
    is_bounded: bool = True  # of integers: something says in which set they lie
    lead: tuple[int, ...] | None = None  # of the index variables that its frame could depend on; None: all
    history: tuple[Type, ...] = ()  # the types before each correction
    is_final: bool = False

    def corrected(self, **changes: Any) -> Guess:
        return replace(self, history=(*self.history, self.type), **changes)


@dataclass(eq=False)
class Provisional:
    """A tensor of a recurrence, read while it is being made."""

    id: str
    key: tuple[object, ...]
    value: Value
    candidates: tuple[Index, ...]  # index variables of the caller that it could depend on
    lead: tuple[Index, ...]  # those that it is taken to depend on
    is_certain: bool  # of the type
    bound: Expr | None = None  # an unknown size
    is_unbounded: bool = False  # it turned out to have no bound
    draft: Draft | None = None  # None if it could not be made


@dataclass(eq=False)
class Elaboration:
    """Everything that is common to the frames of one graph."""

    loader: Loader
    given_sizes: Mapping[str, int] = field(default_factory=dict)
    fixed: Mapping[str, int | float | bool] = field(default_factory=dict)
    generic: bool = False  # the sets of the signature have any size: a layer by itself
    claims: bool = False  # those of the definition are elaborated too
    checking: bool = False  # nothing is compiled: hyper-parameters without a default may have any value
    sizes: Sizes = field(default_factory=Sizes)
    drafts: dict[str, Draft] = field(default_factory=dict)
    places: dict[Read, Place] = field(default_factory=dict)
    positions: list[tuple[Expr, Place]] = field(default_factory=list)  # in instance arrays
    array_axes: dict[str, int] = field(default_factory=dict)  # of parameters of instance arrays
    clamped: set[Expr] = field(default_factory=set)
    derivatives: dict[tuple[str, str], str] = field(default_factory=dict)  # of what and by what -> the tensor
    hypers: dict[str, bool] = field(default_factory=dict)  # that can be changed; whether the default is a whole number
    problems: Diagnostics = field(default_factory=Diagnostics)
    frames: list[Frame] = field(default_factory=list)
    draws: dict[int, str] = field(default_factory=dict)  # random tensors by their numbers
    late: list[Callable[[], None]] = field(default_factory=list)
    stateful: list[StatefulUse] = field(default_factory=list)
    depth: int = 0
    guesses: dict[tuple[object, ...], Guess] = field(default_factory=dict)
    provisional: dict[str, Provisional] = field(default_factory=dict)
    expansions: dict[tuple[object, ...], int] = field(default_factory=dict)  # of calls, by where they stand

    def scope(self, resolved: Resolved) -> Scope:
        assert isinstance(resolved.item, ast.Definition)
        return scope_of(resolved, resolved.item)

    def add(self, draft: Draft) -> str:
        name = draft.tensor.id
        assert name not in self.drafts
        self.drafts[name] = draft
        return name

    def fresh_id(self, wanted: str) -> str:
        return unique(wanted, {**self.drafts, **self.provisional} if self.provisional else self.drafts)

    def expansion(self, place: tuple[object, ...]) -> tuple[object, ...]:
        """A name for a frame that is the same whenever elaboration begins again."""
        number = self.expansions[place] = self.expansions.get(place, 0) + 1
        return (*place, number)

    def report(self, problem: Diagnostic) -> None:
        self.problems.add(problem)

    def bound_of_tensor(self, name: str) -> tuple[Expr | None, str]:
        draft = self.drafts.get(name)
        if draft is not None:
            return draft.tensor.bound, draft.tensor.bound_set
        meanwhile = self.provisional.get(name)
        return (meanwhile.bound, "") if meanwhile is not None else (None, "")


def scope_of(resolved: Resolved, item: ast.Definition) -> Scope:
    """The scope of a definition, made once."""
    known = resolved.module.scopes.get(item.name.text)
    if known is None or known.definition is not item:
        known = resolved.module.scopes[item.name.text] = make_scope(resolved.module, item)
    return known


@dataclass(eq=False)
class Instance:
    """``statics`` is a frame without data: it holds the sets that parameters and nested instances depend on."""

    scope: Scope
    path: str
    span: Span | None = None
    axes: tuple[Axis, ...] = ()  # of an instance array, those of the instances around it first
    hypers: dict[str, Expr] = field(default_factory=dict)
    passed: dict[str, Value] | None = None  # parameters that the caller passes
    parameters: dict[str, Draft] = field(default_factory=dict)
    states: dict[str, Draft] = field(default_factory=dict)
    nested: dict[str, Instance] = field(default_factory=dict)
    given_sets: dict[str, tuple[Expr, Span]] = field(default_factory=dict)
    statics: Frame = field(init=False)

    @property
    def name(self) -> str:
        return self.path or self.scope.name


@dataclass(eq=False)
class Frame:
    build: Elaboration
    scope: Scope
    instance: Instance
    subscripts: tuple[Expr, ...] = ()  # which one of an instance array
    is_static: bool = False
    sets: dict[str, Expr] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    hypers: dict[str, Expr] = field(default_factory=dict)
    mapped: tuple[Index, ...] = ()  # the callers' index variables that this use of the layer is mapped over
    all_axes: tuple[Axis, ...] | None = None  # what `..` stands for
    open: dict[str, Span] = field(default_factory=dict)  # names that are being worked on, in order
    meanwhile: dict[str, Callable[[], Value]] = field(default_factory=dict)  # what tensors among them stand for
    key: tuple[object, ...] = ()  # the calls that led here
    failed: set[str] = field(default_factory=set)
    trail: Callable[[Iterable[Diagnostic]], list[Diagnostic]] = field(default=list)

    def local_id(self, name: str) -> str:
        path = self.instance.path
        return self.build.fresh_id(f"{path}.{name}" if path else name)

    def written_axes(self, value: Value) -> tuple[str, ...]:
        """The axes of a tensor as a spec writes them whole."""
        sets = tuple(axis.set for axis in value.axes)
        return ("..",) if self.all_axes and sets == tuple(axis.set for axis in self.all_axes) else sets

    def report(self, problem: Diagnostic) -> None:
        for one in self.trail([problem]):
            self.build.report(one)

    def sums(self, equation: ast.Equation | ast.Update) -> Sums:
        known = self.scope.sums.get(id(equation))
        if known is None:
            known = self.scope.sums[id(equation)] = sums_of_equation(self.scope, equation)
        return known


@dataclass(frozen=True, eq=False)
class StatefulUse:
    """A call of a layer that updates states; ``caller`` and ``call`` are None for the definition itself."""

    frame: Frame
    caller: Frame | None
    call: ast.Call | None


def tensor_value(draft: Draft, name: str, subscripts: Sequence[Expr] = (), span: Span | None = None) -> Value:
    """How a frame reads a tensor whose first axes are fixed at ``subscripts``."""
    tensor = draft.tensor
    count = len(subscripts)
    names = tensor.sets or ("",) * tensor.rank
    axes = tuple(Axis(size, called) for size, called in zip(tensor.sizes[count:], names[count:], strict=True))
    indices = tuple(fresh(axis.size, axis.set or "i") for axis in axes)
    body = Read(tensor.id, (*subscripts, *indices), tensor.type)
    return Value(name, axes, indices, body, span or tensor.span, tensor.bound, tensor.bound_set)


def scalar_value(name: str, body: Expr, span: Span | None = None) -> Value:
    return Value(name, (), (), body, span)


def collecting(steps: Iterable[Callable[[], Expr]]) -> list[Expr]:
    """The results of all steps; the errors of all of them together if some fail."""
    results: list[Expr] = []
    problems: list[Diagnostic] = []
    poisoned = False
    for step in steps:
        try:
            results.append(step())
        except CompileError as error:
            problems.extend(error.diagnostics)
        except Poisoned:
            poisoned = True
    if problems:
        raise CompileError(problems)
    if poisoned:
        raise Poisoned
    return results
