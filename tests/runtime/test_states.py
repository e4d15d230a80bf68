"""States of compiled models: what training steps leave in them, in files and in copies."""

from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.runtime import CheckpointError, ParameterError

SPEC = """
use nn.norm: BatchNorm1d, BatchNorm2d

layer Average(x[I];; rate = 0.5) -> y[I]:
    state m[I] = 1, n : int = 0
    m[i] <- (1 - rate)*m[i] + rate*x[i]
    n <- n + 1
    y[i] = x[i] - m[i]

model Net(x[B,C,H,W]) -> loss, f[B,C]:
    index C = 3
    average = Average()
    bn = BatchNorm2d()
    last = BatchNorm1d(momentum=0.3)
    y[B,C,H,W] = bn(x[B,C,H,W])
    f[B,C] = last(mean[h,w] y[B,C,h,w]^2)
    a[C] = average(mean[b] f[b,C])
    loss = mean[b,c] f[b,c]^3 + a[c]*bn.gamma[c]
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    path = tmp_path_factory.mktemp("states") / "net.dl"
    path.write_text(SPEC, encoding="utf-8")
    return dlc.compile(path, dtype="float64")


def images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(4, 3, 2, 5)) * 2 + 1


def test_running_statistics_are_those_of_pytorch(module: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    model = module.Net()
    first, last = torch.nn.BatchNorm2d(3).double(), torch.nn.BatchNorm1d(3, momentum=0.3).double()

    def features(x: np.ndarray) -> Any:
        return last((first(torch.tensor(x)) ** 2).mean(dim=(2, 3)))

    average = np.ones(3)
    for step in range(4):
        f = features(images(step))
        loss, gradients = model.value_and_grad(x=images(step))
        expected = (f**3).mean() + ((f.mean(0) - torch.tensor(average)) * first.weight).sum()
        first.zero_grad()
        expected.backward()
        average = (average + f.mean(0).detach().numpy()) / 2
        np.testing.assert_allclose(loss, expected.item(), rtol=1e-12)
        np.testing.assert_allclose(gradients["bn.gamma"], first.weight.grad.numpy(), rtol=1e-9)
        for name, norm in (("bn", first), ("last", last)):
            np.testing.assert_allclose(model.state[f"{name}.running_mean"], norm.running_mean.numpy(), atol=1e-13)
            np.testing.assert_allclose(model.state[f"{name}.running_var"], norm.running_var.numpy(), rtol=1e-12)
        np.testing.assert_allclose(model.state["average.m"], average, atol=1e-13)
    assert model.state["average.n"] == 4
    first.eval()
    last.eval()
    np.testing.assert_allclose(model.forward(x=images(9)).f, features(images(9)).detach().numpy(), rtol=1e-12)
    assert model.state["average.n"] == 4


def test_files_keep_states(module: ModuleType, tmp_path: Path) -> None:
    model, other = module.Net(), module.Net()
    model.value_and_grad(x=images(0))
    model.save(tmp_path / "m.safetensors")
    other.load(tmp_path / "m.safetensors")
    for name, value in model.state.items():
        np.testing.assert_array_equal(other.state[name], value)
    assert other.state["average.n"] == 1
    other.state.reset()
    np.testing.assert_array_equal(other.state["bn.running_var"], np.ones(3))


def test_a_file_without_states_changes_nothing(module: ModuleType, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    model = module.Net()
    model.save(tmp_path / "m.safetensors")
    values = load_file(tmp_path / "m.safetensors")
    save_file({name: value for name, value in values.items() if name in model.params}, tmp_path / "n.safetensors")
    with pytest.raises(CheckpointError, match=r"it has no average\.m, average\.n"):
        model.load(tmp_path / "n.safetensors")
    save_file({**values, "average.m": np.full(3, 7.0), "bn.gamma": np.ones(4)}, tmp_path / "n.safetensors")
    with pytest.raises(CheckpointError, match=r"bn\.gamma has shape"):
        model.load(tmp_path / "n.safetensors")
    np.testing.assert_array_equal(model.state["average.m"], np.ones(3))


def test_copies_have_states_of_their_own(module: ModuleType) -> None:
    model = module.Net()
    model.state["average.m"] = [4, 5, 6]
    other = copy.deepcopy(model)
    other.value_and_grad(x=images(0))
    np.testing.assert_array_equal(model.state["average.m"], [4.0, 5.0, 6.0])
    assert (model.state["average.n"], other.state["average.n"]) == (0, 1)


def test_what_does_not_fit_a_state(module: ModuleType) -> None:
    model = module.Net()
    with pytest.raises(ParameterError, match=r"average.m has shape \(3,\)"):
        model.state["average.m"] = np.zeros(2)
    with pytest.raises(ParameterError, match=r"there is no state averag\.m .did you mean average\.m"):
        model.state["averag.m"] = np.zeros(3)
    with pytest.raises(ParameterError, match=r"average\.n should be integers"):
        model.state["average.n"] = 0.5
