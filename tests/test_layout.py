"""The project's shape: packages and folders agree, imports run one way, and the front door stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"dlc": "dlc", "compiler": "dlc.compiler", "runtime": "dlc.runtime", "specs": "dlc.specs"}
HEAVY = ("numba", "llvmlite", "lark", "networkx", "numpy", "scipy", "rich", "matplotlib", "sklearn")

# Who may import whom. A module belongs to the longest row that it lies under; a row names everything it may import,
# apart from modules of its own row. What has no row may not be imported at all.
ALLOWED: dict[str, tuple[str, ...]] = {
    "dlc": ("dlc.compiler", "dlc.runtime", "dlc.specs"),
    "dlc.compiler": (),
    "dlc.compiler.source": (),
    "dlc.compiler.diagnostics": ("dlc.compiler.source",),
    "dlc.compiler.library": ("dlc.specs",),
    "dlc.compiler.files": ("dlc.compiler.library", "dlc.compiler.diagnostics", "dlc.compiler.source"),
    "dlc.compiler.syntax": ("dlc.compiler.diagnostics", "dlc.compiler.source"),
    "dlc.compiler.ir": ("dlc.compiler.source",),
    "dlc.compiler.semantics": (
        "dlc.compiler.syntax",
        "dlc.compiler.ir",
        "dlc.compiler.library",
        "dlc.compiler.files",
        "dlc.compiler.diagnostics",
        "dlc.compiler.source",
    ),
    "dlc.compiler.grad": ("dlc.compiler.ir", "dlc.compiler.diagnostics", "dlc.compiler.source"),
    "dlc.compiler.passes": ("dlc.compiler.ir", "dlc.compiler.diagnostics", "dlc.compiler.source"),
    "dlc.compiler.lower": ("dlc.compiler.ir", "dlc.compiler.diagnostics", "dlc.compiler.source"),
    "dlc.compiler.emit": ("dlc.compiler.ir", "dlc.compiler.source"),
    "dlc.compiler.pipeline": (
        "dlc.compiler.semantics",
        "dlc.compiler.grad",
        "dlc.compiler.passes",
        "dlc.compiler.lower",
        "dlc.compiler.emit",
        "dlc.compiler.ir",
        "dlc.compiler.diagnostics",
        "dlc.compiler.source",
    ),
    "dlc.compiler.verification": (
        "dlc.compiler.pipeline",
        "dlc.compiler.passes",
        "dlc.compiler.ir",
        "dlc.compiler.diagnostics",
        "dlc.compiler.source",
    ),
    "dlc.compiler.analysis": (
        "dlc.compiler.lower",
        "dlc.compiler.ir",
    ),
    "dlc.compiler.performance": (
        "dlc.compiler.analysis",
        "dlc.compiler.compilation",
        "dlc.compiler.driver",
        "dlc.compiler.golden",
        "dlc.compiler.ir",
        "dlc.compiler.options",
        "dlc.compiler.sources",
        "dlc.compiler.diagnostics",
        "dlc.runtime",
    ),
    "dlc.compiler.options": (
        "dlc.compiler.syntax",
        "dlc.compiler.ir",
        "dlc.compiler.diagnostics",
        "dlc.compiler.source",
    ),
    "dlc.compiler.sources": (
        "dlc.compiler.library",
        "dlc.compiler.files",
        "dlc.compiler.diagnostics",
        "dlc.compiler.source",
    ),
    "dlc.compiler.compilation": (
        "dlc",
        "dlc.compiler.pipeline",
        "dlc.compiler.semantics",
        "dlc.compiler.syntax",
        "dlc.compiler.emit",
        "dlc.compiler.ir",
        "dlc.compiler.options",
        "dlc.compiler.sources",
        "dlc.compiler.verification",
        "dlc.compiler.diagnostics",
    ),
    "dlc.compiler.derivative": ("dlc.compiler.grad", "dlc.compiler.passes", "dlc.compiler.ir"),
    "dlc.compiler.listing": (
        "dlc.compiler.compilation",
        "dlc.compiler.derivative",
        "dlc.compiler.pipeline",
        "dlc.compiler.semantics",
        "dlc.compiler.syntax",
        "dlc.compiler.ir",
        "dlc.compiler.options",
        "dlc.compiler.sources",
        "dlc.compiler.diagnostics",
    ),
    "dlc.compiler.store": ("dlc", "dlc.runtime"),
    "dlc.compiler.driver": ("dlc", "dlc.compiler", "dlc.runtime", "dlc.specs"),
    "dlc.compiler.golden": ("dlc.compiler.driver", "dlc.compiler.files", "dlc.compiler.diagnostics", "dlc.runtime"),
    "dlc.compiler.training": (
        "dlc.compiler.driver",
        "dlc.compiler.library",
        "dlc.compiler.files",
        "dlc.compiler.sources",
        "dlc.compiler.syntax",
        "dlc.compiler.diagnostics",
        "dlc.runtime",
    ),
    "dlc.compiler.cli": ("dlc", "dlc.compiler", "dlc.runtime"),
    "dlc.runtime": (),
    "dlc.specs": (),
}
# A row above that names a whole package stands for everything in it, but never for these.
NOBODY_IMPORTS = {
    "dlc.compiler.cli": ("dlc",),
    "dlc.compiler.driver": (
        "dlc",
        "dlc.compiler.cli",
        "dlc.compiler.golden",
        "dlc.compiler.performance",
        "dlc.compiler.training",
    ),
}


def modules() -> dict[str, Path]:
    """Every module of the project, by name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *parts]).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def row_of(module: str) -> str | None:
    """The longest row of the table that the module lies under; `dlc` is a row for its own files alone."""
    if module in ("dlc", "dlc.__main__"):
        return "dlc"
    return max((row for row in ALLOWED if row != "dlc" and below(module, row)), key=len, default=None)


