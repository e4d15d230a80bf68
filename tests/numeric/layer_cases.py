"""The layers of the standard library as a table: a spec that uses each, three sets of sizes, and PyTorch's own.

A row's spec maps the layer over a batch; its weights are inputs there, so that one call differentiates by everything.
Left out: models with parameters of their own (`test_models`), exact numbers (`test_worked_numbers`), inputs at which a
naive formula overflows (`test_extremes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numeric.harness import Case, Draw, torch

F = torch.nn.functional

Sizes = Sequence[Sequence[int]]


def row(
    layer: str,
    inputs: str,
    outputs: str,
    equation: str,
    reference: Callable[[Any], Any],
    names: str,
    sizes: Sizes,
    draws: Mapping[str, Draw] | None = None,
    variant: str = "",
) -> Case:
    """`layer` is `nn.linear.Linear`; `names` are index sets, and every entry of `sizes` a size for each of them."""
    module, _, name = layer.rpartition(".")
    text = f"use {module}: {name}\n\nlayer Case({inputs}) -> {outputs}:\n    {equation}\n"
    bound = tuple(dict(zip(names.split(), values, strict=True)) for values in sizes)
    return Case(f"{name}-{variant}" if variant else name, text, reference, bound, draws or {})


def elementwise(name: str, reference: Callable[[Any], Any], hyper: str = "") -> Case:
    call = f"{name}(x[B,I]; {hyper})" if hyper else f"{name}(x[B,I])"
    return row(
        f"nn.activations.{name}", "x[B,I]", "y[B,I]", f"y[B,I] = {call}", lambda t: reference(t.x), "B I",
        [(3, 4), (1, 1), (2, 37)], variant=hyper.replace(" ", ""),
    )  # fmt: skip


def some_true(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Booleans with a true one in every row."""
    chosen = random.random(shape) < 0.5
    chosen[..., 0] = True
    return chosen


LINEAR = (
    row(
        "nn.linear.Linear", "x[B,J], w[I,J], c[I]", "y[B,I]", "y[b,I] = Linear(x[b,J]; w, c)",
        lambda t: F.linear(t.x, t.w, t.c), "B J I", [(2, 3, 4), (1, 5, 1), (9, 1, 6)],
    ),
    row(
        "nn.linear.Projection", "x[B,J], w[I,J]", "y[B,I]", "y[b,I] = Projection(x[b,J]; w)",
        lambda t: F.linear(t.x, t.w), "B J I", [(2, 3, 4), (1, 1, 1), (5, 17, 3)],
    ),
    row(
        "nn.linear.Bilinear", "u[B,J], v[B,K], w[I,J,K], c[I]", "y[B,I]", "y[b,I] = Bilinear(u[b,J], v[b,K]; w, c)",
        lambda t: F.bilinear(t.u, t.v, t.w, t.c), "B J K I", [(2, 3, 4, 5), (1, 1, 2, 1), (6, 4, 1, 3)],
    ),
)  # fmt: skip

