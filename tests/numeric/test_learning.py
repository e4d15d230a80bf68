"""Models of the standard library learn what they are for, by plain gradient descent on the interpreter's gradients."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numeric.harness import Array, assert_close, graph_of, interpreted, library_text


def descended(
    module: str, definition: str, inputs: dict[str, Array], params: dict[str, Array], rate: float, steps: int
) -> tuple[dict[str, Array], list[float]]:
    """The parameters after some steps, and the losses on the way."""
    graph = graph_of(library_text(module), definition)
    losses = []
    for _ in range(steps):
        found = interpreted(graph, {**inputs, **params})
        losses.append(float(found.outputs["loss"]))
        params = {name: value - rate * found.gradients[name] for name, value in params.items()}
    return params, losses


def test_linear_regression_finds_the_line() -> None:
    """Noiseless samples of 2 x1 - 3.4 x2 + 4.2: the exact minimum is reached, and the loss never rises."""
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 2))
    start = {"w": np.zeros(2), "bias": np.zeros(())}
    inputs = {"x": x, "target": x @ [2.0, -3.4] + 4.2}
    params, losses = descended("models.linear_regression", "LinearRegression", inputs, start, 0.3, 120)
    assert_close(params["w"], [2.0, -3.4], 1e-9)
    assert_close(params["bias"], 4.2, 1e-9)
    assert all(later <= earlier for earlier, later in pairwise(losses))


def test_a_few_steps_of_newton_s_method_reach_the_minimum() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3))
    target = np.sign(x @ [1.0, -2.0, 0.5] + random.normal(size=60))
    graph = graph_of(library_text("models.logistic_regression"), "LogisticRegression")
    w = np.zeros(3)
    lengths = []
    for _ in range(9):
        found = interpreted(graph, {"x": x, "target": target, "w": w}).outputs
        w = w - found["newton"]
        lengths.append(np.linalg.norm(found["gradient"]))
    assert lengths[-1] < 1e-14 < 1e-2 < lengths[0]


def test_exclusive_or_is_learned() -> None:
    """No line parts the four points: the hidden layer has to."""
    random = np.random.default_rng(0)
    x = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    target = np.array([0.0, 1, 1, 0])
    start = {
        "fc1.w": random.normal(size=(8, 2)),
        "fc1.b": np.zeros(8),
        "fc2.w": random.normal(size=(1, 8)),
        "fc2.b": np.zeros(1),
    }
    inputs = {"x": x, "target": target}
    params, losses = descended("models.xor", "Xor", inputs, start, 1.0, 150)
    score = interpreted(graph_of(library_text("models.xor"), "Xor"), {**inputs, **params}).outputs["score"]
    assert ((score > 0) == (target == 1)).all()
    assert losses[-1] < 0.05 < 0.5 < losses[0]
