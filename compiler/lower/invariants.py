"""What is the same in every round of a loop stands before it, where it takes some arithmetic.

``y[b,d] = x[b,d]*(1/|D|)`` divides once, and the bounds of a greatest score are taken once a row.  Only what is made of
sizes and locals moves: elements are read where they were, since a loop without rounds reads nothing.  So do places,
``mu[c // |N|]``, where a division by what is not known asks for zero: LLVM leaves it in the loop, without vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.costs import is_cheap
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Select, Size, free_indices, walk
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var, statements
from dlc.compiler.ir.ops import RANDOM
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower.fusion import Body, mapped, writes

_WRAPS = frozenset(("neg", "real", "stop", "after"))  # what they wrap is worth a name, they are not


def hoisted(body: Body, names: Callable[[str], str]) -> Body:
    """The body with locals for what does not change in its loops."""
    result: list[Statement] = []
    known: dict[Expr, Expr] = {}
    for statement in body:
        if isinstance(statement, For):
            for label, node in _unchanging(statement):
                if node not in known:
                    local = Read(names(label), (), node.type)
                    result.append(Let(local.tensor, node))
                    known[node] = local
        if known:
            (statement,) = mapped((statement,), partial(substitute, mapping=known))
        if isinstance(statement, For | If):
            statement = replace(statement, body=hoisted(statement.body, names))
        result.append(statement)
        written = writes((statement,))
        known = {node: local for node, local in known.items() if not _read_by(node) & written}
    return tuple(result)


def _unchanging(loop: For) -> Iterator[tuple[str, Expr]]:
    """What the loop computes alike in every round, the largest parts, with the name of what they are for."""
    written: Set[str] = writes((loop,))
    inner: Set[Index] = {one.index for one in statements((loop,)) if isinstance(one, For)}
    for one in statements(loop.body):
        if not isinstance(one, Let | Var | Update | Store):
            continue
        label = one.buffer if isinstance(one, Store) else _base(one.name)
        roots = (one.value, *(one.subscripts if isinstance(one, Store) else ()))
        fixed = _fixed(roots, written, inner)
        stack: list[Expr] = list(reversed(roots))
        seen: set[Expr] = set()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if fixed.get(node):
                yield _label(node) or label, _without_wraps(node)
            elif node not in fixed:
                stack.extend(reversed(node.children))


def _fixed(roots: Sequence[Expr], written: Set[str], inner: Set[Index]) -> Mapping[Expr, bool]:
    """The real parts that do not change, and divisions of integers, and whether computing them takes something."""
    same: dict[Expr, bool] = {}
    for node in walk(*roots):
        match node:
            case Const() | Size():
                same[node] = False
            case Index() if node not in inner:
                same[node] = False
            case Read(subscripts=()) if node.tensor not in written:
                same[node] = False
            case Op() | Select() if all(child in same for child in node.children) and not _is_random(node):
                takes = not is_cheap(node)
                same[node] = takes or any(same[child] for child in node.children)
    return {node: takes or node.type == "int" for node, takes in same.items() if node.type == "real" or _divides(node)}


def _divides(node: Expr) -> bool:
    """Whether it is a place among others of an index, found by a division by what is not known."""
    if not isinstance(node, Op) or node.name not in ("floordiv", "mod") or known(node.args[1]) is not None:
        return False
    return bool(free_indices(node))


def _is_random(node: Expr) -> bool:
    return isinstance(node, Op) and node.name in RANDOM


def _without_wraps(node: Expr) -> Expr:
    while isinstance(node, Op) and node.name in _WRAPS:
        (node, *_) = node.args
    return node


def _label(node: Expr) -> str | None:
    """The first local that it is made of, or what is done to the first index."""
    if isinstance(node, Op) and node.type == "int":
        return f"{free_indices(node)[0].hint}.{'quotient' if node.name == 'floordiv' else 'remainder'}"
    return next((_base(part.tensor) for part in walk(node) if isinstance(part, Read)), None)


def _base(local: str) -> str:
    return local.rpartition(".v")[0] or local


def _read_by(node: Expr) -> set[str]:
    return {part.tensor for part in walk(node) if isinstance(part, Read)}
