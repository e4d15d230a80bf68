"""Sums that visit each element once and add it to the place that a condition names."""

from __future__ import annotations

import pytest
from lower.agreement import agree, drawn
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.ir.expr import Op, walk
from dlc.compiler.ir.loops import Store, statements
from dlc.compiler.lower import lower

SIZES = {"B": 3, "D": 2}
#: Each with the tensor that is added to, at places made of quotients and remainders.
TEXTS = {
    "differences of rows and columns": (
        "layer F(w[R,D], x[B,T,T',D]) -> y[B,T,T',D]:\n    index T = 12, R = 35\n"
        "    y[b,t,t',d] = x[b,t,t',d]*w[(t//4 - t'//4 + 2)*7 + t mod 4 - t' mod 4 + 3, d]\n",
        "d_w",
    ),
    "backwards": (
        "layer F(w[R,D], x[B,T,T',D]) -> y[B,D]:\n    index T = 12, R = 30\n"
        "    y[b,d] = sum[t,t'] tanh(x[b,t,t',d]*w[29 - 5*(t//4) - 5*(t'//4) - t mod 4 - t' mod 4, d])\n",
        "d_w",
    ),
    "beside another index": (
        "layer F(x[B,T,T']) -> y[B,R,S]:\n    index T = 12, R = 6, S = 4\n"
        "    y[b,r,s] = sum[t,t' : r + 2*s == 2*(t//4) + t mod 4 + 2*(t'//3) - t' mod 3] x[b,t,t']\n",
        "y",
    ),
    "out of range": (
        "layer F(x[B,T,T']) -> y[B,R]:\n    index T = 12, R = 3\n"
        "    y[b,r] = sum[t,t' : r + 2*(t//5) + t mod 5 == 3*(t'//2) + t' mod 2 + 1] x[b,t,t']\n",
        "y",
    ),
}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", TEXTS)
def test_a_place_is_solved_for_where_that_takes_no_division(name: str, shards: int) -> None:
    """Otherwise each place would look at every element."""
    text, target = TEXTS[name]
    made = pipeline.entries(graph_of(text), wrt="*")["vjp"]
    program = lower({"vjp": made})
    stores = [one for kernel in program.kernels.values() for one in statements(kernel.body) if isinstance(one, Store)]
    places = [node for one in stores if one.buffer == target for node in walk(*one.subscripts)]
    assert any(isinstance(node, Op) and node.name == "floordiv" for node in places)
    agree(made, program, drawn(made, SIZES), SIZES, shards)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_remainder_by_a_size_names_no_place_where_there_is_none(size: int) -> None:
    made = pipeline.entries(
        graph_of("layer F(x[B,W], v[T]) -> y[B,T]:\n    y[b,t] = [|W| > 0]*v[t]*x[b,(t + 3) mod |W|]\n"), wrt="x"
    )["vjp"]
    sizes = {"B": 2, "W": size, "T": 4}
    agree(made, lower({"vjp": made}), drawn(made, sizes), sizes)
