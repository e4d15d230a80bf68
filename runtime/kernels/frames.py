"""What Python calls: one function, compiled once for a host, that checks what is given to an entry and runs it.

A *frame* says what a call takes (of every array its type, shape, bound and slot), where gradients go, and which regions
run. The function compares the arrays with it, writes their addresses into the table that regions read, and runs the
regions: beside them a call costs as much as comparing some numbers.

Arrays are read as every extension in C reads them, by the places of their parts in memory, which NumPy promises;
whether they are there is tried when this module is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dlc.runtime.kernels.compilation import FLAGS, intrinsic, own_cache, types
from dlc.runtime.kernels.loading import python_function
from dlc.runtime.kernels.parallel import run_steps
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.views import WORD
from dlc.runtime.kernels.views import size as word

#: What a call gives back: it ran; something is no array, or of another type, shape or order; a number is out of bounds.
RAN, MISFIT, OUTSIDE = 0, 1, 2

# The words of a frame before its records.
TABLE, STEPS, STEP_COUNT, ARRAY_TYPE, GIVEN_COUNT, GRADIENT_COUNT, HEAD = range(7)
# The words of the record of an array before its shape; of that of a gradient: its slot, and its place in the buffer.
SLOT, DTYPE, RANK, BOUND, SHAPE = range(5)
UNBOUNDED = -1

# Where the parts of objects stand: after the head of every object, whose last word is its type.
_HEAD: int = object.__basicsize__
_TYPE = _HEAD - 8
_ITEMS: int = tuple.__basicsize__
_DATA, _RANK, _SHAPE, _DTYPE, _FLAGS = (_HEAD + 8 * place for place in (0, 1, 2, 5, 6))
_HALF = 0xFFFFFFFF
_FITTING = 0x0101  # contiguous and aligned


@intrinsic
def put(typing_context, address, place, value):
    """Write a word, so many words after an address."""

    def codegen(context, builder, sig, args):
        pointer = builder.gep(builder.inttoptr(args[0], WORD.as_pointer()), [args[1]])
        builder.store(args[2], pointer)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@part
def _taken(array, record, table) -> int:
    """Write the address of an array into the table, if it is as its record says."""
    shape, rank = word(array + _SHAPE, 0), word(record, RANK)
    if word(array + _DTYPE, 0) != word(record, DTYPE) or word(array + _RANK, 0) & _HALF != rank:
        return MISFIT
    if word(array + _FLAGS, 0) & _FITTING != _FITTING:
        return MISFIT
    count = 1
    for axis in range(rank):
        length = word(shape, axis)
        if length != word(record, SHAPE + axis):
            return MISFIT
        count *= length
    data, bound = word(array + _DATA, 0), word(record, BOUND)
    if bound != UNBOUNDED:
        least, most = 0, -1
        for place in range(count):
            least, most = min(least, word(data, place)), max(most, word(data, place))
        if least < 0 or most >= bound:
            return OUTSIDE
    put(table, word(record, SLOT), data)
    return RAN


@part
def _checked(frame, values, base) -> int:
    """Take the arrays of a tuple, put gradients into a buffer, and run the regions."""
    table, record = word(frame, TABLE), frame + 8 * HEAD
    for number in range(word(frame, GIVEN_COUNT)):
        array = word(values + _ITEMS, number)
        if word(array + _TYPE, 0) != word(frame, ARRAY_TYPE):
            return MISFIT
        found = _taken(array, record, table)
        if found != RAN:
            return found
        record += 8 * (SHAPE + word(record, RANK))
    for number in range(word(frame, GRADIENT_COUNT)):
        put(table, word(record, 2 * number), base + word(record, 2 * number + 1))
    run_steps(word(frame, STEPS), word(frame, STEP_COUNT), table)
    return RAN


def _call(frame, values, base):
    return _checked(frame, values, base)


with own_cache():
    #: `run(frame.address, id(tuple of arrays), address of the gradients)` gives RAN, MISFIT or OUTSIDE.
    run = python_function("int64(int64, int64, int64)", _call, **FLAGS)


#: What stands for one array of a call: its slot, shape and type; integers lie below the bound, if there is one.
Given = tuple[int, tuple[int, ...], np.dtype[Any], int | None]


def _words(given: Given) -> Iterable[int]:
    slot, shape, dtype, bound = given
    return slot, id(dtype), len(shape), UNBOUNDED if bound is None else max(bound, 0), *shape


class Frame:
    """A table with what is written into it: ``given`` arrays, and ``gradients``, pairs of a slot and a place in bytes.

    ``steps`` are the rows (address of a region, number of shards) of a program.
    """

    __slots__ = ("address", "_words", "_kept")

    def __init__(
        self,
        steps: np.ndarray,
        table: np.ndarray,
        given: Sequence[Given] = (),
        gradients: Sequence[tuple[int, int]] = (),
    ) -> None:
        head = [table.ctypes.data, steps.ctypes.data, len(steps), id(np.ndarray), len(given), len(gradients)]
        records = [number for one in given for number in _words(one)]
        self._words = np.array([*head, *records, *(number for pair in gradients for number in pair)], np.int64)
        self._kept = steps, table, tuple(given)
        self.address: int = self._words.ctypes.data


def _reads_arrays() -> bool:
    """Whether the parts of an array are found where they should be."""
    if not (isinstance(_HEAD, int) and isinstance(_ITEMS, int)) or np.dtype(np.intp).itemsize != 8:
        return False
    steps, table = np.zeros((0, 2), np.int64), np.zeros(1, np.int64)
    probe = np.arange(6, dtype=np.int64).reshape(2, 3)
    frame = Frame(steps, table, [(0, (2, 3), probe.dtype, 6)])
    tried = [run(frame.address, id(values), 0) for values in ((probe,), (probe.T,), (probe + 1,), (None,))]
    return tried == [RAN, MISFIT, OUTSIDE, MISFIT] and table[0] == probe.ctypes.data


if not _reads_arrays():
    raise ImportError("arrays of this version of NumPy are not laid out in memory as those of NumPy 1 and 2")


class Program:
    """Regions in their order, each with its number of shards; called with the table its regions read.

    The table is a contiguous int64 vector of addresses and sizes. The caller keeps the arrays behind the addresses
    alive and has checked their sizes: regions check nothing.
    """

    def __init__(self, steps: Iterable[tuple[Any, int]]) -> None:
        self._regions = tuple(steps)
        rows = []
        for region, shards in self._regions:
            if shards < 1:
                raise ValueError(f"{region.__name__} is to run in {shards} shards: at least 1 is needed")
            rows.append((region.address, shards))
        self.steps = np.array(rows, dtype=np.int64).reshape(len(rows), 2)

    def frame(self, table: np.ndarray, given: Sequence[Given] = (), gradients: Sequence[tuple[int, int]] = ()) -> Frame:
        """The frame of calls that use the table."""
        return Frame(self.steps, table, given, gradients)

    def __call__(self, table: np.ndarray) -> None:
        run(self.frame(table).address, id(()), 0)
