"""Every row of the table of derivatives against central differences, and the conventions at kinks."""

from __future__ import annotations

import numpy as np
import pytest
from building import assert_gradient, at, given, graph

from dlc.compiler.grad.reverse import differentiate
from dlc.compiler.grad.rules import RULES
from dlc.compiler.ir.expr import Const, Expr, Size, op
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.ir.ops import OPERATORS
from dlc.compiler.ir.reference import evaluate

ANYWHERE = (-2.3, -0.7, 0.4, 1.9)
POSITIVE = (0.05, 0.6, 1.0, 3.2)

ONE_ARGUMENT = {
    "neg": ANYWHERE,
    "abs": ANYWHERE,
    "exp": ANYWHERE,
    "log": POSITIVE,
    "sqrt": POSITIVE,
    "sin": ANYWHERE,
    "cos": ANYWHERE,
    "tan": (-1.1, -0.3, 0.8, 2.0),
    "sinh": ANYWHERE,
    "cosh": ANYWHERE,
    "tanh": ANYWHERE,
    "sigmoid": ANYWHERE,
    "erf": ANYWHERE,
    "log1p": (-0.9, -0.2, 0.0, 4.0),
    "expm1": (*ANYWHERE, 0.0),
    "relu": ANYWHERE,
    "softplus": (*ANYWHERE, 0.0, 40.0, -40.0),
}
TWO_ARGUMENTS = {
    "max": ((0.3, 0.9), (0.9, 0.3), (-1.0, -2.0)),
    "min": ((0.3, 0.9), (0.9, 0.3), (-1.0, -2.0)),
    "div": ((1.2, 0.7), (-1.2, 0.7), (0.4, -3.0)),
    "pow": ((1.2, 0.7), (0.3, -1.5), (2.0, 3.0)),
    "after": ((1.2, 0.7),),
}
SEVERAL = {"add": (0.3, -1.2, 0.8), "mul": (0.3, -1.2, 0.8)}
#: Piecewise constant, or nothing to differentiate: tested for a gradient of exactly zero.
CONSTANT = ("sign", "floor", "ceil", "stop")
#: Functions of integers: nothing to differentiate by.
RANDOM = ("random_uniform", "random_normal", "random_integer")
NOT_REAL = ("floordiv", "mod", "isqrt", "real", "int", *RANDOM, "lt", "le", "eq", "ne", "and", "or", "not")


def of_scalars(value: Expr, *names: str) -> Graph:
    return graph(*(given(name) for name in names), whole("y", (), value), loss="y")


def derivative(value: Expr, **inputs: float) -> list[float]:
    """The derivatives of ``value`` with respect to the scalars in it, in order."""
    made = differentiate(of_scalars(value, *inputs), "y", list(inputs))
    values = evaluate(made, {name: np.array(x) for name, x in inputs.items()})
    return [values[gradient.adjoint].item() for gradient in made.gradients]


X, A, B = (at(given(name)) for name in ("x", "a", "b"))


def test_every_operator_has_a_row_and_is_tested() -> None:
    assert list(RULES) == list(OPERATORS)
    tested = [*ONE_ARGUMENT, *TWO_ARGUMENTS, *SEVERAL, *CONSTANT, *NOT_REAL]
    assert sorted(tested) == sorted(OPERATORS)
    assert {name for name, row in RULES.items() if row is None} == {*CONSTANT, *NOT_REAL}


@pytest.mark.parametrize(("name", "x"), [(name, x) for name, points in ONE_ARGUMENT.items() for x in points])
def test_one_argument(name: str, x: float) -> None:
    assert_gradient(of_scalars(op("mul", Const(1.7), op(name, X)), "x"), {"x": np.array(x)}, ["x"])


@pytest.mark.parametrize(("name", "ab"), [(name, ab) for name, points in TWO_ARGUMENTS.items() for ab in points])
def test_two_arguments(name: str, ab: tuple[float, float]) -> None:
    inputs = {"a": np.array(ab[0]), "b": np.array(ab[1])}
    assert_gradient(of_scalars(op("mul", Const(1.7), op(name, A, B)), "a", "b"), inputs, ["a", "b"])


