"""Arithmetic of integers where Numba's differs from that of 64 bits that wrap around."""

from __future__ import annotations

from dlc.runtime.kernels.compilation import exact


def _quotient(n, k):
    """n // k, rounded down; -2^63 // -1 is -2^63, and n // 0 is 0"""
    return -n if k == -1 else n // k


quotient = exact(_quotient)
