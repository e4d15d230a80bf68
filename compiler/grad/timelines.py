"""The tensors that a recurrence drags along with it, step by step.

A *timeline* is a run of steps that several recurrences share: a forward pass, its adjoint, what lies between them and
is computed for each step alone.  ``places`` says of which step an element of a tensor is: that of subscript ``s`` of
the axis belongs to step ``direction*s + shift``; the first step is 0.

    h[t+1] = f(x[t], h[t])        h[s] of step s
    d_h[t] = g(d_h[t+1], h[t+1])  d_h[s] of step s
    z[t] = sin(x[|T|-1-t])        where f reads z[|T|-t]: z[s] of step |T| - s

A recurrence is *steady* if every step looks back by a fixed number of steps.  Other recurrences, and what is read at
more than one step at a time, lie outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dlc.compiler.ir.affine import Polynomial, equal, guessed, polynomial
from dlc.compiler.ir.expr import Expr, Index, Read, free_indices, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.recurrence import clocks
from dlc.compiler.ir.timings import Time

_FEWEST_STEPS = 4  # of a recurrence that is worth cutting into segments


@dataclass(frozen=True)
class Cycle:
    """A steady recurrence; it ``runs`` along the steps (1) or against them (-1); ``back`` tells for each member how
    far it is looked back at."""

    members: tuple[str, ...]
    runs: int
    back: Mapping[str, int]


@dataclass(frozen=True)
class Timeline:
    places: Mapping[str, Time]
    cycles: tuple[Cycle, ...]
    count: Polynomial  # of the steps


class Timelines(NamedTuple):
    """``unsteady``: the recurrences that are on no timeline; ``alone``: those that have none of their timeline beside
    them."""

    found: tuple[Timeline, ...]
    unsteady: tuple[tuple[str, ...], ...]
    alone: tuple[tuple[str, ...], ...]


def timelines(graph: Graph) -> Timelines:
    """The timelines on which several recurrences lie, one of them the adjoint of another perhaps."""
    steady = {component: clock for component in graph.recurrences if (clock := _clock(graph, component)) is not None}
    growing = _Growing(graph, steady)
    found = [growing.grown(component) for component in steady if component[0] not in growing.taken]
    return Timelines(
        tuple(line for line in found if len(line.cycles) > 1),
        tuple(component for component in graph.recurrences if component not in steady),
        tuple(line.cycles[0].members for line in found if len(line.cycles) == 1),
    )


class _Clock(NamedTuple):
    times: Mapping[str, Time]
    back: Mapping[str, int]


def _clock(graph: Graph, component: tuple[str, ...]) -> _Clock | None:
    """Of all ways to time a recurrence the one with the most steps."""
    best: tuple[int, _Clock] | None = None
    for times, back in clocks(graph, component):
        if not all(can_be_placed(graph.tensors[name], time.axis) for name, time in times.items()):
            continue
        steps = max(guessed(graph.tensors[name].sizes[time.axis]) for name, time in times.items())
        if steps >= _FEWEST_STEPS and (best is None or steps > best[0]):
            best = steps, _Clock(times, back)
    return best[1] if best is not None else None


# -- the shape of equations ------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """The subscript ``sign*index + rest``; without an index, ``rest``."""

    index: Index | None
    sign: int
    rest: Polynomial


def run_of(equation: Equation, axis: int) -> Run | None:
    """The subscript of the left side at the axis, if one index moves it by one, and moves nothing else."""
    value = polynomial(equation.subscripts[axis])
    own = [index for index in free_indices(equation.subscripts[axis]) if index in equation.indices]
    if not own:
        return Run(None, 1, value)
    parts = value.split(own[0])
    if len(own) > 1 or parts is None or parts[0].value not in (1, -1):
        return None
    others = (subscript for place, subscript in enumerate(equation.subscripts) if place != axis)
    if any(own[0] in free_indices(subscript) for subscript in others):
        return None
    return Run(own[0], 1 if parts[0].value == 1 else -1, parts[1])


def can_be_placed(tensor: Tensor, axis: int) -> bool:
    """Whether one equation can be made of the tensor's parts for a single step, or one of each."""
    runs = [run_of(equation, axis) for equation in tensor.equations]
    if any(run is None for run in runs):
        return False
    return is_whole_elsewhere(tensor, axis) or all(
        run is not None and run.index is not None and run.index is equation.subscripts[axis]
        and equal(run.index.size, tensor.sizes[axis])
        for run, equation in zip(runs, tensor.equations, strict=True)
    )  # fmt: skip


