"""Rows in blocks, and products between the bounds that a mask gives them.

The interpreter of loops fills memory with nan before it begins: what reads an element that was left out shows.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from lower.agreement import agree, drawn
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir.affine import equal
from dlc.compiler.ir.expr import Size, op, reads
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import Matmul, Program, statements
from dlc.compiler.ir.loops_printer import text
from dlc.compiler.lower import blocks, lower

SOFTMAX = """
layer Heads(q[B,T,D], k[B,S,D], v[B,S,E]) -> y[B,T,E]:
    score[b,t,s] = q[b,t,d]*k[b,s,d] / sqrt(|D|)
    a[b,t,s] = {mask}*exp(score[b,t,s]) / sum[s' : {again}] exp(score[b,t,s'])
    y[b,t,e] = a[b,t,s]*v[b,s,e]
"""
MASKS = {
    "all": "s >= 0",
    "past": "s <= t",
    "window": "s <= t and s > t - 9",
    "behind": "s >= t - 3",
    "backwards": "s + t < |S| + 4",
    "far": "s > t + 20 or s == 0",
    "every second": "2*s <= t",
}
SPECS = {
    **{name: SOFTMAX.format(mask=f"[{mask}]", again=mask.replace("s ", "s' ")) for name, mask in MASKS.items()},
    "linear": """
layer Heads(q[B,T,D], k[B,S,D], v[B,S,E]) -> y[B,T,E]:
    a[b,t,s] = [s <= t]*(sum[d] q[b,t,d]*k[b,s,d])
    y[b,t,e] = a[b,t,s]*v[b,s,e]
""",
    "heads inside": """
