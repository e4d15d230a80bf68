"""More layers of the standard library: penalties, transposed convolutions, embeddings, divergences, graphs, cells.

Rows as in `layer_cases`. Where PyTorch has no such function, the reference is its formula in PyTorch's primitives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numeric.harness import torch
from numeric.layer_cases import F, row

PENALTIES = (
    row(
        "nn.penalties.WeightDecay", "w[I,J], c[I]", "l",
        "l = WeightDecay(w[I,J]; lambda=0.3) + WeightDecay(c[I])",
        lambda t: 0.15*(t.w**2).sum() + 0.005*(t.c**2).sum(), "I J", [(3, 4), (1, 1), (2, 33)],
    ),
    row(
        "nn.penalties.L1Penalty", "w[I,J]", "l", "l = L1Penalty(w[I,J]; lambda=0.3)",
        lambda t: 0.3*t.w.abs().sum(), "I J", [(3, 4), (1, 1), (2, 33)],
    ),
)  # fmt: skip

TRANSPOSED = (
    row(
        "nn.transposed.TransposedConv1d", "x[B,C,W], k[C,O,P], c[O]", "y[B,O,V]",
        "y[b,O,V] = TransposedConv1d(x[b,C,W]; k, c)",
        lambda t: F.conv_transpose1d(t.x, t.k, t.c), "B C W O P", [(2, 3, 5, 4, 3), (1, 1, 1, 1, 1), (2, 2, 7, 1, 4)],
    ),
    row(
        "nn.transposed.TransposedConv1d", "x[B,C,W], k[C,O,P], c[O]", "y[B,O,V]",
        "y[b,O,V] = TransposedConv1d(x[b,C,W]; k, c, stride=3, padding=1, output_padding=2, dilation=2)",
        lambda t: F.conv_transpose1d(t.x, t.k, t.c, 3, 1, 2, 1, 2), "B C W O P",
        [(2, 3, 5, 4, 3), (1, 1, 1, 1, 2), (2, 2, 4, 1, 4)], variant="strided",
    ),
    row(
        "nn.transposed.TransposedConv2d", "x[B,C,H,W], k[C,O,P,Q], c[O]", "y[B,O,U,V]",
        "y[b,O,U,V] = TransposedConv2d(x[b,C,H,W]; k, c)",
        lambda t: F.conv_transpose2d(t.x, t.k, t.c), "B C H W O P Q",
        [(2, 3, 3, 2, 2, 3, 2), (1, 1, 1, 1, 1, 1, 1), (1, 2, 4, 3, 3, 2, 1)],
    ),
    row(
        "nn.transposed.TransposedConv2d", "x[B,C,H,W], k[C,O,P,Q], c[O]", "y[B,O,U,V]",
        "y[b,O,U,V] = TransposedConv2d(x[b,C,H,W]; k, c, stride=2, padding=1, output_padding=1)",
        lambda t: F.conv_transpose2d(t.x, t.k, t.c, 2, 1, 1), "B C H W O P Q",
        [(2, 3, 3, 2, 2, 3, 2), (1, 1, 2, 2, 1, 2, 2), (1, 2, 4, 3, 3, 2, 3)], variant="strided",
    ),
    row(
        "nn.transposed.TransposedConv2d", "x[B,C,H,W], k[C,O,P,Q], c[O]", "y[B,O,U,V]",
        "y[b,O,U,V] = TransposedConv2d(x[b,C,H,W]; k, c, padding=1, dilation=2)",
        lambda t: F.conv_transpose2d(t.x, t.k, t.c, 1, 1, 0, 1, 2), "B C H W O P Q",
        [(2, 3, 3, 2, 2, 3, 2), (1, 1, 2, 2, 1, 2, 2), (1, 2, 4, 3, 3, 2, 3)], variant="dilated",
    ),
    row(
        "nn.transposed.TransposedConv3d", "x[B,C,D,H,W], k[C,O,R,P,Q], c[O]", "y[B,O,T,U,V]",
        "y[b,O,T,U,V] = TransposedConv3d(x[b,C,D,H,W]; k, c, stride=2, padding=1, output_padding=1)",
        lambda t: F.conv_transpose3d(t.x, t.k, t.c, 2, 1, 1), "B C D H W O R P Q",
        [(2, 3, 2, 3, 2, 2, 3, 2, 3), (1, 1, 2, 2, 2, 1, 2, 2, 2), (1, 2, 3, 2, 4, 3, 3, 2, 3)], variant="strided",
    ),
    row(
        "nn.transposed.GroupedTransposedConv1d", "x[B,C,W], k[G,N,M,P], c[O]", "y[B,O,V]",
        "y[b,O,V] = GroupedTransposedConv1d(x[b,C,W]; k, c, stride=2, padding=1, output_padding=1)",
        lambda t: F.conv_transpose1d(t.x, t.k.flatten(0, 1), t.c, 2, 1, 1, t.k.shape[0]), "B C W G N M P O",
        [(2, 6, 4, 3, 2, 2, 3, 6), (1, 2, 2, 2, 1, 1, 2, 2), (2, 4, 3, 2, 2, 3, 4, 6)],
    ),
    row(
        "nn.transposed.GroupedTransposedConv2d", "x[B,C,H,W], k[G,N,M,P,Q], c[O]", "y[B,O,U,V]",
        "y[b,O,U,V] = GroupedTransposedConv2d(x[b,C,H,W]; k, c, stride=2, padding=1, dilation=2)",
        lambda t: F.conv_transpose2d(t.x, t.k.flatten(0, 1), t.c, 2, 1, 0, t.k.shape[0], 2), "B C H W G N M P Q O",
        [(2, 4, 3, 2, 2, 2, 1, 3, 2, 2), (1, 2, 2, 2, 2, 1, 1, 2, 2, 2), (1, 3, 2, 3, 3, 1, 2, 2, 3, 6)],
    ),
)  # fmt: skip

GROUPED = (
    row(
        "nn.conv.GroupedConv1d", "x[B,C,W], k[G,M,N,P], c[O]", "y[B,O,V]",
        "y[b,O,V] = GroupedConv1d(x[b,C,W]; k, c, stride=2, padding=2, dilation=2)",
        lambda t: F.conv1d(t.x, t.k.flatten(0, 1), t.c, 2, 2, 2, t.k.shape[0]), "B C W G M N O P",
        [(2, 6, 7, 2, 3, 3, 6, 3), (1, 2, 3, 1, 1, 2, 1, 2), (2, 3, 6, 3, 2, 1, 6, 1)],
    ),
    row(
        "nn.conv.GroupedConv3d", "x[B,C,D,H,W], k[G,M,N,R,P,Q], c[O]", "y[B,O,T,U,V]",
        "y[b,O,T,U,V] = GroupedConv3d(x[b,C,D,H,W]; k, c, padding=1)",
        lambda t: F.conv3d(t.x, t.k.flatten(0, 1), t.c, padding=1, groups=t.k.shape[0]), "B C D H W G M N O R P Q",
        [(1, 4, 3, 2, 3, 2, 1, 2, 2, 2, 3, 2), (1, 2, 2, 2, 2, 1, 1, 2, 1, 2, 2, 2),
         (1, 2, 2, 3, 2, 2, 2, 1, 4, 1, 2, 3)],
    ),
    row(
        "nn.residual.DenseConv2d", "x[B,C,H,W], k[O,C,P,Q], c[O]", "y[B,N,H,W]",
        "y[b,N,H,W] = DenseConv2d(x[b,C,H,W]; k, c)",
        lambda t: torch.cat((t.x, F.relu(F.conv2d(t.x, t.k, t.c, padding=1))), 1), "B C H W O P Q",
        [(2, 3, 4, 3, 2, 3, 3), (1, 1, 1, 1, 1, 3, 3), (1, 2, 3, 5, 4, 3, 3)],
    ),
)  # fmt: skip


def _waves(rows: int, columns: int) -> Any:
    t, d = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    angle = t / 10000 ** (2 * (d // 2) / columns)
    return torch.tensor(np.where(d % 2, np.cos(angle), np.sin(angle)))


EMBEDDINGS = (
    row(
        "nn.embedding.Embedding", "z[B,T] in V, w[V,D]", "e[B,T,D]", "e[b,T,D] = Embedding(z[b,T]; w)",
        lambda t: F.embedding(t.z, t.w), "B T V D", [(2, 5, 3, 4), (1, 1, 1, 1), (3, 2, 7, 5)],
    ),
    row(
        "nn.embedding.Embedding", "z[B,T] in V, w[V,D]", "e[B,T,D]", "e[b,T,D] = Embedding(z[b,T]; w, padding=1)",
        lambda t: F.embedding(t.z, t.w, padding_idx=1), "B T V D", [(2, 5, 3, 4), (2, 3, 2, 1), (3, 2, 7, 5)],
        variant="padded",
    ),
    row(
        "nn.embedding.PositionEncoding", "x[B,T,D]", "y[B,T,D]", "y[b,T,D] = PositionEncoding(x[b,T,D])",
        lambda t: t.x + _waves(*t.x.shape[1:]), "B T D", [(2, 5, 4), (1, 1, 1), (2, 33, 7)],
    ),
    row(
        "nn.embedding.LearnedPositions", "x[B,T,D], w[N,D]", "y[B,T,D]", "y[b,T,D] = LearnedPositions(x[b,T,D]; w)",
        lambda t: t.x + t.w[:t.x.shape[1]], "B T D N", [(2, 5, 4, 7), (1, 1, 1, 1), (2, 3, 7, 3)],
    ),
    row(
        "nn.embedding.TokenTypes", "x[B,T,D], z[B,T] in S, w[S,D]", "y[B,T,D]",
        "y[b,T,D] = TokenTypes(x[b,T,D], z[b,T]; w)",
        lambda t: t.x + t.w[t.z], "B T D S", [(2, 5, 4, 2), (1, 1, 1, 1), (2, 3, 7, 3)],
    ),
)  # fmt: skip


def _bells(t: Any) -> Any:
    square = ((t.x[:, None] - t.c) ** 2).sum(-1)
    return (t.a * torch.exp(-t.beta * square)).sum(1)


RADIAL = (
    row(
        "nn.radial.RBF", "x[B,J], c[I,J], a[I], beta[I]", "y[B]", "y[b] = RBF(x[b,J]; c, a, beta)",
        _bells, "B J I", [(3, 2, 4), (1, 1, 1), (2, 5, 3)],
        {"beta": lambda random, shape: random.uniform(0.1, 1, shape)},
    ),
    row(
        "nn.radial.RadialDistances", "x[B,J], c[I,J]", "y[B,I]", "y[b,I] = RadialDistances(x[b,J]; c)",
        lambda t: ((t.x[:, None] - t.c)**2).sum(-1).sqrt(), "B J I", [(3, 2, 4), (1, 1, 1), (2, 5, 3)],
    ),
)  # fmt: skip


def distribution(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Rows that sum to 1, with no element near 0."""
    values = random.uniform(0.2, 1, shape)
    return values / values.sum(-1, keepdims=True)


