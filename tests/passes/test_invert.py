"""Divisors that are the same along an index are inverted once, where the inverse is a number."""

from __future__ import annotations

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, sub, total

from dlc.compiler.ir.expr import Const, Expr, Reduce, Size, op, walk
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.passes import invert

X, S = given("x", "B", "D"), given("s", "B")
B, D = index("b", "B"), index("d", "D")


def divided(under: Expr, *others: Tensor) -> Graph:
    y = whole("y", (B, D), op("div", at(X, B, D), under))
    return graph(X, S, *others, y, outputs=["y"], sizes=["B", "D"])


def divisions(made: Graph, name: str) -> int:
    (equation,) = made.tensors[name].equations
    return sum(getattr(node, "name", "") == "div" and node.children[0] != Const(1.0) for node in walk(equation.value))


ROOT = op("sqrt", at(S, B))
SAFE = {
    "a root": ROOT,
    "a size": op("real", Size("D")),
    "a constant": Const(3.0),
    "squares and a constant": add(mul(at(S, B), at(S, B)), Const(1e-5)),
    "at least a constant": op("max", ROOT, Const(1e-12)),
}
UNSAFE = {
    "any number": at(S, B),
    "a tiny constant": Const(1e-39),
    "a square": mul(at(S, B), at(S, B)),
    "a sum with any number": add(at(S, B), Const(1.0)),
    "the product of two roots": mul(ROOT, op("sqrt", add(at(S, B), Const(1.0)))),
}


@pytest.mark.parametrize("name", SAFE)
def test_inverted(name: str) -> None:
    made = divided(SAFE[name])
    found = invert.run(made)
    assert divisions(made, "y") == 1 and divisions(found, "y") == 0
    arrays = {"x": np.random.default_rng(0).normal(size=(3, 5)), "s": np.array([2.0, 0.0, np.inf])}
    with np.errstate(all="ignore"):
        expected, result = evaluate(made, arrays)["y"], evaluate(found, arrays)["y"]
    np.testing.assert_allclose(result, expected, 1e-15)


@pytest.mark.parametrize("name", UNSAFE)
def test_not_inverted(name: str) -> None:
    made = divided(UNSAFE[name])
    assert invert.run(made).tensors["y"] == made.tensors["y"]


def softmax(taken: Expr | None = None) -> Graph:
    b, d, c, e, i, j = (index(hint, size) for hint, size in zip("bdceij", "BDBDBD", strict=True))
    bound = op("max", op("min", at(X, b, d), Const(1e38)), Const(-1e38))
    most = whole("most", (b,), Reduce("max", (d,), bound))
    weight = op("exp", sub(at(X, c, e), op("stop", at(most, c) if taken is None else taken)))
    all_ = whole("all", (c,), total(e, of=weight))
    share = whole("y", (i, j), op("div", op("exp", sub(at(X, i, j), op("stop", at(most, i)))), at(all_, i)))
    return graph(X, most, all_, share, outputs=["y"], sizes=["B", "D"])


def test_the_sum_of_a_softmax_is_no_small_number() -> None:
    assert divisions(invert.run(softmax()), "y") == 0
    assert divisions(invert.run(softmax(Const(3.0))), "y") == 1


def test_a_mean_stays_a_quotient() -> None:
    """What takes time is its sum, and equal numbers have themselves for a mean."""
    sums = whole("all", (B,), total(D, of=at(X, B, D)))
    b = index("b", "B")
    mean = whole("y", (b,), op("div", at(sums, b), op("real", Size("D"))))
    assert divisions(invert.run(graph(X, sums, mean, outputs=["y"], sizes=["B", "D"])), "y") == 1


def test_an_inverse_is_shared() -> None:
    b, d = index("b", "B"), index("d", "D")
    y = whole("y", (B, D), op("div", at(X, B, D), ROOT))
    z = whole("z", (b, d), op("div", op("sin", at(X, b, d)), op("sqrt", at(S, b))))
    found = invert.run(graph(X, S, y, z, outputs=["y", "z"], sizes=["B", "D"]))
    assert [name for name in found.tensors if name.endswith("inverse")] == ["y.inverse"]


def test_quotients_of_quotients() -> None:
    """What is divided has an inverse in it already."""
    inner = op("div", op("sin", at(X, B, D)), ROOT)
    y = whole("y", (B, D), op("div", add(inner, at(X, B, D)), op("sqrt", add(at(S, B), Const(1.0)))))
    made = graph(X, S, y, outputs=["y"], sizes=["B", "D"])
    found = invert.run(made)
    assert divisions(found, "y") == 0
    arrays = {"x": np.random.default_rng(0).normal(size=(3, 5)), "s": np.array([2.0, 0.5, 7.0])}
    np.testing.assert_allclose(evaluate(found, arrays)["y"], evaluate(made, arrays)["y"], 1e-14)
