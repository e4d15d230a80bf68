"""Extract, cse, dce, factor and fuse: what tensors there are afterwards, and why."""

from __future__ import annotations

from dataclasses import replace

from building import add, at, extent, given, graph, index, mul, parts, sub, total, when
from passes.corpus import bilinear, derivative, mlp, through

from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, Select, op
from dlc.compiler.ir.forms import is_contraction, is_extracted
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.passes import cse, dce, deltas, extract, factor, fuse, simplify, stabilise


def lines(made: Graph) -> list[str]:
    return [line for tensor in made.tensors.values() if tensor.kind == "computed" for line in tensor_lines(tensor)]


def exp(x: Expr) -> Expr:
    return op("exp", x)


def div(x: Expr, y: Expr) -> Expr:
    return op("div", x, y)


B, ROW, COLUMN, INNER = index("b", "B"), index("i", "I"), index("j", "J"), index("k", "K")
SIZES = ("B", "I", "J", "K")


# -- extract --------------------------------------------------------------------------------------------------------


def test_a_denominator_is_computed_once_a_row() -> None:
    x = given("x", "B", "J")
    y = whole("y", (B, COLUMN), div(exp(at(x, B, COLUMN)), total(INNER_J, of=exp(at(x, B, INNER_J)))))
    made = extract.run(graph(x, y, outputs=["y"], sizes=["B", "J"]))
    assert lines(made) == ["y.sum[b] = sum[j] exp(x[b,j])", "y[b,j] = exp(x[b,j])/y.sum[b]"]
    assert not is_extracted(made)


INNER_J = index("j", "J")


def test_reductions_that_are_alike_become_one_tensor() -> None:
    x, j, k = given("x", "B", "J"), index("j", "J"), index("k", "J")
    first = whole("first", (B,), exp(total(j, of=mul(at(x, B, j), at(x, B, 0)))))
    c = index("c", "B")
    second = whole("second", (c,), op("log", total(k, of=mul(at(x, c, 0), at(x, c, k)))))
    made = extract.run(graph(x, first, second, outputs=["first", "second"], sizes=["B", "J"]))
    assert [line.partition(" = ")[2] for line in lines(made)][1:] == ["exp(first.sum[b])", "log(first.sum[c])"]


def test_a_reduction_that_a_tensor_holds_already_is_read() -> None:
    x, j = given("x", "B", "J"), index("j", "J")
    s = whole("s", (B,), total(j, of=at(x, B, j)))
    y = whole("y", (B,), exp(total(j, of=at(x, B, j))))
    made = extract.run(graph(x, s, y, outputs=["s", "y"], sizes=["B", "J"]))
    assert lines(made)[-1] == "y[b] = exp(s[b])"


def test_a_root_reduction_stays_and_takes_its_guard_in() -> None:
    x, j = given("x", "B", "J"), index("j", "J")
    value = Select(op("lt", Const(0), B), total(j, of=at(x, add(B, Const(-1)), j)), Const(0.0))
    made = extract.run(graph(x, whole("y", (B,), value), outputs=["y"], sizes=["B", "J"]))
    assert lines(made) == ["y[b] = sum[j] [0 < b]*x[b-1,j]"]


def test_a_guard_moves_into_the_body() -> None:
    x, j = given("x", "B", "J"), index("j", "J")
    inner = Reduce("max", (j,), at(x, add(B, Const(-1)), j))
    made = extract.run(
        graph(x, whole("y", (B,), Select(op("lt", Const(0), B), exp(inner), Const(2.0))), outputs=["y"], sizes=SIZES)
    )
    assert lines(made) == ["y.max[b] = max[j : 0 < b] x[b-1,j]", "y[b] = exp(y.max[b]) if 0 < b else 2"]


