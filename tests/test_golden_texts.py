"""Five specs at every stage of their compilation, as text: `pytest --update-golden` writes it anew.

A difference is either what a change of the compiler meant, or its mistake: read it before you accept it.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import NamedTuple

import pytest

from dlc.compiler import driver

FOLDER = Path(__file__).with_name("golden")
STAGES = ("ast", "graph", "grad", "loops", "python")


class Row(NamedTuple):
    """One definition of a spec: what is special about it stands beside its row."""

    spec: str
    definition: str


ROWS = (
    Row("models.linear_regression", "LinearRegression"),  # sums that leave scalars
    Row("models.mlp", "Mlp"),  # matrix products, instances, a softmax under a logarithm, a gather
    Row("nn.activations", "MaskedSoftmax"),  # a layer: a vector-Jacobian product, with guards
    Row("nn.conv", "Conv2d"),  # affine subscripts, padding, hyper-parameters, deltas that are solved
    Row("nn.attention", "CausalAttention"),  # conditions that become bounds, contractions of three axes
)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("row", ROWS, ids=[row.definition for row in ROWS])
def test_text(row: Row, stage: str, update_golden: bool) -> None:
    path = FOLDER / f"{row.definition}.{stage}"
    text = driver.print_stages(row.spec, stage, model=row.definition)
    if update_golden:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    difference = difflib.unified_diff(expected.splitlines(), text.splitlines(), path.name, "now", lineterm="")
    assert text == expected, "\n".join(difference)


def test_every_text_belongs_to_a_row() -> None:
    known = {f"{row.definition}.{stage}" for row in ROWS for stage in STAGES}
    assert {path.name for path in FOLDER.iterdir()} == known
