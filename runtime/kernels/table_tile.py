"""The register tile of a product whose operands are read in place through tables of offsets.

Like the tile of a matrix product it keeps `height` rows times one or two vectors of C in registers while it walks along
k. Row i of A starts at `a + rows_a[i]`, and step l of k lies `steps_a[l]` further on; the vectors of B for step l start
at `b + steps_b[l]`, and row i of C at `c + rows_c[i]`. All offsets are bytes, so windows that overlap, strides and
dilation cost what a plain matrix does. Numbers of A are spread one by one and need no alignment. The lines of C on
which vectors end are fetched first and arrive while products are summed.

What the sums are added to, if to anything, is what stands in C, or a term that is one number for each row or the same
vectors for all rows, at `d + row*row_d`: ADD, ADD_NUMBERS and ADD_VECTORS tell.

Rows of C that are added to may overlap: they are read and written in turn, and neighbours not one right after the
other, for what was just written is read late where it is read from another byte on.

The second vector starts `second` behind the first. Two vectors that overlap are a tile of fewer columns: none is read
or written beyond them, and what both hold is the same sum. Of one vector alone, only so many columns as `second` says
are read and written where the processor has masks, and all where it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import intrinsic, native, types
from dlc.runtime.kernels.edges import below
from dlc.runtime.kernels.primitives import call, is_real, suffix
from dlc.runtime.kernels.tile import expected, of_any_height, sums_of_products
from dlc.runtime.kernels.tile_shape import TileShape, tile_shape
from dlc.runtime.kernels.vectors import WORD, constant, masked_load, masked_store, splat, transposed

BYTES = ir.IntType(8).as_pointer()
#: What sums are added to.
ADD, ADD_NUMBERS, ADD_VECTORS = 1, 2, 3


def entry(builder, table: Any, position: Any) -> Any:
    """The offset at a position of a table."""
    return builder.load(builder.gep(table, [position]))


def tile_body(builder, shape: TileShape, element: Any, height: int, vectors: int, arguments) -> None:
    """C[height, columns] (+)= A.B at the builder's position; C is not read unless it is to be added to."""
    a, rows_a, steps_a, b, steps_b, k, c, rows_c, second, accumulate, d, row_d = arguments
    vector = ir.VectorType(element, shape.lanes)
    a, b, c, d = (builder.inttoptr(address, BYTES) for address in (a, b, c, d))
    rows_a, steps_a, steps_b, rows_c = (
        builder.inttoptr(table, WORD.as_pointer()) for table in (rows_a, steps_a, steps_b, rows_c)
    )
    rows = [builder.gep(a, [entry(builder, rows_a, constant(i))]) for i in range(height)]
    mask = below(builder, shape, second)[0] if vectors == 1 and shape.has_masks else None

    def numbers_at(step: Any) -> list[Any]:
        offset = entry(builder, steps_a, step)
        return [builder.bitcast(builder.gep(row, [offset]), element.as_pointer()) for row in rows]

    def vectors_from(row: Any) -> list[Any]:
        starts = [row, builder.gep(row, [second])][:vectors]
        return [builder.bitcast(start, vector.as_pointer()) for start in starts]

    def loaded(spots: list[Any]) -> list[Any]:
        if mask is not None:
            return [masked_load(builder, spot, mask, shape.bytes) for spot in spots]
        return [builder.load(spot, align=shape.bytes) for spot in spots]

    def targets_of(row: Any) -> list[Any]:
        return vectors_from(builder.gep(c, [entry(builder, rows_c, row)]))

    def vectors_at(step: Any) -> list[Any]:
        fetch_in_step(step)
        return loaded(vectors_from(builder.gep(b, [entry(builder, steps_b, step)])))

    # Where the last numbers of vectors lie: a vector may begin on the line that the panel before it has written to.
    last = builder.sub(second if mask is not None else constant(shape.lanes), constant(1))
    to_end = builder.mul(last, constant(shape.bytes))

    def ends_of(row: Any) -> list[Any]:
        return vectors_from(builder.gep(builder.gep(c, [entry(builder, rows_c, row)]), [to_end]))

    targets = [targets_of(constant(i)) for i in range(height)]
    fetch_in_step = expected(builder, shape, height, vectors, k, ends_of)
    sums = sums_of_products(builder, shape, element, height, vectors, k, numbers_at, vectors_at)

    def stored(value: Any, spot: Any) -> None:
        if mask is not None:
            masked_store(builder, value, spot, mask, shape.bytes)
        else:
            builder.store(value, spot, align=shape.bytes)

    def numbers_of(row: int) -> list[Any]:
        spot = builder.bitcast(builder.gep(d, [builder.mul(row_d, constant(row))]), element.as_pointer())
        return [splat(builder, builder.load(spot, align=shape.bytes), shape.lanes)] * vectors

    def add(terms: Callable[[int], list[Any]]) -> None:
        half = (height + 1) // 2
        for row in (row for first in range(half) for row in range(first, height, half)):
            for term, value, spot in zip(terms(row), sums[row], targets[row], strict=True):  # all terms are read before
                stored(builder.fadd(term, value, flags=("contract",)), spot)

    end = builder.append_basic_block("stored")
    overwrite = builder.append_basic_block("overwrite")
    switch = builder.switch(accumulate, overwrite)
    for way, terms in (
        (ADD, lambda row: loaded(targets[row])),
        (ADD_NUMBERS, numbers_of),
        (ADD_VECTORS, lambda row: loaded(vectors_from(d))),
    ):
        block = builder.append_basic_block("add")
        switch.add_case(constant(way), block)
        builder.position_at_end(block)
        add(terms)
        builder.branch(end)
    builder.position_at_end(overwrite)
    for totals, spots in zip(sums, targets, strict=True):
        for value, spot in zip(totals, spots, strict=True):
            stored(value, spot)
    builder.branch(end)
    builder.position_at_end(end)


