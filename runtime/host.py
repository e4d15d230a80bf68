"""What was measured of this machine, kept in the cache: `dlc tune` measures, `dlc explain` predicts by it.

    <cache>/host/<fingerprint>.json     a file for each processor and version of the kernels

It holds speeds, which predictions are made of, and thresholds, by which implementations are chosen. Thresholds are part
of the fingerprint of compiled code, for another implementation rounds differently: with the same ones, results stay
the same bit for bit. Without the file there are defaults, and nothing is measured but the speeds, when a prediction is
wanted. Importing this module imports nothing heavy.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dlc.runtime.folders import cache_folder, writable_cache_folder
from dlc.runtime.kernels_fingerprint import machine

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


@dataclass(frozen=True)
class Thresholds:
    """Multiplications from which BLAS computes a matrix product, and those if its left factor is transposed and large;
    multiplications below which a product is a loop nest; work of a region below which one thread runs it."""

    blas_from: int = 300_000_000
    blas_transposed_from: int = 1_000_000_000
    loops_below: int = 2048
    parallel_work: int = 1 << 15


DEFAULTS = Thresholds()


def cache_bytes() -> int:
    """The bytes of a core's own cache, the last before what cores share."""
    try:
        return max(os.sysconf("SC_LEVEL2_CACHE_SIZE"), 0) or _USUAL_CACHE
    except (AttributeError, ValueError, OSError):
        return _USUAL_CACHE


def place(folder: Path) -> Path:
    """The file of this machine in a cache."""
    return folder / "host" / f"{machine()}.json"


def _kept() -> dict[str, Any]:
    try:
        found = json.loads(place(cache_folder()).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def known_speeds() -> Speeds | None:
    """What was measured before; None if nothing was, or what is there cannot be read."""
    try:
        found = Speeds(**_kept()["speeds"])
        return found if all(speed > 0 for speed in (*found.flops.values(), found.memory, found.cached)) else None
    except (TypeError, KeyError, AttributeError):
        return None


@cache
def thresholds() -> Thresholds:
    """Those of the last `dlc tune`, or the defaults; one answer for a process, because code is compiled by it."""
    try:
        found = Thresholds(**_kept()["thresholds"])
    except (TypeError, KeyError):
        return DEFAULTS
    return found if all(isinstance(n, int) and n > 0 for n in asdict(found).values()) else DEFAULTS


def speeds() -> Speeds:
    """What was measured before, or is measured now and kept."""
    found = known_speeds()
    if found is None:
        found = measured_speeds()
        keep(found, thresholds())
    return found


def measured_speeds() -> Speeds:
    """Measure; takes about a second."""
    from dlc.runtime.kernels import probes
    from dlc.runtime.threads import get_num_threads, shards

    flops = {real: probes.operations_per_second(real) for real in ("float32", "float64")}
    one, of_all = probes.memory_bytes_per_second(1), probes.memory_bytes_per_second(shards())
    threads = get_num_threads()
    cached, fork = probes.cached_bytes_per_second(), probes.fork_seconds(shards())
    return Speeds(flops, one, max(one, of_all), cached, fork, threads)


def measured_thresholds(found: Speeds) -> Thresholds:
    """Measure where one implementation begins to be faster than another; takes some seconds."""
    from dlc.runtime.kernels import crossovers

    return Thresholds(
        crossovers.blas_from(False),
        crossovers.blas_from(True),
        crossovers.loops_below(),
        crossovers.parallel_work(found.fork),
    )


def keep(found: Speeds, chosen: Thresholds) -> Path:
    """Write the file whole, or not at all."""
    path = place(writable_cache_folder())
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"speeds": asdict(found)} | ({"thresholds": asdict(chosen)} if chosen != DEFAULTS else {})
    handle, name = tempfile.mkstemp(prefix="unfinished-", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
    os.chmod(name, 0o644)  # mkstemp keeps others out; the cache may be shared
    os.replace(name, path)
    return path


def forget() -> None:
    """Go back to the defaults."""
    place(writable_cache_folder()).unlink(missing_ok=True)
