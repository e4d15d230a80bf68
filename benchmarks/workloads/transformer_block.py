"""A training step of a block of a Transformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.formulas import block_layout, block_shapes, jax_block, torch_block
from benchmarks.workload import Array, Named, Workload, normal, weights

PREFIX = "block."


def numbers(batch: int, length: int, width: int, heads: int, hidden: int) -> dict[str, Array]:
    data = normal(dict.fromkeys(("x", "target"), (batch, length, width)))
    return {**data, **weights(block_shapes(PREFIX, width, heads, hidden))}


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    return torch.nn.functional.mse_loss(torch_block(torch, n.x, n, PREFIX, s.heads), n.target)


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    return ((jax_block(jax, n.x, n, PREFIX, s.heads) - n.target) ** 2).mean()


WORKLOAD = Workload(
    name="transformer_block",
    title="Training step of a Transformer block",
    group="step",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Transformer",
    sizes={"": {"batch": 8, "length": 128, "width": 256, "heads": 4, "hidden": 1024}},
    fixed={"D": "width", "heads": "heads", "width": "hidden"},
    numbers=numbers,
    wrt=list(block_shapes(PREFIX, 4, 1, 1)),
    layout=lambda parameters: block_layout(parameters, PREFIX),
    torch=torch_loss,
    jax=jax_loss,
)
