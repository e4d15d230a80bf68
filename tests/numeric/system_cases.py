"""Linear systems: `solve` alone, mapped, and between other equations, with PyTorch's own solution.

Left out: systems inside layers of the library (`layer_cases`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numeric.formula_cases import Random, formula
from numeric.harness import Case, torch

solve = torch.linalg.solve


def regular(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    """Square matrices whose condition is harmless, so that float32 solves them to a few digits less."""
    n = shape[-1]
    values = random.standard_normal(shape) / np.sqrt(n) + 3 * np.eye(n)[random.permutation(n)]
    return values.astype(np.float32).astype(np.float64)


def _gauss_newton(t: Any) -> Any:
    predicted = torch.tanh(t.x @ t.w)
    jacobian = (1 - predicted**2)[:, None] * t.x
    normal = jacobian.T @ jacobian + 0.5 * torch.eye(t.w.shape[0], dtype=t.w.dtype)
    return t.w - solve(normal, jacobian.T @ (predicted - t.y))


def _implicit(t: Any) -> Any:
    matrix = torch.eye(t.a.shape[0], dtype=t.a.dtype) + 0.1 * t.a
    states = [t.x0]
    for _ in range(4):
        states.append(solve(matrix, torch.tanh(states[-1])))
    return torch.stack(states)


def _newton(t: Any) -> Any:
    x = t.x0
    for _ in range(3):
        value = t.a @ x + x**3 - t.b
        x = x - solve(t.a + torch.diag(3 * x**2), value)
    return x


CASES: tuple[Case, ...] = (
    formula(
        "one system", "a[I,I'], b[I']", "x[I]", "x[I] = solve(a[I,I'], b[I'])",
        lambda t: solve(t.a, t.b), "I", [(1,), (3,), (9,)], a=regular,
    ),
    formula(
        "a batch of systems", "a[N,I,I'], b[N,I]", "x[N,I]", "x[n,I] = solve(a[n,I,I'], b[n,I])",
        lambda t: solve(t.a, t.b), "N I", [(2, 3), (1, 1), (5, 4)], a=regular,
    ),
    formula(
        "whole axes are mapped", "a[N,I,I'], b[N,I']", "x[N,I]", "x[N,I] = solve(a[N,I,I'], b[N,I'])",
        lambda t: solve(t.a, t.b), "N I", [(2, 3), (1, 1), (3, 5)], a=regular,
    ),
    formula(
        "many right sides", "a[I,I'], b[I,K]", "x[I,K]", "x[I,k] = solve(a[I,I'], b[I,k])",
        lambda t: solve(t.a, t.b), "I K", [(3, 2), (1, 4), (4, 1)], a=regular,
    ),
    formula(
        "a batch with many right sides", "a[N,I,I'], b[K,N,I]", "x[N,K,I]", "x[n,k,I] = solve(a[n,I,I'], b[k,n,I])",
        lambda t: solve(t.a, t.b.permute(1, 2, 0)).transpose(1, 2), "N I K", [(2, 3, 2), (1, 2, 3), (3, 1, 2)],
        a=regular,
    ),
    formula(
        "one vector in many matrices", "a[N,I,I'], b[I]", "x[I,N]", "x[I,n] = solve(a[n,I,I'], b[I])",
        lambda t: solve(t.a, t.b.expand(t.a.shape[:2])).T, "N I", [(2, 3), (1, 1), (4, 2)], a=regular,
    ),
    formula(
        "an inverse", "a[I,I']", "x[I,J]",
        """index J = |I|
           e[i,j] = [i == j]
           x[I,j] = solve(2*a[I,I'], e[I,j])""",
        lambda t: torch.linalg.inv(2 * t.a), "I", [(1,), (3,), (5,)], a=regular,
    ),
    formula(
        "an element of a solution", "a[I,I'], b[I']", "y", "y = b[i]*solve(a[I,I'], tanh(b[I']))[i]",
        lambda t: t.b @ solve(t.a, torch.tanh(t.b)), "I", [(1,), (2,), (6,)], a=regular,
    ),
    formula(
        "a solution in an expression", "a[I,I'], b[I']", "y[I]", "y[I] = tanh(solve(a[I,I'], b[I'])) - b[I]",
        lambda t: torch.tanh(solve(t.a, t.b)) - t.b, "I", [(1,), (2,), (6,)], a=regular,
    ),
    formula(
        "a system of a solution", "a[I,I'], b[I']", "y[I]",
        """t[i,i'] = a[i',i]
           y[I] = solve(t[I,I'], solve(a[I,I'], b[I]))""",
        lambda t: solve(t.a.T, solve(t.a, t.b)), "I", [(1,), (2,), (5,)], a=regular,
    ),
    formula(
        "normal equations", "x[N,P], y[N]", "w[P]",
        """m[p,p'] = x[n,p]*x[n,p'] + 0.5*[p == p']
           w[P] = solve(m[P,P'], x[n,P]*y[n])""",
        lambda t: solve(t.x.T @ t.x + 0.5 * torch.eye(t.x.shape[1], dtype=t.x.dtype), t.x.T @ t.y),
        "N P", [(5, 2), (1, 1), (7, 4)],
    ),
    formula(
        "implicit steps in time", "a[I,I'], x0[I]", "x[R,I]",
        """index T = 4, R = 5
           m[i,i'] = [i == i'] + 0.1*a[i,i']
           x[0,I] = x0[I]
           x[t+1,I] = solve(m[I,I'], tanh(x[t,I]))""",
        _implicit, "I", [(3,), (1,), (4,)], a=regular,
    ),
    formula(
        "Newton's method", "a[I,I'], b[I], x0[I]", "y[I]",
        """index T = 3
           x[0,I] = x0[I]
           j[t,i,i'] = a[i,i'] + 3*x[t,i]^2*[i == i']
           f[t,i] = a[i,i']*x[t,i'] + x[t,i]^3 - b[i]
           x[t+1,I] = x[t,I] - solve(j[t,I,I'], f[t,I])
           y[i] = x[3,i]""",
        _newton, "I", [(2,), (1,), (3,)], a=lambda random, shape: 4 * np.eye(shape[0]) + random.standard_normal(shape),
    ),
    formula(
        "a step of Gauss and Newton", "x[N,P], y[N], w[P]", "u[P]",
        """f[n] = tanh(x[n,p]*w[p])
           j[n,p] = (1 - f[n]^2)*x[n,p]
           m[p,p'] = j[n,p]*j[n,p'] + 0.5*[p == p']
           u[P] = w[P] - solve(m[P,P'], j[n,P]*(f[n] - y[n]))""",
        _gauss_newton, "N P", [(5, 2), (1, 1), (6, 3)],
    ),
)  # fmt: skip
