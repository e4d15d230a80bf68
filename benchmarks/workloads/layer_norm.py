"""Layer normalisation, differentiated by its input, scale and shift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.formulas import jax_layer_norm
from benchmarks.workload import Array, Named, Workload, normal


def numbers(batch: int, width: int) -> dict[str, Array]:
    return normal({"x": (batch, width), "gamma": (width,), "beta": (width,), "d_y": (batch, width)})


def torch_value(torch: Any, n: Named, s: Any) -> Any:
    return torch.nn.functional.layer_norm(n.x, n.gamma.shape, n.gamma, n.beta)


def jax_value(jax: Any, n: Named, s: Any) -> Any:
    return jax_layer_norm(jax, n.x, n.gamma, n.beta)


def pytensor_value(pytensor: Any, n: Named, s: Any) -> Any:
    centred = n.x - n.x.mean(1, keepdims=True)
    return n.gamma * centred / pytensor.tensor.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) + n.beta


WORKLOAD = Workload(
    name="layer_norm",
    title="Layer normalisation",
    group="table",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Normalised",
    sizes={"": {"batch": 4096, "width": 512}},
    variants={"odd": {"batch": 1001, "width": 77}, "batch 32": {"batch": 32, "width": 1024}},
    numbers=numbers,
    wrt=["x", "gamma", "beta"],
    torch=torch_value,
    jax=jax_value,
    pytensor=pytensor_value,
)