ACTIVATIONS = (
    row(
        "nn.activations.Softmax", "x[B,I]", "y[B,I]", "y[b,I] = Softmax(x[b,I])",
        lambda t: F.softmax(t.x, 1), "B I", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.activations.LogSoftmax", "x[B,I]", "y[B,I]", "y[b,I] = LogSoftmax(x[b,I])",
        lambda t: F.log_softmax(t.x, 1), "B I", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.activations.MaskedSoftmax", "x[B,I], mask[B,I] : bool", "y[B,I]",
        "y[b,I] = MaskedSoftmax(x[b,I], mask[b,I])",
        lambda t: F.softmax(t.x.masked_fill(~t.mask, -torch.inf), 1), "B I", [(3, 4), (1, 1), (2, 33)],
        {"mask": some_true},
    ),
    elementwise("Tanh", torch.tanh),
    elementwise("Sigmoid", torch.sigmoid),
    elementwise("LogSigmoid", F.logsigmoid),
    elementwise("Softplus", F.softplus),
    elementwise("Softplus", lambda x: F.softplus(x, beta=2.5), "beta = 2.5"),
    elementwise("Softsign", F.softsign),
    elementwise("Threshold", lambda x: F.threshold(x, 0.3, 0.3), "alpha = 0.3"),
    elementwise("ReLU", F.relu),
    row(
        "nn.activations.PReLU", "x[B,I], a", "y[B,I]", "y[B,I] = PReLU(x[B,I]; a)",
        lambda t: torch.where(t.x > 0, t.x, t.a*t.x), "B I", [(3, 4), (1, 1), (2, 37)],
    ),
    elementwise("LeakyReLU", lambda x: F.leaky_relu(x, 0.2), "k = 0.2"),
    elementwise("ELU", lambda x: F.elu(x, 1.5), "alpha = 1.5"),
    elementwise("GELU", F.gelu),
    elementwise("TanhGELU", lambda x: F.gelu(x, approximate="tanh")),
    elementwise("SiLU", F.silu),
)  # fmt: skip

DISTANCES = (
    row(
        "nn.distances.CosineSimilarity", "u[B,I], v[B,I]", "y[B]", "y[b] = CosineSimilarity(u[b,I], v[b,I])",
        lambda t: F.cosine_similarity(t.u, t.v), "B I", [(3, 4), (1, 2), (2, 33)],
    ),
    row(
        "nn.distances.PairwiseDistance", "u[B,I], v[B,I]", "y[B]", "y[b] = PairwiseDistance(u[b,I], v[b,I])",
        lambda t: F.pairwise_distance(t.u, t.v, eps=0), "B I", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.distances.PairwiseDistance", "u[B,I], v[B,I]", "y[B]", "y[b] = PairwiseDistance(u[b,I], v[b,I]; p=3)",
        lambda t: F.pairwise_distance(t.u, t.v, p=3, eps=0), "B I", [(3, 4), (1, 1), (2, 33)], variant="p=3",
    ),
    row(
        "nn.distances.SquaredDistance", "u[B,I], v[C,I]", "y[B,C]", "y[b,c] = SquaredDistance(u[b,I], v[c,I])",
        lambda t: ((t.u[:, None] - t.v[None])**2).sum(2), "B C I", [(3, 2, 4), (1, 1, 1), (2, 5, 33)],
    ),
)  # fmt: skip

LOSSES = (
    row(
        "nn.losses.L1Loss", "y[B,I], t[B,I]", "l", "l = L1Loss(y[B,I], t[B,I])",
        lambda t: (t.y - t.t).abs().mean(1).sum(), "B I", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.losses.MSELoss", "y[B,I], t[B,I]", "l", "l = MSELoss(y[B,I], t[B,I])",
        lambda t: F.mse_loss(t.y, t.t, reduction="none").mean(1).sum(), "B I", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.losses.SquaredError", "y[B,I], t[B,I]", "l[B]", "l[b] = SquaredError(y[b,I], t[b,I])",
        lambda t: F.mse_loss(t.y, t.t, reduction="none").sum(1)/2, "B I", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.losses.CrossEntropy", "o[B,Y], z[B] in Y", "l[B]", "l[b] = CrossEntropy(o[b,Y], z[b])",
        lambda t: F.cross_entropy(t.o, t.z, reduction="none"), "B Y", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.losses.SoftCrossEntropy", "o[B,Y], t[B,Y]", "l[B]", "l[b] = SoftCrossEntropy(o[b,Y], t[b,Y])",
        lambda t: -(t.t*F.log_softmax(t.o, 1)).sum(1), "B Y", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.losses.CrossEntropyLoss", "o[B,Y], z[B] in Y", "l", "l = CrossEntropyLoss(o[B,Y], z[B])",
        lambda t: F.cross_entropy(t.o, t.z, reduction="sum"), "B Y", [(3, 4), (1, 2), (2, 33)],
    ),
    row(
        "nn.losses.BinaryCrossEntropy", "o[B], t[B]", "l[B]", "l[b] = BinaryCrossEntropy(o[b], t[b])",
        lambda t: F.binary_cross_entropy_with_logits(t.o, t.t, reduction="none"), "B", [(3,), (1,), (40,)],
    ),
)  # fmt: skip

