"""Compiled kernels compute what PyTorch computes: values and gradients, float32 and float64, at several sizes.

A spec is compiled once for each real type; the sizes are bound by each call. Compiling takes seconds, so the quick
suite has a row for each kind of kernel, and `pytest -m slow` the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numeric import (
    attention_cases,
    composite_cases,
    derivative_cases,
    elimination_cases,
    formula_cases,
    layer_cases,
    library_cases,
    model_cases,
    paper_cases,
    recurrent_cases,
    system_cases,
    variant_cases,
)
from numeric.harness import EXACT, SINGLE, Case, Results, assert_agree, expected, graph_of, inputs_of

import dlc
from dlc.runtime.model import Model

QUICK = frozenset(
    {"Linear", "CrossEntropy", "Conv2d-strided", "MaxPool2d-overlapping", "LayerNorm", "CausalAttention", "Mlp"}
    | {"MessagePassing", "PairLosses", "Borders"}
)
QUICK_DOUBLE = frozenset({"LeNet"})
CASES = (
    *layer_cases.CASES,
    *variant_cases.CASES,
    *library_cases.CASES,
    *attention_cases.CASES,
    *recurrent_cases.CASES,
    *elimination_cases.CASES,
    *composite_cases.CASES,
    *paper_cases.CASES,
    *model_cases.CASES,
)


def rows(quick: frozenset[str]) -> list[object]:
    return [pytest.param(case, id=case.name, marks=() if case.name in quick else pytest.mark.slow) for case in CASES]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Modules of their own: nothing that was compiled before is found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def agrees(case: Case, dtype: str, tolerance: float, folder: Path) -> None:
    spec = folder / "case.dl"
    spec.write_text(case.text, encoding="utf-8")
    name = case.definition or "Case"
    compiled = getattr(dlc.compile(spec, dtype=dtype, wrt="*", model=name), name)
    assert_all_agree(case, compiled, tolerance)


def assert_all_agree(case: Case, compiled: type[Model], tolerance: float) -> None:
    """At every size of the case."""
    graph = graph_of(case.text, case.definition)
    for seed, sizes in enumerate(case.sizes):
        inputs = inputs_of(case, graph, sizes, seed)
        model = compiled(sizes={name: sizes[name] for name in compiled.declaration.sizes if name in sizes})
        assert_agree(called(model, inputs), expected(case, graph, inputs), tolerance)


def called(model: Model, inputs: dict[str, np.ndarray]) -> Results:
    """Values from `forward`, gradients from `value_and_grad` or `vjp`, which must agree on the values."""
    for name in model.params:
        model.params[name][...] = inputs[name]
    given = {name: value for name, value in inputs.items() if name in model.inputs}
    outputs = model.forward(given)
    if any(entry.name == "value_and_grad" for entry in model.declaration.entries):
        loss, gradients = model.value_and_grad(given)
        np.testing.assert_allclose(loss, outputs["loss"], SINGLE)
    else:
        weights = {one.output: inputs[one.name] for one in model.declaration.cotangents}
        _, gradients = model.vjp(weights, **given)
    return Results({name: np.asarray(value) for name, value in outputs.items()}, dict(gradients))


@pytest.mark.parametrize("case", rows(QUICK))
def test_single_precision(case: Case, tmp_path: Path) -> None:
    agrees(case, "float32", SINGLE, tmp_path)


@pytest.mark.parametrize("case", rows(QUICK_DOUBLE))
def test_double_precision(case: Case, tmp_path: Path) -> None:
    agrees(case, "float64", EXACT, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", SINGLE), ("float64", EXACT)])
def test_formulas(dtype: str, tolerance: float, tmp_path: Path) -> None:
    agree_together(formula_cases.CASES, dtype, tolerance, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 10 * SINGLE), ("float64", EXACT)])
def test_derivatives(dtype: str, tolerance: float, tmp_path: Path) -> None:
    """In single precision a third derivative has lost a digit."""
    agree_together(derivative_cases.FORMULAS, dtype, tolerance, tmp_path)


@pytest.mark.parametrize("name", ["gradient penalty", "mixed Hessian", "through layers"])
def test_derivatives_in_losses_and_layers(name: str, tmp_path: Path) -> None:
    (case,) = (case for case in derivative_cases.CASES if case.name == name)
    agrees(case, "float64", EXACT, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", SINGLE), ("float64", EXACT)])
def test_systems(dtype: str, tolerance: float, tmp_path: Path) -> None:
    agree_together(system_cases.CASES, dtype, tolerance, tmp_path)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", SINGLE), ("float64", EXACT)])
def test_a_batch_of_systems_with_many_right_sides(dtype: str, tolerance: float, tmp_path: Path) -> None:
    (case,) = (case for case in system_cases.CASES if case.name == "a batch with many right sides")
    agrees(case, dtype, tolerance, tmp_path)
    model = dlc.compile(tmp_path / "case.dl", dtype=dtype, wrt="*").Case()
    solved = model.forward({"a": [[[0.0, 2], [1, 0]], [[1, 2], [2, 4]]], "b": [[[2.0, 3], [1, 1]]]})["x"]
    np.testing.assert_array_equal(solved, [[[3, 1]], [[np.nan, np.nan]]])


def agree_together(cases: Sequence[Case], dtype: str, tolerance: float, tmp_path: Path) -> None:
    """All formulas as the layers of one file."""
    spec = tmp_path / "formulas.dl"
    texts = [case.text.replace("layer Case(", f"layer Case{n}(") for n, case in enumerate(cases)]
    spec.write_text("\n".join(texts), encoding="utf-8")
    module = dlc.compile(spec, dtype=dtype, wrt="*")
    wrong = {}
    for number, case in enumerate(cases):
        try:
            assert_all_agree(case, getattr(module, f"Case{number}"), tolerance)
        except Exception as error:
            wrong[case.name] = f"{type(error).__name__}: {error}"
    assert not wrong, "\n\n".join(f"{name}: {error}" for name, error in wrong.items())
