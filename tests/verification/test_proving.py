"""What algebra proves of claims, and what it must not: a claim that is wrong somewhere is never called proved."""

from __future__ import annotations

import pytest

from dlc.compiler import pipeline, semantics
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse
from dlc.compiler.verification.proving import proved

TRUE = [
    "(x[i] + y[i])*(x[i] - y[i]) == x[i]^2 - y[i]^2",
    "x[i]/(x[i] + 1) == 1 - 1/(1 + x[i])",
    "1/x[i] + 1/y[i] == (x[i] + y[i])/(x[i]*y[i])",
    "exp(x[i] + y[i])*exp(-y[i]) == exp(x[i])",
    "tanh(x[i]) == (exp(2*x[i]) - 1)/(exp(2*x[i]) + 1)",
    "tanh(x[i])^2 + 1/cosh(x[i])^2 == 1",
    "sigmoid(x[i])/(1 - sigmoid(x[i])) == exp(x[i])",
    "softplus(x[i]) - softplus(-x[i]) == x[i]",
    "log(exp(x[i])*(1 + exp(y[i]))) == x[i] + softplus(y[i])",
    "sqrt(x[i]^2 + 1)*sqrt(x[i]^2 + 1) == 1 + x[i]^2",
    "abs(x[i]) == max(x[i], -x[i])",
    "max(x[i], y[i]) + min(x[i], y[i]) == x[i] + y[i]",
    "relu(x[i]) - relu(-x[i]) == x[i]",
    "sign(x[i])*abs(x[i]) == x[i]",
    "sum[i] (x[i] + 2*y[i]) == sum[i] x[i] + 2 * sum[i] y[i]",
    "sum[i,j] x[i]*v[j] == (sum[i] x[i])*(sum[j] v[j])",
    "sum[i] x[i] * sum[j] w[i,j]*v[j] == sum[j] v[j] * sum[i] w[i,j]*x[i]",
    "mean[i] (x[i] - mean[i'] x[i'])^2 == mean[i] x[i]^2 - (mean[i] x[i])^2",
    "sum[i'] [i == i']*x[i'] == x[i]",
    "x[i']*[i == i'] == x[i]*[i == i']",
    "max[j] (v[j] + x[i] - x[i]) == max[j'] v[j']",
    "grad(sum[i'] x[i']^3, x[i]) == 3*x[i]^2",
    "(x[i] < y[i]) == (0 < y[i] - x[i])",
]
FALSE = [
    "(x[i] + y[i])^2 == x[i]^2 + y[i]^2",
    "sqrt(x[i]^2) == x[i]",
    "log(x[i]^2) == 2*log(x[i])",
    "sqrt(x[i]*y[i]) == sqrt(x[i])*sqrt(y[i])",
    "exp(x[i]*y[i]) == exp(x[i])*exp(y[i])",
    "tanh(x[i]) == 2*sigmoid(x[i]) - 1",
    "abs(x[i] + y[i]) == abs(x[i]) + abs(y[i])",
    "relu(x[i]) + relu(-x[i]) == x[i]",
    "sum[i] x[i]*y[i] == (sum[i] x[i])*(sum[i] y[i])",
    "sum[i,j] x[i]*v[j] == sum[i] x[i]*v[0]",
    "sum[i] x[i]^2 == (sum[i] x[i])^2",
    "max[j] v[j] == sum[j] v[j]",
    "x[i]*[i == i'] == x[i]",
    "mean[i] x[i] == sum[i] x[i]",
    "w[i,j] == w[i,j]^1.0000000001",
    "(x[i] < y[i]) == (x[i] <= y[i])",
    "grad(sum[i'] x[i']^3, x[i]) == 3*x[i]",
]


def is_proved(claim: str) -> bool:
    text = f"layer Any(x[I], y[I], v[J], w[I,J]) -> z[I]:\n    z[i] = x[i]\n    check {claim}\n"
    file = parse(Source("any.dl", text))
    graph = pipeline.derived(semantics.elaborate(file, "Any", semantics.Loader(), claims=True))
    return proved(graph) == frozenset(graph.claims)


@pytest.mark.parametrize("claim", TRUE)
def test_identities_are_proved(claim: str) -> None:
    assert is_proved(claim)


@pytest.mark.parametrize("claim", FALSE)
def test_what_is_wrong_is_not_proved(claim: str) -> None:
    assert not is_proved(claim)
