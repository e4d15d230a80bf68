"""Where dlc keeps what it has compiled: one folder for the user, which DLC_CACHE_DIR moves.

Importing this module imports nothing heavy.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

CACHE_VARIABLE = "DLC_CACHE_DIR"


def cache_folder() -> Path:
    """The folder that DLC_CACHE_DIR names, else `dlc` in the user's cache; it need not exist."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).absolute() if chosen else user_cache_path("dlc", appauthor=False)


def writable_cache_folder() -> Path:
    """`cache_folder`, or, with a warning, a folder for the time of this process where that cannot be written."""
    folder = cache_folder()
    return folder if is_writable(folder) else _substitute(folder)


def is_writable(folder: Path) -> bool:
    """Whether files can be made in the folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # asked of the file system itself: permissions say nothing of a read-only mount
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@cache
def _substitute(folder: Path) -> Path:
    # the object that removes the folder when the process ends lives as long as this entry of the cache
    _kept.append(tempfile.TemporaryDirectory(prefix="dlc-", ignore_cleanup_errors=True))
    found = Path(_kept[-1].name)
    warnings.warn(
        f"{folder} cannot be written: what is compiled now is kept in {found} and lost at exit "
        f"(set {CACHE_VARIABLE} to a folder that can be written)",
        RuntimeWarning,
        stacklevel=4,
    )
    return found


_kept: list[tempfile.TemporaryDirectory[str]] = []
