"""Rules of algebra, each on a small expression; what must not be simplified; and tensors that are seen through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, parts, sub, total, when, within

from dlc.compiler.ir.expr import Const, Expr, Read, Reduce, Select, Size, op
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.ir.printer import expression_text, tensor_lines
from dlc.compiler.ir.simplifier import Simplifier
from dlc.compiler.ir.sums import RULES
from dlc.compiler.passes import simplify

ROW, COLUMN = index("i", "I"), index("j", "J")
THIRD, SINGLE = index("k", 3), index("u", 1)
NAMES = {ROW: "i", COLUMN: "j", THIRD: "k", SINGLE: "u"}


def x(*subscripts: Expr) -> Read:
    return Read("x", subscripts, "real")


def m(*subscripts: Expr) -> Read:
    return Read("m", subscripts, "bool")


def z(*subscripts: Expr) -> Read:
    return Read("z", subscripts, "int")


def n(value: float) -> Const:
    return Const(float(value))


def c(value: int) -> Const:
    return Const(value)


def neg(e: Expr) -> Expr:
    return op("neg", e)


def lt(a: Expr, b: Expr) -> Expr:
    return op("lt", a, b)


def le(a: Expr, b: Expr) -> Expr:
    return op("le", a, b)


def text_of(expression: Expr) -> str:
    return expression_text(Simplifier(RULES)(expression), NAMES)


CASES: list[tuple[Expr, str]] = [
    # constants
    (add(n(1), n(2)), "3"),
    (op("exp", n(0)), "1"),
    (op("div", n(1), n(0)), "1/0"),  # an infinity is the machine's to make
    (op("log", n(-1)), "log(-1)"),
    (op("max", n(1), op("neg", n(np.inf))), "1"),
    (op("max", n(1), n(np.nan)), "max(1, nan)"),
    (op("floordiv", c(-7), c(2)), "-4"),
    (op("mod", c(-7), c(2)), "1"),
    (op("real", c(3)), "3"),
    (lt(n(1), n(2)), "true"),
    # sums
    (add(x(ROW), n(0)), "x[i]"),
    (add(n(1), x(ROW), n(2)), "x[i] + 3"),
    (add(x(ROW), x(ROW), mul(n(3), x(ROW))), "5*x[i]"),
    (sub(x(ROW), x(ROW)), "x[i] - x[i]"),  # nan where x is infinite
    (sub(x(ROW), add(x(COLUMN), x(THIRD))), "x[i] - x[j] - x[k]"),
    (add(when(m(ROW), x(ROW)), when(m(ROW), x(COLUMN))), "[m[i]]*(x[i] + x[j])"),
    # products
    (mul(n(1), x(ROW)), "x[i]"),
    (mul(n(0), x(ROW)), "0"),
    (mul(n(2), x(ROW), n(3)), "6*x[i]"),
    (mul(neg(x(ROW)), n(-2)), "2*x[i]"),
    (neg(neg(x(ROW))), "x[i]"),
    (mul(x(ROW), op("div", n(1), x(COLUMN))), "x[i]/x[j]"),
    (mul(n(4), op("div", x(ROW), n(2))), "2*x[i]"),
    (op("div", mul(n(6), x(ROW)), n(2)), "3*x[i]"),
    (op("div", x(ROW), mul(n(2), x(COLUMN))), "0.5*x[i]/x[j]"),
    (op("div", x(ROW), n(1)), "x[i]"),
    (op("div", n(0), x(ROW)), "0"),
    (op("div", neg(x(ROW)), neg(x(COLUMN))), "x[i]/x[j]"),
    (mul(when(m(ROW), x(ROW)), x(COLUMN)), "[m[i]]*x[i]*x[j]"),
    (op("div", when(m(ROW), x(ROW)), x(COLUMN)), "[m[i]]*(x[i]/x[j])"),
    (mul(op("real", m(ROW)), x(ROW)), "[m[i]]*x[i]"),
    # powers
    (op("pow", x(ROW), n(0)), "1"),
    (op("pow", x(ROW), n(1)), "x[i]"),
    (op("pow", x(ROW), n(2)), "x[i]^2"),
    (op("pow", x(ROW), n(0.5)), "sqrt(x[i])"),
    (op("pow", x(ROW), n(-1)), "1/x[i]"),
    (op("pow", neg(x(ROW)), c(2)), "x[i]^2"),
    # extremes
    (op("max", x(ROW), x(ROW)), "x[i]"),
    (op("max", x(ROW), n(-np.inf)), "x[i]"),
    (op("max", op("real", ROW), n(0)), "i"),
    (op("exp", op("log", x(ROW))), "exp(log(x[i]))"),  # differ where x < 0
    # integers
    (x(add(ROW, c(1), neg(ROW), COLUMN)), "x[j+1]"),
    (x(mul(c(2), add(ROW, c(1)))), "x[2*i+2]"),
    (x(op("floordiv", add(mul(c(3), ROW), THIRD), c(3))), "x[i]"),
    (x(op("mod", add(mul(c(3), ROW), THIRD), c(3))), "x[k]"),
    (x(op("max", ROW, c(0))), "x[i]"),
    (x(add(mul(c(3), op("floordiv", ROW, c(3))), op("mod", ROW, c(3)))), "x[i]"),
    (x(add(mul(op("floordiv", ROW, Size("J")), Size("J")), op("mod", ROW, Size("J")))), "x[i]"),
    # conditions
    (lt(c(0), op("floordiv", add(ROW, c(1)), c(2))), "0 < i"),
    (le(op("floordiv", ROW, Size("J")), c(1)), "i < 2*|J|"),
    (lt(THIRD, c(3)), "true"),
    (le(add(ROW, c(1)), COLUMN), "i < j"),
    (le(c(0), sub(ROW, c(1))), "0 < i"),
    (op("eq", mul(c(2), ROW), c(3)), "false"),
    (op("eq", mul(c(2), ROW), mul(c(4), COLUMN)), "i == 2*j"),
    (op("not", lt(ROW, COLUMN)), "j <= i"),
    (op("not", lt(x(ROW), x(COLUMN))), "not x[i] < x[j]"),  # both are false of a nan
    (op("not", op("not", m(ROW))), "m[i]"),
    (op("and", le(ROW, c(5)), le(ROW, c(3))), "i <= 3"),
    (op("and", m(ROW), Const(True), m(ROW)), "m[i]"),
    (op("and", m(ROW), op("not", m(ROW))), "false"),
    (op("and", lt(ROW, COLUMN), lt(COLUMN, ROW)), "false"),
    (op("or", m(ROW), op("not", m(ROW))), "true"),
    (lt(op("real", ROW), n(3)), "i <= 2"),
    # an earlier conjunct protects the read of a later one, so it stays before it
    (op("and", lt(c(0), ROW), op("eq", z(sub(ROW, c(1))), c(2)), lt(c(1), ROW)), "2 <= i and z[i-1] == 2"),
    # choices
    (Select(Const(True), x(ROW), x(COLUMN)), "x[i]"),
    (Select(m(ROW), x(COLUMN), x(COLUMN)), "x[j]"),
    (Select(lt(THIRD, c(5)), x(ROW), x(COLUMN)), "x[i]"),
    (Select(m(ROW), n(0), x(COLUMN)), "[not m[i]]*x[j]"),
    (Select(m(ROW), Select(m(COLUMN), x(ROW), x(COLUMN)), x(COLUMN)), "x[i] if m[i] and m[j] else x[j]"),
    (Select(m(ROW), Select(m(ROW), x(ROW), x(COLUMN)), x(THIRD)), "x[i] if m[i] else x[k]"),
    (Select(m(ROW), x(THIRD), Select(m(ROW), x(ROW), x(COLUMN))), "x[k] if m[i] else x[j]"),
    (Select(lt(c(0), ROW), x(op("max", sub(ROW, c(1)), c(0))), x(COLUMN)), "x[i-1] if 0 < i else x[j]"),
    (when(within(sub(add(ROW, THIRD), c(1)), Size("I")), x(ROW)), "[0 < i + k <= |I|]*x[i]"),
    (Select(lt(ROW, COLUMN), when(lt(ROW, COLUMN), x(ROW)), x(COLUMN)), "x[i] if i < j else x[j]"),
    # reductions
    (total(SINGLE, of=x(SINGLE)), "x[0]"),
    (total(COLUMN, of=x(ROW)), "|J|*x[i]"),
    (total(THIRD, of=x(ROW)), "3*x[i]"),
    (Reduce("prod", (THIRD,), x(ROW)), "x[i]^3"),
    (Reduce("max", (THIRD,), x(ROW)), "x[i]"),
    (Reduce("max", (COLUMN,), x(ROW)), "max[j'] x[i]"),  # -inf if COLUMN is empty
    (total(COLUMN, of=when(op("and", m(ROW), m(COLUMN)), x(COLUMN))), "[m[i]]*sum[j'] [m[j']]*x[j']"),
    (total(COLUMN, of=mul(n(-2), x(COLUMN))), "-2*sum[j'] x[j']"),
    (total(COLUMN, of=op("div", x(COLUMN), op("real", Size("J")))), "(sum[j'] x[j'])/|J|"),
    (total(ROW, of=when(m(ROW), total(COLUMN, of=x(ROW, COLUMN)))), "sum[i',j'] [m[i']]*x[i',j']"),
    (Reduce("max", (ROW,), Reduce("max", (COLUMN,), x(ROW, COLUMN))), "max[i',j'] x[i',j']"),
    (total(ROW, of=Reduce("max", (COLUMN,), x(ROW, COLUMN))), "sum[i'] max[j'] x[i',j']"),
    (total(COLUMN, of=when(lt(COLUMN, c(0)), x(COLUMN))), "0"),
    (Reduce("any", (COLUMN,), op("and", m(ROW), m(COLUMN))), "m[i] and any[j'] (m[j'])"),
    (Reduce("argmax", (SINGLE,), x(SINGLE)), "0"),
]


@pytest.mark.parametrize("expression, expected", CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_rules(expression: Expr, expected: str) -> None:
    assert text_of(expression) == expected


@pytest.mark.parametrize("expression, expected", CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_what_is_simplified_stays(expression: Expr, expected: str) -> None:
    once = Simplifier(RULES)(expression)
    assert Simplifier(RULES)(once) is once


def test_rules_have_names_and_every_rewrite_is_told() -> None:
    seen: list[str] = []
    simplified = Simplifier(RULES, trace=lambda rule, before, after: seen.append(f"{rule.name}: {before} -> {after}"))
    simplified(add(mul(n(1), x(ROW)), n(0)))
    assert [line.partition(":")[0] for line in seen] == ["constant-factors", "constant-terms"]
    assert simplified.used == {"constant-factors": 1, "constant-terms": 1}
    assert all(rule.name and rule.equation for rule in RULES)


def test_a_long_sum_takes_a_moment() -> None:
    term: Expr = x(ROW)
    for number in range(300):
        term = op("tanh", add(mul(n(1), term), n(number)))
    simplified = Simplifier(RULES)
    simplified(term)
    assert sum(simplified.used.values()) < 1000


# -- tensors that say nothing of their own --------------------------------------------------------------------------


def lines(made: Graph) -> list[str]:
    return [line for tensor in made.tensors.values() if tensor.kind == "computed" for line in tensor_lines(tensor)]


def test_copies_transposes_and_constants_are_seen_through() -> None:
    a = given("a", 2, "J")
    i, j = index("i", 2), index("j", "J")
    t = whole("t", (j, i), at(a, i, j))
    row = whole("row", (j,), at(t, j, 1))
    one = whole("one", (j,), mul(n(1), n(1)))
    y = whole("y", (j, i), add(mul(at(t, j, i), at(one, j)), at(row, j)))
    made = simplify.run(graph(a, t, row, one, y, outputs=["y"], sizes=["J"]))
    assert lines(made) == ["y[j,i] = a[i,j] + a[1,j]"]


def test_an_output_that_is_a_copy_stays() -> None:
    a, i = given("a", "I"), index("i", "I")
    made = graph(a, whole("y", (i,), at(a, i)), outputs=["y"], sizes=["I"])
    assert lines(simplify.run(made)) == ["y[i] = a[i]"]


def test_parts_are_not_seen_through() -> None:
    a, i, j = given("a", 2), index("i", 2), index("j", 1)
    t = parts("t", [3], ((i,), (i,), at(a, i)), ((j,), (add(j, c(2)),), n(0)))
    k = index("k", 3)
    made = graph(a, t, whole("y", (k,), op("exp", at(t, k))), outputs=["y"])
    assert list(simplify.run(made).tensors) == ["a", "t", "y"]


def test_subscripts_on_the_left_take_their_normal_form() -> None:
    a, i = given("a", 2), index("i", 2)
    t = parts("t", [2], ((i,), (add(i, c(1), c(-1)),), at(a, i)))
    made = simplify.run(replace(graph(a, t, outputs=["t"])))
    assert made.tensors["t"].equations[0].subscripts == made.tensors["t"].equations[0].indices
