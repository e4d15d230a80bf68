"""The derivative of one scalar expression with respect to the elements it reads.

The walk goes from the expression to its leaves and keeps, at every node, its adjoint: a sum of terms, each under the
guards that it met.  A guard stays a guard down to the leaf, ``Select(c, g·f'(x), 0)`` and not
``f'(x)·Select(c, g, 0)``, so nothing is evaluated where the expression itself does not evaluate it: no ``0·inf``, no
read out of range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import NamedTuple

from dlc.compiler.grad.rules import RULES, add
from dlc.compiler.ir.expr import Const, Expr, Op, Read, Select, op, walk

#: Conditions from the outermost to the innermost, each with the truth value under which the term is there.
Guards = tuple[tuple[Expr, bool], ...]

_MOST_GROUPS = 4  # of guards at a node; more are joined into one condition
_NOTHING = Const(0.0)


class Contribution(NamedTuple):
    """What the read element gets: ``value`` where all ``conditions`` hold, looked at in their order, else nothing."""

    read: Read
    conditions: tuple[Expr, ...]
    value: Expr


def active_nodes(expression: Expr, tensors: Set[str]) -> set[Expr]:
    """The nodes through which the expression depends, with a derivative, on elements of ``tensors``."""
    active: set[Expr] = set()
    for node in walk(expression):
        match node:
            case _ if node.type != "real":
                continue
            case Read(tensor=tensor):
                found = tensor in tensors
            case Op(name=name):
                found = RULES[name] is not None and any(child in active for child in node.children)
            case _:
                found = any(child in active for child in node.children)
        if found:
            active.add(node)
    return active


def contributions(
    expression: Expr, adjoint: Expr, guards: Guards, tensors: Set[str], has_kink: Callable[[Expr], bool]
) -> Iterator[Contribution]:
    """What each element of ``tensors`` read in ``expression`` gets from the adjoint of the expression; a node that
    ``has_kink`` where it is 0 has slope 0 there.
    """
    active = active_nodes(expression, tensors)
    if expression not in active:
        return
    adjoints: dict[Expr, dict[Guards, Expr]] = {expression: {guards: adjoint}}
    for node in reversed(list(walk(expression))):  # each node after all nodes that use it
        if node not in adjoints:
            continue
        groups = _joined(adjoints.pop(node))
        if isinstance(node, Read):
            for met, value in groups.items():
                yield Contribution(node, _conditions(met), value)
            continue
        kink = ((op("ne", node, _NOTHING), True),) if has_kink(node) else ()
        for met, value in groups.items():
            met = met + kink
            for child, more, part in _passed_on(node, value):
                if child in active:
                    _accumulate(adjoints.setdefault(child, {}), met + more, part)


def _passed_on(node: Expr, adjoint: Expr) -> Iterator[tuple[Expr, Guards, Expr]]:
    """The children of a node with what they get from its adjoint."""
    if isinstance(node, Select):
        yield node.yes, ((node.cond, True),), adjoint
        yield node.no, ((node.cond, False),), adjoint
        return
    if not isinstance(node, Op):
        raise TypeError(f"no derivative of {node!r} inside an equation")
    row = RULES[node.name]
    parts = row(adjoint, node, *node.args) if row else ()
    for child, part in zip(node.args, parts, strict=False):
        if part is None:
            continue
        # the guard of a rule joins the others
        if isinstance(part, Select) and part.no is _NOTHING:
            yield child, ((part.cond, True),), part.yes
        elif isinstance(part, Select) and part.yes is _NOTHING:
            yield child, ((part.cond, False),), part.no
        else:
            yield child, (), part


def _accumulate(groups: dict[Guards, Expr], guards: Guards, value: Expr) -> None:
    groups[guards] = add(groups[guards], value) if guards in groups else value


def _joined(groups: dict[Guards, Expr]) -> dict[Guards, Expr]:
    """Terms under ``c`` and under ``not c`` become one term, a choice; of too many groups one is made."""
    groups = dict(groups)
    waiting = list(groups)
    while waiting:
        guards = waiting.pop()
        if not guards or guards not in groups:
            continue
        cond, holds = guards[-1]
        other = (*guards[:-1], (cond, not holds))
        if other in groups:
            yes, no = (guards, other) if holds else (other, guards)
            first, second = groups.pop(yes), groups.pop(no)
            _accumulate(groups, guards[:-1], first if first is second else Select(cond, first, second))
            waiting.append(guards[:-1])
    if len(groups) <= _MOST_GROUPS:
        return groups
    somewhere = op("or", *(_all(guards) for guards in groups)) if () not in groups else None
    terms = [Select(_all(guards), value, _NOTHING) if guards else value for guards, value in groups.items()]
    return {((somewhere, True),) if somewhere is not None else (): add(*terms)}


def _conditions(guards: Guards) -> tuple[Expr, ...]:
    return tuple(cond if holds else op("not", cond) for cond, holds in guards)


def _all(guards: Guards) -> Expr:
    return op("and", *_conditions(guards))
