"""Philox4x32-10 against the vectors published with it, and the layout of the counter."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.compiler.ir import philox

#: counter, key and result of `philox4x32 10` in `kat_vectors` of Random123 (Salmon, Moraes, Dror and Shaw).
PUBLISHED = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def numbers(text: str) -> list[np.ndarray]:
    return [np.array([int(word, 16)], np.uint64) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), PUBLISHED)
def test_published_vectors(counter: str, key: str, result: str) -> None:
    found = philox.philox(tuple(numbers(counter)), tuple(numbers(key)))  # type: ignore[arg-type]
    assert " ".join(f"{word[0]:08x}" for word in found) == result


def test_where_seed_step_tensor_and_position_stand() -> None:
    """The second vector of ones is what the greatest seed, step, tensor and position give."""
    found = philox.words(np.array(-1), np.array(2**48 - 1), np.array(2**32 - 1), np.array(2**48 - 1))
    assert " ".join(f"{int(word):08x}" for word in found) == PUBLISHED[1][2]


def test_every_part_of_the_counter_matters() -> None:
    """Moving any one of them by any power of two that it has room for gives other numbers."""
    base = [7, 11, 13, 17]
    seen = {philox.uniform(*map(np.array, base)).item()}  # type: ignore[call-arg]
    for part, bits in enumerate((64, 48, 32, 48)):
        for bit in range(bits):
            moved = list(base)
            moved[part] ^= 1 << bit
            seen.add(philox.uniform(*(np.array(n, np.uint64).view(np.int64) for n in moved)).item())  # type: ignore[call-arg]
    assert len(seen) == 1 + 64 + 48 + 32 + 48
