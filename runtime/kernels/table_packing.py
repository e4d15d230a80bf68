"""Panels of B for the register tile, of a product whose operands are found through tables of offsets.

A vector of columns is copied for one step after the other. Columns that are neighbours are copied as they lie. Others,
such as those of a convolution in steps of two, or those that go on in the next row of pixels, are *pieces*, of which
columns stand one or two numbers apart: each is read and written under masks. If it is the steps that are neighbours,
blocks are transposed. What is left is read one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import compact, intrinsic, types
from dlc.runtime.kernels.panels import integers
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import is_real
from dlc.runtime.kernels.table_tile import BYTES, entry, turn_vectors
from dlc.runtime.kernels.tile_shape import TileShape, itemsize, lanes, shape_number, tile_shape, width
from dlc.runtime.kernels.vectors import WORD, constant, loaded, splat, stored

most_pieces = shape_number(
    lambda shape: 4 if shape.has_masks else 1, "Pieces of a vector of columns that are faster than its numbers."
)


@part
def consecutive(table, number, size) -> bool:
    """Whether so many offsets are those of neighbours."""
    x = integers(table)
    for i in range(1, number):  # noqa: SIM110  # compiled code has no generators
        if x[i] - x[i - 1] != size:
            return False
    return True


@part
def evenly(table, number, step) -> int:
    """How many of so many offsets, from the first on, stand that far apart."""
    x = integers(table)
    count = 1
    while count < number and x[count] - x[count - 1] == step:
        count += 1
    return count


@part
def pieces(table, number, step) -> int:
    """How many pieces so many offsets are, each of those that stand that far apart."""
    found, first = 0, 0
    while first < number:
        first += evenly(table + 8 * first, number - first, step)
        found += 1
    return found


@part
def apart_in_pieces(table, number, one) -> int:
    """How many numbers the columns of few pieces stand apart; 0 if the pieces are too many."""
    size, most = itemsize(one), most_pieces(one)
    if most == 1 and number < lanes(one):
        return 0
    if pieces(table, number, size) <= most:
        return 1
    return 2 if pieces(table, number, 2 * size) <= most else 0


@part
def copy_pieces(b, table, number, steps_b, depth, apart, target, row, one):
    """Copy so many numbers of vectors piece by piece; in each, they stand so many numbers apart."""
    compact()
    x, size = integers(table), itemsize(one)
    first = 0
    while first < number:
        end = first + evenly(table + 8 * first, number - first, apart * size)
        source = b + x[first] - apart * size * first
        if apart == 1:
            copy_neighbours(source, first, end, steps_b, depth, target, row, one)
        else:
            copy_every_second(source, first, end, steps_b, depth, target, row, one)
        first = end


@part
def pack(columns, first, depth, b, in_b, steps_b, run, panel, one):
    """panel[l,j] = b[column j, step first + l]: a vector of columns at a time, of which the last two overlap; where
    there are fewer than a vector has numbers, the first one once more beyond the last, or nothing. Of the steps, every
    `run` are neighbours.
    """
    compact()
    size, block, at = itemsize(one), lanes(one), integers(in_b)
    row = size * width(one)
    for t in range(columns, block):
        at[t] = at[0]
    for i in range(0, columns, block):
        j = max(min(i, columns - block), 0)
        number, here, there = min(columns, block), in_b + 8 * j, panel + size * j
        apart = apart_in_pieces(here, number, one)
        if number == block and consecutive(here, block, size):
            copy_vectors(b, here, steps_b, depth, there, row, one)
        elif apart > 0 and run < block:
            copy_pieces(b, here, number, steps_b, depth, apart, there, row, one)
        else:
            pack_steps(first, depth, b, here, steps_b, run, there, row, one)


@part
def pack_steps(first, depth, b, here, steps_b, run, there, row, one):
    """A vector of columns: blocks of neighbouring steps are transposed, others read one by one."""
    compact()
    block, steps = lanes(one), integers(steps_b)
    l = 0
    while l < depth:
        beside = min(run - (first + l) % run, depth - l) if run >= block else depth
        turned = l + beside // block * block if run >= block else l
        for t in range(l, turned, block):
            turn_vectors(b + steps[t], here, there + t * row, row, one)
        l += beside
        pick_vectors(b, here, steps_b + 8 * turned, l - turned, there + turned * row, row, one)


def pieces_of_steps(doc: str, apart: int) -> Any:
    """``copy(source, first, end, steps, count, target, distance, like)``: of a vector for each of so many steps, whose
    numbers stand `apart` numbers apart, those from the first to before the end, to places `distance` bytes apart. The
    others are touched neither here nor there; where the processor has no masks, it has to be all.
    """

    @intrinsic
    def copy(typing_context, source, first, end, steps, count, target, distance, like):
        if not is_real(like):
            return None
        shape = tile_shape(like)
        starts = [n * (shape.lanes - 1) for n in range(apart)]  # of the vectors: the last ends with the last number

        def codegen(context, builder, sig, args):
            source, first, end, steps, count, target, distance, element = args
            vector = ir.VectorType(element.type, shape.lanes)
            source, target = (builder.inttoptr(address, BYTES) for address in (source, target))
            steps = builder.inttoptr(steps, WORD.as_pointer())
            read = [_inside(builder, shape, apart, start, first, end) for start in starts]
            written = _inside(builder, shape, 1, 0, first, end)
            with cgutils.for_range(builder, count) as loop:
                row = builder.gep(source, [entry(builder, steps, loop.index)])
                vectors = []
                for start, mask in zip(starts, read, strict=True):
                    spot = builder.bitcast(builder.gep(row, [constant(start * shape.bytes)]), vector.as_pointer())
                    vectors.append(loaded(builder, spot, mask, shape.bytes))
                spot = builder.bitcast(builder.gep(target, [builder.mul(loop.index, distance)]), vector.as_pointer())
                value = vectors[0] if apart == 1 else _every_second(builder, shape, *vectors)
                stored(builder, value, spot, written, shape.bytes)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7, like), codegen

    copy.__doc__ = doc
    return copy


def _inside(builder, shape: TileShape, apart: int, start: int, first: Any, end: Any) -> Any:
    """Which numbers of a vector, `start` behind the first, are every so many-th, from one to before another; None, for
    all, where the processor has no masks.
    """
    if not shape.has_masks:
        return None
    ranks = [i // apart if i % apart == 0 else -1 for i in range(start, start + shape.lanes)]
    rank = ir.Constant(ir.VectorType(WORD, shape.lanes), ranks)
    begun = builder.icmp_signed(">=", rank, splat(builder, first, shape.lanes))
    return builder.and_(begun, builder.icmp_signed("<", rank, splat(builder, end, shape.lanes)))


def _every_second(builder, shape: TileShape, left: Any, right: Any) -> Any:
    """Every second number of two vectors, of which the last one of the left is the first one of the right."""
    numbers = [i if i < shape.lanes else i + 1 for i in range(0, 2 * shape.lanes, 2)]
    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), shape.lanes), numbers))


copy_neighbours = pieces_of_steps("Copy a piece of vectors whose numbers lie side by side.", 1)
copy_every_second = pieces_of_steps("Copy a piece of vectors that have every second number.", 2)


def vectors_of_steps(doc: str, of_step: Callable[[Any, Any, ir.VectorType], Callable[[Any], Any]]) -> Any:
    """``write(source, columns, steps, count, target, distance, like)``: a vector for each of so many steps, put to
    places `distance` bytes apart; ``of_step(builder, columns, vector)`` makes of the address of a step its vector.
    """

    @intrinsic
    def write(typing_context, source, columns, steps, count, target, distance, like):
        if not is_real(like):
            return None
        shape = tile_shape(like)

        def codegen(context, builder, sig, args):
            source, columns, steps, count, target, distance, element = args
            vector = ir.VectorType(element.type, shape.lanes)
            source, target = (builder.inttoptr(address, BYTES) for address in (source, target))
            columns, steps = (builder.inttoptr(table, WORD.as_pointer()) for table in (columns, steps))
            vector_of = of_step(builder, columns, vector)
            before, loop, done = builder.block, builder.append_basic_block("step"), builder.append_basic_block("steps")
            builder.cbranch(builder.icmp_signed(">", count, constant(0)), loop, done)
            builder.position_at_end(loop)
            step = builder.phi(WORD)
            step.add_incoming(constant(0), before)
            value = vector_of(builder.gep(source, [entry(builder, steps, step)]))
            spot = builder.bitcast(builder.gep(target, [builder.mul(step, distance)]), vector.as_pointer())
            builder.store(value, spot, align=shape.bytes)
            following = builder.add(step, constant(1))
            step.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6, like), codegen

    write.__doc__ = doc
    return write


def _side_by_side(builder, columns: Any, vector: ir.VectorType) -> Callable[[Any], Any]:
    first = entry(builder, columns, constant(0))

    def vector_at(place: Any) -> Any:
        spot = builder.bitcast(builder.gep(place, [first]), vector.as_pointer())
        return builder.load(spot, align=_size(vector))

    return vector_at


def _one_by_one(builder, columns: Any, vector: ir.VectorType) -> Callable[[Any], Any]:
    offsets = [entry(builder, columns, constant(i)) for i in range(vector.count)]

    def vector_at(place: Any) -> Any:
        value: Any = ir.Constant(vector, ir.Undefined)
        for i, offset in enumerate(offsets):
            spot = builder.bitcast(builder.gep(place, [offset]), vector.element.as_pointer())
            number = builder.load(spot, align=_size(vector))
            value = builder.insert_element(value, number, ir.Constant(ir.IntType(32), i))
        return value

    return vector_at


def _size(vector: ir.VectorType) -> int:
    return 4 if isinstance(vector.element, ir.FloatType) else 8


copy_vectors = vectors_of_steps("Copy vectors whose numbers lie side by side.", _side_by_side)
pick_vectors = vectors_of_steps("Make vectors of numbers that lie where the table of columns says.", _one_by_one)
