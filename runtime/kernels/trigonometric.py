"""sin, cos and tan, for arguments of any size; loops over them become vectors.

Largest errors found, in units in the last place (float32, float64): sin and cos 1.6, 1.0; tan 3.6, 2.6.

Arguments below 10^5 are reduced here, by three parts of pi/2 (Cody and Waite); those beyond, by `far`. float32
arguments are reduced in double precision. The polynomials are those of FreeBSD's k_sin.c and k_cos.c, and of Cephes'
sinf.c.
"""

from __future__ import annotations

import numpy as np

from dlc.runtime.kernels.compilation import exact
from dlc.runtime.kernels.elementary import elementary
from dlc.runtime.kernels.exponential import F, singles
from dlc.runtime.kernels.far_arguments import COSINE, HALF_PI, HALF_PI_LOW, NEAR, ROUND, SINE, TANGENT, far, series
from dlc.runtime.kernels.primitives import absolute, copysign, fma, horner, low_bits

HALF_PI_LOWEST = -1.4973849048591833e-33
TWO_OVER_PI = 0.6366197723675814
SIN32 = singles(-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4)
COS32 = singles(4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5)
HALF32, ONE32 = singles(0.5, 1.0)
NEAR32 = F(NEAR)


def _reduced(x):
    """(sin(r), cos(r), n): |x| = r + n*pi/2 and |r| <= pi/4, for |x| < NEAR"""
    a = absolute(x)
    t = a * TWO_OVER_PI + ROUND
    n = t - ROUND
    first = fma(-n, HALF_PI, a)  # exact
    second = n * HALF_PI_LOW
    r = first - second
    tail = ((first - r) - second) - (fma(n, HALF_PI_LOW, -second) + n * HALF_PI_LOWEST)
    sine, cosine = series(r, tail)
    return sine, cosine, low_bits(t)


def _reduced32(x):
    a = absolute(np.float64(x))
    t = a * TWO_OVER_PI + ROUND
    n = t - ROUND
    r = F(fma(-n, HALF_PI, a) - n * HALF_PI_LOW)
    z = r * r
    sine = r + r * z * horner(z, SIN32)
    return sine, ONE32 - HALF32 * z + z * z * horner(z, COS32), low_bits(t)


reduced, reduced32 = exact(_reduced), exact(_reduced32)


def _sin(x):
    """The sine of x radians"""
    sine, cosine, n = reduced(x)
    y = cosine if n & 1 else sine
    y = copysign(1.0, x) * (-y if n & 2 else y)
    beyond = far(x, SINE)
    return y if absolute(x) < NEAR else beyond


def _sin32(x):
    sine, cosine, n = reduced32(x)
    y = cosine if n & 1 else sine
    y = copysign(ONE32, x) * (-y if n & 2 else y)
    beyond = F(far(np.float64(x), SINE))
    return y if absolute(x) < NEAR32 else beyond


def _cos(x):
    """The cosine of x radians"""
    sine, cosine, n = reduced(x)
    y = sine if n & 1 else cosine
    beyond = far(x, COSINE)
    return (-y if (n + 1) & 2 else y) if absolute(x) < NEAR else beyond


def _cos32(x):
    sine, cosine, n = reduced32(x)
    y = sine if n & 1 else cosine
    beyond = F(far(np.float64(x), COSINE))
    return (-y if (n + 1) & 2 else y) if absolute(x) < NEAR32 else beyond


def _tan(x):
    """The tangent of x radians"""
    sine, cosine, n = reduced(x)
    y = (-cosine if n & 1 else sine) / (sine if n & 1 else cosine)
    beyond = far(x, TANGENT)
    return copysign(1.0, x) * y if absolute(x) < NEAR else beyond


def _tan32(x):
    sine, cosine, n = reduced32(x)
    y = (-cosine if n & 1 else sine) / (sine if n & 1 else cosine)
    beyond = F(far(np.float64(x), TANGENT))
    return copysign(ONE32, x) * y if absolute(x) < NEAR32 else beyond


sin = elementary(_sin32, _sin)
cos = elementary(_cos32, _cos)
tan = elementary(_tan32, _tan)
