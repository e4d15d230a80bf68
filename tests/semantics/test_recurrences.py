"""Recurrences: specs whose tensors read themselves, interpreted, against loops in NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dlc.compiler.ir.printer import text
from tests.semantics.spec_texts import errors_of, graph_of, run

random = np.random.default_rng(5)

RNN = """
layer Rnn(x[T,I], h0[D]; wx[D,I], wh[D,D], c[D]) -> y[S,D]:
    index S = |T| + 1
    h[0,d] = h0[d]
    h[t+1,d] = tanh(wx[d,i]*x[t,i] + wh[d,d']*h[t,d'] + c[d])
    y[s,d] = h[s,d]
"""
LSTM = """
layer Cell(x[I], h[D], c[D]; w[G,I], u[G,D]) -> h1[D], c1[D]:
    index G = 4*|D|
    z[g] = w[g,i]*x[i] + u[g,d]*h[d]
    c1[d] = sigmoid(z[d])*c[d] + sigmoid(z[|D| + d])*tanh(z[2*|D| + d])
    h1[d] = sigmoid(z[3*|D| + d])*tanh(c1[d])

layer Lstm(x[T,I]; w[G,I], u[G,D]) -> y[T,D]:
    h[0,d] = 0
    c[0,d] = 0
    h[t+1,D] = Cell(x[t,I], h[t,D], c[t,D]; w, u)
    c[t+1,D] = Cell(x[t,I], h[t,D], c[t,D]; w, u).c1
    y[t,d] = h[t+1,d]

layer Batch(x[B,T,I]; w[G,I], u[G,D]) -> y[B,T,D]:
    y[b,T,D] = Lstm(x[b,T,I]; w, u)
