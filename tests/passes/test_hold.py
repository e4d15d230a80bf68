"""Hold: what two passes over time compute from several tensors is one that the first keeps."""

from __future__ import annotations

import pytest
import recurrences
from building import Model, add, at, given, graph, index, mul, parts
from passes.corpus import derivative, through
from recurrences import itself, plus, reals

from dlc.compiler.ir.expr import Const, Expr, op
from dlc.compiler.ir.graph import whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.passes import cse, dce, deltas, extract, factor, hold, narrow, simplify


def lines(model: Model) -> list[str]:
    computed = [tensor for tensor in model.graph.tensors.values() if tensor.kind == "computed"]
    return [line for tensor in computed for line in tensor_lines(tensor)]


def decay(parts_of: int = 2) -> Model:
    """h[t+1] = tanh(a[t] + h[t])*h[t], and outside y[t] = tanh(a[t] + h[t])^2: of a = exp(x) and h, or of h alone."""
    x, h, t = given("x", "T"), itself("h", 1), index("t", "T")
    a = whole("a", (t,), op("exp", at(x, t)))
    t, s = index("t", "T"), index("t", "T")

    def inner(at_time: Expr) -> Expr:
        terms = (at(a, at_time), at(h, at_time)) if parts_of == 2 else (at(h, at_time), Const(1.0))
        return op("tanh", add(*terms))

    start = (), (Const(0),), Const(0.5)
    h = parts("h", [plus("T", 1)], start, ((t,), (add(t, Const(1)),), mul(inner(t), at(h, t))))
    y = whole("y", (s,), mul(inner(s), inner(s)))
    return Model("decay", graph(x, a, h, y, outputs=["y"], sizes=["T"]), {"x": reals(4)})


def test_what_two_equations_compute_from_several_tensors() -> None:
    made = through(decay(), hold, cse)
    assert "h[t+1] = h.part[t]*h[t]" in lines(made)
    assert "y[t] = h.part[t]*h.part[t]" in lines(made)


def test_what_is_made_of_one_tensor_is_computed_again() -> None:
    made = decay(parts_of=1)
    assert hold.run(made.graph) is made.graph


def test_a_second_run_changes_nothing() -> None:
    made = through(decay(), hold, cse)
    assert hold.run(made.graph) is made.graph


@pytest.mark.parametrize("model", recurrences.models(), ids=lambda model: model.name)
def test_recurrences_keep_their_meaning(model: Model) -> None:
    forward = through(model, simplify, extract)
    steps = (simplify, deltas, simplify, cse, factor, extract, narrow, hold, cse, dce)
    through(derivative(forward), *steps, tolerance=1e-9)
