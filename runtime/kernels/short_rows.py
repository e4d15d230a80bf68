"""Rows that may have fewer elements than a vector: what LLVM is told of the loops that go along them.

Left to itself LLVM unrolls such a loop and looks for vectors in what it gets, of which it finds half: of seven elements
four go together, and three one by one. Told so, it reads and writes them all in one vector, under a mask. Of a row of
open length it would take 32 or more elements in a round, and what is left, or all of a short row, one by one.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core.controlflow import CFGraph

from dlc.runtime.kernels.loop_hints import tell

_ALWAYS = ir.Constant(ir.IntType(1), 1)
_HINTS = {
    "llvm.loop.vectorize.enable": _ALWAYS,
    "llvm.loop.vectorize.predicate.enable": _ALWAYS,
    "llvm.loop.vectorize.width": ir.Constant(ir.IntType(32), 8),
    "llvm.loop.interleave.count": ir.Constant(ir.IntType(32), 1),
}
_ROWS = "dlc_rows"  # the blocks that have asked, at the function that they are in


def ask_for_a_mask(builder: Any) -> None:
    """Note that the innermost loop around what is being written goes along a short row."""
    vars(builder.function).setdefault(_ROWS, []).append(builder.block)


def tell_of_short_rows(module: Any) -> None:
    """Put down at the loops of a module what LLVM is to know of them."""
    for function in module.functions:
        if rows := vars(function).get(_ROWS):
            graph = _control_flow(function)
            for block in rows:
                for end in _ends_of_loop(graph, function.blocks.index(block)):
                    tell(function.blocks[end].terminator, _HINTS)


def _control_flow(function: Any) -> CFGraph:
    """The blocks of a function by their numbers, and where each goes on."""
    graph, numbers = CFGraph(), {block: number for number, block in enumerate(function.blocks)}
    for number in numbers.values():
        graph.add_node(number)
    for block, number in numbers.items():
        for operand in block.terminator.operands:
            if isinstance(operand, ir.Block):
                graph.add_edge(number, numbers[operand])
    graph.set_entry_point(0)
    graph.process()
    return graph


def _ends_of_loop(graph: CFGraph, inside: int) -> list[int]:
    """The blocks from which the innermost loop around this one begins its next round."""
    loop = graph.in_loops(inside)[0]
    return sorted(block for block, _ in graph.predecessors(loop.header) if block in loop.body)
