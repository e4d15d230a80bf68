"""Derivatives as expressions, against PyTorch's automatic differentiation of automatic differentiation.

A row is as in `formula_cases`; the harness differentiates the outputs once more, so a Hessian is compared with its own
derivative too. `d(y, x)` is PyTorch's derivative of the sum of `y`; where samples do not mix that is one gradient a
sample, and `full(y, x)` has an axis for every element of `y`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numeric.formula_cases import ONE, THREE, TWO, formula, positive
from numeric.harness import Case, Draw, torch
from numeric.system_cases import regular


def d(y: Any, x: Any) -> Any:
    """Zero where nothing depends on x."""
    if not y.requires_grad:
        return torch.zeros_like(x)
    found = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)[0]
    return torch.zeros_like(x) if found is None else found


def full(y: Any, x: Any) -> Any:
    """The axes of y, then those of x."""
    rows = [d(element, x) for element in y.reshape(-1)]
    return torch.stack(rows).reshape(*y.shape, *x.shape) if rows else torch.zeros(*y.shape, *x.shape)


def hessian(y: Any, x: Any, z: Any = None) -> Any:
    return full(d(y, x), x if z is None else z)


def logistic(t: Any) -> Any:
    return torch.nn.functional.softplus(-t.y * (t.x @ t.w)).mean()


def critic(t: Any, x: Any) -> Any:
    return torch.tanh(x @ t.w.T) @ t.v


def penalty(t: Any) -> Any:
    return ((d(critic(t, t.x), t.x).norm(dim=1) - 1) ** 2).mean()


def normed_cubes(x: Any, t: Any) -> Any:
    """PyTorch's own layer norm is not right in its third derivative."""
    h = torch.tanh(x @ t.w.T + t.c)
    h = h - h.mean()
    return ((t.gamma * h / ((h**2).mean() + 1e-5).sqrt() + t.beta) ** 3).sum()


def inner_steps(t: Any) -> Any:
    """Two steps of gradient descent, inside a loss."""
    w = t.w
    for _ in range(2):
        w = w - 0.1 * d(((t.x @ w - t.y) ** 2).mean(), w)
    return ((t.x @ w) ** 4).sum()


def by_parts(t: Any) -> Any:
    y = torch.cat([t.a**2, t.b**3])
    return torch.stack([torch.cat([y[:i], y[i + 1 :]]).prod() for i in range(len(t.a))])


