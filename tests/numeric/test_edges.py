"""Where a layer's formula as it stands has 0·log 0, 0/0 or a kink: what the library's specs make of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numeric.harness import EXACT, Results, assert_close, graph_of, interpreted, library_text

NOTHING = np.zeros(3)


def layer(module: str, definition: str, **inputs: Any) -> Results:
    return interpreted(graph_of(library_text(module), definition), {k: np.asarray(v) for k, v in inputs.items()})


def test_what_has_no_probability_adds_nothing_to_an_entropy() -> None:
    found = layer("nn.divergences", "Entropy", p=[0.5, 0.0, 0.5], d_h=1.0)
    assert_close(found.outputs["h"], math.log(2), EXACT)
    slope = math.log(2) - 1
    assert_close(found.gradients["p"], [slope, 0, slope], EXACT)


def test_divergences_of_distributions_with_zeros() -> None:
    p, q = [0.5, 0.0, 0.5], [0.25, 0.75, 0.0]
    found = layer("nn.divergences", "KLDivergence", p=q, q=[0.5, 0.5, 0.0], d_d=1.0)
    assert_close(found.outputs["d"], 0.25 * math.log(0.5) + 0.75 * math.log(1.5), EXACT)
    assert_close(found.gradients["p"], [math.log(0.5) + 1, math.log(1.5) + 1, 0], EXACT)
    assert_close(found.gradients["q"], [-0.5, -1.5, 0], EXACT)
    assert layer("nn.divergences", "KLDivergence", p=p, q=q, d_d=1.0).outputs["d"] == math.inf
    assert layer("nn.divergences", "DistributionCrossEntropy", p=p, q=q, d_h=1.0).outputs["h"] == math.inf
    found = layer("nn.divergences", "JSDivergence", p=[1.0, 0.0, 0.0], q=[0.0, 1.0, 0.0], d_d=1.0)
    assert_close(found.outputs["d"], math.log(2), EXACT)  # as far apart as two can be
    assert np.all(np.isfinite(found.gradients["p"])) and np.all(np.isfinite(found.gradients["q"]))


def test_perplexity_of_one_who_knows_nothing_and_of_one_who_knows() -> None:
    z = np.array([0, 2])
    assert_close(layer("nn.divergences", "Perplexity", o=np.zeros((2, 5)), z=z, d_l=1.0).outputs["l"], 5.0, EXACT)
    certain = 1e4 * np.eye(5)[z]
    assert_close(layer("nn.divergences", "Perplexity", o=certain, z=z, d_l=1.0).outputs["l"], 1.0, EXACT)


@pytest.mark.parametrize("x", [[1.0, 2.0, 3.0], [1e4, -1e4, 0.0]])
def test_a_softmax_of_nothing_is_nothing(x: list[float]) -> None:
    found = layer("nn.activations", "MaskedSoftmax", x=x, mask=[False] * 3, d_y=[1.0, 2.0, 3.0])
    assert_close(found.outputs["y"], NOTHING, 0)
    assert_close(found.gradients["x"], NOTHING, 0)
    found = layer("nn.activations", "LengthSoftmax", x=x, n=0, d_y=[1.0, 2.0, 3.0])
    assert_close(found.outputs["y"], NOTHING, 0)
    assert_close(found.gradients["x"], NOTHING, 0)


def test_a_distance_of_nothing_has_no_slope() -> None:
    text = "use nn.radial: RadialDistances\n\nlayer Case(x[J], c[I,J]) -> y[I]:\n    y[I] = RadialDistances(x[J]; c)\n"
    x, c = np.array([1.0, 2.0]), np.array([[1.0, 2.0], [1.0, 0.0]])
    found = interpreted(graph_of(text), {"x": x, "c": c, "d_y": np.ones(2)})
    assert_close(found.outputs["y"], [0, 2], EXACT)
    assert_close(found.gradients["x"], [0, 1], EXACT)


def test_the_padding_word_keeps_its_row() -> None:
    text = "use nn.embedding: Embedding\n\nlayer Case(z[T] in V, w[V,D]) -> e[T,D]:\n    "
    graph = graph_of(f"{text}e[t,D] = Embedding(z[t]; w, padding=0)\n")
    w = np.arange(6.0).reshape(3, 2)
    found = interpreted(graph, {"z": np.array([0, 2, 2, 0]), "w": w, "d_e": np.ones((4, 2))})
    assert_close(found.outputs["e"], w[[0, 2, 2, 0]], 0)
    assert_close(found.gradients["w"], [[0, 0], [0, 0], [2, 2]], 0)


def test_an_absolute_value_of_zero_has_no_slope() -> None:
    found = layer("nn.penalties", "L1Penalty", w=[1.0, 0.0, -2.0], d_l=1.0)
    assert_close(found.gradients["w"], [0.01, 0, -0.01], EXACT)


def test_a_node_alone_hears_nothing_and_has_no_waves() -> None:
    edge = np.array([0])
    x, w, u, b = np.ones((2, 1)), np.full((1, 1), 2.0), np.full((1, 1), 3.0), np.zeros(1)
    given = {"x": x, "src": edge, "dst": edge, "w": w, "u": u, "b": b, "d_y": np.ones((2, 1))}
    for name in ("MessagePassing", "MeanMessagePassing"):
        assert_close(layer("nn.graphs", name, **given).outputs["y"], [[5.0], [3.0]], EXACT)
    found = layer("nn.graphs", "Laplacian", a=np.diag([2.0, 0.0]), d_l=np.ones((2, 2)))
    assert_close(found.outputs["l"], np.zeros((2, 2)), EXACT)
    assert np.all(np.isfinite(found.gradients["a"]))


def test_a_sequence_of_one_label_has_no_transitions() -> None:
    given = {"s": [[1.0, 2.0]], "z": [1], "w": np.ones((2, 2)), "d_l": 1.0}
    found = layer("nn.sequences", "CRFScore", **given)
    assert_close(found.outputs["l"], -2.0, EXACT)
    assert_close(found.gradients["w"], np.zeros((2, 2)), 0)


def test_equations_that_depend_on_each_other_have_no_solution_without_a_ridge() -> None:
    given = {"x": np.ones((3, 2)), "y": np.array([1.0, 2.0, 3.0]), "d_w": np.ones(2)}
    assert np.all(np.isnan(layer("nn.least_squares", "NormalEquations", **given).outputs["w"]))


def test_a_graph_without_edges() -> None:
    none, x = np.zeros(0, int), np.array([[1.0, 2.0], [3.0, 4.0]])
    w, u, b = np.full((1, 2), 2.0), np.full((1, 2), 3.0), np.ones(1)
    for name in ("MessagePassing", "MeanMessagePassing"):
        found = layer("nn.graphs", name, x=x, src=none, dst=none, w=w, u=u, b=b, d_y=np.ones((2, 1)))
        assert_close(found.outputs["y"], [[10.0], [22.0]], EXACT)
        assert_close(found.gradients["w"], np.zeros((1, 2)), 0)
        assert_close(found.gradients["x"], np.full((2, 2), 3.0), EXACT)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_a_sequence_without_steps_leaves_the_state_as_it_was(name: str) -> None:
    graph = graph_of(library_text("nn.recurrent"), name, () if name == "RNN" else (("D", 2),))
    state = np.array([1.0, -2.0])
    given = {tensor.id: np.zeros([2] * len(tensor.sizes)) for tensor in graph.of_kind("parameter")}
    given |= {"x": np.zeros((0, 2)), "h0": state, "d_y": np.zeros((0, 2)), "d_last": np.array([3.0, 4.0])}
    if name == "LSTM":
        given |= {"c0": 2 * state, "d_memory": np.array([5.0, 6.0])}
    found = interpreted(graph, given)
    assert found.outputs["y"].shape == found.gradients["x"].shape == (0, 2)
    assert_close(found.outputs["last"], state, 0)
    assert_close(found.gradients["h0"], [3.0, 4.0], 0)
    if name == "LSTM":
        assert_close(found.outputs["memory"], 2 * state, 0)
        assert_close(found.gradients["c0"], [5.0, 6.0], 0)


def test_the_first_of_equally_good_labellings_is_decoded() -> None:
    found = layer("nn.sequences", "Viterbi", s=np.zeros((3, 2)), w=np.zeros((2, 2)), d_score=1.0)
    assert_close(found.outputs["z"], [0, 0, 0], 0)
    assert_close(found.gradients["s"], [[1, 0], [1, 0], [1, 0]], 0)
    found = layer("nn.sequences", "Viterbi", s=np.zeros((2, 2)), w=[[0.0, 0.0], [1.0, 1.0]], d_score=1.0)
    assert_close(found.outputs["z"], [1, 0], 0)
    assert_close(found.outputs["score"], 1, 0)
