"""Gradients of small graphs against central differences of the reference interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from building import (
    add,
    assert_gradient,
    assert_vjp,
    at,
    extracted,
    finite_differences,
    given,
    graph,
    index,
    mul,
    parts,
    sub,
    total,
    when,
    within,
)

from dlc.compiler.grad.reverse import differentiate, differentiate_vjp
from dlc.compiler.ir.expr import Const, Expr, Reduce, Select, Size, Solve, op, walk
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import InternalError, check

ZERO, ONE, LOWEST = Const(0.0), Const(1.0), Const(float("-inf"))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).normal(size=shape)


def squares(tensor: Tensor, name: str = "loss") -> Tensor:
    """A loss that weighs every element differently: the sum of sin over the elements times their position."""
    axes = [index("abcd"[axis], size) for axis, size in enumerate(tensor.sizes)]
    weights = [op("real", add(axis, Const(number + 1))) for number, axis in enumerate(axes)]
    return whole(name, (), total(*axes, of=mul(op("sin", at(tensor, *axes)), *weights)))


def text_of(made: Graph, name: str) -> str:
    return "\n".join(tensor_lines(made.tensors[name]))


# -- contractions and maps ------------------------------------------------------------------------------------------


def matmul() -> Graph:
    x, w = given("x", "B", 3), given("w", 4, 3, kind="parameter")
    b, i, j = index("b", "B"), index("i", 4), index("j", 3)
    y = whole("y", (b, i), total(j, of=mul(at(w, i, j), at(x, b, j))))
    return graph(x, w, y, squares(y), loss="loss", sizes=["B"])


def test_matmul() -> None:
    made = assert_gradient(matmul(), {"x": normal(2, 3), "w": normal(4, 3)}, ["w", "x"])
    assert text_of(made, "d_w") == "d_w[i,i2] = sum[b] d_y[b,i]*x[b,i2]"
    assert text_of(made, "d_x") == "d_x[i,i2] = sum[i3] d_y[i,i3]*w[i3,i2]"


def test_bias_is_broadcast() -> None:
    x, c = given("x", "B", 3), given("c", 3)
    b, i = index("b", "B"), index("i", 3)
    y = whole("y", (b, i), op("tanh", add(at(x, b, i), at(c, i))))
    made = graph(x, c, y, squares(y), loss="loss", sizes=["B"])
    assert_gradient(made, {"x": normal(4, 3), "c": normal(3)}, ["x", "c"])


def test_a_transposed_read_is_solved_at_once() -> None:
    x = given("x", 2, 3)
    i, j = index("i", 3), index("j", 2)
    y = whole("y", (i, j), op("exp", at(x, j, i)))
    made = assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(2, 3)}, ["x"])
    assert text_of(made, "d_x") == "d_x[i,i2] = d_y[i2,i]*exp(x[i,i2])"


def test_diagonal() -> None:
    x, i = given("x", 3, 3), index("i", 3)
    y = whole("y", (i,), mul(at(x, i, i), at(x, i, i)))
    assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(3, 3)}, ["x"])


def test_trace() -> None:
    x, i = given("x", "N", "N"), index("i", "N")
    loss = whole("loss", (), total(i, of=op("exp", at(x, i, i))))
    assert_gradient(graph(x, loss, loss="loss", sizes=["N"]), {"x": normal(3, 3)}, ["x"])


def test_one_tensor_read_in_two_places() -> None:
    x, i, j = given("x", 3), index("i", 3), index("j", 3)
    y = whole("y", (i,), total(j, of=mul(at(x, i), op("sin", at(x, j)))))
    assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(3)}, ["x"])


def test_one_tensor_read_by_two_tensors() -> None:
    x, i, j = given("x", 3), index("i", 3), index("i", 3)
    y, z = whole("y", (i,), op("exp", at(x, i))), whole("z", (j,), op("sin", at(x, j)))
    k = index("k", 3)
    loss = whole("loss", (), total(k, of=mul(at(y, k), at(z, k), at(x, k))))
    assert_gradient(graph(x, y, z, loss, loss="loss"), {"x": normal(3)}, ["x"])


def test_an_axis_read_over_a_smaller_range() -> None:
    x, i = given("x", 5), index("i", 3)
    y = whole("y", (i,), op("exp", at(x, i)))
    made = assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(5)}, ["x"])
    assert np.all(evaluate(made, {"x": normal(5)})["d_x"][3:] == 0)


def test_constant_subscripts_and_reversal() -> None:
    x, i = given("x", "N"), index("i", "N")
    flipped = at(x, sub(add(Size("N"), Const(-1)), i))
    y = whole("y", (i,), mul(flipped, at(x, 0), at(x, i)))
    assert_gradient(graph(x, y, squares(y), loss="loss", sizes=["N"]), {"x": normal(4)}, ["x"])


def test_flattened_group() -> None:
    x = given("x", 6)
    g, c = index("g", 2), index("c", 3)
    y = whole("y", (g, c), op("exp", at(x, add(mul(g, Const(3)), c))))
    assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(6)}, ["x"])


def test_subscripts_that_divide() -> None:
    x, i = given("x", 2, 3), index("i", 6)
    y = whole("y", (i,), op("exp", at(x, op("floordiv", i, Const(3)), op("mod", i, Const(3)))))
    assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(2, 3)}, ["x"])


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (1, 1), (2, 0), (2, 1), (3, 2)])
def test_convolution(stride: int, pad: int) -> None:
    width, kernel = 7, 3
    outputs = (width + 2 * pad - kernel) // stride + 1
    x, k = given("x", 2, width), given("k", 2, 2, kernel)
    o, u, c, p = index("o", 2), index("u", outputs), index("c", 2), index("p", kernel)
    place = add(mul(u, Const(stride)), p, Const(-pad))
    value = when(within(place, Const(width)), mul(at(k, o, c, p), at(x, c, place)))
    y = whole("y", (o, u), total(c, p, of=value))
    inputs = {"x": normal(2, width), "k": normal(2, 2, kernel)}
    assert_gradient(graph(x, k, y, squares(y), loss="loss"), inputs, ["x", "k"])


def test_gather_is_left_as_a_data_dependent_delta() -> None:
    w, z = given("w", 5, 2), given("z", "B", type="int", bound=Const(5), bound_set="V")
    b, d = index("b", "B"), index("d", 2)
    y = whole("y", (b, d), op("tanh", at(w, at(z, b), d)))
    made = graph(w, z, y, squares(y), loss="loss", sizes=["B"])
    result = assert_gradient(made, {"w": normal(5, 2), "z": np.array([1, 4, 1, 0])}, ["w"])
    assert text_of(result, "d_w") == "d_w[i,i2] = sum[b] [i == z[b]]*d_y[b,i2]*(1 - tanh(w[z[b],i2])^2)"


def test_gather_under_a_guard_that_protects_the_position() -> None:
    """``z`` is read at i - 1 only where that exists, in the gradient too."""
    w, z = given("w", 3), given("z", 4, type="int", bound=Const(3), bound_set="V")
    i = index("i", 4)
    y = whole("y", (i,), when(op("lt", Const(0), i), op("exp", at(w, at(z, sub(i, Const(1)))))))
    made = graph(w, z, y, squares(y), loss="loss")
    assert_gradient(made, {"w": normal(3), "z": np.array([2, 2, 0, 1])}, ["w"])


# -- parts ----------------------------------------------------------------------------------------------------------


def test_concatenation() -> None:
    a, b = given("a", "N"), given("b", "M")
    i, j = index("i", "N"), index("j", "M")
    both = add(Size("N"), Size("M"))
    y = parts("y", [both], ([i], [i], op("exp", at(a, i))), ([j], [add(Size("N"), j)], op("sin", at(b, j))))
    made = graph(a, b, y, squares(y), loss="loss", sizes=["N", "M"])
    assert_gradient(made, {"a": normal(2), "b": normal(3)}, ["a", "b"])


def test_parts_that_are_reductions() -> None:
    x = given("x", 2, 3)
    i, j, j2 = index("i", 2), index("j", 3), index("j", 3)
    first = ([i], [mul(Const(2), i)], total(j, of=op("exp", at(x, i, j))))
    second = ([i2 := index("i", 2)], [add(mul(Const(2), i2), Const(1))], Reduce("max", (j2,), at(x, i2, j2)))
    y = parts("y", [4], first, second)
    assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(2, 3)}, ["x"])


# -- reductions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_reductions_over_two_indices(name: str) -> None:
    x = given("x", 2, 3, 2)
    i, j, k = index("i", 2), index("j", 3), index("k", 2)
    y = whole("y", (i,), Reduce(name, (j, k), op("sin", at(x, i, j, k))))
    assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(2, 3, 2)}, ["x"])


@pytest.mark.parametrize(("name", "values", "expected"), [
    ("max", [1.0, 3.0, 3.0, 2.0], [0, 1, 0, 0]),
    ("min", [1.0, 3.0, 1.0, 2.0], [1, 0, 0, 0]),
])  # fmt: skip
def test_ties_go_to_the_first(name: str, values: list[float], expected: list[float]) -> None:
    x, i = given("x", 4), index("i", 4)
    loss = whole("loss", (), Reduce(name, (i,), at(x, i)))
    result = differentiate(graph(x, loss, loss="loss"), "loss", ["x"])
    np.testing.assert_array_equal(evaluate(result, {"x": np.array(values)})["d_x"], expected)
    assert result.tensors[f"loss.arg{name}"].type == "int"


def test_maximum_of_what_a_condition_leaves() -> None:
    """The masked elements get nothing, even where nothing is left."""
    x, mask = given("x", 2, 3), given("mask", 2, 3, type="bool")
    i, j = index("i", 2), index("j", 3)
    y = whole("y", (i,), Reduce("max", (j,), Select(at(mask, i, j), at(x, i, j), LOWEST)))
    result = differentiate_vjp(graph(x, mask, y, outputs=["y"]), ["y"], ["x"])
    inputs = {"x": np.array([[5.0, 1.0, 2.0]] * 2), "mask": np.array([[False, True, True], [False] * 3])}
    values = evaluate(result, {**inputs, "d_y": np.array([7.0, 7.0])})
    np.testing.assert_array_equal(values["d_x"], [[0, 0, 7], [0, 0, 0]])


@pytest.mark.parametrize("values", [[2.0, 3.0, -1.5], [2.0, 0.0, -1.5], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
def test_product_with_zeros(values: list[float]) -> None:
    x, i = given("x", 3), index("i", 3)
    loss = whole("loss", (), Reduce("prod", (i,), at(x, i)))
    assert_gradient(graph(x, loss, loss="loss"), {"x": np.array(values)}, ["x"])


def test_argmax_and_truth_values_pass_nothing_on() -> None:
    x, i, j = given("x", 3), index("i", 3), index("j", 3)
    best = whole("best", (), Reduce("argmax", (i,), at(x, i)))
    some = whole("some", (), Reduce("any", (j,), op("lt", ZERO, at(x, j))))
    loss = whole("loss", (), add(op("real", at(best)), op("real", at(some)), mul(Const(2.0), at(x, 1))))
    result = differentiate(graph(x, best, some, loss, loss="loss"), "loss", ["x"])
    np.testing.assert_array_equal(evaluate(result, {"x": normal(3)})["d_x"], [0, 2, 0])
    assert "d_best" not in result.tensors and "d_some" not in result.tensors


def softmax(x: Tensor) -> tuple[Tensor, ...]:
    rows, columns = x.sizes
    b, i = index("b", rows), index("i", columns)
    m = whole("m", (b,), Reduce("max", (i,), at(x, b, i)))
    b, i = index("b", rows), index("i", columns)
    s = whole("s", (b,), total(i, of=op("exp", sub(at(x, b, i), op("stop", at(m, b))))))
    b, i = index("b", rows), index("i", columns)
    y = whole("y", (b, i), op("div", op("exp", sub(at(x, b, i), op("stop", at(m, b)))), at(s, b)))
    return m, s, y


def test_softmax_with_a_stopped_maximum() -> None:
    x = given("x", 2, 4)
    m, s, y = softmax(x)
    result = assert_gradient(graph(x, m, s, y, squares(y), loss="loss"), {"x": normal(2, 4)}, ["x"])
    assert "d_m" not in result.tensors  # the maximum only scales


# -- guards ---------------------------------------------------------------------------------------------------------


def test_what_a_guard_excludes_makes_no_nan() -> None:
    x, i = given("x", 4), index("i", 4)
    y = whole("y", (i,), when(op("lt", ZERO, at(x, i)), op("log", at(x, i))))
    result = differentiate_vjp(graph(x, y, outputs=["y"]), ["y"], ["x"])
    values = evaluate(result, {"x": np.array([0.0, -1.0, 2.0, 4.0]), "d_y": np.ones(4)})
    np.testing.assert_array_equal(values["d_x"], [0, 0, 0.5, 0.25])


def test_both_branches_of_a_choice() -> None:
    x, i = given("x", 4), index("i", 4)
    shared = op("exp", at(x, i))
    y = whole("y", (i,), Select(op("lt", at(x, i), ZERO), mul(shared, at(x, i)), op("sin", shared)))
    result = assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(4)}, ["x"])
    meeting = "(d_y[i]*x[i] if x[i] < 0 else d_y[i]*cos(exp(x[i])))*exp(x[i])"  # at the shared exp
    assert text_of(result, "d_x") == f"d_x[i] = [x[i] < 0]*d_y[i]*exp(x[i]) + {meeting}"


def test_a_node_under_many_guards() -> None:
    x, i = given("x", 5), index("i", 5)
    shared = op("exp", at(x, i))
    terms: list[Expr] = [when(op("lt", i, Const(n)), mul(shared, Const(float(n)))) for n in range(7)]
    y = whole("y", (i,), add(*terms))
    assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(5)}, ["x"])


def test_a_node_under_many_guards_is_read_only_where_one_of_them_holds() -> None:
    """``x`` has one element less than there are points; each guard alone keeps the read in range."""
    x, i = given("x", 4), index("i", 6)
    shared = op("exp", at(x, i))
    terms: list[Expr] = [when(op("eq", i, Const(n % 4)), mul(shared, Const(1.0 + n), at(x, i))) for n in range(8)]
    y = whole("y", (i,), add(*terms[:3], *[when(op("lt", i, Const(n)), op("sin", shared)) for n in range(1, 5)]))
    assert_gradient(graph(x, y, squares(y), loss="loss"), {"x": normal(4)}, ["x"])


def test_a_chain_of_kinks_stays_small() -> None:
    """Each relu of a sum with x itself doubles the paths; the text of the derivative must not double with them."""
    x = given("x")
    value: Expr = at(x)
    for step in range(12):
        value = op("max", add(value, Const(0.1 * step)), mul(at(x), Const(0.5)))
    made = graph(x, whole("loss", (), value), loss="loss")
    result = assert_gradient(made, {"x": np.array(0.7)}, ["x"])
    assert len(list(walk(result.tensors["d_x"].equations[0].value))) < 400


# -- which tensors take part ----------------------------------------------------------------------------------------


def test_a_tensor_that_is_not_reached_has_gradient_zero() -> None:
    x, w = given("x", 2), given("w", "N", 3)
    made = graph(x, w, squares(x), loss="loss", sizes=["N"])
    result = differentiate(made, "loss", ["w", "x"])
    check(result, "differentiate")
    assert text_of(result, "d_w") == "d_w[i,i2] = 0"
    assert evaluate(result, {"x": normal(2), "w": normal(2, 3)})["d_w"].shape == (2, 3)


def test_only_what_lies_between_gets_an_adjoint() -> None:
    x, w, i = given("x", 2), given("w", 2), index("i", 2)
    h = whole("h", (i,), op("exp", at(x, i)))
    j, k = index("i", 2), index("i", 2)
    y = whole("y", (j,), mul(at(h, j), at(w, j)))
    aside = whole("aside", (k,), op("sin", at(w, k)))
    result = differentiate(graph(x, w, h, y, aside, squares(y), loss="loss"), "loss", ["w"])
    assert [name for name in result.tensors if name.startswith("d_")] == ["d_y", "d_w"]


def test_derivative_with_respect_to_an_intermediate_tensor() -> None:
    x, i = given("x", 3), index("i", 3)
    h = whole("h", (i,), op("exp", at(x, i)))
    loss = squares(h)
    result = differentiate(graph(x, h, loss, loss="loss"), "loss", ["h", "x", "loss"])
    check(result, "differentiate")
    values = evaluate(result, {"x": normal(3)})
    np.testing.assert_allclose(values["d_h"], np.cos(values["h"]) * np.arange(1, 4))
    np.testing.assert_allclose(values["d_x"], values["d_h"] * values["h"])
    assert values["d_loss"] == 1


def test_a_name_that_is_taken() -> None:
    d_x, x, i = given("d_x", 2), given("x", 2), index("i", 2)
    loss = whole("loss", (), total(i, of=mul(at(x, i), at(d_x, i))))
    result = assert_gradient(graph(x, d_x, loss, loss="loss"), {"x": normal(2), "d_x": normal(2)}, ["x", "d_x"])
    assert [gradient.adjoint for gradient in result.gradients] == ["d_x.2", "d_d_x"]


def test_a_seed_weighs_the_differentiated_tensor() -> None:
    x, v, i = given("x", 3), given("v", 3), index("i", 3)
    y = whole("y", (i,), op("sin", at(x, i)))
    result = differentiate(graph(x, v, y), "y", ["x"], seed="v")
    values = evaluate(result, {"x": normal(3), "v": normal(3, seed=5)})
    np.testing.assert_allclose(values["d_x"], np.cos(normal(3)) * normal(3, seed=5))


def test_errors_are_internal() -> None:
    x, i = given("x", 3), index("i", 3)
    nested = whole("loss", (), op("exp", total(i, of=at(x, i))))
    with pytest.raises(InternalError, match="sum that is not at the root"):
        differentiate(graph(x, nested, loss="loss"), "loss", ["x"])
    with pytest.raises(InternalError, match="not a scalar"):
        differentiate(graph(x, outputs=["x"]), "x", ["x"])
    z = given("z", type="int")
    with pytest.raises(InternalError, match="z is not real"):
        differentiate(graph(x, z, squares(x), loss="loss"), "loss", ["z"])


# -- vector-Jacobian products ---------------------------------------------------------------------------------------


def test_vjp() -> None:
    made = matmul()
    assert_vjp(made, {"x": normal(2, 3), "w": normal(4, 3)}, ["y"], ["w", "x"])


def test_vjp_of_an_output_that_another_output_reads() -> None:
    x, i = given("x", 3), index("i", 3)
    h = whole("h", (i,), op("exp", at(x, i)))
    j = index("i", 3)
    y = whole("y", (j,), mul(at(h, j), at(x, j)))
    result = assert_vjp(graph(x, h, y, outputs=["y", "h"]), {"x": normal(3)}, ["y", "h"], ["x"])
    assert [t.id for t in result.of_kind("cotangent")] == ["d_y", "d_h"]
    assert text_of(result, "d_h.total") == "d_h.total[i] = d_h[i] + d_y[i]*x[i]"


def test_integer_outputs_take_no_cotangent() -> None:
    x, i = given("x", 3), index("i", 3)
    best = whole("best", (), Reduce("argmax", (i,), at(x, i)))
    y = squares(x, "y")
    result = differentiate_vjp(graph(x, best, y, outputs=["best", "y"]), ["best", "y"], ["x"])
    assert [tensor.id for tensor in result.of_kind("cotangent")] == ["d_y"]


# -- second derivatives ---------------------------------------------------------------------------------------------


def assert_second_derivative(made: Graph, inputs: dict[str, np.ndarray], wrt: str) -> None:
    """∂(v·∂loss/∂x)/∂x against differences of v·∂loss/∂x."""
    once = extracted(differentiate(made, "loss", [wrt]))
    gradient = once.tensors[once.gradients[0].adjoint]
    v = given("v", *gradient.sizes)
    axes = [index("k", size) for size in gradient.sizes]
    along = whole("along", (), total(*axes, of=mul(at(gradient, *axes), at(v, *axes))))
    directed = once.with_tensors([*once.tensors.values(), v, along])
    twice = differentiate(directed, "along", [wrt])
    check(twice, "differentiate")
    inputs = {**inputs, "v": normal(*np.shape(inputs[wrt]), seed=3)}
    expected = finite_differences(directed, inputs, "along", wrt)
    actual = evaluate(twice, inputs)[twice.gradients[0].adjoint]
    np.testing.assert_allclose(actual, expected, 1e-6, 1e-6)
    assert np.any(actual != 0)


def test_second_derivative_of_a_network() -> None:
    assert_second_derivative(matmul(), {"x": normal(2, 3), "w": normal(4, 3)}, "w")


def test_second_derivative_of_softmax() -> None:
    x = given("x", 2, 4)
    made = graph(x, *softmax(x), squares(softmax(x)[-1]), loss="loss")
    assert_second_derivative(made, {"x": normal(2, 4)}, "x")


@pytest.mark.parametrize("values", [[2.0, 3.0, -1.5], [2.0, 0.0, -1.5], [0.0, 3.0, 0.0]])
def test_second_derivative_of_a_product_with_zeros(values: list[float]) -> None:
    x, i = given("x", 3), index("i", 3)
    loss = whole("loss", (), Reduce("prod", (i,), at(x, i)))
    assert_second_derivative(graph(x, loss, loss="loss"), {"x": np.array(values)}, "x")


def test_second_derivative_of_a_maximum_and_a_power() -> None:
    x = given("x", 2, 3)
    i, j = index("i", 2), index("j", 3)
    y = whole("y", (i,), Reduce("max", (j,), op("pow", at(x, i, j), Const(3))))
    assert_second_derivative(graph(x, y, squares(y), loss="loss"), {"x": normal(2, 3)}, "x")


def test_second_derivative_of_a_padded_convolution() -> None:
    x, k, u, p = given("x", 5), given("k", 3), index("u", 5), index("p", 3)
    place = add(u, p, Const(-1))
    y = whole("y", (u,), total(p, of=when(within(place, Const(5)), mul(at(k, p), op("tanh", at(x, place))))))
    assert_second_derivative(graph(x, k, y, squares(y), loss="loss"), {"x": normal(5), "k": normal(3)}, "x")


def system(n: int) -> Graph:
    """The squares of x with a·x = b, where b is a sine and a depends on b too."""
    a, b = given("a", n, n), given("b", n)
    i, j, k = index("i", n), index("j", n), index("k", n)
    x = whole("x", (k,), Solve((i, j), add(at(a, i, j), mul(at(b, i), at(b, j))), op("sin", at(b, i)), k))
    return graph(a, b, x, squares(x), loss="loss")


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("wrt", ["a", "b"])
def test_second_derivative_of_a_solution(n: int, wrt: str) -> None:
    inputs = {"a": normal(n, n) + 3 * np.eye(n), "b": normal(n, seed=1)}
    assert_second_derivative(system(n), inputs, wrt)