def is_whole_elsewhere(tensor: Tensor, axis: int) -> bool:
    """Whether every part has all elements of the other axes."""
    return all(
        isinstance(subscript, Index) and equal(subscript.size, size)
        for equation in tensor.equations
        for place, (subscript, size) in enumerate(zip(equation.subscripts, tensor.sizes, strict=True))
        if place != axis
    )


# -- growing ---------------------------------------------------------------------------------------------------------


class _Link(NamedTuple):
    """``reader`` reads ``read`` in an equation."""

    reader: str
    equation: Equation
    read: Read


class _Growing:
    def __init__(self, graph: Graph, steady: Mapping[tuple[str, ...], _Clock]) -> None:
        self.graph, self.steady = graph, steady
        self.cycle_of = graph.recurrence_of
        self.taken: set[str] = set()
        self.links = list(_links(graph))

    def grown(self, seed: tuple[str, ...]) -> Timeline:
        """The timeline of a recurrence."""
        self.places: dict[str, Time] = {}
        self.cycles: list[Cycle] = []
        first = seed[0]
        self.range = self.range_of(first, self.steady[seed].times[first])
        self.place(first, self.steady[seed].times[first])
        while True:
            before = len(self.places)
            for link in self.links:
                self.follow(link)
            if len(self.places) == before:
                break
        self.taken.update(self.places)
        return self.finished()

    def follow(self, link: _Link) -> None:
        """Place the one end of a read where the other is."""
        reader, read = link.reader, link.read.tensor
        written = link.equation.subscripts
        if reader in self.places and read not in self.places:
            self.place_by(read, link.read.subscripts, self.places[reader].of(written), link.equation.indices)
        elif read in self.places and reader not in self.places:
            step = self.places[read].of(link.read.subscripts)
            self.place_by(reader, written, step, link.equation.indices)

    def place_by(self, name: str, subscripts: Sequence[Expr], step: Polynomial, indices: Sequence[Index]) -> None:
        """Place a tensor so that its element at ``subscripts`` is of that step."""
        if name in self.taken:
            return
        for index in (atom for atom in step.atoms if isinstance(atom, Index) and atom in indices):
            mine = step.split(index)
            for axis, subscript in enumerate(subscripts):
                its = polynomial(subscript).split(index)
                if mine is None or its is None or mine[0].value not in (1, -1) or its[0].value not in (1, -1):
                    continue
                direction = 1 if mine[0].value == its[0].value else -1
                shift = mine[1] - its[1] * direction
                if not any(isinstance(atom, Index) for atom in shift.atoms):
                    if self.place(name, Time(axis, direction, shift)):
                        return

    def place(self, name: str, time: Time) -> bool:
        """Place a tensor, with all of its recurrence if it is in one; False if that is not possible."""
        component = self.cycle_of.get(name)
        if component is None:
            new = {name: time}
        elif component in self.steady:
            times, back = self.steady[component]
            if times[name].axis != time.axis:
                return False
            runs = time.direction * times[name].direction
            ahead = time.shift - times[name].shift * runs
            new = {one: Time(its.axis, its.direction * runs, its.shift * runs + ahead) for one, its in times.items()}
        else:
            return False
        if not all(self.fits(one, its) for one, its in new.items()):
            return False
        self.places.update(new)
        if component is not None:
            self.cycles.append(Cycle(component, runs, back))
        return True

    def fits(self, name: str, time: Time) -> bool:
        tensor = self.graph.tensors[name]
        if name in self.taken or not can_be_placed(tensor, time.axis):
            return False
        ends = zip(self.range_of(name, time), self.range, strict=True)
        return all((mine - its).value is not None for mine, its in ends)

    def range_of(self, name: str, time: Time) -> tuple[Polynomial, Polynomial]:
        """The first and the last step."""
        far = time.shift + (polynomial(self.graph.tensors[name].sizes[time.axis]) - 1) * time.direction
        return (time.shift, far) if time.direction > 0 else (far, time.shift)

    def finished(self) -> Timeline:
        """Steps counted from the first."""
        ranges = [self.range_of(name, time) for name, time in self.places.items()]
        first = min((low for low, _ in ranges), key=lambda low: (low - self.range[0]).value or 0)
        last = max((high for _, high in ranges), key=lambda high: (high - self.range[1]).value or 0)
        places = {name: Time(time.axis, time.direction, time.shift - first) for name, time in self.places.items()}
        return Timeline(places, tuple(self.cycles), last - first + 1)


def _links(graph: Graph) -> Iterator[_Link]:
    """Every read of one computed tensor by another."""
    for tensor in graph.of_kind("computed"):
        for equation in tensor.equations:
            for read in reads(equation.value):
                if graph.tensors[read.tensor].kind == "computed" and tensor.rank and read.subscripts:
                    yield _Link(tensor.id, equation, read)
