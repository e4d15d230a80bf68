"""Matrix products of row-major operands: C = alpha * op(A).op(B) + beta * C, or + D, such as a number for each row.

Compiled once per host for float32 and float64, cached, and called by symbol, so that a kernel that uses it compiles no
code of it. Columns are taken in panels as wide as the register tile, k and the rows in blocks that stay in the caches.
Panels of B are copied to the stack, some at a time, so that its rows are read in longer runs: a panel's own rows are
one line of the cache each, far apart, which took 1.5 times as long. B is read in place where few tiles use a panel.
An A that is stored as its transpose is copied tile by tile where many panels use it, for the same reason. Where
the rows of A fall on the same lines of the first cache, tiles have no more of them than the cache keeps there.
Products with one row or one column are loops, and BLAS takes what it does better: the rule is in `choice.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels import choice
from dlc.runtime.kernels.blas import GEMM_SYMBOLS
from dlc.runtime.kernels.choice import BLAS, DOTS, NOTHING, OUTER, ROWS, SCALE, SUMS_OF_A, SUMS_OF_B, TILE
from dlc.runtime.kernels.compilation import compact, intrinsic, native, types, wide
from dlc.runtime.kernels.edges import add_block
from dlc.runtime.kernels.packing import pack_columns, pack_panels, pack_rows, pack_tiles
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import call, is_real, like, suffix
from dlc.runtime.kernels.tile import (
    COPIED,
    PANELS,
    block_memory,
    column_memory,
    fetch,
    flat,
    full_tile,
    height,
    itemsize,
    lanes,
    load_tiles,
    most_depth,
    narrow_tile,
    panel_memory,
    stored_height,
    width,
)

NO, YES = ord("N"), ord("T")
#: Bytes of a line of the cache.
LINE = 64
#: Up to as many tiles, B is read in place if its rows do not lie a multiple of so many bytes apart.
FEW_TILES, CROWDED = 8, 512
#: Rows that lie a multiple of so many bytes apart fall on the same lines of a first cache, which keeps so many.
SAME_LINES, KEPT_ROWS = 4096, 8
#: A that is stored as its transpose is read in place for no more than so many panels of B; for some, if its rows fall
#: on the same lines.
FEW_PANELS, SOME_PANELS = 9, 3
#: Bytes of A that are used panel after panel: half of a second cache.
SECOND_CACHE = 1 << 19


def gemm_symbol(real: Any, kind: str = "gemm") -> str:
    return f"dlc_{kind}_{suffix(real)}"


@intrinsic
def blas_product(typing_context, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """BLAS's own gemm: column-major, every argument passed by address; operands are given as addresses here."""
    if not is_real(alpha, beta):
        return None

    def codegen(context, builder, sig, args):
        byte, integer, scalar = ir.IntType(8), ir.IntType(32), args[5].type
        # None marks the operands, which are addresses already.
        kinds = [byte, byte, *[integer] * 3, scalar, None, integer, None, integer, scalar, None, integer]
        by_address = []
        for value, kind in zip(args, kinds, strict=True):
            if kind is None:
                by_address.append(builder.inttoptr(value, scalar.as_pointer()))
                continue
            narrow = builder.trunc(value, kind) if isinstance(kind, ir.IntType) else value
            by_address.append(cgutils.alloca_once_value(builder, narrow))
        call(builder, GEMM_SYMBOLS[suffix(alpha)], ir.VoidType(), by_address)
        return context.get_dummy_value()

    operand = [types.int64, types.int64]
    return types.void(*[types.int64] * 5, alpha, *operand, *operand, alpha, *operand), codegen


@part
def scale(m, n, beta, c, ldc):
    """c = beta*c"""
    compact()
    x, zero = flat(c, beta), like(0.0, beta)
    for i in range(m):
        for j in range(n):
            x[i * ldc + j] = zero if beta == zero else beta * x[i * ldc + j]


@part
def dots(m, k, alpha, a, lda, b, step_b, beta, c, step_c):
    """c[i] = beta*c[i] + alpha * sum_l a[i,l]*b[l], the rows of a contiguous"""
    wide()
    x, y, z, zero = flat(a, alpha), flat(b, alpha), flat(c, alpha), like(0.0, alpha)
    for i in range(m):
        s = zero
        if step_b == 1:
            for l in range(k):  # noqa: E741
                s += x[i * lda + l] * y[l]
        else:
            for l in range(k):  # noqa: E741
                s += x[i * lda + l] * y[l * step_b]
        before = zero if beta == zero else beta * z[i * step_c]
        z[i * step_c] = before + alpha * s