layer Heads(q[B,T,H,D], k[B,S,H,D], v[B,S,H,E]) -> y[B,T,H,E]:
    score[b,h,t,s] = q[b,t,h,d]*k[b,s,h,d]
    a[b,h,t,s] = [s <= t]*exp(score[b,h,t,s]) / sum[s' : s' <= t] exp(score[b,h,t,s'])
    y[b,t,h,e] = a[b,h,t,s]*v[b,s,h,e]
""",
    "one product masked, one not": """
layer Heads(q[B,T,D], k[B,S,D], v[B,S,E]) -> y[B,T,E], z[B,T,E]:
    score[b,t,s] = q[b,t,d]*k[b,s,d]
    a[b,t,s] = [s <= t]*tanh(score[b,t,s])
    y[b,t,e] = a[b,t,s]*v[b,s,e]
    z[b,t,e] = sum[s] sin(score[b,t,s])*v[b,s,e]
""",
}
SPECS["heads before"] = """
layer Heads(q[B,H,T,D], k[B,H,S,D], v[B,H,S,E]) -> y[B,H,T,E]:
    score[b,h,t,s] = q[b,h,t,d]*k[b,h,s,d]
    a[b,h,t,s] = [s <= t]*exp(score[b,h,t,s]) / sum[s' : s' <= t] exp(score[b,h,t,s'])
    y[b,h,t,e] = a[b,h,t,s]*v[b,h,s,e]
"""
SPECS["one member of a group"] = """
layer Heads(q[B,T,H,G,D], k[B,S,H,G,D], v[B,S,H,G,E]) -> y[B,T,H,G,E]:
    score[b,h,g,t,s] = q[b,t,h,g,d]*k[b,s,h,g,d]
    a[b,h,g,t,s] = [s <= t]*exp(score[b,h,g,t,s]) / sum[s' : s' <= t] exp(score[b,h,g,t,s'])
    y[b,t,h,g,e] = a[b,h,g,t,s]*v[b,s,h,g,e]
"""
SPECS["layers"] = """
layer Heads(q[B,T,D], k[B,S,D], v[B,S,E]) -> y[B,T,E]:
    index L = 3
    h[0,b,t,d] = q[b,t,d]
    score[l,b,t,s] = h[l,b,t,d]*k[b,s,d]
    a[l,b,t,s] = [s <= t]*exp(score[l,b,t,s]) / sum[s' : s' <= t] exp(score[l,b,t,s'])
    h[l+1,b,t,d] = a[l,b,t,s]*k[b,s,d]
    y[b,t,e] = sum[s, l] a[l,b,t,s]*v[b,s,e]
"""
SPECS["two products in one tensor"] = """
layer Heads(q[B,T,D], k[B,S,D], v[B,S,E]) -> y[B,T,E]:
    score[b,t,s] = q[b,t,d]*k[b,s,d]
    a[b,t,s] = [s <= t]*tanh(score[b,t,s])
    c[b,t,s] = [s >= t]*sin(score[b,t,s])
    both[b,0,t,e] = a[b,t,s]*v[b,s,e]
    both[b,1,t,e] = c[b,t,s]*v[b,s,e]
    y[b,t,e] = both[b,0,t,e] + sin(both[b,1,t,e])
"""
SPECS["mask alone"] = """
layer Heads(q[B,T,D], k[B,S,D], v[B,S,E]) -> y[B,T,E], a[B,T,S]:
    a[b,t,s] = [s <= t]*(sum[d] q[b,t,d]*k[b,s,d])
    y[b,t,e] = a[b,t,s]*v[b,s,e]
"""
SPECS["lengths"] = """
layer Heads(q[B,H,T,D], k[B,H,S,D], v[B,H,S,E], n[B] : int) -> y[B,H,T,E]:
    score[b,h,t,s] = q[b,h,t,d]*k[b,h,s,d]
    a[b,h,t,s] = [s < n[b]]*exp(score[b,h,t,s]) / sum[s' : s' < n[b]] exp(score[b,h,t,s'])
    y[b,h,t,e] = a[b,h,t,s]*v[b,h,s,e]
"""
SPECS["lengths of fewer samples"] = """
layer Heads(q[B,T,D], k[B,S,D], v[B,S,E], n[T] : int) -> y[B,T,E]:
    score[b,t,s] = q[b,t,d]*k[b,s,d]
    a[b,t,s] = exp(score[b,t,s]) if b < |T| and s < n[b] else 0
    y[b,t,e] = a[b,t,s]*v[b,s,e]
"""
SPECS["lengths of rows"] = """
layer Heads(q[B,T,D], k[B,S,D], v[B,S,E], n[B,T] : int, m : int) -> y[B,T,E]:
    score[b,t,s] = q[b,t,d]*k[b,s,d]
    a[b,t,s] = [s < n[b,t] and s >= m]*tanh(score[b,t,s])
    y[b,t,e] = a[b,t,s]*v[b,s,e]
"""
FIXED = {"one member of a group": (("H", 3), ("G", 1))}  # steps over heads and over members are equal
SIZES = [(1, 37, 37), (2, 33, 5), (1, 5, 41), (2, 1, 1), (1, 0, 3), (0, 4, 4)]


@cache
def entry(name: str) -> tuple[Graph, Program]:
    graph = pipeline.entries(graph_of(SPECS[name], sizes=FIXED.get(name, ())), wrt="*")["vjp"]
    return graph, lower({"vjp": graph})


@pytest.mark.parametrize(("batch", "rows", "keys"), SIZES)
@pytest.mark.parametrize("name", SPECS)
def test_blocks_compute_what_the_graph_says(name: str, batch: int, rows: int, keys: int) -> None:
    graph, program = entry(name)
    sizes = {"B": batch, "T": rows, "S": keys, "D": 3, "E": 2, "H": 2, **dict(FIXED.get(name, ()))}
    given = drawn(graph, sizes, rows)
    for tensor in graph.of_kind("input"):
        if tensor.type == "int":  # a length, perhaps beyond the row
            given[tensor.id] = np.random.default_rng(rows).integers(-2, keys + 3, given[tensor.id].shape)
    agree(graph, program, given, sizes, 3, 1e-11)


@pytest.mark.parametrize("name", SPECS)
def test_several_blocks_compute_what_the_graph_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, with blocks of a few rows."""
    monkeypatch.setattr(blocks, "_ELEMENTS", 7 * 23)
    monkeypatch.setattr(blocks, "_MASKED_ROWS", 5)
    graph, _ = entry(name)
    program = lower({"vjp": graph})
    for batch, rows, keys in ((2, 23, 23), (1, 17, 23), (1, 23, 9)):
        sizes = {"B": batch, "T": rows, "S": keys, "D": 3, "E": 2, "H": 2, **dict(FIXED.get(name, ()))}
        given = drawn(graph, sizes, rows)
        for tensor in graph.of_kind("input"):
            if tensor.type == "int":
                given[tensor.id] = np.random.default_rng(rows).integers(-2, keys + 3, given[tensor.id].shape)
        agree(graph, program, given, sizes, 3, 1e-11)


def products(program: Program) -> list[Matmul]:
    return [s for kernel in program.kernels.values() for s in statements(kernel.body) if isinstance(s, Matmul)]


def squares(program: Program) -> list[str]:
    """The buffers with as many elements as there are pairs of a query and a key."""
    return [
        key
        for key, buffer in program.buffers.items()
        if {"T", "S"} <= {size.name for size in buffer.sizes if isinstance(size, Size)}
    ]


@pytest.mark.parametrize("name", ["all", "past", "window", "behind", "backwards", "linear", "heads inside", "lengths"])
def test_no_matrix_of_scores_is_kept(name: str) -> None:
    _, program = entry(name)
    assert not squares(program)


@pytest.mark.parametrize(
    ("name", "count"), [("past", 6), ("window", 6), ("behind", 6), ("backwards", 6), ("all", 0), ("layers", 5)]
)
def test_products_keep_to_the_bounds_of_a_mask(name: str, count: int) -> None:
    _, program = entry(name)
    whole = (Size("S"), Size("T"), Size("D"), Size("E"))
    bounded = [p for p in products(program) if sum(not any(equal(n, s) for s in whole) for n in (p.m, p.n, p.k)) == 2]
    assert len(bounded) == count


@pytest.mark.parametrize(
    ("name", "count"),
    [("past", 6), ("window", 6), ("behind", 6), ("backwards", 0), ("every second", 0), ("all", 0), ("lengths", 0)],
)
def test_products_are_told_of_a_mask_that_moves_with_their_rows(name: str, count: int) -> None:
    _, program = entry(name)
    bands = [product.band for product in products(program) if product.band is not None]
    assert len(bands) == count
    assert sum(band.of == "columns" for band in bands) == count // 3
    assert text(program).count(", of row i ") == count


def test_products_keep_to_lengths_that_are_data() -> None:
    _, program = entry("lengths")
    bounds = [{read.tensor for read in reads(p.m, p.n, p.k)} for p in products(program)]
    assert len(bounds) == 6 and all("n" in names for names in bounds)


def test_what_one_reader_needs_everywhere_is_computed_everywhere() -> None:
    _, program = entry("one product masked, one not")
    assert any(equal(p.n, Size("S")) for p in products(program) if p.c.buffer.startswith("score"))


@pytest.mark.parametrize("name", ["heads before", "heads inside"])
def test_shards_share_the_heads_of_one_sample(name: str) -> None:
    _, program = entry(name)
    split = [kernel.split for kernel in program.kernels.values() if kernel.split is not None]
    assert split and all(equal(extent, op("mul", Size("B"), Size("H"))) for extent in split)
