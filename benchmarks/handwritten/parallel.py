"""A kernel over ranges of its first index, side by side."""

from __future__ import annotations

from typing import Any

import numba

from dlc.runtime.kernels import FLAGS, set_num_threads

SHARDS = 16


def sharded(kernel: Any, threads: int) -> Any:
    """`run(count, shards, arguments)` calls `kernel(start, stop, shard, *arguments)` for each part of the range."""
    set_num_threads(threads)

    @numba.njit(parallel=threads > 1, **FLAGS)
    def run(count, shards, arguments):
        for shard in numba.prange(shards):
            kernel(count * shard // shards, count * (shard + 1) // shards, shard, *arguments)

    return run
