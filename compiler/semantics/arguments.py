"""The arguments of a call, given to the formals of a layer: by position within the groups between `;`, or by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.semantics.errors_calls import (
    FixedInInstance,
    MissingValue,
    RepeatedArgument,
    UnknownArgument,
    WrongCount,
)
from dlc.compiler.semantics.scope import Scope
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

Use: TypeAlias = Literal["direct", "instance", "making"]
"""A layer called with everything; an instance called with its data; an instance made without data."""


@dataclass
class Given:
    """What each formal was given, as written."""

    data: dict[str, ast.Expression] = field(default_factory=dict)
    parameters: dict[str, ast.Expression] = field(default_factory=dict)
    hypers: dict[str, ast.Expression] = field(default_factory=dict)
    sets: dict[str, ast.Expression] = field(default_factory=dict)


def match(scope: Scope, call: ast.Call, use: Use, name: str, made: Span | None = None) -> Given:
    """Raises `CompileError` for counts that are wrong, unknown names, and what belongs to the instance."""
    return _Matching(scope, call, use, name, made).run()


@dataclass
class _Matching:
    scope: Scope
    call: ast.Call
    use: Use
    name: str
    made: Span | None
    given: Given = field(default_factory=Given)
    problems: list[Diagnostic] = field(default_factory=list)

    def run(self) -> Given:
        groups = [[argument for argument in group if argument.name is None] for group in self.call.groups]
        groups += [[] for _ in range(3 - len(groups))]
        self.positional(groups[0], list(self.scope.data), self.given.data, "data argument")
        self.positional(groups[1], list(self.scope.parameters), self.given.parameters, "parameter")
        self.hypers_by_position(groups[2])
        for argument in self.call.named:
            self.named(argument)
        if not self.problems:
            self.complete()
        if self.problems:
            raise CompileError(self.problems)
        return self.given

    def positional(
        self, arguments: Sequence[ast.Argument], formals: Sequence[str], table: dict[str, ast.Expression], what: str
    ) -> None:
        if len(arguments) > len(formals):
            self.count(what, formals, len(arguments), arguments[len(formals)].span)
            return
        if arguments and table is self.given.parameters and self.use == "instance":
            self.problems.append(FixedInInstance(arguments[0].span, self.name, formals[0], self.made))
            return
        for formal, argument in zip(formals, arguments, strict=False):
            table[formal] = argument.value

    def hypers_by_position(self, arguments: Sequence[ast.Argument]) -> None:
        formals = [declaration.name for declaration in self.scope.definition.signature.hyper_parameters]
        if len(arguments) > len(formals):
            self.count("hyper-parameter", [name.text for name in formals], len(arguments), arguments[len(formals)].span)
            return
        for formal, argument in zip(formals, arguments, strict=False):
            table = self.given.sets if formal.is_capital else self.given.hypers
            table[formal.text] = argument.value

    def named(self, argument: ast.Argument) -> None:
        assert argument.name is not None
        name = argument.name.text
        table = self.table_of(argument.name)
        if table is None:
            known = (*self.scope.data, *self.scope.parameters, *self.scope.hypers, *self.scope.sets)
            self.problems.append(UnknownArgument(argument.name.span, name, self.scope.name, known))
        elif name in table:
            self.problems.append(RepeatedArgument(argument.name.span, name))
        elif self.use == "instance" and (table is self.given.parameters or table is self.given.hypers):
            self.problems.append(FixedInInstance(argument.span, self.name, name, self.made))
        else:
            table[name] = argument.value

    def table_of(self, name: ast.Name) -> dict[str, ast.Expression] | None:
        if name.is_capital:
            return self.given.sets if name.text in self.scope.sets else None
        for formals, table in (
            (self.scope.data, self.given.data),
            (self.scope.parameters, self.given.parameters),
            (self.scope.hypers, self.given.hypers),
        ):
            if name.text in formals:
                return table
        return None

    def complete(self) -> None:
        """Data without a default must be given, and parameters all or none."""
        if self.use != "making":
            required = [name for name, declaration in self.scope.data.items() if declaration.value is None]
            if any(name not in self.given.data for name in required):
                self.count("data argument", list(self.scope.data), len(self.given.data), self.call.span)
        if self.use != "instance":
            for name, declaration in self.scope.hypers.items():
                if declaration.value is None and name not in self.given.hypers:
                    self.problems.append(MissingValue(self.call.span, name, self.scope.name))
        some = self.given.parameters
        if some and len(some) < len(self.scope.parameters):
            self.count("parameter", list(self.scope.parameters), len(some), self.call.span)

    def count(self, what: str, formals: Sequence[str], given: int, span: Span) -> None:
        declared = self.scope.definition.name.span
        self.problems.append(WrongCount(span, self.name, what, tuple(formals), given, self.hint(what, given), declared))

    def hint(self, what: str, given: int) -> str | None:
        data, parameters = list(self.scope.data), list(self.scope.parameters)
        groups = len(self.call.groups)
        if what == "data argument" and groups == 1 and parameters and given == len(data) + len(parameters):
            call = f"`{self.name}({', '.join(data)}; {', '.join(parameters)})`"
            return f"a `;` is missing between data and parameters: {call}"
        if what == "data argument" and groups == 1 and given > len(data):
            mark = ";" if parameters else ";;"
            call = f"`{self.name}(..{mark} beta=2)`"
            return f"data comes first; hyper-parameters come behind `{mark}`, and may be named: {call}"
        if what == "parameter" and not parameters and groups == 2:
            return f"`{self.scope.name}` has no parameters, so its hyper-parameters come behind `;;`"
        if what == "parameter" and groups == 2 and given > len(parameters):
            return "one more `;` stands between parameters and hyper-parameters"
        return None
