"""A mask that all readers of a tensor ask for is part of the tensor."""

from __future__ import annotations

import numpy as np
from building import at, given, graph, index, mul, total, when

from dlc.compiler.ir import loops_reference, verify
from dlc.compiler.ir.expr import Expr, op
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.lower import lower
from dlc.compiler.passes import sink

T, S, E = index("t", "T"), index("s", "T"), index("e", "E")
X, V = given("x", "T", "T"), given("v", "T", "E")
MASK, LENGTHS = given("m", "T", "T", type="bool"), given("n", "T", type="bool")
P = whole("p", (T, S), op("exp", at(X, T, S)))
SIZES = {"T": 7, "E": 5}


def sunk(*tensors: Tensor, hidden: float = 0.0) -> Graph:
    """The graph after the pass, which has been found to mean the same, as a graph and as loops."""
    made = graph(X, V, MASK, LENGTHS, *tensors, outputs=[t.id for t in tensors if t.id != "p"], sizes=list(SIZES))
    after = sink.run(made)
    verify.check(after, "sink")
    draw = np.random.default_rng(1)
    mask, lengths = draw.random((7, 7)) < 0.6, draw.random(7) < 0.6
    x, v = draw.normal(size=(7, 7)), draw.normal(size=(7, 5))
    x[~mask] += hidden
    arrays = {"x": x, "v": v, "m": mask, "n": lengths}
    wanted, found = evaluate(made, arrays, SIZES), evaluate(after, arrays, SIZES)
    run = loops_reference.run(lower({"forward": after}), "forward", arrays, SIZES, 2)
    for output in made.outputs:
        assert np.isfinite(wanted[output.tensor]).all()
        np.testing.assert_allclose(found[output.tensor], wanted[output.tensor], rtol=1e-12)
        np.testing.assert_allclose(run[output.tensor], wanted[output.tensor], rtol=1e-12)
    return after


def line(made: Graph, name: str) -> str:
    return " ".join(tensor_lines(made.tensors[name]))


def readers(cond: Expr, other: Expr | None = None) -> tuple[Tensor, Tensor]:
    z = whole("z", (T,), total(S, of=when(cond if other is None else other, at(P, T, S))))
    return z, whole("y", (T, E), total(S, of=when(cond, mul(at(P, T, S), at(V, S, E)))))


def test_data_that_all_readers_ask_is_asked_once() -> None:
    after = sunk(P, *readers(at(MASK, T, S)), hidden=np.inf)
    assert ["m[t" in line(after, name) for name in "pzy"] == [True, False, False]


def test_a_condition_on_indices_goes_on_bounding_a_sum() -> None:
    after = sunk(P, *readers(op("le", S, T)))
    assert ["<=" in line(after, name) for name in "pzy"] == [True, True, False]


def test_what_hides_elements_of_the_other_factor_stays() -> None:
    after = sunk(P, *readers(op("and", at(MASK, T, S), at(LENGTHS, S))), hidden=np.inf)
    assert "m[t,s] and n[s]" in line(after, "p")
    assert "n[" in line(after, "y") and "m[t" not in line(after, "y")


def test_a_reader_without_the_condition_keeps_the_tensor_as_it_is() -> None:
    after = sunk(P, *readers(at(MASK, T, S), at(LENGTHS, S)))
    assert "m[t" not in line(after, "p")


def test_a_length_goes_on_hiding_what_lies_behind_it() -> None:
    """Behind the length of a row anything may stand, in both factors."""
    n = given("n", type="int")
    made = graph(X, V, n, P, *readers(op("lt", S, at(n))), outputs=["z", "y"], sizes=list(SIZES))
    after = sink.run(made)
    x, v = np.full((7, 7), 0.5), np.full((7, 5), 2.0)
    x[:, 4:], v[4:] = np.nan, np.inf
    found = evaluate(after, {"x": x, "v": v, "n": np.array(4)}, SIZES)
    np.testing.assert_allclose(found["y"], np.full((7, 5), 8 * np.exp(0.5)))
