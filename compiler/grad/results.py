"""What a sweep gives to the rest of the graph: sums over the steps, elements of certain steps, tensors in full.

d_u.sum[|K|,d,d'] = 0,  d_u.sum[k,d,d'] = d_u.sum[k+1,d,d'] + d_u.part[k,d,d']      against the steps
d_u[d,d'] = d_u.sum[0,d,d']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlc.compiler.grad.segments import Place, Room, Translation, in_range, nothing
from dlc.compiler.grad.sweeps import Pick, Sum, form_of
from dlc.compiler.ir.affine import integer, polynomial
from dlc.compiler.ir.expr import ZERO, Const, Expr, Index, Read, Reduce, Select, fresh, identity_of, op, refresh
from dlc.compiler.ir.graph import Equation, Tensor, whole
from dlc.compiler.ir.rewriting import rename_bound, substitute

_COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "any": "or", "all": "and"}


def make_sum(room: Room, one: Sum) -> None:
    """A reduction over all steps: of every segment, and of the segments up to each."""
    tensor = room.graph.tensors[one.tensor]
    (equation,) = tensor.equations
    value = equation.value
    assert isinstance(value, Reduce)
    segment, indices, total = room.segment, _renewed(equation.indices), room.books.unused(f"{one.tensor}.sum")
    part = _part(room, one, tensor, value)
    step = op(
        _COMBINE[value.op],
        Read(total, (room.border_before(segment, room.sweep.runs), *indices), tensor.type),
        Read(part, (segment, *indices), tensor.type),
    )
    found = _carried(room, total, indices, identity_of(value.op, tensor.type), step, segment)
    names: dict[Expr, Expr] = dict(zip(indices, equation.indices, strict=True))
    done = replace(equation, value=substitute(found, names))
    room.books.tensors[tensor.id] = replace(tensor, equations=(done,))


def _part(room: Room, one: Sum, tensor: Tensor, value: Reduce) -> str:
    """The reduction over the steps of a segment."""
    (equation,) = tensor.equations
    segment, within = room.segment, room.within(room.segments.length)
    at = (room.first_step(segment) + polynomial(within) - one.time.shift) * one.time.direction
    kept = tuple(index for index in value.indices if index is not one.over)
    indices, others = _renewed(equation.indices), _renewed(kept)
    names: dict[Expr, Expr] = dict(zip((*equation.indices, *kept), (*indices, *others), strict=True))
    own = polynomial(one.over) * one.time.direction + one.time.shift
    place = Place(segment, polynomial(within), one.over, at.expression(), own)
    body = Translation(room, place).of(substitute(rename_bound(value.body), names))
    exists = in_range(at, one.over.size)
    if exists is not None:
        body = Select(exists, body, identity_of(value.op, body.type))
    name = room.books.unused(f"{tensor.id}.part")
    made = Reduce(value.op, (*others, within), body)
    room.made[name] = whole(name, (segment, *indices), made, equation.span)
    return name


def make_pick(room: Room, one: Pick) -> None:
    """The elements of a certain step, taken along from the segment that has them."""
    tensor, name = room.graph.tensors[one.read.tensor], room.books.picked[form_of(one.read)]
    total = room.books.unused(f"{name}.sum")
    segment, indices = room.segment, _renewed(one.free)
    names: dict[Expr, Expr] = dict(zip(one.free, indices, strict=True))
    data = Translation(room, None)
    subscripts = [substitute(data.of(subscript), names) for subscript in one.read.subscripts]
    step, start = polynomial(substitute(data.of(one.step.expression()), names)), room.first_step(segment)
    subscripts[room.line.places[tensor.id].axis] = (step - start + room.books.offset(tensor.id)).expression()
    here = Read(room.copies[tensor.id], (segment, *subscripts), tensor.type)
    before = Read(total, (room.border_before(segment, room.sweep.runs), *indices), tensor.type)
    holds = (
        op("le", start.expression(), step.expression()),
        op("lt", step.expression(), (start + polynomial(room.segments.length)).expression()),
    )
    value = Select(op("and", *holds), here, before)
    found = _carried(room, total, indices, nothing(tensor.type), value, segment)
    axes = _renewed(indices)
    again: dict[Expr, Expr] = dict(zip(indices, axes, strict=True))
    room.books.tensors[name] = whole(name, axes, substitute(found, again))


def make_full(room: Room, name: str) -> None:
    """The tensor as it was, from its segments."""
    tensor, time = room.graph.tensors[name], room.line.places[name]
    axes = tuple(fresh(size, "i") for size in tensor.sizes)
    step, length = time.of(axes).expression(), room.segments.length
    place = op("add", op("mod", step, length), Const(room.books.offset(name)))
    segment = integer(op("floordiv", step, length))
    subscripts = [integer(place) if number == time.axis else axis for number, axis in enumerate(axes)]
    made = whole(name, axes, Read(room.copies[name], (segment, *subscripts), tensor.type), tensor.span)
    room.books.tensors[name] = replace(tensor, equations=made.equations)


def _carried(room: Room, name: str, indices: Sequence[Index], start: Expr, step: Expr, segment: Index) -> Expr:
    """A quantity that goes from segment to segment, and is at last what is returned, at ``indices``."""
    runs = room.sweep.runs
    first, written = room.ends(segment, runs)
    others = _renewed(indices)
    equations = (
        Equation(others, (first, *others), start),
        Equation((segment, *indices), (written, *indices), step),
    )
    sizes = (room.borders, *(index.size for index in indices))
    room.made[name] = Tensor(name, sizes, start.type, "computed", equations)
    return Read(name, (room.segments.count if runs > 0 else ZERO, *indices), start.type)


def _renewed(indices: Sequence[Index]) -> tuple[Index, ...]:
    return tuple(refresh(index) for index in indices)
