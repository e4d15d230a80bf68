"""Proofs: the two sides of a claim are one expression once both are simplified.

First by what the compiler's passes do to any program, here to a graph whose only results are the sides of its claims:
a claim is proved where both come out as one tensor.  Then by algebra: the sides are written out in terms of what is
given, as far as no recurrence is in the way, and brought into a normal form (``normal_form``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dlc.compiler import pipeline
from dlc.compiler.ir.alike import form
from dlc.compiler.ir.expr import Expr, Index, Read, walk
from dlc.compiler.ir.graph import Claim, Graph, Tensor, inlined
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.passes import dce, deltas, simplify
from dlc.compiler.verification.normal_form import Normaliser, TooLarge

_LARGEST = 3000  # nodes of a side that is written out


def proved(graph: Graph) -> frozenset[Claim]:
    """The claims whose sides are one expression."""
    alone = replace(graph, outputs=(), objectives=(), gradients=(), updates=())
    simple = pipeline.simplified(alone)
    found = {claim for claim in graph.claims if _is_one(simple, claim)}
    plain = dce.run(alone)
    found.update(claim for claim in graph.claims if claim not in found and _by_algebra(plain, claim))
    return frozenset(found)


# -- by the passes --------------------------------------------------------------------------------------------------


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


# -- by algebra -----------------------------------------------------------------------------------------------------


def _by_algebra(graph: Graph, claim: Claim) -> bool:
    written = _written_out(graph, claim)
    if written is None:
        return False
    for step in (simplify, deltas, simplify):
        written = step.run(written)
    left, right = (written.tensors[side].equations[0] for side in (claim.left, claim.right))
    if not (left.is_whole and right.is_whole):
        return False
    free = [Index(-1 - number, index.size, "") for number, index in enumerate(left.indices)]
    one, other = (substitute(e.value, {**dict(zip(e.indices, free, strict=True))}) for e in (left, right))
    normal = Normaliser()
    try:
        return normal.bracket(one) == normal.bracket(other) if one.type == "bool" else normal.are_equal(one, other)
    except (TooLarge, OverflowError, ZeroDivisionError, RecursionError):
        return False


def _written_out(graph: Graph, claim: Claim) -> Graph | None:
    """The graph with both sides in terms of what cannot be written out; None if they become too large."""
    tensors = dict(graph.tensors)
    open_: dict[str, Tensor] = {}
    for component in graph.components:
        for name in component:
            tensor = tensors[name] = _with(graph.tensors[name], open_)
            if any(len(list(walk(equation.value))) > _LARGEST for equation in tensor.equations):
                return None
            if _may_be_written(graph, component, tensor):
                open_[name] = tensor
    return replace(dce.run(replace(graph.with_tensors(tensors.values()), claims=(claim,))))


def _may_be_written(graph: Graph, component: tuple[str, ...], tensor: Tensor) -> bool:
    is_whole = len(tensor.equations) == 1 and tensor.equations[0].is_whole
    return tensor.kind == "computed" and is_whole and tensor.id not in graph.recurrence_of


def _with(tensor: Tensor, definitions: Mapping[str, Tensor]) -> Tensor:
    def change(node: Expr) -> Expr | None:
        if isinstance(node, Read) and node.tensor in definitions:
            return inlined(definitions[node.tensor].equations[0], node.subscripts)
        return None

    equations = tuple(replace(equation, value=transform(equation.value, change)) for equation in tensor.equations)
    return replace(tensor, equations=equations)
