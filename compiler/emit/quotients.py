"""Quotients that are computed before the loops in which they are factors.

LLVM, allowed to regroup, turns ``x*(1/y)`` into ``x/y`` wherever the inner quotient stands, so that a division before a
loop becomes one for every element in it.  Such a quotient is written ``rounded(1/y)``.
"""

from __future__ import annotations

from collections.abc import Iterator

from dlc.compiler.ir.expr import Expr, Op, Read, reads
from dlc.compiler.ir.loops import For, If, Let, Statement, expressions, statements

_PASSED = frozenset(("mul", "neg", "stop"))  # a factor of these is a factor of what they are in


def factors_of_loops(body: tuple[Statement, ...]) -> Iterator[str]:
    """The locals that are quotients, or have one as a factor, and are read in loops that do not bind them."""
    quotients: set[str] = set()
    for statement in statements(body):
        if isinstance(statement, Let) and _divides(statement.value, quotients):
            quotients.add(statement.name)
    used = {name for inner in _blocks(body) for name in _read_in_loops(inner)}
    yield from sorted(quotients & used)


def _divides(node: Expr, quotients: set[str]) -> bool:
    if isinstance(node, Read):
        return not node.subscripts and node.tensor in quotients
    if not isinstance(node, Op) or node.type != "real":
        return False
    return node.name == "div" or (node.name in _PASSED and any(_divides(arg, quotients) for arg in node.args))


def _blocks(body: tuple[Statement, ...]) -> Iterator[tuple[Statement, ...]]:
    yield body
    for statement in statements(body):
        if isinstance(statement, For | If):
            yield statement.body


def _read_in_loops(block: tuple[Statement, ...]) -> set[str]:
    """The locals that the block itself binds and that loops in it read."""
    own = {statement.name for statement in block if isinstance(statement, Let)}
    inner = [s for s in block if isinstance(s, For | If)]
    found: set[str] = set()
    for statement in inner:
        for one in statements((statement,)):
            if isinstance(one, For):
                found.update(r.tensor for s in statements(one.body) for e in expressions(s) for r in reads(e))
    return own & found