@pytest.mark.parametrize("name", SEVERAL)
def test_several_arguments(name: str) -> None:
    inputs = {key: np.array(value) for key, value in zip("abx", SEVERAL[name], strict=True)}
    assert_gradient(of_scalars(op(name, A, B, X), "a", "b", "x"), inputs, ["a", "b", "x"])


@pytest.mark.parametrize("name", CONSTANT)
@pytest.mark.parametrize("x", [-1.3, 0.0, 2.0])
def test_constant(name: str, x: float) -> None:
    assert derivative(op("add", op(name, X), op("mul", Const(3.0), X)), x=x) == [3.0]


def test_truth_values_and_integers_pass_nothing_on() -> None:
    truth = op("real", op("or", op("lt", X, Const(1.0)), op("not", op("and", op("le", X, A), op("eq", X, A)))))
    other = op("real", op("ne", X, A))
    assert derivative(op("add", truth, other, X), x=0.5, a=0.5) == [1.0, 0.0]
    whole_number = op("real", op("mod", op("floordiv", Const(7), Const(2)), Const(2)))
    assert derivative(op("mul", whole_number, X), x=0.5) == [1.0]


def test_a_random_number_is_a_constant() -> None:
    place = [Const(number) for number in (5, 7, 3, 11)]
    for name in ("random_uniform", "random_normal"):
        drawn = op(name, *place)
        value = evaluate(of_scalars(op("mul", drawn, X), "x"), {"x": np.array(1.0)})["y"].item()
        assert derivative(op("mul", drawn, X), x=0.5) == [value]


@pytest.mark.parametrize("exponent", [-3, -2, -1, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("x", [-1.5, 0.8])
def test_powers_with_integer_exponents(exponent: int, x: float) -> None:
    assert_gradient(of_scalars(op("pow", X, Const(exponent)), "x"), {"x": np.array(x)}, ["x"])


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0, 2.5])
def test_powers_with_real_exponents(exponent: float) -> None:
    assert_gradient(of_scalars(op("pow", X, Const(exponent)), "x"), {"x": np.array(0.8)}, ["x"])


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 0.0, 1.0, 2.0, 3.5])
def test_powers_of_zero(exponent: int | float) -> None:
    assert derivative(op("pow", X, Const(exponent)), x=0.0) == [1.0 if exponent == 1 else 0.0]


@pytest.mark.parametrize(("n", "expected"), [(0.0, [0.0, 0.0]), (1.0, [1.0, 0.0]), (2.5, [0.0, 0.0])])
def test_powers_of_zero_with_a_variable_exponent(n: float, expected: list[float]) -> None:
    assert derivative(op("pow", A, B), a=0.0, b=n) == expected


def test_an_exponent_that_is_a_size() -> None:
    v = given("v", "N")
    made = graph(v, given("x"), whole("y", (), op("pow", X, Size("N"))), loss="y", sizes=["N"])
    for n in range(4):
        assert_gradient(made, {"v": np.zeros(n), "x": np.array(-1.5)}, ["x"])
    at_zero = evaluate(differentiate(made, "y", ["x"]), {"v": np.zeros(0), "x": np.array(0.0)})
    assert at_zero["d_x"] == 0.0


@pytest.mark.parametrize("name", ["abs", "relu"])
def test_kinks_at_zero(name: str) -> None:
    assert derivative(op(name, X), x=0.0) == [0.0]


@pytest.mark.parametrize("name", ["max", "min"])
def test_equal_arguments_send_everything_to_the_first(name: str) -> None:
    assert derivative(op(name, A, B), a=0.5, b=0.5) == [1.0, 0.0]
    assert derivative(op(name, X, X), x=0.5) == [1.0]


def test_what_a_kink_cuts_off_is_not_evaluated() -> None:
    """relu(log 0) is 0 around 0, although log has no derivative there."""
    assert derivative(op("relu", op("log", X)), x=0.0) == [0.0]
    assert derivative(op("max", Const(0.0), op("log", X)), x=0.0) == [0.0]
