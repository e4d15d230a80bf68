"""Layers over sequences, against PyTorch's cells step by step, and against the sum over everything that could be.

Rows as in `layer_cases`; the layers have parameters of their own, `net.cell.wxi`. Left out: single cells
(`library_cases`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
from numeric.formula_cases import formula
from numeric.harness import Case, torch
from numeric.layer_cases import row
from numeric.library_cases import adjacency

Cell = Callable[..., Any]


def sizes_of(names: str, sizes: Sequence[Sequence[int]]) -> tuple[dict[str, int], ...]:
    return tuple(dict(zip(names.split(), values, strict=True)) for values in sizes)


def _stacked(of: Callable[[str], Any], names: str, kind: str) -> Any:
    return torch.cat([of(f"{kind}{name}") for name in names])


def lstm(of: Callable[[str], Any], x: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    """(y, last, memory) of a batch of sequences; `of` gives the parameters of the cell."""
    wx, wh, b = (_stacked(of, "ifgo", kind) for kind in ("wx", "wh", "b"))
    states = []
    for step in x.unbind(1):
        h, c = torch.lstm_cell(step, (h, c), wx, wh, b, torch.zeros_like(b))
        states.append(h)
    return torch.stack(states, 1), h, c


def gru(of: Callable[[str], Any], x: Any, h: Any) -> tuple[Any, Any]:
    """PyTorch's gate keeps the state where it is 1; there is one bias, so that it stands outside the product with r."""
    wx, wh, b = (_stacked(of, "rzn", kind) for kind in ("wx", "wh", "b"))
    states = []
    for step in x.unbind(1):
        h = torch.gru_cell(step, h, wx, wh, b, torch.zeros_like(b))
        states.append(h)
    return torch.stack(states, 1), h


def gru_replacing(of: Callable[[str], Any], x: Any, h: Any) -> tuple[Any, Any]:
    """With 1 - z in the place of z: Sigmoid(-u) is 1 - Sigmoid(u)."""
    return gru(lambda name: -of(name) if name.endswith("z") else of(name), x, h)


def rnn(of: Callable[[str], Any], x: Any, h: Any, steps: int = 0) -> tuple[Any, Any]:
    states = []
    for number, step in enumerate(x.unbind(1)):
        if steps and number % steps == 0:
            h = h.detach()
        h = torch.rnn_tanh_cell(step, h, of("wx"), of("wh"), of("b"), torch.zeros_like(of("b")))
        states.append(h)
    return torch.stack(states, 1), h


def _nothing(t: Any, like: str) -> Any:
    return t.x.new_zeros(t.x.shape[0], t[like].shape[-1])


def stacked(cell: Cell, path: str, like: str) -> Callable[[Any], Any]:
    """The lowest layer, then those above it, whose parameters have an axis more."""

    def reference(t: Any) -> Any:
        y = cell(lambda name: t[f"net.first{path}.{name}"], t.x, *_states(t, like, cell))[0]
        for number in range(t[f"net.upper{path}.{like}"].shape[0]):
            y = cell(lambda name, n=number: t[f"net.upper{path}.{name}"][n], y, *_states(t, like, cell, path))[0]
        return y

    def _states(t: Any, like: str, cell: Cell, path: str = path) -> list[Any]:
        width = t[f"net.upper{path}.{like}"].shape[1]
        return [t.x.new_zeros(t.x.shape[0], width)] * (2 if cell is lstm else 1)

    return reference


def layer(
    name: str, made: str, inputs: str, outputs: str, call: str, reference: Callable[[Any], Any], variant: str = ""
) -> Case:
    """A layer with parameters of its own, called `net`, over a batch."""
    lines = "".join(f"    {line}\n" for line in (f"net = {name}({made})", *call.split("; ")))
    text = f"use nn.recurrent: {name}\n\nlayer Case({inputs}) -> {outputs}:\n{lines}"
    sizes = sizes_of("B T I", [(2, 5, 3), (1, 1, 1), (3, 4, 2)])
    return Case(f"{name}-{variant}" if variant else name, text, reference, sizes)


def _bidirectional(t: Any) -> Any:
    def one(direction: str, x: Any) -> Any:
        zero = x.new_zeros(x.shape[0], 2)
        return lstm(lambda name: t[f"net.{direction}.cell.{name}"], x, zero, zero)[0]

    return torch.cat((one("forward", t.x), one("backward", t.x.flip(1)).flip(1)), -1)


_WEIGHTS = "wx[D,I], wh[D,D'], c[D]"
_SIZES = [(2, 5, 3, 4), (1, 1, 1, 1), (3, 7, 2, 3)]


