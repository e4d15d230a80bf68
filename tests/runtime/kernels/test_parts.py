"""Parts compute what Python computes, and refuse what is not of their small language."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dlc.runtime.kernels import FLAGS
from dlc.runtime.kernels.compilation import types
from dlc.runtime.kernels.libraries import CodeCompiler
from dlc.runtime.kernels.loading import c_function
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import like
from dlc.runtime.kernels.tile_shape import flat
from dlc.runtime.kernels.views import size

LIMIT = 5


def compiled(function: Callable[..., Any], count: int) -> Callable[..., int]:
    """A part of one or two integers as a C function."""
    translated = part(function)

    def of_one(x):
        return translated(x)

    def of_two(x, y):
        return translated(x, y)

    made = c_function(types.int64(*[types.int64] * count), (of_one, of_two)[count - 1], False, CodeCompiler, **FLAGS)
    _kept.append(made)
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * count)(made.address)


_kept: list[Any] = []
"""Machine code lives as long as what was compiled."""


def quotients(x, y) -> int:
    """Rounded down, as in Python."""
    if y == 0:
        return 0
    return 1000 * (x // y) + x % y


def loops(x, y) -> int:
    total, last = 0, -1
    for i in range(x):
        if i == y:
            continue
        for j in range(i, 2 * y, 3):
            if j > LIMIT:
                break
            total += i * j
        last = i
    for i in range(y - 1, -1, -2):
        total = 3 * total + i
    while total > 100:
        total //= 2
        if total == 77:
            break
    return total - last


def choices(x, y) -> int:
    low, high = (x, y) if x < y else (y, x)
    if not x and y:
        result = 1
    elif low == high or low == -high:
        result = 2
    else:
        result = 3 if high - low > 2 and low & 1 else 4
    return 10 * result + min(low, high, LIMIT) - max(high, -low)


def guarded(x, y) -> int:
    """What divides by zero is not computed."""
    if y != 0 and x // y > 1:
        return 1
    return 2 if y == 0 or x % y == 0 else 3


def is_large(x, y) -> bool:
    if x > LIMIT:
        return True
    return y > LIMIT


@pytest.mark.parametrize("function", [quotients, loops, choices, guarded, is_large])
def test_a_part_computes_what_python_does(function: Callable[..., Any]) -> None:
    translated = compiled(function, 2)
    for x, y in itertools.product(range(-7, 8), range(-7, 8)):
        assert translated(x, y) == function(x, y), (x, y)


@part
def squared(address, count, one):
    x = flat(address, one)
    for i in range(count):
        x[i] = -x[i] * x[i]
        x[i] += like(0.5, one) if x[i] == like(0.0, one) else one


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_elements_of_views_are_read_and_written(real: str) -> None:
    def function(address, count, one):
        squared(address, count, one)

    number = {"float32": ctypes.c_float, "float64": ctypes.c_double}[real]
    signature = types.void(types.int64, types.int64, getattr(types, real))
    made = c_function(signature, function, False, CodeCompiler, **FLAGS)
    x = np.arange(7).astype(real)
    ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, number)(made.address)(x.ctypes.data, 6, 1.0)
    np.testing.assert_array_equal(x, np.array([0.5, 0, -3, -8, -15, -24, 6], real))


@part
def word_at(table, place) -> int:
    return size(table, place)


def sum_of_words(table, count) -> int:
    """Parts call parts, and intrinsics."""
    total = 0
    for i in range(count):
        total += word_at(table, i)
    return total


def test_parts_call_parts() -> None:
    words = np.arange(10, dtype=np.int64)
    assert compiled(sum_of_words, 2)(words.ctypes.data, 10) == 45


def listed(x) -> int:
    return [x][0]


def compared_twice(x) -> int:
    return 1 if 0 < x < 2 else 0


def of_two_types(x) -> int:
    y = x
    y = x > 0
    return y


def with_else(x) -> int:
    for _ in range(x):
        break
    else:
        x = 0
    return x


def of_nothing_known(x) -> int:
    return unknown(x)  # type: ignore[name-defined]  # noqa: F821


def powered(x) -> int:
    return x**2


@pytest.mark.parametrize("function", [listed, compared_twice, of_two_types, with_else, of_nothing_known, powered])
def test_what_is_not_of_the_language_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=function.__name__):
        compiled(function, 1)
