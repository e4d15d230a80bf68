"""Copies of the factors of a matrix product, as the register tile walks through them: panels of B, tiles of A."""

from __future__ import annotations

from llvmlite import ir

from dlc.runtime.kernels.compilation import compact, intrinsic, types
from dlc.runtime.kernels.edges import copy_part
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import is_real
from dlc.runtime.kernels.tile import copy_column, copy_row
from dlc.runtime.kernels.tile_shape import flat, height, itemsize, lanes, stored_height, tile_shape, width
from dlc.runtime.kernels.vectors import constant, masked_load, splat, transposed

#: Rows of memory that are copied to tiles together: as many lines as a first cache has ways, if they lie badly.
AT_A_TIME = 8


@intrinsic
def transpose_block(typing_context, source, row_source, target, row_target, like):
    """Transpose a block of lanes x lanes numbers of the type of `like`."""
    if not is_real(like):
        return None
    shape = tile_shape(like)

    def codegen(context, builder, sig, args):
        element = args[4].type
        vector_pointer = ir.VectorType(element, shape.lanes).as_pointer()

        def spot(address, row, i):
            pointer = builder.inttoptr(address, element.as_pointer())
            return builder.bitcast(builder.gep(pointer, [builder.mul(row, constant(i))]), vector_pointer)

        rows = [builder.load(spot(args[0], args[1], i), align=shape.bytes) for i in range(shape.lanes)]
        for i, row in enumerate(transposed(builder, rows)):
            builder.store(row, spot(args[2], args[3], i), align=shape.bytes)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, like), codegen


@intrinsic
def transpose_corner(typing_context, source, row_source, rows, columns, target, row_target, like):
    """Transpose what there is of a block: so many of its rows and columns, at least one. Nothing else is read; the
    whole block is written, with zeros in the place of columns, and the last row in the place of rows, that are not
    there."""
    if not is_real(like):
        return None
    shape = tile_shape(like)

    def codegen(context, builder, sig, args):
        source, row_source, count, columns, target, row_target, one = args
        vector = ir.VectorType(one.type, shape.lanes)
        places = ir.Constant(ir.VectorType(ir.IntType(64), shape.lanes), list(range(shape.lanes)))
        there = builder.icmp_signed("<", places, splat(builder, columns, shape.lanes))
        last = builder.sub(count, constant(1))

        def spot(address, row, i):
            pointer = builder.inttoptr(address, one.type.as_pointer())
            return builder.bitcast(builder.gep(pointer, [builder.mul(row, i)]), vector.as_pointer())

        numbers = [
            builder.select(builder.icmp_signed("<", constant(i), count), constant(i), last) for i in range(shape.lanes)
        ]
        rows = [masked_load(builder, spot(source, row_source, i), there, shape.bytes) for i in numbers]
        for i, row in enumerate(transposed(builder, rows)):
            builder.store(row, spot(target, row_target, constant(i)), align=shape.bytes)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, like), codegen


@part
def pack_rows(depth, columns, b, ldb, panel, one):
    """panel[l,j] = b[l,j], and 0 beyond the last column"""
    compact()
    size = itemsize(one)
    if columns == width(one):
        for l in range(depth):
            copy_row(b + size * l * ldb, panel + size * l * width(one), one)
        return
    for l in range(depth):
        copy_part(columns, b + size * l * ldb, panel + size * l * width(one), one)


@part
def pack_panels(depth, columns, b, ldb, panels, one):
    """The whole panels among the columns, one after the other: rows of b are read once"""
    compact()
    size, step = itemsize(one), itemsize(one) * width(one)
    count = columns // width(one)
    for l in range(depth):
        row, target = b + size * l * ldb, panels + step * l
        for p in range(count):
            copy_row(row + step * p, target + step * depth * p, one)


@part
def pack_columns(depth, columns, b, ldb, panel, one):
    """panel[l,j] = b[j,l]; beyond the last column anything, beyond the last row up to a vector"""
    compact()
    block, size = lanes(one), itemsize(one)
    for j in range(0, columns, block):
        across, first = min(block, columns - j), b + size * j * ldb
        whole = depth // block * block if across == block else 0
        for l in range(0, whole, block):
            transpose_block(first + size * l, ldb, panel + size * (l * width(one) + j), width(one), one)
        for l in range(whole, depth, block):
            down, target = min(block, depth - l), panel + size * (l * width(one) + j)
            transpose_corner(first + size * l, ldb, across, down, target, width(one), one)


@part
def pack_tiles(depth, rows, a, lda, tiles, one):
    """The tiles of A, which is stored as its transpose, one after the other; few rows of memory at a time, for a line
    of the cache is a part of several tiles. A vector may end beyond the last row of A, where the next row of memory
    begins: not in the last one."""
    compact()
    size, step = itemsize(one), itemsize(one) * stored_height(one)
    count = (rows + height(one) - 1) // height(one)
    low, taller = rows // count, rows % count
    for start in range(0, depth, AT_A_TIME):
        stop, first = min(depth, start + AT_A_TIME), 0
        for t in range(count):
            source, target = a + size * first, tiles + step * depth * t
            whole = stop if stop < depth or first + stored_height(one) <= rows else depth - 1
            for l in range(start, whole):
                copy_column(source + size * l * lda, target + step * l, one)
            if whole < stop:
                last, column = flat(source + size * whole * lda, one), flat(target + step * whole, one)
                for i in range(rows - first):
                    column[i] = last[i]
            first += low + 1 if t < taller else low