ELEMENTS = (
    formula("gradient", "x[I]", "g[I]", "e = sum[i] x[i]^3\ng[i] = grad(e, x[i])", lambda t: 3*t.x**2, "I", ONE),
    formula("gradient of an expression", "x[I], a[I]", "g[I]", "g[i] = grad(sum[i'] a[i']*sin(x[i']), x[i])",
            lambda t: t.a*torch.cos(t.x), "I", ONE),
    formula("gradient of a product with a sum", "x[I], a[I]", "g[I]", "g[i] = grad(a[i']*sin(x[i']), x[i])",
            lambda t: t.a*torch.cos(t.x), "I", ONE),
    formula("whole axes", "x[I], a[I]", "g[I]", "e = a[i]*x[i]^2\ng[I] = grad(e, x[I])", lambda t: 2*t.a*t.x, "I", ONE),
    formula("scalar", "x, z", "g", "g = grad(x^3*z, x) + grad(x*z, z)", lambda t: 3*t.x**2*t.z + t.x, "", [()]),
    formula("third derivative", "x[I]", "g[I]", "g[i] = grad(grad(grad(x[i]^5, x[i]), x[i]), x[i])",
            lambda t: 60*t.x**2, "I", ONE),
    formula("Jacobian", "x[J], w[I,J]", "g[I,J]", "y[i] = tanh(w[i,j]*x[j])\ng[i,j] = grad(y[i], x[j])",
            lambda t: full(torch.tanh(t.w @ t.x), t.x), "I J", TWO),
    formula("Jacobian by a matrix", "x[J], w[I,J]", "g[I,I,J]",
            "y[i] = tanh(w[i,j]*x[j])\ng[i,i',j] = grad(y[i], w[i',j])",
            lambda t: full(torch.tanh(t.w @ t.x), t.w), "I J", TWO),
    formula("element-wise Jacobian", "x[I]", "g[I,I]", "y[i] = exp(x[i])\ng[i,i'] = grad(y[i], x[i'])",
            lambda t: torch.diag(torch.exp(t.x)), "I", ONE),
    formula("diagonal of a Jacobian", "x[I], w[I,I]", "g", "y[i] = sin(w[i,i']*x[i'])\ng = sum[i] grad(y[i], x[i])",
            lambda t: torch.trace(full(torch.sin(t.w @ t.x), t.x)), "I", ONE),
    formula("fixed elements", "x[I], w[I,I]", "g[I], h[I]",
            "y[i] = sin(w[i,i']*x[i'])\ng[i] = grad(y[i], x[0])\nh[i] = grad(y[0], x[i])",
            lambda t: (full(torch.sin(t.w @ t.x), t.x)[:, 0], full(torch.sin(t.w @ t.x), t.x)[0]), "I", ONE),
    formula("shifted element", "x[I]", "g[I]", "e = sum[i] x[i]^3\ng[i] = grad(e, x[pad(i+1)])",
            lambda t: torch.cat([3*t.x[1:]**2, t.x[:1]*0]), "I", ONE),
    formula("element chosen by data", "x[B,I], z[B] in I", "g[B]",
            "y[b] = prod[i] x[b,i]\ng[b] = grad(y[b], x[b,z[b]])",
            lambda t: d(t.x.prod(1), t.x).gather(1, t.z[:, None])[:, 0], "B I", TWO),
    formula("Jacobian times a vector", "x[J], w[I,J], v[J]", "g[I]",
            "y[i] = tanh(w[i,j]*x[j])\ng[i] = grad(y[i], x[j])*v[j]",
            lambda t: full(torch.tanh(t.w @ t.x), t.x) @ t.v, "I J", TWO),
    formula("Hessian times a vector", "x[B,I], y[B], w[I], v[I]", "g[I]",
            "e = mean[b] softplus(-y[b]*w[i]*x[b,i])\ng[i] = grad(grad(e, w[i'])*v[i'], w[i])",
            lambda t: hessian(logistic(t), t.w) @ t.v, "B I", TWO),
    formula("mixed Hessian", "x[J], w[I,J]", "g[J,I,J]",
            "e = sum[i] tanh(w[i,j]*x[j])\ng[j,i,j'] = grad(grad(e, x[j]), w[i,j'])",
            lambda t: hessian(torch.tanh(t.w @ t.x).sum(), t.x, t.w), "I J", TWO),
    formula("itself", "x[I]", "g[I,I]", "g[i,i'] = grad(x[i], x[i'])", lambda t: torch.eye(len(t.x)) + 0*t.x, "I", ONE),
    formula("no dependence", "x[I], z[I]", "g[I]", "y[i] = z[i]^2\ng[i] = z[i] + grad(y[i], x[i])",
            lambda t: t.z + 0*t.x, "I", ONE),
    formula("integers and comparisons", "x[I]", "g[I]", "y[i] = floor(x[i]) + [x[i] > 0] + sign(x[i])\n"
            "g[i] = x[i] + grad(y[i], x[i]) + grad(argmax[i'] x[i'], x[i]) + grad(3, x[i])", lambda t: t.x, "I", ONE),
    formula("constants for the derivative", "x[I]", "g[I]", "g[i] = x[i] + grad(stop(x[i])*x[i], x[i])",
            lambda t: t.x + t.x.detach(), "I", ONE),
)  # fmt: skip

