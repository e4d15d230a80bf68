"""Convolutions in tiles: which products are such in every layout, and that their operands mean the same in order."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Expr, Size
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import Matmul, OpenRows, Program, Steps, statements
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.ways import Conv, Ways
from dlc.compiler.lower import lower
from dlc.compiler.lower.winograd_blocks import MOST, block, is_faster, most_tiles, numbers

FULL = "k[O,C,P,Q]"
IMAGE = "x[N,C,H,W]"
LAYERS = {
    "plain": (IMAGE, FULL, "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+p,v+q]"),
    "bordered": (IMAGE, FULL, "y[N,O,H,W]", "y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)]"),
    "turned": (IMAGE, FULL, "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+2-p,v+2-q]"),
    "turned once": (IMAGE, FULL, "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,u+2-p,v+q]"),
    "channels last": ("x[N,H,W,C]", "k[P,Q,C,O]", "y[N,U,V,O]", "y[n,u,v,o] = k[p,q,c,o]*x[n,u+p,v+q,c]"),
    "axes exchanged": (IMAGE, FULL, "y[N,O,V,U]", "y[n,o,v,u] = k[o,c,p,q]*x[n,c,u+p,v+q]"),
    "groups": (IMAGE, "k[G,M,E,P,Q]", "y[N,G,M,H,W]", "y[n,g,m,h,w] = k[g,m,e,p,q]*x[n,(g,e),pad(h+p-1),pad(w+q-1)]"),
    "dilated": (IMAGE, FULL, "y[N,O,H,W]", "y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+2*p-2),pad(w+2*q-2)]"),
    "dilated once": (IMAGE, FULL, "y[N,O,H,W]", "y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+2*p-2),pad(w+q-1)]"),
    "in steps": (IMAGE, FULL, "y[N,O,U,V]", "y[n,o,u,v] = k[o,c,p,q]*x[n,c,pad(2*u+p-1),pad(2*v+q-1)]"),
    "depthwise": (IMAGE, "k[C,P,Q]", "y[N,C,H,W]", "y[n,c,h,w] = k[c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)]"),
}
#: How many of the three products are such: with channels last, taps and channels of the image are one index;
#: in steps of two, two of three taps reach every second place.
IN_TILES = {
    "bordered": 3, "plain": 3, "turned": 3, "turned once": 3, "axes exchanged": 3, "groups": 3, "channels last": 1,
    "dilated": 3, "dilated once": 3, "in steps": 1,
}  # fmt: skip
SIZES = {"C": 12, "O": 16, "P": 3, "Q": 3, "G": 2, "M": 16, "E": 6, "H": 9, "W": 10}


@cache
def graph(name: str, **other: int) -> Graph:
    image, weights, result, equation = LAYERS[name]
    extents = "    index U = (|H| - 3) // 2 + 1, V = (|W| - 3) // 2 + 1\n" if name == "in steps" else ""
    extents = extents or ("    index U = |H| - |P| + 1, V = |W| - |Q| + 1\n" if "U" in result else "")
    text = f"layer Convolved({image}, {weights}) -> {result}:\n{extents}    {equation}\n"
    sizes = {**SIZES, **other}
    known = tuple((size, n) for size, n in sizes.items() if n and size in f"{image},{weights}")
    return pipeline.entries(graph_of(text, sizes=known), wrt="*")["vjp"]


def program(name: str, conv: Conv = "winograd", **other: int) -> Program:
    return lower({"vjp": graph(name, **other)}, Ways(conv=conv))


def products(found: Program) -> list[Matmul]:
    return [s for kernel in found.kernels.values() for s in statements(kernel.body) if isinstance(s, Matmul)]


def in_tiles(found: Program) -> int:
    return sum(product.tiles is not None for product in products(found))


def open_rows(found: Program) -> list[OpenRows]:
    tiles = (product.tiles for product in products(found) if product.tiles is not None)
    return [each.rows for each in tiles if isinstance(each.rows, OpenRows)]


def evaluate_size(size: Expr, sizes: Mapping[str, int]) -> int:
    found = known(substitute(size, {Size(name): Const(n) for name, n in sizes.items()}))
    assert found is not None
    return found


@pytest.mark.parametrize("name", LAYERS)
def test_which_products_are_such(name: str) -> None:
    assert in_tiles(program(name)) == IN_TILES.get(name, 0)


@pytest.mark.parametrize("taps", [(4, 5), (5, 5), (5, 3), (2, 2), (3, 2)])
@pytest.mark.parametrize("open_", [{}, {"H": 0, "W": 0}], ids=["known", "open"])
@pytest.mark.parametrize("name", ["bordered", "plain", "dilated once"])
def test_other_numbers_of_taps(name: str, open_: dict[str, int], taps: tuple[int, int]) -> None:
    check_values_and_derivatives(name, **open_, P=taps[0], Q=taps[1])


@pytest.mark.parametrize("open_", [{}, {"H": 0, "W": 0}], ids=["known", "open"])
@pytest.mark.parametrize("name", ["bordered", "plain", "turned once", "dilated", "dilated once", "channels last"])
def test_values_and_derivatives(name: str, open_: dict[str, int]) -> None:
    check_values_and_derivatives(name, **open_)


def check_values_and_derivatives(name: str, **open_: int) -> None:
    whole, found = graph(name, **open_), program(name, "winograd", **open_)
    assert in_tiles(found) == IN_TILES[name]
    random, sizes = np.random.default_rng(3), {"N": 2, "H": 9, "W": 10}
    given = {}
    for tensor in whole.of_kind("input", "cotangent"):
        shape = [int(evaluate_size(size, sizes)) for size in tensor.sizes]
        given[tensor.id] = random.standard_normal(shape)
    expected = evaluate(whole, given)
    buffers = loops_reference.run(found, "vjp", given, {name: sizes[name] for name in whole.sizes}, shards=2)
    for result in (*found.entries[0].results, *found.entries[0].gradients):
        np.testing.assert_allclose(buffers[result.buffer], expected[result.buffer], 1e-10, 1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_which_products_are_such_where_sizes_are_open(name: str) -> None:
    found = program(name, H=0, W=0) if name == "groups" else program(name, H=0, W=0, C=0, O=0)
    assert in_tiles(found) == IN_TILES.get(name, 0)
    assert not any(rows.if_faster for rows in open_rows(found))


def test_open_sizes_count_64_and_the_kernel_asks_again() -> None:
    found = program("bordered", "", C=64, O=64, H=0, W=0)
    assert [rows.if_faster for rows in open_rows(found)] == [True] * 3
    assert in_tiles(program("bordered", "", C=3, O=64, H=0, W=0)) == 0


def test_one_room_is_enough_for_all_products() -> None:
    for name, apart, taps in (("plain", 1, 3), ("dilated", 2, 3), ("plain", 1, 5), ("dilated", 2, 7)):
        found = program(name, H=0, W=0, P=taps, Q=taps)
        room = substitute(found.buffers["tiles"].sizes[1], {Size(name): size for name, size in found.derived.items()})
        for width in range(taps, 150):
            has = evaluate_size(room, {"W": width})
            for height in (1, 3, 7, 64):
                for maps, channels in ((16, 12), (12, 16)):
                    rows = block(128, 1, height, width, apart, apart)
                    assert has >= numbers(maps, channels, height, width, rows, apart, apart, taps, taps)


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("size", [6, 7, 9, 12])
def test_room_is_enough_for_any_number_of_samples(size: int, taps: int) -> None:
    found = program("bordered", C=60, O=64, H=size, W=size, P=taps, Q=taps)
    has = evaluate_size(found.buffers["tiles"].sizes[1], {})
    for samples in range(1, 50):
        for most in (MOST, most_tiles(64, 60)):
            rows = block(most, samples, size, size)
            assert has >= numbers(64, 60, size, size, rows, tall=taps, broad=taps)


def test_there_is_room_for_taps_of_an_image_that_is_smaller_still() -> None:
    """The places of 2x2 pixels might be taps themselves, of an image of 3x3 taps."""
    found = program("bordered", "", C=512, O=512, H=2, W=2)
    (tiles,) = (one.tiles for one in products(found) if one.tiles is not None)
    assert (tiles.taps, tiles.of_taps) == ((3, 3), False)
    has = evaluate_size(found.buffers["tiles"].sizes[1], {})
    for samples in range(1, 200):
        assert has >= numbers(512, 512, 2, 2, block(most_tiles(512, 512), samples, 2, 2))


def test_samples_are_taken_together_where_taps_weigh_more_than_images() -> None:
    """Then no product is in a loop, and the first index of the places is that of the samples."""
    for size, is_together in ((14, True), (40, False)):
        found = program("bordered", "", C=128, O=128, H=size, W=size)
        own = [s for kernel in found.kernels.values() for s in kernel.body if isinstance(s, Matmul) and s.tiles]
        assert len(own) == (3 if is_together else 0) and in_tiles(found) == 3
        for product in own:
            places = product.b.column if product.label != "d_k" else product.b.row
            assert isinstance(places, Steps) and len(places.extents) == 3


def test_blocks_are_twice_as_large_where_they_fill_vectors_better() -> None:
    """Rows of seven tiles fill 28 of 32, or 63 of 64; but what is one block then is no fewer vectors."""
    assert block(32, 8, 14, 14) == 9 and block(32, 8, 16, 16) == 4
    assert block(32, 1, 14, 14) == 4


def test_shards_may_share_out_samples_instead_of_maps() -> None:
    """Where images are computed of all samples at once; then what reads them waits for all shards."""
    text = """
