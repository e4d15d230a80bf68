"""Winograd's F(2,3) along one axis: what becomes of rows of numbers, many tiles side by side.

Two results of three taps take four products of sums: with data x, taps k and results y of a tile,

    y[r] = sum[p] k[p]*x[r+p]        m[a] = (G k)[a] * (B x)[a]        y[r] = (A' m)[r]

and the derivative by the taps is ``d_k = G' ((A d_y) * (B x))``. Each function here takes one step of one axis: across
rows, element by element, or along a row, whose tiles begin at every second number. All are loops that become vectors.
"""

from __future__ import annotations

from dlc.runtime.kernels.compilation import kernel, noalias
from dlc.runtime.kernels.primitives import like


@kernel
def data_across(x0, x1, x2, x3, t0, t1, t2, t3, count):
    """t = B x, across four rows"""
    noalias()
    for i in range(count):
        t0[i] = x0[i] - x2[i]
        t1[i] = x1[i] + x2[i]
        t2[i] = x2[i] - x1[i]
        t3[i] = x1[i] - x3[i]


@kernel
def data_along(x, t0, t1, t2, t3, count):
    """t = B x, of the tiles along a row"""
    noalias()
    for i in range(count):
        a, b, c, d = x[2 * i], x[2 * i + 1], x[2 * i + 2], x[2 * i + 3]
        t0[i] = a - c
        t1[i] = b + c
        t2[i] = c - b
        t3[i] = b - d


@kernel
def results_spread_across(x0, x1, t0, t1, t2, t3, count):
    """t = A x, across two rows"""
    noalias()
    for i in range(count):
        t0[i] = x0[i]
        t1[i] = x0[i] + x1[i]
        t2[i] = x0[i] - x1[i]
        t3[i] = -x1[i]


@kernel
def results_spread_along(x, t0, t1, t2, t3, count):
    """t = A x, of the tiles along a row"""
    noalias()
    for i in range(count):
        a, b = x[2 * i], x[2 * i + 1]
        t0[i] = a
        t1[i] = a + b
        t2[i] = a - b
        t3[i] = -b


@kernel
def taps_spread(k0, k1, k2, step, t0, t1, t2, t3, count, half):
    """t = G k, of taps that lie `step` apart"""
    noalias()
    for i in range(count):
        a, b, c = k0[i * step], k1[i * step], k2[i * step]
        t0[i] = a
        t1[i] = half * (a + b + c)
        t2[i] = half * (a - b + c)
        t3[i] = c


@kernel
def results_across(m0, m1, m2, m3, y0, y1, count):
    """y = A' m, across four rows"""
    noalias()
    for i in range(count):
        y0[i] = m0[i] + m1[i] + m2[i]
        y1[i] = m1[i] - m2[i] - m3[i]


@kernel
def results_along(m0, m1, m2, m3, y, count, one):
    """y = A' m, side by side: two results of every tile, the last of which may have but one; the sum of all"""
    noalias()
    total = like(0.0, one)
    for i in range(count // 2):
        p, q = m0[i] + m1[i] + m2[i], m1[i] - m2[i] - m3[i]
        y[2 * i] = p
        y[2 * i + 1] = q
        total += p + q
    if count % 2 == 1:
        last = count // 2
        y[count - 1] = m0[last] + m1[last] + m2[last]
        total += y[count - 1]
    return total


@kernel
def taps(m0, m1, m2, m3, count, half):
    """m0, m1, m2 = G' m; the sum of all"""
    noalias()
    total = like(0.0, half)
    for i in range(count):
        a, d = half * (m1[i] + m2[i]), half * (m1[i] - m2[i])
        p, r = m0[i] + a, m3[i] + a
        m0[i] = p
        m1[i] = d
        m2[i] = r
        total += p + d + r
    return total
