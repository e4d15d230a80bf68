"""A batch of few samples shared out among many shards.

A kernel that loops over a batch has as many parts as there are samples, and that may be one. Where it multiplies
matrices, every sample is taken for as many *shares* as there are shards: each shard runs as many shares, of one sample
or of several. What a sample's statements compute is cut along one of their axes, such as the maps of a convolution::

    for n in start .. stop                  for n in start / shards .. stop / shards, rounded up
        for all elements of the image           first = max(0, start - shards*n)
            padded = image                      last = min(shards, stop - shards*n)
        maps = kernel . padded                  for all elements of the image
                                                    padded = image
                                                maps[|O|*first/shards ..] = kernel[|O|*first/shards ..] . padded

What others need as a whole, every shard computes for itself: so it has to be its own, and no product. Nothing waits for
another shard, so the order of additions is that of the shards alone. A convolution that tiles may take, which have one
size, is whole where a shard has all shares of a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import equal
from dlc.compiler.ir.expr import ONE, ZERO, Expr, Index, Read, free_indices, op, reads
from dlc.compiler.ir.loops import (
    SHARDS,
    START,
    STOP,
    Buffer,
    For,
    Let,
    Matmul,
    Statement,
    Store,
    Update,
    Var,
    statements,
)
from dlc.compiler.lower.fusion import Body, accesses, touches, writes
from dlc.compiler.lower.products import Plan, with_part
from dlc.compiler.lower.tables import Tabled

Called = Mapping[str, Plan | Tabled]
Names = Callable[[str], str]


@dataclass(frozen=True)
class _Step:
    """A statement of the loop, which may be cut along ``index``: ``at`` are the axes of every buffer on which it then
    touches its own part only.  It is ``own`` to a share if no other may run it too.
    """

    statement: For | Matmul
    index: Index
    at: Mapping[str, frozenset[int]]
    own: bool

    def follows(self, other: _Step, buffer: str) -> bool:
        """Whether a share touches the same part of the buffer in both."""
        return equal(self.index.size, other.index.size) and bool(self.at[buffer] & other.at[buffer])


def in_shares(loop: For, called: Called, buffers: Mapping[str, Buffer], names: Names) -> Body | None:
    """The loop over a batch for the shares from START to STOP; None if nothing can be shared out."""
    if not any(isinstance(statement, Matmul) for statement in statements(loop.body)):
        return None
    steps = [_step(statement, called, buffers) for statement in loop.body]
    if any(step is None for step in steps):
        return None
    found = [step for step in steps if step is not None]
    whole = _whole(found)
    if whole is None:
        return None
    first, last = (Read(names(f"{loop.index.hint}.{end}"), (), "int") for end in ("first", "last"))
    before = op("neg", op("mul", SHARDS, loop.index))
    bounds = [
        Let(first.tensor, op("max", ZERO, op("add", START, before))),
        Let(last.tensor, op("min", SHARDS, op("add", STOP, before))),
    ]
    ends: dict[Expr, tuple[Read, Read]] = {}
    body: list[Statement] = []
    for number, step in enumerate(found):
        if number in whole:
            body.append(step.statement)
            continue
        size = step.index.size
        if size not in ends:
            begin, end = (Read(names(f"{step.index.hint}.{which}"), (), "int") for which in ("start", "stop"))
            ends[size] = begin, end
            for place, share in ((begin, first), (end, last)):
                bounds.append(Let(place.tensor, op("floordiv", op("mul", size, share), SHARDS)))
        body.append(_part(step, called, *ends[size]))
    start = op("floordiv", START, SHARDS)
    stop = op("floordiv", op("add", STOP, SHARDS, op("neg", ONE)), SHARDS)
    return (For(loop.index, start, stop, (*bounds, *body)),)


def _part(step: _Step, called: Called, start: Read, stop: Read) -> Statement:
    if isinstance(step.statement, For):
        return replace(step.statement, start=start, stop=stop)
    cut = with_part(called[step.statement.label], step.statement, step.index, start, stop)
    return replace(cut, part_of=step.index.size)


# -- what may be cut --------------------------------------------------------------------------------------------------


def _step(statement: Statement, called: Called, buffers: Mapping[str, Buffer]) -> _Step | None:
    if isinstance(statement, For):
        index = statement.index
        if statement.start is not ZERO or not equal(statement.stop, index.size) or free_indices(index.size):
            return None
        places = {key: found for key, found in accesses((statement,)).items() if key in buffers}
        at = {key: _axes_at(index, found) for key, found in places.items()}
        return _Step(statement, index, at, _is_own(statement, buffers))
    if not isinstance(statement, Matmul) or statement.label not in called:
        return None
    found = called[statement.label]
    index = next((i for i in found.product.equation.indices if i in (*found.rows[:1], *found.columns[:1])), None)
    if index is None or free_indices(index.size):
        return None
    operands = (found.left, found.right) if isinstance(found, Tabled) else found.layouts
    at: dict[str, frozenset[int]] = {}
    for operand, subscripts in (
        (statement.a, operands[0].read.subscripts),
        (statement.b, operands[1].read.subscripts),
        (statement.c, found.product.equation.subscripts),
    ):
        behind = len(buffers[operand.buffer].sizes) - len(subscripts)  # leading axes change when a buffer shrinks
        own = frozenset(axis + behind for axis, one in enumerate(subscripts) if one is index and axis + behind >= 0)
        at[operand.buffer] = at.get(operand.buffer, own) & own
    if statement.term is not None:
        at.setdefault(statement.term.buffer, frozenset())
    return _Step(statement, index, at, True)


def _axes_at(index: Index, places: Sequence[tuple[Expr, ...]]) -> frozenset[int]:
    shortest = min(map(len, places))
    return frozenset(axis for axis in range(shortest) if all(subscripts[axis] is index for subscripts in places))


def _is_own(statement: For, buffers: Mapping[str, Buffer]) -> bool:
    """Whether it multiplies matrices, adds to something, or stores where all shards may look."""
    local = {one.name for one in statements((statement,)) if isinstance(one, Let | Var)}
    for one in statements((statement,)):
        match one:
            case Matmul():
                return True
            case Update(name=name) if name not in local:
                return True
            case Store(buffer=key, value=value):
                if buffers[key].sizes[:1] != (SHARDS,) or any(read.tensor == key for read in reads(value)):
                    return True
    return False


# -- what every shard computes as a whole -----------------------------------------------------------------------------


def _whole(steps: Sequence[_Step]) -> set[int] | None:
    """The statements that every shard runs as they are; None if others would have to be."""
    whole: set[int] = set()
    changed = True
    while changed:
        changed = False
        for number, key, readers in _written(steps):
            if number in whole:
                continue
            step = steps[number]
            if not step.at[key] or any(n in whole or not steps[n].follows(step, key) for n in readers):
                if step.own:
                    return None
                whole.add(number)
                changed = True
    return whole


def _written(steps: Sequence[_Step]) -> Iterator[tuple[int, str, list[int]]]:
    """Every statement with each of the buffers that it sets, and the others that touch this one."""
    touched = [touches((step.statement,)) for step in steps]
    for number, step in enumerate(steps):
        for key in sorted(writes((step.statement,)) & step.at.keys()):
            yield number, key, [n for n, keys in enumerate(touched) if key in keys and n != number]
