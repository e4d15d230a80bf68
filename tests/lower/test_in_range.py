"""What is read only where a condition holds is read only there, however the conditions become loops and bounds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numeric.harness import entries_of, graph_of

from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.graph import Tensor
from dlc.compiler.ir.reference import evaluate, size_value
from dlc.compiler.lower import lower

SPECS = {
    "beginnings without their ends": "(x[S]) -> y[T]:\n    index T = |S| + 1\n    y[t] = sum[t' : t' < t] x[t']",
    "ends without their beginnings": "(x[T]) -> y[T]:\n    y[t] = sum[t' : t' > t] x[t'-1]",
    "products of neighbours": "(x[S]) -> y[T]:\n    index T = |S| + 1\n    y[t] = sum[t' : t' + 1 < t] x[t']*x[t'+1]",
    "a row between bounds": "(x[I,J], u[I]) -> y[I,J]:\n    y[i,j] = (x[i,j] if j < i and u[i-1] > 0 else 3)",
    "a number": "(w[D], v[D]) -> a[D]:\n    a[d] = max[d' : d' + 2 <= d and w[d-2] > 0] v[d']",
    "a row, before": "(x[T,D], on[T] : bool) -> y[T,D]:\n    y[t,d] = prod[t' : t' < t and on[t-1]] x[t',d]",
    "a row, inside": "(x[I,J], u[I]) -> s[J]:\n    s[j] = prod[i : j + 2 <= i and u[i-2] > 0] x[i,j]",
    "a place that is data": "(z[I] : int, u[T], e[I]) -> p[T]:\n    p[t] = max[i : z[i] == t and u[t] > 0] e[i]",
    "the greatest of what lies before": "(x[S,D], w[D,D], on[D,D] : bool) -> h[T,D]:\n    index T = |S| + 1\n"
    "    h[0,d] = 0.3\n"
    "    h[s+1,d] = x[s,d] + (max[d' : d' < d and on[d,d']] h[s,d']*w[d,d']) if d > 0 else x[s,d]",
    "places from the row before": "(z[I,J] : int, e[J], x[T]) -> y[I,T]:\n"
    "    y[i,t] = sum[j : t < i and t == z[i-1,j]] e[j]*x[t]",
    "the choice of a minimum": "(w[D,D']) -> y[D]:\n    y[d] = min(w[d,pad(d-1)], -1.5)",
    "rows from a place that is data": "(a[H,I,J], b[D,T], n[I] in T) -> y[H,I,D]:\n"
    "    y[h,i,d] = [j + n[i] < |T|]*a[h,i,j]*b[d,j+n[i]]",
    "columns from a greatest element": "(a[I,J], b[D,T], s[T]) -> y[I,D]:\n"
    "    n = argmax[t] s[t]\n    y[i,d] = [j + n < |T|]*a[i,j]*b[d,j+n]",
    "a place that is data, in a row": "(h[T,T'], z[I] in T) -> y[I,T]:\n"
    "    index T = 7\n    y[i,t] = (h[t,pad(t-1)] if t == z[i] else 1)",
    "data behind an odd length": "(x[I,T,D], u[T] in D, g[I,T]) -> y[I,T]:\n"
    "    index T = 5\n    y[i,t] = g[i,t]*sigmoid(x[i,t//2,u[t]])",
    "a sum of sums, of which some begin": "(x[I,T], w[T,T'], u[T]) -> y[I]:\n"
    "    y[i] = sum[t,t' : 2*t <= t' and u[2*t] > 0] w[t,t']*x[i,t']*u[t]",
    "a condition of rows behind one of rows and columns": "(x[I,D], w[J,D], v[J]) -> y[I,J]:\n"
    "    y[i,j] = sum[d : 4*i <= j and v[3*i] > 0] x[i,d]*w[j,d]",
    "a condition of rows and columns behind one of rows": "(x[I,D], w[J,D], v[J,J']) -> y[I,J]:\n"
    "    y[i,j] = sum[d : 3*i < |J| and v[3*i,j] > 0] x[i,d]*w[j,d]",
    "a condition of one factor behind one of two": "(x[I,D], w[J,D], a[J,I], v[J]) -> y[I]:\n"
    "    y[i] = sum[j,d : 3*i <= j and v[3*i] > 0] x[i,d]*w[j,d]*a[j,i]",
    "a condition of the first factor behind one of the second": "(g[D,I], x[I,J], v[J]) -> y[D,J]:\n"
    "    y[d,j] = sum[i : 3*i <= j and v[3*i] > 0] g[d,i]*x[i,j]",
    "attention": "(q[T,D], x[T,D], on[T] : bool) -> s[T,D]:\n"
    "    a[t,t'] = (exp(q[t,d]*x[t',d]) if t' < t and on[t-1] else 0)\n    s[t,d] = a[t,t']*x[t',d]",
}
SIZES = {"S": 4, "T": 5, "H": 8, "I": 5, "J": 9, "D": 4}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_nothing_is_read_out_of_range(spec: str, shards: int) -> None:
    stays_in_range(spec, SIZES, shards)


@pytest.mark.parametrize("sizes", [(7, 1), (2, 9), (9, 4), (3, 0), (0, 2), (0, 0)])
@pytest.mark.parametrize("subscript", ["pad(h-2*p)", "pad(h+3*p)"])
def test_borders_end_where_the_last_window_does(subscript: str, sizes: tuple[int, int]) -> None:
    """Of a kernel of any size, or of none."""
    spec = f"(x[N,C,H], k[O,C,P]) -> y[N,O,H]:\n    y[n,o,h] = k[o,c,p]*x[n,c,{subscript}]"
    stays_in_range(spec, {"N": 2, "C": 3, "O": 2, "H": sizes[0], "P": sizes[1]}, 2)


@pytest.mark.parametrize("length", [0, 1, 3])
@pytest.mark.parametrize("over", ["t", "t : t > 0", "t : m[t]", "t,t' : t' < t"])
def test_of_no_elements_none_is_the_greatest(over: str, length: int) -> None:
    """The adjoint of a factor reads what it was multiplied with at the greatest element, if there is one."""
    spec = f"(s[B], x[B,T], m[T] : bool) -> y[B]:\n    y[b] = max[{over}] s[b]*x[b,t]"
    stays_in_range(spec, {"B": 2, "T": length}, 2)


def test_a_copy_with_a_border_is_as_long_as_sizes_say() -> None:
    """Not as indices do that stand in a remainder."""
    stays_in_range("(x[T,D]) -> y[T,D]:\n    y[t,d] = x[wrap(t+2),d//2]", {"T": 5, "D": 3}, 2)


def drawn(tensor: Tensor, random: np.random.Generator, sizes: Mapping[str, int]) -> np.ndarray:
    shape = [size_value(size, sizes) for size in tensor.sizes]
    if tensor.bound is not None:
        return random.integers(0, size_value(tensor.bound, sizes), shape)
    if tensor.type == "int":
        return random.integers(-2, 8, shape)  # beyond the places that there are
    return random.random(shape) < 0.5 if tensor.type == "bool" else random.normal(size=shape)


def stays_in_range(spec: str, sizes: Mapping[str, int], shards: int) -> None:
    entries = entries_of(graph_of(f"layer Layer{spec}\n"))
    program = lower(entries)
    for name, graph in entries.items():
        random = np.random.default_rng(3)
        given = {t.id: drawn(t, random, sizes) for t in graph.of_kind("input", "cotangent")}
        values = evaluate(graph, given, sizes)
        run = loops_reference.run(program, name, given, sizes, shards)
        entry = next(one for one in program.entries if one.name == name)
        pairs = [(result.buffer, output.tensor) for result, output in zip(entry.results, graph.outputs, strict=True)]
        pairs += [(result.buffer, one.adjoint) for result, one in zip(entry.gradients, graph.gradients, strict=True)]
        for found, wanted in pairs:
            np.testing.assert_allclose(run[found], values[wanted], rtol=1e-12, atol=1e-12)
