"""LeNet of the standard library on grey images of 28×28 pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.formulas import jax_conv2d, jax_cross_entropy, jax_max_pool
from benchmarks.workload import Array, Named, Workload, normal, weights

SHAPES = {
    "conv1.k": (6, 1, 5, 5),
    "conv1.b": (6,),
    "conv2.k": (16, 6, 5, 5),
    "conv2.b": (16,),
    "fc1.w": (120, 400),
    "fc1.b": (120,),
    "fc2.w": (84, 120),
    "fc2.b": (84,),
    "fc3.w": (10, 84),
    "fc3.b": (10,),
}


def numbers(batch: int) -> dict[str, Array]:
    target = np.random.default_rng(0).integers(0, 10, batch)
    return {**normal({"x": (batch, 1, 28, 28)}), "target": target, **weights(SHAPES)}


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    f = torch.nn.functional
    h = f.max_pool2d(torch.relu(f.conv2d(n.x, n["conv1.k"], n["conv1.b"], padding=2)), 2)
    h = f.max_pool2d(torch.relu(f.conv2d(h, n["conv2.k"], n["conv2.b"])), 2).flatten(1)
    h = torch.relu(f.linear(h, n["fc1.w"], n["fc1.b"]))
    h = torch.relu(f.linear(h, n["fc2.w"], n["fc2.b"]))
    return f.cross_entropy(f.linear(h, n["fc3.w"], n["fc3.b"]), n.target)


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    def convolved(x: Any, name: str, padding: int) -> Any:
        y = jax_conv2d(jax, x, n[f"{name}.k"], padding=padding) + n[f"{name}.b"][:, None, None]
        return jax_max_pool(jax, jax.nn.relu(y))

    h = convolved(convolved(n.x, "conv1", 2), "conv2", 0)
    h = h.reshape(len(h), -1)
    for layer in ("fc1", "fc2"):
        h = jax.nn.relu(h @ n[f"{layer}.w"].T + n[f"{layer}.b"])
    return jax_cross_entropy(jax, h @ n["fc3.w"].T + n["fc3.b"], n.target)


WORKLOAD = Workload(
    name="lenet",
    title="LeNet on 28×28 images",
    group="step",
    spec="models.lenet",
    definition="LeNet",
    sizes={"": {"batch": 64}},
    variants={f"batch {batch}": {"batch": batch} for batch in (1, 37)},
    numbers=numbers,
    images=True,
    wrt=list(SHAPES),
    torch=torch_loss,
    jax=jax_loss,
)
