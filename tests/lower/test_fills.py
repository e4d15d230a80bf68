"""A room is filled with a number once, before the rounds that write to it at the same places, and results stay."""

from __future__ import annotations

import pytest
from building import add, at, given, graph, index, total
from lower.agreement import agree, drawn

from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Index, Read, Select, op
from dlc.compiler.ir.graph import whole
from dlc.compiler.ir.loops import Buffer, For, If, Statement, Store, statements
from dlc.compiler.lower import lower
from dlc.compiler.lower.fills import filled_once

C, H, W = index("c", "C"), index("h", 6), index("w", 5)
X = Buffer("x", (Const(9), Const(6), Const(5)), "real", "input")
Z = Buffer("z", (Const(6), Const(5)), "real", "workspace")
Y = Buffer("y", (Const(9), Const(6), Const(5)), "real", "result")


def loop(over: Index, *body: Statement) -> For:
    return For(over, ZERO, over.size, body)


def element(*subscripts: Expr) -> Read:
    return Read("x" if len(subscripts) == 3 else "z", subscripts, "real")


FILL = loop(W, Store("z", (H, W), Const(0.0)))
COPY = If(op("lt", ZERO, H), (loop(W, Store("z", (H, W), element(C, H, W))),))
USE = loop(H, loop(W, Store("y", (C, H, W), element(H, W))))


def kinds(body: tuple[Statement, ...]) -> list[str]:
    """Of what is in front of the last loop, the loops; then the numbers that are still stored in it."""
    *front, last = body
    return [one.index.hint for one in statements(tuple(front)) if isinstance(one, For)] + [
        "fills" for one in statements((last,)) if isinstance(one, Store) and isinstance(one.value, Const)
    ]


def made(*body: Statement) -> list[str]:
    return kinds(filled_once((loop(C, *body),), {one.id: one for one in (X, Z, Y)}))


def test_a_border_is_put_around_a_plane_once() -> None:
    assert made(loop(H, FILL, COPY), USE) == ["h", "w"]
    assert made(loop(H, FILL), loop(H, COPY), USE) == ["h", "w"]


def test_places_that_depend_on_the_round_are_filled_in_each() -> None:
    some = If(op("lt", C, H), COPY.body)
    assert made(loop(H, FILL, some), USE) == ["fills"]


def test_places_that_depend_on_data_are_filled_in_each() -> None:
    some = If(op("lt", Const(0.0), element(C, H, ZERO)), COPY.body)
    assert made(loop(H, FILL, some), USE) == ["fills"]


def test_what_is_added_to_is_filled_in_each_round() -> None:
    added = loop(W, Store("z", (H, W), op("add", element(H, W), element(C, H, W))))
    assert made(loop(H, FILL, added), USE) == ["fills"]


def test_what_is_read_before_it_is_written_is_filled_in_each_round() -> None:
    assert made(loop(H, FILL), USE, loop(H, COPY), USE) == ["fills"]


def test_rounds_that_write_to_rows_of_others_stay_together() -> None:
    turned = loop(W, Store("z", (add(W, ONE), H), element(C, H, W)))
    assert made(loop(H, FILL, turned), USE) == ["fills"]


def test_results_are_filled_where_they_are() -> None:
    whole_row = loop(H, loop(W, Store("y", (C, H, W), Const(0.0))))
    assert made(whole_row, USE) == ["fills"]


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_windows_of_an_image_with_a_border(channels: int) -> None:
    b, c, u, v, p, q = (index(*pair) for pair in zip("bcuvpq", ("B", "C", 8, 9, 3, 3), strict=True))
    x = given("x", "B", "C", 6, 7)
    inside = op("and", *(op("le", ONE, i) for i in (u, v)), op("le", u, Const(6)), op("le", v, Const(7)))
    bordered = whole("z", (b, c, u, v), Select(inside, at(x, b, c, add(u, Const(-1)), add(v, Const(-1))), Const(0.0)))
    h, w = index("h", 6), index("w", 7)
    y = whole("y", (b, c, h, w), total(p, q, of=op("sin", at(bordered, b, c, add(h, p), add(w, q)))))
    made, sizes = graph(x, bordered, y, outputs=["y"], sizes=["B", "C"]), {"B": 2, "C": channels}
    program = lower({"forward": made})
    agree(made, program, drawn(made, sizes), sizes)
    (kernel,) = program.kernels.values()
    (batch,) = kernel.body
    assert isinstance(batch, For)
    assert isinstance(batch.body[0], For)
    assert [one.buffer for one in statements((batch.body[0],)) if isinstance(one, Store)] == ["z"]
