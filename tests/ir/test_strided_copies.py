"""Which loops copy every second element of a row, or the like, and where it begins."""

from __future__ import annotations

import pytest
from building import add, index, mul

from dlc.compiler.ir.expr import ZERO, Const, Expr, Index, Read
from dlc.compiler.ir.loops import For, Store
from dlc.compiler.ir.strided_copies import strided_copy

N, I = index("n", "N"), index("i", "I")


def row(target: tuple[Expr, ...], value: Expr, over: Index = I, start: Expr = ZERO) -> For:
    return For(over, start, over.size, (Store("y", target, value),))


def every(step: int, over: Index = I, first: int = 1) -> Expr:
    return add(mul(Const(step), over), Const(first))


@pytest.mark.parametrize("step", [2, 3, 4])
def test_it_begins_where_its_loop_does(step: int) -> None:
    copy = strided_copy(row((N, add(I, Const(2))), Read("x", (N, every(step)), "real"), start=Const(3)))
    assert copy is not None and copy.step == step
    assert copy.start(copy.store.subscripts) == [N, Const(5)]
    assert copy.start(copy.source.subscripts) == [N, Const(3 * step + 1)]


def test_what_is_none() -> None:
    few = index("i", 3)
    for target, value, over in (
        ((I,), Read("x", (I,), "real"), I),  # side by side
        ((I,), Read("x", (every(5),), "real"), I),  # far apart
        ((I,), Read("x", (every(-2),), "real"), I),
        ((I,), Read("x", (every(2),), "int"), I),
        ((I,), Read("y", (every(2),), "real"), I),  # of itself
        ((I,), Read("x", (I, every(2)), "real"), I),
        ((I, I), Read("x", (every(2),), "real"), I),
        ((every(2),), Read("x", (every(2),), "real"), I),
        ((I,), mul(Read("x", (every(2),), "real"), Const(2.0)), I),
        ((few,), Read("x", (every(2, few),), "real"), few),
    ):
        assert strided_copy(row(target, value, over)) is None
