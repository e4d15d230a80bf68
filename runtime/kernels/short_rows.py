"""Rows that may have fewer elements than a vector: what LLVM is told of the loops that go along them.

Left to itself LLVM unrolls such a loop and looks for vectors in what it gets, of which it finds half: of seven elements
four go together, and three one by one. Told so, it reads and writes them all in one vector, under a mask. Of a row of
open length it would take 32 or more elements in a round, and what is left, or all of a short row, one by one.

A loop that stores in several rows at once says that these keep apart. Of rows of open length LLVM would ask each time
whether they do; of rows that are shorter than a vector it knows that a vector would reach into the next one, and takes
no vectors, though under a mask nothing of that row is written.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core.controlflow import CFGraph

from dlc.runtime.kernels.loop_hints import tell, tell_that_rounds_keep_apart

_ALWAYS = ir.Constant(ir.IntType(1), 1)
_HINTS = {
    "llvm.loop.vectorize.enable": _ALWAYS,
    "llvm.loop.vectorize.predicate.enable": _ALWAYS,
    "llvm.loop.vectorize.width": ir.Constant(ir.IntType(32), 8),
    "llvm.loop.interleave.count": ir.Constant(ir.IntType(32), 1),
}
_ROWS, _APART = "dlc_rows", "dlc_rows_apart"  # the blocks that have asked, at the function that they are in


def ask_for_a_mask(builder: Any) -> None:
    """Note that the innermost loop around what is being written goes along a short row."""
    vars(builder.function).setdefault(_ROWS, []).append(builder.block)


def ask_for_no_checks(builder: Any) -> None:
    """Note that no round of the innermost loop around what is being written touches what another one writes."""
    vars(builder.function).setdefault(_APART, []).append(builder.block)


def tell_of_short_rows(module: Any) -> None:
    """Put down at the loops of a module what LLVM is to know of them."""
    for function in module.functions:
        asked = {kind: vars(function).get(kind, ()) for kind in (_ROWS, _APART)}
        if not any(asked.values()):
            continue
        graph = _control_flow(function)
        loops = {kind: {_loop(graph, function, block) for block in blocks} for kind, blocks in asked.items()}
        for loop in sorted(loops[_ROWS] | loops[_APART], key=lambda one: one.header):
            ends = sorted(block for block, _ in graph.predecessors(loop.header) if block in loop.body)
            branches = [function.blocks[end].terminator for end in ends]
            hints = _HINTS if loop in loops[_ROWS] else {}
            if loop in loops[_APART]:
                tell_that_rounds_keep_apart(branches, [function.blocks[n] for n in sorted(loop.body)], hints)
            else:
                for branch in branches:
                    tell(branch, hints)


def _loop(graph: CFGraph, function: Any, block: Any) -> Any:
    """The innermost loop around the block."""
    return graph.in_loops(function.blocks.index(block))[0]


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
