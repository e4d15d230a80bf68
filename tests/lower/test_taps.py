"""Sums of which a few results read the same elements: side by side in locals, with the results of a loop for each."""

from __future__ import annotations

import pytest
from building import add, at, given, graph, index, mul, total, when
from lower.agreement import agree, drawn

from dlc.compiler.ir.expr import Const, Expr, op
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.ir.loops import Program, Var, statements
from dlc.compiler.lower import lower

N, C, H, W = index("n", "N"), index("c", 3), index("h", "H"), index("w", "W")
D = given("d", "N", 3, "H", "W")


def kernels_gradient(height: int, width: int, step: int = 1, beside: bool = False, guard: bool = False) -> Graph:
    """The gradient by the kernels of a convolution of each channel; ``beside`` a map that shards divide by samples."""
    p, q = index("p", height), index("q", width)
    x = given("x", "N", 3, "X", "Y")
    rows, columns = add(mul(Const(step), H), p), add(mul(Const(step), W), q)
    body: Expr = mul(at(D, N, C, H, W), at(x, N, C, rows, columns))
    if guard:
        body = when(op("lt", columns, index("w", "Y").size), body)
    made = [x, D, whole("k", (C, p, q), total(N, H, W, of=body))]
    if beside:
        axes = index("n", "N"), index("c", 3), index("r", "X"), index("s", "Y")
        made.insert(2, whole("y", axes, op("sin", at(x, *axes))))
    return graph(*made, outputs=[t.id for t in made[2:]], sizes=["N", "H", "W", "X", "Y"])


def check(made: Graph, height: int, width: int, step: int, shards: int) -> Program:
    sizes = {"N": 4, "H": 4, "W": 5, "X": 3 * step + height, "Y": 4 * step + width}
    program = lower({"forward": made})
    agree(made, program, drawn(made, sizes), sizes, shards)
    return program


def locals_of(program: Program) -> int:
    return sum(isinstance(one, Var) for kernel in program.kernels.values() for one in statements(kernel.body))


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize(("height", "width", "expected"), [(3, 3, 9), (2, 5, 10), (5, 5, 5), (1, 4, 4), (13, 1, 1)])
def test_every_tap_has_a_local(height: int, width: int, expected: int, step: int, beside: bool) -> None:
    made = kernels_gradient(height, width, step, beside)
    program = check(made, height, width, step, shards=3)
    combining = int(beside and height < 13 and width < 4)  # the sum of the pieces; of longer rows one after the other
    assert locals_of(program) == expected + combining


def test_bounds_that_differ_for_each_tap_stay_bounds() -> None:
    assert locals_of(check(kernels_gradient(3, 3, guard=True), 3, 3, 1, shards=2)) == 3


def test_taps_of_steps_that_lie_apart_have_locals() -> None:
    p, q = index("p", 3), index("q", 3)
    x = given("x", "N", 3, "X", 2, "Y")
    place = add(mul(Const(2), H), p), op("mod", q, Const(2)), add(W, op("floordiv", q, Const(2)))
    body = mul(at(D, N, C, H, W), at(x, N, C, *place))
    made = graph(x, D, whole("k", (C, p, q), total(N, H, W, of=body)), outputs=["k"], sizes=["N", "H", "W", "X", "Y"])
    sizes = {"N": 4, "H": 4, "W": 5, "X": 9, "Y": 6}
    program = lower({"forward": made})
    agree(made, program, drawn(made, sizes), sizes, 3)
    assert locals_of(program) == 9


def test_what_moves_no_window_stays_a_loop() -> None:
    x, i = given("x", 4, "N"), index("i", 4)
    made = graph(x, whole("y", (i,), total(N, of=at(x, i, N))), outputs=["y"], sizes=["N"])
    assert locals_of(lower({"forward": made})) == 1


def test_a_border_that_is_there_is_read_again() -> None:
    """A sum under a guard beside windows of the copy with a border that it would make for itself."""
    n, c, h, w, p, q = index("n", "N"), index("c", 3), index("h", 6), index("w", 7), index("p", 3), index("q", 3)
    x, d = given("x", "N", 3, 6, 7), given("d", "N", 3, 6, 7)
    a, b = index("a", 8), index("b", 9)
    bordered = whole("z", (n, c, a, b), guarded_image(at(x, n, c, add(a, Const(-1)), add(b, Const(-1))), a, b))
    y = whole("y", (n, c, h, w), total(p, q, of=at(bordered, n, c, add(h, p), add(w, q))))
    rows, columns = add(h, p), add(w, q)
    pixel = at(x, n, c, add(rows, Const(-1)), add(columns, Const(-1)))
    k = whole("k", (c, p, q), total(n, h, w, of=guarded_image(mul(at(d, n, c, h, w), pixel), rows, columns)))
    made = graph(x, d, bordered, y, k, outputs=["y", "k"], sizes=["N"])
    program = lower({"forward": made})
    assert [name for name, one in program.buffers.items() if one.role == "workspace"] == ["z", "k.piece"]
    agree(made, program, drawn(made, {"N": 2}), {"N": 2})


def guarded_image(value: Expr, row: Expr, column: Expr) -> Expr:
    inside = [op("lt", Const(0), row), op("le", row, Const(6)), op("lt", Const(0), column), op("le", column, Const(7))]
    return when(op("and", *inside), value)
