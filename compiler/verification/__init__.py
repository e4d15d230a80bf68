"""Claims of a spec: proved where simplification makes both sides one expression, else tested at random points.

``verify`` gives a verdict on every claim of a graph that was elaborated with its claims.  A proof is not taken on
trust: it is tested too, at a few points.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from dlc.compiler import pipeline
from dlc.compiler.ir.graph import Claim, Graph
from dlc.compiler.verification.points import Point, points
from dlc.compiler.verification.proving import proved
from dlc.compiler.verification.shrinking import shrunk
from dlc.compiler.verification.testing import Difference, Tester
from dlc.compiler.verification.verdicts import ClaimFails, NothingTested, Verdict, failure, listed, summary

__all__ = ["ClaimFails", "NothingTested", "POINTS", "Verdict", "listed", "summary", "verify"]

POINTS = 20
_POINTS_OF_PROOF = 3
_FRUITLESS = 3  # times as many points are tried as are wanted: some have no value to compare


def verify(graph: Graph, count: int = POINTS, seed: int = 0) -> list[Verdict]:
    """A verdict for each claim of the graph, in order; a failure comes with a small counterexample."""
    graph = pipeline.derived(graph)
    certain = proved(graph)
    tester = Tester(graph)
    tested = dict.fromkeys(graph.claims, 0)
    failed: dict[Claim, tuple[Point, Difference]] = {}
    tried = 0
    for point in islice(points(graph, seed), _FRUITLESS * count):
        wanted = [
            claim
            for claim in graph.claims
            if not (claim in failed and failed[claim][1].is_plain)
            and tested[claim] < (min(count, _POINTS_OF_PROOF) if claim in certain else count)
        ]
        if not wanted:
            break
        tried += 1
        for claim, outcome in tester.at(point, wanted).items():
            tested[claim] += outcome.tested > 0
            found = outcome.difference
            if found is not None and (claim not in failed or found.is_plain):
                failed[claim] = (point, found)
    return list(_verdicts(graph, tester, certain, tested, failed, tried))


def _verdicts(
    graph: Graph,
    tester: Tester,
    certain: frozenset[Claim],
    tested: dict[Claim, int],
    failed: dict[Claim, tuple[Point, Difference]],
    tried: int,
) -> Iterator[Verdict]:
    for claim in graph.claims:
        assert claim.span is not None
        head = (graph.name, claim.text, claim.span)
        if claim in failed:
            found = shrunk(graph, lambda point, c=claim: tester.one(c, point).difference, *failed[claim])
            yield Verdict(*head, "failed", tested[claim], failure(graph, claim, *found))
        elif claim in certain:
            yield Verdict(*head, "proved", tested[claim])
        elif tested[claim]:
            yield Verdict(*head, "tested", tested[claim])
        else:
            yield Verdict(*head, "untested", 0, NothingTested(claim.span, tried))
