"""The register tile of a matrix product, written as explicit vectors: LLVM does not find it from loops.

``tile`` keeps `height` rows times one or two vectors of C in registers while it walks along k: for every k it loads two
vectors of B and, for every row, spreads one number of A.
All operands are addresses with strides in elements; A may be transposed, the rows of B and C are contiguous.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from dlc.runtime.kernels.compilation import intrinsic, native, prefer_wide_vectors, types
from dlc.runtime.kernels.loop_hints import keep_rolled
from dlc.runtime.kernels.primitives import call, is_real, suffix
from dlc.runtime.kernels.tile_shape import VECTORS, TileShape, tile_shape
from dlc.runtime.kernels.vectors import (
    WORD,
    constant,
    loaded,
    multiply_add,
    prefetch,
    splat,
    stored,
    vectors_from,
)

#: Bytes of a line of the cache, and how many of them are fetched at once.
LINE, AT_ONCE = 64, 12


def below(builder, shape: TileShape, columns: Any) -> list[Any]:
    """For each vector of a row which of its numbers stand before that column."""
    places = [list(range(n * shape.lanes, (n + 1) * shape.lanes)) for n in range(VECTORS)]
    vector = ir.VectorType(ir.IntType(64), shape.lanes)
    return [
        builder.icmp_signed("<", ir.Constant(vector, each), splat(builder, columns, shape.lanes)) for each in places
    ]


def in_this_order(builder, shape: TileShape, values: list[Any]) -> list[Any]:
    """The same values, with all that is read behind them in the code read after them: with AVX-512, LLVM would read the
    numbers of all rows first, and have no register left to hold the sums.
    """
    if not shape.has_masks:
        return values
    kinds = [value.type for value in values]
    result = kinds[0] if len(kinds) == 1 else ir.LiteralStructType(kinds)
    constraints = ["=v"] * len(kinds) + [str(i) for i in range(len(kinds))] + ["~{memory}"]
    pinned = builder.asm(ir.FunctionType(result, kinds), "", ",".join(constraints), values, side_effect=True)
    return [pinned] if len(kinds) == 1 else [builder.extract_value(pinned, i) for i in range(len(kinds))]


def sums_of_products(
    builder,
    shape: TileShape,
    element: Any,
    height: int,
    vectors: int,
    k: Any,
    numbers_at: Callable[[Any], list[Any]],
    vectors_at: Callable[[Any], list[Any]],
) -> list[list[Any]]:
    """The sums over the steps below k (at least one) of `height` numbers of A, each times `vectors` of B, as the
    registers that hold them.  ``numbers_at`` gives the pointers to the numbers of a step, ``vectors_at`` its vectors.
    """
    vector = ir.VectorType(element, shape.lanes)
    before, loop, done = builder.block, builder.append_basic_block("k"), builder.append_basic_block("store")
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(WORD)
    step.add_incoming(constant(0), before)
    sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(height)]
    row_of_b = vectors_at(step)
    for number, accumulators in zip(numbers_at(step), sums, strict=True):
        spread = splat(builder, builder.load(number, align=shape.bytes), shape.lanes)
        added = [multiply_add(builder, spread, part, total) for total, part in zip(accumulators, row_of_b, strict=True)]
        for accumulator, total in zip(accumulators, in_this_order(builder, shape, added), strict=True):
            accumulator.add_incoming(ir.Constant(vector, [0.0] * shape.lanes), before)
            accumulator.add_incoming(total, loop)
    following = builder.add(step, constant(1))
    step.add_incoming(following, loop)
    keep_rolled(builder.cbranch(builder.icmp_signed("<", following, k), loop, done))
    builder.position_at_end(done)
    return [[accumulator.incomings[1][0] for accumulator in row] for row in sums]


def of_any_height(builder, shape: TileShape, height: Any, body: Callable[[int], None]) -> None:
    """The tile of each height up to the shape's, of which the one is run that `height` tells."""
    prefer_wide_vectors(builder.function)
    end = builder.append_basic_block("tile.end")
    blocks = [builder.append_basic_block(f"tile.{rows}") for rows in range(1, shape.height + 1)]
    switch = builder.switch(height, end)
    for rows, block in enumerate(blocks, start=1):
        switch.add_case(constant(rows), block)
        builder.position_at_end(block)
        body(rows)
        builder.branch(end)
    builder.position_at_end(end)


