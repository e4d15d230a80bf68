"""What LLVM is told of a loop: how it shall unroll it, or make vectors of it, and that its rounds keep apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llvmlite import ir

_TOUCHING: Any = (ir.LoadInstr, ir.StoreInstr, ir.CallInstr)


def keep_rolled(branch: Any) -> None:
    """Have LLVM leave the loop that this branch closes as it is: two steps at once do not fit into the registers."""
    tell(branch, {})


def tell(branch: Any, hints: Mapping[str, Any]) -> None:
    """Tell LLVM of the loop that this branch closes not to unroll it, and the hints, by their names."""
    _tell(branch, {**hints, "llvm.loop.unroll.disable": None})


def tell_that_rounds_keep_apart(branches: Iterable[Any], blocks: Iterable[Any], hints: Mapping[str, Any]) -> None:
    """Tell LLVM of the loop that these branches close, and these blocks make up, that no round touches what another one
    writes; and the hints, if there are any, as `tell` does.
    """
    branches = list(branches)
    group = _Group(branches[0].parent.parent.module)
    for block in blocks:
        for instruction in block.instructions:
            if isinstance(instruction, _TOUCHING):
                instruction.set_metadata("llvm.access.group", group)
    unrolled = {"llvm.loop.unroll.disable": None} if hints else {}
    for branch in branches:
        _tell(branch, {**hints, **unrolled, "llvm.loop.parallel_accesses": group})


class _Group(ir.MDValue):
    """What reads and writes of one loop have in common: a node without anything in it that is like no other."""

    def __init__(self, module: Any) -> None:
        super().__init__(module, (), str(len(module.metadata)))

    def descr(self, buf: Any) -> None:
        buf += ("distinct !{}", "\n")


def _tell(branch: Any, hints: Mapping[str, Any]) -> None:
    module = branch.parent.parent.module
    told = [
        module.add_metadata([ir.MetaDataString(module, name), *([hint] if hint is not None else ())])
        for name, hint in hints.items()
    ]
    # A node of its own: LLVM tells two loops apart by what they are told, so that it begins with itself.
    node: Any = ir.MDValue(module, told, str(len(module.metadata)))
    node.operands = (node, *told)
    branch.set_metadata("llvm.loop", node)
