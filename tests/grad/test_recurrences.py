"""Adjoints of recurrences against finite differences, to the second order, and against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import recurrences
from building import (
    Model,
    add,
    assert_gradient,
    assert_vjp,
    at,
    finite_differences,
    given,
    graph,
    index,
    mul,
    parts,
    total,
)
from recurrences import itself, plus, reals, tanh, with_loss

from dlc.compiler.derivative import Wanted, derivative_lines, with_derivatives
from dlc.compiler.grad.jacobian import jacobian
from dlc.compiler.grad.reverse import differentiate
from dlc.compiler.ir.expr import Const, op
from dlc.compiler.ir.graph import Graph, Objective, whole
from dlc.compiler.ir.reference import evaluate
from dlc.compiler.ir.verify import check
from dlc.compiler.passes import extract
from dlc.compiler.pipeline import prepared


def real_inputs(made: Graph) -> list[str]:
    return [tensor.id for tensor in made.of_kind("input", "parameter") if tensor.type == "real"]


@pytest.mark.parametrize("model", recurrences.models(), ids=lambda model: model.name)
def test_gradient(model: Model) -> None:
    made = extract.run(model.graph)
    assert_gradient(made, model.inputs, real_inputs(made))


@pytest.mark.parametrize("make", [recurrences.guarded_rnn, recurrences.grid, recurrences.crf, recurrences.products])
def test_second_order(make: Callable[[], Model]) -> None:
    """The derivative of a weighted sum of the gradient, which is a recurrence both ways."""
    model = make()
    wrt = real_inputs(model.graph)
    first = differentiate(extract.run(model.graph), model.graph.objectives[0].loss, wrt)
    (adjoint,) = [gradient.adjoint for gradient in first.gradients if gradient.tensor == wrt[0]]
    tensor = first.tensors[adjoint]
    axes = [index("i", size) for size in tensor.sizes]
    weights = [op("real", add(axis, Const(2))) for axis in axes]
    weighted = whole("weighted", (), total(*axes, of=mul(at(tensor, *axes), *weights)))
    objectives = (Objective("weighted", "weighted"),)
    made = replace(first, tensors={**first.tensors, "weighted": weighted}, objectives=objectives, gradients=())
    assert_gradient(extract.run(made), model.inputs, wrt, 1e-5)


def test_a_member_of_a_cycle_is_differentiated() -> None:
    """What is differentiated is read by the cycle too: its seed joins what the later steps give."""
    x, w = given("x", "T"), given("w", kind="parameter")
    t, t2 = index("t", "T"), index("t", "T")
    s, h = itself("s", 1), itself("h", 1)
    s = whole("s", (t,), add(at(x, t), mul(at(w), at(h, t))))
    h = parts("h", [plus("T", 1)], ((), (Const(0),), Const(1.0)), ((t2,), (add(t2, Const(1)),), tanh(at(s, t2))))
    made = graph(x, w, s, h, sizes=["T"])
    assert_vjp(made, {"x": reals(4), "w": np.array(0.7)}, ["s", "h"], ["x", "w"])


def test_only_what_lies_between_gets_an_adjoint() -> None:
    """Integers do not, nor what no parameter moves, nor what the loss does not see."""
    model = recurrences.viterbi()
    made = differentiate(extract.run(model.graph), "on_path", ["tr"])
    check(made, "differentiate")
    assert sorted(name for name in made.tensors if name.startswith("d_")) == ["d_tr", "d_v", "d_v.max"]


def test_adjoints_form_one_recurrence_outside_of_which_the_weights_are() -> None:
    model = recurrences.rnn(batch=2)
    made = differentiate(extract.run(model.graph), "loss", ["wh", "x"])
    assert [set(component) for component in made.recurrences] == [{"h", "h.sum.2"}, {"d_h", "d_h.sum.2"}]


def test_jacobian() -> None:
    """Every element of the derivative of all states by all inputs."""
    model = recurrences.guarded_rnn()
    made = jacobian(prepared(model.graph), "h", "x")
    check(made, "jacobian")
    found = evaluate(made, model.inputs)[made.outputs[0].tensor]
    for t, d in np.ndindex(4, 3):
        seed = np.zeros((4, 3))
        seed[t, d] = 1.0
        expected = finite_differences(model.graph, model.inputs, "h", "x", seed)
        np.testing.assert_allclose(found[t, d], expected, 1e-6, 1e-8)


def test_derivative_is_printed() -> None:
    model = recurrences.guarded_rnn()
    wanted, names = Wanted("h", "wh"), set(model.graph.tensors)
    made = prepared(with_derivatives(model.graph, wanted))
    lines = list(derivative_lines(made, wanted, set(prepared(model.graph).tensors), names))
    assert lines[0] == "grad(h[i,i2], wh[i2',i2'']) = sum[t] d_h.sum[i,i2,t,i2']*h[t,i2'']"
    assert lines[-1].count("d_h.sum[") == 2  # it is a recurrence


# -- PyTorch --------------------------------------------------------------------------------------------------------

torch = pytest.importorskip("torch")


def compared(model: Model, compute: Callable[..., object]) -> None:
    """The loss and its gradients agree with those of ``compute``, which takes the inputs by name."""
    made = extract.run(model.graph)
    names = real_inputs(made)
    given_ = {name: torch.tensor(model.inputs[name], requires_grad=name in names) for name in model.inputs}
    loss = compute(**given_)
    loss.backward()  # type: ignore[attr-defined]  # torch may be absent
    name = made.objectives[0].loss
    result = differentiate(made, name, names)
    values = evaluate(result, model.inputs)
    np.testing.assert_allclose(values[name], loss.item(), 1e-10)  # type: ignore[attr-defined]
    for gradient in result.gradients:
        expected = given_[gradient.tensor].grad.numpy()
        np.testing.assert_allclose(values[gradient.adjoint], expected, 1e-9, 1e-10, err_msg=gradient.tensor)


def weighed(h):
    """The loss of ``recurrences.weighing``."""
    result = torch.sin(h)
    for axis, length in enumerate(h.shape):
        shape = [-1 if other == axis else 1 for other in range(h.ndim)]
        result = result * (torch.arange(length) + axis + 1.0).reshape(shape)
    return result.sum()


@pytest.mark.parametrize("backwards", [False, True])
def test_lstm(backwards: bool) -> None:
    def compute(x, w, u, c0):
        h = c = torch.zeros(2, 3, dtype=torch.float64)
        states = [h]
        for t in range(x.shape[1])[:: -1 if backwards else 1]:
            a = torch.einsum("kdi,bi->bkd", w, x[:, t]) + torch.einsum("kde,be->bkd", u, h) + c0
            i = torch.sigmoid(a)
            c = i[:, 0] * c + i[:, 1] * torch.tanh(a[:, 3])
            h = i[:, 2] * torch.tanh(c)
            states.append(h)
        return weighed(torch.stack(states[::-1] if backwards else states, 1))

    compared(recurrences.lstm(backwards), compute)


def test_gru() -> None:
    """Reset, update and candidate are members of the cycle; h[t+1] = (1 - z)*n + z*h[t]."""
    model = recurrences.gru()

    def compute(x, w, u):
        h = torch.zeros(2, 3, dtype=torch.float64)
        states = [h]
        for t in range(x.shape[1]):
            a = torch.einsum("kdi,bi->kbd", w, x[:, t])
            r = torch.sigmoid(a[0] + h @ u[0].T)
            z = torch.sigmoid(a[1] + h @ u[1].T)
            n = torch.tanh(a[2] + r * (h @ u[2].T))
            h = (1 - z) * n + z * h
            states.append(h)
        return weighed(torch.stack(states, 1))

    compared(model, compute)


def test_two_directions() -> None:
    def compute(x, w):
        f = [torch.zeros(2, dtype=torch.float64)]
        for row in x:
            f.append(torch.tanh(row + w @ f[-1]))
        r = [torch.ones(2, dtype=torch.float64)]
        for t in reversed(range(len(x))):
            r.insert(0, torch.tanh(f[t] + w @ r[0]))
        return weighed(torch.stack(f) * torch.stack(r))

    compared(recurrences.two_directions(), compute)


def test_grid() -> None:
    def compute(x, w):
        g = {}
        for i, j in np.ndindex(*x.shape):
            up, left, corner = g.get((i - 1, j), 0.0), g.get((i, j - 1), 0.0), g.get((i - 1, j - 1))
            corner = 0.0 if corner is None else torch.sin(corner)
            g[i, j] = torch.tanh(x[i, j] + w[0] * up + w[1] * left + w[2] * corner)
        return weighed(torch.stack([torch.stack([g[i, j] for j in range(x.shape[1])]) for i in range(x.shape[0])]))

    compared(recurrences.grid(), compute)


def test_crf() -> None:
    def compute(e, tr):
        alpha = torch.zeros(3, dtype=torch.float64)
        for row in e:
            alpha = torch.logsumexp(alpha[:, None] + tr, 0) + row
        return torch.logsumexp(alpha, 0)

    compared(recurrences.crf(), compute)


def test_all_earlier() -> None:
    def compute(x, q):
        h = [torch.tanh(x[0])]
        for row in x[1:]:
            earlier = torch.stack(h)
            h.append(torch.tanh(row + torch.softmax(earlier @ (row @ q), 0) @ earlier))
        return weighed(torch.stack(h))

    compared(recurrences.all_earlier(), compute)


def test_a_weight_of_all_steps_and_a_state_that_is_read_outside() -> None:
    """y[t] = v*h[t+1], with a loss over y and over the last state."""
    x, w, v = given("x", "T", 2), given("w", 2, 2, kind="parameter"), given("v", 2, 2, kind="parameter")
    h = itself("h", 2)
    d0, t, d, d2, t2, e, e2 = (index(n, s) for n, s in zip("dtddtdd", (2, "T", 2, 2, "T", 2, 2), strict=True))
    step = tanh(add(at(x, t, d), total(d2, of=mul(at(w, d, d2), at(h, t, d2)))))
    h = parts("h", [plus("T", 1), 2], ((d0,), (Const(0), d0), Const(0.0)), ((t, d), (add(t, Const(1)), d), step))
    y = whole("y", (t2, e), total(e2, of=mul(at(v, e, e2), at(h, add(t2, Const(1)), e2))))
    model = Model("y", with_loss(x, w, v, h, y, sizes=("T",)), {n: reals(*s) for n, s in _SHAPES.items()})

    def compute(x, w, v):
        state, outputs = torch.zeros(2, dtype=torch.float64), []
        for row in x:
            state = torch.tanh(row + w @ state)
            outputs.append(v @ state)
        return weighed(torch.stack(outputs))

    compared(model, compute)


_SHAPES = {"x": (4, 2), "w": (2, 2), "v": (2, 2)}