"""


def reals(*shape: int) -> np.ndarray:
    return random.normal(size=shape)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def rnn(x: np.ndarray, h0: np.ndarray, wx: np.ndarray, wh: np.ndarray, c: np.ndarray) -> np.ndarray:
    rows = [h0]
    for row in x:
        rows.append(np.tanh(wx @ row + wh @ rows[-1] + c))
    return np.array(rows)


@pytest.mark.parametrize("length", [0, 1, 4])
def test_rows_that_read_the_row_before(length: int) -> None:
    given = {"x": reals(length, 2), "h0": reals(3), "wx": reals(3, 2), "wh": reals(3, 3), "c": reals(3)}
    assert_allclose(run(RNN, given)["y"], rnn(**given), rtol=1e-12)


@pytest.mark.parametrize(
    "equation",
    [
        "h[t,d] = tanh(x[t,d] + wh[d,d']*h[pad(t-1),d'])",
        "h[t,d] = tanh(x[t,d] + (wh[d,d']*h[t-1,d'] if t > 0 else 0))",
        "h[t,d] = tanh(x[t,d] + [t > 0]*wh[d,d']*h[t-1,d'])",
        "h[t,d] = tanh(x[t,d]) if t == 0 else tanh(x[t,d] + wh[d,d']*h[t-1,d'])",
        "h[t,d] = tanh(x[t,d] + [t != 0]*wh[d,d']*h[t-1,d'])",
        "h[t,d] = tanh(x[t,d] + sum[t' : t' == t - 1] wh[d,d']*h[t',d'])",
        "h[t,D] = tanh(x[t,D] + wh[D,D']*h[pad(t-1),D'])",
        "h[t,d] = tanh(x[t,d] + z[t,d])\n    z[t,d] = wh[d,d']*h[pad(t-1),d']",
    ],
)
def test_rows_that_read_the_row_before_under_a_guard(equation: str) -> None:
    x, w = reals(4, 3), reals(3, 3)
    expected = rnn(x, np.zeros(3), np.eye(3), w, np.zeros(3))[1:]
    given = {"x": x, "wh": w}
    assert_allclose(run(f"layer F(x[T,D]; wh[D,D]) -> h[T,D]:\n    {equation}", given)["h"], expected, rtol=1e-12)


def test_backwards() -> None:
    spec = """
    layer F(x[T], r;; gamma = 0.5) -> g[S]:
        index S = |T| + 1
        g[|T|] = r
        g[t] = x[t] + gamma*g[t+1]
    """
    x, expected = reals(4), [2.0]
    for value in x[::-1]:
        expected.append(value + 0.5 * expected[-1])
    assert_allclose(run(spec, {"x": x, "r": 2.0, "gamma": 0.5})["g"], expected[::-1], rtol=1e-12)


def test_two_indices() -> None:
    spec = """
    layer Distance(a[I] in V, b[J] in V) -> n:
        d[i,0] = i
        d[|I|,0] = |I|
        d[0,j+1] = j + 1
        d[i+1,j+1] = min(d[i,j+1] + 1, d[i+1,j] + 1, d[i,j] + [a[i] != b[j]])
        n = d[|I|,|J|]
    """
    letters = [np.array([ord(letter) for letter in word]) for word in ("kitten", "sitting")]
    graph = graph_of(spec)
    assert all(graph.tensors[name].type == "int" for name in ("d", "n"))
    assert run(spec, {"a": letters[0], "b": letters[1]}, bound={"V": 128})["n"] == 3
    assert run(spec, {"a": letters[0][:0], "b": letters[1]}, bound={"V": 128})["n"] == 7


def test_two_tensors_through_a_layer_that_is_mapped() -> None:
    x, w, u = reals(2, 4, 3), reals(8, 3), reals(8, 2)
    expected = np.zeros((2, 4, 2))
    for b in range(2):
        h, c = np.zeros(2), np.zeros(2)
        for t in range(4):
            z = w @ x[b, t] + u @ h
            c = sigmoid(z[:2]) * c + sigmoid(z[2:4]) * np.tanh(z[4:6])
            h = expected[b, t] = sigmoid(z[6:]) * np.tanh(c)
    found = run(LSTM, {"x": x, "w": w, "u": u}, "Batch")["y"]
    assert_allclose(found, expected, rtol=1e-12)


def test_two_rows_back() -> None:
    spec = """
    layer Fibonacci(x[T]) -> f[S]:
        index S = |T| + 2
        f[0] = 0
        f[1] = 1
        f[t+2] = f[t+1] + f[t]
    """
    assert_array_equal(run(spec, {"x": reals(6)})["f"], [0, 1, 1, 2, 3, 5, 8, 13])


def test_all_rows_before() -> None:
    spec = """
    layer F(a[T,T], x[T,D]) -> h[T,D]:
        h[t,d] = x[t,d] + tanh(sum[t' : t' < t] a[t,t']*h[t',d])
    """
    a, x = reals(4, 4), reals(4, 2)
    expected = np.zeros((4, 2))
    for t in range(4):
        expected[t] = x[t] + np.tanh(a[t, :t] @ expected[:t])
    assert_allclose(run(spec, {"a": a, "x": x})["h"], expected, rtol=1e-12)


def test_a_tree() -> None:
    """Which rows are read is told by data: a guard says that they come before."""
    spec = """
    layer Tree(left[N] in M, right[N] in M, leaves[K,D]) -> h[M,D]:
        index M = |K| + |N|
        h[k,d] = leaves[k,d]
        h[|K|+n,d] = tanh([left[n] < |K| + n]*h[left[n],d] - [right[n] < |K| + n]*h[right[n],d])
    """
    leaves, left, right = reals(3, 2), np.array([0, 3]), np.array([2, 1])
    inner = np.tanh(leaves[0] - leaves[2])
    expected = [*leaves, inner, np.tanh(inner - leaves[1])]
    assert_allclose(run(spec, {"left": left, "right": right, "leaves": leaves})["h"], expected, rtol=1e-12)


def test_looking_back_by_a_size() -> None:
    spec = "layer Comb(x[T], k[K]) -> y[T]:\n    y[t] = x[t] + 0.5*y[pad(t-|K|)]"
    assert "require |K| - 1 >= 0" in text(graph_of(spec))
    x = reals(5)
    y = x.copy()
    for t in range(2, 5):
        y[t] += 0.5 * y[t - 2]
    assert_allclose(run(spec, {"x": x, "k": reals(2)})["y"], y, rtol=1e-12)


VITERBI = """
layer Viterbi(e0[S], e[R,S], a[S,S]) -> path[T] in S:
    index T = |R| + 1
    v[0,s] = e0[s]
    v[r+1,s] = e[r,s] + max[s'] (v[r,s'] + a[s',s])
    back[r,s] = argmax[s'] (v[r,s'] + a[s',s])
    path[|R|] = argmax[s] v[|R|,s]
    path[r] = back[r, path[r+1]]
"""


def test_a_path_of_integers() -> None:
    e, a = reals(5, 3), reals(3, 3)
    scores = {
        path: sum(e[t, s] for t, s in enumerate(path)) + sum(a[s, q] for s, q in pairwise(path))
        for path in np.ndindex(*[3] * 5)
    }
    assert_array_equal(run(VITERBI, {"e0": e[0], "e": e[1:], "a": a})["path"], max(scores, key=scores.__getitem__))


GREEDY = """
layer Greedy(w[V,D], u[D,D], h0[D], x[T]) -> tok[S] in V:
    index S = |T| + 1
    tok[0] = 0
    h[0,d] = h0[d]
    h[t+1,d] = tanh(u[d,d']*h[t,d'] + w[tok[t],d])
    tok[t+1] = argmax[v] w[v,d]*h[t+1,d]
"""


def test_an_argmax_that_is_fed_back() -> None:
    w, u, h = reals(5, 3), reals(3, 3), reals(3)
    expected, state = [0], h
    for _ in range(4):
        state = np.tanh(u @ state + w[expected[-1]])
        expected.append(int(np.argmax(w @ state)))
    assert_array_equal(run(GREEDY, {"w": w, "u": u, "h0": h, "x": reals(4)})["tok"], expected)


def test_the_first_token_needs_a_set_with_an_element() -> None:
    assert "require |V| - 1 >= 0" in text(graph_of(GREEDY))
    assert "require" not in text(graph_of(GREEDY, sizes={"V": 5}))


def test_the_first_token_may_lie_outside() -> None:
    assert [one.code for one in errors_of(GREEDY.replace("tok[0] = 0", "tok[0] = 7"), sizes={"V": 5})] == ["DL107"]


def test_the_depth_of_an_instance_array() -> None:
    spec = """
    layer Block(x[D]; w[D,D] ~ xavier_uniform) -> y[D]:
        y[d] = x[d] + tanh(w[d,d']*x[d'])

    model Deep(e[B,D]) -> y[B,D]:
        index D = 2, L = 3
        blocks[L] = Block()
        h[0,B,D] = e[B,D]
        h[l+1,B,D] = blocks[l](h[l,B,D])
        y[b,d] = h[|L|,b,d]
    """
    x, w = reals(4, 2), reals(3, 2, 2)
    expected = x
    for matrix in w:
        expected = expected + np.tanh(expected @ matrix.T)
    assert_allclose(run(spec, {"e": x, "blocks.w": w}, "Deep")["y"], expected, rtol=1e-12)


def test_a_recurrence_in_each_step_of_another() -> None:
    spec = """
    layer Inner(x[I]) -> s[I]:
        s[i] = x[i] + 0.5*s[pad(i-1)]

    layer Outer(x[T,I]) -> h[T,I]:
        h[t,I] = Inner(x[t,I] + h[pad(t-1),I])
    """
    x, h = reals(3, 4), np.zeros((3, 4))
    for t in range(3):
        for i in range(4):
            h[t, i] = x[t, i] + (h[t - 1, i] if t else 0) + (0.5 * h[t, i - 1] if i else 0)
    assert_allclose(run(spec, {"x": x}, "Outer")["h"], h, rtol=1e-12)


# -- what is found out about them --------------------------------------------------------------------------------------

TYPES = {
    "n[0] = 0\n    n[t+1] = n[t] + [m[t]]": "int",
    "n[t] = n[pad(t-1)] + 1": "int",
    "n[t] = n[t-1] + 1 if t > 0 else 0": "int",
    "n[t] = n[t-1]/2 if t > 0 else 1": "real",
    "n[0] = 1\n    n[t+1] = 0.5*n[t]": "real",
    "n[0] = 0\n    n[t+1] = o[t]\n    o[t] = n[t] + 0.5": "real",
    "n[t] = n[t-1] and m[t] if t > 0 else m[t]": "bool",
    "n[0] = true\n    n[t+1] = n[t] and m[t]": "bool",
}


@pytest.mark.parametrize("equations", TYPES)
def test_types(equations: str) -> None:
    graph = graph_of(f"layer F(m[T] : bool) -> k:\n    {equations}\n    k = sum[t] [m[t]]")
    assert graph.tensors["n"].type == TYPES[equations]


def test_a_bound_through_two_tensors() -> None:
    spec = """
    layer F(next[V] in V, start in V, x[T]) -> y:
        a[0] = start
        a[t+1] = b[t]
        b[t] = next[a[t]]
        y = a[|T|]
    """
    assert run(spec, {"next": np.array([2, 0, 1]), "start": 0, "x": reals(4)})["y"] == 2


def test_no_bound() -> None:
    spec = """
    layer F(next[V] in V, x[T]) -> y:
        a[0] = 0
        a[t+1] = next[a[t]] + 1
        y = a[|T|]
    """
    assert [one.code for one in errors_of(spec)] == ["DL056"]


def test_only_what_is_needed_is_mapped() -> None:
    spec = """
    layer Decayed(x[T]) -> y[T]:
        f[0] = 1
        f[t+1] = 0.9*f[t]
        s[t] = x[t]*f[t] + s[pad(t-1)]
        y[t] = s[t]

    layer Batch(x[B,T]) -> y[B,T]:
        y[b,T] = Decayed(x[b,T])
    """
    graph = graph_of(spec, "Batch")
    assert [graph.tensors[name].rank for name in ("Decayed.f", "y")] == [1, 2]


def test_errors_in_a_recurrence_are_said_once() -> None:
    spec = "layer F(x[T]) -> h[T]:\n    h[t] = x[t] + q*h[pad(t-1)] + x[j]"
    assert sorted(one.code for one in errors_of(spec)) == ["DL031", "DL031"]
