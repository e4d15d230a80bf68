"""Formulas that overflow or cancel as they are written, at inputs up to ±1e4: values and gradients stay right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from numeric.harness import EXACT, assert_close, graph_of, interpreted, library_text

import dlc

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


# --- the same in kernels ----------------------------------------------------------------------------------------------

LOSSES = """
use nn.activations: LogSoftmax, Softmax, Softplus, Tanh
use nn.losses: BinaryCrossEntropy, CrossEntropy

layer Classes(x[B,Y], z[B] in Y) -> p[B,Y], l[B,Y], loss[B]:
    p[b,Y] = Softmax(x[b,Y])
    l[b,Y] = LogSoftmax(x[b,Y])
    loss[b] = CrossEntropy(x[b,Y], z[b])

layer Points(x[N]) -> loss[N], y[N], plus[N]:
    loss[n] = BinaryCrossEntropy(x[n], 0.3)
    y[N] = Tanh(x[N])
    plus[N] = Softplus(x[N])
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("extremes")
    (folder / "losses.dl").write_text(LOSSES, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(folder))
        yield dlc.compile(folder / "losses.dl", dtype="float32")


def test_compiled_classes(compiled: Any) -> None:
    x, z = ROWS.astype(np.float32), np.array([0, 1, 2, 0, 1])
    exact = x.astype(np.float64)
    softmax, logarithm = scipy.special.softmax(exact, 1), scipy.special.log_softmax(exact, 1)
    model = compiled.Classes()
    weights = {"p": np.zeros_like(x), "l": np.zeros_like(x), "loss": np.ones(len(x), np.float32)}
    found, gradients = model.vjp(weights, x=x, z=z)
    assert_close(found["p"], softmax, 1e-6)
    np.testing.assert_allclose(found["l"], logarithm, 1e-6, 1e-6)
    np.testing.assert_allclose(found["loss"], -logarithm[np.arange(len(x)), z], 1e-6, 1e-6)
    np.testing.assert_allclose(gradients["x"], softmax - np.eye(3)[z], 1e-6, 1e-6)


def test_compiled_points(compiled: Any) -> None:
    x = POINTS.astype(np.float32)
    exact = x.astype(np.float64)
    sigmoid = scipy.special.expit(exact)
    wanted = {
        "loss": (-0.3 * scipy.special.log_expit(exact) - 0.7 * scipy.special.log_expit(-exact), sigmoid - 0.3),
        "y": (np.tanh(exact), 1 / np.cosh(np.clip(exact, -300, 300)) ** 2),
        "plus": (np.logaddexp(0, exact), sigmoid),
    }
    for name, (value, derivative) in wanted.items():
        outputs, gradients = compiled.Points().vjp({name: np.ones_like(x)}, x=x)
        np.testing.assert_allclose(outputs[name], value, 1e-6, 1e-37, err_msg=name)
        np.testing.assert_allclose(gradients["x"], derivative, 1e-5, 1e-6, err_msg=name)


def test_sums_over_beginnings_add_up_their_errors_and_no_more(tmp_path: Path) -> None:
    """In float32: of terms of one sign, each addition is wrong by half a unit in the last place of the sum at most."""
    text = "layer Beginnings(x[T]) -> y[T]:\n    y[t] = sum[t' : t' <= t] x[t']\n"
    (tmp_path / "beginnings.dl").write_text(text, encoding="utf-8")
    x = np.full(100_000, 0.1, np.float32)
    found = dlc.compile(tmp_path / "beginnings.dl").Beginnings().forward(x=x)["y"]
    wanted = np.cumsum(x.astype(np.float64))
    assert (abs(found - wanted) <= np.arange(1, len(x) + 1) * 2.0**-24 * wanted).all()
