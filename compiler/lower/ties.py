"""What a graph says of order and of nothing else, once the order is found.

``after(x, y)`` is ``x``; a tensor that is read behind the comma only is not computed.
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.ir.expr import Expr, Op, walk
from dlc.compiler.ir.graph import Graph, Tensor, reads_of
from dlc.compiler.ir.rewriting import transform


def without_ties(graph: Graph) -> Graph:
    tied = [name for name, tensor in graph.tensors.items() if _has_ties(tensor)]
    if not tied:
        return graph
    tensors = {name: _untied(tensor) if name in tied else tensor for name, tensor in graph.tensors.items()}
    before = {read for tensor in graph.tensors.values() for read in reads_of(tensor)}
    after = {read for tensor in tensors.values() for read in reads_of(tensor)}
    unread = {name for name in before - after - set(graph.roots) if graph.tensors[name].kind == "computed"}
    return graph.with_tensors(tensor for name, tensor in tensors.items() if name not in unread)


def _has_ties(tensor: Tensor) -> bool:
    return any(isinstance(node, Op) and node.name == "after" for one in tensor.equations for node in walk(one.value))


def _untied(tensor: Tensor) -> Tensor:
    def change(node: Expr) -> Expr | None:
        return node.args[0] if isinstance(node, Op) and node.name == "after" else None

    equations = tuple(replace(one, value=transform(one.value, change)) for one in tensor.equations)
    return replace(tensor, equations=equations)
