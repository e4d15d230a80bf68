"""Random numbers by counting: Philox4x32-10 of Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy
as 1, 2, 3".

A number is a function of (seed, step, tensor, position) and of nothing else, so it is the same for any number of
threads, and computing it again gives it again.  The seed is the key; the counter holds the low words of position and
step, the tensor's number, and in one word the bits of both beyond 2^32: positions and steps go up to 2^48.

Everything is computed in double precision and rounded once, so that float32 gives the numbers of float64: a uniform
number is rounded down and never reaches 1, a normal one is rounded to the nearest.
"""

from __future__ import annotations

from math import pi

import numpy as np

from dlc.runtime.kernels.compilation import exact
from dlc.runtime.kernels.exponential import log
from dlc.runtime.kernels.primitives import sqrt, whole
from dlc.runtime.kernels.trigonometric import reduced

U = np.uint64
WORD, HALF = U(0xFFFFFFFF), U(32)
MULTIPLIERS = U(0xD2511F53), U(0xCD9E8D57)
WEYL = U(0x9E3779B9), U(0xBB67AE85)  # the golden ratio and sqrt(3) - 1, added to the key after each round
FIRST, SECOND = MULTIPLIERS
GOLDEN, ROOT = WEYL
EIGHT, ELEVEN, SIXTEEN = U(8), U(11), U(16)
TWO_PI = 2 * pi


def _philox(c0, c1, c2, c3, k0, k1):
    """Ten rounds over a counter of four words and a key of two; all are 32-bit numbers held in 64 bits."""
    for _ in range(10):
        low, high = FIRST * c0, SECOND * c2
        c0, c1, c2, c3 = (high >> HALF) ^ c1 ^ k0, high & WORD, (low >> HALF) ^ c3 ^ k1, low & WORD
        k0, k1 = (k0 + GOLDEN) & WORD, (k1 + ROOT) & WORD
    return c0, c1, c2, c3


philox = exact(_philox)


def _words(seed, step, tensor, position):
    """The four random words of an element."""
    key, count, place = U(seed), U(step), U(position)
    beyond = (place >> HALF) ^ ((count >> HALF) << SIXTEEN)
    return philox(place & WORD, beyond & WORD, count & WORD, U(tensor) & WORD, key & WORD, key >> HALF)


words = exact(_words)


def _uniform64(seed, step, tensor, position):
    """A multiple of 2^-53 in [0, 1)"""
    w0, w1, _, _ = words(seed, step, tensor, position)
    return whole(w0) * 2.0**-32 + whole(w1 >> ELEVEN) * 2.0**-53


def _uniform32(seed, step, tensor, position):
    """The same, rounded down to a multiple of 2^-24"""
    w0, _, _, _ = words(seed, step, tensor, position)
    return np.float32(whole(w0 >> EIGHT) * 2.0**-24)


def _normal64(seed, step, tensor, position):
    """sqrt(-2 log u)·cos(2π v) (Box and Muller 1958) with u in (0, 1] and v in [0, 1): up to 8.57 in magnitude"""
    w0, w1, w2, w3 = words(seed, step, tensor, position)
    u = whole(w0) * 2.0**-32 + (whole(w1 >> ELEVEN) + 1.0) * 2.0**-53
    v = whole(w2) * 2.0**-32 + whole(w3 >> ELEVEN) * 2.0**-53
    sine, cosine, n = reduced(TWO_PI * v)
    y = sine if n & 1 else cosine
    return sqrt(-2.0 * log(u)) * (-y if (n + 1) & 2 else y)


def _normal32(seed, step, tensor, position):
    return np.float32(random_normal_f64(seed, step, tensor, position))


def _below(seed, step, tensor, position, count):
    """floor(r·count / 2^64) for a random 64-bit r: each of the first `count` < 2^32 integers, with a bias below
    count / 2^64 (Lemire 2019, "Fast random integer generation in an interval", without his rejection)"""
    w0, w1, _, _ = words(seed, step, tensor, position)
    many = U(count)
    return np.int64((w0 * many + ((w1 * many) >> HALF)) >> HALF)


random_uniform_f64, random_uniform_f32 = exact(_uniform64), exact(_uniform32)
random_normal_f64, random_normal_f32 = exact(_normal64), exact(_normal32)
random_integer = exact(_below)