def test_a_guard_that_needs_another_one_does_not_go_without_it() -> None:
    """Where d + 1 = i does not go along, for want of d, the condition that reads x[i-1] does not either."""
    x, g = given("x", "D"), given("g", "B", "D")
    d, i, b = index("d", "D"), index("i", "D"), index("b", "B")
    big = op("le", Const(1.0), at(x, add(i, Const(-1))))
    cond = op("and", op("eq", add(d, Const(1)), i), big)
    made = extract.run(
        graph(
            x,
            g,
            whole("y", (d, i), when(cond, mul(Const(2.0), total(b, of=at(g, b, i))))),
            outputs=["y"],
            sizes=("B", "D"),
        )
    )
    assert lines(made)[0] == "y.sum[i] = sum[b] g[b,i]"


def test_the_other_branch_has_the_opposite_guard() -> None:
    x, j = given("x", "B", "J"), index("j", "J")
    inner = total(j, of=op("log", at(x, B, j)))
    cond = op("lt", at(x, B, 0), Const(1.0))
    made = extract.run(graph(x, whole("y", (B,), Select(cond, Const(1.0), exp(inner))), outputs=["y"], sizes=SIZES))
    assert lines(made)[0] == "y.sum[b] = sum[j] [not x[b,0] < 1]*log(x[b,j])"


def test_a_guard_of_other_indices_stays_outside() -> None:
    x, m, j = given("x", "B", "J"), given("m", "B", "I", type="bool"), index("j", "J")
    value = Select(Read("m", (B, ROW), "bool"), exp(total(j, of=at(x, B, j))), Const(0.0))
    made = extract.run(graph(x, m, whole("y", (B, ROW), value), outputs=["y"], sizes=SIZES))
    assert lines(made)[0] == "y.sum[b] = sum[j] x[b,j]"


def test_a_guard_of_other_indices_that_reads_need_gives_the_tensor_their_axes() -> None:
    """b + i < |B| says that b < |B| - 3 only where some i >= 3 is asked for."""
    x, j, k = given("x", "B", "J"), index("j", "J"), index("i", 9)
    cond = op("and", op("lt", add(B, k), extent("B")), op("lt", Const(2), k))
    value = Select(cond, exp(total(j, of=at(x, add(B, Const(3)), j))), Const(0.0))
    made = extract.run(graph(x, whole("y", (B, k), value), outputs=["y"], sizes=SIZES))
    assert made.tensors["y.sum"].rank == 2


def test_parts_are_extracted_too() -> None:
    x, j, r = given("x", "J"), index("j", "J"), index("r", 2)
    y = parts("y", [3], ((r,), (r,), exp(total(j, of=at(x, j)))), ((), (Const(2),), total(j, of=at(x, j))))
    made = extract.run(graph(x, y, outputs=["y"], sizes=["J"]))
    assert not is_extracted(made)
    assert lines(made)[0] == "y.sum = sum[j] x[j]"


# -- cse ------------------------------------------------------------------------------------------------------------


def test_equal_tensors_become_one_whatever_the_order_of_factors() -> None:
    x, w = given("x", "B"), given("w", "B")
    c = index("c", "B")
    first = whole("first", (B,), exp(mul(at(x, B), at(w, B))))
    second = whole("second", (c,), exp(mul(at(w, c), at(x, c))))
    y = whole("y", (B,), sub(at(first, B), at(second, B)))
    made = cse.run(graph(x, w, first, second, y, outputs=["y"], sizes=["B"]))
    assert lines(made) == ["first[b] = exp(x[b]*w[b])", "y[b] = first[b] - first[b]"]


def test_equality_goes_through_tensors() -> None:
    x = given("x", "B")
    chain = []
    for name in ("f", "g"):
        one = whole(f"{name}1", (B,), exp(at(x, B)))
        chain += [one, whole(f"{name}2", (B,), op("sin", at(one, B)))]
    y = whole("y", (B,), add(at(chain[1], B), at(chain[3], B)))
    made = cse.run(graph(x, *chain, y, outputs=["y"], sizes=["B"]))
    assert list(made.tensors) == ["x", "f1", "f2", "y"]


