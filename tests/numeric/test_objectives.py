"""Models with several losses: each has gradients and steps of its own, compared with PyTorch over several steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.runtime import InputError, training
from tests.numeric.harness import EXACT, torch

GAN = """
use nn.linear: Linear

layer Generator(z[Z];; H = 6, P = 3) -> x[P]:
    a = Linear(I=H)
    b = Linear(I=P)
    x[P] = b(tanh(a(z[Z])))

layer Critic(x[P];; H = 5) -> s:
    a = Linear(I=H)
    b = Linear(I=1)
    o[O] = b(tanh(a(x[P])))
    s = o[0]

model Minimax(x[B,P], z[N,Z]) -> d_loss, g_loss, sample[N,P]:
    index P = 3, Z = 2
    gen = Generator()
    disc = Critic()
    sample[n,P] = gen(z[n,Z])
    fake[n] = disc(sample[n,P])
    d_loss = -(mean[b] log(sigmoid(disc(x[b,P])))) - mean[n] log(1 - sigmoid(fake[n]))
    g_loss = mean[n] log(1 - sigmoid(fake[n]))
    minimize d_loss over disc
    minimize g_loss over gen

model NonSaturating(x[B,P], z[N,Z]) -> d_loss, sample[N,P]:
    index P = 3, Z = 2
    gen = Generator()
    disc = Critic()
    sample[n,P] = gen(z[n,Z])
    fake[n] = disc(sample[n,P])
    d_loss = -(mean[b] log(sigmoid(disc(x[b,P])))) - mean[n] log(1 - sigmoid(fake[n]))
    g_loss = -mean[n] log(sigmoid(fake[n]))
    minimize d_loss over disc.a, disc.b
    minimize g_loss over gen
"""


@pytest.fixture(scope="module")
def gans(tmp_path_factory: pytest.TempPathFactory) -> Any:
    spec = tmp_path_factory.mktemp("gans") / "gans.dl"
    spec.write_text(GAN, encoding="utf-8")
    return dlc.compile(spec, dtype="float64")


MOMENTUM, ADAM = ("optim.momentum", "Momentum"), ("optim.adam", "Adam")


def optimizer(place: tuple[str, str]) -> Any:
    module, name = place
    return getattr(dlc.compile(module, dtype="float64"), name)


def losses(p: dict[str, Any], x: Any, z: Any, kind: str) -> dict[str, Any]:
    """By PyTorch, of the parameters `p`."""

    def two(name: str, value: Any) -> Any:
        hidden = torch.tanh(value @ p[f"{name}.a.w"].T + p[f"{name}.a.b"])
        return hidden @ p[f"{name}.b.w"].T + p[f"{name}.b.b"]

    true, fake = torch.sigmoid(two("disc", x)[:, 0]), torch.sigmoid(two("disc", two("gen", z))[:, 0])
    saturating = torch.log(1 - fake).mean()
    g_loss = saturating if kind == "Minimax" else -torch.log(fake).mean()
    return {"d_loss": -torch.log(true).mean() - saturating, "g_loss": g_loss}


@pytest.mark.parametrize("kind", ["Minimax", "NonSaturating"])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_steps_of_two_losses_alternate(gans: Any, kind: str, optimiser: str) -> None:
    model = getattr(gans, kind)(seed=2)
    mine, lr = {"sgd": (MOMENTUM, 0.1), "adam": (ADAM, 0.02)}[optimiser]
    kind_of_step = optimizer(mine)
    steps = [training.TrainingStep(model, name, kind_of_step(model, name, lr=lr)) for name in model.objectives]
    p = {name: torch.tensor(value, requires_grad=True) for name, value in model.params.items()}
    theirs = {}
    for name, part in (("d_loss", "disc"), ("g_loss", "gen")):
        moved = [value for key, value in p.items() if key.startswith(part)]
        theirs[name] = {
            "sgd": lambda moved=moved: torch.optim.SGD(moved, lr=0.1, momentum=0.9),
            "adam": lambda moved=moved: torch.optim.Adam(moved, lr=0.02),
        }[optimiser]()
    random = np.random.default_rng(0)
    for _ in range(4):
        x, z = random.normal(1, 1, (5, 3)), random.normal(size=(4, 2))
        for step in steps:
            expected = losses(p, torch.tensor(x), torch.tensor(z), kind)[step.name]
            np.testing.assert_allclose(step.run({"x": x, "z": z}), expected.item(), EXACT)
            theirs[step.name].zero_grad()
            expected.backward()
            theirs[step.name].step()
            for name, value in p.items():
                np.testing.assert_allclose(model.params[name], value.detach(), EXACT, EXACT, err_msg=name)


def test_an_objective_asks_for_what_it_needs_and_gives_the_gradients_that_it_moves(gans: Any) -> None:
    model = gans.NonSaturating(seed=1)
    z = np.random.default_rng(1).normal(size=(4, 2))
    loss, gradients = model.value_and_grad("g_loss", z=z)
    assert list(gradients) == list(model.objectives["g_loss"]) == ["gen.a.w", "gen.a.b", "gen.b.w", "gen.b.b"]
    with pytest.raises(KeyError, match=r"there is no gradient of disc\.a\.w"):
        gradients["disc.a.w"]
    assert np.count_nonzero(gradients.flat) == sum(value.size for value in gradients.values())
    assert loss == model.value_and_grad("g_loss", {"z": z})[0] == model.forward(z=z).g_loss
    assert list(model.forward(z=z)) == ["g_loss", "sample"]
    assert list(model.forward(z=z, x=np.ones((2, 3)))) == ["d_loss", "g_loss", "sample"]
    with pytest.raises(InputError, match="x is missing"):
        model.value_and_grad("d_loss", z=z)
    with pytest.raises(InputError, match="NonSaturating has the losses d_loss and g_loss: say which"):
        model.value_and_grad(z=z)
    with pytest.raises(InputError, match="there is no loss h_loss"):
        model.value_and_grad("h_loss", z=z)


def test_training_takes_a_step_of_each_loss_for_a_batch(gans: Any, tmp_path: Path, capsys: Any) -> None:
    random = np.random.default_rng(3)
    samples = training.Samples({"x": random.normal(2, 0.1, (40, 3)), "z": random.normal(size=(40, 2))})
    model, history = training.train(
        gans.NonSaturating, training.Data(samples, samples, {}), optimizer(ADAM), 2, batch=8, save=tmp_path / "gan.st"
    )
    assert [list(epoch) for epoch in history.losses] == [["d_loss", "g_loss"]] * 2
    start = gans.NonSaturating(seed=0)
    assert all((model.params[name] != start.params[name]).any() for name in model.params)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("epoch 1/2: d_loss ") and "g_loss" in lines[1]
    assert lines[-1].startswith("test d_loss ")


OVERLAPPING = """
use nn.linear: Linear

