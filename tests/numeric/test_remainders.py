"""Loops of every short length, so that the body of vectors and what is left over both meet every kind of number.

The numbers are those where functions change: nan, infinities, zeros of both signs, the smallest and the largest, and
where results begin to overflow or to vanish.  They take turns at every place of loops of 1 to 33 rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import mpmath
import numpy as np
import precision
import pytest

import dlc

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
LENGTHS = range(1, 34)
REALS = ("float32", "float64")

#: Functions with a bound on their errors, and what they are in many digits.
SMOOTH: dict[str, Callable[[Any], Any]] = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "tanh": mpmath.tanh,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)) if x < 40 else x + mpmath.exp(-x),
    "erf": mpmath.erf,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
}
#: Functions without an error.
EXACT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "relu": lambda x: np.maximum(x, 0),
}
#: What functions do with infinities.
AT_INFINITY: dict[str, tuple[float, float]] = {
    "exp": (0, np.inf),
    "expm1": (-1, np.inf),
    "log": (np.nan, np.inf),
    "log1p": (np.nan, np.inf),
    "tanh": (-1, 1),
    "sinh": (-np.inf, np.inf),
    "cosh": (np.inf, np.inf),
    "sigmoid": (0, 1),
    "softplus": (0, np.inf),
    "erf": (-1, 1),
    **dict.fromkeys(("sin", "cos", "tan"), (np.nan, np.nan)),
}
FUNCTIONS = (*SMOOTH, *EXACT)


def spec() -> str:
    """Each function over a vector, and over a column of a matrix, in loops of their own; reductions along each axis."""
    given = [text.format(name) for name in FUNCTIONS for text in ("{0}_x[N_{0}]", "{0}_z[M_{0},P]")]
    outputs = [text.format(name) for name in FUNCTIONS for text in ("{0}_y[N_{0}]", "{0}_u[M_{0}]")]
    lines = [
        line.format(name)
        for name in FUNCTIONS
        for line in ("{0}_y[n_{0}] = {0}({0}_x[n_{0}])", "{0}_u[m_{0}] = {0}({0}_z[m_{0},1])")
    ]
    reductions = [f"    {name}_{axis}[b] = {name}[n] {read}" for name in REDUCTIONS for axis, read in AXES.items()]
    results = ", ".join(f"{name}_{axis}[B]" for name in REDUCTIONS for axis in AXES)
    return "\n".join(
        (
            f"layer Functions({', '.join(given)}) -> {', '.join(outputs)}:",
            "    index P = 2",
            *(f"    {line}" for line in lines),
            "",
            f"layer Reductions(x[B,N], z[N,B], o[N]) -> {results}:",
            *reductions,
            "",
        )
    )


#: What is reduced; of elements that are computed, the places of extremes are sought in another way.
AXES = {"rows": "x[b,n]", "columns": "z[n,b]", "sums": "(z[n,b] + o[n])"}
REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "max": np.max,
    "min": np.min,
    "argmax": np.argmax,
    "argmin": np.argmin,
    "sum": np.sum,
    "prod": np.prod,
}


class Compiled(NamedTuple):
    module: Any
    dtype: str


@pytest.fixture(scope="module", params=REALS)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiled]:
    folder = tmp_path_factory.mktemp("remainders")
    (folder / "remainders.dl").write_text(spec(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(folder))
        yield Compiled(dlc.compile(folder / "remainders.dl", dtype=request.param), request.param)


def specials(dtype: str) -> np.ndarray:
    """Numbers of every kind, of both signs."""
    limits = np.finfo(dtype)
    edge = float(np.log(limits.max))
    tails = [edge - 1e-3, edge + 1e-3, float(-np.log(limits.smallest_subnormal)) + 1, edge + 20, 9.01, 18.5, 40.0]
    middle = [1e-30, 1e-8, 1e-3, 0.3, 0.6931472, 1.0, 1.5707964, 2.5, 3.1415927, 7.75, 1000.25, 65536.5]
    small = [limits.smallest_subnormal, 37 * limits.smallest_subnormal, limits.tiny, limits.eps]
    large = [limits.max, 1e30, 1e18, np.inf]
    positive = np.array([0.0, *small, *middle, *tails, *large]).astype(dtype)
    return np.concatenate([np.stack([positive, -positive], axis=1).ravel(), np.array([np.nan], dtype)])


def exact(name: str, x: np.ndarray) -> list[Any]:
    """The values in many digits; infinities and nan as floats."""
    found: list[Any] = []
    with mpmath.workdps(400):
        for value in x:
            number = float(value)
            if np.isnan(number) or (name in ("log", "log1p") and number < (0.0 if name == "log" else -1.0)):
                found.append(np.nan)
            elif np.isinf(number):
                found.append(AT_INFINITY[name][number > 0])
            elif (name, number) in (("log", 0.0), ("log1p", -1.0)):
                found.append(-np.inf)
            else:
                found.append(_rounded(SMOOTH[name], number, x.dtype))
    return found


def _rounded(function: Callable[[Any], Any], number: float, dtype: Any) -> Any:
    """In extended precision, or what overflows to."""
    value = function(mpmath.mpf(number))
    if abs(value) > mpmath.mpf(float(np.finfo(dtype).max)) * (1 + mpmath.mpf(2) ** -60):
        return np.inf if value > 0 else -np.inf
    return np.longdouble(mpmath.nstr(value, 40))


def _expected(name: str, x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return EXACT[name](x) if name in EXACT else np.array(exact(name, x), np.longdouble)


def _problems(name: str, x: np.ndarray, y: np.ndarray, expected: np.ndarray) -> Iterator[str]:
    if name in EXACT:
        wrong = ~((y == expected) | (np.isnan(y) & np.isnan(expected)))
    else:
        bound = precision.BOUND[name][y.dtype == np.float64] + (0.0 if precision.EXTENDED else 1.0)
        rounded = expected.astype(y.dtype)
        finite = np.isfinite(rounded) & np.isfinite(y)
        spacing = np.spacing(np.abs(np.where(finite, rounded, 0))).astype(np.longdouble)
        off = np.abs(np.where(finite, y, 0).astype(np.longdouble) - np.where(finite, expected, 0))
        same = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
        wrong = np.where(finite, off > bound * spacing, ~same)
    for place in np.flatnonzero(wrong):
        yield f"{name}({x[place]!r}) is {y[place]!r}, not {expected[place]!r}, at place {place} of {len(x)}"


def test_functions(compiled: Compiled) -> None:
    """Every function at every number, at every place of a loop over a vector and over a column."""
    layer, numbers = compiled.module.Functions(), specials(compiled.dtype)
    expected = {name: _expected(name, numbers) for name in FUNCTIONS}
    wrong: list[str] = []
    for length in LENGTHS:
        for start in range(0, len(numbers), length):
            places = np.arange(start, start + length) % len(numbers)
            x = numbers[places]
            pair = np.stack([np.full(length, 7, compiled.dtype), x], axis=1)
            given: Mapping[str, np.ndarray] = {f"{name}_x": x for name in FUNCTIONS}
            values = layer.forward(given | {f"{name}_z": pair for name in FUNCTIONS})
            for name in FUNCTIONS:
                for kind in ("y", "u"):
                    wrong += _problems(name, x, values[f"{name}_{kind}"], expected[name][places])
    assert not wrong, "\n".join([f"{len(wrong)} wrong values", *wrong[:40]])


def rows(length: int, dtype: str, others: tuple[float, ...] = ()) -> np.ndarray:
    """Rows of that length: random ones, and some with what is special at each place, or at each two."""
    random = np.random.default_rng(length)
    found = [random.uniform(-2, 2, length) for _ in range(3)]
    found += [np.full(length, value) for value in (-np.inf, np.inf, np.nan, 1.5, 0.0)]
    for place in range(length):
        for value in (np.nan, np.inf, -np.inf, 9.0, *others):
            found.append(random.uniform(-2, 2, length))
            found[-1][place] = value
            if value == 9.0:  # a tie: the first wins
                found[-1][random.integers(length)] = value
    both = random.uniform(-2, 2, length)
    both[0], both[-1] = np.nan, np.inf
    return np.array([*found, both, both[::-1]]).astype(dtype)


@pytest.mark.parametrize("length", LENGTHS)
def test_reductions(compiled: Compiled, length: int) -> None:
    x = rows(length, compiled.dtype)
    values = compiled.module.Reductions().forward(x=x, z=np.ascontiguousarray(x.T), o=np.zeros(length, x.dtype))
    epsilon = float(np.finfo(compiled.dtype).eps)
    with np.errstate(all="ignore"):
        for name, reduce in REDUCTIONS.items():
            wanted = reduce(x.astype(float) if name in ("sum", "prod") else x, axis=1)
            for axis in AXES:
                found = np.asarray(values[f"{name}_{axis}"])
                if name in ("sum", "prod"):
                    scale = np.abs(np.where(np.isfinite(x), x, 0)).sum(axis=1).max() if name == "sum" else 0.0
                    same = np.isclose(found, wanted, 40 * epsilon, 2 * epsilon * scale, equal_nan=True)
                    same |= (np.abs(wanted) < np.finfo(compiled.dtype).tiny) & (np.abs(found) < 1e-30)
                else:
                    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
                assert same.all(), (name, axis, x[~same][:3], found[~same][:3], wanted[~same][:3])
