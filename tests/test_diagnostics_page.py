"""The page of all diagnostics lists every code with a title and a spec that causes it; `--update-golden` writes it."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path

from dlc import compiler
from dlc.compiler.diagnostics import Diagnostic

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "diagnostics.md"
GOLDENS = (("tests/errors", ".err"), ("tests/syntax/errors", ".golden"))
MARK = "--update-golden`. -->\n"
SECTIONS = (
    (1, "Syntax"),
    (30, "Names"),
    (50, "Index variables, subscripts, left sides"),
    (65, "Sizes and axes"),
    (78, "Recurrences"),
    (80, "Derivatives"),
    (85, "Calls"),
    (100, "Types"),
    (110, "Not supported yet"),
    (124, "Limits"),
    (900, "Files, options and commands"),
)


def diagnostics() -> dict[str, type[Diagnostic]]:
    """Every kind of diagnostic of the compiler by its code; kinds that only others are derived from are left out."""
    for module in pkgutil.walk_packages(compiler.__path__, "dlc.compiler."):
        importlib.import_module(module.name)
    found: dict[str, type[Diagnostic]] = {}
    for kind in kinds_below(Diagnostic):
        if "code" in vars(kind) and not kind.__subclasses__():
            assert kind.code not in found, f"{kind.code} is the code of {kind} and of {found[kind.code]}"
            found[kind.code] = kind
    return dict(sorted(found.items()))


def kinds_below(kind: type[Diagnostic]) -> Iterator[type[Diagnostic]]:
    for below in kind.__subclasses__():
        if below.__module__.startswith("dlc."):
            yield below
            yield from kinds_below(below)


def tables() -> str:
    goldens = {path: path.read_text(encoding="utf-8") for path in golden_files()}
    lines: list[str] = []
    for (first, title), (after, _) in zip(SECTIONS, (*SECTIONS[1:], (1000, "")), strict=True):
        lines += ["", f"## {title}", "", "| code | title | example |", "|---|---|---|"]
        for code, kind in diagnostics().items():
            if first <= int(code[2:]) < after:
                lines.append(f"| {code} | {kind.title} | {example(code, goldens)} |")
    return "\n".join(lines) + "\n"


def golden_files() -> list[Path]:
    return [path for folder, suffix in GOLDENS for path in sorted((ROOT / folder).glob(f"*{suffix}"))]


def example(code: str, goldens: dict[Path, str]) -> str:
    """A link to a spec that causes it: rather one in which it is the only one, or the first."""
    causing = [(text.count("error[") > 1, path) for path, text in goldens.items() if f"error[{code}]" in text]
    first = [(several, path) for several, path in causing if goldens[path].startswith(f"error[{code}]")]
    if not causing:
        return ""
    path = min(first or causing, key=lambda one: one[0])[1].with_suffix(".dl")
    return f"[{path.stem}]({os.path.relpath(path, PAGE.parent).replace(os.sep, '/')})"


def test_the_page_lists_every_diagnostic(update_golden: bool) -> None:
    content = PAGE.read_text(encoding="utf-8")
    introduction = content[: content.index(MARK) + len(MARK)]
    if update_golden:
        PAGE.write_text(introduction + tables(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == introduction + tables()


def test_every_code_falls_into_a_section() -> None:
    assert len(diagnostics()) > 100
    assert all(1 <= int(code[2:]) < 1000 for code in diagnostics())
