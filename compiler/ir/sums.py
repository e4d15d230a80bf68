"""The algebra of reductions, one row a rule.

Conditions that do not mention the reduced index move out, unless those that stay keep what they read in range; nested
reductions of one kind merge, and constant factors leave sums.  Splitting sums, taking out factors that depend on data,
and solving deltas change the amount of work: they are passes of their own (``factor``, ``deltas``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from dlc.compiler.ir.affine import known, polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.bounds import positive
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_of, guarded, is_zero
from dlc.compiler.ir.elements import bounds_of
from dlc.compiler.ir.expr import (
    TRUE,
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    free_indices,
    identity_of,
    op,
    reads,
    walk,
)
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.safety import needs_more
from dlc.compiler.ir.simplifier import Rule

Conditions = Sequence[Expr]
Leaving = Callable[[Reduce, Conditions], list[Expr]]
"""Which conditions of a reduction move out of it."""

_POSITIONS = ("argmax", "argmin")


def _without(node: Reduce, gone: Index, body: Expr) -> Expr:
    """The reduction over its other indices."""
    rest = tuple(index for index in node.indices if index is not gone)
    return Reduce(node.op, rest, body) if rest else body


def _single(node: Expr) -> Expr | None:
    assert isinstance(node, Reduce)
    for index in node.indices:
        if known(index.size) != 1:
            continue
        if node.op in _POSITIONS and len(node.indices) == 1:
            return ZERO
        return _without(node, index, substitute(node.body, {index: ZERO}))
    return None


def _empty(node: Expr) -> Expr | None:
    assert isinstance(node, Reduce)
    if not any(known(index.size) == 0 for index in node.indices):
        return None
    return ZERO if node.op in _POSITIONS else identity_of(node.op, node.type)


def _unused(node: Expr) -> Expr | None:
    assert isinstance(node, Reduce)
    used = free_indices(node.body)
    gone = next((index for index in node.indices if index not in used), None)
    if gone is None or (node.op in _POSITIONS and len(node.indices) > 1):
        return None
    if node.op == "sum":
        count = op("real", gone.size) if node.type == "real" else gone.size
        return _without(node, gone, op("mul", count, node.body))
    if node.op == "prod":
        return _without(node, gone, op("pow", node.body, gone.size))
    if not positive(polynomial(gone.size)):
        return None
    return ZERO if node.op in _POSITIONS else _without(node, gone, node.body)


def neutral_body(node: Expr) -> Expr | None:
    """The number that a reduction of nothing else is."""
    assert isinstance(node, Reduce)
    if node.op in _POSITIONS or not isinstance(node.body, Const):
        return None
    return node.body if node.body is identity_of(node.op, node.body.type) or is_zero_sum(node) else None


def is_zero_sum(node: Reduce) -> bool:
    return node.op == "sum" and is_zero(node.body)


def _outer_condition(node: Expr, leaving: Leaving) -> Expr | None:
    assert isinstance(node, Reduce)
    if node.op in _POSITIONS or node.type == "bool":
        return None
    identity = identity_of(node.op, node.type)
    cond, body = guard_of(node.body, identity)
    outside = leaving(node, conjuncts(cond))
    if not outside:
        return None
    inside = conjunction(part for part in conjuncts(cond) if part not in outside)
    return guarded(conjunction(outside), Reduce(node.op, node.indices, guarded(inside, body, identity)), identity)


def _nested(node: Expr) -> Expr | None:
    assert isinstance(node, Reduce)
    if node.op in _POSITIONS:
        return None
    identity = identity_of(node.op, node.type)
    cond, body = (TRUE, node.body) if node.type == "bool" else guard_of(node.body, identity)
    if not isinstance(body, Reduce) or body.op != node.op:
        return None
    inner = body.body if cond is TRUE else guarded(cond, body.body, identity)
    return Reduce(node.op, (*node.indices, *body.indices), inner)


def _is_static(node: Expr) -> bool:
    """Whether the value depends on nothing but sizes."""
    return not any(isinstance(part, Index | Read | Reduce) for part in walk(node))


def _constant_factor(node: Expr) -> Expr | None:
    assert isinstance(node, Reduce)
    if node.op != "sum" or node.type != "real":
        return None
    cond, body = guard_of(node.body)

    def summed(rest: Expr) -> Expr:
        return Reduce("sum", node.indices, guarded(cond, rest))

    if not isinstance(body, Op):
        return None
    if body.name == "neg":
        return op("neg", summed(body.args[0]))
    if body.name == "div" and _is_static(body.args[1]):
        return op("div", summed(body.args[0]), body.args[1])
    if body.name == "div" and _is_static(body.args[0]) and body.args[0] is not Const(1.0):
        return op("mul", body.args[0], summed(op("div", Const(1.0), body.args[1])))
    if body.name != "mul":
        return None
    static = [arg for arg in body.args if _is_static(arg)]
    others = [arg for arg in body.args if not _is_static(arg)]
    if not static or not others:
        return None
    return op("mul", *static, summed(op("mul", *others)))


def _guarded_condition(node: Expr, leaving: Leaving) -> Expr | None:
    """any[j] (c and d) where c does not mention j."""
    assert isinstance(node, Reduce)
    name = {"any": "and", "all": "or"}.get(node.op)
    if name is None or not (isinstance(node.body, Op) and node.body.name == name):
        return None
    outside = leaving(node, node.body.args) if name == "and" else _all_leaving(node, node.body.args)
    inside = [part for part in node.body.args if part not in outside]
    if not outside or not inside:
        return None
    return op(name, *outside, Reduce(node.op, node.indices, op(name, *inside)))


def _all_leaving(node: Reduce, conditions: Conditions) -> list[Expr]:
    return [part for part in conditions if not set(free_indices(part)) & set(node.indices)]


def _leaving_of(graph: Graph) -> Leaving:
    """Those that read in range without the ones that stay."""
    sizes: Mapping[str, Sequence[Expr]] = {name: tensor.sizes for name, tensor in graph.tensors.items()}
    known = graph.facts, bounds_of(graph)

    def leaving(node: Reduce, conditions: Conditions) -> list[Expr]:
        found: list[Expr] = []
        for part in _all_leaving(node, conditions):
            others = [other for other in conditions if other is not part]
            if all(read.tensor in sizes for read in reads(part)) and not needs_more(part, sizes, found, others, *known):
                found.append(part)
        return found

    return leaving


def _rules(leaving: Leaving) -> tuple[Rule, ...]:
    outer, truth = (partial(rule, leaving=leaving) for rule in (_outer_condition, _guarded_condition))
    return (
        Rule("empty", "reduce", "sum over nothing = 0;  max over nothing = -inf", _empty),
        Rule("single", "reduce", "sum[i] a[i] = a[0] where |I| = 1", _single),
        Rule("neutral-body", "reduce", "sum[i] 0 = 0;  max[i] -inf = -inf", neutral_body),
        Rule("unused", "reduce", "sum[i] a = |I|*a;  prod[i] a = a^|I|;  max[i] a = a where |I| > 0", _unused),
        Rule("outer-condition", "reduce", "sum[j] [c]*a[j] = [c]*sum[j] a[j]", outer),
        Rule("outer-truth", "reduce", "any[j] (c and d[j]) = c and any[j] d[j]", truth),
        Rule("nested", "reduce", "sum[i] [c]*sum[j] a[i,j] = sum[i,j] [c]*a[i,j]", _nested),
        Rule(
            "constant-factor", "reduce", "sum[i] 2*a[i] = 2*sum[i] a[i];  sum[i] -a[i] = -sum[i] a[i]", _constant_factor
        ),
    )


SUM_RULES = _rules(_all_leaving)
RULES = (*SCALAR_RULES, *SUM_RULES)


def rules_of(graph: Graph) -> tuple[Rule, ...]:
    """The rules for the expressions of a graph, which tells what is in range."""
    return (*SCALAR_RULES, *_rules(_leaving_of(graph)))
