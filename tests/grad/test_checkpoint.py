"""Recurrences in segments: gradients are what they were, and what is stored grows with the root of the steps."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import recurrences
from building import Model

from dlc.compiler import pipeline
from dlc.compiler.grad import checkpoint
from dlc.compiler.ir.expr import Expr, Op, Size, walk
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import check

UNSTEADY = ("all-earlier", "products", "strided")  # these read all that came before, or ever further back
STEADY = [model for model in recurrences.models() if model.name not in UNSTEADY]


@cache
def derivative(name: str) -> tuple[Graph, Model]:
    model = next(model for model in recurrences.models() if model.name == name)
    return pipeline.entries(model.graph, wrt="*")["value_and_grad"], model


@pytest.mark.parametrize(
    ("name", "length"),
    [(model.name, length) for model in STEADY for length in ((None, 1, 3, 50) if model.name == "rnn" else (None, 3))],
)
def test_gradients_stay_what_they_are(name: str, length: int | None) -> None:
    """With as many steps in a segment as segments, one, a number that does not divide those there are, and too many."""
    made, model = derivative(name)
    cut = checkpoint.run(made, length)
    check(cut, "checkpoint")
    wanted = evaluate(made, model.inputs, model.sizes, made.roots)
    found = evaluate(cut, model.inputs, model.sizes, made.roots)
    for root in made.roots:
        scale = np.max(np.abs(wanted[root]), initial=0.0)
        np.testing.assert_allclose(found[root], wanted[root], rtol=1e-12, atol=1e-12 * scale, err_msg=root)


@pytest.mark.parametrize("name", UNSTEADY)
def test_what_looks_back_ever_further_stays(name: str) -> None:
    made, _ = derivative(name)
    assert checkpoint.run(made) is made
    assert checkpoint.recurrences(made).whole


@pytest.mark.parametrize("name", ["rnn-batch", "lstm", "two-directions"])
def test_nothing_has_an_axis_over_all_steps(name: str) -> None:
    """But the gradients of inputs that have one."""
    _, model = derivative(name)
    parameters = [one.id for one in model.graph.of_kind("parameter")]
    entry = pipeline.entries(model.graph, wrt=parameters)["value_and_grad"]
    cut = checkpoint.run(entry)
    for tensor in cut.of_kind("computed"):
        long = [size for size in tensor.sizes if _grows_with_all(size)]
        assert not long or tensor.id in cut.roots, tensor.id


def _grows_with_all(size: Expr) -> bool:
    roots = any(isinstance(node, Op) and node.name == "isqrt" for node in walk(size))
    return any(node is Size("T") for node in walk(size)) and not roots
