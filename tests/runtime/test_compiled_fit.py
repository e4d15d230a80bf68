"""Steps in one compiled call, and bound steps: every bit as in a loop of `value_and_grad` and `step`."""

from __future__ import annotations

import gc
import signal
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.runtime import InputError, compiled_fit

SPEC = """
use nn.dropout: Dropout
use nn.norm: BatchNorm1d

model Net(x[B,I], target[B] in C, weight[C]) -> loss, p[B,C]:
    index I = 5, C = 3, D = 4
    param w[D,I] ~ normal(0, 0.5), c[D] = 0, v[C,D] ~ normal(0, 0.5), scale = 1
    bn = BatchNorm1d()
    drop = Dropout(p=0.3)
    state seen : int = 0
    seen <- seen + |B|
    z[b,d] = tanh(w[d,i]*x[b,i] + c[d])
    h[B,D] = drop(bn(z[B,D]))
    p[b,c] = v[c,d]*h[b,d]*scale
    loss = mean[b] weight[target[b]]*(logsumexp[c] p[b,c] - p[b,target[b]])
    minimize loss

model Pair(x[N,I]) -> first, second:
    index I = 5
    param a[I] = 1, b[I] = 2, c[I] = 3
    first = mean[n] (a[i]*b[i]*x[n,i])^2
    second = mean[n] (b[i]*c[i]*x[n,i] - 1)^2
    minimize first over a, c
    minimize second over b

optimizer Turns(theta[..], g[..];; lr = 0.1):
    state m[..] = 0, v[..] = 1, k = 1, j = 2
    total size = g[..]^2
    m[..] <- v[..]
    v[..] <- m[..] + g[..]/(1 + size)
    k <- j
    j <- k + 1
    theta[..] <- theta[..] - lr*v[..]*k
"""
RNG = np.random.default_rng(0)
X, TARGET = RNG.normal(size=(23, 5)).astype(np.float32), RNG.integers(0, 3, 23)
WEIGHT = np.array([1, 2, 0.5], np.float32)
ORDER = np.array([RNG.permutation(23) for _ in range(3)])


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    path = tmp_path_factory.mktemp("fits") / "nets.dl"
    path.write_text(SPEC, encoding="utf-8")
    return dlc.compile(path)


@pytest.fixture(scope="module")
def optimizers(module: ModuleType) -> dict[str, Any]:
    adam = dlc.compile("optim.adam")
    return {"Adam": adam.Adam, "ClippedAdam": adam.ClippedAdam, "Turns": module.Turns}


def looped(model: Any, optimizer: Any, inputs: Any, order: Any, batch: int, objective: str | None = None) -> list[Any]:
    constants = {"weight": WEIGHT} if "weight" in model.inputs else {}
    losses = []
    for row in order:
        for start in range(0, len(row), batch):
            given = {name: value[row[start : start + batch]] for name, value in inputs.items()} | constants
            loss, gradients = model.value_and_grad(objective, given)
            optimizer.step(gradients)
            losses.append(loss)
    return losses


def assert_same(model: Any, optimizer: Any, other: Any, its_optimizer: Any) -> None:
    assert np.array_equal(model.params.flat, other.params.flat)
    assert model.step == other.step
    for name, value in model.state.items():
        assert np.array_equal(value, other.state[name]), name
    for name, value in optimizer.state.named().items():
        assert np.array_equal(value, its_optimizer.state.named()[name]), name


@pytest.mark.parametrize("name", ["Adam", "ClippedAdam", "Turns"])
@pytest.mark.parametrize("over", [None, ("w", "v"), ("c",)])
def test_every_bit_is_that_of_a_loop(module: ModuleType, optimizers: Any, name: str, over: Any) -> None:
    one, other = module.Net(seed=4), module.Net(seed=4)
    mine, its = (optimizers[name](model, over=over) for model in (one, other))
    inputs = {"x": X, "target": TARGET}
    found = one.fit_compiled(mine, inputs, batch=4, order=ORDER, constants={"weight": WEIGHT})
    assert found.dtype == np.float32 and found.tolist() == looped(other, its, inputs, ORDER, 4)
    assert_same(one, mine, other, its)
    again = one.fit_compiled(mine, inputs, batch=23, constants={"weight": WEIGHT})
    assert again.tolist() == looped(other, its, inputs, [np.arange(23)], 23)
    assert_same(one, mine, other, its)
    assert one.state["seen"] == 4 * 23 and one.step == 19


