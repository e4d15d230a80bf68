"""Repeated sub-expressions of a statement as locals.

Expressions are graphs: a node that is used twice is one object.  Written as text it would be computed twice, and
twice as often with every level.  Here such a node becomes a ``Let`` before the statement, provided that it may be
computed there: it is computed anyway (not only in a branch), or computing it in vain does no harm because what it
reads is read anyway.  What repeats within one branch of a choice is bound in that branch: the choice becomes an ``If``.

What takes long is shared by the statements of a body too: a derivative has the exponential of its value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from itertools import pairwise

from dlc.compiler.ir.conditions import certain
from dlc.compiler.ir.expr import Const, Expr, Op, Read, Select, op, reads, walk
from dlc.compiler.ir.loops import For, If, Let, Matmul, Statement, Store, System, Update, Var
from dlc.compiler.ir.ops import RANDOM
from dlc.compiler.ir.rewriting import replaced
from dlc.compiler.lower.fusion import Body, writes
from dlc.compiler.lower.rows import slow_parts

_FREE = frozenset({"neg", "real", "stop"})  # not worth a name
_NOTHING = Const(0.0)
_LONG = 24  # nodes of an integer or a truth value that is worth a name


def shared(body: Body, names: Callable[[str], str]) -> Body:
    """The body with repeated sub-expressions bound once."""
    result: list[Statement] = []
    for statement in _shared_among(body, names):
        if isinstance(statement, For | If):
            result.append(replace(statement, body=shared(statement.body, names)))
        elif isinstance(statement, Matmul | System):
            result.append(statement)
        else:
            label = statement.buffer if isinstance(statement, Store) else statement.name
            bound = _Sharing(label, names).of(statement.value, frozenset())
            result += [*bound.before, replace(statement, value=bound.value)]
    return tuple(result)


# -- among statements ------------------------------------------------------------------------------------------------


def _shared_among(body: Body, names: Callable[[str], str]) -> Body:
    """The body with what takes long and stands in several of its statements bound before the first of them."""
    result: list[Statement] = []
    known: dict[Expr, Expr] = {}
    for number, statement in enumerate(body):
        if isinstance(statement, Let | Var | Update | Store):
            wanted = _needed_again(body, number) - known.keys()
            for node in walk(statement.value) if wanted else ():
                if node in wanted:
                    local = Read(names(_label(statement)), (), node.type)
                    result.append(Let(local.tensor, replaced(node, known)))
                    known[node] = local
            statement = replace(statement, value=replaced(statement.value, known))
        result.append(statement)
        written = writes((statement,))
        known = {node: local for node, local in known.items() if written.isdisjoint(r.tensor for r in reads(node))}
    return tuple(result)


def _needed_again(body: Body, number: int) -> set[Expr]:
    """What takes long in a statement and is computed by a later one of the body too, as large as it can be."""
    statement = body[number]
    assert isinstance(statement, Let | Var | Update | Store)
    offered = slow_parts(statement.value) & certain(statement.value).keys()
    found: set[Expr] = set()
    for earlier, later in pairwise(body[number:]):
        written = writes((earlier,))
        offered = {node for node in offered if written.isdisjoint(read.tensor for read in reads(node))}
        if not offered:
            break
        stack = [later.value] if isinstance(later, Let | Var | Update | Store) else []
        seen: set[Expr] = set()
        while stack:
            node = stack.pop()
            if node in offered:
                found.add(node)
            elif node not in seen:
                seen.add(node)
                stack.extend(node.children)
    return found


def _label(statement: Let | Var | Update | Store) -> str:
    return statement.buffer if isinstance(statement, Store) else statement.name.rpartition(".v")[0] or statement.name


# -- in one statement ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Bound:
    """A value in terms of the locals that the statements before it bind."""

    before: tuple[Statement, ...]
    value: Expr


@dataclass(frozen=True)
class _Sharing:
    """Makes locals for the parts of one value, named after ``label``."""

    label: str
    names: Callable[[str], str]

    def of(self, root: Expr, known: Set[Expr]) -> _Bound:
        """``root`` with what repeats bound before it; ``known`` are reads that are done before."""
        sure = certain(root).keys()
        known = known | {node for node in sure if isinstance(node, Read)}
        repeated = _repeated(root, sure, known)
        # each local stands for its node in later bindings and in the value; larger nodes are built from smaller ones
        mapping: dict[Expr, Expr] = {}
        before: list[Statement] = []
        for node in walk(root):
            made = self._choice(node, mapping, known) if isinstance(node, Select) and node in sure else None
            if made is None and node in repeated:
                local = Read(self.names(self.label), (), node.type)
                made = _Bound((Let(local.tensor, replaced(node, mapping)),), local)
            if made is not None:
                before += made.before
                mapping[node] = made.value
        return _Bound(tuple(before), replaced(root, mapping))

    def _choice(self, node: Select, mapping: dict[Expr, Expr], known: Set[Expr]) -> _Bound | None:
        """The choice as statements, if there is anything to bind in a branch of it."""
        if node.type != "real":
            return None
        yes, no = (self.of(replaced(branch, mapping), known) for branch in (node.yes, node.no))
        if not yes.before and not no.before:
            return None
        cond = replaced(node.cond, mapping)
        local = Read(self.names(self.label), (), node.type)
        if _is_simple(no):
            return _Bound((Var(local.tensor, no.value), _when(cond, local, yes)), local)
        if _is_simple(yes):
            return _Bound((Var(local.tensor, yes.value), _when(op("not", cond), local, no)), local)
        holds = Read(self.names(f"{self.label}.holds"), (), "bool")
        start = (Let(holds.tensor, cond), Var(local.tensor, _NOTHING))
        return _Bound((*start, _when(holds, local, yes), _when(op("not", holds), local, no)), local)


def _is_simple(branch: _Bound) -> bool:
    """Whether it may be computed before the condition is known: there is nothing to compute."""
    if branch.before:
        return False
    return isinstance(branch.value, Const) or (isinstance(branch.value, Read) and not branch.value.subscripts)


def _when(cond: Expr, local: Read, branch: _Bound) -> If:
    return If(cond, (*branch.before, Update(local.tensor, branch.value)))


def _repeated(root: Expr, sure: Set[Expr], known: Set[Expr]) -> set[Expr]:
    """Nodes with more than one use that may be computed before the statement; of integers and truth values, which
    subscripts and conditions are made of, those that would be long.
    """
    uses: Counter[Expr] = Counter((root,))
    nodes = list(walk(root))
    for node in reversed(nodes):  # each node after all nodes that use it
        is_free = isinstance(node, Op) and node.name in _FREE
        for child in node.children:
            uses[child] += uses[node] if is_free else 1

    def is_harmless(node: Expr) -> bool:
        return not _is_random(node) and all(read in known or not read.subscripts for read in reads(node))

    found: set[Expr] = set()
    lengths: dict[Expr, int] = {}  # as text
    for node in nodes:
        length = 1 + sum(lengths[child] for child in node.children)
        has_name = isinstance(node, Select) or (isinstance(node, Op) and node.name not in _FREE)
        is_worth_it = node.type == "real" or length > _LONG
        if uses[node] > 1 and has_name and is_worth_it and (node in sure or is_harmless(node)):
            found.add(node)
        lengths[node] = 1 if node in found else length
    return found


def _is_random(root: Expr) -> bool:
    """Whether a random number is drawn: that takes too long to do it in vain."""
    return any(isinstance(node, Op) and node.name in RANDOM for node in walk(root))
