"""Extrema, powers and constants: the operations of two arguments, on real numbers and integers."""

from __future__ import annotations

import re

import numba
import numpy as np
import pytest

from dlc.runtime.kernels import (
    FLAGS,
    absolute,
    copysign,
    difference,
    f32,
    f64,
    fma,
    like,
    maximum,
    minimum,
    power,
    rounded,
    size,
    wide,
)
from dlc.runtime.kernels.compilation import REGION_SIGNATURE

REALS = {"float32": np.float32, "float64": np.float64}
VALUES = (0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan)


@numba.njit(**FLAGS)
def both(x, y):
    return maximum(x, y), minimum(x, y)


@pytest.mark.parametrize("real", REALS)
def test_extrema_propagate_nan(real: str) -> None:
    number = REALS[real]
    for x in VALUES:
        for y in VALUES:
            expected = np.maximum(number(x), number(y)), np.minimum(number(x), number(y))
            assert np.array_equal(both(number(x), number(y)), expected, equal_nan=True), (x, y)


def test_extrema_of_integers() -> None:
    assert both(3, -5) == (3, -5)
    assert both(np.int32(-7), np.int32(2)) == (2, -7)
    assert both(np.int32(-7), 2**40) == (2**40, -7)
    assert both(True, False) == (1, 0)


def test_extrema_want_one_type() -> None:
    with pytest.raises(numba.TypingError):
        both(np.float32(1), 2)


@pytest.mark.parametrize(("view", "real"), [(f32, "float32"), (f64, "float64")])
@pytest.mark.parametrize("place", [0, 5, 31, 32, 999])
def test_reductions_find_the_largest_and_nan(view, real: str, place: int) -> None:
    def largest(table, shard, shards):
        wide()
        n = size(table, 0)
        x, y = view(table, 1, n), view(table, 2, 1)
        m = like(-np.inf, x[0])
        for i in range(n):
            m = maximum(m, x[i])
        y[0] = m

    region = numba.cfunc(REGION_SIGNATURE, **FLAGS)(largest)
    x, y = np.random.default_rng(place).normal(size=1000).astype(real), np.zeros(1, real)
    table = np.array([x.size, x.ctypes.data, y.ctypes.data])
    region.ctypes(table.ctypes.data, 0, 1)
    assert y[0] == x.max()
    x[place] = np.nan
    region.ctypes(table.ctypes.data, 0, 1)
    assert np.isnan(y[0])
    code = region._library.get_asm_str()  # type: ignore[attr-defined]  # the one way to the code
    assert re.search(r"v?(max|fmax\w*)\s*p|maxp[sd]|fmax|max", code)


@numba.njit(**FLAGS)
def raised(x, y):
    return power(x, y)


@pytest.mark.parametrize("real", REALS)
def test_power(real: str) -> None:
    number = REALS[real]
    rng = np.random.default_rng(2)
    pairs = [
        (0.0, 0.0),
        (0.0, 3.0),
        (-0.0, 3.0),
        (-2.0, 3.0),
        (-2.0, 0.5),
        (np.inf, -1.0),
        (1.0, np.nan),
        (np.nan, 0.0),
    ]
    pairs += list(zip(rng.uniform(0, 5, 200), rng.uniform(-5, 5, 200), strict=True))
    x, y = np.array(pairs, real).T
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    found = np.array([raised(number(a), number(b)) for a, b in zip(x, y, strict=True)], real)
    assert np.allclose(found, expected, rtol=4 * np.finfo(real).eps, atol=0, equal_nan=True)


@numba.njit(**FLAGS)
def mixture(x, n):
    return fma(x, like(3, x), copysign(like(0.5, x), -x)), absolute(n)


@pytest.mark.parametrize("real", REALS)
def test_constants_take_the_type_of_their_neighbour(real: str) -> None:
    number = REALS[real]
    result, count = mixture(number(2.0), -4)
    assert (result, count) == (5.5, 4)
    returned = mixture.signatures[-1], mixture.overloads[mixture.signatures[-1]].signature.return_type
    assert str(returned[1][0]) == real


@numba.njit(**FLAGS)
def shift(x, m, s):
    for n in range(len(x)):
        x[n] = difference(x[n], m) + s


def test_a_difference_is_not_regrouped() -> None:
    """m + s would be rounded to the accuracy of m, which is 1/1024: LLVM takes it out of the loop over x - m + s."""
    x = np.array([10000, 10000.25, 9999], np.float32)
    shift(x, np.float32(10000), np.float32(-0.1234567))
    assert np.array_equal(x, np.array([0, 0.25, -1], np.float32) + np.float32(-0.1234567))


@numba.njit(**FLAGS)
def scale(x, y):
    inverse = rounded(np.float32(1) / y)
    for n in range(len(x)):
        x[n] = x[n] * inverse


def test_a_quotient_before_a_loop_stays_before_it() -> None:
    """LLVM would divide every element, which is rounded once less."""
    x, y = np.arange(1, 100, dtype=np.float32), np.float32(3)
    found = x.copy()
    scale(found, y)
    assert np.array_equal(found, x * (np.float32(1) / y)) and not np.array_equal(found, x / y)


@numba.njit(**FLAGS)
def rounded_once(x, y, z):
    return fma(x, y, z)


def test_fma_rounds_once() -> None:
    x = 1.0 + 2.0**-30
    assert rounded_once(x, x, -1.0 - 2.0**-29) == 2.0**-60


@pytest.mark.parametrize("view, real", [(f32, "float32"), (f64, "float64")])
def test_what_a_row_leaves_behind_its_vectors_goes_in_vectors_too(view, real: str) -> None:
    def much(table, shard, shards):  # so much that a round is one vector
        n = size(table, 0)
        x, y = view(table, 1, n), view(table, 2, n)
        for i in range(n):
            a, b, c = x[i] + x[i], x[i] * x[i], maximum(x[i], y[i])
            y[i] = a * b + (b + c) * (a + c) + (a + b) * (b + c) + a * a * c + b * b * a + c * c * b

    region = numba.cfunc(REGION_SIGNATURE, **FLAGS)(much)
    for length in (0, 1, 7, 14, 63):
        x = np.random.default_rng(length).uniform(1, 2, length).astype(real)
        y = np.zeros(length, real)
        a, b, c = 2 * x, x * x, np.maximum(x, 0)
        expected = a * b + (b + c) * (a + c) + (a + b) * (b + c) + a * a * c + b * b * a + c * c * b
        table = np.array([length, x.ctypes.data, y.ctypes.data])
        region.ctypes(table.ctypes.data, 0, 1)
        np.testing.assert_allclose(y, expected, rtol=1e-5)
    made = region._library.get_llvm_str()  # type: ignore[attr-defined]
    assert "vec.epilog.vector.body" in made or "\nvector.body" not in made