@part
def sums_of_rows(n, k, alpha, a, step_a, b, ldb, c):
    """c[j] += alpha * sum_l a[l]*b[l,j], the rows of b contiguous, as c is; four rows at a time"""
    wide()
    x, y, z = flat(a, alpha), flat(b, alpha), flat(c, alpha)
    whole = k // 4 * 4
    for l in range(0, whole, 4):  # noqa: E741
        p, q = alpha * x[l * step_a], alpha * x[(l + 1) * step_a]
        r, s = alpha * x[(l + 2) * step_a], alpha * x[(l + 3) * step_a]
        for j in range(n):
            left = p * y[l * ldb + j] + q * y[(l + 1) * ldb + j]
            z[j] += left + (r * y[(l + 2) * ldb + j] + s * y[(l + 3) * ldb + j])
    for l in range(whole, k):  # noqa: E741
        p = alpha * x[l * step_a]
        for j in range(n):
            z[j] += p * y[l * ldb + j]


@part
def outer(m, n, alpha, a, step_a, b, beta, c, ldc):
    """c[i,j] = beta*c[i,j] + alpha * a[i]*b[j], the rows of c and b contiguous: c is written as it lies"""
    wide()
    x, y, z, zero = flat(a, alpha), flat(b, alpha), flat(c, alpha), like(0.0, alpha)
    for i in range(m):
        p = alpha * x[i * step_a]
        if beta == zero:
            for j in range(n):
                z[i * ldc + j] = p * y[j]
        else:
            for j in range(n):
                z[i * ldc + j] = beta * z[i * ldc + j] + p * y[j]


@part
def column_of_tiles(
    m, columns, depth, alpha, most_rows, a, row_a, column_a, tile_a, b, row_b, beta, d, row_d, column_d, c, ldc,
    coming_rows, coming_columns, coming, ldb,
):  # fmt: skip
    """One panel of columns: tiles of nearly equal height, at most `most_rows`, from the first row to the last; those of
    A stand `tile_a` numbers apart if it is copied. Before each a part of the rows of B at `coming` is fetched: all at
    once, the reads would wait for one another."""
    compact()
    one, zero, size = like(1.0, alpha), like(0.0, alpha), itemsize(alpha)
    block = block_memory(alpha)
    tiles = (m + most_rows - 1) // most_rows
    low, taller = m // tiles, m % tiles
    i = 0
    for t in range(tiles):
        rows = low + 1 if t < taller else low
        first_row = t * coming_rows // tiles
        number = (t + 1) * coming_rows // tiles - first_row
        fetch_rows(number, coming_columns, coming + size * first_row * ldb, ldb, one)
        first_a = a + size * (t * tile_a if tile_a > 0 else i * row_a)
        first_c, first_d = c + size * i * ldc, d + size * i * row_d
        whole = columns == width(alpha) or columns == lanes(alpha)
        target, step = (first_c, ldc) if whole else (block, width(alpha))
        scale_new, scale_old = (alpha, beta) if whole else (one, zero)
        if columns > lanes(alpha):
            full_tile(
                rows, first_a, row_a, column_a, b, row_b, depth, target, step, first_d, row_d, column_d, scale_new,
                scale_old,
            )  # fmt: skip
        else:
            narrow_tile(
                rows, first_a, row_a, column_a, b, row_b, depth, target, step, first_d, row_d, column_d, scale_new,
                scale_old,
            )  # fmt: skip
        if not whole:
            add_block(rows, columns, alpha, block, beta, first_d, row_d, column_d, first_c, ldc)
        i += rows


@part
def evenly(extent, most) -> int:
    """The length of equal parts, of which none is longer than that"""
    parts = (extent + most - 1) // most
    return (extent + parts - 1) // parts