def test_one_of_several_losses(module: ModuleType, optimizers: Any) -> None:
    one, other = module.Pair(), module.Pair()
    for loss in ("first", "second"):
        mine, its = (optimizers["ClippedAdam"](model, loss) for model in (one, other))
        found = one.fit_compiled(mine, {"x": X}, batch=10, order=ORDER[0], objective=loss)
        assert found.tolist() == looped(other, its, {"x": X}, ORDER[:1], 10, loss)
        assert_same(one, mine, other, its)


def test_a_model_that_does_not_train(module: ModuleType, optimizers: Any) -> None:
    one, other = module.Net(seed=4), module.Net(seed=4)
    mine, its = (optimizers["Adam"](model) for model in (one, other))
    one.train = other.train = False
    inputs = {"x": X, "target": TARGET}
    found = one.fit_compiled(mine, inputs, batch=6, order=ORDER, constants={"weight": WEIGHT})
    assert found.tolist() == looped(other, its, inputs, ORDER, 6)
    assert_same(one, mine, other, its)
    assert one.step == 0 and one.state["seen"] == 0


def test_inputs_of_other_types_are_converted(module: ModuleType, optimizers: Any) -> None:
    losses = []
    for inputs in ({"x": X, "target": TARGET}, {"x": np.asfortranarray(X).astype(float), "target": TARGET.tolist()}):
        model = module.Net(seed=4)
        given = {"batch": 5, "constants": {"weight": WEIGHT.tolist()}}
        losses.append(model.fit_compiled(optimizers["Adam"](model), inputs, **given).tolist())
    assert losses[0] == losses[1]


def test_steps_end_after_a_loss_that_is_not_finite(module: ModuleType, optimizers: Any) -> None:
    model = module.Pair()
    optimizer = optimizers["Adam"](model, "first")
    x = X.copy()
    x[13] = np.nan
    losses = model.fit_compiled(optimizer, {"x": x}, batch=5, order=np.arange(23), objective="first")
    assert len(losses) == 3 and np.isnan(losses[2]) and np.isfinite(losses[:2]).all()
    assert np.isfinite(model.params.flat).all() and optimizer.state["k"] == 2 and model.step == 3


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_an_interruption_leaves_whole_steps(
    module: ModuleType, optimizers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_fit, "PATIENCE", 0)
    one, other = module.Net(seed=4), module.Net(seed=4)
    mine, its = (optimizers["Adam"](model) for model in (one, other))
    order = np.tile(ORDER, (20_000, 1))
    compiled = module.Net()  # an interruption of the compiler is another matter
    given = {"x": X, "target": TARGET}
    compiled.fit_compiled(optimizers["Adam"](compiled), given, batch=1, order=order[:1], constants={"weight": WEIGHT})
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.collect()  # what is raised while the collector calls back is lost to every Python program
    gc.disable()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            one.fit_compiled(mine, {"x": X, "target": TARGET}, batch=1, order=order, constants={"weight": WEIGHT})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    rows = order.reshape(-1)[: one.step].reshape(1, -1)
    other.fit_compiled(its, {"x": X, "target": TARGET}, batch=1, order=rows, constants={"weight": WEIGHT})
    assert_same(one, mine, other, its)


