"""What a step gives in float64, and how far rounding moves it: what float32 results are judged by.

    python -m benchmarks.exact WORKLOAD THREADS RESULTS.npz NAME=SIZE ...

A formula with kinks may be ill-conditioned: of a million maps before a `relu` one lies so near 0 that the order of a
sum decides its sign, and with it an element of a gradient. So the formula is computed again, still in float64, with all
real numbers moved by some units in the last place of float32. No implementation can be asked for less than that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.implementations import made
from benchmarks.workload import Array, Numbers, Workload, load

REFERENCE = "float64"
MOVED = 2.0**-20
"""Standard deviation of the relative changes: eight units in the last place, as sums of some hundred terms have."""
_DRAWS = 3
_RESULT, _SENSITIVITY = "result{}", "sensitivity"


def main() -> None:
    name, threads, results, *pairs = sys.argv[1:]
    sizes = {size: int(value) for size, _, value in (pair.partition("=") for pair in pairs)}
    found, sensitivity = judged(load(name), sizes, int(threads))
    named = {_RESULT.format(place): array for place, array in enumerate(found)}
    np.savez(results, allow_pickle=False, **named, **{_SENSITIVITY: np.array(sensitivity)})


def read(results: str) -> tuple[list[Array], float]:
    """What `main` wrote."""
    with np.load(results) as file:
        return [file[_RESULT.format(place)] for place in range(len(file) - 1)], float(file[_SENSITIVITY])


def judged(workload: Workload, sizes: dict[str, int], threads: int) -> tuple[list[Array], float]:
    """The results by PyTorch in float64, and the largest `error_of` that moving what is given makes."""
    numbers = {name: _wide(array) for name, array in workload.numbers(**sizes).items()}
    exact = _step(workload, sizes, numbers, threads)
    random = np.random.default_rng(1)
    moved = (_moved(numbers, random) for _ in range(_DRAWS))
    errors = [_largest(_step(workload, sizes, other, threads), exact) for other in moved]
    return exact, max(errors)


def error_of(found: Array, wanted: Array) -> float:
    """The largest difference beside the largest element; infinite where shapes differ or nan stands."""
    if found.shape != wanted.shape or not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        return float("inf")
    return float(np.max(np.abs(found - wanted), initial=0.0) / (np.max(np.abs(wanted), initial=0.0) + 1e-30))


def _step(workload: Workload, sizes: dict[str, int], numbers: Numbers, threads: int) -> list[Array]:
    return [np.asarray(value).astype(np.float64) for value in made("torch", workload, sizes, numbers, threads)()]


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _moved(numbers: Numbers, random: np.random.Generator) -> dict[str, Array]:
    def of(array: Array) -> Array:
        if array.dtype.kind != "f":
            return array
        return np.asarray(array * (1 + MOVED * random.standard_normal(array.shape)))

    return {name: of(array) for name, array in numbers.items()}


def _largest(found: Sequence[Array], wanted: Sequence[Array]) -> float:
    return max(error_of(*pair) for pair in zip(found, wanted, strict=True))


if __name__ == "__main__":
    main()
