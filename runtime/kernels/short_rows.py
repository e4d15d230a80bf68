"""Rows that may have fewer elements than a vector: what LLVM is told of the loops that go along them.

Left to itself LLVM unrolls such a loop and looks for vectors in what it gets, of which it finds half: of seven elements
four go together, and three one by one. Told so, it reads and writes them all in one vector, under a mask. Of a row of
open length it would take 32 or more elements in a round, and what is left, or all of a short row, one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llvmlite import ir

_HINTS = ("llvm.loop.vectorize.enable", "llvm.loop.vectorize.predicate.enable")
_NUMBERS = {"llvm.loop.vectorize.width": 8, "llvm.loop.interleave.count": 1}
_ROWS = "dlc_rows"  # the blocks that have asked, at the function that they are in

Block = Any  # llvmlite says little of types
Edges = Mapping[Block, Sequence[Block]]


def ask_for_a_mask(builder: Any) -> None:
    """Note that the innermost loop around what is being written goes along a short row."""
    vars(builder.function).setdefault(_ROWS, []).append(builder.block)


def tell_of_short_rows(module: Any) -> None:
    """Put down at the loops of a module what LLVM is to know of them."""
    for function in module.functions:
        for block in vars(function).get(_ROWS, ()):
            _end_of_loop(function, block).terminator.set_metadata("llvm.loop", _hints(module))


def _hints(module: Any) -> ir.MDValue:
    """A node of its own: LLVM tells two loops apart by what they are told, so that it begins with itself."""
    always = ir.Constant(ir.IntType(1), 1)
    hints = [module.add_metadata([ir.MetaDataString(module, name), always]) for name in _HINTS]
    for name, number in _NUMBERS.items():
        hints.append(module.add_metadata([ir.MetaDataString(module, name), ir.Constant(ir.IntType(32), number)]))
    hints.append(module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")]))
    node: Any = ir.MDValue(module, hints, str(len(module.metadata)))
    node.operands = (node, *hints)
    return node


def _end_of_loop(function: Any, inside: Block) -> Block:
    """The block from which the innermost loop around this one begins its next round."""
    after: Edges = {block: _targets(block) for block in function.blocks}
    before: dict[Block, list[Block]] = {block: [] for block in after}
    for block, targets in after.items():
        for target in targets:
            before[target].append(block)
    loops = [(_blocks_of_loop(end, head, before), end) for end, head in _edges_back(function.blocks[0], after)]
    return min((len(blocks), end.name, end) for blocks, end in loops if inside in blocks)[-1]


def _targets(block: Block) -> list[Block]:
    return [operand for operand in block.terminator.operands if isinstance(operand, ir.Block)]


def _blocks_of_loop(end: Block, head: Block, before: Edges) -> set[Block]:
    """All from which the end is reached without going through the head."""
    found, waiting = {head}, [end]
    while waiting:
        block = waiting.pop()
        if block not in found:
            found.add(block)
            waiting += before[block]
    return found


def _edges_back(entry: Block, after: Edges) -> list[tuple[Block, Block]]:
    """The edges to a block that is on the way to where they leave."""
    found: list[tuple[Block, Block]] = []
    seen, way, waiting = {entry}, {entry}, [(entry, iter(after[entry]))]
    while waiting:
        block, targets = waiting[-1]
        target: Block = next(targets, None)
        if target is None:
            waiting.pop()
            way.discard(block)
        elif target in way:
            found.append((block, target))
        elif target not in seen:
            seen.add(target)
            way.add(target)
            waiting.append((target, iter(after[target])))
    return found
