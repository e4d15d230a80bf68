"""Every line of docs/numerics.md is true of compiled code, in both types; `numerics_page` makes a spec of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import precision
import pytest
import scipy.special
from numeric import numerics_page as page
from numeric.layouts import TOGETHER, laid, taken

import dlc
from dlc.compiler.semantics.scope import FUNCTIONS, LAYERS
from dlc.compiler.syntax.vocabulary import REDUCTIONS

COUNT = 100_000
#: What the expressions of the table of errors are, in a wider type.
WIDER: dict[str, Callable[..., Any]] = {
    "x + y": lambda x, y, a, b: x + y,
    "x*y": lambda x, y, a, b: x * y,
    "x/y": lambda x, y, a, b: x / y,
    "x^y": lambda x, y, a, b: x**y,
    "x^2": lambda x, y, a, b: x * x,
    "sqrt(x)": lambda x, y, a, b: np.sqrt(x),
    "abs(y)": lambda x, y, a, b: np.abs(y),
    "sign(y)": lambda x, y, a, b: np.sign(y),
    "floor(y)": lambda x, y, a, b: np.floor(y),
    "ceil(y)": lambda x, y, a, b: np.ceil(y),
    "relu(y)": lambda x, y, a, b: np.maximum(y, 0),
    "max(x, y)": lambda x, y, a, b: np.maximum(x, y),
    "min(x, y)": lambda x, y, a, b: np.minimum(x, y),
    "sum[i] a[i]": lambda x, y, a, b: a.sum(),
    "mean[i] a[i]": lambda x, y, a, b: a.mean(),
    "sum[i] a[i]*b[i]": lambda x, y, a, b: (a * b).sum(),
    "logsumexp[i] a[i]": lambda x, y, a, b: scipy.special.logsumexp(a),
    "max[i] a[i]": lambda x, y, a, b: a.max(),
    "min[i] a[i]": lambda x, y, a, b: a.min(),
}


class Compiled(NamedTuple):
    module: Any
    dtype: str


@pytest.fixture(scope="module", params=["float32", "float64"])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiled]:
    folder = tmp_path_factory.mktemp("numerics")
    (folder / "numerics.dl").write_text(page.spec(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(folder))
        yield Compiled(dlc.compile(folder / "numerics.dl", dtype=request.param), request.param)


def agree(found: Any, expected: Any, dtype: str, absolute: float = 0.0) -> bool:
    """Whether a value is the page's, within eight units in the last place; signs of zeros do not count."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return False
    if found.dtype.kind != "f":
        return bool((found == expected).all())
    epsilon = float(np.finfo(dtype).eps)
    return np.allclose(found, expected.astype(float), 8 * epsilon, absolute * epsilon, equal_nan=True)


def test_functions(compiled: Compiled) -> None:
    """Values, and slopes; the slope of a stable form is as accurate as the type is at 1."""
    check_functions(compiled.module.Functions(), compiled.dtype, 0, None)


@pytest.mark.parametrize("length", range(1, 34))
def test_functions_in_vectors(compiled: Compiled, length: int) -> None:
    """Each point at every place of vectors, and of what is left over behind them."""
    for start in range(max(len(one.points) for one in page.functions())):
        check_functions(compiled.module.Functions(), compiled.dtype, start, length)


def check_functions(layer: Any, dtype: str, start: int, length: int | None, layout: str = TOGETHER) -> None:
    """At the points of a function from one of them on, again and again up to the length."""

    def turned(values: tuple[Any, ...]) -> Any:
        return np.resize(np.roll(values, -start), len(values) if length is None else length).astype(dtype)

    given = {f"x_{one.name}": laid(layout, turned(one.points)) for one in page.functions()}
    ones = {one.name: np.ones_like(turned(one.points)) for one in page.functions()}
    values, slopes = layer.vjp(ones, **given)
    wrong = []
    for one in page.functions():
        found = taken(layout, slopes[f"x_{one.name}"]) if one.slope else values[one.name]
        absolute = float(one.slope)
        if agree(found, np.resize(np.roll(one.values, -start), len(found)), dtype, absolute):
            continue
        for at, value, expected in zip(turned(one.points), found, turned(one.values), strict=True):
            if not agree(value, expected, dtype, absolute):
                wrong.append(f"{'slope of' * one.slope} {one.text} at {at}: {value}, the page says {expected}")
    assert not wrong, "\n".join(wrong)


