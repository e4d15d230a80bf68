"""Parameters: where they lie, what may be written into them, and how they start."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.runtime import ParameterError
from dlc.runtime.declarations import Declaration, Parameter, Size
from dlc.runtime.initialisers import INITIALISERS, Draw, generator
from dlc.runtime.parameters import Layout, Parameters, aligned_zeros, initialise


def parameters(*declared: Parameter, sizes: dict[str, int] | None = None, real: Any = "float32") -> Parameters:
    layout = Layout(Declaration("M", real, parameters=declared), sizes or {})
    return Parameters(layout, aligned_zeros(layout.length, layout.dtype))


def drawn(
    rule: str, *numbers: float, shape: tuple[int, ...] = (400, 300), fans: Any = (None, None), seed: int = 0
) -> Any:
    return INITIALISERS[rule](Draw(generator(seed, "w"), shape, numbers, fans))


@pytest.fixture
def two() -> Parameters:
    return parameters(Parameter("fc1.w", 0, (3, 5)), Parameter("fc1.b", 1, (5,)), Parameter("s", 2))


# -- layout ---------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.lists(st.integers(1, 9), max_size=3), min_size=1, max_size=6), st.sampled_from(["float32", "float64"])
)
def test_every_parameter_is_aligned_and_none_overlap(shapes: list[list[int]], real: str) -> None:
    made = parameters(*(Parameter(f"p{n}", n, tuple(shape)) for n, shape in enumerate(shapes)), real=real)
    for number, (name, view) in enumerate(made.items()):
        assert name == f"p{number}"
        assert view.ctypes.data % 64 == 0 and view.flags.c_contiguous and view.dtype == real
        assert view.shape == tuple(shapes[number])
        view[...] = number + 1
    for number, name in enumerate(made):
        assert np.all(made[name] == number + 1)
    assert made.count == sum(math.prod(shape) for shape in shapes)
    assert made.flat.size * made.flat.itemsize % 64 == 0


def test_views_write_through_and_assignments_copy(two: Parameters) -> None:
    two["fc1.w"][1, 2] = 7
    assert two.flat[7] == 7
    values = np.arange(5, dtype=np.float64)
    two["fc1.b"] = values
    values[0] = 9
    assert two["fc1.b"].tolist() == [0, 1, 2, 3, 4]
    two["s"] = 3
    assert two["s"][()] == 3 and two["s"].shape == ()
    assert repr(two) == "fc1.w: float32[3, 5]\nfc1.b: float32[5]\ns: float32[]"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fc1.ww", 0, "there is no parameter fc1.ww (did you mean fc1.w?)"),
        ("zzz", 0, "there is no parameter zzz; there are fc1.w, fc1.b and s"),
        ("fc1.w", np.zeros((5, 3)), "fc1.w has shape (3, 5); what was given has shape (5, 3)"),
        ("fc1.b", 0, "fc1.b has shape (5,); what was given has shape ()"),
        ("fc1.b", ["a"] * 5, "fc1.b should be real numbers; what was given is <U1"),
    ],
)
def test_what_does_not_fit_is_refused(two: Parameters, name: str, value: Any, message: str) -> None:
    with pytest.raises(ParameterError) as error:
        two[name] = value
    assert str(error.value) == message


def test_reading_an_unknown_name_suggests_one(two: Parameters) -> None:
    with pytest.raises(KeyError, match=r"did you mean fc1\.w"):
        two["fc1.W"]


def test_an_update_changes_all_or_nothing(two: Parameters) -> None:
    with pytest.raises(ParameterError):
        two.update({"fc1.b": np.ones(5), "fc1.w": np.ones(3)})
    assert not np.any(two.flat)


def test_a_shape_that_only_inputs_tell_must_be_given() -> None:
    declared = Parameter("pos", 0, ("T", lambda n: 2 * n["D"]))
    with pytest.raises(ParameterError, match=r"the shape of pos depends on the size of T: give it when compiling"):
        parameters(declared)
    with pytest.raises(ParameterError, match=r"depends on the size of D: .* sizes=\{'D': ..\}"):
        parameters(declared, sizes={"T": 3})
    assert parameters(declared, sizes={"T": 3, "D": 2})["pos"].shape == (3, 4)


# -- initialisers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "numbers", "fans", "low", "high", "deviation"),
    [
        ("uniform", (-1, 3), (None, None), -1, 3, 4 / math.sqrt(12)),
        ("xavier_uniform", (), (300, 500), -math.sqrt(6 / 800), math.sqrt(6 / 800), math.sqrt(2 / 800)),
        ("xavier_uniform", (2,), (300, 500), -2 * math.sqrt(6 / 800), 2 * math.sqrt(6 / 800), 2 * math.sqrt(2 / 800)),
        ("kaiming_uniform", (), (300, 500), -math.sqrt(6 / 300), math.sqrt(6 / 300), math.sqrt(2 / 300)),
    ],
)
def test_uniform_draws_fill_their_range(
    rule: str, numbers: Any, fans: Any, low: float, high: float, deviation: float
) -> None:
    values = drawn(rule, *numbers, fans=fans)
    width = high - low
    assert low <= values.min() < low + width / 1000 and high - width / 1000 < values.max() <= high
    assert abs(values.mean() - (low + high) / 2) < width / 300
    np.testing.assert_allclose(values.std(), deviation, rtol=0.01)


@pytest.mark.parametrize(
    ("rule", "numbers", "fans", "mean", "deviation"),
    [
        ("normal", (1, 0.5), (None, None), 1, 0.5),
        ("xavier_normal", (), (300, 500), 0, math.sqrt(2 / 800)),
        ("kaiming_normal", (), (300, 500), 0, math.sqrt(2 / 300)),
    ],
)
def test_normal_draws_have_their_moments(rule: str, numbers: Any, fans: Any, mean: float, deviation: float) -> None:
    values = drawn(rule, *numbers, fans=fans)
    np.testing.assert_allclose(values.mean(), mean, atol=deviation / 50)
    np.testing.assert_allclose(values.std(), deviation, rtol=0.01)
    assert values.max() > mean + 3.5 * deviation


def test_constant_initialisers() -> None:
    assert np.all(drawn("zeros") == 0) and np.all(drawn("ones") == 1) and np.all(drawn("constant", 0.25) == 0.25)


def starts(seed: int, *names: str, real: Any = "float64") -> dict[str, Any]:
    made = parameters(*(Parameter(n, i, (4, 5), initialiser=("normal", 0, 1)) for i, n in enumerate(names)), real=real)
    initialise(made, {}, seed)
    return dict(made)


def test_a_parameter_starts_alike_whatever_stands_beside_it() -> None:
    first, second = starts(1, "a", "b"), starts(1, "c", "b", "a")
    assert np.array_equal(first["a"], second["a"]) and np.array_equal(first["b"], second["b"])
    assert not np.array_equal(first["a"], first["b"])
    assert not np.array_equal(first["a"], starts(2, "a")["a"])


def test_both_real_types_start_from_one_point() -> None:
    assert np.array_equal(starts(1, "a")["a"].astype(np.float32), starts(1, "a", real="float32")["a"])


def test_draws_never_change_between_versions() -> None:
    np.testing.assert_allclose(generator(7, "fc1.w").random(2), [0.31607676, 0.09121798], atol=1e-8)
    np.testing.assert_allclose(generator(7, "fc1.w").standard_normal(3), [-1.14534556, -1.15525876, 1.04681283])
    assert generator(-1, "a").random() == generator(2**64 - 1, "a").random()


def test_fans_follow_sizes() -> None:
    def start(fan_in: Size, sizes: dict[str, int]) -> Any:
        made = parameters(Parameter("w", 0, (2, 2), initialiser=("kaiming_normal",), fan_in=fan_in), sizes=sizes)
        initialise(made, sizes, 0)
        return made["w"]

    np.testing.assert_allclose(start("T", {"T": 8}), start(2, {}) / 2, rtol=1e-6)
    np.testing.assert_allclose(start(lambda n: 2 * n["T"], {"T": 4}), start(8, {}), rtol=1e-6)
    with pytest.raises(
        ParameterError, match="w cannot be initialised: its fan-in depends on a size that only the inputs"
    ):
        start("T", {})


def test_a_model_starts_as_its_spec_says(small_module: ModuleType) -> None:
    first, second = small_module.Small(seed=1), small_module.Small(seed=1)
    assert np.array_equal(first.params.flat, second.params.flat)
    assert not np.array_equal(first.params["w"], small_module.Small(seed=2).params["w"])
    assert np.all(first.params["c"] == 0.5) and np.all(np.abs(first.params["w"]) <= math.sqrt(6 / 5))
