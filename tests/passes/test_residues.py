"""Axes by residue classes: what is left has affine subscripts, and means the same in every geometry of windows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, total, when
from passes.corpus import Model, through

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.expr import Const, Expr, Op, free_indices, op, walk
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.loops import For, Store, statements
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import bind_sizes, evaluate
from dlc.compiler.lower import lower
from dlc.compiler.passes import residues, simplify
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse


def quotient(a: Expr, number: int) -> Expr:
    return op("floordiv", a, Const(number))


def remainder(a: Expr, number: int) -> Expr:
    return op("mod", a, Const(number))


def lines_after(y: Tensor, *inputs: Tensor, values: dict[str, np.ndarray]) -> list[str]:
    """The equations of y, and of what it copies; they mean what y meant."""
    model = Model("y", graph(*inputs, y, outputs=["y"], sizes=[]), {one.id: values[one.id] for one in inputs})
    made = through(model, simplify, residues).graph
    return [line for tensor in made.tensors.values() if tensor.equations for line in tensor_lines(tensor)]


X, K = given("x", 9), given("k", 5)
VALUES = {"x": np.arange(1.0, 10.0), "k": np.arange(2.0, 7.0)}


def test_elements_that_are_repeated() -> None:
    h = index("h", 7)
    y = whole("y", (h,), at(X, quotient(h, 3)))
    assert lines_after(y, X, values=VALUES) == ["y[3*h] = x[h]", "y[3*h+1] = x[h]", "y[3*h+2] = x[h]"]


def test_of_a_reduced_index_one_class_is_left() -> None:
    h, p = index("h", 8), index("p", 5)
    inside = op("and", op("eq", remainder(add(h, p), 2), Const(0)), op("le", p, h))
    y = whole("y", (h,), total(p, of=when(inside, mul(at(X, quotient(add(h, mul(Const(-1), p)), 2)), at(K, p)))))
    assert lines_after(y, X, K, values=VALUES) == [
        "y[2*h] = sum[p] [p <= h]*x[h-p]*k[2*p]",
        "y[2*h+1] = sum[p] [p <= h]*x[h-p]*k[2*p+1]",
    ]


def test_a_class_that_nothing_reaches_is_zero() -> None:
    h = index("h", 6)
    y = whole("y", (h,), when(op("eq", remainder(add(h, Const(1)), 3), Const(0)), at(X, quotient(h, 3))))
    assert lines_after(y, X, values=VALUES) == ["y[3*h] = 0", "y[3*h+1] = 0", "y[3*h+2] = x[h]"]


def test_a_sum_that_nothing_reaches_is_zero() -> None:
    h, p = index("h", 6), index("p", 5)
    inside = op("eq", remainder(h, 2), Const(1))
    y = whole("y", (h,), total(p, of=when(inside, mul(at(X, h), at(K, p)))))
    made = through(Model("y", graph(X, K, y, outputs=["y"], sizes=[]), VALUES), residues).graph
    assert tensor_lines(made.tensors["y"]) == ["y[2*h] = 0", "y[2*h+1] = sum[p] x[2*h+1]*k[p]"]


def test_a_matrix_product_is_a_tensor_of_its_own() -> None:
    x, k = given("x", 4, 4), given("k", 4, 3)
    h, i, j = index("h", 4), index("i", 3), index("j", 4)
    y = whole("y", (h, i), total(j, of=mul(at(x, quotient(h, 2), j), at(k, j, i))))
    values = {"x": np.arange(16.0).reshape(4, 4), "k": np.arange(12.0).reshape(4, 3)}
    assert lines_after(y, x, k, values=values)[:2] == [
        "y.part[h,i] = sum[j] x[h,j]*k[j,i]",
        "y.part.2[h,i] = sum[j] x[h,j]*k[j,i]",
    ]


def test_rows_that_alternate_with_columns_are_put_together() -> None:
    """Only the copy has them in turns: the product is one of 4 rows and 6 columns."""
    x, k = given("x", 3, 2, 3), given("k", 3, 2, 2)
    n, u, v, c = index("n", 1), index("u", 4), index("v", 6), index("c", 3)
    taps = at(k, c, remainder(u, 2), remainder(v, 2))
    y = whole("y", (n, u, v), total(c, of=mul(at(x, add(c, n), quotient(u, 2), quotient(v, 2)), taps)))
    values = {"x": np.arange(18.0).reshape(3, 2, 3), "k": np.arange(12.0).reshape(3, 2, 2)}
    assert lines_after(y, x, k, values=values) == [
        "y.part[n,u,v,u',v2] = sum[c] x[n+c,u',v2]*k[c,u,v]",
        "y[n,2*u'+u,2*v2+v] = y.part[n,u,v,u',v2]",
    ]


def in_groups(extent: int, number: int) -> list[str]:
    x, k = given("x", 3, 2, 4), given("k", 3, 5, 2)
    c, i, j = index("c", extent), index("i", 4), index("j", 2)
    y = whole(
        "y",
        (c, i),
        total(j, of=mul(at(x, quotient(c, number), j, i), at(k, quotient(c, number), remainder(c, number), j))),
    )
    return lines_after(y, x, k, values={"x": np.arange(24.0).reshape(3, 2, 4), "k": np.arange(30.0).reshape(3, 5, 2)})


def test_a_matrix_product_of_groups_is_taken_in_blocks() -> None:
    """A block is not a class: there may be many, and they are one equation."""
    assert in_groups(15, 5) == ["y.part[c,c2,i] = sum[j] x[c,j,i]*k[c,c2,j]", "y[5*c+c2,i] = y.part[c,c2,i]"]
    assert in_groups(14, 5)[0].startswith("y[5*c,i] =")  # no whole number of blocks: in classes


def test_what_a_remainder_decides_is_taken_in_classes() -> None:
    x, k = given("x", 3, 2, 4), given("k", 3, 5, 2)
    c, i, j = index("c", 6), index("i", 4), index("j", 2)
    factors = mul(at(x, quotient(c, 2), j, i), at(k, quotient(c, 2), remainder(c, 2), j))
    y = whole("y", (c, i), total(j, of=when(op("eq", remainder(c, 2), Const(1)), factors)))
    values = {"x": np.arange(24.0).reshape(3, 2, 4), "k": np.arange(30.0).reshape(3, 5, 2)}
    lines = lines_after(y, x, k, values=values)
    assert {"y[2*c+1,i] = sum[j] x[c,j,i]*k[c,1,j]", "y[2*c,i] = 0"} <= set(lines)


def test_what_is_no_product_is_not_taken_in_blocks() -> None:
    x, c = given("x", 3, 17), index("c", 34)
    y = whole("y", (c,), at(x, quotient(c, 17), remainder(c, 17)))
    assert lines_after(y, x, values={"x": np.arange(51.0).reshape(3, 17)}) == ["y[c] = x[c // 17,c mod 17]"]


def test_what_has_no_quotients_stays() -> None:
    h, p = index("h", 9), index("p", 9)
    assert lines_after(whole("y", (h,), at(X, h)), X, values=VALUES) == ["y[h] = x[h]"]
    halves = whole("y", (h,), total(p, of=when(op("le", p, h), at(X, quotient(p, 2)))))
    assert lines_after(halves, X, values=VALUES) == ["y[h] = sum[p] [p <= h]*x[p // 2]"]


def test_many_classes_stay_together() -> None:
    h = index("h", 34)
    assert len(lines_after(whole("y", (h,), at(X, quotient(h, 17))), X, values=VALUES)) == 1


# -- windows ----------------------------------------------------------------------------------------------------------

GEOMETRIES = ((2, 2, 0), (3, 2, 1), (3, 2, 0), (2, 3, 0), (3, 3, 1), (1, 2, 0), (4, 2, 2), (4, 3, 1))


def pooled(name: str, window: int, stride: int, padding: int) -> str:
    options = f"P={window}, stride={stride}, padding={padding}"
    return f"""use nn.pooling: {name}

