"""Which implementation computes a matrix product: one rule, which compiled code follows and `dlc explain` tells.

========  ==========================================================================================================
DOTS      one column: a scalar product for every row
ROWS      few rows against a transposed B: scalar products, because a panel of B would be used too little
SUMS      one row, or one column against a transposed A: rows of the other factor, each times a number, added up
OUTER     one step of k: a column times a row, written row by row
BLAS      what is very large and long in every direction, or shallow, if BLAS can say it: integers of 32 bits, and
          rows that do not overlap
TILE      everything else: the register tile of ``tile.py``
========  ==========================================================================================================
"""

from __future__ import annotations

from dlc.runtime.host import thresholds

NOTHING, SCALE, DOTS, ROWS, SUMS_OF_B, SUMS_OF_A, OUTER, BLAS, TILE = range(9)
INT32_MAX = 2**31 - 1
#: Multiplications from which BLAS is faster if n and k are so long, and those if A is transposed and has more bytes
#: than a second cache; and rows from which it is: the tile copies every panel of B once for about as many.
LONG, MANY_ROWS = 256, 640
BLAS_FROM, BLAS_TRANSPOSED_FROM, LARGE = thresholds().blas_from, thresholds().blas_transposed_from, 1 << 20
#: So few steps of k, on so many elements of C, are faster there too: what the tile does once for every tile counts.
BLAS_UP_TO_DEPTH, BLAS_SHALLOW_FROM = 4, 1024
#: So are some more, where C has so many times as many rows and columns.
BLAS_UP_TO_STEPS, BLAS_TIMES_STEPS = 16, 8
#: An outer product of so many columns is a loop over them.
OUTER_FROM = 16
#: Up to as many rows, a transposed B is read row by row: copying it to a panel would cost more.
FEW_ROWS = 3


def implementation(ta, tb, m, n, k, size, lda, ldb, ldc) -> int:
    """The implementation of op(A).op(B) for numbers of so many bytes; ta and tb are 0 or 1."""
    if m <= 0 or n <= 0:
        return NOTHING
    if k <= 0:
        return SCALE
    if n == 1 and not ta:
        return DOTS
    if m <= FEW_ROWS and tb:
        return ROWS
    if m == 1:
        return SUMS_OF_B
    if n == 1 and ldc == 1:
        return SUMS_OF_A
    if k == 1 and n >= OUTER_FROM and (ldb == 1 or not tb):
        return OUTER
    enough = BLAS_TRANSPOSED_FROM if ta and m * k * size > LARGE else BLAS_FROM
    shallow = k <= BLAS_UP_TO_DEPTH and m * n >= BLAS_SHALLOW_FROM
    shallow = shallow or (k <= BLAS_UP_TO_STEPS and min(m, n) >= BLAS_TIMES_STEPS * k)
    if (m * n * k >= enough and m >= MANY_ROWS and min(n, k) >= LONG) or shallow:
        wide_enough = lda >= (m if ta else k) and ldb >= (k if tb else n) and ldc >= n
        if wide_enough and max(m, n, k, lda, ldb, ldc) <= INT32_MAX:
            return BLAS
    return TILE


def beside_a_term(way, k) -> int:
    """The implementation that takes the place of this one where a term is added: BLAS is given what it adds to, and to
    write that takes as long as a shallow product."""
    return TILE if way == BLAS and k <= BLAS_UP_TO_STEPS else way


def tile_alone(ta, tb, m, n, k, size, lda, ldb, ldc) -> int:
    """The tile, whatever the sizes."""
    if m <= 0 or n <= 0:
        return NOTHING
    return TILE if k > 0 else SCALE


def blas_alone(ta, tb, m, n, k, size, lda, ldb, ldc) -> int:
    """BLAS, whatever the sizes, or the tile where BLAS cannot say it."""
    if m <= 0 or n <= 0:
        return NOTHING
    if k <= 0:
        return SCALE
    wide_enough = lda >= (m if ta else k) and ldb >= (k if tb else n) and ldc >= n
    return BLAS if wide_enough and max(m, n, k, lda, ldb, ldc) <= INT32_MAX else TILE


def reason(
    size: int,
    way: str,
    ta: bool,
    tb: bool,
    m: int,
    n: int,
    k: int,
    lda: int,
    ldb: int,
    ldc: int,
    has_term: bool = False,
) -> tuple[str, str]:
    """The implementation for numbers of so many bytes and the rule that decided, in words; `way` is the one that is
    forced, or ''."""
    if way:
        alone = blas_alone if way == "blas" else tile_alone
        return _FORCED[alone(ta, tb, m, n, k, size, lda, ldb, ldc)], f"--gemm {way}"
    found = implementation(ta, tb, m, n, k, size, lda, ldb, ldc)
    if has_term and beside_a_term(found, k) != found:
        return "tile", f"k is {k}, and a term is added to the product"
    count = m * n * k
    enough = BLAS_TRANSPOSED_FROM if ta and m * k * size > LARGE else BLAS_FROM
    if found == BLAS:
        if count >= enough and m >= MANY_ROWS and min(n, k) >= LONG:
            return "BLAS", f"{count:,} multiplications, at least {enough:,}"
        if k > BLAS_UP_TO_DEPTH:
            return "BLAS", f"k is {k}, and m and n are at least {BLAS_TIMES_STEPS} times as many"
        return "BLAS", f"k is {k}, at most {BLAS_UP_TO_DEPTH}, and C has {m * n:,} elements"
    if found == TILE:
        if count >= enough and m >= MANY_ROWS and min(n, k) >= LONG:
            return "tile", "BLAS cannot say it: rows that overlap, or more than 32 bits"
        if count >= enough and m < MANY_ROWS:
            return "tile", f"{m} rows, fewer than {MANY_ROWS}"
        if count >= enough:
            return "tile", f"{min(n, k)} of n or k, fewer than {LONG}"
        return "tile", f"{count:,} multiplications, fewer than {enough:,}"
    return _WORDS[found]


_FORCED = {NOTHING: "nothing", SCALE: "zeros", BLAS: "BLAS", TILE: "tile"}
_WORDS = {
    NOTHING: ("nothing", "C is empty"),
    SCALE: ("zeros", "k is 0"),
    DOTS: ("scalar products", "one column"),
    ROWS: ("scalar products", f"at most {FEW_ROWS} rows against a transposed factor"),
    SUMS_OF_B: ("sums of rows", "one row"),
    SUMS_OF_A: ("sums of rows", "one column"),
    OUTER: ("outer product", "k is 1"),
}
