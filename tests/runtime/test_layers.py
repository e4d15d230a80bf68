"""Layers: vector-Jacobian products, inputs that may be left out, and results that are given or shared."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.runtime import InputError, ParameterError

SPEC = """\
## Centred and scaled.
layer Norm(x[D], m = 1; g[D] = 1, c[D] = 0; eps = 1e-5) -> y[D], μ:
    μ = mean[d] x[d]
    s = mean[d] (x[d] - μ)^2
    y[d] = m * g[d] * (x[d] - μ) / sqrt(s + eps) + c[d]

layer Pick(w[V,D], z[T] in V;; p = 2) -> y[T,D], n:
    y[t,d] = w[z[t],d]^p
    n = sum[t,d] w[z[t],d]^4

layer Same(x[I], λ) -> y[I], k[I]:
    y[i] = x[i]
    k[i] = λ*x[i]

layer Sum(; a[I] ~ normal(0, 1), b[I] ~ normal(0, 1); I = 3) -> y[I]:
    y[i] = a[i] + b[i]
"""


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    path = tmp_path_factory.mktemp("layers") / "layers.dl"
    path.write_text(SPEC, encoding="utf-8")
    return dlc.compile(path, dtype="float64")


@pytest.fixture
def pick(layers: ModuleType) -> tuple[Any, dict[str, Any]]:
    w = np.random.default_rng(0).normal(size=(7, 3))
    return layers.Pick(), {"w": w, "z": [1, 1, 6]}


def test_the_gradient_of_weighted_outputs(pick: tuple[Any, dict[str, Any]]) -> None:
    layer, inputs = pick
    weights = np.arange(9.0).reshape(3, 3)
    outputs, gradients = layer.vjp({"y": weights, "n": 0.5}, **inputs)
    w, z = inputs["w"], np.array(inputs["z"])
    np.testing.assert_allclose(outputs.y, w[z] ** 2)
    np.testing.assert_allclose(outputs.n, np.sum(w[z] ** 4))
    expected = np.zeros_like(w)
    np.add.at(expected, z, weights * 2 * w[z] + 0.5 * 4 * w[z] ** 3)
    np.testing.assert_allclose(gradients["w"], expected)
    assert set(gradients) == {"w"}


def test_cotangents_left_out_count_as_zero(pick: tuple[Any, dict[str, Any]]) -> None:
    layer, inputs = pick
    _, both = layer.vjp({"y": np.zeros((3, 3)), "n": 1}, **inputs)
    _, one = layer.vjp({"n": 1}, **inputs)
    assert np.array_equal(both["w"], one["w"])
    assert not np.any(layer.vjp({}, **inputs)[1]["w"])


def test_as_many_arrays_of_other_names_are_another_call(layers: ModuleType) -> None:
    layer, x = layers.Same(), np.arange(3.0)
    for _ in range(3):
        assert np.array_equal(layer.vjp({"y": x}, x=x, λ=2)[1]["x"], x)
        assert np.array_equal(layer.vjp({"k": x}, x=x, λ=2)[1]["x"], 2 * x)


@pytest.mark.parametrize(
    ("cotangents", "message"),
    [
        ({"q": 1}, "there is no output q to give a cotangent for: there are y and n"),
        ({"y": 1}, "the cotangent of y should be an array with 2 axes (T, D); what was given is a single number"),
        ({"y": np.ones((2, 3))}, "the cotangent of y has 2 elements along T (axis 0), but z has 3 along T (axis 0)"),
        (np.ones((3, 3)), "cotangents are given by output: a mapping with y or n"),
    ],
)
def test_cotangents_are_checked(pick: tuple[Any, dict[str, Any]], cotangents: Any, message: str) -> None:
    layer, inputs = pick
    with pytest.raises(InputError) as error:
        layer.vjp(cotangents, **inputs)
    assert str(error.value) == message


def test_a_cotangent_is_no_input(pick: tuple[Any, dict[str, Any]]) -> None:
    layer, inputs = pick
    with pytest.raises(InputError, match="there is no input d_y"):
        layer.forward(**inputs, d_y=np.ones((3, 3)))


def test_an_index_set_may_be_as_large_as_the_inputs_say(pick: tuple[Any, dict[str, Any]]) -> None:
    layer, inputs = pick
    with pytest.raises(InputError, match=r"z\[2\] is 6, no element of V, whose elements are 0 to 5"):
        layer.forward(w=inputs["w"][:6], z=inputs["z"])


def test_a_layer_has_no_loss(pick: tuple[Any, dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="Pick has no value_and_grad: it has no loss: differentiate it with vjp"):
        pick[0].value_and_grad(**pick[1])


def test_an_input_with_a_default_may_be_left_out(layers: ModuleType) -> None:
    layer = layers.Norm(sizes={"D": 5})
    x = np.random.default_rng(0).normal(size=5)
    plain = layer.forward(x=x)
    assert np.array_equal(plain.y, layer.forward(x=x, m=1).y)
    np.testing.assert_allclose(layer.forward(x=x, m=2.0).y, 2 * plain.y)
    np.testing.assert_allclose(plain.y, (x - x.mean()) / np.sqrt(x.var() + 1e-5))
    assert layer.eps == 1e-5 and (type(layer).__doc__ or "").startswith("Centred and scaled.")


def test_greek_names_are_given_and_returned(layers: ModuleType) -> None:
    x = np.arange(3.0)
    assert layers.Norm(sizes={"D": 3}).forward(x=x)["μ"] == 1
    assert layers.Norm(sizes={"D": 3}).forward(x=x).μ == 1
    outputs, gradients = layers.Same().vjp({"y": [1, 2, 3], "k": [1, 1, 1]}, x=x, λ=2.0)
    assert gradients["λ"] == x.sum() and gradients["x"].tolist() == [3, 4, 5]
    assert outputs.k.tolist() == [0, 2, 4]


def test_an_output_that_is_an_input_is_a_copy(layers: ModuleType) -> None:
    x = np.arange(3.0)
    out = layers.Same().forward(x=x, λ=1)
    assert np.array_equal(out.y, x) and not np.shares_memory(out.y, x)


def test_parameters_with_one_gradient_have_it_both(layers: ModuleType) -> None:
    layer = layers.Sum()
    outputs, gradients = layer.vjp([1.0, 2.0, 3.0])
    assert gradients["a"].tolist() == gradients["b"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(outputs.y, layer.params["a"] + layer.params["b"])
    assert not np.shares_memory(gradients["a"], gradients["b"])


def test_a_parameter_as_long_as_an_input_needs_its_size(layers: ModuleType) -> None:
    with pytest.raises(ParameterError, match="the shape of g depends on the size of D: give it when compiling"):
        layers.Norm()


def test_an_output_whose_derivative_the_layer_takes_itself_has_a_cotangent(tmp_path: Path) -> None:
    """`d_x` is the name of the derivative there, and not of the cotangent."""
    spec = tmp_path / "descent.dl"
    spec.write_text(
        "layer Descent(x0[D]) -> x[T,D]:\n"
        "    index T = 3, S = 2\n"
        "    x[0,d] = x0[d]\n"
        "    v[s] = sum[d] x[s,d]^3/3\n"
        "    x[s+1,d] = x[s,d] - 0.1*grad(v[s], x[s,d])\n",
        encoding="utf-8",
    )
    layer = dlc.compile(spec, dtype="float64").Descent()
    outputs, gradients = layer.vjp({"x": [[0.0], [0], [1]]}, x0=[1.0])
    assert outputs["x"][1, 0] == pytest.approx(0.9)
    assert gradients["x0"][0] == pytest.approx((1 - 0.2) * (1 - 0.2 * 0.9))
