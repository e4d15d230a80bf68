"""The algebra of conditions and choices, one row a rule.

Comparisons of integers take a normal form, and are decided where they can be.  A conjunction keeps what reads nothing
in front: it costs least, and protects the reads of what follows.  A choice has its constant in the other branch, as a
guard, and each branch is simplified with what its condition says.
"""

from __future__ import annotations

import math

from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import decide, facts_of_all, without_quotient
from dlc.compiler.ir.conditions import (
    assumed,
    conjunction,
    is_comparison,
    is_zero,
    negation,
    reads_nothing,
)
from dlc.compiler.ir.expr import FALSE, TRUE, Const, Expr, Op, Select, op
from dlc.compiler.ir.simplifier import Rule

# -- conditions -----------------------------------------------------------------------------------------------------


def _compared_reals(node: Expr) -> Expr | None:
    """Integers that are compared as reals."""
    assert isinstance(node, Op)
    if node.args[0].type != "real" or not any(isinstance(arg, Op) for arg in node.args):
        return None
    integers: list[Expr] = []
    for arg in node.args:
        if isinstance(arg, Op) and arg.name == "real" and arg.args[0].type == "int":
            integers.append(arg.args[0])
        elif isinstance(arg, Const) and float(arg.value).is_integer() and abs(arg.value) < 2**53:
            integers.append(Const(int(arg.value)))
        else:
            return None
    return Op(node.name, tuple(integers))


def _compared_integers(node: Expr) -> Expr | None:
    """``p >= 0`` or ``p = 0`` with the positive terms on one side and the negative on the other."""
    if not is_comparison(node):
        return None
    answer = decide(node)
    if answer is not None:
        return Const(answer)
    left, right = node.children
    assert isinstance(node, Op)
    difference = polynomial(right) - polynomial(left)
    if node.name in ("eq", "ne"):
        return _equation(node.name, difference)
    slack = without_quotient(difference - (1 if node.name == "lt" else 0))
    return _between(slack) or _inequality(slack)


