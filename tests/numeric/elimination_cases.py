"""Eliminations and sweeps as textbooks write them: recurrences that guards put in order, against `torch.linalg`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numeric.formula_cases import Random, formula
from numeric.harness import Case, torch

_SQUARE = [(1,), (2,), (5,)]


def definite(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    half = random.standard_normal(shape)
    return half @ half.T / shape[-1] + np.eye(shape[-1])


def dominant(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    """No other element of a row or a column is larger than its diagonal one, nor becomes it: nothing to pivot."""
    return random.uniform(-1, 1, shape) + 2 * shape[-1] * np.eye(shape[-1])


def decaying(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    """Correlations of a stationary process."""
    return np.concatenate([[2.0], random.uniform(-1, 1, shape[0])])[: shape[0]] / np.arange(1, shape[0] + 1)


def shifted(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    return random.uniform(3.0, 4.0, shape)


def tall(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    rows, columns = shape
    return random.uniform(-1, 1, shape) + 2 * np.eye(rows, columns)


def _lower(a: Any) -> Any:
    return a.tril() + a.tril(-1).T


def _cholesky(t: Any) -> Any:
    return torch.linalg.cholesky(_lower(t.a))


def _ldl(t: Any) -> Any:
    root = _cholesky(t)
    return root / root.diagonal(), root.diagonal() ** 2


def _lu(t: Any) -> Any:
    _, lower, upper = torch.linalg.lu(t.a)
    return lower, upper


def _packed(t: Any) -> Any:
    lower, upper = _lu(t)
    return lower.tril(-1) + upper


def _sweeps(t: Any) -> Any:
    x = torch.zeros_like(t.b)
    for _ in range(3):
        x = torch.linalg.solve_triangular(t.a.tril(), (t.b - t.a.triu(1) @ x)[:, None], upper=False)[:, 0]
    return x


def _orthogonal(t: Any) -> Any:
    """With a positive diagonal, which makes it unique."""
    q, r = torch.linalg.qr(t.a)
    signs = torch.sign(r.diagonal())
    return q * signs, signs[:, None] * r


def _toeplitz(r: Any) -> Any:
    place = torch.arange(len(r))
    return r[(place[:, None] - place).abs()]


def _tridiagonal(t: Any) -> Any:
    matrix = torch.diag(t.b) + torch.diag(t.a[1:], -1) + torch.diag(t.c[:-1], 1)
    return torch.linalg.solve(matrix, t.d)


def _prediction(t: Any) -> Any:
    a = torch.linalg.solve(_toeplitz(t.r[:-1]), t.r[1:])
    return a, t.r[0] - a @ t.r[1:]


CASES: tuple[Case, ...] = (
    formula(
        "Cholesky, guards in one line", "a[I,I']", "l[I,I']",
        """l[i,i'] = 0 if i' > i else (sqrt(a[i,i] - sum[i'' : i'' < i] l[i,i'']^2) if i == i' else \
           (a[i,i'] - sum[i'' : i'' < i'] l[i,i'']*l[i',i''])/l[i',i'])""",
        _cholesky, "I", _SQUARE, a=definite,
    ),
    formula(
        "Cholesky, two reads that run along two axes", "a[I,I]", "l[I,I]",
        """l[i,i'] = [i' <= i]*(sqrt(s[i,i']) if i == i' else s[i,i'] / l[i',i'])
           s[i,i'] = a[i,i'] - sum[i'' : i'' < i'] l[i,i'']*l[i',i'']""",
        _cholesky, "I", _SQUARE, a=definite,
    ),
    formula(
        "Cholesky, through what is left", "a[I,I]", "l[I,I]",
        """index J = |I|, K = |I|
           s[i,j] = a[i,j] - sum[k : k < j] l[i,k]*l[j,k]
           l[i,j] = [j <= i]*(sqrt(s[i,i]) if i == j else s[i,j]/l[j,j])""",
        _cholesky, "I", _SQUARE, a=definite,
    ),
    formula(
        "Cholesky, the inequality last", "a[I,I]", "l[I,I]",
        """index J = |I|, K = |I|
           l[i,j] = sqrt(a[i,i] - sum[k : k < i] l[i,k]^2) if i == j else \
                    ((a[i,j] - sum[k : k < j] l[i,k]*l[j,k])/l[j,j] if j <= i else 0)""",
        _cholesky, "I", _SQUARE, a=definite,
    ),
    formula(
        "LDL", "a[I,I]", "l[I,I], d[I]",
        """index J = |I|, K = |I|
           d[j] = a[j,j] - sum[k : k < j] l[j,k]^2*d[k]
           l[i,j] = 1 if i == j else [j < i]*(a[i,j] - sum[k : k < j] l[i,k]*l[j,k]*d[k])/d[j]""",
        _ldl, "I", _SQUARE, a=definite,
    ),
    formula(
        "LU in two matrices", "a[I,I]", "l[I,I], u[I,I]",
        """index J = |I|, K = |I|
           u[i,j] = [i <= j]*(a[i,j] - sum[k : k < i] l[i,k]*u[k,j])
           l[i,j] = 1 if i == j else [i > j]*(a[i,j] - sum[k : k < j] l[i,k]*u[k,j])/u[j,j]""",
        _lu, "I", _SQUARE, a=dominant,
    ),
    formula(
        "LU in one matrix", "a[I,I]", "f[I,I]",
        """index J = |I|, K = |I|
           f[i,j] = a[i,j] - (sum[k : k < i] f[i,k]*f[k,j]) if i <= j else \
                    (a[i,j] - sum[k : k < j] f[i,k]*f[k,j])/f[j,j]""",
        _packed, "I", _SQUARE, a=dominant,
    ),
    formula(
        "LU step by step", "a[I,I]", "u[I,I]",
        """index J = |I|, K = |I|
           m[0,i,j] = a[i,j]
           m[k+1,i,j] = m[k,i,j] - [i > k]*m[k,i,k]/m[k,k,k]*m[k,k,j]
           u[i,j] = m[|I|,i,j]""",
        lambda t: _lu(t)[1], "I", _SQUARE, a=dominant,
    ),
    formula(
        "forward substitution", "l[I,I], b[I]", "x[I]", "x[i] = (b[i] - sum[i' : i' < i] l[i,i']*x[i'])/l[i,i]",
        lambda t: torch.linalg.solve_triangular(t.l.tril(), t.b[:, None], upper=False)[:, 0], "I", _SQUARE, l=dominant,
    ),
    formula(
        "backward substitution", "u[I,I], b[I]", "x[I]", "x[i] = (b[i] - sum[i' : i' > i] u[i,i']*x[i'])/u[i,i]",
        lambda t: torch.linalg.solve_triangular(t.u.triu(), t.b[:, None], upper=True)[:, 0], "I", _SQUARE, u=dominant,
    ),
    formula(
        "a triangular inverse", "l[I,I]", "m[I,I]",
        """index J = |I|, K = |I|
           m[i,j] = [j <= i]*((1 if i == j else -sum[k : j <= k and k < i] l[i,k]*m[k,j])/l[i,i])""",
        lambda t: torch.linalg.inv(t.l.tril()), "I", _SQUARE, l=dominant,
    ),
    formula(
        "Gauss and Seidel", "a[I,I], b[I]", "y[I]",
        """index S = 3, J = |I|
           x[0,i] = 0
           x[s+1,i] = (b[i] - (sum[j : j < i] a[i,j]*x[s+1,j]) - sum[j : j > i] a[i,j]*x[s,j])/a[i,i]
           y[i] = x[|S|,i]""",
        _sweeps, "I", _SQUARE, a=dominant,
    ),
    formula(
        "Levinson and Durbin", "r[N]", "a[K], e",
        """index K = |N| - 1, J = |K|
           v[0] = r[0]
           rho[k] = (r[k+1] - sum[j : j < k] c[k-1,j]*r[k-j])/v[k]
           v[k+1] = v[k]*(1 - rho[k]^2)
           c[k,j] = rho[k] if j == k else (c[k-1,j] - rho[k]*c[k-1,k-1-j] if j < k else 0)
           a[j] = c[|K|-1,j]
           e = v[|K|]""",
        _prediction, "N", [(2,), (3,), (6,)], r=decaying,
    ),
    formula(
        "Levinson with a right side", "r[N], y[N]", "x[M]",
        """index M = |N|, K = |N| - 1, J = |N|
           e[0] = r[0]
           f[0,m] = [m == 0]
           z[0,m] = [m == 0]*y[0]/r[0]
           mu[k] = -(sum[j : j <= k] f[k,j]*r[k+1-j])/e[k]
           e[k+1] = e[k]*(1 - mu[k]^2)
           f[k+1,m] = (f[k,m] if m <= k else 0) + (mu[k]*f[k,k+1-m] if 1 <= m and m <= k + 1 else 0)
           nu[k] = (y[k+1] - sum[j : j <= k] z[k,j]*r[k+1-j])/e[k+1]
           z[k+1,m] = z[k,m] + (nu[k]*f[k+1,k+1-m] if m <= k + 1 else 0)
           x[m] = z[|K|,m]""",
        lambda t: torch.linalg.solve(_toeplitz(t.r), t.y), "N", [(1,), (2,), (5,)], r=decaying,
    ),
    formula(
        "Gram and Schmidt", "a[N,I]", "q[N,I], r[I,I]",
        """index J = |I|, K = |I|
           r[i,j] = [i < j]*q[n,i]*a[n,j] + [i == j]*sqrt(sum[n] p[n,j]^2)
           p[n,j] = a[n,j] - sum[k : k < j] q[n,k]*r[k,j]
           q[n,j] = p[n,j]/r[j,j]""",
        _orthogonal, "N I", [(1, 1), (3, 2), (5, 4)], a=tall,
    ),
    formula(
        "Gram and Schmidt, modified", "a[N,I]", "q[N,I], r[I,I]",
        """index J = |I|, K = |I|
           r[i,j] = sqrt(sum[n] v[i,n,i]^2) if i == j else (q[n,i]*v[i,n,j] if i < j else 0)
           v[0,n,j] = a[n,j]
           v[i+1,n,j] = v[i,n,j] - ((r[i,j]*q[n,i]) if i < j else 0)
           q[n,j] = v[j,n,j]/r[j,j]""",
        _orthogonal, "N I", [(1, 1), (3, 2), (5, 4)], a=tall,
    ),
    formula(
        "Thomas", "a[I], b[I], c[I], d[I]", "x[I]",
        """g[i] = c[i]/(b[i] - (a[i]*g[i-1] if i > 0 else 0))
           h[i] = (d[i] - (a[i]*h[i-1] if i > 0 else 0))/(b[i] - (a[i]*g[i-1] if i > 0 else 0))
           x[i] = h[i] - (g[i]*x[i+1] if i < |I| - 1 else 0)""",
        _tridiagonal, "I", _SQUARE, b=shifted,
    ),
)  # fmt: skip
