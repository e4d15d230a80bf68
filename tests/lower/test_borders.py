"""Sums over an image read a copy with a border, where what is left stays in range without the guard."""

from __future__ import annotations

import numpy as np
import pytest
from lower.agreement import agree
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.lower import lower

KERNEL = """
layer Windows(x[N,C,W], k[C,P], z[N,C,W]) -> y[N,C,W]:
    y[n,c,w] = sum[p] k[c,p]*{}
"""


@pytest.mark.parametrize(
    "factors",
    ["x[n,c,pad(w+p-1)]*z[n,c,pad(w+p-1)]", "x[n,c,pad(w+p-1)]^2*z[n,c,w]", "x[n,c,pad(w+p-1)]*z[n,c,w]"],
    ids=["two", "one twice", "one"],
)
def test_a_factor_without_the_guard_stays_in_range(factors: str) -> None:
    """The gradient of the kernel is a sum over the image, in a piece for each shard."""
    graph = pipeline.entries(graph_of(KERNEL.format(factors), sizes=(("P", 3),)), wrt="*")["vjp"]
    program = lower({"vjp": graph})
    sizes = {"N": 2, "C": 2, "W": 5}
    shapes = {"x": (2, 2, 5), "k": (2, 3), "z": (2, 2, 5), "d_y": (2, 2, 5)}
    random = np.random.default_rng(0)
    given = {tensor.id: random.normal(size=shapes[tensor.id]) for tensor in graph.of_kind("input", "cotangent")}
    agree(graph, program, given, sizes)
