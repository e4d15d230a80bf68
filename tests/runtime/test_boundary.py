"""What a call accepts, and what it says of the rest: in the spec's words, before any kernel runs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dlc.runtime import InputError
from dlc.runtime.boundary import accepted

X = np.ones((4, 3), np.float32)
T = np.array([0, 1, 1, 0])


@pytest.fixture
def model(small_module: ModuleType) -> Any:
    return small_module.Small(seed=3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": X, "targets": T}, "there is no input targets (did you mean target?)"),
        ({"x": X, "target": T, "zz": 1}, "there is no input zz: Small takes x and target"),
        ({"target": T}, "x is missing: Small takes x and target"),
        ({}, "x and target are missing: Small takes x and target"),
        ({"x": X[0], "target": T}, "x should be an array with 2 axes (B, I); what was given has 1 axis, of shape (3,)"),
        ({"x": 1.0, "target": T}, "x should be an array with 2 axes (B, I); what was given is a single number"),
        ({"x": X, "target": T[:3]}, "target has 3 elements along B (axis 0), but x has 4 along B (axis 0)"),
        ({"x": X[:, :2], "target": T}, "x has 2 elements along I (axis 1); it should have 3"),
        ({"x": X[:0], "target": T[:0]}, "a batch needs at least 2 samples (here B = 0)"),
        ({"x": X[:1], "target": T[:1]}, "a batch needs at least 2 samples (here B = 1)"),
        ({"x": X, "target": T + 1}, "target[1] is 2, no element of Y, whose elements are 0 to 1"),
        ({"x": X, "target": T - 1}, "target[0] is -1, no element of Y, whose elements are 0 to 1"),
        (
            {"x": X, "target": T.astype(float)},
            "target should be integers; what was given is float64 (convert it with .astype(int) if its values are",
        ),
        ({"x": X, "target": T == 1}, "target should be integers; what was given is bool"),
        ({"x": X + 1j, "target": T}, "x should be real numbers; what was given is complex64"),
        ({"x": X.astype(str), "target": T}, "x should be real numbers; what was given is <U32"),
        ({"x": None, "target": T}, "x is None"),
        ({"x": [[1, 2, 3], [1, 2]], "target": T}, "x is no array: "),
        ({"x": X.astype(object), "target": T}, "x is no array of numbers, but of Python objects"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_spec(model: Any, inputs: dict[str, Any], message: str) -> None:
    for call in (model.forward, model.value_and_grad):
        with pytest.raises(InputError) as error:
            call(**inputs)
        assert str(error.value).startswith(message)


def test_the_first_good_call_after_a_bad_one_is_good(model: Any) -> None:
    good = model.forward(x=X, target=T).loss
    for _ in range(3):
        with pytest.raises(InputError):
            model.forward(x=X, target=T + 5)
    assert model.forward(x=X, target=T).loss == good


def test_a_size_fixed_with_the_model_is_checked(small_module: ModuleType) -> None:
    model = small_module.Small(sizes={"B": 4})
    assert model.sizes == {"B": 4}
    model.forward(x=X, target=T)
    with pytest.raises(
        InputError, match=r"x has 3 elements along B \(axis 0\), but B was set to 4 when the model was made"
    ):
        model.forward(x=X[:3], target=T[:3])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"T": 3}, "Small has no size T: open sizes are B"),
        ({"B": -1}, "the size of B should be a whole number, 0 or more, and not -1"),
        ({"B": 2.5}, "the size of B should be a whole number, 0 or more, and not 2.5"),
        ({"B": True}, "the size of B should be a whole number, 0 or more, and not True"),
    ],
)
def test_sizes_of_a_model_are_checked(small_module: ModuleType, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        small_module.Small(sizes=sizes)
    assert str(error.value) == message


def test_inputs_are_given_by_name(model: Any) -> None:
    with pytest.raises(InputError, match=r"inputs are given by name: Small.forward\(x=.., target=..\)"):
        model.forward(X)


@pytest.mark.parametrize(
    "given",
    [
        X.astype(np.float64),
        X.astype(np.float16),
        X.astype(np.int8),
        X.astype(bool),
        X.tolist(),
        np.asfortranarray(X),
        np.ones((8, 6), np.float32)[::2, ::2],
        X[::-1],
        X.astype(">f4"),
        np.broadcast_to(np.float32(1), (4, 3)),
        np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(4, 3),
    ],
    ids=str,
)
def test_reals_are_converted(model: Any, given: Any) -> None:
    assert model.forward(x=given, target=T).loss == model.forward(x=X, target=T).loss


@pytest.mark.parametrize(
    "given", [T.tolist(), T.astype(np.int8), T.astype(np.uint64), T.astype(">i4"), np.repeat(T, 2)[::2]], ids=str
)
def test_integers_are_converted(model: Any, given: Any) -> None:
    assert model.forward(x=X, target=given).loss == model.forward(x=X, target=T).loss


def test_nan_and_infinity_are_numbers(model: Any) -> None:
    x = X.copy()
    x[2, 1] = np.nan
    assert np.isnan(model.forward(x=x, target=T).loss)
    x[2, 1] = np.inf
    model.params["w"][...] = 1
    assert model.forward(x=x, target=T).loss == np.inf


def test_numbers_beyond_float32_become_infinite(model: Any) -> None:
    model.params["w"][...] = 1
    assert model.forward(x=np.full((4, 3), 1e300), target=T).loss == np.inf


# -- types on their own ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "expected"), [([True, False], [1, 0]), ([1, 0], [1, 0]), (True, 1)])
def test_truth_values(given: Any, expected: Any) -> None:
    found = accepted("mask", given, "bool", np.dtype(np.bool_))
    assert found.dtype == np.bool_ and np.array_equal(found, np.array(expected, bool))


@pytest.mark.parametrize(
    ("given", "type_", "dtype", "message"),
    [
        ([0, 2], "bool", np.bool_, "x should be truth values; what was given has integers other than 0 and 1"),
        ([0.0], "bool", np.bool_, "x should be truth values; what was given is float64"),
        (np.array([2**63], np.uint64), "int", np.int64, "x has an element beyond the range of 64-bit integers"),
    ],
)
def test_what_does_not_fit_a_type(given: Any, type_: Any, dtype: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        accepted("x", given, type_, np.dtype(dtype))
    assert str(error.value) == message


def test_an_array_that_fits_is_not_copied() -> None:
    assert accepted("x", X, "real", np.dtype(np.float32)) is X
    number = accepted("x", 3, "real", np.dtype(np.float32))
    assert number.shape == () and number.dtype == np.float32


@pytest.mark.parametrize(("type_", "dtype"), [("int", np.dtype(np.int64)), ("bool", np.dtype(np.bool_))])
def test_an_empty_list_has_any_type(type_: Any, dtype: Any) -> None:
    array = accepted("z", [], type_, dtype)
    assert (array.dtype, array.shape) == (dtype, (0,))
