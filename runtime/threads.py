"""How many threads compiled code uses, one setting of the process, and in how many shards it divides its work."""

from __future__ import annotations

import os
from functools import cache

MOST_SHARDS = 32

_threads: int | None = None


def set_num_threads(threads: int) -> None:
    """Let compiled models use that many threads, from 1 to the number of processors.

    Results are equal bit for bit whatever the number: what is divided, and how sums are put together, depends on the
    number of processors alone.
    """
    from dlc.runtime import kernels

    global _threads
    kernels.set_num_threads(threads)
    _threads = threads


def get_num_threads() -> int:
    """How many threads compiled models use."""
    global _threads
    if _threads is None:
        from dlc.runtime import kernels

        _threads = kernels.get_num_threads()
    return _threads


@cache
def shards() -> int:
    """In how many shards work is divided: as many as processors that this process may use, up to ``MOST_SHARDS``."""
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, min(len(affinity(0)) if affinity is not None else os.cpu_count() or 1, MOST_SHARDS))
