"""Numbers and gradients that textbooks work out by hand; nothing but NumPy is needed to check them."""

from __future__ import annotations

import numpy as np
import pytest
from numeric.harness import EXACT, Array, Results, assert_close, forward, graph_of, interpreted, library_text

IMAGE = np.arange(9.0).reshape(3, 3)
KERNEL = np.arange(4.0).reshape(2, 2)


def evaluated(name: str, sizes: tuple[tuple[str, int], ...] = (), **inputs: Array | float) -> Results:
    """Values and gradients of `nn.linear.Linear`; cotangents that are not given are 1."""
    module, _, definition = name.rpartition(".")
    graph = graph_of(library_text(module), definition, sizes)
    cotangents = {name: value for name, value in inputs.items() if name.startswith("d_")}
    given = {name: np.asarray(value) for name, value in inputs.items() if name not in cotangents}
    if not graph.objectives:
        outputs = forward(graph, given)
        given.update(
            {f"d_{name}": np.asarray(cotangents.get(f"d_{name}", np.ones_like(y))) for name, y in outputs.items()}
        )
    return interpreted(graph, given)


# --- convolution ------------------------------------------------------------------------------------------------------


def test_convolution_of_two_channels() -> None:
    """Zhang et al., "Dive into deep learning", section 7.4.1."""
    x, k = np.stack([IMAGE, IMAGE + 1]), np.stack([KERNEL, KERNEL + 1])[None]
    found = evaluated("nn.conv.Conv2d", (("P", 2),), x=x, k=k, b=np.zeros(1))
    assert_close(found.outputs["y"], [[[56, 72], [104, 120]]], EXACT)


def test_convolution_to_three_channels() -> None:
    """The same, section 7.4.2: kernels K, K + 1 and K + 2."""
    x, k = np.stack([IMAGE, IMAGE + 1]), np.stack([KERNEL, KERNEL + 1])
    found = evaluated("nn.conv.Conv2d", (("P", 2),), x=x, k=np.stack([k, k + 1, k + 2]), b=np.zeros(3))
    wanted = [[[56, 72], [104, 120]], [[76, 100], [148, 172]], [[96, 128], [192, 224]]]
    assert_close(found.outputs["y"], wanted, EXACT)


def test_gradient_of_a_convolution_over_ones() -> None:
    """Each weight of a 2×2 kernel meets 16 positions of a 5×5 image of ones; an inner pixel meets all four weights."""
    found = evaluated("nn.conv.CrossCorrelation2d", x=np.ones((5, 5)), k=KERNEL)
    assert_close(found.gradients["k"], np.full((2, 2), 16.0), EXACT)
    assert_close(found.gradients["x"][1:-1, 1:-1], np.full((3, 3), KERNEL.sum()), EXACT)
    assert_close(found.gradients["x"][0], [0, 1, 1, 1, 1], EXACT)


def test_convolution_turns_the_kernel() -> None:
    found = evaluated("nn.conv.Convolution2d", x=IMAGE, k=KERNEL)
    wanted = [[(IMAGE[u : u + 2, v : v + 2] * KERNEL[::-1, ::-1]).sum() for v in range(2)] for u in range(2)]
    assert_close(found.outputs["y"], wanted, EXACT)


def test_an_edge_kernel_is_learned() -> None:
    """Zhang et al., "Dive into deep learning", section 7.2.4: ten steps at rate 0.03 move a 1×2 kernel to [1, -1]."""
    image = np.ones((6, 8))
    image[:, 2:6] = 0
    edges = image[:, :-1] - image[:, 1:]
    start = kernel = np.random.default_rng(0).normal(size=(1, 2))
    for _ in range(10):
        y = evaluated("nn.conv.CrossCorrelation2d", x=image, k=kernel).outputs["y"]
        step = evaluated("nn.conv.CrossCorrelation2d", x=image, k=kernel, d_y=2 * (y - edges))
        kernel = kernel - 0.03 * step.gradients["k"]
    assert np.abs(kernel - [[1, -1]]).max() < 0.1 < np.abs(start - [[1, -1]]).max()
    # the loss is quadratic in the kernel, so a step multiplies its error by 1 - 2·0.03·(Gram matrix of the two windows)
    windows = np.stack([image[:, :-1].ravel(), image[:, 1:].ravel()])
    error = np.linalg.matrix_power(np.eye(2) - 0.06 * windows @ windows.T, 10) @ (start[0] - [1, -1])
    assert_close(kernel[0] - [1, -1], error, EXACT)


