"""Products over several indices at once, of operands that are read where they lie.

C[rows, columns] (+)= sum over the reduced indices of A[rows, reduced] * B[columns, reduced], where rows, columns and
reduced are each a list of indices with an extent and one stride in either of the two operands that have them. So a
convolution is a product without a copy of its windows: its rows are the maps, its columns the pixels, and the windows
that overlap are strides that do.

The offsets of a block of rows, of a panel of columns as wide as the register tile and of a block of the reduced indices
are written to tables. Numbers of A are read in place through them. B is read in place where a panel lies side by side,
and copied to a panel on the stack where it does not. What plays A and what B is chosen by what it costs, see `cost`:
registers that stay empty, the copying of panels, and whether C is written in vectors or number by number.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import compact, intrinsic, native, types
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import call, like, suffix
from dlc.runtime.kernels.table_tile import copy_vectors, full_tile, load_table_tiles, narrow_tile, turn_vectors
from dlc.runtime.kernels.tile import WORD, block_memory, constant, flat, height, itemsize, lanes, scratch, width
from dlc.runtime.kernels.views import View, make_view

#: Rows whose offsets are known at a time, and steps of the reduced indices between two visits of C.
ROWS, DEPTH = 384, 512
#: Indices that rows, columns or reduced indices may consist of.
INDICES = 16
WORD_BYTES = 8
row_table = scratch(lambda shape: 2 * ROWS * WORD_BYTES // shape.bytes, "Room for the offsets of rows in A and in C.")
step_table = scratch(lambda shape: 3 * DEPTH * WORD_BYTES // shape.bytes, "Room for those of steps in A, B, a panel.")
column_table = scratch(lambda shape: 2 * shape.width * WORD_BYTES // shape.bytes, "Room for the offsets of columns.")
tile_table = scratch(lambda shape: shape.height * WORD_BYTES // shape.bytes, "Room for the offsets of a tile's rows.")
digits = scratch(lambda shape: INDICES * WORD_BYTES // shape.bytes, "Room for the values of indices.")
panel_memory = scratch(lambda shape: DEPTH * shape.width, "Room for a panel of B.")


def contract_symbol(real: Any) -> str:
    return f"dlc_contract_{suffix(real)}"


@intrinsic
def integers(typing_context, address):
    """The integers from an address on."""
    view = View(types.int64, (None,))

    def codegen(context, builder, sig, args):
        return make_view(context, builder, view, args[0], [constant(2**59)])

    return view(types.int64), codegen


@part
def extent(indices, count) -> int:
    """How many values the indices have together."""
    x = integers(indices)
    total = 1
    for g in range(count):
        total *= x[3 * g]
    return total


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
def consecutive(table, number, size) -> bool:
    """Whether so many offsets are those of neighbours."""
    x = integers(table)
    for i in range(1, number):  # noqa: SIM110  # compiled code has no generators
        if x[i] - x[i - 1] != size:
            return False
    return True


@part
def pack(columns, depth, b, in_b, steps_b, panel, one):
    """panel[l,j] = b[column j, step l], and 0 beyond the last column; a vector of columns at a time"""
    compact()
    size, block, zero = itemsize(one), lanes(one), like(0.0, one)
    row = size * width(one)
    at, steps, target = integers(in_b), integers(steps_b), flat(panel, one)
    for j in range(0, columns, block):
        number = min(block, columns - j)
        l = 0  # noqa: E741
        if number == block and consecutive(in_b + 8 * j, block, size):
            copy_vectors(b + at[j], steps_b, depth, panel + size * j, row, one)
            continue
        while l < depth:
            if number == block and l + block <= depth and consecutive(steps_b + 8 * l, block, size):
                turn_vectors(b + steps[l], in_b + 8 * j, panel + l * row + size * j, row, one)
                l += block  # noqa: E741
                continue
            for i in range(j, j + number):
                target[l * width(one) + i] = flat(b + at[i] + steps[l], one)[0]
            l += 1  # noqa: E741
    whole = (columns + block - 1) // block * block
    if columns < whole:
        for l in range(depth):  # noqa: E741
            for j in range(columns, whole):
                target[l * width(one) + j] = zero


@part
def scatter(rows, columns, block, c, in_c, columns_of_c, accumulate, one):
    """c[row, column] (+)= block[row, column], number by number"""
    compact()
    source, x, y = flat(block, one), integers(in_c), integers(columns_of_c)
    for j in range(columns):
        first = c + y[j]
        for i in range(rows):
            target = flat(first + x[i], one)
            value = source[i * width(one) + j]
            if accumulate:
                target[0] += value
            else:
                target[0] = value


@part
def column_of_tiles(rows, columns, depth, a, in_a, steps_a, b, steps_b, c, in_c, columns_of_c, accumulate, one):
    """One panel of columns: tiles of nearly equal height, from the first row to the last."""
    compact()
    size, block, block_rows = itemsize(one), block_memory(one), tile_table(one)
    whole = (columns == width(one) or columns == lanes(one)) and consecutive(columns_of_c, columns, size)
    of_block = integers(block_rows)
    for i in range(height(one)):
        of_block[i] = i * size * width(one)
    first_c = c + integers(columns_of_c)[0]
    tiles = (rows + height(one) - 1) // height(one)
    low, taller = rows // tiles, rows % tiles
    i = 0
    for t in range(tiles):
        tall = low + 1 if t < taller else low
        target, target_rows = (first_c, in_c + 8 * i) if whole else (block, block_rows)
        adds = accumulate if whole else 0
        if columns > lanes(one):
            full_tile(tall, a, in_a + 8 * i, steps_a, b, steps_b, depth, target, target_rows, adds, one)
        else:
            narrow_tile(tall, a, in_a + 8 * i, steps_a, b, steps_b, depth, target, target_rows, adds, one)
        if not whole:
            scatter(tall, columns, block, c, in_c + 8 * i, columns_of_c, accumulate, one)
        i += tall


@part
def crowded(steps, count, of_b, size) -> bool:
    """Whether the steps of B fall on few lines of the cache."""
    x = integers(steps)
    for g in range(count):  # noqa: SIM110  # compiled code has no generators
        if x[3 * g] > 4 and size * x[3 * g + of_b] % 1024 == 0:
            return True
    return False


@part
def blocked(rows, row_count, columns, column_count, steps, step_count, of_a, of_b, a, b, c, accumulate, one):
    """The product with the roles as they are given."""
    compact()
    size = itemsize(one)
    m, n, k = extent(rows, row_count), extent(columns, column_count), extent(steps, step_count)
    here, panel = digits(one), panel_memory(one)
    in_a, steps_a, in_b = row_table(one), step_table(one), column_table(one)
    in_c, steps_b, steps_of_panel = in_a + 8 * ROWS, steps_a + 8 * DEPTH, steps_a + 16 * DEPTH
    columns_of_c = in_b + 8 * width(one)
    x = integers(steps_of_panel)
    for l in range(DEPTH):  # noqa: E741
        x[l] = l * size * width(one)
    packs = m > 3 * height(one) and crowded(steps, step_count, of_b, size)
    chunks = (k + DEPTH - 1) // DEPTH
    for chunk in range(chunks):
        first = chunk * k // chunks
        depth = (chunk + 1) * k // chunks - first
        adds = 1 if chunk > 0 else accumulate
        offsets(first, depth, steps, step_count, of_a, of_b, size, here, steps_a, steps_b)
        for i in range(0, m, ROWS):
            offsets(i, min(ROWS, m - i), rows, row_count, 1, 2, size, here, in_a, in_c)
            for j in range(0, n, width(one)):
                wide = min(width(one), n - j)
                offsets(j, wide, columns, column_count, 1, 2, size, here, in_b, columns_of_c)
                whole = wide == width(one) or wide == lanes(one)
                operand, steps_of_operand = b + integers(in_b)[0], steps_b
                if packs or not whole or not consecutive(in_b, wide, size):
                    pack(wide, depth, b, in_b, steps_b, panel, one)
                    operand, steps_of_operand = panel, steps_of_panel
                height_of_block = min(ROWS, m - i)
                column_of_tiles(
                    height_of_block, wide, depth, a, in_a, steps_a, operand, steps_of_operand, c, in_c, columns_of_c,
                    adds, one,
                )  # fmt: skip


@part
def cost(rows, row_count, columns, column_count, steps, step_count, of_b, one) -> int:
    """Estimated cycles with the columns in the lanes."""
    y, z = integers(columns), integers(steps)
    m, n, k = extent(rows, row_count), extent(columns, column_count), extent(steps, step_count)
    tiles, panels = (m + height(one) - 1) // height(one), n // width(one)
    tall = (m + tiles - 1) // tiles
    rest = n - panels * width(one)
    full = max(tall, 4)  # multiply-adds take 4 cycles, and two run at a time
    last = full if rest > lanes(one) else 4 if rest > 0 else 0
    total = k * tiles * (panels * full + last)
    inner, of_c = y[3 * (column_count - 1)], y[3 * (column_count - 1) + 2]
    side_by_side = y[3 * (column_count - 1) + 1] == 1
    blocks = (m + ROWS - 1) // ROWS
    if side_by_side and (inner == n or inner % width(one) == 0):
        copies = 0
    elif side_by_side:
        copies = 4 if inner >= width(one) else 8
    else:
        copies = 8 if z[3 * (step_count - 1) + of_b] == 1 and z[3 * (step_count - 1)] >= lanes(one) else 24
    total += k * (panels + (1 if rest > 0 else 0)) * copies * blocks
    scattered = of_c != 1 or inner < width(one)
    return total + (2 * m * n * ((k + DEPTH - 1) // DEPTH) if scattered else 0)


@part
def clear(rows, row_count, columns, column_count, c, one):
    """What an empty sum gives."""
    compact()
    size, here, in_c = itemsize(one), digits(one), column_table(one)
    x, zero = integers(in_c), like(0.0, one)
    for i in range(extent(rows, row_count)):
        offsets(i, 1, rows, row_count, 1, 2, size, here, in_c + 8, in_c)
        first = c + x[0]
        for j in range(extent(columns, column_count)):
            offsets(j, 1, columns, column_count, 1, 2, size, here, in_c + 8, in_c)
            flat(first + x[0], one)[0] = zero


def contraction(rows, row_count, columns, column_count, steps, step_count, a, b, c, accumulate, one):
    """The C function behind `contract`: the three lists are addresses of (extent, stride, stride)."""
    compact()
    if extent(rows, row_count) <= 0 or extent(columns, column_count) <= 0:
        return
    if extent(steps, step_count) <= 0:
        if not accumulate:
            clear(rows, row_count, columns, column_count, c, one)
        return
    as_given = cost(rows, row_count, columns, column_count, steps, step_count, 2, one)
    swapped = cost(columns, column_count, rows, row_count, steps, step_count, 1, one)
    if as_given <= swapped:
        blocked(rows, row_count, columns, column_count, steps, step_count, 1, 2, a, b, c, accumulate, one)
    else:
        blocked(columns, column_count, rows, row_count, steps, step_count, 2, 1, b, a, c, accumulate, one)


@cache
def load_contract(real: Any) -> Any:
    """Compile the product for one real type, or load it, and make it known by its symbol."""
    load_table_tiles(real)
    function = native(types.void(*[types.int64] * 10, real))(contraction)
    llvm.add_symbol(contract_symbol(real), function.address)
    return function


def contract_of(name: str) -> Any:
    """`contract_f32` or `contract_f64` for use in kernels, with its C function ready."""
    real = {"contract_f32": types.float32, "contract_f64": types.float64}[name]
    load_contract(real)

    @intrinsic
    def contract(typing_context, rows, columns, reduced, a, b, c, accumulate):
        """C[rows, columns] = sum over the reduced indices of A*B, added to C where `accumulate`.

        `rows` has (extent, stride in A, stride in C) of every index of the rows, `columns` those in B and C, `reduced`
        those in A and B, in elements; `a`, `b` and `c` are element addresses. C overlaps neither A nor B.
        """
        pointer = types.CPointer(real)
        lists = (rows, columns, reduced)
        if not all(operand == pointer for operand in (a, b, c)) or not all(map(is_list_of_indices, lists)):
            return None
        lists = tuple(types.UniTuple(types.UniTuple(types.int64, 3), len(each)) for each in lists)

        def codegen(context, builder, sig, args):
            words = [address_of(builder, cgutils.unpack_tuple(builder, each)) for each in args[:3]]
            operands = [builder.ptrtoint(operand, WORD) for operand in args[3:6]]
            counts = [constant(len(each)) for each in lists]
            described = [part for pair in zip(words, counts, strict=True) for part in pair]
            one = ir.Constant(context.get_value_type(real), 1.0)
            adds = builder.zext(args[6], WORD)
            call(builder, contract_symbol(real), ir.VoidType(), [*described, *operands, adds, one])
            return context.get_dummy_value()

        return types.void(*lists, pointer, pointer, pointer, types.boolean), codegen

    return contract


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
