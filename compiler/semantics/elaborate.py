"""The front door of semantics: a parsed file and the name of a definition become a graph.

Elaboration is driven by demand: every equation of the definition is asked for, and asks for what it needs.  A
hyper-parameter is a number that can be changed on the compiled object until it shows up in a size, in a subscript or
in a choice that decides structure; then everything begins again with that hyper-parameter fixed.  So it does where
something about a recurrence was guessed wrong (``recurrences``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.graph import Graph
from dlc.compiler.semantics.claims import claims_of
from dlc.compiler.semantics.definition import DefinitionGraph
from dlc.compiler.semantics.errors_calls import MissingValue
from dlc.compiler.semantics.errors_limits import NestedTooDeep
from dlc.compiler.semantics.errors_names import AmbiguousDefinition, UnknownDefinition, UnknownSetting
from dlc.compiler.semantics.frames import Elaboration, Guess, Restart, scope_of
from dlc.compiler.semantics.limits import Count
from dlc.compiler.semantics.modules import Loader, Module, Resolved
from dlc.compiler.semantics.optimizers import OptimizerGraph
from dlc.compiler.semantics.scope import Scope
from dlc.compiler.syntax import ast

Number = int | float | bool
Result = TypeVar("Result")

_RECURSION = 60_000  # frames of Python: the tree is walked by recursion, its depth is limited (`contexts.DEEPEST`)


def definitions(file: ast.File, loader: Loader | None = None) -> tuple[ast.Layer | ast.Model, ...]:
    """What a file compiles to: its models, or its layers if it has none."""
    models = tuple(item for item in file.definitions if isinstance(item, ast.Model))
    layers = tuple(item for item in file.definitions if isinstance(item, ast.Layer))
    return models or layers


def used_optimizers(file: ast.File, loader: Loader) -> list[tuple[ast.File, ast.Definition]]:
    """The optimizers that a file brings with `use`, each with the file that it stands in."""
    found = loader.module(file).imported.values()
    return [(one.module.file, one.item) for one in found if isinstance(one.item, ast.Optimizer)]


def elaborate(
    file: ast.File,
    definition: str | None,
    loader: Loader,
    sizes: Mapping[str, int] | None = None,
    hypers: Mapping[str, Number] | None = None,
    claims: bool = False,
) -> Graph:
    """The graph of a definition (the only one, if none is named); raises `CompileError` with all independent errors.

    What is wrong in its claims is an error too, but only with ``claims`` are they part of the graph.
    """

    def work() -> Graph:
        module = loader.module(file)
        item = _chosen(file, definition)
        problems = module.every_problem()
        claimed = bool(claims_of(scope_of(Resolved(module, item), item)))
        graph, found = _elaborated(module, item, loader, sizes or {}, hypers or {}, claims=claimed)
        if found or problems or graph is None:
            raise CompileError([*problems, *found])
        if claimed and not claims:  # nothing that only a claim needs, a size or a structure, touches what is compiled
            graph, _ = _elaborated(module, item, loader, sizes or {}, hypers or {})
            assert graph is not None
        return graph

    return _deep(work, file)


def problems_of(module: Module, item: ast.Definition, loader: Loader) -> list[Diagnostic]:
    """Every error of a definition, taken generically: the sets of a layer's signature have any size."""

    def work() -> list[Diagnostic]:
        return _elaborated(module, item, loader, {}, {}, claims=True, checking=True)[1]

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


def _chosen(file: ast.File, name: str | None) -> ast.Definition:
    known = file.definitions
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
    item: ast.Definition,
    loader: Loader,
    sizes: Mapping[str, int],
    hypers: Mapping[str, Number],
    claims: bool = False,
    checking: bool = False,
) -> tuple[Graph | None, list[Diagnostic]]:
    """The graph if there are no errors, else these."""
    scope = scope_of(Resolved(module, item), item)
    problems = [*scope.problems, *_settings(scope, sizes, hypers)]
    try:
        Count().check(scope)
    except CompileError as error:
        return None, [*problems, *error.diagnostics]
    fixed = dict(hypers) | ({"train": True} if isinstance(item, ast.Optimizer) else {})
    guesses: dict[tuple[object, ...], Guess] = {}
    while True:
        build = Elaboration(loader, sizes, fixed, isinstance(item, ast.Layer), claims, checking, guesses=guesses)
        try:
            kind = OptimizerGraph if isinstance(item, ast.Optimizer) else DefinitionGraph
            graph = kind(build, scope).run()
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