def _information(p: Any, q: Any) -> Any:
    return torch.special.xlogy(p, p / q).sum(-1)


_PAIR = "p[B,I], q[B,I]"
_DRAWS = {"p": distribution, "q": distribution}
_ROWS = [(3, 4), (1, 1), (2, 33)]

DIVERGENCES = (
    row(
        "nn.divergences.Entropy", "p[B,I]", "h[B]", "h[b] = Entropy(p[b,I])",
        lambda t: -torch.special.xlogy(t.p, t.p).sum(1), "B I", _ROWS, _DRAWS,
    ),
    row(
        "nn.divergences.DistributionCrossEntropy", _PAIR, "h[B]", "h[b] = DistributionCrossEntropy(p[b,I], q[b,I])",
        lambda t: -(t.p*t.q.log()).sum(1), "B I", _ROWS, _DRAWS,
    ),
    row(
        "nn.divergences.KLDivergence", _PAIR, "d[B]", "d[b] = KLDivergence(p[b,I], q[b,I])",
        lambda t: _information(t.p, t.q), "B I", _ROWS, _DRAWS,
    ),
    row(
        "nn.divergences.JSDivergence", _PAIR, "d[B]", "d[b] = JSDivergence(p[b,I], q[b,I])",
        lambda t: (_information(t.p, (t.p + t.q)/2) + _information(t.q, (t.p + t.q)/2))/2, "B I", _ROWS, _DRAWS,
    ),
    row(
        "nn.divergences.Perplexity", "o[B,T,Y], z[B,T] in Y", "l[B]", "l[b] = Perplexity(o[b,T,Y], z[b,T])",
        lambda t: torch.stack([F.cross_entropy(o, z).exp() for o, z in zip(t.o, t.z, strict=True)]), "B T Y",
        [(2, 3, 4), (1, 1, 1), (2, 5, 9)],
    ),
    row(
        "nn.divergences.WassersteinDual", "f[B], g[C]", "w", "w = WassersteinDual(f[B], g[C]; lipschitz=2)",
        lambda t: (t.f.mean() - t.g.mean())/2, "B C", [(3, 4), (1, 1), (7, 2)],
    ),
)  # fmt: skip


