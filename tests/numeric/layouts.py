"""How the elements that a spec reads lie in memory: one after the other, apart, or across the rows of an array.

A text says `[l,i]` for element `i` of row `l`, or `[i]` for an element; `subscripts` says the same in a layout, `laid`
puts an array there, and `taken` gives back what stands there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
TOGETHER, APART, COLUMNS = "together", "apart", "columns"
LAYOUTS = (TOGETHER, APART, COLUMNS)
#: Of what lies apart, every second element is read, the last of a pair.
PAIR, SECOND = 2, 1


def subscripts(layout: str, places: str) -> str:
    """Of what is read at these places, `l,i`."""
    if layout == APART:
        return f"{places},{SECOND}"
    return ",".join(reversed(places.split(","))) if layout == COLUMNS else places


def axes(layout: str, sets: str) -> str:
    """Of what has these axes, `L,I`; the spec declares `Pair` where they lie apart."""
    return f"{sets},Pair" if layout == APART else subscripts(layout, sets)


def laid(layout: str, array: Array) -> Array:
    if layout == APART:
        return np.stack([np.ones_like(array), array], axis=-1)
    return np.ascontiguousarray(array.T) if layout == COLUMNS else array


def taken(layout: str, array: Array) -> Array:
    """What stands in the layout; what stands between is 0, as the slope by what is not read."""
    if layout == APART:
        assert not array[..., 1 - SECOND].any()
        return array[..., SECOND]
    return array.T if layout == COLUMNS else array