def test_no_samples(module: ModuleType, optimizers: Any) -> None:
    model = module.Pair()
    found = model.fit_compiled(optimizers["Adam"](model), {"x": X[:0]}, batch=4, objective="first")
    assert found.shape == (0,) and model.step == 0


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ({"x": X, "target": TARGET}, {"batch": 0}, "batch should be a whole number, 1 or more, and not 0"),
        ({"x": X, "target": TARGET}, {"batch": 4, "order": [0, 23]}, "order has numbers of samples beyond 0 to 22"),
        ({"x": X, "target": TARGET}, {"batch": 4, "order": [-1]}, "order has numbers of samples beyond 0 to 22"),
        ({"x": X, "target": TARGET}, {"batch": 4, "order": [0.5]}, "order should be the numbers of samples"),
        ({"x": X, "target": TARGET[:5]}, {"batch": 4}, r"equally many samples .* target has shape \(5,\)"),
        ({"x": X}, {"batch": 4}, "target is missing"),
        ({"x": X, "target": TARGET, "z": X}, {"batch": 4}, "there is no input z"),
        ({"x": X[:, :4], "target": TARGET}, {"batch": 4}, "x has 4 elements along I"),
        ({"x": X, "target": TARGET + 1}, {"batch": 4}, r"target\[\d+\] is 3, no element of C"),
        ({"x": X, "target": X[:, 0]}, {"batch": 4}, "target should be integers"),
        ({"x": X, "target": TARGET, "weight": WEIGHT}, {"batch": 4}, "weight is given as an input and as a constant"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(
    module: ModuleType, optimizers: Any, inputs: Any, options: Any, message: str
) -> None:
    model = module.Net()
    before = model.params.flat.copy()
    with pytest.raises(InputError, match=message):
        model.fit_compiled(optimizers["Adam"](model), inputs, constants={"weight": WEIGHT}, **options)
    assert np.array_equal(before, model.params.flat) and model.step == 0


def test_the_optimizer_of_another_model_is_refused(module: ModuleType, optimizers: Any) -> None:
    with pytest.raises(InputError, match="moves the parameters of another model"):
        module.Pair().fit_compiled(optimizers["Adam"](module.Pair()), {"x": X}, batch=4, objective="first")

    class Twice(optimizers["Adam"]):
        def step(self, gradients: Any) -> None:
            super().step(gradients)
            super().step(gradients)

    model = module.Pair()
    with pytest.raises(InputError, match="Twice has a step of its own"):
        model.fit_compiled(Twice(model), {"x": X}, batch=4, objective="first")


# -- bound steps ----------------------------------------------------------------------------------------------------


def test_a_bound_step_is_value_and_grad(module: ModuleType) -> None:
    for make, given in (
        (lambda: module.Net(seed=2), {"x": X.copy(), "target": TARGET.copy(), "weight": WEIGHT}),
        (module.Pair, {"x": X.copy()}),
    ):
        one, other = make(), make()
        objective = "second" if len(one.objectives) > 1 else None
        step = one.bind(objective, given)
        for _ in range(4):
            given["x"] *= 1.5
            loss, gradients = other.value_and_grad(objective, given)
            found = step()
            assert found == loss and type(found) is type(loss) and one.step == other.step
            assert list(step.gradients) == list(gradients)
            assert all(np.array_equal(step.gradients[name], value) for name, value in gradients.items())
            assert all(np.array_equal(one.state[name], value) for name, value in other.state.items())


def test_a_bound_step_has_the_gradients_of_inputs(tmp_path: Path) -> None:
    path = tmp_path / "sums.dl"
    path.write_text(
        """
model Net(x[B,I], z[B,I], n) -> loss:
    loss = sum[b,i] (x[b,i]^2 + n)^2 + sum[b,i] z[b,i]
""",
        encoding="utf-8",
    )
    module = dlc.compile(path, wrt=["x", "z", "n"])
    model, x, z = module.Net(), X.copy(), np.zeros_like(X)
    step = model.bind(x=x, z=z, n=np.float32(2))
    stay = dict(step.gradients)
    assert list(stay) == ["x", "z", "n"]
    for _ in range(3):
        x *= 1.5
        loss, gradients = model.value_and_grad(x=x, z=z, n=2)
        assert step() == loss and len(gradients) == 3
        for name, value in gradients.items():
            assert np.array_equal(stay[name], value) and step.gradients[name] is stay[name], name


def test_a_bound_step_checks_what_it_reads(module: ModuleType) -> None:
    x, target = X.copy(), TARGET.copy()
    step = module.Net().bind(x=x, target=target, weight=WEIGHT)
    target[2] = 3
    with pytest.raises(InputError, match=r"target\[2\] is 3"):
        step()
    target[2] = 0
    step()
    x.resize((5, 23))
    with pytest.raises(InputError, match="has changed its shape"):
        step()
    with pytest.raises(InputError, match=r"target\[0\] is 5"):
        module.Net().bind(x=X, target=TARGET * 0 + 5, weight=WEIGHT)
    with pytest.raises(InputError, match="weight is missing"):
        module.Net().bind(x=X, target=TARGET)
