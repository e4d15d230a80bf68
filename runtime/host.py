"""What was measured of this machine, kept in the cache: `dlc tune` measures, `dlc explain` predicts by it.

    <cache>/host/<fingerprint>.json     a file for each processor and version of the kernels

Nothing is measured unasked but what a prediction needs, once.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dlc.runtime.folders import cache_folder, writable_cache_folder
from dlc.runtime.kernels_fingerprint import fingerprint

_USUAL_CACHE = 1 << 20


@dataclass(frozen=True)
class Speeds:
    """Operations a second of one thread by real type; bytes a second of one thread, of all threads together, and of one
    in its own cache; seconds to start and join the threads."""

    flops: Mapping[str, float]
    memory: float
    memory_of_all: float
    cached: float
    fork: float
    threads: int


def cache_bytes() -> int:
    """The bytes of a core's own cache, the last before what cores share."""
    try:
        return max(os.sysconf("SC_LEVEL2_CACHE_SIZE"), 0) or _USUAL_CACHE
    except (AttributeError, ValueError, OSError):
        return _USUAL_CACHE


def place(folder: Path) -> Path:
    """The file of this machine in a cache."""
    return folder / "host" / f"{fingerprint()}.json"


def known() -> Speeds | None:
    """What was measured before; None if nothing was, or what is there cannot be read."""
    try:
        found = json.loads(place(cache_folder()).read_text(encoding="utf-8"))
        return Speeds(**found["speeds"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def speeds() -> Speeds:
    """What was measured before, or is measured now and kept."""
    found = known()
    if found is None:
        found = measured()
        keep(found)
    return found


def measured() -> Speeds:
    """Measure; takes about a second."""
    from dlc.runtime.kernels import probes
    from dlc.runtime.threads import get_num_threads, shards

    flops = {real: probes.operations_per_second(real) for real in ("float32", "float64")}
    one, of_all = probes.memory_bytes_per_second(1), probes.memory_bytes_per_second(shards())
    threads = get_num_threads()
    cached, fork = probes.cached_bytes_per_second(), probes.fork_seconds(shards())
    return Speeds(flops, one, max(one, of_all), cached, fork, threads)


def keep(found: Speeds) -> Path:
    """Write the file whole, or not at all."""
    path = place(writable_cache_folder())
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="unfinished-", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"speeds": asdict(found)}, file, indent=1)
    os.replace(name, path)
    return path
