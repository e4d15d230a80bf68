"""Matrix products of row-major operands: C = alpha * op(A).op(B) + beta * C, or + D, such as a number for each row, or
only what matters of it, a band.

Compiled once per host for float32 and float64, cached, and called by symbol, so that a kernel that uses it compiles no
code of it. Most are made of register tiles, see `macro_kernel.py`. Products with one row or one column are loops, and
BLAS takes what it does better: the rule is in `choice.py`.
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
from dlc.runtime.kernels.macro_kernel import tiled
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import call, is_real, like, suffix
from dlc.runtime.kernels.tile import load_tiles
from dlc.runtime.kernels.tile_shape import flat, itemsize
from dlc.runtime.kernels.vectors import constant

NO, YES = ord("N"), ord("T")


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
            for l in range(k):
                s += x[i * lda + l] * y[l]
        else:
            for l in range(k):
                s += x[i * lda + l] * y[l * step_b]
        before = zero if beta == zero else beta * z[i * step_c]
        z[i * step_c] = before + alpha * s


@part
def sums_of_rows(n, k, alpha, a, step_a, b, ldb, c):
    """c[j] += alpha * sum_l a[l]*b[l,j], the rows of b contiguous, as c is; four rows at a time"""
    wide()
    x, y, z = flat(a, alpha), flat(b, alpha), flat(c, alpha)
    whole = k // 4 * 4
    for l in range(0, whole, 4):
        p, q = alpha * x[l * step_a], alpha * x[(l + 1) * step_a]
        r, s = alpha * x[(l + 2) * step_a], alpha * x[(l + 3) * step_a]
        for j in range(n):
            left = p * y[l * ldb + j] + q * y[(l + 1) * ldb + j]
            z[j] += left + (r * y[(l + 2) * ldb + j] + s * y[(l + 3) * ldb + j])
    for l in range(whole, k):
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


by_rule, beside_a_term = part(choice.implementation), part(choice.beside_a_term)
tile_alone, blas_alone = part(choice.tile_alone), part(choice.blas_alone)


@part
def implementation(forced, ta, tb, m, n, k, size, lda, ldb, ldc) -> int:
    """That of the rule, or of the way that is forced: TILE or BLAS; NOTHING is forced otherwise."""
    if forced == TILE:
        return tile_alone(ta, tb, m, n, k, size, lda, ldb, ldc)
    if forced == BLAS:
        return blas_alone(ta, tb, m, n, k, size, lda, ldb, ldc)
    return by_rule(ta, tb, m, n, k, size, lda, ldb, ldc)


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
        tiled(m, n, k, alpha, a, row_a, column_a, tb, b, ldb, beta, c, ldc, 1, c, ldc, -m, n, -m, k)


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
        tiled(m, n, k, one, a, row_a, column_a, tb, b, ldb, one, d, row_d, column_d, c, ldc, -m, n, -m, k)
    elif way != NOTHING:
        put(m, n, d, row_d, column_d, c, ldc, one)
        if way != SCALE:
            computed(way, ta, tb, m, n, k, one, a, lda, b, ldb, one, c, ldc)


@part
def in_band(way, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc, inner, low, high):
    """c = beta*c + a.b as far as it matters: of row i the columns, or the terms if `inner`, from `low` + i to below
    `high` + i. The tile leaves the rest out, others compute all."""
    compact()
    one = like(1.0, beta)
    if way == TILE:
        row_a, column_a = (1, lda) if ta else (lda, 1)
        left, right = (-m, n) if inner else (low, high)
        first, last = (low, high) if inner else (-m, k)
        tiled(m, n, k, one, a, row_a, column_a, tb, b, ldb, beta, c, ldc, 1, c, ldc, left, right, first, last)
    else:
        computed(way, ta, tb, m, n, k, one, a, lda, b, ldb, beta, c, ldc)


def product(forced, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """The C function behind `gemm`: operands are addresses, ta and tb are 0 or 1, `forced` as in `implementation`."""
    steps = 0 if alpha == like(0.0, alpha) else k
    way = implementation(forced, ta, tb, m, n, steps, itemsize(alpha), lda, ldb, ldc)
    computed(way, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)


def product_plus(forced, ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc, one):
    """The C function behind `gemm_plus`."""
    way = implementation(forced, ta, tb, m, n, k, itemsize(one), lda, ldb, ldc)
    if forced == NOTHING:
        way = beside_a_term(way, k)
    with_term(way, ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc, one)


def product_in_band(forced, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc, inner, low, high):
    """The C function behind `gemm_band`."""
    way = implementation(forced, ta, tb, m, n, k, itemsize(beta), lda, ldb, ldc)
    in_band(way, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc, inner, low, high)


PRODUCTS = {"gemm": product, "gemm_plus": product_plus, "gemm_band": product_in_band}
FORCED = {"": NOTHING, "tile": TILE, "blas": BLAS}


@cache
def load_gemm(real: Any, kind: str = "gemm") -> Any:
    """Compile the product for one real type, or load it, and make it known by its symbol; `kind` is one of PRODUCTS."""
    load_tiles(real)
    operand = [types.int64, types.int64]
    signatures = {
        "gemm": [*[types.int64] * 6, real, *operand, *operand, real, *operand],
        "gemm_plus": [*[types.int64] * 15, real],
        "gemm_band": [*[types.int64] * 6, *operand, *operand, real, *operand, *[types.int64] * 3],
    }
    function = native(types.void(*signatures[kind]))(PRODUCTS[kind])
    llvm.add_symbol(gemm_symbol(real, kind), function.address)
    return function


def gemm_of(name: str) -> Any:
    """`gemm_f32`, `gemm_tile_band_f64` and so on, for use in kernels, with its C function ready."""
    _, *middle, real = name.split("_")
    forced = next((way for way in middle if way in FORCED), "")
    kind = "_".join(["gemm", *(word for word in middle if word != forced)])
    real = {"f32": types.float32, "f64": types.float64}[real]
    load_gemm(real, kind)
    pointer, size = types.CPointer(real), types.int64
    operand = [pointer, size]

    def codegen(context, builder, sig, args):
        word = ir.IntType(64)
        values = [builder.ptrtoint(v, word) if isinstance(v.type, ir.PointerType) else v for v in args]
        if kind == "gemm_plus":
            values.append(ir.Constant(context.get_value_type(real), 1.0))
        call(builder, gemm_symbol(real, kind), ir.VoidType(), [constant(FORCED[forced]), *values])
        return context.get_dummy_value()

    @intrinsic
    def gemm(typing_context, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        """C = alpha * op(A).op(B) + beta * C, where op(A) is m by k, op(B) is k by n, and C is m by n, all row-major.

        `a`, `b` and `c` are element addresses, as `address(view, i, j)` gives them; lda, ldb and ldc count the elements
        from one stored row to the next. If `ta`, A is stored as its transpose, k by m; likewise `tb`, n by k. Where
        beta is 0, C is written and not read. C overlaps neither A nor B.
        """
        if not all(each == pointer for each in (a, b, c)):
            return None
        return types.void(*[size] * 5, real, *operand, *operand, real, *operand), codegen

    @intrinsic
    def gemm_plus(typing_context, ta, tb, m, n, k, a, lda, b, ldb, d, row_d, column_d, c, ldc):
        """C = D + op(A).op(B), where the numbers of D stand `row_d` and `column_d` apart; `column_d` is 1, or 0 if all
        columns are one. The rest is that of `gemm`; C does not overlap D either.
        """
        if not all(each == pointer for each in (a, b, c, d)):
            return None
        return types.void(*[size] * 5, *operand, *operand, *operand, size, *operand), codegen

    @intrinsic
    def gemm_band(typing_context, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc, inner, low, high):
        """C = op(A).op(B) + beta * C, where of row i only the columns from `low` + i to below `high` + i are needed;
        or, if `inner`, the terms but for those of these steps of k are zero. What lies outside is computed or not. The
        rest is that of `gemm`.
        """
        if not all(each == pointer for each in (a, b, c)):
            return None
        return types.void(*[size] * 5, *operand, *operand, real, *operand, *[size] * 3), codegen

    return {"gemm": gemm, "gemm_plus": gemm_plus, "gemm_band": gemm_band}[kind]
