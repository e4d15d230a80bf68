"""What LLVM is told of a loop: how it shall unroll it, or make vectors of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llvmlite import ir


def keep_rolled(branch: Any) -> None:
    """Have LLVM leave the loop that this branch closes as it is: two steps at once do not fit into the registers."""
    tell(branch, {})


def tell(branch: Any, hints: Mapping[str, ir.Constant]) -> None:
    """Tell LLVM of the loop that this branch closes not to unroll it, and the hints, by their names."""
    module = branch.parent.parent.module
    told = [module.add_metadata([ir.MetaDataString(module, name), hint]) for name, hint in hints.items()]
    told.append(module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")]))
    # A node of its own: LLVM tells two loops apart by what they are told, so that it begins with itself.
    node: Any = ir.MDValue(module, told, str(len(module.metadata)))
    node.operands = (node, *told)
    branch.set_metadata("llvm.loop", node)
