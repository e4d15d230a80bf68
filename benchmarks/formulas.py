"""Formulas that several workloads share, in PyTorch and in JAX; parameters as these libraries hold them.

The gates of a recurrent cell are the rows of one matrix, in PyTorch's order: i, f, g, o and r, z, n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Array

LSTM_GATES, GRU_GATES = "ifgo", "rzn"


def gates(numbers: dict[str, Array], prefix: str, order: str, name: str = "") -> dict[str, Array]:
    """The matrices and the bias of a cell, from those of its gates."""
    parts = {
        part: np.concatenate([np.asarray(numbers[f"{prefix}{part}{gate}"]) for gate in order])
        for part in ("wx", "wh", "b")
    }
    return {f"{name}{part}": array for part, array in parts.items()}


def cell_shapes(prefix: str, order: str, features: int, width: int) -> dict[str, tuple[int, ...]]:
    """The parameters of a cell of the standard library."""
    shapes = {"wx": (width, features), "wh": (width, width), "b": (width,)}
    return {f"{prefix}{part}{gate}": shape for gate in order for part, shape in shapes.items()}


# --- PyTorch ----------------------------------------------------------------------------------------------------------


def torch_lstm(torch: Any, x: Any, layers: Sequence[tuple[Any, Any, Any]]) -> Any:
    """The states after every step; `x` has the axes time, batch, features."""
    start = x.new_zeros(len(layers), x.shape[1], layers[0][1].shape[1])
    return torch.lstm(x, (start, start), _flat(torch, layers), True, len(layers), 0.0, True, False, False)[0]


def torch_gru(torch: Any, x: Any, layers: Sequence[tuple[Any, Any, Any]]) -> Any:
    start = x.new_zeros(len(layers), x.shape[1], layers[0][1].shape[1])
    return torch.gru(x, start, _flat(torch, layers), True, len(layers), 0.0, True, False, False)[0]


def _flat(torch: Any, layers: Sequence[tuple[Any, Any, Any]]) -> list[Any]:
    return [tensor for wx, wh, b in layers for tensor in (wx, wh, b, torch.zeros_like(b, requires_grad=False))]


# --- JAX --------------------------------------------------------------------------------------------------------------


def jax_cross_entropy(jax: Any, logits: Any, classes: Any) -> Any:
    """Mean over all axes but the last."""
    return -jax.numpy.mean(jax.numpy.take_along_axis(jax.nn.log_softmax(logits), classes[..., None], -1))


def jax_layer_norm(jax: Any, x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return gamma * centred / jax.numpy.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) + beta


def jax_attention(jax: Any, q: Any, k: Any, v: Any, causal: bool = True) -> Any:
    """Queries, keys and values with the axes batch, head, time, features."""
    scores = jax.numpy.einsum("bhtd,bhsd->bhts", q, k) / q.shape[-1] ** 0.5
    if causal:
        scores = jax.numpy.where(jax.numpy.tril(jax.numpy.ones(scores.shape[-2:], bool)), scores, -jax.numpy.inf)
    return jax.numpy.einsum("bhts,bhsd->bhtd", jax.nn.softmax(scores), v)


def jax_conv2d(jax: Any, x: Any, k: Any, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> Any:
    return jax.lax.conv_general_dilated(
        x, k, (stride,) * 2, ((padding,) * 2,) * 2, rhs_dilation=(dilation,) * 2, feature_group_count=groups
    )


def jax_max_pool(jax: Any, x: Any, window: int = 2, stride: int = 2, padding: int = 0) -> Any:
    border = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, (1, 1, window, window), (1, 1, stride, stride), border)


def jax_lstm(jax: Any, x: Any, layers: Sequence[tuple[Any, Any, Any]]) -> Any:
    for wx, wh, b in layers:

        def cell(state: Any, at: Any, wh: Any = wh) -> Any:
            h, c = state
            i, f, g, o = jax.numpy.split(at + h @ wh.T, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
            h = jax.nn.sigmoid(o) * jax.numpy.tanh(c)
            return (h, c), h

        start = jax.numpy.zeros((x.shape[1], wh.shape[1]))
        x = jax.lax.scan(cell, (start, start), x @ wx.T + b)[1]
    return x


def jax_gru(jax: Any, x: Any, layers: Sequence[tuple[Any, Any, Any]]) -> Any:
    for wx, wh, b in layers:

        def cell(h: Any, at: Any, wh: Any = wh) -> Any:
            (xr, xz, xn), (hr, hz, hn) = (jax.numpy.split(part, 3, axis=1) for part in (at, h @ wh.T))
            z = jax.nn.sigmoid(xz + hz)
            h = z * h + (1 - z) * jax.numpy.tanh(xn + jax.nn.sigmoid(xr + hr) * hn)
            return h, h

        x = jax.lax.scan(cell, jax.numpy.zeros((x.shape[1], wh.shape[1])), x @ wx.T + b)[1]
    return x
