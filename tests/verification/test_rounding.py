"""Bounds of rounding hold, against mpmath with fifty digits, and are not idle: cancellation is what makes them grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from dlc.compiler import semantics
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse
from dlc.compiler.verification.rounding import bounded

mp = mpmath.mp.clone()
mp.dps = 50

CASES: list[tuple[str, Callable[..., Any]]] = [
    ("sqrt(1 + x[i]^2) - 1", lambda x, y: mp.sqrt(1 + x**2) - 1),
    ("(1 - cos(x[i])) / x[i]^2", lambda x, y: (1 - mp.cos(x)) / x**2),
    ("log(1 + exp(x[i])) - log(1 + exp(y[i]))", lambda x, y: mp.log(1 + mp.exp(x)) - mp.log(1 + mp.exp(y))),
    ("(exp(x[i]) - exp(-x[i])) / (exp(x[i]) + exp(-x[i]))", lambda x, y: mp.tanh(x)),
    ("x[i]*y[i] - (x[i] + y[i])^3 / 7", lambda x, y: x * y - (x + y) ** 3 / 7),
    ("sigmoid(20*x[i]) - tanh(y[i])", lambda x, y: 1 / (1 + mp.exp(-20 * x)) - mp.tanh(y)),
    ("sinh(x[i]) + sin(30*y[i]) - expm1(x[i])", lambda x, y: mp.sinh(x) + mp.sin(30 * y) - mp.expm1(x)),
    ("erf(x[i]) / (1e-3 + abs(y[i] - x[i]))", lambda x, y: mp.erf(x) / (mp.mpf(1e-3) + abs(y - x))),
    ("max(x[i], y[i] / 3)^2.5", lambda x, y: max(x, y / 3) ** mp.mpf(2.5) if max(x, y / 3) > 0 else mp.nan),
]


@pytest.mark.parametrize(("formula", "exact"), CASES)
def test_bounds_hold(formula: str, exact: Callable[..., Any]) -> None:
    x, y = np.random.default_rng(0).normal(0, 1, (2, 200))
    x[:50] *= 1e-4
    y[100:] = x[100:] * (1 + 1e-9)
    value, error, _ = evaluated(formula, x=x, y=y)
    for number, (mine, bound) in enumerate(zip(value, error, strict=True)):
        true = exact(mp.mpf(x[number]), mp.mpf(y[number]))
        if np.isfinite(mine):
            assert abs(mp.mpf(mine) - true) <= bound, (formula, x[number], y[number])
            assert number < 50 or bound <= 1e-9 * (1 + abs(mine))


def test_sums_of_many_terms() -> None:
    x = np.random.default_rng(1).normal(0, 1, 5000) * 1e6
    value, error, _ = evaluated("[i == 0]*(sum[i'] x[i']*y[i'])", x=x, y=np.full(5000, 1.1))
    true = mp.fsum(mp.mpf(one) * mp.mpf(1.1) for one in x)
    assert 0 < abs(mp.mpf(value[0]) - true) <= error[0] < 1


@pytest.mark.parametrize(
    ("formula", "doubtful"),
    [
        ("[x[i] < y[i]]", [False, False, False]),  # what is given is exact, however near
        ("[3*x[i] < y[i] + y[i] + y[i]]", [False, True, True]),
        ("1 / (x[i]*0.1 - 0.1*y[i])", [False, True, True]),
        ("floor(x[i] / 3)", [False, True, True]),
        ("(argmax[j] z[j]*x[i]) + 0.0", [True, True, True]),
    ],
)
def test_doubts_where_rounding_decides(formula: str, doubtful: list[bool]) -> None:
    x, y = np.array([1.0, 3.0, 3.0]), np.array([2.0, 3.0, 3.0 + 2.0**-51])
    doubt = evaluated(formula, x=x, y=y)[2]
    assert list(doubt) == doubtful


def evaluated(formula: str, **inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values of a formula in x[I] and y[I], their bounds, and where there is doubt."""
    given = {**inputs, **({"z": np.array([0.1, 0.1 + 2e-17, 0.1])} if "z[" in formula else {})}
    data = ", ".join(["x[I]", "y[I]", *(["z[J]"] if "z" in given else [])])
    file = parse(Source("any.dl", f"layer Any({data}) -> r[I]:\n    r[i] = {formula}\n"))
    bounds = bounded(semantics.elaborate(file, "Any", semantics.Loader()))
    names = [name for name in (bounds.errors.get("r"), bounds.doubts.get("r")) if name is not None]
    found = evaluate(bounds.graph, given, wanted=["r", *names])
    error = found.get("r.error", np.zeros_like(found["r"]))
    return found["r"], error, found.get("r.doubt", np.zeros(found["r"].shape, bool))
