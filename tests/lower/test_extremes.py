"""Places of extremes of computed elements: a row of them is sought at once where that goes through memory."""

from __future__ import annotations

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, when
from lower.agreement import agree, drawn, loops_in

from dlc.compiler.ir.expr import Expr, Index, Reduce, Size, op, walk
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.lower import lower

SIZES = {"A": 3, "B": 17, "C": 5, "D": 4}
A, B, C, D = (index(name.lower(), name) for name in SIZES)
V, W, X = given("v", "A", "C"), given("w", "C", "B"), given("x", "B", "C")
ALONG = add(at(V, A, C), at(W, C, B))  # its columns lie side by side
ACROSS = mul(at(V, A, C), at(X, B, C))


def places(reduction: str, body: Expr, reduced: tuple[Index, ...] = (C,), axes: tuple[Index, ...] = (A, B)) -> Graph:
    z = whole("z", axes, Reduce(reduction, reduced, body))
    return graph(V, W, X, z, outputs=["z"], sizes=list(SIZES))


def checked(made: Graph, shards: int = 2, odd: float = 0.0, **changed: int) -> list[str]:
    """The loops of what has been found to be right, with ties, and with an odd number here and there."""
    sizes = {**SIZES, **changed}
    program = lower({"forward": made})
    inputs = {name: np.round(values) for name, values in drawn(made, sizes).items()}
    inputs["v"].flat[1::4] = odd
    agree(made, program, inputs, sizes, shards)
    return loops_in(program)


@pytest.mark.parametrize("odd", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("reduction", ["argmax", "argmin"])
def test_a_row_at_once(reduction: str, odd: float) -> None:
    assert checked(places(reduction, ALONG), odd=odd)[-2:] == ["c", "b"]


@pytest.mark.parametrize("reduction", ["argmax", "argmin"])
def test_what_lies_crosswise_is_copied(reduction: str) -> None:
    made = places(reduction, ACROSS)
    assert checked(made, A=19)[-2:] == ["c", "b"]
    assert "x.packed" in lower({"forward": made}).buffers


@pytest.mark.parametrize("changed", [{"C": 0}, {"B": 0}, {"A": 0}, {"B": 1, "C": 1}], ids=str)
def test_nothing_has_the_place_0(changed: dict[str, int]) -> None:
    checked(places("argmax", ALONG), **changed)


@pytest.mark.parametrize("cond", [op("le", C, A), op("le", C, B), op("lt", B, A), op("eq", C, D)], ids=str)
def test_under_a_condition(cond: Expr) -> None:
    checked(places("argmax", when(cond, ALONG), axes=(D, A, B)))


def test_several_indices_count_on() -> None:
    assert checked(places("argmin", ALONG, (A, C), (D, B)))[-1] == "b"


def test_the_row_of_what_is_best_is_small() -> None:
    buffers = lower({"forward": places("argmax", ALONG)}).buffers
    assert not {Size("A"), Size("C")} & set(walk(*buffers["z.best"].sizes))