def _of(t: Any) -> Callable[[str], Any]:
    return lambda name: {"wx": t.wx, "wh": t.wh, "b": t.c}[name]


LAYERS = (
    row(
        "nn.recurrent.RNN", f"x[B,T,I], h[B,D], {_WEIGHTS}", "y[B,T,D], z[B,D]",
        "y[b,T,D] = RNN(x[b,T,I], h[b,D]; wx, wh, c)\n    z[b,D] = RNN(x[b,T,I], h[b,D]; wx, wh, c).last",
        lambda t: rnn(_of(t), t.x, t.h), "B T I D", _SIZES,
    ),
    row(
        "nn.recurrent.RNN", f"x[B,T,I], {_WEIGHTS}", "y[B,T,D]", "y[b,T,D] = RNN(x[b,T,I]; wx, wh, c)",
        lambda t: rnn(_of(t), t.x, t.x.new_zeros(len(t.x), len(t.c)))[0], "B T I D", _SIZES, variant="from zero",
    ),
    row(
        "nn.recurrent.TruncatedRNN", f"x[B,T,I], h[B,D], {_WEIGHTS}", "y[B,T,D]",
        "y[b,T,D] = TruncatedRNN(x[b,T,I], h[b,D]; wx, wh, c, steps=3)",
        lambda t: rnn(_of(t), t.x, t.h, 3)[0], "B T I D", _SIZES,
    ),
    layer(
        "LSTM", "D=4", "x[B,T,I], h[B,D], c[B,D]", "y[B,T,D], u[B,D], v[B,D]",
        "index D = 4; y[b,T,D] = net(x[b,T,I], h[b,D], c[b,D]); u[b,D] = net(x[b,T,I], h[b,D], c[b,D]).last; "
        "v[b,D] = net(x[b,T,I], h[b,D], c[b,D]).memory",
        lambda t: lstm(lambda name: t[f"net.cell.{name}"], t.x, t.h, t.c),
    ),
    layer(
        "GRU", "D=4, keep=true", "x[B,T,I], h[B,D]", "y[B,T,D], u[B,D]",
        "index D = 4; y[b,T,D] = net(x[b,T,I], h[b,D]); u[b,D] = net(x[b,T,I], h[b,D]).last",
        lambda t: gru(lambda name: t[f"net.cell.{name}"], t.x, t.h), "keep",
    ),
    layer(
        "GRU", "D=4", "x[B,T,I], h[B,D]", "y[B,T,D]", "index D = 4; y[b,T,D] = net(x[b,T,I], h[b,D])",
        lambda t: gru_replacing(lambda name: t[f"net.cell.{name}"], t.x, t.h)[0],
    ),
    layer(
        "BiLSTM", "D=2", "x[B,T,I]", "y[B,T,E]", "index E = 4; y[b,T,E] = net(x[b,T,I])", _bidirectional,
    ),
    layer(
        "StackedRNN", "D=3, L=3", "x[B,T,I]", "y[B,T,D]", "index D = 3; y[b,T,D] = net(x[b,T,I])",
        stacked(rnn, "", "wh"),
    ),
    layer(
        "StackedLSTM", "D=3", "x[B,T,I]", "y[B,T,D]", "index D = 3; y[b,T,D] = net(x[b,T,I])",
        stacked(lstm, ".cell", "whi"),
    ),
    layer(
        "StackedLSTM", "D=2, L=4", "x[B,T,I]", "y[B,T,D]", "index D = 2; y[b,T,D] = net(x[b,T,I])",
        stacked(lstm, ".cell", "whi"), "deep",
    ),
    layer(
        "StackedGRU", "D=3, L=3, keep=true", "x[B,T,I]", "y[B,T,D]", "index D = 3; y[b,T,D] = net(x[b,T,I])",
        stacked(gru, ".cell", "whr"),
    ),
)  # fmt: skip


def score(t: Any, labels: Sequence[int], sample: int) -> Any:
    """What a labelling is worth: the sum of its emissions and transitions."""
    emitted = sum(t.s[sample, place, label] for place, label in enumerate(labels))
    return emitted + sum(t.w[one, other] for one, other in pairwise(labels))


def labellings(t: Any) -> list[tuple[int, ...]]:
    return list(product(range(t.s.shape[2]), repeat=t.s.shape[1]))


def _likelihood(t: Any) -> Any:
    losses = []
    for sample, labels in enumerate(t.z.tolist()):
        every = torch.stack([score(t, other, sample) for other in labellings(t)])
        losses.append(torch.logsumexp(every, 0) - score(t, labels, sample))
    return torch.stack(losses)


