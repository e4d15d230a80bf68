"""Random tensors in layers and models: given the numbers that were drawn, values and gradients are PyTorch's.

The drawn numbers are outputs of the specs. The interpreter evaluates the finished graphs, in float64; one model is
compiled too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numeric.harness import EXACT, SINGLE, Array, assert_close, entries_of, graph_of, library_text, torch

import dlc
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.reference import evaluate

F = torch.nn.functional
FOLDER = Path(__file__).parent / "composites"
TEXT = (FOLDER / "random.dl").read_text(encoding="utf-8")
SIZES = {"B": 5, "T": 6, "I": 4}


def inputs_of(graph: Graph, **sizes: int) -> dict[str, Array]:
    from dlc.compiler.ir.reference import size_value

    random, found = np.random.default_rng(3), {}
    for tensor in graph.of_kind("input", "parameter"):
        shape = tuple(size_value(size, SIZES | sizes) for size in tensor.sizes)
        if tensor.type == "int":
            assert tensor.bound is not None
            found[tensor.id] = random.integers(0, size_value(tensor.bound, SIZES), shape)
        else:
            found[tensor.id] = random.normal(0, 0.4, shape)
    return found


def run(entry: Graph, inputs: Mapping[str, Array], train: bool = True, step: int = 4) -> dict[str, Array]:
    modes = {"#train": np.array(train), "#seed": np.array(11), "#step": np.array(step)}
    given = {name: value for name, value in {**inputs, **modes}.items() if name in entry.tensors}
    values = evaluate(entry, given)
    found = {output.name: values[output.tensor] for output in entry.outputs}
    found |= {f"d_{gradient.tensor}": values[gradient.adjoint] for gradient in entry.gradients}
    return found | {objective.name: values[objective.loss] for objective in entry.objectives}


# --- models -----------------------------------------------------------------------------------------------------------


def vae(t: Any, drawn: Any) -> Any:
    h = torch.tanh(t.x @ t.we.T)
    m, s = h @ t.wm.T, torch.exp(h @ t.ws.T)
    noise = (drawn.z - drawn.m) / drawn.s
    o = F.relu((m + s * noise) @ t.wd.T) @ t.wo.T
    rebuilt = F.binary_cross_entropy_with_logits(o, torch.sigmoid(t.x), reduction="none").sum(1)
    prior = torch.distributions.Normal(torch.zeros_like(m), torch.ones_like(s))
    divergence = torch.distributions.kl_divergence(torch.distributions.Normal(m, s), prior).sum(1)
    return (rebuilt + divergence).mean()


def critic(t: Any, drawn: Any) -> Any:
    def f(x: Any) -> Any:
        return torch.tanh(x @ t.w.T + t.c) @ t.u

    fake = torch.tanh(drawn.z @ t.v.T)
    between = drawn.mix[:, None] * t.x + (1 - drawn.mix[:, None]) * fake
    slope = torch.autograd.grad(f(between).sum(), between, create_graph=True)[0]
    return f(fake).mean() - f(t.x).mean() + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()


def walk(t: Any, drawn: Any) -> Any:
    h = [torch.zeros_like(t.s)]
    for x, e, drop in zip(t.x, drawn.e, drawn.drop, strict=True):
        h.append(t.wx @ x * (drop > 0.3) + t.wh @ (h[-1] * (drawn.keep > 0.3)) + t.s * e)
    return (torch.stack(h) ** 2).sum()


def skip_gram(t: Any, drawn: Any) -> Any:
    near = (t.e[t.z] * t.o[t.target]).sum(-1)
    far = torch.einsum("bd,bkd->bk", t.e[t.z], t.o[drawn.k])
    return (F.softplus(-near) + F.softplus(far).sum(1)).mean()


MODELS: dict[str, Callable[[Any, Any], Any]] = {"Vae": vae, "Critic": critic, "Walk": walk, "SkipGram": skip_gram}


def expected(
    graph: Graph, reference: Callable[[Any, Any], Any], inputs: Mapping[str, Array], drawn: Mapping[str, Array]
) -> dict[str, Array]:
    """The loss and its gradients, the drawn numbers being given."""
    tensors = {name: torch.tensor(value) for name, value in inputs.items()}
    moving = [name for name in tensors if name in graph.tensors and tensors[name].dtype.is_floating_point]
    for name in moving:
        tensors[name].requires_grad_()
    loss = reference(
        SimpleNamespace(**tensors), SimpleNamespace(**{name: torch.tensor(value) for name, value in drawn.items()})
    )
    found = torch.autograd.grad(loss, [tensors[name] for name in moving], allow_unused=True)
    gradients = {f"d_{name}": value.numpy() for name, value in zip(moving, found, strict=True) if value is not None}
    return {"loss": loss.detach().numpy(), **gradients}


@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients(name: str) -> None:
    graph = graph_of(TEXT, name)
    inputs = inputs_of(graph)
    drawn = run(entries_of(graph)["forward"], inputs)
    found = run(entries_of(graph)["value_and_grad"], inputs)
    wanted = expected(graph, MODELS[name], inputs, drawn)
    assert_close(drawn["loss"], wanted["loss"], EXACT, "loss")
    assert found["loss"] == pytest.approx(drawn["loss"], rel=EXACT)
    for parameter in graph.objectives[0].over:
        assert_close(found[f"d_{parameter}"], wanted[f"d_{parameter}"], EXACT, parameter)


def test_noise_in_a_recurrence_is_drawn_at_every_time() -> None:
    graph = graph_of(TEXT, "Walk")
    drawn = run(entries_of(graph)["forward"], inputs_of(graph, T=60), step=0)
    assert len(np.unique(drawn["e"])) == drawn["e"].size
    assert scipy.stats.kstest(drawn["e"].ravel(), "norm").pvalue > 0.01


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", SINGLE)])
def test_compiled(dtype: str, tolerance: float, tmp_path: Path) -> None:
    (tmp_path / "random.dl").write_text(TEXT, encoding="utf-8")
    model = dlc.compile(tmp_path / "random.dl", dtype=dtype, model="Critic").Critic(seed=2)
    graph = graph_of(TEXT, "Critic")
    inputs = {"x": np.random.default_rng(0).normal(size=(9, 4)), **{n: np.array(v) for n, v in model.params.items()}}
    drawn = model.forward(x=inputs["x"], step=0)
    loss, gradients = model.value_and_grad(x=inputs["x"])
    inputs = {name: np.asarray(value, np.float64) for name, value in inputs.items()}
    wanted = expected(graph, critic, inputs, {name: np.asarray(drawn[name], np.float64) for name in ("z", "mix")})
    assert_close(loss, wanted["loss"], tolerance)
    for name in ("w", "c", "u"):
        assert_close(gradients[name], wanted[f"d_{name}"], tolerance, name)


# --- layers -----------------------------------------------------------------------------------------------------------

X = np.random.default_rng(5).normal(size=(40, 25))


def layer(call: str, train: bool = True, axes: str = "B,I") -> tuple[Array, Array]:
    """y, and the gradient of the sum of y^2/2."""
    text = library_text("nn.dropout") + f"\nlayer Case(x[{axes}]) -> y[{axes}]:\n    y[{axes}] = {call}\n"
    graph = graph_of(text, "Case")
    x = X if axes == "B,I" else X.reshape(10, 4, 5, 5)
    y = run(entries_of(graph)["forward"], {"x": x}, train)["y"]
    found = run(entries_of(graph)["vjp"], {"x": x, "d_y": y}, train)
    assert_close(found["y"], y, EXACT)
    return y, found["d_x"]


@pytest.mark.parametrize(
    "call",
    [
        *("Dropout(x[B,I]; p=0.3)", "Dropout(x[B,I]; p=0.3, scaled=false)", "DropPath(x[B,I]; p=0.3)"),
        *("GaussianNoise(x[B,I])", "GaussianDropout(x[B,I]; p=0.3)"),
    ],
)
def test_the_identity_when_not_training(call: str) -> None:
    y, slope = layer(call, train=False)
    np.testing.assert_array_equal(y, X)
    np.testing.assert_array_equal(slope, X)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("scaled", [True, False])
def test_dropout_given_its_mask(p: float, scaled: bool) -> None:
    y, slope = layer(f"Dropout(x[B,I]; p={p}, scaled={str(scaled).lower()})")
    kept = y != 0
    factor = kept / (1 - p) if scaled and p < 1 else kept.astype(float)
    assert_close(y, X * factor, EXACT)
    assert_close(slope, y * factor, EXACT)
    assert abs(kept.mean() - (1 - p)) <= 4 * np.sqrt(p * (1 - p) / X.size)
    assert len({row.tobytes() for row in kept}) == (len(X) if 0 < p < 1 else 1)


def test_dropout_keeps_the_mean() -> None:
    draws = np.array([dropped(step) for step in range(300)])
    error = np.abs(draws.mean(0) - 1) / np.sqrt(0.3 / 0.7 / len(draws))
    assert error.max() < 4.5
    assert abs(draws.var() - 0.3 / 0.7) < 0.02


def dropped(step: int) -> Array:
    graph = graph_of(library_text("nn.dropout"), "Dropout")
    given = {"x": np.ones(200), "p": np.array(0.3)}
    return run(entries_of(graph)["forward"], given, step=step)["y"]


def test_channels_are_dropped_as_a_whole() -> None:
    y, slope = layer("ChannelDropout(x[B,C,H,W]; p=0.4)", axes="B,C,H,W")
    kept = np.all(y != 0, axis=(2, 3))
    assert np.array_equal(kept, np.any(y != 0, axis=(2, 3)))
    assert 0 < kept.mean() < 1
    factor = kept[:, :, None, None] / 0.6
    assert_close(y, X.reshape(y.shape) * factor, EXACT)
    assert_close(slope, y * factor, EXACT)


def test_paths_are_dropped_as_a_whole() -> None:
    """One number for each element of what the layer is mapped over."""
    whole, _ = layer("DropPath(x[B,I]; p=0.4)")
    assert np.all(whole == 0) or np.all(whole != 0)
    text = library_text("nn.dropout") + "\nlayer Case(x[B,I]) -> y[B,I]:\n    y[b,I] = Row(x[b,I])\n"
    text += "\nlayer Row(x[I]) -> y[I]:\n    y[I] = DropPath(x[I]; p=0.4)\n"
    y = run(entries_of(graph_of(text, "Case"))["forward"], {"x": X})["y"]
    kept = np.all(y != 0, axis=1)
    assert np.array_equal(kept, np.any(y != 0, axis=1))
    assert_close(y, X * kept[:, None] / 0.6, EXACT)
    assert 0 < kept.mean() < 1


def test_noise() -> None:
    y, slope = layer("GaussianNoise(x[B,I]; s=0.2)")
    assert scipy.stats.kstest(((y - X) / 0.2).ravel(), "norm").pvalue > 0.01
    assert_close(slope, y, EXACT)
    y, slope = layer("GaussianDropout(x[B,I]; p=0.2)")
    assert scipy.stats.kstest(((y / X - 1) / 0.5).ravel(), "norm").pvalue > 0.01
    assert_close(slope, y * y / X, EXACT)


def test_stop() -> None:
    """`stop` has the value of what it holds and passes no gradient: the straight-through estimate of a threshold."""
    text = "layer Case(x[I]) -> y[I]:\n    y[i] = x[i] + stop([x[i] > 0] - x[i])\n"
    graph = graph_of(text)
    entry = entries_of(graph)["vjp"]
    found = run(entry, {"x": X[0], "d_y": np.ones(25)})
    np.testing.assert_allclose(found["y"], X[0] > 0, atol=1e-15)
    np.testing.assert_array_equal(found["d_x"], np.ones(25))
