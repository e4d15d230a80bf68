"""Parts that are every second element of a row go over one range, and what some have besides is a part of its own."""

from __future__ import annotations

import numpy as np
import pytest
from building import add, at, given, graph, index, mul
from passes.corpus import Model, through

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir.affine import integer
from dlc.compiler.ir.expr import Const, Expr, Index, Reduce
from dlc.compiler.ir.graph import Equation, Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.passes import abreast
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse

POOLED = """use nn.pooling: MaxPool2d

layer Pooled(x[N,C,H,W]) -> y[N,C,U,V]:
    y[n,C,U,V] = MaxPool2d(x[n,C,H,W];; P=3, stride=2)
"""


def every(step: int, first: int, over: Index, value: Expr) -> Equation:
    return Equation((over,), (integer(add(mul(Const(step), over), Const(first))),), value)


def lines_after(length: int, *parts: Equation) -> list[str]:
    x = given("x", length)
    y = Tensor("y", x.sizes, "real", "computed", parts)
    model = Model("y", graph(x, y, outputs=["y"], sizes=[]), {"x": np.arange(1.0, length + 1)})
    return tensor_lines(through(model, abreast).graph.tensors["y"])


def test_what_some_have_besides_is_a_part() -> None:
    x = given("x", 7)
    even, odd = index("i", 4), index("j", 3)
    first = every(2, 0, even, mul(at(x, even), Const(2.0)))
    assert lines_after(7, first, every(2, 1, odd, mul(at(x, odd), Const(3.0)))) == [
        "y[2*i] = 2*x[i]",
        "y[2*j+1] = x[j]*3",
        "y[2*i+6] = 2*x[i+3]",
    ]


def test_parts_of_one_range_stay() -> None:
    x = given("x", 8)
    i, j = index("i", 4), index("j", 4)
    alike = [every(2, 0, i, mul(at(x, i), Const(2.0))), every(2, 1, j, mul(at(x, j), Const(3.0)))]
    assert lines_after(8, *alike) == ["y[2*i] = x[i]*2", "y[2*j+1] = x[j]*3"]


def test_copies_count_but_those_of_matrix_products_stay() -> None:
    i, j = index("i", 4), index("j", 3)
    copies = every(2, 0, i, at(given("x", 7), i)), every(2, 1, j, at(given("x", 7), j))
    assert lines_after(7, *copies) == ["y[2*i] = x[i]", "y[2*j+1] = x[j]", "y[2*i+6] = x[i+3]"]
    n, r, k = index("n", 5), index("r", 4), index("k", 6)
    a, b = given("a", 5, 6), given("b", 6, 4)
    product = whole("p", (n, r), Reduce("sum", (k,), mul(at(a, n, k), at(b, k, r))))
    parts = tuple(
        Equation((n, part.indices[0]), (n, *part.subscripts), at(product, n, part.indices[0])) for part in copies
    )
    y = Tensor("y", (Const(5), Const(7)), "real", "computed", parts)
    values = {"a": np.arange(30.0).reshape(5, 6), "b": np.arange(24.0).reshape(6, 4)}
    model = Model("y", graph(a, b, product, y, outputs=["y"], sizes=[]), values)
    assert len(through(model, abreast).graph.tensors["y"].equations) == 2


@pytest.mark.parametrize("size", [None, 13])
def test_no_part_of_a_gradient_asks_where_it_stands(size: int | None) -> None:
    """Of overlapping windows inside an image; neither where its length is open nor where it is an odd number."""
    sizes = {"H": size, "W": size} if size else {}
    plain = semantics.elaborate(parse(Source("pooled.dl", POOLED)), "Pooled", semantics.Loader(), sizes)
    found = pipeline.entries(plain, wrt="*")["vjp"].tensors["d_x"]
    inside, ends = found.equations[:4], found.equations[4:]
    assert len({part.indices[-1].size for part in inside}) == 1 and len(ends) == 2
    assert not any("<" in line for line in tensor_lines(found))
