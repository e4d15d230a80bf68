"""Kernels grouped into regions: what runs in one fork of the threads.

Inside a region every shard runs its part of each kernel in turn, without waiting for the others.  So a kernel may share
a region with one that it depends on only if, for every tensor that connects them, its part reads what its own shard has
written: both split the same extent and touch the tensor at their split index on a common axis.  Otherwise it waits for
the next region.  A kernel without split is run by one shard, and may follow only kernels that this shard ran alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.compiler.ir.affine import Polynomial, equal
from dlc.compiler.ir.loops import Kernel, Region
from dlc.compiler.lower.fusion import touches, writes
from dlc.compiler.lower.kernels import Draft, split_axes

Axes = Mapping[str, frozenset[int]]


def regions(drafts: Sequence[Draft], kernels: Sequence[Kernel], renames: Mapping[str, str]) -> tuple[Region, ...]:
    """The kernels in regions, each as early as its dependences allow, in their order; ``renames`` tells tensors from
    buffers.
    """
    axes = [{renames.get(key, key): at for key, at in split_axes(draft).items()} for draft in drafts]
    written = [writes(draft.body) for draft in drafts]
    touched = [touches(draft.body) for draft in drafts]
    levels: list[int] = []
    for n in range(len(drafts)):
        level = 0
        for m in range(n):
            shared = written[m] & touched[n] | touched[m] & written[n]
            if shared:
                apart = 0 if _stays_in_shard(drafts[m], drafts[n], axes[m], axes[n], shared) else 1
                level = max(level, levels[m] + apart)
        levels.append(level)
    return tuple(_region(level, levels, drafts, kernels) for level in sorted(set(levels)))


def _stays_in_shard(first: Draft, second: Draft, mine: Axes, theirs: Axes, shared: set[str]) -> bool:
    if first.split is None or second.split is None:
        return first.split is None and second.split is None
    if not equal(first.split, second.split):
        return False
    return all(mine.get(key, frozenset()) & theirs.get(key, frozenset()) for key in shared)


def _region(level: int, levels: Sequence[int], drafts: Sequence[Draft], kernels: Sequence[Kernel]) -> Region:
    members = [n for n in range(len(drafts)) if levels[n] == level]
    work = Polynomial.of(
        term for n in members if drafts[n].split is not None for part in drafts[n].work for term in part.terms
    )
    return Region(tuple(kernels[n].name for n in members), work.expression())