PATHS = (
    formula("by a tensor on the way", "x[I]", "g[I]", "h[i] = sin(x[i])\ne = sum[i] h[i]^3*x[i]\ng[i] = grad(e, h[i])",
            lambda t: 3*torch.sin(t.x)**2*t.x, "I", ONE),
    formula("by a copy", "x[I]", "g[I], f[I]",
            "c[i] = x[i]\ne = sum[i] c[i]^2*x[i]\ng[i] = grad(e, c[i])\nf[i] = grad(e, x[i])",
            lambda t: (2*t.x**2, 3*t.x**2), "I", ONE),
    formula("by a probability", "x[I], z in I", "g[I]",
            "p[i] = exp(x[i]) / sum[i'] exp(x[i'])\ne = -log(p[z])\ng[i] = grad(e, p[i])",
            lambda t: -torch.nn.functional.one_hot(t.z, len(t.x))/torch.softmax(t.x, 0), "I", ONE),
    formula("through logsumexp", "x[I]", "g[I,I]", "e = logsumexp[i] 3*x[i]\ng[i,i'] = grad(grad(e, x[i]), x[i'])",
            lambda t: hessian(torch.logsumexp(3*t.x, 0), t.x), "I", ONE),
    formula("through parts", "a[I], b[J]", "g[J], h[I]",
            "y[i] = a[i]^2\ny[|I| + j] = b[j]^3\ne = (prod[i] y[i])*prod[j] y[|I| + j]\n"
            "g[j] = grad(e, b[j])\nh[i] = grad(e, y[i])",
            lambda t: (d(torch.cat([t.a**2, t.b**3]).prod(), t.b), by_parts(t)), "I J", TWO),
    formula("through a system", "a[I,I'], b[I']", "h[I,I'], m[I,I',I'']",
            "y[I] = solve(a[I,I'], b[I'])\ne = sum[i] y[i]^3\nh[i,i'] = grad(grad(e, b[i]), b[i'])\n"
            "m[i,i',i''] = grad(grad(e, a[i,i']), b[i''])",
            lambda t: (lambda e: (hessian(e, t.b), hessian(e, t.a, t.b)))((torch.linalg.solve(t.a, t.b)**3).sum()),
            "I", [(1,), (2,), (3,)], a=regular),
    formula("under a guard", "x[I]", "g[I]", "g[i] = [i > 0]*grad(log(x[i]*x[i-1]^2), x[i-1])",
            lambda t: torch.cat([0*t.x[:1], 2/t.x[:-1]]), "I", ONE, x=positive),
    formula("in a choice", "x[I]", "g[I]", "g[i] = grad(x[i]^2, x[i]) if x[i] > 0 else grad(x[i]^3, x[i])",
            lambda t: torch.where(t.x > 0, 2*t.x, 3*t.x**2), "I", ONE),
    formula("of a choice", "x[I]", "g[I,I]",
            "e = sum[i] (x[i]^2 if x[i] > 0 else exp(x[i]))\ng[i,i'] = grad(grad(e, x[i]), x[i'])",
            lambda t: torch.diag(torch.where(t.x > 0, 2.0 + 0*t.x, torch.exp(t.x))), "I", ONE),
    formula("of maxima", "x[I,J]", "g[I,J]", "y[i] = max[j] x[i,j]\ng[i,j] = grad(y[i]^2, x[i,j])",
            lambda t: d(t.x.amax(1)**2, t.x), "I J", TWO),
    formula("of products", "x[I,J]", "g[I,J,J]", "y[i] = prod[j] x[i,j]\ng[i,j,j'] = grad(grad(y[i], x[i,j]), x[i,j'])",
            lambda t: torch.stack([hessian(row.prod(), t.x)[i, :, i] for i, row in enumerate(t.x)]), "I J", TWO),
)  # fmt: skip


