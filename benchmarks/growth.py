"""How the time of a step grows with one size while the others stay: a plot for each workload, in double logarithms.

python -m benchmarks.growth --write docs/benchmarks
python -m benchmarks.growth lstm.length gpt.layers --only dlc torch

Beside every line stands its exponent, the slope between its two largest sizes: 1 is linear.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.implementations import IMPLEMENTATIONS
from benchmarks.results import GROWTH_PLOT, Growth, Times, exponent
from benchmarks.turns import Settings, measure
from benchmarks.workload import Case, load

GROWTHS = (
    Growth("mlp", "batch", (32, 128, 512, 2048)),
    Growth("resnet_block", "batch", (4, 8, 16, 32)),
    Growth("transformer_block", "length", (32, 64, 128, 256, 512)),
    Growth("transformer_block", "width", (64, 128, 256, 512)),
    Growth("lstm", "length", (16, 64, 256, 1024)),
    Growth("lstm", "width", (32, 64, 128, 256)),
    Growth("gpt", "layers", (1, 2, 4, 8)),
    Growth("cross_entropy", "classes", (100, 1000, 10_000)),
)


def times(growth: Growth, who: Sequence[str], settings: Settings) -> Times:
    """Medians of the steps of those that are installed."""
    workload = load(growth.workload)
    first = workload.cases[0]
    found: dict[str, dict[int, float]] = {}
    for value in growth.values:
        case = Case(workload.name, f"{growth.size} {value}", first.group, {**first.sizes, growth.size: value})
        print(f"{case.title} ...", file=sys.stderr, flush=True)
        measurement = measure(case, who, settings)
        for name, why in measurement.problems.items():
            print(f"{name} failed: {why}", file=sys.stderr)
        for row in measurement.rows:
            found.setdefault(row.name, {})[value] = row.median
    return found


def text(growth: Growth, found: Times) -> str:
    lines = [f"{name}: exponent {exponent(line):.2f}" for name, line in found.items()]
    return "\n".join([growth.name, *(f"  {line}" for line in lines)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=str(__doc__).splitlines()[0])
    known = {growth.name: growth for growth in GROWTHS}
    parser.add_argument("growths", nargs="*", metavar="WHAT", help=f"of {', '.join(known)}")
    only = ("dlc", "torch")
    parser.add_argument("--only", nargs="+", choices=IMPLEMENTATIONS, default=only, metavar="WHO")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each implementation (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (default %(default)s)")
    parser.add_argument("--patience", type=float, default=Settings.patience, help="as in python -m benchmarks")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write the plot there")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.growths if name not in known]
    if unknown:
        parser.error(f"there is no {unknown[0]}: there are {', '.join(known)}")
    if given.write is not None:
        from benchmarks.plot import draw_growth  # before anything is measured: it may not be installed
    settings = Settings(given.rounds, threads=given.threads, patience=given.patience)
    results: list[tuple[Growth, Times]] = []
    for name in given.growths or known:
        results.append((known[name], times(known[name], given.only, settings)))
        print(text(*results[-1]), flush=True)
        if given.write is not None:
            given.write.mkdir(parents=True, exist_ok=True)
            draw_growth(given.write / GROWTH_PLOT, results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
