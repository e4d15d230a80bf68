"""The macro-kernel of a matrix product: register tiles, in blocks that stay in the caches.

Columns are taken in panels as wide as the register tile, k and the rows in blocks (Goto and van de Geijn 2008).
Panels of B are copied to the stack, some at a time, so that its rows are read in longer runs: a panel's own rows are
one line of the cache each, far apart, which took 1.5 times as long. B is read in place where few tiles use a panel.
An A that is stored as its transpose is copied tile by tile where many panels use it, for the same reason. Where
the rows of A fall on the same lines of the first cache, tiles have no more of them than the cache keeps there.

Of a product in a band, tiles outside it are left out, and those across its border walk along what they need of k.
"""

from __future__ import annotations

from dlc.runtime.kernels.compilation import compact
from dlc.runtime.kernels.edges import add_block
from dlc.runtime.kernels.packing import pack_columns, pack_panels, pack_rows, pack_tiles
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import like
from dlc.runtime.kernels.tile import LINE, fetch, full_tile, narrow_tile
from dlc.runtime.kernels.tile_shape import (
    COPIED,
    PANELS,
    block_memory,
    column_memory,
    has_masks,
    height,
    itemsize,
    lanes,
    most_depth,
    panel_memory,
    stored_height,
    width,
)

#: Up to as many tiles, B is read in place if its rows do not lie a multiple of so many bytes apart.
FEW_TILES, CROWDED = 8, 512
#: Rows that lie a multiple of so many bytes apart fall on the same lines of a first cache, which keeps so many.
SAME_LINES, KEPT_ROWS = 4096, 8
#: A that is stored as its transpose is read in place for no more than so many panels of B; for some, if its rows fall
#: on the same lines.
FEW_PANELS, SOME_PANELS = 9, 3
#: Bytes of A that are used panel after panel: half of a second cache.
SECOND_CACHE = 1 << 19


@part
def column_of_tiles(
    m, columns, depth, alpha, most_rows, a, row_a, column_a, tile_a, b, row_b, beta, d, row_d, column_d, c, ldc,
    low, high, coming_rows, coming_columns, coming, ldb,
):  # fmt: skip
    """One panel of columns: tiles of nearly equal height, at most `most_rows`, from the first row to the last; those of
    A stand `tile_a` numbers apart if it is copied. Of row i only the steps from `low` + i to below `high` + i count.
    Meanwhile the rows of B at `coming` are fetched, in some tiles a line of a row in each step: many at once would wait
    for one another. Rows of a B that is stored as its transpose are long, and fetched before each tile, some of them.
    """
    compact()
    one, zero, size = like(1.0, alpha), like(0.0, alpha), itemsize(alpha)
    block = block_memory(alpha)
    tiles, least, taller = 1, m, 0
    if m > most_rows:
        tiles = (m + most_rows - 1) // most_rows
        least, taller = m // tiles, m % tiles
    lines = (size * coming_columns + LINE - 1) // LINE
    in_steps = coming_rows == depth and lines > 0 and lines <= tiles
    i = 0
    for t in range(tiles):
        rows = least + 1 if t < taller else least
        start = min(max(0, low + i), depth - 1)
        steps = max(1, min(depth, high + i + rows - 1) - start)
        first_a = a + size * ((t * tile_a if tile_a > 0 else i * row_a) + start * column_a)
        first_b = b + size * start * row_b
        first_c, first_d = c + size * i * ldc, d + size * i * row_d
        fetched, row_fetched = first_b, 0
        if in_steps:
            line = t * lines // tiles
            if t == (line * tiles + lines - 1) // lines:
                # By the last number: if panels begin within a line, the panel before has fetched what they begin on.
                fetched, row_fetched = coming + LINE * (line + 1) - size, ldb
        elif coming_rows > 0:
            first_row = t * coming_rows // tiles
            number = (t + 1) * coming_rows // tiles - first_row
            fetch_rows(number, coming_columns, coming + size * first_row * ldb, ldb, one)
        whole = columns == width(alpha) or in_one_vector(columns, alpha)
        target, step = (first_c, ldc) if whole else (block, width(alpha))
        scale_new, scale_old = (alpha, beta) if whole else (one, zero)
        if columns > lanes(alpha):
            full_tile(
                rows, first_a, row_a, column_a, first_b, row_b, steps, target, step, columns, first_d, row_d, column_d,
                fetched, row_fetched, scale_new, scale_old,
            )  # fmt: skip
        else:
            narrow_tile(
                rows, first_a, row_a, column_a, first_b, row_b, steps, target, step, columns, first_d, row_d, column_d,
                fetched, row_fetched, scale_new, scale_old,
            )  # fmt: skip
        if not whole:
            add_block(rows, columns, alpha, block, beta, first_d, row_d, column_d, first_c, ldc)
        i += rows


@part
def in_one_vector(columns, one) -> bool:
    """Whether a tile of one vector has so many columns: with masks, also fewer."""
    return columns == lanes(one) or (has_masks(one) == 1 and columns < lanes(one))


@part
def evenly(extent, most) -> int:
    """The length of equal parts, of which none is longer than that"""
    if extent <= most:
        return extent
    parts = (extent + most - 1) // most
    return (extent + parts - 1) // parts


