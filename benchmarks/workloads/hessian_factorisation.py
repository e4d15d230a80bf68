"""The Hessian of a masked matrix factorisation of rank 5: Laue, Mitterreiter and Giesen 2018.

It is zero off its blocks, and all give the blocks: dlc and Laue's calculus from the expression, the others from the
whole Hessian.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Array, Named, Workload

RANK = 5


def numbers(rows: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    return {
        "x": random.standard_normal((rows, rows), dtype=np.float32),
        "mask": (random.random((rows, rows)) < 0.5).astype(np.float32),
        "u": random.standard_normal((rows, RANK), dtype=np.float32),
        "v": random.standard_normal((rows, RANK), dtype=np.float32),
    }


def loss(n: Named, u: Any) -> Any:
    return (n.mask * (n.x - u @ n.v.T) ** 2).sum()


def torch_hessian(torch: Any, n: Named, s: Any) -> Any:
    whole = torch.func.hessian(lambda u: loss(n, u))(n.u)
    return torch.einsum("nknl->nkl", whole)


def jax_hessian(jax: Any, n: Named, s: Any) -> Any:
    whole = jax.hessian(lambda u: loss(n, u))(n.u)
    return jax.numpy.einsum("nknl->nkl", whole)


WORKLOAD = Workload(
    name="hessian_factorisation",
    title="Hessian of a masked matrix factorisation",
    group="derivative",
    spec=str(Path(__file__).with_suffix(".dl")),
    definition="Hessian",
    sizes={f"{rows} rows": {"rows": rows} for rows in (50, 150)},
    numbers=numbers,
    wrt=(),
    torch=torch_hessian,
    jax=jax_hessian,
)
