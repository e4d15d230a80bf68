"""Convolutions whose sizes are not known: rows that some elements of a window are added to at a time, sums for some of
them side by side, copies with borders, products of groups."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np
import pytest

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import For, If, Program, Statement, Update, Var, statements
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse


def elaborated(stride: int, padding: int) -> Graph:
    return layer(f"""use nn.conv: DepthwiseConv2d

layer Windows(x[N,C,H,W], k[C,P,Q], b[C]) -> y[N,C,U,V]:
    y[n,C,U,V] = DepthwiseConv2d(x[n,C,H,W]; k, b; stride={stride}, padding={padding})
""")


def layer(text: str) -> Graph:
    return semantics.elaborate(parse(Source("windows.dl", text)), "Windows", semantics.Loader())


def lowered(stride: int, padding: int) -> tuple[Graph, Program]:
    plain = elaborated(stride, padding)
    return plain, pipeline.lowered(pipeline.entries(plain, "*"))


@pytest.mark.parametrize("geometry", [(1, 0), (1, 1), (2, 1)], ids=str)
def test_windows_of_all_lengths(geometry: tuple[int, int]) -> None:
    plain, program = lowered(*geometry)
    for width in (1, 2, 3, 5, 8):
        random = np.random.default_rng(width)
        shapes = {"x": (2, 1, 5, 9), "k": (1, 3, width), "b": (1,)}
        arrays = {name: random.normal(size=shape) for name, shape in shapes.items()}
        agree(plain, program, arrays, dict(zip("NCHWPQ", (*shapes["x"], *shapes["k"][1:]), strict=True)))


def agree(plain: Graph, program: Program, arrays: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
    """The value and the gradients, with those of a sum of all elements times numbers."""
    slow = pipeline.entries(plain, "*", pipeline.OPTIONAL)["vjp"]
    arrays["d_y"] = np.random.default_rng(1).normal(size=evaluate(plain, arrays)["y"].shape)
    wanted = evaluate(slow, arrays)
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


@pytest.mark.parametrize("kernel", ["P = 3, Q = 3", "P = 4, Q = 5", ""])
def test_steps_through_images_of_open_size_are_read_from_a_copy_with_a_border(kernel: str) -> None:
    """Where a row ends is asked of twice a place, or more: its parity is not known."""
    given = f"    index {kernel}\n" if kernel else ""
    plain = layer(f"""use nn.conv: Conv2d

layer Windows(x[N,C,H,W], k[O,C,P,Q], b[O]) -> y[N,O,U,V]:
{given}    y[n,O,U,V] = Conv2d(x[n,C,H,W]; k, b; stride=2, padding=1)
""")
    program = pipeline.lowered(pipeline.entries(plain, "*"))
    assert not [name for name in program.buffers if name.startswith("d_") and ".packed" in name]
    height, width = (4, 5) if "5" in kernel else (3, 3)
    for rows, columns in ((6, 7), (7, 6)):
        shapes = {"x": (1, 2, rows, columns), "k": (2, 2, height, width), "b": (2,)}
        arrays = {name: np.random.default_rng(rows).normal(size=shape) for name, shape in shapes.items()}
        sizes = {"N": 1, "C": 2, "H": rows, "W": columns, "O": 2, "P": height, "Q": width}
        agree(plain, program, arrays, {name: sizes[name] for name in plain.sizes if name in sizes})


def test_groups_of_open_size_are_products_of_their_own() -> None:
    plain = layer("""use nn.conv: GroupedConv1d

layer Windows(x[S,C,W], k[G,M,N,P], b[O]) -> y[S,O,V]:
    index G = 2, P = 3
    y[s,O,V] = GroupedConv1d(x[s,C,W]; k, b; padding=1)
""")
    entries = pipeline.entries(plain, "*")
    (d_x,) = (one.adjoint for one in entries["vjp"].gradients if one.tensor == "x")
    parts = [one for name, one in entries["vjp"].tensors.items() if name.startswith(f"{d_x}.part")]
    assert parts and all(is_contraction(equation) for part in parts for equation in part.equations)
    program = pipeline.lowered(entries)
    for channels in (4, 6):
        group = channels // 2
        shapes = {"x": (2, channels, 7), "k": (2, 3, group, 3), "b": (6,)}
        arrays = {name: np.random.default_rng(channels).normal(size=shape) for name, shape in shapes.items()}
        sizes = {"S": 2, "C": channels, "W": 7, "M": 3, "N": group, "O": 6}
        agree(plain, program, arrays, {name: sizes[name] for name in plain.sizes if name in sizes})
