"""The interpreter on recurrences, against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import recurrences
from building import Model, add, at, given, graph, index, parts
from recurrences import itself, plus

from dlc.compiler.ir.arithmetic import EvaluationError
from dlc.compiler.ir.expr import Const, Select, op
from dlc.compiler.ir.graph import Graph, whole
from dlc.compiler.ir.reference import evaluate


def test_rnn() -> None:
    model = recurrences.rnn(batch=2)
    x, h, wx, wh, c = (model.inputs[name] for name in ("x", "h0", "wx", "wh", "c"))
    expected = [h]
    for t in range(x.shape[1]):
        expected.append(np.tanh(x[:, t] @ wx.T + expected[-1] @ wh.T + c))
    np.testing.assert_allclose(evaluate(model.graph, model.inputs)["h"], np.stack(expected, 1), 1e-12, 1e-12)


def test_lstm_backwards() -> None:
    model = recurrences.lstm(backwards=True)
    x, w, u, c0 = (model.inputs[name] for name in ("x", "w", "u", "c0"))
    h = c = np.zeros((2, 3))
    expected = [h]
    for t in reversed(range(x.shape[1])):
        a = np.einsum("kdi,bi->kbd", w, x[:, t]) + np.einsum("kde,be->kbd", u, h) + c0[:, None]
        gates = 1 / (1 + np.exp(-a))
        c = gates[0] * c + gates[1] * np.tanh(a[3])
        h = gates[2] * np.tanh(c)
        expected.insert(0, h)
    np.testing.assert_allclose(evaluate(model.graph, model.inputs)["h"], np.stack(expected, 1), 1e-12, 1e-12)


def test_grid() -> None:
    model = recurrences.grid()
    x, w = model.inputs["x"], model.inputs["w"]
    g = np.zeros((4, 5))
    for i, j in np.ndindex(3, 4):
        corner = np.sin(g[i, j]) if i and j else 0.0
        g[i + 1, j + 1] = np.tanh(x[i, j] + w[0] * g[i, j + 1] + w[1] * g[i + 1, j] + w[2] * corner)
    np.testing.assert_allclose(evaluate(model.graph, model.inputs)["g"], g[1:, 1:], 1e-12, 1e-12)


def test_viterbi() -> None:
    """The path is the best of all paths."""
    model = recurrences.viterbi()
    e, tr = model.inputs["e"], model.inputs["tr"]
    scores = {
        path: sum(tr[path[t], path[t + 1]] + e[t, path[t + 1]] for t in range(5)) for path in np.ndindex(*[3] * 6)
    }
    best = max(scores, key=scores.__getitem__)
    values = evaluate(model.graph, model.inputs)
    assert tuple(values["path"]) == best
    np.testing.assert_allclose(values["v"][-1].max(), scores[best])


def test_many_steps() -> None:
    x = given("x", "T")
    t = index("t", "T")
    s = parts(
        "s",
        [plus("T", 1)],
        ((), (Const(0),), Const(0.0)),
        ((t,), (add(t, Const(1)),), add(at(itself("s", 1), t), at(x, t))),
    )
    values = np.arange(1000.0)
    found = evaluate(graph(x, s, sizes=["T"]), {"x": values})["s"]
    np.testing.assert_array_equal(found, np.concatenate([[0.0], np.cumsum(values)]))


def test_the_branch_not_taken_is_not_needed() -> None:
    """Reads of each other that form a circle of tensors, and none of elements; also where the guard is computed."""
    t = index("t", 6)
    a, b = itself("a", 1, "int"), itself("b", 1, "int")
    even = op("eq", op("mod", t, Const(2)), Const(0))
    first = whole("a", (t,), Select(even, t, add(at(b, t), Const(100))))
    t2 = index("t", 6)
    known = op("lt", at(b, add(t2, Const(-1))), at(a, add(t2, Const(-1))))
    second = whole(
        "b",
        (t2,),
        Select(op("eq", t2, Const(0)), at(a, t2), Select(known, at(a, t2), add(at(a, add(t2, Const(-1))), Const(7)))),
    )
    a_value, b_value = [0] * 6, [0] * 6
    for k in range(6):
        a_value[k] = k if k % 2 == 0 else -1
        if k == 0 or b_value[k - 1] < a_value[k - 1]:
            b_value[k] = a_value[k]
        else:
            b_value[k] = a_value[k - 1] + 7
        if k % 2:
            a_value[k] = b_value[k] + 100
    found = evaluate(Graph("G", {"a": first, "b": second}), {})  # too deep for the verifier, which asks for an order
    assert found["a"].tolist() == a_value
    assert found["b"].tolist() == b_value


def circle() -> Graph:
    t, t2 = index("t", 3), index("t", 3)
    g = itself("g", 1)
    h = whole("h", (t,), Select(op("lt", t, Const(2)), at(g, t), Const(1.0)))
    g = whole("g", (t2,), Select(op("eq", t2, Const(1)), at(h, add(t2, Const(-1))), at(h, t2)))
    return Graph("G", {"h": h, "g": g})  # which the verifier would refuse


def test_a_circle_is_an_error() -> None:
    with pytest.raises(EvaluationError, match=r"elements depend on themselves: h\[0\] -> g\[0\] -> h\[0\]"):
        evaluate(circle(), {})


def test_reading_outside_is_an_error_where_it_is_read() -> None:
    t = index("t", "T")
    x = given("x", "T")
    h = whole("h", (t,), add(at(x, t), at(itself("h", 1), add(t, Const(-1)))))
    with pytest.raises(EvaluationError, match=r"h\[-1\] is outside the shape"):
        evaluate(graph(x, h, sizes=["T"]), {"x": np.zeros(3)})


@pytest.mark.parametrize("model", recurrences.models(), ids=lambda model: model.name)
def test_values_are_finite(model: Model) -> None:
    for name, value in evaluate(model.graph, model.inputs, model.sizes).items():
        assert np.all(np.isfinite(value)), name