@part
def fetch_rows(rows, columns, b, ldb, one):
    """Have these rows of numbers brought to the second cache."""
    compact()
    size = itemsize(one)
    for l in range(rows):
        for j in range(0, columns, LINE // size):
            fetch(b + size * (l * ldb + j))


@part
def block_of_tiles(
    m, n, depth, alpha, most_rows, a, row_a, column_a, tile_a, tb, b, ldb, is_large, beta, d, row_d, column_d, c, ldc,
    left, right, low, high,
):  # fmt: skip
    """Rows and steps of k that stay in the second cache: panel by panel, whole panels copied some at a time, of few
    steps as many as the first cache has room for; of row i the columns from `left` + i to below `right` + i, and the
    steps from `low` + i to below `high` + i. What comes next is fetched meanwhile, if some tiles take the time for it
    or B is too large for the cache; after the last panels, what follows in memory: the next steps of k, or the next
    matrix of a batch."""
    compact()
    one, size = like(1.0, alpha), itemsize(alpha)
    panels = panel_memory(alpha)
    group = PANELS * max(most_depth(alpha) // (PANELS * depth), 1) * width(alpha)
    lies_well = m <= FEW_TILES * height(alpha) and size * ldb % CROWDED != 0
    has_time = m > 2 * height(alpha)
    together = has_time and not tb and not lies_well
    ahead = group if together else width(alpha)
    for first in range(0, n, group):
        if together:
            pack_panels(depth, min(group, n - first), b + size * first, ldb, panels, one)
        for j in range(first, min(n, first + group), width(alpha)):
            columns = min(width(alpha), n - j)
            whole = columns == width(alpha) or (in_one_vector(columns, alpha) and not together)
            top, end = (max(0, j - right + 1), min(m, j + columns - left)) if tile_a == 0 else (0, m)
            if top >= end:
                continue
            first_b = b + size * (j * ldb if tb else j)
            # A transposed panel is used at once, and has up to a vector of rows more than there are steps.
            operand, row_b = panels + (0 if tb else size * depth * (j - first)), width(alpha)
            column, at = j + ahead, b
            if column >= n:
                column, at = j % ahead, b + size * depth * (1 if tb else ldb)
            coming_rows, coming_columns, coming = 0, 0, at + size * column * (ldb if tb else 1)
            if is_large or has_time:
                coming_rows, coming_columns = depth, min(width(alpha), n - column)
                if tb:
                    coming_rows, coming_columns = min(ahead, n - column), depth
            if tb:
                pack_columns(depth, columns, first_b, ldb, operand, one)
            elif not whole:
                pack_rows(depth, columns, first_b, ldb, operand, one)
            elif not together:
                operand, row_b = first_b, ldb
            first_c, first_d = c + size * (top * ldc + j), d + size * (top * row_d + j * column_d)
            column_of_tiles(
                end - top, columns, depth, alpha, most_rows, a + size * top * row_a, row_a, column_a, tile_a, operand,
                row_b, beta, first_d, row_d, column_d, first_c, ldc, low + top, high + top, coming_rows,
                coming_columns, coming, ldb,
            )  # fmt: skip


@part
def tiled(
    m, n, k, alpha, a, row_a, column_a, tb, b, ldb, beta, d, row_d, column_d, c, ldc, left, right, low, high
):  # fmt: skip
    """Of row i the columns from `left` + i to below `right` + i, and of these the sums over the steps from `low` + i to
    below `high` + i; a tile goes beyond where one of its rows needs it."""
    compact()
    one, size = like(1.0, alpha), itemsize(alpha)
    on_same_lines = size * max(row_a, column_a) % SAME_LINES == 0
    panels = SOME_PANELS if on_same_lines else FEW_PANELS
    copies = row_a == 1 and column_a > stored_height(alpha) and n > panels * width(alpha)
    most_rows = min(height(alpha), KEPT_ROWS) if on_same_lines and not copies else height(alpha)
    copied = column_memory(alpha)
    steps = (evenly(k, most_depth(alpha)) + lanes(alpha) - 1) // lanes(alpha) * lanes(alpha)
    most = COPIED // (size * steps * stored_height(alpha)) * height(alpha) if copies else SECOND_CACHE // (size * steps)
    rows, is_large = evenly(m, most), size * n * k > 2 * SECOND_CACHE
    for start in range(0, k, steps):
        depth = min(steps, k - start)
        kept = beta if start == 0 else one
        term, row_of_term, column_of_term = (d, row_d, column_d) if start == 0 else (c, ldc, 1)
        first_b = b + size * (start if tb else start * ldb)
        for i in range(0, m, rows):
            first_a, first_c = a + size * (i * row_a + start * column_a), c + size * i * ldc
            here = min(rows, m - i)
            if copies:
                pack_tiles(depth, here, first_a, column_a, copied, one)
                first_a = copied
            step_a, tile_a = (stored_height(alpha), depth * stored_height(alpha)) if copies else (column_a, 0)
            first_d = term + size * i * row_of_term
            block_of_tiles(
                here, n, depth, alpha, most_rows, first_a, row_a, step_a, tile_a, tb, first_b, ldb, is_large, kept,
                first_d, row_of_term, column_of_term, first_c, ldc, left + i, right + i, low + i - start,
                high + i - start,
            )  # fmt: skip
