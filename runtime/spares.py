"""Arrays for what a call returns: those that an earlier call returned, once nobody holds them any more.

Memory that is new to a process costs a page fault for every 4 KiB, which takes longer than filling it does.  Arrays of
two calls are remembered, because a loop holds one result while it asks for the next, and no more than so many bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from sys import getrefcount
from typing import Any

import numpy as np

Vector = np.ndarray[Any, Any]
Kind = tuple[tuple[int, ...], np.dtype[Any]]

SMALLEST = 1 << 16
"""Bytes: a smaller array comes from memory that the process has already."""
MOST = 1 << 26
CALLS = 2


class Spares:
    def __init__(self) -> None:
        self._arrays: list[Vector] = []

    def empty(self, kinds: Iterable[Kind]) -> list[Vector]:
        """Arrays of these shapes and types; what they hold is undefined."""
        made = [self._one(*kind) for kind in kinds]
        kept = [array for array in made if array.nbytes >= SMALLEST]
        if sum(array.nbytes for array in kept) <= MOST:
            self._arrays += kept
            del self._arrays[: -CALLS * len(kept)]
        return made

    def _one(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Vector:
        if prod(shape) * dtype.itemsize < SMALLEST:
            return np.empty(shape, dtype)
        arrays = self._arrays
        for _ in range(len(arrays)):
            try:
                array = arrays.pop(0)
            except IndexError:  # another thread was quicker
                break
            if getrefcount(array) == _ALONE:
                if array.shape == shape and array.dtype == dtype and array.flags.writeable:
                    return array
            arrays.append(array)
        return np.empty(shape, dtype)


def _alone() -> int:
    """How many references there are to an array, taken from a list, that nobody else holds."""
    arrays = [np.empty(0)]
    array = arrays.pop(0)
    return getrefcount(array)


_ALONE = _alone()
