"""Timewise: axes of time in front, where a recurrence multiplies matrices."""

from __future__ import annotations

import pytest
import recurrences
from building import Model, add, at, given, graph, index, mul, parts, total
from passes.corpus import derivative, finish, through
from recurrences import itself, plus, reals

from dlc.compiler.ir.expr import Const, op
from dlc.compiler.ir.graph import whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.passes import extract, simplify, timewise

FINISH = finish(before="timewise")


def cell(multiplies: bool = True) -> Model:
    """e = exp(x) is read by h[b,t+1] = w.h[b,t] + e[b,t], y = tanh(h) by the output; the batch stands in front."""
    x, w, h = given("x", "B", "T", 3), given("w", 3, 3, kind="parameter"), itself("h", 3)
    b, t, d = index("b", "B"), index("t", "T"), index("d", 3)
    e = whole("e", (b, t, d), op("exp", at(x, b, t, d)))
    b, t, d, k = index("b", "B"), index("t", "T"), index("d", 3), index("k", 3)
    before = total(k, of=mul(at(w, d, k), at(h, b, t, k))) if multiplies else op("tanh", at(h, b, t, d))
    b0, d0 = index("b", "B"), index("d", 3)
    start = (b0, d0), (b0, Const(0), d0), Const(0.0)
    step = (b, t, d), (b, add(t, Const(1)), d), add(before, at(e, b, t, d))
    h = parts("h", ["B", plus("T", 1), 3], start, step)
    b, t, d = index("b", "B"), index("t", "T"), index("d", 3)
    y = whole("y", (b, t, d), op("tanh", at(h, b, add(t, Const(1)), d)))
    b, t, d = index("b", "B"), index("t", "T"), index("d", 3)
    out = whole("out", (b, t, d), add(at(y, b, t, d), at(y, b, 0, d)))
    made = graph(x, w, e, h, y, out, outputs=["out"], sizes=["B", "T"])
    return Model("cell", made, {"x": reals(2, 4, 3), "w": reals(3, 3)})


def lines(model: Model, *names: str) -> list[str]:
    return [line for name in names for line in tensor_lines(model.graph.tensors[name])]


def test_members_and_what_goes_with_them() -> None:
    made = through(cell(), extract, timewise)
    assert lines(made, "e", "h.sum", "h", "y", "out") == [
        "e[t,b,d] = exp(x[b,t,d])",
        "h.sum[t,b,d] = sum[k] w[d,k]*h[t,b,k]",
        "h[0,b,d] = 0",
        "h[t+1,b,d] = h.sum[t,b,d] + e[t,b,d]",
        "y[t,b,d] = tanh(h[t+1,b,d])",
        "out[b,t,d] = y[t,b,d] + y[0,b,d]",  # an output has the axes that it was given
    ]


def test_without_products_all_stays() -> None:
    made = through(cell(multiplies=False), extract)
    assert timewise.run(made.graph) is made.graph


def test_a_second_run_changes_nothing() -> None:
    made = through(cell(), extract, timewise)
    assert timewise.run(made.graph) is made.graph


@pytest.mark.parametrize("model", recurrences.models(), ids=lambda model: model.name)
def test_recurrences_keep_their_meaning(model: Model) -> None:
    forward = through(model, simplify, extract)
    through(forward, timewise)
    through(derivative(forward), *FINISH, timewise, tolerance=1e-9)
