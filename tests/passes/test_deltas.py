"""Iverson deltas in sums: solved, with the guards that are needed and no others; and kept where they hold data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, total, when
from passes.corpus import Model, convolution, derivative, embedding, flattened, max_pool, segments, through

from dlc.compiler.ir.expr import Const, Expr, Index, Reduce, Select, Size, free_indices, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.passes import deltas, simplify


def eq(a: Expr, b: Expr) -> Expr:
    return op("eq", a, b)


def lines_after(y: Tensor, *inputs: Tensor, values: dict[str, np.ndarray], sizes: Sequence[str] = ()) -> str:
    """The equation of y with its deltas solved; it means what it meant."""
    model = Model("y", graph(*inputs, y, outputs=["y"], sizes=sizes), values)
    solved = through(model, simplify, deltas, simplify)
    return "\n".join(tensor_lines(solved.graph.tensors["y"]))


X, W = given("x", 6), np.arange(1.0, 7.0)


def one_axis(size: int, right: Expr, bound: Sequence[Index], read: Expr) -> Tensor:
    a = index("a", size)
    return whole("y", (a,), total(*bound, of=when(eq(a, right), at(X, read))))


IN = index("i", 6)

SINGLE: list[tuple[Tensor, str]] = [
    (one_axis(6, IN, [IN], IN), "y[a] = x[a]"),
    (one_axis(9, IN, [IN], IN), "y[a] = [a <= 5]*x[a]"),
    (one_axis(9, add(IN, Const(3)), [IN], IN), "y[a] = [3 <= a]*x[a-3]"),
    (one_axis(6, add(Const(5), op("neg", IN)), [IN], IN), "y[a] = x[-a+5]"),
    (one_axis(11, mul(Const(2), IN), [IN], IN), "y[a] = [a mod 2 == 0]*x[a // 2]"),
    (
        one_axis(13, add(mul(Const(2), IN), Const(1)), [IN], IN),
        "y[a] = [a mod 2 == 1]*x[a // 2]",
    ),
]


@pytest.mark.parametrize("y, expected", SINGLE, ids=lambda case: case if isinstance(case, str) else "")
def test_one_index(y: Tensor, expected: str) -> None:
    assert lines_after(y, X, values={"x": W}) == expected


def test_an_index_that_the_body_does_not_need_is_solved_too() -> None:
    a, i = index("a", 8), index("i", 6)
    y = whole("y", (a,), total(i, of=when(eq(a, add(i, Const(1))), at(X, Const(2)))))
    assert lines_after(y, X, values={"x": W}) == "y[a] = [0 < a <= 6]*x[2]"


def test_a_group_is_taken_apart() -> None:
    """a = g*3 + k: both indices are known."""
    x, a, g, k = given("x", 2, 3), index("a", 6), index("g", 2), index("k", 3)
    y = whole("y", (a,), total(g, k, of=when(eq(a, add(mul(g, Const(3)), k)), at(x, g, k))))
    assert lines_after(y, x, values={"x": W.reshape(2, 3)}) == "y[a] = x[a // 3,a mod 3]"


def test_a_group_of_three_with_sizes_that_are_not_known() -> None:
    x = given("x", 2, "H", 3)
    a, c, h, k = index("a", mul(Const(6), Size("H"))), index("c", 2), index("h", "H"), index("k", 3)
    place = add(mul(add(mul(c, Size("H")), h), Const(3)), k)
    y = whole("y", (a,), total(c, h, k, of=when(eq(a, place), at(x, c, h, k))))
    values = {"x": np.arange(24.0).reshape(2, 4, 3)}
    assert lines_after(y, x, values=values, sizes=["H"]).count("sum") == 0


def test_a_group_whose_digits_overlap_is_a_sum_over_the_smaller_range() -> None:
    a, i, k = index("a", 13), index("i", 6), index("k", 3)
    y = whole("y", (a,), total(i, k, of=when(eq(a, add(mul(Const(2), i), k)), at(X, i))))
    assert "sum[k]" in lines_after(y, X, values={"x": W})


def test_several_deltas_are_solved_one_after_the_other() -> None:
    x, a, b = given("x", 4, 5), index("a", 4), index("b", 5)
    i, j = index("i", 4), index("j", 5)
    y = whole("y", (b, a), total(i, j, of=when(op("and", eq(a, i), eq(b, j)), at(x, i, j))))
    assert lines_after(y, x, values={"x": np.arange(20.0).reshape(4, 5)}) == "y[b,a] = x[a,b]"


def test_terms_with_deltas_of_their_own_part() -> None:
    a, i = index("a", 6), index("i", 6)
    body = add(when(eq(a, i), at(X, i)), when(op("lt", i, a), at(X, i)))
    y = whole("y", (a,), total(i, of=body))
    assert lines_after(y, X, values={"x": W}) == "y[a] = x[a] + sum[i] [i < a]*x[i]"


@pytest.mark.parametrize("name", ["max", "min", "prod"])
def test_other_reductions(name: str) -> None:
    a, i = index("a", 7), index("i", 6)
    identity = Const({"max": -np.inf, "min": np.inf, "prod": 1.0}[name])
    body = op("add", at(X, i), op("real", a))
    y = whole("y", (a,), Reduce(name, (i,), Select(eq(a, i), body, identity)))
    assert name not in lines_after(y, X, values={"x": W}).partition("=")[2]


def test_a_bound_index_that_equals_data_is_a_gather() -> None:
    made = through(embedding(), simplify, deltas, simplify).graph
    assert tensor_lines(made.tensors["y"]) == ["y[b,d] = w[z[b],d] + tanh(w[z[b],d])"]


def test_a_free_index_that_equals_data_stays_a_scatter() -> None:
    made = through(segments(), simplify, deltas, simplify).graph
    assert tensor_lines(made.tensors["y"]) == ["y[v,d] = h[v,d] + sum[e] [v == dst[e]]*m[e,d]"]


def test_what_data_adds_to_a_few_places_stays_a_scatter() -> None:
    """Two places for each element, rather than all elements for each place; of many in a row those that hold it."""
    x, z, b, i, h = given("x", "B", 2), given("z", "B", type="int"), index("b", "B"), index("i", 2), index("h", 6)
    y = whole("y", (h,), total(b, i, of=when(eq(h, add(at(z, b), i)), at(x, b, i))))
    values = {"x": np.arange(8.0).reshape(4, 2), "z": np.array([0, 7, -2, 4])}
    line = "y[h] = sum[b,i] [i + z[b] == h]*x[b,i]"
    assert lines_after(y, x, z, values=values, sizes=["B"]) == line
    row, t = given("x", "B", "T"), index("t", "T")
    y = whole("y", (h,), total(b, t, of=when(eq(h, add(at(z, b), t)), at(row, b, t))))
    values["x"] = np.arange(12.0).reshape(4, 3)
    assert "sum[b]" in lines_after(y, row, z, values=values, sizes=["B", "T"])


def test_data_without_a_bound_is_guarded() -> None:
    x, z, b, v = given("x", 6), given("z", "B", type="int"), index("b", "B"), index("v", 6)
    y = whole("y", (b,), total(v, of=when(eq(v, at(z, b)), at(x, v))))
    values = {"x": W, "z": np.array([0, 7, -2, 5])}
    assert lines_after(y, x, z, values=values, sizes=["B"]) == "y[b] = [0 <= z[b] <= 5]*x[z[b]]"


# -- adjoints -------------------------------------------------------------------------------------------------------


def gradient(model: Model, of: str) -> str:
    solved = through(derivative(through(model, simplify)), simplify, deltas, simplify).graph
    return "\n".join(tensor_lines(solved.tensors[f"d_{of}"]))


def test_the_gradient_of_a_convolution_sums_over_the_kernel() -> None:
    line = gradient(convolution(height=60), "x")
    assert "sum[o,p,q]" in line and "mod" not in line


def test_the_gradient_of_a_strided_convolution_asks_for_divisibility() -> None:
    line = gradient(convolution(2, height=60), "x")
    assert "sum[o,p,q]" in line and "mod 2 == 0" in line


def test_the_gradient_of_max_pooling_without_overlap_is_no_sum() -> None:
    assert "sum" not in gradient(max_pool(), "x")


def test_the_gradient_of_max_pooling_with_overlap_sums_over_the_window() -> None:
    assert gradient(max_pool(3, 1), "x").count("sum[p]") == 1


def test_the_gradient_of_a_flattening_reads_it() -> None:
    line = gradient(flattened(), "x")
    assert "d_flat[i3,3*|H|*i4+3*i5+i6]" in line.replace(" ", "") or "d_flat[" in line


def test_a_group_of_a_size_that_is_a_quotient_is_taken_apart() -> None:
    """Channels in groups: c = g*(|C| // 2) + n."""
    half = op("floordiv", Size("C"), Const(2))
    x, s = given("x", "C"), given("s", 2)
    a, g, n = index("a", "C"), index("g", 2), index("n", half)
    place = add(mul(g, half), n)
    body = when(eq(a, place), mul(at(x, place), at(s, g)))
    y = whole("y", (a,), total(g, n, of=body))
    line = lines_after(y, x, s, values={"x": W, "s": np.array([1.0, 10.0])}, sizes=["C"])
    assert "sum" not in line and line.endswith("*x[a]*s[a // (|C| // 2)]")


LONG, TWELVE = given("x", 12), index("i", 12)
HALF, ODD = op("floordiv", TWELVE, Const(2)), eq(op("mod", TWELVE, Const(2)), Const(1))

DIVISIONS: list[tuple[int, Expr, str]] = [
    (6, eq(HALF, index("a", 6)), "y[a] = sum[r] x[2*a+r]"),
    (7, eq(HALF, index("a", 7)), "y[a] = sum[r] [2*a + r <= 11]*x[2*a+r]"),
    (6, op("and", ODD, eq(HALF, index("a", 6))), "y[a] = x[2*a+1]"),
    (4, eq(op("mod", TWELVE, Const(4)), index("a", 4)), "y[a] = sum[k] x[a+4*k]"),
    (12, eq(op("mod", add(TWELVE, Const(5)), Const(12)), index("a", 12)), "y[a] = x[(a+7) mod 12]"),
    (
        13,
        eq(op("mod", add(TWELVE, Const(5)), Const(13)), index("a", 13)),
        "y[a] = [(a + 8) mod 13 <= 11]*x[(a+8) mod 13]",
    ),
]  # fmt: skip


@pytest.mark.parametrize("size, cond, expected", DIVISIONS, ids=lambda case: case if isinstance(case, str) else "")
def test_quotients_and_remainders(size: int, cond: Expr, expected: str) -> None:
    """Nearest neighbours, pixel shuffles and shifts around a circle: one element, or as many as the divisor says."""
    (a,) = (node for node in free_indices(cond) if node is not TWELVE)
    y = whole("y", (a,), total(TWELVE, of=when(cond, at(LONG, TWELVE))))
    assert lines_after(y, LONG, values={"x": np.arange(12.0)}) == expected


@pytest.mark.parametrize(("places", "taps", "left"), [(4, 4, "p"), (3, 4, "p"), (3, 7, "h")])
def test_places_in_steps_leave_few_taps_of_each_class(places: int, taps: int, left: str) -> None:
    """A transposed convolution of a small image: of the taps every second one takes part, of the places each might."""
    x, k = given("x", places), given("k", taps)
    u, h, p = index("u", 2 * places + taps - 2), index("h", places), index("p", taps)
    y = whole("y", (u,), total(h, p, of=when(eq(u, add(mul(Const(2), h), p)), mul(at(x, h), at(k, p)))))
    line = lines_after(y, x, k, values={"x": np.arange(1.0, places + 1), "k": np.arange(2.0, taps + 2)})
    assert f"sum[{left}]" in line


@pytest.mark.parametrize(("places", "taps", "step", "apart", "left"), [
    (2, 3, 2, 1, "p"), (2, 4, 2, 1, "p"), (2, 5, 2, 1, "h"), (9, 5, 1, 2, "p"), (8, 5, 1, 2, "p")
])  # fmt: skip
def test_where_images_of_samples_are_small_taps_are_left_by_steps(
    places: int, taps: int, step: int, apart: int, left: str
) -> None:
    """If these are no more, and the sum is over channels too; of taps that lie apart, read for all samples, all are."""
    x, k = given("x", "N", "C", places), given("k", "C", taps)
    n, c, u, h, p = (
        index("n", "N"),
        index("c", "C"),
        index("u", step * places + apart * taps),
        index("h", places),
        index("p", taps),
    )
    place = add(mul(Const(step), h), mul(Const(apart), p))
    body = when(eq(u, place), mul(at(x, n, c, h), at(k, c, p)))
    values = {"x": np.ones((2, 3, places)), "k": np.arange(3.0 * taps).reshape(3, taps)}
    y = whole("y", (n, u), total(c, h, p, of=body))
    assert f"sum[c,{left}]" in lines_after(y, x, k, sizes=("N", "C"), values=values)
    y = whole("y", (n, c, u), total(h, p, of=body))
    few = "h" if places < taps else "p"
    assert f"sum[{few}]" in lines_after(y, x, k, sizes=("N", "C"), values=values)


def test_long_steps_leave_few_taps_of_each_class() -> None:
    """Frames that overlap: of 20 taps in steps of 8 at most three reach a place, which has seven frames."""
    x, k = given("x", 7), given("k", 20)
    u, h, p = index("u", 68), index("h", 7), index("p", 20)
    y = whole("y", (u,), total(h, p, of=when(eq(u, add(mul(Const(8), h), p)), mul(at(x, h), at(k, p)))))
    line = lines_after(y, x, k, values={"x": np.arange(1.0, 8.0), "k": np.arange(2.0, 22.0)})
    assert "sum[p]" in line


def test_of_places_before_and_behind_steps_those_that_are_many_go() -> None:
    """The derivative of a transposed convolution by its taps: 9 places are left of 25, and no remainder."""
    x, d = given("x", 9), given("d", 25)
    p, h, u = index("p", 2), index("h", 9), index("u", 25)
    place = add(mul(Const(3), h), mul(Const(3), p), Const(-1))
    y = whole("y", (p,), total(h, u, of=when(eq(u, place), mul(at(x, h), at(d, u)))))
    line = lines_after(y, x, d, values={"x": np.arange(1.0, 10.0), "d": np.arange(2.0, 27.0)})
    assert "sum[h]" in line and "mod" not in line


def test_of_ranges_that_are_not_known_that_of_a_kernel_is_kept() -> None:
    """A transposed convolution of stride 2: the sum over the few p, not over the many h."""
    x, k = given("x", "H"), given("k", "P", kind="parameter")
    u = index("u", add(mul(Const(2), Size("H")), Size("P"), Const(-2)))
    h, p = index("h", "H"), index("p", "P")
    y = whole("y", (u,), total(h, p, of=when(eq(u, add(mul(Const(2), h), p)), mul(at(x, h), at(k, p)))))
    line = lines_after(y, x, k, values={"x": W, "k": np.array([1.0, 10.0, 100.0])}, sizes=["H", "P"])
    assert "sum[p]" in line


def test_of_ranges_that_are_not_known_that_of_the_places_of_a_window_goes() -> None:
    """The adjoint of a strided convolution of a known image by a kernel of any size, both of them inputs."""
    k = given("k", "P")
    places = op("floordiv", add(Const(30), op("neg", Size("P"))), Const(2))
    h, u, p = index("h", 28), index("u", places), index("p", "P")
    d = given("d", u.size)
    y = whole("y", (h,), total(u, p, of=when(eq(h, add(mul(Const(2), u), p)), mul(at(d, u), at(k, p)))))
    line = lines_after(y, d, k, values={"d": np.arange(13.0), "k": np.array([1.0, 10.0, 100.0, 5.0])}, sizes=["P"])
    assert "sum[p]" in line


def test_of_ranges_that_are_not_known_that_which_is_no_smaller_goes() -> None:
    """The derivative of a transposed convolution by its taps, of an image of open size: every third element is read."""
    p, h, u = index("p", 3), index("h", "H"), index("u", mul(Const(3), Size("H")))
    x, d = given("x", "H"), given("d", u.size)
    place = add(mul(Const(3), h), p)
    y = whole("y", (p,), total(h, u, of=when(eq(u, place), mul(at(x, h), at(d, u)))))
    line = lines_after(y, x, d, values={"x": W, "d": np.arange(2.0, 20.0)}, sizes=["H"])
    assert "sum[h]" in line and "mod" not in line


def test_of_ranges_of_which_nothing_is_known_that_which_moves_in_steps_goes() -> None:
    x, k = given("x", "H"), given("k", "P")
    u = index("u", add(mul(Const(2), Size("H")), Size("P"), Const(-2)))
    h, p = index("h", "H"), index("p", "P")
    y = whole("y", (u,), total(p, h, of=when(eq(u, add(mul(Const(2), h), p)), mul(at(x, h), at(k, p)))))
    line = lines_after(y, x, k, values={"x": W, "k": np.array([1.0, 10.0, 100.0])}, sizes=["H", "P"])
    assert "sum[p]" in line


def test_a_scattered_sum_reads_where_data_says_what_it_would_read_at_the_index_of_its_result() -> None:
    """A softmax over the edges that end at a node has one number for each edge, not one for each edge and node."""
    x, m, s, z = given("x", 6), given("m", 4), given("s", 4), given("z", 6, type="int", bound=Const(4))
    n = index("n", 4)
    value = op("div", op("exp", add(at(x, IN), op("neg", at(m, n)))), at(s, n))
    y = whole("y", (n,), total(IN, of=when(eq(n, at(z, IN)), value)))
    values = {"x": W, "m": W[:4], "s": W[:4], "z": np.array([0, 2, 1, 2, 3, 2])}
    assert lines_after(y, x, m, s, z, values=values) == "y[n] = sum[i] [n == z[i]]*(exp(x[i] - m[z[i]])/s[n])"
