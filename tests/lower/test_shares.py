"""A batch of few samples shared out: values are those of the graph, and every shard has its share of each product."""

from __future__ import annotations

from functools import cache

import pytest
from lower.agreement import agree, drawn
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir.affine import equal
from dlc.compiler.ir.expr import ZERO, Const, Size, op, walk
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import SHARDS, For, Kernel, Matmul, Program, Statement, Store, statements
from dlc.compiler.lower import lower

SIZES = {"C": 4, "O": 5, "P": 3, "Q": 3}
BORDERED = "    y.sum[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)]\n"
MAPS = BORDERED.replace("y.sum", "z")
LAYERS = {
    "bordered": ("k[O,C,P,Q]", "y[N,O,H,W]", BORDERED.replace("y.sum", "y")),
    "with a bias": ("k[O,C,P,Q], b[O]", "y[N,O,H,W]", MAPS + "    y[n,o,h,w] = z[n,o,h,w] + b[o]\n"),
    "with a kink": ("k[O,C,P,Q], b[O]", "y[N,O,H,W]", MAPS + "    y[n,o,h,w] = relu(z[n,o,h,w] + b[o])\n"),
    "twice": (
        "k[O,C,P,Q], l[C,O,P,Q]",
        "y[N,C,H,W]",
        MAPS + "    y[n,c,h,w] = l[c,o,p,q]*z[n,o,pad(h+p-1),pad(w+q-1)]\n",
    ),
    "plain": ("k[O,C]", "y[N,O,H,W]", "    y[n,o,h,w] = relu(k[o,c]*relu(x[n,c,h,w]))\n"),
}


@cache
def entry(name: str, samples: int | None = None) -> tuple[Graph, Program]:
    weights, result, equations = LAYERS[name]
    text = f"layer Convolved(x[N,C,H,W], {weights}) -> {result}:\n{equations}"
    fixed = {**{size: n for size, n in SIZES.items() if size in f"C,{weights}"}, **({"N": samples} if samples else {})}
    graph = pipeline.entries(graph_of(text, sizes=tuple(fixed.items())), wrt="*")["vjp"]
    return graph, lower({"vjp": graph})


def products(statement: Statement) -> list[Matmul]:
    return [inner for inner in statements((statement,)) if isinstance(inner, Matmul)]


def stored(statement: Statement) -> set[str]:
    return {inner.buffer for inner in statements((statement,)) if isinstance(inner, Store)}


def shared(program: Program) -> list[Kernel]:
    split = op("mul", Size("N"), SHARDS)
    return [kernel for kernel in program.kernels.values() if kernel.split and equal(kernel.split, split)]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("samples", "shards"), [(1, 1), (1, 2), (1, 7), (2, 3), (3, 2), (5, 4), (0, 2)])
def test_values_and_gradients(name: str, samples: int, shards: int) -> None:
    graph, program = entry(name)
    sizes = {"N": samples, "H": 5, "W": 6}
    given = drawn(graph, sizes, samples)
    agree(graph, program, given, sizes, shards, 1e-11)


@pytest.mark.parametrize("name", ["bordered", "with a bias"])
def test_products_are_cut_and_borders_are_not(name: str) -> None:
    _, program = entry(name)
    (kernel,) = shared(program)
    (loop,) = (s for s in kernel.body if isinstance(s, For) and products(s))
    assert len(products(loop)) == 3 and not any(isinstance(product.m, Const) for product in products(loop))
    borders = [inner for inner in loop.body if any("padded" in key for key in stored(inner))]
    assert len(borders) == 2
    assert all(isinstance(inner, For) and inner.start is ZERO and inner.stop is inner.index.size for inner in borders)
    results = [inner for inner in loop.body if isinstance(inner, For) and inner not in borders and not products(inner)]
    assert all(inner.stop is not inner.index.size for inner in results)


@pytest.mark.parametrize("name", ["twice", "with a kink"])
def test_nothing_is_shared_out_where_a_product_is_needed_as_a_whole(name: str) -> None:
    _, program = entry(name)
    assert not shared(program)


def test_many_samples_are_not_cut() -> None:
    splits = {
        samples: [kernel.split for kernel in entry("bordered", samples)[1].kernels.values() if kernel.split is not None]
        for samples in (15, 16)
    }
    assert any(SHARDS in walk(split) for split in splits[15])
    assert not any(SHARDS in walk(split) for split in splits[16])