def imports_of(module: str) -> Iterator[str]:
    """The project's modules that a module imports anywhere in it, also under `if TYPE_CHECKING` and in functions."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if below(alias.name, "dlc"))
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and below(node.module or "", "dlc"):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else str(node.module)


def may_import(module: str, other: str) -> bool:
    row, target = row_of(module), row_of(other)
    if row is None or target is None:
        return False
    if row == target:
        return True
    if target in NOBODY_IMPORTS and row not in ("dlc.compiler.cli", *NOBODY_IMPORTS[target]):
        return False
    return any(target == allowed or (allowed != "dlc" and below(target, allowed)) for allowed in ALLOWED[row])


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    assert row_of(module), f"{module} has no row in the table of this test: decide what it may import"
    wrong = sorted(other for other in set(imports_of(module)) if not may_import(module, other))
    assert not wrong, f"{module} must not import {', '.join(wrong)}"


@pytest.mark.parametrize(
    ("module", "other"),
    [
        ("dlc.runtime.training", "dlc.compiler.driver"),
        ("dlc.compiler.ir.graph", "dlc.compiler.diagnostics"),
        ("dlc.compiler.syntax.parse", "dlc.compiler.ir.graph"),
        ("dlc.compiler.passes.simplify", "dlc.compiler.grad.rules"),
        ("dlc.compiler.pipeline", "dlc.compiler.driver"),
        ("dlc.compiler.driver", "dlc.compiler.cli"),
        ("dlc.compiler.emit.numba", "dlc"),
    ],
)
def test_the_table_refuses(module: str, other: str) -> None:
    assert not may_import(module, other)


def test_imports_are_absolute() -> None:
    relative = [
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_passes_do_not_import_each_other() -> None:
    passes = [name for name in MODULES if below(name, "dlc.compiler.passes") and name != "dlc.compiler.passes"]
    wrong = [(name, other) for name in passes for other in imports_of(name) if other in passes and other != name]
    assert wrong == []


def test_packages_are_the_folders() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert settings["packages"] == sorted(settings["packages"])
    assert set(settings["packages"]) == folders
    assert settings["package-dir"] == {package: folder for folder, package in FOLDERS.items()}


def test_every_folder_with_files_is_a_package() -> None:
    """A `.dl` file in a folder without `__init__.py` would not be installed."""
    folders = {
        path.parent
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".dl", ".lark", ".golden", ".json")
    }
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


@pytest.mark.parametrize("folder", ["lower", "passes"])
def test_every_step_is_named_where_all_of_them_are(folder: str) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith(f"| `compiler/{folder}/` |"))
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", row))))
    steps = {path.stem for path in (ROOT / "compiler" / folder).glob("*.py")} - {"__init__"}
    assert sorted(steps - named) == []


def python(code: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments, "-c", code], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize("folder", ["compiler", "runtime"])
def test_a_folder_is_not_imported_by_its_own_name(folder: str) -> None:
    result = python(f"import {folder}", cwd=ROOT)
    assert result.returncode == 1
    assert f"ImportError: this folder is the package dlc.{folder}" in result.stderr


LOADED = f"import sys; print(*sorted(set({HEAVY!r} + ('click',)) & set(sys.modules)))"


def test_importing_dlc_loads_nothing_heavy() -> None:
    result = python(f"import dlc; {LOADED}")
    assert (result.stdout, result.stderr) == ("\n", "")


def test_version_loads_nothing_heavy() -> None:
    code = f"from dlc.compiler.cli import main; assert main(['--version']) == 0; {LOADED}"
    result = python(code)
    assert (result.stdout.splitlines()[1:], result.stderr) == (["click"], "")


def test_the_compiler_loads_neither_scipy_nor_numba(tmp_path: Path) -> None:
    unneeded = {"scipy", "numba", "dlc.compiler.verification"}
    result = python(f"import sys, dlc.compiler.compilation; print({unneeded!r} & {{*sys.modules}})", cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("set()\n", "")


def test_python_m_dlc() -> None:
    import dlc

    result = subprocess.run([sys.executable, "-m", "dlc", "--version"], capture_output=True, text=True)
    assert (result.stdout, result.stderr, result.returncode) == (f"dlc {dlc.__version__}\n", "", 0)


def test_every_exported_name_is_there() -> None:
    import dlc

    assert all(getattr(dlc, name) is not None for name in dlc.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dlc.nothing  # noqa: B018


@pytest.mark.parametrize("page", sorted(path.name for path in ROOT.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []
