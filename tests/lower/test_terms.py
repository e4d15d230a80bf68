"""Biases and the like are terms of products: no loop goes through the results, and values are those of the graph."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import pytest
from lower.agreement import agree, drawn
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.loops import Matmul, Program, Store, statements
from dlc.compiler.lower import lower

#: The arguments, the result, and the equation of a layer: every one is a product and a term.
TERMS = {
    "of maps": ("k[O,C,P,Q], b[O]", "y[N,O,H,W]", "k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)] + b[o]"),
    "of maps of points": ("k[O,C], b[O]", "y[N,O,H,W]", "b[o] + k[o,c]*x[n,c,h,w]"),
    "of places": ("k[O,C,P,Q], b[H,W]", "y[N,O,H,W]", "k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)] + b[h,w]"),
    "of places at points": ("k[O,C], b[H,W]", "y[N,O,H,W]", "k[o,c]*x[n,c,h,w] + b[h,w]"),
    "of samples": ("k[O,C], b[N]", "y[N,O,H,W]", "k[o,c]*x[n,c,h,w] + b[n]"),
    "of all elements": ("k[O,C], b[N,O,H,W]", "y[N,O,H,W]", "k[o,c]*x[n,c,h,w] + b[n,o,h,w]"),
}
#: And those where something else has to be done with the results.
OTHERS = {
    "of rows of places": ("k[O,C], b[H]", "y[N,O,H,W]", "k[o,c]*x[n,c,h,w] + b[h]"),
    "beside tables": ("k[O,C,P], b[N,O,H,W]", "y[N,O,H,W]", "k[o,c,p]*x[n,c,h,pad(w+p-1)] + b[n,o,h,w]"),
    "under a kink": ("k[O,C], b[O]", "y[N,O,H,W]", "relu(k[o,c]*x[n,c,h,w] + b[o])"),
    "of another order": ("k[O,C], b[O]", "y[N,H,O,W]", "sin(b[o])*(k[o,c]*x[n,c,h,w])"),
}
#: Products of groups, which are written among the results of all groups, with a term or as they are.
GROUPS = {
    "of groups": ("k[G,M,E,P,Q], b[O]", "+ b[|M|*g+m]"),
    "of groups alone": ("k[G,M,E,P,Q]", ""),
}
SIZES = {"C": 8, "O": 10, "P": 3, "Q": 3, "G": 2, "M": 5, "E": 4}


@cache
def entry(name: str, way: str) -> tuple[Graph, Program]:
    if name in GROUPS:
        weights, term = GROUPS[name]
        product = "k[g,m,e,p,q]*x[n,|E|*g+e,pad(h+p-1),pad(w+q-1)]"
        text = f"layer L(x[N,C,H,W], {weights}) -> y[N,O,H,W]:\n    y[n,|M|*g+m,h,w] = {product} {term}\n"
    else:
        weights, result, value = {**TERMS, **OTHERS}[name]
        text = f"layer L(x[N,C,H,W], {weights}) -> {result}:\n    {result.lower()} = {value}\n"
    fixed = tuple((size, n) for size, n in SIZES.items() if size in f"C,{weights}")
    graph = pipeline.entries(graph_of(text, sizes=fixed), wrt="*")[way]
    return graph, lower({way: graph})


Kind = TypeVar("Kind")


def found(program: Program, kind: type[Kind]) -> list[Kind]:
    return [one for kernel in program.kernels.values() for one in statements(kernel.body) if isinstance(one, kind)]


@pytest.mark.parametrize("way", ["forward", "vjp"])
@pytest.mark.parametrize("name", [*TERMS, *OTHERS, *GROUPS])
@pytest.mark.parametrize(("samples", "shards"), [(1, 1), (1, 3), (3, 2), (5, 4)])
def test_values_and_gradients(name: str, way: str, samples: int, shards: int) -> None:
    graph, program = entry(name, way)
    sizes = {"N": samples, "H": 9, "W": 7}
    agree(graph, program, drawn(graph, sizes, samples), sizes, shards, 1e-11)


@pytest.mark.parametrize("name", TERMS)
def test_the_product_writes_the_result(name: str) -> None:
    _, program = entry(name, "forward")
    products = found(program, Matmul)
    assert products and all(one.term is not None and one.c.buffer == "y" for one in products)
    assert "y" not in {one.buffer for one in found(program, Store)}


@pytest.mark.parametrize("way", ["forward", "vjp"])
@pytest.mark.parametrize("name", GROUPS)
def test_products_of_groups_write_among_all_groups(name: str, way: str) -> None:
    """The results, and of the derivatives those by the images."""
    _, program = entry(name, way)
    written = {one.c.buffer for one in found(program, Matmul)}
    results = {"y", "d_x"} if way == "vjp" else {"y"}
    assert results <= written and not results & {one.buffer for one in found(program, Store)}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_term_stays_in_a_loop(name: str) -> None:
    _, program = entry(name, "forward")
    products = found(program, Matmul)
    assert products and all(one.term is None for one in products)
    assert "y" in {one.buffer for one in found(program, Store)}
