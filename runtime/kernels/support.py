"""The support of one operand of a product, outside which it is zero: which of the reduced indices a place needs.

An image with a border of zeros, read at the sum of a place and a tap, is zero at most taps where places are near the
edge; in the derivative of a convolution of few pixels that is half of all. The support along one axis tells of it: the
outermost of the reduced indices is the tap, and the places are the values of one index of the columns. A tap p of a
place h is needed if ``low <= h*of_place + p*of_tap < high``. The support is an address of::

    columns inside a place, places, taps, of_place, of_tap, low, high, the place of the first column

What is left out is a product with zero. Where no step is needed one is taken, so that something is written, or none if
results are added. Tiles of results that overlap have one place each: outside of the support nothing is read for them.
"""

from __future__ import annotations

from dlc.runtime.kernels.panels import integers
from dlc.runtime.kernels.parts import part


@part
def begin_of_taps(support, place) -> int:
    """The first tap that a place needs."""
    x = integers(support)
    tap, at = 0, place * x[3]
    while tap < x[2] and (at < x[5] or at >= x[6]):
        at += x[4]
        tap += 1
    return tap


@part
def end_of_taps(support, place) -> int:
    """The end of the taps that it needs."""
    x = integers(support)
    tap, at = x[2], place * x[3] + x[2] * x[4]
    while tap > 0 and (at - x[4] < x[5] or at - x[4] >= x[6]):
        at -= x[4]
        tap -= 1
    return tap


@part
def first_needed(support, column, count, steps, first) -> int:
    """Of the steps from the first on, the first one that some of the columns need."""
    if support == 0:
        return 0
    x = integers(support)
    at, last = x[7] + column // x[0], x[7] + (column + count - 1) // x[0]
    tap = begin_of_taps(support, at % x[1])
    for place in range(at + 1, last + 1):
        tap = min(tap, begin_of_taps(support, place % x[1]))
    return max(tap * (steps // x[2]) - first, 0)


@part
def end_needed(support, column, count, steps, first, depth) -> int:
    """The end of those that they need, of so many; not behind the first one if they need none."""
    if support == 0:
        return depth
    x = integers(support)
    at, last = x[7] + column // x[0], x[7] + (column + count - 1) // x[0]
    tap = end_of_taps(support, at % x[1])
    for place in range(at + 1, last + 1):
        tap = max(tap, end_of_taps(support, place % x[1]))
    return min(tap * (steps // x[2]) - first, depth)
