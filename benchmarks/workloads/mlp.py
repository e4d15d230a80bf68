"""A perceptron 784-256-128-10 with the softmax cross-entropy of integer classes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.formulas import jax_cross_entropy, pytensor_cross_entropy
from benchmarks.workload import Array, Named, Workload

WIDTHS = (784, 256, 128, 10)


def numbers(batch: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    made: dict[str, Array] = {
        "x": random.standard_normal((batch, WIDTHS[0]), dtype=np.float32),
        "target": random.integers(0, WIDTHS[-1], batch),
    }
    for layer, (fan_in, fan_out) in enumerate(pairwise(WIDTHS), start=1):
        made[f"fc{layer}.w"] = random.standard_normal((fan_out, fan_in), dtype=np.float32) / np.float32(fan_in**0.5)
        made[f"fc{layer}.b"] = random.standard_normal(fan_out, dtype=np.float32)
    return made


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    f = torch.nn.functional
    h = torch.relu(f.linear(n.x, n["fc1.w"], n["fc1.b"]))
    h = torch.relu(f.linear(h, n["fc2.w"], n["fc2.b"]))
    return f.cross_entropy(f.linear(h, n["fc3.w"], n["fc3.b"]), n.target)


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    h = jax.nn.relu(n.x @ n["fc1.w"].T + n["fc1.b"])
    h = jax.nn.relu(h @ n["fc2.w"].T + n["fc2.b"])
    return jax_cross_entropy(jax, h @ n["fc3.w"].T + n["fc3.b"], n.target)


def pytensor_loss(pytensor: Any, n: Named, s: Any) -> Any:
    relu = pytensor.tensor.maximum
    h = relu(n.x @ n["fc1.w"].T + n["fc1.b"], 0)
    h = relu(h @ n["fc2.w"].T + n["fc2.b"], 0)
    return pytensor_cross_entropy(pytensor, h @ n["fc3.w"].T + n["fc3.b"], n.target)


WORKLOAD = Workload(
    name="mlp",
    title="Perceptron 784-256-128-10",
    group="table",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Mlp",
    sizes={f"batch {batch}": {"batch": batch} for batch in (64, 512)},
    variants={f"batch {batch}": {"batch": batch} for batch in (1, 77)},
    numbers=numbers,
    wrt=[f"fc{layer}.{name}" for layer in (1, 2, 3) for name in "wb"],
    torch=torch_loss,
    jax=jax_loss,
    pytensor=pytensor_loss,
)
