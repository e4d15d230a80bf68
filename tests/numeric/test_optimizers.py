"""The optimizers of the standard library against those of PyTorch, over several steps of several tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.compiler import pipeline
from dlc.runtime import CheckpointError, InputError
from dlc.runtime.declarations import Declaration, Parameter
from dlc.runtime.model import Model
from dlc.runtime.results import Gradients
from tests.numeric.harness import graph_of, torch

STEPS = 12
MODULES = {
    "sgd": ("SGD", "ClippedByValueSGD", "ClippedByNormSGD"),
    "momentum": ("Momentum", "AverageMomentum", "StepMomentum", "Nesterov"),
    "adaptive": ("AdaGrad", "RMSProp", "ClippedRMSProp", "Clip"),
    "adam": ("Adam", "AdamW", "ClippedAdam"),
}


class Tensors(Model):
    """Parameters without a model around them; `b` leaves a gap in the flat buffer."""

    declaration = Declaration(
        "Tensors",
        "float64",
        parameters=(
            Parameter("net.a", 0, (3, 5)),
            Parameter("b", 0, (7,)),
            Parameter("net.c", 0),
            Parameter("d", 0, (40, 250)),
        ),
    )


def started(seed: int = 0) -> Tensors:
    made, random = Tensors(), np.random.default_rng(seed)
    for value in made.params.values():
        value[...] = random.normal(size=value.shape)
    return made


def gradients(model: Model, step: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(100 + step)
    return {name: 3 * random.normal(size=value.shape) for name, value in model.params.items()}


@pytest.fixture(scope="module")
def library() -> Mapping[str, Any]:
    compiled = {file: dlc.compile(f"optim.{file}", dtype="float64") for file in MODULES}
    return {name: getattr(compiled[file], name) for file, names in MODULES.items() for name in names}


Make = Callable[[list[Any]], Any]
CASES: dict[str, tuple[str, dict[str, float], Make, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}, lambda p: torch.optim.SGD(p, lr=0.1), {}),
    "weight decay": ("SGD", {"decay": 0.3}, lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.3), {}),
    "clipped by value": ("ClippedByValueSGD", {"most": 0.5}, lambda p: torch.optim.SGD(p, lr=0.01), {"value": 0.5}),
    "clipped by norm": ("ClippedByNormSGD", {"most": 2}, lambda p: torch.optim.SGD(p, lr=0.01), {"norm": 2.0}),
    "not clipped by norm": ("ClippedByNormSGD", {"most": 1e9}, lambda p: torch.optim.SGD(p, lr=0.01), {}),
    "momentum": ("Momentum", {}, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9), {}),
    "dampening": (
        "Momentum", {"dampening": 0.4, "decay": 0.1},
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, dampening=0.4, weight_decay=0.1), {},
    ),
    "nesterov": (
        "Nesterov", {"decay": 0.1},
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1), {},
    ),
    "adagrad": ("AdaGrad", {"decline": 0.2}, lambda p: torch.optim.Adagrad(p, lr=0.01, lr_decay=0.2), {}),
    "rmsprop": ("RMSProp", {}, lambda p: torch.optim.RMSprop(p, lr=0.01), {}),
    "adam": ("Adam", {"lr": 0.1, "decay": 0.2}, lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.2), {}),
    "adamw": ("AdamW", {"lr": 0.1}, lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01), {}),
    "clipped adam": ("ClippedAdam", {"most": 5}, lambda p: torch.optim.Adam(p, lr=1e-3), {"norm": 5.0}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_as_pytorch(library: Mapping[str, Any], case: str) -> None:
    name, hypers, make, clipped = CASES[case]
    model = started()
    expected = {key: torch.tensor(value.copy(), requires_grad=True) for key, value in model.params.items()}
    ours, theirs = library[name](model, **hypers), make(list(expected.values()))
    for step in range(STEPS):
        given = gradients(model, step)
        for key, value in expected.items():
            value.grad = torch.tensor(given[key])
        if "norm" in clipped:
            torch.nn.utils.clip_grad_norm_(list(expected.values()), clipped["norm"])
        if "value" in clipped:
            torch.nn.utils.clip_grad_value_(list(expected.values()), clipped["value"])
        ours.step(given)
        theirs.step()
    for key, value in model.params.items():
        np.testing.assert_allclose(value, expected[key].detach().numpy(), rtol=1e-12, atol=1e-12)


def test_the_forms_of_momentum(library: Mapping[str, Any]) -> None:
    theta, m = started().params["d"].copy(), np.zeros((40, 250))
    model, other = started(), started()
    average = library["AverageMomentum"](model, lr=0.2, beta=0.7)
    step = library["StepMomentum"](other, lr=0.2, beta=0.7)
    theta_of_steps, past = theta.copy(), m.copy()
    for number in range(STEPS):
        if number == 5:
            average.lr = step.lr = 0.05
        g, lr = gradients(model, number), (0.2 if number < 5 else 0.05)
        average.step(g)
        step.step(g)
        m = 0.7 * m + 0.3 * g["d"]
        theta -= lr * m
        past = 0.7 * past + lr * g["d"]
        theta_of_steps -= past
    np.testing.assert_allclose(model.params["d"], theta, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(other.params["d"], theta_of_steps, rtol=1e-12, atol=1e-12)


def test_parameters_are_clipped(library: Mapping[str, Any]) -> None:
    model, other = started(), started()
    both, first, then = library["ClippedRMSProp"](model), library["RMSProp"](other, lr=5e-5), library["Clip"](other)
    for step in range(3):
        both.step(gradients(model, step))
        first.step(gradients(other, step))
        then.step({name: 0.0 * value for name, value in other.params.items()})
    np.testing.assert_array_equal(model.params.flat, other.params.flat)
    assert np.abs(model.params["d"]).max() == 0.01


def test_a_part_of_the_parameters_moves(library: Mapping[str, Any]) -> None:
    """They lie in two pieces of the buffer; the norm is that of both together, and nothing else counts."""
    model, alone = started(), started()
    moved = {name: torch.tensor(model.params[name].copy(), requires_grad=True) for name in ("net.a", "net.c")}
    optimizer, theirs = library["ClippedAdam"](model, over="net", most=5), torch.optim.Adam(moved.values())
    assert optimizer.parameters == ("net.a", "net.c")
    for step in range(STEPS):
        given = gradients(model, step)
        for name, value in moved.items():
            value.grad = torch.tensor(given[name])
        torch.nn.utils.clip_grad_norm_(list(moved.values()), 5.0)
        theirs.step()
        optimizer.step(given)
    for name, value in moved.items():
        np.testing.assert_allclose(model.params[name], value.detach().numpy(), rtol=1e-12, atol=1e-12)
    for name in ("b", "d"):
        np.testing.assert_array_equal(model.params[name], alone.params[name])
    assert optimizer.state["k"] == STEPS
    assert {*optimizer.state["m"]} == {"net.a", "net.c"}


def test_a_file_goes_on_where_it_was_written(library: Mapping[str, Any], tmp_path: Path) -> None:
    model, other = started(), started()
    first, second = library["Adam"](model), library["Adam"](other)
    first.step(gradients(model, 0))
    first.save(tmp_path / "adam.safetensors")
    other.params.flat[...] = model.params.flat
    second.load(tmp_path / "adam.safetensors")
    for optimizer, moved in ((first, model), (second, other)):
        optimizer.step(gradients(moved, 1))
    np.testing.assert_array_equal(model.params.flat, other.params.flat)
    with pytest.raises(CheckpointError, match=r"it has no v/x; the optimizer has no k, m/b"):
        _of_another(library, tmp_path)


def _of_another(library: Mapping[str, Any], folder: Path) -> None:
    class Single(Model):
        declaration = Declaration("Single", "float64", parameters=(Parameter("x", 0),))

    library["Momentum"](started()).save(folder / "m.safetensors")
    library["RMSProp"](Single()).load(folder / "m.safetensors")


SPEC = """
use optim.adam: Adam

