"""Rows of a large table, differentiated by the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.workload import Array, Named, Workload, normal, texts


def numbers(batch: int, length: int, width: int, vocabulary: int) -> dict[str, Array]:
    words = texts(("z",), (batch, length), vocabulary)
    return {**words, **normal({"w": (vocabulary, width), "d_y": (batch, length, width)})}


def torch_value(torch: Any, n: Named, s: Any) -> Any:
    return torch.nn.functional.embedding(n.z, n.w)


def jax_value(jax: Any, n: Named, s: Any) -> Any:
    return n.w[n.z]


WORKLOAD = Workload(
    name="embedding",
    title="Vectors of words",
    group="variant",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Lookup",
    sizes={"of 50,257": {"batch": 64, "length": 128, "width": 128, "vocabulary": 50_257}},
    fixed={"V": "vocabulary", "D": "width"},
    numbers=numbers,
    wrt=["w"],
    torch=torch_value,
    jax=jax_value,
)