def _best(t: Any) -> Any:
    found = [max(labellings(t), key=lambda labels, n=n: float(score(t, labels, n).detach())) for n in range(len(t.s))]
    return torch.tensor(found), torch.stack([score(t, labels, sample) for sample, labels in enumerate(found)])


def _chebyshev(t: Any) -> Any:
    waves = [t.x, t.l @ t.x]
    while len(waves) < len(t.w):
        waves.append(2 * t.l @ waves[-1] - waves[-2])
    return sum(wave @ w.T for wave, w in zip(waves, t.w, strict=True)) + t.c


SEQUENCES = (
    row(
        "nn.sequences.CRFLoss", "s[B,T,Y], z[B,T] in Y, w[Y,Y']", "l[B]", "l[b] = CRFLoss(s[b,T,Y], z[b,T]; w)",
        _likelihood, "B T Y", [(2, 4, 3), (1, 1, 1), (3, 2, 4)],
    ),
    row(
        "nn.sequences.Viterbi", "s[B,T,Y], w[Y,Y']", "z[B,T] in Y, m[B]",
        "z[b,T] = Viterbi(s[b,T,Y]; w)\n    m[b] = Viterbi(s[b,T,Y]; w).score",
        _best, "B T Y", [(2, 4, 3), (1, 1, 2), (3, 5, 2)],
    ),
    row(
        "nn.graphs.ChebyshevConv", "x[N,D], l[N,N'], w[K,I,D], c[I]", "y[N,I]",
        "y[N,I] = ChebyshevConv(x[N,D], l[N,N']; w, c)",
        _chebyshev, "N D K I", [(4, 2, 3, 2), (1, 1, 2, 1), (5, 3, 5, 2)], {"l": adjacency},
    ),
)  # fmt: skip


def _filtered(t: Any) -> Any:
    waves = [t.x, t.l @ t.x]
    while len(waves) < len(t.w):
        waves.append(2 * t.l @ waves[-1] - waves[-2])
    return torch.einsum("k,kn->n", t.w, torch.stack(waves))


def _looking_back(t: Any) -> Any:
    """Every step attends to those before it, and to nothing with weight 1."""
    states: list[Any] = []
    for x in t.x:
        if states:
            before = torch.stack(states)
            weights = torch.exp(before @ t.v @ x)
            x = x + t.w @ (weights @ before) / (1 + weights.sum())
        states.append(torch.tanh(x))
    return torch.stack(states)


def _factored(t: Any) -> Any:
    """By its rows, of the lower triangle alone."""
    rows: list[list[Any]] = []
    for i, given in enumerate(t.m):
        rows.append([])
        for j in range(i + 1):
            rest = given[j] - sum(x * y for x, y in zip(rows[i][:j], rows[j][:j], strict=True))
            rows[i].append(torch.sqrt(rest) if i == j else rest / rows[j][j])
    return torch.stack([torch.stack([*one, *[torch.zeros_like(t.m[0, 0])] * (len(t.m) - len(one))]) for one in rows])


