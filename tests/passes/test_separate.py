"""Extremes over windows that overlap are found along rows, and then along columns."""

from __future__ import annotations

import numpy as np
import pytest
from building import at, given, graph, index, mul

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir import verify
from dlc.compiler.ir.expr import Const, Expr, Reduce, Select, op
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.passes import separate
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse

X = given("x", "N", 14, 17)
N, P, Q = index("n", "N"), index("p", 5), index("q", 6)


def windows(step: int, *conditions: Expr, reduction: str = "max") -> Tensor:
    u, v = index("u", 9 // step + 1), index("v", 11 // step + 1)
    places = (op("add", mul(Const(step), a) if step > 1 else a, b) for a, b in ((u, P), (v, Q)))
    element = at(X, N, *places)
    limit = Const(-np.inf if reduction == "max" else np.inf)
    value = Select(op("and", *conditions), element, limit) if conditions else element
    return whole("y", (N, u, v), Reduce(reduction, (P, Q), value))


def separated(y: Tensor) -> list[str]:
    """The lines after the pass, which has been found to mean the same."""
    made = graph(X, y, outputs=["y"], sizes=["N"])
    after = separate.run(made)
    verify.check(after, "separate")
    x = np.random.default_rng(0).integers(-9, 9, (2, 14, 17)).astype(float)
    x[1, ::3, ::4] = np.nan
    wanted, found = (evaluate(one, {"x": x}, {"N": 2}) for one in (made, after))
    np.testing.assert_array_equal(found["y"], wanted["y"])
    return [line for tensor in after.of_kind("computed") for line in tensor_lines(tensor)]


@pytest.mark.parametrize("reduction", ["max", "min"])
def test_rows_come_first(reduction: str) -> None:
    assert separated(windows(1, reduction=reduction)) == [
        f"y.rows[n,i,v] = {reduction}[q] x[n,i,v+q]",
        f"y[n,u,v] = {reduction}[p] y.rows[n,u+p,v]",
    ]


def test_each_condition_stays_with_its_index() -> None:
    assert separated(windows(1, op("lt", P, Const(4)), op("le", Const(1), Q))) == [
        "y.rows[n,i,v] = max[q : 1 <= q] x[n,i,v+q]",
        "y[n,u,v] = max[p : p < 4] y.rows[n,u+p,v]",
    ]


def test_a_condition_that_keeps_a_row_in_range_goes_with_it() -> None:
    u, v = index("u", 10), index("v", 15)
    inside = Select(op("lt", v, Const(12)), at(X, N, op("add", u, P), op("add", v, Q)), Const(-np.inf))
    assert separated(whole("y", (N, u, v), Reduce("max", (P, Q), inside))) == [
        "y.rows[n,i,v] = max[q : v < 12] x[n,i,v+q]",
        "y[n,u,v] = max[p] y.rows[n,u+p,v]",
    ]


def test_a_condition_on_both_keeps_the_window() -> None:
    assert len(separated(windows(1, op("le", P, Q)))) == 1


def test_windows_with_little_in_common_stay() -> None:
    assert len(separated(windows(2))) == 1


def test_computed_elements_stay() -> None:
    u, v = index("u", 10), index("v", 12)
    body = op("exp", at(X, N, op("add", u, P), op("add", v, Q)))
    y = whole("y", (N, u, v), Reduce("max", (P, Q), body))
    assert len(separated(y)) == 1


POOLED = """use nn.pooling: MaxPool2d, MaxPool3d

layer Pooled(x[H,W], z[D,H,W]) -> y[U,V], t[D2,H2,W2]:
    y[U,V] = MaxPool2d(x[H,W]; P={}, stride={}, padding=1)
    t[D2,H2,W2] = MaxPool3d(z[D,H,W]; R=3, stride=1)
"""


def prepared(size: int, step: int = 1) -> Graph:
    source = Source("pooled.dl", POOLED.format(size, step))
    return pipeline.prepared(semantics.elaborate(parse(source), "Pooled", semantics.Loader(), {}))


def test_pools_of_the_library() -> None:
    assert [one for one in prepared(5).tensors if "rows" in one] == ["y.rows", "t.rows"]
    assert [one for one in prepared(4).tensors if "rows" in one] == ["t.rows"]


def test_windows_in_steps_are_worth_it_if_they_are_large() -> None:
    """There are as many rows more as a step is long."""
    assert "y.rows" in prepared(6, 2).tensors and "y.rows" not in prepared(5, 2).tensors
