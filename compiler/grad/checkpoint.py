"""Recurrences that keep every S-th state for the backward pass, which computes the others again.

The steps of a timeline are cut into segments of S: step ``k*S + w`` is number ``w`` of segment ``k``.  In every sweep
each tensor that it needs gets a copy with an axis over the segments, and one over the steps of a segment in the place
of that over all steps:

    h.kept[0,b,d] = 0,  h.kept[k+1,b,d] = h[k,b,|S|,d]            the state at the borders
    h[k,b,0,d] = h.kept[k,b,d]                                    forwards
    h[k,b,w+1,d] = tanh(u[d,d']*h[k,b,w,d'] + ..)
    h.2[k,b,0,d] = h.kept[k,b,d], ..                              the same once more, when going backwards
    d_h[k,b,w,d] = .. d_h[k,b,w+1,d]*h.2[k,b,w,d] ..
    d_u.sum[k,d,d'] = d_u.sum[k+1,d,d'] + d_u.part[k,d,d']        a gradient, segment by segment

A ``turn`` ties what a sweep computes of one segment behind the segment before, by ``after``: so all of it is one
recurrence over segments, of which nothing but the borders and the sums outlives its round.  Where the steps that there
are end in the middle of a segment, the copies are 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from dlc.compiler.grad.copies import make_border, make_copy
from dlc.compiler.grad.results import make_full, make_pick, make_sum
from dlc.compiler.grad.segments import Books, Room, Segments, Translation, nothing
from dlc.compiler.grad.sweeps import form_of, steps_away, sweeps
from dlc.compiler.grad.timelines import timelines
from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import ZERO, Expr, Read, Reduce, Select, Solve, op, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor, reads_of


def run(graph: Graph, length: int | None = None) -> Graph:
    """The graph, of values and gradients, with its recurrences in segments of ``length`` steps (None: as many as there
    are segments, about)."""
    lines = timelines(graph)
    if not lines.found:
        return graph
    plan = sweeps(graph, lines)
    segments = {sweep.number: Segments.of(sweep.timeline, length) for sweep in plan.all}
    outside = {name: tensor for name, tensor in graph.tensors.items() if name not in plan.line_of}
    books = Books(graph, plan, segments, outside, {*outside, *plan.full})
    for sweep in plan.all:
        books.picked |= {form_of(one.read): books.unused(f"{one.read.tensor}.at") for one in sweep.picks}
    summed = {one.tensor for sweep in plan.all for one in sweep.sums}
    books.tensors |= {
        name: _outside(books, tensor)
        for name, tensor in outside.items()
        if tensor.kind == "computed" and name not in summed
    }
    for sweep in plan.all:
        _sweep(Room(books, sweep))
    return graph.with_tensors(books.tensors.values())


class Recurrences(NamedTuple):
    """The recurrences of a graph that are cut into segments, and those that stay ``whole``."""

    segmented: tuple[tuple[str, ...], ...]
    whole: tuple[tuple[str, ...], ...]


def recurrences(graph: Graph) -> Recurrences:
    lines = timelines(graph)
    segmented = tuple(cycle.members for line in lines.found for cycle in line.cycles)
    whole = (*lines.unsteady, *lines.alone)
    return Recurrences(segmented, whole if len(whole) > 1 else ())  # one alone is computed, and not gone back over


def _outside(books: Books, tensor: Tensor) -> Tensor:
    """A tensor that is on no timeline, with what it reads of those that are."""
    translation = Translation(None, None, books)
    equations = tuple(replace(equation, value=translation.of(equation.value)) for equation in tensor.equations)
    return replace(tensor, equations=equations)


def _sweep(room: Room) -> None:
    """All that a sweep computes."""
    books, own = room.books, {name for cycle in room.sweep.cycles for name in cycle.members}
    members = _members(room, own)
    for name in members:
        room.copies[name] = books.unused(f"{name}.segment" if name in books.plan.full else name)
    borders = [name for name in members if name in own and books.past(name)]
    books.kept |= {name: books.unused(f"{name}.kept") for name in borders}
    for name in members:
        make_copy(room, name)
    for name in borders:
        make_border(room, name)
    for pick in room.sweep.picks:
        make_pick(room, pick)
    for one in room.sweep.sums:
        make_sum(room, one)
    for name in room.sweep.full:
        make_full(room, name)
    _tie(room)
    books.tensors |= room.made


def _members(room: Room, own: set[str]) -> list[str]:
    """The tensors of the timeline that a sweep needs, in their order."""
    found: set[str] = set()
    waiting = [*own, *room.sweep.full, *(one.read.tensor for one in room.sweep.picks)]
    for one in room.sweep.sums:
        (equation,) = room.graph.tensors[one.tensor].equations
        waiting += [read.tensor for read in reads(equation.value) if read.tensor in room.line.places]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for equation in room.graph.tensors[name].equations:
                near = (r for r in reads(equation.value) if steps_away(room.line.places, name, equation, r) is not None)
                waiting += [read.tensor for read in near]
    return [name for name in room.graph.tensors if name in found]


# -- one segment after the other -------------------------------------------------------------------------------------


def _tie(room: Room) -> None:
    """Tie all that a sweep computes of one segment behind the segment before: what reads nothing of the sweep waits for
    its turn, and the next turn for what nothing of the sweep reads."""
    import networkx

    known = networkx.DiGraph()
    known.add_nodes_from(room.made)
    for name, tensor in room.made.items():
        known.add_edges_from((other, name) for other in sorted(reads_of(tensor) & room.made.keys()))
    condensed = networkx.condensation(known)
    order = {name: position for position, name in enumerate(room.made)}
    names = {node: min(data["members"], key=order.__getitem__) for node, data in condensed.nodes(data=True)}
    first = {names[node] for node in condensed if not condensed.in_degree(node)}
    last = sorted((names[node] for node in condensed if not condensed.out_degree(node)), key=order.__getitem__)
    turn = room.books.unused("turn")
    made = dict(room.made)
    for name, tensor in made.items():
        equations = tuple(
            _tied(room, turn, equation) if name in first or not _waits(equation, made) else equation
            for equation in tensor.equations
        )
        room.made[name] = replace(tensor, equations=equations)
    room.made[turn] = _turn(room, turn, [made[name] for name in last])


def _waits(equation: Equation, made: dict[str, Tensor]) -> bool:
    return any(read.tensor in made for read in reads(equation.value))


def _tied(room: Room, turn: str, equation: Equation) -> Equation:
    """The equation after the segment before."""
    if room.segment not in equation.indices:
        return equation
    before, value = Read(turn, (room.border_before(room.segment, room.sweep.runs),), "int"), equation.value
    if isinstance(value, Reduce):
        return replace(equation, value=value.rebuild((op("after", value.body, before),)))
    if isinstance(value, Solve):
        return replace(equation, value=value.rebuild((value.matrix, op("after", value.vector, before), value.position)))
    return replace(equation, value=op("after", value, before))


def _turn(room: Room, name: str, last: list[Tensor]) -> Tensor:
    """0 for each segment, once these tensors are there."""
    segment = room.segment
    start, written = room.ends(segment, room.sweep.runs)
    value: Expr = ZERO
    for tensor in last:
        here = segment if tensor.sizes[0] is room.segments.count else written
        element: Expr = Read(tensor.id, (here, *(ZERO for _ in tensor.sizes[1:])), tensor.type)
        unsure = [op("lt", ZERO, size) for size in tensor.sizes[1:] if not nonnegative(polynomial(size) - 1)]
        value = op("after", value, Select(op("and", *unsure), element, nothing(tensor.type)) if unsure else element)
    equations = (Equation((), (start,), ZERO), Equation((segment,), (written,), value))
    return Tensor(name, (room.borders,), "int", "computed", equations)