def expected(
    builder, shape: TileShape, height: int, vectors: int, k: Any, places_of: Callable[[Any], list[Any]]
) -> Callable[[Any], None]:
    """Fetch the lines of memory, those of each row's places, that are written after the sums: they arrive meanwhile.
    Of many lines, this fetches all at once only where there are fewer steps than rows; otherwise what it returns does,
    called in each step with its number: those of one row, for many at once wait for one another, and what is read, for
    them.
    """

    def fetch_row(row: Any) -> None:
        for place in places_of(row):
            prefetch(builder, place, to_write=True, near=3)

    def fetch_row_of_step(step: Any) -> None:
        is_row = builder.icmp_signed("<", step, constant(height - 1))
        fetch_row(builder.select(is_row, step, constant(height - 1)))

    if height * vectors * shape.lanes * shape.bytes <= AT_ONCE * LINE:
        for row in range(height):
            fetch_row(constant(row))
        return lambda step: None
    with builder.if_then(builder.icmp_signed("<", k, constant(height))):
        for row in range(height):
            fetch_row(constant(row))
    return fetch_row_of_step


def tile_body(builder, shape: TileShape, height: int, vectors: int, arguments, in_part: bool = False) -> None:
    """C[height, vectors*lanes] = beta*D + alpha * A.B at the builder's position; D is not read where beta is 0. The
    numbers of a row of D lie side by side, or are one number if `column_d` is 0. In each step a line of what comes
    next is fetched, `row_coming` numbers from the one before: many at a time would wait for one another."""
    a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta = arguments
    mask = below(builder, shape, columns)[0] if in_part else None
    vector = ir.VectorType(alpha.type, shape.lanes)
    a, b, c, d, coming = (builder.inttoptr(address, alpha.type.as_pointer()) for address in (a, b, c, d, coming))
    rows, rows_of_c, rows_of_d = (
        [builder.gep(first, [builder.mul(step, constant(i))]) for i in range(height)]
        for first, step in ((a, row_a), (c, row_c), (d, row_d))
    )
    spots = [vectors_from(builder, row, vector, vectors) for row in rows_of_c]
    # Where the last numbers of vectors lie: a vector may begin on the line that the panel before it has written to.
    first_end = builder.gep(c, [constant(shape.lanes - 1)])

    def side_by_side(row: Any) -> list[Any]:
        return [loaded(builder, spot, mask, shape.bytes) for spot in vectors_from(builder, row, vector, vectors)]

    def ends_of(row: Any) -> list[Any]:
        return vectors_from(builder, builder.gep(first_end, [builder.mul(row_c, row)]), vector, vectors)

    fetch_in_step = expected(builder, shape, height, vectors, k, ends_of)

    def vectors_at(step: Any) -> list[Any]:
        row = builder.gep(b, [builder.mul(step, row_b)])
        fetch_in_step(step)
        prefetch(builder, builder.gep(coming, [builder.mul(step, row_coming)]), to_write=False, near=2)
        return side_by_side(row)

    results = sums_of_products(
        builder,
        shape,
        alpha.type,
        height,
        vectors,
        k,
        lambda step: [builder.gep(row, [builder.mul(step, column_a)]) for row in rows],
        vectors_at,
    )
    wide_alpha, wide_beta = splat(builder, alpha, shape.lanes), splat(builder, beta, shape.lanes)
    scaled = [[builder.fmul(wide_alpha, result, flags=("contract",)) for result in row] for row in results]
    overwrites = builder.fcmp_ordered("==", beta, ir.Constant(beta.type, 0.0))

    def add(terms: Callable[[Any], list[Any]]) -> None:
        for row, values, places in zip(rows_of_d, scaled, spots, strict=True):
            for term, value, spot in zip(terms(row), values, places, strict=True):
                kept = builder.fmul(wide_beta, term, flags=("contract",))
                stored(builder, builder.fadd(kept, value, flags=("contract",)), spot, mask, shape.bytes)

    def one_number(row: Any) -> list[Any]:
        return [splat(builder, builder.load(row, align=shape.bytes), shape.lanes)] * vectors

    with builder.if_else(overwrites) as (overwrite, otherwise):
        with overwrite:
            for values, places in zip(scaled, spots, strict=True):
                for value, spot in zip(values, places, strict=True):
                    stored(builder, value, spot, mask, shape.bytes)
        with otherwise, builder.if_else(builder.icmp_signed("==", column_d, constant(0))) as (spread, read):
            with spread:
                add(one_number)
            with read:
                add(side_by_side)


