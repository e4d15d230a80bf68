"""`checkpoint`: compiled models with the same gradients, in memory that grows with the root of the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.compiler import compilation, driver, pipeline
from dlc.compiler.ir.expr import Size
from dlc.compiler.ir.reference import evaluate, size_value
from dlc.compiler.options import Options
from dlc.compiler.sources import read

RNN = """
model M(x[B,T,I], target[B]; w[D,I] ~ uniform(-0.3,0.3), u[D,D] ~ uniform(-0.3,0.3), v[D] = 0.5) -> y[B]:
    index D = 4, I = 3
    h[b,0,d] = 0
    h[b,t+1,d] = tanh(w[d,i]*x[b,t,i] + u[d,d']*h[b,t,d'])
    y[b] = v[d]*h[b,|T|,d]
    loss = sum[b] (y[b] - target[b])^2
    minimize loss
"""
LAYERS = """
use nn.recurrent: {layer}
model M(x[B,T,I], target[B,T]; v[D] = 0.5) -> y[B,T]:
    index D = 2, I = 2
    cell = {layer}({arguments})
    h[b,T,D] = cell(x[b,T,I])
    y[b,t] = v[d]*h[b,t,d]
    loss = sum[b,t] (y[b,t] - target[b,t])^2
    minimize loss
"""
BIDIRECTIONAL = """
model M(x[B,T,I], target[B,T]; w[D,I] ~ uniform(-0.3,0.3), u[D,D] ~ uniform(-0.3,0.3), v[D] = 0.5) -> y[B,T]:
    index D = 2, I = 2
    f[b,0,d] = 0
    f[b,t+1,d] = tanh(w[d,i]*x[b,t,i] + u[d,d']*f[b,t,d'])
    r[b,|T|,d] = 0
    r[b,t,d] = tanh(w[d,i]*x[b,t,i] - u[d,d']*r[b,t+1,d'])
    y[b,t] = v[d]*f[b,t+1,d]*r[b,t,d]
    loss = sum[b,t] (y[b,t] - target[b,t])^2
    minimize loss
"""
SPECS = {
    "last state": RNN,
    "LSTM": LAYERS.format(layer="LSTM", arguments="D=2"),
    "GRU": LAYERS.format(layer="GRU", arguments="D=2"),
    "stacked": LAYERS.format(layer="StackedRNN", arguments="D=2, L=3"),
    "both directions": BIDIRECTIONAL,
}


def saved(folder: Path, text: str) -> Path:
    path = folder / "m.dl"
    path.write_text(text, encoding="utf-8")
    return path


def test_memory_grows_with_the_root_of_the_steps(tmp_path: Path) -> None:
    spec = saved(tmp_path, RNN)
    used = {}
    for checkpoint in (False, True):
        model = dlc.compile(spec, dtype="float64", checkpoint=checkpoint).M()
        used[checkpoint] = [model.workspace_bytes("value_and_grad", B=2, T=steps) for steps in (10_000, 1_000_000)]
    (few, many), (few_kept, many_kept) = used[False], used[True]
    assert many > 90 * few
    assert many_kept < 12 * few_kept
    assert many_kept < many / 20


@pytest.mark.parametrize(("name", "steps"), [("last state", 1), *((name, 7) for name in SPECS)])
def test_layers_of_the_library(name: str, steps: int, tmp_path: Path) -> None:
    """The gradients of parameters are what they were, and no intermediate value has an axis over all steps."""
    (graph,) = compilation.graphs(read(saved(tmp_path, SPECS[name])), Options.of())
    made = pipeline.entries(graph)["value_and_grad"]
    cut = pipeline.checkpointed({"value_and_grad": made}, 0)["value_and_grad"]
    assert not [one.id for one in cut.of_kind("computed") if Size("T") in one.sizes]
    random = np.random.default_rng(steps)
    sizes = {"B": 2, "T": steps}
    given = {
        one.id: random.normal(size=[size_value(size, sizes) for size in one.sizes])
        for one in made.of_kind("input", "parameter")
    }
    wanted, found = (evaluate(one, given, sizes, made.roots) for one in (made, cut))
    for root in made.roots:
        np.testing.assert_allclose(found[root], wanted[root], rtol=1e-12, atol=1e-13, err_msg=root)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    spec = saved(tmp_path_factory.mktemp("checkpoint"), RNN)
    return spec, dlc.compile(spec, dtype="float64", checkpoint=3)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_compiled_gradients_stay_what_they_are(compiled: tuple[Path, Any], steps: int) -> None:
    spec, module = compiled
    model = module.M(seed=1)
    random = np.random.default_rng(steps)
    inputs = {"x": random.normal(size=(2, steps, 3)), "target": random.normal(size=2)}
    loss, gradients = model.value_and_grad(**inputs)
    (graph,) = compilation.graphs(read(spec), Options.of())
    entry = pipeline.entries(graph)["value_and_grad"]
    given = {**inputs, **{name: np.asarray(model.params[name]) for name in model.params}}
    wanted = evaluate(entry, given, {}, entry.roots)
    np.testing.assert_allclose(loss, wanted["loss"], rtol=1e-12)
    for one in entry.gradients:
        np.testing.assert_allclose(gradients[one.tensor], wanted[one.adjoint], rtol=1e-11, atol=1e-14)


# -- what cannot be checkpointed -------------------------------------------------------------------------------------

LOOKS_AT_ALL = """
model M(x[T,D]; w[D] = 0.5) -> h[T,D]:
    index D = 2
    h[t,d] = tanh(x[t,d] + sum[t' : t' < t] w[d]*h[t',d])
    loss = sum[t,d] h[t,d]^2
    minimize loss
"""
NO_RECURRENCE = """
model M(x[B,D]; w[D] = 0.5) -> loss:
    index D = 2
    loss = sum[b] (w[d]*x[b,d])^2
    minimize loss
"""


@pytest.mark.parametrize(
    ("text", "code", "about"), [(LOOKS_AT_ALL, "DL926", "`h` keeps all"), (NO_RECURRENCE, "DL927", "`M` has no")]
)
def test_what_stays_as_it_is_is_said(text: str, code: str, about: str, tmp_path: Path) -> None:
    found = compilation.module_text(read(saved(tmp_path, text)), Options.of(checkpoint=True))
    assert [remark.code for remark in found.remarks] == [code]
    assert about in found.remarks[0].message


def test_it_is_said_each_time(tmp_path: Path) -> None:
    """Also of a module that is in the store already."""
    spec = saved(tmp_path, NO_RECURRENCE)
    said = [driver.compile_spec(spec, checkpoint=True).remarks for _ in range(2)]
    assert said[0] == said[1] and "note[DL927]" in said[0]
    assert driver.compile_spec(spec).remarks == ""


def test_the_module_tells(tmp_path: Path) -> None:
    spec = saved(tmp_path, RNN)
    texts = [compilation.module_text(read(spec), Options.of(checkpoint=one)).python for one in (None, True, 5)]
    assert ["checkpoints" in text for text in texts] == [False, True, True]
    assert "checkpoints every 5 steps" in texts[2]
