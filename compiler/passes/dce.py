"""Dead code: computed tensors that no output, loss or gradient needs go.

Inputs, parameters and hyper-parameters stay: they are how the model is called, used or not.
"""

from __future__ import annotations

from dlc.compiler.ir.graph import Graph, reads_of

NAME = "dce"


def run(graph: Graph) -> Graph:
    needed: set[str] = set()
    waiting = list(graph.kept)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        waiting.extend(reads_of(graph.tensors[name]))
    unneeded = {tensor.id for tensor in graph.of_kind("computed", "derivative")} - needed
    return graph.with_tensors(tensor for name, tensor in graph.tensors.items() if name not in unneeded)
