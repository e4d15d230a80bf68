"""Copies of matrices with rows and columns exchanged, through registers.

A square of as many rows as a vector of 256 bits has numbers is read and written in vectors. Halves of rows are put side
by side as they are loaded; what is left is to transpose the small squares within pieces of 128 bits, by instructions
that interleave two rows. Squares are done in pairs, so that a line of the cache is written at once. The last ones begin
early where rows or columns are no whole number of them: what is copied twice is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from dlc.runtime.kernels.compilation import exact, intrinsic, types
from dlc.runtime.kernels.primitives import is_real, minimum
from dlc.runtime.kernels.vectors import constant

#: Bits of a row of a square, and of what an instruction interleaves by itself.
ROW, PIECE = 256, 128


def _is_matrix(pointer: Any) -> bool:
    return isinstance(pointer, types.CPointer) and is_real(pointer.dtype)


@intrinsic
def _side(typing_context, matrix):
    """The rows of a square."""
    if not _is_matrix(matrix):
        return None
    return types.int64(matrix), lambda context, builder, sig, args: constant(ROW // matrix.dtype.bitwidth)


@intrinsic
def _copy_element(typing_context, target, target_step, source, source_step, row, column):
    """``target[row, column] = source[column, row]``"""
    if not _is_matrix(source):
        return None

    def codegen(context, builder, sig, args):
        target, target_step, source, source_step, row, column = args
        place = builder.gep(source, [builder.add(builder.mul(column, source_step), row)])
        builder.store(builder.load(place), builder.gep(target, [builder.add(builder.mul(row, target_step), column)]))
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64, types.int64, types.int64), codegen


@intrinsic
def _copy_square(typing_context, target, target_step, source, source_step, row, column):
    """The same for a square, of which this is the first element."""
    if not _is_matrix(source):
        return None
    bits = source.dtype.bitwidth
    side, piece = ROW // bits, PIECE // bits

    def codegen(context, builder, sig, args):
        target, target_step, source, source_step, row, column = args

        def vector_at(start: Any, step: Any, r: Any, c: Any, lanes: int) -> Any:
            place = builder.gep(start, [builder.add(builder.mul(r, step), c)])
            return builder.bitcast(place, ir.VectorType(start.type.pointee, lanes).as_pointer())

        def shuffled(one: Any, other: Any, order: Sequence[int]) -> Any:
            places = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), [ir.IntType(32)(n) for n in order])
            return builder.shuffle_vector(one, other, places)

        for first in range(0, side, piece):
            along = builder.add(row, constant(first))
            rows = []
            for r in range(piece):
                below = [builder.add(column, constant(r + start)) for start in range(0, side, piece)]
                places = [vector_at(source, source_step, here, along, piece) for here in below]
                one, other = (builder.load(place, align=bits // 8) for place in places)
                rows.append(shuffled(one, other, range(side)))
            for r, found in enumerate(_transposed_pieces(rows, side, piece, shuffled)):
                here = builder.add(along, constant(r))
                builder.store(found, vector_at(target, target_step, here, column, side), align=bits // 8)
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64, types.int64, types.int64), codegen


def _transposed_pieces(
    rows: list[Any], side: int, piece: int, shuffled: Callable[[Any, Any, Sequence[int]], Any]
) -> Any:
    """The columns of the small squares that lie side by side in the rows."""
    width = 1
    while width < piece:
        pairs = list(zip(rows[::2], rows[1::2], strict=True))
        rows = [shuffled(*pair, _interleaved(side, piece, width, half)) for half in (0, 1) for pair in pairs]
        width *= 2
    return *rows[::2], *rows[1::2]


def _interleaved(side: int, piece: int, width: int, half: int) -> list[int]:
    """Of each piece of two rows the lower or the upper half, `width` numbers of the one and of the other in turn."""
    order: list[int] = []
    for start in range(half * piece // 2, side, piece):
        for first in range(start, start + piece // 2, width):
            order += [*range(first, first + width), *range(side + first, side + first + width)]
    return order


def _transposed(target, target_step, source, source_step, rows, columns):
    n = _side(target)
    if rows < n or columns < n:
        for row in range(rows):
            for column in range(columns):
                _copy_element(target, target_step, source, source_step, row, column)
        return
    for left in range(0, columns, 2 * n):
        for row in range(0, rows, n):
            top = minimum(row, rows - n)
            for column in range(left, minimum(left + 2 * n, columns), n):
                _copy_square(target, target_step, source, source_step, top, minimum(column, columns - n))


_compiled = exact(_transposed, inline=False)


@intrinsic
def transpose(typing_context, target, target_step, source, source_step, rows, columns):
    """``target[r, c] = source[c, r]`` for so many rows and columns of the target; rows lie so many elements apart."""
    if not _is_matrix(target) or source != target:
        return None
    arguments = (target, types.int64, source, types.int64, types.int64, types.int64)
    _compiled.compile(arguments)
    code = _compiled.overloads[arguments]

    def codegen(context, builder, sig, args):
        context.add_linking_libs((code.library,))
        return context.call_internal_no_propagate(builder, code.fndesc, sig, args)[1]

    return types.void(*arguments), codegen
