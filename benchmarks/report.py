"""The report, in Markdown: how dlc stands beside each of the others, then every measurement."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.implementations import HANDWRITTEN
from benchmarks.results import GROWTH_PLOT, OTHERS, Result
from benchmarks.turns import SLACK, TOLERANCE, Measurement, Row, Settings
from benchmarks.workload import GROUPS, load

TITLES = {
    "table": "Kernels",
    "step": "Training steps",
    "variant": "Other sizes and options",
    "derivative": "Derivatives of higher order",
}


def write(folder: Path, results: Sequence[Result], settings: Settings) -> None:
    """The report, and its plots where matplotlib is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        from benchmarks.plot import draw
    except ImportError:
        plots = []
    else:
        plots = draw(folder, results)
    if (folder / GROWTH_PLOT).exists():
        plots.append(GROWTH_PLOT)
    (folder / "README.md").write_text(text(results, settings, plots), encoding="utf-8")


def text(results: Sequence[Result], settings: Settings, plots: Sequence[str] = ()) -> str:
    blocks = [_heading(settings), _explanation(settings), *(f"![{Path(plot).stem}]({plot})" for plot in plots)]
    groups = {group: [result for result in results if result.case.group == group] for group in GROUPS}
    blocks += [_overview(group, found) for group, found in groups.items() if found]
    blocks += [_details(result) for found in groups.values() for result in found]
    return "\n\n".join(blocks) + "\n"


def _heading(settings: Settings) -> str:
    """The machine, and the versions of all that takes part."""
    found = [
        f"{name} {version}" for name in ("dlc", "numba", "torch", "jax", "pytensor") if (version := _version(name))
    ]
    count = f"{settings.threads} thread{'s' if settings.threads > 1 else ''}"
    return f"# Benchmarks\n\n{_processor()}, {count} a process; {', '.join(found)}. float32, value and gradients."


def _explanation(settings: Settings) -> str:
    """What the tables say, for those who read nothing else."""
    caches = "with empty caches of compilers" if settings.cold else "with what compilers have kept from before"
    turns = f"{settings.rounds} rounds, in each of which everybody works for {settings.seconds:g} s"
    return (
        "A step computes the value and its gradients, from the same numbers for all; that of a training step also "
        "moves the parameters. Under *dlc* stands its median time, under the others how many times as long they take, "
        f"above 1 where dlc is faster: medians over {turns} while the others sleep. *Memory* is the most that a "
        f"process takes for its steps, *first result* the time from importing the library, {caches}, *difference* the "
        "largest one from the same formula in float64, beside the largest element. How all this is measured, and how "
        "to do it again, stands in `benchmarks/README.md`."
    )


# --- one line for each case -------------------------------------------------------------------------------------------


def _overview(group: str, results: Sequence[Result]) -> str:
    """How many times as long as dlc each of the others takes, with memory and time to the first result beside."""
    others = [name for name in OTHERS if any(name in result.ratios for result in results)]
    beside = [(what, name, cell) for what, name, cell in _BESIDE if any(result.row(name) for result in results)]
    head = ["", "dlc", *others, "fastest peer", *(f"{what}: {name}" for what, name, _ in beside)]
    lines = [f"## {TITLES[group]}", "", _line(head), "|---" * len(head) + "|"]
    for result in results:
        best = result.best
        cells = [result.case.title, _of(result.row("dlc"), _step), *(_times(result.ratio(name)) for name in others)]
        cells.append("" if best is None else f"**{best[1]:.2f}** {best[0]}")
        lines.append(_line(cells + [_of(result.row(name), cell) for _, name, cell in beside]))
    return "\n".join([*lines, "", _mean(results)])


def _mean(results: Sequence[Result]) -> str:
    found = [result.best[1] for result in results if result.best is not None]
    if not found:
        return ""
    slower = sum(ratio < 1 for ratio in found)
    verdict = f"dlc is the slower one in {slower} of {len(found)}" if slower else "dlc is nowhere the slower one"
    lines = [f"Beside the fastest peer: geometric mean {statistics.geometric_mean(found):.2f}, {verdict}."]
    by_hand = [ratio for result in results if (ratio := result.ratio(HANDWRITTEN)) is not None]
    if by_hand:
        lines.append(
            f"Beside kernels written by hand in Numba: geometric mean {statistics.geometric_mean(by_hand):.2f}."
        )
    return " ".join(lines)


# --- one table for each case ------------------------------------------------------------------------------------------


def _details(result: Result) -> str:
    measurement, case = result.measurement, result.case
    described = ", ".join(f"{name} {value}" for name, value in case.sizes.items())
    lines = [f"### {load(case.workload).title} ({described})", ""]
    if measurement.rows:
        head = ["", "a step", "fastest", "ratio to dlc", "memory", "first result", "in a second process", "difference"]
        lines += [_line(head), "|---" * len(head) + "|"]
        lines += [_measured(row, result) for row in measurement.rows]
    lines += [f"\n{name} failed: {why}" for name, why in measurement.problems.items()]
    if measurement.missing:
        lines.append(f"\nNot installed or without this workload: {', '.join(measurement.missing)}.")
    remarks = (_condition(measurement), _doubt(measurement))
    return "\n".join([*lines, *(f"\n{remark}" for remark in remarks if remark)])


def _measured(row: Row, result: Result) -> str:
    difference = "" if row.name == result.measurement.reference else f"{row.error:.0e}"
    if not row.agrees:
        difference = f"**{difference}**"
    second = "" if row.second is None else _seconds(row.second)
    ratio = _times(result.ratio(row.name))
    times = (row.name, _step(row), _seconds(row.least), ratio, _memory(row), _seconds(row.first), second, difference)
    return _line(times)


def _condition(measurement: Measurement) -> str:
    if measurement.tolerance <= TOLERANCE:
        return ""
    return f"Ill-conditioned: rounding what is given moves exact results by {measurement.tolerance / SLACK:.0e}."


def _doubt(measurement: Measurement) -> str:
    if measurement.busy < 0.2:
        return ""
    return f"{measurement.busy:.0%} of the turns began on a busy machine: measure again before believing this."


# --- cells ------------------------------------------------------------------------------------------------------------


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _of(row: Row | None, cell: Callable[[Row], str]) -> str:
    return "" if row is None else cell(row)


def _step(row: Row) -> str:
    return _seconds(row.median)


def _first(row: Row) -> str:
    return _seconds(row.first)


def _memory(row: Row) -> str:
    return "" if row.memory is None else f"{row.memory / 2**20:.0f} MiB"


_BESIDE: Sequence[tuple[str, str, Callable[[Row], str]]] = (
    ("memory", "dlc", _memory),
    ("memory", "torch", _memory),
    ("first result", "dlc", _first),
    ("first result", "torch.compile", _first),
)
"""What stands beside the ratios: of whom, and its cell."""


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-6:.1f} µs"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
