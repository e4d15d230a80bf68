"""Few elements side by side are written out; what is found is what loops find, ties, nan and infinities among it."""

from __future__ import annotations

import numpy as np
import pytest
from building import add, at, given, graph, index, mul, when
from lower.agreement import loops_in

from dlc.compiler.ir import loops_reference
from dlc.compiler.ir.expr import Const, Expr, Op, Read, Reduce, Select, op, reads, walk
from dlc.compiler.ir.graph import Graph, Tensor, whole
from dlc.compiler.ir.loops import Let, Store, Update, Var, statements
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.lower import lower

U, V, P, Q = index("u", "U"), index("v", "V"), index("p", 2), index("q", 3)
X = given("x", 8, 11)
ROW, COLUMN = add(mul(Const(2), U), P), add(mul(Const(2), V), Q)


def windows(reduction: str, body: Expr, *others: Tensor) -> Graph:
    kind = "int" if reduction.startswith("arg") else "real"
    y = Reduce(reduction, (P, Q), body)
    made = Tensor("y", (U.size, V.size), kind, "computed", whole("y", (U, V), y).equations)
    return graph(X, *others, made, outputs=["y"], sizes=["U", "V"])


def values() -> np.ndarray:
    """Ties, nan and infinities, alone and together."""
    drawn = np.random.default_rng(3).integers(0, 3, (8, 11)).astype(float)
    drawn[2, 3], drawn[2, 4], drawn[5, 8] = np.nan, np.inf, -np.inf
    drawn[6:, :3] = -np.inf
    return drawn


@pytest.mark.parametrize("reduction", ["max", "min", "sum", "prod", "argmax", "argmin"])
def test_windows_are_written_out(reduction: str) -> None:
    made = windows(reduction, at(X, ROW, COLUMN))
    program = lower({"forward": made})
    assert loops_in(program) == ["u", "v"]
    with np.errstate(invalid="ignore"):
        wanted = evaluate(made, {"x": values()}, {"U": 4, "V": 5})["y"]
        found = loops_reference.run(program, "forward", {"x": values()}, {"U": 4, "V": 5})
    np.testing.assert_array_equal(found["y"], wanted)


@pytest.mark.parametrize("reduction", ["max", "min", "argmax", "argmin"])
def test_few_choices_wait_for_one_another(reduction: str) -> None:
    """Of 25 elements each result goes through five choices, not through 24 one after the other."""
    p, q = index("p", 5), index("q", 5)
    y = Reduce(reduction, (p, q), at(X, add(U, p), add(V, q)))
    made = Tensor("y", (U.size, V.size), y.type, "computed", whole("y", (U, V), y).equations)
    program = lower({"forward": graph(X, made, outputs=["y"], sizes=["U", "V"])})
    assert loops_in(program) == ["u", "v"]
    choices: dict[str, int] = {}
    (kernel,) = program.kernels.values()
    for statement in statements(kernel.body):
        if isinstance(statement, Let | Var | Update | Store):
            known = [choices.get(read.tensor, 0) for read in reads(statement.value)]
            name = statement.buffer if isinstance(statement, Store) else statement.name
            asked = {node.name for node in walk(statement.value) if isinstance(node, Op)}
            choices[name] = max(known, default=0) + bool(asked & {"max", "min", "le"})
            assert sum(isinstance(node, Select) for node in walk(statement.value)) <= 1  # within others: branches
    assert choices["y"] <= 5


def test_what_counts_by_data_is_read_first() -> None:
    mask = given("m", 8, 11)
    made = windows("sum", when(op("lt", Const(0.0), at(mask, ROW, COLUMN)), at(X, ROW, COLUMN)), mask)
    sizes, arrays = {"U": 3, "V": 4}, {"x": np.arange(88.0).reshape(8, 11), "m": values() - 1}
    program = lower({"forward": made})
    assert loops_in(program) == ["u", "v"]
    found = loops_reference.run(program, "forward", arrays, sizes)
    np.testing.assert_array_equal(found["y"], evaluate(made, arrays, sizes)["y"])


@pytest.mark.parametrize(
    "body",
    [at(X, COLUMN, ROW), when(op("lt", add(U, P), Const(3)), at(X, ROW, COLUMN))],
    ids=["elements that lie apart", "a border"],
)
def test_other_reductions_have_loops(body: Expr) -> None:
    assert {"p", "q"} <= set(loops_in(lower({"forward": windows("sum", body)})))


def test_a_place_that_is_asked_for_is_not_kept() -> None:
    place = windows("argmax", at(X, ROW, COLUMN)).tensors["y"]
    place = Tensor("place", place.sizes, "int", "computed", place.equations)
    u, v = index("u", "U"), index("v", "V")
    here = [op("eq", Read("place", (u, v), "int"), Const(n)) for n in (0, 4)]
    value = add(when(here[0], Const(1.0)), when(here[1], Const(2.0)))
    made = graph(X, place, whole("y", (u, v), value), outputs=["y"], sizes=["U", "V"])
    program = lower({"forward": made})
    assert list(program.buffers) == ["x", "y"]
    with np.errstate(invalid="ignore"):
        wanted = evaluate(made, {"x": values()}, {"U": 4, "V": 5})["y"]
        found = loops_reference.run(program, "forward", {"x": values()}, {"U": 4, "V": 5})
    np.testing.assert_array_equal(found["y"], wanted)