CONVOLUTIONS = (
    row(
        "nn.conv.Conv1d", "x[B,C,W], k[O,C,P], c[O]", "y[B,O,V]", "y[b,O,V] = Conv1d(x[b,C,W]; k, c)",
        lambda t: F.conv1d(t.x, t.k, t.c), "B C W O P", [(2, 3, 7, 4, 3), (1, 1, 2, 1, 2), (3, 2, 9, 2, 1)],
    ),
    row(
        "nn.conv.Conv1d", "x[B,C,W], k[O,C,P], c[O]", "y[B,O,V]",
        "y[b,O,V] = Conv1d(x[b,C,W]; k, c, stride=2, padding=2, dilation=3)",
        lambda t: F.conv1d(t.x, t.k, t.c, 2, 2, 3), "B C W O P",
        [(2, 3, 9, 4, 3), (1, 1, 4, 1, 2), (3, 2, 11, 2, 4)], variant="strided",
    ),
    row(
        "nn.conv.Conv2d", "x[B,C,H,W], k[O,C,P,Q], c[O]", "y[B,O,U,V]", "y[b,O,U,V] = Conv2d(x[b,C,H,W]; k, c)",
        lambda t: F.conv2d(t.x, t.k, t.c), "B C H W O P Q",
        [(2, 3, 5, 6, 4, 3, 2), (1, 1, 2, 3, 1, 2, 2), (3, 2, 4, 4, 2, 1, 3)],
    ),
    row(
        "nn.conv.Conv2d", "x[B,C,H,W], k[O,C,P,Q], c[O]", "y[B,O,U,V]",
        "y[b,O,U,V] = Conv2d(x[b,C,H,W]; k, c, stride=2, padding=1)",
        lambda t: F.conv2d(t.x, t.k, t.c, 2, 1), "B C H W O P Q",
        [(2, 3, 5, 6, 4, 3, 2), (1, 1, 2, 3, 1, 2, 2), (3, 2, 4, 7, 2, 1, 3)], variant="strided",
    ),
    row(
        "nn.conv.Conv2d", "x[B,C,H,W], k[O,C,P,Q], c[O]", "y[B,O,U,V]",
        "y[b,O,U,V] = Conv2d(x[b,C,H,W]; k, c, padding=2, dilation=2)",
        lambda t: F.conv2d(t.x, t.k, t.c, 1, 2, 2), "B C H W O P Q",
        [(2, 3, 5, 6, 4, 3, 2), (1, 1, 3, 3, 1, 2, 2), (3, 2, 4, 7, 2, 1, 3)], variant="dilated",
    ),
    row(
        "nn.conv.Conv2d", "x[B,C,H,W], k[O,C,P,Q], c[O]", "y[B,O,U,V]",
        "y[b,O,U,V] = Conv2d(x[b,C,H,W]; k, c, stride=6, padding=1, dilation=2)",
        lambda t: F.conv2d(t.x, t.k, t.c, 6, 1, 2), "B C H W O P Q",
        [(2, 3, 9, 14, 4, 3, 2), (1, 1, 3, 3, 1, 2, 2), (3, 2, 7, 9, 2, 1, 3)], variant="apart in long steps",
    ),
    row(
        "nn.conv.Conv3d", "x[B,C,D,H,W], k[O,C,R,P,Q], c[O]", "y[B,O,T,U,V]",
        "y[b,O,T,U,V] = Conv3d(x[b,C,D,H,W]; k, c, stride=2, padding=1)",
        lambda t: F.conv3d(t.x, t.k, t.c, 2, 1), "B C D H W O R P Q",
        [(2, 2, 3, 4, 5, 3, 2, 3, 2), (1, 1, 2, 2, 2, 1, 2, 2, 2), (1, 2, 4, 3, 3, 2, 1, 2, 3)],
    ),
    row(
        "nn.conv.GroupedConv2d", "x[B,C,H,W], k[G,M,N,P,Q], c[O]", "y[B,O,U,V]",
        "y[b,O,U,V] = GroupedConv2d(x[b,C,H,W]; k, c, padding=1)",
        lambda t: F.conv2d(t.x, t.k.flatten(0, 1), t.c, padding=1, groups=t.k.shape[0]), "B C H W G M N O P Q",
        [(2, 6, 4, 5, 2, 3, 3, 6, 2, 3), (1, 2, 2, 2, 1, 1, 2, 1, 2, 2), (2, 3, 4, 3, 3, 2, 1, 6, 3, 1)],
    ),
    row(
        "nn.conv.DepthwiseConv2d", "x[B,C,H,W], k[C,P,Q], c[C]", "y[B,C,U,V]",
        "y[b,C,U,V] = DepthwiseConv2d(x[b,C,H,W]; k, c, padding=1)",
        lambda t: F.conv2d(t.x, t.k[:, None], t.c, padding=1, groups=len(t.k)), "B C H W P Q",
        [(2, 3, 4, 5, 3, 2), (1, 1, 2, 2, 2, 2), (2, 4, 3, 3, 1, 3)],
    ),
    row(
        "nn.conv.PointwiseConv2d", "x[B,C,H,W], k[O,C], c[O]", "y[B,O,H,W]",
        "y[b,O,H,W] = PointwiseConv2d(x[b,C,H,W]; k, c)",
        lambda t: F.conv2d(t.x, t.k[:, :, None, None], t.c), "B C H W O",
        [(2, 3, 4, 5, 2), (1, 1, 1, 1, 1), (3, 2, 3, 2, 5)],
    ),
    row(
        "nn.conv.CrossCorrelation2d", "x[B,H,W], k[P,Q]", "y[B,U,V]", "y[b,U,V] = CrossCorrelation2d(x[b,H,W]; k)",
        lambda t: F.conv2d(t.x[:, None], t.k[None, None])[:, 0], "B H W P Q",
        [(2, 4, 5, 3, 2), (1, 2, 2, 2, 2), (2, 3, 6, 1, 4)],
    ),
    row(
        "nn.conv.Convolution2d", "x[B,H,W], k[P,Q]", "y[B,U,V]", "y[b,U,V] = Convolution2d(x[b,H,W]; k)",
        lambda t: F.conv2d(t.x[:, None], t.k.flip(0, 1)[None, None])[:, 0], "B H W P Q",
        [(2, 4, 5, 3, 2), (1, 2, 2, 2, 2), (2, 3, 6, 1, 4)],
    ),
)  # fmt: skip

