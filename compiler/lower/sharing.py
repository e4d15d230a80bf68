"""Repeated sub-expressions of a statement as locals.

Expressions are graphs: a node that is used twice is one object.  Written as text it would be computed twice, and
twice as often with every level.  Here such a node becomes a ``Let`` before the statement, provided that it may be
computed there: it is computed anyway (not only in a branch), or computing it in vain does no harm because what it
reads is read anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dlc.compiler.ir.expr import Expr, Op, Read, Select, reads, walk
from dlc.compiler.ir.loops import For, If, Let, Matmul, Statement, Store, System, Update, Var
from dlc.compiler.ir.ops import RANDOM
from dlc.compiler.lower.fusion import Body

_FREE = frozenset({"neg", "real", "stop"})  # not worth a name


def shared(body: Body, names: Callable[[str], str]) -> Body:
    """The body with repeated sub-expressions bound once."""
    result: list[Statement] = []
    for statement in body:
        if isinstance(statement, For | If):
            result.append(replace(statement, body=shared(statement.body, names)))
        elif isinstance(statement, Matmul | System):
            result.append(statement)
        else:
            result.extend(_bound(statement, names))
    return tuple(result)


def _bound(statement: Let | Var | Update | Store, names: Callable[[str], str]) -> list[Statement]:
    label = statement.buffer if isinstance(statement, Store) else statement.name
    # each binding stands for its node in later bindings and in the value; larger nodes are built from smaller ones
    mapping: dict[Expr, Expr] = {}
    result: list[Statement] = []
    for node in _repeated(statement.value):
        local = Read(names(label), (), node.type)
        result.append(Let(local.tensor, _replaced(node, mapping)))
        mapping[node] = local
    return [*result, replace(statement, value=_replaced(statement.value, mapping))] if mapping else [statement]


def _replaced(root: Expr, mapping: dict[Expr, Expr]) -> Expr:
    """Replace original nodes, outermost first."""
    done: dict[Expr, Expr] = {}

    def visit(node: Expr) -> Expr:
        if node in mapping:
            return mapping[node]
        if node not in done:
            children = tuple(visit(child) for child in node.children)
            done[node] = node if children == node.children else node.rebuild(children)
        return done[node]

    return visit(root)


def _repeated(root: Expr) -> list[Expr]:
    """Nodes with more than one use that may be computed before the statement, children first."""
    uses: dict[Expr, int] = {}
    for node in walk(root):
        for child in node.children:
            uses[child] = uses.get(child, 0) + 1
    certain = _certain(root)
    certain_reads = {node for node in certain if isinstance(node, Read)}

    def is_harmless(node: Expr) -> bool:
        return not _is_random(node) and all(read in certain_reads or not read.subscripts for read in reads(node))

    return [
        node
        for node in walk(root)
        if uses.get(node, 0) > 1
        and isinstance(node, Op)
        and node.name not in _FREE
        and node.type == "real"
        and (node in certain or is_harmless(node))
    ]


def _is_random(root: Expr) -> bool:
    """Whether a random number is drawn: that takes too long to do it in vain."""
    return any(isinstance(node, Op) and node.name in RANDOM for node in walk(root))


def _certain(root: Expr) -> set[Expr]:
    """The nodes that are evaluated whatever the conditions say."""
    found: set[Expr] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node in found:
            continue
        found.add(node)
        if isinstance(node, Select):
            stack.append(node.cond)
        elif isinstance(node, Op) and node.name in ("and", "or"):
            stack.append(node.args[0])
        else:
            stack.extend(node.children)
    return found