def test_of_two_equal_outputs_the_second_is_a_copy() -> None:
    x = given("x", "B")
    first, second = (whole(name, (B,), exp(at(x, B))) for name in ("first", "second"))
    made = cse.run(graph(x, first, second, outputs=["first", "second"], sizes=["B"]))
    assert lines(made) == ["first[b] = exp(x[b])", "second[b] = first[b]"]


def test_an_output_takes_the_place_of_its_equal() -> None:
    x = given("x", "B")
    inner, outer = (whole(name, (B,), exp(at(x, B))) for name in ("inner", "outer"))
    y = whole("y", (B,), op("sin", at(inner, B)))
    made = cse.run(graph(x, inner, outer, y, outputs=["y", "outer"], sizes=["B"]))
    assert lines(made) == ["outer[b] = exp(x[b])", "y[b] = sin(outer[b])"]


def test_an_activation_is_read_from_the_tensor_that_holds_it() -> None:
    x, c, d = given("x", "B", "I"), given("c", "I"), given("d", "B", "I")
    z = op("relu", add(at(x, B, ROW), at(c, ROW)))
    h = whole("h", (B, ROW), z)
    b, i = index("b", "B"), index("i", "I")
    back = when(op("lt", Const(0.0), op("relu", add(at(x, b, i), at(c, i)))), at(d, b, i))
    made = cse.run(graph(x, c, d, h, whole("y", (b, i), back), outputs=["h", "y"], sizes=["B", "I"]))
    assert lines(made)[-1] == "y[b,i] = [0 < h[b,i]]*d[b,i]"


def test_a_transposed_use_reads_the_transposed_element() -> None:
    x, y = given("x", "B", "B"), index("c", "B")
    h = whole("h", (B, y), exp(at(x, B, y)))
    made = cse.run(graph(x, h, whole("y", (B, y), add(exp(at(x, y, B)), Const(1.0))), outputs=["h", "y"], sizes=["B"]))
    assert lines(made)[-1] == "y[b,c] = h[c,b] + 1"


def test_a_product_of_matrices_is_read_transposed() -> None:
    x, z = given("x", "I", "K"), given("z", "J", "K")
    first = whole("first", (ROW, COLUMN), total(INNER, of=mul(at(x, ROW, INNER), at(z, COLUMN, INNER))))
    second = whole("second", (COLUMN, ROW), total(INNER, of=mul(at(z, COLUMN, INNER), at(x, ROW, INNER))))
    y = whole("y", (COLUMN,), total(ROW, of=mul(at(second, COLUMN, ROW), at(second, COLUMN, ROW))))
    made = cse.run(graph(x, z, first, second, y, outputs=["first", "y"], sizes=["I", "J", "K"]))
    assert lines(made)[1:] == ["second[j,i] = first[i,j]", "y[j] = sum[i] first[i,j]*first[i,j]"]


def test_what_is_computed_from_a_product_and_from_its_copy_is_computed_once() -> None:
    """The products that a chain of matrices and its derivatives have in common, each made of the one before."""
    x, z = given("x", "I", "K"), given("z", "J", "K")
    first = whole("first", (ROW, COLUMN), total(INNER, of=mul(at(x, ROW, INNER), at(z, COLUMN, INNER))))
    second = whole("second", (COLUMN, ROW), total(INNER, of=mul(at(z, COLUMN, INNER), at(x, ROW, INNER))))
    y = whole("y", (INNER, COLUMN), total(ROW, of=mul(at(x, ROW, INNER), at(first, ROW, COLUMN))))
    other = whole("other", (COLUMN, INNER), total(ROW, of=mul(at(second, COLUMN, ROW), at(x, ROW, INNER))))
    made = cse.run(graph(x, z, first, second, y, other, outputs=["y", "other"], sizes=["I", "J", "K"]))
    assert lines(made)[-1] == "other[j,k] = y[k,j]"


