"""Copies with rows and columns exchanged, of all sizes around those of a square, and of parts of a matrix."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from dlc.runtime.kernels import FLAGS, address, f32, f64, size, transpose
from dlc.runtime.kernels.compilation import REGION_SIGNATURE

SIDES = (0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 70)


@numba.cfunc(REGION_SIGNATURE, **FLAGS)
def single(table, shard, shards):
    rows, columns = size(table, 0), size(table, 1)
    x, y = f32(table, 2, columns + 5, rows + 3), f32(table, 3, rows + 2, columns + 1)
    transpose(address(y, 1, 0), columns + 1, address(x, 4, 2), rows + 3, rows, columns)


@numba.cfunc(REGION_SIGNATURE, **FLAGS)
def double(table, shard, shards):
    rows, columns = size(table, 0), size(table, 1)
    x, y = f64(table, 2, columns + 5, rows + 3), f64(table, 3, rows + 2, columns + 1)
    transpose(address(y, 1, 0), columns + 1, address(x, 4, 2), rows + 3, rows, columns)


@pytest.mark.parametrize(("function", "dtype"), [(single, np.float32), (double, np.float64)])
def test_a_part_is_copied_and_nothing_else_is_touched(function, dtype) -> None:
    for rows in SIDES:
        for columns in SIDES:
            x = np.arange((columns + 5) * (rows + 3), dtype=dtype).reshape(columns + 5, rows + 3)
            y = np.full((rows + 2, columns + 1), -1, dtype)
            expected = y.copy()
            expected[1 : 1 + rows, :columns] = x[4 : 4 + columns, 2 : 2 + rows].T
            table = np.array([rows, columns, x.ctypes.data, y.ctypes.data], dtype=np.int64)
            function.ctypes(table.ctypes.data, 0, 1)
            assert np.array_equal(y, expected), (rows, columns)


def test_what_a_number_means_does_not_matter() -> None:
    """Each nan keeps its own bits."""
    x, y = np.full((21, 15), np.nan, np.float32), np.zeros((14, 17), np.float32)
    x.view(np.int32)[:] += np.arange(x.size, dtype=np.int32).reshape(x.shape)
    table = np.array([12, 16, x.ctypes.data, y.ctypes.data], dtype=np.int64)
    single.ctypes(table.ctypes.data, 0, 1)
    assert np.array_equal(y[1:13, :16].view(np.int32), x[4:20, 2:14].T.view(np.int32))