def tile_product(vectors: int) -> Any:
    """``tile(height, a, rows_a, steps_a, b, steps_b, k, c, rows_c, second, accumulate, d, row_d, like)``: k >= 1."""

    @intrinsic
    def tile(typing_context, height, a, rows_a, steps_a, b, steps_b, k, c, rows_c, second, accumulate, d, row_d, like):
        if not is_real(like):
            return None
        shape = tile_shape(like)

        def codegen(context, builder, sig, args):
            of_any_height(
                builder,
                shape,
                args[0],
                lambda rows: tile_body(builder, shape, args[-1].type, rows, vectors, args[1:-1]),
            )
            return context.get_dummy_value()

        return types.void(*[types.int64] * 13, like), codegen

    return tile


_tile_1, _tile_2 = tile_product(1), tile_product(2)


def one_vector(height, a, rows_a, steps_a, b, steps_b, k, c, rows_c, second, accumulate, d, row_d, like):
    """A tile of one vector."""
    _tile_1(height, a, rows_a, steps_a, b, steps_b, k, c, rows_c, second, accumulate, d, row_d, like)


def two_vectors(height, a, rows_a, steps_a, b, steps_b, k, c, rows_c, second, accumulate, d, row_d, like):
    """A tile of two vectors."""
    _tile_2(height, a, rows_a, steps_a, b, steps_b, k, c, rows_c, second, accumulate, d, row_d, like)


def tile_symbol(real: Any, vectors: int) -> str:
    return f"dlc_table_tile_{suffix(real)}_{vectors}"


def load_table_tiles(real: Any) -> None:
    """Compile the tiles for one type, or load them, and make them known by their symbols."""
    signature = types.void(*[types.int64] * 13, real)
    for vectors, function in ((1, one_vector), (2, two_vectors)):
        llvm.add_symbol(tile_symbol(real, vectors), native(signature)(function).address)


def tile_call(vectors: int) -> Any:
    """The tile of that many vectors, called by symbol."""

    @intrinsic
    def tile(typing_context, height, a, rows_a, steps_a, b, steps_b, k, c, rows_c, second, accumulate, d, row_d, like):
        if not is_real(like):
            return None

        def codegen(context, builder, sig, args):
            call(builder, tile_symbol(like, vectors), ir.VoidType(), args)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 13, like), codegen

    return tile


narrow_tile, full_tile = tile_call(1), tile_call(2)


@intrinsic
def turn_vectors(typing_context, source, rows, target, distance, like):
    """Transpose as many rows as a vector has numbers, each a vector at `source` + its entry in the table `rows`."""
    if not is_real(like):
        return None
    shape = tile_shape(like)

    def codegen(context, builder, sig, args):
        source, rows, target, distance, element = args
        vector = ir.VectorType(element.type, shape.lanes).as_pointer()
        source, target = (builder.inttoptr(address, BYTES) for address in (source, target))
        rows = builder.inttoptr(rows, WORD.as_pointer())
        loaded = []
        for i in range(shape.lanes):
            spot = builder.gep(source, [entry(builder, rows, constant(i))])
            loaded.append(builder.load(builder.bitcast(spot, vector), align=shape.bytes))
        for i, column in enumerate(transposed(builder, loaded)):
            spot = builder.gep(target, [builder.mul(distance, constant(i))])
            builder.store(column, builder.bitcast(spot, vector), align=shape.bytes)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, like), codegen


@intrinsic
def spread_vectors(typing_context, source, distance, count, target, places, accumulate, like):
    """So many vectors that stand `distance` bytes apart, added to what is at `target` + each of the places, or put
    there."""
    if not is_real(like):
        return None
    shape = tile_shape(like)

    def codegen(context, builder, sig, args):
        source, distance, count, target, places, accumulate, element = args
        vector = ir.VectorType(element.type, shape.lanes).as_pointer()
        source, target = (builder.inttoptr(address, BYTES) for address in (source, target))
        places = builder.inttoptr(places, WORD.as_pointer())
        adds = builder.icmp_signed("!=", accumulate, constant(0))
        with cgutils.for_range(builder, count) as loop:
            spot = builder.bitcast(builder.gep(source, [builder.mul(loop.index, distance)]), vector)
            place = builder.bitcast(builder.gep(target, [entry(builder, places, loop.index)]), vector)
            value = builder.load(spot, align=shape.bytes)
            with builder.if_else(adds) as (add, overwrite):
                with add:
                    kept = builder.load(place, align=shape.bytes)
                    builder.store(builder.fadd(kept, value, flags=("contract",)), place, align=shape.bytes)
                with overwrite:
                    builder.store(value, place, align=shape.bytes)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, like), codegen