def test_cheap_things_are_computed_again() -> None:
    x = given("x", "B")
    h = whole("h", (B,), mul(Const(2.0), at(x, B)))
    y = whole("y", (B,), exp(mul(Const(2.0), at(x, B))))
    made = cse.run(graph(x, h, y, outputs=["h", "y"], sizes=["B"]))
    assert lines(made)[-1] == "y[b] = exp(2*x[b])"


def test_what_stands_under_a_guard_is_held_there_only() -> None:
    x = given("x", "B")
    cond = op("lt", Const(2), B)
    h = whole("h", (B,), when(cond, exp(at(x, B))))
    y = whole("y", (B,), when(cond, op("sin", exp(at(x, B)))))
    other = whole("other", (B,), op("cos", exp(at(x, B))))
    made = cse.run(graph(x, h, y, other, outputs=["h", "y", "other"], sizes=["B"]))
    assert lines(made)[1:] == ["y[b] = [2 < b]*sin(h[b])", "other[b] = cos(exp(x[b]))"]


def test_factors_that_a_tensor_holds_are_read_together() -> None:
    """p = e/s, and d*e/s reads p: the derivative of a softmax."""
    x, s, d = given("x", "B", "I"), given("s", "B"), given("d", "B", "I")
    p = whole("p", (B, ROW), div(exp(at(x, B, ROW)), at(s, B)))
    y = whole("y", (B, ROW), mul(div(at(d, B, ROW), at(s, B)), exp(at(x, B, ROW))))
    made = cse.run(graph(x, s, d, p, y, outputs=["p", "y"], sizes=["B", "I"]))
    assert lines(made)[-1] == "y[b,i] = p[b,i]*d[b,i]"


# -- dce ------------------------------------------------------------------------------------------------------------


def test_what_nothing_needs_goes_and_inputs_stay() -> None:
    x, w = given("x", "B"), given("w", "B")
    y, dead = whole("y", (B,), exp(at(x, B))), whole("dead", (B,), at(w, B))
    made = graph(x, w, y, dead, whole("deader", (B,), at(dead, B)), outputs=["y"], sizes=["B"])
    assert list(dce.run(made).tensors) == ["x", "w", "y"]


def test_gradients_are_needed() -> None:
    made = derivative(mlp()).graph
    assert {gradient.adjoint for gradient in made.gradients} <= set(dce.run(made).tensors)


# -- factor ---------------------------------------------------------------------------------------------------------


def factored(value: Expr, *inputs: tuple[str, ...], axes: tuple[Index, ...]) -> list[str]:
    tensors = [given(name, *sizes) for name, *sizes in inputs]
    made = graph(*tensors, whole("y", axes, value), outputs=["y"], sizes=SIZES)
    return lines(factor.run(made))


def r(name: str, *subscripts: Expr) -> Read:
    return Read(name, subscripts, "real")


def test_a_factor_of_the_row_leaves_the_sum() -> None:
    value = total(COLUMN, of=mul(r("a", ROW), r("b", ROW, COLUMN), r("c", COLUMN)))
    assert factored(value, ("a", "I"), ("b", "I", "J"), ("c", "J"), axes=(ROW,)) == ["y[i] = a[i]*sum[j] b[i,j]*c[j]"]


def test_a_divisor_of_the_row_leaves_the_sum() -> None:
    value = total(COLUMN, of=div(mul(r("b", ROW, COLUMN), r("c", COLUMN)), r("a", ROW)))
    assert factored(value, ("a", "I"), ("b", "I", "J"), ("c", "J"), axes=(ROW,)) == ["y[i] = (sum[j] b[i,j]*c[j])/a[i]"]


def test_a_factor_stays_under_a_mask_that_may_be_empty() -> None:
    """With nothing in the mask the sum is 0, and a[i]*0 may be nan."""
    mask = op("lt", r("b", ROW, COLUMN), Const(0.0))
    value = total(COLUMN, of=when(mask, mul(r("a", ROW), r("b", ROW, COLUMN))))
    assert "sum[j] [b[i,j] < 0]*a[i]*b[i,j]" in factored(value, ("a", "I"), ("b", "I", "J"), axes=(ROW,))[0]


