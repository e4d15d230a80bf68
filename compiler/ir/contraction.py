"""What the contraction of a product costs: how many elements its loops go through, and the cheapest order of pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from math import prod
from typing import Any

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Index, Size, walk
from dlc.compiler.ir.rewriting import substitute

_TYPICAL_SIZE = 64  # of a size that is not known
_MOST_OPTIMAL = 7  # factors whose order is the best: the search takes exponentially long


def volume(indices: Iterable[Index]) -> int:
    """The number of elements of loops over ``indices``, each counted once."""
    return prod(_extent(index) for index in indices)


def is_matrix_product(pair: Sequence[Set[Index]], summed: Iterable[Index]) -> bool:
    """Whether rows, columns and a common sum are left: each factor has an index of its own that is not summed."""
    left, right = pair
    free = (left | right) - set(summed)
    return bool((left & right) - free) and bool((left - right) & free) and bool((right - left) & free)


def cheapest_order(inputs: Sequence[Set[Index]], output: Set[Index]) -> list[tuple[int, int]]:
    """Pairs of places; a contracted pair goes to the end of the list."""
    from opt_einsum import paths

    every = sorted(frozenset[Index]().union(*inputs, output), key=lambda index: index.id)
    label = {index: chr(192 + place) for place, index in enumerate(every)}
    extents = {label[index]: _extent(index) for index in every}
    labelled = [frozenset(label[index] for index in indices) for indices in inputs]
    find: Any = paths.optimal if len(inputs) <= _MOST_OPTIMAL else paths.greedy
    path = find(labelled, frozenset(label[index] for index in output), extents)
    return [(min(pair), max(pair)) for pair in path]


def _extent(index: Index) -> int:
    """The size, for weighing."""
    typical = substitute(
        index.size, {size: Const(_TYPICAL_SIZE) for size in walk(index.size) if isinstance(size, Size)}
    )
    value = known(typical)
    return _TYPICAL_SIZE if value is None else max(value, 1)