POOLING = (
    row(
        "nn.pooling.MaxPool1d", "x[B,C,W]", "y[B,C,V]", "y[b,C,V] = MaxPool1d(x[b,C,W])",
        lambda t: F.max_pool1d(t.x, 2), "B C W", [(2, 3, 6), (1, 1, 2), (2, 2, 7)],
    ),
    row(
        "nn.pooling.MaxPool1d", "x[B,C,W]", "y[B,C,V]", "y[b,C,V] = MaxPool1d(x[b,C,W]; P=3, stride=2, padding=1)",
        lambda t: F.max_pool1d(t.x, 3, 2, 1), "B C W", [(2, 3, 6), (1, 1, 1), (2, 2, 7)], variant="overlapping",
    ),
    row(
        "nn.pooling.MaxPool2d", "x[B,C,H,W]", "y[B,C,U,V]", "y[b,C,U,V] = MaxPool2d(x[b,C,H,W])",
        lambda t: F.max_pool2d(t.x, 2), "B C H W", [(2, 3, 4, 6), (1, 1, 2, 2), (2, 2, 5, 7)],
    ),
    row(
        "nn.pooling.MaxPool2d", "x[B,C,H,W]", "y[B,C,U,V]",
        "y[b,C,U,V] = MaxPool2d(x[b,C,H,W]; P=3, Q=2, stride=2, padding=1)",
        lambda t: F.max_pool2d(t.x, (3, 2), 2, 1), "B C H W", [(2, 3, 4, 6), (1, 1, 1, 2), (2, 2, 5, 7)],
        variant="overlapping",
    ),
    row(
        "nn.pooling.AvgPool1d", "x[B,C,W]", "y[B,C,V]", "y[b,C,V] = AvgPool1d(x[b,C,W]; P=3, stride=2, padding=1)",
        lambda t: F.avg_pool1d(t.x, 3, 2, 1), "B C W", [(2, 3, 6), (1, 1, 1), (2, 2, 7)],
    ),
    row(
        "nn.pooling.AvgPool2d", "x[B,C,H,W]", "y[B,C,U,V]", "y[b,C,U,V] = AvgPool2d(x[b,C,H,W])",
        lambda t: F.avg_pool2d(t.x, 2), "B C H W", [(2, 3, 4, 6), (1, 1, 2, 2), (2, 2, 5, 7)],
    ),
    row(
        "nn.pooling.AvgPool2d", "x[B,C,H,W]", "y[B,C,U,V]",
        "y[b,C,U,V] = AvgPool2d(x[b,C,H,W]; P=3, stride=2, padding=1)",
        lambda t: F.avg_pool2d(t.x, 3, 2, 1), "B C H W", [(2, 3, 4, 6), (1, 1, 1, 2), (2, 2, 5, 7)],
        variant="overlapping",
    ),
    row(
        "nn.pooling.MaxPool3d", "x[B,C,D,H,W]", "y[B,C,T,U,V]", "y[b,C,T,U,V] = MaxPool3d(x[b,C,D,H,W])",
        lambda t: F.max_pool3d(t.x, 2), "B C D H W", [(2, 2, 2, 4, 6), (1, 1, 2, 2, 2), (1, 2, 3, 5, 3)],
    ),
    row(
        "nn.pooling.AvgPool3d", "x[B,C,D,H,W]", "y[B,C,T,U,V]",
        "y[b,C,T,U,V] = AvgPool3d(x[b,C,D,H,W]; R=2, padding=1)",
        lambda t: F.avg_pool3d(t.x, 2, padding=1), "B C D H W", [(2, 2, 2, 4, 6), (1, 1, 2, 2, 2), (1, 2, 3, 5, 3)],
    ),
    row(
        "nn.pooling.GlobalAvgPool2d", "x[B,C,H,W]", "y[B,C]", "y[b,c] = GlobalAvgPool2d(x[b,c,H,W])",
        lambda t: t.x.mean((2, 3)), "B C H W", [(2, 3, 4, 6), (1, 1, 1, 1), (2, 2, 5, 7)],
    ),
    row(
        "nn.pooling.GlobalMaxPool2d", "x[B,C,H,W]", "y[B,C]", "y[b,c] = GlobalMaxPool2d(x[b,c,H,W])",
        lambda t: t.x.amax((2, 3)), "B C H W", [(2, 3, 4, 6), (1, 1, 1, 1), (2, 2, 5, 7)],
    ),
)  # fmt: skip

