"""Where claims are tested: sizes and values drawn at random, the same for the same seed.

A point is a choice of every open size and a value for everything that is given.  Sizes are small; some points have
axes of one element, for there formulas degenerate.  Real numbers come from several families, because a claim may hold
for small or for positive numbers only, and because a logarithm has no value at a negative one.  None of them is 0 and
no two are equal, so a point lies on no kink.  Integers lie in their sets, and ``train`` is true at some points.
Hyper-parameters have their default values; one without a default is a number between 0 and 1.  States are positive, as
variances are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.compiler.ir.affine import size_symbols
from dlc.compiler.ir.arithmetic import EvaluationError
from dlc.compiler.ir.graph import Graph, Tensor
from dlc.compiler.ir.reference import size_value

Array = np.ndarray[Any, Any]
Random = np.random.Generator

MOST_TRIES = 400  # of sizes for one point
_LARGEST = (4, 5, 8, 16, 32)  # sizes, when smaller ones do not fulfil what the graph requires


@dataclass(frozen=True)
class Point:
    """A value for every open size and for every tensor that is given."""

    sizes: Mapping[str, int]
    values: Mapping[str, Array]


#: Families of real numbers: x -> numbers of that shape.
_FAMILIES: tuple[Callable[[Random, tuple[int, ...]], Array], ...] = (
    lambda random, shape: random.normal(0, 1, shape),
    lambda random, shape: random.uniform(0.25, 2, shape),
    lambda random, shape: random.normal(0, 2.5, shape),
    lambda random, shape: random.uniform(0.05, 0.95, shape),
    lambda random, shape: random.normal(0, 0.1, shape),
)


def points(graph: Graph, seed: int) -> Iterator[Point]:
    """Points without end; ends at once where no small sizes fulfil what the graph requires."""
    number = 0
    while True:
        random = np.random.default_rng([seed, number, *graph.name.encode("utf-8", "surrogatepass")])
        sizes = _sizes(graph, random, number)
        if sizes is None:
            return
        yield Point(sizes, _values(graph, random, sizes, number))
        number += 1


def redrawn(graph: Graph, sizes: Mapping[str, int], number: int) -> Point:
    """A point with these sizes."""
    random = np.random.default_rng([number, *sizes.values()])
    return Point(sizes, _values(graph, random, sizes, number))


# -- sizes ----------------------------------------------------------------------------------------------------------


def _sizes(graph: Graph, random: Random, number: int) -> dict[str, int] | None:
    """Sizes for one point: every fourth time all as small as may be, else any small ones."""
    for attempt in range(MOST_TRIES):
        largest = _LARGEST[attempt * len(_LARGEST) // MOST_TRIES]
        drawn = random.integers(1, largest + 1, len(graph.sizes))
        if number % 4 == 1:
            drawn = np.where(random.random(len(graph.sizes)) < max(0.0, 0.9 - attempt / 40), 1, drawn)
        sizes = {name: int(size) for name, size in zip(graph.sizes, drawn, strict=True)}
        if fits(graph, sizes):
            return sizes
        if not graph.sizes:
            break
    return None


def fits(graph: Graph, sizes: Mapping[str, int]) -> bool:
    """Whether what the graph requires holds, and no tensor is empty, but for axes that always are."""
    try:
        if any(size_value(requirement.value, sizes) < 0 for requirement in graph.requirements):
            return False
        bounds = (tensor.bound for tensor in graph.tensors.values() if tensor.bound is not None)
        if any(size_value(bound, sizes) < 1 for bound in bounds):
            return False
        return all(
            size_value(size, sizes) > 0 or not size_symbols(size)
            for tensor in graph.tensors.values()
            for size in tensor.sizes
        )
    except EvaluationError:
        return False


def shape(tensor: Tensor, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(size_value(size, sizes) for size in tensor.sizes)


# -- values ---------------------------------------------------------------------------------------------------------


def given(graph: Graph) -> list[Tensor]:
    """What a point gives: everything that has no equations, hyper-parameters with a default left out."""
    return [
        tensor
        for tensor in graph.tensors.values()
        if tensor.kind != "computed" and (tensor.kind != "hyper" or tensor.default is None or tensor.type == "bool")
    ]


def _values(graph: Graph, random: Random, sizes: Mapping[str, int], number: int) -> dict[str, Array]:
    """Every other round each tensor has a family of its own."""
    mixed = number // len(_FAMILIES) % 2 == 1
    values: dict[str, Array] = {}
    for tensor in given(graph):
        family = int(random.integers(len(_FAMILIES))) if mixed else number % len(_FAMILIES)
        values[tensor.id] = _drawn(tensor, shape(tensor, sizes), random, sizes, family)
    return values


def _drawn(tensor: Tensor, shape: tuple[int, ...], random: Random, sizes: Mapping[str, int], family: int) -> Array:
    match tensor.type:
        case "bool":
            return random.random(shape) < 0.5
        case "int":
            low, high = integer_range(tensor, sizes)
            return random.integers(low, high, shape)
    if tensor.kind == "hyper":
        return random.uniform(0.05, 0.95, shape)
    if tensor.kind == "state":
        return random.uniform(0.25, 2, shape)
    return np.asarray(_FAMILIES[family](random, shape), np.float64)


def integer_range(tensor: Tensor, sizes: Mapping[str, int]) -> tuple[int, int]:
    """From the first number to the one behind the last: its set, or a few more numbers than any axis has elements."""
    if tensor.bound is not None:
        return 0, size_value(tensor.bound, sizes)
    return -2, max(sizes.values(), default=3) + 3
