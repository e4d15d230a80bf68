"""A training step of VGG's first block with a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.formulas import jax_conv2d, jax_cross_entropy, jax_max_pool
from benchmarks.workload import Array, Named, Workload, normal, weights

CLASSES = 10
WRT = ["conv1.k", "conv1.b", "conv2.k", "conv2.b", "out.w", "out.b"]


def numbers(batch: int, channels: int, height: int, width: int, maps: int) -> dict[str, Array]:
    target = np.random.default_rng(0).integers(0, CLASSES, batch)
    shapes = ((maps, channels, 3, 3), (maps,), (maps, maps, 3, 3), (maps,), (CLASSES, maps), (CLASSES,))
    parameters = weights(dict(zip(WRT, shapes, strict=True)))
    return {**normal({"x": (batch, channels, height, width)}), "target": target, **parameters}


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    f = torch.nn.functional
    h = torch.relu(f.conv2d(n.x, n["conv1.k"], n["conv1.b"], padding=1))
    h = torch.relu(f.conv2d(h, n["conv2.k"], n["conv2.b"], padding=1))
    return f.cross_entropy(f.linear(f.max_pool2d(h, 2).mean((2, 3)), n["out.w"], n["out.b"]), n.target)


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    h = n.x
    for name in ("conv1", "conv2"):
        h = jax.nn.relu(jax_conv2d(jax, h, n[f"{name}.k"], padding=1) + n[f"{name}.b"][:, None, None])
    logits = jax_max_pool(jax, h).mean((2, 3)) @ n["out.w"].T + n["out.b"]
    return jax_cross_entropy(jax, logits, n.target)


WORKLOAD = Workload(
    name="vgg_block",
    title="Training step of a VGG block",
    group="step",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Vgg",
    sizes={"": {"batch": 16, "channels": 3, "height": 32, "width": 32, "maps": 64}},
    fixed={"C": "channels", "H": "height", "W": "width", "O": "maps"},
    numbers=numbers,
    wrt=WRT,
    torch=torch_loss,
    jax=jax_loss,
    images=True,
)
