"""How long the regions of an entry take, one by one: for `dlc profile`, whose modules have a region for each kernel.

The regions run in their order, as in a call, so that each finds in the caches what those before left there; each is
timed by itself, and of several runs the quickest counts, because others may use the machine meanwhile.  One thread is
measured by the processor's time that it takes, so that others hardly matter; several by the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, thread_time
from typing import Any

from dlc.runtime.model import Model
from dlc.runtime.threads import get_num_threads, set_num_threads

#: Runs go on for so many seconds, within these bounds on their number.
SECONDS, FEWEST, MOST = 0.5, 3, 200


def seconds_of_regions(model: Model, entry: str, given: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """The seconds that each region of the entry takes with these inputs (and cotangents): run by all threads, and by
    one."""
    from dlc.runtime.kernels import frames

    regions, table, kept = model.regions(entry, given)
    steps = [frames.Program([step]).frame(table) for step in regions]
    nothing = frames.Program([]).frame(table)
    threads = get_num_threads()
    try:
        set_num_threads(1)
        alone = _quickest(steps, nothing, thread_time)
    finally:
        set_num_threads(threads)
    together = _quickest(steps, nothing, perf_counter) if threads > 1 else alone
    del kept
    return together, alone


def _quickest(steps: Sequence[Any], nothing: Any, clock: Callable[[], float]) -> list[float]:
    best = [float("inf")] * len(steps)
    overhead = float("inf")
    spent, runs = 0.0, 0
    while runs < FEWEST or (spent < SECONDS and runs < MOST):
        before = perf_counter()
        overhead = min(overhead, _seconds(nothing, clock))
        for number, step in enumerate(steps):
            best[number] = min(best[number], _seconds(step, clock))
        spent, runs = spent + perf_counter() - before, runs + 1
    return [max(1e-9, seconds - overhead) for seconds in best]


def _seconds(frame: Any, clock: Callable[[], float]) -> float:
    from dlc.runtime.kernels.frames import run

    before = clock()
    run(frame.address, _NOTHING, 0)
    return clock() - before


_EMPTY: tuple[Any, ...] = ()
_NOTHING = id(_EMPTY)