def tile_product(vectors: int) -> Any:
    """``tile(height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha,
    beta)``: k >= 1, height at most the shape's. With one vector and masks, only so many columns are read and written;
    otherwise all that the vectors hold."""

    @intrinsic
    def tile(
        typing_context, height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming,
        row_coming, alpha, beta,
    ):  # fmt: skip
        if not is_real(alpha, beta):
            return None
        shape = tile_shape(alpha)

        def codegen(context, builder, sig, args):
            def tiles(in_part: bool) -> None:
                body = lambda rows: tile_body(builder, shape, rows, vectors, args[1:], in_part)
                of_any_height(builder, shape, args[0], body)

            if vectors > 1 or not shape.has_masks:
                tiles(in_part=False)
                return context.get_dummy_value()
            is_part = builder.icmp_signed("<", args[9], constant(shape.lanes))
            with builder.if_else(is_part) as (part, whole):
                with part:
                    tiles(in_part=True)
                with whole:  # masks take longer
                    tiles(in_part=False)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 15, alpha, alpha), codegen

    return tile


def copy_of(count: Callable[[TileShape], int], doc: str) -> Any:
    """``copy(source, target, like)``: so many numbers of the type of `like`, in whole vectors."""

    @intrinsic
    def copy(typing_context, source, target, like):
        if not is_real(like):
            return None
        shape = tile_shape(like)

        def codegen(context, builder, sig, args):
            vector = ir.VectorType(args[2].type, shape.lanes)
            pointers = (builder.inttoptr(address, args[2].type.as_pointer()) for address in args[:2])
            vectors = count(shape) // shape.lanes
            spots, targets = (vectors_from(builder, pointer, vector, vectors) for pointer in pointers)
            for spot, place in zip(spots, targets, strict=True):
                builder.store(builder.load(spot, align=shape.bytes), place, align=shape.bytes)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 2, like), codegen

    copy.__doc__ = doc
    return copy


@intrinsic
def fetch(typing_context, address):
    """Have the line of memory at an address brought to the second cache: it will be read."""

    def codegen(context, builder, sig, args):
        prefetch(builder, builder.inttoptr(args[0], ir.IntType(8).as_pointer()), to_write=False, near=2)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


copy_row = copy_of(lambda shape: shape.width, "Copy as many numbers as a tile is wide.")
copy_column = copy_of(lambda shape: shape.stored_height, "Copy as many numbers as a tile is high, in whole vectors.")


_tile_1, _tile_2 = tile_product(1), tile_product(2)


def one_vector(
    height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta
):  # fmt: skip
    """A tile of one vector."""
    _tile_1(
        height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta
    )


def two_vectors(
    height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta
):  # fmt: skip
    """A tile of two vectors."""
    _tile_2(
        height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming, row_coming, alpha, beta
    )


def tile_symbol(real: Any, vectors: int) -> str:
    return f"dlc_tile_{suffix(real)}_{vectors}"


def load_tiles(real: Any) -> None:
    """Compile the tiles for one type, or load them, and make them known by their symbols."""
    signature = types.void(*[types.int64] * 15, real, real)
    for vectors, function in ((1, one_vector), (2, two_vectors)):
        llvm.add_symbol(tile_symbol(real, vectors), native(signature)(function).address)


def tile_call(vectors: int) -> Any:
    """The tile of that many vectors, called by symbol."""

    @intrinsic
    def tile(
        typing_context, height, a, row_a, column_a, b, row_b, k, c, row_c, columns, d, row_d, column_d, coming,
        row_coming, alpha, beta,
    ):  # fmt: skip
        if not is_real(alpha, beta):
            return None

        def codegen(context, builder, sig, args):
            call(builder, tile_symbol(alpha, vectors), ir.VoidType(), args)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 15, alpha, alpha), codegen

    return tile


narrow_tile, full_tile = tile_call(1), tile_call(2)
