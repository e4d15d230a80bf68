"""Parameters that several places read: tied weights, and the models of one file over one buffer."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import dlc
from dlc.runtime import training
from dlc.runtime.errors import CheckpointError, ParameterError
from tests.numeric.harness import EXACT, torch

SPEC = """
use nn.linear: Linear

layer Embedding(z in V; w[V,D] ~ normal(0, 1)) -> e[D]:
    e[d] = w[z,d]

model Train(z[B] in V, target[B] in V) -> loss, logits[B,V]:
    index V = 5, D = 3
    emb = Embedding()
    aside = Linear(I=D)
    mix = Linear(I=D)
    h[b,D] = tanh(mix(emb(z[b]))) + aside(emb(z[b]))
    logits[b,v] = emb.w[v,d]*h[b,d]
    loss = -mean[b] (logits[b,target[b]] - logsumexp[v] logits[b,v])
    minimize loss over emb, mix

model Decode(z[B] in V) -> best[B] in V:
    index V = 5, D = 3
    mix = Linear(I=D)
    emb = Embedding()
    h[b,D] = tanh(mix(emb(z[b])))
    score[b,v] = emb.w[v,d]*h[b,d]
    best[b] = argmax[v] score[b,v]

model Other(z[B] in V, x[B,I]) -> loss:
    index V = 5, D = 3
    emb = Embedding()
    head = Linear(I=D)
    loss = mean[b] sum[d] emb(z[b])[d]*head(x[b,I])[d]
    minimize loss

model Wide(z[B] in V) -> y[B,D]:
    index V = 5, D = 4
    emb = Embedding()
    y[b,D] = emb(z[b])
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    spec = tmp_path_factory.mktemp("sharing") / "sharing.dl"
    spec.write_text(SPEC, encoding="utf-8")
    return dlc.compile(spec, dtype="float64")


Z, TARGET = np.array([0, 4, 2, 2, 1, 3]), np.array([1, 1, 0, 4, 2, 3])


def step_of(model: Any) -> training.TrainingStep:
    kind = dlc.compile("optim.sgd", dtype="float64").SGD
    return training.TrainingStep(model, "loss", kind(model, "loss", lr=1))


def test_the_gradients_of_tied_weights_add_up(module: Any) -> None:
    model = module.Train(seed=1)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in model.params.items()}
    e = p["emb.w"][torch.tensor(Z)]
    h = torch.tanh(e @ p["mix.w"].T + p["mix.b"]) + e @ p["aside.w"].T + p["aside.b"]
    expected = torch.nn.functional.cross_entropy(h @ p["emb.w"].T, torch.tensor(TARGET))
    expected.backward()
    loss, gradients = model.value_and_grad(z=Z, target=TARGET)
    assert_allclose(loss, expected.item(), EXACT)
    assert list(gradients) == ["emb.w", "mix.w", "mix.b"]
    for name, value in gradients.items():
        assert_allclose(value, p[name].grad, EXACT, EXACT)


def test_a_model_over_the_parameters_of_another(module: Any) -> None:
    train = module.Train(seed=2)
    decode = module.Decode(parameters=train)

    def best() -> Any:
        w = train.params["emb.w"]
        return (np.tanh(w[Z] @ train.params["mix.w"].T + train.params["mix.b"]) @ w.T).argmax(axis=1)

    assert list(decode.params) == ["emb.w", "mix.w", "mix.b"]
    assert all(np.shares_memory(value, train.params[name]) for name, value in decode.params.items())
    assert_array_equal(decode.forward(z=Z).best, best())
    step = step_of(train)
    aside = train.params["aside.w"].copy()
    before = decode.forward(z=Z).best
    for _ in range(5):
        step.run({"z": Z, "target": TARGET})
    assert_array_equal(train.params["aside.w"], aside)  # the step is over emb and mix
    assert_array_equal(decode.forward(z=Z).best, best())
    assert (decode.forward(z=Z).best != before).any()
    own = copy.deepcopy(decode)
    own.params["emb.w"][...] = 0
    assert train.params["emb.w"].any()


def test_models_of_which_neither_has_all_parameters(module: Any) -> None:
    message = r"Other has head\.w and head\.b, which Train has not: .* Other\.joint\(Train\)"
    with pytest.raises(ParameterError, match=message):
        module.Other(parameters=module.Train(), sizes={"I": 2})
    shared = module.Train.joint(module.Other, seed=4, sizes={"I": 2})
    train, other = module.Train(parameters=shared), module.Other(parameters=shared)
    assert other.sizes["I"] == 2
    assert_array_equal(train.params["mix.w"], module.Train(seed=4).params["mix.w"])  # names decide what is drawn
    step = step_of(other)
    kept = {name: value.copy() for name, value in shared.items()}
    x = np.random.default_rng(0).normal(size=(6, 2))
    step.run({"z": Z, "x": x})
    moved = {name for name, value in shared.items() if (value != kept[name]).any()}
    assert moved == {"emb.w", "head.w", "head.b"}
    expected = np.zeros((5, 3))
    np.add.at(expected, Z, (x @ kept["head.w"].T + kept["head.b"]) / 6)
    assert_allclose(train.params["emb.w"], kept["emb.w"] - expected, EXACT, EXACT)


def test_shapes_that_disagree(module: Any) -> None:
    wide, train = r"\(5, 4\) \[V, D\] in Wide", r"\(5, 3\) \[V, D\] in Train"
    with pytest.raises(ParameterError, match=rf"emb\.w has shape {wide} and {train}"):
        module.Wide(parameters=module.Train())
    with pytest.raises(ParameterError, match=rf"emb\.w has shape {train} and {wide}"):
        module.Train.joint(module.Wide)


def test_a_checkpoint_of_another_model_of_the_file(module: Any, tmp_path: Path) -> None:
    train, decode = module.Train(seed=5), module.Decode(seed=6)
    train.save(tmp_path / "train.safetensors")
    decode.load(tmp_path / "train.safetensors")
    for name, value in decode.params.items():
        assert_array_equal(value, train.params[name])
    decode.save(tmp_path / "decode.safetensors")
    with pytest.raises(CheckpointError, match=r"it has no aside\.b and aside\.w"):
        train.load(tmp_path / "decode.safetensors")
    with pytest.raises(CheckpointError, match=r"emb\.w has shape"):
        module.Wide().load(tmp_path / "train.safetensors")
