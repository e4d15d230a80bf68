"""Sums over the beginning, or the end, of a range are added up once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from building import at, given, graph, index, mul, total, when

from dlc.compiler.ir import loops_reference, verify
from dlc.compiler.ir.expr import ZERO, Const, Expr, Reduce, Select, op
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.printer import tensor_lines
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.scaled import finite
from dlc.compiler.lower import lower
from dlc.compiler.passes import prefix

B, END, S, D = index("b", "B"), index("t", "T"), index("s", "T"), index("d", "D")
CONDITIONS = {
    "s <= t": op("le", S, END),
    "s < t": op("lt", S, END),
    "t <= s": op("le", END, S),
    "t < s": op("lt", END, S),
}


def added_up(*tensors: Tensor, length: int = 11, outputs: Sequence[str] = ()) -> Graph:
    """The graph after the pass, which has been found to mean the same, as a graph and as loops."""
    outputs = outputs or [t.id for t in tensors if t.kind == "computed"]
    made = graph(*tensors, outputs=outputs, sizes=["B", "T", "D"])
    after = prefix.run(made)
    verify.check(after, "prefix")
    sizes = {"B": 3, "T": length, "D": 4}
    draw = np.random.default_rng(1).normal
    shapes = {t.id: [sizes[getattr(size, "name", "")] for size in t.sizes] for t in tensors if t.kind == "input"}
    arrays = {name: draw(size=shape) for name, shape in shapes.items()}
    wanted, found = evaluate(made, arrays, sizes), evaluate(after, arrays, sizes)
    run = loops_reference.run(lower({"forward": after}), "forward", arrays, sizes, 2)
    for output in made.outputs:
        np.testing.assert_allclose(found[output.tensor], wanted[output.tensor], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(run[output.tensor], wanted[output.tensor], rtol=1e-12, atol=1e-12)
    return after


REDUCTIONS = {"prod": 1.0, "max": -np.inf, "min": np.inf}


@pytest.mark.parametrize("length", [0, 1, 2, 11])
@pytest.mark.parametrize("cond", CONDITIONS.values(), ids=CONDITIONS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_products_and_extremes_go_on_from_the_step_before(reduction: str, cond: Expr, length: int) -> None:
    body = Select(cond, op("exp", at(X, B, S)), Const(REDUCTIONS[reduction]))
    assert has_recurrence(added_up(X, whole("y", (B, END), Reduce(reduction, (S,), body)), length=length))


def places(*conditions: Expr, reduction: str = "argmax") -> Tensor:
    body = Select(op("and", CONDITIONS["s <= t"], *conditions), at(X, B, S), Const(REDUCTIONS[reduction[3:]]))
    return whole("y", (B, END), Reduce(reduction, (S,), body))


@pytest.mark.parametrize("length", [0, 1, 2, 11])
@pytest.mark.parametrize("reduction", ["argmax", "argmin"])
def test_the_place_of_an_extreme_stays_until_a_better_one(reduction: str, length: int) -> None:
    made = added_up(X, places(reduction=reduction), length=length)
    assert "y.best" in made.tensors


@pytest.mark.parametrize("reduction", ["argmax", "argmin"])
def test_places_of_ties_infinities_and_what_is_no_number(reduction: str) -> None:
    rows = [[1, 2, 2, 1, 3, 0, 0], [np.nan, 1, np.nan, 5, -np.inf, np.inf, 0], [3, 1, np.nan, 4, np.nan, 0, 9]]
    rows += [[sign * np.inf] * 3 + [0.0, -0.0, sign * np.inf, 1] for sign in (1, -1)]
    arrays, sizes = {"x": np.array(rows)}, {"B": len(rows), "T": len(rows[0]), "D": 1}
    odd = op("eq", op("mod", S, Const(2)), Const(1))
    for tensor in (places(reduction=reduction), places(odd, reduction=reduction)):
        made = graph(X, tensor, outputs=["y"], sizes=["B", "T", "D"])
        after = prefix.run(made)
        wanted = evaluate(made, arrays, sizes)["y"]
        assert "y.best" in after.tensors
        assert np.array_equal(evaluate(after, arrays, sizes)["y"], wanted)
        assert np.array_equal(loops_reference.run(lower({"forward": after}), "forward", arrays, sizes, 2)["y"], wanted)


def scaled(cond: Expr, *factors: Expr, stopped: bool = True, bounded: bool = True) -> tuple[Tensor, Tensor]:
    """The greatest element of a range, and the sum of exponentials that are divided by that of it."""
    element = finite(at(X, B, S)) if bounded else at(X, B, S)
    most = whole("m", (B, END), Reduce("max", (S,), Select(cond, element, Const(-np.inf))))
    scale = op("stop", at(most, B, END)) if stopped else at(most, B, END)
    body = mul(op("exp", op("add", at(X, B, S), op("neg", scale))), *factors)
    return most, whole("y", (B, END), total(S, of=when(cond, body)))


@pytest.mark.parametrize("length", [0, 1, 2, 11])
@pytest.mark.parametrize("cond", CONDITIONS.values(), ids=CONDITIONS)
def test_exponentials_go_from_scale_to_scale(cond: Expr, length: int) -> None:
    most, total_ = scaled(cond, at(given("v", "B", "T"), B, S))
    made = added_up(
        X,
        given("v", "B", "T"),
        most,
        whole("z", (B, END), op("log", at(total_, B, END))),
        total_,
        length=length,
        outputs=["z"],
    )
    assert {"y.decay", "y.prefix", "m.prefix"} <= set(made.tensors)


def test_a_scale_that_is_differentiated_by_stays() -> None:
    most, total_ = scaled(CONDITIONS["s <= t"], stopped=False)
    assert "y.prefix" not in added_up(X, most, total_, outputs=["y"]).tensors


def test_a_scale_that_may_be_below_all_numbers_stays() -> None:
    """Exponentials of infinities are no numbers there, and are again as soon as it is a number."""
    most, total_ = scaled(CONDITIONS["s <= t"], bounded=False)
    assert "y.prefix" not in added_up(X, most, total_, outputs=["y"]).tensors


def test_a_scale_of_another_range_stays() -> None:
    most, _ = scaled(CONDITIONS["t <= s"])
    _, total_ = scaled(CONDITIONS["s <= t"])
    assert "y.prefix" not in added_up(X, most, total_, outputs=["y"]).tensors


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_exponentials_that_are_no_numbers(odd: float) -> None:
    most, total_ = scaled(op("and", CONDITIONS["s <= t"], op("lt", ZERO, S)))
    made = graph(X, most, total_, outputs=["y"], sizes=["B", "T"])
    x = np.array([[odd] * 9, [1.0, 2.0, odd, odd, 3.0, 5.0, odd, 9.0, 2.0], [-3.0, odd, -1.0, *[odd] * 6]])
    wanted, found = (evaluate(one, {"x": x}, {"B": 3, "T": 9})["y"] for one in (made, prefix.run(made)))
    np.testing.assert_allclose(found, wanted)


def test_a_place_that_is_a_subscript_stays_on_its_axis() -> None:
    table = given("table", "T")
    place = places()
    added_up(X, table, place, whole("z", (B, END), at(table, at(place, B, END))))


def test_an_extreme_and_its_place_compare_once() -> None:
    body = Select(CONDITIONS["s <= t"], at(X, B, S), Const(-np.inf))
    best = whole("m", (B, END), Reduce("max", (S,), body))
    assert "y.best" not in added_up(X, best, places()).tensors


def test_products_alone_go_before_differentiation() -> None:
    body = Select(CONDITIONS["s <= t"], at(X, B, S), Const(1.0))
    product = whole("p", (B, END), Reduce("prod", (S,), body))
    made = prefix.before_derivatives(
        graph(X, product, of_rows(CONDITIONS["s <= t"]), outputs=["p", "y"], sizes=["B", "T"])
    )
    assert [name for name in made.tensors if name.endswith(".prefix")] == ["p.prefix"]


def has_recurrence(made: Graph) -> bool:
    return any(name.endswith(".prefix") for name in made.tensors)


def of_rows(cond: Expr) -> Tensor:
    return whole("y", (B, END), total(S, of=when(cond, op("exp", at(X, B, S)))))


X = given("x", "B", "T")


@pytest.mark.parametrize("length", [0, 1, 2, 11])
@pytest.mark.parametrize("cond", CONDITIONS.values(), ids=CONDITIONS)
def test_each_direction_with_and_without_the_end(cond: Expr, length: int) -> None:
    assert has_recurrence(added_up(X, of_rows(cond), length=length))


def test_a_prefix_sum_is_a_recurrence_of_one_more_element() -> None:
    made = added_up(X, whole("y", (B, END), total(S, of=when(CONDITIONS["s <= t"], at(X, B, S)))))
    lines = [line for tensor in made.tensors.values() if tensor.kind == "computed" for line in tensor_lines(tensor)]
    assert lines == [
        "y.prefix[b,0] = 0",
        "y.prefix[b,t+1] = y.prefix[b,t] + x[b,t]",
        "y[b,t] = y.prefix[b,t+1]",
    ]


def test_what_is_summed_besides_is_summed_before() -> None:
    w = given("w", "T", "D")
    body = when(CONDITIONS["s <= t"], mul(at(X, B, S), at(w, S, D)))
    made = added_up(X, w, whole("y", (B, END), total(S, D, of=body)))
    assert "y.term" in made.tensors


def test_a_condition_besides_stays() -> None:
    even = op("eq", op("mod", S, Const(2)), Const(0))
    assert has_recurrence(added_up(X, of_rows(op("and", CONDITIONS["s <= t"], even))))


def test_what_depends_on_both_ends_stays_a_sum() -> None:
    a = given("a", "T", "T")
    made = added_up(a, whole("y", (END,), total(S, of=when(CONDITIONS["s <= t"], at(a, END, S)))))
    assert not has_recurrence(made)


def test_short_axes_stay_sums() -> None:
    end, s = index("t", 4), index("s", 4)
    x = given("x", "B", "T")
    body = when(op("le", s, end), at(x, B, s))
    made = prefix.run(graph(x, whole("y", (B, end), total(s, of=body)), outputs=["y"], sizes=["B", "T"]))
    assert not has_recurrence(made)


def test_axes_of_different_lengths_stay_sums() -> None:
    other = index("d", "D")
    y = whole("y", (B, other), total(S, of=when(op("le", S, other), at(X, B, S))))
    made = prefix.run(graph(X, y, outputs=["y"], sizes=["B", "T", "D"]))
    assert not has_recurrence(made)
