"""One implementation of one workload in a process of its own, which measures when it is told to.

    python -m benchmarks.worker WORKLOAD IMPLEMENTATION THREADS RESULTS.npz NAME=SIZE ...

It speaks lines of JSON behind a mark, for libraries print too: first `{"ready": seconds of set-up}` or
`{"failed": why}`; then, for each number of steps that it reads, `{"median": .., "least": ..}` in seconds, with the
`memory` that the process has taken at most since it had imported the library.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Any

import numpy as np

from benchmarks import memory
from benchmarks.implementations import Step, comparable, import_library, made
from benchmarks.workload import load

MARK = "@benchmark "
_WARM_UP = 0.1  # the share of the steps that is run before measuring


def main() -> None:
    name, implementation, threads, results, *pairs = sys.argv[1:]
    sizes = {name: int(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    _use_processors(int(threads))
    start = time.perf_counter()
    try:
        import_library(implementation)
        before = memory.resident()
        workload = load(name)
        step = made(implementation, workload, sizes, workload.numbers(**sizes), int(threads))
        found = [np.asarray(value).astype(np.float64) for value in step()]  # copies: a step may reuse its arrays
    except Exception as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        _say({"failed": why, "missing": isinstance(error, ImportError)})
        return
    ready = time.perf_counter() - start
    np.savez(results, *comparable(implementation, workload, found))
    del found
    _say({"ready": ready})
    for line in sys.stdin:
        memory.forget_peak()
        turn = _turn(step, int(line))
        most = memory.peak()
        _say({**turn, "memory": None if most is None or before is None else most - before})


def _use_processors(count: int) -> None:
    """Run on no more than that many, where the system lets us say so: JAX knows no other way."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-count:])


def _turn(step: Step, count: int) -> dict[str, float]:
    for _ in range(max(1, int(count * _WARM_UP))):
        step()
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"median": statistics.median(seconds), "least": min(seconds)}


def _say(message: dict[str, Any]) -> None:
    print(MARK + json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
