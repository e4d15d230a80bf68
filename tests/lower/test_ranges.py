"""Bounds of loops that are data: what is written about them holds for every integer."""

from __future__ import annotations

import numpy as np
import pytest
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.lower import lower

SUMS = """
layer Sums(x[B,T,S], v[B,S,D], n[B] : int) -> y[B,T,D], e[B,T,S], z[B]:
    e[b,t,s] = exp(x[b,t,s]) if {cond} else 2
    a[b,t,s] = [{cond}]*x[b,t,s]^2
    y[b,t,d] = a[b,t,s]*v[b,s,d]
    z[b] = sum[s : {cond}] v[b,s,0]^2
"""
LENGTHS = np.array([2**63 - 1, -(2**63), -1, 0, 3, 100])
CONDITIONS = ["s < n[b]", "s <= n[b]", "n[b] < s", "n[b] <= s", "s == n[b]", "s + 1 < n[b]", "n[b] < s + 1"]


@pytest.mark.parametrize("cond", [*CONDITIONS, "2*s < n[b]", "n[b] <= 2*s", "s < 2*n[b]"])
def test_data_may_be_any_integer(cond: str) -> None:
    graph = pipeline.entries(graph_of(SUMS.format(cond=cond)))["forward"]
    draw, sizes = np.random.default_rng(3).normal, {"B": len(LENGTHS), "T": 33, "S": 20, "D": 3}
    arrays = {"x": draw(size=(6, 33, 20)), "v": draw(size=(6, 20, 3)), "n": LENGTHS}
    with np.errstate(over="ignore"):
        wanted = evaluate(graph, arrays, sizes)
        found = loops_reference.run(lower({"forward": graph}), "forward", arrays, sizes, 2)
    for root in graph.roots:
        np.testing.assert_allclose(found[root], wanted[root], 1e-12, 1e-12, err_msg=root)
