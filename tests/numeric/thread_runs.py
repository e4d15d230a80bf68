"""What a spec computes, bit by bit, with any number of threads and from several threads of Python at once.

    python thread_runs.py THREADS SPEC ...

prints what differs, of all models and layers of the specs; the environment gives Numba as many threads. All work is
divided, however little there is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import dlc
from dlc.compiler import golden
from dlc.runtime import calls, execution, model, set_num_threads
from dlc.runtime.optimizer import Optimizer

Array = np.ndarray[Any, Any]
Results = dict[str, Array]
ROUNDS = 3


def divide(shards: int, replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """Divide every region in so many shards, from now on: what is already planned stays."""
    replace(execution, "PARALLEL_WORK", 0)
    for module in (calls, model):
        replace(module, "shards", lambda: shards)


def results(one: Any, given: Mapping[str, Any], weights: Mapping[str, Any]) -> Results:
    """Outputs and gradients of one step, in copies."""
    entries = {entry.name for entry in one.declaration.entries}
    found = dict(one.forward(given)) if "forward" in entries else {}
    for loss in one.declaration.objectives:
        found[f"loss {loss}"], gradients = one.value_and_grad(loss, given, step=0)
        found |= {f"gradient of {loss} by {name}": value for name, value in gradients.items()}
    if "vjp" in entries:
        found |= {f"gradient by {name}": value for name, value in one.vjp(weights, **given, step=0)[1].items()}
    return {name: np.array(value) for name, value in found.items()}


class Work(NamedTuple):
    name: str
    model: Any
    given: dict[str, Any]
    weights: dict[str, Any]

    def bits(self) -> dict[str, bytes]:
        return {name: value.tobytes() for name, value in results(self.model, self.given, self.weights).items()}


def work_of(kind: Any, sizes: Mapping[str, int]) -> Work:
    declaration = kind.declaration
    given = {value.name: golden.drawn(value, sizes, declaration) for value in declaration.inputs}
    weights = {value.output: golden.drawn(value, sizes, declaration) for value in declaration.cotangents}
    return Work(declaration.name, kind(sizes=sizes, seed=1), given, weights)


def works_of(spec: str) -> Iterator[Work]:
    """Every model of a spec; what moves the parameters of others is none."""
    module = dlc.compile(spec, dtype="float64", wrt="*")
    for kind in (getattr(module, name) for name in module.__all__):
        if isinstance(kind, type) and issubclass(kind, model.Model) and not issubclass(kind, Optimizer):
            yield work_of(kind, golden.small_sizes(kind.declaration))


def differences(works: Sequence[Work], threads: int) -> Iterator[str]:
    set_num_threads(1)
    wanted = [work.bits() for work in works]
    for count in range(2, threads + 1):
        set_num_threads(count)
        for work, expected in zip(works, wanted, strict=True):
            yield from _differences(work, expected, f"{count} threads")
    with ThreadPoolExecutor(4) as pool:
        jobs = list(zip(works, wanted, strict=True)) * ROUNDS
        for found in pool.map(lambda job: list(_differences(job[0], job[1], "calls at once")), jobs):
            yield from found


def _differences(work: Work, wanted: Mapping[str, bytes], when: str) -> Iterator[str]:
    found = work.bits()
    assert found.keys() == wanted.keys()
    yield from (f"{work.name}: {name} with {when}" for name in wanted if found[name] != wanted[name])


if __name__ == "__main__":
    most = int(sys.argv[1])
    divide(most)
    print(*differences([work for spec in sys.argv[2:] for work in works_of(spec)], most), "done", sep="\n")
