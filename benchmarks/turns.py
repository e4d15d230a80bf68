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

from benchmarks import exact
from benchmarks.exact import error_of
from benchmarks.implementations import COMPILERS
from benchmarks.worker import MARK
from benchmarks.workload import Array, Case

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-3
"""Of float32 results, beside the largest element of each."""
SLACK = 4.0
"""How many times as far from the exact results they may be as rounding moves these, where that is more."""
_PROBE, _MOST = 3, 5000  # steps of the first turn, which finds out how many fill a turn, and the most of any turn
_PAUSE = 0.05  # seconds before a turn, for the threads of the one before to fall asleep
_IDLE = 0.85  # the share of the processors that must be idle before a turn
_CACHES = ("DLC_CACHE_DIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


@dataclass(frozen=True)
class Settings:
    rounds: int = 7  # turns of each implementation
    seconds: float = 0.3  # of a turn
    threads: int = 1
    patience: float = 2.0  # seconds to wait for a quiet machine before a turn
    interpreters: Mapping[str, str] = field(default_factory=dict)  # the Python of an implementation, if another
    cold: bool = False  # whether compilers start with empty caches


@dataclass(frozen=True)
class Row:
    """One implementation; times in seconds."""

    name: str
    median: float
    least: float
    first: float  # from the start of a process's work to the first result
    second: float | None  # the same in a second process, which is the one that is measured, of what compiles
    memory: int | None  # bytes that the process took at most for steps, beyond the imported library
    error: float  # the largest difference from the reference, beside the largest element of a result
    agrees: bool
    turns: tuple[float, ...]


@dataclass(frozen=True)
class Measurement:
    reference: str  # what the results are compared with
    rows: tuple[Row, ...]
    problems: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()  # not installed
    busy: float = 0.0  # the share of the turns that began while something else was running
    tolerance: float = TOLERANCE


@dataclass
class _Worker:
    name: str
    process: subprocess.Popen[str]
    results: Path
    first: float = 0.0
    second: float | None = None
    memory: int | None = None
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


def measure(case: Case, who: Sequence[str], settings: Settings) -> Measurement:
    """Run every implementation in turns."""
    problems: dict[str, str] = {}
    missing: list[str] = []
    workers: list[_Worker] = []
    with tempfile.TemporaryDirectory() as folder:
        for implementation in who:
            worker, answer = _ready(case, implementation, settings, Path(folder))
            if "ready" in answer:
                workers.append(worker)
            elif answer.get("missing"):
                missing.append(implementation)
            else:
                problems[implementation] = answer["failed"]
        try:
            busy = _rounds(workers, settings)
        finally:
            for worker in workers:
                worker.end()
        reference, tolerance, rows = _compared(workers, _judged(case, settings, Path(folder)))
        return Measurement(reference, rows, problems, tuple(missing), busy, tolerance)


def _ready(case: Case, implementation: str, settings: Settings, folder: Path) -> tuple[_Worker, dict[str, Any]]:
    """A process that waits for its turns, and its first answer: the second one, of what compiles."""
    worker = _started(case, implementation, settings, folder)
    answer = worker.answer()
    if "ready" not in answer:
        return worker, answer
    first = answer["ready"]
    if implementation in COMPILERS:
        worker.end()
        worker = _started(case, implementation, settings, folder)
        answer = worker.answer()
        worker.second = answer.get("ready")
    worker.first = first
    return worker, answer


def _started(case: Case, implementation: str, settings: Settings, folder: Path) -> _Worker:
    results = folder / f"{implementation}.npz"
    pairs = [f"{size}={int(value)}" for size, value in case.sizes.items()]
    words = [case.workload, implementation, str(settings.threads), str(results), *pairs]
    process = subprocess.Popen(
        [settings.interpreters.get(implementation, sys.executable), "-m", "benchmarks.worker", *words],
        cwd=ROOT,
        env={**os.environ, **_environment(settings, folder)},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    return _Worker(implementation, process, results)


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    caches = {variable: str(folder / variable) for variable in _CACHES} if settings.cold else {}
    return {**dict.fromkeys(variables, str(settings.threads)), **caches}


def _rounds(workers: Sequence[_Worker], settings: Settings) -> float:
    """Let everybody work in turn; gives the share of turns that began on a busy machine."""
    turns, busy = 0, 0
    for number in range(settings.rounds + 1):
        for worker in workers:
            turns, busy = turns + 1, busy + (not _quiet(settings.patience))
            answer = worker.turn()
            if number == 0:
                worker.count = max(1, min(_MOST, int(settings.seconds / max(answer["median"], 1e-7))))
                continue
            if answer["memory"] is not None:
                worker.memory = max(worker.memory or 0, answer["memory"])
            worker.medians.append(answer["median"])
            worker.least.append(answer["least"])
    return busy / max(turns, 1)


def _quiet(patience: float) -> bool:
    """Wait until the processors are idle, but not for long; whether they are. Where nothing tells, they are."""
    end = time.monotonic() + patience
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


def _judged(case: Case, settings: Settings, folder: Path) -> tuple[list[Array], float] | None:
    """The exact results, and how far rounding moves them; nothing, and why, where they cannot be had."""
    results = folder / "exact.npz"
    pairs = [f"{size}={int(value)}" for size, value in case.sizes.items()]
    words = [case.workload, str(settings.threads), str(results), *pairs]
    python = settings.interpreters.get("torch", sys.executable)
    finished = subprocess.run(
        [python, "-m", "benchmarks.exact", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if finished.returncode != 0:
        print(f"not compared with float64: {finished.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return exact.read(str(results))


def _compared(
    workers: Sequence[_Worker], judged: tuple[list[Array], float] | None
) -> tuple[str, float, tuple[Row, ...]]:
    """What the results are compared with, how far they may be from it, and a row for each implementation."""
    results = {worker.name: list(np.load(worker.results).values()) for worker in workers}
    reference, tolerance = exact.REFERENCE, TOLERANCE
    if judged is None:
        reference = next((name for name in ("torch", "jax", "dlc") if name in results), "")
        wanted = results.get(reference, [])
    else:
        wanted, sensitivity = judged
        tolerance = max(TOLERANCE, SLACK * sensitivity)
    rows = []
    for worker in workers:
        error = max(error_of(*pair) for pair in zip(results[worker.name], wanted, strict=True))
        rows.append(
            Row(
                worker.name,
                statistics.median(worker.medians),
                min(worker.least),
                worker.first,
                worker.second,
                worker.memory,
                error,
                error <= tolerance,
                tuple(worker.medians),
            )
        )
    return reference, tolerance, tuple(rows)
