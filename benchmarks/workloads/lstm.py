"""A long short-term memory, with backpropagation through time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.formulas import LSTM_GATES, cell_shapes, gates, jax_lstm, torch_lstm
from benchmarks.workload import Array, Named, Workload, normal, weights

PREFIX = "lstm.cell."
WRT = list(cell_shapes(PREFIX, LSTM_GATES, 1, 1))


def numbers(length: int, batch: int, features: int, width: int) -> dict[str, Array]:
    x = normal({"x": (length, batch, features)})
    return {**x, **weights(cell_shapes(PREFIX, LSTM_GATES, features, width))}


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    return (torch_lstm(torch, n.x, [(n.wx, n.wh, n.b)])[-1] ** 2).sum()


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    return (jax_lstm(jax, n.x, [(n.wx, n.wh, n.b)])[-1] ** 2).sum()


WORKLOAD = Workload(
    name="lstm",
    title="Long short-term memory",
    group="table",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Memory",
    sizes={"": {"length": 64, "batch": 32, "features": 64, "width": 128}},
    variants={
        "odd": {"length": 37, "batch": 13, "features": 51, "width": 77},
        "batch 1": {"batch": 1},
    },
    fixed={"I": "features", "D": "width"},
    numbers=numbers,
    wrt=WRT,
    layout=lambda parameters: gates(parameters, PREFIX, LSTM_GATES),
    torch=torch_loss,
    jax=jax_loss,
)