LOSSES = (
    formula("logistic regression", "x[B,I], y[B], w[I]", "g[I], h[I,I]",
            "e = mean[b] log(1 + exp(-y[b]*w[i]*x[b,i]))\ng[i] = grad(e, w[i])\nh[i,i'] = grad(grad(e, w[i]), w[i'])",
            lambda t: (d(logistic(t), t.w), hessian(logistic(t), t.w)), "B I", TWO),
    formula("gradient penalty", "x[B,I], w[H,I], v[H]", "e",
            "f[b] = v[h]*tanh(w[h,i]*x[b,i])\ne = mean[b] (sqrt(sum[i] grad(f[b], x[b,i])^2) - 1)^2",
            penalty, "B I H", [(1, 2, 1), (2, 3, 4), (3, 5, 2)]),
    formula("gradient penalty across the samples", "x[B,I], w[H,I], v[H]", "e",
            "m[i] = mean[b] x[b,i]\nf[b] = v[h]*tanh(w[h,i]*(x[b,i] - m[i]))\n"
            "e = mean[b] sum[b',i] grad(f[b], x[b',i])^2",
            lambda t: (full(critic(t, t.x - t.x.mean(0)), t.x)**2).sum((1, 2)).mean(), "B I H", THREE),
    formula("matrix factorisation", "x[N,M], u[N,K], v[M,K]", "h[N,N,K,K], g[N,K,K]",
            "e = sum[n,m] (x[n,m] - u[n,k]*v[m,k])^2\nh[n,n',k,k'] = grad(grad(e, u[n,k]), u[n',k'])\n"
            "g[n,k,k'] = grad(grad(e, u[n,k]), u[n,k'])",
            lambda t: (lambda h: (h.permute(0, 2, 1, 3), torch.stack([h[n, :, n] for n in range(len(t.u))])))(
                hessian(((t.x - t.u @ t.v.T)**2).sum(), t.u)), "N M K", THREE),
    formula("one gradient a sample", "x[B,I], y[B], w[I]", "g[B,I]",
            "e[b] = (w[i]*x[b,i] - y[b])^2\ng[b,i] = grad(e[b], w[i])",
            lambda t: 2*(t.x @ t.w - t.y)[:, None]*t.x, "B I", TWO),
    formula("steps of descent", "x[B,I], y[B], w[I]", "e",
            "e0 = mean[b] (w[i]*x[b,i] - y[b])^2\nw1[i] = w[i] - 0.1*grad(e0, w[i])\n"
            "e1 = mean[b] (w1[i]*x[b,i] - y[b])^2\nw2[i] = w1[i] - 0.1*grad(e1, w1[i])\ne = sum[b] (w2[i]*x[b,i])^4",
            inner_steps, "B I", TWO),
    formula("Laplacian", "x[B,I], w[H,I], v[H]", "y[B]",
            "f[b] = v[h]*tanh(w[h,i]*x[b,i])\ny[b] = sum[i] grad(grad(f[b], x[b,i]), x[b,i])",
            lambda t: torch.stack([torch.trace(hessian(critic(t, t.x)[b], t.x)[b, :, b]) for b in range(len(t.x))]),
            "B I H", THREE),
)  # fmt: skip


def spec(name: str, text: str, reference: Any, sizes: Any, **draws: Any) -> Case:
    return Case(name, text, reference, sizes, draws)


CALLS = (
    spec("derivative in a layer", """
layer Case(x[B,I], s) -> y[B,I]:
    y[b,I] = Slope(2*x[b,I], s)

layer Slope(x[I], s) -> y[I]:
    f = sum[i] tanh(x[i])^2*s
    y[i] = grad(f, x[i])
""", lambda t: 2*torch.tanh(2*t.x)/torch.cosh(2*t.x)**2*t.s, ({"B": 2, "I": 3},)),
    spec("a variable that is passed twice", """
layer Case(x[I]) -> y[I]:
    y[I] = Slope(x[I], x[I])

layer Slope(a[I], b[I]) -> y[I]:
    f = sum[i] a[i]^2*b[i]
    y[i] = grad(f, a[i])
""", lambda t: 2*t.x**2, ({"I": 3},)),
    spec("by a parameter that is passed", """
layer Case(x[B,J], w[I,J]) -> y[B,I,J]:
    y[b,I,J] = Slope(x[b,J]; w)

layer Slope(x[J]; w[I,J] ~ zeros) -> g[I,J]:
    y[i] = sin(w[i,j]*x[j])
    e = sum[i] y[i]^2
    g[i,j] = grad(e, w[i,j])
""", lambda t: torch.sin(2*t.x @ t.w.T)[:, :, None]*t.x[:, None], ({"B": 2, "I": 3, "J": 2},)),
    spec("derivative in a function", """
fn slope(x, p = 3) = grad(tanh(x)^p, x)

layer Case(x[I]) -> y[I]:
    y[i] = slope(2*x[i]) + [x[i] > 0]*slope(log(x[i]), 2)
""", lambda t: 3*torch.tanh(2*t.x)**2/torch.cosh(2*t.x)**2 + 2*torch.tanh(torch.log(t.x))/torch.cosh(torch.log(t.x))**2,
         ({"I": 4},), x=positive),
    spec("through layers", """
use nn.linear: Linear
use nn.norm: LayerNorm

layer Case(x[B,J], w[I,J], c[I], gamma[I], beta[I]) -> h[B,J,J]:
    y[b,I] = LayerNorm(tanh(Linear(x[b,J]; w, c)); gamma, beta)
    e[b] = sum[i] y[b,i]^3
    h[b,j,j'] = grad(grad(e[b], x[b,j]), x[b,j'])
""", lambda t: torch.stack([hessian(normed_cubes(x, t), x) for x in t.x]), ({"B": 2, "J": 2, "I": 3},)),
)  # fmt: skip


