"""What is known of integers that are read: below which sizes they lie, and so which subscripts stay in range."""

from __future__ import annotations

import pytest

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir.elements import bounds_of, lies_within
from dlc.compiler.ir.expr import Read, reads
from dlc.compiler.ir.safety import needs_more, reads_in_range
from dlc.compiler.syntax.parse import parse_text

SPEC = """
layer Case(x[T,D], w[D,D], z[T] in D, k[T] : int) -> y[T], u[T]:
    best[0] = 0
    best[t+1] = argmax[d] (w[best[t],d] + x[t,d])
    n[t] = best[t] + k[t]
    m[t] = k[t] mod |D|
    both[t] = z[t] if k[t] > 0 else m[t]
    y[t] = x[t,both[t]] + x[t,best[t]]
    u[t] = x[t,pad(n[t])]
"""
GRAPH = pipeline.derived(semantics.elaborate(parse_text(SPEC), "Case", semantics.Loader()))
SIZES = {name: tensor.sizes for name, tensor in GRAPH.tensors.items()}


def test_bounds() -> None:
    found = {name: [repr(size) for size in sizes] for name, sizes in bounds_of(GRAPH).items()}
    assert found == {"z": ["|D|"], "m": ["|D|"], "both": ["|D|"], "best": ["1", "|D|"]}


@pytest.mark.parametrize(("name", "known"), [("z", True), ("m", True), ("both", True), ("k", False), ("n", False)])
def test_subscripts(name: str, known: bool) -> None:
    (row,) = (read for read in reads(GRAPH.tensors["y"].equations[0].value) if "both" in repr(read.subscripts))
    subscript = Read(name, row.subscripts[:1], "int")
    assert lies_within(subscript, SIZES["x"][1], bounds_of(GRAPH), ()) is known


def test_a_shift_by_data_needs_its_guard() -> None:
    """`x[t,pad(n[t])]` is read under a guard; nothing but that says that it stays in range."""
    guarded = GRAPH.tensors["u"].equations[0].value
    cond, inside = guarded.children[:2]
    bounds = bounds_of(GRAPH)
    assert reads_in_range(guarded, SIZES, (), (), bounds)
    assert not reads_in_range(inside, SIZES, (), (), bounds)
    assert needs_more(inside, SIZES, (), [cond], (), bounds)
    assert not needs_more(inside, SIZES, [cond], [cond], (), bounds)
