"""Derivatives that a graph speaks of become equations: the reverse walk, on the graph so far.

A tensor of kind ``derivative`` says of what and by what.  One call of ``run`` expands the innermost: those between
whose two tensors no other derivative lies.  What is differentiated by one tensor after another is walked once.  The
graph is in extracted form; the result in general is not, and is extracted before the next round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dlc.compiler.grad.jacobian import jacobians
from dlc.compiler.ir.graph import Equation, Graph, Tensor, axes_of, dependencies, read

if TYPE_CHECKING:
    import networkx

NAME = "derive"


def run(graph: Graph) -> Graph:
    """The graph without its innermost derivatives."""
    for of, derivatives in _by_differentiated(_innermost(graph)):
        wrt = list(dict.fromkeys(one.derivative.wrt for one in derivatives if one.derivative is not None))
        graph, made = jacobians(graph, of, wrt)
        graph = replace(graph, tensors={**graph.tensors, **{one.id: _held(one, graph, made) for one in derivatives}})
    return graph


def _innermost(graph: Graph) -> list[Tensor]:
    derivatives = graph.of_kind("derivative")
    if len(derivatives) < 2:
        return derivatives
    known = dependencies(graph)
    names = {tensor.id for tensor in derivatives}
    found = [tensor for tensor in derivatives if not _lie_between(known, tensor, names - {tensor.id})]
    assert found, "derivatives need each other"
    return found


def _lie_between(known: networkx.DiGraph, tensor: Tensor, others: Collection[str]) -> bool:
    """Whether one of ``others`` depends on what ``tensor`` differentiates by, and has a part in what it does."""
    import networkx

    assert tensor.derivative is not None
    needed = {tensor.derivative.of, *networkx.ancestors(known, tensor.derivative.of)}
    return any(name in needed and tensor.derivative.wrt in networkx.ancestors(known, name) for name in others)


def _by_differentiated(derivatives: Sequence[Tensor]) -> Iterator[tuple[str, list[Tensor]]]:
    for of in dict.fromkeys(tensor.derivative.of for tensor in derivatives if tensor.derivative is not None):
        yield of, [one for one in derivatives if one.derivative is not None and one.derivative.of == of]


def _held(tensor: Tensor, graph: Graph, made: dict[str, str]) -> Tensor:
    """The tensor as a copy of what the walk gave."""
    assert tensor.derivative is not None
    axes = axes_of(tensor)
    value = read(graph.tensors[made[tensor.derivative.wrt]], *axes)
    return replace(tensor, kind="computed", derivative=None, equations=(Equation(axes, axes, value, tensor.span),))
