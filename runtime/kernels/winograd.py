"""Convolutions with 3x3 taps that multiply less: 16 products in the place of 36, by Winograd's F(2,3) on both axes.

`winograd` computes what `contract` does, of operands in this order:

    rows (maps); columns (height, width); reduced (channels, 3, 3)          results: a has the taps, b the image
    rows (maps); columns (channels, 3, 3); reduced (height, width)          taps: b has the image

where the second may have one more reduced index in front, a batch of images. The image is read at the sum of a place
and a tap. Image and taps are transformed into 16 planes of sums, each a matrix; there are 16 products of these, and
their sums are the results. That goes block by block: some rows of tiles at a time, so that what is between stays in the
second cache. A tile that sticks out of the image reads zeros, and of its results nothing is kept.

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
from dlc.runtime.kernels.tile import WORD, constant, flat, itemsize
from dlc.runtime.kernels.transforms import (
    data_across,
    data_along,
    finite,
    results_across,
    results_along,
    spread_across,
    spread_along,
    taps,
    taps_spread,
)

PLANES = 16
#: Numbers between two planes, so that they do not fall on the same lines of the cache.
GAP = 16


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
            [constant(0), tb, m, n, k, one, a, lda, b, ldb, beta, c, ldc],
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
        call(builder, contract_symbol(sig.args[-1]), ir.VoidType(), args)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 13, one), codegen


@part
def fetched(source, step, count, target, one) -> int:
    """The address of a row whose numbers lie side by side: the row itself, or a copy."""
    compact()
    if step == 1:
        return source
    x, y = flat(source, one), flat(target, one)
    for i in range(count):
        y[i] = x[i * step]
    return target


@part
def tiles_of(
    is_image, depth, height, width, first, tile_rows, along, x, in_depth, in_height, in_width, planes, plane, rows, one
):
    """The planes of some rows of tiles: of an image, by B, or of what has the size of the results, by A."""
    compact()
    size, zero = itemsize(one), like(0.0, one)
    reach = 2 * along + (2 if is_image else 0)
    have = min(reach, width)
    step, apart = size * (2 * along + 4), size * plane
    zeros, copies, sums = rows, rows + step, rows + 5 * step
    empty = flat(zeros, one)
    for i in range(reach):
        empty[i] = zero
    for c in range(depth):
        for u in range(tile_rows):
            top, row = 2 * (first + u), size * in_height
            at = x + size * c * in_depth + top * row
            x0 = fetched(at, in_width, have, copies, one)
            x1 = fetched(at + row, in_width, have, copies + step, one) if top + 1 < height else zeros
            if is_image:
                x2 = fetched(at + 2 * row, in_width, have, copies + 2 * step, one)
                x3 = fetched(at + 3 * row, in_width, have, copies + 3 * step, one) if top + 3 < height else zeros
                data_across(x0, x1, x2, x3, sums, sums + step, sums + 2 * step, sums + 3 * step, have, one)
            else:
                spread_across(x0, x1, sums, sums + step, sums + 2 * step, sums + 3 * step, have, one)
            target = planes + size * (c * tile_rows + u) * along
            for p in range(4):
                source, found = sums + p * step, flat(sums + p * step, one)
                for i in range(have, reach):
                    found[i] = zero
                t = target + 4 * p * apart
                if is_image:
                    data_along(source, t, t + apart, t + 2 * apart, t + 3 * apart, along, one)
                else:
                    spread_along(source, t, t + apart, t + 2 * apart, t + 3 * apart, along, one)


@part
def tiles_of_taps(maps, channels, k, in_maps, in_channels, in_height, in_width, planes, plane, rows, one):
    """The planes of all taps, each a matrix of maps by channels, by G."""
    compact()
    size = itemsize(one)
    step, apart, down = size * channels, size * plane, size * in_height
    for o in range(maps):
        for q in range(3):
            at, t = k + size * (o * in_maps + q * in_width), rows + step * q
            taps_spread(
                at, at + down, at + 2 * down, t, t + 3 * step, t + 6 * step, t + 9 * step, in_channels, channels, one
            )
        for p in range(4):
            at, t = rows + step * 3 * p, planes + 4 * p * apart + step * o
            taps_spread(at, at + step, at + 2 * step, t, t + apart, t + 2 * apart, t + 3 * apart, 1, channels, one)


@part
def add_term(count, d, step, row, one):
    """row += d"""
    x, y = flat(d, one), flat(row, one)
    if step == 0:
        number = x[0]
        for i in range(count):
            y[i] += number
    else:
        for i in range(count):
            y[i] += x[i * step]


@part
def results_of(
    maps, height, width, first, tile_rows, along, planes, plane, y, in_maps, in_height, in_width, d, row_d, column_d,
    rows, one,
):  # fmt: skip
    """The results of some rows of tiles, by A', and a term if `d` is not 0; the sum of the results without it is added
    to the first number of the rows."""
    compact()
    size, tiles = itemsize(one), tile_rows * along
    step, apart, pairs = size * tiles, size * plane, width // 2
    lines = rows + size * GAP
    line, total = lines + 8 * step, flat(rows, one)
    for o in range(maps):
        for q in range(4):
            m, t = planes + q * apart + step * o, lines + q * step
            results_across(m, m + 4 * apart, m + 8 * apart, m + 12 * apart, t, t + 4 * step, tiles, one)
        for u in range(min(2 * tile_rows, height - 2 * first)):
            target = y + size * (o * in_maps + (2 * first + u) * in_height)
            m = lines + u % 2 * 4 * step + size * (u // 2) * along
            written = target if in_width == 1 else line
            results_along(m, m + step, m + 2 * step, m + 3 * step, written, rows, pairs, one)
            if width % 2 == 1:
                m0, m1, m2 = flat(m, one), flat(m + step, one), flat(m + 2 * step, one)
                last = m0[pairs] + m1[pairs] + m2[pairs]
                flat(written, one)[width - 1] = last
                total[0] += last
            if d != 0:
                place = o * row_d + (2 * first + u) * width * column_d
                add_term(width, d + size * place, column_d, written, one)
            if in_width != 1:
                of_line, of_y = flat(line, one), flat(target, one)
                for v in range(width):
                    of_y[v * in_width] = of_line[v]


@part
def taps_of(maps, channels, planes, plane, k, in_maps, in_channels, in_height, in_width, accumulate, rows, one) -> bool:
    """The taps, by G', if they are finite; whether they are."""
    compact()
    size, count, total = itemsize(one), maps * channels, flat(rows, one)
    step = size * plane
    for q in range(4):
        m = planes + q * step
        taps(m, m + 4 * step, m + 8 * step, m + 12 * step, rows, count, one)
    total[0] = like(0.0, one)
    for p in range(3):
        m = planes + 4 * p * step
        taps(m, m + step, m + 2 * step, m + 3 * step, rows, count, one)
    if not finite(total[0]):
        return False
    for o in range(maps):
        for p in range(3):
            for q in range(3):
                target = flat(k + size * (o * in_maps + p * in_height + q * in_width), one)
                found = flat(planes + (4 * p + q) * step + size * o * channels, one)
                if accumulate:
                    for c in range(channels):
                        target[c * in_channels] += found[c]
                else:
                    for c in range(channels):
                        target[c * in_channels] = found[c]
    return True


