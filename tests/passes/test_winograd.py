"""Winograd's products: every geometry of a convolution with three taps means the same, and other sums stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.reference import bind_sizes, evaluate
from dlc.compiler.passes import winograd
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small sums are taken apart too, and few tiles make a block."""
    monkeypatch.setattr(winograd, "_ADDITION", 0)
    monkeypatch.setattr(winograd, "_ADDITION_IN_MEMORY", 0)
    monkeypatch.setattr(winograd, "_COLUMNS", 6)


def made(text: str, **sizes: int) -> Graph:
    return semantics.elaborate(parse(Source("sliding.dl", text)), "Sliding", semantics.Loader(), sizes)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


def image(padding: int = 0, stride: int = 1, dilation: int = 1) -> str:
    return f"""use nn.conv: Conv2d

layer Sliding(x[N,C,H,W], k[O,C,P,Q], b[O]) -> y[N,O,U,V]:
    y[n,O,U,V] = Conv2d(x[n,C,H,W]; k, b; stride={stride}, padding={padding}, dilation={dilation})
"""


@pytest.mark.parametrize("height, width, padding", [(6, 6, 1), (5, 7, 0), (4, 3, 0), (9, 4, 2), (3, 11, 1)])
def test_images(height: int, width: int, padding: int) -> None:
    plain = made(image(padding), C=3, O=2, H=height, W=width, P=3, Q=3)
    arrays = {"x": normal(2, 3, height, width), "k": normal(2, 3, 3, 3), "b": normal(2)}
    is_as_without(plain, arrays)


def test_one_image_without_batch_and_channels_last() -> None:
    text = """
layer Sliding(x[H,W,C], k[P,Q,C,O]) -> y[U,V,O]:
    index U = |H| - 2, V = |W|
    y[u,v,o] = k[p,q,c,o]*x[u+p, pad(v+q-1), c]
"""
    plain = made(text, H=7, W=5, C=3, O=4, P=3, Q=3)
    is_as_without(plain, {"x": normal(7, 5, 3), "k": normal(3, 3, 3, 4)}, 3)


def test_a_kernel_that_is_turned() -> None:
    text = """
layer Sliding(x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,U,V]:
    index U = |H| - 2, V = |W| - 2
    y[n,o,u,v] = k[o,c,p,q]*x[n,c,u-p+2,v-q+2]
"""
    plain = made(text, C=3, O=2, H=6, W=7, P=3, Q=3)
    is_as_without(plain, {"x": normal(2, 3, 6, 7), "k": normal(2, 3, 3, 3)}, 3)


def test_groups() -> None:
    text = """use nn.conv: GroupedConv2d

layer Sliding(x[N,C,H,W], k[G,M,E,P,Q], b[O]) -> y[N,O,U,V]:
    y[n,O,U,V] = GroupedConv2d(x[n,C,H,W]; k, b; padding=1)
"""
    plain = made(text, C=6, G=2, M=2, E=3, O=4, H=5, W=6, P=3, Q=3)
    is_as_without(plain, {"x": normal(2, 6, 5, 6), "k": normal(2, 2, 3, 3, 3), "b": normal(4)}, 2)


@pytest.mark.parametrize("length", [4, 9])
def test_sequences(length: int) -> None:
    text = """use nn.conv: Conv1d

layer Sliding(x[N,C,W], k[O,C,P], b[O]) -> y[N,O,V]:
    y[n,O,V] = Conv1d(x[n,C,W]; k, b; padding=1)
"""
    plain = made(text, C=3, O=4, W=length, P=3)
    is_as_without(plain, {"x": normal(2, 3, length), "k": normal(4, 3, 3), "b": normal(4)}, 3)


def test_volumes() -> None:
    text = """use nn.conv: Conv3d

layer Sliding(x[N,C,D,H,W], k[O,C,R,P,Q], b[O]) -> y[N,O,T,U,V]:
    y[n,O,T,U,V] = Conv3d(x[n,C,D,H,W]; k, b)
"""
    plain = made(text, C=2, O=3, D=4, H=5, W=4, R=3, P=3, Q=3)
    is_as_without(plain, {"x": normal(1, 2, 4, 5, 4), "k": normal(3, 2, 3, 3, 3), "b": normal(3)}, 3)


