"""Running sums, products and extremes, of all lengths around those of vectors."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from dlc.runtime.kernels import FLAGS, address, f32, f64, running_max, running_min, running_prod, running_sum, size
from dlc.runtime.kernels.compilation import REGION_SIGNATURE

LENGTHS = (0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100)
OPERATORS = {
    "sum": (running_sum, np.add),
    "prod": (running_prod, np.multiply),
    "max": (running_max, np.maximum),
    "min": (running_min, np.minimum),
}


def compiled(running: Any, view: Any) -> Any:
    @numba.cfunc(REGION_SIGNATURE, **FLAGS)
    def region(table, shard, shards):
        count, step = size(table, 0), size(table, 1)
        running(address(view(table, 2, count + 2), 1), count, step)

    return region


def scanned(region: Any, x: np.ndarray, step: int) -> np.ndarray:
    y = x.copy()
    table = np.array([len(x) - 2, step, y.ctypes.data], dtype=np.int64)
    region.ctypes(table.ctypes.data, 0, 1)
    return y


@pytest.mark.parametrize(("view", "dtype"), [(f32, np.float32), (f64, np.float64)])
@pytest.mark.parametrize("name", OPERATORS)
def test_each_element_becomes_that_of_all_up_to_it(name: str, view: Any, dtype: Any) -> None:
    running, reference = OPERATORS[name]
    region = compiled(running, view)
    for length in LENGTHS:
        x = np.random.default_rng(length).uniform(0.5, 1.5, length + 2).astype(dtype)
        forward = np.append(reference.accumulate(x[:-1]), x[-1])
        np.testing.assert_allclose(scanned(region, x, 1), forward, rtol=20 * np.finfo(dtype).eps)
        backward = np.append(x[0], reference.accumulate(x[:0:-1])[::-1])
        np.testing.assert_allclose(scanned(region, x, -1), backward, rtol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", OPERATORS)
def test_what_is_no_number_stays(name: str, odd: float) -> None:
    running, reference = OPERATORS[name]
    x = np.random.default_rng(0).uniform(0.5, 1.5, 50).astype(np.float32)
    x[[13, 30]] = odd
    region = compiled(running, f32)
    np.testing.assert_allclose(scanned(region, x, 1)[:-1], reference.accumulate(x[:-1]), rtol=1e-6)
    np.testing.assert_allclose(scanned(region, x, -1)[1:], reference.accumulate(x[:0:-1])[::-1], rtol=1e-6)
