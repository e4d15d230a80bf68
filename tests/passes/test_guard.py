"""Draws under the conditions on which something comes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc.compiler import pipeline
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.passes import guard
from tests.semantics.spec_texts import graph_of

HEAD = "layer F(x[I], a[I];; p = 0.5, q = 1.5) -> y[I]:\n    u[i] ~ uniform(0, 1)\n"


def guarded(body: str) -> tuple[Graph, Graph]:
    graph = graph_of(HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
    return graph, guard.run(graph)


def line_of(graph: Graph, name: str) -> str:
    return tensor_lines(graph.tensors[name])[0].replace(f"(#seed, #step, {number_of(graph, name)}, i)", "()")


def number_of(graph: Graph, name: str) -> str:
    written = tensor_lines(graph.tensors[name])[0]
    return written.partition("#step, ")[2].partition(",")[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y[i] = x[i]*u[i] if train else x[i]", "u[i] = [#train]*random_uniform()"),
        ("y[i] = x[i] if train else x[i]*u[i]", "u[i] = [not #train]*random_uniform()"),
        ("y[i] = [train]*x[i]*u[i]", "u[i] = [#train]*random_uniform()"),
        ("y[i] = [u[i] > p and train]*x[i]", "u[i] = [#train]*random_uniform()"),
        ("y[i] = x[i]*u[i] if train and p < q else x[i]", "u[i] = [#train and p < q]*random_uniform()"),
        ("k[i] = x[i]*u[i]\ny[i] = k[i] if train else x[i]", "u[i] = [#train]*random_uniform()"),
        # read somewhere in any case, or under a condition of its own
        ("y[i] = x[i]*u[i] if train else u[i]", "u[i] = random_uniform()"),
        ("k[i] = u[i]\ny[i] = k[i] + (u[i] if train else x[i])", "u[i] = random_uniform()"),
        ("y[i] = u[i] if x[i] > 0 else a[i]", "u[i] = random_uniform()"),
        ("y[i] = [i > 0]*u[i]", "u[i] = random_uniform()"),
        # what holds for all readers together
        ("k[i] = [train and p < q]*u[i]\ny[i] = k[i] + (u[i] if train else x[i])", "u[i] = [#train]*random_uniform()"),
        ("k[i] = [train]*u[i]\ny[i] = k[i] + (x[i] if train else u[i])", "u[i] = random_uniform()"),
    ],
)
def test_conditions(body: str, expected: str) -> None:
    assert line_of(guarded(body)[1], "u") == expected


def test_in_a_sum() -> None:
    body = "s = sum[i] x[i]*normal_of_three\nnormal_of_three ~ normal(0, 1)\ny[i] = s + u[i] if train else x[i]"
    made = guarded(body)[1]
    assert tensor_lines(made.tensors["normal_of_three"])[0].startswith("normal_of_three = [#train]*random_normal(")


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        "y[i] = x[i]*u[i] if train else x[i]",
        "s = sum[i] x[i]*u[i]\ny[i] = s if train and p < q else x[i]",
        "h[0] = 0\nh[j+1] = h[j] + u[j]*x[j]\nindex J = |I|\ny[i] = h[i+1] if train else a[i]",
    ],
)
def test_the_meaning_stays(body: str, train: bool) -> None:
    random = np.random.default_rng(0)
    given: dict[str, Any] = {"x": random.normal(size=4), "a": random.normal(size=4), "#train": np.array(train)}
    graph, _ = guarded(body)
    wanted = evaluate(graph, given)["y"]
    for made in (guard.run(graph), pipeline.entries(graph)["forward"]):
        np.testing.assert_allclose(evaluate(made, given, wanted=["y"])["y"], wanted)
