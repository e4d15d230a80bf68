"""Layers of the standard library with other hyper-parameters than in `layer_cases`, and at their kinks.

Rows as there. At a kink (equal elements, differences and vectors of zero) the derivative is the one that PyTorch takes
too: of a maximum the first element, of an absolute value and of a norm 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numeric.layer_cases import F, row

CONVOLUTIONS = (
    row(
        "nn.conv.Conv3d", "x[B,C,D,H,W], k[O,C,R,P,Q], c[O]", "y[B,O,T,U,V]",
        "y[b,O,T,U,V] = Conv3d(x[b,C,D,H,W]; k, c)",
        lambda t: F.conv3d(t.x, t.k, t.c), "B C D H W O R P Q",
        [(2, 2, 3, 3, 4, 3, 2, 3, 2), (1, 1, 1, 2, 1, 1, 1, 2, 1), (1, 2, 4, 3, 3, 2, 1, 2, 3)], variant="plain",
    ),
    row(
        "nn.conv.Conv3d", "x[B,C,D,H,W], k[O,C,R,P,Q], c[O]", "y[B,O,T,U,V]",
        "y[b,O,T,U,V] = Conv3d(x[b,C,D,H,W]; k, c, padding=2, dilation=2)",
        lambda t: F.conv3d(t.x, t.k, t.c, 1, 2, 2), "B C D H W O R P Q",
        [(2, 2, 2, 3, 3, 2, 2, 2, 3), (1, 1, 1, 1, 1, 1, 2, 2, 2), (1, 2, 3, 2, 4, 2, 1, 3, 2)], variant="dilated",
    ),
    row(
        "nn.conv.GroupedConv1d", "x[B,C,W], k[G,M,N,P], c[O]", "y[B,O,V]", "y[b,O,V] = GroupedConv1d(x[b,C,W]; k, c)",
        lambda t: F.conv1d(t.x, t.k.flatten(0, 1), t.c, groups=t.k.shape[0]), "B C W G M N O P",
        [(2, 6, 5, 2, 3, 3, 6, 3), (1, 2, 2, 1, 1, 2, 1, 2), (2, 3, 6, 3, 2, 1, 6, 1)], variant="plain",
    ),
    row(
        "nn.conv.GroupedConv2d", "x[B,C,H,W], k[G,M,N,P,Q], c[O]", "y[B,O,U,V]",
        "y[b,O,U,V] = GroupedConv2d(x[b,C,H,W]; k, c, stride=2, padding=1, dilation=2)",
        lambda t: F.conv2d(t.x, t.k.flatten(0, 1), t.c, 2, 1, 2, t.k.shape[0]), "B C H W G M N O P Q",
        [(2, 6, 5, 4, 2, 3, 3, 6, 2, 3), (1, 2, 2, 2, 1, 1, 2, 1, 2, 2), (2, 3, 6, 3, 3, 2, 1, 6, 3, 1)],
        variant="strided",
    ),
    row(
        "nn.conv.GroupedConv3d", "x[B,C,D,H,W], k[G,M,N,R,P,Q], c[O]", "y[B,O,T,U,V]",
        "y[b,O,T,U,V] = GroupedConv3d(x[b,C,D,H,W]; k, c, stride=2, padding=1, dilation=2)",
        lambda t: F.conv3d(t.x, t.k.flatten(0, 1), t.c, 2, 1, 2, t.k.shape[0]), "B C D H W G M N O R P Q",
        [(1, 4, 3, 2, 3, 2, 1, 2, 2, 2, 1, 2), (1, 2, 2, 2, 2, 1, 1, 2, 1, 2, 2, 2),
         (1, 2, 2, 3, 3, 2, 2, 1, 4, 1, 2, 2)], variant="strided",
    ),
    row(
        "nn.conv.DepthwiseConv2d", "x[B,C,H,W], k[C,P,Q], c[C]", "y[B,C,U,V]",
        "y[b,C,U,V] = DepthwiseConv2d(x[b,C,H,W]; k, c, stride=2, padding=2, dilation=2)",
        lambda t: F.conv2d(t.x, t.k[:, None], t.c, 2, 2, 2, len(t.k)), "B C H W P Q",
        [(2, 3, 4, 5, 3, 2), (1, 1, 1, 1, 2, 2), (2, 4, 3, 3, 1, 3)], variant="strided",
    ),
    row(
        "nn.transposed.GroupedTransposedConv1d", "x[B,C,W], k[G,N,M,P], c[O]", "y[B,O,V]",
        "y[b,O,V] = GroupedTransposedConv1d(x[b,C,W]; k, c)",
        lambda t: F.conv_transpose1d(t.x, t.k.flatten(0, 1), t.c, groups=t.k.shape[0]), "B C W G N M P O",
        [(2, 6, 4, 3, 2, 2, 3, 6), (1, 2, 2, 2, 1, 1, 1, 2), (2, 4, 3, 2, 2, 3, 4, 6)], variant="plain",
    ),
)  # fmt: skip

POOLING = (
    row(
        "nn.pooling.AvgPool1d", "x[B,C,W]", "y[B,C,V]", "y[b,C,V] = AvgPool1d(x[b,C,W])",
        lambda t: F.avg_pool1d(t.x, 2), "B C W", [(2, 3, 6), (1, 1, 2), (2, 2, 7)], variant="plain",
    ),
    row(
        "nn.pooling.MaxPool3d", "x[B,C,D,H,W]", "y[B,C,T,U,V]",
        "y[b,C,T,U,V] = MaxPool3d(x[b,C,D,H,W]; R=3, P=2, Q=3, stride=2, padding=1)",
        lambda t: F.max_pool3d(t.x, (3, 2, 3), 2, 1), "B C D H W",
        [(2, 2, 2, 4, 3), (1, 1, 1, 1, 1), (1, 2, 3, 5, 3)], variant="overlapping",
    ),
    row(
        "nn.pooling.AvgPool3d", "x[B,C,D,H,W]", "y[B,C,T,U,V]",
        "y[b,C,T,U,V] = AvgPool3d(x[b,C,D,H,W]; R=3, P=2, Q=2, stride=1)",
        lambda t: F.avg_pool3d(t.x, (3, 2, 2), 1), "B C D H W",
        [(2, 2, 3, 3, 2), (1, 1, 3, 2, 2), (1, 2, 4, 3, 3)], variant="overlapping",
    ),
)  # fmt: skip


def few(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """-1, 0 and 1: equal ones everywhere."""
    return random.integers(-1, 2, shape).astype(np.float64)


def first_row_alike(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The first row is zeros, the second ones: nothing varies in them."""
    values = random.standard_normal(shape).astype(np.float32).astype(np.float64)
    values[0] = 0
    values[1:2] = 1
    return values