def test_the_derivative_of_a_rectified_map_is_read_through_its_guard() -> None:
    text = """use nn.conv: Conv2d

layer Sliding(x[N,C,H,W], k[O,C,P,Q], b[O]) -> y[N,O,U,V]:
    y[n,O,U,V] = relu(Conv2d(x[n,C,H,W]; k, b; padding=1))
"""
    plain = made(text, C=3, O=2, H=5, W=6, P=3, Q=3)
    is_as_without(plain, {"x": normal(2, 3, 5, 6), "k": normal(2, 3, 3, 3), "b": normal(2)}, 3)


@pytest.mark.parametrize("name, number", [("x", np.inf), ("k", np.nan), ("d_y", -np.inf), ("x", 1e308)])
def test_what_is_not_finite_is_the_same(name: str, number: float) -> None:
    plain = made(image(1), C=3, O=2, H=6, W=5, P=3, Q=3)
    arrays = {"x": normal(2, 3, 6, 5), "k": normal(2, 3, 3, 3), "b": normal(2), "d_y": normal(2, 2, 6, 5)}
    arrays[name][1, 1, 2, 2] = number
    with np.errstate(all="ignore"):
        is_as_without(plain, arrays, 3, (winograd.NAME,))


@pytest.mark.parametrize(
    "text, sizes",
    [
        (image(1, stride=2), {"P": 3, "Q": 3}),
        (image(2, dilation=2), {"P": 3, "Q": 3}),
        (image(2), {"P": 5, "Q": 5}),
        (image(1), {"P": 3, "Q": 5}),
    ],
)
def test_other_convolutions_stay(text: str, sizes: dict[str, int]) -> None:
    plain = made(text, C=3, O=2, H=8, W=8, **sizes)
    assert products_of(pipeline.entries(plain, "*")["forward"]) == 0


def test_one_channel_stays() -> None:
    text = """use nn.conv: DepthwiseConv2d

layer Sliding(x[N,C,H,W], k[C,P,Q], b[C]) -> y[N,C,U,V]:
    y[n,C,U,V] = DepthwiseConv2d(x[n,C,H,W]; k, b)
"""
    assert products_of(pipeline.entries(made(text, C=8, H=8, W=8, P=3, Q=3), "*")["vjp"]) == 0


def test_few_channels_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for channels, expected in ((3, 0), (64, 3)):
        plain = made(image(1), C=channels, O=64, H=32, W=32, P=3, Q=3)
        assert products_of(pipeline.entries(plain, "*")["vjp"]) == expected


def products_of(graph: Graph) -> int:
    return sum(name.partition(".products")[1] != "" for name in graph.tensors)


def is_as_without(
    plain: Graph, arrays: Mapping[str, np.ndarray], products: int | None = None, off: Sequence[str] = pipeline.OPTIONAL
) -> None:
    """The value and its derivatives by all inputs, of the graph and of the loops, are what they are when the passes are
    off; so many sums are taken apart (None: some)."""
    entries, slow = pipeline.entries(plain, "*"), pipeline.entries(plain, "*", off)
    vjp = entries["vjp"]
    assert products_of(vjp) > 0 if products is None else products_of(vjp) == products
    program = pipeline.lowered(entries)
    everything = dict(arrays)
    inputs = {name: value for name, value in arrays.items() if name != "d_y"}
    shape = evaluate(plain, inputs)["y"].shape
    everything.setdefault("d_y", np.random.default_rng(7).normal(size=shape))
    wanted = evaluate(slow["vjp"], everything)
    found = evaluate(vjp, everything)
    ran = loops_reference.run(program, "vjp", everything, bind_sizes(plain, inputs, {}), shards=2)
    entry = next(one for one in program.entries if one.name == "vjp")
    pairs = [(vjp.outputs[0].tensor, entry.results[0].buffer, slow["vjp"].outputs[0].tensor)]
    for gradient, result, slower in zip(vjp.gradients, entry.gradients, slow["vjp"].gradients, strict=True):
        pairs.append((gradient.adjoint, result.buffer, slower.adjoint))
    for fast, buffer, slower in pairs:
        np.testing.assert_allclose(found[fast], wanted[slower], 1e-9, 1e-11)
        np.testing.assert_allclose(ran[buffer], wanted[slower], 1e-9, 1e-11)
