"""What specs mean: their graphs, interpreted, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dlc.compiler.ir.graph import Objective
from tests.semantics.spec_texts import LINEAR, graph_of, run

random = np.random.default_rng(0)


def reals(*shape: int) -> np.ndarray:
    return random.normal(size=shape)


A, B, C = reals(3, 4), reals(4, 5), reals(3)
X4, V3, V4 = reals(2, 3, 5, 6), reals(3), reals(4)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def erf_free(x: np.ndarray) -> np.ndarray:
    return x * x


CASES = {
    "a_subscript_behind_a_function_of_a_whole_axis": (
        f"{LINEAR}\nlayer F(x[B,D]; w[I,D], c[I]) -> y[B,I]:\n    y[b,i] = relu(Linear(x[b,D]; w, c))[i]",
        {"x": A, "w": B.T, "c": B[0]},
        relu(A @ B + B[0]),
    ),
    "a_gather_behind_a_function_of_a_whole_axis": (
        "fn twice(x) = 2*x\nlayer F(a[I,J], z[I] in J) -> y[I]:\n    y[i] = twice(max(a[i,J], 0))[z[i]]",
        {"a": A, "z": np.array([3, 0, 1])},
        2 * relu(A[[0, 1, 2], [3, 0, 1]]),
    ),
    "sum_over_product": (
        "layer F(a[I,J], b[J,K]) -> y[I,K]:\n    y[i,k] = a[i,j]*b[j,k]",
        {"a": A, "b": B},
        A @ B,
    ),
    "terms_are_their_own": (
        "layer F(a[I,J], v[J], c[I]) -> y[I]:\n    y[i] = a[i,j]*v[j] + c[i]",
        {"a": A, "v": V4, "c": C},
        A @ V4 + C,
    ),
    "capitals_in_equations": (
        "layer F(a[I,J], v[J], c[I]) -> y[I]:\n    y[I] = a[I,J]*v[J] + c[I]",
        {"a": A, "v": V4, "c": C},
        A @ V4 + C,
    ),
    "two_inner_sums": (
        "layer F(a[I,J], v[J], c[I]) -> y[I]:\n    y[i] = (a[i,j]*v[j] + c[i])*sigmoid(a[i,j]*v[j])",
        {"a": A, "v": V4, "c": C},
        (A @ V4 + C) / (1 + np.exp(-(A @ V4))),
    ),
    "sum_inside_a_function": (
        "layer F(a[I,J], v[J]) -> y:\n    y = sum[i] tanh(a[i,j]*v[j])",
        {"a": A, "v": V4},
        np.tanh(A @ V4).sum(),
    ),
    "divided_by_a_norm": (
        "layer F(v[I], u[I]) -> y[I]:\n    y[i] = v[i] / sum[i'] u[i']",
        {"v": V3, "u": C},
        V3 / C.sum(),
    ),
    "everything": ("layer F(a[I,J]) -> y:\n    y = sum[..] a[I,J]^2", {"a": A}, (A**2).sum()),
    "normalised_by_everything": (
        "layer F(a[I,J]) -> y[I,J]:\n    y[I,J] = a[I,J] / sum[..] abs(a[I,J])",
        {"a": A},
        A / np.abs(A).sum(),
    ),
    "mean_with_condition": (
        "layer F(a[I,J]) -> y[I]:\n    y[i] = mean[j : j <= i] a[i,j]",
        {"a": A},
        np.array([A[i, : i + 1].mean() for i in range(3)]),
    ),
    "logsumexp": ("layer F(a[I,J]) -> y[I]:\n    y[i] = logsumexp[j] a[i,j]", {"a": A}, np.log(np.exp(A).sum(1))),
    "argmax": ("layer F(a[I,J]) -> y[I] in J:\n    y[i] = argmax[j] a[i,j]", {"a": A}, A.argmax(1)),
    "any_all": (
        "layer F(a[I,J]) -> y[I]:\n    y[i] = [any[j] [a[i,j] > 0]] + 2*[all[j] (a[i,j] > -1)]",
        {"a": A},
        (A > 0).any(1) + 2 * (A > -1).all(1),
    ),
    "iverson_guards": (
        "layer F(v[I]) -> y[I]:\n    y[i] = [i > 0]*v[i-1]",
        {"v": V3},
        np.concatenate([[0], V3[:-1]]),
    ),
    "if_guards": (
        "layer F(v[I]) -> y[I]:\n    y[i] = v[i-1] if i > 0 else 7",
        {"v": V3},
        np.concatenate([[7], V3[:-1]]),
    ),
    "pad_clamp_wrap": (
        "layer F(v[I]) -> y[I]:\n    y[i] = v[pad(i-1)] + 10*v[clamp(i+1)] + 100*v[wrap(i+1)]",
        {"v": V3},
        np.concatenate([[0], V3[:-1]]) + 10 * V3[[1, 2, 2]] + 100 * V3[[1, 2, 0]],
    ),
    "index_is_a_number": (
        "layer F(v[I]) -> y[I]:\n    y[i] = v[i]*sin(i / 10^(i/|I|))",
        {"v": V3},
        V3 * np.sin(np.arange(3) / 10 ** (np.arange(3) / 3)),
    ),
    "parts": (
        "layer F(a[C1], b[C2]) -> y[C]:\n    index C = |C1| + |C2|\n    y[c1] = a[c1]\n    y[|C1| + c2] = b[c2]",
        {"a": V3, "b": V4},
        np.concatenate([V3, V4]),
    ),
    "parts_with_capital": (
        "layer F(a[C1], b[C2]) -> y[C]:\n    y[C1] = a[C1]\n    y[|C1| + C2] = relu(b[C2])\n    index C = |C1| + |C2|",
        {"a": V3, "b": V4},
        np.concatenate([V3, relu(V4)]),
    ),
    "part_of_one_element": (
        "layer F(a[T]) -> y[U]:\n    index U = |T| + 1\n    y[t] = a[t]\n    y[|T|] = 0",
        {"a": V3},
        np.append(V3, 0),
    ),
    "interleaved": (
        "layer F(a[I], b[I]) -> y[J]:\n    index J = 2*|I|\n    y[2*i] = a[i]\n    y[2*i + 1] = b[i]",
        {"a": V3, "b": C},
        np.stack([V3, C], 1).ravel(),
    ),
    "flattened_left": (
        "layer F(a[I,J]) -> y[K]:\n    index K = |I|*|J|\n    y[(i,j)] = a[i,j]",
        {"a": A},
        A.ravel(),
    ),
    "flattened_right": (
        "layer F(a[K], v[J];; I = 3) -> y[I]:\n    index K = |I|*|J|\n    y[i] = a[(i,j)]*v[j]",
        {"a": reals(12), "v": V4},
        None,
    ),
    "own_function": (
        "fn square(x) = x^2\nfn cube(x, k = 1) = k*x*square(x)\nlayer F(v[I]) -> y[I]:\n    y[i] = cube(v[i], k=2)",
        {"v": V3},
        2 * V3**3,
    ),
    "elementwise": (
        "layer S(x[..];; beta = 2) -> y[..]:\n    y[..] = log(1 + exp(beta*x[..]))/beta\n"
        "layer F(a[I,J]) -> y[I,J]:\n    y[I,J] = S(a[I,J];; 1) - S(a[I,J])",
        {"a": A},
        np.log1p(np.exp(A)) - np.log1p(np.exp(2 * A)) / 2,
    ),
    "mapped_from_the_left": (
        "layer N(x[D]) -> y[D]:\n    y[d] = x[d] / sum[d'] x[d']^2\n"
        "layer F(x[B,T,D]) -> y[B,T,D]:\n    y[b,T,D] = x[b,T,D] + N(x[b,T,D])",
        {"x": X4[0]},
        X4[0] + X4[0] / (X4[0] ** 2).sum(-1, keepdims=True),
    ),
    "nested_calls": (
        "layer N(x[D]) -> y[D]:\n    y[d] = x[d] / sum[d'] x[d']^2\n"
        "layer F(x[B,D]) -> y[B]:\n    y[b] = log(N(relu(N(x[b,D])))[0]^2 + 1)",
        {"x": A},
        None,
    ),
    "summed_over_mapped": (
        "layer Sq(x[D]) -> y:\n    y = x[d]*x[d]\nlayer F(x[B,D], v[B]) -> y:\n    y = v[b]*Sq(x[b,D])",
        {"x": A, "v": V3},
        V3 @ (A**2).sum(1),
    ),
    "gather": (
        "layer F(w[V,D], z[T] in V) -> y[T,D]:\n    y[t,d] = w[z[t],d]",
        {"w": A, "z": np.array([2, 0, 2, 1])},
        A[[2, 0, 2, 1]],
    ),
    "segment_sum": (
        "layer F(m[E], dst[E] in V;; V = 3) -> y[V]:\n    y[v] = sum[e : dst[e] == v] m[e]",
        {"m": V4, "dst": np.array([2, 0, 2, 2])},
        np.array([V4[1], 0, V4[[0, 2, 3]].sum()]),
    ),
    "integers": (
        "layer F(n[B] : int) -> y[B] : int:\n    y[b] = (n[b]*3 + b) // 2 mod 5",
        {"n": np.array([3, -4, 10])},
        (np.array([3, -4, 10]) * 3 + np.arange(3)) // 2 % 5,
    ),
    "membership": (
        "layer F(v[I]) -> y[I]:\n    y[i] = sum[i' : i + 1 - i' in I and i' < i] v[i']",
        {"v": V3},
        np.array([V3[[k for k in range(3) if 0 <= i + 1 - k < 3 and k < i]].sum() for i in range(3)]),
    ),
    "unary_minus_before_a_sum": (
        "layer F(v[I], u[I]) -> y:\n    y = -sum[i] v[i]*log(1 + u[i]^2)",
        {"v": V3, "u": C},
        -(V3 * np.log(1 + C**2)).sum(),
    ),
    "bool_input": (
        "layer F(v[I], m[I] : bool) -> y[I]:\n    y[i] = [m[i]]*v[i] + (1 if not m[i] else 0)",
        {"v": V3, "m": np.array([True, False, True])},
        np.array([V3[0], 1, V3[2]]),
    ),
    "default_argument": (
        "layer G(x[I], h[I] = 2) -> y[I]:\n    y[i] = x[i]*h[i]\n"
        "layer F(v[I]) -> y[I]:\n    y[I] = G(v[I]) + G(v[I], v[I])",
        {"v": V3},
        2 * V3 + V3**2,
    ),
    "other_output": (
        "layer G(x[I]) -> y[I], s:\n    y[i] = 2*x[i]\n    s = sum[i] x[i]\n"
        "layer F(v[B,I]) -> y[B]:\n    y[b] = G(v[b,I]).s",
        {"v": A},
        A.sum(1),
    ),
    "order_of_lines": (
        "layer F(v[I]) -> y[I]:\n    y[i] = 2*h[i]\n    h[I2] = g[I2]\n    g[i] = v[i] + 1",
        {"v": V3},
        2 * (V3 + 1),
    ),
    "power": (
        "layer F(v[I]) -> y[I]:\n    y[i] = v[i]^2 + v[i]^-1 + 2^i",
        {"v": V3},
        V3**2 + 1 / V3 + 2.0 ** np.arange(3),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value(name: str) -> None:
    text, inputs, expected = CASES[name]
    if expected is None:
        expected = EXPECTED[name](**inputs)
    assert_allclose(run(text, inputs, "F")["y"], expected, rtol=1e-12, atol=1e-12)


def _nested(x: np.ndarray) -> np.ndarray:
    def norm(v: np.ndarray) -> np.ndarray:
        return v / (v**2).sum(-1, keepdims=True)

    return np.log(norm(relu(norm(x)))[:, 0] ** 2 + 1)


EXPECTED = {
    "flattened_right": lambda a, v: a.reshape(3, 4) @ v,
    "nested_calls": _nested,
}


def test_mlp() -> None:
    text = f"""{LINEAR}