def rnn(t: Any, x: Any, s: Any) -> Any:
    for row in x:
        s = torch.tanh(t.w @ row + t.u @ s)
    return t.v @ s


def descent(t: Any, steps: int, momentum: float = 0.0) -> Any:
    w, v = t.w0, 0 * t.w0
    for _ in range(steps):
        v = momentum * v + d((torch.tanh(t.x @ w) - t.y) ** 2 / len(t.y), w)
        w = w - 0.1 * v
    return w


def newton(t: Any) -> Any:
    x = t.x0
    for _ in range(3):
        x = x - (torch.sinh(x) - 1) / torch.cosh(x)
    return x


def two_players(t: Any) -> Any:
    u, v = t.u0, t.v0
    for _ in range(3):
        f = (torch.sin(u) * v**2).sum()
        u, v = u - 0.1 * d(f, u), v + 0.2 * d(f, v)
    return u, v


def memory_energy(t: Any, forget: Any) -> Any:
    """The sum of squares of the last state of a long short-term memory, with this matrix in its forget gate."""
    h = c = torch.zeros(len(t.bi), dtype=t.x.dtype)
    for x in t.x:
        i, o = (torch.sigmoid(t[f"wx{n}"] @ x + t[f"wh{n}"] @ h + t[f"b{n}"]) for n in "io")
        f = torch.sigmoid(t.wxf @ x + forget @ h + t.bf)
        c = f * c + i * torch.tanh(t.wxg @ x + t.whg @ h + t.bg)
        h = o * torch.tanh(c)
    return (h**2).sum()


LSTM = """
use nn.recurrent: LSTMCell

layer Case(x[T,I], SHAPES) -> hess[T,I,T,I], mixed[D,D,T,I]:
    h[0,d] = 0
    c[0,d] = 0
    h[t+1,D] = LSTMCell(x[t,I], h[t,D], c[t,D]; NAMES).out
    c[t+1,D] = LSTMCell(x[t,I], h[t,D], c[t,D]; NAMES).memory
    e = sum[d] h[|T|,d]^2
    hess[t,i,t',i'] = grad(grad(e, x[t,i]), x[t',i'])
    mixed[d,d',t,i] = grad(grad(e, whf[d,d']), x[t,i])
""".replace("SHAPES", ", ".join(f"wx{n}[D,I], wh{n}[D,D], b{n}[D]" for n in "ifgo")).replace(
    "NAMES", ", ".join(f"wx{n}, wh{n}, b{n}" for n in "ifgo")
)

