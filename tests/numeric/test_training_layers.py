"""Layers that compute something else while training, in both modes: batch normalisation and dropout.

Values, all gradients, and the states after a step, against PyTorch in float64 and float32, at three sets of sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numeric.harness import EXACT, SINGLE, Array, assert_close, torch

import dlc

SPEC = """
use nn.norm: BatchNorm1d, BatchNorm2d
use nn.dropout: ChannelDropout, Dropout

layer Rows(x[B,C]) -> y[B,C]:
    norm = BatchNorm1d()
    y[B,C] = norm(x[B,C])

layer Images(x[B,C,H,W]) -> y[B,C,H,W]:
    norm = BatchNorm2d(momentum=0.3)
    y[B,C,H,W] = norm(x[B,C,H,W])

layer Dropped(x[B,C]) -> y[B,C]:
    y[B,C] = Dropout(x[B,C]; p=0.4)

layer Channels(x[B,C,H,W]) -> y[B,C,H,W]:
    y[b,C,H,W] = ChannelDropout(x[b,C,H,W]; p=0.4)
"""
SIZES = {"Rows": [(5, 3), (2, 1), (17, 4)], "Images": [(3, 2, 4, 5), (1, 1, 1, 2), (4, 3, 2, 1)]}
SIZES |= {"Dropped": SIZES["Rows"], "Channels": SIZES["Images"]}
DTYPES = [pytest.param("float64", EXACT), pytest.param("float32", SINGLE, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("training")
    (folder / "training.dl").write_text(SPEC, encoding="utf-8")
    made: dict[str, Any] = {}

    def module(dtype: str) -> Any:
        if dtype not in made:
            made[dtype] = dlc.compile(folder / "training.dl", dtype=dtype, wrt="*", out=folder / dtype)
        return made[dtype]

    return module


def drawn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0.5, 2, shape).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", ["Rows", "Images"])
@pytest.mark.parametrize("train", [True, False])
def test_batch_normalisation(compiled: Any, name: str, train: bool, dtype: str, tolerance: float) -> None:
    for seed, shape in enumerate(SIZES[name]):
        layer = getattr(compiled(dtype), name)(sizes={"C": shape[1]})
        kind = torch.nn.BatchNorm1d if name == "Rows" else torch.nn.BatchNorm2d
        norm = kind(shape[1], momentum=0.1 if name == "Rows" else 0.3).double().train(train)
        given = {"gamma": drawn(seed, shape[1]), "beta": drawn(seed + 10, shape[1])}
        start = {"running_mean": drawn(seed + 20, shape[1]), "running_var": drawn(seed + 30, shape[1]) ** 2 + 0.1}
        start = {key: value.astype(np.float32).astype(np.float64) for key, value in start.items()}
        for key, value in given.items():
            layer.params[f"norm.{key}"][...] = value
        for key, value in start.items():
            layer.state[f"norm.{key}"] = value
            getattr(norm, key).copy_(torch.tensor(value))
        norm.weight.data, norm.bias.data = torch.tensor(given["gamma"]), torch.tensor(given["beta"])
        x, d = torch.tensor(drawn(seed + 40, *shape), requires_grad=True), drawn(seed + 50, *shape)
        y = norm(x)
        y.backward(torch.tensor(d))
        assert x.grad is not None
        wanted = {"x": x.grad, "norm.gamma": norm.weight.grad, "norm.beta": norm.bias.grad}
        found, gradients = layer.vjp({"y": d}, x=x.detach().numpy(), train=train)
        assert_close(found["y"], y.detach().numpy(), tolerance, "y")
        assert set(gradients) == set(wanted)
        for key, value in wanted.items():
            assert_close(gradients[key], value.numpy(), tolerance, f"gradient of {key}")
        for key in start:
            assert_close(layer.state[f"norm.{key}"], getattr(norm, key).numpy(), tolerance, key)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("name", ["Dropped", "Channels"])
def test_dropout(compiled: Any, name: str, dtype: str, tolerance: float) -> None:
    """The mask is what training leaves; each step has another, the backward pass of a step the same."""
    for seed, shape in enumerate([*SIZES[name], (40, 30, *SIZES[name][0][2:])]):
        layer = getattr(compiled(dtype), name)(seed=seed)
        x, d = drawn(seed, *shape), drawn(seed + 1, *shape)
        masks = []
        for step in range(3):
            found, gradients = layer.vjp({"y": d}, x=x, train=True, step=step)
            kept = found["y"] != 0
            assert_close(found["y"], x * kept / 0.6, tolerance)
            assert_close(gradients["x"], d * kept / 0.6, tolerance)
            np.testing.assert_array_equal(layer.forward(x=x, train=True, step=step)["y"], found["y"])
            masks.append(kept)
            assert name == "Dropped" or np.array_equal(kept.any((2, 3)), kept.all((2, 3)))
        if np.prod(shape[:2]) > 100:
            assert not np.array_equal(masks[0], masks[1])
            assert abs(np.mean(masks) - 0.6) < 0.05
        found, gradients = layer.vjp({"y": d}, x=x, train=False)
        assert_close(found["y"], x, tolerance)
        assert_close(gradients["x"], d, tolerance)