layer Softmax(x[I]) -> y[I]:
    y[i] = exp(x[i]) / sum[i'] exp(x[i'])
layer CrossEntropy(o[Y], z in Y) -> l:
    l = -log(Softmax(o[Y])[z])
model Mlp(x[B,P], target[B] in Y) -> loss, logits[B,Y]:
    index P = 4, Y = 3
    fc1 = Linear(I=5)
    fc2 = Linear(I=Y)
    h[b,H] = relu(fc1(x[b,P]))
    logits[b,Y] = fc2(h[b,H])
    loss = mean[b] CrossEntropy(logits[b,Y], target[b])
    minimize loss
"""
    graph = graph_of(text)
    assert graph.sizes == ("B",)
    assert graph.objectives == (Objective("loss", "loss", ("fc1.w", "fc1.b", "fc2.w", "fc2.b")),)
    x, z = reals(6, 4), np.array([0, 1, 2, 2, 1, 0])
    w1, b1, w2, b2 = reals(5, 4), reals(5), reals(3, 5), reals(3)
    given = {"x": x, "target": z, "fc1.w": w1, "fc1.b": b1, "fc2.w": w2, "fc2.b": b2}
    result = run(text, given)
    logits = relu(x @ w1.T + b1) @ w2.T + b2
    assert_allclose(result["logits"], logits)
    assert_allclose(result["loss"], -np.log(softmax(logits)[np.arange(6), z]).mean())


def test_instances_share_and_nest() -> None:
    text = f"""{LINEAR}
