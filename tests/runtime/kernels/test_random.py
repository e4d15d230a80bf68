"""Random numbers: the published vectors of Philox, the interpreter's numbers, and statistics at fixed seeds."""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
import pytest
import scipy.stats
from ir.test_philox import PUBLISHED, numbers

from dlc.compiler.ir import philox
from dlc.runtime import kernels
from dlc.runtime.kernels import FLAGS, random

COUNT = 1 << 16
FORMS = {"random_uniform": philox.uniform, "random_normal": philox.normal}


@cache
def loop(name: str) -> Any:
    function = getattr(kernels, name)

    @numba.njit(**FLAGS)
    def fill(y, seed, step, tensor, first):
        for i in range(y.size):
            y[i] = function(seed, step, tensor, first + i)

    return fill


def drawn(name: str, real: str, place: tuple[int, int, int, int] = (5, 7, 3, 0), count: int = COUNT) -> np.ndarray:
    y = np.full(count, np.nan, real)
    loop(f"{name}_f{real[-2:]}")(y, *place)
    return y


def _scalars(seed: int, step: int, tensor: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array(seed), np.array(step), np.array(tensor)


def test_published_vectors() -> None:
    @numba.njit
    def called(counter, key):
        return random.philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1])

    for counter, key, result in PUBLISHED:
        found = called(np.concatenate(numbers(counter)), np.concatenate(numbers(key)))
        assert " ".join(f"{int(word):08x}" for word in found) == result


@pytest.mark.parametrize("place", [(0, 0, 0, 0), (-1, 2**48 - 1, 2**32 - 1, 2**48 - 4096), (2**40 + 3, 5, 9, 2**33)])
@pytest.mark.parametrize("name", FORMS)
def test_like_the_interpreter(name: str, place: tuple[int, int, int, int]) -> None:
    wanted = FORMS[name](*_scalars(*place[:3]), np.arange(place[3], place[3] + 4096))
    np.testing.assert_allclose(drawn(name, "float64", place, 4096), wanted, rtol=1e-14, atol=1e-15)


def test_single_precision_is_double_precision_rounded() -> None:
    uniform = drawn("random_uniform", "float64")
    np.testing.assert_array_equal(drawn("random_uniform", "float32"), np.floor(uniform * 2**24) / 2**24)
    np.testing.assert_array_equal(
        drawn("random_normal", "float32"), drawn("random_normal", "float64").astype(np.float32)
    )


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 2**31 + 5, 2**32 - 1])
def test_integers(count: int) -> None:
    @numba.njit(**FLAGS)
    def fill(y, n):
        for i in range(y.size):
            y[i] = kernels.random_integer(5, 7, 3, i, n)

    y = np.full(COUNT, -1, np.int64)
    fill(y, count)
    np.testing.assert_array_equal(y, philox.below(*_scalars(5, 7, 3), np.arange(COUNT), np.array(count)))
    assert 0 <= y.min() <= y.max() < count
    if count <= 7:
        expected = COUNT / count
        assert np.abs(np.bincount(y, minlength=count) - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_uniform_numbers(real: str) -> None:
    y = drawn("random_uniform", real)
    assert y.min() >= 0
    assert y.max() < 1
    assert scipy.stats.kstest(y, "uniform").pvalue > 0.01
    assert abs(y.mean() - 0.5) < 4 * np.sqrt(1 / 12 / COUNT)
    assert abs(y.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / COUNT)


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_normal_numbers(real: str) -> None:
    y = drawn("random_normal", real)
    assert scipy.stats.kstest(y, "norm").pvalue > 0.01
    assert abs(y.mean()) < 4 * np.sqrt(1 / COUNT)
    assert abs(y.var() - 1) < 4 * np.sqrt(2 / COUNT)
    assert abs(np.mean(y**3)) < 4 * np.sqrt(15 / COUNT)
    assert abs(np.mean(y**4) - 3) < 4 * np.sqrt(96 / COUNT)


@pytest.mark.parametrize("part", range(4))
def test_neighbours_are_not_correlated(part: int) -> None:
    """Of seed, step, tensor and position, one is moved by one: the two streams have nothing in common."""
    place = [5, 7, 3, 0]
    place[part] += 1
    one, other = drawn("random_normal", "float64"), drawn("random_normal", "float64", tuple(place))  # type: ignore[arg-type]
    assert abs(np.mean(one * other)) < 4 / np.sqrt(COUNT)