def _equation(name: str, difference: Polynomial) -> Expr:
    common = math.gcd(*(factor for monomial, factor in difference.terms if monomial))
    if difference.offset % common:
        return Const(name == "ne")
    difference = Polynomial(tuple((monomial, factor // common) for monomial, factor in difference.terms))
    if difference.terms[0][1] < 0:
        difference = -difference
    plus, minus = _sides(difference)
    return Op(name, (plus.expression(), minus.expression()))


def _between(slack: Polynomial) -> Expr | None:
    """|a| <= c is a <= c and -a <= c: bounds, as others are."""
    for monomial, factor in slack.terms:
        atom = monomial[0] if len(monomial) == 1 and factor == -1 else None
        if isinstance(atom, Op) and atom.name == "abs":
            value, limit = polynomial(atom.args[0]), slack + Polynomial(((monomial, 1),))
            return op("and", _inequality(limit - value), _inequality(limit + value))
    return None


def _inequality(slack: Polynomial) -> Expr:
    """slack >= 0, divided by the common factor of what is not constant."""
    common = math.gcd(*(factor for monomial, factor in slack.terms if monomial))
    offset = slack.offset
    slack = Polynomial.of((m, f // common if m else offset // common) for m, f in slack.terms)
    if slack.offset == -1:
        plus, minus = _sides(slack + 1)
        return Op("lt", (minus.expression(), plus.expression()))
    plus, minus = _sides(slack)
    return Op("le", (minus.expression(), plus.expression()))


def _sides(difference: Polynomial) -> tuple[Polynomial, Polynomial]:
    plus = Polynomial(tuple(term for term in difference.terms if term[1] > 0))
    minus = Polynomial(tuple((monomial, -factor) for monomial, factor in difference.terms if factor < 0))
    return plus, minus


def _same_sides(node: Expr) -> Expr | None:
    left, right = node.children
    return FALSE if left is right else None


def _negated(node: Expr) -> Expr | None:
    (arg,) = node.children
    changed = negation(arg)
    return None if changed is node else changed


def _conjunction(node: Expr) -> Expr | None:
    """What reads nothing comes first; each conjunct given those before it; then without what the others imply."""
    assert isinstance(node, Op)
    kept: list[Expr] = []
    for arg in sorted(node.args, key=lambda cond: not reads_nothing(cond)):
        arg = assumed(arg, conjunction(kept))
        if arg is FALSE:
            return FALSE
        if arg is not TRUE:
            kept.append(arg)
    kept = list(dict.fromkeys(kept))
    for cond in [cond for cond in kept if is_comparison(cond)]:
        others = [other for other in kept if other is not cond and reads_nothing(other)]
        facts = facts_of_all([(other, True) for other in others])
        if facts and decide(cond, facts) is True:
            kept.remove(cond)
    return conjunction(kept)


def _disjunction(node: Expr) -> Expr | None:
    assert isinstance(node, Op)
    kept: list[Expr] = []
    for arg in dict.fromkeys(node.args):
        arg = assumed(arg, op("or", *kept), holds=False) if kept else arg
        if arg is TRUE:
            return TRUE
        if arg is not FALSE:
            kept.append(arg)
    return op("or", *kept) if kept else FALSE


def _decided_choice(node: Expr) -> Expr | None:
    assert isinstance(node, Select)
    if isinstance(node.cond, Const):
        return node.yes if node.cond.value else node.no
    return node.yes if node.yes is node.no else None


def _zero_last(node: Expr) -> Expr | None:
    """A guard has its constant in the other branch."""
    assert isinstance(node, Select)
    if isinstance(node.yes, Const) and not isinstance(node.no, Const):
        return Select(negation(node.cond), node.no, node.yes)
    if is_zero(node.yes) and not is_zero(node.no):
        return Select(negation(node.cond), node.no, node.yes)
    return None


def _nested_choice(node: Expr) -> Expr | None:
    assert isinstance(node, Select)
    if isinstance(node.yes, Select) and node.yes.no is node.no:
        return Select(conjunction((node.cond, node.yes.cond)), node.yes.yes, node.no)
    return None


def _chosen_truth(node: Expr) -> Expr | None:
    assert isinstance(node, Select)
    if node.type != "bool":
        return None
    if node.no is FALSE:
        return op("and", node.cond, node.yes)
    return op("or", node.cond, node.no) if node.yes is TRUE else None


def _assume(node: Expr) -> Expr | None:
    assert isinstance(node, Select)
    yes, no = assumed(node.yes, node.cond), assumed(node.no, node.cond, holds=False)
    return None if yes is node.yes and no is node.no else Select(node.cond, yes, no)


LOGIC_RULES = (
    *(Rule("compared-reals", name, "i < 3.0 is i < 3", _compared_reals) for name in ("lt", "le", "eq", "ne")),
    *(
        Rule("compared-integers", name, "a < b by its normal form, decided where it can be", _compared_integers)
        for name in ("lt", "le", "eq", "ne")
    ),
    Rule("same-sides", "lt", "x < x is false, also for nan", _same_sides),
    Rule("negation", "not", "not (i < j) is j <= i for integers;  not not c = c", _negated),
    Rule("conjunction", "and", "c and c = c;  i < 3 and i < 5 = i < 3;  false and c = false", _conjunction),
    Rule("disjunction", "or", "c or c = c;  true or c = true", _disjunction),
    # choices
    Rule("decided-choice", "select", "(a if true else b) = a;  (a if c else a) = a", _decided_choice),
    Rule("chosen-truth", "select", "(d if c else false) = c and d", _chosen_truth),
    Rule("zero-last", "select", "(0 if c else a) = [not c]*a", _zero_last),
    Rule("nested-choice", "select", "((a if d else b) if c else b) = a if c and d else b", _nested_choice),
    Rule("assume", "select", "a branch is simplified with what its condition says", _assume),
)
