"""Bounds of loops that are data: what is written about them holds for every integer."""

from __future__ import annotations

import numpy as np
import pytest
from building import add, at, given, index, mul, when
from building import graph as graph_with
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.expr import Const, Expr, Select, op, reads, walk
from dlc.compiler.ir.graph import whole
from dlc.compiler.ir.loops import For, Store, statements
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.lower import lower, masks

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


EMPTY = """
layer Rows(x[B,T,C], n[B] : int, m[B] : int) -> y[B,C], z[B,C], w[T,C]:
    y[b,c] = sum[t : t < n[b]] x[b,t,c]^2
    z[b,c] = max[t : m[b] <= t and t < n[b]] x[b,t,c]
    w[t,c] = sum[t' : t' > t + 7 and t' < |T| - 2] x[0,t',c]
"""


@pytest.mark.parametrize("steps", [1, 5, 11, 16])
def test_a_range_may_end_before_it_begins(steps: int) -> None:
    graph = pipeline.entries(graph_of(EMPTY))["forward"]
    sizes = {"B": 5, "T": steps, "C": 20}
    ends = {"n": np.array([-5, 0, 3, 40, 9]), "m": np.array([0, 7, 9, 2, 5])}
    arrays = {"x": np.random.default_rng(3).normal(size=(5, steps, 20)), **ends}
    wanted = evaluate(graph, arrays, sizes)
    found = loops_reference.run(lower({"forward": graph}), "forward", arrays, sizes, 2)
    for root in graph.roots:
        np.testing.assert_allclose(found[root], wanted[root], 1e-12, 1e-12, err_msg=root)


def test_nested_choices_are_looked_at_a_few_times_each() -> None:
    x, i = given("x", "T"), index("i", "T")
    value: Expr = at(x, i)
    for level in range(24):
        below, above = (op(name, i, Const(level)) for name in ("lt", "le"))
        value = add(when(below, mul(value, value)), when(op("not", above), add(value, Const(1.0))))
    y = whole("y", (i,), value)
    masks.needed(graph_with(x, y, outputs=["y"], sizes=["T"]), lambda tensor, equation: False, {})


def test_how_long_a_range_of_data_is_does_not_overflow() -> None:
    graph = pipeline.entries(graph_of(SUMS.format(cond="2 <= s and s < n[b]")))["forward"]
    assert str(1 << 50) in str(list(lower({"forward": graph}).kernels.values()))


ALONE = """
layer Rows(x[I,J], c[J], e[T]) -> y[J], z[J], h[T,J]:
    y[j] = sum[i : j <= i] x[i,j]^2
    z[j] = max[i : i + 1 < j and c[j] > 0] x[i,j]
    h[t,j] = c[j] + sum[t' : t' < t and j < 2*t] h[t',j]*e[t']
"""


@pytest.mark.parametrize("width", [3, 9, 20])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_row_that_is_all_there_is_runs_between_its_bounds(shards: int, width: int) -> None:
    graph = pipeline.entries(graph_of(ALONE))["forward"]
    sizes, random = {"I": 11, "J": width, "T": 6}, np.random.default_rng(3)
    arrays = {"x": random.normal(size=(11, width)), "c": random.normal(size=width), "e": random.normal(size=6)}
    program = lower({"forward": graph})
    wanted = evaluate(graph, arrays, sizes)
    found = loops_reference.run(program, "forward", arrays, sizes, shards)
    for root in graph.roots:
        np.testing.assert_allclose(found[root], wanted[root], 1e-12, 1e-12, err_msg=root)
    stores = [one for k in program.kernels.values() for one in statements(k.body) if isinstance(one, Store)]
    sums = [one for one in stores if any(read.tensor == one.buffer for read in reads(one.value))]
    conditions = [node.cond for one in sums for node in walk(one.value) if isinstance(node, Select)]
    assert len(sums) >= 3 and all(reads(cond) for cond in conditions)  # what indices alone say became bounds


@pytest.mark.parametrize(("cond", "innermost"), [("on[n,t]", "t"), ("on[n,c]", "t"), ("(n - 2*t) mod 40 == 3", "c")])
def test_what_is_asked_before_a_sum_leaves_rows_whole_unless_it_leaves_few_elements(cond: str, innermost: str) -> None:
    text = f"layer Sums(x[N,C,T], on[N,S] : bool) -> y[N]:\n    y[n] = sum[c,t : {cond}] x[n,c,t]^2\n"
    sizes = (("C", 20), ("T", 20), ("S", 20))
    graph = pipeline.entries(graph_of(text, sizes=sizes))["forward"]
    (kernel,) = lower({"forward": graph}).kernels.values()
    assert [one.index.hint for one in statements(kernel.body) if isinstance(one, For)][-1] == innermost
