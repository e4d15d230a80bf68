"""What measures a machine: loops that do nothing but multiply and add, move bytes, or start the threads.

Every measurement is the best of several short ones, because others may use the machine meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import REGION_SIGNATURE, intrinsic, native, prefer_wide_vectors, types
from dlc.runtime.kernels.frames import Program
from dlc.runtime.kernels.parallel import get_num_threads
from dlc.runtime.kernels.tile_shape import tile_shape
from dlc.runtime.kernels.vectors import multiply_add, splat
from dlc.runtime.kernels.views import f64, size

_CHAINS = 10  # sums that do not wait for each other: more than an addition takes cycles, twice
_REPETITIONS = 12
_LARGE = 1 << 26  # bytes that no cache holds
_SMALL = 1 << 16  # bytes that a core's own cache holds


@intrinsic
def _multiply_add_steadily(typing_context, count, x):
    """So many rounds of one multiplication and addition for every chain of vectors; gives a number of the result."""
    if x not in (types.float32, types.float64):
        return None
    lanes = tile_shape(x).lanes

    def codegen(context, builder, sig, args):
        prefer_wide_vectors(builder.function)
        vector = splat(builder, args[1], lanes)
        chains = [cgutils.alloca_once_value(builder, vector) for _ in range(_CHAINS)]
        with cgutils.for_range(builder, args[0]):
            for chain in chains:
                builder.store(multiply_add(builder, builder.load(chain), vector, vector), chain)
        total = vector
        for chain in chains:
            total = builder.fadd(total, builder.load(chain))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return x(types.int64, x), codegen


@cache
def _arithmetic(real: Any) -> Any:
    def run(count, x):
        return _multiply_add_steadily(count, x)

    return native(real(types.int64, real))(run).ctypes


def operations_per_second(real: str) -> float:
    """Multiplications and additions that one thread does in a second, in vectors."""
    kind = {"float32": types.float32, "float64": types.float64}[real]
    run, rounds = _arithmetic(kind), 40_000
    return 2.0 * rounds * _CHAINS * tile_shape(kind).lanes / _best(lambda: run(rounds, 0.5))


def _add(table, shard, shards):
    """z = x + y, the shard's part, several times."""
    n, times = size(table, 0), size(table, 1)
    start, stop = n * shard // shards, n * (shard + 1) // shards
    x, y, z = f64(table, 2, n), f64(table, 3, n), f64(table, 4, n)
    for _ in range(times):
        for i in range(start, stop):
            z[i] = x[i] + y[i]


def _nothing(table, shard, shards):
    pass


@cache
def _region(function: Callable[..., None]) -> Any:
    return native(REGION_SIGNATURE)(function)


def bytes_per_second(bytes: int, shards: int) -> float:
    """Bytes read and written in a second by so many shards, over and over in as many bytes of memory."""
    n = bytes // 24 * shards if bytes < _LARGE else bytes // 24
    arrays = [np.ones(n) for _ in range(3)]
    times = max(1, _LARGE // (24 * n) // 16)
    table = np.array([n, times, *(array.ctypes.data for array in arrays)])
    program = Program([(_region(_add), shards)])
    return 24.0 * n * times / _best(lambda: program(table))


def cached_bytes_per_second() -> float:
    """Bytes that one thread reads and writes in a second where they stay in its cache."""
    return bytes_per_second(_SMALL, 1)


def memory_bytes_per_second(shards: int) -> float:
    return bytes_per_second(_LARGE, shards)


def fork_seconds(shards: int) -> float:
    """What it takes to start the threads and to wait for them."""
    if get_num_threads() == 1 or shards == 1:
        return 0.0
    one, several = (Program([(_region(_nothing), count)] * 100) for count in (1, shards))
    table = np.zeros(1, np.int64)
    return max(0.0, _best(lambda: several(table)) - _best(lambda: one(table))) / 100


def _best(run: Callable[[], Any]) -> float:
    run()
    best = float("inf")
    for _ in range(_REPETITIONS):
        before = perf_counter()
        run()
        best = min(best, perf_counter() - before)
    return best
