"""How many shards run: little work is not shared, and what shards hand over is written by all of them."""

from __future__ import annotations

from typing import Any

import pytest

from dlc.runtime.declarations import SHARDS, Entry, Step
from dlc.runtime.execution import PARALLEL_WORK, _shards, _shards_of

MUCH, LITTLE = PARALLEL_WORK, PARALLEL_WORK - 1


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step(None), 1),
        (Step(None, parallel=True), 4),
        (Step(None, parallel=True, work=MUCH), 4),
        (Step(None, parallel=True, work=LITTLE), 1),
        (Step(None, parallel=True, work=LITTLE, all_shards=True), 4),
        (Step(None, parallel=True, work="B"), 1),
        (Step(None, parallel=True, work=lambda n: n["B"] * MUCH), 4),
        (Step(None, parallel=True, work=lambda n: n[SHARDS] * MUCH // 4), 4),
    ],
)
def test_a_step_runs_in_as_many_shards_as_pay(step: Step, expected: int) -> None:
    assert _shards_of(step, {"B": 10, SHARDS: 4}) == expected


@pytest.mark.parametrize(("works", "expected"), [((LITTLE, LITTLE), 1), ((LITTLE, MUCH), 4), ((), 1)])
def test_an_entry_without_work_has_one_shard(works: tuple[Any, ...], expected: int) -> None:
    entry = Entry("forward", tuple(Step(None, parallel=True, work=work, all_shards=True) for work in works))
    assert _shards(entry, {}, 4) == expected
