"""Index sets without elements, bound by the inputs: what is said of them, and that kernels take them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numeric.harness import graph_of

import dlc
from dlc.compiler import pipeline
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.reference import evaluate
from dlc.runtime.errors import InputError

SPEC = """
layer Empty(x[B,J], dst[B] in V, g[T,D]; w[I,J], r[D,D]) -> y[B,I], s[B], p[B], m[B], a[B], q[V,J], h[S,D]:
    index S = |T| + 1
    y[b,i] = tanh(w[i,j]*x[b,j])
    s[b] = sum[j] x[b,j]
    p[b] = prod[j] x[b,j]
    m[b] = max[j] x[b,j]
    a[b] = mean[j] x[b,j]
    q[v,j] = sum[b : dst[b] == v] x[b,j]^2
    h[0,d] = 1
    h[t+1,d] = tanh(r[d,d']*h[t,d'] + g[t,d])
"""


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type]:
    folder = tmp_path_factory.mktemp("empty")
    (folder / "empty.dl").write_text(SPEC, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(folder))
        yield dlc.compile(folder / "empty.dl", dtype="float64", wrt="*").Empty


def arrays(sizes: dict[str, int]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"x": "BJ", "g": "TD", "w": "IJ", "r": "DD"}
    found = {name: random.normal(size=[sizes[one] for one in axes]) for name, axes in shapes.items()}
    return found | {"dst": random.integers(0, max(1, sizes["V"]), sizes["B"])}


@pytest.mark.parametrize(("b", "j", "t"), [*product((0, 3), (0, 2), (0, 1, 3))])
def test_values_and_gradients(layer: type, b: int, j: int, t: int) -> None:
    sizes = {"B": b, "J": j, "T": t, "V": 2, "I": 2, "D": 2}
    given = arrays(sizes)
    model = layer(sizes={name: sizes[name] for name in layer.declaration.sizes})
    for name in model.params:
        model.params[name][...] = given[name]
    inputs = {name: given[name] for name in model.inputs}
    graph = graph_of(SPEC, "")
    names = [output.name for output in graph.outputs]
    expected = evaluate(graph, given, sizes, names)
    outputs = model.forward(inputs)
    for name in names:
        np.testing.assert_allclose(outputs[name], expected[name], 1e-12, 1e-12, err_msg=name)
    weights = {name: np.ones_like(expected[name]) for name in ("y", "s", "q", "h")}
    _, gradients = model.vjp(weights, **inputs)
    assert {name: gradient.shape for name, gradient in gradients.items()} == {
        name: value.shape for name, value in given.items() if name != "dst"
    }
    slope = 1 - expected["y"] ** 2
    np.testing.assert_allclose(gradients["w"], slope.T @ given["x"], 1e-10, 1e-12)
    np.testing.assert_allclose(gradients["x"], slope @ given["w"] + 1 + 2 * given["x"], 1e-10, 1e-12)


def test_what_reductions_over_nothing_are(layer: type) -> None:
    sizes = {"B": 1, "J": 0, "T": 0, "V": 1, "I": 2, "D": 2}
    given = arrays(sizes)
    model = layer(sizes={name: sizes[name] for name in layer.declaration.sizes})
    outputs = model.forward({name: given[name] for name in model.inputs})
    assert [float(outputs[name][0]) for name in "spm"] == [0, 1, -np.inf]
    assert np.isnan(outputs["a"][0])


def test_what_needs_an_element_says_so(tmp_path: Path) -> None:
    spec = """
layer First(x[B,J], k[K]) -> y[B], z[B], n[B]:
    y[b] = x[b,0]
    z[b] = x[b, argmax[j] x[b,j]]
    n[b] = b // |K|
"""
    (tmp_path / "first.dl").write_text(spec, encoding="utf-8")
    model = dlc.compile(tmp_path / "first.dl").First()
    with pytest.raises(InputError, match="needs axis `J` to have an element"):
        model.forward(x=np.zeros((2, 0)), k=np.zeros(1))
    with pytest.raises(InputError, match="divides and must not be 0"):
        model.forward(x=np.zeros((2, 1)), k=np.zeros(0))


PAIRS = """
layer Pairs(a[N,T,D], b[N,T,D]) -> most[N], total[N], y[N,T,T]:
    s[n,t,t'] = [t + 1 < |T| and t' + 1 < |T|]*a[n,t+1,d]*b[n,t',d]
    most[n] = max[t,t' : t + 1 < |T| and t' + 1 < |T|] exp(s[n,t,t'])
    total[n] = sum[t,t' : t + 1 < |T| and t' + 1 < |T|] exp(s[n,t,t'])
    y[n,t,t'] = s[n,t,t']^2
"""


@pytest.mark.parametrize("t", [0, 1, 2])
def test_ranges_that_are_shorter_than_a_set_without_elements(t: int, tmp_path: Path) -> None:
    """Two axes of |T| - 1 elements have none together where each has fewer than none."""
    (tmp_path / "pairs.dl").write_text(PAIRS, encoding="utf-8")
    given = {name: np.full((2, t, 3), 0.5) for name in "ab"}
    expected = evaluate(graph_of(PAIRS), given)
    model = dlc.compile(tmp_path / "pairs.dl", dtype="float64").Pairs()
    program = pipeline.program(graph_of(PAIRS))
    looped = loops_reference.run(program, "forward", given, {"N": 2, "T": t, "D": 3})
    for name, value in model.forward(given).items():
        np.testing.assert_allclose(value, expected[name], 1e-12, err_msg=name)
        np.testing.assert_allclose(looped[name], expected[name], 1e-12, err_msg=name)
    finished = pipeline.entries(graph_of(PAIRS))["forward"]
    np.testing.assert_allclose(evaluate(finished, given)["total"], expected["total"], 1e-12)
