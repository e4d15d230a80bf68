"""Products, with what divides them and the conditions under which they count, taken apart and put together; and sums of
them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dlc.compiler.ir.conditions import conjuncts, guard_of
from dlc.compiler.ir.expr import Const, Expr, Op, Select, op

_ONE = Const(1.0)


class GuardedProduct(NamedTuple):
    """``[c and ..]*(a*b*..)``: nothing where a condition does not hold."""

    conditions: tuple[Expr, ...]
    factors: tuple[Expr, ...]


def guarded_product(node: Expr) -> GuardedProduct:
    cond, body = guard_of(node)
    return GuardedProduct(conjuncts(cond), body.args if isinstance(body, Op) and body.name == "mul" else (body,))


def factors_of(node: Expr) -> tuple[list[Expr], list[Expr]]:
    """``(factors, divisors)``, in order; factors of 1 are left out, a sign stays with its factor."""
    match node:
        case Op(name="mul", args=args):
            parts = [factors_of(arg) for arg in args]
            return [f for above, _ in parts for f in above], [f for _, below in parts for f in below]
        case Op(name="div", args=(over, under)):
            above, below = factors_of(over)
            return above, [*below, *(under.args if isinstance(under, Op) and under.name == "mul" else (under,))]
    return ([] if node is _ONE else [node]), []


def product(factors: Iterable[Expr]) -> Expr:
    kept = [factor for factor in factors if factor is not _ONE]
    return op("mul", *kept) if kept else _ONE


def quotient(factors: Iterable[Expr], divisors: Sequence[Expr]) -> Expr:
    over = product(factors)
    return op("div", over, op("mul", *divisors)) if divisors else over


def terms_of(node: Expr) -> tuple[Expr, ...]:
    return node.args if isinstance(node, Op) and node.name == "add" else (node,)


def unsigned(node: Expr) -> tuple[Expr, bool]:
    """``(e, whether node = -e)``, where node is e or -e."""
    if isinstance(node, Op) and node.name == "neg":
        inner, negative = unsigned(node.args[0])
        return inner, not negative
    return node, False


def with_common_factors(node: Expr) -> Expr:
    """``a*b + a*c`` as ``a*(b + c)``: what all terms of a sum are multiplied by, or divided by, numbers aside; and
    ``a*b if p else a`` as ``a*(b if p else 1)``."""
    if isinstance(node, Select):
        return _with_common_factors_of_branches(node)
    signed = [unsigned(term) for term in terms_of(node)]
    parts = [factors_of(term) for term, _ in signed]
    over, under = (_common([part[side] for part in parts]) for side in (0, 1))
    if len(parts) < 2 or not (over or under):
        return node
    rests: list[Expr] = []
    for (factors, divisors), (_, negative) in zip(parts, signed, strict=True):
        rest = quotient(_without(factors, over), _without(divisors, under))
        rests.append(op("neg", rest) if negative else rest)
    return quotient((*over, op("add", *rests)), under)


def _with_common_factors_of_branches(node: Select) -> Expr:
    branches = [with_common_factors(b) if isinstance(b, Select) else b for b in (node.yes, node.no)]
    parts = [factors_of(branch) for branch in branches]
    over, under = (_common([part[side] for part in parts]) for side in (0, 1))
    if not (over or under):
        return node
    yes, no = (quotient(_without(factors, over), _without(divisors, under)) for factors, divisors in parts)
    return quotient((*over, Select(node.cond, yes, no)), under)


def _common(lists: Sequence[Sequence[Expr]]) -> list[Expr]:
    rests = [list(each) for each in lists[1:]]
    found: list[Expr] = []
    for factor in lists[0]:
        if not isinstance(factor, Const) and all(factor in rest for rest in rests):
            found.append(factor)
            for rest in rests:
                rest.remove(factor)
    return found


def _without(factors: Iterable[Expr], gone: Iterable[Expr]) -> list[Expr]:
    rest = list(factors)
    for factor in gone:
        rest.remove(factor)
    return rest
