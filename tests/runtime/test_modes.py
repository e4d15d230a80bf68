"""Training and random numbers of a compiled model: what moves the step, what repeats, and what a call may be told."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.runtime import InputError, get_num_threads, set_num_threads

SPEC = """
layer Dropout(x[..];; p = 0.5) -> y[..]:
    u[..] ~ uniform(0, 1)
    y[..] = x[..]*[u[..] >= p]/(1 - p) if train else x[..]

model Noisy(x[B,I]) -> loss, z[B,D], kept[B,D]:
    index I = 5, D = 4
    param w[D,I] ~ normal(0, 0.3), s[D] = 0.5
    z[b,d] ~ normal(w[d,i]*x[b,i], exp(s[d]))
    kept[b,D] = Dropout(z[b,D])
    loss = mean[b] sum[d] kept[b,d]^2
    minimize loss

model Diffusion(x[I], step) -> loss, y[I]:
    e[i] ~ normal(0, 1)
    param w[I] = 1
    index I = 3
    y[i] = x[i] + step*w[i]*e[i]
    loss = sum[i] y[i]^2
"""
X = np.random.default_rng(0).normal(size=(6, 5))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("modes")
    (folder / "noisy.dl").write_text(SPEC, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(folder))
        yield dlc.compile(folder / "noisy.dl", dtype="float64")


@pytest.fixture
def model(module: ModuleType) -> Any:
    return module.Noisy(seed=3)


def losses(model: Any, count: int = 3) -> list[float]:
    return [float(model.value_and_grad(x=X)[0]) for _ in range(count)]


def test_forward_repeats_and_does_not_train(model: Any) -> None:
    first, second = model.forward(x=X), model.forward(x=X)
    np.testing.assert_array_equal(first.z, second.z)
    np.testing.assert_array_equal(first.kept, first.z)
    assert model.step == 0


def test_every_training_step_draws_anew_and_a_run_repeats(model: Any, module: ModuleType) -> None:
    run = losses(model)
    assert len(set(run)) == 3
    assert model.step == 3
    assert losses(module.Noisy(seed=3)) == run
    assert losses(module.Noisy(seed=4)) != run


def test_a_step_can_be_had_again(model: Any) -> None:
    run = losses(model)
    again = [float(model.value_and_grad(x=X, step=step)[0]) for step in (2, 0, 1)]
    assert again == [run[2], run[0], run[1]]
    assert model.step == 3
    out = model.forward(x=X, step=1, train=True)
    np.testing.assert_allclose(out.loss, run[1], rtol=1e-14)  # another entry may add in another order
    assert np.any(out.kept == 0)


def test_values_and_gradients_are_of_the_same_numbers(model: Any) -> None:
    """Finite differences at a fixed seed and step, the parameters of the distribution among what is moved."""
    _, gradients = model.value_and_grad(x=X, step=5)
    for name, value in model.params.items():
        for place in np.ndindex(value.shape):
            kept, ends = value[place], []
            for side in (1e-5, -1e-5):
                value[place] = kept + side
                ends.append(model.forward(x=X, step=5, train=True).loss)
            value[place] = kept
            assert gradients[name][place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-7)


def test_what_does_not_train_is_no_step(model: Any) -> None:
    loss, _ = model.value_and_grad(x=X, train=False)
    assert model.step == 0
    assert loss == pytest.approx(model.forward(x=X).loss, rel=1e-13)


def test_train_for_all_calls(model: Any) -> None:
    assert model.train is None
    model.train = True
    assert np.any(model.forward(x=X).kept == 0)
    assert np.all(model.forward(x=X, train=False).kept != 0)
    model.train = False
    assert losses(model, 1) == [pytest.approx(model.forward(x=X).loss, rel=1e-13)]
    assert model.step == 0


def test_a_seed_for_one_call(model: Any, module: ModuleType) -> None:
    other = module.Noisy(seed=9)
    other.params.update(dict(model.params))
    np.testing.assert_array_equal(model.forward(x=X, seed=9).z, other.forward(x=X).z)
    assert model.seed == 3


@pytest.mark.parametrize("seed", [-1, 2**64 - 1, 2**63, 12345678901234567890123])
def test_any_whole_number_is_a_seed(model: Any, seed: int) -> None:
    model.seed = seed
    low = model.forward(x=X, seed=seed % 2**64)
    np.testing.assert_array_equal(model.forward(x=X).z, low.z)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"step": -1}, "step should be at least 0 and below 2^48, and not -1"),
        ({"step": 1.5}, "step should be a whole number, and not 1.5"),
        ({"seed": "a"}, "seed should be a whole number, and not 'a'"),
        ({"train": 1}, "train should be True, False or None, and not 1"),
    ],
)
def test_what_a_call_cannot_be_told(model: Any, told: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        model.forward(x=X, **told)
    assert str(error.value) == message
    with pytest.raises(InputError):
        setattr(model, *next(iter(told.items())))


def test_an_input_called_step_is_an_input(module: ModuleType) -> None:
    model = module.Diffusion()
    still = model.forward(x=np.zeros(3), step=0.0)
    np.testing.assert_array_equal(still.y, np.zeros(3))
    one = model.forward(x=np.zeros(3), step=1.0)
    np.testing.assert_allclose(model.forward(x=np.zeros(3), step=2.0).y, 2 * one.y)
    model.step = 1
    assert np.all(model.forward(x=np.zeros(3), step=1.0).y != one.y)


def test_copies_go_on_alike(model: Any) -> None:
    losses(model)
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    run = losses(model)
    assert [losses(one) for one in copies] == [run, run]


def test_a_saved_run_goes_on_as_it_would_have(model: Any, module: ModuleType, tmp_path: Path) -> None:
    losses(model)
    model.save(tmp_path / "m.safetensors")
    run = losses(model)
    other = module.Noisy(seed=100)
    other.load(tmp_path / "m.safetensors")
    assert losses(other) == run


def test_threads_that_train_get_steps_of_their_own(model: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: float(model.value_and_grad(x=X)[0]), range(32)))
    assert sorted(found) == sorted(float(model.value_and_grad(x=X, step=step)[0]) for step in range(32))
    assert model.step == 32


def test_the_numbers_do_not_depend_on_the_number_of_threads(model: Any) -> None:
    x = np.random.default_rng(1).normal(size=(20_000, 5))
    before = get_num_threads()
    try:
        set_num_threads(1)
        one = model.forward(x=x, train=True)
        set_num_threads(2)
        two = model.forward(x=x, train=True)
    finally:
        set_num_threads(before)
    np.testing.assert_array_equal(one.z - two.z, 0)
    np.testing.assert_array_equal(one.kept == 0, two.kept == 0)
