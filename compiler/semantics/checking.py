"""Everything that can be said about a file without compiling it for particular sizes."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.compiler.diagnostics import Diagnostic, Label, sorted_unique
from dlc.compiler.semantics.elaborate import problems_of
from dlc.compiler.semantics.errors import SemanticDiagnostic
from dlc.compiler.semantics.errors_limits import ExpressionTooLarge, NestedTooDeep, TooMuchExpansion
from dlc.compiler.semantics.exports import function_problems
from dlc.compiler.semantics.modules import Loader, Module
from dlc.compiler.syntax import ast


def check(file: ast.File, loader: Loader) -> list[Diagnostic]:
    """The problems of every definition of a file; a layer is checked for all sizes of the sets in its signature."""
    module = loader.module(file)
    found: list[Diagnostic] = list(module.every_problem())
    found.extend(_of_functions(file, module, loader))
    for item in file.definitions:
        found.extend(problems_of(module, item, loader))
    return list(sorted_unique(_said_once(found)))


def _of_functions(file: ast.File, module: Module, loader: Loader) -> Iterator[Diagnostic]:
    """What is too large is told of one: functions that call each other are so together."""
    is_large = False
    for item in file.functions:
        for problem in function_problems(module, item, loader):
            limit = isinstance(problem, NestedTooDeep | TooMuchExpansion | ExpressionTooLarge)
            if not (limit and is_large):
                yield problem
            is_large = is_large or limit


def _said_once(found: list[Diagnostic]) -> list[Diagnostic]:
    """What is wrong in a definition by itself is not said again for the calls of it."""
    by_itself = {(one.code, one.span) for one in found if not _calls(one)}
    return [one for one in found if not _calls(one) or (one.code, one.span) not in by_itself]


def _calls(problem: Diagnostic) -> tuple[Label, ...]:
    return problem.calls if isinstance(problem, SemanticDiagnostic) else ()
