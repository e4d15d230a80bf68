"""Derivatives that a graph speaks of become equations: the reverse walk, on the graph so far.

A tensor of kind ``derivative`` says of what and by what.  One call of ``run`` expands the innermost: those between
whose two tensors no other derivative lies.  What is differentiated by one tensor after another is walked once.  The
graph is in extracted form; the result in general is not, and is extracted before the next round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard

from dlc.compiler.grad.jacobian import jacobians
from dlc.compiler.ir.expr import Expr, Read
from dlc.compiler.ir.graph import Equation, Graph, Tensor, axes_of, dependencies, read
from dlc.compiler.ir.rewriting import transform
from dlc.compiler.ir.steps import one_step, recurrent_derivatives
from dlc.compiler.ir.verify import InternalError

if TYPE_CHECKING:
    import networkx

NAME = "derive"


def run(graph: Graph) -> Graph:
    """The graph without its innermost derivatives; of those inside recurrences without one: whether the recurrence has
    an order can be asked again when passes have left what is zero out."""
    recurrent = {tensor.id for tensor in recurrent_derivatives(graph)}
    innermost = _innermost(graph, recurrent)
    first = next((tensor for tensor in innermost if tensor.id in recurrent), None)
    if first is not None:
        return _of_one_step(graph, first)
    for of, derivatives in _by_differentiated(innermost):
        wrt = list(dict.fromkeys(one.derivative.wrt for one in derivatives if one.derivative is not None))
        graph, made = jacobians(graph, of, wrt)
        graph = replace(graph, tensors={**graph.tensors, **{one.id: _held(one, graph, made) for one in derivatives}})
    return graph


def _of_one_step(graph: Graph, tensor: Tensor) -> Graph:
    """A derivative inside a recurrence: what other steps compute is constant in it."""
    assert tensor.derivative is not None
    step, names = _step(graph, tensor)
    made, derivatives = jacobians(step, tensor.derivative.of, [tensor.derivative.wrt])
    new = [_with_names(one, names) for name, one in made.tensors.items() if name not in step.tensors]
    tensors = {**graph.tensors, **{one.id: one for one in new}}
    tensors[tensor.id] = _held(tensor, made, derivatives)
    return replace(graph, tensors=tensors)


def _step(graph: Graph, tensor: Tensor) -> tuple[Graph, dict[str, str]]:
    found = one_step(graph, tensor)
    if found is None:
        raise InternalError(f"{tensor.id} reaches over the steps of a recurrence")
    return found


def _with_names(tensor: Tensor, names: Mapping[str, str]) -> Tensor:
    def change(node: Expr) -> Expr | None:
        return Read(names[node.tensor], node.subscripts, node.type) if _is_given(node, names) else None

    return replace(tensor, equations=tuple(replace(e, value=transform(e.value, change)) for e in tensor.equations))


def _is_given(node: Expr, names: Mapping[str, str]) -> TypeGuard[Read]:
    return isinstance(node, Read) and node.tensor in names


def _innermost(graph: Graph, recurrent: Collection[str]) -> list[Tensor]:
    derivatives = graph.of_kind("derivative")
    if len(derivatives) < 2:
        return derivatives
    known = dependencies(graph)
    names = {tensor.id for tensor in derivatives}

    def around(tensor: Tensor) -> networkx.DiGraph:
        return dependencies(_step(graph, tensor)[0]) if tensor.id in recurrent else known

    found = [tensor for tensor in derivatives if not _lie_between(around(tensor), tensor, names - {tensor.id})]
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
