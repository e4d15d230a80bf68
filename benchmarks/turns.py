"""Measuring in turns: a process for each implementation, one of which works at a time.

Thread pools of one process disturb each other, and a machine's speed drifts; so every round lets each implementation
work for a fraction of a second, and what is reported is the median over the rounds of ratios within a round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worker import MARK

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-3
"""Of float32 results, beside the largest element of each."""
_PROBE, _MOST = 5, 5000  # steps of the first turn, which finds out how many fill a turn, and the most of any turn
_PAUSE = 0.05  # seconds before a turn, for the threads of the one before to fall asleep
_IDLE = 0.85  # the share of the processors that must be idle before a turn
_PATIENCE = 2.0  # seconds to wait for that


@dataclass(frozen=True)
class Row:
    """One implementation; times in seconds."""

    name: str
    median: float
    least: float
    ready: float  # from the start of the process's work to the first result
    error: float  # the largest difference from the reference, beside the largest element
    agrees: bool
    turns: tuple[float, ...]


@dataclass(frozen=True)
class Measurement:
    reference: str  # whose results the others are compared with
    rows: tuple[Row, ...]
    problems: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()  # not installed
    busy: float = 0.0  # the share of the turns that began while something else was running


@dataclass
class _Worker:
    name: str
    process: subprocess.Popen[str]
    results: Path
    ready: float = 0.0
    count: int = _PROBE
    medians: list[float] = field(default_factory=list)
    least: list[float] = field(default_factory=list)

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        return {"failed": f"the process ended with exit code {self.process.wait()}"}

    def turn(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{self.count}\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(
    name: str, sizes: Mapping[str, int], who: Sequence[str], rounds: int, seconds: float, threads: int
) -> Measurement:
    """Run every implementation in turns."""
    problems: dict[str, str] = {}
    missing: list[str] = []
    workers: list[_Worker] = []
    with tempfile.TemporaryDirectory() as folder:
        for implementation in who:
            worker = _started(name, implementation, sizes, threads, Path(folder))
            answer = worker.answer()  # set-up is measured too: one at a time
            if "ready" in answer:
                worker.ready = answer["ready"]
                workers.append(worker)
            elif answer.get("missing"):
                missing.append(implementation)
            else:
                problems[implementation] = answer["failed"]
        try:
            busy = _rounds(workers, rounds, seconds)
        finally:
            for worker in workers:
                worker.end()
        return Measurement(*_compared(workers), problems, tuple(missing), busy)


def _started(name: str, implementation: str, sizes: Mapping[str, int], threads: int, folder: Path) -> _Worker:
    results = folder / f"{implementation}.npz"
    pairs = [f"{size}={value}" for size, value in sizes.items()]
    command = [sys.executable, "-m", "benchmarks.worker", name, implementation, str(threads), str(results), *pairs]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), threads)
    environment = {**os.environ, **{variable: str(value) for variable, value in limits.items()}}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    return _Worker(implementation, process, results)


def _rounds(workers: Sequence[_Worker], rounds: int, seconds: float) -> float:
    """Let everybody work in turn; gives the share of turns that began on a busy machine."""
    turns, busy = 0, 0
    for number in range(rounds + 1):
        for worker in workers:
            turns, busy = turns + 1, busy + (not _quiet())
            answer = worker.turn()
            if number == 0:
                worker.count = max(_PROBE, min(_MOST, int(seconds / max(answer["median"], 1e-7))))
                continue
            worker.medians.append(answer["median"])
            worker.least.append(answer["least"])
    return busy / max(turns, 1)


def _quiet() -> bool:
    """Wait until the processors are idle, but not for long; whether they are. Where nothing tells, they are."""
    end = time.monotonic() + _PATIENCE
    while True:
        before = _processor_times()
        time.sleep(_PAUSE)
        after = _processor_times()
        total = after[0] - before[0]
        if total <= 0 or (after[1] - before[1]) / total >= _IDLE:
            return True
        if time.monotonic() > end:
            return False


def _processor_times() -> tuple[int, int]:
    """Clock ticks since the start of the system, of all processors: all, and idle."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(word) for word in file.readline().split()[1:]]
    except OSError:
        return 0, 0
    return sum(ticks), ticks[3] + ticks[4]


def _compared(workers: Sequence[_Worker]) -> tuple[str, tuple[Row, ...]]:
    """The implementation that the others are compared with, and a row for each."""
    results = {worker.name: list(np.load(worker.results).values()) for worker in workers}
    reference = next((name for name in ("torch", "jax", "torch.compile", "dlc") if name in results), "")
    rows = []
    for worker in workers:
        errors = [_error(*pair) for pair in zip(results[worker.name], results[reference], strict=True)]
        rows.append(
            Row(
                worker.name,
                statistics.median(worker.medians),
                min(worker.least),
                worker.ready,
                max(errors),
                max(errors) <= TOLERANCE,
                tuple(worker.medians),
            )
        )
    return reference, tuple(rows)


def _error(found: Any, wanted: Any) -> float:
    """The largest difference beside the largest element; infinite where shapes differ or nan stands."""
    if found.shape != wanted.shape or not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        return float("inf")
    return float(np.max(np.abs(found - wanted), initial=0.0) / (np.max(np.abs(wanted), initial=0.0) + 1e-30))
