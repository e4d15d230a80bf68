"""The elements of a recurrence, each computed once all that it reads is known; without any schedule.

An element is tried, finds an element that is not known yet, waits for it, and is tried again when that is there. Many
elements are tried at once. If none that waits can go on, they wait for each other in a circle: the recurrence has no
value, and the circle is an error that names its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class UnknownElementError(Exception):
    """Some of the elements that are tried read an element that is not known: ``places[k]`` reads ``elements[k]``."""

    def __init__(self, places: Array, elements: Array) -> None:
        super().__init__()
        self.places, self.elements = places, elements


class CircularElementsError(Exception):
    """``elements``, each of which needs the next one; the last is the first again."""

    def __init__(self, elements: list[int]) -> None:
        super().__init__()
        self.elements = elements


@dataclass(frozen=True)
class Work:
    """The elements that one equation writes; ``compute`` some of them, or raise ``UnknownElementError``."""

    elements: Array
    compute: Callable[[Array], None]


def unfold(works: Sequence[Work], known: Array) -> None:
    """Computes all elements; ``known`` says which are there, and is brought up to date."""
    waits_for = np.full(len(known), -1)  # an element that is not known, once one has been met
    waiting = [np.arange(len(work.elements)) for work in works]
    while any(len(places) for places in waiting):
        moved = False
        for number, work in enumerate(works):
            met = waits_for[work.elements[waiting[number]]]
            ready = (met < 0) | known[met]
            if np.any(ready):
                done = _tried(work, waiting[number][ready], waits_for)
                known[work.elements[done]] = True
                waiting[number] = waiting[number][~known[work.elements[waiting[number]]]]
                moved = True
        if not moved:
            first = next(
                int(work.elements[places[0]]) for work, places in zip(works, waiting, strict=True) if len(places)
            )
            raise CircularElementsError(_circle(waits_for, first))


def _tried(work: Work, places: Array, waits_for: Array) -> Array:
    """The places that could be computed; the others have been told what they wait for."""
    while len(places):
        try:
            work.compute(places)
            return places
        except UnknownElementError as unknown:
            blocked = np.zeros(len(places), bool)
            blocked[unknown.places] = True
            waits_for[work.elements[places[unknown.places]]] = unknown.elements
            places = places[~blocked]
    return places


def _circle(waits_for: Array, start: int) -> list[int]:
    seen: list[int] = []
    element = start
    while element not in seen:
        seen.append(element)
        element = int(waits_for[element])
    return [*seen[seen.index(element) :], element]
