"""What has been measured: a case by all implementations, or how the time of one grows with a size."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.implementations import HANDWRITTEN, OURS, PEERS
from benchmarks.turns import Measurement, Row
from benchmarks.workload import Case

OTHERS = (*OURS[1:], *PEERS, HANDWRITTEN)
GROWTH_PLOT = "growth.png"
"""What `python -m benchmarks.growth` draws into the folder of the report."""

Times = Mapping[str, Mapping[int, float]]
"""Of each implementation: seconds by size."""


@dataclass(frozen=True)
class Result:
    case: Case
    measurement: Measurement

    def row(self, name: str) -> Row | None:
        return next((row for row in self.measurement.rows if row.name == name), None)

    def ratio(self, name: str) -> float | None:
        """How many times as long as dlc it takes: the median over the rounds."""
        row, dlc = self.row(name), self.row("dlc")
        if row is None or dlc is None:
            return None
        return statistics.median(one / other for one, other in zip(row.turns, dlc.turns, strict=True))

    @property
    def ratios(self) -> dict[str, float]:
        """Of all that were measured beside dlc."""
        return {name: ratio for name in OTHERS if (ratio := self.ratio(name)) is not None}

    @property
    def best(self) -> tuple[str, float] | None:
        """The fastest peer, and how many times as long as dlc it takes."""
        peers = [(name, ratio) for name, ratio in self.ratios.items() if name in PEERS]
        return min(peers, key=lambda pair: pair[1], default=None)


@dataclass(frozen=True)
class Growth:
    workload: str
    size: str
    values: Sequence[int]

    @property
    def name(self) -> str:
        return f"{self.workload}.{self.size}"


def exponent(line: Mapping[int, float]) -> float:
    """Between the two largest sizes; nan where there are not two."""
    if len(line) < 2:
        return math.nan
    (small, before), (large, after) = sorted(line.items())[-2:]
    return math.log(after / before) / math.log(large / small)