RECURRENCES = (
    spec("Hessian of a long short-term memory", LSTM,
         lambda t: (hessian(memory_energy(t, t.whf), t.x), hessian(memory_energy(t, t.whf), t.whf, t.x)),
         ({"T": 2, "I": 1, "D": 2},)),
    spec("through a recurrence", """
layer Case(x[T,I], s0[H], w[H,I], u[H,H], v[H]) -> g[T,I], k[I,I], c[H]:
    s[0,h] = s0[h]
    s[t+1,h] = tanh(w[h,i]*x[t,i] + u[h,h']*s[t,h'])
    a = v[h]*s[|T|,h]
    g[t,i] = grad(a, x[t,i])
    k[i,i'] = grad(grad(a, x[0,i]), x[0,i'])
    c[h] = grad(a, s[1,h])
""", lambda t: (d(rnn(t, t.x, t.s0), t.x), full(d(rnn(t, t.x, t.s0), t.x)[0], t.x)[:, 0],
                (lambda s1: d(rnn(t, t.x[1:], s1), s1))(torch.tanh(t.w @ t.x[0] + t.u @ t.s0))),
         ({"T": 1, "I": 2, "H": 2}, {"T": 4, "I": 2, "H": 3})),
    spec("steps of descent as a recurrence", """
layer Case(x[B,I], y[B], w0[I]) -> end[I]:
    index K = 4
    w[0,i] = w0[i]
    f[k] = mean[b] (tanh(w[k,i]*x[b,i]) - y[b])^2
    w[k+1,i] = w[k,i] - 0.1*grad(f[k], w[k,i])
    end[i] = w[|K|,i]
""", lambda t: descent(t, 4), ({"B": 3, "I": 2},)),
    spec("steps with momentum", """
layer Case(x[B,I], y[B], w0[I]) -> end[I]:
    index K = 3
    w[0,i] = w0[i]
    v[0,i] = 0
    v[k+1,i] = 0.9*v[k,i] + grad(mean[b] (tanh(w[k,i']*x[b,i']) - y[b])^2, w[k,i])
    w[k+1,i] = w[k,i] - 0.1*v[k+1,i]
    end[i] = w[|K|,i]
""", lambda t: descent(t, 3, 0.9), ({"B": 3, "I": 2},)),
    spec("two that learn against each other", """
layer Case(u0[I], v0[I]) -> a[I], b[I]:
    index K = 3
    u[0,i] = u0[i]
    v[0,i] = v0[i]
    f[k] = sin(u[k,i])*v[k,i]^2
    u[k+1,i] = u[k,i] - 0.1*grad(f[k], u[k,i])
    v[k+1,i] = v[k,i] + 0.2*grad(f[k], v[k,i])
    a[i] = u[|K|,i]
    b[i] = v[|K|,i]
""", two_players, ({"I": 3},)),
    spec("Newton's method as a recurrence", """
layer Case(x0[I]) -> end[I]:
    index K = 3
    x[0,i] = x0[i]
    x[k+1,i] = x[k,i] - grad(cosh(x[k,i]) - x[k,i], x[k,i]) / grad(grad(cosh(x[k,i]) - x[k,i], x[k,i]), x[k,i])
    end[i] = x[|K|,i]
""", newton, ({"I": 3},)),
)  # fmt: skip


# -- second derivatives -----------------------------------------------------------------------------------------------


def second(function: str, reference: Callable[[Any], Any], **draws: Draw) -> Case:
    """Of a scalar function; the harness takes the third."""
    return formula(
        f"second derivative of {function}", "x[I]", "h[I]", f"h[i] = grad(grad({function}, x[i]), x[i])",
        lambda t: d(d(reference(t.x), t.x), t.x), "I", ONE, **draws,
    )  # fmt: skip


