"""What the random operators compute, over NumPy arrays: Philox4x32-10, as the runtime's kernels do it.

See ``runtime/kernels/random.py`` for the layout of the counter; the tests compare the two, and both with the published
vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_WORD, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_FIRST, _SECOND = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_GOLDEN, _ROOT = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_ROUNDS = 10


def philox(counter: tuple[Array, Array, Array, Array], key: tuple[Array, Array]) -> tuple[Array, Array, Array, Array]:
    """Four random words, 32-bit numbers held in uint64, of a counter of four words and a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        low, high = _FIRST * c0, _SECOND * c2
        c0, c1, c2, c3 = (high >> _HALF) ^ c1 ^ k0, high & _WORD, (low >> _HALF) ^ c3 ^ k1, low & _WORD
        k0, k1 = (k0 + _GOLDEN) & _WORD, (k1 + _ROOT) & _WORD
    return c0, c1, c2, c3


def words(seed: Array, step: Array, tensor: Array, position: Array) -> tuple[Array, Array, Array, Array]:
    """The four random words of an element of a tensor in a step."""
    given = (seed, step, tensor, position)
    key, count, number, place = (np.asarray(part, np.int64).astype(np.uint64) for part in given)
    beyond = (place >> _HALF) ^ ((count >> _HALF) << np.uint64(16))
    counter = (place & _WORD, beyond & _WORD, count & _WORD, number & _WORD)
    return philox(counter, (key & _WORD, key >> _HALF))


def _fraction(high: Array, low: Array) -> Array:
    """53 bits of two words as a multiple of 2^-53 in [0, 1)."""
    return high * 2.0**-32 + (low >> np.uint64(11)) * 2.0**-53


def uniform(seed: Array, step: Array, tensor: Array, position: Array) -> Array:
    """In [0, 1)."""
    w0, w1, _, _ = words(seed, step, tensor, position)
    return _fraction(w0, w1)


def normal(seed: Array, step: Array, tensor: Array, position: Array) -> Array:
    """Of mean 0 and variance 1: sqrt(-2 log u)·cos(2π v), u in (0, 1], v in [0, 1) (Box and Muller 1958)."""
    w0, w1, w2, w3 = words(seed, step, tensor, position)
    return np.sqrt(-2 * np.log(_fraction(w0, w1) + 2.0**-53)) * np.cos(2 * np.pi * _fraction(w2, w3))


def below(seed: Array, step: Array, tensor: Array, position: Array, count: Array) -> Array:
    """An integer in 0 .. count-1, for count < 2^32: floor(r·count / 2^64) for a random 64-bit r."""
    w0, w1, _, _ = words(seed, step, tensor, position)
    many = np.asarray(count).astype(np.uint64)
    return ((w0 * many + ((w1 * many) >> _HALF)) >> _HALF).astype(np.int64)
