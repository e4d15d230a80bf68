"""Windows that reach over a border read a copy that has one; and mean what they meant, nan and infinities among it."""

from __future__ import annotations

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, total, when, within
from lower.agreement import agree, drawn
from passes.corpus import Model, through

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.expr import Const, Expr, Index, Reduce, Select, identity_of, op
from dlc.compiler.ir.graph import Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.passes import borders, simplify
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse


def lines_after(y: Tensor, *inputs: Tensor) -> list[str]:
    """The equations of y, and of the copies that it reads; they mean what y meant."""
    values = {one.id: VALUES[one.id] for one in inputs}
    model = Model("y", graph(*inputs, y, outputs=["y"], sizes=[]), values)
    made = through(model, simplify, borders).graph
    return [line for tensor in made.tensors.values() if tensor.equations for line in tensor_lines(tensor)]


X, K = given("x", 8), given("k", 3)
VALUES = {"x": np.array([1.0, np.nan, 3, -np.inf, 0, 2, np.inf, 5]), "k": np.array([2.0, 3.0, -1.0])}
U, P = index("u", 8), index("p", 3)
LONG = index("a", 40)
BEFORE = add(U, P, Const(-1))


def guarded(reduction: str, place: Expr, body: Expr, u: Expr = U) -> Tensor:
    neutral = identity_of(reduction, "real")
    value = Reduce(reduction, (P,), Select(within(place, X.sizes[0]), body, neutral))
    kind = "int" if reduction.startswith("arg") else "real"
    return Tensor("y", (u.size,), kind, "computed", whole("y", (u,), value).equations)  # type: ignore[attr-defined]  # an index


@pytest.mark.parametrize("reduction, around", [("max", "-inf"), ("min", "inf"), ("argmax", "-inf")])
def test_extremes_have_their_neutral_element_around(reduction: str, around: str) -> None:
    copy, y = lines_after(guarded(reduction, BEFORE, at(X, BEFORE)), X)
    assert copy == f"x.bordered[u] = x[u-1] if 0 < u <= 8 else {around}"
    assert y.startswith(f"y[u] = {reduction}[p] x.bordered[u+p]")


def test_a_factor_is_zero_around() -> None:
    u = index("u", 8)
    place = add(u, mul(Const(2), P), Const(-2))
    y = guarded("sum", place, mul(at(K, P), at(X, place)), u)
    values = {"x": np.arange(8.0), "k": VALUES["k"]}
    made = through(Model("y", graph(X, K, y, outputs=["y"], sizes=[]), values), simplify, borders).graph
    assert tensor_lines(made.tensors["y"]) == ["y[u] = sum[p] k[p]*x.bordered[2*p+u]"]
    assert tensor_lines(made.tensors["x.bordered"]) == ["x.bordered[u] = [2 <= u <= 9]*x[u-2]"]


def test_steps_take_every_second_element_together() -> None:
    u = index("u", 4)
    place = add(mul(Const(2), u), P, Const(-1))
    copy, y = lines_after(guarded("max", place, at(X, place), u), X)
    assert copy == "x.bordered[r,u] = x[r+2*u-1] if 0 < r + 2*u <= 8 else -inf"
    assert y == "y[u] = max[p] x.bordered[p mod 2,u+p // 2]"


