"""What the specs of the standard library compute is what their golden files say; sizes are found for any model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlc.compiler import golden, library
from dlc.compiler.diagnostics import CompileError
from dlc.runtime.declarations import Array, Declaration, Input, Parameter, Requirement

SPECS = sorted(library.standard_library().rglob("*.golden"))


def test_the_standard_library_has_golden_files() -> None:
    assert {path.stem for path in SPECS} >= {"mlp", "lenet", "conv", "attention", "norm"}
    assert all(path.with_suffix(".dl").exists() for path in SPECS)


@pytest.mark.slow
@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_numbers_are_as_expected(path: Path) -> None:
    assert golden.difference(str(path.with_suffix(".dl"))) == ""


def declared(*sizes: str, **more: Any) -> Declaration:
    return Declaration("Net", "float64", sizes=sizes, **more)


def test_sizes_are_small_and_differ() -> None:
    assert golden.small_sizes(declared("B", "T", "D")) == {"B": 3, "T": 4, "D": 5}
    assert golden.small_sizes(declared()) == {}


def test_sizes_fulfil_what_the_model_requires() -> None:
    image = (Requirement(lambda n: n["H"] - n["P"], "the kernel is smaller than the image"),)
    assert golden.small_sizes(declared("H", "P", requirements=image)) == {"H": 4, "P": 3}
    heads = (Parameter("w", 0, (lambda n: n["D"] // 8, "D")),)
    assert golden.small_sizes(declared("D", parameters=heads)) == {"D": 8}
    equal = (Requirement(lambda n: n["I"] - n["J"], ""), Requirement(lambda n: n["J"] - n["I"], ""))
    found = golden.small_sizes(declared("I", "J", requirements=equal))
    assert found["I"] == found["J"]
    with pytest.raises(CompileError, match="DL923"):
        golden.small_sizes(declared("I", requirements=(Requirement(lambda n: n["I"] - 1000, ""),)))


def test_nothing_is_empty() -> None:
    bound = (Input("z", 0, ("B",), "int", bound=lambda n: n["B"] - 4),)
    assert golden.small_sizes(declared("B", inputs=bound))["B"] > 4
    pooled = (Array("y", 0, (lambda n: n["B"] // 7,)),)
    assert golden.small_sizes(declared("B", arrays=pooled))["B"] >= 7


def test_a_difference_beyond_the_tolerance_is_told() -> None:
    import numpy as np

    base = np.arange(6.0).reshape(2, 3)
    before = golden.summary(base)
    assert before["values"] == [0, 1, 2, 3, 4, 5]
    assert not list(golden._array_differences(before, golden.summary(base + 1e-9)))
    changed = base.copy()
    changed[1, 1] += 1e-5
    (line,) = golden._array_differences(before, golden.summary(changed))
    assert line == "element [1, 1] was 4.0 and is 4.00001"
    (line,) = golden._array_differences(before, golden.summary(base.T))
    assert line == "the shape was [2, 3] and is [3, 2]"
    large = np.ones(100)
    (line,) = golden._array_differences(golden.summary(large), golden.summary(large + 1e-3 * (np.arange(100) == 1)))
    assert line.startswith("the sum was 100.0 and is 100.001")
    (line,) = golden._array_differences(golden.summary([1.0, np.nan]), golden.summary([1.0, 2.0]))
    assert line == "element [1] was nan and is 2.0"
    assert not list(golden._array_differences(golden.summary([np.nan, np.inf]), golden.summary([np.nan, np.inf])))


def test_sizes_that_were_chosen_are_kept(tmp_path: Path) -> None:
    spec = tmp_path / "rows.dl"
    spec.write_text("layer Rows(x[N,P]) -> y[N]:\n    y[n] = sum[p] x[n,p]\n", encoding="utf-8")
    golden.update(str(spec))
    written = golden.golden_path(spec)
    before = written.read_text(encoding="utf-8")
    assert '"sizes": {"N": 3, "P": 4}' in before
    written.write_text(before.replace('"N": 3, "P": 4', '"N": 2, "P": 6'), encoding="utf-8")
    golden.update(str(spec))
    assert '"sizes": {"N": 2, "P": 6}' in written.read_text(encoding="utf-8")
    assert golden.difference(str(spec)) == ""