@part
def results(x, y, z, a, b, c, d, row_d, column_d, tile_rows, room, one) -> bool:
    """Whether the results are finite and written; lists as in `contract`."""
    compact()
    size, zero = itemsize(one), like(0.0, one)
    maps, height, width, channels = x[0], y[0], y[3], z[0]
    along, all_rows = (width + 1) // 2, (height + 1) // 2
    most = min(tile_rows, all_rows) * along
    of_taps, of_image, of_results = maps * channels + GAP, channels * most + GAP, maps * most + GAP
    image = room + size * PLANES * of_taps
    found = image + size * PLANES * of_image
    rows = found + size * PLANES * of_results
    after = rows + size * GAP
    tiles_of_taps(maps, channels, a, x[1], z[1], z[4], z[7], room, of_taps, rows, one)
    total = flat(rows, one)
    total[0] = zero
    for first in range(0, all_rows, tile_rows):
        number = min(tile_rows, all_rows - first)
        tiles = number * along
        tiles_of(
            True, channels, height + 2, width + 2, first, number, along, b, z[2], y[1], y[4], image, of_image, after,
            one,
        )  # fmt: skip
        for plane in range(PLANES):
            multiplied(
                0, maps, tiles, channels, room + size * plane * of_taps, channels, image + size * plane * of_image,
                tiles, zero, found + size * plane * of_results, tiles,
            )  # fmt: skip
        results_of(
            maps, height, width, first, number, along, found, of_results, c, x[2], y[2], y[5], d, row_d, column_d, rows,
            one,
        )  # fmt: skip
    return finite(total[0])


