"""Arrays for what a call returns: those that an earlier call returned, once nobody holds them any more.

Memory that is new to a process costs a page fault for every 4 KiB, which takes longer than filling it does.  Arrays of
two calls are remembered, because a loop holds one result while it asks for the next, and no more than so many bytes.
What is remembered is the memory: an array, and whatever part of it the caller made, is a view of it and holds it.  An
array begins where a line of the cache does, for a vector that lies in two lines takes longer to write.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from sys import getrefcount
from typing import Any

import numpy as np

Vector = np.ndarray[Any, Any]
Kind = tuple[tuple[int, ...], np.dtype[Any]]

ALIGNMENT = 64
SMALLEST = 1 << 16
"""Bytes: a smaller array comes from memory that the process has already."""
MOST = 1 << 26
CALLS = 2


class Spares:
    def __init__(self) -> None:
        self._rooms: list[Vector] = []

    def empty(self, kinds: Iterable[Kind]) -> list[Vector]:
        """Arrays of these shapes and types; what they hold is undefined."""
        made = [self._one(*kind) for kind in kinds]
        rooms = [array.base for array in made if array.nbytes >= SMALLEST and array.base is not None]
        if sum(array.nbytes for array in made if array.nbytes >= SMALLEST) <= MOST:
            self._rooms += rooms
            del self._rooms[: -CALLS * len(rooms)]
        return made

    def _one(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Vector:
        size = prod(shape) * dtype.itemsize
        if size < SMALLEST:
            return np.empty(shape, dtype)
        rooms = self._rooms
        for _ in range(len(rooms)):
            try:
                room = rooms.pop(0)
            except IndexError:  # another thread was quicker
                break
            if getrefcount(room) == _ALONE:
                if room.nbytes == size + ALIGNMENT:
                    return _within(room, shape, dtype)
            rooms.append(room)
        return _within(np.empty(size + ALIGNMENT, np.uint8), shape, dtype)


def _within(room: Vector, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Vector:
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + room.nbytes - ALIGNMENT].view(dtype).reshape(shape)


def _alone() -> int:
    """How many references there are to memory, taken from a list, that nobody else holds."""
    rooms = [np.empty(0)]
    room = rooms.pop(0)
    return getrefcount(room)


_ALONE = _alone()
