"""Convolutions that multiply less: 16 products in the place of 36 for 3x3 taps, by Winograd's F(2,3) on both axes, 9 in
the place of 16 for 2x2, and 49 in the place of 100 for 5x5, which are cut into portions, see ``winograd_portions.py``.

`winograd` and `winograd_taps` compute what `contract` does, of operands in this order:

    rows (maps); columns (height, width); reduced (channels, p, q)          results: a has the taps, b the image
    rows (maps); columns (channels, p, q); reduced (height, width)          taps: b has the image

where height and width may have one more index in front, a batch of images. The image is read at the sum of a place
and a tap, or a multiple of the tap: of a dilated convolution, the results of a tile lie as far apart as the taps. The
tiles of a row are interleaved so, and the row is copied in their order. Image and taps are transformed into 16 planes
of sums, each a matrix; there are 16 products of these, and their sums are the results. That goes block by block: some
rows of tiles at a time, of one image or of several, so that what is between stays in the second cache. A tile that
sticks out of the image reads zeros, and of its results nothing is kept.

An infinity or a nan makes nan of all results of its tiles, and so does a sum that overflows: where the sum of all
results is not finite, `contract` computes them instead. So what is not finite is what it is there.

`room` has place for what is between, as many numbers as the compiler counts. Where it does not know the sizes, it
asks `rows_if_faster` or `rows_of_tiles` for the rows of a block; if there are none, `contract` computes everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from dlc.runtime.kernels.choice import NOTHING
from dlc.runtime.kernels.compilation import compact, intrinsic, native, types
from dlc.runtime.kernels.contract import (
    WORD_BYTES,
    contract_symbol,
    described_in,
    integers,
    is_list_of_indices,
    load_contract,
)
from dlc.runtime.kernels.gemm import gemm_symbol, load_gemm
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import call, is_real, like, suffix
from dlc.runtime.kernels.tile_shape import itemsize
from dlc.runtime.kernels.vectors import WORD, constant
from dlc.runtime.kernels.winograd_portions import copy_tiles, distance_of, portions, portions_at, tiles_of_images
from dlc.runtime.kernels.winograd_products import PLANES, products, steps_of_product, whole_panels
from dlc.runtime.kernels.winograd_tiles import (
    GAP,
    begin_total,
    fill,
    is_total_finite,
    results_of,
    taps_of,
    tiles_along,
    tiles_of,
    tiles_of_taps,
)

#: Tiles of a vector, in the longest one.
LANES = 16


def winograd_symbol(real: Any) -> str:
    return f"dlc_winograd_{suffix(real)}"


@intrinsic
def multiplied(typing_context, tb, m, n, k, a, lda, b, ldb, beta, c, ldc):
    """c = beta*c + a.op(b), by the product that is chosen for these sizes"""
    if not is_real(beta):
        return None

    def codegen(context, builder, sig, args):
        tb, m, n, k, a, lda, b, ldb, beta, c, ldc = args
        one = ir.Constant(beta.type, 1.0)
        call(
            builder, gemm_symbol(sig.args[8]), ir.VoidType(),
            [constant(NOTHING), constant(0), tb, m, n, k, one, a, lda, b, ldb, beta, c, ldc],
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8, beta, types.int64, types.int64), codegen


@intrinsic
def contracted(
    typing_context, rows, row_count, columns, column_count, steps, step_count, a, b, c, accumulate, d, row_d, column_d,
    one,
):  # fmt: skip
    """The same, as it was written."""
    if not is_real(one):
        return None

    def codegen(context, builder, sig, args):
        call(builder, contract_symbol(sig.args[-1]), ir.VoidType(), [*args[:-1], constant(0), args[-1]])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 13, one), codegen


@part
def results(x, y, z, images, in_b, in_c, a, b, c, d, row_d, column_d, tile_rows, room, one) -> bool:
    """Whether the results are finite and written; lists as in `contract`, images apart."""
    compact()
    size = itemsize(one)
    maps, height, width, channels, tall, broad = x[0], y[0], y[3], z[0], z[3], z[6]
    down, across, count = z[5] // y[1], z[8] // y[4], portions(tall) * portions(broad)
    along, of_one = tiles_along(width, across), tiles_along(height, down)
    more, of_row, all_rows = (portions(tall) - 1) * down, along + (portions(broad) - 1) * across, images * of_one
    pitch = whole_panels(min(tile_rows, all_rows) * along, one)
    in_image = whole_panels(tiles_of_images(min(tile_rows, all_rows), images, of_one, more, of_row), one)
    of_taps, of_image, of_results = maps * channels * count + GAP, channels * in_image + GAP, maps * pitch + GAP
    image = room + size * PLANES * of_taps
    found = image + size * PLANES * of_image
    rows = found + size * PLANES * of_results
    after = rows + size * GAP
    depth = steps_of_product(channels, count, one)
    for start in range(0, channels, depth):
        tiles_of_taps(
            maps, start, min(depth, channels - start), a + size * start * z[1], x[1], z[1], z[4], z[7], tall, broad,
            room, of_taps, rows, one,
        )  # fmt: skip
    for plane in range(PLANES):
        if portions_at(plane, tall, broad) == 0:
            fill(of_results, found + size * plane * of_results, one)
    begin_total(rows, one)
    for begin in range(0, all_rows, tile_rows):
        end = min(begin + tile_rows, all_rows)
        row = begin
        while row < end:
            n, first = row // of_one, row % of_one
            number = min(of_one - first, end - row)
            there = (row - begin + more * (n - begin // of_one)) * of_row
            tiles_of(
                True, channels, height + (tall - 1) * down, width + (broad - 1) * across, down, across, first,
                number + more, of_row, b + size * n * in_b, z[2], y[1], y[4], image + size * there, of_image, in_image,
                after, one,
            )  # fmt: skip
            row += number
        products(
            maps, (end - begin) * along, channels, tall, broad, room, of_taps, image, of_image, in_image, down, across,
            along, of_one, more, begin % of_one, found, of_results, pitch, one,
        )  # fmt: skip
        row = begin
        while row < end:
            n, first = row // of_one, row % of_one
            number = min(of_one - first, end - row)
            results_of(
                maps, height, width, down, across, first, number, along, found + size * (row - begin) * along,
                of_results, pitch, c + size * n * in_c, x[2], y[2], y[5], d + size * n * height * width * column_d,
                row_d, column_d, rows, one,
            )  # fmt: skip
            row += number
    return is_total_finite(rows, one)


@part
def derivatives(x, y, z, images, in_a, in_b, a, b, c, accumulate, tile_rows, room, one) -> bool:
    """Whether the derivatives by taps are finite and written; lists as in `contract`, images apart."""
    compact()
    size = itemsize(one)
    maps, channels, height, width, tall, broad = x[0], y[0], z[0], z[3], y[3], y[6]
    down, across, count = y[4] // z[2], y[7] // z[5], portions(tall) * portions(broad)
    along, of_one = tiles_along(width, across), tiles_along(height, down)
    more, of_row, all_rows = (portions(tall) - 1) * down, along + (portions(broad) - 1) * across, images * of_one
    pitch = whole_panels(min(tile_rows, all_rows) * along, one)
    in_image = whole_panels(tiles_of_images(min(tile_rows, all_rows), images, of_one, more, of_row), one)
    of_taps, of_image, of_results = maps * channels * count + GAP, channels * in_image + GAP, maps * pitch + GAP
    image = room + size * PLANES * of_taps
    other = image + size * PLANES * of_image
    copies = other + size * PLANES * of_results
    rows = copies
    if count > 1:
        rows += size * channels * count * pitch
    kept = like(0.0, one)
    for begin in range(0, all_rows, tile_rows):
        end = min(begin + tile_rows, all_rows)
        tiles = (end - begin) * along
        row = begin
        while row < end:
            n, first = row // of_one, row % of_one
            number, there = min(of_one - first, end - row), (row - begin + more * (n - begin // of_one)) * of_row
            tiles_of(
                True, channels, height + (tall - 1) * down, width + (broad - 1) * across, down, across, first,
                number + more, of_row, b + size * n * in_b, y[1], z[2], z[5], image + size * there, of_image, in_image,
                rows, one,
            )  # fmt: skip
            tiles_of(
                False, maps, height, width, down, across, first, number, along, a + size * n * in_a, x[1], z[1], z[4],
                other + size * (row - begin) * along, of_results, pitch, rows, one,
            )  # fmt: skip
            row += number
        for plane in range(PLANES):
            source, number, step = image + size * plane * of_image, portions_at(plane, tall, broad), in_image
            if count > 1:
                for n in range(number):
                    distance = distance_of(n, plane, tall, broad, down * of_row, across)
                    copy_tiles(
                        channels, 0, tiles, along, of_row, begin % of_one, of_one, more, source + size * distance,
                        in_image, copies + size * n * channels * pitch, pitch, one,
                    )  # fmt: skip
                source, step = copies, pitch
            if number > 0:
                multiplied(
                    1, maps, channels * number, tiles, other + size * plane * of_results, pitch, source, step, kept,
                    room + size * plane * of_taps, channels * number,
                )  # fmt: skip
        kept = one
    return taps_of(
        maps, channels, room, of_taps, c, x[2], y[2], y[5], y[8], tall, broad, accumulate, rows, one
    )  # fmt: skip


@part
def rows_of_tiles(most, samples, height, width, down, across) -> int:
    """Rows of tiles of a block: `block` of the compiler."""
    if samples <= 0 or min(height, width) <= 0:
        return 0
    along, rows = tiles_along(width, across), samples * tiles_along(height, down)
    few, many = fullest(rows, along, max(most // along, 1)), fullest(rows, along, max(2 * most // along, 1))
    return many if 15 * vectors_of(rows, along, many) <= 14 * vectors_of(rows, along, few) else few


@part
def fullest(rows, along, most) -> int:
    """Rows of a block of which vectors and blocks are the fewest."""
    best, least = 1, 0
    for number in range(1, min(most, rows) + 1):
        cost = vectors_of(rows, along, number) + (rows + number - 1) // number
        if number == 1 or cost <= least:
            best, least = number, cost
    return best


@part
def vectors_of(rows, along, number) -> int:
    """How many vectors of tiles so many rows are, so many at a time."""
    whole, rest = rows // number, rows % number
    return whole * ((number * along + LANES - 1) // LANES) + (rest * along + LANES - 1) // LANES


@part
def rows_if_faster(most, samples, maps, channels, height, width, down, across, tall, broad) -> int:
    """The same, or 0 where the sum as written is faster: `is_faster` of the compiler."""
    rows, along = samples * tiles_along(height, down), tiles_along(width, across)
    count, tiles = portions(tall) * portions(broad), rows * along
    products = (3 * portions(tall) + tall % 2) * (3 * portions(broad) + broad % 2)
    saved = maps * channels * (tall * broad * samples * height * width - 9 * products * tiles // 8)
    cost = (1050 * rows + 75 * tiles) * (channels + maps) + 150 * (1 + count) * maps * channels
    if count > 1:
        cost += 120 * products * rows * ((along + LANES - 1) // LANES) * channels
    if saved <= cost:
        return 0
    return rows_of_tiles(most, samples, height, width, down, across)


@part
def images_weigh_more(samples, maps, height, width, down, across, tall, broad) -> bool:
    """Whether the images of so many samples take longer to transform than the taps."""
    tile_rows = samples * tiles_along(height, down)
    tiles = tile_rows * tiles_along(width, across)
    return 1050 * tile_rows + 75 * tiles > 150 * (1 + portions(tall) * portions(broad)) * maps


@part
def share_of_results(
    rows, columns, column_count, steps, step_count, a, b, c, first, of, tile_rows, room, one
):  # fmt: skip
    """The results of a shard of which the maps from the first one on would be, of so many: in the order of the samples
    as many in their place, so that few shards transform the same image. That is some samples with all their maps, and
    some maps of the samples before and behind these."""
    compact()
    size, x, y, z = itemsize(one), integers(rows), integers(columns), integers(steps)
    places = integers(columns + 3 * WORD_BYTES)
    number, samples = x[0], y[0]
    begin, end = first * samples, (first + number) * samples
    a, c = a - size * first * x[1], c - size * first * x[2]
    while begin < end:
        n, o = begin // of, begin % of
        x[0], y[0] = min(of - o, end - begin), 1
        if x[0] == of:
            y[0] = (end - begin) // of
        from_a, from_b, to_c = a + size * o * x[1], b + size * n * y[1], c + size * (n * y[2] + o * x[2])
        if not results(x, places, z, y[0], y[1], y[2], from_a, from_b, to_c, 0, 0, 0, tile_rows, room, one):
            contracted(rows, 1, columns, column_count, steps, step_count, from_a, from_b, to_c, 0, 0, 0, 0, one)
        begin += x[0] * y[0]
    x[0], y[0] = number, samples


def product(
    rows, row_count, columns, column_count, steps, step_count, a, b, c, accumulate, d, row_d, column_d, tile_rows, room,
    of_taps, first, of, one,
):  # fmt: skip
    """The C function behind `winograd`, behind `winograd_taps` where it is of taps, and behind `winograd_share` where
    the rows are a share of so many."""
    compact()
    x, y, z = integers(rows), integers(columns), integers(steps)
    if x[0] <= 0:
        return
    if tile_rows == 0 or y[0] <= 0 or z[0] <= 0:
        done = False
    elif of_taps == 0 and column_count == 2:
        done = results(x, y, z, 1, 0, 0, a, b, c, d, row_d, column_d, tile_rows, room, one)
    elif of_taps == 0:
        places = integers(columns + 3 * WORD_BYTES)
        if of > x[0] and images_weigh_more(
            y[0], of, places[0], places[3], z[5] // places[1], z[8] // places[4], z[3], z[6]
        ):
            share_of_results(
                rows, columns, column_count, steps, step_count, a, b, c, first, of, tile_rows, room, one
            )  # fmt: skip
            return
        done = results(x, places, z, y[0], y[1], y[2], a, b, c, d, row_d, column_d, tile_rows, room, one)
    elif step_count == 2:
        done = derivatives(x, y, z, 1, 0, 0, a, b, c, accumulate, tile_rows, room, one)
    else:
        places = integers(steps + 3 * WORD_BYTES)
        done = derivatives(x, y, places, z[0], z[1], z[2], a, b, c, accumulate, tile_rows, room, one)
    if not done:
        contracted(
            rows, row_count, columns, column_count, steps, step_count, a, b, c, accumulate, d, row_d, column_d, one
        )  # fmt: skip


@cache
def load_winograd(real: Any) -> Any:
    """Compile the product for one real type, or load it, and make it known by its symbol."""
    load_gemm(real)
    load_contract(real)
    function = native(types.void(*[types.int64] * 18, real))(product)
    llvm.add_symbol(winograd_symbol(real), function.address)
    return function


def winograd_of(name: str) -> Any:
    """`winograd_f32`, `winograd_plus_f64`, `winograd_taps_f32` and so on, for use in kernels, with its C function
    ready."""
    kind, _, real = name.rpartition("_")
    real = {"f32": types.float32, "f64": types.float64}[real]
    load_winograd(real)

    def called(builder: Any, context: Any, lists: Any, args: Any, adds: Any, term: list[Any], *share: Any) -> Any:
        a, b, c, tile_rows, room = args
        operands = [builder.ptrtoint(operand, WORD) for operand in (a, b, c)]
        one = ir.Constant(context.get_value_type(real), 1.0)
        of_taps = constant(int(kind == "winograd_taps"))
        share = share or (constant(0), constant(0))
        given = [*lists, *operands, adds, *term, tile_rows, builder.ptrtoint(room, WORD), of_taps, *share, one]
        call(builder, winograd_symbol(real), ir.VoidType(), given)
        return context.get_dummy_value()

    @intrinsic
    def winograd(typing_context, rows, columns, reduced, a, b, c, accumulate, tile_rows, room):
        """What `contract` computes of the same arguments, `tile_rows` rows of tiles at a time."""
        lists = _lists((rows, columns, reduced), (a, b, c, room), real)
        if lists is None:
            return None
        pointer = types.CPointer(real)

        def codegen(context, builder, sig, args):
            described, no_term = described_in(builder, lists, args), [constant(0)] * 3
            a, b, c, accumulate, *tiles = args[3:]
            return called(builder, context, described, [a, b, c, *tiles], builder.zext(accumulate, WORD), no_term)

        return types.void(*lists, pointer, pointer, pointer, types.boolean, types.int64, pointer), codegen

    @intrinsic
    def winograd_plus(typing_context, rows, columns, reduced, a, b, d, row_d, column_d, c, tile_rows, room):
        """What `contract_plus` computes of the same arguments."""
        lists = _lists((rows, columns, reduced), (a, b, c, d, room), real)
        if lists is None:
            return None
        pointer = types.CPointer(real)

        def codegen(context, builder, sig, args):
            described = described_in(builder, lists, args)
            a, b, d, row_d, column_d, *others = args[3:]
            term = [builder.ptrtoint(d, WORD), row_d, column_d]
            return called(builder, context, described, [a, b, *others], constant(0), term)

        term = (pointer, types.int64, types.int64)
        return types.void(*lists, pointer, pointer, *term, pointer, types.int64, pointer), codegen

    @intrinsic
    def winograd_share(typing_context, rows, columns, reduced, a, b, c, accumulate, first, of, tile_rows, room):
        """The part of a shard of what `winograd` computes of all rows. The arguments are those of its share, of which
        the first row and how many there are: where it is less to do, it takes a share of the samples instead."""
        lists = _lists((rows, columns, reduced), (a, b, c, room), real)
        if lists is None or len(columns) != 3:
            return None
        pointer = types.CPointer(real)

        def codegen(context, builder, sig, args):
            described, no_term = described_in(builder, lists, args), [constant(0)] * 3
            a, b, c, accumulate, first, of, *tiles = args[3:]
            adds = builder.zext(accumulate, WORD)
            return called(builder, context, described, [a, b, c, *tiles], adds, no_term, first, of)

        given = (pointer, pointer, pointer, types.boolean, types.int64, types.int64, types.int64, pointer)
        return types.void(*lists, *given), codegen

    return {"winograd_plus": winograd_plus, "winograd_share": winograd_share}.get(kind, winograd)


def _lists(lists: Sequence[Any], operands: Sequence[Any], real: Any) -> Sequence[Any] | None:
    """The types of lists of indices, if they are such, and the operands addresses of these numbers."""
    if not all(operand == types.CPointer(real) for operand in operands) or not all(map(is_list_of_indices, lists)):
        return None
    return tuple(types.UniTuple(types.UniTuple(types.int64, 3), len(each)) for each in lists)
