"""An explanation as a table for the terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from dlc.compiler.analysis.explanation import EntryReport, Explanation, Row

_INDENT = "    "
_HEAD = ("predicted", "share", "FLOP", "read", "written", "bound by", "region", "kernel")
_MEASURED = ("measured", "one thread", "of its roofline")


def as_text(found: Explanation, formulas: bool = True) -> str:
    """The tables of all entries, the kernels that take longest first."""
    blocks = ["\n".join(_header(found))]
    blocks += ["\n".join(_entry(entry, formulas)) for entry in found.entries]
    return "\n\n".join(blocks) + "\n"


def _header(found: Explanation) -> Iterator[str]:
    setting, host = found.setting, found.setting.host
    sizes = ", ".join(f"{name} = {size}" for name, size in setting.sizes.items())
    yield f"{found.model}   {setting.real}   {sizes or 'no open sizes'}"
    if setting.assumed:
        yield f"assumed: {', '.join(setting.assumed)} (choose with --size {setting.assumed[0]}=..)"
    threads = f"{setting.threads} thread{'s' * (setting.threads != 1)}"
    speed, cached = quantity(host.flops, "FLOP/s"), quantity(host.cached, "B/s")
    memory = f"{quantity(host.memory, 'B/s')} from memory ({quantity(host.memory_of_all, 'B/s')} together)"
    yield f"{threads}, each {speed}, {cached} from its cache, {memory}; a fork takes {duration(host.fork)}"


def _entry(entry: EntryReport, formulas: bool) -> Iterator[str]:
    totals = [f"predicted {duration(entry.seconds)}"]
    if entry.measured is not None:
        totals.insert(0, f"measured {duration(entry.measured)}")
    if entry.measured_alone is not None:
        totals.insert(1, f"by one thread {duration(entry.measured_alone)}")
    totals += [quantity(entry.flops, "FLOP"), f"{quantity(entry.bytes, 'B')} moved"]
    totals += [f"{quantity(entry.working_set, 'B')} touched", _counted(entry.regions, "region")]
    totals.append(_counted(entry.forks, "fork"))
    yield f"{entry.name}: {', '.join(totals)}"
    is_measured = any(row.measured is not None for row in entry.rows)
    head = ((*_MEASURED, *_HEAD) if is_measured else _HEAD)[:]
    rows = sorted(entry.rows, key=lambda row: -_taken(row))
    whole = sum(map(_taken, rows)) or 1.0
    cells = [_cells(row, whole, is_measured) for row in rows]
    widths = [max(len(line[n]) for line in (head, *cells)) for n in range(len(head))]
    yield _line(head, widths)
    for row, line in zip(rows, cells, strict=True):
        yield _line(line, widths)
        if formulas:
            yield from (f"{_INDENT}{note}" for note in _notes(row))


def _taken(row: Row) -> float:
    """What rows are sorted by: the work of the kernel, which other programs of the machine do not lengthen."""
    return row.seconds if row.measured_alone is None else row.measured_alone


def _cells(row: Row, whole: float, is_measured: bool) -> tuple[str, ...]:
    cells = (
        duration(row.seconds),
        f"{100 * _taken(row) / whole:.1f}%",
        quantity(row.flops, ""),
        quantity(row.bytes_read, "B"),
        quantity(row.bytes_written, "B"),
        row.bound,
        str(row.region),
        row.kernel,
    )
    if not is_measured:
        return cells
    if row.measured is None or row.measured_alone is None:
        return ("", "", "", *cells)
    return (
        duration(row.measured),
        duration(row.measured_alone),
        f"{100 * row.alone / row.measured_alone:.0f}%",
        *cells,
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Numbers to the right, the two last columns to the left."""
    sides = [cell.rjust(width) for cell, width in zip(cells[:-1], widths, strict=False)]
    return "  " + "  ".join((*sides, cells[-1])).rstrip()


def _notes(row: Row) -> Iterator[str]:
    yield from row.formulas
    yield f"= {row.flops_formula} FLOP" if row.flops_formula else "= FLOP counted loop by loop"
    for choice in row.choices:
        yield f"- {choice.what}: {choice.way}{f' ({choice.why})' if choice.why else ''}"
    rounds = f"{row.runs:,} rounds; " if row.runs > 1 else ""
    yield f"- {rounds}{row.share.why}"
    if row.cached:
        yield f"- in the cache: {', '.join(row.cached)}"


def as_json(found: Iterable[Explanation]) -> str:
    """Everything that the tables say, in SI units; the explanations of all models in a list."""
    return json.dumps([_plain(one) for one in found], indent=2, ensure_ascii=False) + "\n"


def _plain(found: Explanation) -> dict[str, Any]:
    setting = found.setting
    return {
        "model": found.model,
        "real": setting.real,
        "sizes": dict(setting.sizes),
        "assumed": list(setting.assumed),
        "threads": setting.threads,
        "shards": setting.shards,
        "host": asdict(setting.host),
        "entries": [_plain_entry(entry) for entry in found.entries],
    }


def _plain_entry(entry: EntryReport) -> dict[str, Any]:
    return {**asdict(entry), "flops": entry.flops, "bytes": entry.bytes}


# -- numbers ----------------------------------------------------------------------------------------------------------


def quantity(value: float, unit: str) -> str:
    """Three digits with a prefix: `1.23 GFLOP`."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * factor:
            return f"{_digits(value / factor)} {prefix}{unit}"
    return f"{value:.0f} {unit}".rstrip()


def duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= 0.9995 * factor:
            return f"{_digits(seconds / factor)} {unit}"
    return f"{_digits(seconds / 1e-9)} ns"


def _digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