def test_a_factor_leaves_a_causal_mask() -> None:
    value = total(COLUMN, of=when(op("le", COLUMN, ROW), mul(r("a", ROW), r("b", ROW, COLUMN))))
    assert factored(value, ("a", "I"), ("b", "I", "J"), axes=(ROW,)) == ["y[i] = a[i]*sum[j] [j <= i]*b[i,j]"]


def test_what_alone_depends_on_an_index_is_summed_alone() -> None:
    value = total(COLUMN, INNER, of=mul(r("a", ROW, COLUMN), r("b", COLUMN, INNER)))
    assert factored(value, ("a", "I", "J"), ("b", "J", "K"), axes=(ROW,)) == ["y[i] = sum[j] a[i,j]*sum[k] b[j,k]"]


def test_three_matrices_are_multiplied_in_pairs() -> None:
    i, j, k, m = index("i", 4), index("j", 100), index("k", 100), index("m", 4)
    value = total(j, k, of=mul(r("a", i, j), r("b", j, k), r("c", k, m)))
    made = factored(value, ("a", 4, 100), ("b", 100, 100), ("c", 100, 4), axes=(i, m))  # type: ignore[arg-type]  # sizes are numbers here
    assert made == ["y.sum[i,k] = sum[j] a[i,j]*b[j,k]", "y[i,m] = sum[k] c[k,m]*y.sum[i,k]"]


def test_a_matrix_product_may_have_more_elements_than_its_factors() -> None:
    b, e, i, o = index("b", 100), index("e", 8), index("i", 64), index("o", 64)
    value = total(i, o, of=mul(r("d", b, o), r("x", b, i), r("w", e, i, o)))
    made = factored(value, ("d", 100, 64), ("x", 100, 64), ("w", 8, 64, 64), axes=(b, e))  # type: ignore[arg-type]  # sizes are numbers here
    assert len(made) == 2 and all(line.count("*") == 1 for line in made)


def test_a_bilinear_form_becomes_products_of_two() -> None:
    model = through(derivative(through(bilinear(), simplify, extract)), simplify, deltas, simplify, factor, extract)
    made = [e for t in model.graph.tensors.values() for e in t.equations if t.id in ("r", "d_w", "d_x", "d_y")]
    assert len(made) == 4 and all(is_contraction(equation) for equation in made)


def test_what_multiplies_the_elements_of_a_product_of_matrices_waits_for_it() -> None:
    """The gradient of a divisor of each row, ``y[i,j] = (sum[k] x[i,k]*z[j,k])/n[i]``."""
    value = total(COLUMN, INNER, of=mul(r("d", ROW, COLUMN), r("x", ROW, INNER), r("z", COLUMN, INNER), r("g", COLUMN)))
    made = factored(value, ("d", "I", "J"), ("x", "I", "K"), ("z", "J", "K"), ("g", "J"), axes=(ROW,))
    assert made == [
        "y.factor[i,j] = d[i,j]*g[j]",
        "y.sum[i,j] = sum[k] x[i,k]*z[j,k]",
        "y[i] = sum[j] y.factor[i,j]*y.sum[i,j]",
    ]


def test_what_all_terms_of_a_sum_share_is_taken_out_of_them() -> None:
    """The derivative of p(1 - p): what the terms differ in depends on no summed index, and leaves the sum."""
    other = index("i'", "I")
    p, form = r("p", B), mul(r("d", ROW, other), r("x", B, ROW), r("x", B, other))
    value = total(ROW, other, of=add(mul(form, sub(Const(1.0), p)), op("neg", mul(form, p))))
    made = factored(value, ("d", "I", "I"), ("x", "B", "I"), ("p", "B"), axes=(B,))
    assert made == [
        "y.sum[b,i] = sum[i'] d[i',i]*x[b,i']",
        "y[b] = (1 - 2*p[b])*sum[i] x[b,i]*y.sum[b,i]",
    ]


