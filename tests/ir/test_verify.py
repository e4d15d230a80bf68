"""The verifier accepts what is valid and says what is wrong with what is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from building import add, at, given, graph, index, mul, parts, total

from dlc.compiler.ir import verify as verifier
from dlc.compiler.ir.expr import Const, Expr, Read, Reduce, Select, Size, Solve, op
from dlc.compiler.ir.graph import Equation, Gradient, Graph, Objective, Output, Requirement, Tensor, whole
from dlc.compiler.ir.verify import InternalError, check, verify

X = given("x", "N", 3, sets=("N", "I"))
Z = given("z", "N", type="int", bound=Const(3), bound_set="I")
P = given("p", 3, kind="parameter")
N, AXIS, J = index("n", "N"), index("i", 3), index("j", 3)
XI, PI = at(X, N, AXIS), at(P, AXIS)


def sum_of_squares() -> Tensor:
    return whole("loss", (), total(N, AXIS, of=mul(XI, XI)))


def valid() -> Graph:
    y = whole("y", (N, AXIS), mul(XI, PI))
    d_p = whole("d_p", (J,), Const(0.0))
    made = graph(X, Z, P, y, sum_of_squares(), d_p, loss="loss", outputs=["y"], sizes=["N"])
    return replace(made, gradients=(Gradient("p", "d_p"),), objectives=(Objective("loss", "loss", ("p",)),))


def with_value(value: Expr) -> Graph:
    """The valid graph with another right side of ``y[n,i]``."""
    return with_tensor(whole("y", (N, AXIS), value))


def with_tensor(tensor: Tensor) -> Graph:
    made = valid()
    return made.with_tensors({**made.tensors, tensor.id: tensor}.values())


def equation(tensor: str, indices: tuple, subscripts: tuple, value: Expr) -> Tensor:
    return Tensor(tensor, (Size("N"), Const(3)), "real", "computed", (Equation(indices, subscripts, value),))


def test_a_valid_graph() -> None:
    assert list(verify(valid())) == []
    check(valid(), "nothing")


def test_parts_may_cover_less_than_an_axis() -> None:
    i, j = index("i", 3), index("j", 2)
    y = parts("y", [5], ([i], [i], at(P, i)), ([j], [add(Const(3), j)], Const(0.0)))
    assert list(verify(graph(P, y, outputs=["y"]))) == []


def test_the_pass_that_broke_it_is_named() -> None:
    broken = with_value(Read("gone", (), "real"))
    with pytest.raises(InternalError, match=r"^after fuse: y reads gone, which no equation defines$"):
        check(broken, "fuse")


T, M = index("t", 7), index("m", "M")
SQUARED = equation("y", (N, AXIS), (N, mul(AXIS, AXIS)), XI)
NEEDS_M = Requirement(Size("M"), "M is not negative")
ROW, COLUMN = index("k", 3), index("l", 3)


def system(vector: Expr | None = None, position: Expr = AXIS) -> Solve:
    matrix = mul(at(P, ROW), at(P, COLUMN))
    return Solve((ROW, COLUMN), matrix, at(P, ROW) if vector is None else vector, position)


CASES: dict[str, Callable[[], Graph]] = {
    "other is kept under the name y": lambda: Graph("G", {"y": whole("other", (), Const(1.0))}),
    # expressions
    "y reads x[i#I] with 1 subscripts; it has 2 axes": lambda: with_value(at(X, AXIS)),
    "y reads x[n#N,i#I] as int; it is real": lambda: with_value(op("real", Read("x", (N, AXIS), "int"))),
    "y reads x[n#N,p[i#I]], whose subscript p[i#I] is real": lambda: with_value(at(X, N, PI)),
    "y depends on |M|, which no input binds": lambda: with_value(op("real", Size("M"))),
    "y: add(p[i#I], z[n#N]) of real, int": lambda: with_value(add(PI, at(Z, N))),
    "y: exp(z[n#N]) of int": lambda: with_value(op("exp", at(Z, N))),
    "y: floordiv(p[i#I], p[i#I]) of real, real": lambda: with_value(op("floordiv", PI, PI)),
    "y: real(p[i#I]) of real": lambda: with_value(op("real", PI)),
    "y: pow(z[n#N], p[i#I]) of int, real": lambda: with_value(op("real", op("pow", at(Z, N), PI))),
    "y: and(eq(j#J, j#J), j#J) of bool, int": lambda: with_value(op("real", op("and", op("eq", J, J), J))),
    "y: eq(p[i#I], 0) of real, int": lambda: with_value(op("real", op("eq", PI, Const(0)))),
    "y: max has 1 arguments": lambda: with_value(op("max", PI)),
    "y: the condition p[i#I] is real": lambda: with_value(Select(PI, PI, PI)),
    "y: the branches p[i#I] and 0 are real and int": lambda: with_value(Select(op("lt", AXIS, AXIS), PI, Const(0))),
    "y: sum over no index": lambda: with_value(Reduce("sum", (), PI)),
    "y: sum of lt(i#I, j#J), which is bool": lambda: with_value(op("real", Reduce("sum", (J,), op("lt", AXIS, J)))),
    "y: any of p[j#J], which is real": lambda: with_value(op("real", Reduce("any", (J,), at(P, J)))),
    # systems
    "y has a system that is not at the root of its equation": lambda: with_value(op("exp", system())),
    "y: 0 is no index of the equation, and the position in a solution": lambda: with_value(system(position=Const(0))),
    "y: the system depends on i#I, the position in its solution": lambda: with_value(system(vector=PI)),
    "y: the right side of the system depends on the column l#L": lambda: with_value(system(vector=at(P, COLUMN))),
    "y: the system has the types real and int": lambda: with_value(system(vector=ROW)),
    # binding
    "y: j#J is not bound": lambda: with_value(at(P, J)),
    "y: i#I is bound twice": lambda: with_value(total(AXIS, of=PI)),
    "y: j#J is bound twice": lambda: with_value(total(J, of=mul(at(P, J), total(J, of=at(P, J))))),
    "y: sum lists an index twice": lambda: with_value(Reduce("sum", (J, J), at(P, J))),
    # left sides
    "y is int and its equation is real": lambda: with_tensor(replace(whole("y", (N, AXIS), XI), type="int")),
    "y has 2 axes and an equation with 1 subscripts": lambda: with_tensor(equation("y", (N,), (N,), Const(1.0))),
    "y has an equation that lists an index twice": lambda: with_tensor(equation("y", (N, AXIS, AXIS), (N, AXIS), XI)),
    "y: j#J does not occur on the left": lambda: with_tensor(equation("y", (N, AXIS, J), (N, AXIS), XI)),
    "y: the left side has mul(i#I, i#I), which is not affine": lambda: with_tensor(SQUARED),
    "y: t#T runs over 7 on an axis of 3": lambda: with_tensor(equation("y", (N, T), (N, T), Const(1.0))),
    # tensors
    "y has 2 axes and 1 index sets": lambda: with_tensor(replace(whole("y", (N, AXIS), XI), sets=("N",))),
    "y is computed and has no equation": lambda: with_tensor(replace(whole("y", (N, AXIS), XI), equations=())),
    "y is an input and has equations": lambda: with_tensor(replace(whole("y", (N, AXIS), XI), kind="input")),
    "m is a mode and not a scalar": lambda: with_tensor(given("m", 3, kind="mode")),
    "h is a hyper-parameter and not a scalar": lambda: with_tensor(given("h", 3, kind="hyper")),
    "p has a bound and is real": lambda: with_tensor(given("p", 3, kind="parameter", bound=Const(2))),
    "a size of p is real": lambda: with_tensor(given("p", Const(3.0), kind="parameter")),
    "a size of q depends on i#I": lambda: with_tensor(given("q", add(AXIS, Const(1)))),
    "a size of q depends on |M|, which no input binds": lambda: with_tensor(given("q", "M")),
    "the range of m#M in y depends on |M|, which no input binds": lambda: with_value(total(M, of=PI)),
    # roots
    "the output o is gone, which no equation defines": lambda: replace(valid(), outputs=(Output("o", "gone"),)),
    "the loss is gone, which no equation defines": lambda: replace(valid(), objectives=(Objective("loss", "gone"),)),
    "the loss p is not a real scalar": lambda: replace(valid(), objectives=(Objective("loss", "p"),)),
    "a gradient names gone, which no equation defines": lambda: replace(valid(), gradients=(Gradient("p", "gone"),)),
    "the gradient y has not the shape of p": lambda: replace(valid(), gradients=(Gradient("p", "y"),)),
    "x is trained and is not a parameter": lambda: replace(valid(), objectives=(Objective("loss", "loss", ("x",)),)),
    "a size is listed twice": lambda: replace(valid(), sizes=("N", "N")),
    "a requirement depends on |M|, which no input binds": lambda: replace(valid(), requirements=(NEEDS_M,)),
    "no order of the elements of a recurrence: y reads y[n#N,i#I]": lambda: with_value(Read("y", (N, AXIS), "real")),
}  # fmt: skip


@pytest.mark.parametrize("expected", CASES)
def test_problem(expected: str) -> None:
    problems = [named(problem) for problem in verify(CASES[expected]())]
    assert expected in problems


def named(problem: str) -> str:
    """The sentence with letters in the place of ids."""
    return re.sub(r"(\w)#\d+", lambda match: f"{match[1]}#{match[1].upper()}", problem)


def test_what_was_right_is_looked_at_again_only_where_it_or_what_it_reads_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []
    problems = verifier._tensor_problems
    monkeypatch.setattr(verifier, "_tensor_problems", lambda one, of: looked.append(one.id) or problems(one, of))
    monkeypatch.setattr(verifier, "_right", set())
    made = valid()
    check(made, "one pass")
    assert sorted(looked) == sorted(made.tensors)
    looked.clear()
    check(replace(made, tensors=dict(made.tensors)), "a pass that changes nothing")
    assert looked == []
    check(with_value(add(XI, PI)), "a pass that changes one equation")
    assert looked == ["y"]
    looked.clear()
    numbers = replace(made.tensors["p"], type="int", kind="input")
    assert any("as real; it is int" in problem for problem in verify(with_tensor(numbers)))
    assert looked == ["p", "y"]
    assert any("no input binds" in problem for problem in verify(replace(made, sizes=())))
