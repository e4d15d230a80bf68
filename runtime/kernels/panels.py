"""How a product over several indices is cut into panels of columns, and what that costs.

A list of indices is an address with (extent, stride, stride) of each. Panels are as wide as the register tile where
they may be; where the columns cease to be neighbours in B, such as at the end of a row of pixels, they go on in a copy,
or end there and are read in place. Two vectors that overlap make a panel of any width from one vector on.

The cost counts what the tile leaves empty in rows and columns, what is around the steps of each tile, the copying of
panels, and how C is written.
"""

from __future__ import annotations

from dlc.runtime.kernels.compilation import intrinsic, types
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.tile_shape import few, height, itemsize, lanes, width
from dlc.runtime.kernels.vectors import constant
from dlc.runtime.kernels.views import View, make_view

#: Rows whose offsets are known at a time, and steps of the reduced indices between two visits of C.
ROWS, DEPTH = 384, 512
#: Cycles of a multiply-add, of which two run at a time; those around the steps of a tile.
SHORT, VISIT = 4, 128


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
def crowded(steps, count, of_b, size) -> bool:
    """Whether the steps of B fall on few lines of the cache."""
    x = integers(steps)
    for g in range(count):  # noqa: SIM110  # compiled code has no generators
        if x[3 * g] > 4 and size * x[3 * g + of_b] % 1024 == 0:
            return True
    return False


@part
def panel_width(left, one) -> int:
    """Columns of the next panel, of so many that are left side by side: so that later ones are not too few."""
    if left <= width(one):
        return left
    return (left + 1) // 2 if left < width(one) + few(one) else width(one)


@part
def sweep(columns, full, one) -> int:
    """Cycles that so many columns side by side take of a row of tiles, for each of the reduced indices."""
    panels, rest = columns // width(one), columns % width(one)
    if columns < lanes(one) or (few(one) <= rest and rest <= lanes(one)):
        return panels * full + max(SHORT, (full + 1) // 2)
    return panels * full if rest == 0 else (panels + 1) * full


@part
def in_runs(m, columns, column_count, one) -> bool:
    """Whether panels end where columns cease to be neighbours in B, and are read in place, or go on in a copy."""
    y, last = integers(columns), 3 * (column_count - 1)
    n, run = extent(columns, column_count), y[last]
    if y[last + 1] != 1 or run < few(one):
        return False
    tiles = (m + height(one) - 1) // height(one)
    full = max((m + tiles - 1) // tiles, SHORT)
    across = tiles * sweep(n, full, one) + n // width(one) * (4 if run >= width(one) else 8)
    return tiles * (n // run) * sweep(run, full, one) <= across


@part
def neighbours(indices, count, other) -> int:
    """How many values of the indices are neighbours at least, by one of their strides."""
    x = integers(indices)
    total = 1
    for g in range(count - 1, -1, -1):
        if x[3 * g + other] != total:
            break
        total *= x[3 * g]
    return total


@part
def cost(rows, row_count, columns, column_count, steps, step_count, of_a, of_b, one) -> int:
    """Estimated cycles with the columns in the lanes."""
    y = integers(columns)
    m, n, k = extent(rows, row_count), extent(columns, column_count), extent(steps, step_count)
    tiles, vectors = (m + height(one) - 1) // height(one), (n + lanes(one) - 1) // lanes(one)
    full, chunks = max((m + tiles - 1) // tiles, SHORT), (k + DEPTH - 1) // DEPTH
    last, blocks = 3 * (column_count - 1), (m + ROWS - 1) // ROWS
    run, copies, visits = y[last], 0, (n + width(one) - 1) // width(one)
    if in_runs(m, columns, column_count, one):
        total = tiles * (n // run) * sweep(run, full, one)
        visits = n // run * ((run + width(one) - 1) // width(one))
        copies = 2 if m > 3 * height(one) and crowded(steps, step_count, of_b, itemsize(one)) else 0
    else:
        total = tiles * sweep(n, full, one)
        if y[last + 1] == 1 and run >= lanes(one):
            copies = 2 if run >= width(one) else 4
        elif neighbours(steps, step_count, of_b) >= lanes(one):
            copies = 4
        else:
            in_pieces = few(one) < lanes(one) and run >= few(one) and y[last + 1] >= 1 and y[last + 1] <= 2
            copies = 6 if in_pieces else 12
    total = k * (total + vectors * copies * blocks) + VISIT * tiles * visits * chunks
    if neighbours(columns, column_count, 2) >= min(run, width(one)) and n >= lanes(one):
        return total
    turned = neighbours(rows, row_count, 2) >= lanes(one)
    return total + m * chunks * (6 * vectors if turned else 2 * n)