def test_what_both_branches_of_a_choice_share_is_taken_out_of_them() -> None:
    """The derivative of a rectifier with an exponential, summed to the end of a range: the choice leaves the sum."""
    end, start = index("t", "I"), index("s", "I")
    shared = mul(r("a", start, end), r("b", start, COLUMN))
    positive = op("lt", Const(0.0), r("x", end, COLUMN))
    body = Select(positive, shared, mul(shared, exp(r("x", end, COLUMN))))
    value = total(start, of=when(op("le", end, start), body))
    made = factored(value, ("a", "I", "I"), ("b", "I", "J"), ("x", "I", "J"), axes=(end, COLUMN))
    assert made == ["y[t,j] = (exp(x[t,j]) if not 0 < x[t,j] else 1)*sum[s] [t <= s]*a[s,t]*b[s,j]"]


def test_a_sum_of_two_products_of_matrices_is_summed_apart() -> None:
    first, second = mul(r("a", ROW, INNER), r("b", INNER, COLUMN)), mul(r("c", ROW, INNER), r("d", INNER, COLUMN))
    inputs = [("a", "I", "K"), ("b", "K", "J"), ("c", "I", "K"), ("d", "K", "J")]
    made = factored(total(INNER, of=sub(first, second)), *inputs, axes=(ROW, COLUMN))
    assert made == ["y[i,j] = sum[k] a[i,k]*b[k,j] - sum[k] c[i,k]*d[k,j]"]


def test_terms_that_gain_nothing_alone_are_summed_together() -> None:
    """Differences first: each may be exact where the sums of the two sides are rounded."""
    value = total(COLUMN, of=sub(mul(r("a", ROW, COLUMN), r("a", ROW, COLUMN)), r("b", ROW, COLUMN)))
    assert len(factored(value, ("a", "I", "J"), ("b", "I", "J"), axes=(ROW,))) == 1


def test_an_element_wise_product_of_three_is_left_alone() -> None:
    value = total(COLUMN, of=mul(r("a", ROW, COLUMN), r("b", ROW, COLUMN), r("c", ROW, COLUMN)))
    sizes = ("I", "J")
    assert len(factored(value, ("a", *sizes), ("b", *sizes), ("c", *sizes), axes=(ROW,))) == 1


def test_a_scaled_operand_is_multiplied_before_the_product() -> None:
    value = total(COLUMN, of=mul(r("a", B, COLUMN), r("s", B, COLUMN), r("w", ROW, COLUMN)))
    made = factored(value, ("a", "B", "J"), ("s", "B", "J"), ("w", "I", "J"), axes=(B, ROW))
    assert made == ["y.factor[b,j] = a[b,j]*s[b,j]", "y[b,i] = sum[j] w[i,j]*y.factor[b,j]"]


def test_what_depends_on_fewer_indices_is_computed_once() -> None:
    x, v = given("x", "B", "I"), given("v", "B")
    root = op("sqrt", add(at(v, B), Const(1e-5)))
    y = whole("y", (B, ROW), div(at(x, B, ROW), root))
    made = factor.run(graph(x, v, y, outputs=["y"], sizes=SIZES))
    assert lines(made) == ["y.part[b] = sqrt(v[b] + 1e-05)", "y[b,i] = x[b,i]/y.part[b]"]


def test_deviations_from_the_mean_sum_to_nothing() -> None:
    x = given("x", "B", 6)
    j, k = index("j", 6), index("k", 6)
    mu = whole("mu", (B,), div(total(j, of=at(x, B, j)), Const(6.0)))
    y = whole("y", (B,), add(total(k, of=sub(at(x, B, k), at(mu, B))), at(x, B, 0)))
    made = simplify.run(factor.run(graph(x, mu, y, outputs=["mu", "y"], sizes=["B"])))
    assert lines(made)[-1] == "y[b] = x[b,0]"


