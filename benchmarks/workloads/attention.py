"""Causal scaled dot-product attention, differentiated by queries, keys and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Array, Named, Workload


def numbers(batch: int, heads: int, length: int, width: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    shape = (batch, heads, length, width)
    return {name: random.standard_normal(shape, dtype=np.float32) for name in ("q", "k", "v", "d_y")}


def torch_value(torch: Any, n: Named) -> Any:
    return torch.nn.functional.scaled_dot_product_attention(n.q, n.k, n.v, is_causal=True)


def jax_value(jax: Any, n: Named) -> Any:
    length, width = n.q.shape[-2:]
    scores = jax.numpy.einsum("bhtd,bhsd->bhts", n.q, n.k) / width**0.5
    past = jax.numpy.tril(jax.numpy.ones((length, length), bool))
    weights = jax.nn.softmax(jax.numpy.where(past, scores, -jax.numpy.inf))
    return jax.numpy.einsum("bhts,bhsd->bhtd", weights, n.v)


WORKLOAD = Workload(
    name="attention",
    title="Causal attention",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Heads",
    sizes={"batch": (8,), "heads": (8,), "length": (128,), "width": (64,)},
    numbers=numbers,
    wrt=["q", "k", "v"],
    torch=torch_value,
    jax=jax_value,
)
