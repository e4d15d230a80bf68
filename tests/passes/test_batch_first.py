"""What products are made for one by one stands in front of their rows and columns."""

from __future__ import annotations

from building import Model, at, given, graph, index, mul, total
from passes.corpus import derivative, finish, squares, through
from recurrences import reals

from dlc.compiler.ir.expr import op
from dlc.compiler.ir.graph import whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.passes import batch_first, extract


def attention(width: int = 2, heads: str = "bqsh") -> Model:
    """Scores of queries and keys of several heads, their exponentials, the sum of these, and the mean of values."""
    q, k, v = given("q", "B", "T", "H", width), given("k", "B", "S", "H", width), given("v", "B", "S", "H", width)
    b, t, s, h, d = index("b", "B"), index("t", "T"), index("s", "S"), index("h", "H"), index("d", width)
    own = {"b": b, "q": t, "s": s, "h": h}
    score = whole("score", tuple(own[i] for i in heads), total(d, of=mul(at(q, b, t, h, d), at(k, b, s, h, d))))
    e = whole("e", (b, t, s, h), op("exp", at(score, *(own[i] for i in heads))))
    z = whole("z", (b, t, h), total(s, of=at(e, b, t, s, h)))
    y = whole("y", (b, t, h, d), total(s, of=mul(at(e, b, t, s, h), at(v, b, s, h, d))))
    out = whole("out", (b, t, h, d), op("div", at(y, b, t, h, d), at(z, b, t, h)))
    made = graph(q, k, v, score, e, z, y, out, squares(out), loss="loss", outputs=["out"], sizes=["B", "T", "S", "H"])
    values = {"q": reals(2, 3, 2, width), "k": reals(2, 4, 2, width), "v": reals(2, 4, 2, width)}
    return Model("attention", made, values)


def lines(model: Model, *names: str) -> list[str]:
    return [line for name in names for line in tensor_lines(model.graph.tensors[name])]


def test_scores_of_heads_and_what_goes_with_them() -> None:
    made = through(attention(), extract, batch_first)
    assert lines(made, "score", "e", "z", "y", "out") == [
        "score[b,h,t,s] = sum[d] q[b,t,h,d]*k[b,s,h,d]",
        "e[b,h,t,s] = exp(score[b,h,t,s])",
        "z[b,h,t] = sum[s] e[b,h,t,s]",
        "y[b,t,h,d] = sum[s] e[b,h,t,s]*v[b,s,h,d]",  # heads are not at the end
        "out[b,t,h,d] = y[b,t,h,d]/z[b,h,t]",
    ]


def test_a_second_run_changes_nothing() -> None:
    made = through(attention(), extract, batch_first)
    assert lines(through(made, batch_first), *made.graph.tensors) == lines(made, *made.graph.tensors)


def test_matrices_that_lie_well_stay() -> None:
    made = through(attention(heads="bhqs"), extract)
    assert lines(through(made, batch_first), "score") == lines(made, "score")


def test_derivatives_mean_what_they_meant() -> None:
    forward = attention()
    through(derivative(forward), *finish(before="batch_first"), batch_first, tolerance=1e-9)


def last_axis(*sizes: int | str) -> Model:
    """A product for every element of the last axis, of inputs and asked for."""
    i, j, k, c = (index(name, size) for name, size in zip("ijkc", sizes, strict=True))
    a, b = given("a", sizes[0], sizes[2], sizes[3]), given("b", sizes[1], sizes[2], sizes[3])
    y = whole("y", (i, j, c), total(k, of=mul(at(a, i, k, c), at(b, j, k, c))))
    values = {"a": reals(3, 5, 2), "b": reals(4, 5, 2)}
    return Model(
        "last axis", graph(a, b, y, squares(y), loss="loss", outputs=["y"], sizes=["I", "J", "K", "C"]), values
    )


def test_what_keeps_its_axes_is_copied_where_it_is_read_often() -> None:
    made = through(last_axis("I", "J", "K", "C"), extract, batch_first)
    assert lines(made, "a.first", "y.first", "y") == [
        "a.first[i2,i0,i1] = a[i0,i1,i2]",
        "y.first[c,i,j] = sum[k] a.first[c,i,k]*b.first[c,j,k]",
        "y[i,j,c] = y.first[c,i,j]",
    ]
    again = through(made, batch_first)
    assert lines(again, *again.graph.tensors) == lines(made, *made.graph.tensors)


def test_derivatives_of_what_is_copied_mean_what_they_meant() -> None:
    forward = last_axis("I", "J", "K", "C")
    through(derivative(forward), *finish(before="batch_first"), batch_first, tolerance=1e-9)
