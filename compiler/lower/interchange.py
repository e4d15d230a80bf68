"""The rounds of a recurrence inside the rows that they run along.

::

    repeat t < |T|                             for b < |B|
        for b < |B|                                for t < |T|
            y[b,t+1] = a*y[b,t] + x[b,t]               y[b,t+1] = a*y[b,t] + x[b,t]

Where time is the last axis in memory, the loop over it comes to stand innermost, if no round needs what another row has
computed: every row is then read and written from its beginning to its end, and what a round hands to the next one may
stay in a register (``carried.py``).  What is left is one kernel, which others may join.

Left out: recurrences of sums, products and slow functions, which go on for many rows at once in vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import equal, polynomial
from dlc.compiler.ir.costs import is_slow
from dlc.compiler.ir.expr import ZERO, Expr, Index, free_indices, op, reads, walk
from dlc.compiler.ir.loops import For, If, Let, Store, expressions
from dlc.compiler.lower.fusion import Body, accesses, renamed, writes
from dlc.compiler.lower.kernels import Cycle, Draft


def interchanged(cycle: Cycle, over: tuple[Index, ...]) -> Draft | None:
    """The recurrence as one kernel, in the rounds ``over``; None if it stays as it is."""
    drafts = [item for item in cycle.items if isinstance(item, Draft)]
    if len(drafts) != len(cycle.items) or not all(map(_is_plain, drafts)):
        return None
    body = _inside([_under(draft.when, draft.body) for draft in drafts], cycle.index)
    if body is None:
        return None
    return Draft(
        [pair for draft in drafts for pair in draft.equations],
        body,
        work=cycle.work,
        formulas=[pair for draft in drafts for pair in draft.formulas],
        over=over,
    )


def _is_plain(draft: Draft) -> bool:
    """Whether a kernel computes a few numbers from others at each place."""
    if draft.is_finished or draft.before or draft.after or draft.before_block or draft.after_block:
        return False
    inner = draft.body
    while len(inner) == 1 and isinstance(inner[0], For):
        inner = inner[0].body
    if not all(isinstance(one, Let | Store) for one in inner):
        return False
    return not any(is_slow(node) for one in inner for node in walk(*expressions(one)))


def _under(when: tuple[Expr, ...], body: Body) -> Body:
    """The body, done in some rounds only: in a nest, the condition stands innermost."""
    if not when:
        return body
    if len(body) == 1 and isinstance(body[0], For):
        return (replace(body[0], body=_under(when, body[0].body)),)
    return (If(op("and", *when), body),)


def _inside(bodies: Sequence[Body], time: Index) -> Body | None:
    """One nest of all bodies with the rounds innermost."""
    loops = [one for body in bodies if len(body) == 1 for one in body if isinstance(one, For)]
    if not loops:
        together = tuple(one for body in bodies for one in body)
        return (For(time, ZERO, time.size, together),) if _walks(together, time) else None
    first = loops[0]
    if len(loops) != len(bodies) or not all(_same_range(first, loop) for loop in loops):
        return None
    rows = [renamed(loop.body, {loop.index: first.index}) for loop in loops]
    if time in free_indices(op("add", first.start, first.stop)) or not _are_apart(rows, first.index):
        return None
    inner = _inside(rows, time)
    return (replace(first, body=inner),) if inner is not None else None


def _same_range(one: For, other: For) -> bool:
    return equal(one.start, other.start) and equal(one.stop, other.stop)


def _are_apart(bodies: Iterable[Body], row: Index) -> bool:
    """Whether everything that is written is only touched at the row's own index, along one and the same axis."""
    everything = tuple(one for body in bodies for one in body)
    found = accesses(everything)
    own = {one.name for one in everything if isinstance(one, Let)}
    return all(_has_axis_of(found[name], row) for name in writes(everything) - own)


def _has_axis_of(places: Sequence[tuple[Expr, ...]], row: Index) -> bool:
    return any(all(place[axis] is row for place in places) for axis in range(min(map(len, places))))


def _walks(body: Body, time: Index) -> bool:
    """Whether time walks through memory element by element, wherever it stands in what is written and read."""
    stores = [one.subscripts for one in _statements(body) if isinstance(one, Store)]
    read = [found.subscripts for one in _statements(body) for found in reads(*expressions(one))]
    places = [place for place in (*stores, *read) if any(time in free_indices(subscript) for subscript in place)]
    return bool(places) and all(_is_last(place, time) for place in places)


def _statements(body: Body) -> Iterable[Let | Store]:
    for one in body:
        if isinstance(one, If):
            yield from _statements(one.body)
        elif isinstance(one, Let | Store):
            yield one


def _is_last(place: Sequence[Expr], time: Index) -> bool:
    *before, last = place
    if any(time in free_indices(subscript) for subscript in before):
        return False
    parts = polynomial(last).split(time)
    return parts is None or parts[0].value in (1, -1)
