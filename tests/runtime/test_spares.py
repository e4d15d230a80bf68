"""Results of earlier calls whose memory is used again: never of one that somebody still holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dlc.runtime.spares import ALIGNMENT, CALLS, MOST, SMALLEST, Spares

SHAPE = (SMALLEST // 4, 2)
KINDS = [(SHAPE, np.dtype(np.float32))]


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_what_nobody_holds_is_used_again() -> None:
    spares = Spares()
    first = address(spares.empty(KINDS)[0])
    assert address(spares.empty(KINDS)[0]) == first


def test_what_somebody_holds_is_not() -> None:
    spares = Spares()
    (held,) = spares.empty(KINDS)
    part = spares.empty(KINDS)[0][3:5]
    others = [spares.empty(KINDS)[0] for _ in range(2 * CALLS)]
    everywhere = [address(held), address(part) - 3 * part.strides[0], *map(address, others)]
    assert len(set(everywhere)) == len(everywhere)


def test_arrays_begin_where_a_line_of_the_cache_does() -> None:
    spares = Spares()
    held = [array for _ in range(4) for array in spares.empty([*KINDS, ((SMALLEST + 1,), np.dtype(np.int8))])]
    assert all(address(array) % ALIGNMENT == 0 and array.flags.c_contiguous for array in held)
    assert [array.shape for array in held] == 4 * [SHAPE, (SMALLEST + 1,)]


def test_shape_and_type_are_those_asked_for() -> None:
    spares = Spares()
    spares.empty(KINDS)
    (other,) = spares.empty([((SHAPE[1], SHAPE[0]), np.dtype(np.float32))])
    (double,) = spares.empty([(SHAPE, np.dtype(np.float64))])
    assert other.shape == (SHAPE[1], SHAPE[0]) and double.dtype == np.float64


def test_what_cannot_be_written_is_left() -> None:
    spares = Spares()
    spares.empty(KINDS)[0].setflags(write=False)
    assert spares.empty(KINDS)[0].flags.writeable


def test_no_more_is_remembered_than_of_two_calls_or_so_many_bytes() -> None:
    spares = Spares()
    for _ in range(5):
        spares.empty([*KINDS, *KINDS, ((3,), np.dtype(np.float32))])
    assert len(spares._rooms) <= 2 * CALLS
    spares = Spares()
    spares.empty([((MOST + 1,), np.dtype(np.int8))])
    assert not spares._rooms


def test_two_threads_never_get_one_array() -> None:
    spares = Spares()

    def used(number: int) -> bool:
        for _ in range(300):
            (array,) = spares.empty(KINDS)
            array[...] = number
            if not (array == number).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(used, range(4)))
