"""Which passes over the steps of a timeline compute what, segment by segment.

A *sweep* goes over the segments of a timeline, forwards or backwards.  A recurrence is computed in one sweep, its own,
which runs as it does; every other sweep that needs it computes a segment of it again, from what was kept at the
segment's border.  What belongs to one step and no recurrence is computed in every sweep that needs it.

What others need of a timeline is a result of a sweep too: a *sum* over all steps, such as the gradient of a weight; a
*pick*, the element of a certain step, such as the last; or a tensor in *full*.  A result is there for sweeps to come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dlc.compiler.grad.timelines import Cycle, Timeline, Timelines
from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, Size, free_indices, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.rewriting import canonical
from dlc.compiler.ir.timings import Time

_POSITIONS = ("argmax", "argmin")


@dataclass(frozen=True)
class Sum:
    """A reduction over the steps: its index ``over`` has the value ``sign*(step - shift)``."""

    tensor: str
    over: Index
    time: Time


@dataclass(frozen=True)
class Pick:
    """An element of a step that the sizes or data tell; ``free`` are its indices, which stand for all their values."""

    read: Read
    free: tuple[Index, ...]
    step: Polynomial


@dataclass
class Sweep:
    """``runs`` along the steps (1) or against them (-1)."""

    number: int
    timeline: Timeline
    runs: int
    cycles: list[Cycle] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)
    picks: list[Pick] = field(default_factory=list)
    full: list[str] = field(default_factory=list)


class Window(NamedTuple):
    """How many steps before and after a segment a tensor is needed for."""

    before: int
    after: int


@dataclass
class Sweeps:
    """``picks``: what stands for a read, by its form; ``full``: the tensors that are needed whole."""

    all: list[Sweep]
    line_of: Mapping[str, Timeline]
    cycle_of: Mapping[str, Cycle]
    windows: Mapping[str, Window]
    picks: Mapping[Expr, Pick]
    full: frozenset[str]


def sweeps(graph: Graph, lines: Timelines) -> Sweeps:
    planning = _Planning(graph, lines)
    planning.run()
    return Sweeps(
        planning.sweeps,
        planning.line_of,
        planning.cycle_of,
        _windows(graph, planning),
        planning.picks,
        frozenset(name for sweep in planning.sweeps for name in sweep.full),
    )


# -- reads -----------------------------------------------------------------------------------------------------------


def steps_away(graph_places: Mapping[str, Time], reader: str, equation: Equation, read: Read) -> int | None:
    """How many steps after the element that is computed the one that it reads lies, if that is a number; both are on
    one timeline."""
    if reader not in graph_places or read.tensor not in graph_places:
        return None
    here = graph_places[reader].of(equation.subscripts)
    return (graph_places[read.tensor].of(read.subscripts) - here).value


def form_of(read: Read) -> Expr:
    return canonical(read, free_indices(read))


def _is_told(step: Polynomial) -> bool:
    """Whether sizes and data tell a step, and no index does but through data."""
    return all(isinstance(atom, Size | Const | Read) or not free_indices(atom) for atom in step.atoms)


# -- planning --------------------------------------------------------------------------------------------------------


class _Planning:
    def __init__(self, graph: Graph, lines: Timelines) -> None:
        self.graph = graph
        self.line_of = {name: line for line in lines.found for name in line.places}
        self.cycle_of = {name: cycle for line in lines.found for cycle in line.cycles for name in cycle.members}
        self.sweeps: list[Sweep] = []
        self.picks: dict[Expr, Pick] = {}
        self.needs: dict[str, int] = {}  # of a tensor on a timeline: the first sweep that can compute it
        self.ready: dict[str, int] = {}  # of another: the last sweep that it waits for
        self.known_picks: dict[Expr, int] = {}
        self.known_full: dict[str, int] = {}

    def run(self) -> None:
        for component in self.graph.components:
            if self.graph.tensors[component[0]].kind != "computed":
                self.ready.update(dict.fromkeys(component, -1))
            elif component[0] in self.line_of:
                self.on_timeline(component)
            else:
                self.outside(component)
        for root in self.graph.roots:
            if root in self.line_of:
                self.whole(root)

    def on_timeline(self, component: Sequence[str]) -> None:
        line, cycle = self.line_of[component[0]], self.cycle_of.get(component[0])
        first = max((self.needed(name, component) for name in component), default=0)
        if cycle is not None:
            sweep = self.sweep(line, first, cycle.runs)
            sweep.cycles.append(cycle)
            first = sweep.number
        self.needs.update(dict.fromkeys(component, first))

    def needed(self, name: str, component: Sequence[str]) -> int:
        """The first sweep in which all is there that the equations of a tensor on a timeline read."""
        line = self.line_of[name]
        first = 0
        for equation in self.graph.tensors[name].equations:
            for read in reads(equation.value):
                if read.tensor in component:
                    continue
                if self.line_of.get(read.tensor) is line:
                    if steps_away(line.places, name, equation, read) is not None:
                        first = max(first, self.needs[read.tensor])
                        continue
                first = max(first, self.waited(read, self.indices_of_steps(name, equation)) + 1)
        return first

    def indices_of_steps(self, name: str, equation: Equation) -> tuple[Index, ...]:
        return free_indices(equation.subscripts[self.line_of[name].places[name].axis])

    def outside(self, component: Sequence[str]) -> None:
        found = self.sum_of(component[0]) if component[0] not in self.graph.recurrence_of else None
        if found is not None:
            self.summed(found)
            return
        last = -1
        for name in component:
            for equation in self.graph.tensors[name].equations:
                for read in reads(equation.value):
                    if read.tensor not in component:
                        last = max(last, self.waited(read))
        self.ready.update(dict.fromkeys(component, last))

    def summed(self, found: Sum) -> None:
        (equation,) = self.graph.tensors[found.tensor].equations
        line = next(self.line_of[read.tensor] for read in reads(equation.value) if self.is_stepped(read, found.over))
        first = 0
        for read in reads(equation.value):
            if self.is_stepped(read, found.over):
                first = max(first, self.needs[read.tensor])
            else:
                first = max(first, self.waited(read) + 1)
        sweep = self.sweep(line, first)
        sweep.sums.append(found)
        self.ready[found.tensor] = sweep.number

    def waited(self, read: Read, steps: Sequence[Index] = ()) -> int:
        """The last sweep that a read from outside waits for; ``steps``: the indices of a reader on a timeline."""
        line = self.line_of.get(read.tensor)
        if line is None:
            return self.ready[read.tensor]
        step = line.places[read.tensor].of(read.subscripts)
        if _is_told(step) and not set(steps) & set(free_indices(read)):
            return self.picked(read, step)
        return self.whole(read.tensor)

    def picked(self, read: Read, step: Polynomial) -> int:
        form = form_of(read)
        if form not in self.known_picks:
            data = [self.waited(one) + 1 for subscript in read.subscripts for one in reads(subscript)]
            sweep = self.sweep(self.line_of[read.tensor], max([self.needs[read.tensor], *data]))
            self.picks[form] = Pick(read, free_indices(read), step)
            sweep.picks.append(self.picks[form])
            self.known_picks[form] = sweep.number
        return self.known_picks[form]

    def whole(self, name: str) -> int:
        if name not in self.known_full:
            sweep = self.sweep(self.line_of[name], self.needs[name])
            sweep.full.append(name)
            self.known_full[name] = sweep.number
        return self.known_full[name]

    def sweep(self, line: Timeline, first: int, runs: int | None = None) -> Sweep:
        """The first sweep over the timeline that is not before ``first``; a new one if there is none."""
        for sweep in self.sweeps[first:]:
            if sweep.timeline is line and runs in (None, sweep.runs):
                return sweep
        self.sweeps.append(Sweep(len(self.sweeps), line, runs or 1))
        return self.sweeps[-1]

    # sums over the steps

    def sum_of(self, name: str) -> Sum | None:
        tensor = self.graph.tensors[name]
        value = tensor.equations[0].value
        if len(tensor.equations) != 1 or not isinstance(value, Reduce) or value.op in _POSITIONS:
            return None
        return next((found for index in value.indices if (found := self.sum_over(tensor, value, index))), None)

    def sum_over(self, tensor: Tensor, value: Reduce, index: Index) -> Sum | None:
        """The reduction as one over the steps of a timeline, to which it adds a value for every step."""
        line: Timeline | None = None
        time: Time | None = None
        for read in reads(value):
            mine = self.line_of.get(read.tensor)
            if mine is None:
                continue
            step = mine.places[read.tensor].of(read.subscripts)
            parts = step.split(index)
            if parts is None or parts[0].value not in (1, -1) or not _is_told(parts[1]):
                if _is_told(step):
                    continue
                return None
            direction = 1 if parts[0].value == 1 else -1
            if line is None or time is None:
                time = self.within(mine, Time(0, direction, parts[1]), index)
                line = mine
            if time is None or mine is not line or direction != time.direction:
                return None
            if (parts[1] - time.shift).value is None:
                return None
        return Sum(tensor.id, index, time) if time is not None else None

    def is_stepped(self, read: Read, index: Index) -> bool:
        line = self.line_of.get(read.tensor)
        return line is not None and not _is_told(line.places[read.tensor].of(read.subscripts))

    @staticmethod
    def within(line: Timeline, time: Time, index: Index) -> Time | None:
        """The step of each value of the index, all of them steps of the timeline."""
        far = time.shift + (polynomial(index.size) - 1) * time.direction
        low, high = (time.shift, far) if time.direction > 0 else (far, time.shift)
        under = low.value
        if under is None:
            over = (line.count - 1 - high).value
            if over is None or not nonnegative(low):
                return None
            shift = min(over, 0)
        else:
            shift = max(-under, 0)
        moved = Time(0, time.direction, time.shift + shift)
        if not nonnegative(line.count - 1 - high - shift) or not nonnegative(low + shift):
            return None
        return moved


# -- windows ---------------------------------------------------------------------------------------------------------


def _windows(graph: Graph, plan: _Planning) -> dict[str, Window]:
    """Readers before what they read, so that what is needed of each is known."""
    found: dict[str, Window] = dict.fromkeys(plan.line_of, Window(0, 0))
    for sweep in plan.sweeps:
        for one in sweep.sums:
            for name, away in _summed_reads(graph, sweep.timeline, one):
                _widen(found, plan, name, away, Window(0, 0))
    for component in reversed(graph.components):
        for name in component:
            if name not in plan.line_of:
                continue
            line = plan.line_of[name]
            for equation in graph.tensors[name].equations:
                for read in reads(equation.value):
                    if read.tensor in component or plan.line_of.get(read.tensor) is not line:
                        continue
                    away = steps_away(line.places, name, equation, read)
                    if away is not None:
                        _widen(found, plan, read.tensor, away, found[name])
    return found


def _summed_reads(graph: Graph, line: Timeline, one: Sum) -> Iterator[tuple[str, int]]:
    (equation,) = graph.tensors[one.tensor].equations
    own = polynomial(one.over) * one.time.direction + one.time.shift
    for read in reads(equation.value):
        if read.tensor in line.places:
            away = (line.places[read.tensor].of(read.subscripts) - own).value
            if away is not None:
                yield read.tensor, away


def _widen(found: dict[str, Window], plan: _Planning, name: str, away: int, reader: Window) -> None:
    cycle = plan.cycle_of.get(name)
    before, after = reader.before - away, reader.after + away
    if cycle is not None:  # the border reaches as far
        before -= cycle.back[name] if cycle.runs > 0 else 0
        after -= cycle.back[name] if cycle.runs < 0 else 0
    for one in cycle.members if cycle is not None else (name,):
        found[one] = Window(max(found[one].before, before), max(found[one].after, after))
