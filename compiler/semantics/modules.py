"""Modules: a parsed file with the names that are visible in it, its own and those that `use` brings.

A `Loader` reads and parses each file once. What goes wrong (no such module, no such name, a circle) is kept with the
module that asks, as its ``problems``, so that the rest of the file is still checked; a name that could not be brought
in is ``missing`` and not complained about a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from dlc.compiler import files, library
from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.semantics.errors_names import CapitalTensor, CircularUse, Duplicate, UnknownInModule, UnknownModule
from dlc.compiler.source import Source, Span
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.parse import parse

Item: TypeAlias = ast.Function | ast.Definition


@dataclass(frozen=True, eq=False)
class Resolved:
    """A definition or function, and the module that it stands in (its names are looked up there)."""

    module: Module
    item: Item

    @property
    def name(self) -> str:
        return self.item.name.text


@dataclass(eq=False)
class Module:
    """``own`` and ``imported`` are in the order of the file."""

    file: ast.File
    path: Path
    own: dict[str, Resolved] = field(default_factory=dict)
    imported: dict[str, Resolved] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    problems: list[Diagnostic] = field(default_factory=list)
    scopes: dict[str, Any] = field(default_factory=dict)  # of its definitions, as far as they were asked for

    @property
    def name(self) -> str:
        return self.file.span.source.name

    def find(self, name: str) -> Resolved | None:
        return self.own.get(name) or self.imported.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.own, *self.imported)

    def every_problem(self) -> list[Diagnostic]:
        """The problems of this module and of all that it uses."""
        seen: dict[Module, None] = {}
        waiting: list[Module] = [self]
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen[module] = None
                waiting.extend(resolved.module for resolved in module.imported.values())
        return [problem for module in seen for problem in module.problems]


Find: TypeAlias = Callable[[str, Path | None], Path | None]
Open: TypeAlias = Callable[[Path, Span | None], Source]


@dataclass(eq=False)
class Loader:
    """``find`` leads from a dotted name and the folder of the file that uses it to a path, ``open`` reads that."""

    find: Find = library.find_module
    open: Open = files.read_spec
    candidates: Callable[[str, Path | None], tuple[str, ...]] = library.module_candidates
    _modules: dict[str, Module] = field(default_factory=dict)
    _open_uses: list[tuple[str, Span | None]] = field(default_factory=list)

    def module(self, file: ast.File) -> Module:
        """The module of a file that was parsed already."""
        path = Path(file.span.source.name)
        known = self._modules.get(_key(path))
        if known is not None and known.file is file:
            return known
        return self._load(path, file, None)

    def _load(self, path: Path, file: ast.File, use: Span | None) -> Module:
        module = self._modules[_key(path)] = Module(file, path)
        self._open_uses.append((_key(path), use))
        try:
            _own_names(module)
            for line in file.uses:
                self._use(module, line)
        finally:
            self._open_uses.pop()
        return module

    def _use(self, module: Module, line: ast.Use) -> None:
        name = ".".join(part.text for part in line.module)
        span = line.module[0].span.merge(line.module[-1].span)
        try:
            used = self._used(module, name, span)
        except CompileError as error:
            module.missing.update(wanted.text for wanted in line.names)
            module.problems.extend(error.diagnostics)
            return
        for wanted in line.names:
            self._bring(module, used, name, wanted)

    def _used(self, module: Module, name: str, span: Span) -> Module:
        beside = module.path.parent
        path = self.find(name, beside)
        if path is None:
            raise CompileError(UnknownModule(span, name, self.candidates(name, beside)))
        open_paths = [key for key, _ in self._open_uses]
        if _key(path) in open_paths:
            start = open_paths.index(_key(path))
            circle = [Path(key).stem for key in (*open_paths[start:], _key(path))]
            others = tuple(use for _, use in self._open_uses[start + 1 :] if use is not None)
            raise CompileError(CircularUse(span, tuple(circle), others))
        if _key(path) not in self._modules:
            source = self.open(path, span)
            return self._load(path, parse(source), span)
        return self._modules[_key(path)]

    def _bring(self, module: Module, used: Module, name: str, wanted: ast.Name) -> None:
        found = used.find(wanted.text)
        if found is None:
            module.missing.add(wanted.text)
            if wanted.text not in used.missing:
                module.problems.append(UnknownInModule(wanted.span, wanted.text, name, used.names))
            return
        if wanted.text in module.imported and module.imported[wanted.text].item is not found.item:
            module.problems.append(Duplicate(wanted.span, wanted.text, "the name", None))
        elif wanted.text in module.own:
            first = module.own[wanted.text].item.name.span
            module.problems.append(Duplicate(wanted.span, wanted.text, "the name", first))
        else:
            module.imported[wanted.text] = found


def _own_names(module: Module) -> None:
    for item in (*module.file.functions, *module.file.definitions):
        name = item.name.text
        if name in module.own:
            module.problems.append(Duplicate(item.name.span, name, "the name", module.own[name].item.name.span))
            continue
        if isinstance(item, ast.Function):
            for parameter in _capitals(item.parameters):
                module.problems.append(CapitalTensor(parameter.span, parameter.text))
        module.own[name] = Resolved(module, item)


def _capitals(declarations: Iterable[ast.Declaration]) -> list[ast.Name]:
    return [declaration.name for declaration in declarations if declaration.name.is_capital]


def _key(path: Path) -> str:
    try:
        return str(path.resolve()) if path.exists() else str(path)
    except (OSError, ValueError):  # a name that no file can have: the text came from elsewhere
        return str(path)
