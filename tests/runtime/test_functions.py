"""Functions that a spec exports: of numbers and arrays, against their formulas and the schedules of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import dlc
from dlc.compiler.emit.functions import OPERATORS as SPELLED
from dlc.compiler.ir.ops import OPERATORS
from dlc.compiler.options import Options
from dlc.compiler.sources import read
from dlc.runtime import InputError

SPEC = """
fn gelu(x) = x*(1 + erf(x/sqrt(2)))/2
fn soft(x, sharp = 2) = softplus(sharp*x)/sharp - relu(x) + sigmoid(-x)
fn ramp(x, low = 0, high = 2*low + 1) = 0 if x < low else 1 if x > high else (x - low)/(high - low)
fn hour(n, per = 24) = n mod per // 2 - -n // -per
fn pick(flag, x, y) = x if flag and not x == y or x > 3 else y
fn dropped(x, p) = x/(1 - p) if train else x
fn signs(a, b, c) = a/b/c - a/(b/c) - a*b/c*b - (a + b)*(b - c)/-c^-2 - -a^2
fn pole(x) = 1/x
fn power(n : int, k : int) = n^k
fn real_power(x, n) = x^n
fn most(a, b, c) = max(a, b, c) - min(a, b, c)
fn nothing() = 7
fn slope(x, p = 2) = grad(tanh(x)^p, x) + grad(grad(x^3, x), x)
fn doubled_slope(x) = slope(2*x)
fn step(step) = step + 1
fn θ(x') = abs(sign(x'))*floor(x')
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("functions") / "functions.dl"
    path.write_text(SPEC, encoding="utf-8")
    return dlc.compile(path)


def test_every_operator_can_be_spelled() -> None:
    drawn = {name for name in OPERATORS if name.startswith("random_")}  # these stand behind `~` only
    inner = {"isqrt", "after"}  # the compiler writes these itself
    assert OPERATORS.keys() == SPELLED | drawn | inner


def test_derivatives(module: Any) -> None:
    x = np.array([0.3, -1.2, 0.0])
    assert_allclose(module.slope(x), 2 * np.tanh(x) / np.cosh(x) ** 2 + 6 * x, 1e-14)
    assert_allclose(module.slope(0.3, 3), 3 * np.tanh(0.3) ** 2 / np.cosh(0.3) ** 2 + 1.8, 1e-14)
    assert_allclose(module.doubled_slope(x), module.slope(2 * x), 1e-14)


def test_values(module: Any) -> None:
    scipy = pytest.importorskip("scipy.special")
    x = np.linspace(-3, 3, 13)
    assert_allclose(module.gelu(x), x * scipy.ndtr(x), 1e-14)
    expected = np.log1p(np.exp(3.0 * x)) / 3 - np.maximum(x, 0) + 1 / (1 + np.exp(x))
    assert_allclose(module.soft(x, sharp=3), expected, 1e-12)
    assert_allclose(module.ramp(x), np.clip(x, 0, 1))
    assert_allclose(module.ramp(x, low=1), np.clip((x - 1) / 2, 0, 1))
    assert_allclose(module.ramp(x, 1, 2), np.clip(x - 1, 0, 1))
    a, b, c = 1.5, -0.7, 2.5
    expected = a / b / c - a / (b / c) - a * b / c * b - (a + b) * (b - c) / -(c**-2) + a**2
    assert_allclose(module.signs(a, b, c), expected, 1e-14)
    assert module.most(2, -1, 5) == 6
    assert_allclose(module.theta(x), np.abs(np.sign(x)) * np.floor(x))
    assert module.nothing() == 7
    assert module.pick(True, 2, 2) == 2 and module.pick(False, 4, 1) == 4 and module.pick(False, 3, 1) == 1
    assert (module.dropped(3, 0.5), module.dropped(3, 0.5, train=True)) == (3, 6)


def test_integers(module: Any) -> None:
    for n in range(-30, 30):
        for per in (1, 5, 24, -7):
            assert module.hour(n, per) == n % per // 2 - -n // -per
    assert type(module.hour(25)) is int
    assert module.hour(30.0) == module.hour(30)
    with pytest.raises(InputError, match="n should be integers"):
        module.hour(30.5)
    assert module.power(3, 20) == 3**20
    assert module.power(2, -1) == 0.5  # an exponent that is not known makes it real
    assert module.real_power(2, -1) == 0.5  # an integer given for a real number
    assert module.pole(4) == 0.25


def test_what_comes_out_has_the_shape_of_what_goes_in(module: Any) -> None:
    assert type(module.pole(0.5)) is float
    assert module.pole(0) == np.inf
    assert module.pole(np.float32(0.5)) == 2
    assert module.pole([1, 2]).tolist() == [1, 0.5]
    assert module.ramp(np.zeros((2, 1)), np.zeros(3)).shape == (2, 3)
    assert module.step(np.arange(3)).dtype == np.float64
    with pytest.raises(InputError, match=r"ramp: .*could not be broadcast"):
        module.ramp([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="x should be real numbers"):
        module.pole("one")


def test_a_module_says_what_its_functions_are(module: Any) -> None:
    assert module.__all__[:3] == ["gelu", "soft", "ramp"]
    assert module.gelu.__doc__ == "gelu(x) = x*(1 + erf(x/sqrt(2)))/2"
    stub = Path(module.__file__ + "i").read_text()
    assert "def ramp(x: ArrayLike, low: ArrayLike = ..., high: ArrayLike = ...) -> Any: ..." in stub
    assert "Model" not in Path(module.__file__).read_text()


def test_functions_stand_beside_models(tmp_path: Path) -> None:
    from dlc.compiler import compilation

    spec = tmp_path / "both.dl"
    spec.write_text("fn twice(x) = 2*x\n\nmodel M(x[B]) -> loss:\n    param a = 1\n    loss = mean[b] a*twice(x[b])\n")
    text = compilation.module_text(read(str(spec)), Options())
    assert '__all__ = ["M", "twice"]' in text.python
    assert "def twice(x):" in text.python and "def twice(x: ArrayLike) -> Any: ..." in text.stub


# -- schedules ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schedules() -> Any:
    return dlc.compile("optim.schedules")


def torch_rates(schedule: Callable[..., Any], count: int, **options: Any) -> list[float]:
    torch = pytest.importorskip("torch")
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=0.2)
    made = schedule(torch.optim.lr_scheduler)(optimiser, **options)
    rates = []
    for _ in range(count):
        rates.append(made.get_last_lr()[0])
        optimiser.step()
        made.step()
    return rates


def test_schedules_are_those_of_pytorch(schedules: Any) -> None:
    steps = np.arange(25)
    rows: list[tuple[Any, list[float]]] = [
        (schedules.stairs(steps, 7, 0.2, 0.5), torch_rates(lambda s: s.StepLR, 25, step_size=7, gamma=0.5)),
        (schedules.exponential(steps, 0.2, 0.9), torch_rates(lambda s: s.ExponentialLR, 25, gamma=0.9)),
        (
            schedules.linear(steps, 10, 0.2, 0.05),
            torch_rates(lambda s: s.LinearLR, 25, start_factor=1, end_factor=0.25, total_iters=10),
        ),
        (
            schedules.cosine(steps[:21], 20, 0.2, 0.01),
            torch_rates(lambda s: s.CosineAnnealingLR, 21, T_max=20, eta_min=0.01),
        ),
        (
            schedules.restarts(steps, 6, 0.2, 0.01),
            torch_rates(lambda s: s.CosineAnnealingWarmRestarts, 25, T_0=6, eta_min=0.01),
        ),
        (
            schedules.polynomial(steps, 15, 2, 0.2, 0),
            torch_rates(lambda s: s.PolynomialLR, 25, total_iters=15, power=2.0),
        ),
    ]
    for mine, theirs in rows:
        assert_allclose(mine, theirs, 1e-12, 1e-15)


def test_warm_up(schedules: Any) -> None:
    steps = np.arange(1, 10_000)
    rates = schedules.warm_up(steps)
    assert steps[rates.argmax()] == 4000
    assert_allclose(rates, 512**-0.5 * np.minimum(steps**-0.5, steps * 4000**-1.5), 1e-13)
    assert_allclose(schedules.warm_cosine([0, 5, 10, 55, 100, 200], 10, 100), [0, 0.05, 0.1, 0.05, 0, 0], 1e-12, 1e-16)
