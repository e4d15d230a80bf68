"""Flattened groups `(g,c)`, `(C,H,W)` on either side of equations and in parameters: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dlc.compiler import pipeline
from dlc.compiler.ir.reference import evaluate
from tests.semantics.spec_texts import graph_of

Reference = Callable[..., Any]


def windows(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """A convolution in two groups: output channel m reads the three channels of group m // 2."""
    rows = [sum(w[m, c, q] * x[m // 2 * 3 + c, q : q + 5] for c in range(3) for q in range(3)) for m in range(4)]
    return np.stack(rows)


def two_heads(x: np.ndarray) -> np.ndarray:
    return np.concatenate([part @ part.T @ part for part in (x[:, :3], x[:, 3:])], axis=1)


#: The layer after `layer L`, the shapes of what it is given, and what it computes.
CASES: dict[str, tuple[str, dict[str, tuple[int, ...]], Reference]] = {
    "both sides alike": (
        "(x[K,H]) -> y[K,H]:\n    index G = 2, C = 3, K = 6\n    y[(g,c),h] = x[(g,c),h]*(g + 1)",
        {"x": (6, 2)}, lambda x: x * np.repeat([1, 2], 3)[:, None],
    ),
    "a shuffle": (
        "(x[K,H]) -> y[K,H]:\n    index G = 2, C = 3, K = 6\n    y[(c,g),h] = x[(g,c),h]",
        {"x": (6, 2)}, lambda x: x.reshape(2, 3, 2).swapaxes(0, 1).reshape(6, 2),
    ),
    "one set twice": (
        "(x[K]) -> y[K]:\n    index D = 3, K = 9\n    y[(d,d')] = x[(d',d)]",
        {"x": (9,)}, lambda x: x.reshape(3, 3).T.ravel(),
    ),
    "whole axes on the left": (
        "(x[B,C,H,W]) -> y[B,F]:\n    index F = |C|*|H|*|W|\n    y[b,(C,H,W)] = x[b,C,H,W]",
        {"x": (2, 3, 2, 4)}, lambda x: x.reshape(2, 24),
    ),
    "whole axes on the right": (
        "(x[B,F]) -> y[B,C,H,W]:\n    index C = 3, H = 2, W = 4, F = 24\n    y[b,C,H,W] = x[b,(C,H,W)]",
        {"x": (2, 24)}, lambda x: x.reshape(2, 3, 2, 4),
    ),
    "a parameter": (
        "(x[C,H]; w[I,F]) -> y[I]:\n    index C = 3, H = 2, F = 6\n    y[i] = w[i,(c,h)]*x[c,h]",
        {"x": (3, 2), "w": (5, 6)}, lambda x, w: w @ x.ravel(),
    ),
    "whole axes of a parameter": (
        "(x[C,H]; w[I,F]) -> y[I]:\n    index C = 3, H = 2, F = 6\n    y[I] = w[I,(C,H)]*x[C,H]",
        {"x": (3, 2), "w": (5, 6)}, lambda x, w: w @ x.ravel(),
    ),
    "a convolution in groups": (
        "(x[K,T]; w[M,C,Q]) -> y[M,U]:\n    index G = 2, C = 3, K = 6, O = 2, M = 4, T = 7, Q = 3, U = 5\n"
        "    y[(g,o),u] = w[(g,o),c,q]*x[(g,c),u+q]",
        {"x": (6, 7), "w": (4, 3, 3)}, windows,
    ),
    "heads": (
        "(x[T,E]) -> y[T,E]:\n    index N = 2, D = 3, E = 6\n    a[n,t,t'] = x[t,(n,d)]*x[t',(n,d)]\n"
        "    y[t,(n,d)] = a[n,t,t']*x[t',(n,d)]",
        {"x": (4, 6)}, two_heads,
    ),
    "depth to space": (
        "(x[F,H,W]) -> y[C,V,Z]:\n    index C = 2, P = 2, Q = 3, F = 12, V = |P|*|H|, Z = |Q|*|W|\n"
        "    y[c,(h,p),(w,q)] = x[(c,p,q),h,w]",
        {"x": (12, 2, 3)}, lambda x: x.reshape(2, 2, 3, 2, 3).transpose(0, 3, 1, 4, 2).reshape(2, 4, 9),
    ),
    "a part": (
        "(x[G,C], z[C]) -> y[K]:\n    index K = (|G| + 1)*|C|\n    y[(g,c)] = x[g,c]\n    y[|G|*|C| + c] = z[c]",
        {"x": (2, 3), "z": (3,)}, lambda x, z: np.concatenate([x.ravel(), z]),
    ),
    "under a reduction": (
        "(x[K]) -> y[C]:\n    index G = 2, C = 3, K = 6\n    y[c] = max[g] x[(g,c)]",
        {"x": (6,)}, lambda x: x.reshape(2, 3).max(axis=0),
    ),
    "a size from a hyper-parameter": (
        "(x[K,T];; heads = 2) -> y[N,D,T]:\n    index N = heads, D = |K| // heads\n    y[n,d,t] = x[(n,d),t]",
        {"x": (6, 4)}, lambda x: x.reshape(2, 3, 4),
    ),
    "the value of a call": (
        "(x[B,C,H]) -> y[B,F]:\n    index F = |C|*|H|\n    y[b,(C,H)] = Twice(x[b,C,H])",
        {"x": (2, 3, 2)}, lambda x: 2 * x.reshape(2, 6),
    ),
    "an argument": (
        "(x[B,F]) -> y[B,C,H]:\n    index C = 3, H = 2, F = 6\n    y[b,C,H] = Twice(x[b,(C,H)])",
        {"x": (2, 6)}, lambda x: 2 * x.reshape(2, 3, 2),
    ),
}  # fmt: skip

TWICE = "layer Twice(x[C,H]) -> y[C,H]:\n    y[c,h] = 2*x[c,h]\n\n"


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    text, shapes, reference = CASES[name]
    graph = graph_of(f"{TWICE}layer L{text}\n", "L")
    random = np.random.default_rng(0)
    given = {one: random.normal(size=shape) for one, shape in shapes.items()}
    expected = reference(**given)
    assert_allclose(evaluate(graph, given)["y"], expected, 1e-13)
    derivative = pipeline.entries(graph, wrt="*")["vjp"]
    weight = random.normal(size=expected.shape)
    found = evaluate(derivative, {**given, derivative.of_kind("cotangent")[0].id: weight})
    assert {gradient.tensor for gradient in derivative.gradients} == set(shapes)
    for gradient in derivative.gradients:
        slopes = np.zeros(shapes[gradient.tensor])
        for place in np.ndindex(*slopes.shape):
            step = np.zeros_like(slopes)
            step[place] = 1e-6
            ends = [reference(**{**given, gradient.tensor: given[gradient.tensor] + sign * step}) for sign in (1, -1)]
            slopes[place] = np.sum((ends[0] - ends[1]) * weight) / 2e-6
        assert_allclose(found[gradient.adjoint], slopes, 1e-6, 1e-7)


def test_a_gather_of_two_in_one() -> None:
    text = (
        "layer L(w[K,D], z[B] in G, s[B] in C) -> y[B,D]:\n    index G = 2, C = 3, K = 6\n"
        "    y[b,d] = w[(z[b],s[b]),d]\n"
    )
    given = {"w": np.arange(12.0).reshape(6, 2), "z": np.array([0, 1, 1]), "s": np.array([2, 0, 1])}
    assert_allclose(evaluate(graph_of(text, "L"), given)["y"], given["w"][[2, 3, 4]])
