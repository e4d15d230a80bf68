"""Proofs: the two sides of a claim are one expression once the passes of the compiler have simplified both.

What the passes do to any program they do here to a graph whose only results are the sides of its claims: algebra,
solved deltas, sums taken apart, equal definitions merged.  A claim is proved where both sides come out as one tensor.
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler import pipeline
from dlc.compiler.ir.alike import form
from dlc.compiler.ir.expr import Read
from dlc.compiler.ir.graph import Claim, Graph


def proved(graph: Graph) -> frozenset[Claim]:
    """The claims whose sides are one expression."""
    alone = replace(graph, outputs=(), objectives=(), gradients=(), updates=())
    simple = pipeline.simplified(alone)
    return frozenset(claim for claim in graph.claims if _is_one(simple, claim))


def _is_one(graph: Graph, claim: Claim) -> bool:
    """Whether one side is a copy of the other, or both say the same."""
    left, right = (graph.tensors[side] for side in (claim.left, claim.right))
    if any(_copied(graph, side) == other for side, other in ((claim.left, claim.right), (claim.right, claim.left))):
        return True
    if _copied(graph, claim.left) == _copied(graph, claim.right) is not None:
        return True
    if len(left.equations) != 1 or len(right.equations) != 1:
        return False
    return form(left.equations[0].value, left.equations[0].indices) is form(
        right.equations[0].value, right.equations[0].indices
    )


def _copied(graph: Graph, name: str) -> str | None:
    """The tensor that this one repeats element by element."""
    equations = graph.tensors[name].equations
    if len(equations) != 1 or not equations[0].is_whole:
        return None
    value = equations[0].value
    return value.tensor if isinstance(value, Read) and value.subscripts == equations[0].indices else None
