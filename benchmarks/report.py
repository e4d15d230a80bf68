"""The tables, in Markdown."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
from collections.abc import Mapping

from benchmarks.turns import Measurement, Row
from benchmarks.workload import Workload

_PEERS = ("torch", "torch.compile", "jax")


def heading(threads: int) -> str:
    """The machine, and the versions of all that takes part."""
    found = [f"{name} {version}" for name in ("dlc", "numba", "torch", "jax") if (version := _version(name))]
    count = f"{threads} thread{'s' if threads > 1 else ''}"
    return f"# Benchmarks\n\n{_processor()}, {count} a process; {', '.join(found)}. float32, value and gradients."


def table(workload: Workload, sizes: Mapping[str, int], measurement: Measurement) -> str:
    """One workload at one size."""
    described = ", ".join(f"{name} {value}" for name, value in sizes.items())
    lines = [f"## {workload.title} ({described})", ""]
    if measurement.rows:
        lines += ["| | a step | fastest | ratio to dlc | first result after | difference |", "|---" * 6 + "|"]
        lines += [_line(row, measurement) for row in measurement.rows]
    lines += [f"\n{name} failed: {why}" for name, why in measurement.problems.items()]
    if measurement.missing:
        lines.append(f"\nNot installed or without this workload: {', '.join(measurement.missing)}.")
    return "\n".join([*lines, *(f"\n{remark}" for remark in (_verdict(measurement), _doubt(measurement)) if remark)])


def _line(row: Row, measurement: Measurement) -> str:
    dlc = next((other for other in measurement.rows if other.name == "dlc"), None)
    ratio = f"{_ratio(row, dlc):.2f}" if dlc is not None else ""
    difference = "" if row.name == measurement.reference else f"{row.error:.0e}"
    if not row.agrees:
        difference = f"**{difference}**"
    cells = (row.name, _seconds(row.median), _seconds(row.least), ratio, _seconds(row.ready), difference)
    return f"| {' | '.join(cells)} |"


def _verdict(measurement: Measurement) -> str:
    """dlc beside the fastest of the others."""
    rows = {row.name: row for row in measurement.rows}
    peers = [rows[name] for name in _PEERS if name in rows]
    if "dlc" not in rows or not peers:
        return ""
    best = min(peers, key=lambda row: _ratio(row, rows["dlc"]))
    return f"Against the fastest of them, {best.name}: dlc is {_ratio(best, rows['dlc']):.2f} times as fast."


def _doubt(measurement: Measurement) -> str:
    if measurement.busy < 0.2:
        return ""
    return f"{measurement.busy:.0%} of the turns began on a busy machine: measure again before believing this."


def _ratio(row: Row, dlc: Row) -> float:
    """How many times as long as dlc it takes: the median over the rounds."""
    return statistics.median(one / other for one, other in zip(row.turns, dlc.turns, strict=True))


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