def _kink(name: str, reference: Any, hyper: str = "") -> Any:
    return row(
        f"nn.activations.{name}", "x[B,I]", "y[B,I]", f"y[B,I] = {name}(x[B,I]{hyper})", reference, "B I",
        [(3, 4), (1, 1), (2, 37)], {"x": few}, variant="kinks",
    )  # fmt: skip


KINKS = (
    _kink("ReLU", lambda t: F.relu(t.x)),
    _kink("LeakyReLU", lambda t: F.leaky_relu(t.x, 0.2), "; k=0.2"),
    _kink("ELU", lambda t: F.elu(t.x, 1.5), "; alpha=1.5"),
    _kink("Threshold", lambda t: F.threshold(t.x, -1, -1), "; alpha=-1"),
    _kink("Softsign", lambda t: F.softsign(t.x)),
    row(
        "nn.activations.PReLU", "x[B,I], a", "y[B,I]", "y[B,I] = PReLU(x[B,I]; a)",
        lambda t: F.prelu(t.x, t.a), "B I", [(3, 4), (1, 1), (2, 37)], {"x": few}, variant="kinks",
    ),
    row(
        "nn.losses.L1Loss", "y[B,I], t[B,I]", "l", "l = L1Loss(y[B,I], t[B,I])",
        lambda t: (t.y - t.t).abs().mean(1).sum(), "B I", [(3, 4), (1, 1), (2, 33)], {"y": few, "t": few},
        variant="kinks",
    ),
    *(
        row(
            "nn.distances.PairwiseDistance", "u[B,I], v[B,I]", "y[B]",
            f"y[b] = PairwiseDistance(u[b,I], v[b,I]; p={p})",
            lambda t, p=p: F.pairwise_distance(t.u, t.v, p=p, eps=0), "B I", [(3, 4), (1, 1), (9, 2)],
            {"u": few, "v": few}, variant=f"kinks p={p}",
        )
        for p in (1, 2, 3)
    ),
    row(
        "nn.pooling.MaxPool1d", "x[B,C,W]", "y[B,C,V]", "y[b,C,V] = MaxPool1d(x[b,C,W]; P=3, stride=1, padding=1)",
        lambda t: F.max_pool1d(t.x, 3, 1, 1), "B C W", [(2, 3, 6), (1, 1, 1), (2, 2, 7)], {"x": few}, variant="ties",
    ),
    row(
        "nn.pooling.MaxPool2d", "x[B,C,H,W]", "y[B,C,U,V]",
        "y[b,C,U,V] = MaxPool2d(x[b,C,H,W]; P=3, Q=2, stride=1, padding=1)",
        lambda t: F.max_pool2d(t.x, (3, 2), 1, 1), "B C H W", [(2, 3, 4, 6), (1, 1, 1, 1), (2, 2, 5, 3)], {"x": few},
        variant="ties",
    ),
    row(
        "nn.pooling.MaxPool3d", "x[B,C,D,H,W]", "y[B,C,T,U,V]", "y[b,C,T,U,V] = MaxPool3d(x[b,C,D,H,W])",
        lambda t: F.max_pool3d(t.x, 2), "B C D H W", [(2, 2, 2, 4, 6), (1, 1, 2, 2, 2), (1, 2, 3, 5, 3)], {"x": few},
        variant="ties",
    ),
    row(
        "nn.pooling.GlobalMaxPool2d", "x[B,C,H,W]", "y[B,C]", "y[b,c] = GlobalMaxPool2d(x[b,c,H,W])",
        lambda t: t.x.flatten(2).max(2).values, "B C H W", [(2, 3, 4, 6), (1, 1, 1, 1), (2, 2, 5, 7)], {"x": few},
        variant="ties",
    ),
)  # fmt: skip

