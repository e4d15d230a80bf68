"""States and updates: the next value of every state, interpreted, against NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from dlc.compiler import pipeline
from dlc.compiler.ir.reference import evaluate
from tests.semantics.spec_texts import codes_of, graph_of

X = np.random.default_rng(0).normal(size=(4, 3))

AVERAGE = """
layer Average(x[I]; w[I] ~ ones; rate = 0.5) -> y[I], old[I]:
    state m[I] = 2
    m[i] <- (1 - rate)*m[i] + rate*x[i]
    y[i] = w[i]*(x[i] - m[i])
    old[i] = m[i]
"""


def after(text: str, inputs: Mapping[str, Any], name: str | None = None) -> dict[str, np.ndarray]:
    """The next value of every state that is updated."""
    graph = graph_of(text, name)
    values = evaluate(graph, inputs, {}, [update.value for update in graph.updates])
    return {update.state: values[update.value] for update in graph.updates}


def test_a_state_is_read_as_at_the_start_of_the_step() -> None:
    graph = graph_of(AVERAGE)
    values = evaluate(graph, {"x": X[0], "w": np.ones(3), "m": X[1]})
    assert_allclose(values["y"], X[0] - X[1])
    assert_allclose(values["old"], X[1])
    assert_allclose(values[graph.updates[0].value], (X[0] + X[1]) / 2)


def test_the_order_of_lines_does_not_matter() -> None:
    text = """
    layer F(x[I]) -> y[I]:
        a[i] <- b[i] + x[i]
        y[i] = a[i]
        b[i] <- a[i]
        state a[I] = 1, b[I] = 5
    """
    found = after(text, {"x": X[0]})
    assert_allclose(found["a"], 5 + X[0])
    assert_allclose(found["b"], np.ones(3))


def test_only_training_updates() -> None:
    text = AVERAGE + "\nmodel M(x[I]) -> loss:\n    a = Average()\n    y[I] = a(x[I])\n    loss = sum[i] y[i]^2\n"
    entries = pipeline.entries(graph_of(text, "M"))
    assert [update.state for update in entries["value_and_grad"].updates] == ["a.m"]
    assert not entries["forward"].updates
    assert not any(name.endswith(".next") for name in entries["forward"].tensors)


def test_no_gradient_flows_into_a_state_or_its_update() -> None:
    text = """
    model M(x[I]) -> loss:
        param w[I] = 1
        state m[I] = 3
        m[i] <- w[i]*m[i]^2
        loss = sum[i] (w[i]*x[i] + m[i])^2
    """
    graph = pipeline.entries(graph_of(text))["value_and_grad"]
    assert [gradient.tensor for gradient in graph.gradients] == ["w"]
    values = evaluate(graph, {"x": X[0], "w": X[1]})
    assert_allclose(values[graph.gradients[0].adjoint], 2 * (X[0] * X[1] + 3) * X[0])


def test_instances_of_an_array_have_a_state_each() -> None:
    text = (
        AVERAGE
        + """
model M(x[L,I]) -> y[L,I], first[I]:
    index L = 4
    each[L] = Average(rate=0.25)
    y[l,I] = each[l](x[l,I])
    first[I] = each[0].m[I]
"""
    )
    graph = graph_of(text, "M")
    values = evaluate(graph, {"x": X, "each.w": np.ones((4, 3)), "each.m": -X})
    assert_allclose(values["y"], 2 * X)
    assert_allclose(values["first"], -X[0])
    assert_allclose(values[graph.updates[0].value], -X * 0.75 + X * 0.25)


def test_elements_that_no_update_concerns_stay() -> None:
    queue = """
    layer Queue(x[I]) -> y[I]:
        index Q = 7
        state q[Q,I] = 9
        q[2*k + 1, i] <- x[i]*k
        q[0, i] <- x[i]
        y[i] = sum[q] q[q,i]
        index K = 2
    """
    (found,) = after(queue, {"x": X[0]}).values()
    expected = np.full((7, 3), 9.0)
    expected[0], expected[1], expected[3] = X[0], 0, X[0]
    assert_allclose(found, expected)


def test_a_state_shifts() -> None:
    text = """
    layer Delay(x[I]) -> y[I]:
        index D = 4, S = |D| - 1
        state line[D,I] = 0
        line[0, i] <- x[i]
        line[s+1, i] <- line[s, i]
        y[i] = line[3, i]
    """
    start = np.arange(12.0).reshape(4, 3)
    (found,) = after(text, {"x": X[0], "line": start}).values()
    assert_allclose(found, np.concatenate([X[:1], start[:3]]))


def test_one_instance_of_an_array_is_used() -> None:
    text = (
        AVERAGE
        + """
