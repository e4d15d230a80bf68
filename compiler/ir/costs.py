"""What the arithmetic of an expression costs: operations of one element, from the column ``cost`` of ``ops.OPERATORS``.

An addition counts one, an elementary function as many operations as its polynomial takes.  Arithmetic of integers finds
places and is free; a random number is not, whatever its type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.compiler.ir.expr import Const, Expr, Index, Op, Reduce, free_indices, walk
from dlc.compiler.ir.ops import OPERATORS, RANDOM

_LARGEST_PRODUCT = 64  # the greatest whole power that is written as products
_MOST_NODES = 24  # of what is computed again at another place instead of held in a tensor


def cost(node: Expr) -> int:
    """Of the node alone, without its arguments."""
    if isinstance(node, Op) and node.type == "real":
        if node.name in ("add", "mul"):
            return len(node.args) - 1
        if node.name == "pow" and isinstance(node.args[1], Const):
            return _power(float(node.args[1].value))
    return _of_operator(node)


def _power(exponent: float) -> int:
    if not exponent.is_integer() or abs(exponent) > _LARGEST_PRODUCT:
        return OPERATORS["sqrt" if exponent == 0.5 else "pow"].cost
    count = max(int(abs(exponent)), 1).bit_length() + bin(int(abs(exponent))).count("1") - 2
    return max(count, 0) + (OPERATORS["div"].cost if exponent < 0 else 0)


def operations(expression: Expr) -> int:
    """Of one evaluation of the whole expression."""
    return sum(map(cost, walk(expression)))  # what occurs twice is computed once


def is_cheap(node: Expr) -> bool:
    """Whether the node alone takes no longer than reading an element."""
    return _of_operator(node) <= OPERATORS["add"].cost


def is_costly(node: Expr) -> bool:
    """Whether the node alone takes longer than a quotient."""
    return _of_operator(node) > OPERATORS["div"].cost


def is_slow(node: Expr) -> bool:
    """Whether the node alone takes as long as an elementary function."""
    return _of_operator(node) >= OPERATORS["exp"].cost


def is_light(value: Expr, place: Mapping[Index, Expr]) -> bool:
    """Whether a copy of the value, at another place, costs little: its sums will be shared, and the rest is cheap."""
    count = 0
    stack: list[Expr] = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, Reduce):
            if not _only_moves(free_indices(node), place):
                return False
            continue
        count += 1
        if not is_cheap(node):
            return False
        stack.extend(node.children)
    return count <= _MOST_NODES


def _only_moves(indices: Sequence[Index], place: Mapping[Index, Expr]) -> bool:
    """Whether the indices become indices, each another one."""
    targets = [place.get(index, index) for index in indices]
    return len(set(targets)) == len(targets) and all(isinstance(target, Index) for target in targets)


def _of_operator(node: Expr) -> int:
    if not isinstance(node, Op) or (node.type != "real" and node.name not in RANDOM):
        return 0
    return OPERATORS[node.name].cost
