"""The place of an extreme is the first at which it is read."""

from __future__ import annotations

import numpy as np
import pytest
from building import at, given, graph, index, mul

from dlc.compiler.ir import loops_reference, verify
from dlc.compiler.ir.expr import Const, Expr, Index, Reduce, Select, op
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.lower import lower
from dlc.compiler.passes import cse, first

A, B, D = index("a", "A"), index("b", "B"), index("d", "D")
X = given("x", "A", "B", "D")
ROWS = {"rows": ((A, B), (D,)), "columns": ((A, D), (B,)), "both": ((B,), (A, D))}


def places(reduction: str, axes: tuple[Index, ...], reduced: tuple[Index, ...], body: Expr | None = None) -> Graph:
    z = whole("z", axes, Reduce(reduction, reduced, body or at(X, A, B, D)))
    return graph(X, z, outputs=["z"], sizes=["A", "B", "D"])


def same(made: Graph, x: np.ndarray) -> Graph:
    """The graph after the pass, which has been found to mean the same, as a graph and as loops."""
    after = first.run(made)
    verify.check(after, "first")
    sizes = dict(zip("ABD", x.shape, strict=True))
    wanted = evaluate(made, {"x": x}, sizes)["z"]
    assert np.array_equal(evaluate(after, {"x": x}, sizes)["z"], wanted)
    assert np.array_equal(loops_reference.run(lower({"forward": after}), "forward", {"x": x}, sizes, 2)["z"], wanted)
    return after


@pytest.mark.parametrize("form", ROWS)
@pytest.mark.parametrize("reduction", ["argmax", "argmin"])
def test_ties_infinities_and_what_is_no_number(reduction: str, form: str) -> None:
    draw = np.random.default_rng(3)
    for odd in (0.0, np.nan, np.inf, -np.inf):
        x = draw.integers(-2, 3, (4, 9, 11)).astype(float)
        x[draw.random(x.shape) < 0.2] = odd
        x[1, 2], x[:, 3, :], x[2, :, 4] = -np.inf, np.inf, np.nan
        assert "z.best" in same(places(reduction, *ROWS[form]), x).tensors


@pytest.mark.parametrize("form", ROWS)
def test_nothing_has_the_place_0(form: str) -> None:
    for shape in ((2, 3, 0), (2, 0, 3), (1, 1, 1)):
        same(places("argmax", *ROWS[form]), np.zeros(shape))


def test_an_extreme_that_is_there_is_read() -> None:
    best = whole("m", (A, B), Reduce("max", (D,), at(X, A, B, D)))
    z = whole("z", (A, B), Reduce("argmax", (D,), at(X, A, B, D)))
    made = cse.run(first.run(graph(X, best, z, outputs=["m", "z"], sizes=["A", "B", "D"])))
    assert set(made.tensors) == {"x", "m", "z"}


def test_what_is_computed_or_short_or_under_a_condition_stays() -> None:
    few = index("d", 4)
    x = given("x", "A", "B", 4)
    short = graph(x, whole("z", (A, B), Reduce("argmax", (few,), at(x, A, B, few))), outputs=["z"], sizes=["A", "B"])
    assert "z.best" not in first.run(short).tensors
    for body in (mul(at(X, A, B, D), at(X, B, A, D)), op("exp", at(X, A, B, D))):
        assert "z.best" not in first.run(places("argmax", (A, B), (D,), body)).tensors
    masked = Select(op("lt", D, A), at(X, A, B, D), Const(-np.inf))
    assert "z.best" not in first.run(places("argmax", (A, B), (D,), masked)).tensors


def test_signs_and_bounds_round_nothing() -> None:
    x = np.random.default_rng(1).normal(size=(3, 4, 9))
    x[1, 1, 2:] = np.nan
    for body in (op("abs", at(X, A, B, D)), op("max", op("neg", at(X, A, B, D)), Const(0.0))):
        assert "z.best" in same(places("argmax", (A, B), (D,), body), x).tensors
