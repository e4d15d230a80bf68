"""Which loops copy a matrix with rows and columns exchanged, and where its rows lie."""

from __future__ import annotations

from building import add, index, mul

from dlc.compiler.ir.affine import equal
from dlc.compiler.ir.expr import ZERO, Const, Expr, Index, Read, Size
from dlc.compiler.ir.loops import For, Store
from dlc.compiler.ir.transpositions import transposition

N, ROW, J = index("n", "N"), index("i", "I"), index("j", "J")


def loops(target: tuple[Expr, ...], value: Expr, *indices: Index) -> For:
    body: For | Store = Store("y", target, value)
    for one in reversed(indices or (J, ROW)):
        body = For(one, ZERO, one.size, (body,))
    assert isinstance(body, For)
    return body


def test_a_copy_is_found_whichever_loop_is_the_inner_one() -> None:
    for indices in ((J, ROW), (ROW, J)):
        copy = transposition(loops((N, J, ROW), Read("x", (ROW, N, J), "real"), *indices))
        assert copy is not None and copy.rows.index is J
        target, source = copy.steps((Size("N"), Size("J"), Size("I")), (Size("I"), Size("N"), Size("J")))
        assert equal(target, Size("I")) and equal(source, mul(Size("N"), Size("J")))


def test_it_begins_where_its_loops_do() -> None:
    inner = For(ROW, Const(3), Size("I"), (Store("y", (J, add(ROW, Const(2))), Read("x", (ROW, J), "real")),))
    copy = transposition(For(J, Size("N"), Size("J"), (inner,)))
    assert copy is not None and copy.start(copy.store.subscripts) == [Size("N"), Const(5)]
    assert equal(copy.extents[1], add(Size("I"), Const(-3)))


def test_what_is_none() -> None:
    x = Read("x", (ROW, J), "real")
    for target, value in (
        ((ROW, J), x),  # as it stands
        ((J, ROW), Read("x", (ROW, J), "int")),
        ((J, ROW), Read("y", (ROW, J), "real")),  # of itself
        ((J, ROW), mul(x, Const(2.0))),
        ((J, mul(Const(2), ROW)), x),  # not side by side
        ((mul(Const(2), J), ROW), x),
        ((J, J, ROW), x),  # a diagonal
        ((J, ROW), Read("x", (ROW, add(ROW, J)), "real")),
        ((J, ROW), Read("x", (J,), "real")),
    ):
        assert transposition(loops(target, value)) is None
    few = index("few", 4)
    assert transposition(loops((J, few), Read("x", (few, J), "real"), J, few)) is None


def test_rows_that_end_where_the_loop_around_says_are_no_matrix() -> None:
    inner = For(ROW, ZERO, J, (Store("y", (J, ROW), Read("x", (ROW, J), "real")),))
    assert transposition(For(J, ZERO, Size("J"), (inner,))) is None
