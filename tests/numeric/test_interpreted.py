"""The graphs that the compiler makes of layers, models and composites compute what PyTorch computes.

The graphs are those that kernels are made of, after all passes; the interpreter evaluates them in float64. No kernel is
compiled here: see `test_compiled`.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from numeric.harness import EXACT, Case, assert_agree, expected, graph_of, inputs_of, interpreted

CASES = (
    *formula_cases.CASES,
    *system_cases.CASES,
    *variant_cases.CASES,
    *layer_cases.CASES,
    *library_cases.CASES,
    *attention_cases.CASES,
    *recurrent_cases.CASES,
    *elimination_cases.CASES,
    *composite_cases.CASES,
    *paper_cases.CASES,
    *model_cases.CASES,
    *derivative_cases.CASES,
)
ROWS = [
    pytest.param(case, sizes, number, id=f"{case.name}-{'x'.join(map(str, sizes.values()))}")
    for case in CASES
    for number, sizes in enumerate(case.sizes)
]


@pytest.mark.parametrize(("case", "sizes", "seed"), ROWS)
def test_values_and_gradients(case: Case, sizes: Mapping[str, int], seed: int) -> None:
    graph = graph_of(case.text, case.definition)
    inputs = inputs_of(case, graph, sizes, seed)
    assert_agree(interpreted(graph, inputs), expected(case, graph, inputs), EXACT)


def test_names_are_told_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
