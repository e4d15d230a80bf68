"""The Hessian of a network of ten layers by the weights of the first: Laue, Mitterreiter and Giesen 2018."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Array, Named, Workload

SAMPLES, DEPTH = 8, 10


def numbers(width: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    scale = np.float32((2 / width) ** 0.5)
    return {
        "x": random.standard_normal((SAMPLES, width), dtype=np.float32),
        "z": random.integers(0, width, SAMPLES),
        "w": random.standard_normal((width, width), dtype=np.float32) * scale,
        "v": random.standard_normal((DEPTH - 1, width, width), dtype=np.float32) * scale,
    }


def torch_hessian(torch: Any, n: Named, s: Any) -> Any:
    def loss(w: Any) -> Any:
        h = torch.relu(n.x @ w.T)
        for v in n.v[:-1]:
            h = torch.relu(h @ v.T)
        return torch.nn.functional.cross_entropy(h @ n.v[-1].T, n.z, reduction="sum")

    return torch.func.hessian(loss)(n.w)


def jax_hessian(jax: Any, n: Named, s: Any) -> Any:
    def loss(w: Any) -> Any:
        h = jax.nn.relu(n.x @ w.T)
        for v in n.v[:-1]:
            h = jax.nn.relu(h @ v.T)
        logits = jax.nn.log_softmax(h @ n.v[-1].T)
        return -jax.numpy.sum(jax.numpy.take_along_axis(logits, n.z[:, None], 1))

    return jax.hessian(loss)(n.w)


WORKLOAD = Workload(
    name="hessian_net",
    title="Hessian of a network of ten layers by the weights of the first",
    group="derivative",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Hessian",
    sizes={f"width {width}": {"width": width} for width in (10, 20)},
    numbers=numbers,
    wrt=(),
    torch=torch_hessian,
    jax=jax_hessian,
)