NORMALISATIONS = (
    row(
        "nn.norm.LayerNorm", "x[B,T,D], gamma[D], beta[D]", "y[B,T,D]", "y[b,T,D] = LayerNorm(x[b,T,D]; gamma, beta)",
        lambda t: F.layer_norm(t.x, t.gamma.shape, t.gamma, t.beta), "B T D", [(2, 3, 4), (1, 1, 2), (3, 2, 33)],
    ),
    row(
        "nn.norm.RMSNorm", "x[B,D], gamma[D]", "y[B,D]", "y[b,D] = RMSNorm(x[b,D]; gamma)",
        lambda t: F.rms_norm(t.x, t.gamma.shape, t.gamma, 1e-6), "B D", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.norm.InstanceNorm2d", "x[B,C,H,W], gamma[C], beta[C]", "y[B,C,H,W]",
        "y[b,C,H,W] = InstanceNorm2d(x[b,C,H,W]; gamma, beta)",
        lambda t: F.instance_norm(t.x, weight=t.gamma, bias=t.beta), "B C H W",
        [(2, 3, 4, 5), (1, 1, 1, 2), (2, 2, 3, 3)],
    ),
    row(
        "nn.norm.GroupNorm", "x[B,C,H,W], gamma[C], beta[C]", "y[B,C,H,W]",
        "y[b,C,H,W] = GroupNorm(x[b,C,H,W]; gamma, beta, G=2)",
        lambda t: F.group_norm(t.x, 2, t.gamma, t.beta), "B C H W", [(2, 4, 3, 2), (1, 2, 1, 2), (2, 6, 3, 3)],
    ),
    row(
        "nn.norm.Normalize", "x[B,D]", "y[B,D]", "y[b,D] = Normalize(x[b,D])",
        lambda t: F.normalize(t.x), "B D", [(3, 4), (1, 2), (2, 33)],
    ),
)  # fmt: skip


