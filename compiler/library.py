"""Where specs are found: a name or a path becomes a file.

A module name (`use nn.linear`, `dlc train models.lenet`) is looked up beside the file that uses it, then in the folders
of the environment variable DLC_PATH, then in the standard library; the first file wins. Nothing is reported here: a
name that leads nowhere gives None, and `module_candidates` or `argument_candidates` say which names would have led
somewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

SUFFIX = ".dl"
PATH_VARIABLE = "DLC_PATH"


@cache
def standard_library() -> Path:
    """The folder of the specs that come with dlc."""
    return Path(str(files("dlc.specs")))


def spec_path() -> tuple[Path, ...]:
    """The folders named in DLC_PATH, in order; empty entries are left out."""
    return tuple(Path(entry) for entry in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if entry)


def search_folders(beside: Path | None = None) -> tuple[Path, ...]:
    """Every folder that a module is looked up in, in order; `beside` is the folder of the file that uses it."""
    return (*(() if beside is None else (beside,)), *spec_path(), standard_library())


def find_module(name: str, beside: Path | None = None) -> Path | None:
    """The file of the module `name` (dotted: `nn.linear` is `nn/linear.dl`), or None."""
    relative = _relative_path(name)
    if relative is None:
        return None
    # os.path, unlike Path.is_file, answers False for a name that no file can have (too long, say)
    candidates = (folder / relative for folder in search_folders(beside))
    return next((path for path in candidates if os.path.isfile(path)), None)


def find_argument(argument: str | os.PathLike[str]) -> Path | None:
    """The file that a SPEC of the command line means, or None: a path, or the dotted name of a module.

    What ends in `.dl` or has a folder in it is a path. Another word is a module name if there is such a module, else a
    path. The path that comes back exists, but may be a folder.
    """
    path = Path(argument)
    if not _looks_like_path(argument):
        module = find_module(str(argument), beside=Path())
        if module is not None:
            return module
    return path if os.path.exists(path) else None


def standard_modules(package: str = "") -> tuple[str, ...]:
    """The dotted names of all modules of the standard library, or of one folder of it, sorted."""
    root = standard_library()
    found = (path.relative_to(root).with_suffix("") for path in root.rglob(f"*{SUFFIX}"))
    names = sorted(".".join(path.parts) for path in found if _is_module_name(path.parts))
    return tuple(name for name in names if not package or name.startswith(f"{package}."))


def standard_home(name: str) -> tuple[str, str] | None:
    """The module of the standard library that has a layer or model of this name, whatever its capitals, and how it is
    spelt there.
    """
    return _standard_homes().get(name.casefold())


@cache
def _standard_homes() -> Mapping[str, tuple[str, str]]:
    root, homes = standard_library(), {}
    for module in standard_modules():
        path = root.joinpath(*module.split(".")).with_suffix(SUFFIX)
        for definition in re.findall(r"^(?:layer|model)\s+(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            homes.setdefault(definition.casefold(), (module, definition))
    return homes


def module_candidates(name: str, beside: Path | None = None) -> tuple[str, ...]:
    """What `name` may have been meant for: modules in the folders it points into, and the standard library's."""
    package = name.rpartition(".")[0]
    parts = package.split(".") if package else []
    near = {
        ".".join([*parts, path.stem])
        for folder in search_folders(beside)
        for path in _specs_in(folder.joinpath(*parts))
        if _is_module_name([*parts, path.stem])
    }
    return tuple(sorted(near.union(standard_modules())))


def argument_candidates(argument: str | os.PathLike[str]) -> tuple[str, ...]:
    """What a SPEC of the command line may have been meant for: the specs in that folder, or modules."""
    if not _looks_like_path(argument):
        return module_candidates(str(argument), beside=Path())
    return tuple(sorted(str(path) for path in _specs_in(Path(argument).parent)))


def _relative_path(name: str) -> Path | None:
    """`nn/linear.dl` for `nn.linear`; None for what is no module name, such as `..secret`."""
    parts = name.split(".")
    return Path(*parts).with_suffix(SUFFIX) if _is_module_name(parts) else None


def _is_module_name(parts: list[str] | tuple[str, ...]) -> bool:
    return all(part.isidentifier() for part in parts)


def _looks_like_path(argument: str | os.PathLike[str]) -> bool:
    text = os.fspath(argument)
    return isinstance(argument, os.PathLike) or text.endswith(SUFFIX) or "/" in text or os.sep in text


def _specs_in(folder: Path) -> Iterator[Path]:
    """The spec files directly in a folder; none if it cannot be read."""
    try:
        yield from folder.glob(f"*{SUFFIX}")
    except OSError:
        return