# -- fuse -----------------------------------------------------------------------------------------------------------


def test_a_chain_of_maps_becomes_one() -> None:
    x = given("x", "B")
    a = whole("a", (B,), exp(at(x, B)))
    b = whole("b", (B,), op("sin", at(a, B)))
    made = fuse.run(graph(x, a, b, whole("y", (B,), op("tanh", at(b, B))), outputs=["y"], sizes=["B"]))
    assert lines(made) == ["y[b] = tanh(sin(exp(x[b])))"]


def test_a_map_with_two_readers_stays() -> None:
    x = given("x", "B")
    a = whole("a", (B,), exp(at(x, B)))
    made = graph(
        x, a, *(whole(name, (B,), op(name, at(a, B))) for name in ("sin", "cos")), outputs=["sin", "cos"], sizes=["B"]
    )
    assert "a" in fuse.run(made).tensors


def test_a_sign_is_taken_wherever_it_is_read() -> None:
    x = given("x", "B")
    a = whole("a", (B,), op("neg", at(x, B)))
    made = graph(
        x, a, *(whole(name, (B,), op(name, at(a, B))) for name in ("sin", "cos")), outputs=["sin", "cos"], sizes=["B"]
    )
    assert lines(fuse.run(made)) == ["sin[b] = sin(-x[b])", "cos[b] = cos(-x[b])"]


def masked(*equations: Tensor, mask: Tensor) -> list[str]:
    """Two softmaxes' sums under a mask, after the pass."""
    x = given("x", "I", "J")
    sums = [
        whole(name, (ROW,), total(COLUMN, of=Select(at(mask, ROW, COLUMN), op(name, at(x, ROW, COLUMN)), Const(0.0))))
        for name in ("sin", "cos")
    ]
    made = fuse.run(graph(x, *equations, mask, *sums, outputs=["sin", "cos"], sizes=SIZES))
    return [line for name in ("sin", "cos") for line in tensor_lines(made.tensors[name])]


def test_a_mask_of_positions_and_lengths_is_compared_wherever_it_is_read() -> None:
    n = replace(given("n", "I"), type="int")
    short = op("lt", COLUMN, at(n, ROW))
    mask = replace(whole("mask", (ROW, COLUMN), op("and", op("le", COLUMN, ROW), short)), type="bool")
    assert masked(n, mask=mask) == [
        "sin[i] = sum[j] [j <= i and j < n[i]]*sin(x[i,j])",
        "cos[i] = sum[j] [j <= i and j < n[i]]*cos(x[i,j])",
    ]


def test_a_mask_that_reads_along_its_rows_stays() -> None:
    n = replace(given("n", "J"), type="int")
    mask = replace(whole("mask", (ROW, COLUMN), op("le", at(n, COLUMN), ROW)), type="bool")
    assert masked(n, mask=mask) == [
        "sin[i] = sum[j] [mask[i,j]]*sin(x[i,j])",
        "cos[i] = sum[j] [mask[i,j]]*cos(x[i,j])",
    ]


def test_a_map_is_not_computed_more_often_than_it_has_elements() -> None:
    x, w = given("x", "J"), given("w", "I", "J")
    a = whole("a", (COLUMN,), exp(at(x, COLUMN)))
    y = whole("y", (ROW,), total(COLUMN, of=add(at(w, ROW, COLUMN), at(a, COLUMN))))
    assert "a" in fuse.run(graph(x, w, a, y, outputs=["y"], sizes=SIZES)).tensors


def test_a_window_would_compute_a_map_several_times() -> None:
    x, u, p = given("x", 8), index("u", 6), index("p", 3)
    a_index = index("a", 8)
    a = whole("a", (a_index,), exp(at(x, a_index)))
    y = whole("y", (u,), total(p, of=at(a, add(u, p))))
    assert "a" in fuse.run(graph(x, a, y, outputs=["y"])).tensors