@part
def fetch_rows(rows, columns, b, ldb, one):
    """Have these rows of numbers brought to the second cache."""
    compact()
    size = itemsize(one)
    for l in range(rows):  # noqa: E741
        for j in range(0, columns, LINE // size):
            fetch(b + size * (l * ldb + j))


@part
def block_of_tiles(
    m, n, depth, alpha, most_rows, a, row_a, column_a, tile_a, tb, b, ldb, is_large, beta, d, row_d, column_d, c, ldc
):  # fmt: skip
    """Rows and steps of k that stay in the second cache: panel by panel, whole panels copied some at a time. Those that
    come next are fetched meanwhile, if they are copied or B is too large for the cache; after the last ones, what
    follows in memory: the next steps of k, or the next matrix of a batch."""
    compact()
    one, size = like(1.0, alpha), itemsize(alpha)
    panels = panel_memory(alpha)
    group = PANELS * most_depth(alpha) // depth * width(alpha)
    lies_well = m <= FEW_TILES * height(alpha) and size * ldb % CROWDED != 0
    together = not tb and m > 2 * height(alpha) and not lies_well
    ahead = group if together else width(alpha)
    for first in range(0, n, group):
        if together:
            pack_panels(depth, min(group, n - first), b + size * first, ldb, panels, one)
        for j in range(first, min(n, first + group), width(alpha)):
            columns = min(width(alpha), n - j)
            whole = columns == width(alpha) or (columns == lanes(alpha) and not together)
            first_b = b + size * (j * ldb if tb else j)
            # A transposed panel is used at once, and has up to a vector of rows more than there are steps.
            operand, row_b = panels + (0 if tb else size * depth * (j - first)), width(alpha)
            column, at = j + ahead, b
            if column >= n:
                column, at = j % ahead, b + size * depth * (1 if tb else ldb)
            coming_rows, coming_columns, coming = 0, 0, at + size * column * (ldb if tb else 1)
            if tb and is_large:
                coming_rows, coming_columns = min(ahead, n - column), depth
            elif is_large or together:
                coming_rows, coming_columns = depth, min(width(alpha), n - column)
            if tb:
                pack_columns(depth, columns, first_b, ldb, operand, one)
            elif not whole:
                pack_rows(depth, columns, first_b, ldb, operand, one)
            elif not together:
                operand, row_b = first_b, ldb
            first_c, first_d = c + size * j, d + size * j * column_d
            column_of_tiles(
                m, columns, depth, alpha, most_rows, a, row_a, column_a, tile_a, operand, row_b, beta, first_d, row_d,
                column_d, first_c, ldc, coming_rows, coming_columns, coming, ldb,
            )  # fmt: skip


@part
def tiled(m, n, k, alpha, a, row_a, column_a, tb, b, ldb, beta, d, row_d, column_d, c, ldc):
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
                first_d, row_of_term, column_of_term, first_c, ldc,
            )  # fmt: skip


implementation, beside_a_term = part(choice.implementation), part(choice.beside_a_term)
tile_alone, blas_alone = part(choice.tile_alone), part(choice.blas_alone)


@part
def rows_of_dots(m, n, k, alpha, a, row_a, column_a, b, ldb, beta, c, ldc):
    """Few rows against a transposed b: row by row, without a panel"""
    for i in range(m):
        dots(n, k, alpha, b, ldb, a + itemsize(alpha) * i * row_a, column_a, beta, c + itemsize(alpha) * i * ldc, 1)


