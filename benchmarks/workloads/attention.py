"""Scaled dot-product attention, differentiated by queries, keys and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.formulas import jax_attention
from benchmarks.workload import Array, Named, Workload, normal


def numbers(batch: int, heads: int, length: int, width: int, causal: bool) -> dict[str, Array]:
    return normal(dict.fromkeys(("q", "k", "v", "d_y"), (batch, heads, length, width)))


def torch_value(torch: Any, n: Named, s: Any) -> Any:
    return torch.nn.functional.scaled_dot_product_attention(n.q, n.k, n.v, is_causal=bool(s.causal))


def jax_value(jax: Any, n: Named, s: Any) -> Any:
    return jax_attention(jax, n.q, n.k, n.v, bool(s.causal))


def pytensor_value(pytensor: Any, n: Named, s: Any) -> Any:
    tensor = pytensor.tensor
    scores = n.q @ n.k.mT / float(s.width) ** 0.5
    if s.causal:
        past = np.tril(np.ones((s.length, s.length), bool))
        scores = tensor.where(past, scores, np.float32(-np.inf))
    return tensor.special.softmax(scores.astype("float32"), -1) @ n.v


WORKLOAD = Workload(
    name="attention",
    title="Attention",
    group="table",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Heads",
    sizes={"causal": {"batch": 8, "heads": 8, "length": 128, "width": 64, "causal": True}},
    variants={
        "full": {"causal": False},
        "odd": {"batch": 3, "heads": 5, "length": 77, "width": 41},
        "batch 1, long": {"batch": 1, "heads": 2, "length": 1024},
    },
    fixed={"causal": "causal"},
    numbers=numbers,
    wrt=["q", "k", "v"],
    torch=torch_value,
    jax=jax_value,
    pytensor=pytensor_value,
)
