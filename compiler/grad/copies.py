"""The copies of tensors of a timeline, a segment at a time, and what recurrences keep at the borders of segments.

    h.kept[0,b,w,d] = 0,  h.kept[k+1,b,w,d] = h[k,b,w+|S|,d]      what the next segment looks back at
    h[k,b,w,d] = h.kept[k,b,w,d]
    h[k,b,w+1,d] = [k*|S| + w < |T|]*tanh(u[d,d']*h[k,b,w,d'] + ..)

Where there is no such step, in the last segment perhaps, a copy is 0, so that it may be read; a sum is whatever it is
there, as long as it reads nothing out of range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dlc.compiler.grad.segments import Place, Room, Translation, in_range, nothing
from dlc.compiler.grad.timelines import Run, is_whole_elsewhere, run_of
from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.expr import (
    Const,
    Expr,
    Index,
    Read,
    Reduce,
    Select,
    Solve,
    free_indices,
    fresh,
    identity_of,
    op,
    refresh,
)
from dlc.compiler.ir.graph import Equation, Tensor, whole
from dlc.compiler.ir.rewriting import rename_bound, substitute

_Axis = TypeVar("_Axis")


def make_copy(room: Room, name: str) -> None:
    """The copy of a tensor, and tensors of its own for sums among several parts."""
    copying = _Copying(room, room.graph.tensors[name])
    made = copying.run()
    room.made[made.id] = made


def make_border(room: Room, name: str) -> None:
    """What a sweep keeps of a recurrence for segments to come."""
    copying = _Copying(room, room.graph.tensors[name])
    room.made[room.books.kept[name]] = copying.border()


class _Copying:
    def __init__(self, room: Room, tensor: Tensor) -> None:
        self.room, self.books, self.tensor = room, room.books, tensor
        self.time = room.line.places[tensor.id]
        self.axis, self.runs, self.past = self.time.axis, self.books.runs(tensor.id), self.books.past(tensor.id)
        self.computed = room.computed(tensor.id)

    def run(self) -> Tensor:
        tensor = self.tensor
        extent = integer(op("add", self.computed, Const(self.past)))
        sizes = (self.room.segments.count, *self.with_steps(tensor.sizes, extent))
        sets = ("", *self.with_steps(tensor.sets, "")) if tensor.sets else ()
        equations = [self.taken_over()] if self.past else []
        if is_whole_elsewhere(tensor, self.axis):
            equations.append(self.merged())
        else:
            equations += [self.part(equation) for equation in tensor.equations]
        name = self.room.copies[tensor.id]
        return Tensor(name, sizes, tensor.type, "computed", tuple(equations), sets, span=tensor.span)

    def with_steps(self, axes: Sequence[_Axis], steps: _Axis) -> tuple[_Axis, ...]:
        """The axes with that of the steps replaced."""
        return tuple(steps if place == self.axis else axis for place, axis in enumerate(axes))

    def indices(self, steps: Index) -> tuple[Index, ...]:
        """New indices over the axes, named as in the equations."""
        hints = ["i"] * self.tensor.rank
        for equation in self.tensor.equations:
            for place, subscript in enumerate(equation.subscripts):
                hints[place] = next((index.hint for index in free_indices(subscript)), hints[place])
        axes = [fresh(size, hint) for size, hint in zip(self.tensor.sizes, hints, strict=True)]
        return self.with_steps(axes, steps)

    # borders

    def taken_over(self) -> Equation:
        """The elements before a segment, from the border."""
        segment, axes = self.room.segment, self.indices(fresh(Const(self.past), "w"))
        place = axes[self.axis] if self.runs > 0 else integer(op("add", axes[self.axis], self.computed))
        border = self.room.border_before(segment, self.runs)
        value = Read(self.books.kept[self.tensor.id], (border, *axes), self.tensor.type)
        written = self.with_steps(tuple[Expr, ...](axes), place)
        return Equation((segment, *axes), (segment, *written), value, self.tensor.span)

    def border(self) -> Tensor:
        """What the next segment takes over, which is 0 for the first."""
        tensor, segment = self.tensor, self.room.segment
        axes, own = (self.indices(fresh(Const(self.past), "w")) for _ in range(2))
        first, written = self.room.ends(segment, self.runs)
        window = self.books.plan.windows[tensor.id]
        ahead = self.room.segments.length if self.runs > 0 else Const(window.before + window.after)
        place = integer(op("add", own[self.axis], ahead))
        value = Read(
            self.room.copies[tensor.id], (segment, *self.with_steps(tuple[Expr, ...](own), place)), tensor.type
        )
        equations = (
            Equation(axes, (first, *axes), nothing(tensor.type), tensor.span),
            Equation((segment, *own), (written, *own), value, tensor.span),
        )
        sizes = (self.room.borders, *(one.size for one in axes))
        return Tensor(self.books.kept[tensor.id], sizes, tensor.type, "computed", equations, span=tensor.span)

    # steps

    def merged(self) -> Equation:
        """One equation for a step, which chooses among the parts of the tensor."""
        tensor, segment, within = self.tensor, self.room.segment, self.room.within(self.computed)
        axes = self.indices(within)
        parts = [
            self.chosen(equation, run, segment, axes)
            for equation, run in zip(tensor.equations, self.part_runs(), strict=True)
        ]
        # the part with the most steps is what is left
        parts.sort(key=lambda part: part.is_run)
        value = parts[-1].value
        for part in reversed(parts[:-1]):
            value = Select(part.holds, part.value, value) if part.holds is not None else part.value
        written = self.with_steps(tuple[Expr, ...](axes), self.place_of(within))
        value = self.guarded(value, self.exists(segment, within))
        return Equation((segment, *axes), (segment, *written), value, tensor.equations[-1].span)

    def chosen(self, equation: Equation, run: Run, segment: Index, axes: Sequence[Index]) -> _Part:
        """A part of the tensor, at a step."""
        names: dict[Expr, Expr] = {
            subscript: axes[place] for place, subscript in enumerate(equation.subscripts) if place != self.axis
        }
        subscript = self.subscript(segment, axes[self.axis])
        value = self.value(equation, run, segment, axes[self.axis], names)
        if len(self.tensor.equations) > 1 and isinstance(value, Reduce | Solve):
            value = self.reduced(segment, axes, value)
        if run.index is None:
            return _Part(op("eq", subscript.expression(), run.rest.expression()), value, False)
        return _Part(in_range((subscript - run.rest) * run.sign, run.index.size), value, True)

    def part(self, equation: Equation) -> Equation:
        """An equation of a tensor whose parts differ in other axes, for a step."""
        segment, within, (run,) = self.room.segment, self.room.within(self.computed), self.part_runs(equation)
        own: dict[Expr, Expr] = {index: refresh(index) for index in equation.indices if index is not run.index}
        value = self.value(equation, run, segment, within, own)
        written = self.with_steps([substitute(one, own) for one in equation.subscripts], self.place_of(within))
        indices = (segment, within, *(index for index in own.values() if isinstance(index, Index)))
        value = self.guarded(value, self.exists(segment, within))
        return Equation(indices, (segment, *written), value, equation.span)

    def part_runs(self, *equations: Equation) -> list[Run]:
        runs = [run_of(equation, self.axis) for equation in equations or self.tensor.equations]
        return [run for run in runs if run is not None]

    def place_of(self, within: Index) -> Expr:
        return integer(op("add", within, Const(self.books.first(self.tensor.id))))

    def subscript(self, segment: Expr, within: Index) -> Polynomial:
        """The subscript of the original at a step."""
        step = self.room.first_step(segment) + polynomial(within) - self.books.before(self.tensor.id)
        return (step - self.time.shift) * self.time.direction

    def exists(self, segment: Expr, within: Index) -> Expr | None:
        """The condition under which the tensor has an element of the step."""
        return in_range(self.subscript(segment, within), self.tensor.sizes[self.axis])

    def guarded(self, value: Expr, exists: Expr | None) -> Expr:
        if exists is None or isinstance(value, Reduce | Solve):
            return value
        return Select(exists, value, nothing(self.tensor.type))

    def value(self, equation: Equation, run: Run, segment: Index, within: Index, names: Mapping[Expr, Expr]) -> Expr:
        """The value of an equation at one step; that of a sum is guarded where it needs to be."""
        instead = ((self.subscript(segment, within) - run.rest) * run.sign).expression() if run.index else None
        number = polynomial(within) - self.books.before(self.tensor.id)
        place = Place(segment, number, run.index, instead, self.time.of(equation.subscripts))
        translation = Translation(self.room, place)
        value = translation.of(substitute(rename_bound(equation.value), names))
        exists = self.exists(segment, within)
        return value if exists is None or not translation.leaves else _in_range_only(value, exists)

    def reduced(self, segment: Index, axes: Sequence[Index], value: Expr) -> Expr:
        """A reduction among several parts as a tensor of its own."""
        name = self.books.unused(f"{self.tensor.id}.part")
        self.room.made[name] = whole(name, (segment, *axes), rename_bound(value), self.tensor.span)
        return Read(name, (segment, *axes), self.tensor.type)


@dataclass(frozen=True)
class _Part:
    """``value`` where the condition ``holds`` (None: everywhere); ``is_run``: at more than one step."""

    holds: Expr | None
    value: Expr
    is_run: bool


def _in_range_only(value: Expr, exists: Expr) -> Expr:
    """A reduction or system that reads nothing where there is no such step."""
    if isinstance(value, Reduce):
        return value.rebuild((Select(exists, value.body, identity_of(value.op, value.body.type)),))
    if isinstance(value, Solve):
        unit = Select(op("eq", value.row, value.column), Const(1.0), Const(0.0))
        matrix, vector = Select(exists, value.matrix, unit), Select(exists, value.vector, Const(0.0))
        return value.rebuild((matrix, vector, value.position))
    return value
