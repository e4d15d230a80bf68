"""Products over several indices at once, of operands that are read where they lie.

C[rows, columns] (+)= sum over the reduced indices of A[rows, reduced] * B[columns, reduced], where rows, columns and
reduced are each a list of indices with an extent and one stride in either of the two operands that have them. A term D
that is a number for each row, or for each column, may be added. So a
convolution is a product without a copy of its windows: its rows are the maps, its columns the pixels, and the windows
that overlap are strides that do.

Results that are added may overlap: those of neighbouring columns, if the rows lie side by side in C. Then the rows are
in the lanes, and which columns a tile takes does not depend on how many there are, so that shards add in one order.

The offsets of a block of rows, of a panel of columns as wide as the register tile and of a block of the reduced indices
are written to tables. Numbers of A are read in place through them. B is read in place where a panel lies side by side,
and copied to a panel on the stack where it does not. C is written in vectors along its columns, or turned in registers
where it is its rows that are neighbours. What plays A and what B is chosen by what it costs, see ``panels.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import compact, intrinsic, native, types
from dlc.runtime.kernels.macro_kernel import KEPT_ROWS, SAME_LINES
from dlc.runtime.kernels.panels import DEPTH, ROWS, cost, crowded, extent, in_runs, integers, neighbours, panel_width
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import call, like, suffix
from dlc.runtime.kernels.support import end_needed, first_needed
from dlc.runtime.kernels.table_packing import consecutive, pack
from dlc.runtime.kernels.table_tile import (
    ADD,
    ADD_NUMBERS,
    ADD_VECTORS,
    full_tile,
    load_table_tiles,
    narrow_tile,
    spread_vectors,
    turn_vectors,
)
from dlc.runtime.kernels.tile import fetch
from dlc.runtime.kernels.tile_shape import few, flat, height, itemsize, lanes, scratch, width
from dlc.runtime.kernels.vectors import WORD, constant

#: Rows of results that wait together to be turned.
STRIP = 48
#: Indices that rows, columns or reduced indices may consist of.
INDICES = 16
WORD_BYTES = 8
row_table = scratch(lambda shape: 2 * ROWS * WORD_BYTES // shape.bytes, "Room for the offsets of rows in A and in C.")
step_table = scratch(lambda shape: 3 * DEPTH * WORD_BYTES // shape.bytes, "Room for those of steps in A, B, a panel.")
column_table = scratch(lambda shape: 2 * shape.width * WORD_BYTES // shape.bytes, "Room for the offsets of columns.")
strip_table = scratch(lambda shape: STRIP * WORD_BYTES // shape.bytes, "Room for the offsets of a strip's rows.")
strip_memory = scratch(lambda shape: STRIP * shape.width, "Room for the results of a strip of rows.")
turned_memory = scratch(lambda shape: shape.lanes**2, "Room for a square block of them.")
digits = scratch(lambda shape: INDICES * WORD_BYTES // shape.bytes, "Room for the values of indices.")
panel_memory = scratch(lambda shape: DEPTH * shape.width, "Room for a panel of B.")
term_memory = scratch(lambda shape: shape.lanes, "Room for a vector of a term.")


def contract_symbol(real: Any) -> str:
    return f"dlc_contract_{suffix(real)}"


@part
def offsets(first, number, indices, count, one, other, scale, here, into_one, into_other):
    """The offsets of `number` places from the first on, in row-major order, by the strides `one` and `other`."""
    compact()
    x, y, z, at = integers(indices), integers(into_one), integers(into_other), integers(here)
    last = 3 * (count - 1)
    rest = first
    for g in range(count - 1, -1, -1):
        at[g] = rest % x[3 * g]
        rest //= x[3 * g]
    p, q = 0, 0
    for g in range(count - 1):
        p += at[g] * x[3 * g + one]
        q += at[g] * x[3 * g + other]
    step_p, step_q = scale * x[last + one], scale * x[last + other]
    done, inner = 0, at[count - 1]
    while done < number:
        run = min(x[last] - inner, number - done)
        start_p, start_q = scale * p + inner * step_p, scale * q + inner * step_q
        for r in range(run):
            y[done + r] = start_p + r * step_p
            z[done + r] = start_q + r * step_q
        done += run
        inner = 0
        g = count - 2
        while g >= 0:
            at[g] += 1
            p += x[3 * g + one]
            q += x[3 * g + other]
            if at[g] < x[3 * g]:
                break
            p -= at[g] * x[3 * g + one]
            q -= at[g] * x[3 * g + other]
            at[g] = 0
            g -= 1


@part
def scatter(rows, columns, strip, rows_of_strip, c, in_c, columns_of_c, accumulate, one):
    """c[row, column] (+)= strip[row, column]: where rows are neighbours in C, a vector of rows at a time"""
    compact()
    size, block, turned = itemsize(one), lanes(one), turned_memory(one)
    source, x, y = flat(strip, one), integers(in_c), integers(columns_of_c)
    i = 0
    while i < rows:
        if i + block <= rows and consecutive(in_c + 8 * i, block, size):
            for j in range(0, columns, block):
                turn_vectors(strip + size * j, rows_of_strip + 8 * i, turned, block * size, one)
                number, places = min(block, columns - j), columns_of_c + 8 * j
                spread_vectors(turned, block * size, number, c + x[i], places, accumulate, one)
            i += block
            continue
        for j in range(columns):
            target, value = flat(c + x[i] + y[j], one), source[i * width(one) + j]
            if accumulate:
                target[0] += value
            else:
                target[0] = value
        i += 1


@part
def overlapping(rows, row_count, columns, column_count) -> int:
    """How many columns go together because their results, which lie side by side along the rows, overlap; 0 where
    results lie apart.
    """
    x, last = integers(columns), 3 * (column_count - 1)
    return x[last] if x[last + 2] > 0 and x[last + 2] < neighbours(rows, row_count, 2) else 0


@part
def most_rows(rows, in_a, one) -> int:
    """Rows of a tile, at most: of those of A that fall on the same lines of the first cache, as many as it keeps."""
    x = integers(in_a)
    if rows > 1 and (x[1] - x[0]) % SAME_LINES == 0:
        return min(height(one), KEPT_ROWS)
    return height(one)


@part
def fetch_row(c, columns, columns_of_c, one):
    """Fetch the lines of memory of one row of C: where rows are neighbours, a tile of them is on few others."""
    y = integers(columns_of_c)
    for j in range(columns):
        fetch(c + y[j])


@part
def column_of_tiles(
    rows, columns, whole, depth, a, in_a, steps_a, b, steps_b, c, in_c, columns_of_c, accumulate, d, row_d, support,
    first_row, steps, first_step, group, one,
):  # fmt: skip
    """One panel of columns: tiles of nearly equal height, from the first row to the last; by way of a strip where the
    columns are not `whole`: no neighbours in C, or too few for a vector. With a `support` each tile has its own steps.
    No tile goes on behind a `group` of rows.
    """
    compact()
    strip, rows_of_strip, size = strip_memory(one), strip_table(one), itemsize(one)
    second = size * (columns - lanes(one))
    x = integers(rows_of_strip)
    for i in range(0 if whole else min(rows, STRIP)):
        x[i] = i * size * width(one)
    strips = (rows + STRIP - 1) // STRIP
    length = rows if whole else ((rows + strips - 1) // strips + lanes(one) - 1) // lanes(one) * lanes(one)
    length, most = min(length, group), most_rows(rows, in_a, one)
    target = c + integers(columns_of_c)[0] if whole else strip
    adds = 0 if not whole and accumulate == ADD else accumulate
    for first in range(0, rows, length):
        number = min(length, rows - first)
        turns = not whole and consecutive(in_c + 8 * first, number, size)
        tiles = (number + most - 1) // most
        low, taller = number // tiles, number % tiles
        i = 0
        for t in range(tiles):
            tall = low + 1 if t < taller else low
            of_a = in_a + 8 * (first + i)
            of_c = in_c + 8 * (first + i) if whole else rows_of_strip + 8 * i
            of_d = d + (first + i) * row_d
            begin = first_needed(support, first_row + first + i, tall, steps, first_step)
            end = end_needed(support, first_row + first + i, tall, steps, first_step, depth)
            if end <= begin and adds == ADD:
                i += tall
                continue
            if turns:
                fetch_row(c + integers(in_c)[first + i + tall - 1], columns, columns_of_c, one)
            begin = min(begin, depth - 1)
            end = max(end, begin + 1)
            from_a, from_b, number_of_steps = steps_a + 8 * begin, steps_b + 8 * begin, end - begin
            if columns > lanes(one):
                full_tile(
                    tall, a, of_a, from_a, b, from_b, number_of_steps, target, of_c, second, adds, of_d, row_d, one
                )
            else:
                narrow_tile(
                    tall, a, of_a, from_a, b, from_b, number_of_steps, target, of_c, columns, adds, of_d, row_d, one
                )
            i += tall
        if not whole:
            scatter(number, columns, strip, rows_of_strip, c, in_c + 8 * first, columns_of_c, accumulate == ADD, one)


@part
def term_of(columns, d, room, one) -> int:
    """Where whole vectors of a term for so many columns may be read."""
    if columns >= lanes(one):
        return d
    x, y, zero = flat(d, one), flat(room, one), like(0.0, one)
    for j in range(lanes(one)):
        y[j] = x[j] if j < columns else zero
    return room


@part
def blocked(
    rows, row_count, columns, column_count, steps, step_count, of_a, of_b, a, b, c, accumulate, d, row_d, column_d,
    of_columns, of_rows, group, one,
):  # fmt: skip
    """The product with the roles as they are given, and a support along the columns or the rows or none: every panel
    or tile takes the steps that it needs. Tiles are those of a `group` of rows and of the next, whichever rows there
    are, if it is not 0.
    """
    compact()
    size = itemsize(one)
    m, n, k = extent(rows, row_count), extent(columns, column_count), extent(steps, step_count)
    here, panel, term = digits(one), panel_memory(one), term_memory(one)
    in_a, steps_a, in_b = row_table(one), step_table(one), column_table(one)
    in_c, steps_b, steps_of_panel = in_a + 8 * ROWS, steps_a + 8 * DEPTH, steps_a + 16 * DEPTH
    columns_of_c = in_b + 8 * width(one)
    x, filled = integers(steps_of_panel), 0
    y, last = integers(columns), 3 * (column_count - 1)
    packs = m > 3 * height(one) and crowded(steps, step_count, of_b, size)
    run = y[last] if in_runs(m, columns, column_count, one) else n
    run_of_steps = neighbours(steps, step_count, of_b)
    side_in_b, side_in_c = neighbours(columns, column_count, 1), neighbours(columns, column_count, 2)
    group = group if group > 0 else m
    groups = m // group
    chunks, blocks = (k + DEPTH - 1) // DEPTH, (m + ROWS - 1) // ROWS
    if group <= ROWS:
        blocks = (groups + ROWS // group - 1) // (ROWS // group)
    for chunk in range(chunks):
        first = chunk * k // chunks
        depth = (chunk + 1) * k // chunks - first
        adds = ADD if chunk > 0 else accumulate
        offsets(first, depth, steps, step_count, of_a, of_b, size, here, steps_a, steps_b)
        for block in range(blocks):
            i = block * m // blocks
            many = (block + 1) * m // blocks - i
            if group <= ROWS:
                i = block * groups // blocks * group
                many = (block + 1) * groups // blocks * group - i
            offsets(i, many, rows, row_count, 1, 2, size, here, in_a, in_c)
            j = 0
            while j < n:
                wide = panel_width(run - j % run, one)
                low = min(first_needed(of_columns, j, wide, k, first), depth - 1)
                high = max(end_needed(of_columns, j, wide, k, first, depth), low + 1)
                lies = wide >= few(one) and not packs and j % side_in_b + wide <= side_in_b
                whole = wide >= few(one) and j % side_in_c + wide <= side_in_c
                offsets(j, 1 if lies and whole else wide, columns, column_count, 1, 2, size, here, in_b, columns_of_c)
                operand, steps_of_operand = b + integers(in_b)[0], steps_b + 8 * low
                if not lies:
                    for l in range(filled, high - low):
                        x[l] = l * size * width(one)
                    filled = max(filled, high - low)
                    pack(wide, first + low, high - low, b, in_b, steps_b + 8 * low, run_of_steps, panel, one)
                    operand, steps_of_operand = panel, steps_of_panel
                of_d = d + size * i * row_d
                if adds == ADD_VECTORS:
                    of_d = term_of(wide, d + size * j, term, one)
                column_of_tiles(
                    many, wide, whole, high - low, a, in_a, steps_a + 8 * low, operand, steps_of_operand, c, in_c,
                    columns_of_c, adds, of_d, size * row_d, of_rows, i, k, first + low, group, one,
                )  # fmt: skip
                j += wide


@part
def clear(rows, row_count, columns, column_count, c, d, row_d, column_d, one):
    """What an empty sum gives."""
    compact()
    size, here, in_c = itemsize(one), digits(one), column_table(one)
    x, zero = integers(in_c), like(0.0, one)
    for i in range(extent(rows, row_count)):
        offsets(i, 1, rows, row_count, 1, 2, size, here, in_c + 8, in_c)
        first = c + x[0]
        for j in range(extent(columns, column_count)):
            offsets(j, 1, columns, column_count, 1, 2, size, here, in_c + 8, in_c)
            target = flat(first + x[0], one)
            target[0] = flat(d + size * (i * row_d + j * column_d), one)[0] if d != 0 else zero


def contraction(
    rows, row_count, columns, column_count, steps, step_count, a, b, c, accumulate, d, row_d, column_d, support, one
):  # fmt: skip
    """The C function behind `contract`: the three lists are addresses of (extent, stride, stride). If there is no term,
    `d` is 0, and so are its steps; otherwise one of these is 0, the other at most 1. `support` is the address of one,
    or 0.
    """
    compact()
    if extent(rows, row_count) <= 0 or extent(columns, column_count) <= 0:
        return
    if extent(steps, step_count) <= 0:
        if not accumulate:
            clear(rows, row_count, columns, column_count, c, d, row_d, column_d, one)
        return
    as_given = cost(rows, row_count, columns, column_count, steps, step_count, 1, 2, one)
    swapped = cost(columns, column_count, rows, row_count, steps, step_count, 2, 1, one)
    of_a, of_b = 1, 2
    of_columns, of_rows = support, 0
    group = overlapping(rows, row_count, columns, column_count)
    if swapped < as_given or group > 0:
        of_columns, of_rows = 0, support
        rows, row_count, columns, column_count = columns, column_count, rows, row_count
        a, b, of_a, of_b = b, a, of_b, of_a
        row_d, column_d = column_d, row_d
    if d != 0:
        accumulate = ADD_VECTORS if column_d == 1 else ADD_NUMBERS
    blocked(
        rows, row_count, columns, column_count, steps, step_count, of_a, of_b, a, b, c, accumulate, d, row_d, column_d,
        of_columns, of_rows, group, one,
    )  # fmt: skip


@cache
def load_contract(real: Any) -> Any:
    """Compile the product for one real type, or load it, and make it known by its symbol."""
    load_table_tiles(real)
    function = native(types.void(*[types.int64] * 14, real))(contraction)
    llvm.add_symbol(contract_symbol(real), function.address)
    return function


def contract_of(name: str) -> Any:
    """`contract_f32`, `contract_plus_f64` and so on, for use in kernels, with its C function ready."""
    kind, _, real = name.rpartition("_")
    real = {"f32": types.float32, "f64": types.float64}[real]
    load_contract(real)

    @intrinsic
    def contract(typing_context, rows, columns, reduced, a, b, c, accumulate, support=None):
        """C[rows, columns] = sum over the reduced indices of A*B, added to C where `accumulate`.

        `rows` has (extent, stride in A, stride in C) of every index of the rows, `columns` those in B and C, `reduced`
        those in A and B, in elements; `a`, `b` and `c` are element addresses. C overlaps neither A nor B. Outside of a
        `support`, if there is one, B is zero: see ``support.py``.
        """
        pointer = types.CPointer(real)
        lists = (rows, columns, reduced)
        if not all(operand == pointer for operand in (a, b, c)) or not all(map(is_list_of_indices, lists)):
            return None
        lists = tuple(types.UniTuple(types.UniTuple(types.int64, 3), len(each)) for each in lists)

        def codegen(context, builder, sig, args):
            described = described_in(builder, lists, args)
            operands = [builder.ptrtoint(operand, WORD) for operand in args[3:6]]
            one = ir.Constant(context.get_value_type(real), 1.0)
            adds = builder.zext(args[6], WORD)
            further = [*[constant(0)] * 3, support_of(builder, args[7])]
            call(builder, contract_symbol(real), ir.VoidType(), [*described, *operands, adds, *further, one])
            return context.get_dummy_value()

        return types.void(*lists, pointer, pointer, pointer, types.boolean, support_type(support)), codegen

    @intrinsic
    def contract_plus(typing_context, rows, columns, reduced, a, b, d, row_d, column_d, c, support=None):
        """C[rows, columns] = D + sum over the reduced indices of A*B; D begins at `d` and has a number for each row
        (`row_d` is 1), for each column (`column_d` is 1), or one number; the other arguments are those of `contract`.
        """
        pointer = types.CPointer(real)
        lists = (rows, columns, reduced)
        if not all(operand == pointer for operand in (a, b, c, d)) or not all(map(is_list_of_indices, lists)):
            return None
        lists = tuple(types.UniTuple(types.UniTuple(types.int64, 3), len(each)) for each in lists)

        def codegen(context, builder, sig, args):
            described = described_in(builder, lists, args)
            a, b, d, row_d, column_d, c, support = args[3:]
            operands = [builder.ptrtoint(operand, WORD) for operand in (a, b, c)]
            further = [builder.ptrtoint(d, WORD), row_d, column_d, support_of(builder, support)]
            one = ir.Constant(context.get_value_type(real), 1.0)
            call(builder, contract_symbol(real), ir.VoidType(), [*described, *operands, constant(0), *further, one])
            return context.get_dummy_value()

        steps = [types.int64, types.int64]
        return types.void(*lists, pointer, pointer, pointer, *steps, pointer, support_type(support)), codegen

    return contract_plus if kind == "contract_plus" else contract


def described_in(builder, lists: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """The addresses and lengths of the lists, which are given first."""
    words = [address_of(builder, cgutils.unpack_tuple(builder, each)) for each, _ in zip(given, lists, strict=False)]
    counts = [constant(len(each)) for each in lists]
    return [part for pair in zip(words, counts, strict=True) for part in pair]


def support_type(support: Any) -> Any:
    return types.UniTuple(types.int64, len(support)) if isinstance(support, types.BaseTuple) else types.Omitted(None)


def support_of(builder, support: Any) -> Any:
    """Where its numbers stand; 0 without a support."""
    return address_of(builder, [support]) if isinstance(support.type, ir.ArrayType) else constant(0)


def is_list_of_indices(given: Any) -> bool:
    return isinstance(given, types.BaseTuple) and all(isinstance(i, types.BaseTuple) and len(i) == 3 for i in given)


def address_of(builder, indices: list[Any]) -> Any:
    """Where the numbers of all indices stand, one after the other, on the stack of the enclosing function."""
    numbers = [number for index in indices for number in cgutils.unpack_tuple(builder, index)]
    with builder.goto_entry_block():
        space = builder.alloca(ir.ArrayType(WORD, len(numbers)))
    for position, number in enumerate(numbers):
        builder.store(number, builder.gep(space, [constant(0), constant(position)]))
    return builder.ptrtoint(space, WORD)
