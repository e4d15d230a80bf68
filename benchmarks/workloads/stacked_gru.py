"""Gated recurrent units one upon the other, with backpropagation through time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.formulas import GRU_GATES, cell_shapes, gates, jax_gru, torch_gru
from benchmarks.workload import Array, Named, Workload, normal, weights

FIRST, UPPER = "gru.first.cell.", "gru.upper.cell."


def numbers(length: int, batch: int, features: int, width: int, layers: int) -> dict[str, Array]:
    upper = cell_shapes(UPPER, GRU_GATES, width, width)
    shapes = {**cell_shapes(FIRST, GRU_GATES, features, width), **{n: (layers - 1, *s) for n, s in upper.items()}}
    return {**normal({"x": (length, batch, features)}), **weights(shapes)}


def layout(parameters: dict[str, Array]) -> dict[str, Array]:
    """A layer's parameters by themselves."""
    upper = {name: np.asarray(array) for name, array in parameters.items() if name.startswith(UPPER)}
    found = gates(parameters, FIRST, GRU_GATES, "0.")
    for layer in range(len(next(iter(upper.values())))):
        found |= gates({name: array[layer] for name, array in upper.items()}, UPPER, GRU_GATES, f"{layer + 1}.")
    return found


def cells(n: Named, s: Any) -> list[Any]:
    return [(n[f"{layer}.wx"], n[f"{layer}.wh"], n[f"{layer}.b"]) for layer in range(s.layers)]


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    return (torch_gru(torch, n.x, cells(n, s))[-1] ** 2).sum()


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    return (jax_gru(jax, n.x, cells(n, s))[-1] ** 2).sum()


WORKLOAD = Workload(
    name="stacked_gru",
    title="Gated recurrent units one upon the other",
    group="variant",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Stacked",
    sizes={"": {"length": 64, "batch": 32, "features": 64, "width": 128, "layers": 2}},
    fixed={"I": "features", "D": "width", "L": "layers"},
    numbers=numbers,
    wrt=[*cell_shapes(FIRST, GRU_GATES, 1, 1), *cell_shapes(UPPER, GRU_GATES, 1, 1)],
    layout=layout,
    torch=torch_loss,
    jax=jax_loss,
)
