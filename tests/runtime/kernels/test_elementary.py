"""Elementary functions: errors in units in the last place on wide grids, special values, and vectors like scalars."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from precision import BOUND, EXTENDED, units_in_the_last_place, wider

from dlc.runtime import kernels

Mapped = Callable[[Any, np.ndarray], np.ndarray]
REALS = ("float32", "float64")


def _sigmoid(x):
    return np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


def _softplus(x):
    return np.where(x > 0, x, 0) + np.log1p(np.exp(-np.abs(x)))


def _erf(x):
    return np.array([math.erf(float(value)) for value in x], dtype=x.dtype)


REFERENCE: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "erf": _erf,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
}
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def grid(name: str, real: str) -> np.ndarray:
    """Numbers of every magnitude, dense where functions bend or cancel."""
    rng = np.random.default_rng(7)
    limits = np.finfo(real)
    count = 20_000
    edge = float(np.log(limits.max))
    parts = [scale * rng.uniform(-1, 1, count) for scale in (1e-3, 0.1, 1.0, 3.0, 10.0, 50.0, edge)]
    parts.append(np.ldexp(rng.uniform(-2, 2, count), rng.integers(limits.minexp - 20, limits.maxexp - 1, count)))
    parts.append(np.linspace(-edge - 20, edge + 20, count))
    if name in ("log", "log1p"):
        parts += [rng.uniform(0.5, 2.0, count), rng.uniform(-0.9, 0.9, count)]
    if name in ("sin", "cos", "tan"):
        parts += [rng.integers(-100_000, 100_000, count) * (np.pi / 2), rng.uniform(-2e5, 2e5, count)]
    x = np.concatenate(parts).astype(real)
    if name == "log":
        return np.abs(x)
    return np.where(x < -1, -x, x) if name == "log1p" else x


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", REFERENCE)
def test_errors_are_as_promised(mapped: Mapped, name: str, real: str) -> None:
    x = grid(name, real)
    error = units_in_the_last_place(mapped(getattr(kernels, name), x), REFERENCE[name](wider(x)))
    bound = BOUND[name][REALS.index(real)] + (0.0 if EXTENDED or real == "float32" else 1.0)
    assert error.max() <= bound
    assert error.mean() < 0.5


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", REFERENCE)
def test_special_values(mapped: Mapped, name: str, real: str) -> None:
    limits = np.finfo(real)
    small = limits.smallest_subnormal
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, small, -small, limits.tiny, -limits.tiny, -1.0, 1.0], real)
    x = np.concatenate([x, np.array([limits.max, -limits.max], real)])
    y, exact = mapped(getattr(kernels, name), x), REFERENCE[name](wider(x)).astype(real)
    distinct = np.isnan(exact) | np.isinf(exact) | (exact == 0) | (np.abs(exact) < limits.tiny)
    assert np.array_equal(y[distinct], exact[distinct], equal_nan=True)
    number = ~np.isnan(exact)
    assert np.array_equal(np.signbit(y[number]), np.signbit(exact[number]))
    assert np.allclose(y[number], exact[number], rtol=4 * limits.eps, atol=0)


@pytest.mark.parametrize("real", REALS)
def test_tails(mapped: Mapped, real: str) -> None:
    """Results below the smallest normal number are rounded, not flushed, and the two tails of sigmoid are kept."""
    edge = float(np.log(np.finfo(real).tiny))
    x = np.linspace(edge - 5, edge + 1, 500).astype(real)
    for name in ("exp", "sigmoid", "softplus"):
        y, exact = mapped(getattr(kernels, name), x), REFERENCE[name](wider(x))
        assert np.all(np.abs(y - exact) <= 3 * np.spacing(exact.astype(real)))
    large = np.array([40.0, 100.0, 700.0], real)
    assert np.array_equal(mapped(kernels.softplus, large), large)
    assert np.array_equal(mapped(kernels.tanh, -large), np.full(3, -1, real))
    assert np.array_equal(mapped(kernels.erf, -large), np.full(3, -1, real))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", REFERENCE)
def test_vectors_compute_what_scalars_do(mapped: Mapped, name: str, real: str) -> None:
    """Whatever the length, so whatever falls into vectors and what remains."""
    function = getattr(kernels, name)
    x = np.abs(np.random.default_rng(3).normal(size=40)).astype(real) * 3
    one_by_one = np.concatenate([mapped(function, x[i : i + 1]) for i in range(len(x))])
    for length in range(1, 34):
        assert np.array_equal(mapped(function, x[:length]), one_by_one[:length]), length


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86-64 assembly")
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", REFERENCE)
def test_loops_become_vectors(vector_code: Callable[[Any, str], str], name: str, real: str) -> None:
    packed = r"v?(mul|fmadd\w+|add)" + ("ps" if real == "float32" else "pd") + r"\s.*%[xyz]mm"
    text = vector_code(getattr(kernels, name), real)
    assert re.search(packed, text)
    assert not re.search(r"(call|jmp).*\b(exp|log|tanh|erf|expm1|log1p|sin|cos|tan)f?\b", text)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_a_lane_that_is_far_out_changes_no_other(mapped: Mapped, name: str, real: str) -> None:
    """Numbers whose quarter turns cancel only in a long product stand at every place of a vector."""
    function = getattr(kernels, name)
    x = np.linspace(-4, 4, 32).astype(real)
    near = mapped(function, x)
    for value in (1e5, 99999.99, 16367173.0 * 2.0**72, 5.0e8, float(np.finfo(real).max), np.nan, np.inf):
        for place in range(0, 32, 5):
            changed = x.copy()
            changed[place] = value
            y = mapped(function, changed)
            exact = REFERENCE[name](wider(changed[place : place + 1]))
            assert np.allclose(y[place], exact, rtol=2 * np.finfo(real).eps, atol=0, equal_nan=True), (value, place)
            assert np.array_equal(np.delete(y, place), np.delete(near, place)), (value, place)


@pytest.mark.parametrize("real", REALS)
def test_roots_and_roundings(mapped: Mapped, real: str) -> None:
    limits = np.finfo(real)
    x = np.concatenate(
        [
            np.random.default_rng(1).normal(size=1000) * 10,
            [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, np.inf, -np.inf, np.nan, limits.max, limits.smallest_subnormal, 1e30],
        ]
    ).astype(real)
    for name, reference in {
        "sqrt": np.sqrt,
        "floor": np.floor,
        "ceil": np.ceil,
        "rint": np.rint,
        "absolute": np.abs,
    }.items():
        y, exact = mapped(getattr(kernels, name), x), reference(x)
        assert np.array_equal(y, exact, equal_nan=True), name
        number = ~np.isnan(exact)
        assert np.array_equal(np.signbit(y[number]), np.signbit(exact[number])), name


@pytest.mark.parametrize("real", REALS)
def test_integers_of_whole_numbers(mapped: Mapped, real: str) -> None:
    """Those beyond the integers end within them, a step from their end."""
    inside, outside = [*np.arange(-20.0, 20.0), 2.0**24, -(2.0**40), 2.0**61], [1e30, np.inf, -1e30, -np.inf, np.nan]
    y = mapped(kernels.integer, np.array([*inside, *outside], real))
    assert y.tolist() == [*inside, 2.0**62, 2.0**62, -(2.0**62), -(2.0**62), 2.0**62]


@pytest.mark.parametrize("real", REALS)
def test_sign_and_relu(mapped: Mapped, real: str) -> None:
    x = np.array([-2.0, -0.0, 0.0, 3.0, np.inf, -np.inf, np.nan], real)
    assert np.array_equal(mapped(kernels.sign, x), np.array([-1, 0, 0, 1, 1, -1, np.nan], real), equal_nan=True)
    expected = np.array([0, 0, 0, 3, np.inf, 0, np.nan], real)
    assert np.array_equal(mapped(kernels.relu, x), expected, equal_nan=True)