layer Windows(x[N,C,H,W]) -> y[N,C,U,V]:
    y[n,C,U,V] = {name}(x[n,C,H,W];; {options})
"""


def convolved(stride: int, padding: int, dilation: int) -> str:
    return f"""use nn.conv: Conv2d

layer Windows(x[N,C,H,W], k[O,C,P,Q], b[O]) -> y[N,O,U,V]:
    y[n,O,U,V] = Conv2d(x[n,C,H,W]; k, b; stride={stride}, padding={padding}, dilation={dilation})
"""


def made(text: str, **sizes: int) -> Graph:
    return semantics.elaborate(parse(Source("windows.dl", text)), "Windows", semantics.Loader(), sizes)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


@pytest.mark.parametrize("name", ["MaxPool2d", "AvgPool2d"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_windows_of_images(name: str, geometry: tuple[int, int, int]) -> None:
    is_as_without_passes(made(pooled(name, *geometry)), {"x": normal(2, 1, 5, 7)})
    for size in ((4, 6), (5, 7)):
        is_as_without_passes(made(pooled(name, *geometry), H=size[0], W=size[1]), {"x": normal(2, 1, *size)})


def test_where_a_condition_holds_up_to_a_size_what_lies_behind_is_a_part() -> None:
    found = pipeline.entries(made(pooled("MaxPool2d", 2, 2, 0)), wrt="*")["vjp"]
    whole_, *edges = [line.split(" = ") for line in tensor_lines(found.tensors["d_x"])][3:]
    assert "<=" not in whole_[1] and "<" not in whole_[1]
    assert [value for _, value in edges] == ["0"] * 2
    for sizes in ((1, 1), (3, 2), (2, 5), (4, 4)):
        is_as_without_passes(made(pooled("MaxPool2d", 2, 2, 0)), {"x": normal(1, 2, *sizes)})


def test_a_loop_stores_in_steps_in_one_row_only_if_its_length_is_open() -> None:
    """LLVM cannot tell rows apart that lie so far apart as a size says, and takes no vectors of their elements."""
    for sizes, rows in (({}, 1), ({"H": 8, "W": 8}, 2)):
        graph_ = pipeline.entries(made(pooled("MaxPool2d", 2, 2, 0), **sizes), wrt="*")["vjp"]
        loops_ = [s for k in lower({"vjp": graph_}).kernels.values() for s in statements(k.body) if isinstance(s, For)]
        stored = [{s.subscripts[:-1] for s in one.body if isinstance(s, Store) and s.buffer == "d_x"} for one in loops_]
        assert max(map(len, stored)) == rows


SHORT_STEPS = ((3, 2, 1, 1), (2, 3, 0, 1), (3, 2, 2, 2), (3, 3, 1, 2), (3, 4, 0, 3))
LONG_STEPS = ((5, 3, 1, 1), (6, 3, 0, 1), (5, 5, 2, 1), (3, 4, 1, 2), (4, 4, 3, 2), (3, 9, 2, 3), (2, 6, 3, 2))


@pytest.mark.parametrize("geometry", SHORT_STEPS + LONG_STEPS, ids=str)
def test_kernels_that_move_in_steps(geometry: tuple[int, int, int, int]) -> None:
    window = geometry[0]
    arrays = {"x": normal(2, 3, 7, 8), "k": normal(4, 3, window, window), "b": normal(4)}
    is_as_without_passes(made(convolved(*geometry[1:]), H=7, W=8, C=3, O=4, P=window, Q=window), arrays)
    is_as_without_passes(made(convolved(*geometry[1:]), P=window, Q=window), arrays)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_kernels_in_groups(groups: int, stride: int) -> None:
    text = f"""use nn.conv: GroupedConv2d

