"""Tensors with their axes in another order, and everything that reads them with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dlc.compiler.ir.expr import Expr, Read, free_indices
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.rewriting import transform

Orders = Mapping[str, Sequence[int]]  # tensor -> its axes in their new order


def with_axes_permuted(graph: Graph, orders: Orders) -> Graph:
    """The graph with these tensors' axes in these orders."""
    return graph.with_tensors(_turned(tensor, orders) for tensor in graph.tensors.values()) if orders else graph


def _turned(tensor: Tensor, orders: Orders) -> Tensor:
    def change(node: Expr) -> Expr | None:
        if isinstance(node, Read) and node.tensor in orders:
            return Read(node.tensor, tuple(node.subscripts[axis] for axis in orders[node.tensor]), node.type)
        return None

    equations = [replace(equation, value=transform(equation.value, change)) for equation in tensor.equations]
    order = orders.get(tensor.id)
    if order is None:
        return tensor if tuple(equations) == tensor.equations else replace(tensor, equations=tuple(equations))
    sets = tuple(tensor.sets[axis] for axis in order) if tensor.sets else ()
    sizes = tuple(tensor.sizes[axis] for axis in order)
    return replace(tensor, sizes=sizes, sets=sets, equations=tuple(_with_axes(one, order) for one in equations))


def _with_axes(equation: Equation, order: Sequence[int]) -> Equation:
    subscripts = tuple(equation.subscripts[axis] for axis in order)
    indices = tuple(dict.fromkeys(index for subscript in subscripts for index in free_indices(subscript)))
    return replace(equation, subscripts=subscripts, indices=indices)
