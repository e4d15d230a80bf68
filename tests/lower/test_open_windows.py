"""Kernels whose size is not known: rows that some elements of a window are added to at a time, sums for some of them
side by side, from copies with borders."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
import pytest

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import For, If, Program, Statement, Update, Var, statements
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse


def elaborated(stride: int, padding: int) -> Graph:
    text = f"""use nn.conv: DepthwiseConv2d

layer Windows(x[N,C,H,W], k[C,P,Q], b[C]) -> y[N,C,U,V]:
    y[n,C,U,V] = DepthwiseConv2d(x[n,C,H,W]; k, b; stride={stride}, padding={padding})
"""
    return semantics.elaborate(parse(Source("windows.dl", text)), "Windows", semantics.Loader())


def lowered(stride: int, padding: int) -> tuple[Graph, Program]:
    plain = elaborated(stride, padding)
    return plain, pipeline.lowered(pipeline.entries(plain, "*"))


@pytest.mark.parametrize("geometry", [(1, 0), (1, 1), (2, 1)], ids=str)
def test_windows_of_all_lengths(geometry: tuple[int, int]) -> None:
    plain, program = lowered(*geometry)
    slow = pipeline.entries(plain, "*", pipeline.OPTIONAL)["vjp"]
    for width in (1, 2, 3, 5, 8):
        random = np.random.default_rng(width)
        shapes = {"x": (2, 1, 5, 9), "k": (1, 3, width), "b": (1,)}
        arrays = {name: random.normal(size=shape) for name, shape in shapes.items()}
        arrays["d_y"] = random.normal(size=evaluate(plain, arrays)["y"].shape)
        wanted = evaluate(slow, arrays)
        sizes = dict(zip("NCHWPQ", (*shapes["x"], *shapes["k"][1:]), strict=True))
        found = loops_reference.run(program, "vjp", arrays, sizes, shards=3)
        np.testing.assert_allclose(found["y"], wanted["y"], rtol=1e-10, atol=1e-12)
        for one in slow.gradients:
            np.testing.assert_allclose(found[f"d_{one.tensor}"], wanted[one.adjoint], rtol=1e-10, atol=1e-12)


def test_no_row_is_reduced_over_a_window() -> None:
    """A loop over a few elements takes no vectors."""
    _, program = lowered(1, 1)
    loops = [one for kernel in program.kernels.values() for one in statements(kernel.body) if isinstance(one, For)]
    added = [loop for loop in loops if any(isinstance(one, Update) for one in loop.body)]
    assert added and not any(loop.index.hint in ("p", "q") for loop in added)


def test_the_taps_of_a_group_are_summed_in_one_pass() -> None:
    _, program = lowered(1, 0)
    bodies = [one.body for kernel in program.kernels.values() for one in statements(kernel.body) if _holds(one)]
    together = [sum(isinstance(one, Var) for one in body) for body in bodies]
    assert {1, 2, 3, 4} <= set(together)


def _holds(statement: Statement) -> TypeGuard[For | If]:
    return isinstance(statement, For | If)
