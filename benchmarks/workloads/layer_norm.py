"""Layer normalisation, differentiated by its input, scale and shift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Array, Named, Workload


def numbers(batch: int, width: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    shapes = {"x": (batch, width), "gamma": (width,), "beta": (width,), "d_y": (batch, width)}
    return {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def torch_value(torch: Any, n: Named) -> Any:
    return torch.nn.functional.layer_norm(n.x, n.gamma.shape, n.gamma, n.beta)


def jax_value(jax: Any, n: Named) -> Any:
    centred = n.x - n.x.mean(1, keepdims=True)
    deviation = jax.numpy.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    return n.gamma * centred / deviation + n.beta


WORKLOAD = Workload(
    name="layer_norm",
    title="Layer normalisation",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Normalised",
    sizes={"batch": (4096,), "width": (512,)},
    numbers=numbers,
    wrt=["x", "gamma", "beta"],
    torch=torch_value,
    jax=jax_value,
)
