"""Where one implementation begins to be faster than another, measured: what `dlc tune` finds.

Products are timed by the processor's time of one thread; of several runs the quickest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import thread_time
from typing import Any

import numba
import numpy as np

from dlc.runtime.kernels.choice import BLAS, TILE
from dlc.runtime.kernels.compilation import FLAGS, types
from dlc.runtime.kernels.gemm import gemm_of, load_gemm
from dlc.runtime.kernels.parallel import blas_threads, set_blas_threads
from dlc.runtime.kernels.primitives import like
from dlc.runtime.kernels.tile_shape import flat
from dlc.runtime.kernels.views import address

#: A product this much slower is slower: less is within what measuring can tell.
_CLEARLY = 1.05
_SIDES = (192, 256, 320, 448, 576, 704, 896)
_SMALL_SIDES = (4, 6, 8, 10, 12, 14, 16, 20)
_NEVER = 1 << 62
#: Work that takes as long as a fork of the threads, and how many times that pays.
_WORK_A_SECOND, _PAYS = 4e9, 4
_LEAST_WORK, _MOST_WORK = 1 << 12, 1 << 22


def crossover(sizes: Sequence[int], first: Sequence[float], second: Sequence[float]) -> int | None:
    """The smallest size from which the second is clearly faster, there and at all larger; None if there is none."""
    found = None
    for size, before, after in reversed(list(zip(sizes, first, second, strict=True))):
        if after * _CLEARLY > before:
            break
        found = size
    return found


def blas_from(transposed: bool) -> int:
    """Multiplications from which BLAS is faster than the tile, on square matrices of float32."""
    with _one_blas_thread():
        tile = [_product_seconds(TILE, side, transposed) for side in _SIDES]
        blas = [_product_seconds(BLAS, side, transposed) for side in _SIDES]
    return crossover([side**3 for side in _SIDES], tile, blas) or _NEVER


def _product_seconds(forced: int, side: int, transposed: bool) -> float:
    call = load_gemm(types.float32).ctypes
    a, b, c = (np.ones((side, side), np.float32) for _ in range(3))
    places = (a.ctypes.data, b.ctypes.data, c.ctypes.data)

    def run() -> None:
        call(forced, int(transposed), 0, side, side, side, 1.0, places[0], side, places[1], side, 0.0, places[2], side)

    return _best(run, 4)


def loops_below() -> int:
    """Multiplications below which loops of known extents are at least as fast as a call."""
    loops, calls = zip(*(_small_seconds(side) for side in _SMALL_SIDES), strict=True)
    found = crossover([side**3 for side in _SMALL_SIDES], loops, calls)
    return found or _SMALL_SIDES[-1] ** 3


def _small_seconds(side: int) -> tuple[float, float]:
    """The seconds of a product of float32 by loops, and by a call."""
    gemm: Any = gemm_of("gemm_f32")

    def by_loops(a, b, c, times):
        one = like(1.0, numba.float32(1))
        x, y, z = flat(a, one), flat(b, one), flat(c, one)
        for _ in range(times):
            for i in range(side):
                for j in range(side):
                    z[i * side + j] = numba.float32(0)
                for l in range(side):
                    for j in range(side):
                        z[i * side + j] += x[i * side + l] * y[l * side + j]

    def by_call(a, b, c, times):
        one = like(1.0, numba.float32(1))
        x, y, z = flat(a, one), flat(b, one), flat(c, one)
        for _ in range(times):
            gemm(0, 0, side, side, side, 1.0, address(x, 0), side, address(y, 0), side, 0.0, address(z, 0), side)

    signature = types.void(*[types.int64] * 4)
    arrays = [np.ones(side * side, np.float32) for _ in range(3)]
    places = [array.ctypes.data for array in arrays]
    times = 200_000 // side**2
    found = []
    for function in (by_loops, by_call):
        call = numba.cfunc(signature, **FLAGS)(function).ctypes
        found.append(_best(lambda call=call: call(*places, times), 8) / times)
    return found[0], found[1]


def parallel_work(fork: float) -> int:
    """The work of a region from which starting the threads pays: a power of two: measuring again gives it again."""
    wanted = max(1.0, fork * _WORK_A_SECOND * _PAYS)
    return min(max(1 << round(np.log2(wanted)), _LEAST_WORK), _MOST_WORK)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """BLAS with one thread, as inside of compiled models."""
    before = _get_blas_threads()
    _set_blas_threads(1)
    try:
        yield
    finally:
        _set_blas_threads(before)


@numba.njit
def _get_blas_threads():
    return blas_threads()


@numba.njit
def _set_blas_threads(count):
    set_blas_threads(np.int32(count))


def _best(run: Callable[[], None], repetitions: int) -> float:
    run()
    best = float("inf")
    for _ in range(repetitions):
        before = thread_time()
        run()
        best = min(best, thread_time() - before)
    return best
