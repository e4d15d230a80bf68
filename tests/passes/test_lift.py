"""Conditions on the results of products of matrices stand where the products are read."""

from __future__ import annotations

import numpy as np
from building import at, given, graph, index, mul, total, when

from dlc.compiler.ir import loops_reference, verify
from dlc.compiler.ir.expr import Const, op
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.lower import lower
from dlc.compiler.passes import cse, dce, lift

T, S, D = index("t", "T"), index("s", "S"), index("d", "D")
A, B = given("a", "T", "D"), given("b", "S", "D")
MASK, OTHER = given("m", "T", "S", type="bool"), given("o", "T", "S", type="bool")
PRODUCT = mul(at(A, T, D), at(B, S, D))
SIZES = {"T": 7, "S": 5, "D": 3}


def lifted(*tensors: Tensor) -> Graph:
    """The graph after the pass, which has been found to mean the same, as a graph and as loops."""
    made = graph(A, B, MASK, OTHER, *tensors, outputs=[tensors[-1].id], sizes=list(SIZES))
    after = lift.run(made)
    verify.check(after, "lift")
    draw = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {
        one.id: draw.normal(size=(SIZES[one.id.upper().replace("A", "T").replace("B", "S")], 3)) for one in (A, B)
    }
    arrays |= {one.id: draw.random((7, 5)) < 0.5 for one in (MASK, OTHER)}
    wanted, found = evaluate(made, arrays, SIZES), evaluate(after, arrays, SIZES)
    run = loops_reference.run(lower({"forward": after}), "forward", arrays, SIZES, 2)
    for output in made.outputs:
        np.testing.assert_allclose(found[output.tensor], wanted[output.tensor], rtol=1e-12)
        np.testing.assert_allclose(run[output.tensor], wanted[output.tensor], rtol=1e-12)
    return after


def line(made: Graph, name: str) -> str:
    return " ".join(tensor_lines(made.tensors[name]))


def test_a_condition_that_all_readers_ask_leaves_the_product() -> None:
    p = whole("p", (T, S), total(D, of=when(at(MASK, T, S), PRODUCT)))
    y = whole("y", (T, S), when(at(MASK, T, S), mul(at(p, T, S), at(p, T, S))))
    after = lifted(p, y)
    assert "m[t" not in line(after, "p") and "m[t" in line(after, "y")
    assert len(after.tensors) == 6


def test_a_reader_without_the_condition_gets_a_guarded_copy() -> None:
    p = whole("p", (T, S), total(D, of=when(at(MASK, T, S), PRODUCT)))
    y = whole("y", (T, S), op("exp", at(p, T, S)))
    after = lifted(p, y)
    assert is_contraction(after.tensors["p.all"].equations[0])
    assert "m[t" not in line(after, "p.all") and "p.all[" in line(after, "p")


def test_products_that_differ_in_conditions_alone_become_one() -> None:
    cases = [at(MASK, T, S), op("not", at(MASK, T, S))]
    parts = [whole(f"p{n}", (T, S), total(D, of=when(cond, PRODUCT))) for n, cond in enumerate(cases)]
    y = whole("y", (T, S), op("add", *(when(c, at(p, T, S)) for c, p in zip(cases, parts, strict=True))))
    after = dce.run(cse.run(lifted(*parts, y)))
    assert sum(is_contraction(one) for tensor in after.tensors.values() for one in tensor.equations) == 1


def test_what_leaves_few_elements_stays() -> None:
    alike = whole("p", (T, S), total(D, of=when(op("eq", T, S), PRODUCT)))
    narrow = op("and", op("le", S, T), op("lt", T, op("add", S, Const(4))))
    band = whole("p", (T, S), total(D, of=when(narrow, PRODUCT)))
    for p in (alike, band):
        y = whole("y", (T, S), op("exp", at(p, T, S)))
        assert list(lifted(p, y).tensors) == ["a", "b", "m", "o", "p", "y"]


def test_what_keeps_a_read_in_range_stays() -> None:
    shifted = mul(at(A, T, D), at(B, op("add", T, S), D))
    p = whole("p", (T, S), total(D, of=when(op("lt", op("add", T, S), S.size), shifted)))
    y = whole("y", (T, S), op("exp", at(p, T, S)))
    assert list(lifted(p, y).tensors) == ["a", "b", "m", "o", "p", "y"]
