"""Reductions across shards: where one kernel has the rows at hand, and whatever the number of shards."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, total
from numeric.harness import graph_of

from dlc.compiler import pipeline
from dlc.compiler.analysis.values import value
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.affine import equal
from dlc.compiler.ir.expr import Const, Expr, Index, Reduce, op, walk
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.loops import SHARDS, Kernel, Matmul, Program, statements
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.lower import lower

OPERATIONS = ("sum", "prod", "max", "min")


def reduced(operation: str, *indices: Index, of: Expr) -> Expr:
    return Reduce(operation, indices, of)


def columns(operation: str) -> Graph:
    """A map over rows, beside reductions of its columns, of blocks of them, and of all of it."""
    x = given("x", "B", "T", 6)
    axes = index("b", "B"), index("t", "T"), index("d", 6)
    y = whole("y", axes, op("sin", at(x, *axes)))
    made: list[Tensor] = [x, y]
    for name, free in (("over_rows", 2), ("over_blocks", 1), ("over_all", 0)):
        b, t, d = index("b", "B"), index("t", "T"), index("d", 6)
        left = {2: (t, d), 1: (d,), 0: ()}[free]
        over = tuple(i for i in (b, t, d) if i not in left)
        made.append(whole(name, left, reduced(operation, *over, of=add(mul(at(y, b, t, d), Const(2.0)), Const(1.0)))))
    return graph(*made, outputs=[t.id for t in made[1:]], sizes=["B", "T"])


def kernel_names(program: Program) -> list[str]:
    return [name for region in program.entries[0].regions for name in region.kernels]


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
@pytest.mark.parametrize("batch", [0, 1, 2, 9])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_pieces_make_up_the_reduction(operation: str, batch: int, shards: int) -> None:
    made = columns(operation)
    sizes = {"B": batch, "T": 3}
    x = {"x": np.random.default_rng(0).normal(size=(batch, 3, 6))}
    expected = evaluate(made, x, sizes)
    found = loops_reference.run(lower({"forward": made}), "forward", x, sizes, shards)
    for output in made.outputs:
        np.testing.assert_allclose(found[output.tensor], expected[output.tensor], rtol=1e-12, atol=1e-300)


def test_the_rows_are_read_once() -> None:
    program = lower({"forward": columns("sum")})
    reading = [k for k in program.kernels.values() if any("x[" in f or "y[" in f.split("=", 1)[1] for f in k.formulas)]
    assert len(reading) == 1
    assert len(program.entries[0].regions) == 2


def test_sums_of_columns_alone_are_divided_by_columns() -> None:
    x = given("x", "B", "D")
    b, d = index("b", "B"), index("d", "D")
    program = lower({"forward": graph(x, whole("y", (d,), total(b, of=at(x, b, d))), outputs=["y"], sizes=["B", "D"])})
    (kernel,) = program.kernels.values()
    assert kernel.split is not None and "D" in repr(kernel.split)
    assert len(program.buffers) == 2


def test_a_scalar_is_divided_even_alone() -> None:
    x = given("x", "N")
    n = index("n", "N")
    made = graph(x, whole("y", (), total(n, of=mul(at(x, n), at(x, n)))), outputs=["y"], sizes=["N"])
    first, second = (lower({"forward": made}).kernels[name] for name in kernel_names(lower({"forward": made})))
    assert first.split is not None and second.split is None


def test_a_scalar_of_columns_is_divided_by_columns() -> None:
    x = given("x", "T", "B")
    b, t = index("b", "B"), index("t", "T")
    made = graph(x, whole("y", (), total(b, t, of=op("sin", at(x, t, b)))), outputs=["y"], sizes=["B", "T"])
    given_x = {"x": np.random.default_rng(0).normal(size=(5, 7))}
    for shards in (1, 3):
        found = loops_reference.run(lower({"forward": made}), "forward", given_x, {"B": 7, "T": 5}, shards)
        np.testing.assert_allclose(found["y"], np.sin(given_x["x"]).sum(), rtol=1e-12)


def test_convolutions_keep_one_sample_of_what_they_pack() -> None:
    x, w, d = given("x", "B", 3, 12, 12), given("w", 8, 3, 5, 5), given("d", "B", 8, 8, 8)
    b, o, c, u, v, p, q = (index(n, s) for n, s in zip("bocuvpq", ("B", 8, 3, 8, 8, 5, 5), strict=True))
    y = whole("y", (b, o, u, v), total(c, p, q, of=mul(at(w, o, c, p, q), at(x, b, c, add(u, p), add(v, q)))))
    b, o, c, u, v, p, q = (index(n, s) for n, s in zip("bocuvpq", ("B", 8, 3, 8, 8, 5, 5), strict=True))
    g = whole("g", (b, o, u, v), mul(at(d, b, o, u, v), at(y, b, o, u, v)))
    b, o, c, u, v, p, q = (index(n, s) for n, s in zip("bocuvpq", ("B", 8, 3, 8, 8, 5, 5), strict=True))
    d_w = whole("d_w", (o, c, p, q), total(b, u, v, of=mul(at(g, b, o, u, v), at(x, b, c, add(u, p), add(v, q)))))
    made = graph(x, w, d, y, g, d_w, outputs=["d_w"], sizes=["B"])
    program = lower({"forward": made})
    kept = [buffer for buffer in program.buffers.values() if buffer.role == "workspace"]
    assert kept and all("'B'" not in repr(buffer.sizes) for buffer in kept)
    rng = np.random.default_rng(0)
    values = {
        "x": rng.normal(size=(5, 3, 12, 12)),
        "w": rng.normal(size=(8, 3, 5, 5)),
        "d": rng.normal(size=(5, 8, 8, 8)),
    }
    expected = evaluate(made, values, {"B": 5})["d_w"]
    for shards in (1, 2, 7):
        found = loops_reference.run(program, "forward", values, {"B": 5}, shards)["d_w"]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("count", [0, 1, 4096, 4097, 10_000])
def test_long_sums_are_sums_of_blocks(count: int) -> None:
    x = given("x", "N")
    n = index("n", "N")
    made = graph(x, whole("y", (), total(n, of=mul(at(x, n), at(x, n)))), outputs=["y"], sizes=["N"])
    values = {"x": np.random.default_rng(0).normal(size=count)}
    for shards in (1, 2):
        found = loops_reference.run(lower({"forward": made}), "forward", values, {"N": count}, shards)
        np.testing.assert_allclose(found["y"], (values["x"] ** 2).sum(), rtol=1e-12)


def has_product(kernel: Kernel) -> bool:
    return any(isinstance(statement, Matmul) for statement in statements(kernel.body))


def derivative_by_taps(maps: int, channels: int, side: int) -> Program:
    text = """layer Convolved(x[N,C,H,W], k[O,C,P,Q]) -> y[N,O,H,W]:
    y[n,o,h,w] = k[o,c,p,q]*x[n,c,pad(h+p-1),pad(w+q-1)]
