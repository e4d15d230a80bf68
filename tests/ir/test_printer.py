"""The text of expressions, equations and graphs."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import pytest
from building import add, at, given, graph, index, mul, parts, sub, total, when

from dlc.compiler.ir.expr import Const, Expr, Reduce, Select, Size, op
from dlc.compiler.ir.graph import Equation, Gradient, Initialiser, Objective, Requirement, Tensor, whole
from dlc.compiler.ir.printer import Naming, equation_text, expression_text, text

A, B, C = (at(given(name)) for name in "abc")
AXIS, J = index("i", 3), index("j", 4)
N = at(given("n", type="int"))
P, Q = op("lt", A, B), op("le", B, C)
V = given("v", 3)
NAMES = {AXIS: "i"}


@pytest.mark.parametrize(("expression", "expected"), [
    # sums and signs
    (add(A, B, C), "a + b + c"),
    (sub(A, B), "a - b"),
    (sub(A, add(B, C)), "a - (b + c)"),
    (add(A, mul(Const(-2.0), B)), "a - 2*b"),
    (add(A, Const(-1.0)), "a - 1"),
    (op("neg", add(A, B)), "-(a + b)"),
    (op("neg", mul(A, B)), "-a*b"),
    (op("neg", op("mod", N, Const(2))), "-(n mod 2)"),
    (op("neg", op("neg", A)), "--a"),
    # products and quotients
    (mul(A, add(B, C)), "a*(b + c)"),
    (mul(A, op("neg", B)), "a*(-b)"),
    (mul(op("neg", A), B), "-a*b"),
    (op("div", mul(A, B), C), "a*b/c"),
    (op("div", A, mul(B, C)), "a/(b*c)"),
    (op("div", op("div", A, B), C), "a/b/c"),
    (mul(A, op("div", B, C)), "a*(b/c)"),
    (mul(op("div", A, B), C), "a/b*c"),
    (op("floordiv", N, Const(2)), "n // 2"),
    (op("mod", add(N, Const(1)), Const(2)), "(n + 1) mod 2"),
    # powers
    (op("pow", A, Const(2)), "a^2"),
    (op("neg", op("pow", A, Const(2))), "-a^2"),
    (op("pow", op("neg", A), Const(2)), "(-a)^2"),
    (op("pow", A, op("neg", B)), "a^(-b)"),
    (op("pow", op("pow", A, B), C), "(a^b)^c"),
    (op("pow", A, op("pow", B, C)), "a^b^c"),
    (op("pow", mul(A, B), Const(-1)), "(a*b)^(-1)"),
    # conditions
    (op("and", P, Q), "a < b <= c"),
    (op("and", P, op("not", Q)), "a < b and not b <= c"),
    (op("or", op("and", P, op("eq", A, C)), Q), "a < b and a == c or b <= c"),
    (op("and", op("or", P, Q), op("ne", A, C)), "(a < b or b <= c) and a != c"),
    (op("not", op("and", P, op("ne", A, C))), "not (a < b and a != c)"),
    (Select(P, A, B), "a if a < b else b"),
    (Select(P, A, Select(Q, B, C)), "a if a < b else b if b <= c else c"),
    (Select(P, Select(Q, A, B), C), "(a if b <= c else b) if a < b else c"),
    (mul(A, Select(P, B, C)), "a*(b if a < b else c)"),
    # brackets
    (when(P, A), "[a < b]*a"),
    (when(P, Const(1.0)), "[a < b]"),
    (op("real", P), "[a < b]"),
    (when(P, mul(A, B)), "[a < b]*a*b"),
    (when(P, add(A, B)), "[a < b]*(a + b)"),
    (mul(A, when(P, B), C), "a*[a < b]*b*c"),
    (when(P, when(Q, A)), "[a < b]*[b <= c]*a"),
    (op("neg", when(P, A)), "-[a < b]*a"),
    # reductions take the product to their right
    (add(total(J, of=A), B), "sum[j] a + b"),
    (mul(A, total(J, of=mul(B, C))), "a*sum[j] b*c"),
    (mul(total(J, of=B), A), "(sum[j] b)*a"),
    (total(J, of=add(A, B)), "sum[j] (a + b)"),
    (op("div", total(J, of=B), A), "(sum[j] b)/a"),
    (op("div", A, total(J, of=B)), "a/(sum[j] b)"),
    (op("neg", total(J, of=B)), "-sum[j] b"),
    (op("pow", total(J, of=B), Const(2)), "(sum[j] b)^2"),
    (mul(when(P, total(J, of=B)), A), "([a < b]*sum[j] b)*a"),
    (Reduce("max", (J,), Select(P, A, Const(float("-inf")))), "max[j : a < b] a"),
    (Reduce("any", (J,), P), "any[j] (a < b)"),
    (op("lt", total(J, of=B), A), "sum[j] b < a"),
    # constants, conversions, functions, elements
    (Const(pi), "pi"),
    (Const(float("-inf")), "-inf"),
    (mul(Const(-1.5), A), "-1.5*a"),
    (mul(A, Const(-1.5)), "a*(-1.5)"),
    (op("real", N), "n"),
    (op("div", A, op("real", add(N, Const(1)))), "a/(n + 1)"),
    (op("max", A, add(B, C)), "max(a, b + c)"),
    (op("exp", op("neg", A)), "exp(-a)"),
    (Size("B"), "|B|"),
    (at(V, AXIS), "v[i]"),
    (at(V, sub(mul(Const(2), AXIS), Const(1))), "v[2*i-1]"),
    (at(V, op("floordiv", add(AXIS, Const(1)), Const(2))), "v[(i+1) // 2]"),
    (op("and", op("le", Const(0), AXIS), op("lt", AXIS, Const(3))), "0 <= i < 3"),
])  # fmt: skip
def test_expression(expression: Expr, expected: str) -> None:
    assert expression_text(expression, NAMES) == expected


def test_bound_indices_are_named_apart_from_what_is_in_scope() -> None:
    i, inner, again = index("i", 3), index("i", 3), index("i", 3)
    value = add(total(inner, of=mul(at(V, i), at(V, inner))), total(again, of=at(V, again)))
    assert equation_text(whole("y", (i,), value), whole("y", (i,), value).equations[0]) == (
        "y[i] = sum[i'] v[i]*v[i'] + sum[i'] v[i']"
    )


def test_one_letter_for_one_range() -> None:
    naming = Naming()
    small, large, other = index("i", 3), index("i", 5), index("i", 3)
    names = naming.extend({}, (small, large, other))
    assert [names[index] for index in (small, large, other)] == ["i", "i2", "i'"]
    assert {name: size.value for name, size in naming.ranges.items()} == {"I": 3, "I2": 5}  # type: ignore[attr-defined]


def test_a_letter_is_no_keyword_and_no_scalar() -> None:
    naming = Naming(["p"])
    names = naming.extend({}, (index("p", 3), index("in", 3), index("c1", 3), index("c1", 4)))
    assert list(names.values()) == ["p2", "in2", "c1", "c1_2"]


def test_what_a_long_equation_has_several_times_gets_a_name() -> None:
    value: Expr = at(V, AXIS)
    for _ in range(9):
        value = op("sin", mul(add(value, A), add(value, B)))
    written = equation_text(*_only(whole("y", (AXIS,), value)))
    assert written.startswith("y[i] = sin((e8 + a)*(e8 + b)) where e1 = sin((v[i] + a)*(v[i] + b)), e2 = sin(")
    assert len(written) < 400


def test_the_names_of_parts_are_none_of_tensors() -> None:
    e1 = given("e1", 3)
    value: Expr = at(e1, J)
    for _ in range(9):
        value = op("sin", mul(add(value, A), add(value, B)))
    written = equation_text(*_only(whole("y", (), total(J, of=value))))
    assert written.startswith("y = sum[j] sin((e9 + a)*(e9 + b)) where e2 = sin((e1[j] + a)*(e1[j] + b)), e3 = sin(")


def _only(tensor: Tensor) -> tuple[Tensor, Equation]:
    return tensor, tensor.equations[0]


def test_primes_of_a_hint_do_not_count() -> None:
    first, second = index("t'", 3), index("t", 3)
    naming = Naming()
    assert list(naming.extend({}, (first, second)).values()) == ["t", "t'"]


def test_text_of_a_graph() -> None:
    x = given("x", "B", 784, sets=("B", "P"))
    z = given("z", "B", type="int", bound=Const(10), bound_set="Y", sets=("B",))
    mask = given("mask", "B", type="bool", sets=("B",))
    w = given("fc.w", 10, 784, kind="parameter", sets=("Y", "P"))
    w = replace(w, initialiser=Initialiser("normal", (0.0, 0.5), Const(784), Const(10)))
    odd = given("odd", 5, kind="parameter", sets=("Y",), initialiser=Initialiser("zeros"))
    beta = given("beta", kind="hyper", default=1.5)
    b, y, p = index("b", "B"), index("y", 10), index("p", 784)
    o = whole("o", (b, y), total(p, of=mul(at(w, y, p), at(x, b, p))))
    b, y = index("b", "B"), index("y", 10)
    best = whole("best", (b,), Reduce("argmax", (y,), at(o, b, y)))
    b, y = index("b", "B"), index("y", 10)
    loss = whole("loss", (), total(b, of=when(at(mask, b), mul(at(o, b, at(z, b)), at(beta)))))
    d_w = whole("d_w", (index("y", 10), index("p", 784)), Const(0.0))
    made = graph(x, z, mask, w, odd, beta, o, best, loss, d_w, loss="loss", outputs=["best"], sizes=["B"])
    made = replace(
        made,
        gradients=(Gradient("fc.w", "d_w"),),
        requirements=(Requirement(sub(Size("B"), Const(1)), "B must not be empty"),),
        objectives=(Objective("loss", "loss", ("fc.w",)),),
    )
    assert (
        text(made)
        == """\
