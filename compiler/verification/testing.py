"""Whether the two sides of a claim are equal at a point, element by element.

The sides are evaluated by the interpreter of the graph language in float64, with a bound of what rounding did to each
element (``rounding``).  They differ where they are further apart than ``SAFETY`` times both bounds, or where one has a
value and the other has none.  An element is not tested where neither side is a number, or where a choice on the way to
it may have gone wrong by rounding.  Two infinities are compared as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dlc.compiler.ir.arithmetic import EvaluationError
from dlc.compiler.ir.graph import Claim, Graph
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.passes import dce, extract
from dlc.compiler.verification.points import Array, Point
from dlc.compiler.verification.rounding import Bounds, bounded

SAFETY = 8.0
"""The bounds are of first order, and a library's elementary functions may be worse than they are taken to be."""

_TINY = 1e-290  # below it float64 loses digits


@dataclass(frozen=True)
class Difference:
    """An element at which the sides differ; ``visible`` if by more than a ten-thousandth."""

    element: tuple[int, ...]
    left: float | int | bool
    right: float | int | bool

    @property
    def is_plain(self) -> bool:
        """Whether both sides have values: more is learnt from it than from one that has none."""
        return self.kind[0]

    @property
    def kind(self) -> tuple[bool, bool]:
        """Differences of one kind may stand for each other in a counterexample."""
        finite = bool(np.isfinite(self.left) and np.isfinite(self.right))
        return finite, finite and abs(self.left - self.right) > 1e-4 * max(abs(self.left), abs(self.right))


@dataclass(frozen=True)
class Outcome:
    """What was found at one point: how many elements were compared, and the first that differs."""

    tested: int
    difference: Difference | None = None


class Tester:
    """The claims of a graph, ready to be evaluated at points."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._one: dict[Claim, Bounds] = {}
        self._all = self._prepared(graph.claims)

    def _prepared(self, claims: Sequence[Claim]) -> Bounds:
        """In extracted form, where no sum stands in a sum whose bound would evaluate it again."""
        alone = replace(self.graph, outputs=(), objectives=(), gradients=(), updates=(), claims=tuple(claims))
        return bounded(dce.run(extract.run(dce.run(alone))))

    def at(self, point: Point, claims: Sequence[Claim]) -> dict[Claim, Outcome]:
        """Of these claims; one that cannot be evaluated at the point has nothing tested."""
        try:
            return dict(zip(claims, _outcomes(self._all, claims, point), strict=True))
        except EvaluationError:
            return {claim: self.one(claim, point) for claim in claims}

    def one(self, claim: Claim, point: Point) -> Outcome:
        if claim not in self._one:
            self._one[claim] = self._prepared((claim,))
        try:
            return next(_outcomes(self._one[claim], (claim,), point))
        except EvaluationError:
            return Outcome(0)


def _outcomes(bounds: Bounds, claims: Sequence[Claim], point: Point) -> Iterator[Outcome]:
    graph = bounds.graph
    tables = (bounds.errors, bounds.doubts)
    sides = [side for claim in claims for side in (claim.left, claim.right)]
    wanted = [*sides, *(table[side] for side in sides for table in tables if side in table)]
    inputs = {name: value for name, value in point.values.items() if name in graph.tensors}
    values = evaluate(graph, inputs, point.sizes, dict.fromkeys(wanted))
    for claim in claims:
        yield _compared(values, bounds, claim)


def _compared(values: Mapping[str, Array], bounds: Bounds, claim: Claim) -> Outcome:
    left, right = values[claim.left], values[claim.right]
    unknown = _sum_of(values, bounds.doubts, claim, False) > 0
    if left.dtype.kind != "f":
        differ, comparable = left != right, ~unknown
    else:
        differ, comparable = _real(left, right, _sum_of(values, bounds.errors, claim, 0.0))
        comparable = comparable & ~unknown
    finite = np.isfinite(left) & np.isfinite(right)
    found = [*np.argwhere(differ & comparable & finite)[:1], *np.argwhere(differ & comparable)[:1]]
    tested = int(np.sum(comparable))
    if not found:
        return Outcome(tested)
    element = tuple(int(place) for place in found[0])
    return Outcome(tested, Difference(element, left[element].item(), right[element].item()))


def _sum_of(values: Mapping[str, Array], table: Mapping[str, str], claim: Claim, default: Any) -> Array:
    """Of the companions of both sides."""
    found = [values[table[side]] for side in (claim.left, claim.right) if side in table]
    return np.asarray(sum(found[1:], found[0] + default) if found else np.full(values[claim.left].shape, default))


def _real(left: Array, right: Array, error: Array) -> tuple[Array, Array]:
    """Where the sides differ, and where they can be compared."""
    with np.errstate(all="ignore"):
        has_left, has_right = np.isfinite(left), np.isfinite(right)
        apart = np.abs(left - right) > SAFETY * error + _TINY
        both = has_left & has_right
        one = has_left ^ has_right
        infinite = np.isinf(left) & np.isinf(right)
    return (both & apart) | one | (infinite & (left != right)), (both & np.isfinite(error)) | one | infinite