"""
    sizes = {"C": channels, "O": maps, "P": 3, "Q": 3, "H": side, "W": side}
    return lower({"vjp": pipeline.entries(graph_of(text, sizes=tuple(sizes.items())), wrt="*")["vjp"]})


def test_many_taps_are_not_visited_for_every_small_image() -> None:
    """Pieces of a million numbers, to which every sample adds sums of 25, would be most of the work."""
    program = derivative_by_taps(360, 320, 5)
    assert not [name for name in program.buffers if "piece" in name]
    (product,) = (k for k in program.kernels.values() if "d_k" in k.name)
    assert product.split is not None and equal(product.split, Const(360))
    others = [k.split for k in program.kernels.values() if k is not product and has_product(k)]
    assert others and all(split in (Const(360), Const(320)) for split in others)  # a batch of one is still shared out
    larger = derivative_by_taps(36, 32, 12)
    assert any("piece" in name for name in larger.buffers)
    assert all(k.split is not None and SHARDS in walk(k.split) for k in larger.kernels.values() if has_product(k))


@pytest.mark.parametrize("columns", [3, 10, 700, 5000, "D"])
def test_pieces_of_two_shards_are_a_page_apart(columns: int | str) -> None:
    """What fetches ahead goes on behind the end of a row, and would take lines that another processor writes."""
    x, b, t, d = given("x", "B", 6, columns), index("b", "B"), index("t", 6), index("d", columns)
    kept = whole("y", (b, t, d), op("sin", at(x, b, t, d)))
    plane = whole("plane", (t, d), total(b, of=at(kept, b, t, d)))
    row = whole("row", (d,), total(b, t, of=at(kept, b, t, d)))
    program = lower({"forward": graph(x, kept, plane, row, outputs=["y", "plane", "row"], sizes=["B", "D"])})
    for length in (1, 40) if isinstance(columns, str) else (columns,):
        for name, elements in (("plane", 6 * length), ("row", length)):
            sizes = program.buffers[f"{name}.piece"].sizes[1:]
            assert prod(int(value(size, {"D": length})) for size in sizes) - elements >= 1024
