"""What a recurrence computes from several of its tensors, and another equation computes once more, becomes a tensor.

    h[t+1] = (1 - sigmoid(a[t] + b[t]))*n[t] + ..     k[t] = sigmoid(a[t] + b[t]),  h[t+1] = (1 - k[t])*n[t] + ..
    d_n[t] = (1 - sigmoid(a[t] + b[t]))*d_h[t]        d_n[t] = (1 - k[t])*d_h[t]

A backward pass then keeps one value of every step in the place of all that it is made of. Only operators that cost more
than a read count, and what stands in no branch: it is computed for all steps already. Common sub-expressions, the next
pass, writes the reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dlc.compiler.ir.alike import key
from dlc.compiler.ir.conditions import certain
from dlc.compiler.ir.costs import is_costly
from dlc.compiler.ir.expr import Binder, Expr, Index, Read, free_indices, reads, refresh, walk
from dlc.compiler.ir.forms import is_map
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique, whole
from dlc.compiler.ir.rewriting import substitute

NAME = "hold"


@dataclass(frozen=True)
class _Found:
    """A part of an equation of the tensor ``name`` that is computed whenever the equation is."""

    name: str
    number: int
    equation: Equation
    node: Expr


def run(graph: Graph) -> Graph:
    circles = graph.recurrence_of
    first: dict[Expr, _Found] = {}
    again: dict[Expr, None] = {}
    for tensor in graph.of_kind("computed"):
        for number, equation in enumerate(tensor.equations):
            for node in _costly(equation):
                pattern, _ = key(node)
                if _is_made_of_several(graph, node) and pattern not in first and tensor.id in circles:
                    if _is_computed_always(equation, node):
                        first[pattern] = _Found(tensor.id, number, equation, node)
                elif pattern in first and circles[first[pattern].name] != circles.get(tensor.id):
                    again[pattern] = None
    tensors = dict(graph.tensors)
    for pattern in again:
        made = _held(first[pattern], tensors)
        tensors[made.id] = made
        tensors[first[pattern].name] = _reading(tensors[first[pattern].name], first[pattern], made)
    return graph.with_tensors(tensors.values()) if again else graph


def _costly(equation: Equation) -> Iterator[Expr]:
    if is_map(equation) or isinstance(equation.value, Binder):
        yield from filter(is_costly, walk(equation.value))


def _is_made_of_several(graph: Graph, node: Expr) -> bool:
    computed = {read.tensor for read in reads(node) if graph.tensors[read.tensor].kind == "computed"}
    return len(computed) > 1


def _is_computed_always(equation: Equation, node: Expr) -> bool:
    """Whether the equation computes the node for all values of its indices, and has no index that the node has not.

    One that defines a single place of an axis, such as the first step, has nothing of all steps.
    """
    if not (is_map(equation) and all(map(free_indices, equation.subscripts))):
        return False
    return node in certain(equation.value) and set(free_indices(node)) == set(equation.indices)


def _reading(tensor: Tensor, found: _Found, made: Tensor) -> Tensor:
    element = Read(made.id, found.equation.indices, "real")
    equations = list(tensor.equations)
    value = substitute(equations[found.number].value, {found.node: element})
    equations[found.number] = replace(found.equation, value=value)
    return replace(tensor, equations=tuple(equations))


def _held(found: _Found, tensors: dict[str, Tensor]) -> Tensor:
    own: dict[Expr, Expr] = {index: refresh(index) for index in found.equation.indices}
    indices = tuple(index for index in own.values() if isinstance(index, Index))
    name = unique(f"{found.name}.part", tensors)
    return whole(name, indices, substitute(found.node, own), found.equation.span)
