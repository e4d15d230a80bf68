"""A chain of eight element-wise operations, differentiated by its three inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.workload import Array, Named, Workload, normal


def numbers(elements: int) -> dict[str, Array]:
    return normal(dict.fromkeys(("x", "a", "b"), (elements,)))


def torch_loss(torch: Any, n: Named, s: Any) -> Any:
    return (torch.exp(-torch.tanh(n.x * n.a + n.b) * torch.sigmoid(n.x)) + n.x * n.x).mean()


def jax_loss(jax: Any, n: Named, s: Any) -> Any:
    return (jax.numpy.exp(-jax.numpy.tanh(n.x * n.a + n.b) * jax.nn.sigmoid(n.x)) + n.x * n.x).mean()


def pytensor_loss(pytensor: Any, n: Named, s: Any) -> Any:
    tensor = pytensor.tensor
    return (tensor.exp(-tensor.tanh(n.x * n.a + n.b) * tensor.sigmoid(n.x)) + n.x * n.x).mean()


WORKLOAD = Workload(
    name="chain",
    title="Eight element-wise operations",
    group="table",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Chain",
    sizes={"": {"elements": 1_000_000}},
    variants={"1,003": {"elements": 1003}, "10,000,019": {"elements": 10_000_019}},
    numbers=numbers,
    wrt=["x", "a", "b"],
    torch=torch_loss,
    jax=jax_loss,
    pytensor=pytensor_loss,
)