fn ramp(k) = min(1, k/4)

## Two totals, of which one needs the other, a count of the elements, and a state of integers.
optimizer Odd(theta[..], g[..];; lr = 0.1, p = 3):
    total count = 1
    total sum_of_squares = g[..]^2
    total fourth = (g[..]/sqrt(sum_of_squares))^4 + (theta[..] - 1)^2
    state steps : int = 0, last[..] = 2, seen[..] : bool = false
    old[..] = last[..]
    last[..] <- g[..] if seen[..] else 0
    seen[..] <- g[..] > 0
    rate = lr*ramp(steps + 1)
    theta[..] <- theta[..] - rate*(g[..] + old[..]/count)*fourth
    steps <- steps + 1
    theta[..] <- theta[..] + [steps > 2]*last[..]^2/count^p

model Line(x[B,I], t[B]) -> loss:
    index I = 3
    param w[I] ~ normal(0, 1), c = 0.5
    loss = mean[b] (w[i]*x[b,i] + c - t[b])^2
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    path = tmp_path_factory.mktemp("optimizers") / "line.dl"
    path.write_text(SPEC, encoding="utf-8")
    return dlc.compile(path, dtype="float64")


def test_lines_run_in_their_order(module: ModuleType) -> None:
    model = module.Line(seed=3)
    optimizer = module.Odd(model)
    random = np.random.default_rng(0)
    theta = np.concatenate([model.params["w"], [0.5]])
    last, seen = np.full(4, 2.0), np.zeros(4, bool)
    for step in range(5):
        given = {"x": random.normal(size=(5, 3)), "t": random.normal(size=5)}
        _, found = model.value_and_grad(given)
        g = np.concatenate([found["w"], [found["c"]]])
        fourth = np.sum((g / np.sqrt(np.sum(g**2))) ** 4 + (theta - 1) ** 2)
        old, last, seen = last, np.where(seen, g, 0.0), g > 0
        theta = theta - 0.1 * min(1, (step + 1) / 4) * (g + old / 4) * fourth
        theta = theta + (step + 1 > 2) * last**2 / 4**3
        optimizer.step(found)
        np.testing.assert_allclose(np.concatenate([model.params["w"], [model.params["c"]]]), theta, rtol=1e-12)
    assert optimizer.state["steps"] == 5
    np.testing.assert_array_equal(optimizer.state["seen"]["w"], seen[:3])


