"""Products that are read in long steps: the place in a step is an index, and rows are interleaved."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import bind_sizes, evaluate
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse


def text(stride: int, padding: int = 0, dilation: int = 1, layer: str = "Conv1d", taps: str = "O,C,Q") -> str:
    options = f"stride={stride}, padding={padding}, dilation={dilation}"
    module = "transposed" if layer.startswith("Transposed") else "conv"
    return f"""use nn.{module}: {layer}

layer Windows(x[N,C,W], k[{taps}], b[O]) -> y[N,O,V]:
    y[n,O,V] = {layer}(x[n,C,W]; k, b; {options})
"""


def gradient(source: str, name: str = "d_x", **sizes: int) -> list[str]:
    """The equations of the gradient by the image, and of what it is made of."""
    made = semantics.elaborate(parse(Source("windows.dl", source)), "Windows", semantics.Loader(), sizes)
    tensors = pipeline.entries(made, wrt="*")["vjp"].tensors
    found = [tensor for key, tensor in tensors.items() if key.split(".")[0] == name]
    return [line for tensor in found for line in tensor_lines(tensor)]


def test_the_place_in_a_step_is_an_index() -> None:
    """One product with two turns of taps, and a copy that interleaves its rows."""
    part, copy = gradient(text(stride=8), O=4, C=3, Q=16, W=640)
    assert part == "d_x.part[n,c,r,w] = sum[o,p] [p <= w <= p + 78]*d_y[n,o,w-p]*k[o,c,r+8*p]"
    assert copy == "d_x[n,c,8*w+r] = d_x.part[n,c,r,w]"


def test_places_that_fewer_taps_reach_are_a_part_of_their_own() -> None:
    """Of 11 taps in steps of 8, three places of a step have two each: none is multiplied by zero."""
    lines = gradient(text(stride=8), O=4, C=3, Q=11, W=67)
    assert sum("= sum[o,p" in line for line in lines) == 1 and sum("= sum[o]" in line for line in lines) == 1


def test_between_taps_that_lie_apart_is_zero() -> None:
    lines = gradient(text(stride=16, dilation=2), O=4, C=3, Q=16, W=640)
    assert sum(".part" in line for line in lines) == 2 and "d_x[n,c,16*w+2*r+1] = 0" in lines


def test_places_that_no_tap_reaches_are_zero() -> None:
    """Five taps in steps of 8: the other three places of a step are no part of a product, also of open sequences."""
    lines = gradient(text(stride=8), Q=5)
    assert any(line.startswith("d_x.part[") and "[r <=" not in line for line in lines)
    assert any(line.endswith(" = 0") and "+5]" in line for line in lines)


def test_where_padding_shifts_the_steps_the_result_is_cut_out() -> None:
    lines = gradient(text(stride=8, padding=3), O=4, C=3, Q=16, W=640)
    assert lines[-1] == "d_x[n,c,w] = d_x.steps[n,c,w+3]"


def test_a_sum_without_channels_of_the_result_is_a_product_too() -> None:
    assert any(".part[" in line for line in gradient(text(stride=32), O=4, C=1, Q=64, W=256))


def test_few_classes_are_products_of_their_own() -> None:
    assert sum("= sum" in line for line in gradient(text(stride=4), O=4, C=3, Q=8, W=640)) == 4


def test_groups_of_channels_are_no_classes() -> None:
    """No condition asks for the place of a channel in its group: only those of the step count, and are few."""
    source = """use nn.conv: GroupedConv1d

layer Windows(x[N,C,W], k[G,M,E,Q], b[O]) -> y[N,O,V]:
    y[n,O,V] = GroupedConv1d(x[n,C,W]; k, b; stride=2)
"""
    lines = gradient(source, C=8, G=2, M=3, E=4, Q=3, W=65)
    assert not any(".steps" in line for line in lines) and sum("= sum" in line for line in lines) == 2


GEOMETRIES = ((8, 16, 0, 1), (8, 11, 3, 1), (8, 5, 2, 1), (12, 7, 5, 3), (32, 64, 16, 1))


@pytest.mark.parametrize("layer, taps", [("Conv1d", "O,C,Q"), ("TransposedConv1d", "C,O,Q")])
@pytest.mark.parametrize(
    "geometry", [(8, 16, 0, 1), (8, 11, 3, 1), (8, 5, 2, 1), (12, 7, 5, 3), (32, 64, 16, 1)], ids=str
)
@pytest.mark.parametrize("length", [None, 1, 7, 40])
def test_it_means_the_same(layer: str, taps: str, geometry: tuple[int, int, int, int], length: int | None) -> None:
    stride, window, padding, dilation = geometry
    length_ = (length or 23) + (dilation * (window - 1) if layer == "Conv1d" else 1)
    source = text(stride, padding, dilation, layer, taps)
    sizes = {"Q": window, "C": 2, "O": 3} | ({"W": length_} if length else {})
    made = semantics.elaborate(parse(Source("windows.dl", source)), "Windows", semantics.Loader(), sizes)
    rng = np.random.default_rng(window)
    shape = tuple({"O": 3, "C": 2, "Q": window}[axis] for axis in taps.split(","))
    arrays = {"x": rng.normal(size=(2, 2, length_)), "k": rng.normal(size=shape), "b": rng.normal(size=3)}
    known = bind_sizes(made, arrays, {})
    arrays["d_y"] = rng.normal(size=evaluate(made, arrays)["y"].shape)
    slow, entries = pipeline.entries(made, "*", pipeline.OPTIONAL)["vjp"], pipeline.entries(made, "*")
    wanted, found = evaluate(slow, arrays), evaluate(entries["vjp"], arrays)
    np.testing.assert_allclose(found["y"], wanted["y"], 1e-9, 1e-12)
    for one, slower in zip(entries["vjp"].gradients, slow.gradients, strict=True):
        np.testing.assert_allclose(found[one.adjoint], wanted[slower.adjoint], 1e-9, 1e-12)
    program = pipeline.lowered(entries)
    ran = loops_reference.run(program, "vjp", arrays, known, shards=2)
    entry = next(one for one in program.entries if one.name == "vjp")
    for result, slower in zip(entry.gradients, slow.gradients, strict=True):
        np.testing.assert_allclose(ran[result.buffer], wanted[slower.adjoint], 1e-9, 1e-12)