@part
def computed(way, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """By one of the implementations of `choice.py`"""
    compact()
    row_a, column_a = (1, lda) if ta else (lda, 1)
    row_b = 1 if tb else ldb
    if way == NOTHING:
        return
    if way == SCALE:
        scale(m, n, beta, c, ldc)
    elif way == DOTS:
        dots(m, k, alpha, a, lda, b, row_b, beta, c, ldc)
    elif way == ROWS:
        rows_of_dots(m, n, k, alpha, a, row_a, column_a, b, ldb, beta, c, ldc)
    elif way == SUMS_OF_B:
        scale(1, n, beta, c, ldc)
        sums_of_rows(n, k, alpha, a, column_a, b, ldb, c)
    elif way == SUMS_OF_A:
        scale(1, m, beta, c, 1)
        sums_of_rows(m, k, alpha, b, row_b, a, lda, c)
    elif way == OUTER:
        outer(m, n, alpha, a, row_a, b, beta, c, ldc)
    elif way == BLAS:
        how_a, how_b = YES if ta else NO, YES if tb else NO
        blas_product(how_b, how_a, n, m, k, alpha, b, ldb, a, lda, beta, c, ldc)  # transposed: BLAS stores columns
    else:
        tiled(m, n, k, alpha, a, row_a, column_a, tb, b, ldb, beta, c, ldc, 1, c, ldc)


@part
def put(m, n, d, row_d, column_d, c, ldc, one):
    """c = d"""
    wide()
    x, y = flat(d, one), flat(c, one)
    for i in range(m):
        for j in range(n):
            y[i * ldc + j] = x[i * row_d + j * column_d]


@part
def with_term(way, ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc, one):
    """c = d + a.b: the tile adds d to sums in its registers, the others to what stands in c."""
    compact()
    if way == TILE:
        row_a, column_a = (1, lda) if ta else (lda, 1)
        tiled(m, n, k, one, a, row_a, column_a, tb, b, ldb, one, d, row_d, column_d, c, ldc)
    elif way != NOTHING:
        put(m, n, d, row_d, column_d, c, ldc, one)
        if way != SCALE:
            computed(way, ta, tb, m, n, k, one, a, lda, b, ldb, one, c, ldc)


def product(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """The C function behind `gemm`: operands are addresses, ta and tb are 0 or 1."""
    steps = 0 if alpha == like(0.0, alpha) else k
    way = implementation(ta, tb, m, n, steps, itemsize(alpha), lda, ldb, ldc)
    computed(way, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)


def product_by_tile(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """The C function behind `gemm_tile`."""
    steps = 0 if alpha == like(0.0, alpha) else k
    way = tile_alone(ta, tb, m, n, steps, itemsize(alpha), lda, ldb, ldc)
    computed(way, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)


def product_by_blas(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """The C function behind `gemm_blas`."""
    steps = 0 if alpha == like(0.0, alpha) else k
    way = blas_alone(ta, tb, m, n, steps, itemsize(alpha), lda, ldb, ldc)
    computed(way, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)


def product_plus(ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc, one):
    """The C function behind `gemm_plus`."""
    way = beside_a_term(implementation(ta, tb, m, n, k, itemsize(one), lda, ldb, ldc), k)
    with_term(way, ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc, one)


def product_plus_by_tile(ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc, one):
    """The C function behind `gemm_tile_plus`."""
    way = tile_alone(ta, tb, m, n, k, itemsize(one), lda, ldb, ldc)
    with_term(way, ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc, one)


def product_plus_by_blas(ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc, one):
    """The C function behind `gemm_blas_plus`."""
    way = blas_alone(ta, tb, m, n, k, itemsize(one), lda, ldb, ldc)
    with_term(way, ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc, one)


PRODUCTS = {
    "gemm": product,
    "gemm_tile": product_by_tile,
    "gemm_blas": product_by_blas,
    "gemm_plus": product_plus,
    "gemm_tile_plus": product_plus_by_tile,
    "gemm_blas_plus": product_plus_by_blas,
}


@cache
def load_gemm(real: Any, kind: str = "gemm") -> Any:
    """Compile the product for one real type, or load it, and make it known by its symbol; `kind` is one of PRODUCTS."""
    load_tiles(real)
    operand = [types.int64, types.int64]
    scaled = types.void(*[types.int64] * 5, real, *operand, *operand, real, *operand)
    signature = types.void(*[types.int64] * 14, real) if kind.endswith("_plus") else scaled
    function = native(signature)(PRODUCTS[kind])
    llvm.add_symbol(gemm_symbol(real, kind), function.address)
    return function


def gemm_of(name: str) -> Any:
    """`gemm_f32`, `gemm_tile_f64` and so on, for use in kernels, with its C function ready."""
    kind, _, real = name.rpartition("_")
    real = {"f32": types.float32, "f64": types.float64}[real]
    load_gemm(real, kind)

    @intrinsic
    def gemm(typing_context, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        """C = alpha * op(A).op(B) + beta * C, where op(A) is m by k, op(B) is k by n, and C is m by n, all row-major.

        `a`, `b` and `c` are element addresses, as `address(view, i, j)` gives them; lda, ldb and ldc count the elements
        from one stored row to the next. If `ta`, A is stored as its transpose, k by m; likewise `tb`, n by k. Where
        beta is 0, C is written and not read. C overlaps neither A nor B.
        """
        pointer = types.CPointer(real)
        if not all(operand == pointer for operand in (a, b, c)):
            return None

        def codegen(context, builder, sig, args):
            word = ir.IntType(64)
            values = [builder.ptrtoint(v, word) if isinstance(v.type, ir.PointerType) else v for v in args]
            call(builder, gemm_symbol(real, kind), ir.VoidType(), values)
            return context.get_dummy_value()

        size = types.int64
        return types.void(*[size] * 5, real, pointer, size, pointer, size, real, pointer, size), codegen

    @intrinsic
    def gemm_plus(typing_context, ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc):
        """C = D + op(A).op(B), where the numbers of D stand `row_d` and `column_d` apart; `column_d` is 1, or 0 if all
        columns are one. The rest is that of `gemm`; C does not overlap D either.
        """
        pointer = types.CPointer(real)
        if not all(operand == pointer for operand in (a, b, c, d)):
            return None

        def codegen(context, builder, sig, args):
            word = ir.IntType(64)
            values = [builder.ptrtoint(v, word) if isinstance(v.type, ir.PointerType) else v for v in args]
            one = ir.Constant(context.get_value_type(real), 1.0)
            call(builder, gemm_symbol(real, kind), ir.VoidType(), [*values, one])
            return context.get_dummy_value()

        size = types.int64
        operand = [pointer, size]
        return types.void(*[size] * 5, *operand, *operand, *operand, size, *operand), codegen

    return gemm_plus if kind.endswith("_plus") else gemm