CONSTANTS = (
    row(
        "nn.norm.LayerNorm", "x[B,D], gamma[D], beta[D]", "y[B,D]", "y[b,D] = LayerNorm(x[b,D]; gamma, beta)",
        lambda t: F.layer_norm(t.x, t.gamma.shape, t.gamma, t.beta), "B D", [(3, 4), (1, 1), (4, 7)],
        {"x": first_row_alike}, variant="constant",
    ),
    row(
        "nn.norm.RMSNorm", "x[B,D], gamma[D]", "y[B,D]", "y[b,D] = RMSNorm(x[b,D]; gamma)",
        lambda t: F.rms_norm(t.x, t.gamma.shape, t.gamma, 1e-6), "B D", [(3, 4), (1, 1), (4, 7)],
        {"x": first_row_alike}, variant="constant",
    ),
    row(
        "nn.norm.Normalize", "x[B,D]", "y[B,D]", "y[b,D] = Normalize(x[b,D])",
        lambda t: F.normalize(t.x), "B D", [(3, 4), (1, 1), (4, 7)], {"x": first_row_alike}, variant="zero",
    ),
    row(
        "nn.distances.CosineSimilarity", "u[B,I], v[B,I]", "y[B]", "y[b] = CosineSimilarity(u[b,I], v[b,I])",
        lambda t: (t.u*t.v).sum(1) / ((t.u**2).sum(1)*(t.v**2).sum(1)).clamp(min=1e-16).sqrt(), "B I",
        [(3, 4), (1, 2), (4, 7)], {"u": first_row_alike}, variant="zero",
    ),
    row(
        "nn.distances.SquaredDistance", "u[B,I], v[B,I]", "y[B]", "y[b] = SquaredDistance(u[b,I], v[b,I])",
        lambda t: ((t.u - t.v)**2).sum(1), "B I", [(3, 4), (1, 1), (4, 7)], {"u": few, "v": few}, variant="equal",
    ),
)  # fmt: skip

CASES = (*CONVOLUTIONS, *POOLING, *KINKS, *CONSTANTS)