# --- sums -------------------------------------------------------------------------------------------------------------


def test_sums_of_columns_and_rows() -> None:
    text = "layer Sums(a[I,J]) -> columns[J], rows[I]:\n    columns[j] = sum[i] a[i,j]\n    rows[i] = sum[j] a[i,j]\n"
    values = forward(graph_of(text), {"a": np.array([[1.0, 2, 3], [4, 5, 6]])})
    assert_close(values["columns"], [5, 7, 9], EXACT)
    assert_close(values["rows"], [6, 15], EXACT)


# --- gradients by hand ------------------------------------------------------------------------------------------------


def test_gradients_of_an_affine_map() -> None:
    """∂y_i/∂w_i'j = [i = i'] x_j and ∂y_i/∂b_i' = [i = i']: a cotangent g gives g_i x_j and g_i."""
    random = np.random.default_rng(1)
    x, w, b, g = random.normal(size=3), random.normal(size=(2, 3)), random.normal(size=2), random.normal(size=2)
    found = evaluated("nn.linear.Linear", x=x, w=w, b=b, d_y=g)
    assert_close(found.outputs["y"], w @ x + b, EXACT)
    assert_close(found.gradients["w"], np.outer(g, x), EXACT)
    assert_close(found.gradients["b"], g, EXACT)
    assert_close(found.gradients["x"], g @ w, EXACT)


@pytest.mark.parametrize(
    ("name", "value", "derivative"),
    [
        ("Tanh", np.tanh, lambda y: 1 - y**2),
        ("Sigmoid", lambda x: 1 / (1 + np.exp(-x)), lambda y: y * (1 - y)),
    ],
)
def test_derivatives_in_terms_of_the_output(name: str, value: object, derivative: object) -> None:
    x = np.linspace(-4, 4, 9)
    assert callable(value) and callable(derivative)
    found = evaluated(f"nn.activations.{name}", x=x)
    assert_close(found.outputs["y"], value(x), EXACT)
    assert_close(found.gradients["x"], derivative(value(x)), EXACT)


def test_derivative_of_the_cross_entropy() -> None:
    """∂l/∂o = softmax(o) - y, for an integer class and for a one-hot target."""
    o, z = np.array([0.5, -1.0, 2.0]), 1
    softmax, one_hot = np.exp(o) / np.exp(o).sum(), np.eye(3)[z]
    for found in (
        evaluated("nn.losses.CrossEntropy", o=o, z=z),
        evaluated("nn.losses.SoftCrossEntropy", o=o, t=one_hot),
    ):
        assert_close(found.outputs["l"], -np.log(softmax[z]), EXACT)
        assert_close(found.gradients["o"], softmax - one_hot, EXACT)


def test_derivatives_at_a_kink() -> None:
    """relu'(0) = 0 and |.|'(0) = 0; a maximum gives its gradient to the first that has it."""
    assert_close(evaluated("nn.activations.ReLU", x=np.zeros(2)).gradients["x"], [0, 0], EXACT)
    assert_close(evaluated("nn.activations.Softsign", x=np.zeros(1)).gradients["x"], [1], EXACT)
    pooled = evaluated("nn.pooling.MaxPool1d", x=np.array([2.0, 2.0, 1.0, 3.0]))
    assert_close(pooled.outputs["y"], [2, 3], EXACT)
    assert_close(pooled.gradients["x"], [1, 0, 0, 1], EXACT)


def test_gradients_of_linear_regression() -> None:
    """∂L/∂w_j = mean_b (y_b - t_b) x_bj and ∂L/∂bias = mean_b (y_b - t_b)."""
    random = np.random.default_rng(2)
    x, target, w, bias = random.normal(size=(5, 3)), random.normal(size=5), random.normal(size=3), 0.7
    found = evaluated("models.linear_regression.LinearRegression", x=x, target=target, w=w, bias=bias)
    error = x @ w + bias - target
    assert_close(found.outputs["loss"], (error**2).mean() / 2, EXACT)
    assert_close(found.gradients["w"], error @ x / 5, EXACT)
    assert_close(found.gradients["bias"], error.mean(), EXACT)
