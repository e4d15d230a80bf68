"""What sticks out of a register tile: the columns of the last panel, which are no whole vectors, under masks.

Masked reads and writes touch nothing beyond the last column. A loop over numbers, as this was before, took a third of
the time of a tile of few steps.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import intrinsic, types
from dlc.runtime.kernels.primitives import is_real
from dlc.runtime.kernels.tile import below
from dlc.runtime.kernels.tile_shape import VECTORS, tile_shape
from dlc.runtime.kernels.vectors import constant, masked_load, masked_store, splat, vectors_from


@intrinsic
def copy_part(typing_context, columns, source, target, like):
    """Copy so many numbers to a row of a panel, and zeros behind them."""
    if not is_real(like):
        return None
    shape = tile_shape(like)

    def codegen(context, builder, sig, args):
        columns, source, target, one = args
        vector = ir.VectorType(one.type, shape.lanes)
        rows = [builder.inttoptr(address, one.type.as_pointer()) for address in (source, target)]
        spots, places = (vectors_from(builder, row, vector, VECTORS) for row in rows)
        for spot, place, mask in zip(spots, places, below(builder, shape, columns), strict=True):
            builder.store(masked_load(builder, spot, mask, shape.bytes), place, align=shape.bytes)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, like), codegen


@intrinsic
def add_block(typing_context, rows, columns, alpha, block, beta, d, row_d, column_d, c, ldc):
    """c = beta*d + alpha*block, for a tile that sticks out; d is not read where beta is 0."""
    if not is_real(alpha, beta):
        return None
    shape = tile_shape(alpha)

    def codegen(context, builder, sig, args):
        rows, columns, alpha, block, beta, d, row_d, column_d, c, ldc = args
        vector = ir.VectorType(alpha.type, shape.lanes)
        block, c, d = (builder.inttoptr(address, alpha.type.as_pointer()) for address in (block, c, d))
        masks = below(builder, shape, columns)
        nothing = [ir.Constant(vector, [0.0] * shape.lanes)] * VECTORS
        wide_alpha, wide_beta = splat(builder, alpha, shape.lanes), splat(builder, beta, shape.lanes)
        overwrites = builder.fcmp_ordered("==", beta, ir.Constant(beta.type, 0.0))
        is_one = builder.icmp_signed("==", column_d, constant(0))

        def spots(first: Any, row: Any, step: Any) -> list[Any]:
            return vectors_from(builder, builder.gep(first, [builder.mul(row, step)]), vector, VECTORS)

        def one_number(row: Any) -> list[Any]:
            number = builder.load(builder.gep(d, [builder.mul(row, row_d)]), align=shape.bytes)
            return [splat(builder, number, shape.lanes)] * VECTORS

        def side_by_side(row: Any) -> list[Any]:
            found = zip(spots(d, row, row_d), masks, strict=True)
            return [masked_load(builder, spot, mask, shape.bytes) for spot, mask in found]

        with cgutils.for_range(builder, rows) as loop:
            row = loop.index
            added = [builder.load(spot, align=shape.bytes) for spot in spots(block, row, constant(shape.width))]
            added = [builder.fmul(wide_alpha, value, flags=("contract",)) for value in added]

            def read(row: Any = row) -> list[Any]:
                found = _either(builder, is_one, lambda: one_number(row), lambda: side_by_side(row))
                return [builder.fmul(wide_beta, value, flags=("contract",)) for value in found]

            kept = _either(builder, overwrites, lambda: nothing, read)
            for value, old, spot, mask in zip(added, kept, spots(c, row, ldc), masks, strict=True):
                masked_store(builder, builder.fadd(old, value, flags=("contract",)), spot, mask, shape.bytes)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 2, alpha, types.int64, alpha, *[types.int64] * 5), codegen


def _either(builder, condition: Any, yes: Any, no: Any) -> list[Any]:
    """The values of one of two branches."""
    with builder.if_else(condition) as (then, otherwise):
        with then:
            left, from_left = yes(), builder.block
        with otherwise:
            right, from_right = no(), builder.block
    found = []
    for one, other in zip(left, right, strict=True):
        value = builder.phi(one.type)
        value.add_incoming(one, from_left)
        value.add_incoming(other, from_right)
        found.append(value)
    return found
