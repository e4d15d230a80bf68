"""Every way to misuse the language, with what is said about it: `errors/NAME.dl` beside `errors/NAME.err`.

A file is checked, as `dlc check` does it. One that begins with `# elaborate F with J=3, k=2` becomes a graph instead:
of the definition `F` (the only one, if none is named), with these sizes and hyper-parameters.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from dlc.compiler import compilation, library, semantics, sources, syntax
from dlc.compiler.diagnostics import CompileError, Diagnostic, Severity, render_all
from dlc.compiler.syntax.parse import parse

FOLDER = Path(__file__).parent / "errors"
SYNTAX_GOLDENS = Path(__file__).parent / "syntax" / "errors"
CASES = sorted(path.stem for path in FOLDER.glob("*.dl"))
ELABORATE = re.compile(r"# elaborate(?: (?!with )(?P<name>\w+))?(?: with (?P<settings>.+))?\n")
PINNED_BY_TESTS = {"DL026"}
"""Too many errors: a file of hundreds of lines, made by tests/syntax/test_errors.py."""


def diagnostics_of(name: str) -> list[Diagnostic]:
    spec = sources.read(f"{name}.dl")
    wanted = ELABORATE.match(spec.source.text)
    if wanted is None:
        return list(compilation.problems(spec))
    sizes, hypers = settings_of(wanted["settings"])
    try:
        semantics.elaborate(parse(spec.source), wanted["name"], semantics.Loader(), sizes, hypers)
    except CompileError as error:
        return list(error.diagnostics)
    return []


def settings_of(text: str | None) -> tuple[dict[str, int], dict[str, float]]:
    """`J=3, beta=2` as sizes and hyper-parameters."""
    pairs = [entry.split("=") for entry in (text or "").replace(" ", "").split(",") if entry]
    sizes = {name: int(value) for name, value in pairs if name[0].isupper()}
    return sizes, {name: float(value) for name, value in pairs if not name[0].isupper()}


@pytest.mark.parametrize("name", CASES)
def test_rendered_errors(name: str, update_golden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    found = diagnostics_of(name)
    assert any(one.severity is Severity.ERROR for one in found), f"{name}.dl has no error"
    rendered = render_all(found).replace(f"{library.standard_library()}{os.sep}", "specs/")
    golden = FOLDER / f"{name}.err"
    if update_golden:
        golden.write_text(rendered, encoding="utf-8")
    assert rendered == golden.read_text(encoding="utf-8")


def test_every_golden_has_its_source() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.err")) == CASES


def error_classes() -> list[type[Diagnostic]]:
    """The kinds of diagnostics of syntax and semantics, from the modules that are there."""
    found = (
        (room, path.stem)
        for room in (syntax, semantics)
        for folder in room.__path__
        for path in Path(folder).glob("errors*.py")
    )
    modules = sorted(f"{room.__name__}.{name}" for room, name in found)
    kinds = (kind for name in modules for _, kind in inspect.getmembers(importlib.import_module(name), inspect.isclass))
    return [kind for kind in dict.fromkeys(kinds) if issubclass(kind, Diagnostic) and "code" in vars(kind)]


def bases(kinds: Iterable[type[Diagnostic]]) -> set[str]:
    """Codes of kinds that only others are derived from."""
    return {base.code for kind in kinds for base in kind.__mro__[1:] if issubclass(base, Diagnostic)}


def test_codes_are_distinct() -> None:
    codes = [kind.code for kind in error_classes()]
    assert len(codes) > 90
    assert sorted(codes) == sorted(set(codes))


def test_every_diagnostic_has_a_case() -> None:
    goldens = [*FOLDER.glob("*.err"), *SYNTAX_GOLDENS.glob("*.golden")]
    rendered = "".join(path.read_text(encoding="utf-8") for path in goldens)
    kinds = error_classes()
    wanted = {kind.code for kind in kinds} - bases(kinds) - PINNED_BY_TESTS
    assert sorted(code for code in wanted if f"error[{code}]" not in rendered) == []
