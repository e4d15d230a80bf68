"""A spec with its text, and the files that it depends on: what must be read to know whether it was compiled before.

No file is parsed here, so that a module in the cache is found in milliseconds.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dlc.compiler import files, library
from dlc.compiler.diagnostics import CompileError
from dlc.compiler.source import Source


class Spec(NamedTuple):
    """A spec as it was found: where, and what stands there."""

    path: Path
    source: Source


def read(argument: str | os.PathLike[str]) -> Spec:
    """The spec that an argument means, a path or the name of a module; raises `CompileError` (DL901 to DL904)."""
    return Spec(*files.read_argument(argument))


def below(argument: str | os.PathLike[str]) -> list[Spec]:
    """The spec that an argument means, or all specs in a folder and the folders in it, sorted by path."""
    if not os.path.isdir(argument):
        return [read(argument)]
    paths = sorted(path for path in Path(argument).rglob(f"*{library.SUFFIX}") if path.is_file())
    return [Spec(path, files.read_spec(path)) for path in paths]


_USE = re.compile(r"^[ \t]*use\s+([^:#\n]+):", re.MULTILINE)


def used_files(spec: Spec) -> Iterator[Spec]:
    """The spec and every file that it may use, each once, in the order of the lines that name them.

    More may be found than the spec uses, but never less. A file that cannot be read is left out: compiling says so.
    """
    waiting, seen = [spec], {spec.path.absolute()}
    while waiting:
        current = waiting.pop(0)
        yield current
        for name in _USE.findall(unicodedata.normalize("NFKC", current.source.text)):
            path = library.find_module("".join(name.split()), current.path.parent)
            if path is None or path.absolute() in seen:
                continue
            seen.add(path.absolute())
            try:
                waiting.append(Spec(path, files.read_spec(path)))
            except CompileError:
                continue
