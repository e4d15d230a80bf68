"""Scattered sums that are added to one another: they are scattered into the result, behind its other terms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from lower.agreement import agree, drawn
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir.graph import Graph
from dlc.compiler.lower import lower
from dlc.compiler.lower.fusion import writes

SIZES = {"B": 6, "D": 3, "V": 5}
HEAD = "layer Read(w[V,D], i[B] in V, j[B] in V, k[B] in V, u[B,D]) -> y[B,D], z:\n"
#: Each with the number of the kernels that compute the gradient by w.
TEXTS = {
    "two": ("    y[b,d] = u[b,d]*w[i[b],d] + w[j[b],d]\n    z = 0\n", 2),
    "three": ("    y[b,d] = u[b,d]*w[i[b],d] + w[j[b],d]*w[k[b],d]\n    z = 0\n", 3),
    "two and another term": ("    y[b,d] = u[b,d]*w[i[b],d] + w[j[b],d]\n    z = sum[v,d] w[v,d]^2\n", 3),
    "one and another term": ("    y[b,d] = u[b,d]*w[i[b],d]\n    z = sum[v,d] w[v,d]^2\n", 2),
}


def compiled(text: str) -> Graph:
    return pipeline.entries(graph_of(HEAD + text), wrt="w")["vjp"]


def given(made: Graph, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    places = {t.id: random.integers(0, sizes["V"], sizes["B"]) for t in made.of_kind("input") if t.type == "int"}
    return {**drawn(made, sizes), **places}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", TEXTS)
def test_the_gradient_of_what_is_read_in_several_places_is_one_tensor(name: str, shards: int) -> None:
    text, kernels = TEXTS[name]
    made = compiled(text)
    program = lower({"vjp": made})
    rows = program.buffers["d_w"].sizes[0]
    workspace = [key for key, buffer in program.buffers.items() if buffer.role == "workspace"]
    assert not [key for key in workspace if program.buffers[key].sizes[:1] == (rows,)]
    assert sum("d_w" in writes(kernel.body) for kernel in program.kernels.values()) == kernels
    agree(made, program, given(made, SIZES), SIZES, shards)


def test_what_is_needed_by_itself_stays_a_tensor() -> None:
    text = "layer Counted(i[B] in V, j[B] in V, x[B]) -> s[V], t[V]:\n"
    text += "    s[v] = sum[b : i[b] == v] x[b]\n    r[v] = sum[b : j[b] == v] x[b]\n    t[v] = s[v] + r[v]\n"
    made = pipeline.entries(graph_of(text))["forward"]
    program = lower({"forward": made})
    assert {"s", "t"} <= set(program.buffers) and "r" not in program.buffers
    agree(made, program, given(made, SIZES), SIZES, 3)
