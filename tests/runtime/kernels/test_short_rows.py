"""Rows of fewer elements than a vector has go in one vector under a mask, and nothing beside them is touched."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.runtime.kernels import FLAGS, f32, kernel, masked_rest, noalias, rows_apart, short_row, size
from dlc.runtime.kernels.compilation import REGION_SIGNATURE, vector_bits
from dlc.runtime.kernels.libraries import RegionCompiler
from dlc.runtime.kernels.loading import c_function


def rows_of(width: int):
    @kernel
    def smoothed(rows, x, y, sums):
        noalias()
        for u in range(rows):
            for v in range(width):
                short_row()
                middle = x[u, v + 1]
                y[u, v] = 0.25 * x[u, v] + 0.5 * middle + (0.25 * x[u, v + 2] if middle > 0 else middle)
            total = np.float32(0)
            for v in range(width):
                short_row()
                for p in range(3):
                    total += x[u, v] * x[u + p, v]
            sums[u] = total

    return smoothed


@pytest.mark.parametrize("width", [5, 6, 7])
def test_a_short_row_goes_under_a_mask(width: int) -> None:
    smoothed = rows_of(width)

    def region(table, shard, shards):
        rows = size(table, 0)
        smoothed(rows, f32(table, 1, rows + 2, width + 2), f32(table, 2, rows, width + 1), f32(table, 3, rows))

    rows = 4
    x = np.random.default_rng(0).normal(size=(rows + 2, width + 2)).astype(np.float32)
    y, sums = np.full((rows, width + 1), 7, np.float32), np.zeros(rows, np.float32)
    compiled = c_function(REGION_SIGNATURE, region, False, RegionCompiler, **FLAGS)
    table = np.array([rows, *(each.ctypes.data for each in (x, y, sums))], dtype=np.int64)
    compiled.ctypes(table.ctypes.data, 0, 1)
    middle = x[:rows, 1:-1]
    right = np.where(middle > 0, 0.25 * x[:rows, 2:], middle)
    np.testing.assert_allclose(y[:, :-1], 0.25 * x[:rows, :-2] + 0.5 * middle + right, 1e-6, 1e-6)
    np.testing.assert_array_equal(y[:, -1], 7)
    wanted = sum((x[:rows, :width] * x[p : p + rows, :width]).sum(1) for p in range(3))
    np.testing.assert_allclose(sums, wanted, 1e-5, 1e-5)
    if vector_bits() >= 256:
        (made,) = smoothed.overloads.values()
        assert "masked.store.v8f32" in made.library.get_llvm_str()


@kernel
def differences(rows, columns, x, y):
    noalias()
    for u in range(rows):
        for v in range(columns):
            masked_rest()
            y[u, v] = x[u, v + 1] - x[u, v] + x[u + 1, v]


@pytest.mark.parametrize("columns", [0, 1, 7, 8, 9, 31])
def test_the_rest_of_an_open_row_goes_under_a_mask(columns: int) -> None:
    def region(table, shard, shards):
        rows, columns = size(table, 0), size(table, 1)
        differences(rows, columns, f32(table, 2, rows + 1, columns + 1), f32(table, 3, rows, columns + 1))

    x = np.random.default_rng(0).normal(size=(4, columns + 1)).astype(np.float32)
    y = np.full((3, columns + 1), 7, np.float32)
    compiled = c_function(REGION_SIGNATURE, region, False, RegionCompiler, **FLAGS)
    table = np.array([3, columns, x.ctypes.data, y.ctypes.data], dtype=np.int64)
    compiled.ctypes(table.ctypes.data, 0, 1)
    np.testing.assert_allclose(y[:, :-1], x[:-1, 1:] - x[:-1, :-1] + x[1:, :-1], 1e-6, 1e-6)
    np.testing.assert_array_equal(y[:, -1], 7)
    if vector_bits() == 512:
        (made,) = differences.overloads.values()
        assert "masked.store.v8f32" in made.library.get_llvm_str()


@kernel
def apart(rows, columns, x, y):
    noalias()
    for u in range(rows):
        for v in range(columns):
            masked_rest()
            y[u, 2 * v] = x[u, v] if x[u, v] > 0 else x[u + 1, v]
            y[u, 2 * v + 1] = x[u, v] if x[u + 1, v] > 0 else -x[u, v + 1]


@pytest.mark.parametrize("columns", [0, 1, 7, 8, 9, 31])
def test_what_is_stored_by_every_second_element_goes_under_a_mask_too(columns: int) -> None:
    def region(table, shard, shards):
        rows, columns = size(table, 0), size(table, 1)
        apart(rows, columns, f32(table, 2, rows + 1, columns + 1), f32(table, 3, rows, 2 * columns + 1))

    x = np.random.default_rng(0).normal(size=(4, columns + 1)).astype(np.float32)
    y = np.full((3, 2 * columns + 1), 7, np.float32)
    compiled = c_function(REGION_SIGNATURE, region, False, RegionCompiler, **FLAGS)
    table = np.array([3, columns, x.ctypes.data, y.ctypes.data], dtype=np.int64)
    compiled.ctypes(table.ctypes.data, 0, 1)
    here, below = x[:-1, :-1], x[1:, :-1]
    np.testing.assert_array_equal(y[:, :-1:2], np.where(here > 0, here, below))
    np.testing.assert_array_equal(y[:, 1::2], np.where(below > 0, here, -x[:-1, 1:]))
    np.testing.assert_array_equal(y[:, -1], 7)
    if vector_bits() == 512:
        (made,) = apart.overloads.values()
        assert "masked.store.v16f32" in made.library.get_llvm_str()


@kernel
def two_rows(rows, columns, x, y):
    noalias()
    for u in range(rows):
        for v in range(columns):
            masked_rest()
            rows_apart()
            y[2 * u, v] = x[2 * u, v + 1] - x[2 * u, v]
            y[2 * u + 1, v] = x[2 * u + 1, v + 1] - x[2 * u, v]


@pytest.mark.parametrize("columns", [0, 1, 5, 7, 8, 9, 31])
def test_rows_that_keep_apart_need_no_checks(columns: int) -> None:
    def region(table, shard, shards):
        rows, columns = size(table, 0), size(table, 1)
        two_rows(rows, columns, f32(table, 2, 2 * rows, columns + 1), f32(table, 3, 2 * rows, columns))

    x = np.random.default_rng(0).normal(size=(6, columns + 1)).astype(np.float32)
    y = np.full((7, columns), 7, np.float32)
    compiled = c_function(REGION_SIGNATURE, region, False, RegionCompiler, **FLAGS)
    table = np.array([3, columns, x.ctypes.data, y.ctypes.data], dtype=np.int64)
    compiled.ctypes(table.ctypes.data, 0, 1)
    np.testing.assert_array_equal(y[:6:2], x[::2, 1:] - x[::2, :-1])
    np.testing.assert_array_equal(y[1:6:2], x[1::2, 1:] - x[::2, :-1])
    np.testing.assert_array_equal(y[6], 7)
    (made,) = two_rows.overloads.values()
    assert "vector.memcheck" not in made.library.get_llvm_str()
    if vector_bits() == 512:
        assert "masked.store.v8f32" in made.library.get_llvm_str()