layer Windows(x[N,C,H,W], k[G,M,E,P,Q], b[O]) -> y[N,O,U,V]:
    y[n,O,U,V] = GroupedConv2d(x[n,C,H,W]; k, b; stride={stride}, padding=1)
"""
    arrays = {"x": normal(2, 6, 5, 6), "k": normal(groups, 2, 6 // groups, 3, 3), "b": normal(2 * groups)}
    is_as_without_passes(made(text, C=6, G=groups, M=2, E=6 // groups, H=5, W=6, P=3, Q=3), arrays)


def test_windows_of_sequences_and_of_volumes() -> None:
    line = """use nn.pooling: MaxPool1d

layer Windows(x[W]) -> y[V]:
    y[V] = MaxPool1d(x[W];; P=3, stride=2, padding=1)
"""
    for length in (1, 2, 3, 8):
        is_as_without_passes(made(line), {"x": normal(length)})
    for size in ((1, 1), (2, 3), (5, 4), (6, 1)):
        is_as_without_passes(made(pooled("AvgPool2d", 3, 2, 1)), {"x": normal(1, 2, *size)})
        is_as_without_passes(made(pooled("MaxPool2d", 3, 2, 1)), {"x": normal(1, 2, *size)})
    volume = """use nn.pooling: MaxPool3d

