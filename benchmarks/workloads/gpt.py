"""A training step of a small GPT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.formulas import (
    block_layout,
    block_shapes,
    jax_block,
    jax_cross_entropy,
    jax_layer_norm,
    torch_block,
)
from benchmarks.workload import Array, Named, Workload, texts, weights

PREFIX = "blocks."
OTHERS = ("words.w", "places.w", "norm.gamma", "norm.beta", "out.w")


def numbers(
    batch: int, length: int, width: int, layers: int, heads: int, hidden: int, vocabulary: int
) -> dict[str, Array]:
    shapes = ((vocabulary, width), (length, width), (width,), (width,), (vocabulary, width))
    blocks = {name: (layers, *shape) for name, shape in block_shapes(PREFIX, width, heads, hidden).items()}
    drawn = weights({**dict(zip(OTHERS, shapes, strict=True)), **blocks})
    return {**texts(("z", "target"), (batch, length), vocabulary), **drawn}


def layout(parameters: dict[str, Array]) -> dict[str, Array]:
    """A block's parameters by themselves."""
    found = {name: parameters[name] for name in OTHERS}
    blocks = {name: array for name, array in parameters.items() if name.startswith(PREFIX)}
    for layer in range(len(next(iter(blocks.values())))):
        own = block_layout({name: np.asarray(array)[layer] for name, array in blocks.items()}, PREFIX)
        found |= {f"{layer}.{name}": array for name, array in own.items()}
    return found


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    f = torch.nn.functional
    h = f.embedding(n.z, n["words.w"]) + n["places.w"]
    for layer in range(s.layers):
        h = torch_block(torch, h, n, f"{layer}.{PREFIX}", s.heads)
    h = f.layer_norm(h, h.shape[-1:], n["norm.gamma"], n["norm.beta"])
    return f.cross_entropy(f.linear(h, n["out.w"]).flatten(0, 1), n.target.flatten())


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    h = n["words.w"][n.z] + n["places.w"]
    for layer in range(s.layers):
        h = jax_block(jax, h, n, f"{layer}.{PREFIX}", s.heads)
    h = jax_layer_norm(jax, h, n["norm.gamma"], n["norm.beta"])
    return jax_cross_entropy(jax, h @ n["out.w"].T, n.target)


FIXED = {"V": "vocabulary", "N": "length", "D": "width", "L": "layers", "heads": "heads", "width": "hidden"}
SIZES = {"batch": 8, "length": 128, "width": 256, "layers": 4, "heads": 4, "hidden": 1024, "vocabulary": 2048}
WORKLOAD = Workload(
    name="gpt",
    title="Training step of a GPT",
    group="step",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Gpt",
    sizes={"of 4 layers": SIZES},
    fixed=FIXED,
    numbers=numbers,
    wrt=[*OTHERS, *block_shapes(PREFIX, 4, 1, 1)],
    layout=layout,
    torch=torch_loss,
    jax=jax_loss,
)