layer Block(x[D];; F = 2*|D|) -> y[D]:
    up = Linear(I=F)
    down = Linear(I=D)
    y[D] = x[D] + down(relu(up(x[D])))
model M(x[B,D]) -> loss:
    index D = 3
    blk = Block()
    h[b,D] = blk(blk(x[b,D]))
    loss = mean[b] h[b,d]*blk.up.w[0,d]
"""
    graph = graph_of(text)
    names = [tensor.id for tensor in graph.of_kind("parameter")]
    assert names == ["blk.up.w", "blk.up.b", "blk.down.w", "blk.down.b"]
    x, u, c, d, e = reals(4, 3), reals(6, 3), reals(6), reals(3, 6), reals(3)

    def block(v: np.ndarray) -> np.ndarray:
        return v + relu(v @ u.T + c) @ d.T + e

    result = run(text, {"x": x, "blk.up.w": u, "blk.up.b": c, "blk.down.w": d, "blk.down.b": e})
    assert_allclose(result["loss"], (block(block(x)) @ u[0]).mean())


def test_instance_array() -> None:
    text = f"""{LINEAR}
model M(x[B,D]) -> loss:
    index D = 3, L = 2
    heads[L] = Linear(I=4)
    h[b,l,K] = heads[l](x[b,D])
    g[b,K] = heads[1](x[b,D])
    loss = mean[b] sum[l] h[b,l,k]*g[b,k]
