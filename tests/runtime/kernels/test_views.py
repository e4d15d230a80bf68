"""Views on the table: subscripts, extents known and not, every dtype, and what the compiler refuses."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from dlc.runtime.kernels import (
    FLAGS,
    address,
    b1,
    f32,
    f32_at,
    f64,
    f64_at,
    i32,
    i64,
    kernel,
    noalias,
    size,
    u8,
)
from dlc.runtime.kernels.compilation import REGION_SIGNATURE, vector_bits


def run(function, *arrays_and_sizes, shards: int = 1) -> None:
    compiled = numba.cfunc(REGION_SIGNATURE, **FLAGS)(function)
    entries = [entry if isinstance(entry, int) else entry.ctypes.data for entry in arrays_and_sizes]
    table = np.array(entries, dtype=np.int64)
    for shard in range(shards):
        compiled.ctypes(table.ctypes.data, shard, shards)


@kernel
def scaled(low, high, columns, x, y):
    noalias()
    for row in range(low, high):
        for column in range(columns):
            y[row, column] += 2 * x[row, column] + x[0, 1]


@pytest.mark.parametrize("shards", [1, 3, 20])
def test_rows_are_found_with_literal_and_running_extents(shards: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(11, 37)).astype(np.float32)
    y = np.ones((11, 37), np.float32)
    z = np.ones((11, 37), np.float32)

    def region(table, shard, shards):
        rows, columns = size(table, 0), size(table, 1)
        low, high = rows * shard // shards, rows * (shard + 1) // shards
        scaled(low, high, columns, f32(table, 2, rows, 37), f32(table, 3, rows, 37))
        scaled(low, high, columns, f32(table, 2, rows, columns), f32(table, 4, rows, columns))

    run(region, 11, 37, x, y, z, shards=shards)
    assert np.allclose(y, 1 + 2 * x + x[0, 1])
    assert np.array_equal(y, z)


def test_every_dtype() -> None:
    arrays = [np.array([1, 2, 3], kind) for kind in ("f4", "f8", "i4", "i8", "u1")]
    flags = np.array([True, False, True])

    def region(table, shard, shards):
        a, b, c, d, e, f = (
            f32(table, 0, 3),
            f64(table, 1, 3),
            i32(table, 2, 3),
            i64(table, 3, 3),
            u8(table, 4, 3),
            b1(table, 5, 3),
        )
        a[0] = 10 * a[1]
        b[0] = 10 * b[1]
        c[0] = 10 * c[1]
        d[0] = 10 * d[1]
        e[0] = 10 * e[1]
        f[1] = not f[1] and f[0]
        f[2] = a[1] > a[2]

    run(region, *arrays, flags)
    assert all(array.tolist() == [20, 2, 3] for array in arrays)
    assert flags.tolist() == [True, True, False]


def test_views_at_addresses() -> None:
    x, y = np.arange(12, dtype=np.float32).reshape(3, 4), np.zeros(4)

    def region(table, shard, shards):
        row = f32_at(size(table, 0) + 4 * 4, 4)
        out = f64_at(size(table, 1), 4)
        for i in range(4):
            out[i] = row[i]

    run(region, x, y)
    assert y.tolist() == [4, 5, 6, 7]


def test_three_axes() -> None:
    x, y = np.arange(24, dtype=np.int64).reshape(2, 3, 4), np.zeros((4, 3, 2), np.int64)

    def region(table, shard, shards):
        n = size(table, 2)
        a, b = i64(table, 0, n, 3, 4), i64(table, 1, 4, 3, n)
        for i in range(n):
            for j in range(3):
                for k in range(4):
                    b[k, j, i] = a[i, j, k]

    run(region, x, y, 2)
    assert np.array_equal(y, x.transpose(2, 1, 0))


def test_the_last_subscript_counts_through_the_axes_that_are_left() -> None:
    x, y = np.arange(24, dtype=np.int64).reshape(2, 3, 4), np.zeros((2, 3, 4), np.int64)

    def region(table, shard, shards):
        n = size(table, 2)
        a, b = i64(table, 0, n, 3, 4), i64(table, 1, 2, 3, n + 2)
        for i in range(n):
            for jk in range(12):
                b[i, jk] = a[12 * i + jk] + a[i, jk]

    run(region, x, y, 2)
    assert np.array_equal(y, 2 * x)


def test_a_wrong_number_of_subscripts_does_not_compile() -> None:
    def region(table, shard, shards):
        x = f32(table, 0, 3, 4)
        x[0, 1, 2] = 1

    with pytest.raises(numba.TypingError):
        run(region, np.zeros((3, 4), np.float32))

    def pointing(table, shard, shards):
        address(f32(table, 0, 3, 4), 1)

    with pytest.raises(numba.TypingError):
        run(pointing, np.zeros((3, 4), np.float32))


def test_a_kernel_is_compiled_once_for_equal_types() -> None:
    @kernel
    def double(n, x):
        for i in range(n):
            x[i] *= 2

    x, y = np.ones(4, np.float32), np.ones(4, np.float32)

    def region(table, shard, shards):
        double(size(table, 2), f32(table, 0, 4))
        double(size(table, 3), f32(table, 1, 4))

    run(region, x, y, 4, 3)
    assert (x.tolist(), y.tolist()) == ([2, 2, 2, 2], [2, 2, 2, 1])
    assert len(double.signatures) == 1


def test_vector_registers_are_known() -> None:
    assert vector_bits() in (128, 256, 512)
