"""What takes long is computed once where loops follow each other, and the values are the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, sub, total, when
from lower.agreement import agree

from dlc.compiler.ir.expr import Const, Expr, Reduce, Select, op
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.loops import For, Let, Program, Store, Update, Var, expressions, statements
from dlc.compiler.lower import lower
from dlc.compiler.lower.rows import kept

X = given("x", "B", "I")
MASK = given("m", "B", "I", type="bool")
ARRAYS: Mapping[str, np.ndarray] = {
    "x": np.random.default_rng(0).normal(size=(5, 7)),
    "m": np.random.default_rng(1).normal(size=(5, 7)) > 0,
}


def row(id: str, value: Expr, *indices: object) -> Tensor:
    return whole(id, indices, value)  # type: ignore[arg-type]


def softmax() -> Graph:
    b, i, c, j, d, k = (index(hint, size) for hint, size in zip("bicjdk", "BIBIBI", strict=True))
    most = row("most", Reduce("max", (i,), at(X, b, i)), b)
    all_ = row("all", total(j, of=op("exp", sub(at(X, c, j), at(most, c)))), c)
    share = row("y", op("div", op("exp", sub(at(X, d, k), at(most, d))), at(all_, d)), d, k)
    return graph(X, most, all_, share, outputs=["y"], sizes=["B", "I"])


def masked() -> Graph:
    """The sum is taken under a condition, and the quotient stands under it."""
    c, j, d, k = (index(hint, size) for hint, size in zip("cjdk", "BIBI", strict=True))
    all_ = row("all", total(j, of=when(at(MASK, c, j), op("exp", at(X, c, j)))), c)
    share = row("y", when(at(MASK, d, k), op("div", op("exp", at(X, d, k)), at(all_, d))), d, k)
    return graph(X, MASK, all_, share, outputs=["y"], sizes=["B", "I"])


def turned() -> Graph:
    """The result lies in another order than the loops run: there is no row in its place."""
    c, j, d, k = (index(hint, size) for hint, size in zip("cjdk", "BIBI", strict=True))
    all_ = row("all", total(j, of=op("exp", at(X, c, j))), c)
    share = row("y", mul(at(all_, d), op("sin", op("exp", at(X, d, k)))), d, k)
    e, n = index("e", "B"), index("n", "I")
    weighed = row("z", total(n, of=mul(at(share, e, n), op("exp", at(X, e, n)))), e)
    return graph(X, all_, share, weighed, outputs=["z"], sizes=["B", "I"])


def planes() -> Graph:
    """Two loops each, inside of one."""
    image = given("x", "B", "I", 3)
    c, j, p, d, k, q = (index(h, s) for h, s in zip("cjpdkq", ("B", "I", 3, "B", "I", 3), strict=True))
    all_ = row("all", total(j, p, of=op("exp", at(image, c, j, p))), c)
    share = row("y", op("div", op("exp", at(image, d, k, q)), at(all_, d)), d, k, q)
    return graph(image, all_, share, outputs=["y"], sizes=["B", "I"])


def exponentials(program: Program) -> int:
    """How often one stands in the text."""

    def count(node: Expr) -> int:
        return (getattr(node, "name", "") == "exp") + sum(map(count, node.children))

    kernels = program.kernels.values()
    return sum(count(e) for kernel in kernels for s in statements(kernel.body) for e in expressions(s))


@pytest.mark.parametrize("make", [softmax, masked, turned, planes])
@pytest.mark.parametrize("shards", [1, 3])
def test_exponentials_are_computed_once(make: object, shards: int) -> None:
    made = make()  # type: ignore[operator]
    program = lower({"forward": made})
    assert exponentials(program) == 1
    arrays = {name: ARRAYS[name] for name in made.tensors if name in ARRAYS}
    if make is planes:
        arrays = {"x": np.random.default_rng(2).normal(size=(5, 7, 3))}
    agree(made, program, arrays, {"B": 5, "I": 7}, shards)


def test_what_is_kept_under_a_condition_is_not_read_without_it() -> None:
    c, j, d, k = (index(hint, size) for hint, size in zip("cjdk", "BIBI", strict=True))
    all_ = row("all", total(j, of=when(at(MASK, c, j), op("exp", at(X, c, j)))), c)
    one = op("exp", at(X, d, k))
    share = row("y", add(when(at(MASK, d, k), op("div", one, at(all_, d))), op("cos", one)), d, k)
    made = graph(X, MASK, all_, share, outputs=["y"], sizes=["B", "I"])
    choice = Select(op("lt", Const(0.0), at(X, d, k)), share.equations[0].value, Const(3.0))
    chosen = graph(X, MASK, all_, row("y", choice, d, k), outputs=["y"], sizes=["B", "I"])
    for each in (made, chosen):
        agree(each, lower({"forward": each}), ARRAYS, {"B": 5, "I": 7})


def test_a_result_is_the_place_for_its_row() -> None:
    program = lower({"forward": softmax()})
    assert set(program.buffers) == {"x", "y"}


def test_there_is_no_place_for_a_row_where_nothing_of_that_shape_is_stored() -> None:
    program = lower({"forward": turned()})
    assert len([buffer for buffer in program.buffers.values() if buffer.role == "workspace"]) == 1


I, J = index("i", "I"), index("j", "I")
B = index("b", "B")


def between(*middle: object, value: Expr | None = None) -> tuple[object, ...]:
    """A loop over two, with statements between them."""
    e = op("exp", at(X, B, I)) if value is None else value
    again = op("exp", at(X, B, J))
    body = (
        Var("s", Const(0.0)),
        For(I, Const(0), I.size, (Update("s", add(at(Tensor("s", (), "real", "computed")), e)),)),
        *middle,
        For(J, Const(0), J.size, (Store("y", (B, J), mul(again, again)),)),
    )
    (loop,) = kept((For(B, Const(0), B.size, body),), lambda label, _: (label, ()), lambda label: f"{label}.v")  # type: ignore[arg-type]
    assert isinstance(loop, For)
    return loop.body


def slow(body: tuple[object, ...]) -> int:
    return sum(
        isinstance(s, Let) or "exp" in repr(s)
        for s in statements(body)  # type: ignore[arg-type]
        if not isinstance(s, For)  # type: ignore[arg-type]
    )


def test_nothing_is_kept_that_changes_in_between() -> None:
    changed = Store("x", (B, Const(0)), Const(1.0))
    assert slow(between()) == 1
    assert slow(between(changed)) == 2
    assert slow(between(Store("z", (B,), Const(1.0)))) == 1


def test_a_row_has_a_buffer_of_its_own_where_its_place_is_read_in_between() -> None:
    early = Let("e", at(Tensor("y", (B.size, I.size), "real", "computed"), B, Const(0)))
    names = {s.buffer for s in statements(between(early)) if isinstance(s, Store)}  # type: ignore[arg-type]
    assert names == {"y", "s.exp"}
    assert {s.buffer for s in statements(between()) if isinstance(s, Store)} == {"y"}  # type: ignore[arg-type]
