"""Orders of recurrences: every element is computed after those that it reads, by walking through all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import pytest
from building import add, mul, sub, when

from dlc.compiler.ir import recurrence
from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.dependences import Place, guarded_reads
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, Size, fresh, op
from dlc.compiler.ir.graph import Equation, Graph, Requirement, Tensor, whole
from dlc.compiler.ir.recurrence import Conflict, Loop, order
from dlc.compiler.ir.reference import size_value
from dlc.compiler.ir.rewriting import substitute

T, ONE, TWO = Size("T"), Const(1), Const(2)


def index(hint: str, size: Expr = T) -> Index:
    return fresh(size, hint)


def at(name: str, *subscripts: Expr) -> Read:
    return Read(name, subscripts, "real")


def tensor(name: str, sizes: Sequence[Expr], *equations: tuple[Sequence[Index], Sequence[Expr], Expr]) -> Tensor:
    rows = tuple(Equation(tuple(i), tuple(s), value) for i, s, value in equations)
    return Tensor(name, tuple(sizes), "real", "computed", rows)


def graph(*tensors: Tensor) -> Graph:
    return Graph("G", {one.id: one for one in tensors}, sizes=("T",))


def simple() -> Graph:
    t = index("t")
    return graph(tensor("h", [add(T, ONE)], ([], [Const(0)], Const(0.0)), ([t], [add(t, ONE)], at("h", t))))


def two_steps_back() -> Graph:
    t = index("t", sub(T, ONE))
    start = [([], [Const(0)], Const(0.0)), ([], [ONE], Const(1.0))]
    return graph(tensor("h", [add(T, ONE)], *start, ([t], [add(t, TWO)], add(at("h", t), at("h", add(t, ONE))))))


def guarded() -> Graph:
    t = index("t")
    return graph(whole("h", (t,), when(op("lt", Const(0), t), at("h", sub(t, ONE)))))


def downwards() -> Graph:
    """The adjoint of a recurrence, with one element more than its partner."""
    a, t = index("a", add(T, ONE)), index("t")
    d_h = whole("d_h", (a,), when(op("lt", a, T), at("d_s", a)))
    return graph(d_h, whole("d_s", (t,), mul(at("d_h", add(t, ONE)), Const(2.0))))


def lstm() -> Graph:
    t, u, v = index("t"), index("t"), index("t")
    h = tensor(
        "h", [add(T, ONE)], ([t], [add(t, ONE)], mul(at("o", t), at("c", add(t, ONE)))), ([], [Const(0)], Const(0.0))
    )
    c = tensor("c", [add(T, ONE)], ([u], [add(u, ONE)], add(at("c", u), at("o", u))), ([], [Const(0)], Const(0.0)))
    return graph(h, c, whole("o", (v,), at("h", v)))


def grid() -> Graph:
    i, j = index("i"), index("j")
    i1, j1 = add(i, ONE), add(j, ONE)
    value = add(at("d", i, j1), at("d", i1, j), at("d", i, j))
    k, m = index("k", add(T, ONE)), index("m")
    edges = [([k], [k, Const(0)], Const(0.0)), ([m], [Const(0), add(m, ONE)], Const(0.0))]
    return graph(tensor("d", [add(T, ONE), add(T, ONE)], ([i, j], [i1, j1], value), *edges))


def all_earlier() -> Graph:
    t, s = index("t"), index("s")
    return graph(whole("h", (t,), add(Const(1.0), Reduce("sum", (s,), when(op("lt", s, t), at("h", s))))))


def mirrored() -> Graph:
    t, u = index("t"), index("u")
    last = sub(T, ONE)
    h = tensor("h", [add(T, ONE)], ([t], [add(t, ONE)], at("g", sub(last, t))), ([], [Const(0)], Const(0.0)))
    return graph(h, whole("g", (u,), at("h", sub(last, u))))


def layers_over_time() -> Graph:
    l, t = index("l"), index("t")  # the layers
    l1, t1, l2, t2 = index("l"), index("t"), index("l"), index("t")
    up, start = ([l, t], [add(l, ONE), add(t, ONE)], add(at("x", l, t), at("r", l, t))), index("k", add(T, ONE))
    m = index("m")
    base = [([start], [start, Const(0)], Const(0.0)), ([m], [Const(0), add(m, ONE)], Const(0.0))]
    return graph(
        whole("x", (l1, t1), at("h", l1, add(t1, ONE))),
        whole("r", (l2, t2), at("h", add(l2, ONE), t2)),
        tensor("h", [add(T, ONE), add(T, ONE)], up, *base),
    )


def tree() -> Graph:
    """Children stand before their parents, which a guard says of data."""
    t, p = index("t"), Tensor("p", (T,), "int", "input")
    child = Read("p", (t,), "int")
    return graph(p, whole("h", (t,), when(op("and", op("le", Const(0), child), op("lt", child, t)), at("h", child))))


GRAPHS = [
    simple, two_steps_back, guarded, downwards, lstm, grid, all_earlier, mirrored, layers_over_time,
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_every_element_is_computed_after_those_it_reads(make, size: int) -> None:
    made = make()
    computed: set[tuple[str, tuple[int, ...]]] = set()
    for component in made.components:
        if made.tensors[component[0]].kind != "computed":
            continue
        found = order(made, component)
        assert not isinstance(found, Conflict)
        assert any(isinstance(step, Loop) for step in found) == (component in made.recurrences)
        for place, point in _visits(made, found, {}, {"T": size}):
            equation = made.tensors[place.tensor].equations[place.number]
            for element in _elements_read(equation.value, point, {"T": size}):
                assert element in computed, f"{place} at {point} reads {element}"
            computed.add((place.tensor, tuple(_number(s, point, {"T": size}) for s in equation.subscripts)))
    for one in made.tensors.values():
        for place in product(*(range(size_value(extent, {"T": size})) for extent in one.sizes)):
            assert (one.id, place) in computed


def _visits(made: Graph, steps, at_times: Mapping[str, tuple[tuple[int, int], ...]], sizes) -> Iterator:
    """Every equation at every point, in the order that loops say; ``at_times``: axis and subscript fixed by loops."""
    for step in steps:
        if isinstance(step, Place):
            equation = made.tensors[step.tensor].equations[step.number]
            for values in product(*(range(size_value(i.size, sizes)) for i in equation.indices)):
                point = dict(zip(equation.indices, values, strict=True))
                where = [_number(s, point, sizes) for s in equation.subscripts]
                if all(where[axis] == value for axis, value in at_times.get(step.tensor, ())):
                    yield step, point
            continue
        for now in range(-6, 7):
            fixed = dict(at_times)
            for name, time in step.times.items():
                subscript = (now - _number(time.shift.expression(), {}, sizes)) * time.direction
                fixed[name] = (*at_times.get(name, ()), (time.axis, subscript))
            yield from _visits(made, step.body, fixed, sizes)


def _number(expression: Expr, point: Mapping[Index, int], sizes: Mapping[str, int]) -> int:
    known: dict[Expr, Expr] = {i: Const(value) for i, value in point.items()}
    return size_value(substitute(expression, known), sizes)


def _elements_read(value: Expr, point: Mapping[Index, int], sizes: Mapping[str, int]) -> Iterator:
    match value:
        case Select(cond=cond, yes=yes, no=no):
            yield from _elements_read(yes if _number(Select(cond, ONE, Const(0)), point, sizes) else no, point, sizes)
        case Read(tensor=name, subscripts=subscripts):
            yield name, tuple(_number(s, point, sizes) for s in subscripts)
        case Reduce(indices=indices, body=body):
            for values in product(*(range(size_value(i.size, sizes)) for i in indices)):
                yield from _elements_read(body, {**point, **dict(zip(indices, values, strict=True))}, sizes)
        case Op(args=args):
            for arg in args:
                yield from _elements_read(arg, point, sizes)


def test_a_guard_over_data_gives_an_order() -> None:
    made = tree()
    (loop,) = order(made, ("h",))  # type: ignore[misc]
    assert isinstance(loop, Loop) and loop.times["h"].direction == 1


def test_what_does_not_depend_on_the_step_before_stands_outside_the_inner_loop() -> None:
    made = layers_over_time()
    found = order(made, ("x", "r", "h"))
    assert not isinstance(found, Conflict)
    (layers,) = [step for step in found if isinstance(step, Loop)]
    inner = [step for step in layers.body if isinstance(step, Loop)]
    assert [{place.tensor for place in loop.places()} for loop in inner] == [{"r", "h"}]


def test_members_that_run_side_by_side_begin_at_one_time() -> None:
    (loop,) = [step for step in order(lstm(), ("h", "c", "o")) if isinstance(step, Loop)]  # type: ignore[union-attr]
    starts = {"h": 1, "c": 1, "o": 0}
    assert {(polynomial(Const(starts[n])) + time.shift).value for n, time in loop.times.items()} == {1}


def test_an_order_is_looked_for_once_as_long_as_nothing_changes(monkeypatch) -> None:
    """The verifier asks after every pass; what other passes do to the rest of a graph is none of its business."""
    looked: list[str] = []
    search = recurrence._Search.looped
    monkeypatch.setattr(recurrence._Search, "looped", lambda *given: looked.append("") or search(*given))
    made = lstm()
    t = index("t")
    more = made.with_tensors([*made.tensors.values(), whole("y", (t,), at("x", t))])
    found = order(made, ("h", "c", "o"))
    once = len(looked)
    assert once > 0
    assert order(more, ("h", "c", "o")) == found
    assert len(looked) == once
    s = index("s")
    changed = replace(made.tensors["o"], equations=(Equation((s,), (s,), at("h", s)),))
    order(made.with_tensors([*made.tensors.values(), changed]), ("h", "c", "o"))
    order(replace(made, requirements=(Requirement(T, "T is not negative"),)), ("h", "c", "o"))
    assert len(looked) > 2 * once


def itself() -> Graph:
    t = index("t")
    return graph(whole("y", (t,), at("y", t)))


def each_other() -> Graph:
    t, u = index("t"), index("t")
    return graph(whole("a", (t,), at("b", t)), whole("b", (u,), at("a", u)))


def both_neighbours() -> Graph:
    t = index("t")
    before = when(op("lt", Const(0), t), at("y", sub(t, ONE)))
    after = when(op("lt", add(t, ONE), T), at("y", add(t, ONE)))
    return graph(whole("y", (t,), add(before, after)))


def all_of_itself() -> Graph:
    t, s = index("t"), index("s")
    return graph(whole("h", (t,), Reduce("sum", (s,), at("h", s))))


@pytest.mark.parametrize("make", [itself, each_other, both_neighbours, all_of_itself], ids=lambda make: make.__name__)
def test_a_cycle_without_order_is_shown(make) -> None:
    made = make()
    found = order(made, tuple(made.tensors))
    assert isinstance(found, Conflict)
    readers = [edge.reader.tensor for edge in found.circle]
    assert set(readers) == set(made.tensors)
    for edge in found.circle:
        equation = made.tensors[edge.reader.tensor].equations[edge.reader.number]
        assert edge.read in [read for read, _ in guarded_reads(equation.value)]
