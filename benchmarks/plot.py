"""The plots of the report. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from benchmarks.implementations import HANDWRITTEN, OURS, PEERS
from benchmarks.results import Growth, Result, Times, exponent

matplotlib.use("Agg")
import matplotlib.pyplot as plt

_OTHERS = (*PEERS, HANDWRITTEN)
_SHADES = ("#d1495b", "#edae49", "#66a182", "#00798c", "#6d597a", "#999999")
_COLOURS = {**dict(zip(OURS, ("black", "#555555"), strict=True)), **dict(zip(_OTHERS, _SHADES, strict=True))}
_COLUMNS = 2


def draw(folder: Path, results: Sequence[Result]) -> list[str]:
    """Write the plots; gives their file names."""
    shown = [result for result in results if not result.ratios.keys().isdisjoint(_OTHERS)]
    if not shown:
        return []
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.42 * len(shown)), layout="constrained")
    peers = [name for name in _OTHERS if any(name in result.ratios for result in shown)]
    height = 0.8 / len(peers)
    for number, name in enumerate(peers):
        places = [line for line, result in enumerate(shown) if name in result.ratios]
        ratios = [shown[line].ratios[name] for line in places]
        offsets = [line + (number + 0.5) * height - 0.4 for line in places]
        axes.barh(offsets, [ratio - 1 for ratio in ratios], height, left=1, label=name, color=_COLOURS[name])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    drawn = [ratio for result in shown for name, ratio in result.ratios.items() if name in peers]
    least, most = min(drawn), max(drawn)
    axes.set_xlim(min(0.5, least / 1.2), max(2, most * 1.2))
    ticks = [t for t in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if least / 1.3 <= t <= most * 1.3]
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(shown)), [result.case.title for result in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("time of a step, beside that of dlc (to the right of 1: dlc is faster)")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(peers), frameon=False)
    figure.savefig(folder / "speed.png", dpi=110)
    plt.close(figure)
    return ["speed.png"]


def draw_growth(file: Path, results: Sequence[tuple[Growth, Times]]) -> None:
    """A panel for each growth, with the exponents of its lines."""
    rows = -(-len(results) // _COLUMNS)
    figure, grid = plt.subplots(rows, _COLUMNS, figsize=(10, 3.2 * rows), layout="constrained", squeeze=False)
    for axes, (growth, found) in zip(grid.flat, results, strict=False):
        for name, line in found.items():
            values, seconds = zip(*sorted(line.items()), strict=True)
            label = f"{name}: {exponent(line):.2f}"
            axes.loglog(values, seconds, marker="o", label=label, color=_COLOURS[name])
        axes.set_title(growth.workload)
        axes.set_xlabel(growth.size)
        axes.set_ylabel("seconds a step")
        axes.set_xticks(growth.values, [f"{value:,}" for value in growth.values])
        axes.minorticks_off()
        axes.grid(color="#dddddd")
        axes.legend(frameon=False)
    for axes in grid.flat[len(results) :]:
        axes.set_visible(False)
    figure.savefig(file, dpi=110)
    plt.close(figure)
