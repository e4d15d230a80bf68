"""Batch normalisation of images in training, differentiated by images, scale and shift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.formulas import jax_batch_norm, torch_batch_norm
from benchmarks.workload import Array, Named, Workload, normal


def numbers(batch: int, channels: int, height: int, width: int) -> dict[str, Array]:
    images = (batch, channels, height, width)
    return normal({"x": images, "gamma": (channels,), "beta": (channels,), "d_y": images})


def torch_value(torch: Any, n: Named, s: Any) -> Any:
    return torch_batch_norm(torch, n.x, n.gamma, n.beta)


def jax_value(jax: Any, n: Named, s: Any) -> Any:
    return jax_batch_norm(jax, n.x, n.gamma, n.beta)


WORKLOAD = Workload(
    name="batch_norm",
    title="Batch normalisation in training",
    group="variant",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Normalised",
    sizes={"": {"batch": 32, "channels": 64, "height": 32, "width": 32}},
    fixed={"C": "channels", "H": "height", "W": "width"},
    numbers=numbers,
    wrt=["x", "gamma", "beta"],
    torch=torch_value,
    jax=jax_value,
    images=True,
)
