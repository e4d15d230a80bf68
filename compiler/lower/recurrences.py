"""Recurrences as loops: equations at one time, the rounds in which they run, and how much of the past is kept.

``order`` (``ir/recurrence.py``) says which equations a loop over time computes, and what the time of each element is.
Here the index variable of time disappears from these equations: what they compute is what they compute in one round,
with the number of the round in their subscripts.

    h[t+1,d] = tanh(s[t,d])    in round r:    h[r+1,d] = tanh(s[r,d])

A tensor of which nothing outside needs more than the last elements keeps no more than the loop looks back at: its axis
has that many places, which are used in turn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dlc.compiler.ir.affine import Polynomial, integer, known, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.dependences import Place, guarded_reads
from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Index, Read, Size, fresh, op, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.recurrence import Conflict, Loop, order
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.ir.timings import Time
from dlc.compiler.ir.verify import InternalError
from dlc.compiler.lower.sizes import shortened

Equations = Mapping[Place, Equation]
_NO_FORMULAS: Mapping[str, Expr] = {}


# -- orders ------------------------------------------------------------------------------------------------------------


def steps_of(graph: Graph, component: tuple[str, ...]) -> tuple[Loop | Place, ...]:
    """The equations of one tensor, or the loops of a recurrence, in an order in which they may run."""
    if component[0] not in graph.recurrence_of:
        (name,) = component
        return tuple(Place(name, number) for number in range(len(graph.tensors[name].equations)))
    found = order(graph, component)
    if isinstance(found, Conflict):
        raise InternalError(f"a recurrence without order: {', '.join(component)}")
    return found


def times_of(orders: Iterable[Iterable[Loop | Place]]) -> Mapping[str, frozenset[int]]:
    """The axes of tensors that recurrences run along."""
    found: dict[str, frozenset[int]] = {}
    for steps in orders:
        for step in steps:
            if isinstance(step, Loop):
                inner = times_of((step.body,))
                for name, time in step.times.items():
                    found[name] = found.get(name, frozenset()) | inner.get(name, frozenset()) | {time.axis}
    return found


def kept(steps: Iterable[Loop | Place], graph: Graph) -> Iterator[Loop | Place]:
    """The steps without those of tensors that are not in the graph."""
    for step in steps:
        if isinstance(step, Loop):
            times = {name: time for name, time in step.times.items() if name in graph.tensors}
            yield Loop(times, tuple(kept(step.body, graph)))
        elif step.tensor in graph.tensors:
            yield step


# -- rounds ------------------------------------------------------------------------------------------------------------


class Span(NamedTuple):
    """The times at which an equation writes, and the index that time fixes: it is ``(time - rest) / step``."""

    first: Polynomial
    last: Polynomial
    index: Index | None
    step: int
    rest: Polynomial


@dataclass(frozen=True)
class Rounds:
    """A loop over time: ``equations`` in a round, and the ``conditions`` under which they have one."""

    index: Index
    equations: Equations
    conditions: Mapping[Place, tuple[Expr, ...]]

    @property
    def count(self) -> Expr:
        return self.index.size


def span_of(equation: Equation, time: Time, formulas: Mapping[str, Expr] = _NO_FORMULAS) -> Span:
    names: dict[Expr, Expr] = {Size(name): formula for name, formula in formulas.items()}

    def spelled_out(expression: Expr) -> Polynomial:
        return polynomial(substitute(expression, names)) if names else polynomial(expression)

    value = spelled_out(equation.subscripts[time.axis]) * time.direction + time.shift
    index = next((atom for atom in value.atoms if isinstance(atom, Index) and atom in equation.indices), None)
    parts = value.split(index) if index is not None else None
    if index is None or parts is None:
        return Span(value, value, None, 1, value)
    step, rest = parts[0].value, parts[1]
    assert step is not None  # the order has chosen no other axis
    far = rest + (spelled_out(index.size) - 1) * step
    return Span(rest, far, index, step, rest) if step > 0 else Span(far, rest, index, step, rest)


def rounds_of(loop: Loop, equations: Equations, formulas: Mapping[str, Expr]) -> Rounds:
    """The equations of the loop with the index of time replaced by the number of the round.

    ``formulas`` are those of sizes that the equations mention and the order does not.
    """
    spans = {place: span_of(equations[place], loop.times[place.tensor], formulas) for place in loop.places()}
    first = _extreme("min", [span.first for span in spans.values()])
    last = _extreme("max", [span.last for span in spans.values()])
    hint = next((span.index.hint for span in spans.values() if span.index is not None), "t")
    index = fresh(shortened((last - first + 1).expression(), formulas), hint)
    time = polynomial(index) + first
    now: dict[Place, Equation] = {}
    conditions: dict[Place, tuple[Expr, ...]] = {}
    for place, span in spans.items():
        now[place] = _shortened(_at(equations[place], span, time), formulas)
        found: list[Expr] = []
        if span.first != first:
            found.append(op("le", span.first.expression(), time.expression()))
        if span.last != last:
            found.append(op("le", time.expression(), span.last.expression()))
        if abs(span.step) > 1:
            found.append(op("eq", op("mod", (time - span.rest).expression(), Const(abs(span.step))), ZERO))
        conditions[place] = tuple(shortened(cond, formulas) for cond in found)
    return Rounds(index, now, conditions)


def _shortened(equation: Equation, formulas: Mapping[str, Expr]) -> Equation:
    subscripts = tuple(shortened(subscript, formulas) for subscript in equation.subscripts)
    return replace(equation, subscripts=subscripts, value=shortened(equation.value, formulas))


def _extreme(name: str, values: Sequence[Polynomial]) -> Polynomial:
    sign = 1 if name == "max" else -1
    found = values[0]
    for value in values[1:]:
        if nonnegative((value - found) * sign):
            found = value
        elif not nonnegative((found - value) * sign):
            found = polynomial(op(name, found.expression(), value.expression()))
    return found


def _at(equation: Equation, span: Span, time: Polynomial) -> Equation:
    """The equation at one time."""
    if span.index is None:
        return equation
    place = (time - span.rest) * (1 if span.step > 0 else -1)
    if abs(span.step) > 1:
        place = polynomial(op("floordiv", place.expression(), Const(abs(span.step))))
    names: dict[Expr, Expr] = {span.index: place.expression()}
    return replace(
        equation,
        indices=tuple(index for index in equation.indices if index is not span.index),
        subscripts=tuple(integer(substitute(subscript, names)) for subscript in equation.subscripts),
        value=_normal(substitute(equation.value, names)),
    )


def _normal(value: Expr) -> Expr:
    """The value with its subscripts as polynomials."""

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Read):
            return Read(node.tensor, tuple(map(integer, node.subscripts)), node.type)
        return None

    return transform(value, change)


# -- what is kept of the past ----------------------------------------------------------------------------------------


class Ring(NamedTuple):
    """The axis of a tensor has ``places`` places, of which element ``s`` takes number ``s mod places``."""

    axis: int
    places: int


def rings(graph: Graph, loops: Iterable[Loop]) -> dict[str, Ring]:
    """The tensors of outermost loops of which only the last elements are needed at any time."""
    found: dict[str, Ring] = {}
    loops = list(loops)
    readers = _readers(graph, {name for loop in loops for name in loop.times} - set(graph.roots))
    for loop in loops:
        for name, time in loop.times.items():
            if name not in graph.roots:
                places = _places_needed(graph, name, loop, readers.get(name, ()))
                extent = known(graph.tensors[name].sizes[time.axis])
                if places is not None and (extent is None or extent > places):
                    found[name] = Ring(time.axis, places)
    return found


Reader = tuple[Place, Read, tuple[Polynomial, ...]]


def _readers(graph: Graph, names: Collection[str]) -> dict[str, list[Reader]]:
    """What reads the tensors of these names."""
    found: dict[str, list[Reader]] = {}
    for tensor in graph.tensors.values():
        for number, equation in enumerate(tensor.equations):
            if any(read.tensor in names for read in reads(equation.value)):
                for read, facts in guarded_reads(equation.value):
                    found.setdefault(read.tensor, []).append((Place(tensor.id, number), read, facts))
    return found


def _places_needed(graph: Graph, name: str, loop: Loop, readers: Sequence[Reader]) -> int | None:
    """How many elements along time must be kept, if that is a number."""
    inside, time = set(loop.places()), loop.times[name]
    equations = {Place(name, number): equation for number, equation in enumerate(graph.tensors[name].equations)}
    written = [span_of(equation, time) for place, equation in equations.items() if place in inside]
    first = _extreme("min", [span.first for span in written])
    last = _extreme("max", [span.last for span in written])
    back = 0
    for place, read, _ in readers:
        if place in inside:
            now = loop.times[place.tensor].of(graph.tensors[place.tensor].equations[place.number].subscripts)
            distance = (now - time.of(read.subscripts)).value
            if distance is None:
                return None
            back = max(back, distance)
    before = [span_of(equation, time) for place, equation in equations.items() if place not in inside]
    later = [(time.of(read.subscripts), facts) for place, read, facts in readers if place not in inside]
    kept = all(_stands_before(span, first, back) for span in before)
    kept = kept and all(nonnegative(read_time - last + back, facts) for read_time, facts in later)
    return back + 1 if kept else None


def _stands_before(span: Span, first: Polynomial, back: int) -> bool:
    """Whether an equation outside the loop writes nothing but what the first rounds look back at."""
    return nonnegative(first - span.last - 1) and nonnegative(span.first - first + back)


def on_rings(equation: Equation, tensor: str, known_rings: Mapping[str, Ring]) -> Equation:
    """The equation with subscripts at rings turned into places."""
    if not known_rings:
        return equation

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Read) and node.tensor in known_rings:
            return Read(node.tensor, _turned(node.subscripts, known_rings[node.tensor]), node.type)
        return None

    subscripts = equation.subscripts
    if tensor in known_rings:
        subscripts = _turned(subscripts, known_rings[tensor])
    return replace(equation, subscripts=subscripts, value=transform(equation.value, change))


def _turned(subscripts: Sequence[Expr], ring: Ring) -> tuple[Expr, ...]:
    place = ZERO if ring.places == 1 else integer(op("mod", subscripts[ring.axis], Const(ring.places)))
    return tuple(place if axis == ring.axis else subscript for axis, subscript in enumerate(subscripts))


def ring_sized(tensor: Tensor, ring: Ring | None) -> Tensor:
    """The tensor as it lies in memory; ``equations`` still speak of elements."""
    if ring is None:
        return tensor
    extent = ONE if ring.places == 1 else Const(ring.places)
    sizes = tuple(extent if axis == ring.axis else size for axis, size in enumerate(tensor.sizes))
    return replace(tensor, sizes=sizes)