layer Convolved(x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,H,W], total[O]:
    y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)]
    total[o] = sum[n,h,w] y[n,o,h,w]
"""
    sizes = {"C": 128, "O": 128, "H": 14, "W": 14, "P": 3, "Q": 3}
    graphs = pipeline.entries(graph_of(text, sizes=tuple(sizes.items())), wrt="*")
    found = lower({"vjp": graphs["vjp"]}, Ways())
    tiles = {name: s.tiles for name, kernel in found.kernels.items() for s in kernel.body if isinstance(s, Matmul)}
    assert {name for name, one in tiles.items() if one is not None and one.of == Const(128)} == {"y", "d_x"}
    assert tiles["d_k"] is not None and tiles["d_k"].of is None
    regions = [set(region.kernels) for entry in found.entries for region in entry.regions]
    assert not any({"y", "total"} <= kernels for kernels in regions) and any("total" in kernels for kernels in regions)


def test_only_where_nothing_else_is_forced() -> None:
    assert in_tiles(program("bordered", "direct", C=64, O=64, H=32, W=32)) == 0
    assert in_tiles(program("bordered", "gemm", C=64, O=64, H=32, W=32)) == 0
    assert in_tiles(program("bordered", P=1, Q=3)) == in_tiles(program("bordered", P=8, Q=5)) == 0


def test_many_channels_gain_by_it_and_few_do_not() -> None:
    assert in_tiles(program("bordered", "", C=64, O=64, H=32, W=32)) == 3
    assert in_tiles(program("bordered", "", C=3, O=64, H=32, W=32)) == 0
    assert is_faster(1, 128, 128, 16, 16)
    assert not is_faster(1, 16, 16, 32, 32)
    assert not is_faster(1, 512, 512, 4, 4)  # the taps are transformed for one sample
    assert is_faster(16, 512, 512, 7, 7) and not is_faster(1, 512, 512, 7, 7)


def test_two_taps_gain_where_there_are_many_channels() -> None:
    assert in_tiles(program("bordered", "", C=128, O=128, H=32, W=32, P=2, Q=2)) == 3
    assert in_tiles(program("bordered", "", C=32, O=32, H=32, W=32, P=2, Q=2)) == 0


def test_five_taps_gain_where_rows_are_long_enough() -> None:
    assert in_tiles(program("bordered", "", C=32, O=32, H=28, W=28, P=5, Q=5)) == 3
    assert in_tiles(program("bordered", "", C=6, O=16, H=14, W=14, P=5, Q=5)) == 0
    assert in_tiles(program("bordered", "", C=64, O=64, H=7, W=7, P=5, Q=5)) == 0
    assert is_faster(1, 64, 64, 14, 14, tall=5, broad=5)  # the taps of portions are read once


def test_of_two_that_slide_over_an_image_the_smaller_one_is_the_taps() -> None:
    """The derivative by 5x5 taps of results of 7x7 is that; of 4x4, a convolution by these with 5x5 results."""
    for size, of_taps in ((7, True), (4, False)):
        found = [one for one in products(program("bordered", H=size, W=size, P=5, Q=5)) if one.label.startswith("d_k")]
        assert [one.tiles.of_taps for one in found if one.tiles is not None] == [of_taps]