def test_expressions(compiled: Compiled) -> None:
    """A call takes one line of each expression, until all lines have been taken."""
    lines: dict[str, list[page.Line]] = {}
    for line in page.lines():
        lines.setdefault(line.name, []).append(line)
    layer, wrong = compiled.module.Expressions(), []
    for turn in range(max(map(len, lines.values()))):
        taken = [those[turn % len(those)] for those in lines.values()]
        wrong += [problem for line, problem in checked(layer, taken, compiled.dtype) if turn < len(lines[line.name])]
    assert not wrong, "\n".join(wrong)


def checked(layer: Any, lines: list[page.Line], dtype: str) -> Iterator[tuple[page.Line, str]]:
    given = {f"{letter}_{line.name}": line.given[letter] for line in lines for letter, _ in page.declared(line)}
    first = {line.name: np.eye(len(line.value))[0] if isinstance(line.value, list) else 1.0 for line in lines}
    weights = {line.name: np.asarray(first[line.name], dtype) for line in lines if line.slopes}
    values, slopes = layer.vjp(weights, **given)
    for line in lines:
        where = f"{line.text} at {line.given}"
        if not agree(values[line.name], line.value, dtype):
            yield line, f"{where}: {values[line.name]}, the page says {line.value}"
        real = [letter for letter in line.given if not page.INPUTS[letter].endswith(("int", "bool"))]
        found = [slopes[f"{letter}_{line.name}"] for letter in real]
        if line.slopes and (
            len(found) != len(line.slopes)
            or not all(agree(one, slope, dtype) for one, slope in zip(found, line.slopes, strict=True))
        ):
            yield line, f"slopes of {where}: {found}, the page says {line.slopes}"


def test_distributions(compiled: Compiled) -> None:
    drawn = compiled.module.Drawn().forward(seed=3)
    ranges = [(text, page.number(low), page.number(high)) for _, (text, low, high) in page.rows("distribution")]
    for place, (text, low, high) in enumerate(ranges):
        values = np.asarray(drawn[f"d{place}"], float)
        is_open = "uniform" in text and "5, -2" not in text
        assert low <= values.min() <= values.max() <= (np.nextafter(high, low) if is_open else high)
        if high - low == 7:
            assert values.min() < low + 0.01 < high - 0.01 < values.max()


def test_errors(compiled: Compiled) -> None:
    random = np.random.default_rng(5)
    ranges = {"x": (0, 5), "y": (-5, 5), "a": (0, 1), "b": (0, 1)}
    given = {name: random.uniform(*limits, COUNT).astype(compiled.dtype) for name, limits in ranges.items()}
    values = compiled.module.Errors().forward(given)
    exact = {name: precision.wider(value) for name, value in given.items()}
    slack = 1e-3 if precision.EXTENDED or compiled.dtype == "float32" else 1.0
    wrong = []
    for place, (text, *bounds) in enumerate(page.errors()):
        if text.isalnum():
            continue
        expected = np.atleast_1d(WIDER[text](**exact))
        error = precision.units_in_the_last_place(np.atleast_1d(values[f"r{place}"]), expected).max()
        if error > bounds[compiled.dtype == "float64"] + slack * bool(bounds[0]):
            wrong.append(f"{text} is wrong by {error} units in the last place, the page says {bounds}")
    assert not wrong, "\n".join(wrong)


def test_bounds_of_functions_are_those_that_the_kernels_are_tested_for() -> None:
    named = {text: (single, double) for text, single, double in page.errors() if text.isalnum()}
    assert named == precision.BOUND


@cache
def texts(kind: str) -> str:
    return " ".join(row[0] for _, row in page.rows(kind))


def test_the_page_is_complete() -> None:
    """Its tables are all of a kind that is tested, and each function and reduction of the language stands in them."""
    assert {table.kind for table in page.tables()} == set(page.KINDS)
    assert sum(len(table.rows) for table in page.tables()) > 200
    for function in FUNCTIONS:
        for kind in ("value at", "slope at"):
            assert f"{function}(" in texts(kind), f"{function} is missing under {kind}"
        assert f"`{function}" in texts("error of") or function == "stop", function
    for word in (*(f"{reduction}[" for reduction in REDUCTIONS), *(f"{layer}(" for layer in LAYERS), " // ", " mod "):
        assert word in texts("expression"), word
