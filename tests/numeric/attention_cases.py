"""Attention with masks and other scores, and the blocks of a Transformer, against PyTorch.

Rows as in `layer_cases`; the blocks have parameters of their own, `block.attention.wq`. A row of a mask may leave
nothing: what attends to nothing is 0, where PyTorch's softmax gives nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numeric.harness import Case, Draw, torch
from numeric.layer_cases import F, row


def some(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Booleans; the first row has no true one, unless it is the only one."""
    chosen = random.random(shape) < 0.5
    chosen.reshape(-1, shape[-1])[0] = chosen.size == shape[-1]
    return chosen


def lengths(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """From 0 on, and beyond the end."""
    return np.arange(np.prod(shape)).reshape(shape) * 2 % 7


def masked_softmax(score: Any, mask: Any) -> Any:
    weights = torch.where(mask, torch.exp(score - score.detach().amax(-1, keepdim=True)), 0)
    total = weights.sum(-1, keepdim=True)
    return weights / torch.where(total > 0, total, 1)


def _additive(t: Any) -> Any:
    return torch.tanh((t.q @ t.wq.T)[:, :, None] + (t.k @ t.wk.T)[:, None]) @ t.wv


_ADDITIVE = "q[B,T,D], k[B,S,F], v[B,S,E], wq[H,D], wk[H,F], wv[H]"
_ADDITIVE_SIZES = [(2, 3, 4, 5, 2, 3, 4), (1, 1, 1, 1, 1, 1, 1), (2, 4, 2, 3, 4, 2, 5)]

ATTENTION = (
    row(
        "nn.activations.MaskedSoftmax", "x[B,I], mask[B,I] : bool", "y[B,I]",
        "y[b,I] = MaskedSoftmax(x[b,I], mask[b,I])",
        lambda t: masked_softmax(t.x, t.mask), "B I", [(3, 4), (1, 1), (2, 33)], {"mask": some}, variant="empty",
    ),
    row(
        "nn.activations.LengthSoftmax", "x[B,I], n[B] : int", "y[B,I]", "y[b,I] = LengthSoftmax(x[b,I], n[b])",
        lambda t: masked_softmax(t.x, torch.arange(t.x.shape[1]) < t.n[:, None]), "B I", [(4, 4), (1, 1), (3, 33)],
        {"n": lengths},
    ),
    row(
        "nn.attention.MaskedAttention", "q[B,T,D], k[B,S,D], v[B,S,E], mask[B,T,S] : bool", "y[B,T,E]",
        "y[b,T,E] = MaskedAttention(q[b,T,D], k[b,S,D], v[b,S,E], mask[b,T,S])",
        lambda t: masked_softmax(t.q @ t.k.mT / t.q.shape[-1]**0.5, t.mask) @ t.v, "B T S D E",
        [(2, 3, 4, 5, 2), (1, 2, 1, 1, 1), (2, 5, 2, 4, 7)], {"mask": some}, variant="empty",
    ),
    row(
        "nn.attention.AdditiveAttention", _ADDITIVE, "y[B,T,E]",
        "y[b,T,E] = AdditiveAttention(q[b,T,D], k[b,S,F], v[b,S,E]; wq, wk, wv)",
        lambda t: torch.softmax(_additive(t), -1) @ t.v, "B T S D F E H", _ADDITIVE_SIZES,
    ),
    row(
        "nn.attention.MaskedAdditiveAttention", f"{_ADDITIVE}, mask[B,T,S] : bool", "y[B,T,E]",
        "y[b,T,E] = MaskedAdditiveAttention(q[b,T,D], k[b,S,F], v[b,S,E], mask[b,T,S]; wq, wk, wv)",
        lambda t: masked_softmax(_additive(t), t.mask) @ t.v, "B T S D F E H", _ADDITIVE_SIZES, {"mask": some},
    ),
    row(
        "nn.attention.GaussianAttention", "q[T,D], k[S,D], v[S,E], w", "y[T,E]",
        "y[T,E] = GaussianAttention(q[T,D], k[S,D], v[S,E]; w)",
        lambda t: torch.softmax(-(t.w**2)*((t.q[:, None] - t.k)**2).sum(-1)/2, -1) @ t.v, "T S D E",
        [(3, 4, 1, 2), (1, 1, 1, 1), (2, 5, 3, 2)],
    ),
)  # fmt: skip

_WEIGHTS = "wq[H,E,D], wk[H,E,D], wv[H,E,D], wo[D,H,E]"


def heads(weights: Any, x: Any, z: Any, mask: Any) -> Any:
    q, k, v = (torch.einsum("hed,btd->bhte", weights[w], s) for w, s in (("wq", x), ("wk", z), ("wv", z)))
    a = masked_softmax(q @ k.mT / q.shape[-1] ** 0.5, mask[:, None]) @ v
    return torch.einsum("dhe,bhte->btd", weights["wo"], a)


def padded(weights: Any, x: Any, n: Any, causal: bool) -> Any:
    t = torch.arange(x.shape[1])
    mask = (t < n[:, None, None]) & (t <= t[:, None] if causal else t >= 0)
    return heads(weights, x, x, mask)


MULTI_HEAD = (
    row(
        "nn.attention.MaskedMultiHeadAttention", f"x[B,T,D], z[B,S,D], mask[B,T,S] : bool, {_WEIGHTS}", "y[B,T,D]",
        "y[b,T,D] = MaskedMultiHeadAttention(x[b,T,D], z[b,S,D], mask[b,T,S]; wq, wk, wv, wo, heads=2)",
        lambda t: heads(t, t.x, t.z, t.mask), "B T S D H E",
        [(2, 3, 4, 6, 2, 3), (1, 2, 1, 2, 2, 1), (2, 5, 2, 8, 2, 4)], {"mask": some},
    ),
    row(
        "nn.attention.PaddedSelfAttention", f"x[B,T,D], n[B] : int, {_WEIGHTS}", "y[B,T,D]",
        "y[b,T,D] = PaddedSelfAttention(x[b,T,D], n[b]; wq, wk, wv, wo, heads=2)",
        lambda t: padded(t, t.x, t.n, False), "B T D H E", [(3, 4, 6, 2, 3), (1, 1, 2, 2, 1), (2, 5, 8, 2, 4)],
        {"n": lengths},
    ),
    row(
        "nn.attention.PaddedSelfAttention", f"x[B,T,D], n[B] : int, {_WEIGHTS}", "y[B,T,D]",
        "y[b,T,D] = PaddedSelfAttention(x[b,T,D], n[b]; wq, wk, wv, wo, heads=2, causal=true)",
        lambda t: padded(t, t.x, t.n, True), "B T D H E", [(3, 4, 6, 2, 3), (1, 1, 2, 2, 1), (2, 5, 8, 2, 4)],
        {"n": lengths}, variant="causal",
    ),
)  # fmt: skip


class _Of:
    """The parameters of an instance: `_Of(t, "block")["network.w"]` is `t["block.network.w"]`."""

    def __init__(self, tensors: Any, path: str) -> None:
        self.tensors, self.path = tensors, path

    def __getitem__(self, name: str) -> Any:
        return self.tensors[f"{self.path}.{name}"]

    def of(self, name: str) -> _Of:
        return _Of(self.tensors, f"{self.path}.{name}")


def _norm(weights: _Of, x: Any) -> Any:
    return F.layer_norm(x, x.shape[-1:], weights["gamma"], weights["beta"])


def _network(weights: _Of, x: Any) -> Any:
    return F.linear(F.relu(F.linear(x, weights["w"], weights["b"])), weights["v"], weights["c"])


def _beside(norm: _Of, x: Any, function: Any, pre: bool) -> Any:
    return x + function(_norm(norm, x)) if pre else _norm(norm, x + function(x))


def block(weights: _Of, x: Any, n: Any, pre: bool, causal: bool = False) -> Any:
    a = _beside(weights.of("norm1"), x, lambda u: padded(weights.of("attention"), u, n, causal), pre)
    return _beside(weights.of("norm2"), a, lambda u: _network(weights.of("network"), u), pre)


def decoder(weights: _Of, x: Any, n: Any, z: Any, m: Any, pre: bool) -> Any:
    mask = (torch.arange(z.shape[1]) < m[:, None, None]).expand(-1, x.shape[1], -1)
    a = _beside(weights.of("norm1"), x, lambda u: padded(weights.of("attention"), u, n, True), pre)
    c = _beside(weights.of("norm2"), a, lambda u: heads(weights.of("crossing"), u, z, mask), pre)
    return _beside(weights.of("norm3"), c, lambda u: _network(weights.of("network"), u), pre)


def both(weights: _Of, t: Any, pre: bool) -> Any:
    z = block(weights.of("encoder"), t.source, t.m, pre)
    z = _norm(weights.of("norm"), z) if pre else z
    return decoder(weights.of("decoder"), t.x, t.n, z, t.m, pre)


def blocks(name: str, inputs: str, call: str, reference: Any, sizes: Sequence[Sequence[int]], names: str) -> list[Case]:
    """Post-norm and pre-norm, as models with parameters of their own."""
    draws: dict[str, Draw] = {"n": lengths, "m": lambda random, shape: lengths(random, shape) + 1}
    made: list[Case] = []
    for pre in (False, True):
        text = (
            f"use nn.transformer: {name}\n\nlayer Case({inputs}) -> y[B,T,D]:\n"
            f"    block = {name}(heads=2, width=5, pre_norm={str(pre).lower()})\n    y[b,T,D] = block({call})\n"
        )
        bound = tuple(dict(zip(names.split(), values, strict=True)) for values in sizes)
        made.append(
            Case(
                f"{name}-{'pre' if pre else 'post'}norm",
                text,
                lambda t, pre=pre: reference(_Of(t, "block"), t, pre),
                bound,
                draws,
            )
        )
    return made


_SEQUENCE = ("x[B,T,D], n[B] : int", "x[b,T,D], n[b]")
_SIZES = [(3, 4, 6), (1, 1, 2), (2, 3, 4)]
_BOTH_SIZES = [(2, 3, 4, 6), (1, 1, 1, 2), (2, 4, 2, 4)]

BLOCKS = (
    row(
        "nn.transformer.FeedForward", "x[B,D], w[H,D], b[H], v[D,H], c[D]", "y[B,D]",
        "y[b,D] = FeedForward(x[b,D]; w, b, v, c)",
        lambda t: F.linear(F.relu(F.linear(t.x, t.w, t.b)), t.v, t.c), "B D H", [(2, 3, 4), (1, 1, 1), (3, 5, 2)],
    ),
    *blocks("EncoderBlock", *_SEQUENCE, lambda w, t, pre: block(w, t.x, t.n, pre), _SIZES, "B T D"),
    *blocks("CausalBlock", *_SEQUENCE, lambda w, t, pre: block(w, t.x, t.n, pre, True), _SIZES, "B T D"),
    *blocks(
        "DecoderBlock", "x[B,T,D], n[B] : int, z[B,S,D], m[B] : int", "x[b,T,D], n[b], z[b,S,D], m[b]",
        lambda w, t, pre: decoder(w, t.x, t.n, t.z, t.m, pre), _BOTH_SIZES, "B T S D",
    ),
    *blocks(
        "EncoderDecoder", "source[B,S,D], m[B] : int, x[B,T,D], n[B] : int", "source[b,S,D], m[b], x[b,T,D], n[b]",
        both, _BOTH_SIZES, "B T S D",
    ),
)  # fmt: skip

CASES = (*ATTENTION, *MULTI_HEAD, *BLOCKS)