def _heads(t: Any, x: Any, z: Any, causal: bool = False) -> Any:
    q, k, v = (torch.einsum("hed,btd->bhte", w, s) for w, s in ((t.wq, x), (t.wk, z), (t.wv, z)))
    return torch.einsum("dhe,bhte->btd", t.wo, F.scaled_dot_product_attention(q, k, v, is_causal=causal))


_WEIGHTS = "wq[H,E,D], wk[H,E,D], wv[H,E,D], wo[D,H,E]"

ATTENTION = (
    row(
        "nn.attention.Attention", "q[B,T,D], k[B,S,D], v[B,S,E]", "y[B,T,E]",
        "y[b,T,E] = Attention(q[b,T,D], k[b,S,D], v[b,S,E])",
        lambda t: F.scaled_dot_product_attention(t.q, t.k, t.v), "B T S D E",
        [(2, 3, 4, 5, 2), (1, 1, 1, 1, 1), (2, 5, 2, 4, 7)],
    ),
    row(
        "nn.attention.CausalAttention", "q[B,T,D], k[B,T,D], v[B,T,E]", "y[B,T,E]",
        "y[b,T,E] = CausalAttention(q[b,T,D], k[b,T,D], v[b,T,E])",
        lambda t: F.scaled_dot_product_attention(t.q, t.k, t.v, is_causal=True), "B T D E",
        [(2, 4, 5, 2), (1, 1, 1, 1), (2, 9, 4, 7)],
    ),
    row(
        "nn.attention.MaskedAttention", "q[B,T,D], k[B,S,D], v[B,S,E], mask[B,T,S] : bool", "y[B,T,E]",
        "y[b,T,E] = MaskedAttention(q[b,T,D], k[b,S,D], v[b,S,E], mask[b,T,S])",
        lambda t: F.scaled_dot_product_attention(t.q, t.k, t.v, t.mask), "B T S D E",
        [(2, 3, 4, 5, 2), (1, 1, 1, 1, 1), (2, 5, 2, 4, 7)], {"mask": some_true},
    ),
    row(
        "nn.attention.MultiHeadAttention", f"x[B,T,D], z[B,S,D], {_WEIGHTS}", "y[B,T,D]",
        "y[b,T,D] = MultiHeadAttention(x[b,T,D], z[b,S,D]; wq, wk, wv, wo, heads=2)",
        lambda t: _heads(t, t.x, t.z), "B T S D H E", [(2, 3, 4, 6, 2, 3), (1, 1, 1, 2, 2, 1), (2, 5, 2, 8, 2, 4)],
    ),
    row(
        "nn.attention.SelfAttention", f"x[B,T,D], {_WEIGHTS}", "y[B,T,D]",
        "y[b,T,D] = SelfAttention(x[b,T,D]; wq, wk, wv, wo, heads=2)",
        lambda t: _heads(t, t.x, t.x), "B T D H E", [(2, 3, 6, 2, 3), (1, 1, 2, 2, 1), (2, 5, 8, 2, 4)],
    ),
    row(
        "nn.attention.CausalSelfAttention", f"x[B,T,D], {_WEIGHTS}", "y[B,T,D]",
        "y[b,T,D] = CausalSelfAttention(x[b,T,D]; wq, wk, wv, wo, heads=2)",
        lambda t: _heads(t, t.x, t.x, causal=True), "B T D H E", [(2, 3, 6, 2, 3), (1, 1, 2, 2, 1), (2, 5, 8, 2, 4)],
    ),
)  # fmt: skip


