"""A row at a time: sum, squares, then value and sums of the gradient, then the gradient; pieces of the parameters'
gradients for each shard.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.handwritten.parts import SHARDS, sharded
from dlc.runtime.kernels import kernel, noalias, sqrt, wide

real = np.float32


@kernel
def rows(start, stop, shard, x, gamma, beta, d_y, y, d_x, d_gammas, d_betas):
    noalias()
    wide()
    d_gamma, d_beta, part = d_gammas[shard], d_betas[shard], real(1) / real(x.shape[1])
    d_gamma[:] = real(0)
    d_beta[:] = real(0)
    for b in range(start, stop):
        row, out, above, below = x[b], y[b], d_y[b], d_x[b]
        total = real(0)
        for d in range(row.size):
            total += row[d]
        mean = total * part
        squares = real(0)
        for d in range(row.size):
            squares += (row[d] - mean) * (row[d] - mean)
        scale = real(1) / sqrt(squares * part + real(1e-5))
        plain, tilted = real(0), real(0)
        for d in range(row.size):
            normed = (row[d] - mean) * scale
            out[d] = normed * gamma[d] + beta[d]
            d_gamma[d] += above[d] * normed
            d_beta[d] += above[d]
            inner = above[d] * gamma[d]
            plain += inner
            tilted += inner * normed
        plain, tilted = plain * part, tilted * part
        for d in range(row.size):
            below[d] = scale * (above[d] * gamma[d] - plain - (row[d] - mean) * scale * tilted)


def step(numbers: Any, sizes: Any, threads: int) -> Any:
    x, gamma, beta, d_y = (numbers[name] for name in ("x", "gamma", "beta", "d_y"))
    y, d_x, run = np.empty_like(x), np.empty_like(x), sharded(rows, threads)
    d_gammas, d_betas = (np.empty((SHARDS, gamma.size), real) for _ in range(2))
    arguments = (x, gamma, beta, d_y, y, d_x, d_gammas, d_betas)

    def measured() -> list[Any]:
        run(len(x), SHARDS, arguments)
        return [y, d_x, d_gammas.sum(0), d_betas.sum(0)]

    return measured
