"""Recurrences whose time is the last axis go row by row, and compute what they did round by round."""

from __future__ import annotations

import pytest
from building import add, at, given, index, mul, when
from lower.agreement import agreeing, loops_in

from dlc.compiler.ir.expr import Const, Expr, Index, Read, Select, Size, op
from dlc.compiler.ir.graph import Equation, Tensor, whole
from dlc.compiler.ir.loops import Program, Repeat

SIZES = {"B": 3, "C": 2, "T": 5}
B, C, T = (index(name.lower(), name) for name in SIZES)
LONG = add(Size("T"), Const(1))


def running(x: Tensor, *axes: Index, op_name: str = "add", slow: bool = False) -> Tensor:
    """``h[.., t+1] = h[.., t] + x[.., t]`` from 0."""
    step = op(op_name, Read("h", (*axes, T), "real"), at(x, *axes, T))
    start = Equation(axes, (*axes, Const(0)), Const(0.0))
    following = Equation((*axes, T), (*axes, add(T, Const(1))), op("tanh", step) if slow else step)
    sizes = tuple(axis.size for axis in axes)
    return Tensor("h", (*sizes, LONG), "real", "computed", (start, following))


def rounds(program: Program) -> int:
    return sum(isinstance(step, Repeat) for entry in program.entries for r in entry.regions for step in r.steps)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("rows", "steps"), [(3, 5), (1, 1), (4, 0), (0, 4)])
@pytest.mark.parametrize("name", ["add", "max"])
def test_rows_are_gone_through_one_by_one(name: str, rows: int, steps: int, shards: int) -> None:
    x = given("x", "B", "T")
    program = agreeing(x, running(x, B, op_name=name), sizes={**SIZES, "B": rows, "T": steps}, shards=shards)
    assert (loops_in(program), rounds(program)) == (["b", "t"], 0)


def test_axes_around_stay_around() -> None:
    x = given("x", "B", "C", "T")
    assert loops_in(agreeing(x, running(x, B, C), sizes=SIZES)) == ["b", "c", "t"]


def test_a_single_row_is_one_kernel() -> None:
    x = given("x", "T")
    program = agreeing(x, running(x), sizes=SIZES)
    assert (loops_in(program), rounds(program)) == (["t"], 0)


@pytest.mark.parametrize("shards", [1, 3])
def test_shards_do_not_share_the_rounds_of_what_stands_at_its_round(shards: int) -> None:
    x = given("x", "T")
    before = Read("h", (add(T, Const(-1)),), "real")
    value = Select(op("le", Const(1), T), op("max", before, at(x, T)), at(x, T))
    agreeing(x, whole("h", (T,), value), sizes={**SIZES, "T": 11}, shards=shards)


def test_what_reads_a_row_joins_it() -> None:
    x = given("x", "B", "T")
    h = running(x, B)
    y = whole("y", (B, T), mul(at(h, B, add(T, Const(1))), at(x, B, T)))
    assert len(agreeing(x, h, y, sizes=SIZES).kernels) == 1


def test_where_rows_lie_side_by_side_they_go_on_side_by_side() -> None:
    x = given("x", "T", "B")
    start = Equation((B,), (Const(0), B), Const(0.0))
    step = Equation((T, B), (add(T, Const(1)), B), add(Read("h", (T, B), "real"), at(x, T, B)))
    h = Tensor("h", (LONG, B.size), "real", "computed", (start, step))
    assert rounds(agreeing(x, h, sizes=SIZES)) == 1


def test_slow_functions_are_for_vectors() -> None:
    x = given("x", "B", "T")
    assert rounds(agreeing(x, running(x, B, slow=True), sizes=SIZES)) == 1


def test_rows_that_need_each_other_wait() -> None:
    """``h[b,t+1] = h[0,t] + x[b,t]``: the first row has to be a step ahead of the others, round by round."""
    x = given("x", "B", "T")
    start = Equation((B,), (B, Const(0)), Const(0.0))
    step = Equation((B, T), (B, add(T, Const(1))), add(Read("h", (Const(0), T), "real"), at(x, B, T)))
    h = Tensor("h", (B.size, LONG), "real", "computed", (start, step))
    assert rounds(agreeing(x, h, sizes=SIZES)) == 1


def test_rounds_in_which_only_some_are_computed() -> None:
    """Two tensors of one recurrence that begin at different times."""
    x = given("x", "B", "T")
    behind = add(T, Const(1))
    far = add(T, Const(2))
    longer = add(Size("T"), Const(2))

    def tensor(name: str, size: Expr, place: Expr, value: Expr, *first: int) -> Tensor:
        starts = tuple(Equation((B,), (B, Const(n)), Const(1.0)) for n in first)
        return Tensor(name, (B.size, size), "real", "computed", (*starts, Equation((B, T), (B, place), value)))

    h = tensor("h", LONG, behind, add(at(x, B, T), Read("g", (B, T), "real")), 0)
    g = tensor("g", longer, far, mul(Read("h", (B, behind), "real"), at(x, B, T)), 0, 1)
    assert rounds(agreeing(x, h, g, sizes=SIZES)) == 0


def test_guards_stay_with_what_they_keep_in_range() -> None:
    x = given("x", "B", "T")
    before = add(T, Const(-1))
    value = add(at(x, B, T), when(op("le", Const(1), T), Read("h", (B, before), "real")))
    assert loops_in(agreeing(x, whole("h", (B, T), value), sizes=SIZES)) == ["b", "t", "t"]