layer Windows(x[D,H,W]) -> y[T,U,V]:
    y[T,U,V] = MaxPool3d(x[D,H,W];; R=2)
"""
    is_as_without_passes(made(volume), {"x": normal(4, 3, 5)})


def is_as_without_passes(plain: Graph, arrays: Mapping[str, np.ndarray]) -> None:
    """Derivatives by all inputs, of the graph and of the loops."""
    entries, slow = pipeline.entries(plain, "*"), pipeline.entries(plain, "*", pipeline.OPTIONAL)
    vjp = entries["vjp"]
    for equation in (equation for tensor in vjp.tensors.values() for equation in tensor.equations):
        quotients = (node for node in walk(equation.value) if isinstance(node, Op) and node.name in ("floordiv", "mod"))
        assert all(set(free_indices(node)).isdisjoint(equation.indices) for node in quotients)
    program = pipeline.lowered(entries)
    everything = dict(arrays)
    known = bind_sizes(plain, arrays, {})
    shape = evaluate(plain, arrays)["y"].shape
    everything["d_y"] = np.random.default_rng(7).normal(size=shape)
    wanted = evaluate(slow["vjp"], everything)
    ran = loops_reference.run(program, "vjp", everything, known, shards=2)
    for gradient, slower in zip(vjp.gradients, slow["vjp"].gradients, strict=True):
        np.testing.assert_allclose(evaluate(vjp, everything)[gradient.adjoint], wanted[slower.adjoint], 1e-9, 1e-12)
    entry = next(one for one in program.entries if one.name == "vjp")
    for result, slower in zip(entry.gradients, slow["vjp"].gradients, strict=True):
        np.testing.assert_allclose(ran[result.buffer], wanted[slower.adjoint], 1e-9, 1e-12)


PATCHES = """layer Windows(x[N,C,H], k[O,C,P];; P = 4) -> y[N,O,U]:
    index U = |H| // 4
    y[n,o,u] = k[o,c,p]*x[n,c,4*u+p]
"""


def test_what_lies_behind_whole_blocks_is_a_part_and_the_blocks_are_axes() -> None:
    """Windows that lie side by side, in rows of any length."""
    patches = made(PATCHES, P=4)
    found = pipeline.entries(patches, wrt="*")["vjp"].tensors
    assert tensor_lines(found["d_x.part"]) == ["d_x.part[n,h,c,h2] = sum[o] d_y[n,o,h]*k[o,c,h2]"]
    assert [line.split(" = ")[1][:8] for line in tensor_lines(found["d_x"])] == ["d_x.part", "0"]
    for length in (0, 1, 4, 7, 9):
        is_as_without_passes(patches, {"x": normal(2, 3, length), "k": normal(2, 3, 4)})


def test_conditions_on_real_numbers_end_no_part() -> None:
    faded = made("layer Windows(x[T]) -> y[T]:\n    y[t] = (1 - 0.25*t)*x[t] if 0.25*t < 1 else 0\n")
    is_as_without_passes(faded, {"x": normal(7)})