graph G
index B, P = 784, Y = 10

input x[B,P]
input z[B] in Y
input mask[B] : bool
param fc.w[Y,P] ~ normal(0, 0.5)  # fan_in=784, fan_out=10
param odd[5] ~ zeros
hyper beta = 1.5

require |B| - 1 >= 0  # B must not be empty

o[b,y] = sum[p] fc.w[y,p]*x[b,p]
best[b] = argmax[y] o[b,y]  # int
loss = sum[b] [mask[b]]*o[b,z[b]]*beta
d_w[y,p] = 0

output best
gradient fc.w = d_w
minimize loss over fc.w
"""
    )


def test_parts() -> None:
    i, j = index("i", "N"), index("j", "M")
    y = parts("y", [add(Size("N"), Size("M"))], ([i], [i], Const(1.0)), ([j], [add(Size("N"), j)], Const(2.0)))
    made = graph(given("n", "N"), given("m", "M"), y, outputs=["y"], sizes=["N", "M"])
    assert "y[i] = 1\ny[|N|+j] = 2\n" in text(made)


def test_the_text_does_not_depend_on_ids() -> None:
    def made() -> str:
        i, j = index("i", 3), index("i", 3)
        return text(graph(V, whole("y", (i,), total(j, of=mul(at(V, i), at(V, j)))), outputs=["y"]))

    assert made() == made()
