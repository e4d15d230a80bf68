"""Where the copies of tensors lie that a checkpointed graph makes of a segment at a time, and how they are read.

Step ``k*S + w`` is number ``w`` of segment ``k``.  A copy has an axis over the segments before all others, and its axis
over the steps holds what is looked back at from the segment before, then some steps before the segment if they are
needed, the segment, and some steps after it; of a recurrence that runs against the steps, what is looked back at comes
last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dlc.compiler.grad.sweeps import Sweep, Sweeps, form_of
from dlc.compiler.grad.timelines import Timeline
from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import FALSE, ONE, ZERO, Const, Expr, Index, Read, free_indices, fresh, number, op
from dlc.compiler.ir.graph import Graph, Tensor, unique
from dlc.compiler.ir.ops import Type


@dataclass(frozen=True)
class Segments:
    """``count`` segments of ``length`` steps."""

    length: Expr
    count: Expr

    @staticmethod
    def of(line: Timeline, length: int | None) -> Segments:
        """The steps of a timeline in segments of that length; None: of as many steps as there are segments, about."""
        steps = line.count.expression()
        size = integer(op("max", ONE, op("isqrt", steps))) if length is None else Const(length)
        return Segments(size, integer(op("floordiv", op("add", steps, size, Const(-1)), size)))


@dataclass
class Books:
    """What is known of all sweeps: ``tensors`` are those of the graph to be; ``kept`` names for a tensor what keeps its
    states at the borders, ``picked`` for the form of a read what stands for it."""

    graph: Graph
    plan: Sweeps
    segments: Mapping[int, Segments]  # of each sweep
    tensors: dict[str, Tensor]
    taken: set[str]
    kept: dict[str, str] = field(default_factory=dict)
    picked: dict[Expr, str] = field(default_factory=dict)

    def unused(self, wanted: str) -> str:
        name = unique(wanted, self.taken)
        self.taken.add(name)
        return name

    def past(self, name: str) -> int:
        """How far a tensor is looked back at from the next segment."""
        cycle = self.plan.cycle_of.get(name)
        return cycle.back[name] if cycle is not None else 0

    def runs(self, name: str) -> int:
        cycle = self.plan.cycle_of.get(name)
        return cycle.runs if cycle is not None else 1

    def before(self, name: str) -> int:
        """How many steps before a segment a copy has."""
        return self.plan.windows[name].before

    def first(self, name: str) -> int:
        """The place of the first element of a copy that is computed."""
        return self.past(name) if self.runs(name) > 0 else 0

    def offset(self, name: str) -> int:
        """The place of the first step of a segment in a copy."""
        return self.first(name) + self.before(name)


class Room:
    """One sweep: ``copies`` names that of each tensor, ``made`` is what it computes of a segment at a time."""

    def __init__(self, books: Books, sweep: Sweep) -> None:
        self.books, self.sweep, self.line = books, sweep, sweep.timeline
        self.graph, self.segments = books.graph, books.segments[sweep.number]
        self.copies: dict[str, str] = {}
        self.made: dict[str, Tensor] = {}
        self.segment = fresh(self.segments.count, "k")  # one index for all equations: what is proved of it is kept
        self.numbers: dict[Expr, Index] = {}

    def within(self, extent: Expr) -> Index:
        """An index over so many steps of a segment, one for all equations."""
        if extent not in self.numbers:
            self.numbers[extent] = fresh(extent, "w")
        return self.numbers[extent]

    def first_step(self, segment: Expr) -> Polynomial:
        return polynomial(segment) * polynomial(self.segments.length)

    def computed(self, name: str) -> Expr:
        """How many steps of each segment are computed."""
        window = self.books.plan.windows[name]
        return integer(op("add", self.segments.length, Const(window.before + window.after)))

    @property
    def borders(self) -> Expr:
        return integer(op("add", self.segments.count, ONE))

    def ends(self, segment: Expr, runs: int) -> tuple[Expr, Expr]:
        """The border before all segments, and that behind a segment, in the order of a sweep."""
        return (ZERO, integer(op("add", segment, ONE))) if runs > 0 else (self.segments.count, segment)

    def border_before(self, segment: Expr, runs: int) -> Expr:
        return segment if runs > 0 else integer(op("add", segment, ONE))


@dataclass(frozen=True)
class Place:
    """Where an equation is computed: at number ``within`` of a segment; ``index`` of the original has the value
    ``value`` there, and ``step`` is the step in its terms."""

    segment: Expr
    within: Polynomial
    index: Index | None
    value: Expr | None
    step: Polynomial


def nothing(type: Type) -> Expr:
    return FALSE if type == "bool" else number(0, type)


def in_range(place: Polynomial, size: Expr) -> Expr | None:
    """The condition ``0 <= place < size``, as far as it may be wrong."""
    rest = polynomial(size) - place - 1
    conditions: list[Expr] = []
    if not nonnegative(place):
        conditions.append(op("le", ZERO, place.expression()))
    if not nonnegative(rest):
        conditions.append(op("lt", place.expression(), integer(size)))
    return op("and", *conditions) if conditions else None


class Translation:
    """A value of the graph as it was, in terms of copies; ``leaves`` tells whether it reads elements of a step that
    are no copies.  Without a place, it is that of an equation outside of all timelines.
    """

    def __init__(self, room: Room | None, place: Place | None, books: Books | None = None) -> None:
        self.room, self.place = room, place
        self.books = books if books is not None else room.books if room is not None else None
        self.leaves = False
        self.done: dict[Expr, Expr] = {}

    def of(self, node: Expr) -> Expr:
        if node not in self.done:
            self.done[node] = self.changed(node)
        return self.done[node]

    def changed(self, node: Expr) -> Expr:
        if self.place is not None and node is self.place.index and self.place.value is not None:
            return self.place.value
        if isinstance(node, Read):
            return self.read(node)
        return node.rebuild(tuple(map(self.of, node.children))) if node.children else node

    def read(self, node: Read) -> Expr:
        assert self.books is not None
        index = self.place.index if self.place is not None else None
        element = self.element(node)
        if element is not None:
            return element
        if node.tensor in self.books.plan.line_of and index not in free_indices(node):
            picked = self.books.picked.get(form_of(node))
            if picked is not None:
                return Read(picked, tuple(map(self.of, free_indices(node))), node.type)
        if index is not None and any(_mentions(subscript, index) for subscript in node.subscripts):
            self.leaves = True
        return Read(node.tensor, tuple(integer(self.of(subscript)) for subscript in node.subscripts), node.type)

    def element(self, node: Read) -> Read | None:
        """An element of a copy, if one is read that is a fixed number of steps away."""
        if self.room is None or self.place is None or node.tensor not in self.room.copies:
            return None
        time = self.room.line.places[node.tensor]
        away = (time.of(node.subscripts) - self.place.step).value
        if away is None:
            return None
        subscripts = [integer(self.of(subscript)) for subscript in node.subscripts]
        subscripts[time.axis] = (self.place.within + away + self.room.books.offset(node.tensor)).expression()
        return Read(self.room.copies[node.tensor], (self.place.segment, *subscripts), node.type)


def _mentions(node: Expr, index: Index) -> bool:
    """Whether the index stands in an expression, outside of what it reads."""
    if node is index:
        return True
    return not isinstance(node, Read) and any(_mentions(child, index) for child in node.children)
