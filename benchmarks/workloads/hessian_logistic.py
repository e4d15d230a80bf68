"""The Hessian of logistic regression with twice as many samples as features: Laue, Mitterreiter and Giesen 2018."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Array, Named, Workload


def numbers(features: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    return {
        "x": random.standard_normal((2 * features, features), dtype=np.float32),
        "t": np.sign(random.standard_normal(2 * features, dtype=np.float32)),
        "w": random.standard_normal(features, dtype=np.float32) / np.float32(features**0.5),
    }


def torch_hessian(torch: Any, n: Named, s: Any) -> Any:
    return torch.func.hessian(lambda w: torch.nn.functional.softplus(-n.t * (n.x @ w)).sum())(n.w)


def jax_hessian(jax: Any, n: Named, s: Any) -> Any:
    return jax.hessian(lambda w: jax.nn.softplus(-n.t * (n.x @ w)).sum())(n.w)


WORKLOAD = Workload(
    name="hessian_logistic",
    title="Hessian of logistic regression",
    group="derivative",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Hessian",
    sizes={f"{features} features": {"features": features} for features in (50, 200)},
    numbers=numbers,
    wrt=(),
    torch=torch_hessian,
    jax=jax_hessian,
)