def _projected(t: Any) -> Any:
    inner = F.conv2d(F.relu(F.conv2d(t.x, t.k1, t.b1, 2, 1)), t.k2, t.b2, padding=1)
    return F.relu(F.conv2d(t.x, t.w[:, :, None, None], stride=2) + inner)


CONNECTIONS = (
    row(
        "nn.residual.ResidualMlp", "x[B,D], w[H,D], b[H], v[D,H], c[D]", "y[B,D]",
        "y[b,D] = ResidualMlp(x[b,D]; w, b, v, c)",
        lambda t: t.x + F.linear(F.relu(F.linear(t.x, t.w, t.b)), t.v, t.c), "B D H", [(2, 3, 4), (1, 1, 1), (3, 5, 2)],
    ),
    row(
        "nn.residual.ResidualConv2d", "x[B,C,H,W], k1[C,C,P,Q], b1[C], k2[C,C,P,Q], b2[C]", "y[B,C,H,W]",
        "y[b,C,H,W] = ResidualConv2d(x[b,C,H,W]; k1, b1, k2, b2)",
        lambda t: F.relu(t.x + F.conv2d(F.relu(F.conv2d(t.x, t.k1, t.b1, padding=1)), t.k2, t.b2, padding=1)),
        "B C H W P Q", [(2, 2, 4, 3, 3, 3), (1, 1, 1, 1, 3, 3), (1, 3, 3, 5, 3, 3)],
    ),
    row(
        "nn.residual.ProjectedResidualConv2d",
        "x[B,C,H,W], k1[O,C,P,Q], b1[O], k2[O,O,P,Q], b2[O], w[O,C]", "y[B,O,U,V]",
        "y[b,O,U,V] = ProjectedResidualConv2d(x[b,C,H,W]; k1, b1, k2, b2, w)",
        _projected, "B C O H W P Q", [(2, 2, 3, 4, 5, 3, 3), (1, 1, 1, 1, 1, 3, 3), (1, 3, 2, 3, 6, 3, 3)],
    ),
    row(
        "nn.residual.Concatenate", "a[B,C,H,W], c[B,D,H,W]", "y[B,E,H,W]",
        "y[b,E,H,W] = Concatenate(a[b,C,H,W], c[b,D,H,W])",
        lambda t: torch.cat((t.a, t.c), 1), "B C D H W", [(2, 2, 3, 2, 3), (1, 1, 1, 1, 1), (2, 4, 1, 3, 2)],
    ),
)  # fmt: skip

CASES = (
    *LINEAR, *ACTIVATIONS, *DISTANCES, *LOSSES, *CONVOLUTIONS, *POOLING, *NORMALISATIONS, *ATTENTION, *CONNECTIONS,
)  # fmt: skip
