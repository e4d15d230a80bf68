"""The command line: which workloads, at which sizes, against whom; the report goes to standard output, or to a folder.

python -m benchmarks                                      everything: takes an hour
python -m benchmarks --group table step --cold --write docs/benchmarks
python -m benchmarks mlp --batch 64 512
python -m benchmarks mlp attention --only dlc torch
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.implementations import IMPLEMENTATIONS
from benchmarks.report import text, write
from benchmarks.results import Result
from benchmarks.turns import Measurement, Settings, measure
from benchmarks.workload import GROUPS, Case, load, names


def main(arguments: Sequence[str] | None = None) -> int:
    given = parsed(arguments)
    interpreters = dict(pair.split("=", 1) for pair in given.python)
    settings = Settings(given.rounds, given.seconds, given.threads, given.patience, interpreters, given.cold)
    results: list[Result] = []
    for case in cases_of(given):
        print(f"{case.title} {_described(case)} ...", file=sys.stderr, flush=True)
        results.append(Result(case, measure(case, given.only, settings)))
        if given.write is not None:
            write(given.write, results, settings)
    if given.write is None:
        print(text(results, settings), end="")
    return 0 if all(_in_order(result.measurement) for result in results) else 1


def _in_order(measurement: Measurement) -> bool:
    """Whether dlc ran and agrees with the reference. What others do is no failure, nor is what is not installed."""
    return "dlc" not in measurement.problems and all(row.agrees for row in measurement.rows if row.name == "dlc")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare compiled specs with PyTorch, JAX and PyTensor."
    )
    add, defaults = parser.add_argument, Settings(threads=_cores())
    add("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(names())} (default: all)")
    add("--group", nargs="+", choices=GROUPS, default=GROUPS, help=f"of {', '.join(GROUPS)} (default: all)")
    who = f"of {', '.join(IMPLEMENTATIONS)}; what is not installed is left out"
    add("--only", nargs="+", choices=IMPLEMENTATIONS, default=IMPLEMENTATIONS, metavar="WHO", help=who)
    add("--rounds", type=int, default=defaults.rounds, help="turns of each implementation (default %(default)s)")
    add("--seconds", type=float, default=defaults.seconds, help="length of a turn (default %(default)s)")
    add("--threads", type=int, default=defaults.threads, help="threads of each process (default: all cores)")
    waiting = "seconds to wait for a quiet machine before a turn (default %(default)s)"
    add("--patience", type=float, default=defaults.patience, help=waiting)
    add("--cold", action="store_true", help="compilers start with empty caches")
    other = "the Python of an implementation that lives in another environment"
    add("--python", nargs="+", default=(), metavar="WHO=PATH", help=other)
    add("--write", type=Path, metavar="FOLDER", help="write the report and its plots there, after every workload")
    for name in sorted({name for workload in map(load, names()) for case in workload.cases for name in case.sizes}):
        add(f"--{name}", type=int, nargs="+", metavar="N", help=f"sizes of {name}, instead of a workload's own")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.workloads if name not in names()]
    if unknown:
        parser.error(f"there is no workload {unknown[0]}: there are {', '.join(names())}")
    return given


def cases_of(given: argparse.Namespace) -> list[Case]:
    """In the order of the groups, each once: sizes that were asked for may make two cases equal."""
    workloads = [load(name) for name in given.workloads or names()]
    unique: dict[tuple[object, ...], Case] = {}
    for case in (case for workload in workloads for case in workload.cases if case.group in given.group):
        for sized in _sized(case, given):
            unique.setdefault((case.workload, *sized.sizes.items()), sized)
    return sorted(unique.values(), key=lambda case: GROUPS.index(case.group))


def _sized(case: Case, given: argparse.Namespace) -> Iterator[Case]:
    """The case at every combination of the sizes that were asked for, or at its own."""
    asked = {name: getattr(given, name) for name in case.sizes if getattr(given, name)}
    if not asked:
        yield case
        return
    for combination in itertools.product(*asked.values()):
        chosen = dict(zip(asked, combination, strict=True))
        label = ", ".join(f"{name} {value}" for name, value in chosen.items())
        yield Case(case.workload, label, case.group, {**case.sizes, **chosen})


def _described(case: Case) -> str:
    return ", ".join(f"{name} {value}" for name, value in case.sizes.items())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    raise SystemExit(main())
