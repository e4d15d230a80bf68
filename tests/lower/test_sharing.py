"""Repeated sub-expressions are written once: before the statement, or in the branch of a choice that has them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, sub, total, when
from lower.agreement import agree

from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Select, op, reads, walk
from dlc.compiler.ir.graph import whole
from dlc.compiler.ir.loops import If, Let, Statement, Store, Update, Var, expressions, statements
from dlc.compiler.lower import lower
from dlc.compiler.lower.sharing import shared

I = index("i", "I")
X = given("x", "I")
HERE, BEFORE = at(X, I), at(X, sub(I, ONE))
INSIDE = op("lt", ZERO, I)


def bound(value: Expr) -> tuple[Statement, ...]:
    numbers = itertools.count(1)
    return shared((Store("y", (I,), value),), lambda _: f"e{next(numbers)}")


def occurrences(body: tuple[Statement, ...], name: str) -> int:
    """How often an operator stands in the text of the statements."""

    def count(node: Expr) -> int:
        return (getattr(node, "name", "") == name) + sum(map(count, node.children))

    return sum(count(root) for statement in statements(body) for root in expressions(statement))


def test_what_repeats_is_bound_once() -> None:
    e = op("exp", HERE)
    let, store = bound(op("div", e, add(Const(1.0), e)))
    assert isinstance(let, Let) and let.value is e
    assert isinstance(store, Store) and occurrences((store,), "exp") == 0


def test_a_sign_between_does_not_hide_a_repetition() -> None:
    """``exp(-m)*(a - m)*(b - m)``: one negation, which has no name, is used three times."""
    m = op("neg", op("max", op("sin", HERE), op("cos", HERE)))
    body = bound(mul(op("exp", m), add(HERE, m), add(Const(2.0), m)))
    assert [type(statement) for statement in body] == [Let, Store]
    assert occurrences(body, "max") == 1


def test_what_repeats_in_a_branch_is_bound_in_the_branch() -> None:
    e = op("exp", BEFORE)
    body = bound(add(HERE, when(INSIDE, op("div", e, add(Const(1.0), e)))))
    var, choice, store = body
    assert isinstance(var, Var) and isinstance(choice, If) and choice.cond is INSIDE and isinstance(store, Store)
    assert [type(statement) for statement in choice.body] == [Let, Update]
    assert occurrences(body, "exp") == 1


def test_both_branches_may_have_what_repeats() -> None:
    first, second = op("exp", BEFORE), op("sin", at(X, add(I, ONE)))
    body = bound(Select(INSIDE, mul(first, first), add(second, mul(second, second))))
    assert [type(statement) for statement in body] == [Let, Var, If, If, Store]
    assert occurrences(body, "exp") == occurrences(body, "sin") == 1


def test_what_both_branches_compute_is_computed_before() -> None:
    e = op("exp", BEFORE)
    body = bound(Select(INSIDE, mul(e, HERE), op("sin", e)))
    assert [type(statement) for statement in body] == [Let, Store]
    assert occurrences(body, "exp") == 1


def test_the_condition_of_a_choice_shares_with_its_branches() -> None:
    top = op("max", op("sin", HERE), op("cos", HERE))
    body = bound(when(op("lt", Const(0.5), top), mul(top, top)))
    assert occurrences(body, "max") == 1


def test_choices_inside_choices() -> None:
    """Each level has the one below it twice, under a guard: as a tree, 2^12 nodes."""
    value: Expr = at(X, sub(I, ONE))
    for level in range(12):
        value = when(op("le", Const(level % 3), I), mul(op("exp", value), op("sin", value)))
    body = bound(value)
    assert occurrences(body, "exp") == 12
    assert sum(len(list(walk(*expressions(statement)))) for statement in statements(body)) < 200


@pytest.mark.parametrize("turned", [False, True])
def test_a_choice_inside_a_branch_is_bound_in_the_branch(turned: bool) -> None:
    """The inner choice becomes a local, which looks as if there were nothing to compute."""
    e, f = op("exp", BEFORE), op("sin", HERE)
    quotient = op("div", e, add(Const(1.0), e))
    inner = Select(op("lt", HERE, Const(0.5)), mul(f, add(Const(1.0), f)), Const(2.0))
    value = Select(INSIDE, inner, quotient) if turned else Select(INSIDE, quotient, inner)
    body = bound(value)
    set_here = {s.name for s in statements(body) if isinstance(s, Let | Var)}
    read_here = {r.tensor for s in statements(body) for e in expressions(s) for r in reads(e) if not r.subscripts}
    assert read_here <= set_here
    assert occurrences(body, "exp") == occurrences(body, "sin") == 1


def test_nothing_is_read_where_it_was_not() -> None:
    """What only one branch reads is not computed before the choice."""
    e = op("exp", BEFORE)
    body = bound(when(INSIDE, mul(e, add(Const(1.0), e))))
    outside = [node for statement in body if not isinstance(statement, If) for node in walk(*expressions(statement))]
    assert BEFORE not in outside


def chain_of_choices() -> Expr:
    """A real number by an integer of which each level is needed three times."""
    value: Expr = Select(op("lt", HERE, Const(0.0)), Const(2), Const(5))
    for level in range(12):
        value = Select(op("lt", Const(3 * level), value), add(value, ONE), mul(Const(2), value))
    return Select(op("lt", Const(30), value), op("real", value), mul(HERE, op("real", value)))


VALUES: Mapping[str, Expr] = {
    "a branch": add(HERE, when(INSIDE, mul(op("exp", BEFORE), op("exp", BEFORE)))),
    "the other branch": Select(INSIDE, HERE, mul(op("exp", HERE), add(op("exp", HERE), Const(2.0)))),
    "both": Select(INSIDE, mul(op("sin", BEFORE), op("sin", BEFORE)), mul(op("cos", HERE), op("cos", HERE))),
    "a choice in the other branch": Select(
        op("lt", HERE, Const(0.5)),
        mul(op("sin", HERE), add(op("sin", HERE), Const(2.0))),
        Select(op("lt", HERE, Const(1.0)), mul(op("cos", HERE), op("cos", HERE)), Const(3.0)),
    ),
    "conditions": chain_of_choices(),
    "nested": when(INSIDE, Select(op("lt", BEFORE, Const(0.0)), mul(op("sin", BEFORE), op("sin", BEFORE)), BEFORE)),
}


@pytest.mark.parametrize("name", VALUES)
def test_the_value_is_the_same(name: str) -> None:
    value = VALUES[name]
    y = whole("y", (I,), value)
    j = index("j", "I")
    loss = whole("loss", (), total(j, of=mul(at(y, j), at(X, j))))
    made = graph(X, y, loss, loss="loss", sizes=["I"])
    x = np.random.default_rng(0).normal(size=7)
    program = lower({"forward": made})
    agree(made, program, {"x": x}, {"I": 7})


def among(*body: Statement) -> tuple[Statement, ...]:
    numbers = itertools.count(1)
    return shared(body, lambda _: f"e{next(numbers)}")


def test_statements_share_what_takes_long() -> None:
    e = op("exp", HERE)
    body = among(Update("s", add(Const(1.0), e)), Store("y", (I,), mul(e, HERE)), Store("z", (I,), op("sin", e)))
    assert [type(statement) for statement in body] == [Let, Update, Store, Store]
    assert occurrences(body, "exp") == 1


def test_statements_do_not_share_what_changes_between_them() -> None:
    e = op("exp", HERE)
    body = among(Store("y", (I,), e), Store("x", (I,), Const(1.0)), Store("z", (I,), e))
    assert occurrences(body, "exp") == 2


def test_statements_do_not_share_what_one_computes_in_a_branch_only() -> None:
    e = op("exp", BEFORE)
    body = among(Store("y", (I,), when(INSIDE, e)), Store("z", (I,), when(INSIDE, mul(e, HERE))))
    assert occurrences(body, "exp") == 2


def test_integers_and_conditions_are_bound_where_they_would_be_long() -> None:
    """Short ones, which subscripts are made of, stay where they are."""
    n = at(given("n", "I", type="int"), I)
    value: Expr = n
    for level in range(30):
        value = Select(op("lt", Const(level), value), add(value, ONE), mul(Const(2), value))
    asked = op("lt", HERE, op("real", value))
    body = bound(Select(asked, HERE, Select(op("or", asked, op("lt", n, ZERO)), Const(2.0), Const(3.0))))
    lets = [statement for statement in body if isinstance(statement, Let)]
    assert 5 < len(lets) < 30
    assert sum(occurrences((one,), "lt") for one in body) < 300
    assert all(
        isinstance(one, Store)
        for one in bound(
            mul(
                at(X, add(mul(I, I), ONE)),
                at(
                    X,
                    add(mul(I, I), ONE),
                ),
            )
        )
    )
