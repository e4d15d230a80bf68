"""Graphs made by hand, for tests that must not depend on the front end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dlc.compiler.grad.reverse import differentiate, differentiate_vjp
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, Select, Size, free_indices, fresh, op, refresh
from dlc.compiler.ir.graph import Equation, Graph, Objective, Output, Tensor, unique, whole
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.ir.verify import check

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """A graph with inputs."""

    name: str
    graph: Graph
    inputs: dict[str, np.ndarray]
    sizes: Mapping[str, int] = field(default_factory=dict)  # those that no input tells


# -- expressions ----------------------------------------------------------------------------------------------------


def index(hint: str, size: int | str | Expr) -> Index:
    return fresh(extent(size), hint)


def extent(size: int | str | Expr) -> Expr:
    """A number, the name of a size that the inputs bind, or an expression."""
    return Const(size) if isinstance(size, int) else Size(size) if isinstance(size, str) else size


def at(tensor: Tensor, *subscripts: Expr | int) -> Read:
    return Read(tensor.id, tuple(Const(s) if isinstance(s, int) else s for s in subscripts), tensor.type)


def add(*terms: Expr) -> Expr:
    return op("add", *terms)


def sub(x: Expr, y: Expr) -> Expr:
    return op("add", x, op("neg", y))


def mul(*factors: Expr) -> Expr:
    return op("mul", *factors)


def when(cond: Expr, x: Expr) -> Expr:
    return Select(cond, x, Const(0.0))


def within(subscript: Expr, size: Expr) -> Expr:
    return op("and", op("le", Const(0), subscript), op("lt", subscript, size))


def total(*indices: Index, of: Expr) -> Expr:
    return Reduce("sum", indices, of)


# -- graphs ---------------------------------------------------------------------------------------------------------


def given(id: str, *sizes: int | str | Expr, type: str = "real", kind: str = "input", **more: object) -> Tensor:
    return Tensor(id, tuple(map(extent, sizes)), type, kind, **more)  # type: ignore[arg-type]


Part = tuple[Sequence[Index], Sequence[Expr], Expr]


def parts(id: str, sizes: Sequence[int | str | Expr], *equations: Part) -> Tensor:
    """A tensor with several equations: indices, subscripts and value of each."""
    rows = tuple(Equation(tuple(indices), tuple(subscripts), value) for indices, subscripts, value in equations)
    return Tensor(id, tuple(map(extent, sizes)), rows[0].value.type, "computed", rows)


def graph(*tensors: Tensor, loss: str | None = None, outputs: Sequence[str] = (), sizes: Sequence[str] = ()) -> Graph:
    objectives = () if loss is None else (Objective(loss, loss),)
    made = Graph(
        "G", {tensor.id: tensor for tensor in tensors}, tuple(Output(o, o) for o in outputs), tuple(sizes), objectives
    )
    check(made, "building")
    return made


def scalar(value: Expr) -> float:
    """The value of an expression that reads nothing."""
    made = graph(whole("y", (), value))
    return evaluate(made, {})["y"].item()


def extracted(made: Graph) -> Graph:
    """Every reduction inside an expression as a tensor of its own."""
    tensors: dict[str, Tensor] = {}
    for tensor in made.tensors.values():
        taken = {*made.tensors, *tensors}
        new: list[Tensor] = []
        equations = [replace(e, value=_without_reductions(e.value, tensor.id, taken, new)) for e in tensor.equations]
        tensors.update({one.id: one for one in (*new, replace(tensor, equations=tuple(equations)))})
    result = made.with_tensors(tensors.values())
    check(result, "extracted")
    return result


def _without_reductions(value: Expr, name: str, taken: set[str], new: list[Tensor]) -> Expr:
    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Reduce):
            return None
        free = free_indices(node)
        axes = tuple(refresh(index) for index in free)
        made = whole(unique(f"{name}.{node.op}", taken), axes, substitute(node, dict(zip(free, axes, strict=True))))
        taken.add(made.id)
        new.append(made)
        return at(made, *free)

    if isinstance(value, Reduce):
        return Reduce(value.op, value.indices, transform(value.body, change))
    return transform(value, change)


# -- derivatives ----------------------------------------------------------------------------------------------------


def finite_differences(made: Graph, inputs: Arrays, of: str, wrt: str, weight: np.ndarray | None = None) -> np.ndarray:
    """The derivative of ``of`` (times ``weight``, summed) by central differences."""

    def value(changed: np.ndarray) -> float:
        result = evaluate(made, {**inputs, wrt: changed}, wanted=[of])[of]
        return float(np.sum(result if weight is None else result * weight))

    at, step = np.asarray(inputs[wrt], float), 1e-6
    result = np.zeros(at.shape)
    for position in np.ndindex(*at.shape):
        up, down = at.copy(), at.copy()
        up[position] += step
        down[position] -= step
        result[position] = (value(up) - value(down)) / (2 * step)
    return result


def assert_gradient(made: Graph, inputs: Arrays, wrt: Sequence[str], tolerance: float = 1e-6) -> Graph:
    """The gradient of the loss agrees with finite differences; returns the differentiated graph."""
    (objective,) = made.objectives
    result = differentiate(made, objective.loss, wrt)
    check(result, "differentiate")
    values = evaluate(result, inputs)
    assert [gradient.tensor for gradient in result.gradients] == list(wrt)
    for gradient in result.gradients:
        expected = finite_differences(made, inputs, objective.loss, gradient.tensor)
        np.testing.assert_allclose(values[gradient.adjoint], expected, tolerance, tolerance, err_msg=gradient.tensor)
    return result


def assert_vjp(made: Graph, inputs: Arrays, outputs: Sequence[str], wrt: Sequence[str]) -> Graph:
    """The vector-Jacobian product with random cotangents agrees with finite differences of each output."""
    result = differentiate_vjp(made, outputs, wrt)
    check(result, "differentiate_vjp")
    forward = evaluate(made, inputs)
    random = np.random.default_rng(7)
    weights = {name: np.asarray(random.normal(size=forward[name].shape)) for name in dict.fromkeys(outputs)}
    values = evaluate(result, {**inputs, **{f"d_{name}": weight for name, weight in weights.items()}})
    for gradient in result.gradients:
        expected = sum(finite_differences(made, inputs, name, gradient.tensor, w) for name, w in weights.items())
        np.testing.assert_allclose(values[gradient.adjoint], expected, 1e-6, 1e-6, err_msg=gradient.tensor)
    return result
