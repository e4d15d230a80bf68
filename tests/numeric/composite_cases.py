"""Specs that use the language freely, each beside a formula in PyTorch that owes nothing to the compiler.

The specs are in `composites/`. A reference gives the outputs in their order; those of a model begin with its loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numeric.harness import Case, Draw, torch

FOLDER = Path(__file__).parent / "composites"
F = torch.nn.functional


def composite(
    definition: str,
    file: str,
    reference: Callable[[Any], Any],
    names: str,
    sizes: Sequence[Sequence[int]],
    draws: Mapping[str, Draw] | None = None,
) -> Case:
    text = (FOLDER / f"{file}.dl").read_text(encoding="utf-8")
    bound = tuple(dict(zip(names.split(), values, strict=True)) for values in sizes)
    return Case(definition, text, reference, bound, draws or {}, definition)


def separable(t: Any) -> Any:
    z = F.conv2d(t.x, t.k[:, None], groups=len(t.k))
    return F.relu(F.conv2d(z, t.w[:, :, None, None], t.c))


def causal_block(t: Any) -> Any:
    d = t.embedding.shape[1]
    time, feature = torch.arange(t.z.shape[1]).double()[:, None], torch.arange(d).double()[None]
    x = t.embedding[t.z] + torch.sin(time / 10 ** (feature / d))
    heads = F.layer_norm(x, (d,), t["norm1.gamma"], t["norm1.beta"])
    q, k, v = (torch.einsum("hed,btd->bhte", t[f"attention.w{name}"], heads) for name in "qkv")
    seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    h = x + torch.einsum("dhe,bhte->btd", t["attention.wo"], seen)
    inner = F.linear(F.layer_norm(h, (d,), t["norm2.gamma"], t["norm2.beta"]), t["up.w"], t["up.b"])
    logits = (h + F.linear(F.gelu(inner), t["down.w"], t["down.b"])) @ t.embedding.T
    return F.cross_entropy(logits.flatten(0, 1), t.target.flatten()), logits


def squeeze_excitation(t: Any) -> Any:
    gate = torch.sigmoid(F.linear(F.relu(F.linear(t.x.mean((2, 3)), t.w1, t.b1)), t.w2, t.b2))
    return t.x * gate[:, :, None, None], gate


def pair_losses(t: Any) -> Any:
    """Pair by pair, triple by triple."""
    count = len(t.x)
    square = [[((t.x[i] - t.x[j]) ** 2).sum() for j in range(count)] for i in range(count)]
    contrastive, triplet = 0.0 * t.x.sum(), 0.0 * t.x.sum()
    for i in range(count):
        for j in range(count):
            same = bool(t.z[i] == t.z[j])
            contrastive = contrastive + (square[i][j] if same else F.relu(1 - torch.sqrt(square[i][j])) ** 2)
            for k in range(count):
                if i != j and same and t.z[i] != t.z[k]:
                    triplet = triplet + F.relu(square[i][j] - square[i][k] + 1)
    return contrastive / count**2, triplet


def info_nce(t: Any) -> Any:
    u, v = F.normalize(t.x @ t["f.w"].T), F.normalize(t.y @ t["g.w"].T)
    similarity = u @ v.T / 0.2
    same = torch.arange(len(u))
    return (F.cross_entropy(similarity, same) + F.cross_entropy(similarity.T, same)) / 2, similarity


def focal(t: Any) -> Any:
    logarithm = F.log_softmax(t.o, 1).gather(1, t.z[:, None])[:, 0]
    return -((1 - logarithm.exp()) ** 2 * logarithm).mean()


def mixture_of_experts(t: Any) -> Any:
    a = F.softmax(F.linear(t.x, t["gate.w"], t["gate.b"]), 1)
    experts = [torch.tanh(F.linear(t.x, w, b)) for w, b in zip(t["experts.w"], t["experts.b"], strict=True)]
    y = (a[:, :, None] * torch.stack(experts, 1)).sum(1)
    return ((y - t.target) ** 2).mean(1).sum(), y


def factorisation_machine(t: Any) -> Any:
    """By the identity Σ_{j<j'} = ½ ((Σ_j)² - Σ_j ²)."""
    pairs = (t.x @ t.v) ** 2 - t.x**2 @ t.v**2
    return t.bias + t.x @ t.w + pairs.sum(1) / 2


def unet(t: Any) -> Any:
    left = F.relu(F.conv2d(t.x, t["down.k"], t["down.b"], padding=1))
    deep = F.relu(F.conv2d(F.max_pool2d(left, 2), t["bottom.k"], t["bottom.b"], padding=1))
    right = F.interpolate(deep, scale_factor=2, mode="nearest")
    joined = F.relu(F.conv2d(torch.cat((left, right), 1), t["up.k"], t["up.b"], padding=1))
    logits = F.conv2d(joined, t["head.k"][:, :, None, None], t["head.b"])
    return F.cross_entropy(logits, t.target), logits


def message_passing(t: Any) -> Any:
    message = F.relu(t.x[t.src] @ t.w.T)
    arrived = torch.zeros(len(t.x), len(t.w), dtype=t.x.dtype).index_add(0, t.dst, message)
    degree = torch.bincount(t.dst, minlength=len(t.x)).clamp(min=1)
    return torch.tanh(t.x @ t.v.T + arrived / degree[:, None] + t.c)


def relative_attention(t: Any) -> Any:
    length, width = t.q.shape
    offset = torch.arange(length)[:, None] - torch.arange(length)[None]
    score = t.q @ t.k.T / width**0.5 + t.bias[offset + length - 1]
    return F.softmax(score.masked_fill(offset.abs() > 2, -torch.inf), 1) @ t.v


def borders(t: Any) -> Any:
    before = len(t.k) // 2
    after = len(t.k) - 1 - before

    def correlated(mode: str) -> Any:
        return F.conv1d(F.pad(t.x[:, None], (before, after), mode=mode), t.k[None, None])[:, 0]

    return correlated("circular"), correlated("replicate"), correlated("constant")


def pooled_sequence(t: Any) -> Any:
    smooth = torch.stack([torch.logsumexp(x[:n], 0) for x, n in zip(t.x, t.n.tolist(), strict=True)])
    return smooth, 1 - torch.prod(1 - t.p[None] * torch.sigmoid(smooth)[:, None], 2)


def autoencoder(t: Any) -> Any:
    w = t["encoder.w"]
    y = F.softplus(F.linear(t.x, w, t["encoder.b"])) @ w + t.c
    gram = w @ w.T - torch.eye(len(w), dtype=w.dtype)
    return ((t.x - y) ** 2).sum(1).mean() + 0.1 * (gram**2).sum(), y


def rbf_network(t: Any) -> Any:
    square = ((t.x[:, None] - t.centre[None]) ** 2).sum(2)
    rho = torch.exp(-torch.exp(t.log_width) * square)
    return rho @ t.a.T / rho.sum(1, keepdim=True)


def tucker(t: Any) -> Any:
    u, v, w = t.u @ t.f.T, t.v @ t.g.T, t.w @ t.h.T
    return torch.einsum("pqr,bp,bq,br->b", t.core, u, v, w)


def running(t: Any) -> Any:
    return torch.cumsum(t.x, 1), torch.cumprod(t.x, 1), torch.cummax(t.x, 1).values, torch.logcumsumexp(t.x, 1)


def segments(t: Any) -> Any:
    """Group by group."""
    rows: list[list[Any]] = [[], [], [], [], []]
    nothing = torch.zeros(t.x.shape[1], dtype=t.x.dtype)
    for n in range(len(t.g)):
        places = torch.where(t.dst == n)[0]
        x = t.x[places]
        found = len(places) > 0
        rows[0].append(torch.tanh(x.amax(0)) if found else nothing)
        rows[1].append(torch.tanh(x.amin(0)) if found else nothing)
        rows[2].append(x.prod(0))
        rows[3].append(places[x.argmax(0)] if found else nothing.long())
        rows[4].append((x > 0.5).any(0).double())
    return tuple(map(torch.stack, rows))


def local_attention(t: Any) -> Any:
    place = torch.arange(len(t.q))
    far = (place[:, None] - place[None]).abs() > 1
    return F.softmax((t.q @ t.k.T).masked_fill(far, -torch.inf), 1) @ t.v


def capsules(t: Any) -> Any:
    votes = torch.einsum("ijde,bie->bijd", t.w, t.u)
    logits, squashed = torch.zeros(votes.shape[:3], dtype=votes.dtype), None
    for _ in range(3):
        s = (F.softmax(logits, 2)[..., None] * votes).sum(1)
        square = (s**2).sum(-1, keepdim=True)
        squashed = square.sqrt() / (1 + square) * s
        logits = logits + (votes * squashed[:, None]).sum(-1)
    return squashed


def turing_machine(t: Any) -> Any:
    alike = F.cosine_similarity(t.k[:, None], t.m[None], dim=-1, eps=0)
    content = F.softmax(t.beta[:, None] * alike, 1)
    shifts = [t.s[:, j : j + 1] * torch.roll(content, j - 1, 1) for j in range(3)]
    shifted = torch.stack(shifts).sum(0).abs()
    sharp = shifted ** (1 + t.gamma.abs()[:, None])
    return sharp / sharp.sum(1, keepdim=True) @ t.m


def patches(t: Any) -> Any:
    windows = F.unfold(t.x, 2, stride=2).transpose(1, 2)
    tokens = F.linear(windows, t["proj.w"], t["proj.b"])
    return torch.cat([t.cls.expand(len(t.x), 1, -1), tokens], 1) + t.pos


def graph_attention(t: Any) -> Any:
    h = torch.einsum("hkd,nd->nhk", t.w, t.x)
    score = F.leaky_relu((h * t.al).sum(-1)[t.src] + (h * t.ar).sum(-1)[t.dst], 0.2).exp()
    total = torch.zeros(h.shape[:2], dtype=h.dtype).index_add(0, t.dst, score)
    return torch.zeros_like(h).index_add(0, t.dst, (score / total[t.dst])[..., None] * h[t.src])


def batch_hard(t: Any) -> Any:
    square = ((t.x[:, None] - t.x[None]) ** 2).sum(-1)
    same = t.z[:, None] == t.z[None]
    positive = square.masked_fill(~same, -torch.inf).max(1).values
    negative = square.masked_fill(same, torch.inf).min(1).values
    return F.relu(positive - negative.masked_fill(same.all(1), 100) + 0.3).mean()


def grouped_queries(t: Any) -> Any:
    q, k, v = (torch.einsum("hed,btd->bhte", w, t.x) for w in (t.wq, t.wk, t.wv))
    seen = F.scaled_dot_product_attention(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), is_causal=True)
    return torch.einsum("dhe,bhte->btd", t.wo, seen)


