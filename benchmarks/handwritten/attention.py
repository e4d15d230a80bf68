"""A head at a time, whose weights stay in cache; blocks of queries, which read no key that their mask hides."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.handwritten.parts import AS_IS, SHARDS, TRANSPOSED, matmul, sharded
from dlc.runtime.kernels import exp, kernel, maximum, noalias, sqrt, wide

real = np.float32
BLOCK = 32


@kernel
def softmax(weights, rows, keys, first, causal, scale):
    """Of the scores in the first rows of `weights`, of which row r may see the keys up to `first + r`."""
    noalias()
    wide()
    for r in range(rows):
        row = weights[r, :keys]
        seen = row[: first + r + 1] if causal else row
        most = real(-np.inf)
        for s in range(seen.size):
            most = maximum(most, seen[s])
        total = real(0)
        for s in range(seen.size):
            seen[s] = exp(scale * (seen[s] - most))
            total += seen[s]
        part = real(1) / total
        for s in range(seen.size):
            seen[s] *= part
        row[seen.size :] = real(0)


@kernel
def softmax_gradient(weights, above, rows, keys, scale):
    """Turns the gradient of the weights, in `above`, into that of the scores."""
    noalias()
    wide()
    for r in range(rows):
        row, gradient = weights[r, :keys], above[r, :keys]
        inner = real(0)
        for s in range(row.size):
            inner += row[s] * gradient[s]
        for s in range(row.size):
            gradient[s] = scale * row[s] * (gradient[s] - inner)


@kernel
def heads(start, stop, shard, causal, q, k, v, d_y, y, d_q, d_k, d_v, weights, above):
    length, scale = q.shape[1], real(1) / sqrt(real(q.shape[2]))
    for n in range(start, stop):
        d_k[n] = real(0)
        d_v[n] = real(0)
        for first in range(0, length, BLOCK):
            last = min(first + BLOCK, length)
            rows, keys = last - first, last if causal else length
            a, g = weights[shard, :rows, :keys], above[shard, :rows, :keys]
            query, to_query, given = q[n, first:last], d_q[n, first:last], d_y[n, first:last]
            matmul(AS_IS, TRANSPOSED, query, k[n, :keys], a, 0.0)
            softmax(a, rows, keys, first, causal, scale)
            matmul(AS_IS, AS_IS, a, v[n, :keys], y[n, first:last], 0.0)
            matmul(AS_IS, TRANSPOSED, given, v[n, :keys], g, 0.0)
            matmul(TRANSPOSED, AS_IS, a, given, d_v[n, :keys], 1.0)
            softmax_gradient(a, g, rows, keys, scale)
            matmul(AS_IS, AS_IS, g, k[n, :keys], to_query, 0.0)
            matmul(TRANSPOSED, AS_IS, g, query, d_k[n, :keys], 1.0)


def step(numbers: Any, sizes: Any, threads: int) -> Any:
    given = [numbers[name] for name in ("q", "k", "v", "d_y")]
    made = [np.empty_like(given[0]) for _ in range(4)]
    flat = [array.reshape(-1, *array.shape[2:]) for array in (*given, *made)]
    scores = [np.empty((SHARDS, BLOCK, sizes["length"]), real) for _ in range(2)]
    run, arguments = sharded(heads, threads), (bool(sizes["causal"]), *flat, *scores)

    def measured() -> list[Any]:
        run(len(flat[0]), SHARDS, arguments)
        return made

    return measured
