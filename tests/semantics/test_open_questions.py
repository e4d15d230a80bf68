"""What the notation leaves open, and how it was decided: the last table of docs/language.md, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dlc.compiler.diagnostics import CompileError
from tests.semantics.spec_texts import LINEAR, graph_of, run

A, B = np.array([1.0, -2.0, 4.0]), np.array([2.0, 3.0, 5.0])
SOFTMAX = "layer Softmax(x[I]) -> y[I]:\n    y[i] = exp(x[i]) / sum[i'] exp(x[i'])\n"


def value(equation: str, output: str = "y", before: str = "", **inputs: Any) -> Any:
    """The value of a layer with one equation; `a` and `b` are vectors over `I`."""
    text = f"{before}layer F(a[I], b[I], n[I] : int, m[I] : bool) -> {output}:\n    {equation}\n"
    given = {"a": A, "b": B, "n": np.array([3, -4, 6]), "m": np.array([True, False, True]), **inputs}
    return run(text, given, "F")["y"]


VALUES = {
    "a quotient is a product": ("y = a[i]/b[i]", "y", (A / B).sum()),
    "and a bracket is a factor": ("y = a[i]*[i > 0]", "y", A[1:].sum()),
    "and an index is a number": ("y = i*a[i]", "y", np.arange(3) @ A),
    "floor division ends the chain": ("y[i] = 7*2//4*a[i]", "y[I]", 14 // 4 * A),
    "a sign in front changes nothing": ("y = -a[i]*b[i]", "y", -(A @ B)),
    "a power binds more tightly than a sign": ("y[i] = -a[i]^2", "y[I]", -(A**2)),
    "a reduction reaches to the end of the product": ("y[i'] = sum[i] a[i]*b[i] + a[i']", "y[I]", A @ B + A),
    "reals beside integers": ("y[i] = n[i]/2 + 1", "y[I]", np.array([3, -4, 6]) / 2 + 1),
    "an integer power is real": ("y[i] = 2^i", "y[I]", np.array([1.0, 2, 4])),
    "pad of truth values": ("y[i] = 1 if m[pad(i-1)] else 0", "y[I]", np.array([0, 1, 0])),
    "the first of equal maxima": ("y = argmax[i] min(a[i], 1)", "y : int", 0),
    "whole axes of an argument": ("y[I] = Softmax(a[I]*b[I])", "y[I]", np.exp(A * B) / np.exp(A * B).sum()),
    "an empty sum": ("y = sum[i : i > 9] a[i]", "y", 0),
    "an empty maximum": ("y = max[i : i > 9] a[i]", "y", -np.inf),
    "an empty product": ("y = prod[i : i > 9] a[i]", "y", 1),
    "an empty logsumexp": ("y = logsumexp[i : i > 9] a[i]", "y", -np.inf),
}


@pytest.mark.parametrize("question", VALUES)
def test_value(question: str) -> None:
    equation, output, expected = VALUES[question]
    assert_allclose(value(equation, output, SOFTMAX), expected, rtol=1e-12)


REFUSED = {
    "parentheses make a product of their own": ("y = a[i]*(b[i]*a[i])", "y", "DL052"),
    "a power is one factor": ("y = a[i]^2", "y", "DL050"),
    "nothing is summed inside a subscript": ("y = a[n[i]*n[i]]", "y", "DL050"),
    "an integer power is no integer": ("y[i] = 2^i", "y[I] : int", "DL103"),
    "a truth value is no number": ("y[i] = m[i] + 1", "y[I]", "DL100"),
    "an unused equation is checked": ("y[i] = a[i]\n    unused[i] = gone + a[i]", "y[I]", "DL030"),
    "a whole axis has its set's size": ("y[i] = a[i]\n    c[|I|] = 0\n    c[i] = 1\n    d[I] = c[I]", "y[I]", "DL071"),
}


@pytest.mark.parametrize("question", REFUSED)
def test_refused(question: str) -> None:
    equation, output, code = REFUSED[question]
    with pytest.raises(CompileError) as caught:
        value(equation, output)
    assert [one.code for one in caught.value.diagnostics] == [code]


def test_an_index_may_stand_at_a_larger_axis() -> None:
    text = "layer F(a[I], b[J]) -> y[J]:\n    index I = 3, J = 2\n    y[j] = a[j] + b[j]\n"
    assert_allclose(run(text, {"a": A, "b": B[:2]}, "F")["y"], (A + B)[:2])


def test_tensors_may_have_names_of_functions_and_constants() -> None:
    assert_allclose(value("y[i] = exp[i] + exp(a[i])\n    exp[i] = 3*pi*a[i]\n    pi = 2", "y[I]"), 6 * A + np.exp(A))


def test_tensors_and_index_variables_have_different_name_spaces() -> None:
    assert_allclose(run("layer F(t[T]) -> y[T]:\n    y[t] = t[t]*t\n", {"t": A}, "F")["y"], A * np.arange(3))


def test_a_function_of_the_file_hides_a_built_in_one() -> None:
    assert_allclose(value("y[i] = relu(a[i])", "y[I]", "fn relu(x) = 2*x\n"), 2 * A)


def test_a_size_may_be_zero() -> None:
    assert_allclose(value("y[i] = a[i] + sum[k] a[k]\n    index K = 0", "y[I]"), A)


def test_index_lines_of_the_file() -> None:
    text = "index I = 3, K = 2\nlayer F(a[I]) -> y[I]:\n    y[i] = a[i]*|K|\n"
    assert_allclose(run(text, {"a": np.ones(5)}, "F")["y"], np.full(5, 2))


def test_what_a_branch_that_is_not_taken_used_does_not_exist() -> None:
    text = f"""{LINEAR}
layer F(x[J];; deep = false) -> y[J]:
    one = Linear(I=J)
    y[J] = one(x[J]) if deep else x[J]
"""
    assert graph_of(text, "F").of_kind("parameter") == []


def test_a_whole_number_as_default_is_an_integer_only_once_it_is_fixed() -> None:
    text = "layer F(a[I];; k = 1, s = 1) -> y[I]:\n    y[i] = s*a[pad(i - k)]\n"
    assert [tensor.id for tensor in graph_of(text, "F").of_kind("hyper")] == ["s"]
    assert_allclose(run(text, {"a": A, "s": 0.5}, "F")["y"], 0.5 * np.array([0, *A[:2]]))