@part
def derivatives(x, y, z, images, in_a, in_b, a, b, c, accumulate, tile_rows, room, one) -> bool:
    """Whether the derivatives by taps are finite and written; lists as in `contract`, images apart."""
    compact()
    size = itemsize(one)
    maps, channels, height, width = x[0], y[0], z[0], z[3]
    along, all_rows = (width + 1) // 2, (height + 1) // 2
    most = min(tile_rows, all_rows) * along
    of_taps, of_image, of_results = maps * channels + GAP, channels * most + GAP, maps * most + GAP
    image = room + size * PLANES * of_taps
    other = image + size * PLANES * of_image
    rows = other + size * PLANES * of_results
    kept = like(0.0, one)
    for n in range(images):
        from_a, from_b = a + size * n * in_a, b + size * n * in_b
        for first in range(0, all_rows, tile_rows):
            number = min(tile_rows, all_rows - first)
            tiles = number * along
            tiles_of(
                True, channels, height + 2, width + 2, first, number, along, from_b, y[1], z[2], z[5], image, of_image,
                rows, one,
            )  # fmt: skip
            tiles_of(
                False, maps, height, width, first, number, along, from_a, x[1], z[1], z[4], other, of_results, rows, one
            )
            for plane in range(PLANES):
                multiplied(
                    1, maps, channels, tiles, other + size * plane * of_results, tiles, image + size * plane * of_image,
                    tiles, kept, room + size * plane * of_taps, channels,
                )  # fmt: skip
            kept = one
    return taps_of(maps, channels, room, of_taps, c, x[2], y[2], y[5], y[8], accumulate, rows, one)


@part
def rows_of_tiles(height, width) -> int:
    """Rows of tiles of a block, of which each has as many: `block` of the compiler."""
    if min(height, width) <= 0:
        return 0
    along, rows = (width + 1) // 2, (height + 1) // 2
    most = max(64 // along, 1)
    blocks = (rows + most - 1) // most
    return (rows + blocks - 1) // blocks


@part
def rows_if_faster(maps, channels, height, width) -> int:
    """The same, or 0 where the sum as written is faster: `is_faster` of the compiler."""
    tiles = (width + 1) // 2 * ((height + 1) // 2)
    saved = maps * channels * (9 * height * width - PLANES * tiles)
    if saved <= 230 * tiles * (channels + maps) + 300 * maps * channels:
        return 0
    return rows_of_tiles(height, width)


def product(
    rows, row_count, columns, column_count, steps, step_count, a, b, c, accumulate, d, row_d, column_d, tile_rows, room,
    one,
):  # fmt: skip
    """The C function behind `winograd`."""
    compact()
    x, y, z = integers(rows), integers(columns), integers(steps)
    batch = step_count == 3 and column_count == 3
    if x[0] <= 0:
        return
    if tile_rows == 0:
        done = False
    elif column_count == 2:
        done = results(x, y, z, a, b, c, d, row_d, column_d, tile_rows, room, one)
    elif batch and z[0] <= 0:
        done = False
    elif batch:
        places = integers(steps + 3 * WORD_BYTES)
        done = derivatives(x, y, places, z[0], z[1], z[2], a, b, c, accumulate, tile_rows, room, one)
    else:
        done = derivatives(x, y, z, 1, 0, 0, a, b, c, accumulate, tile_rows, room, one)
    if not done:
        contracted(
            rows, row_count, columns, column_count, steps, step_count, a, b, c, accumulate, d, row_d, column_d, one
        )  # fmt: skip


@cache
def load_winograd(real: Any) -> Any:
    """Compile the product for one real type, or load it, and make it known by its symbol."""
    load_gemm(real)
    load_contract(real)
    function = native(types.void(*[types.int64] * 15, real))(product)
    llvm.add_symbol(winograd_symbol(real), function.address)
    return function


def winograd_of(name: str) -> Any:
    """`winograd_f32`, `winograd_plus_f64` and so on, for use in kernels, with its C function ready."""
    kind, _, real = name.rpartition("_")
    real = {"f32": types.float32, "f64": types.float64}[real]
    load_winograd(real)

    def called(builder: Any, context: Any, lists: Any, args: Any, adds: Any, term: list[Any]) -> Any:
        a, b, c, tile_rows, room = args
        operands = [builder.ptrtoint(operand, WORD) for operand in (a, b, c)]
        one = ir.Constant(context.get_value_type(real), 1.0)
        given = [*lists, *operands, adds, *term, tile_rows, builder.ptrtoint(room, WORD), one]
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

    return winograd_plus if kind == "winograd_plus" else winograd


def _lists(lists: Sequence[Any], operands: Sequence[Any], real: Any) -> Sequence[Any] | None:
    """The types of lists of indices, if they are such, and the operands addresses of these numbers."""
    if not all(operand == types.CPointer(real) for operand in operands) or not all(map(is_list_of_indices, lists)):
        return None
    return tuple(types.UniTuple(types.UniTuple(types.int64, 3), len(each)) for each in lists)
