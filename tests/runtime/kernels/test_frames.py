"""Frames: a call runs on arrays that are as the frame says, and says so where one is not."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from dlc.runtime.kernels import FLAGS, f64, frames, i64, size
from dlc.runtime.kernels.compilation import REGION_SIGNATURE
from dlc.runtime.kernels.frames import MISFIT, OUTSIDE, RAN, Program


def compiled(function):
    return numba.cfunc(REGION_SIGNATURE, **FLAGS)(function)


@compiled
def gather(table, shard, shards):
    n = size(table, 0)
    x, places, found = f64(table, 1, 4), i64(table, 2, n), f64(table, 3, n)
    for i in range(n):
        found[i] = x[places[i]]


X = np.arange(4.0)
REAL, INTEGER = X.dtype, np.dtype(np.int64)


class Call:
    """x[places] for three places, written to a buffer of gradients at its second element."""

    def __init__(self) -> None:
        self.table = np.array([3, 0, 0, 0])
        given = [(1, (4,), REAL, None), (2, (3,), INTEGER, 4)]
        self.frame = Program([(gather, 1)]).frame(self.table, given, [(3, 8)])
        self.buffer = np.zeros(5)

    def __call__(self, *values: Any) -> int:
        self.buffer[...] = 0
        return frames.run(self.frame.address, id(values), self.buffer.ctypes.data)


@pytest.fixture
def call() -> Call:
    return Call()


def test_it_runs_on_what_fits(call: Call) -> None:
    assert call(X, np.array([3, 0, 2])) == RAN
    assert call.buffer.tolist() == [0, 3, 0, 2, 0]
    assert call(2 * X, np.array([1, 1, 1])) == RAN
    assert call.buffer.tolist() == [0, 2, 2, 2, 0]


@pytest.mark.parametrize(
    "x",
    [
        None,
        1.5,
        [0.0, 1.0, 2.0, 3.0],
        X.astype(np.float32),
        X.astype(">f8"),
        X[:3],
        X.reshape(2, 2),
        X.reshape(4, 1),
        np.arange(8.0)[::2],
        X[::-1],
        np.arange(33, dtype=np.uint8)[1:].view(np.float64),  # not aligned
        np.ma.array(X),
        X[0],
    ],
    ids=lambda x: f"{type(x).__name__}-{getattr(x, 'dtype', '')}-{np.shape(x)}",
)
def test_what_does_not_fit_is_not_read(call: Call, x: Any) -> None:
    assert call(x, np.array([3, 0, 2])) == MISFIT
    assert not call.buffer.any()


@pytest.mark.parametrize("places", [[0, 1, 4], [-1, 0, 0], [0, 2**62, 0], [0, 0, -(2**63)]])
def test_integers_out_of_bounds_are_not_used(call: Call, places: list[int]) -> None:
    assert call(X, np.array(places)) == OUTSIDE
    assert not call.buffer.any()


def test_an_array_that_changes_its_shape_no_longer_fits(call: Call) -> None:
    x = X.copy()
    assert call(x, np.array([3, 0, 2])) == RAN
    x.resize((2, 2))
    assert call(x, np.array([3, 0, 2])) == MISFIT


def test_an_empty_array_has_no_element_out_of_bounds() -> None:
    table = np.zeros(1, np.int64)
    for bound in (0, 5):
        frame = Program([]).frame(table, [(0, (0, 3), INTEGER, bound)])
        assert frames.run(frame.address, id((np.zeros((0, 3), np.int64),)), 0) == RAN
