"""Linear regression of the standard library: so small that the call itself is what is measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Array, Named, Workload, normal


def numbers(batch: int, features: int) -> dict[str, Array]:
    drawn = normal({"x": (batch, features), "target": (batch,), "w": (features,)})
    return {**drawn, "bias": np.array(0.5, np.float32)}


def loss(module: Any, n: Named, s: Any) -> Any:
    return ((n.x @ n.w + n.bias - n.target) ** 2).mean() / 2


WORKLOAD = Workload(
    name="linear_regression",
    title="Linear regression",
    group="table",
    spec="models.linear_regression",
    definition="LinearRegression",
    sizes={"": {"batch": 16, "features": 8}},
    variants={"1,000 × 64": {"batch": 1000, "features": 64}},
    fixed={"J": "features"},
    numbers=numbers,
    wrt=["w", "bias"],
    torch=loss,
    jax=loss,
    pytensor=loss,
)