def sampler(t: Any) -> Any:
    h, w = torch.arange(t.x.shape[1]), torch.arange(t.x.shape[2])
    rows, columns = F.relu(1 - (t.p[..., None] - h).abs()), F.relu(1 - (t.q[..., None] - w).abs())
    return torch.einsum("bnh,bnw,bhw->bn", rows, columns, t.x)


def deformable(t: Any) -> Any:
    """By PyTorch's own reading between pixels, a tap at a time."""
    rows, columns = torch.tensor(t.x.shape[1:]) - 1
    u, v = torch.arange(t.o.shape[3])[:, None], torch.arange(t.o.shape[4])[None]
    total: Any = 0
    for p in range(t.k.shape[2]):
        for q in range(t.k.shape[3]):
            places = torch.stack(((v + q + t.o[1, p, q]) / columns, (u + p + t.o[0, p, q]) / rows), -1)
            read = F.grid_sample(t.x[None], 2 * places[None] - 1, align_corners=True)[0]
            total = total + torch.einsum("oc,cuv->ouv", t.k[:, :, p, q], read)
    return total


def lengths(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.integers(1, 4, shape)


def labels(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.integers(-1, 2, shape)


CASES = (
    composite("SeparableConv", "separable", separable, "B C H W P Q O",
              [(2, 3, 4, 5, 2, 3, 4), (1, 1, 2, 2, 2, 2, 1), (2, 2, 5, 3, 3, 1, 3)]),
    composite("CausalBlock", "transformer", causal_block, "B T", [(2, 5), (1, 1), (3, 7)]),
    composite("SqueezeExcitation", "squeeze_excitation", squeeze_excitation, "B C H W R",
              [(2, 4, 3, 2, 2), (1, 1, 1, 1, 1), (3, 3, 2, 5, 4)]),
    composite("PairLosses", "pair_losses", pair_losses, "B D", [(5, 3), (2, 1), (7, 4)], {"z": labels}),
    composite("GatedLinearUnit", "gated_linear_unit",
              lambda t: F.glu(F.linear(t.x, t.w, t.c)), "B J K", [(2, 3, 4), (1, 1, 2), (3, 5, 12)]),
    composite("InfoNce", "info_nce", info_nce, "B J K", [(4, 3, 2), (2, 2, 3), (9, 6, 7)]),
    composite("FocalLoss", "classification_losses", focal, "B Y", [(3, 4), (1, 2), (9, 17)]),
    composite("LabelSmoothing", "classification_losses",
              lambda t: F.cross_entropy(t.o, t.z, label_smoothing=0.1), "B Y", [(3, 4), (1, 2), (9, 17)]),
    composite("MixtureOfExperts", "mixture_of_experts", mixture_of_experts, "B J O", [(3, 4, 2), (1, 1, 1), (5, 2, 6)]),
    composite("FactorisationMachine", "factorisation_machine", factorisation_machine, "B J F",
              [(3, 4, 2), (1, 1, 1), (2, 7, 3)]),
    composite("UNet", "unet", unet, "B", [(1,), (3,), (2,)]),
    composite("MessagePassing", "message_passing", message_passing, "N D E K",
              [(4, 3, 7, 2), (1, 1, 1, 1), (6, 2, 5, 3)]),
    composite("RelativeAttention", "relative_attention", relative_attention, "T D", [(5, 3), (1, 1), (8, 2)]),
    composite("Borders", "borders", borders, "B W P", [(2, 6, 3), (1, 3, 2), (3, 5, 4)]),
    composite("PixelShuffle", "borders", lambda t: F.pixel_shuffle(t.x, 2), "B C H W",
              [(2, 8, 3, 2), (1, 4, 1, 1), (2, 12, 2, 3)]),
    composite("PooledSequence", "pooled_sequence", pooled_sequence, "B T D O",
              [(3, 4, 2, 3), (1, 3, 1, 1), (2, 6, 5, 2)], {"n": lengths}),
    composite("TiedAutoencoder", "autoencoder", autoencoder, "B J", [(3, 4), (1, 3), (2, 7)]),
    composite("RbfNetwork", "rbf_network", rbf_network, "B D K O", [(3, 2, 4, 2), (1, 1, 1, 1), (5, 3, 2, 3)]),
    composite("Tucker", "rbf_network", tucker, "B I J K P Q R",
              [(2, 3, 4, 2, 2, 3, 2), (1, 1, 1, 1, 1, 1, 1), (3, 2, 5, 3, 4, 2, 3)]),
    composite("Cumulative", "running", running, "B T", [(2, 5), (1, 1), (3, 8)]),
    composite("Segments", "segments", segments, "E N D", [(7, 4, 2), (1, 1, 1), (12, 9, 3)]),
    composite("LocalAttention", "local_attention", local_attention, "T D", [(6, 3), (1, 1), (9, 2)]),
    composite("Capsule", "capsules", capsules, "B I J D E", [(2, 3, 2, 3, 2), (1, 1, 1, 1, 1), (2, 4, 3, 2, 5)]),
    composite("Ntm", "turing_machine", turing_machine, "B N K", [(2, 5, 3), (1, 3, 1), (3, 4, 6)]),
    composite("Unfold", "patches", lambda t: F.unfold(t.x, (3, 2)), "B C H W",
              [(2, 3, 4, 5), (1, 1, 3, 2), (2, 2, 5, 3)]),
    composite("Vit", "patches", patches, "B C H W S", [(2, 3, 4, 6, 7), (1, 1, 2, 2, 2), (2, 2, 6, 2, 4)]),
    composite("ConvT", "transposed", lambda t: F.conv_transpose2d(t.x, t.k, t.b, stride=2), "B C H W O P Q",
              [(2, 3, 3, 2, 2, 3, 2), (1, 1, 1, 1, 1, 2, 1), (2, 2, 4, 3, 3, 3, 3)]),
    composite("ConvT2", "transposed", lambda t: F.conv_transpose2d(t.x, t.k, t.b, stride=2), "B C H W O P Q",
              [(2, 3, 3, 2, 2, 3, 2), (1, 1, 1, 1, 1, 2, 1), (2, 2, 4, 3, 3, 3, 3)]),
    composite("Gat", "graph_attention", graph_attention, "N D E H K",
              [(4, 3, 7, 2, 2), (1, 1, 1, 1, 1), (5, 2, 9, 3, 4)]),
    composite("Shuffle", "resampling",
              lambda t: (F.interpolate(t.x, scale_factor=2), F.pixel_unshuffle(t.x.repeat(1, 1, 2, 2), 2)), "B C H W",
              [(2, 3, 2, 4), (1, 1, 1, 1), (2, 2, 3, 5)]),
    composite("BilinearUp", "resampling", lambda t: F.interpolate(t.x, scale_factor=2, mode="bilinear"), "B C H W",
              [(2, 3, 4, 2), (1, 1, 1, 1), (2, 2, 3, 5)]),
    composite("BilinearTo", "resampling", lambda t: F.interpolate(t.x, scale_factor=3, mode="bilinear"), "B C H W",
              [(2, 3, 4, 2), (1, 1, 1, 1), (2, 2, 3, 5)]),
    composite("NearestLike", "resampling", lambda t: F.interpolate(t.x, t.z.shape[2:])*t.z, "B C H W U V",
              [(2, 3, 4, 2, 5, 3), (1, 1, 1, 1, 1, 1), (2, 2, 3, 5, 2, 9)]),
    composite("Deformable", "resampling", deformable, "C H W P Q U V O",
              [(2, 6, 5, 2, 3, 5, 3, 2), (1, 2, 2, 1, 1, 1, 1, 1), (3, 4, 4, 3, 2, 2, 3, 2)]),
    composite("BatchHard", "batch_hard", batch_hard, "N D", [(6, 3), (2, 1), (9, 4)], {"z": lengths}),
    composite("Gqa", "grouped_queries", grouped_queries, "B T D G E",
              [(2, 3, 4, 2, 2), (1, 1, 2, 1, 1), (1, 5, 3, 3, 2)]),
    composite("Sampler", "sampler", sampler, "B H W N", [(2, 4, 5, 3), (1, 1, 1, 1), (3, 3, 2, 6)],
              dict.fromkeys("pq", lambda random, shape: 3 * random.random(shape))),
)  # fmt: skip