def _positive_definite(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    root = random.normal(size=shape)
    return root @ root.T + np.eye(len(root))


def _pendulums(steps: int) -> str:
    """Half a step of the momentum before, and half a step after every step of the place."""
    return f"""index S = {steps}, U = |S| + 1
           q[0,d] = q0[d]
           p[0,d] = p0[d]
           v[u] = sum[d] (1 - cos(q[u,d]))
           h[s,d] = p[s,d] - 0.05*grad(v[s], q[s,d])
           q[s+1,d] = q[s,d] + 0.1*h[s,d]
           p[s+1,d] = h[s,d] - 0.05*grad(v[s+1], q[s+1,d])
           a[u,d] = q[u,d]
           b[u,d] = p[u,d]"""


def _leaps(t: Any, steps: int) -> Any:
    q, p = [t.q0], [t.p0]
    for _ in range(steps):
        half = p[-1] - 0.05 * torch.sin(q[-1])
        q.append(q[-1] + 0.1 * half)
        p.append(half - 0.05 * torch.sin(q[-1]))
    return torch.stack(q), torch.stack(p)


def _raster(t: Any) -> Any:
    """Every pixel by its neighbours on the left and above."""
    rows: list[list[Any]] = []
    for y, line in enumerate(t.x):
        row: list[Any] = []
        for x, pixel in enumerate(line):
            left = t.w[0] * row[x - 1] if x else 0.0
            above = t.w[1] * rows[y - 1][x] if y else 0.0
            row.append(torch.tanh(pixel + left + above))
        rows.append(row)
    return torch.stack([torch.stack(row) for row in rows])


def _backwards_in_one_row(t: Any) -> Any:
    values: list[Any] = []
    for pixel in reversed(t.x.reshape(-1)):
        before = values[-1].sum() if values else 0.0
        values.append(torch.tanh(pixel + t.w * before))
    return torch.stack(values[::-1]).reshape(*t.x.shape, -1)


FORMULAS = (
    formula(
        "a recurrence along a group of two", "x[Y,X], w[K]", "h[Y,X]",
        """index K = 2
           s[(y,x)] = tanh(x[y,x] + (w[0]*s[y*|X|+x-1] if x > 0 else 0) + (w[1]*s[(y-1)*|X|+x] if y > 0 else 0))
           h[y,x] = s[(y,x)]""",
        _raster, "Y X", [(3, 4), (1, 1), (4, 1), (1, 3)],
    ),
    formula(
        "a recurrence downwards along a group of three", "x[A,B,C], w[D]", "h[A,B,C,D]",
        """s[(a,b,c),d] = tanh(x[a,b,c] + w[d]*(sum[d'] s[pad(a*|B|*|C| + b*|C| + c + 1),d']))
           h[a,b,c,d] = s[(a,b,c),d]""",
        _backwards_in_one_row, "A B C D", [(2, 3, 2, 2), (1, 1, 1, 1), (2, 1, 3, 2)],
    ),
    formula(
        "a recurrence behind two first rows", "w[K], x[N], l[N,N']", "y[N]",
        """index J = |K| - 2
           p[0,n] = x[n]
           p[1,n] = l[n,n']*x[n']
           p[j+2,n] = 2*(l[n,n']*p[j+1,n']) - p[j,n]
           y[n] = w[k]*p[k,n]""",
        _filtered, "K N", [(4, 3), (2, 1), (3, 2)],
    ),
    formula(
        "weights of what came before", "x[T,D], w[D,D'], v[D,D']", "h[T,D]",
        """s[t,t'] = [t' < t]*h[t',d]*v[d,d']*x[t,d']
           a[t,t'] = exp(s[t,t'])/(1 + sum[t'' : t'' < t] exp(s[t,t'']))
           h[t,d] = tanh(x[t,d] + sum[t' : t' < t] w[d,d']*a[t,t']*h[t',d'])""",
        _looking_back, "T D", [(1, 1), (4, 3), (7, 2)],
    ),
    formula(
        "weights of what came before, guarded where they are read", "x[T,D], w[D,D'], v[D,D']", "h[T,D]",
        """s[t,t'] = h[t',d]*v[d,d']*x[t,d']
           a[t,t'] = exp(s[t,t'])/(1 + sum[t'' : t'' < t] exp(s[t,t'']))
           h[t,d] = tanh(x[t,d] + sum[t' : t' < t] w[d,d']*a[t,t']*h[t',d'])""",
        _looking_back, "T D", [(1, 1), (4, 3), (7, 2)],
    ),
    formula(
        "weights of what came before, and all scores", "x[T,D], w[D,D'], v[D,D']", "h[T,D], z[T,T]",
        """s[t,t'] = h[t',d]*v[d,d']*x[t,d']
           a[t,t'] = exp(s[t,t'])/(1 + sum[t'' : t'' < t] exp(s[t,t'']))
           h[t,d] = tanh(x[t,d] + sum[t' : t' < t] w[d,d']*a[t,t']*h[t',d'])
           z[t,t'] = s[t,t']""",
        lambda t: (_looking_back(t), t.x @ t.v.T @ _looking_back(t).T), "T D", [(1, 1), (4, 3)],
    ),
    formula(
        "Cholesky factor", "m[I,I']", "l[I,I']",
        """s[i,i'] = m[i,i'] - sum[i'' : i'' < i'] l[i,i'']*l[i',i'']
           l[i,i'] = sqrt(s[i,i]) if i == i' else (s[i,i']/l[i',i'] if i' < i else 0)""",
        _factored, "I", [(1,), (2,), (4,)], m=_positive_definite,
    ),
    formula(
        "one step that is known when compiling", "q0[D], p0[D]", "a[U,D], b[U,D]", _pendulums(1),
        lambda t: _leaps(t, 1), "D", [(1,), (3,)],
    ),
    formula(
        "leaps of a frog", "q0[D], p0[D]", "a[U,D], b[U,D]", _pendulums(4), lambda t: _leaps(t, 4), "D", [(1,), (3,)]
    ),
)  # fmt: skip

CASES = (*LAYERS, *SEQUENCES, *FORMULAS)
