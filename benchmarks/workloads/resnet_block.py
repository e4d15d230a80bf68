"""A training step of a basic block of ResNet-18, with batch normalisation in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.formulas import jax_batch_norm, jax_conv2d, jax_cross_entropy, torch_batch_norm
from benchmarks.workload import Array, Named, Workload, normal, weights

CLASSES = 10


def numbers(batch: int, channels: int, height: int, width: int, maps: int) -> dict[str, Array]:
    target = np.random.default_rng(0).integers(0, CLASSES, batch)
    fan_in = (channels, maps, maps)
    kernels = {f"conv{i}.k": (maps, inputs, 3, 3) for i, inputs in enumerate(fan_in)}
    drawn = weights({**kernels, **{f"norm{i}.beta": (maps,) for i in range(3)}, "out.w": (CLASSES, maps)})
    scales = {f"norm{i}.gamma": np.ones(maps, np.float32) for i in range(3)}
    bias = {"out.b": np.zeros(CLASSES, np.float32)}
    return {**normal({"x": (batch, channels, height, width)}), "target": target, **drawn, **scales, **bias}


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    def normed(h: Any, i: int) -> Any:
        h = torch.nn.functional.conv2d(h, n[f"conv{i}.k"], padding=1)
        return torch_batch_norm(torch, h, n[f"norm{i}.gamma"], n[f"norm{i}.beta"])

    first = torch.relu(normed(n.x, 0))
    h = torch.relu(normed(torch.relu(normed(first, 1)), 2) + first)
    return torch.nn.functional.cross_entropy(h.mean((2, 3)) @ n["out.w"].T + n["out.b"], n.target)


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    def normed(h: Any, i: int) -> Any:
        h = jax_conv2d(jax, h, n[f"conv{i}.k"], padding=1)
        return jax_batch_norm(jax, h, n[f"norm{i}.gamma"], n[f"norm{i}.beta"])

    first = jax.nn.relu(normed(n.x, 0))
    h = jax.nn.relu(normed(jax.nn.relu(normed(first, 1)), 2) + first)
    return jax_cross_entropy(jax, h.mean((2, 3)) @ n["out.w"].T + n["out.b"], n.target)


WORKLOAD = Workload(
    name="resnet_block",
    title="Training step of a ResNet-18 block",
    group="step",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="ResNet",
    sizes={"": {"batch": 16, "channels": 3, "height": 32, "width": 32, "maps": 64}},
    fixed={"C": "channels", "H": "height", "W": "width", "O": "maps"},
    numbers=numbers,
    wrt=[
        *(
            f"{layer}{i}.{name}"
            for i in range(3)
            for layer, name in (("conv", "k"), ("norm", "gamma"), ("norm", "beta"))
        ),
        *("out.w", "out.b"),
    ],
    torch=torch_loss,
    jax=jax_loss,
    images=True,
)