"""
    x, w, c = reals(5, 3), reals(2, 4, 3), reals(2, 4)
    h = np.einsum("lkd,bd->blk", w, x) + c
    result = run(text, {"x": x, "heads.w": w, "heads.b": c})
    assert_allclose(result["loss"], np.einsum("blk,bk->b", h, h[:, 1]).mean())


def test_explicit_parameters() -> None:
    text = f"""{LINEAR}
layer Two(x[B,J]; w[I,J], c[I]) -> y[B,I]:
    y[b,I] = Linear(x[b,J]; w, c)
"""
    x, w, c = reals(2, 4), reals(3, 4), reals(3)
    assert_allclose(run(text, {"x": x, "w": w, "c": c}, "Two", bound={"I": 3})["y"], x @ w.T + c)


def test_convolution_and_fans() -> None:
    text = """
layer Conv2d(x[C,H,W]; k[D,C,P,Q] ~ kaiming_uniform, b[D] = 0; P = 3, Q = |P|, stride = 1, padding = 0) -> y[D,U,V]:
    index U = (|H| + 2*padding - |P|) // stride + 1, V = (|W| + 2*padding - |Q|) // stride + 1
    y[d,u,v] = k[d,c,p,q]*x[c, pad(u*stride + p - padding), pad(v*stride + q - padding)] + b[d]
model M(x[B,C,H,W]) -> y[B,D,U,V]:
    index C = 3
    conv = Conv2d(D=4, stride=2, padding=1)
    y[b,D,U,V] = conv(x[b,C,H,W])
"""
    graph = graph_of(text)
    start = graph.tensors["conv.k"].initialiser
    assert start is not None and repr(start.fan_in) == "27" and repr(start.fan_out) == "36"
    k, c = reals(4, 3, 3, 3), reals(4)
    padded = np.pad(X4, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    expected = np.einsum("dcpq,bcuvpq->bduv", k, windows) + c[:, None, None]
    assert_allclose(run(text, {"x": X4, "conv.k": k, "conv.b": c})["y"], expected)


def test_fans_of_a_parameter_that_is_passed() -> None:
    """A layer that says what its derivative by a parameter is makes a variable of its own of what is passed."""
    text = """