def _sent(t: Any, mean: bool) -> Any:
    sums = torch.zeros_like(t.x).index_add(0, t.dst, t.x[t.src])
    counts = torch.bincount(t.dst, minlength=len(t.x)).clamp(min=1)[:, None] if mean else 1
    return (sums / counts) @ t.w.T + t.x @ t.u.T + t.c


def adjacency(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of edges, symmetric; the last node, if it is not the only one, has none."""
    values = random.integers(0, 3, shape) + random.uniform(0.1, 1, shape)
    values = values + values.T
    if len(values) > 1:
        values[-1] = values[:, -1] = 0
    return values


def _laplacian(t: Any) -> Any:
    degree = t.a.sum(1)
    there = degree > 0
    scale = torch.where(there, torch.where(there, degree, 1) ** -0.5, 0)
    return torch.diag(there.double()) - scale[:, None] * t.a * scale


def _graph_conv(t: Any) -> Any:
    loop = t.a + torch.eye(len(t.a), dtype=t.a.dtype)
    scale = loop.sum(1) ** -0.5
    return (scale[:, None] * loop * scale) @ t.x @ t.w.T + t.c


_EDGES = "x[N,D], src[E] in N, dst[E] in N, w[I,D], u[I,D], c[I]"
_GRAPHS = [(4, 3, 6, 2), (1, 1, 1, 1), (5, 2, 3, 4)]

GRAPHS = (
    row(
        "nn.graphs.MessagePassing", _EDGES, "y[N,I]", "y[N,I] = MessagePassing(x[N,D], src[E], dst[E]; w, u, c)",
        lambda t: _sent(t, False), "N D E I", _GRAPHS, variant="sum",
    ),
    row(
        "nn.graphs.MeanMessagePassing", _EDGES, "y[N,I]",
        "y[N,I] = MeanMessagePassing(x[N,D], src[E], dst[E]; w, u, c)",
        lambda t: _sent(t, True), "N D E I", _GRAPHS,
    ),
    row(
        "nn.graphs.Laplacian", "a[N,N']", "l[N,N']", "l[N,N'] = Laplacian(a[N,N'])",
        _laplacian, "N", [(4,), (1,), (6,)], {"a": adjacency}, variant="normalised",
    ),
    row(
        "nn.graphs.SpectralConv", "x[N,D], v[N,K], g[K]", "y[D,N]", "y[d,N] = SpectralConv(x[N,d], v[N,K]; g)",
        lambda t: ((t.v*t.g) @ (t.v.T @ t.x)).T, "N D K", [(4, 2, 4), (1, 1, 1), (5, 3, 2)],
    ),
    row(
        "nn.graphs.GraphConv", "x[N,D], a[N,N'], w[I,D], c[I]", "y[N,I]", "y[N,I] = GraphConv(x[N,D], a[N,N']; w, c)",
        _graph_conv, "N D I", [(4, 2, 3), (1, 1, 1), (5, 3, 2)], {"a": adjacency},
    ),
)  # fmt: skip


def _tall(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Columns that are far from depending on each other."""
    return random.standard_normal(shape) + 3 * np.eye(shape[-2], shape[-1])


EQUATIONS = (
    row(
        "nn.least_squares.NormalEquations", "x[B,N,P], y[B,N]", "w[B,P]", "w[b,P] = NormalEquations(x[b,N,P], y[b,N])",
        lambda t: torch.linalg.lstsq(t.x, t.y[..., None]).solution[..., 0], "B N P",
        [(2, 5, 2), (1, 1, 1), (2, 6, 4)], {"x": _tall},
    ),
    row(
        "nn.least_squares.ManyNormalEquations", "x[N,P], y[N,K]", "w[P,K]",
        "w[P,K] = ManyNormalEquations(x[N,P], y[N,K]; ridge=0.5)",
        lambda t: torch.linalg.solve(t.x.T @ t.x + 0.5*torch.eye(t.x.shape[1], dtype=t.x.dtype), t.x.T @ t.y), "N P K",
        [(5, 2, 3), (1, 1, 1), (2, 4, 2)],
    ),
)  # fmt: skip


def _labelled(t: Any) -> Any:
    places = torch.arange(t.z.shape[1])
    pairs = torch.stack([t.w[z[:-1], z[1:]].sum() for z in t.z])
    return -torch.stack([s[places, z].sum() for s, z in zip(t.s, t.z, strict=True)]) - pairs


SEQUENCES = (
    row(
        "nn.sequences.CRFScore", "s[B,T,Y], z[B,T] in Y, w[Y,Y']", "l[B]", "l[b] = CRFScore(s[b,T,Y], z[b,T]; w)",
        _labelled, "B T Y", [(2, 5, 3), (1, 1, 1), (3, 2, 4)],
    ),
)  # fmt: skip


def _gates(names: str) -> str:
    return ", ".join(f"wx{n}[D,I], wh{n}[D,D'], c{n}[D]" for n in names)


def _given(names: str) -> str:
    return ", ".join(f"wx{n}, wh{n}, c{n}" for n in names)


def _lstm(t: Any) -> Any:
    wx, wh, b = (torch.cat([t[f"{kind}{n}"] for n in "ifgo"]) for kind in ("wx", "wh", "c"))
    h, c = torch.lstm_cell(t.x, (t.h, t.m), wx, wh, b, torch.zeros_like(b))
    return h, c


def _gru(t: Any) -> Any:
    """PyTorch's gate keeps the state where it is 1."""
    wx, wh, b = (torch.cat([t[f"{kind}{n}"] for n in "rzn"]) for kind in ("wx", "wh", "c"))
    return torch.gru_cell(t.x, t.h, wx, wh, b, torch.zeros_like(b))


def _gru_of_000(t: Any) -> Any:
    z = torch.sigmoid(t.x @ t.wxz.T + t.h @ t.whz.T + t.cz)
    r = torch.sigmoid(t.x @ t.wxr.T + t.h @ t.whr.T + t.cr)
    n = torch.tanh(t.x @ t.wxn.T + r * (t.h @ t.whn.T) + t.cn)
    return (1 - z) * t.h + z * n


_CELLS = [(2, 3, 4), (1, 1, 1), (3, 5, 2)]

CELLS = (
    row(
        "nn.recurrent.RNNCell", "x[B,I], h[B,D], wx[D,I], wh[D,D'], c[D]", "y[B,D]",
        "y[b,D] = RNNCell(x[b,I], h[b,D]; wx, wh, c)",
        lambda t: torch.rnn_tanh_cell(t.x, t.h, t.wx, t.wh, t.c, torch.zeros_like(t.c)), "B I D", _CELLS,
    ),
    row(
        "nn.recurrent.LSTMCell", f"x[B,I], h[B,D], m[B,D], {_gates('ifgo')}", "y[B,D], n[B,D]",
        f"y[b,D] = LSTMCell(x[b,I], h[b,D], m[b,D]; {_given('ifgo')})\n"
        f"    n[b,D] = LSTMCell(x[b,I], h[b,D], m[b,D]; {_given('ifgo')}).memory",
        _lstm, "B I D", _CELLS,
    ),
    row(
        "nn.recurrent.GRUCell", f"x[B,I], h[B,D], {_gates('rzn')}", "y[B,D]",
        f"y[b,D] = GRUCell(x[b,I], h[b,D]; {_given('rzn')}, keep=true)", _gru, "B I D", _CELLS, variant="keep",
    ),
    row(
        "nn.recurrent.GRUCell", f"x[B,I], h[B,D], {_gates('rzn')}", "y[B,D]",
        f"y[b,D] = GRUCell(x[b,I], h[b,D]; {_given('rzn')})", _gru_of_000, "B I D", _CELLS,
    ),
)  # fmt: skip

CASES = (
    *PENALTIES, *TRANSPOSED, *GROUPED, *EMBEDDINGS, *RADIAL, *DIVERGENCES, *GRAPHS, *EQUATIONS, *SEQUENCES, *CELLS,
)  # fmt: skip
