"""Products with one factor left out, where shards share them out."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.lower import lower
from dlc.compiler.syntax.parse import parse_text

SPEC = """
layer F(q[B,T], r[D], z[B] in T) -> y[D,B]:
    y[d,b] = prod[b'] tanh(q[b,z[b]])*q[b',z[b]]*r[d]
"""


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_shards_wait_for_a_product_that_leaves_out_along_its_first_axis(shards: int) -> None:
    """Its outermost loop is along the second axis, which has as many elements."""
    graph = semantics.elaborate(parse_text(SPEC), "F", semantics.Loader())
    entry = pipeline.entries(graph, "*")["vjp"]
    draw, sizes = np.random.default_rng(1).normal, {"B": 5, "T": 4, "D": 3}
    given = {"q": draw(size=(5, 4)), "r": draw(size=3), "d_y": draw(size=(3, 5)), "z": np.array([0, 3, 1, 1, 2])}
    found = loops_reference.run(lower({"vjp": entry}), "vjp", given, sizes, shards)
    wanted = evaluate(entry, given, sizes)
    for gradient in entry.gradients:
        np.testing.assert_allclose(found[gradient.adjoint], wanted[gradient.adjoint], rtol=1e-12)
