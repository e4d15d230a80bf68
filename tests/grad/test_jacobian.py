"""Every element of a derivative of one tensor by another, against central differences."""

from __future__ import annotations

import numpy as np
import pytest
from building import Arrays, add, at, extracted, given, graph, index, mul, parts, total

from dlc.compiler.grad.jacobian import jacobian
from dlc.compiler.ir.expr import Const, op
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import check


def network() -> tuple[Graph, Arrays]:
    """``y[b,i] = tanh(w x)``, ``z`` of two parts, and ``c``, which depends on nothing of it."""
    x, w = given("x", 2, 3), given("w", 4, 3, kind="parameter")
    b, i, j = index("b", 2), index("i", 4), index("j", 3)
    y = whole("y", (b, i), op("tanh", total(j, of=mul(at(w, i, j), at(x, b, j)))))
    b, i = index("b", 2), index("i", 4)
    low, high = index("m", 2), index("n", 3)
    z = parts(
        "z", (5,), ((low,), (low,), mul(at(y, Const(0), low), at(y, Const(1), low))),
        ((high,), (add(high, Const(2)),), at(x, Const(1), high)),
    )  # fmt: skip
    i = index("i", 4)
    c = whole("c", (i,), op("real", i))
    random = np.random.default_rng(0)
    made = extracted(graph(x, w, y, z, c, outputs=["y", "z", "c"]))
    return made, {"x": random.normal(size=(2, 3)), "w": random.normal(size=(4, 3))}


def differences(made: Graph, arrays: Arrays, of: str, wrt: str) -> np.ndarray:
    value = evaluate(made, arrays)[of]
    result = np.zeros((*value.shape, *arrays[wrt].shape))
    for place in np.ndindex(*arrays[wrt].shape):
        step = np.zeros(arrays[wrt].shape)
        step[place] = 1e-6
        up, down = (evaluate(made, {**arrays, wrt: arrays[wrt] + sign * step})[of] for sign in (1, -1))
        result[(..., *place)] = (up - down) / 2e-6
    return result


@pytest.mark.parametrize("wrt", ["x", "w"])
@pytest.mark.parametrize("of", ["y", "z", "c"])
def test_all_elements(of: str, wrt: str) -> None:
    made, arrays = network()
    result = jacobian(made, of, wrt)
    check(result, "jacobian")
    (output,) = result.outputs
    np.testing.assert_allclose(evaluate(result, arrays)[output.tensor], differences(made, arrays, of, wrt), 1e-6, 1e-8)


def test_by_a_tensor_on_the_way_and_by_itself() -> None:
    made, arrays = network()
    result = jacobian(made, "z", "y")
    found = evaluate(result, arrays)[result.outputs[0].tensor]
    y = evaluate(made, arrays)["y"]
    expected = np.zeros((5, 2, 4))
    for i in range(2):
        expected[i, 0, i], expected[i, 1, i] = y[1, i], y[0, i]
    np.testing.assert_allclose(found, expected)
    result = jacobian(made, "y", "y")
    found = evaluate(result, arrays)[result.outputs[0].tensor]
    np.testing.assert_array_equal(found.reshape(8, 8), np.eye(8))


def test_of_a_scalar_it_is_the_gradient() -> None:
    x, i = given("x", 3), index("i", 3)
    made = extracted(graph(x, whole("s", (), total(i, of=mul(at(x, i), at(x, i)))), outputs=["s"]))
    result = jacobian(made, "s", "x")
    found = evaluate(result, {"x": np.array([1.0, 2.0, 3.0])})[result.outputs[0].tensor]
    np.testing.assert_array_equal(found, [2, 4, 6])
