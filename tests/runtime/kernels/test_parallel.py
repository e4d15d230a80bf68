"""Programs: every shard runs once, in order of regions, with the same bits whatever the number of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba.core import config

from dlc.runtime.kernels import FLAGS, Program, exp, f32, get_num_threads, i64, set_num_threads, size
from dlc.runtime.kernels.blas import THREADS_ARE_CONTROLLED, _thread_functions
from dlc.runtime.kernels.compilation import REGION_SIGNATURE
from dlc.runtime.kernels.parallel import blas_threads

THREADS = int(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # set when numba is imported


def compiled(function):
    return numba.cfunc(REGION_SIGNATURE, **FLAGS)(function)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)


@compiled
def count(table, shard, shards):
    seen = i64(table, 0, shards)
    seen[shard] += shard + 1


@compiled
def partial_sums(table, shard, shards):
    n = size(table, 0)
    x, sums = f32(table, 1, n), f32(table, 2, shards)
    s = x[0] - x[0]
    for i in range(n * shard // shards, n * (shard + 1) // shards):
        s += exp(x[i])
    sums[shard] = s


@compiled
def total(table, shard, shards):
    sums, result = f32(table, 2, 8), f32(table, 3, 1)
    result[0] = sums[0]
    for i in range(1, 8):
        result[0] += sums[i]


@pytest.mark.parametrize("threads", sorted({1, THREADS}))
@pytest.mark.parametrize("shards", [1, 2, 7, 64])
def test_every_shard_runs_once(threads: int, shards: int) -> None:
    set_num_threads(threads)
    seen = np.zeros(shards, np.int64)
    table = np.array([seen.ctypes.data])
    Program([(count, shards)])(table)
    assert seen.tolist() == list(range(1, shards + 1))


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    x = np.random.default_rng(0).normal(size=100_003).astype(np.float32)
    program = Program([(partial_sums, 8), (total, 1)])
    found = set()
    for threads in (1, THREADS, 1, THREADS):
        set_num_threads(threads)
        sums, result = np.zeros(8, np.float32), np.zeros(1, np.float32)
        program(np.array([x.size, x.ctypes.data, sums.ctypes.data, result.ctypes.data]))
        found.add((sums.tobytes(), result.tobytes()))
    assert len(found) == 1
    assert np.isclose(result[0], np.exp(x.astype(np.float64)).sum(), rtol=1e-5)


def test_a_program_may_be_empty() -> None:
    Program([])(np.zeros(1, np.int64))


def test_no_shards_is_an_error() -> None:
    with pytest.raises(ValueError, match="count is to run in 0 shards"):
        Program([(count, 0)])


@pytest.mark.parametrize("threads", [0, -1, THREADS + 1])
def test_the_number_of_threads_has_limits(threads: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to {THREADS} are possible"):
        set_num_threads(threads)
    assert get_num_threads() >= 1


@pytest.mark.skipif(not THREADS_ARE_CONTROLLED, reason="this BLAS has no functions for its number of threads")
def test_blas_runs_on_one_thread_meanwhile_and_as_before_afterwards() -> None:
    functions = _thread_functions()
    assert functions is not None
    get, set_ = functions

    @compiled
    def ask(table, shard, shards):
        i64(table, 0, 1)[0] = blas_threads()

    before = get()
    asked = np.zeros(1, np.int64)
    try:
        set_(2)
        wanted = get()
        Program([(ask, 1)])(np.array([asked.ctypes.data]))
        assert (asked[0], get()) == (1, wanted)
    finally:
        set_(before)