layer Affine(x[J]; w[I,J] ~ zeros, b[I] = 0) -> y[I]:
    y[i] = w[i,j]*x[j] + b[i]
    check grad(y[i], w[i',j]) == [i == i']*x[j]
layer Net(x[B,J]; w[I,J] ~ xavier_uniform, v[J,I] ~ xavier_uniform, c[I] = 0) -> y[B,I], z[B,I]:
    y[b,I] = Affine(x[b,J]; w, c)
    u[i,j] = v[j,i]
    z[b,I] = Affine(x[b,J]; u, c)
"""
    graph = graph_of(text, "Net")
    for name in "wv":
        start = graph.tensors[name].initialiser
        assert start is not None and (repr(start.fan_in), repr(start.fan_out)) == ("|J|", "|I|")


def test_call_under_a_guard_reads_only_where_the_guard_holds() -> None:
    text = """
layer Sq(x[D]) -> y[D]:
    y[d] = x[d]^2
layer F(x[T,D]) -> y[T,D]:
    y[t,D] = Sq(x[t-1,D]) if t > 0 else x[t,D]
"""
    expected = np.concatenate([A[:1], A[:-1] ** 2])
    assert_allclose(run(text, {"x": A}, "F")["y"], expected)


@pytest.mark.parametrize(
    "factor",
    ["x[i]*(y[i] if y[i] > 0 else 0)", "x[i]*(0 if y[i] <= 0 else y[i])", "(-x[i]*(1 if y[i] > 0 else 0))*-y[i]"],
)
def test_a_factor_that_a_condition_makes_zero_guards_the_others(factor: str) -> None:
    """As `[y[i] > 0]` does, and as every pass takes it."""
    values = {"x": np.array([np.inf, np.nan, np.inf, 2]), "y": np.array([-1.0, 0, 1, 3])}
    found = run(f"layer F(x[I], y[I]) -> z[I]:\n    z[i] = {factor}", values)
    assert_allclose(found["z"], [0, 0, np.inf, 6])


def test_hyper_parameters_that_decide_structure_are_fixed() -> None:
    text = """
layer F(x[I];; k = 2, scale = 3, causal = true) -> y[I]:
    y[i] = scale*x[i*0 + pad(i - k)] if causal else x[i]
"""
    text = text.replace("i*0 + pad(i - k)", "pad(i - k)")
    graph = graph_of(text, "F")
    assert [tensor.id for tensor in graph.of_kind("hyper")] == ["scale"]
    assert_allclose(run(text, {"x": V4, "scale": 2.0}, "F")["y"], 2 * np.array([0, 0, *V4[:2]]))
    assert_allclose(run(text, {"x": V4}, "F", hypers={"k": 1})["y"], 3 * np.array([0, *V4[:3]]))
    assert_allclose(run(text, {"x": V4}, "F", hypers={"causal": False})["y"], V4)


def test_the_branch_not_taken_does_not_exist() -> None:
    text = f"""{LINEAR}
layer F(x[J];; deep = false) -> y[I]:
    index I = 2
    one = Linear(I=I)
    two = Linear(I=I)
    y[I] = two(one(x[J])) if deep else one(x[J])
"""
    names = [tensor.id for tensor in graph_of(text, "F").of_kind("parameter")]
    assert names == ["one.w", "one.b"]
    deep = [tensor.id for tensor in graph_of(text, "F", hypers={"deep": True}).of_kind("parameter")]
    assert deep == ["one.w", "one.b", "two.w", "two.b"]


def test_minimise_over() -> None:
    text = f"""{LINEAR}
model M(x[B,D]) -> loss:
    gen = Linear(I=3)
    disc = Linear(I=1)
    loss = mean[b] disc(gen(x[b,D]))[0]
    minimize loss over gen
"""
    assert graph_of(text, sizes={"D": 4}).objectives[0].over == ("gen.w", "gen.b")


def test_modules() -> None:
    from tests.semantics.spec_texts import library

    loader = library(nn__linear=LINEAR, act="fn twice(x) = 2*x\nindex K = 3\n")
    text = """
use nn.linear: Linear
use act: twice
model M(x[B,D]) -> loss:
    fc = Linear(I=2)
    loss = sum[b] twice(fc(x[b,D])[0])
"""
    graph = graph_of(text, loader=loader, sizes={"D": 3})
    assert "fc.w" in graph.tensors
