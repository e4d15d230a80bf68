"""Conditions: conjunctions, negation, guards, what is computed whatever they say, and what an expression becomes where
one is known to hold.

``and`` looks at its arguments from left to right and stops at the first that is false, so an earlier conjunct may
protect what a later one reads.  Everything here keeps that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import decide, facts_of, nonnegative
from dlc.compiler.ir.expr import (
    FALSE,
    TRUE,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    Size,
    identity_of,
    number,
    op,
    reads,
    walk,
)
from dlc.compiler.ir.rewriting import transform

COMPARISONS = ("lt", "le", "eq", "ne")


def is_zero(node: Expr) -> bool:
    return isinstance(node, Const) and node.type != "bool" and node.value == 0


def is_comparison(node: Expr) -> bool:
    """Whether the node compares two integers."""
    return isinstance(node, Op) and node.name in COMPARISONS and node.args[0].type == "int"


def conjuncts(cond: Expr) -> tuple[Expr, ...]:
    if cond is TRUE:
        return ()
    return cond.args if isinstance(cond, Op) and cond.name == "and" else (cond,)


def conjunction(conds: Iterable[Expr]) -> Expr:
    """All of them, each once, in order."""
    parts = dict.fromkeys(part for cond in conds for part in conjuncts(cond))
    if FALSE in parts:
        return FALSE
    return op("and", *parts) if parts else TRUE


_OPPOSITE = {"eq": "ne", "ne": "eq"}


def negation(cond: Expr) -> Expr:
    """The opposite condition.  Comparisons of reals keep a ``not``: where a nan is compared, both are false."""
    match cond:
        case Const(value=value):
            return Const(not value)
        case Op(name="not", args=(arg,)):
            return arg
        case Op(name="eq" | "ne", args=args):
            return Op(_OPPOSITE[cond.name], args)
        case Op(name="lt" | "le", args=(left, right)) if left.type == "int":
            return Op("le" if cond.name == "lt" else "lt", (right, left))
    return Op("not", (cond,))


def guarded(cond: Expr, value: Expr, otherwise: Expr | None = None) -> Expr:
    """``Select(cond, value, otherwise)`` (zero if not given), merged with a guard that ``value`` has itself."""
    no = number(0, value.type) if otherwise is None else otherwise
    if isinstance(value, Select) and value.no is no:
        cond, value = conjunction((cond, value.cond)), value.yes
    if cond is TRUE:
        return value
    return no if cond is FALSE or value is no else Select(cond, value, no)


def guard_of(value: Expr, otherwise: Expr | None = None) -> tuple[Expr, Expr]:
    """``(cond, body)`` with value = Select(cond, body, otherwise), where zero is meant if that is not given."""
    if isinstance(value, Select) and (value.no is otherwise if otherwise is not None else is_zero(value.no)):
        return value.cond, value.yes
    return TRUE, value


def guard_inside(node: Reduce) -> tuple[Expr, Expr]:
    """``(cond, body)``: the reduction takes in the body, where the condition holds."""
    return guard_of(node.body, identity_of(node.op, node.body.type))


def is_choice(value: Expr) -> bool:
    """Whether the value is one of some numbers."""
    if not isinstance(value, Select) or not isinstance(value.yes, Const):
        return False
    return isinstance(value.no, Const) or is_choice(value.no)


def compared_choice(node: Expr) -> Expr | None:
    """``(3 if c else 2 if d else 0) == 2`` is ``d and not c``."""
    if not (is_comparison(node) and isinstance(node, Op) and node.name in ("eq", "ne")):
        return None
    value, asked = node.args if isinstance(node.args[1], Const) else reversed(node.args)
    if not (isinstance(asked, Const) and is_choice(value)):
        return None
    found = _chosen(value, asked)
    return found if node.name == "eq" else negation(found)


def _chosen(value: Expr, asked: Const) -> Expr:
    if not isinstance(value, Select):
        return Const(value is asked)
    rest = _chosen(value.no, asked)
    if value.yes is not asked:
        return FALSE if rest is FALSE else conjunction((rest, negation(value.cond)))
    return value.cond if rest is FALSE else op("or", value.cond, rest)


def reads_nothing(cond: Expr) -> bool:
    return not reads(cond) and not any(isinstance(node, Reduce) for node in walk(cond))


def certain(root: Expr) -> Mapping[Expr, None]:
    """The nodes that are computed whatever the conditions below the root say, larger ones first: those of both branches
    of a choice are.
    """
    return _certain(root, {})


def _certain(root: Expr, done: dict[Expr, dict[Expr, None]]) -> dict[Expr, None]:
    if root in done:
        return done[root]
    found: dict[Expr, None] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        if node in found:
            continue
        found[node] = None
        if isinstance(node, Select):
            yes, no = _certain(node.yes, done), _certain(node.no, done)
            stack.extend(reversed([node.cond, *(part for part in yes if part in no)]))
        elif isinstance(node, Op) and node.name in ("and", "or"):
            stack.append(node.args[0])
        else:
            stack.extend(reversed(node.children))
    done[root] = found
    return found


def assumed(root: Expr, cond: Expr, holds: bool = True) -> Expr:
    """``root`` as it is where ``cond`` holds (or, with ``holds=False``, where it does not)."""
    known = _truths(cond, holds)
    facts = tuple(facts_of(cond, holds))
    if not known and not facts:
        return root
    about = {leaf for fact in facts for atom in fact.atoms for leaf in _leaves(atom)}
    return transform(root, lambda node: known.get(node) or _decided(node, facts, about))


def assuming(root: Expr, facts: Sequence[Polynomial]) -> Expr:
    """``root`` as it is where the polynomials are not negative."""
    return transform(root, lambda node: _decided(node, facts, None)) if facts else root


def _truths(cond: Expr, holds: bool) -> dict[Expr, Expr]:
    parts = cond.args if isinstance(cond, Op) and cond.name == ("and" if holds else "or") else (cond,)
    result: dict[Expr, Expr] = {}
    for part in parts:
        result[part] = Const(holds)
        result[negation(part)] = Const(not holds)
    return {part: value for part, value in result.items() if not isinstance(part, Const)}


def _leaves(*roots: Expr) -> set[Expr]:
    """What ties conditions together: the indices and elements that they mention, sizes if there are none."""
    nodes = list(walk(*roots))
    return {node for node in nodes if isinstance(node, Index | Read)} or {n for n in nodes if isinstance(n, Size)}


def _decided(node: Expr, facts: Sequence[Polynomial], about: set[Expr] | None) -> Expr | None:
    """A comparison or an integer quotient or extreme that the facts decide."""
    if not facts or not isinstance(node, Op):
        return None
    if is_comparison(node):
        if about is not None and about.isdisjoint(_leaves(*node.args)):
            return None  # what the facts do not mention was undecided before
        answer = decide(node, facts)
        return None if answer is None else Const(answer)
    if node.type != "int" or node.name not in ("max", "min", "floordiv", "mod"):
        return None
    left, right = map(polynomial, node.args)
    if node.name in ("max", "min"):
        above = nonnegative(left - right, facts)
        if above or nonnegative(right - left, facts):
            return node.args[0 if above == (node.name == "max") else 1]
        return None
    if nonnegative(left, facts) and nonnegative(right - left - 1, facts):
        return Const(0) if node.name == "floordiv" else node.args[0]
    return None
