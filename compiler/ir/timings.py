"""Times for the tensors of a recurrence: an axis, a direction and a shift each, in which no read is of a later time.

The axis and direction of one tensor are guessed; the reads carry them over to the others (`h[t+1]` that reads `c[t]`
makes both run along `t`), and what no read relates is guessed too.  The shifts are the least, by Bellman and Ford.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import NamedTuple

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.bounds import extreme, nonnegative
from dlc.compiler.ir.dependences import Dependence, Facts, Place
from dlc.compiler.ir.expr import Expr, Index, Size, free_indices
from dlc.compiler.ir.graph import Equation, Graph

_MOST_GUESSES = 64  # of the axes of tensors that no read relates to others
_MOST_STEPS = 10_000  # of a search for axes that keeps the reads near: choices of the axis of one tensor
_FEW = 4  # steps by which the tensors of a recurrence lead each other, at most, where that is guessed
_NOTHING = Polynomial(())
_START = ""  # a step before that of every tensor


@dataclass(frozen=True)
class Time:
    """The element at subscript ``s`` of the axis has the time ``direction*s + shift``."""

    axis: int
    direction: int
    shift: Polynomial

    def of(self, subscripts: Sequence[Expr]) -> Polynomial:
        return polynomial(subscripts[self.axis]) * self.direction + self.shift


class Lead(NamedTuple):
    """By how many steps the element that is computed stands behind the one that is read; None: that differs."""

    reader: str
    read: str
    steps: int | None


def least_shifts(names: Iterable[str], leads: Sequence[Lead]) -> dict[str, int] | None:
    """The least whole numbers, none negative, with which no step reads a later one; None if there are none."""
    import networkx

    if any(lead.steps is None for lead in leads):
        return None
    known = networkx.MultiDiGraph()
    known.add_weighted_edges_from((_START, name, 0) for name in names)
    known.add_weighted_edges_from((lead.read, lead.reader, lead.steps) for lead in leads)
    try:
        behind = networkx.single_source_bellman_ford_path_length(known, _START)
    except networkx.NetworkXUnbounded:
        return None
    return {name: -int(behind[name]) for name in names}


class Timings:
    """The times that the tensors of a cycle of the graph may have."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def equation(self, place: Place) -> Equation:
        return self.graph.tensors[place.tensor].equations[place.number]

    def distance(self, edge: Dependence, times: Mapping[str, Time]) -> Polynomial:
        """How much later the reader's element is than the one that it reads."""
        written = self.equation(edge.reader).subscripts
        return times[edge.reader.tensor].of(written) - times[edge.read.tensor].of(edge.read.subscripts)

    @property
    def ways(self) -> tuple[Callable[..., Iterator[dict[str, tuple[int, int]]]], ...]:
        """Ways to choose axes, those that take long after others."""
        return self.axes, self.guessed_axes, self.near_axes, self.all_axes

    def possible(
        self, edges: Sequence[Dependence], names: Sequence[str], choices: Iterable[dict[str, tuple[int, int]]]
    ) -> Iterator[dict[str, Time]]:
        """Times in which no read is of a later time."""
        for axes in choices:
            shifts = self.shifts(edges, names, axes)
            if shifts is not None:
                yield {name: Time(*axes[name], shifts[name]) for name in names}

    def axes(
        self, edges: Sequence[Dependence], names: Sequence[str], used: Mapping[str, frozenset[int]]
    ) -> Iterator[dict[str, tuple[int, int]]]:
        """Axis and direction for every tensor: guessed for one, and carried over to all others by the reads."""
        return (told for told in self.told(edges, names, used) if len(told) == len(names))

    def guessed_axes(
        self, edges: Sequence[Dependence], names: Sequence[str], used: Mapping[str, frozenset[int]]
    ) -> Iterator[dict[str, tuple[int, int]]]:
        """The axis of one tensor, and what no read relates to it, guessed."""
        for told in self.told(edges, names, used):
            left = [name for name in names if name not in told]
            options = [[(axis, told[names[0]][1]) for axis in self.free_axes(name, used)] for name in left]
            for guess in islice(product(*options), _MOST_GUESSES) if left else ():
                yield {**told, **dict(zip(left, guess, strict=True))}

    def told(
        self, edges: Sequence[Dependence], names: Sequence[str], used: Mapping[str, frozenset[int]]
    ) -> Iterator[dict[str, tuple[int, int]]]:
        """What follows from each axis and direction of the first tensor."""
        for first in self.free_axes(names[0], used):
            for direction in (1, -1):
                yield self.carried({names[0]: (first, direction)}, edges, used)

    def near_axes(
        self, edges: Sequence[Dependence], names: Sequence[str], used: Mapping[str, frozenset[int]]
    ) -> Iterator[dict[str, tuple[int, int]]]:
        """Those of all axes with which no read is of an element that may be any number of steps later."""
        return self.all_axes(edges, names, used, near=True)

    def all_axes(
        self,
        edges: Sequence[Dependence],
        names: Sequence[str],
        used: Mapping[str, frozenset[int]],
        near: bool = False,
    ) -> Iterator[dict[str, tuple[int, int]]]:
        """All axes for each tensor: the reads relate one axis to several of another tensor, ``l[i,k]*l[j,k]``."""
        places = {
            name: [
                (axis, direction)
                for axis in self.free_axes(name, used)
                for direction in (1, -1)
                if self.is_possible(name, axis, direction, edges)
            ]
            for name in names
        }
        steps = iter(range(_MOST_STEPS))
        for place in places[names[0]] if all(places.values()) else ():
            found = self.extended({names[0]: place}, edges, places, steps if near else None)
            yield from islice(({name: one[name] for name in names} for one in found), _MOST_GUESSES)

    def is_possible(self, name: str, axis: int, direction: int, edges: Sequence[Dependence]) -> bool:
        """Whether no read of a tensor by itself is of a later time, which no shift could change."""
        times = {name: Time(axis, direction, _NOTHING)}
        own = [edge for edge in edges if edge.reader.tensor == edge.read.tensor == name]
        return all(nonnegative(self.distance(edge, times), edge.facts) for edge in own)

    def extended(
        self,
        chosen: dict[str, tuple[int, int]],
        edges: Sequence[Dependence],
        places: Mapping[str, Sequence[tuple[int, int]]],
        near: Iterator[int] | None,
    ) -> Iterator[dict[str, tuple[int, int]]]:
        """All choices for the other tensors, one after the other, first those that reads relate to what is chosen;
        only those with near reads, if `near` has the steps that such a search may still take.
        """
        if len(chosen) == len(places):
            yield chosen
            return
        related: dict[str, list[tuple[int, int]]] = {}
        for edge in edges:
            written = self.equation(edge.reader).subscripts
            ends = (edge.reader.tensor, written), (edge.read.tensor, edge.read.subscripts)
            for (name, mine), (other, its) in (ends, ends[::-1]):
                if name in chosen and other not in chosen:
                    found = self.all_related(mine, chosen[name], its, None)
                    related.setdefault(other, []).extend(one for one in found if one in places[other])
        name = next(iter((*related, *(name for name in places if name not in chosen))))
        for place in dict.fromkeys((*related.get(name, ()), *places[name])):
            more = {**chosen, name: place}
            if near is not None and next(near, None) is None:
                return
            if near is None or self.is_near(more, name, edges):
                yield from self.extended(more, edges, places, near)

    def is_near(self, chosen: Mapping[str, tuple[int, int]], name: str, edges: Sequence[Dependence]) -> bool:
        """Whether shifts of a few steps could put the reads of and by the tensor in order."""
        times = {name: Time(*place, _NOTHING) for name, place in chosen.items()}
        for edge in edges:
            reader, read = edge.reader.tensor, edge.read.tensor
            if name in (reader, read) and reader in chosen and read in chosen:
                distance = self.distance(edge, times)
                is_fixed = distance.value is not None or any(isinstance(atom, Size) for atom in distance.atoms)
                if not is_fixed and not nonnegative(distance + _FEW, edge.facts):
                    return False
        return True

    def free_axes(self, name: str, used: Mapping[str, frozenset[int]]) -> list[int]:
        tensor = self.graph.tensors[name]
        taken = used.get(name, frozenset())
        return [
            axis
            for axis in range(tensor.rank)
            if axis not in taken and all(_is_plain(equation.subscripts[axis]) for equation in tensor.equations)
        ]

    def carried(
        self, chosen: dict[str, tuple[int, int]], edges: Sequence[Dependence], used: Mapping[str, frozenset[int]]
    ) -> dict[str, tuple[int, int]]:
        """The choice, with the axes of all tensors that reads relate to those chosen."""
        while True:
            before = len(chosen)
            for edge in edges:
                reader, read = edge.reader.tensor, edge.read.tensor
                written = self.equation(edge.reader).subscripts
                if reader in chosen and read not in chosen:
                    found = self.related(written, chosen[reader], edge.read.subscripts, used.get(read))
                    if found is not None:
                        chosen[read] = found
                elif read in chosen and reader not in chosen:
                    found = self.related(edge.read.subscripts, chosen[read], written, used.get(reader))
                    if found is not None:
                        chosen[reader] = found
            if len(chosen) == before:
                return chosen

    def related(
        self, known: Sequence[Expr], place: tuple[int, int], other: Sequence[Expr], used: frozenset[int] | None
    ) -> tuple[int, int] | None:
        """The axis of ``other`` that moves with the chosen axis of ``known``."""
        return next(self.all_related(known, place, other, used), None)

    @staticmethod
    def all_related(
        known: Sequence[Expr], place: tuple[int, int], other: Sequence[Expr], used: frozenset[int] | None
    ) -> Iterator[tuple[int, int]]:
        axis, direction = place
        mine = polynomial(known[axis])
        for index in (atom for atom in mine.atoms if isinstance(atom, Index)):
            step = _step(mine, index)
            for candidate, subscript in enumerate(other):
                if candidate in (used or ()) or index not in free_indices(subscript) or not _is_plain(subscript):
                    continue
                its = _step(polynomial(subscript), index)
                if step is not None and its is not None:
                    yield candidate, direction if step * its > 0 else -direction

    def shifts(
        self, edges: Sequence[Dependence], names: Sequence[str], axes: Mapping[str, tuple[int, int]]
    ) -> dict[str, Polynomial] | None:
        """Shifts under which every read is of the same or an earlier time, as near as can be to a common start."""
        plain = {name: Time(*axes[name], _NOTHING) for name in names}
        distances = [(edge, reduced(self.distance(edge, plain), edge.facts)) for edge in edges]
        based = self.aligned(distances, names)
        whole = self.earliest(distances, names, based)
        if whole is None:
            return None
        shifts = {name: based[name] + whole[name] for name in names}
        starts = {name: self.start(edges, name, axes[name]) for name in names}
        goal = starts[names[0]] + shifts[names[0]]
        together = {name: goal - starts[name] for name in names}
        if self.hold(distances, together):
            return together
        for name in names[1:]:
            wanted = goal - starts[name]  # both begin at one time: no step of the loop is for some of them only
            if shifts[name] != wanted and self.hold(distances, {**shifts, name: wanted}, name):
                shifts[name] = wanted
        return shifts if self.hold(distances, shifts) else None

    def start(self, edges: Sequence[Dependence], name: str, place: tuple[int, int]) -> Polynomial:
        """The first time of a tensor with shift 0, as far as the cycle defines it."""
        axis, direction = place
        written = dict.fromkeys(edge.reader for edge in edges if edge.reader.tensor == name)
        found = [extreme(polynomial(self.equation(one).subscripts[axis]) * direction, False) for one in written]
        return min((one for one in found if one is not None), key=lambda one: one.offset, default=_NOTHING)

    def aligned(
        self, distances: Sequence[tuple[Dependence, Polynomial]], names: Sequence[str]
    ) -> dict[str, Polynomial]:
        """Shifts that take the sizes out of the distances, as far as a tree of reads allows."""
        shifts = {names[0]: _NOTHING}
        while len(shifts) < len(names):
            before = len(shifts)
            for edge, distance in distances:
                reader, read = edge.reader.tensor, edge.read.tensor
                if (reader in shifts) == (read in shifts) or any(isinstance(atom, Index) for atom in distance.atoms):
                    continue
                rest = distance - distance.offset
                if reader in shifts:
                    shifts[read] = shifts[reader] + rest
                else:
                    shifts[reader] = shifts[read] - rest
            if len(shifts) == before:
                missing = next(name for name in names if name not in shifts)
                shifts[missing] = _NOTHING
        return shifts

    @staticmethod
    def earliest(
        distances: Sequence[tuple[Dependence, Polynomial]], names: Sequence[str], based: Mapping[str, Polynomial]
    ) -> dict[str, int] | None:
        """The least whole shifts for the reads at a fixed distance; None if they contradict each other."""
        ends = ((edge.reader.tensor, edge.read.tensor, distance) for edge, distance in distances)
        leads = [Lead(reader, read, (apart + based[reader] - based[read]).value) for reader, read, apart in ends]
        shifts = least_shifts(names, [lead for lead in leads if lead.steps is not None])
        return shifts and {name: shift - shifts[names[0]] for name, shift in shifts.items()}

    @staticmethod
    def hold(
        distances: Sequence[tuple[Dependence, Polynomial]], shifts: Mapping[str, Polynomial], about: str | None = None
    ) -> bool:
        """Whether every read (or those of and by one tensor) is of the same or an earlier time."""
        return all(
            nonnegative(distance + shifts[edge.reader.tensor] - shifts[edge.read.tensor], edge.facts)
            for edge, distance in distances
            if about is None or about in (edge.reader.tensor, edge.read.tensor)
        )


def _is_plain(subscript: Expr) -> bool:
    """Whether time can run along the subscript: it has one index variable, with a constant factor, or none."""
    value = polynomial(subscript)
    indices = free_indices(subscript)
    return not indices or (len(indices) == 1 and bool(_step(value, indices[0])))


def reduced(distance: Polynomial, facts: Facts) -> Polynomial:
    """The distance without index variables that have one value or that an equation among the facts gives: ``j - i``
    where ``i == j + 1``.
    """
    for number, fact in enumerate(facts):
        if -fact not in facts[number + 1 :]:
            continue
        for index in [atom for atom in fact.atoms if isinstance(atom, Index)]:
            step, mine = _step(fact, index), _step(distance, index)
            if mine and step in (1, -1):
                distance = distance - fact * (mine * step)
                break
    for index in [atom for atom in distance.atoms if isinstance(atom, Index) and known(atom.size) == 1]:
        parts = distance.split(index)
        distance = distance if parts is None else parts[1]
    return distance


def _step(value: Polynomial, index: Index) -> int | None:
    parts = value.split(index)
    return parts[0].value if parts is not None else None