layer Block(x[D];; wide = 2) -> y[D]:
    up = Linear(I=wide*|D|)
    down = Linear(I=D)
    y[D] = x[D] + down(relu(up(x[D])))

model Three(x[B,D], t[B,D], m[S,D]) -> near, loss:
    index D = 4, L = 3
    param scale = 2, q[D] ~ normal(0, 1)
    blocks[L] = Block()
    head = Linear(I=D)
    tied = Linear(; head.w, q)
    h[b,D] = blocks[2](blocks[0](x[b,D]))
    y[b,D] = head(h[b,D])
    u[b,D] = tied(h[b,D])
    near = mean[b] sum[d] (y[b,d] - t[b,d])^2
    loss = (mean[b] sum[d] (u[b,d] - t[b,d])^2) + scale^2
    aside = scale*mean[s] sum[d] m[s,d]*q[d]
    minimize near over blocks, head
    minimize loss over blocks[L].down, tied.b, scale
    minimize aside
"""


def test_steps_over_arrays_shared_and_own_parameters(tmp_path: Path) -> None:
    (tmp_path / "three.dl").write_text(OVERLAPPING, encoding="utf-8")
    model = dlc.compile(tmp_path / "three.dl", dtype="float64").Three(seed=3)
    blocks = [f"blocks.{layer}.{name}" for layer in ("up", "down") for name in "wb"]
    assert model.objectives == {
        "near": (*blocks, "head.w", "head.b"),
        "loss": ("scale", "q", *blocks[2:]),
        "aside": ("scale", "q", *blocks, "head.w", "head.b"),
    }
    random = np.random.default_rng(0)
    given = {"x": random.normal(size=(5, 4)), "t": random.normal(size=(5, 4)), "m": random.normal(size=(3, 4))}
    x, t, m = (torch.tensor(value) for value in given.values())
    p = {name: torch.tensor(value, requires_grad=True) for name, value in model.params.items()}
    h = x
    for place in (0, 2):
        up = torch.relu(h @ p["blocks.up.w"][place].T + p["blocks.up.b"][place])
        h = h + up @ p["blocks.down.w"][place].T + p["blocks.down.b"][place]
    expected = {
        "near": ((h @ p["head.w"].T + p["head.b"] - t) ** 2).sum(1).mean(),
        "loss": ((h @ p["head.w"].T + p["q"] - t) ** 2).sum(1).mean() + p["scale"] ** 2,
        "aside": p["scale"] * (m @ p["q"]).mean(),
    }
    for name, needed in (("near", "xt"), ("loss", "xt"), ("aside", "m")):
        loss, gradients = model.value_and_grad(name, {key: given[key] for key in needed})
        np.testing.assert_allclose(loss, expected[name].item(), EXACT)
        assert tuple(gradients) == model.objectives[name]
        slopes = torch.autograd.grad(
            expected[name], [p[key] for key in gradients], retain_graph=True, allow_unused=True
        )
        for key, slope in zip(gradients, slopes, strict=True):
            wanted = np.zeros(p[key].shape) if slope is None else slope
            np.testing.assert_allclose(gradients[key], wanted, EXACT, EXACT, err_msg=f"{name}: {key}")
    assert list(model.forward(m=given["m"])) == ["aside"]
    assert list(model.forward(x=given["x"], t=given["t"])) == ["near", "loss"]
