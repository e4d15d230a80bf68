"""What does not change in a loop stands before it."""

from __future__ import annotations

import itertools

from building import at, given, index, mul

from dlc.compiler.emit.quotients import factors_of_loops
from dlc.compiler.ir.expr import ONE, Const, Expr, Read, Size, op
from dlc.compiler.ir.loops import For, Let, Statement, Store, Update, Var, statements
from dlc.compiler.lower.invariants import hoisted

B, D = index("b", "B"), index("d", "D")
X = given("x", "B", "D")
S = Read("s", (), "real")
INVERSE = op("div", Const(1.0), op("real", Size("D")))


def rows(value: Expr, *before: Statement, after: tuple[Statement, ...] = ()) -> tuple[Statement, ...]:
    numbers = itertools.count(1)
    inner = For(D, Const(0), D.size, (Store("y", (B, D), value), *after))
    return hoisted((For(B, Const(0), B.size, (*before, inner)),), lambda label: f"{label}.v{next(numbers)}")


def lets(body: tuple[Statement, ...]) -> list[Expr]:
    return [s.value for s in statements(body) if isinstance(s, Let)]


def test_what_is_made_of_sizes_is_computed_once() -> None:
    let, loop = rows(mul(at(X, B, D), INVERSE))
    assert isinstance(let, Let) and let.value is INVERSE
    assert isinstance(loop, For) and not lets((loop,))


def test_what_is_made_of_a_local_of_a_row_is_computed_once_a_row() -> None:
    (loop,) = rows(mul(at(X, B, D), op("sqrt", S)), Var("s", Const(2.0)))
    assert isinstance(loop, For)
    assert [type(one) for one in loop.body] == [Var, Let, For]


def test_what_changes_stays() -> None:
    changing = (Update("s", op("add", S, Const(1.0))),)
    (loop,) = rows(mul(at(X, B, D), op("sqrt", S)), Var("s", Const(2.0)), after=changing)
    assert not lets((loop,))


def test_elements_and_cheap_arithmetic_stay() -> None:
    vector = given("v", "B")
    assert not lets(rows(op("sqrt", at(vector, B))))
    assert not lets(rows(mul(at(X, B, D), mul(S, Const(2.0))), Var("s", Const(2.0))))


def test_a_scale_is_named_under_what_says_that_it_is_one() -> None:
    """A scale that takes some arithmetic has a name; that it is a scale still shows where it is taken off."""
    bound = op("sqrt", S)
    (loop,) = rows(op("add", at(X, B, D), op("neg", op("stop", bound))), Var("s", Const(2.0)))
    assert lets((loop,)) == [bound]


def test_quotients_that_are_factors_in_a_loop_are_told_from_others() -> None:
    used, unused = Let("used", INVERSE), Let("unused", INVERSE)
    product = Let("product", mul(Const(2.0), Read("used", (), "real")))
    plain = Let("plain", op("sqrt", op("real", ONE)))
    names = [Read(one, (), "real") for one in ("used", "product", "plain")]
    loop = For(D, Const(0), D.size, (Store("y", (D,), mul(*names)),))
    assert list(factors_of_loops((used, unused, product, plain, loop))) == ["product", "used"]
    inside = For(D, Const(0), D.size, (used, Store("y", (D,), names[0])))
    assert list(factors_of_loops((inside,))) == []


def test_a_place_that_is_found_by_a_division_by_a_size_is_found_before_the_loop() -> None:
    """Numbers of groups of unknown size: mu[b // |G|]."""
    scale = given("v", "B")
    group = op("floordiv", B, Size("G"))
    (loop,) = rows(mul(at(X, B, D), at(scale, group)))
    assert isinstance(loop, For) and lets((loop,)) == [group]
    assert not lets(rows(mul(at(X, B, D), at(scale, op("floordiv", B, Const(4))))))
    assert not lets(rows(mul(at(X, B, D), at(scale, op("floordiv", D, Size("G"))))))
