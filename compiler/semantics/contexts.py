"""Where an expression is evaluated: its frame, the index variables in scope, and the whole axes around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import Expr, Index, free_indices, fresh
from dlc.compiler.semantics.errors_indices import LeftOver
from dlc.compiler.semantics.errors_limits import NestedTooDeep
from dlc.compiler.semantics.errors_sizes import WholeAxesMismatch
from dlc.compiler.semantics.frames import Axis, Frame, Value
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.semantics.summation import NO_SUMS, Sums
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

DEEPEST = 1200
"""Expressions inside each other, those of the layers and functions that they call included."""


@dataclass(eq=False)
class WholeAxes:
    """The whole axes that values without subscripts for them take, k-th with k-th.

    On the right of `y[b,T,D] = ..` these are `T` and `D`.  In an argument without capitals, and in `sum[..] f(x[I])`,
    they are *open*: the first value that has any decides.
    """

    indices: list[Index] = field(default_factory=list)
    axes: list[Axis] = field(default_factory=list)
    is_open: bool = False
    evidence: list[Evidence] = field(default_factory=list)

    def take(self, frame: Frame, value: Value, words: str, span: Span) -> tuple[Index, ...]:
        """The variables that run over the axes of ``value``."""
        if value.rank == 0:
            return ()
        if self.is_open and not self.indices:
            self.axes = list(value.axes)
            self.indices = [fresh(axis.size, _hint(axis.set)) for axis in value.axes]
            self.evidence = [value.evidence(axis, span) for axis in range(value.rank)]
            return tuple(self.indices)
        if value.rank != len(self.indices):
            raise CompileError(WholeAxesMismatch(span, words, value.rank, len(self.indices)))
        for number, axis in enumerate(value.axes):
            left, right = value.evidence(number, span), self.evidence[number]
            frame.build.sizes.unify(axis.size, self.axes[number].size, left, right, frame.report)
        return tuple(self.indices)


def _hint(set: str) -> str:
    return set or "i"


@dataclass(frozen=True, eq=False)
class Context:
    """``static``: only what is known when compiling may be used."""

    frame: Frame
    env: Mapping[str, Index]
    sums: Sums
    axes: WholeAxes
    static: bool = False
    guards: tuple[Expr, ...] = ()  # conditions under which the expression is evaluated

    def whole_axis(self, capital: ast.Name) -> Index:
        """The index variable of a whole axis; outside equations, in a size say, there is none."""
        if capital.text not in self.env:
            raise CompileError(LeftOver(capital.span, capital.text))
        return self.env[capital.text]

    def mapped_in(self, *bodies: Expr) -> tuple[Index, ...]:
        """The index variables of this equation that stand in what a layer is given: it is mapped over them."""
        mine = set(self.env.values())
        return tuple(dict.fromkeys(index for body in bodies for index in free_indices(body) if index in mine))

    def guarded(self, *conditions: Expr) -> Context:
        return replace(self, guards=(*self.guards, *conditions))

    def binding(self, names: Mapping[str, Index]) -> Context:
        return replace(self, env={**self.env, **names})

    def within(self, axes: WholeAxes) -> Context:
        return replace(self, axes=axes)


def static_context(frame: Frame) -> Context:
    return Context(frame, {}, NO_SUMS, WholeAxes(), static=True)


Rule = Callable[[Context, Any], Expr]
RULES: dict[type[ast.Node], Rule] = {}
"""How each kind of expression is evaluated; the modules that do it fill the table."""


def rule(*kinds: type[ast.Node]) -> Callable[[Rule], Rule]:
    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return enter


ValueRule = Callable[[Context, Any], Value | None]
VALUE_RULES: dict[type[ast.Node], ValueRule] = {}
"""What has whole axes of its own: calls and members.  None stands for a function of scalars."""


def value_rule(*kinds: type[ast.Node]) -> Callable[[ValueRule], ValueRule]:
    def enter(function: ValueRule) -> ValueRule:
        VALUE_RULES.update(dict.fromkeys(kinds, function))
        return function

    return enter


def whole_value(context: Context, node: ast.Expression) -> Value | None:
    """The value of a call or a member with all its axes; None for anything else."""
    found = VALUE_RULES.get(type(node))
    return None if found is None else found(context, node)


def evaluate(context: Context, node: ast.Expression) -> Expr:
    """The scalar expression that ``node`` means at the index variables of the context."""
    build = context.frame.build
    build.depth += 1
    try:
        if build.depth > DEEPEST:
            raise CompileError(NestedTooDeep(node.span, context.frame.scope.name, DEEPEST))
        return RULES[type(node)](context, node)
    finally:
        build.depth -= 1
