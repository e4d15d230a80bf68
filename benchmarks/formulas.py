"""Formulas that several workloads share, in PyTorch and in JAX; parameters as these libraries hold them.

The gates of a recurrent cell are the rows of one matrix, in PyTorch's order: i, f, g, o and r, z, n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Array, Named

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


def block_shapes(prefix: str, width: int, heads: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """The parameters of a block of a Transformer, as its spec has them."""
    head = width // heads
    shapes = {f"{norm}.{part}": (width,) for norm in ("norm1", "norm2") for part in ("gamma", "beta")}
    shapes |= {f"attention.{part}": (heads, head, width) for part in ("wq", "wk", "wv")}
    shapes |= {"attention.wo": (width, heads, head), "up.w": (hidden, width), "up.b": (hidden,)}
    shapes |= {"down.w": (width, hidden), "down.b": (width,)}
    return {f"{prefix}{name}": shape for name, shape in shapes.items()}


def block_layout(parameters: dict[str, Array], prefix: str) -> dict[str, Array]:
    """Queries, keys and values of all heads in one matrix; the others as they are, heads flattened."""
    arrays = {name.removeprefix(prefix): np.asarray(array) for name, array in parameters.items()}
    width = arrays["norm1.gamma"].size
    maps = [arrays.pop(f"attention.{part}").reshape(-1, width) for part in ("wq", "wk", "wv")]
    arrays["qkv"] = np.concatenate(maps)
    arrays["wo"] = arrays.pop("attention.wo").reshape(width, -1)
    return {f"{prefix}{name}": array for name, array in arrays.items()}


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


def torch_batch_norm(torch: Any, x: Any, gamma: Any, beta: Any) -> Any:
    mean, var = torch.zeros_like(gamma), torch.ones_like(gamma)
    return torch.nn.functional.batch_norm(x, mean, var, gamma, beta, training=True)


def torch_block(torch: Any, x: Any, n: Named, prefix: str, heads: int) -> Any:
    f = torch.nn.functional
    batch, length, width = x.shape
    normed = f.layer_norm(x, (width,), n[f"{prefix}norm1.gamma"], n[f"{prefix}norm1.beta"])
    qkv = f.linear(normed, n[f"{prefix}qkv"]).view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    seen = f.scaled_dot_product_attention(*qkv, is_causal=True).transpose(1, 2).reshape(batch, length, width)
    a = x + f.linear(seen, n[f"{prefix}wo"])
    normed = f.layer_norm(a, (width,), n[f"{prefix}norm2.gamma"], n[f"{prefix}norm2.beta"])
    hidden = f.gelu(f.linear(normed, n[f"{prefix}up.w"], n[f"{prefix}up.b"]))
    return a + f.linear(hidden, n[f"{prefix}down.w"], n[f"{prefix}down.b"])


# --- JAX --------------------------------------------------------------------------------------------------------------


def jax_cross_entropy(jax: Any, logits: Any, classes: Any) -> Any:
    """Mean over all axes but the last."""
    return -jax.numpy.mean(jax.numpy.take_along_axis(jax.nn.log_softmax(logits), classes[..., None], -1))


def jax_layer_norm(jax: Any, x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return gamma * centred / jax.numpy.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) + beta


def jax_batch_norm(jax: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """Of each channel of a batch of images."""
    axes = (0, 2, 3)
    centred = x - x.mean(axes, keepdims=True)
    scale = gamma[:, None, None] / jax.numpy.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)
    return scale * centred + beta[:, None, None]


def jax_block(jax: Any, x: Any, n: Named, prefix: str, heads: int) -> Any:
    batch, length, width = x.shape
    normed = jax_layer_norm(jax, x, n[f"{prefix}norm1.gamma"], n[f"{prefix}norm1.beta"])
    qkv = (normed @ n[f"{prefix}qkv"].T).reshape(batch, length, 3, heads, -1).transpose(2, 0, 3, 1, 4)
    seen = jax_attention(jax, *qkv).transpose(0, 2, 1, 3).reshape(batch, length, width)
    a = x + seen @ n[f"{prefix}wo"].T
    normed = jax_layer_norm(jax, a, n[f"{prefix}norm2.gamma"], n[f"{prefix}norm2.beta"])
    hidden = jax.nn.gelu(normed @ n[f"{prefix}up.w"].T + n[f"{prefix}up.b"], approximate=False)
    return a + hidden @ n[f"{prefix}down.w"].T + n[f"{prefix}down.b"]


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
    """Where the windows tile the image it is a reshape, whose gradient XLA computes faster than that of its windows."""
    *planes, height, width = x.shape
    if (window, padding) == (stride, 0) and not height % window and not width % window:
        return x.reshape(*planes, height // window, window, width // window, window).max((-3, -1))
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


# --- PyTensor ---------------------------------------------------------------------------------------------------------


def pytensor_cross_entropy(pytensor: Any, logits: Any, classes: Any) -> Any:
    chosen = pytensor.tensor.special.log_softmax(logits, -1)[pytensor.tensor.arange(logits.shape[0]), classes]
    return -chosen.mean()