def test_a_reduction_absorbs_the_map_it_reads() -> None:
    x = given("x", "I", "J")
    a = whole("a", (ROW, COLUMN), exp(at(x, ROW, COLUMN)))
    y = whole("y", (ROW,), total(COLUMN, of=at(a, ROW, COLUMN)))
    assert lines(fuse.run(graph(x, a, y, outputs=["y"], sizes=SIZES))) == ["y[i] = sum[j] exp(x[i,j])"]


def test_nothing_is_written_into_a_matrix_product() -> None:
    x, w = given("x", "B", "J"), given("w", "I", "J")
    a = whole("a", (B, COLUMN), exp(at(x, B, COLUMN)))
    y = whole("y", (B, ROW), total(COLUMN, of=mul(at(a, B, COLUMN), at(w, ROW, COLUMN))))
    assert "a" in fuse.run(graph(x, w, a, y, outputs=["y"], sizes=SIZES)).tensors


def test_outputs_stay() -> None:
    x = given("x", "B")
    a = whole("a", (B,), exp(at(x, B)))
    y = whole("y", (B,), op("sin", at(a, B)))
    assert lines(fuse.run(graph(x, a, y, outputs=["a", "y"], sizes=["B"])))[-1] == "y[b] = sin(a[b])"


def test_a_copy_of_a_reduction_is_the_reduction() -> None:
    x = given("x", "I", "J")
    s = whole("s", (ROW,), total(COLUMN, of=at(x, ROW, COLUMN)))
    made = fuse.run(graph(x, s, whole("y", (ROW,), at(s, ROW)), outputs=["y"], sizes=SIZES))
    assert lines(made) == ["y[i] = sum[j] x[i,j]"]


def test_the_kernels_of_a_network() -> None:
    """The products of a dense network, forward and backward, are bare, and there is nothing else of that order."""
    forward = through(mlp(), simplify, stabilise, extract, cse, dce)
    steps = (simplify, deltas, simplify, factor, extract, cse, dce, fuse)
    made = through(derivative(forward), *steps).graph
    products = [t.id for t in made.tensors.values() if any(is_contraction(equation) for equation in t.equations)]
    assert products == ["a.sum", "o.sum", "d_a", "d_w2", "d_w1", "d_x"]
    for name in products:
        body = made.tensors[name].equations[0].value.children[0]
        assert all(isinstance(child, Read) for child in body.children)


def test_a_product_with_an_element_is_not_written_with_it_once_more() -> None:
    """y = x/r is held; y*c/r, where x/r could be put for y and y for x/r again, is what it is."""
    x, i, j, k = given("x", "N"), index("i", "N"), index("j", "N"), index("k", "N")
    r = whole("r", (i,), op("sqrt", add(Const(1.0), mul(at(x, i), at(x, i)))))
    y = whole("y", (j,), div(op("max", at(x, j), Const(0.5)), at(r, j)))
    z = whole("z", (k,), mul(Const(2.0), div(at(y, k), at(r, k)), op("max", at(x, k), Const(0.5))))
    made = cse.run(graph(x, r, y, z, outputs=["y", "z"], sizes=["N"]))
    assert any("y[" in line for line in lines(made) if line.startswith("z"))


def test_a_product_whose_place_is_data_is_made_before_it_is_scattered() -> None:
    """The gradient of what the edges of a graph read, through a matrix that all of them share."""
    d, w, z = given("d", "J", "K"), given("w", "K", "I"), given("z", "J", type="int", bound=extent("B"))
    value = when(op("eq", B, at(z, COLUMN)), mul(at(d, COLUMN, INNER), at(w, INNER, ROW)))
    y = whole("y", (B, ROW), total(COLUMN, INNER, of=value))
    made = factor.run(graph(d, w, z, y, outputs=["y"], sizes=SIZES))
    assert lines(made) == ["y.sum[i,j] = sum[k] d[j,k]*w[k,i]", "y[b,i] = sum[j] [b == z[j]]*y.sum[i,j]"]
