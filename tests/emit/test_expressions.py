"""The text of an expression means what the expression means, whatever nests in what."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from dlc.compiler.emit import powers
from dlc.compiler.emit.expressions import Spelling
from dlc.compiler.ir.expr import Const, Expr, Read, Select, Size, fresh, op
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.ops import OPERATORS
from dlc.compiler.ir.reference import evaluate

SCALARS = {"a": "real", "b": "real", "m": "int", "n": "int", "p": "bool", "q": "bool"}
A, B, M, N, P, Q = (Read(name, (), kind) for name, kind in SCALARS.items())  # type: ignore[arg-type]  # they are types

# What the functions of the runtime's kernels compute.
FUNCTIONS: dict[str, Any] = {
    "quotient": lambda n, k: n // k,
    "real": np.float64,
    "integer": np.int64,
    "np": np,
    "absolute": np.abs,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": np.power,
    "sigmoid": scipy.special.expit,
    "erf": scipy.special.erf,
    "relu": lambda x: np.maximum(x, 0.0),
    "softplus": lambda x: np.logaddexp(0.0, x),
    **{name: getattr(np, name) for name in ("sign", "exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: getattr(np, name) for name in ("floor", "ceil", "log1p", "expm1")},
}
for _name in powers.NAMES:
    exec("\n".join(powers.lines(_name)), FUNCTIONS)


def spelling(real: str = "float64") -> Spelling:
    return Spelling(real, lambda key: key if isinstance(key, str) else key.name, frozenset(SCALARS))  # type: ignore[union-attr]


def text(expression: Expr, real: str = "float64") -> str:
    return spelling(real).text(expression)


def meant(expression: Expr, values: dict[str, Any]) -> Any:
    tensors = [Tensor(name, (), kind, "input") for name, kind in SCALARS.items()]  # type: ignore[arg-type]
    graph = Graph("g", {tensor.id: tensor for tensor in (*tensors, whole("y", (), expression))})
    return evaluate(graph, values)["y"][()]


def written(expression: Expr, values: dict[str, Any]) -> Any:
    typed = {"real": np.float64, "int": np.int64, "bool": np.bool_}
    given_values = {name: typed[SCALARS[name]](value) for name, value in values.items()}
    with np.errstate(all="ignore"):
        # float32's spelling makes NumPy numbers of constants, which divide by zero as compiled code does
        return eval(text(expression, "float32"), {**FUNCTIONS}, given_values)


# -- one by one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (op("add", A, op("neg", B)), "a - b"),
        (op("add", op("neg", A), B), "b - a"),
        (op("add", op("neg", A), op("neg", B)), "-a - b"),
        (op("add", op("neg", A), B, A), "-a + b + a"),
        (op("add", op("neg", M), N, M), "n - m + m"),
        (op("add", M, Const(-3)), "m - 3"),
        (op("add", A, op("mul", Const(-2.0), B)), "a - 2.0*b"),
        (op("mul", A, op("add", A, B)), "a*(a + b)"),
        (op("mul", A, op("div", B, A)), "a*(b / a)"),
        (op("div", op("mul", A, B), op("mul", A, B)), "a*b / (a*b)"),
        (op("floordiv", op("add", M, N), Const(2)), "(m + n) // 2"),
        (op("mul", Const(2), op("mod", M, N)), "2*(m % n)"),
        (op("neg", op("mul", A, B)), "-a*b"),
        (op("neg", op("add", A, B)), "-(a + b)"),
        (op("neg", op("floordiv", M, Size("B"))), "-(m // B)"),
        (op("neg", op("floordiv", M, N)), "-quotient(m, n)"),
        (op("and", op("le", Const(0), M), op("lt", M, N)), "0 <= m < n"),
        (op("and", P, op("or", P, Q), op("not", Q)), "p and (p or q) and not q"),
        (Select(P, A, Select(Q, B, A)), "a if p else b if q else a"),
        (op("add", Select(P, A, B), A), "(a if p else b) + a"),
        (op("pow", A, Const(2)), "a*a"),
        (op("pow", A, Const(3.0)), "a*a*a"),
        (op("pow", op("add", A, B), Const(2)), "power_2(a + b)"),
        (op("pow", A, Const(5)), "power_5(a)"),
        (op("pow", A, Const(-2)), "1.0 / (a*a)"),
        (op("pow", A, Const(0.5)), "power(a, 0.5)"),
        (op("pow", A, M), "power(a, real(m))"),
        (op("pow", M, N), "integer_power(m, n)"),
        (op("mul", op("pow", A, Const(2)), B), "(a*a)*b"),
        (op("real", op("add", M, Const(1))), "real(m + 1)"),
        (op("sign", M), "int(m > 0) - int(m < 0)"),
        (op("stop", op("add", A, B)), "a + b"),
        (op("isqrt", op("add", M, Const(1))), "int((m + 1)**0.5)"),
        (op("add", op("int", op("floor", A)), Const(1)), "integer(floor(a)) + 1"),
        (Read("x", (op("add", M, Const(1)), N), "real"), "x[m + 1, n]"),
        (Read("loss", (), "real"), "loss[0]"),
        (op("mul", Size("B"), M), "B*m"),
    ],
)
def test_texts_read_like_formulas(expression: Expr, expected: str) -> None:
    assert text(expression) == expected


def test_what_is_at_hand_is_compared_without_branches() -> None:
    own = Spelling("float64", str, frozenset("mx"), {name: name for name in "abpq"})  # x is no local
    beaten = op("and", op("not", op("le", A, B)), op("eq", B, B))
    assert own.text(beaten) == "(not a <= b) & (b == b)"
    assert own.text(op("or", op("and", P, Q), op("not", Q))) == "(p & q) | (not q)"
    assert own.text(op("and", P, op("lt", Read("x", (M,), "real"), A))) == "p and x[m] < a"
    assert own.text(op("and", op("lt", M, Const(2)), op("lt", Const(0), M))) == "m < 2 and 0 < m"


def test_truth_values_along_the_loops_are_all_looked_at() -> None:
    """One that says whether the next is read would keep LLVM from making vectors."""
    t, u = fresh(Size("T"), "t"), fresh(Size("U"), "u")
    own = Spelling("float64", lambda key: key if isinstance(key, str) else key.hint, sizes={"m": (t.size, u.size)})  # type: ignore[union-attr]
    inside, beyond = Read("m", (t, u), "bool"), Read("m", (op("add", t, Const(1)), u), "bool")
    other = Read("x", (u,), "bool")
    assert own.text(op("and", inside, op("not", inside))) == "m[t, u] & (not m[t, u])"
    assert own.text(op("and", inside, beyond)) == "m[t, u] and m[t + 1, u]"
    assert own.text(op("or", other, inside)) == "x[u] or m[t, u]"


@pytest.mark.parametrize(
    ("value", "single", "double"),
    [
        (1.0, "real(1)", "1.0"),
        (-2.0, "real(-2)", "-2.0"),
        (0.1, "real(0.1)", "0.1"),
        (-0.0, "real(-0.0)", "-0.0"),
        (1e30, "real(1e+30)", "1e+30"),
        (math.inf, "real(np.inf)", "np.inf"),
        (-math.inf, "real(-np.inf)", "-np.inf"),
        (math.nan, "real(np.nan)", "np.nan"),
        (3, "3", "3"),
        (True, "True", "True"),
    ],
)
def test_constants_are_typed_and_exact(value: float, single: str, double: str) -> None:
    assert (text(Const(value), "float32"), text(Const(value))) == (single, double)
    again = eval(double, {"np": np})
    assert repr(again) == repr(value)


@given(st.floats(width=32, allow_nan=False))
def test_float32_constants_come_back_bit_by_bit(value: float) -> None:
    found = eval(text(Const(value), "float32"), {"np": np, "real": np.float32})
    assert found.dtype == np.float32 and found.tobytes() == np.float32(value).tobytes()


def test_every_operator_has_a_spelling() -> None:
    from dlc.compiler.emit import expressions

    assert set(expressions._OPERATORS) == set(OPERATORS)


def test_indices_are_named_by_the_caller() -> None:
    i = fresh(Const(3), "i")
    assert Spelling("float32", lambda key: "i_2" if key is i else "x").element("x", (i,)) == "x[i_2]"


def test_what_is_called_is_remembered() -> None:
    spell = spelling("float32")
    spell.text(op("exp", op("add", A, Const(1.0))))
    assert spell.used == {"exp", "real"}


@pytest.mark.parametrize("exponent", range(2, powers.GREATEST + 1))
def test_powers_multiply_what_they_say(exponent: int) -> None:
    assert FUNCTIONS[powers.name(exponent)](3) == 3**exponent
    assert "\n".join(powers.lines(powers.name(exponent))).count("*") <= 2 * exponent.bit_length()


# -- everything in everything ------------------------------------------------------------------------------------------

_UNARY = ("neg", "abs", "sign", "sin", "cos", "tanh", "sigmoid", "erf", "floor", "ceil", "relu", "softplus", "stop")


def _binary(draw: Any, names: tuple[str, ...], parts: st.SearchStrategy[Expr]) -> Expr:
    return op(draw(st.sampled_from(names)), draw(parts), draw(parts))


@st.composite
def _reals(draw: Any, depth: int) -> Expr:
    if depth == 0:
        return draw(st.sampled_from([A, B, Const(0.5), Const(-2.0), Const(0.0), Const(3.0)]))
    inner = _reals(depth - 1)
    kind = draw(st.sampled_from(["unary", "binary", "power", "real", "select", "sum"]))
    if kind == "unary":
        return op(draw(st.sampled_from(_UNARY)), draw(inner))
    if kind == "power":
        return op("pow", draw(inner), Const(draw(st.sampled_from([-2, -1, 0, 1, 2, 3, 4, 7, 2.0]))))
    if kind == "real":
        return op("real", draw(st.one_of(_integers(depth - 1), _truths(depth - 1))))
    if kind == "select":
        return Select(draw(_truths(depth - 1)), draw(inner), draw(inner))
    if kind == "sum":
        return op("add", *draw(st.lists(inner, min_size=2, max_size=4)))
    return _binary(draw, ("add", "mul", "div", "max", "min"), inner)


@st.composite
def _integers(draw: Any, depth: int) -> Expr:
    if depth == 0:
        return draw(st.sampled_from([M, N, Const(2), Const(-3), Const(0)]))
    inner = _integers(depth - 1)
    kind = draw(st.sampled_from(["unary", "binary", "quotient", "power", "select"]))
    if kind == "unary":
        return op(draw(st.sampled_from(("neg", "abs", "sign", "stop"))), draw(inner))
    if kind == "quotient":
        return op(draw(st.sampled_from(("floordiv", "mod"))), draw(inner), Const(draw(st.sampled_from([1, 2, 3, -2]))))
    if kind == "power":
        return op("pow", draw(st.sampled_from([M, N])), draw(st.sampled_from([Const(2), Const(3), op("abs", N)])))
    if kind == "select":
        return Select(draw(_truths(depth - 1)), draw(inner), draw(inner))
    return _binary(draw, ("add", "mul", "max", "min"), inner)


@st.composite
def _truths(draw: Any, depth: int) -> Expr:
    if depth == 0:
        return draw(st.sampled_from([P, Q, Const(True)]))
    kind = draw(st.sampled_from(["not", "logic", "reals", "integers"]))
    if kind == "not":
        return op("not", draw(_truths(depth - 1)))
    if kind == "logic":
        return op(draw(st.sampled_from(("and", "or"))), *draw(st.lists(_truths(depth - 1), min_size=2, max_size=3)))
    inner = _reals(depth - 1) if kind == "reals" else _integers(depth - 1)
    return _binary(draw, ("lt", "le", "eq", "ne"), inner)


_small = st.floats(-3, 3).map(lambda x: round(x, 2))
_values = st.fixed_dictionaries(
    {"a": _small, "b": _small, "m": st.integers(-4, 4), "n": st.integers(-4, 4), "p": st.booleans(), "q": st.booleans()}
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(_reals(4), _integers(4), _truths(4)), _values)
def test_the_text_means_what_the_expression_means(expression: Expr, values: dict[str, Any]) -> None:
    with np.errstate(all="ignore"):
        expected, found = meant(expression, values), written(expression, values)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True)
