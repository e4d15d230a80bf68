"""The command line: which workloads, at which sizes, against whom; the table goes to standard output, or to a file.

python -m benchmarks                                      every workload at its own sizes
python -m benchmarks mlp --batch 64 512
python -m benchmarks mlp attention --only dlc torch --markdown table.md
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.report import heading, table
from benchmarks.turns import Measurement, measure
from benchmarks.workload import IMPLEMENTATIONS, Workload, load, names


def main(arguments: Sequence[str] | None = None) -> int:
    given, chosen = _parsed(arguments)
    blocks = [heading(given.threads)]
    failed = False
    for workload, sizes in chosen:
        print(f"{workload.name} {_described(sizes)} ...", file=sys.stderr, flush=True)
        measurement = measure(workload.name, sizes, given.only, given.rounds, given.seconds, given.threads)
        failed |= not _in_order(measurement)
        blocks.append(table(workload, sizes, measurement))
    text = "\n\n".join(blocks) + "\n"
    if given.markdown is None:
        print(text, end="")
    else:
        given.markdown.write_text(text, encoding="utf-8")
    return 1 if failed else 0


def _in_order(measurement: Measurement) -> bool:
    """Whether dlc ran and agrees with the others; an implementation that is not installed is no failure."""
    return "dlc" not in measurement.problems and all(row.agrees for row in measurement.rows)


def _parsed(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[tuple[Workload, dict[str, int]]]]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare compiled specs with PyTorch and JAX."
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(names())} (default: all)")
    who = f"of {', '.join(IMPLEMENTATIONS)}; what is not installed is left out"
    parser.add_argument("--only", nargs="+", choices=IMPLEMENTATIONS, default=IMPLEMENTATIONS, metavar="WHO", help=who)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each implementation (default 7)")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn (default 0.3)")
    parser.add_argument("--threads", type=int, default=_cores(), help="threads of each process (default: all cores)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    for name in sorted({name for workload in map(load, names()) for name in workload.sizes}):
        parser.add_argument(f"--{name}", type=int, nargs="+", metavar="N", help=f"sizes of {name}, instead of its own")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.workloads if name not in names()]
    if unknown:
        parser.error(f"there is no workload {unknown[0]}: there are {', '.join(names())}")
    workloads = [load(name) for name in given.workloads or names()]
    return given, [(workload, sizes) for workload in workloads for sizes in _sizes(workload, given)]


def _sizes(workload: Workload, given: argparse.Namespace) -> Iterator[dict[str, int]]:
    """Every combination of the sizes that were asked for, or of the workload's own."""
    values = {name: getattr(given, name) or own for name, own in workload.sizes.items()}
    for combination in itertools.product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def _described(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sizes.items())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    raise SystemExit(main())