def test_windows_in_steps_that_overlap_read_a_copy_without_a_border() -> None:
    x, values = given("x", 14), {"x": np.arange(14.0)}
    for step, expected in (
        (2, ["x.bordered[r,u] = x[r+2*u]", "y[u] = max[p] x.bordered[p mod 2,u+p // 2]"]),
        (3, ["y[u] = max[p] x[p+3*u]"]),
    ):
        u = index("u", 11 // step + 1)
        y = whole("y", (u,), Reduce("max", (P,), at(x, add(mul(Const(step), u), P))))
        made = through(Model("y", graph(x, y, outputs=["y"], sizes=[]), values), simplify, borders).graph
        assert [line for one in made.tensors.values() if one.equations for line in tensor_lines(one)] == expected


@pytest.mark.parametrize("steps", [1, 2])
def test_a_long_sum_reads_the_copy_only_if_it_goes_in_its_steps(steps: int) -> None:
    u, p = index("u", 60), index("p", 3)
    x, d = given("x", 122), given("d", 60)
    y = whole("y", (u,), Reduce("sum", (p,), mul(at(K, p), at(x, add(mul(Const(2), u), p)))))
    g = whole("g", (p,), Reduce("sum", (u,), mul(at(d, u), at(x, add(mul(Const(steps), u), p)))))
    values = {"x": np.arange(122.0), "k": VALUES["k"], "d": np.arange(60.0)}
    made = through(Model("y", graph(x, K, d, y, g, outputs=["y", "g"], sizes=[]), values), simplify, borders).graph
    assert ("bordered" in "".join(tensor_lines(made.tensors["g"]))) == (steps == 2)


@pytest.mark.parametrize("reach", [0, 1])
def test_a_long_sum_reads_the_copy_that_is_there(reach: int) -> None:
    """The gradient by the factors of windows, or of windows that reach one element further."""
    u, p = index("u", 60), index("p", 3)
    x, d = given("x", 119), given("d", 60)

    def product(factor: Expr, further: int, over: Index) -> Reduce:
        place = add(mul(Const(2), u), p, Const(further - 1))
        inside = within(place, x.sizes[0])
        return Reduce("sum", (over,), Select(inside, mul(factor, at(x, place)), Const(0.0)))

    y = whole("y", (u,), product(at(K, p), 0, p))
    g = whole("g", (p,), product(at(d, u), reach, u))
    draw = np.random.default_rng(0).normal
    values = {"x": draw(size=119), "k": VALUES["k"], "d": draw(size=60)}
    model = Model("y", graph(x, K, d, y, g, outputs=["y", "g"], sizes=[]), values)
    made = through(model, simplify, borders).graph
    assert tensor_lines(made.tensors["y"]) == ["y[u] = sum[p] k[p]*x.bordered[p mod 2,u+p // 2]"]
    (line,) = tensor_lines(made.tensors["g"])
    assert (line == "g[p] = sum[u] d[u]*x.bordered[p mod 2,u+p // 2]") is (reach == 0)
    before = through(Model("g", graph(x, K, d, g, y, outputs=["y", "g"], sizes=[]), values), simplify, borders).graph
    assert "bordered" not in tensor_lines(before.tensors["g"])[0]


def test_a_place_that_is_asked_for_is_nowhere_around() -> None:
    z = Tensor("z", (Const(8),), "int", "input")
    inside = within(BEFORE, Const(8))
    value = total(P, of=when(op("and", inside, op("eq", at(z, BEFORE), P)), at(X, BEFORE)))
    model = Model(
        "y", graph(z, X, whole("y", (U,), value), outputs=["y"], sizes=[]), {"z": np.arange(8) % 3, "x": np.arange(8.0)}
    )
    made = through(model, simplify, borders).graph
    assert tensor_lines(made.tensors["y"]) == ["y[u] = sum[p] [p == z.bordered[u+p]]*x.bordered[u+p]"]
    assert tensor_lines(made.tensors["z.bordered"])[0].startswith("z.bordered[u] = z[u-1] if 0 < u <= 8 else -1")


@pytest.mark.parametrize(
    "y",
    [
        guarded("max", add(BEFORE, Const(1)), at(X, BEFORE)),
        guarded("max", BEFORE, add(at(X, BEFORE), Const(1.0))),
        whole("y", (U,), total(LONG, of=when(op("lt", LONG, U), at(X, LONG)))),
    ],
    ids=["another condition", "not the element itself", "no window"],
)
def test_other_conditions_stay(y: Tensor) -> None:
    made = borders.run(graph(X, y, outputs=["y"], sizes=[]))
    assert "x.bordered" not in made.tensors


@pytest.mark.parametrize(
    "value, copies",
    [
        ("x[n+p-1]*log(z[n+p-1])", 0),  # 0*log(0)
        ("x[n+p-1]*log(x[n+p-1])", 0),
        ("k[p]*x[n+p-1]/z[n+p-1]", 0),
        ("k[p]*x[n+p-1]*z[n+p-1]", 2),
        ("k[p]*x[n+p-1]*(1 - z[n+p-1]^2)", 2),
        ("k[p]*x[n+p-1]*tanh(z[n+p-1])", 2),
        ("[z[n+p-1] > 0]*x[n+p-1]*log(w[n])", 2),
    ],
)
def test_a_factor_beside_the_zero_around_is_a_number(value: str, copies: int) -> None:
    text = f"""
layer Windows(x[N], z[N], k[P], w[N]) -> y[N]:
    y[n] = sum[p : 0 <= n+p-1 and n+p-1 < |N|] {value}
"""
    plain = semantics.elaborate(parse(Source("windows.dl", text)), "Windows", semantics.Loader(), {"P": 3})
    made = pipeline.entries(plain)["forward"]
    assert sum(name.endswith(".bordered") for name in made.tensors) == copies
    arrays = {name: np.arange(1.0, size + 1) for name, size in (("x", 6), ("z", 6), ("k", 3), ("w", 6))}
    wanted = evaluate(plain, arrays)["y"]
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(evaluate(made, arrays)["y"], wanted, rtol=1e-12)


@pytest.mark.parametrize("geometry", [(3, 2, 1), (3, 1, 1), (2, 1, 1), (5, 3, 2)], ids=str)
@pytest.mark.parametrize("width", [1, 3, 4, 9])
def test_maxima_of_what_is_not_finite(geometry: tuple[int, int, int], width: int) -> None:
    window, stride, padding = geometry
    text = f"""use nn.pooling: MaxPool1d

layer Windows(x[C,W]) -> y[C,V]:
    y[C,V] = MaxPool1d(x[C,W];; P={window}, stride={stride}, padding={padding})
"""
    plain = semantics.elaborate(parse(Source("windows.dl", text)), "Windows", semantics.Loader(), {"W": width})
    drawn = np.random.default_rng(width).choice([-np.inf, -1.0, 0.0, np.inf, np.nan], (40, width))
    entries, slow = pipeline.entries(plain, "*"), pipeline.entries(plain, "*", pipeline.OPTIONAL)
    arrays = {"x": drawn, "d_y": np.ones(evaluate(plain, {"x": drawn})["y"].shape)}
    found = loops_reference.run(pipeline.lowered(entries), "vjp", arrays, {"C": 40}, shards=2)
    wanted = evaluate(slow["vjp"], arrays)
    np.testing.assert_array_equal(found["y"], wanted["y"])
    np.testing.assert_array_equal(found["d_x"], wanted[slow["vjp"].gradients[0].adjoint])


def test_products_that_are_parts_of_one_tensor_read_one_copy() -> None:
    """The adjoint of a convolution that moves in steps: a product for each class of its places, which each read other
    elements from behind the border."""
    text = """use nn.conv: Conv2d

layer Convolved(x[N,C,H,W], k[O,C,P,Q], b[O]) -> y[N,O,U,V]:
    y[n,O,U,V] = Conv2d(x[n,C,H,W]; k, b; stride=2, padding=1)
"""
    sizes = {"C": 4, "O": 5, "P": 3, "Q": 3, "H": 8, "W": 6}
    plain = semantics.elaborate(parse(Source("windows.dl", text)), "Convolved", semantics.Loader(), sizes)
    entries = {"vjp": pipeline.entries(plain, "*")["vjp"]}
    made, program = entries["vjp"], pipeline.lowered(entries)
    (copy,) = (tensor for name, tensor in made.tensors.items() if "bordered" in name)
    assert tensor_lines(copy) == ["d_y.bordered[n,a,h,w] = [h <= 3 and w <= 2]*d_y[n,a,h,w]"]
    assert not any(name.startswith("d_y.padded") for name in program.buffers)
    agree(made, program, drawn(made, {"N": 2}), {"N": 2})
