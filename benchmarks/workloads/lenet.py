"""LeNet of the standard library on grey images of 28×28 pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Array, Named, Workload

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
    random = np.random.default_rng(0)
    made: dict[str, Array] = {
        "x": random.standard_normal((batch, 1, 28, 28), dtype=np.float32),
        "target": random.integers(0, 10, batch),
    }
    for name, shape in SHAPES.items():
        fan_in = float(np.prod(shape[1:], initial=1.0))
        made[name] = random.standard_normal(shape, dtype=np.float32) / np.float32(fan_in**0.5)
    return made


def torch_loss(torch: Any, n: Named) -> Any:
    f = torch.nn.functional
    h = f.max_pool2d(torch.relu(f.conv2d(n.x, n["conv1.k"], n["conv1.b"], padding=2)), 2)
    h = f.max_pool2d(torch.relu(f.conv2d(h, n["conv2.k"], n["conv2.b"])), 2).flatten(1)
    h = torch.relu(f.linear(h, n["fc1.w"], n["fc1.b"]))
    h = torch.relu(f.linear(h, n["fc2.w"], n["fc2.b"]))
    return f.cross_entropy(f.linear(h, n["fc3.w"], n["fc3.b"]), n.target)


def jax_loss(jax: Any, n: Named) -> Any:
    def convolved(x: Any, name: str, padding: int) -> Any:
        y = jax.lax.conv(x, n[f"{name}.k"], (1, 1), ((padding, padding),) * 2)
        y = jax.nn.relu(y + n[f"{name}.b"][None, :, None, None])
        return jax.lax.reduce_window(y, -jax.numpy.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    h = convolved(convolved(n.x, "conv1", 2), "conv2", 0)
    h = h.reshape(len(h), -1)
    for layer in ("fc1", "fc2"):
        h = jax.nn.relu(h @ n[f"{layer}.w"].T + n[f"{layer}.b"])
    logits = jax.nn.log_softmax(h @ n["fc3.w"].T + n["fc3.b"])
    return -jax.numpy.mean(jax.numpy.take_along_axis(logits, n.target[:, None], 1))


WORKLOAD = Workload(
    name="lenet",
    title="LeNet on 28×28 images",
    spec="models.lenet",
    definition="LeNet",
    sizes={"batch": (64,)},
    numbers=numbers,
    wrt=list(SHAPES),
    torch=torch_loss,
    jax=jax_loss,
)
