"""More specs from papers, in `composites/`: recurrences, derivatives in losses, linear systems.

As in `composite_cases`, each has a reference that says the same in another way: PyTorch's own function, a loop, the
closed form of what a recurrence adds up, or a Jacobian of the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numeric.composite_cases import F, composite
from numeric.derivative_cases import d
from numeric.harness import torch


def ctc(t: Any) -> Any:
    frames, letters = torch.tensor([len(t.o)]), torch.tensor([len(t.z)])
    return F.ctc_loss(F.log_softmax(t.o, 1)[:, None], t.z[None], frames, letters, reduction="sum")


def word(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Letters other than the blank, two equal ones beside each other among them."""
    return np.array([1, 1, 2, 1])[: shape[0]]


def paths(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    """Every warping of two times, as the cells that it goes through."""
    if (rows, columns) == (1, 1):
        return [[(0, 0)]]
    before = ((rows - 1, columns), (rows, columns - 1), (rows - 1, columns - 1))
    return [[*path, (rows - 1, columns - 1)] for i, j in before if i and j for path in paths(i, j)]


def soft_dtw(t: Any) -> Any:
    """By the sum over all paths."""
    cost = torch.cdist(t.x, t.y) ** 2
    sums = torch.stack([torch.stack([cost[cell] for cell in path]).sum() for path in paths(*cost.shape)])
    return -0.5 * torch.logsumexp(-sums / 0.5, 0)


def sinkhorn(t: Any) -> Any:
    """By scaling rows and columns of the kernel."""
    cost = ((t.x[:, None] - t.y) ** 2).sum(-1)
    kernel = torch.exp(-cost / 0.7)
    v = torch.ones(len(t.y), dtype=cost.dtype)
    for _ in range(6):
        u = 1 / len(t.x) / (kernel @ v)
        v = 1 / len(t.y) / (kernel.T @ u)
    plan = u[:, None] * kernel * v
    return (plan * cost).sum(), plan


def selective_scan(t: Any) -> Any:
    """By what is left of each word in each later step: no recurrence."""
    delta = F.softplus(t.x @ t.wd.T)
    u, v = t.x @ t.wb.T, t.x @ t.wc.T
    rate = -delta[..., None] * torch.exp(t.a)
    total = rate.cumsum(1)
    kept = torch.exp(total[:, :, None] - total[:, None])
    kept = torch.tril(kept.permute(0, 3, 4, 1, 2))
    return torch.einsum("btn,bdnts,bsd,bsn,bsd->btd", v, kept, delta, u, t.x) + t.skip * t.x


def linear_attention(t: Any) -> Any:
    weights = torch.tril((F.elu(t.q) + 1) @ (F.elu(t.k) + 1).T)
    return weights @ t.v / weights.sum(1, keepdim=True)


def kalman(t: Any) -> Any:
    """By the joint normal distribution of all measurements."""
    steps, width = len(t.x), len(t.c)
    one = torch.eye(width, dtype=t.x.dtype)
    powers = [one]
    for _ in range(steps):
        powers.append(t.a @ powers[-1])
    rows = []
    for now in range(1, steps + 1):  # what the start and each noise do to the state
        noise = [powers[now - then] if then <= now else 0 * one for then in range(1, steps + 1)]
        rows.append(torch.cat([powers[now], *(0.3**0.5 * part for part in noise)], 1))
    states = torch.stack(rows) if rows else torch.zeros(0, width, width, dtype=t.x.dtype)
    measured = states.transpose(1, 2) @ t.c
    covariance = measured @ measured.T + 0.5 * torch.eye(steps, dtype=t.x.dtype)
    loss = -torch.distributions.MultivariateNormal(torch.zeros_like(t.x), covariance).log_prob(t.x)
    means = [0 * t.c]
    for now in range(1, steps + 1):
        cross = states[now - 1] @ measured[:now].T
        means.append(cross @ torch.linalg.solve(covariance[:now, :now], t.x[:now]))
    return loss, torch.stack(means)


def rotary(t: Any) -> Any:
    """By complex numbers."""

    def turned(x: Any) -> Any:
        steps, width = x.shape
        angle = torch.arange(steps)[:, None] / 100 ** (torch.arange(0, width, 2).double() / width)
        pairs = torch.view_as_complex(x.reshape(steps, -1, 2)) * torch.polar(torch.ones_like(angle), angle)
        return torch.view_as_real(pairs).reshape(steps, width)

    return F.scaled_dot_product_attention(turned(t.q), turned(t.k), t.v, is_causal=True)


def by_parity(t: Any) -> Any:
    pairs = torch.view_as_complex(t.x.reshape(*t.a.shape, 2)) * torch.polar(torch.ones_like(t.a), t.a)
    return (torch.view_as_real(pairs).reshape(t.x.shape),) * 2


def real_nvp(t: Any) -> Any:
    """By the determinant of the Jacobian."""

    def flow(x: Any) -> Any:
        for number, (w, s, shift) in enumerate(zip(t.w, t.s, t.t, strict=True)):
            stays = torch.arange(len(x)) % 2 == number % 2
            inner = torch.tanh(w @ (x * stays))
            x = torch.where(stays, x, x * torch.exp(torch.tanh(s @ inner)) + shift @ inner)
        return x

    z = torch.stack([flow(x) for x in t.x])
    volume = [torch.linalg.slogdet(torch.autograd.functional.jacobian(flow, x, create_graph=True))[1] for x in t.x]
    normal = torch.distributions.Normal(torch.zeros_like(z), torch.ones_like(z))
    return normal.log_prob(z).sum(1) + torch.stack(volume), z


def neural_ode(t: Any) -> Any:
    def velocity(x: Any) -> Any:
        return torch.tanh(x @ t.w.T) @ t.v.T

    x = t.x
    for _ in range(3):
        slopes = [velocity(x)]
        for part in (0.5, 0.5, 1):
            slopes.append(velocity(x + part * 0.2 * slopes[-1]))
        x = x + 0.2 * sum(weight * slope for weight, slope in zip((1, 2, 2, 1), slopes, strict=True)) / 6
    return x


def hamiltonian(t: Any) -> Any:
    """By the derivatives of the network, worked out by hand."""
    slope = (1 - torch.tanh(t.q @ t.w.T + t.p @ t.u.T) ** 2) * t.v
    return (((slope @ t.u - t.dq) ** 2).sum(1) + ((slope @ t.w + t.dp) ** 2).sum(1)).mean()


def score_matching(t: Any) -> Any:
    inner = t.x @ t.w.T + t.c
    first = torch.sigmoid(inner) * t.v @ t.w - t.x
    trace = (torch.sigmoid(inner) * torch.sigmoid(-inner) * t.v) @ (t.w**2).sum(1) - t.x.shape[1]
    return (trace + (first**2).sum(1) / 2).mean()


def maml(t: Any) -> Any:
    losses = []
    for x, y, x2, y2 in zip(t.x, t.y, t.x2, t.y2, strict=True):
        after = t.w - 0.3 * d(((torch.tanh(x @ t.w) - y) ** 2).mean(), t.w)
        losses.append(((torch.tanh(x2 @ after) - y2) ** 2).mean())
    return torch.stack(losses).mean()


def burgers(t: Any) -> Any:
    a = torch.tanh(t.x[:, None] * t.w + t.t[:, None] * t.v + t.c)
    slope = (1 - a**2) * t.o
    u, ux, ut, uxx = a @ t.o, slope @ t.w, slope @ t.v, (-2 * a * slope) @ t.w**2
    return ((ut + u * ux - 0.1 * uxx) ** 2).mean()


def hopfield(t: Any) -> Any:
    x = t.x
    for _ in range(3):
        x = torch.softmax(1.5 * x @ t.m.T, 1) @ t.m
    return x


def highway(t: Any) -> Any:
    x = t.x
    for number in range(4):
        w, b, v, c = (t[f"blocks.{name}"][number] for name in "wbvc")
        gate = torch.sigmoid(F.linear(x, v, c))
        x = torch.lerp(x, torch.tanh(F.linear(x, w, b)), gate)
    return x


def spectral_norm(t: Any) -> Any:
    with torch.no_grad():
        u = t.u0
        for _ in range(3):
            v = F.normalize(t.w.T @ u, dim=0)
            u = F.normalize(t.w @ v, dim=0)
    sigma = torch.dot(u, t.w @ v)
    return t.w / sigma, sigma


def arc_face(t: Any) -> Any:
    cosine = F.normalize(t.x) @ F.normalize(t.w).T
    angle = torch.acos(cosine) + 0.3 * F.one_hot(t.z, len(t.w)).double()
    return F.cross_entropy(4 * torch.cos(angle), t.z)


def gaussian_process(t: Any) -> Any:
    """By conditioning the joint distribution, with an inverse."""

    def kernel(x: Any, y: Any) -> Any:
        return torch.exp(-(t.scale**2) * ((x[:, None] - y) ** 2).sum(-1) / 2)

    inverse = torch.linalg.inv(kernel(t.x, t.x) + t.noise * torch.eye(len(t.x), dtype=t.x.dtype))
    cross = kernel(t.xs, t.x)
    return cross @ inverse @ t.y, torch.diagonal(kernel(t.xs, t.xs) - cross @ inverse @ cross.T)


CASES = (
    composite("Ctc", "alignment", ctc, "R V N", [(6, 4, 2), (3, 3, 1), (9, 3, 4)], {"z": word}),
    composite("SoftDtw", "alignment", soft_dtw, "I J D", [(3, 4, 2), (1, 1, 1), (5, 2, 3)]),
    composite("Sinkhorn", "alignment", sinkhorn, "I J D", [(3, 4, 2), (1, 1, 1), (5, 2, 3)]),
    composite("SelectiveScan", "state_spaces", selective_scan, "B T D N",
              [(2, 4, 3, 2), (1, 1, 1, 1), (2, 7, 2, 4)]),
    composite("LinearAttention", "state_spaces", linear_attention, "T D E", [(5, 3, 2), (1, 1, 1), (8, 2, 4)]),
    composite("Kalman", "state_spaces", kalman, "T N", [(4, 2), (1, 1), (6, 3)]),
    composite("RotaryAttention", "rotary", rotary, "T D E", [(5, 4, 2), (1, 2, 1), (7, 6, 3)]),
    composite("RotaryByParity", "rotary", by_parity, "T P", [(5, 2), (1, 1), (7, 3)]),
    composite("RealNvp", "flows", real_nvp, "B D L H", [(2, 3, 2, 4), (1, 1, 1, 1), (3, 4, 3, 2)]),
    composite("NeuralOde", "flows", neural_ode, "B D H", [(2, 3, 4), (1, 1, 1), (3, 2, 5)]),
    composite("Hamiltonian", "slopes", hamiltonian, "B D H", [(2, 3, 4), (1, 1, 1), (4, 2, 5)]),
    composite("ScoreMatching", "slopes", score_matching, "B D H", [(2, 3, 4), (1, 1, 1), (4, 2, 5)]),
    composite("Maml", "slopes", maml, "K N M D", [(2, 3, 4, 2), (1, 1, 1, 1), (3, 2, 2, 4)]),
    composite("Burgers", "slopes", burgers, "B H", [(3, 4), (1, 1), (5, 2)]),
    composite("Hopfield", "memories", hopfield, "B N D", [(2, 3, 4), (1, 1, 1), (3, 5, 2)]),
    composite("HighwayNet", "memories", highway, "B D", [(2, 3), (1, 1), (4, 5)]),
    composite("SpectralNorm", "memories", spectral_norm, "I J", [(3, 4), (1, 1), (5, 2)]),
    composite("ArcFace", "margins", arc_face, "B Y D", [(3, 4, 2), (1, 2, 2), (5, 3, 6)]),
    composite("GaussianProcess", "margins", gaussian_process, "N M D", [(4, 3, 2), (1, 1, 1), (5, 2, 3)]),
)  # fmt: skip
