"""Kernels grouped into regions: what runs in one fork of the threads.

Inside a region every shard runs its part of each kernel in turn, without waiting for the others.  So a kernel may share
a region with one that it depends on only if, for every tensor that connects them, its part reads what its own shard has
written: both split the same extent and touch the tensor at their split index on a common axis.  Otherwise it waits for
the next region.  A kernel without split is run by one shard, and may follow only kernels that this shard ran alone.

A recurrence is taken as one: it splits if all its kernels do so and every shard reads its own part only, in this round
and in those before; otherwise one shard runs it alone. A recurrence that depends on another one has a region of its
own: what only the first one needed, for all its steps, gives its memory to the second, and the wait is short beside
both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

from dlc.compiler.ir.affine import Polynomial, equal
from dlc.compiler.ir.expr import Expr, op
from dlc.compiler.ir.loops import SHARD, Let, Region, Repeat, Step, Var, When, statements
from dlc.compiler.lower.fusion import accesses, touches, writes
from dlc.compiler.lower.kernels import Cycle, Draft, Item, leaves, split_axes

Axes = Mapping[str, frozenset[int]]


@dataclass(frozen=True)
class _Part:
    """What matters of a kernel or a recurrence here; ``axes``: where it touches a buffer at its split index."""

    item: Item
    split: Expr | None
    axes: Axes
    written: frozenset[str]
    touched: frozenset[str]

    @property
    def is_sweep(self) -> bool:
        return isinstance(self.item, Cycle)

    def shares(self, other: _Part) -> frozenset[str]:
        """The buffers through which one depends on the other."""
        return self.written & other.touched | self.touched & other.written

    def stays_in_shard(self, other: _Part) -> bool:
        """Whether, of what they share, every shard touches its own part only."""
        if self.split is None or other.split is None:
            return self.split is None and other.split is None
        if not equal(self.split, other.split):
            return False
        return all(self.axes.get(key, _NONE) & other.axes.get(key, _NONE) for key in self.shares(other))


_NONE: frozenset[int] = frozenset()
_FIRST = frozenset({0})  # of a buffer of which every shard has a piece


def regions(items: Sequence[Item], name: Callable[[Draft], str], renames: Mapping[str, str]) -> tuple[Region, ...]:
    """The kernels in regions, each as early as its dependences allow, in their order; ``renames`` tells tensors from
    buffers.
    """
    parts = [_part(item, renames) for item in items]
    levels: list[int] = []
    for n, part in enumerate(parts):
        level = 0
        for m in range(n):
            if part.shares(parts[m]):
                waits = not parts[m].stays_in_shard(part) or (parts[m].is_sweep and part.is_sweep)
                level = max(level, levels[m] + (1 if waits else 0))
        levels.append(level)
    return tuple(
        _region([part for part, own in zip(parts, levels, strict=True) if own == level], name)
        for level in sorted(set(levels))
    )


def _part(item: Item, renames: Mapping[str, str]) -> _Part:
    if isinstance(item, Cycle):
        return _cycle(item, renames)
    axes = {renames.get(key, key): at for key, at in split_axes(item).items()}
    places = accesses(item.body).items()
    axes |= {key: _FIRST for key, found in places if all(place[:1] == (SHARD,) for place in found)}
    own = {statement.name for statement in statements(item.body) if isinstance(statement, Let | Var)}
    return _Part(item, item.split, axes, frozenset(writes(item.body) - own), frozenset(touches(item.body) - own))


def _cycle(item: Cycle, renames: Mapping[str, str]) -> _Part:
    parts = [_part(draft, renames) for draft in leaves(item.items)]
    written = frozenset(key for part in parts for key in part.written)
    touched = frozenset(key for part in parts for key in part.touched)
    # a kernel stays in its shard from round to round too
    pairs = [*combinations(parts, 2), *((part, part) for part in parts)]
    if any(not a.stays_in_shard(b) for a, b in pairs) or any(part.split is None for part in parts):
        return _Part(item, None, {}, written, touched)
    axes: dict[str, frozenset[int]] = {}
    for part in parts:
        for key in part.touched:
            own = part.axes.get(key, _NONE)
            axes[key] = axes[key] & own if key in axes else own
    return _Part(item, parts[0].split, axes, written, touched)


def _region(parts: Sequence[_Part], name: Callable[[Draft], str]) -> Region:
    work = Polynomial.of(
        term for part in parts if part.split is not None for count in part.item.work for term in count.terms
    )
    steps: list[Step] = []
    for alone, some in groupby(parts, lambda part: part.split is None):
        steps += _gathered(_step(part.item, name, alone) for part in some)
    return Region(tuple(steps), work.expression())


def _step(item: Item, name: Callable[[Draft], str], alone: bool) -> Step:
    if isinstance(item, Draft):
        return When(op("and", *item.when), (name(item),)) if item.when else name(item)
    steps = tuple(_gathered(_step(inner, name, False) for inner in item.items))
    return Repeat(item.index, item.index.size, steps, alone)


def _gathered(steps: Iterator[Step]) -> Iterator[Step]:
    """The steps, with neighbours under one condition together."""
    waiting: When | None = None
    for step in steps:
        if waiting is not None and isinstance(step, When) and step.cond is waiting.cond:
            waiting = When(waiting.cond, (*waiting.steps, *step.steps))
            continue
        if waiting is not None:
            yield waiting
        waiting = step if isinstance(step, When) else None
        if waiting is None:
            yield step
    if waiting is not None:
        yield waiting