def test_a_total_that_nothing_uses_is_not_added() -> None:
    text = "optimizer O(theta[..], g[..];; lr = 0.1):\n    total n = g[..]^2\n    total k = n*g[..]\n    "
    entries = {
        step: pipeline.entries(graph_of(f"{text}theta[..] <- theta[..] - lr*g[..]{step}\n"))
        for step in ("", "*n", "*k")
    }
    assert {step: list(parts) for step, parts in entries.items()} == {
        "": ["step"],
        "*n": ["total.1", "step"],
        "*k": ["total.1", "total.2", "step"],
    }


def test_an_optimizer_that_is_used_is_exported(module: ModuleType) -> None:
    assert module.__all__ == ["Line", "Odd", "Adam", "ramp"]
    model = module.Line()
    losses = []
    optimizer = module.Adam(model, lr=0.3)
    x, t = np.eye(3), np.array([1.0, 2.0, 3.0])
    for _ in range(200):
        loss, found = model.value_and_grad(x=x, t=t)
        optimizer.step(found)
        losses.append(loss)
    assert losses[-1] < 1e-3 < losses[0]


def test_what_does_not_fit(module: ModuleType, library: Mapping[str, Any]) -> None:
    model = module.Line()
    with pytest.raises(InputError, match=r"Adam has no lrr \(did you mean lr\?\)"):
        module.Adam(model, lrr=0.1)
    with pytest.raises(InputError, match="there is no parameter ww"):
        module.Adam(model, over="ww")
    with pytest.raises(InputError, match="the gradient of c is missing"):
        module.Adam(model).step({"w": np.zeros(3)})
    partly = Gradients(model.params.flat, {"w": model.params.layout.places["w"]}, {})
    with pytest.raises(InputError, match=r"the gradient of c is missing: say what is moved, Adam\(model, over=..\)"):
        module.Adam(model).step(partly)
    with pytest.raises(ValueError, match=r"w has shape \(3,\)"):
        module.Adam(model).step({"w": np.zeros(2), "c": 0})
    with pytest.raises(InputError, match=r"Adam\.step takes the gradients by the names of parameters"):
        module.Adam(model).step(3)

    class Single(Model):
        declaration = Declaration("Single", "float32", parameters=(Parameter("x", 0),))

    with pytest.raises(InputError, match="Adam is compiled for float64, and the model's parameters are float32"):
        module.Adam(Single())
