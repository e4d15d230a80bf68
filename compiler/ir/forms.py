"""The stages of the graph language: a predicate for each, which gives the reasons why a graph is not there.

*Extracted* is the form that differentiation, fusion and lowering take: an equation is a *map*, whose value holds no
reduction, or a *reduction*, which has one, at its root, over a body that holds none.
"""

from __future__ import annotations

from dlc.compiler.ir.expr import Expr, Reduce, walk
from dlc.compiler.ir.graph import Equation, Graph


def is_extracted(graph: Graph) -> list[str]:
    """Why the graph is not in extracted form; nothing if it is."""
    return [
        f"{tensor.id} has a {node.op} that is not at the root of its equation"
        for tensor in graph.tensors.values()
        for equation in tensor.equations
        for node in nested_reductions(equation)
    ]


def nested_reductions(equation: Equation) -> list[Reduce]:
    """Every reduction of the equation but one at the root."""
    return [node for node in _reductions(*equation.subscripts, equation.value) if node is not equation.value]


def is_map(equation: Equation) -> bool:
    """Whether each element is computed from elements, without a reduction."""
    return not _reductions(equation.value)


def is_reduction(equation: Equation) -> bool:
    return isinstance(equation.value, Reduce) and not _reductions(equation.value.body)


def _reductions(*roots: Expr) -> list[Reduce]:
    return [node for node in walk(*roots) if isinstance(node, Reduce)]
