"""Copies of every second element, or the like, of all lengths around those of vectors; no other memory is touched."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from dlc.runtime.kernels import FLAGS, address, copy_strided, f32, f64, size
from dlc.runtime.kernels.compilation import REGION_SIGNATURE

COUNTS = (-1, *range(20), 31, 32, 33, 47, 70)
VIEWS = {np.float32: f32, np.float64: f64}


def copying(dtype: Any, step: int) -> Callable[..., None]:
    view = VIEWS[dtype]

    @numba.cfunc(REGION_SIGNATURE, **FLAGS)
    def copy(table, shard, shards):
        count = size(table, 0)
        copy_strided(address(view(table, 1, 100), 2), address(view(table, 2, 300), 0), step, count)

    def run(target: np.ndarray, source: int, count: int) -> None:
        table = np.array([count, target.ctypes.data, source], dtype=np.int64)
        copy.ctypes(table.ctypes.data, 0, 1)

    return run


@pytest.mark.parametrize("step", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_so_many_elements_are_copied_and_nothing_else_is_touched(dtype: Any, step: int) -> None:
    copy = copying(dtype, step)
    x = np.arange(400, dtype=dtype)
    for count in COUNTS:
        y = np.full(100, -1, dtype)
        expected = y.copy()
        expected[2 : 2 + max(count, 0)] = x[: step * max(count, 0) : step]
        copy(y, x.ctypes.data, count)
        np.testing.assert_array_equal(y, expected, err_msg=str(count))


@pytest.mark.skipif(not hasattr(mmap, "PROT_READ"), reason="pages are closed in another way")
@pytest.mark.parametrize("step", [2, 3])
def test_what_lies_behind_the_last_element_is_not_read(step: int) -> None:
    """The last element is the last of a page, and the next page is closed."""
    page, copy = mmap.PAGESIZE, copying(np.float32, step)
    memory = mmap.mmap(-1, 2 * page)
    whole = np.frombuffer(memory, np.float32)
    whole[:] = np.arange(len(whole))
    closed = ctypes.CDLL(None).mprotect(ctypes.c_void_p(whole.ctypes.data + page), ctypes.c_size_t(page), 0)
    assert closed == 0
    for count in COUNTS[2:]:
        first = page // 4 - 1 - step * (count - 1)
        y = np.zeros(100, np.float32)
        copy(y, whole.ctypes.data + 4 * first, count)
        np.testing.assert_array_equal(y[2 : 2 + count], np.arange(first, page // 4, step))
