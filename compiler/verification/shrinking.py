"""A counterexample that a person can follow: a point at which a claim fails, made as small and plain as it goes.

First the sizes: each is tried from 1 upwards, with the values cut to it or drawn anew.  Then the values: whole tensors
of ones, then each element alone, by the first of a list of plain numbers with which the claim still fails in the same
way.  Every step is checked by evaluating the claim, so what comes out is a counterexample like what went in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from dlc.compiler.ir.graph import Graph, Tensor
from dlc.compiler.verification.points import Array, Point, fits, given, integer_range, redrawn, shape
from dlc.compiler.verification.testing import Difference

MOST_EVALUATIONS = 400
_REDRAWS = 3  # of values for sizes with which those cut to them do not fail
_MOST_ELEMENTS = 64  # of a tensor that is looked at element by element
#: One before zero: where much is zero, much is equal, and kinks are near.
_PLAIN = (1.0, 0.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5)

Test = Callable[[Point], Difference | None]


class _Spent(Exception):  # noqa: N818  # not an error: the work that a counterexample is worth has been done
    pass


@dataclass
class _Search:
    graph: Graph
    test: Test
    point: Point
    difference: Difference
    left: int = MOST_EVALUATIONS

    def accepts(self, point: Point) -> bool:
        """Whether the claim fails there in the same way; then it is the point from now on."""
        if self.left == 0:
            raise _Spent
        self.left -= 1
        found = self.test(point)
        if found is None or found.kind != self.difference.kind:
            return False
        self.point, self.difference = point, found
        return True


def shrunk(graph: Graph, test: Test, point: Point, difference: Difference) -> tuple[Point, Difference]:
    """The plainest point found, and what differs there."""
    search = _Search(graph, test, point, difference)
    try:
        while _smaller(search):
            pass
        for tensor in given(graph):
            _plainer(search, tensor)
    except _Spent:
        pass
    return search.point, search.difference


# -- sizes ----------------------------------------------------------------------------------------------------------


def _smaller(search: _Search) -> bool:
    """One size made smaller, if one can be."""
    for name in search.graph.sizes:
        for size in range(1, search.point.sizes[name]):
            sizes = {**search.point.sizes, name: size}
            if fits(search.graph, sizes) and any(map(search.accepts, _at_sizes(search, sizes))):
                return True
    return False


def _at_sizes(search: _Search, sizes: dict[str, int]) -> Iterator[Point]:
    graph, values = search.graph, search.point.values
    for last in (False, True):
        cut = {tensor.id: _cut(tensor, values[tensor.id], sizes, last) for tensor in given(graph)}
        if all(value is not None for value in cut.values()):
            yield Point(sizes, {name: value for name, value in cut.items() if value is not None})
    for number in range(_REDRAWS):
        yield redrawn(graph, sizes, number)


def _cut(tensor: Tensor, value: Array, sizes: dict[str, int], last: bool) -> Array | None:
    """The first elements, or the last; None if an axis has become longer."""
    wanted = shape(tensor, sizes)
    if any(length > have for length, have in zip(wanted, value.shape, strict=True)):
        return None
    pairs = zip(wanted, value.shape, strict=True)
    result = value[tuple(slice(have - length, have) if last else slice(length) for length, have in pairs)]
    return result % integer_range(tensor, sizes)[1] if tensor.type == "int" and tensor.bound is not None else result


# -- values ---------------------------------------------------------------------------------------------------------


def _plainer(search: _Search, tensor: Tensor) -> None:
    value = search.point.values[tensor.id]
    candidates = _PLAIN if tensor.type == "real" else (0, 1, 2, 3, -1) if tensor.type == "int" else (False, True)
    if any(_tried(search, tensor, np.full_like(value, one)) for one in candidates[:2]):
        return
    if value.size > _MOST_ELEMENTS:
        return
    for place in np.ndindex(value.shape):
        current = search.point.values[tensor.id]
        rounded = tuple(round(float(current[place]), digits) for digits in (0, 1, 2)) if tensor.type == "real" else ()
        for one in (*candidates, *rounded):
            if current[place] == one:
                break
            changed = np.array(current)  # of one without axes, too
            changed[place] = one
            if _tried(search, tensor, changed):
                break


def _tried(search: _Search, tensor: Tensor, value: Array) -> bool:
    if tensor.type == "int":
        low, high = integer_range(tensor, search.point.sizes)
        if np.any((value < low) | (value >= high)):
            return False
    return search.accepts(replace(search.point, values={**search.point.values, tensor.id: value}))
