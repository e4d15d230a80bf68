"""One formula each: the constructs of the language, alone and in pairs, where each can go wrong by itself.

A row is the signature, the equations, and the same in PyTorch. Names are short because the formulas are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numeric.harness import Case, Draw, torch

Random = np.random.Generator


def formula(
    name: str,
    inputs: str,
    outputs: str,
    equations: str,
    reference: Callable[[Any], Any],
    names: str,
    sizes: Sequence[Sequence[int]],
    **draws: Draw,
) -> Case:
    lines = "".join(f"    {line.strip()}\n" for line in equations.strip().splitlines())
    text = f"layer Case({inputs}) -> {outputs}:\n{lines}"
    bound = tuple(dict(zip(names.split(), values, strict=True)) for values in sizes)
    return Case(name, text, reference, bound, draws)


def positive(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    return random.uniform(0.5, 2.0, shape)


def with_zeros(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    return random.integers(-1, 2, shape).astype(np.float64)


def small(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    return random.integers(-2, 3, shape)


def transposed_convolution(t: Any) -> Any:
    return torch.nn.functional.conv_transpose1d(t.x[None], t.k.transpose(0, 1), stride=2, padding=1)[0]


def below_the_diagonal(t: Any) -> Any:
    last = 0 * t.x[0]
    return torch.stack([t.x[j + 1] * t.a[j + 1, j] if j + 1 < len(t.x) else last for j in range(t.a.shape[1])])


def positions(t: Any) -> Any:
    time, feature = (torch.arange(size).double() for size in t.x.shape)
    halves = torch.div((feature % 2) * time[:, None], 2, rounding_mode="floor")
    return t.x * torch.cos(time / 3)[:, None] + halves - time[:, None] ** 2 / (feature + 1)


def segment_max(t: Any) -> Any:
    """Nothing arrives at some nodes: they keep what they have."""
    rows = [t.m[t.d == n].amax(0) if bool((t.d == n).any()) else t.x[n] for n in range(len(t.x))]
    return torch.maximum(torch.stack(rows), t.x)


ONE = [(1,), (4,), (7,)]
TWO = [(1, 1), (3, 4), (5, 2)]
THREE = [(1, 1, 1), (2, 3, 4), (3, 5, 2)]

SUMS = (
    formula("trace", "a[I,I]", "y", "y = sum[i] a[i,i]", lambda t: torch.trace(t.a), "I", ONE),
    formula("diagonal", "a[I,I]", "y[I]", "y[i] = a[i,i]^2", lambda t: torch.diagonal(t.a)**2, "I", ONE),
    formula("chain", "a[I,J], b[J,K], c[K]", "y[I]", "y[i] = a[i,j]*b[j,k]*c[k]", lambda t: t.a @ t.b @ t.c, "I J K",
            THREE),
    formula("quadratic form", "x[I], a[I,I]", "y", "y = x[i]*a[i,i']*x[i']", lambda t: t.x @ t.a @ t.x, "I", ONE),
    formula("outer", "x[I], z[J]", "y[I,J]", "y[i,j] = x[i]*z[j] + x[i]/(2 + z[j]^2)",
            lambda t: t.x[:, None]*t.z + t.x[:, None]/(2 + t.z**2), "I J", TWO),
    formula("two inner sums", "w[I,J], v[I,J], x[J]", "y[I]", "y[i] = (w[i,j]*x[j])*tanh(v[i,j]*x[j] + 1)",
            lambda t: (t.w @ t.x)*torch.tanh(t.v @ t.x + 1), "I J", TWO),
    formula("sum in an exponent", "x[I,J], z[J]", "y[I]", "y[i] = exp(-sum[j] (x[i,j] - z[j])^2 / 4)",
            lambda t: torch.exp(-((t.x - t.z)**2).sum(1)/4), "I J", TWO),
    formula("cumulative sum", "x[T]", "y[T]", "y[t] = sum[t' : t' <= t] x[t']", lambda t: t.x.cumsum(0), "T", ONE),
    formula("cumulative maximum", "x[T]", "y[T]", "y[t] = max[t' : t' <= t] x[t']", lambda t: t.x.cummax(0).values, "T",
            ONE),
    formula("moving mean", "x[T]", "y[T]", "y[t] = mean[t' : t' <= t and t - t' < 3] x[t']",
            lambda t: torch.stack([t.x[max(0, i - 2):i + 1].mean() for i in range(len(t.x))]), "T", ONE),
    formula("kernels of distances", "x[I,D], z[J,D], w[D]", "y[I], s[I,J]",
            "s[i,j] = sum[d] w[d]*abs(x[i,d] - z[j,d])\ny[i] = sum[j] exp(-sum[d] (x[i,d] - z[j,d])^2)",
            lambda t: (torch.exp(-((t.x[:, None] - t.z) ** 2).sum(-1)).sum(1),
                       (t.w * (t.x[:, None] - t.z).abs()).sum(-1)), "I J D", [(9, 20, 3), (2, 3, 18), (13, 1, 1)]),
    formula("a chain in two orders", "a[I,J], b[J,K], c[K,L]", "y[I,L]", "y[i,l] = a[i,j]*b[j,k]*c[k,l]",
            lambda t: t.a @ t.b @ t.c, "I J K L", [(20, 3, 21, 4), (3, 20, 4, 21), (16, 16, 16, 16)]),
    formula("attention without softmax", "q[B,T,D], k[B,S,D], v[B,S,E]", "y[B,T,E]",
            "y[b,t,e] = q[b,t,d]*k[b,s,d]*v[b,s,e]",
            lambda t: t.q @ t.k.transpose(1, 2) @ t.v, "B T S D E", [(2, 19, 18, 3, 4), (2, 3, 4, 19, 18)]),
    formula("joint softmax", "x[I,J]", "y[I,J]", "y[i,j] = exp(x[i,j]) / sum[i',j'] exp(x[i',j'])",
            lambda t: torch.softmax(t.x.flatten(), 0).view_as(t.x), "I J", TWO),
    formula("sum over everything", "x[I,J], z[I,J,K]", "y", "y = sum[..] x[..] + sum[i,j,k] x[i,j]*z[i,j,k]^2",
            lambda t: t.x.sum() + (t.x[:, :, None]*t.z**2).sum(), "I J K", THREE),
    formula("log of a mean of exponentials", "x[I,J]", "y[J]", "y[j] = log(mean[i] exp(3*x[i,j])) / 3",
            lambda t: (torch.logsumexp(3*t.x, 0) - np.log(len(t.x)))/3, "I J", TWO),
    formula("variance by moments", "x[B,I]", "y[I]", "y[i] = (mean[b] x[b,i]^2) - (mean[b] x[b,i])^2",
            lambda t: t.x.var(0, unbiased=False), "B I", TWO),
)  # fmt: skip

PRODUCTS = (
    formula("product", "x[I,J]", "y[I]", "y[i] = prod[j] x[i,j]", lambda t: t.x.prod(1), "I J", TWO),
    formula("product with zeros", "x[I,J]", "y[I]", "y[i] = prod[j] x[i,j]", lambda t: t.x.prod(1), "I J", TWO,
            x=with_zeros),
    formula("power of a power", "x[I]", "y[I]", "y[i] = x[i]^2^3 / 2 + (-x[i])^3", lambda t: t.x**8/2 - t.x**3, "I",
            ONE),
    formula("real powers", "x[I], p", "y[I]", "y[i] = x[i]^p + 2^x[i] + x[i]^-1.5",
            lambda t: t.x**t.p + 2**t.x + t.x**-1.5, "I", ONE, x=positive),
    formula("geometric mean", "x[I,J]", "y[I]", "y[i] = (prod[j] x[i,j])^(1/|J|)",
            lambda t: torch.exp(torch.log(t.x).mean(1)), "I J", TWO, x=positive),
    formula("quotients", "a[I], b[I], c[I]", "y[I]", "y[i] = a[i]/b[i]/c[i]*a[i]",
            lambda t: t.a**2/(t.b*t.c), "I", ONE, b=positive, c=positive),
)  # fmt: skip

CHOICES = (
    formula("least and greatest", "x[I,J]", "a[I], b[I]", "a[i] = min[j] x[i,j]\nb[i] = max[j] abs(x[i,j])",
            lambda t: (t.x.amin(1), t.x.abs().amax(1)), "I J", TWO),
    formula("value at the position of another", "x[I,J], z[I,J]", "y[I]",
            "best[i] = argmax[j] x[i,j]\ny[i] = z[i,best[i]]*x[i,best[i]]",
            lambda t: (t.z*t.x).gather(1, t.x.argmax(1, keepdim=True))[:, 0], "I J", TWO),
    formula("second greatest", "x[I,J]", "y[I]", "best[i] = argmax[j] x[i,j]\ny[i] = max[j : j != best[i]] x[i,j]",
            lambda t: t.x.sort(1).values[:, -2], "I J", [(1, 2), (3, 4), (2, 5)]),
    formula("piecewise", "x[I]", "y[I]", "y[i] = x[i]^2 if x[i] > 1 else -x[i] if x[i] < -1 else sin(x[i])",
            lambda t: torch.where(t.x > 1, t.x**2, torch.where(t.x < -1, -t.x, torch.sin(t.x))), "I", ONE),
    formula("guarded root", "x[I]", "y[I]", "y[i] = [x[i] > 0]*sqrt(x[i]) - [not x[i] > 0]*log(1 - x[i])",
            lambda t: torch.where(t.x > 0, t.x.clamp(min=1e-9).sqrt(), -torch.log(1 - t.x.clamp(max=0))), "I", ONE),
    formula("any and all", "x[I,J]", "y[I]", "y[i] = [any[j] (x[i,j] > 1)] + 2*[all[j] (x[i,j] < 1)] + sum[j] x[i,j]",
            lambda t: (t.x > 1).any(1) + 2*(t.x < 1).all(1) + t.x.sum(1), "I J", TWO),
    formula("nested extremes", "x[I,J], z[J,K]", "y", "y = max[i] min[j] (x[i,j] + sum[k] z[j,k])",
            lambda t: (t.x + t.z.sum(1)).amin(1).amax(0), "I J K", THREE),
    formula("masked mean", "x[I,J], m[I,J] : bool", "y[I]",
            "y[i] = (sum[j : m[i,j]] x[i,j]) / (1 + sum[j] [m[i,j]])",
            lambda t: (t.x*t.m).sum(1)/(1 + t.m.sum(1)), "I J", TWO),
    formula("clipping", "x[I], lo, hi", "y[I]", "y[i] = max(lo, min(hi + 3, x[i]))",
            lambda t: torch.maximum(t.lo, torch.minimum(t.hi + 3, t.x)), "I", ONE),
)  # fmt: skip

PLACES = (
    formula("every other", "x[I]", "y[J]", "index J = (|I| + 1) // 2\ny[j] = x[2*j]", lambda t: t.x[::2], "I", ONE),
    formula("backwards", "x[I]", "y[I]", "y[i] = x[|I| - 1 - i]*x[i]", lambda t: t.x.flip(0)*t.x, "I", ONE),
    formula("product of what a neighbour exceeds", "x[I], z[I]", "y[I]",
            "y[i] = prod[i' : i' <= i] max(x[pad(i'-1)], z[i'])",
            lambda t: torch.maximum(torch.cat((torch.zeros(1).double(), t.x[:-1])), t.z).cumprod(0), "I", ONE),
    formula("differences", "x[I]", "y[I]", "y[i] = x[i] - x[pad(i-1)]",
            lambda t: t.x - torch.cat((torch.zeros(1).double(), t.x[:-1])), "I", ONE),
    formula("rotation", "x[I]", "y[I]", "y[i] = x[(i + 1) mod |I|] * x[wrap(i - 2)]",
            lambda t: t.x.roll(-1)*t.x.roll(2), "I", ONE),
    formula("laplacian", "x[H,W]", "y[H,W]",
            "y[h,w] = x[pad(h-1),w] + x[pad(h+1),w] + x[h,pad(w-1)] + x[h,pad(w+1)] - 4*x[h,w]",
            lambda t: torch.nn.functional.conv2d(t.x[None, None], torch.tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
                                                 .double()[None, None], padding=1)[0, 0], "H W", TWO),
    formula("flattened", "x[I,J,K]", "y[N]", "index N = |I|*|J|*|K|\ny[(i,j,k)] = x[i,j,k]^2",
            lambda t: t.x.flatten()**2, "I J K", THREE),
    formula("unflattened", "x[N], z[I,J]", "y[I,J]", "y[i,j] = [(i*|J| + j) in N]*x[clamp(i*|J| + j)] + z[i,j]",
            lambda t: t.x[:t.z.numel()].view_as(t.z) + t.z, "N I J", [(1, 1, 1), (12, 3, 4), (11, 5, 2)]),
    formula("three parts", "a[I,D], b[J,D], c[D]", "y[N,D]",
            "index N = |I| + |J| + 1\ny[i,d] = a[i,d]\ny[|I| + j,d] = b[j,d]*c[d]\ny[|I| + |J|,d] = c[d]",
            lambda t: torch.cat((t.a, t.b*t.c, t.c[None])), "I J D", THREE),
    formula("interleaved", "a[I], b[I]", "y[N]", "index N = 2*|I|\ny[2*i] = a[i]\ny[2*i + 1] = b[i]",
            lambda t: torch.stack((t.a, t.b), 1).flatten(), "I", ONE),
    formula("padded", "x[I]", "y[N]", "index N = |I| + 3\ny[n] = x[n - 2] if n >= 2 and n < |I| + 2 else 0",
            lambda t: torch.nn.functional.pad(t.x, (2, 1)), "I", ONE),
    formula("positions as numbers", "x[T,D]", "y[T,D]", "y[t,d] = x[t,d]*cos(t/3) + (d mod 2)*t // 2 - t^2/(d + 1)",
            positions, "T D", TWO),
)  # fmt: skip


DATA = (
    formula("gather", "w[V,D], z[T] in V", "y[T,D]", "y[t,d] = w[z[t],d]*2", lambda t: 2*t.w[t.z], "V D T", THREE),
    formula("two gathers", "w[V,U], z[T] in V, u[T] in U", "y[T]", "y[t] = w[z[t],u[t]]", lambda t: t.w[t.z, t.u],
            "V U T", THREE),
    formula("gather of a gather", "w[V,D], parent[V] in V, z[T] in V", "y[T,D]",
            "y[t,d] = w[parent[z[t]],d] - w[z[t],d]",
            lambda t: t.w[t.parent[t.z]] - t.w[t.z], "V D T", THREE),
    formula("histogram", "x[T], z[T] in V, w[V]", "y[V]", "y[v] = (sum[t] [z[t] == v]*x[t]) + w[v]",
            lambda t: t.w.index_add(0, t.z, t.x), "T V", TWO),
    formula("segments", "m[E,K], d[E] in N, x[N,K]", "y[N,K]", "y[n,k] = x[n,k]*sum[e : d[e] == n] m[e,k]^2",
            lambda t: t.x*torch.zeros_like(t.x).index_add(0, t.d, t.m**2), "E K N", THREE),
    formula("softmax over segments", "s[E], d[E] in N, v[E], x[N]", "y[N]",
            """z[n] = sum[e : d[e] == n] exp(s[e])
            a[e] = exp(s[e]) / z[d[e]]
            y[n] = x[n] + sum[e : d[e] == n] a[e]*v[e]""",
            lambda t: t.x.index_add(0, t.d, t.s.exp()/torch.zeros_like(t.x).index_add(0, t.d, t.s.exp())[t.d]*t.v),
            "E N", TWO),
    formula("maximum over segments", "m[E,K], d[E] in N, x[N,K]", "y[N,K]",
            "y[n,k] = max(max[e : d[e] == n] m[e,k], x[n,k])", segment_max, "E K N", THREE),
    formula("bag of words", "w[V,D], z[B,T] in V, n[B] : int", "y[B,D]", "y[b,d] = sum[t : t < n[b]] w[z[b,t],d]",
            lambda t: (t.w[t.z]*(torch.arange(t.z.shape[1])[None] < t.n[:, None])[:, :, None]).sum(1),
            "V D B T", [(1, 1, 1, 1), (4, 2, 3, 5), (3, 2, 2, 4)], n=small),
    formula("shifted by data", "x[B,T], s[B] : int", "y[B,T]", "y[b,t] = x[b,pad(t + s[b])]",
            lambda t: torch.stack([torch.stack([x[i + k] if 0 <= i + k < len(x) else 0*x[0] for i in range(len(x))])
                                   for x, k in zip(t.x, t.s.tolist(), strict=True)]), "B T", TWO, s=small),
    formula("a function of what data shifts", "x[T], s[T] : int", "y[T]", "y[t] = cos(x[pad(t + s[t])])",
            lambda t: torch.stack([torch.cos(t.x[i + k]) if 0 <= i + k < len(t.x) else 1 + 0*t.x[0]
                                   for i, k in enumerate(t.s.tolist())]), "T", ONE, s=small),
    formula("one-hot", "z[B] in Y, w[Y]", "y[B,Y]", "y[b,y'] = [z[b] == y']*w[y'] - 1/|Y|",
            lambda t: torch.nn.functional.one_hot(t.z, len(t.w))*t.w - 1/len(t.w), "B Y", TWO),
)  # fmt: skip

DELTAS = (
    formula("transposed convolution", "x[C,W], k[O,C,P]", "y[O,V]",
            "index V = (|W| - 1)*2 - 2 + |P|\ny[o,v] = sum[c,w,p] [v == w*2 + p - 1]*k[o,c,p]*x[c,w]",
            transposed_convolution, "C W O P", [(1, 2, 1, 2), (2, 4, 3, 3), (3, 3, 2, 4)]),
    formula("delta in a product", "x[I], a[I,J]", "y[J]", "y[j] = [i == j + 1]*x[i]*a[i,j]",
            below_the_diagonal, "I J", TWO),
    formula("anti-diagonals", "a[I,J]", "y[N]", "index N = |I| + |J| - 1\ny[n] = sum[i,j : i + j == n] a[i,j]",
            lambda t: torch.stack([sum(t.a[i, n - i] for i in range(len(t.a)) if 0 <= n - i < t.a.shape[1])
                                   for n in range(sum(t.a.shape) - 1)]), "I J", TWO),
    formula("upsampling", "x[W]", "y[V]", "index V = 3*|W|\ny[v] = x[v // 3]*(1 + v mod 3)",
            lambda t: t.x.repeat_interleave(3)*(1 + torch.arange(3*len(t.x)) % 3), "W", ONE),
)  # fmt: skip

SCALARS = (
    formula("every function", "x[I]", "y[I]",
            "y[i] = exp(-x[i]) + sin(x[i])*cos(x[i]) + tan(x[i]/2) + sinh(x[i]) - cosh(x[i]) + erf(x[i]) + expm1(x[i])",
            lambda t: torch.exp(-t.x) + torch.sin(t.x)*torch.cos(t.x) + torch.tan(t.x/2) + torch.sinh(t.x)
            - torch.cosh(t.x) + torch.erf(t.x) + torch.expm1(t.x), "I", ONE),
    formula("functions of what is positive", "x[I]", "y[I]",
            "y[i] = sqrt(x[i]) + log(x[i]) + log1p(x[i]) + 1/x[i] + relu(x[i] - 1) + softplus(x[i]) + sign(x[i])",
            lambda t: t.x.sqrt() + t.x.log() + t.x.log1p() + 1/t.x + torch.relu(t.x - 1)
            + torch.nn.functional.softplus(t.x) + 1, "I", ONE, x=positive),
    formula("steps", "x[I]", "y[I]", "y[i] = floor(x[i])*x[i] + ceil(2*x[i]) + abs(x[i])",
            lambda t: t.x.floor().detach()*t.x + (2*t.x).ceil().detach() + t.x.abs(), "I", ONE),
    formula("stop", "x[I]", "y[I]", "y[i] = stop(x[i])*x[i] + stop(sum[i'] x[i']^2)",
            lambda t: t.x.detach()*t.x + (t.x.detach()**2).sum(), "I", ONE),
    formula("one input, two roles", "x[I,I]", "y[I,I]", "y[i,i'] = x[i,i']*x[i',i] + x[i,i]",
            lambda t: t.x*t.x.T + torch.diagonal(t.x)[:, None], "I", ONE),
    formula("a constant", "x[I]", "y[I], c", "y[i] = 2*pi\nc = |I|/2 + x[0]",
            lambda t: (0*t.x + 2*np.pi, len(t.x)/2 + t.x[0]), "I", ONE),
)  # fmt: skip

CASES = (*SUMS, *PRODUCTS, *CHOICES, *PLACES, *DATA, *DELTAS, *SCALARS)