def small(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.uniform(-0.9, 1.2, shape)


SCALARS = (
    second("exp(x[i])", torch.exp),
    second("log(x[i])", torch.log, x=positive),
    second("sqrt(x[i])", torch.sqrt, x=positive),
    second("sin(x[i])", torch.sin),
    second("cos(x[i])", torch.cos),
    second("tan(x[i])", torch.tan, x=small),
    second("tanh(x[i])", torch.tanh),
    second("sinh(x[i])", torch.sinh),
    second("cosh(x[i])", torch.cosh),
    second("sigmoid(x[i])", torch.sigmoid),
    second("erf(x[i])", torch.erf),
    second("log1p(x[i])", torch.log1p, x=small),
    second("expm1(x[i])", torch.expm1),
    second("softplus(x[i])", torch.nn.functional.softplus),
    second("relu(x[i])^3", lambda x: torch.relu(x)**3),
    second("abs(x[i])^3", lambda x: x.abs()**3),
    second("max(x[i], x[i]^2)^2", lambda x: torch.maximum(x, x**2)**2),
    second("min(x[i]^3, x[i])^2", lambda x: torch.minimum(x**3, x)**2),
    second("1/x[i]", lambda x: 1/x, x=positive),
    second("x[i]^x[i]", lambda x: x**x, x=positive),
    second("x[i]^-2.5", lambda x: x**-2.5, x=positive),
    second("2^x[i]", lambda x: 2**x),
    second("log(1 + exp(x[i]))", torch.nn.functional.softplus),
    second("1/(1 + exp(-x[i]))", torch.sigmoid),
    second("(exp(x[i]) - exp(-x[i])) / (exp(x[i]) + exp(-x[i]))", torch.tanh),
)  # fmt: skip


def layer_hessian(
    name: str,
    inputs: str,
    call: str,
    wrt: str,
    reference: Callable[[Any], Any],
    *sizes: dict[str, int],
    by: str = "x",
    **draws: Draw,
) -> Case:
    """Second derivatives of the sum of the squares of a layer's elements, by every pair of elements of an input."""
    module, layer = name.rsplit(".", 1)
    other = ",".join(f"{index}'" for index in wrt.split(","))
    axes = ",".join(index.upper() for index in wrt.split(","))
    text = (
        f"use {module}: {layer}\n\nlayer Case({inputs}) -> h[{axes},{axes}]:\n"
        f"    {call}\n    energy = sum[..] y[..]^2\n"
        f"    h[{wrt},{other}] = grad(grad(energy, {by}[{wrt}]), {by}[{other}])\n"
    )
    return Case(f"Hessian of {layer} by {by}", text, lambda t: hessian((reference(t) ** 2).sum(), t[by]), sizes, draws)


def attention(t: Any) -> Any:
    return torch.softmax(t.q @ t.k.T / t.q.shape[1] ** 0.5, 1) @ t.v


def layer_norm(t: Any) -> Any:
    centred = t.x - t.x.mean()
    return t.g * centred / ((centred**2).mean() + 1e-5).sqrt() + t.c


LINEAR = "x[B,J], w[I,J], c[I]", "y[b,I] = tanh(Linear(x[b,J]; w, c))"
CONV = "x[C,H,W], k[O,C,P,Q], c[O]", "y[O,U,V] = tanh(Conv2d(x[C,H,W]; k, c, stride=2, padding=1))"
ATTENTION = "q[T,D], k[S,D], v[S,E]", "y[T,E] = Attention(q[T,D], k[S,D], v[S,E])"
NORM = "x[D], g[D], c[D]", "y[D] = LayerNorm(x[D]; g, c)"


def convolution(t: Any) -> Any:
    return torch.tanh(torch.nn.functional.conv2d(t.x[None], t.k, t.c, stride=2, padding=1)[0])


def linear(t: Any) -> Any:
    return torch.tanh(t.x @ t.w.T + t.c)


LAYERS = (
    layer_hessian("nn.linear.Linear", *LINEAR, "b,j", linear, {"B": 2, "J": 3, "I": 2}),
    layer_hessian("nn.linear.Linear", *LINEAR, "i,j", linear, {"B": 3, "J": 2, "I": 2}, by="w"),
    layer_hessian("nn.conv.Conv2d", *CONV, "c,h,w", convolution,
                  {"C": 2, "H": 3, "W": 4, "O": 2, "P": 2, "Q": 3}),
    layer_hessian("nn.conv.Conv2d", *CONV, "o,c,p,q", convolution,
                  {"C": 1, "H": 4, "W": 3, "O": 2, "P": 2, "Q": 2}, by="k"),
    layer_hessian("nn.attention.Attention", *ATTENTION, "t,d", attention, {"T": 2, "S": 3, "D": 2, "E": 2}, by="q"),
    layer_hessian("nn.attention.Attention", *ATTENTION, "s,d", attention, {"T": 2, "S": 2, "D": 2, "E": 3}, by="k"),
    layer_hessian("nn.attention.Attention", *ATTENTION, "s,e", attention, {"T": 2, "S": 2, "D": 2, "E": 2}, by="v"),
    layer_hessian("nn.norm.LayerNorm", *NORM, "d", layer_norm, {"D": 4}, {"D": 2}),
    layer_hessian("nn.norm.LayerNorm", *NORM, "d", layer_norm, {"D": 3}, by="g"),
)  # fmt: skip

FORMULAS = (*ELEMENTS, *PATHS, *LOSSES, *SCALARS)
CASES = (*FORMULAS, *CALLS, *RECURRENCES, *LAYERS)
