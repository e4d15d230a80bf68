"""Loops over one scalar function, compiled as emitted kernels are, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
import pytest

from dlc.runtime.kernels import FLAGS, f32, f64, kernel, size, wide
from dlc.runtime.kernels.compilation import REGION_SIGNATURE

VIEWS = {"float32": f32, "float64": f64}


@cache
def mapped_loop(function: Any, real: str) -> Any:
    view = VIEWS[real]

    @kernel
    def loop(n, x, y):
        wide()
        for i in range(n):
            y[i] = function(x[i])

    def region(table, shard, shards):
        n = size(table, 0)
        loop(n, view(table, 1, n), view(table, 2, n))

    return numba.cfunc(REGION_SIGNATURE, **FLAGS)(region)


def over_array(function: Any, x: np.ndarray) -> np.ndarray:
    """`function` of every element, by a compiled loop."""
    x = np.ascontiguousarray(x)
    y = np.full_like(x, -77)
    table = np.array([x.size, x.ctypes.data, y.ctypes.data], dtype=np.int64)
    mapped_loop(function, x.dtype.name).ctypes(table.ctypes.data, 0, 1)
    return y


@pytest.fixture(scope="session")
def mapped() -> Callable[[Any, np.ndarray], np.ndarray]:
    return over_array


@pytest.fixture(scope="session")
def vector_code() -> Callable[[Any, str], str]:
    """The assembly of the loop over a function."""
    return lambda function, real: mapped_loop(function, real)._library.get_asm_str()
