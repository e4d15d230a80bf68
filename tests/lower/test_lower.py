"""Lowered programs against the graphs that they come from, by the plain interpreters of both languages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from building import add, at, extracted, given, graph, index, mul, parts, sub, total, when, within

from dlc.compiler.grad.reverse import differentiate
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.expr import Const, Expr, Reduce, Select, Size, Solve, identity_of, op, walk
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.loops import For, If, Matmul, Program, Statement, Store, statements
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import check
from dlc.compiler.lower import lower

Case = tuple[Graph, Sequence[str], Mapping[str, np.ndarray], Mapping[str, int]]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + sum(shape)).normal(size=shape)


def weighed(tensor: Tensor, name: str = "loss") -> Tensor:
    """A scalar in which every element counts differently."""
    axes = [index("abcdef"[axis], size) for axis, size in enumerate(tensor.sizes)]
    weights = [op("real", add(axis, Const(number + 1))) for number, axis in enumerate(axes)]
    return whole(name, (), total(*axes, of=mul(op("sin", at(tensor, *axes)), *weights)))


def dense() -> Case:
    x, w, c = given("x", "B", 20), given("w", 30, 20, kind="parameter"), given("c", 30, kind="parameter")
    b, i, j = index("b", "B"), index("i", 30), index("j", 20)
    z = whole("z", (b, i), total(j, of=mul(at(w, i, j), at(x, b, j))))
    h = whole("h", (b, i), op("relu", add(at(z, b, i), at(c, i))))
    made = graph(x, w, c, z, h, weighed(h), loss="loss", sizes=["B"])
    return made, ["w", "c", "x"], {"x": normal(5, 20), "w": normal(30, 20), "c": normal(30)}, {"B": 5}


def convolution(stride: int, padding: int) -> Case:
    channels, filters, kernel, height, width, batch = 3, 4, 3, 7, 6, 2
    x = given("x", "B", channels, "H", "W")
    w = given("w", filters, channels, kernel, kernel, kind="parameter")

    def steps(size: str) -> Expr:
        room = op("add", Size(size), Const(2 * padding - kernel))
        return op("add", op("floordiv", room, Const(stride)), Const(1))

    b, d, u, v = index("b", "B"), index("d", filters), index("u", steps("H")), index("v", steps("W"))
    c, p, q = index("c", channels), index("p", kernel), index("q", kernel)
    row = add(mul(u, Const(stride)), p, Const(-padding))
    column = add(mul(v, Const(stride)), q, Const(-padding))
    inside = op("and", within(row, Size("H")), within(column, Size("W")))
    pixel = when(inside, at(x, b, c, row, column)) if padding else at(x, b, c, row, column)
    y = whole("y", (b, d, u, v), total(c, p, q, of=mul(pixel, at(w, d, c, p, q))))
    made = graph(x, w, y, weighed(y), loss="loss", sizes=["B", "H", "W"])
    arrays = {"x": normal(batch, channels, height, width), "w": normal(filters, channels, kernel, kernel)}
    return made, ["w", "x"], arrays, {"B": batch, "H": height, "W": width}


def lagged() -> Case:
    """A product of which one factor has no first row: the condition that says so has the indices of both."""
    g, x = given("g", "T", 40), given("x", "T", 50)
    d, e, t = index("d", 40), index("e", 50), index("t", "T")
    factors = mul(at(g, t, d), at(x, add(t, Const(-1)), e))
    y = whole("y", (d, e), total(t, of=when(op("lt", Const(0), t), factors)))
    made = graph(g, x, y, weighed(y), loss="loss", sizes=["T"])
    return made, ["g", "x"], {"g": normal(5, 40), "x": normal(5, 50)}, {"T": 5}


def grouped_convolution() -> Case:
    """The output channels are a flattened group: its left side is affine in the indices."""
    groups, filters, channels, kernel = 2, 3, 4, 3
    x, w = (
        given("x", "B", groups, channels, 6, 5),
        given("w", groups, filters, channels, kernel, kernel, kind="parameter"),
    )
    b, g, o, u, v = (index(h, s) for h, s in zip("bgouv", ("B", groups, filters, 4, 3), strict=True))
    c, p, q = index("c", channels), index("p", kernel), index("q", kernel)
    value = total(c, p, q, of=mul(at(x, b, g, c, add(u, p), add(v, q)), at(w, g, o, c, p, q)))
    place = add(mul(g, Const(filters)), o)
    y = parts("y", ("B", groups * filters, 4, 3), ((b, g, o, u, v), (b, place, u, v), value))
    made = graph(x, w, y, weighed(y), loss="loss", sizes=["B"])
    arrays = {"x": normal(2, groups, channels, 6, 5), "w": normal(groups, filters, channels, kernel, kernel)}
    return made, ["w", "x"], arrays, {"B": 2}


def attention() -> Case:
    q, k, v = (given(name, "B", "T", 2, 3) for name in "qkv")
    b, h, t, s, e = index("b", "B"), index("h", 2), index("t", "T"), index("s", "T"), index("e", 3)
    score = whole("score", (b, h, t, s), total(e, of=mul(at(q, b, t, h, e), at(k, b, s, h, e))))
    b, h, t, s = index("b", "B"), index("h", 2), index("t", "T"), index("s", "T")
    weight = whole("weight", (b, h, t), total(s, of=when(op("le", s, t), op("exp", at(score, b, h, t, s)))))
    b, h, t, s, e = index("b", "B"), index("h", 2), index("t", "T"), index("s", "T"), index("e", 3)
    share = op("div", op("exp", at(score, b, h, t, s)), at(weight, b, h, t))
    y = whole("y", (b, t, h, e), total(s, of=when(op("le", s, t), mul(share, at(v, b, s, h, e)))))
    made = graph(q, k, v, score, weight, y, weighed(y), loss="loss", sizes=["B", "T"])
    arrays = {name: normal(2, 4, 2, 3, seed=n) for n, name in enumerate("qkv")}
    return made, ["q", "k", "v"], arrays, {"B": 2, "T": 4}


def embedding() -> Case:
    z, w = given("z", "B", "T", type="int", bound=Const(9)), given("w", 9, 4, kind="parameter")
    b, t, d = index("b", "B"), index("t", "T"), index("d", 4)
    e = whole("e", (b, t, d), at(w, at(z, b, t), d))
    made = graph(z, w, e, weighed(e), loss="loss", sizes=["B", "T"])
    places = np.random.default_rng(0).integers(0, 9, (3, 5))
    return made, ["w"], {"z": places, "w": normal(9, 4)}, {"B": 3, "T": 5}


def chosen_in_each_row() -> Case:
    """Where an element is added depends on the row."""
    x, z = given("x", "B", "S"), given("z", "B", "T", type="int", bound=Size("S"))
    b, t = index("b", "B"), index("t", "T")
    y = whole("y", (b, t), op("exp", at(x, b, at(z, b, t))))
    made = graph(x, z, y, weighed(y), loss="loss", sizes=["B", "S", "T"])
    places = np.random.default_rng(0).integers(0, 4, (3, 5))
    return made, ["x"], {"x": normal(3, 4), "z": places}, {"B": 3, "S": 4, "T": 5}


def places_one_behind_another() -> Case:
    """The place on one axis depends on the place on the other, which is read too."""
    x, z = given("x", "K"), given("z", 3, "K", type="int", bound=Const(4))
    q = given("q", "K", type="int", bound=Const(3))
    u, v, k = index("u", 4), index("v", 3), index("k", "K")
    found = op("and", op("eq", u, at(z, v, k)), op("eq", v, at(q, k)))
    y = whole("y", (u, v), total(k, of=when(found, at(x, k))))
    made = graph(x, z, q, y, weighed(y), loss="loss", sizes=["K"])
    random = np.random.default_rng(0)
    arrays = {"x": normal(6), "z": random.integers(0, 4, (3, 6)), "q": random.integers(0, 3, 6)}
    return made, ["x"], arrays, {"K": 6}


def running_maximum() -> Case:
    x = given("x", "B", "T")
    b, t, s = index("b", "B"), index("t", "T"), index("s", "T")
    y = whole("y", (b, t), Reduce("max", (s,), Select(op("le", s, t), at(x, b, s), Const(-np.inf))))
    made = graph(x, y, weighed(y), loss="loss", sizes=["B", "T"])
    return made, ["x"], {"x": normal(3, 5)}, {"B": 3, "T": 5}


def softmax() -> Case:
    x = given("x", "B", 7)
    b, i = index("b", "B"), index("i", 7)
    highest = whole("m", (b,), Reduce("max", (i,), op("stop", at(x, b, i))))
    b, i = index("b", "B"), index("i", 7)
    e = whole("e", (b, i), op("exp", sub(at(x, b, i), at(highest, b))))
    b, i = index("b", "B"), index("i", 7)
    s = whole("s", (b,), total(i, of=at(e, b, i)))
    b, i = index("b", "B"), index("i", 7)
    y = whole("y", (b, i), op("div", at(e, b, i), at(s, b)))
    made = graph(x, highest, e, s, y, weighed(y), loss="loss", sizes=["B"])
    return made, ["x"], {"x": normal(4, 7)}, {"B": 4}


def pooling() -> Case:
    x = given("x", "B", 2, 8, 6)
    b, c, u, v, p, q = (index(h, s) for h, s in zip("bcuvpq", ("B", 2, 4, 3, 2, 2), strict=True))
    row, column = add(mul(u, Const(2)), p), add(mul(v, Const(2)), q)
    y = whole("y", (b, c, u, v), Reduce("max", (p, q), at(x, b, c, row, column)))
    made = graph(x, y, weighed(y), loss="loss", sizes=["B"])
    return made, ["x"], {"x": normal(3, 2, 8, 6)}, {"B": 3}


def concatenation() -> Case:
    x, y = given("x", "B", 3), given("y", "B", 2)
    b, i, b2, j = index("b", "B"), index("i", 3), index("b", "B"), index("j", 2)
    z = parts("z", ("B", 5), ((b, i), (b, i), at(x, b, i)), ((b2, j), (b2, add(j, Const(3))), op("exp", at(y, b2, j))))
    made = graph(x, y, z, weighed(z), loss="loss", sizes=["B"])
    return made, ["x", "y"], {"x": normal(4, 3), "y": normal(4, 2)}, {"B": 4}


def products() -> Case:
    x = given("x", "B", 4)
    b, i = index("b", "B"), index("i", 4)
    y = whole("y", (b,), Reduce("prod", (i,), at(x, b, i)))
    made = graph(x, y, weighed(y), loss="loss", sizes=["B"])
    values = normal(5, 4)
    values[1, 2] = values[2, 1] = values[2, 3] = 0
    return made, ["x"], {"x": values}, {"B": 5}


def running_products() -> Case:
    """Over two indices, and over those up to another one; some factors are 0."""
    x = given("x", "B", 3, 4)
    b, i, j = index("b", "B"), index("i", 3), index("j", 4)
    y = whole("y", (b,), Reduce("prod", (i, j), at(x, b, i, j)))
    b, t, s = index("b", "B"), index("t", 4), index("s", 4)
    z = whole("z", (b, t), Reduce("prod", (s,), Select(op("le", s, t), at(x, b, 0, s), Const(1.0))))
    first, second = weighed(y, "first"), weighed(z, "second")
    loss = whole("loss", (), add(at(first), at(second)))
    made = graph(x, y, z, first, second, loss, loss="loss", sizes=["B"])
    values = normal(5, 3, 4)
    values[1, 2, 0] = values[2, 1, 3] = values[2, 0, 1] = values[3, 0, 0] = 0
    return made, ["x"], {"x": values}, {"B": 5}


def segments(reduction: str) -> Case:
    """A reduction over the elements of each group; one group is empty, and extremes are reached twice."""
    x, z = given("x", "K", 2), given("z", "K", type="int", bound=Const(4))
    v, k, d = index("v", 4), index("k", "K"), index("d", 2)
    identity = identity_of(reduction, "real")
    y = whole("y", (v, d), Reduce(reduction, (k,), Select(op("eq", v, at(z, k)), at(x, k, d), identity)))
    v, d = index("v", 4), index("d", 2)
    s = whole("s", (v, d), op("sigmoid", at(y, v, d)))
    made = graph(x, z, y, s, weighed(s), loss="loss", sizes=["K"])
    values = normal(7, 2)
    values[0] = values[3]
    return made, ["x"], {"x": values, "z": np.array([3, 1, 1, 3, 0, 1, 3])}, {"K": 7}


def branches() -> Case:
    x = given("x", "B", 6)
    b, i = index("b", "B"), index("i", 6)
    left = Select(op("lt", Const(0), i), at(x, b, add(i, Const(-1))), Const(2.0))
    y = whole("y", (b, i), mul(op("tanh", left), op("exp", op("tanh", left))))
    made = graph(x, y, weighed(y), loss="loss", sizes=["B"])
    return made, ["x"], {"x": normal(3, 6)}, {"B": 3}


def one_index_everywhere() -> Case:
    """Passes may leave one index variable free in one equation and bound in another."""
    x = given("x", "B", 6)
    b, i, j = index("b", "B"), index("i", 6), index("j", 6)
    highest = whole("m", (b, i), Reduce("max", (j,), mul(op("stop", at(x, b, j)), op("real", add(i, Const(1))))))
    shares = whole("s", (b,), total(i, of=op("exp", sub(at(x, b, i), at(highest, b, i)))))
    y = whole("y", (b, j), mul(at(shares, b), at(x, b, j)))
    made = graph(x, highest, shares, y, weighed(y), loss="loss", sizes=["B"])
    return made, ["x"], {"x": normal(3, 6)}, {"B": 3}


def systems() -> Case:
    """x[m,n,i], the solutions of a[n] for the right sides b[m,n]."""
    a, b = given("a", "N", 3, 3), given("b", 2, "N", 3)
    n, m, place, i, j = index("n", "N"), index("m", 2), index("k", 3), index("i", 3), index("j", 3)
    x = whole("x", (n, m, place), Solve((i, j), op("exp", at(a, n, i, j)), at(b, m, n, i), place))
    made = graph(a, b, x, weighed(x), loss="loss", sizes=["N"])
    return made, ["a", "b"], {"a": normal(4, 3, 3), "b": normal(2, 4, 3, seed=1)}, {"N": 4}


CASES: dict[str, Callable[[], Case]] = {
    "dense": dense,
    "convolution": lambda: convolution(1, 0),
    "strided convolution": lambda: convolution(2, 0),
    "padded convolution": lambda: convolution(1, 1),
    "padded strided convolution": lambda: convolution(2, 2),
    "grouped convolution": grouped_convolution,
    "lagged": lagged,
    "attention": attention,
    "embedding": embedding,
    "chosen in each row": chosen_in_each_row,
    "places one behind another": places_one_behind_another,
    "running maximum": running_maximum,
    "softmax": softmax,
    "pooling": pooling,
    "concatenation": concatenation,
    "products": products,
    "running products": running_products,
    "segment sums": lambda: segments("sum"),
    "segment maxima": lambda: segments("max"),
    "segment minima": lambda: segments("min"),
    "branches": branches,
    "one index everywhere": one_index_everywhere,
    "systems": systems,
}


def lowered(case: Case) -> tuple[Program, Graph]:
    made, wrt, _, _ = case
    (objective,) = made.objectives
    both = extracted(differentiate(replace(made, outputs=()), objective.loss, wrt))
    check(both, "extracted")
    return lower({"value_and_grad": both}), both


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shards", [1, 3])
def test_a_program_computes_what_its_graph_says(name: str, shards: int) -> None:
    case = CASES[name]()
    program, both = lowered(case)
    expected = evaluate(both, case[2])
    found = loops_reference.run(program, "value_and_grad", case[2], case[3], shards)
    (entry,) = program.entries
    assert entry.loss is not None
    np.testing.assert_allclose(found[entry.loss], expected[both.objectives[0].loss], 1e-11, 1e-11)
    for gradient, result in zip(both.gradients, entry.gradients, strict=True):
        np.testing.assert_allclose(found[result.buffer], expected[gradient.adjoint], 1e-11, 1e-11, err_msg=result.name)


def matmuls(program: Program) -> list[Matmul]:
    return [s for kernel in program.kernels.values() for s in statements(kernel.body) if isinstance(s, Matmul)]


@pytest.mark.parametrize(
    ("name", "count"), [("dense", 3), ("convolution", 2), ("grouped convolution", 1), ("attention", 4)]
)
def test_contractions_become_matrix_products(name: str, count: int) -> None:
    program, _ = lowered(CASES[name]())
    assert len(matmuls(program)) >= count


@pytest.mark.parametrize(("size", "count"), [(4, 0), (12, 0), (16, 1)])
def test_small_matrices_are_multiplied_by_loops_however_many_they_are(size: int, count: int) -> None:
    b, i, j, k = index("b", "B"), index("i", size), index("j", size), index("k", size)
    x, y = given("x", "B", size, size), given("y", "B", size, size)
    made = whole("z", (b, i, k), Reduce("sum", (j,), mul(at(x, b, i, j), at(y, b, j, k))))
    assert len(matmuls(lower({"forward": graph(x, y, made, outputs=["z"], sizes=["B"])}))) == count


def test_dense_operands_are_read_in_place() -> None:
    program, _ = lowered(dense())
    assert not [name for name in program.buffers if "packed" in name]


@pytest.mark.parametrize("name", ["segment sums", "segment maxima", "segment minima", "products"])
def test_no_loop_over_all_pairs(name: str) -> None:
    """Every element is visited once for a segment; what is left of a product without each factor takes two sweeps."""
    program, _ = lowered(CASES[name]())
    deepest = {kernel: _depth(program.kernels[kernel].body) for kernel in program.kernels}
    assert all(depth <= 2 for kernel, depth in deepest.items() if not kernel.startswith("d_x")), deepest
    assert name != "products" or deepest["d_x"] == 2


def _depth(body: Sequence[Statement]) -> int:
    """Loops within loops; a loop that is taken block by block is one."""
    return max((_is_loop(s) + _depth(s.body) for s in body if isinstance(s, For | If)), default=0)


def _is_loop(statement: Statement) -> bool:
    return isinstance(statement, For) and statement.index.hint != "block"


def test_a_band_is_no_matrix_product() -> None:
    a, x = given("a", "T", "T"), given("x", "T", 20)
    t, s, d = index("t", "T"), index("s", "T"), index("d", 20)
    close = op("and", op("le", s, add(t, Const(2))), op("le", t, add(s, Const(2))))
    y = whole("y", (t, d), total(s, of=when(close, mul(at(a, t, s), at(x, s, d)))))
    program = lower({"forward": graph(a, x, y, outputs=["y"], sizes=["T"])})
    assert not matmuls(program)
    loops = [s for kernel in program.kernels.values() for s in statements(kernel.body) if isinstance(s, For)]
    assert any("min" in repr(loop.stop) for loop in loops)


def test_rows_of_a_sum_over_what_moves_along_them_end_at_bounds() -> None:
    """The derivative of a convolution with many taps by a sequence: no row asks at every place what counts."""
    g, k = given("g", "N", 9, 40), given("k", 9, 50)
    n, w, o, p = index("n", "N"), index("w", 30), index("o", 9), index("p", 50)
    moved = add(w, op("neg", p))
    inside = op("and", op("le", Const(0), moved), op("lt", moved, Const(40)))
    y = whole("y", (n, w), total(o, p, of=when(inside, mul(at(g, n, o, moved), at(k, o, p)))))
    program = lower({"forward": graph(g, k, y, outputs=["y"], sizes=["N"])})
    loops = [s for kernel in program.kernels.values() for s in statements(kernel.body)]
    assert not [s for s in loops if isinstance(s, Store) and any(isinstance(e, Select) for e in walk(s.value))]
    random = np.random.default_rng(0)
    values = {"g": random.normal(size=(2, 9, 40)), "k": random.normal(size=(9, 50))}
    found = loops_reference.run(program, "forward", values, {"N": 2}, 2)
    np.testing.assert_allclose(found["y"], evaluate(graph(g, k, y, outputs=["y"], sizes=["N"]), values, {"N": 2})["y"])


def test_what_follows_row_by_row_shares_a_loop_and_keeps_one_row() -> None:
    program, _ = lowered(softmax())
    assert "e" in program.buffers and len(program.buffers["e"].sizes) == 2
    kernel = next(k for k in program.kernels.values() if k.name == "y" or any("y[" in f for f in k.formulas))
    assert sum(isinstance(statement, For) for statement in kernel.body) == 1
    assert len(kernel.formulas) >= 3


def test_batch_work_needs_one_region_and_weight_gradients_another() -> None:
    program, _ = lowered(dense())
    (entry,) = program.entries
    assert len(entry.regions) <= 3


def test_the_same_graph_gives_the_same_program() -> None:
    first, second = lowered(convolution(2, 1))[0], lowered(convolution(2, 1))[0]
    assert list(first.kernels) == list(second.kernels)
    assert list(first.buffers.values()) == list(second.buffers.values())
