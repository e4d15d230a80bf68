"""What the passes make of recurrences: plain products inside and outside the cycle, and stable ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import recurrences
from building import Model, add, at, given, graph, index, mul, total, when
from passes.corpus import derivative
from recurrences import itself

from dlc.compiler.ir.expr import Const, Expr, Reduce, Select, Size, op
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Graph, Output, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.passes import cse, fuse, narrow, simplify, stabilise
from dlc.compiler.pipeline import finished, prepared


def lines(made: Graph) -> list[str]:
    return [line for tensor in made.tensors.values() if tensor.kind == "computed" for line in tensor_lines(tensor)]


def trained(model: Model) -> Graph:
    """The graph of the loss and its gradients, ready for lowering."""
    ready = Model(model.name, prepared(model.graph), model.inputs, model.sizes)
    return finished(derivative(ready).graph)


def members(made: Graph) -> list[set[str]]:
    return [set(component) for component in made.recurrences]


def products_of(made: Graph, names: set[str]) -> list[str]:
    """The products of matrices among these tensors."""
    return [name for name in sorted(names) if is_contraction(made.tensors[name].equations[0])]


# -- what stands inside the cycle, and what outside -----------------------------------------------------------------


def test_weights_and_inputs_are_products_outside() -> None:
    made = trained(recurrences.rnn(batch=2))
    forward, backward = members(made)
    assert len(forward) == 2  # the state and one product
    assert len(backward) == 3  # the adjoints of the state and of what tanh is taken of, and one product
    assert len(products_of(made, forward)) == len(products_of(made, backward)) == 1
    outside = {tensor.id for tensor in made.of_kind("computed")} - forward - backward
    assert {"h.sum", "d_wh", "d_wx", "d_x"} <= set(products_of(made, outside))


def test_the_adjoint_has_as_many_products_as_there_are_steps() -> None:
    """d_h has |T| + 1 rows; the product with the weights has |T|, and no guard."""
    made = trained(recurrences.rnn())
    (product,) = products_of(made, members(made)[1])
    assert made.tensors["d_h"].sizes[0] is add(Size("T"), Const(1))
    assert made.tensors[product].sizes[0] is Size("T")
    value = made.tensors[product].equations[0].value
    assert isinstance(value, Reduce)
    assert not isinstance(value.body, Select)


def test_a_guarded_recurrence_too() -> None:
    made = trained(recurrences.guarded_rnn())
    assert "h.sum[t,d] = sum[d'] wh[d,d']*h[t,d']" in lines(made)
    assert "h[t,d] = tanh(x[t,d] + (h.sum[t-1,d] if 0 < t else h0[d]))" in lines(made)
    assert "d_wh[i,i'] = sum[t] d_h.sum[t,i]*h[t,i']" in lines(made)
    assert is_contraction(made.tensors["d_h.sum.2"].equations[0])


def test_the_backward_pass_reads_what_the_parts_hold() -> None:
    """1 - h[t+1,d]^2, and no tanh once more."""
    made = trained(recurrences.rnn())
    assert [line for line in lines(made) if "tanh" in line] == [
        "h[t+1,d] = tanh(h.sum[t,d] + h.sum.2[t,d] + c[d])",
    ]


# -- narrow ---------------------------------------------------------------------------------------------------------

T, A, ROW, COLUMN = index("t", "T"), index("a", add(Size("T"), Const(1))), index("i", "I"), index("j", "J")


def test_a_guarded_sum_runs_over_what_is_left() -> None:
    x = given("x", add(Size("T"), Const(1)))
    y = whole("y", (), total(A, of=when(op("lt", A, Size("T")), at(x, A))))
    z = whole("z", (), Reduce("max", (A,), Select(op("le", Const(1), A), at(x, A), Const(-np.inf))))
    made = narrow.run(graph(x, y, z, outputs=["y", "z"], sizes=["T"]))
    assert lines(made) == ["y = sum[a] x[a]", "z = max[a] x[a+1]"]


def test_a_guard_with_two_indices_stays() -> None:
    x = given("x", "T")
    s = index("s", "T")
    y = whole("y", (T,), total(s, of=when(op("lt", s, T), at(x, s))))
    before = graph(x, y, outputs=["y"], sizes=["T"])
    assert lines(narrow.run(before)) == lines(before)


def test_an_index_over_one_place_has_no_say_in_sums() -> None:
    """What a convolution reads of its image, if it has one result; an extreme may be outside of its range."""
    u, p, q = index("u", 1), index("p", 3), index("q", 3)
    x = given("x", 2)
    after = op("lt", Const(0), add(mul(Const(2), u), p))
    y = whole("y", (u,), total(p, of=when(after, at(x, add(mul(Const(2), u), p, Const(-1))))))
    place = add(mul(Const(2), u), q)
    z = whole("z", (u,), Reduce("max", (q,), Select(op("lt", Const(0), place), at(x, q), Const(-np.inf))))
    made = lines(narrow.run(graph(x, y, z, outputs=["y", "z"], sizes=[])))
    assert made[0] == "y[u] = sum[p] x[2*u+p]"
    assert made[1] == lines(graph(x, z, outputs=["z"], sizes=[]))[0]


def test_a_range_that_may_be_negative_stays() -> None:
    x = given("x", "T")
    y = whole("y", (), total(T, of=when(op("le", Const(3), T), at(x, T))))
    before = graph(x, y, outputs=["y"], sizes=["T"])
    assert lines(narrow.run(before)) == lines(before)


def product(guard: Expr) -> list:
    f, g = given("f", "T", "I"), given("g", "I", "J")
    p = whole("p", (T, COLUMN), total(ROW, of=when(guard, mul(at(f, T, ROW), at(g, ROW, COLUMN)))))
    return [f, g, p]


def test_a_product_that_is_needed_outside_reads_the_shorter_one() -> None:
    made = narrow.run(graph(*product(op("le", Const(1), T)), outputs=["p"], sizes=["T", "I", "J"]))
    assert lines(made) == ["p.inner[t,j] = sum[i] f[t+1,i]*g[i,j]", "p[t,j] = [0 < t]*p.inner[t-1,j]"]


def test_a_product_that_is_needed_at_one_place_is_made_for_it() -> None:
    """But not if the axis may be empty, so that the place is none."""
    f, g = given("f", 5, "I"), given("g", "I", "J")
    t = index("t", 5)
    body = when(op("eq", t, Const(3)), mul(at(f, t, ROW), at(g, ROW, COLUMN)))
    made = narrow.run(graph(f, g, whole("p", (t, COLUMN), total(ROW, of=body)), outputs=["p"], sizes=["I", "J"]))
    assert lines(made)[0] == "p.inner[t,j] = sum[i] f[t+3,i]*g[i,j]"
    assert made.tensors["p.inner"].sizes[0] is Const(1)
    before = graph(*product(op("eq", T, Const(0))), outputs=["p"], sizes=["T", "I", "J"])
    assert lines(narrow.run(before)) == lines(before)


def test_what_is_no_product_stays_if_a_reader_would_need_a_guard() -> None:
    """A padded map is read without looking where it ends."""
    x = given("x", "T")
    p = whole("p", (T,), when(op("lt", Const(0), T), op("exp", at(x, T))))
    guarded, plain = index("t", "T"), index("t", "T")
    y = whole("y", (guarded,), when(op("lt", Const(0), guarded), at(p, guarded)))
    z = whole("z", (plain,), add(at(p, plain), at(x, plain)))
    assert lines(narrow.run(graph(x, p, y, outputs=["y"], sizes=["T"]))) == [
        "p[t] = exp(x[t+1])",
        "y[t] = [0 < t]*p[t-1]",
    ]
    both = graph(x, p, y, z, outputs=["y", "z"], sizes=["T"])
    assert lines(narrow.run(both)) == lines(both)


def test_a_tensor_is_shortened_once() -> None:
    """h[t] = [t > 0]*2*h[t-1] is 0 everywhere, which is found out by running it."""
    h = whole("h", (T,), when(op("lt", Const(0), T), mul(Const(2.0), at(itself("h", 1), add(T, Const(-1))))))
    y = whole("y", (), at(h, add(Size("T"), Const(-1))))
    made = narrow.run(graph(given("x", "T"), h, y, outputs=["y"], sizes=["T"]))
    assert evaluate(made, {"x": np.ones(4)}, wanted=["y"])["y"] == 0.0


# -- looking through tensors ----------------------------------------------------------------------------------------


def test_copies_inside_a_cycle_go() -> None:
    """A reader that stands before a copy reads what the copy reads."""
    t, t2, t3 = index("t", "T"), index("t", "T"), index("t", "T")
    before = Select(op("lt", Const(0), t), at(itself("b", 1), add(t, Const(-1))), Const(1.0))
    h = whole("h", (t,), op("exp", before))
    a = whole("a", (t2,), at(itself("b", 1), t2))
    b = whole("b", (t3,), at(h, t3))
    made = simplify.run(graph(h, a, b, given("x", "T"), outputs=["h"], sizes=["T"]))
    assert lines(made) == ["h[t] = exp(h[t-1] if 0 < t else 1)"]


def test_a_continued_fraction_is_looked_at_once() -> None:
    """u[t] = exp(a[t]) + 1/u[t-1], read under a quotient."""
    a, t, t2 = given("a", "T"), index("t", "T"), index("t", "T")
    before = at(itself("u", 1), add(t, Const(-1)))
    u = whole(
        "u", (t,), add(op("exp", at(a, t)), Select(op("lt", Const(0), t), op("div", Const(1.0), before), Const(1.0)))
    )
    y = whole("y", (t2,), op("div", op("exp", at(a, t2)), at(u, t2)))
    made = graph(a, u, y, outputs=["y"], sizes=["T"])
    values = np.linspace(-1, 1, 5)
    expected, actual = (evaluate(one, {"a": values}, wanted=["y"])["y"] for one in (made, stabilise.run(made)))
    np.testing.assert_allclose(actual, expected, 1e-13)


@pytest.mark.parametrize("scale", [1.0, 1e4, -1e4])
def test_a_crf_is_stable(scale: float) -> None:
    model = recurrences.crf()
    inputs = {"e": scale * np.abs(model.inputs["e"]), "tr": scale * model.inputs["tr"]}
    alpha = np.zeros(3)
    for row in inputs["e"]:
        alpha = np.logaddexp.reduce(alpha[:, None] + inputs["tr"], 0) + row
    made = trained(model)
    values = evaluate(made, inputs)
    np.testing.assert_allclose(values["loss"], np.logaddexp.reduce(alpha), 1e-12)
    for gradient in made.gradients:
        assert np.all(np.isfinite(values[gradient.adjoint]))
    np.testing.assert_allclose(values["d_e"].sum(), len(inputs["e"]), 1e-9)  # probabilities of the labels of each step


def test_probabilities_that_are_recurrences_of_exponentials() -> None:
    """The same in probabilities: p[t,y] = exp(e[t,y])*(sum[y'] p[t-1,y']*exp(tr[y',y]) if t > 0 else 1), a member of
    whose cycle is read by a logarithm."""
    e, tr = given("e", "T", "Y"), given("tr", "Y", "Y", kind="parameter")
    t, y, y2, y3 = index("t", "T"), index("y", "Y"), index("y", "Y"), index("y", "Y")
    earlier = total(y2, of=mul(at(itself("p", 2), add(t, Const(-1)), y2), op("exp", at(tr, y2, y))))
    p = whole("p", (t, y), mul(op("exp", at(e, t, y)), Select(op("lt", Const(0), t), earlier, Const(1.0))))
    z = whole("loss", (), op("log", total(y3, of=at(p, add(Size("T"), Const(-1)), y3))))
    model = Model("p", graph(e, tr, p, z, loss="loss", outputs=["loss"], sizes=["T", "Y"]), recurrences.crf().inputs)
    made = trained(model)
    expected = evaluate(
        derivative(Model("", prepared(model.graph, off={"stabilise"}), model.inputs)).graph, model.inputs
    )
    values = evaluate(made, model.inputs)
    for name in ("loss", "d_e", "d_tr"):
        np.testing.assert_allclose(values[name], expected[name], 1e-12)


def test_equal_recurrences_become_one() -> None:
    x, outputs = given("x", "T"), []
    for name in ("f", "g"):
        t = index("t", "T")
        before = Select(op("lt", Const(0), t), at(itself(name, 1), add(t, Const(-1))), Const(0.0))
        outputs.append(whole(name, (t,), op("tanh", add(at(x, t), before))))
    t = index("t", "T")
    y = whole("y", (t,), add(at(outputs[0], t), at(outputs[1], t)))
    made = cse.run(graph(x, *outputs, y, outputs=["y"], sizes=["T"]))
    assert list(made.tensors) == ["x", "f", "y"]


def test_what_equals_a_member_of_a_cycle_reads_it() -> None:
    """The product inside h, once more outside."""
    model = recurrences.rnn()
    inside = [t for t in prepared(model.graph).of_kind("computed") if t.id == "h.sum.2"]
    again = replace(inside[0], id="again")
    made = prepared(model.graph)
    t, d = index("t", "T"), index("d", "D")
    y = whole("y", (t, d), op("exp", at(again, t, d)))
    made = replace(made, tensors={**made.tensors, "again": again, "y": y}, outputs=(Output("y", "y"),))
    assert "y[t,d] = exp(h.sum.2[t,d])" in lines(cse.run(made))


def test_what_is_costly_and_does_not_depend_on_the_cycle_is_not_written_into_it() -> None:
    x, t, t2 = given("x", "T"), index("t", "T"), index("t", "T")
    e = whole("e", (t,), op("exp", at(x, t)))
    before = Select(op("lt", Const(0), t2), at(itself("h", 1), add(t2, Const(-1))), Const(0.0))
    h = whole("h", (t2,), op("tanh", add(at(e, t2), before)))
    made = fuse.run(graph(x, e, h, outputs=["h"], sizes=["T"]))
    assert list(made.tensors) == ["x", "e", "h"]
