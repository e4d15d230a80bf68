"""Softmax and cross-entropy of many classes, differentiated by the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.formulas import jax_cross_entropy, pytensor_cross_entropy
from benchmarks.workload import Array, Named, Workload


def numbers(batch: int, classes: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    return {
        "o": random.standard_normal((batch, classes), dtype=np.float32),
        "target": random.integers(0, classes, batch),
    }


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    return torch.nn.functional.cross_entropy(n.o, n.target)


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    return jax_cross_entropy(jax, n.o, n.target)


def pytensor_loss(pytensor: Any, n: Named, s: Any) -> Any:
    return pytensor_cross_entropy(pytensor, n.o, n.target)


WORKLOAD = Workload(
    name="cross_entropy",
    title="Softmax and cross-entropy",
    group="table",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Loss",
    sizes={"": {"batch": 4096, "classes": 1000}},
    variants={"odd": {"batch": 1001, "classes": 77}, "50,257 classes": {"batch": 64, "classes": 50257}},
    numbers=numbers,
    wrt=["o"],
    torch=torch_loss,
    jax=jax_loss,
    pytensor=pytensor_loss,
)
