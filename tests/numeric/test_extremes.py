"""Formulas that overflow or cancel as they are written, at inputs up to ±1e4: values and gradients stay right."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from numeric.harness import EXACT, assert_close, graph_of, interpreted, library_text

ROWS = np.array(
    [
        [1e4, 0.0, -1e4],
        [-1e4, -1e4, -1e4],
        [1e4, 1e4, 1e4 - 1.0],
        [1e-9, 0.0, -1e-9],
        [800.0, -800.0, 799.0],
    ]
)
POINTS = np.array([-1e4, -800.0, -40.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 40.0, 800.0, 1e4])


def layer(module: str, definition: str, **inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The output, and the gradient of its first input, of a layer of the standard library."""
    return spec(library_text(module), definition, **inputs)


def spec(text: str, definition: str, **inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = interpreted(graph_of(text, definition), inputs)
    return next(iter(found.outputs.values())), found.gradients[next(iter(inputs))]


@pytest.mark.parametrize("x", ROWS, ids=str)
def test_softmax(x: np.ndarray) -> None:
    wanted, d = scipy.special.softmax(x), np.array([0.3, -1.0, 2.0])
    y, gradient = layer("nn.activations", "Softmax", x=x, d_y=d)
    assert_close(y, wanted, EXACT)
    assert_close(gradient, wanted * (d - d @ wanted), EXACT)


@pytest.mark.parametrize("x", ROWS, ids=str)
def test_log_softmax(x: np.ndarray) -> None:
    d = np.array([0.3, -1.0, 2.0])
    y, gradient = layer("nn.activations", "LogSoftmax", x=x, d_y=d)
    assert_close(y, x - scipy.special.logsumexp(x), EXACT)
    assert_close(gradient, d - scipy.special.softmax(x) * d.sum(), EXACT)


@pytest.mark.parametrize("x", ROWS, ids=str)
def test_cross_entropy(x: np.ndarray) -> None:
    for z in range(3):
        loss, gradient = layer("nn.losses", "CrossEntropy", o=x, z=np.array(z), d_l=np.array(1.0))
        assert_close(loss, scipy.special.logsumexp(x) - x[z], EXACT)
        assert_close(gradient, scipy.special.softmax(x) - np.eye(3)[z], EXACT)


@pytest.mark.parametrize("x", ROWS, ids=str)
def test_cross_entropy_written_out(x: np.ndarray) -> None:
    """As a user writes it who knows of no library."""
    text = "model M(o[Y], z in Y) -> loss:\n    loss = -log(exp(o[z]) / sum[y] exp(o[y]))\n"
    loss, gradient = spec(text, "M", o=x, z=np.array(0))
    assert_close(loss, scipy.special.logsumexp(x) - x[0], EXACT)
    assert_close(gradient, scipy.special.softmax(x) - [1, 0, 0], EXACT)


@pytest.mark.parametrize(
    ("name", "value", "derivative"),
    [
        ("Tanh", np.tanh(POINTS), 1 - np.tanh(POINTS) ** 2),
        ("Sigmoid", scipy.special.expit(POINTS), scipy.special.expit(POINTS) * scipy.special.expit(-POINTS)),
        ("LogSigmoid", scipy.special.log_expit(POINTS), scipy.special.expit(-POINTS)),
        ("Softplus", np.logaddexp(0, POINTS), scipy.special.expit(POINTS)),
        ("SiLU", POINTS * scipy.special.expit(POINTS), None),
        ("ELU", np.where(POINTS > 0, POINTS, np.expm1(np.minimum(POINTS, 0))), np.exp(np.minimum(POINTS, 0))),
        ("GELU", POINTS * scipy.special.ndtr(POINTS), None),
    ],
)
def test_activations(name: str, value: np.ndarray, derivative: np.ndarray | None) -> None:
    y, gradient = layer("nn.activations", name, x=POINTS, d_y=np.ones_like(POINTS))
    np.testing.assert_allclose(y, value, 1e-13, 1e-300)
    assert np.isfinite(gradient).all()
    if derivative is not None:
        np.testing.assert_allclose(gradient, derivative, 1e-9, 1e-15)


def test_attention_with_large_scores() -> None:
    """Scores of ±1e4: a query takes the value of its best key, and the masked future stays out of it."""
    q, k = np.array([[100.0], [-100.0]]), np.array([[100.0], [-100.0]])
    v, d = np.array([[1.0], [2.0]]), np.ones((2, 1))
    y, gradient = layer("nn.attention", "CausalAttention", q=q, k=k, v=v, d_y=d)
    assert_close(y, [[1.0], [2.0]], EXACT)
    assert_close(gradient, np.zeros((2, 1)), EXACT)


def test_binary_cross_entropy() -> None:
    for target in (0.0, 0.3, 1.0):
        text = (
            "use nn.losses: BinaryCrossEntropy\n\n"
            "layer Case(o[B], t) -> l[B]:\n    l[b] = BinaryCrossEntropy(o[b], t)\n"
        )
        loss, gradient = spec(text, "Case", o=POINTS, t=np.array(target), d_l=np.ones_like(POINTS))
        wanted = -target * scipy.special.log_expit(POINTS) - (1 - target) * scipy.special.log_expit(-POINTS)
        assert_close(loss, wanted, EXACT)
        assert_close(gradient, scipy.special.expit(POINTS) - target, EXACT)
