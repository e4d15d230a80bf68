"""The summation rule: `written_sums` shows what a product sums."""

from __future__ import annotations

import pytest

from dlc.compiler import semantics
from dlc.compiler.diagnostics import CompileError
from tests.semantics.spec_texts import LINEAR, library, parsed

SIGNATURE = "layer F(a[I,J], w[I,J], x[J], v[J], b[I], s, z[I] in J) -> y[I]:\n"

CASES = [
    ("y[i] = w[i,j]*x[j] + b[i]", "y[i] = (sum[j] w[i,j]*x[j]) + b[i]"),
    ("y[i] = b[i]*w[i,j]*x[j]/s", "y[i] = sum[j] b[i]*w[i,j]*x[j]/s"),
    ("y[i] = tanh(w[i,j]*x[j])", "y[i] = tanh(sum[j] w[i,j]*x[j])"),
    ("y[i] = s*(w[i,j]*x[j])", "y[i] = s*(sum[j] w[i,j]*x[j])"),
    ("y[i] = x[j]*(w[i,j] + v[j])", "y[i] = sum[j] x[j]*(w[i,j] + v[j])"),
    ("y[i] = exp(x[j])*w[i,j]", "y[i] = sum[j] exp(x[j])*w[i,j]"),
    ("y[I] = w[I,J]*x[J] + b[I]", "y[I] = (sum[J] w[I,J]*x[J]) + b[I]"),
    ("y[i] = a[i,j]*w[i,j]*sum[j'] x[j']", "y[i] = sum[j] a[i,j]*w[i,j]*sum[j'] x[j']"),
    ("y[i] = w[i,z[i]]*x[z[i]]", "y[i] = w[i,z[i]]*x[z[i]]"),
    ("y[i] = [j > i]*x[j]", "y[i] = sum[j] [j > i]*x[j]"),
    ("y[i] = sum[j] w[i,j]", "y[i] = sum[j] w[i,j]"),
    ("y[i] = max[j] a[i,j]*w[i',j]*b[i']", "y[i] = max[j] sum[i'] a[i,j]*w[i',j]*b[i']"),
    ("y[i] ~ normal(w[i,j]*x[j], exp(b[i]))", "y[i] ~ normal(sum[j] w[i,j]*x[j], exp(b[i]))"),
    ("y[i] = -w[i,j]*x[j]", "y[i] = sum[j] -w[i,j]*x[j]"),
    ("y[i] = (a[i,j]*x[j])*(w[i,j]*v[j])", "y[i] = (sum[j] a[i,j]*x[j])*(sum[j] w[i,j]*v[j])"),
]


def meaning(equation: str) -> str:
    """The equation as it is spelled, with its sums, without the parentheses that the speller may choose."""
    return equation.replace(" ", "").replace("(", "").replace(")", "")


@pytest.mark.parametrize(("written", "summed"), CASES)
def test_written_sums(written: str, summed: str) -> None:
    text = semantics.written_sums(parsed(f"{SIGNATURE}    {written}\n"), "F", library())
    assert meaning(text.splitlines()[1]) == meaning(summed)


@pytest.mark.parametrize(("written", "summed"), CASES)
def test_writing_the_sums_changes_nothing(written: str, summed: str) -> None:
    """Spelled out, the equation is its own meaning: the rule finds nothing more to sum."""
    text = semantics.written_sums(parsed(f"{SIGNATURE}    {written}\n"), "F", library())
    assert semantics.written_sums(parsed(text), "F", library()) == text


@pytest.mark.parametrize(
    ("equation", "code"),
    [
        ("y[i] = a[i,j]", "DL050"),
        ("y[i] = w[i,j]*x[j] + v[j]", "DL050"),
        ("y[i] = x[a[i,j]*w[i,j]]", "DL050"),
        ("y[i] = b[i] + (sum[j] x[j]) + v[j]", "DL051"),
        ("y[i] = tanh(w[i,j]*x[j])*v[j]", "DL052"),
        ("y[i] = v[j]*(w[i,j]*x[j] + b[i])", "DL052"),
        ("y[i] = b[i] / sum[i] b[i]", "DL053"),
        ("y[i] = x[j]*w[i,j]*sum[j] x[j]", "DL053"),
        ("y[i] = sum[j,j] w[i,j]", "DL053"),
        ("y[i] = sum[q] w[i,q]", "DL054"),
    ],
)
def test_refused(equation: str, code: str) -> None:
    with pytest.raises(CompileError) as caught:
        semantics.written_sums(parsed(f"{SIGNATURE}    {equation}\n"), "F", library())
    assert code in [problem.code for problem in caught.value.diagnostics]


def test_arguments_of_layers_have_whole_axes_of_their_own() -> None:
    text = f"{LINEAR}layer F(x[B,J], w[I,J], c[I]) -> y[B,I]:\n    y[b,I] = Linear(x[b,J]; w, c)*c[I]\n"
    assert "y[b,I] = Linear(x[b,J]; w, c)*c[I]" in semantics.written_sums(parsed(text), "F", library())
