"""Random tensors: what is drawn anew and what is not, evaluated by the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats

from dlc.compiler import pipeline
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.reference import bind_sizes, evaluate, size_value
from tests.semantics.spec_texts import graph_of

NOISE = """
layer Noise(x[I]) -> y[I]:
    u[i] ~ uniform(0, 1)
    y[i] = x[i] + u[i]

layer Scaled(x[I]; s[I] = 1) -> y[I]:
    e[i] ~ normal(0, s[i])
    y[i] = x[i] + e[i]

layer Inner(x[I]) -> y[I]:
    c[i] = 0
    y[i] = Noise(c[I])[i] + x[i]
"""


def values(text: str, /, *modes: int, train: bool = False, **inputs: Any) -> Any:
    """The first output of `F`, as the graph of semantics says it and as the finished one does."""
    graph = graph_of(NOISE + text, "F")
    seed, step = modes or (0, 0)
    found = [evaluated(made, seed, step, train, inputs) for made in (graph, pipeline.entries(graph)["forward"])]
    np.testing.assert_allclose(*found, rtol=1e-12)
    return found[0]


def evaluated(graph: Graph, seed: int, step: int, train: bool, inputs: Any) -> np.ndarray:
    modes = {"#seed": np.array(seed), "#step": np.array(step), "#train": np.array(train)}
    sizes = bind_sizes(graph, inputs, {})
    ones = {one.id: np.ones([size_value(size, sizes) for size in one.sizes]) for one in graph.of_kind("parameter")}
    given = inputs | ones | {mode.id: modes[mode.id] for mode in graph.of_kind("mode")}
    return evaluate(graph, given)[graph.outputs[0].tensor]


def all_differ(drawn: np.ndarray) -> bool:
    return len(np.unique(drawn)) == drawn.size


BODIES = {
    "a tensor": ("layer F(x[B,I]) -> y[B,I]:\n    y[b,i] ~ uniform(0, 1)", (3, 4)),
    "whole axes": ("layer F(x[B,I]) -> y[B,I]:\n    y[B,I] ~ uniform(0, 1)", (3, 4)),
    "a layer mapped over an index variable": ("layer F(x[B,I]) -> y[B,I]:\n    y[b,I] = Noise(x[b,I])", (3, 4)),
    "a layer mapped over a whole axis": ("layer F(x[B,I]) -> y[B,I]:\n    y[B,I] = Noise(x[B,I])", (3, 4)),
    "a layer in a layer that is mapped": ("layer F(x[B,I]) -> y[B,I]:\n    y[b,I] = Inner(x[b,I])", (3, 4)),
    "an instance mapped over both": (
        "layer F(x[B,T,I]) -> y[B,T,I]:\n    n = Scaled()\n    y[b,t,I] = n(x[b,t,I])",
        (2, 3, 4),
    ),
    "an array of instances": (
        "layer F(x[L,I]) -> y[L,I]:\n    n[L] = Scaled()\n    y[l,I] = n[l](x[l,I])",
        (3, 4),
    ),
    "an array of instances, of one vector": (
        "layer F(x[L,I], v[I] = 0) -> y[L,I]:\n    n[L] = Scaled()\n    y[l,I] = n[l](v[I])",
        (3, 4),
    ),
    "element-wise": (
        "layer E(x[..]) -> y[..]:\n    u[..] ~ uniform(0, 1)\n    y[..] = x[..] + u[..]\n"
        "layer F(x[B,I]) -> y[B,I]:\n    y[b,i] = E(x[b,i])",
        (3, 4),
    ),
    "parameters of an array": (
        "layer F(x[L,I], v[I] = 0) -> y[L,I]:\n    n[L] = Scaled()\n    y[l,I] = Scaled(v[I]; n[l].s)",
        (3, 4),
    ),
    "through a function": (
        "fn noisy(v) = E(v)\nlayer E(x) -> y:\n    u ~ uniform(0, 1)\n    y = x + u\n"
        "layer F(x[B,I]) -> y[B,I]:\n    y[b,i] = noisy(x[b,i])",
        (3, 4),
    ),
    "one call after another": (
        "layer F(x[B,I]) -> y[B,I,K]:\n    index K = 2\n    n = Scaled()\n    p[b,I] = n(x[b,I])\n"
        "    q[b,I] = n(x[b,I])\n    y[b,i,k] = p[b,i] if k == 0 else q[b,i]",
        (3, 4),
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_element_is_drawn_anew(name: str) -> None:
    text, shape = BODIES[name]
    drawn = values(text, x=np.zeros(shape))
    assert drawn.shape[: len(shape)] == shape
    assert all_differ(drawn)


def test_mapped_under_a_sum() -> None:
    drawn = values("layer F(x[B,K,I]) -> y[B,I]:\n    y[b,i] = sum[k] Noise(x[b,k,I])[i]", x=np.zeros((2, 30, 2)))
    assert np.all(np.abs(drawn - 15) < 6) and np.all(np.abs(drawn / 30 - np.round(drawn / 30, 1)) < 0.1)
    assert len(np.unique(drawn)) == 4


def test_what_is_not_mapped_is_drawn_once() -> None:
    """`b` is not among the arguments, so one vector of noise serves all rows."""
    text = "layer F(x[B,I], v[I] = 0) -> y[B,I]:\n    y[b,i] = x[b,i] + Noise(v[I])[i]"
    drawn = values(text, x=np.zeros((3, 4)))
    assert all_differ(drawn[0])
    assert np.all(drawn == drawn[0])


def test_a_guard_is_not_mapped_over() -> None:
    """The argument is read under `k == i` only, but neither is written in it: there is one vector of noise."""
    text = "layer F(x[I], v[I] = 0) -> y[I,K]:\n    index K = 3\n    y[i,k] = x[i] + [k <= i]*Noise(v[I])[i]"
    drawn = values(text, x=np.zeros(4))
    assert np.all((drawn == 0) | (drawn == drawn[:, :1]))
    assert all_differ(drawn[:, 0])


def test_calls_draw_for_themselves() -> None:
    text = "layer F(x[I]) -> y[I]:\n    n = Scaled()\n    y[I] = n(x[I]) - n(x[I])"
    assert np.all(values(text, x=np.zeros(5)) != 0)


def test_reading_twice_is_not_drawing_twice() -> None:
    assert np.all(values("layer F(x[I]) -> y[I]:\n    u[i] ~ normal(0, 1)\n    y[i] = u[i] - u[i]", x=np.zeros(5)) == 0)


def test_seed_and_step() -> None:
    text = "layer F(x[I]) -> y[I]:\n    y[i] ~ normal(0, 1)"
    runs = [values(text, seed, step, x=np.zeros(4)) for seed in (0, 1, -5) for step in (0, 1, 2**40)]
    assert all_differ(np.array(runs))
    np.testing.assert_array_equal(values(text, 1, 1, x=np.zeros(4)), runs[4])


def test_the_numbers_do_not_depend_on_the_rest_of_the_spec() -> None:
    """Neither on other random tensors, nor on the order of lines, nor on the names of index variables."""
    one = values("layer F(x[I]) -> y[I]:\n    u[i] ~ normal(0, 1)\n    y[i] = x[i] + u[i]", x=np.zeros(4))
    other = values(
        "layer F(x[J]) -> y[J]:\n    y[j] = x[j] + u[j] + 0*a\n    a ~ uniform(0, 1)\n    u[j] ~ normal(0, 1)",
        x=np.zeros(4),
    )
    np.testing.assert_array_equal(one, other)


COUNT = 20_000


def many(distribution: str, **inputs: Any) -> np.ndarray:
    text = f"layer F(x[N], a = 0, b = 1) -> y[N]:\n    index S = 6\n    y[n] ~ {distribution}"
    graph = graph_of(text, "F", sizes={"N": COUNT})
    given = {"x": np.zeros(COUNT)} | {name: np.array(value) for name, value in inputs.items()}
    return evaluated(graph, 1, 0, False, given)


@pytest.mark.parametrize(
    ("written", "inputs", "start", "end"),
    [
        ("uniform(0, 1)", {}, 0.0, 1.0),
        ("uniform(-2, 2)", {}, -2.0, 2.0),
        ("uniform(1, 4)", {}, 1.0, 4.0),
        ("uniform(a, b)", {"a": -0.5, "b": 3.0}, -0.5, 3.0),
        ("uniform(3, 1)", {}, 3.0, 1.0),
    ],
)
def test_uniform(written: str, inputs: dict[str, float], start: float, end: float) -> None:
    drawn = many(written, **inputs)
    assert scipy.stats.kstest((drawn - start) / (end - start), "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("written", "inputs", "mean", "deviation"),
    [
        ("normal(0, 1)", {}, 0.0, 1.0),
        ("normal(3, 0.1)", {}, 3.0, 0.1),
        ("normal(a, exp(b))", {"a": -1.0, "b": 2.0}, -1.0, np.exp(2.0)),
    ],
)
def test_normal(written: str, inputs: dict[str, float], mean: float, deviation: float) -> None:
    assert scipy.stats.kstest((many(written, **inputs) - mean) / deviation, "norm").pvalue > 0.01


def test_elements_of_a_set() -> None:
    drawn = many("randint(S)")
    assert drawn.dtype == np.int64
    assert scipy.stats.chisquare(np.bincount(drawn, minlength=6)).pvalue > 0.01


def test_the_end_is_never_reached() -> None:
    """Beside their distance from 0 the ends are so close that a + (b - a)*u rounds to b for half of the u."""
    start, end = 1.0, 1.0 + 2.0**-52
    drawn = many("uniform(a, b)", a=start, b=end)
    assert set(drawn) == {start}
    assert set(many("uniform(a, b)", a=end, b=start)) == {end}


def test_an_element_of_a_set_is_a_subscript() -> None:
    text = "layer F(x[B,I]) -> y[B], k[B] in I:\n    k[b] ~ randint(I)\n    y[b] = x[b,k[b]]"
    drawn = values(text, x=np.tile(np.arange(5.0), (7, 1)))
    assert set(drawn) <= set(range(5)) and len(set(drawn)) > 1


DROPOUT = """
layer F(x[..];; p = 0.25) -> y[..]:
    u[..] ~ uniform(0, 1)
    y[..] = x[..]*[u[..] >= p]/(1 - p) if train else x[..]
"""


def test_train() -> None:
    x = np.arange(1.0, 101)
    np.testing.assert_array_equal(values(DROPOUT, x=x), x)
    kept = values(DROPOUT, train=True, x=x) / x
    assert set(np.round(kept, 12)) == {0.0, np.round(4 / 3, 12)}


def test_train_decided_when_compiling() -> None:
    graph = graph_of(DROPOUT, "F", hypers={"train": False})
    assert not any(mode.id == "#train" for mode in graph.of_kind("mode"))
    np.testing.assert_array_equal(evaluated(graph, 0, 0, True, {"x": np.ones(3)}), np.ones(3))


def test_names_of_modes_are_free() -> None:
    """A spec may have tensors called train, seed and step of its own."""
    text = "layer F(x[I], seed, step) -> train[I]:\n    u[i] ~ uniform(0, 1)\n    train[i] = seed + step + 0*u[i]"
    assert set(values(text, x=np.zeros(3), seed=np.array(1.0), step=np.array(2.0))) == {3.0}
