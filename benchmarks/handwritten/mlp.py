"""All layers forward and backward for a part of the batch, then the gradients of the parts together: two regions."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.handwritten.parts import AS_IS, TRANSPOSED, matmul, sharded
from dlc.runtime.kernels import exp, kernel, log, maximum, noalias, wide

real = np.float32
LAYERS = ("fc1", "fc2", "fc3")


@kernel
def bias_and_relu(rows, bias):
    noalias()
    wide()
    for b in range(rows.shape[0]):
        row = rows[b]
        for i in range(row.size):
            row[i] = maximum(row[i] + bias[i], real(0))


@kernel
def loss_and_gradient(rows, bias, target, rate):
    """The summed cross-entropy of scores; their gradients take their place."""
    noalias()
    wide()
    loss = real(0)
    for b in range(rows.shape[0]):
        row, most, total = rows[b], real(-np.inf), real(0)
        for i in range(row.size):
            row[i] += bias[i]
            most = maximum(most, row[i])
        chosen = row[target[b]] - most
        for i in range(row.size):
            row[i] = exp(row[i] - most)
            total += row[i]
        loss += log(total) - chosen
        for i in range(row.size):
            row[i] *= rate / total
        row[target[b]] -= rate
    return loss


@kernel
def masked(gradient, value):
    """Where a rectifier was shut, no gradient passes."""
    noalias()
    wide()
    for b in range(gradient.shape[0]):
        above, row = gradient[b], value[b]
        for i in range(row.size):
            above[i] = above[i] if row[i] > real(0) else real(0)


@kernel
def summed(rows, total):
    noalias()
    wide()
    total[:] = real(0)
    for b in range(rows.shape[0]):
        row = rows[b]
        for i in range(row.size):
            total[i] += row[i]


@kernel
def part(start, stop, shard, x, target, w1, b1, w2, b2, w3, b3, h1, h2, o, g1, g2, d1, e1, d2, e2, d3, e3, losses):
    """`d` and `e` are the gradients of weights and biases, a piece for each shard."""
    rate = real(1) / real(x.shape[0])
    x, target = x[start:stop], target[start:stop]
    h1, h2, o, g1, g2 = h1[start:stop], h2[start:stop], o[start:stop], g1[start:stop], g2[start:stop]
    matmul(AS_IS, TRANSPOSED, x, w1, h1, 0.0)
    bias_and_relu(h1, b1)
    matmul(AS_IS, TRANSPOSED, h1, w2, h2, 0.0)
    bias_and_relu(h2, b2)
    matmul(AS_IS, TRANSPOSED, h2, w3, o, 0.0)
    losses[shard] = loss_and_gradient(o, b3, target, rate)
    matmul(TRANSPOSED, AS_IS, o, h2, d3[shard], 0.0)
    summed(o, e3[shard])
    matmul(AS_IS, AS_IS, o, w3, g2, 0.0)
    masked(g2, h2)
    matmul(TRANSPOSED, AS_IS, g2, h1, d2[shard], 0.0)
    summed(g2, e2[shard])
    matmul(AS_IS, AS_IS, g2, w2, g1, 0.0)
    masked(g1, h1)
    matmul(TRANSPOSED, AS_IS, g1, x, d1[shard], 0.0)
    summed(g1, e1[shard])


@kernel
def together(start, stop, shard, pieces, total):
    noalias()
    wide()
    total = total[start:stop]
    first = pieces[0, start:stop]
    for i in range(total.size):
        total[i] = first[i]
    for s in range(1, pieces.shape[0]):
        piece = pieces[s, start:stop]
        for i in range(total.size):
            total[i] += piece[i]


def step(numbers: Any, sizes: Any, threads: int) -> Any:
    """One piece of the gradients for each thread, all in one buffer."""
    x, target = numbers["x"], numbers["target"]
    parameters = [numbers[f"{layer}.{name}"] for layer in LAYERS for name in "wb"]
    widths = [array.size for array in parameters[1::2]]
    h1, h2, o, g1, g2 = (np.empty((len(x), width), real) for width in (*widths, *widths[:2]))
    bounds = np.cumsum([0, *(array.size for array in parameters)])
    pieces, total, losses = np.empty((threads, bounds[-1]), real), np.empty(bounds[-1], real), np.empty(threads, real)
    views = [(slice(*bounds[i : i + 2]), array.shape) for i, array in enumerate(parameters)]
    gradients = [pieces[:, place].reshape(threads, *shape) for place, shape in views]
    run, add = sharded(part, threads), sharded(together, threads)
    arguments = (x, target, *parameters, h1, h2, o, g1, g2, *gradients, losses)

    def measured() -> list[Any]:
        run(len(x), threads, arguments)
        add(total.size, threads, (pieces, total))
        return [losses.sum() / len(x), *(total[place].reshape(shape) for place, shape in views)]

    return measured