model M(x[I]) -> y[I]:
    index L = 3
    each[L] = Average()
    y[I] = each[1](x[I])
"""
    )
    (found,) = after(text, {"x": X[0], "each.w": np.ones((3, 3))}, "M").values()
    assert_allclose(found, np.stack([np.full(3, 2.0), 1 + X[0] / 2, np.full(3, 2.0)]))


def test_two_outputs_of_one_call_are_one_update() -> None:
    text = (
        AVERAGE
        + """
model M(x[I]) -> y[I], old[I]:
    a = Average()
    y[I] = a(x[I])
    old[I] = a(x[I]).old
"""
    )
    (found,) = after(text, {"x": X[0], "a.w": np.ones(3)}, "M").values()
    assert_allclose(found, 1 + X[0] / 2)


def test_a_direct_call_has_a_state_of_its_own() -> None:
    text = (
        AVERAGE
        + """
model M(x[I], w[I]) -> y[I], z[I]:
    y[I] = Average(x[I]; w)
    z[I] = Average(2*x[I]; w)
"""
    )
    found = after(text, {"x": X[0], "w": X[1]}, "M")
    assert_allclose(found["Average.m"], 1 + X[0] / 2)
    assert_allclose(found["Average.m.2"], 1 + X[0])


def test_nested_instances() -> None:
    text = (
        AVERAGE
        + """
layer Block(x[I]) -> y[I]:
    inner = Average()
    y[I] = inner(x[I])

model M(x[L,I]) -> y[L,I]:
    index L = 4
    blocks[L] = Block()
    y[l,I] = blocks[l](x[l,I])
"""
    )
    (found,) = after(text, {"x": X, "blocks.inner.w": np.ones((4, 3))}, "M").values()
    assert_allclose(found, 1 + X / 2)


def test_integers_and_truth_values() -> None:
    text = """
    layer Count(x[I], z[I] in V) -> y[I]:
        index V = 3
        state n : int = 4, seen[V] : bool = false, last[I] in V = 1
        n <- n + 1
        seen[v] <- seen[v] or (any[i] (z[i] == v))
        last[i] <- z[i] if z[i] > 0 else last[i]
        y[i] = x[i]*n
    """
    found = after(text, {"x": X[0], "z": np.array([0, 2, 0])})
    assert found["n"] == 5
    assert_array_equal(found["seen"], [True, False, True])
    assert_array_equal(found["last"], [1, 2, 1])


def test_a_layer_within_a_mapped_one_is_mapped() -> None:
    text = (
        AVERAGE
        + """
layer Block(x[I]) -> y[I]:
    inner = Average()
    y[I] = inner(x[I])

model M(x[B,I]) -> y[B,I]:
    block = Block()
    y[b,I] = block(x[b,I])
"""
    )
    assert codes_of(text, "M") == ["DL152"]


def test_which_instance_is_updated_must_not_depend_on_data() -> None:
    text = (
        AVERAGE
        + """
model M(x[I], z in L) -> y[I]:
    index L = 3
    each[L] = Average()
    y[I] = each[z](x[I])
"""
    )
    assert codes_of(text, "M") == ["DL155"]


def test_a_stack_of_layers_with_states() -> None:
    text = (
        AVERAGE
        + """
model M(x[I]) -> y[I]:
    index L = 4, K = |L| + 1
    layers[L] = Average()
    h[0,I] = x[I]
    h[l+1,I] = layers[l](h[l,I])
    y[I] = h[4,I]
"""
    )
    (found,) = after(text, {"x": X[0], "layers.w": np.ones((4, 3))}, "M").values()
    assert_allclose(found, np.stack([(2 + X[0] - 2 * layer) / 2 for layer in range(4)]))


def test_a_state_for_each_step_of_a_recurrence_there_is_not() -> None:
    text = (
        AVERAGE
        + """
model M(x[T,I]) -> y[I]:
    index T = 4
    cell = Average()
    h[0,I] = x[0,I]
    h[t+1,I] = cell(h[t,I])
    y[I] = h[4,I]
"""
    )
    assert codes_of(text, "M") == ["DL152"]
