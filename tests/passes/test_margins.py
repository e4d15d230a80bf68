"""Windows that find something else beyond the edges: they read a copy of the image that has it there."""

from __future__ import annotations

import numpy as np
import pytest
from lower.agreement import agree, drawn
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir.expr import Op, Reduce, reads, walk
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import check
from dlc.compiler.lower import lower
from dlc.compiler.passes import extract, margins, simplify

PLACES = {
    "nearest": "clamp(h+p-1)",
    "in a circle": "wrap(h+p-1)",
    "mirrored": "clamp(|H| - 1 - abs(|H| - 1 - abs(h+p-1)))",
    "backwards in steps": "clamp(2*p - h + 1)",
    "far outside": "wrap(h+4*p-20)",
}
SIZES = {"B": 2, "C": 3, "O": 2, "H": 5, "W": 4}


def layer(place: str, known: str = "") -> str:
    return (
        "layer F(x[B,C,H,W]; k[O,C,P]) -> y[B,O,H,W]:\n"
        f"    index P = 3{known}\n    y[b,o,h,w] = sum[c,p] k[o,c,p]*tanh(x[b,c,{place},w])\n"
    )


def with_margins(text: str) -> tuple[Graph, Graph]:
    before = extract.run(simplify.run(graph_of(text)))
    after = margins.run(before)
    check(after, "margins")
    return before, after


def sums_with_edges(graph: Graph) -> list[Reduce]:
    """The sums of products that are read at a place that is no sum of indices."""
    values = [one.value for tensor in graph.tensors.values() for one in tensor.equations]
    return [
        value
        for value in values
        if isinstance(value, Reduce)
        and any(isinstance(node, Op) and node.name in ("min", "max", "abs", "mod") and node.type == "int"
                for one in reads(value) for node in walk(*one.subscripts))
    ]  # fmt: skip


@pytest.mark.parametrize("known", ["", ", H = 5"], ids=["open", "known"])
@pytest.mark.parametrize("name", PLACES)
def test_products_read_a_copy_at_sums_of_places_and_taps(name: str, known: str) -> None:
    before, after = with_margins(layer(PLACES[name], known))
    divides = "wrap" in PLACES[name] and not known  # by a size that may be 0
    assert sums_with_edges(before) and bool(sums_with_edges(after)) == divides
    given = drawn(before, SIZES)
    np.testing.assert_allclose(evaluate(after, given, SIZES)["y"], evaluate(before, given, SIZES)["y"], 1e-12)


@pytest.mark.parametrize("name", PLACES)
def test_both_derivatives_are_right(name: str) -> None:
    graph = graph_of(layer(PLACES[name], ", H = 5" if "wrap" in PLACES[name] else ""))
    made, plain = (pipeline.entries(graph, wrt="*", off=off)["vjp"] for off in ((), pipeline.OPTIONAL))
    given = drawn(plain, SIZES)
    agree(made, lower({"vjp": made}), given, SIZES, 2)
    pairs = zip(made.gradients, plain.gradients, strict=True)
    found, wanted = evaluate(made, given, SIZES), evaluate(plain, given, SIZES)
    for one, other in pairs:
        np.testing.assert_allclose(found[one.adjoint], wanted[other.adjoint], 1e-11, 1e-11)


@pytest.mark.parametrize("name", PLACES)
def test_images_without_elements_have_nothing_to_copy(name: str) -> None:
    made = pipeline.entries(graph_of(layer(PLACES[name])), wrt="*")["vjp"]
    sizes = {**SIZES, "H": 0}
    agree(made, lower({"vjp": made}), drawn(made, sizes), sizes, 2)


@pytest.mark.parametrize("place", ["pad(h+p-1)", "clamp(2*h)", "clamp((h+p)//2)", "clamp(p)", "wrap(7*h+p)"])
def test_what_moves_otherwise_is_read_in_its_place(place: str) -> None:
    before, after = with_margins(layer(place))
    assert list(before.tensors) == list(after.tensors)
