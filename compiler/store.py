"""The store of compiled modules: a folder for each key, in the user's cache.

    <cache>/modules/<key>/NAME.py NAME.pyi      written elsewhere, then renamed: a folder is complete or not there
    <cache>/modules/<key>/__pycache__           Numba's code, made region by region when a region is first called
    <cache>/locks/<key>.lock                    held by the process that compiles; the others wait for its work

A key is a hash of everything that the module depends on (`toolchain` is the part that is not the user's), so that
nothing in the store is ever out of date, and nothing is ever changed. A process that is killed leaves behind, at most,
a folder with a temporary name, which a later one removes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

import dlc
from dlc.runtime.folders import cache_folder, writable_cache_folder
from dlc.runtime.kernels_fingerprint import fingerprint

_TEMPORARY = "unfinished-"
_ABANDONED = 24 * 60 * 60  # seconds after which nobody is still writing


@cache
def toolchain() -> str:
    """The version of dlc with the sources of the compiler, Python, Numba and the processor, as one hash."""
    digest = hashlib.sha256(f"{dlc.__version__} {fingerprint()}".encode())
    root = Path(__file__).parent
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.lark")]):
        content = path.read_bytes()
        digest.update(f"\n{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def key_of(parts: Mapping[str, Any]) -> str:
    """The key of a module that depends on `parts` (anything that JSON can write) and on the toolchain."""
    text = json.dumps([toolchain(), parts], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def find(key: str) -> Path | None:
    """The folder of that key, if it is in the store.

    What is in a store that cannot be written is copied, machine code and all: Numba uses none that it could not change.
    """
    folder, original = writable_cache_folder() / "modules" / key, cache_folder() / "modules" / key
    if folder != original and original.is_dir() and not folder.is_dir():
        shutil.copytree(original, folder)
    return folder if folder.is_dir() else None


def add(key: str, files: Mapping[str, str]) -> Path:
    """Put a folder with these files under the key; if another process was quicker, its folder stays."""
    modules = writable_cache_folder() / "modules"
    modules.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(modules)
    target = modules / key
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=modules))
    try:
        for name, text in files.items():
            (temporary / name).write_text(text, encoding="utf-8", newline="\n")
        temporary.chmod(0o755)  # mkdtemp keeps others out; the cache may be shared
        try:
            os.rename(temporary, target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Held by one process at a time, for each name; a process that dies lets go of it."""
    folder = writable_cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        yield


def _remove_abandoned(modules: Path) -> None:
    oldest = time.time() - _ABANDONED
    for path in modules.glob(f"{_TEMPORARY}*"):
        try:
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # another process has removed it
