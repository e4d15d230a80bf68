"""Every claim of the standard library holds, and those of convolutions and pooling with other strides and paddings."""

from __future__ import annotations

import pytest

import dlc
from dlc.compiler import library
from dlc.compiler.verification import Verdict

POINTS = 5


def failures(verdicts: list[Verdict]) -> list[str]:
    return [f"{one.definition}: {one.text} {one.words}" for one in verdicts if not one.holds]


@pytest.mark.parametrize("module", library.standard_modules())
def test_claims_hold(module: str) -> None:
    assert failures(dlc.verify(module, points=POINTS)) == []


@pytest.mark.parametrize(
    ("module", "sizes", "hyper"),
    [
        ("nn.conv", {"P": 2, "Q": 2, "R": 1}, {"stride": 2, "padding": 1, "dilation": 2}),
        ("nn.pooling", {}, {"stride": 1, "padding": 1}),
        ("nn.activations", {}, {"beta": 2.5, "alpha": -0.5, "k": 0.3}),
        ("nn.distances", {}, {"p": 3}),
    ],
)
def test_claims_hold_for_other_hyper_parameters(module: str, sizes: dict[str, int], hyper: dict[str, float]) -> None:
    assert failures(dlc.verify(module, points=POINTS, sizes=sizes, hyper=hyper)) == []
