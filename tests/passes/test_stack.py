"""Stack: products of a recurrence that share a factor, and sums of products, become one."""

from __future__ import annotations

import numpy as np
import pytest
import recurrences
from building import Model, add, at, given, graph, index, mul, parts, total
from numeric.harness import graph_of
from passes.corpus import derivative, finish, through
from recurrences import itself, plus, reals, with_loss

from dlc.compiler import pipeline
from dlc.compiler.ir.expr import Const, Expr, Read
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.passes import extract, simplify, stack

FINISH = finish(before="stack")


def lines(made: Graph) -> list[str]:
    return [line for tensor in made.tensors.values() if tensor.kind == "computed" for line in tensor_lines(tensor)]


def inside(made: Graph) -> list[str]:
    """The products of matrices in recurrences."""
    names = [name for component in made.recurrences for name in component]
    return [name for name in names if any(is_contraction(one) for one in made.tensors[name].equations)]


def cell(shared: bool = False) -> Model:
    """h[t+1] = (u.h)*(v.h) + x, with matrices of their own or two of one tensor."""
    x, h = given("x", "B", "T", 3), itself("h", 3)
    u, v = given("u", 3, 3, kind="parameter"), given("v", 3, 3, kind="parameter")
    w = given("w", 2, 3, 3, kind="parameter")
    b, t, d, e, f = index("b", "B"), index("t", "T"), index("d", 3), index("e", 3), index("f", 3)

    def weight(number: int, row: Expr, column: Expr) -> Read:
        # v stands transposed: what is stacked has one order
        return at(w, number, row, column) if shared else at(v, column, row) if number else at(u, row, column)

    one, two = (total(i, of=mul(weight(n, d, i), at(h, b, t, i))) for n, i in enumerate((e, f)))
    b0, d0 = index("b", "B"), index("d", 3)
    step = (b, t, d), (b, add(t, Const(1)), d), add(mul(one, two), at(x, b, t, d))
    h = parts("h", ["B", plus("T", 1), 3], ((b0, d0), (b0, Const(0), d0), Const(0.0)), step)
    weights = {"w": reals(2, 3, 3)} if shared else {"u": reals(3, 3), "v": reals(3, 3, seed=1)}
    made = with_loss(x, *((w,) if shared else (u, v)), h, sizes=("B", "T"))
    return Model("cell", made, {"x": reals(2, 3, 3), **weights})


@pytest.mark.parametrize("shared", [False, True], ids=["two matrices", "two of one tensor"])
def test_products_of_one_state_are_one_product(shared: bool) -> None:
    before = through(cell(shared), simplify, extract)
    after = through(before, stack)
    assert len(inside(before.graph)) == 2
    assert inside(after.graph) == ["h.sum.stack"]
    assert after.graph.tensors["h.sum.stack"].sizes[2] is Const(2)


def test_the_adjoint_is_one_product_with_a_longer_sum() -> None:
    forward = through(cell(), simplify, extract)
    after = through(derivative(forward), *FINISH, stack)
    forwards, backwards = inside(after.graph)
    assert forwards == "h.sum.stack"
    (line,) = (line for line in lines(after.graph) if line.startswith(f"{backwards}["))
    assert line == "d_h.sum.3.stack[b,t,d] = sum[g,d'] d_h.sum.stack[b,t,g,d']*u.stack.2[g,d',d]"


def test_a_factor_that_only_a_guard_keeps_in_range_is_not_copied() -> None:
    text = """
layer Upwards(x[B,T,D]; u[D,E], v[D,E]) -> h[B,S,D]:
    index E = |D| - 1, S = |T| + 1
    h[b,0,d] = 0
    h[b,t+1,d] = (sum[d' : d' > d] u[d,d'-d-1]*h[b,t,d'])*(sum[d' : d' > d] v[d,d'-d-1]*h[b,t,d']) + x[b,t,d]
"""
    plain = graph_of(text)
    arrays = {"x": reals(2, 3, 4), "u": reals(4, 3), "v": reals(4, 3, seed=1), "d_h": reals(2, 4, 4)}
    made = pipeline.entries(plain, "*")["vjp"]
    wanted = evaluate(pipeline.entries(plain, "*", pipeline.OPTIONAL)["vjp"], arrays)
    found = evaluate(made, arrays)
    for name in made.roots:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12)


def stages() -> Model:
    """h[t+1] = h + x*(p + q) with p = u.h and q = v.h + w.p: the second stage needs the first."""
    x, h = given("x", "B", "T", 3), itself("h", 3)
    u, v, w = (given(name, 3, 3, kind="parameter") for name in "uvw")
    b, t, d = index("b", "B"), index("t", "T"), index("d", 3)
    e, f, g = (index(name, 3) for name in "efg")
    first = whole("p", (b, t, d), total(e, of=mul(at(u, d, e), at(h, b, t, e))))
    q_of_h = total(f, of=mul(at(v, d, f), at(h, b, t, f)))
    second = whole("q", (b, t, d), add(q_of_h, total(g, of=mul(at(w, d, g), at(first, b, t, g)))))
    b0, d0 = index("b", "B"), index("d", 3)
    moved = add(at(h, b, t, d), mul(at(x, b, t, d), add(at(first, b, t, d), at(second, b, t, d))))
    step = (b, t, d), (b, add(t, Const(1)), d), moved
    h = parts("h", ["B", plus("T", 1), 3], ((b0, d0), (b0, Const(0), d0), Const(1.0)), step)
    made = with_loss(x, u, v, w, first, second, h, sizes=("B", "T"))
    return Model("stages", made, {"x": reals(2, 3, 3), **{n: reals(3, 3, seed=i) for i, n in enumerate("uvw")}})


@pytest.mark.parametrize("model", [*recurrences.models(), stages()], ids=lambda model: model.name)
def test_recurrences_keep_their_meaning(model: Model) -> None:
    forward = through(model, simplify, extract)
    through(forward, stack)
    through(derivative(forward), *FINISH, stack, tolerance=1e-9)


def test_products_outside_recurrences_stay_apart() -> None:
    x, u, v = given("x", "B", 3), given("u", 4, 3, kind="parameter"), given("v", 4, 3, kind="parameter")
    outputs = []
    for name, weights in (("y", u), ("z", v)):
        b, i, j = index("b", "B"), index("i", 4), index("j", 3)
        outputs.append(whole(name, (b, i), total(j, of=mul(at(weights, i, j), at(x, b, j)))))
    b, i = index("b", "B"), index("i", 4)
    s = whole("s", (b, i), mul(at(outputs[0], b, i), at(outputs[1], b, i)))
    made = graph(x, u, v, *outputs, s, outputs=["s"], sizes=["B"])
    assert stack.run(made) is made


def test_what_is_needed_outside_stays() -> None:
    before = through(cell(), simplify, extract)
    (name, _) = inside(before.graph)
    made = before.graph
    kept = graph(*made.tensors.values(), outputs=[name], sizes=["B", "T"])
    assert stack.run(kept) is kept


def test_names_that_are_taken() -> None:
    """A second run finds nothing more, whatever the names."""
    once = through(cell(), simplify, extract, stack)
    assert stack.run(once.graph) is once.graph
