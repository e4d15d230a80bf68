"""The interpreter against plain Python and NumPy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, parts, scalar, sub, total, when

from dlc.compiler.ir import arithmetic, reference
from dlc.compiler.ir.arithmetic import EvaluationError
from dlc.compiler.ir.expr import Const, Expr, Reduce, Select, Size, Solve, op
from dlc.compiler.ir.graph import Requirement, whole
from dlc.compiler.ir.ops import OPERATORS, REDUCTIONS
from dlc.compiler.ir.reference import evaluate

NAN, INF = math.nan, math.inf

VALUES: dict[str, list[tuple[tuple[float | int | bool, ...], float | int | bool]]] = {
    "add": [((1.5, 2.0, -0.25), 3.25), ((2**53, 1), 2**53 + 1)],
    "mul": [((1.5, 2.0, 3.0), 9.0), ((3037000499, 3037000499), 3037000499**2), ((0.0, INF), NAN)],
    "neg": [((1.5,), -1.5), ((3,), -3)],
    "max": [((1.0, 2.0), 2.0), ((NAN, 2.0), NAN), ((1.0, NAN), NAN), ((3, -4), 3)],
    "min": [((1.0, 2.0), 1.0), ((NAN, 2.0), NAN), ((1.0, NAN), NAN), ((3, -4), -4)],
    "abs": [((-1.5,), 1.5), ((-3,), 3)],
    "sign": [((-1.5,), -1.0), ((0.0,), 0.0), ((7,), 1), ((NAN,), NAN)],
    "div": [((1.0, 4.0), 0.25), ((1.0, 0.0), INF), ((0.0, 0.0), NAN)],
    "floordiv": [((7, 2), 3), ((-7, 2), -4), ((7, -2), -4), ((2**62 + 1, 2), 2**61)],
    "mod": [((7, 3), 1), ((-7, 3), 2), ((7, -3), -2)],
    "isqrt": [((0,), 0), ((15,), 3), ((16,), 4)],
    "pow": [((2.0, 3), 8.0), ((-2.0, -1), -0.5), ((2.0, 0.5), 2**0.5), ((3, 4), 81), ((-1.0, 0.5), NAN)],
    "real": [((3,), 3.0), ((True,), 1.0), ((False,), 0.0)],
    "int": [((-3.0,), -3), ((1e30,), 2**62), ((-INF,), -(2**62)), ((NAN,), 2**62)],
    "exp": [((1.0,), math.e), ((-INF,), 0.0), ((1000.0,), INF)],
    "log": [((math.e,), 1.0), ((0.0,), -INF), ((-1.0,), NAN)],
    "sqrt": [((2.25,), 1.5), ((-1.0,), NAN)],
    "sin": [((0.3,), math.sin(0.3))],
    "cos": [((0.3,), math.cos(0.3))],
    "tan": [((0.3,), math.tan(0.3))],
    "sinh": [((0.3,), math.sinh(0.3))],
    "cosh": [((0.3,), math.cosh(0.3))],
    "tanh": [((0.3,), math.tanh(0.3)), ((400.0,), 1.0)],
    "sigmoid": [((0.3,), 1 / (1 + math.exp(-0.3))), ((-800.0,), 0.0), ((800.0,), 1.0)],
    "erf": [((0.3,), math.erf(0.3))],
    "floor": [((-1.5,), -2.0)],
    "ceil": [((-1.5,), -1.0)],
    "log1p": [((1e-20,), 1e-20), ((-1.0,), -INF)],
    "expm1": [((1e-20,), 1e-20)],
    "relu": [((-1.0,), 0.0), ((2.0,), 2.0), ((NAN,), NAN)],
    "softplus": [((0.3,), math.log(1 + math.exp(0.3))), ((800.0,), 800.0), ((-800.0,), 0.0)],
    "stop": [((1.5,), 1.5)],
    "after": [((1.5, 2.5), 1.5), ((3, 4), 3)],
    "random_uniform": [((5, 7, 3, 11), 0.017203703516012192)],
    "random_normal": [((5, 7, 3, 11), -2.2883030892408254)],
    "random_integer": [((5, 7, 3, 11, 1000), 17)],
    "lt": [((1, 2), True), ((2.0, 2.0), False), ((NAN, 1.0), False)],
    "le": [((2, 2), True), ((2.0, 1.0), False), ((NAN, 1.0), False)],
    "eq": [((2, 2), True), ((2.0, 1.0), False), ((NAN, NAN), False), ((True, True), True)],
    "ne": [((2, 2), False), ((2.0, 1.0), True), ((NAN, NAN), True)],
    "and": [((True, True, False), False), ((True, True), True)],
    "or": [((False, False, True), True), ((False, False), False)],
    "not": [((True,), False)],
}


def test_every_row_is_there_and_tested() -> None:
    assert list(VALUES) == list(OPERATORS)
    assert {*arithmetic._VALUES, "and", "or"} == set(OPERATORS)
    assert list(arithmetic._REDUCED) == list(REDUCTIONS)


@pytest.mark.parametrize("name", VALUES)
def test_operator(name: str) -> None:
    for arguments, expected in VALUES[name]:
        actual = scalar(op(name, *map(Const, arguments)))
        assert type(actual) is type(expected), arguments
        assert actual == pytest.approx(expected, rel=1e-15, abs=0, nan_ok=True), arguments


@pytest.mark.parametrize("name", ["floordiv", "mod"])
def test_integer_division_by_zero(name: str) -> None:
    with pytest.raises(EvaluationError, match="divided by zero"):
        scalar(op(name, Const(1), Const(0)))


def test_integer_to_a_negative_power() -> None:
    with pytest.raises(EvaluationError, match="negative power"):
        scalar(op("pow", Const(2), Const(-1)))


# -- reductions -----------------------------------------------------------------------------------------------------


def reduced(name: str, values: np.ndarray) -> object:
    kind = {"f": "real", "i": "int", "b": "bool"}[values.dtype.kind]
    x = given("x", *values.shape, type=kind)
    axes = [index("ij"[axis], size) for axis, size in enumerate(values.shape)]
    made = graph(x, whole("y", (), Reduce(name, tuple(axes), at(x, *axes))))
    return evaluate(made, {"x": values})["y"].item()


@pytest.mark.parametrize(("name", "expected"), [
    ("sum", 9.5), ("prod", 3 * 0.5 * 2 * 4 * 0 * 0), ("max", 4.0), ("min", 0.0), ("argmax", 3), ("argmin", 4),
])  # fmt: skip
def test_reduction(name: str, expected: float) -> None:
    assert reduced(name, np.array([[3.0, 0.5, 2.0], [4.0, 0.0, 0.0]])) == expected


def test_truth_reductions() -> None:
    assert reduced("any", np.array([False, True])) is True
    assert reduced("all", np.array([False, True])) is False


@pytest.mark.parametrize(("name", "expected"), [
    ("sum", 0.0), ("prod", 1.0), ("max", -INF), ("min", INF), ("argmax", 0), ("argmin", 0),
])  # fmt: skip
def test_reduction_over_nothing(name: str, expected: float) -> None:
    assert reduced(name, np.zeros(0)) == expected
    assert reduced(name, np.zeros((2, 0))) == expected


def test_truth_reductions_over_nothing() -> None:
    assert reduced("any", np.zeros(0, bool)) is False
    assert reduced("all", np.zeros(0, bool)) is True


def test_the_first_of_equal_elements_is_taken() -> None:
    assert reduced("argmax", np.array([1, 3, 3])) == 1
    assert reduced("argmin", np.array([3, 1, 1])) == 1
    assert reduced("argmax", np.array([-INF, -INF])) == 0


def test_nan_goes_through_extremes() -> None:
    assert math.isnan(reduced("max", np.array([1.0, NAN, 3.0])))  # type: ignore[arg-type]
    assert reduced("argmax", np.array([1.0, NAN, 3.0])) == 1


def test_a_reduction_over_many_points_is_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    x, i, j = given("x", 5, 4), index("i", 5), index("j", 4)
    made = graph(x, whole("y", (i,), total(j, of=mul(at(x, i, j), op("real", add(i, j))))))
    values = np.arange(20.0).reshape(5, 4)
    uncut = evaluate(made, {"x": values})["y"]
    monkeypatch.setattr(reference, "_MOST_POINTS", 8)
    np.testing.assert_array_equal(evaluate(made, {"x": values})["y"], uncut)
    np.testing.assert_array_equal(uncut, (values * np.add.outer(range(5), range(4))).sum(1))


# -- reads, guards, parts -------------------------------------------------------------------------------------------


def test_einsum() -> None:
    x, w = given("x", "B", 3), given("w", 4, 3)
    b, i, j = index("b", "B"), index("i", 4), index("j", 3)
    made = graph(x, w, whole("y", (b, i), total(j, of=mul(at(x, b, j), at(w, i, j)))), sizes=["B"])
    random = np.random.default_rng(0)
    inputs = {"x": random.normal(size=(5, 3)), "w": random.normal(size=(4, 3))}
    np.testing.assert_allclose(evaluate(made, inputs)["y"], inputs["x"] @ inputs["w"].T)


def test_a_read_outside_says_where() -> None:
    x, i = given("x", 3), index("i", 3)
    made = graph(x, whole("y", (i,), at(x, sub(i, Const(1)))))
    with pytest.raises(EvaluationError, match=r"x\[-1\] is outside the shape \(3,\), at i=0"):
        evaluate(made, {"x": np.zeros(3)})


def test_a_branch_that_is_not_taken_is_not_evaluated() -> None:
    x, i = given("x", 3), index("i", 4)
    inside = op("lt", i, Const(3))
    made = graph(x, whole("y", (i,), Select(inside, at(x, i), Const(-1.0))), whole("z", (i,), when(inside, at(x, i))))
    values = evaluate(made, {"x": np.array([5.0, 6.0, 7.0])})
    np.testing.assert_array_equal(values["y"], [5, 6, 7, -1])
    np.testing.assert_array_equal(values["z"], [5, 6, 7, 0])


def test_conditions_end_where_the_answer_is_known() -> None:
    x, i = given("x", 3), index("i", 4)
    positive = op("lt", Const(0.0), at(x, i))
    both = op("real", op("and", op("lt", i, Const(3)), positive))
    either = op("real", op("or", op("eq", i, Const(3)), positive))
    made = graph(x, whole("both", (i,), both), whole("either", (i,), either))
    values = evaluate(made, {"x": np.array([1.0, -1.0, 1.0])})
    np.testing.assert_array_equal(values["both"], [1, 0, 1, 0])
    np.testing.assert_array_equal(values["either"], [1, 0, 1, 1])
    wrong = graph(x, whole("y", (i,), op("real", op("and", positive, op("lt", i, Const(3))))))
    with pytest.raises(EvaluationError, match="outside"):
        evaluate(wrong, {"x": np.ones(3)})


def test_parts() -> None:
    a, b = given("a", "N"), given("b", "M")
    i, j = index("i", "N"), index("j", "M")
    rows = ([i], [i], at(a, i)), ([j], [add(Size("N"), j)], at(b, j))
    made = graph(a, b, parts("y", [add(Size("N"), Size("M"))], *rows), sizes=["N", "M"])
    values = evaluate(made, {"a": np.array([1.0, 2.0]), "b": np.array([3.0])})
    np.testing.assert_array_equal(values["y"], [1, 2, 3])


@pytest.mark.parametrize(("start", "message"), [(1, r"y\[1\] is written 2 times"), (3, r"y\[2\] is written 0 times")])
def test_parts_that_do_not_fit(start: int, message: str) -> None:
    i, j = index("i", 2), index("j", 2)
    y = parts("y", [3 if start == 1 else 5], ([i], [i], Const(1.0)), ([j], [add(Const(start), j)], Const(2.0)))
    with pytest.raises(EvaluationError, match=message):
        evaluate(graph(y), {})


def test_a_part_outside_the_tensor() -> None:
    i = index("i", 2)
    with pytest.raises(EvaluationError, match=r"y \(written\)\[2\] is outside"):
        evaluate(graph(parts("y", [2], ([i], [add(i, Const(1))], Const(1.0)))), {})


# -- inputs ---------------------------------------------------------------------------------------------------------


def doubled() -> tuple[object, ...]:
    x, i = given("x", "N", add(Size("N"), Const(1))), index("i", "N")
    return x, whole("y", (i,), at(x, i, i))


@pytest.mark.parametrize(("inputs", "message"), [
    ({}, r"no input gives \|N\|"),
    ({"x": np.zeros((2, 2))}, r"x has shape \(2, 3\) and was given \(2, 2\)"),
    ({"x": np.zeros(2)}, "x has 2 axes and was given 1"),
    ({"y": np.zeros(2)}, "y is not an input"),
    ({"q": np.zeros(2)}, "q is not an input"),
    ({"x": np.zeros((2, 3), bool)}, "x is real and was given bool"),
])  # fmt: skip
def test_inputs_that_do_not_fit(inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(graph(*doubled(), sizes=["N"]), inputs)  # type: ignore[arg-type]


def test_sizes_that_no_input_has() -> None:
    i = index("i", "N")
    made = graph(whole("y", (i,), op("real", mul(i, i))), sizes=["N"])
    np.testing.assert_array_equal(evaluate(made, {}, {"N": 3})["y"], [0, 1, 4])


def test_requirements() -> None:
    made = replace(graph(*doubled(), sizes=["N"]), requirements=(Requirement(sub(Size("N"), Const(2)), "N is small"),))  # type: ignore[arg-type]
    evaluate(made, {"x": np.zeros((2, 3))})
    with pytest.raises(EvaluationError, match="N is small"):
        evaluate(made, {"x": np.zeros((1, 2))})


def test_integer_inputs_stay_within_their_set() -> None:
    z = given("z", 2, type="int", bound=Const(3), bound_set="V")
    made = graph(z, outputs=["z"])
    assert evaluate(made, {"z": np.array([0, 2])})["z"].dtype == np.int64
    with pytest.raises(EvaluationError, match=r"z\[1\] is 3, outside V"):
        evaluate(made, {"z": np.array([0, 3])})
    with pytest.raises(EvaluationError, match="z is int and was given float64"):
        evaluate(made, {"z": np.zeros(2)})


def test_defaults() -> None:
    h, beta, i = given("h", 2, default=0.5), given("beta", kind="hyper", default=3.0), index("i", 2)
    made = graph(h, beta, whole("y", (i,), mul(at(h, i), at(beta))))
    np.testing.assert_array_equal(evaluate(made, {})["y"], [1.5, 1.5])
    np.testing.assert_array_equal(evaluate(made, {"beta": 2.0})["y"], [1, 1])
    with pytest.raises(EvaluationError, match="h is not given"):
        evaluate(graph(replace(h, default=None)), {})


def test_only_what_is_wanted_is_computed() -> None:
    x, i = given("x", 2), index("i", 2)
    bad = whole("bad", (i,), at(x, add(i, Const(1))))
    good = whole("good", (i,), at(x, i))
    assert list(evaluate(graph(x, bad, good), {"x": np.zeros(2)}, wanted=["good"])) == ["good"]


def test_a_shared_expression_is_evaluated_once_at_each_point() -> None:
    """Without that, this would take 2^60 steps."""
    value: Expr = Const(1.0)
    for _ in range(60):
        value = op("div", add(value, value), Const(2.0))
    assert scalar(value) == 1.0


def test_a_singular_system_has_no_solution_and_leaves_the_others_alone() -> None:
    a, b = given("a", 2, 2, 2), given("b", 2, 2)
    n, i, j, k = index("n", 2), index("i", 2), index("j", 2), index("k", 2)
    x = whole("x", (n, k), Solve((i, j), at(a, n, i, j), at(b, n, i), k))
    matrices = np.array([[[0.0, 2.0], [1.0, 0.0]], [[1.0, 2.0], [2.0, 4.0]]])
    found = evaluate(graph(a, b, x), {"a": matrices, "b": np.array([[2.0, 3.0], [1.0, 1.0]])})["x"]
    np.testing.assert_array_equal(found, [[3.0, 1.0], [NAN, NAN]])
