"""Models: values and gradients are right however often, in whatever order and from whatever thread they are asked."""

from __future__ import annotations

import copy
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dlc.runtime import InputError, get_num_threads, set_num_threads


def expected(model: Any, x: Any, target: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Loss, logits and gradients, in float64."""
    x, w, c = (np.asarray(value, np.float64) for value in (x, model.params["w"], model.params["c"]))
    logits = x @ w + c
    rows = np.arange(len(x))
    slope = np.zeros_like(logits)
    slope[rows, target] = 2 * model.p * logits[rows, target]
    loss = model.p * np.sum(logits[rows, target] ** 2)
    return loss, logits, {"w": x.T @ slope, "c": slope.sum(axis=0)}


def batch(size: int, seed: int = 0) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(size, 3)).astype(np.float32), generator.integers(0, 2, size)


@pytest.fixture
def model(small_module: ModuleType) -> Any:
    return small_module.Small(seed=3)


@pytest.mark.parametrize("size", [2, 3, 64, 20_000])
def test_values_and_gradients(model: Any, size: int) -> None:
    x, target = batch(size)
    loss, logits, gradients = expected(model, x, target)
    out = model.forward(x=x, target=target)
    np.testing.assert_allclose(out.logits, logits, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(out.loss, loss, rtol=2e-5)
    found, grads = model.value_and_grad(x=x, target=target)
    np.testing.assert_allclose(found, loss, rtol=2e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(grads[name], gradient, rtol=2e-4, atol=1e-3)


def test_one_model_takes_batches_of_any_size_in_any_order(model: Any) -> None:
    for size in (5, 300, 5, 7, 20_000, 5, *range(2, 40)):
        x, target = batch(size, seed=size)
        np.testing.assert_allclose(model.forward(x=x, target=target).loss, expected(model, x, target)[0], rtol=2e-5)


def test_forward_without_the_target_gives_what_does_not_need_it(model: Any) -> None:
    x, target = batch(9)
    out = model.forward(x=x)
    assert list(out) == ["logits"]
    assert np.array_equal(out.logits, model.forward(x=x, target=target).logits)


def test_inputs_may_be_given_as_a_mapping(model: Any) -> None:
    x, target = batch(4)
    assert model.forward({"x": x}, target=target).loss == model.forward({"x": x, "target": target}).loss


def test_results_belong_to_the_caller(model: Any) -> None:
    x, target = batch(6)
    first = model.forward(x=x, target=target)
    kept = first.logits.copy()
    first.logits[...] = 0
    second = model.forward(x=x, target=target)
    assert np.array_equal(second.logits, kept) and first.logits is not second.logits
    model.forward(x=2 * x, target=target)
    assert np.array_equal(second.logits, kept)


def test_large_results_belong_to_the_caller_too(model: Any) -> None:
    x, _ = batch(20_000)
    first = model.forward(x=x).logits
    kept = first.copy()
    model.forward(x=2 * x)
    assert np.array_equal(first, kept)


def test_inputs_are_left_alone(model: Any) -> None:
    x, target = batch(20_000)
    before = x.copy(), target.copy()
    model.value_and_grad(x=x, target=target)
    assert np.array_equal(x, before[0]) and np.array_equal(target, before[1])


# -- gradients ------------------------------------------------------------------------------------------------------


def test_gradients_that_are_held_are_not_overwritten(model: Any) -> None:
    x, target = batch(6)
    held = [model.value_and_grad(x=n * x, target=target)[1] for n in range(1, 5)]
    views = [gradients["w"] for gradients in held]
    kept = [view.copy() for view in views]
    del held
    for n in range(5, 9):
        model.value_and_grad(x=n * x, target=target)
    assert all(np.array_equal(view, copied) for view, copied in zip(views, kept, strict=True))


@pytest.mark.parametrize(
    "part", [lambda w: w[1:], lambda w: w.reshape(-1)[::2], memoryview, lambda w: w.T.view(np.int32)[:1]]
)
def test_nor_are_parts_of_gradients(model: Any, part: Any) -> None:
    x, target = batch(6)
    held = [part(model.value_and_grad(x=n * x, target=target)[1]["w"]) for n in range(1, 5)]
    kept = [np.array(one) for one in held]
    for n in range(5, 9):
        model.value_and_grad(x=n * x, target=target)
    assert all(np.array_equal(one, copied) for one, copied in zip(held, kept, strict=True))


def test_gradients_that_nobody_holds_are_reused(model: Any) -> None:
    x, target = batch(6)
    addresses = set()
    for _ in range(10):
        _, grads = model.value_and_grad(x=x, target=target)
        addresses.add(grads.flat.ctypes.data)
    assert len(addresses) <= 2


def test_the_flat_gradient_has_the_layout_of_the_parameters(model: Any) -> None:
    x, target = batch(6)
    _, grads = model.value_and_grad(x=x, target=target)
    assert grads.flat.shape == model.params.flat.shape
    before = {name: value.copy() for name, value in model.params.items()}
    model.params.flat[...] -= grads.flat
    for name, value in model.params.items():
        np.testing.assert_allclose(value, before[name] - grads[name], rtol=1e-6)
    assert set(grads) == {"w", "c"} and len(grads) == 2


def test_an_unknown_gradient_is_named(model: Any) -> None:
    x, target = batch(6)
    with pytest.raises(KeyError, match="there is no gradient of W"):
        model.value_and_grad(x=x, target=target)[1]["W"]


# -- calls one after the other --------------------------------------------------------------------------------------


def test_each_call_looks_at_what_it_is_given(model: Any) -> None:
    x, target = batch(6)
    wanted = expected(model, x, target)
    forms = [
        (x, target),
        (np.asfortranarray(x), target),
        (x.tolist(), target),
        (x.astype(np.float64), target.astype(np.int32)),
        (x, target.astype(np.longlong)),
        (np.repeat(x, 2, axis=0)[::2], list(target)),
    ]
    for _ in range(2):
        for given in forms:
            loss, grads = model.value_and_grad(x=given[0], target=given[1])
            np.testing.assert_allclose(loss, wanted[0], rtol=2e-5)
            np.testing.assert_allclose(grads["w"], wanted[2]["w"], rtol=2e-4, atol=1e-5)


def test_inputs_may_be_given_in_any_order(model: Any) -> None:
    x, target = batch(6)
    losses = set()
    for _ in range(2):
        for given in ({"x": x, "target": target}, {"target": target, "x": x}):
            losses |= {model.value_and_grad(given)[0], model.value_and_grad(**given)[0], model.forward(given).loss}
    assert len(losses) == 1


def test_an_array_may_change_in_place_between_calls(model: Any) -> None:
    x, target = batch(6)
    for _ in range(3):
        x *= 2
        loss, _ = model.value_and_grad(x=x, target=target)
        np.testing.assert_allclose(loss, expected(model, x, target)[0], rtol=2e-5)
    target[3] = 2
    with pytest.raises(InputError, match=r"target\[3\] is 2"):
        model.value_and_grad(x=x, target=target)
    target[3] = 1
    x.resize((3, 6))
    with pytest.raises(InputError, match=r"target has 6 elements along B .*, but x has 3"):
        model.value_and_grad(x=x, target=target)


def test_more_sizes_than_are_remembered(model: Any) -> None:
    for size in (*range(2, 30), *range(2, 30)):
        x, target = batch(size, seed=size)
        np.testing.assert_allclose(
            model.value_and_grad(x=x, target=target)[0], expected(model, x, target)[0], rtol=2e-5
        )


# -- threads --------------------------------------------------------------------------------------------------------


def test_calls_from_several_threads_do_not_mix(model: Any) -> None:
    batches = [batch(size, seed=size) for size in (2, 50, 50, 400, 400, 20_000) for _ in range(3)]
    wanted = [expected(model, x, target)[0] for x, target in batches]

    def call(pair: Any) -> Any:
        loss, grads = model.value_and_grad(x=pair[0], target=pair[1])
        return loss, grads["w"].copy()

    with ThreadPoolExecutor(6) as pool:
        for _ in range(4):
            found = list(pool.map(call, batches))
            np.testing.assert_allclose([loss for loss, _ in found], wanted, rtol=2e-5)


def test_results_repeat_bit_by_bit_and_do_not_depend_on_earlier_calls(model: Any) -> None:
    x, target = batch(20_000)
    first = model.value_and_grad(x=x, target=target)
    model.value_and_grad(x=x[:77], target=target[:77])
    second = model.value_and_grad(x=x, target=target)
    assert first[0] == second[0] and np.array_equal(first[1].flat, second[1].flat)


def test_results_are_equal_bit_for_bit_whatever_the_number_of_threads(model: Any) -> None:
    before = get_num_threads()
    x, target = batch(20_000)
    found = []
    try:
        for threads in dict.fromkeys((1, before, 1)):
            set_num_threads(threads)
            assert get_num_threads() == threads
            loss, gradients = model.value_and_grad(x=x, target=target)
            found.append((loss, gradients.flat.copy()))
    finally:
        set_num_threads(before)
    np.testing.assert_allclose(found[0][0], expected(model, x, target)[0], rtol=2e-5)
    for loss, gradients in found[1:]:
        assert loss == found[0][0] and np.array_equal(gradients, found[0][1])


# -- hyper-parameters -----------------------------------------------------------------------------------------------


def test_hyper_parameters_are_arguments_and_attributes(small_module: ModuleType) -> None:
    x, target = batch(6)
    model = small_module.Small(seed=3, p=0.3)
    assert model.p == 0.3 and model.hypers == {"p": 0.3}
    half = model.forward(x=x, target=target).loss
    model.p = 0.6
    np.testing.assert_allclose(model.forward(x=x, target=target).loss, 2 * half, rtol=1e-6)


def test_a_misspelled_hyper_parameter_is_an_error(small_module: ModuleType, model: Any) -> None:
    with pytest.raises(InputError, match=r"Small has no q: hyper-parameters are p"):
        small_module.Small(q=1)
    with pytest.raises(AttributeError, match=r"Small has no attribute pp \(did you mean p\?\)"):
        model.pp = 1
    with pytest.raises(InputError, match=r"p should be a single number"):
        model.p = [1, 2]
    with pytest.raises(InputError, match=r"p should be real numbers"):
        model.p = "a"


def test_a_derived_class_may_have_attributes(small_module: ModuleType) -> None:
    class Named(small_module.Small):
        pass

    model = Named(p=0.25)
    model.label = "mine"
    assert model.p == 0.25 and model.label == "mine"


# -- copies and descriptions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_share_nothing(model: Any, copied: Any) -> None:
    x, target = batch(6)
    model.p = 0.7
    twin = copied(model)
    assert twin.p == 0.7 and type(twin) is type(model)
    assert twin.forward(x=x, target=target).loss == model.forward(x=x, target=target).loss
    twin.params["w"][...] = 0
    twin.p = 0.1
    assert np.any(model.params["w"]) and model.p == 0.7


def test_a_model_describes_itself(model: Any) -> None:
    assert model.inputs == {"x": "float32[B, 3]", "target": "int64[B] in Y"}
    assert model.sizes == {"B": None}
    assert repr(model) == (
        "Small(p=0.5)\n  inputs      x: float32[B, 3], target: int64[B] in Y\n  parameters  8 in 2 arrays of float32"
    )
    assert (inspect.getdoc(type(model)) or "").startswith("A linear classifier.\n\nInputs:\n    x[B, I]    features")
    assert inspect.getdoc(type(model).p) == "weight of the loss"


def test_outputs_describe_themselves(model: Any) -> None:
    x, target = batch(6)
    out = model.forward(x=x, target=target)
    assert repr(out) == f"Outputs(loss={out.loss}, logits: float32[6, 2])"
    assert dict(out).keys() == {"loss", "logits"} and out["loss"] == out.loss and out.loss.dtype == np.float32
    assert "logits" in dir(out)
    assert pickle.loads(pickle.dumps(out)).loss == out.loss
    with pytest.raises(AttributeError, match=r"there is no output logit \(did you mean logits\?\)"):
        _ = out.logit


def test_a_model_with_a_loss_has_no_vjp(model: Any) -> None:
    with pytest.raises(InputError, match="Small has no vjp: it has a loss: differentiate it with value_and_grad"):
        model.vjp({}, x=batch(3)[0])
