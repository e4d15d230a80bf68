"""Matrix products against NumPy: every transposition, odd sizes, leading dimensions, alpha and beta, empty operands."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from dlc.runtime import kernels
from dlc.runtime.kernels import FLAGS, address, f32, f64, size
from dlc.runtime.kernels.choice import BLAS_FROM, BLAS_TRANSPOSED_FROM, LARGE, OUTER_FROM
from dlc.runtime.kernels.compilation import REGION_SIGNATURE
from dlc.runtime.kernels.gemm import FORCED, load_gemm
from dlc.runtime.kernels.macro_kernel import FEW_PANELS, KEPT_ROWS, SAME_LINES, SECOND_CACHE, SOME_PANELS
from dlc.runtime.kernels.tile_shape import COPIED, PANELS, tile_shape

TYPES = {"float32": numba.types.float32, "float64": numba.types.float64}
SIDES = (1, 2, 3, 5, 7, 8, 9, 12, 13, 16, 17, 24, 25, 31, 32, 33, 48, 65)


def multiply(real: str, ta: bool, tb: bool, alpha: float, a, b, beta: float, c, forced: str = "") -> None:
    """c = alpha*op(a).op(b) + beta*c, in place; rows may be further apart than they are long."""
    m, n = c.shape
    k = a.shape[0] if ta else a.shape[1]
    leading = [operand.strides[0] // operand.itemsize for operand in (a, b, c)]
    load_gemm(TYPES[real]).ctypes(
        FORCED[forced], ta, tb, m, n, k, alpha, a.ctypes.data, leading[0], b.ctypes.data, leading[1], beta,
        c.ctypes.data, leading[2],
    )  # fmt: skip


def matrix(rng, rows: int, columns: int, real: str, extra: int = 0) -> np.ndarray:
    """A matrix whose rows stand `extra` elements apart; what lies between must be neither read nor written."""
    stored = np.full((rows, columns + extra), np.nan, real)
    stored[:, :columns] = rng.standard_normal((rows, columns))
    return stored[:, :columns]


def check(rng, real: str, m: int, n: int, k: int, ta: bool, tb: bool, alpha=1.0, beta=0.0, extra=0, forced="") -> None:
    a = matrix(rng, *((k, m) if ta else (m, k)), real, extra)
    b = matrix(rng, *((n, k) if tb else (k, n)), real, extra)
    c = matrix(rng, m, n, real, extra)
    product = (a.T if ta else a).astype(np.float64) @ (b.T if tb else b).astype(np.float64)
    exact = alpha * product + (beta * c.astype(np.float64) if beta else 0.0)
    if not beta:
        c[:] = np.nan
    multiply(real, ta, tb, alpha, a, b, beta, c, forced)
    tolerance = 40 * np.finfo(real).eps * np.sqrt(k + 1)
    assert np.max(np.abs(c - exact), initial=0.0) <= tolerance * max(1.0, abs(alpha)), (m, n, k, ta, tb, alpha, beta)
    if extra:
        assert c.base is not None
        between = c.base[:, n:]
        assert np.isnan(between).all(), "wrote between the rows of c"


@pytest.mark.parametrize("forced", FORCED)
@pytest.mark.parametrize("real", TYPES)
def test_a_term_is_added_once(real: str, forced: str) -> None:
    """Whatever computes the product: numbers of rows, of columns, one, or a matrix; and where nothing is summed."""
    rng = np.random.default_rng(9)
    depth = tile_shape(TYPES[real]).depth
    small = ((1, 1, 1), (1, 9, 4), (9, 1, 4), (2, 7, 5), (40, 20, 1), (5, 4, 0), (0, 4, 3))
    for m, n, k in (*small, (40, 40, 3), (64, 49, 64), (29, 83, 2 * depth + 3), (70, 600, 33)):
        for tb in (False, True):
            a, b, c = (
                matrix(rng, m, k, real),
                matrix(rng, *((n, k) if tb else (k, n)), real),
                matrix(rng, m, n, real, 3),
            )
            for shape, steps in (((m, 1), (1, 0)), ((1, n), (0, 1)), ((1, 1), (0, 0)), ((m, n), (n, 1))):
                d = matrix(rng, *shape, real)
                c[:] = np.nan
                load_gemm(TYPES[real], "gemm_plus").ctypes(
                    FORCED[forced], 0, tb, m, n, k, a.ctypes.data, max(k, 1), b.ctypes.data, max(k, 1) if tb else n,
                    d.ctypes.data, *steps, c.ctypes.data, n + 3, 1.0,
                )  # fmt: skip
                exact = d + a.astype(np.float64) @ (b.T if tb else b).astype(np.float64)
                tolerance = 40 * np.finfo(real).eps * np.sqrt(k + 1)
                assert np.max(np.abs(c - exact), initial=0.0) <= tolerance, (m, n, k, tb, steps)
                assert c.base is not None
                assert np.isnan(c.base[:, n:]).all(), "wrote between the rows of c"


def multiply_in_band(
    real: str, ta: bool, tb: bool, a, b, beta: float, c, inner: bool, low: int, high: int, forced: str = ""
) -> None:
    m, n = c.shape
    k = a.shape[0] if ta else a.shape[1]
    leading = [operand.strides[0] // operand.itemsize for operand in (a, b, c)]
    load_gemm(TYPES[real], "gemm_band").ctypes(
        FORCED[forced], ta, tb, m, n, k, a.ctypes.data, leading[0], b.ctypes.data, leading[1], beta, c.ctypes.data,
        leading[2], inner, low, high,
    )  # fmt: skip


def in_band(rows: int, count: int, low: int, high: int) -> np.ndarray:
    place = np.arange(count)[None, :] - np.arange(rows)[:, None]
    return (low <= place) & (place < high)


BANDS = [(-400, 1), (0, 400), (-20, 3), (5, 9), (-70, -30), (30, 60), (-400, 400), (-400, -90)]


@pytest.mark.parametrize("forced", FORCED)
@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_what_matters_of_a_band_is_computed(real: str, ta: bool, tb: bool, forced: str) -> None:
    rng = np.random.default_rng(21)
    depth = tile_shape(TYPES[real]).depth
    for m, n, k in ((1, 7, 5), (7, 1, 5), (40, 83, 64), (64, 49, 40), (29, 5, depth + 29), (50, 600, 50), (0, 3, 3)):
        for low, high in BANDS:
            for inner in (False, True):
                a = matrix(rng, *((k, m) if ta else (m, k)), real, 2)
                b = matrix(rng, *((n, k) if tb else (k, n)), real, 3)
                if inner:
                    (a.T if ta else a)[~in_band(m, k, low, high)] = 0
                needed = in_band(m, n, low, high) if not inner else np.ones((m, n), bool)
                c = matrix(rng, m, n, real, 1)
                exact = c + (a.T if ta else a).astype(np.float64) @ (b.T if tb else b).astype(np.float64)
                multiply_in_band(real, ta, tb, a, b, 1.0, c, inner, low, high, forced)
                tolerance = 40 * np.finfo(real).eps * np.sqrt(k + 1)
                assert np.max(np.abs(c - exact)[needed], initial=0.0) <= tolerance, (m, n, k, inner, low, high)
                assert c.base is not None
                assert np.isnan(c.base[:, n:]).all(), "wrote between the rows of c"


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_tiles_outside_a_band_are_left_out(real: str, ta: bool, tb: bool) -> None:
    """What a tile's height or width away from the band is neither written nor read."""
    rng = np.random.default_rng(22)
    shape = tile_shape(TYPES[real])
    m, n, k = 5 * shape.width, 5 * shape.width, 5 * shape.width
    for low, high in ((-m, 1), (0, m), (-9, 4)):
        a = matrix(rng, *((k, m) if ta else (m, k)), real)
        b = matrix(rng, *((n, k) if tb else (k, n)), real)
        c = np.full((m, n), np.nan, real)
        multiply_in_band(real, ta, tb, a, b, 0.0, c, False, low, high)
        around = shape.height + shape.width
        assert np.isnan(c[~in_band(m, n, low - around, high + around)]).all()
        (a.T if ta else a)[~in_band(m, k, low - shape.height, high + shape.height)] = np.nan
        (a.T if ta else a)[in_band(m, k, low - shape.height, high + shape.height) & ~in_band(m, k, low, high)] = 0
        multiply_in_band(real, ta, tb, a, b, 0.0, c, True, low, high)
        assert np.isfinite(c).all()


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_odd_sizes(real: str, ta: bool, tb: bool) -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        m, n, k = (int(rng.choice(SIDES)) for _ in range(3))
        alpha, beta = float(rng.choice([1.0, -0.5, 2.0])), float(rng.choice([0.0, 1.0, 0.5]))
        check(rng, real, m, n, k, ta, tb, alpha, beta, extra=int(rng.integers(0, 3)))


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_every_remainder_of_the_tile(real: str, ta: bool, tb: bool) -> None:
    rng = np.random.default_rng(6)
    shape = tile_shape(TYPES[real])
    for m in range(1, 2 * shape.height + 2):
        check(rng, real, m, shape.width, 9, ta, tb, beta=1.0)
    for n in range(1, 2 * shape.width + 2):
        check(rng, real, shape.height + 1, n, 9, ta, tb, beta=1.0)


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("blocks, more", [(1, -1), (1, 0), (1, 1), (3, 5)])
def test_long_sums_visit_c_more_than_once(real: str, blocks: int, more: int) -> None:
    k = blocks * tile_shape(TYPES[real]).depth + more
    rng = np.random.default_rng(k)
    for ta, tb in ((False, False), (True, False), (False, True), (True, True)):
        check(rng, real, 19, 37, k, ta, tb, beta=0.0)
        check(rng, real, 19, 37, k, ta, tb, alpha=0.5, beta=2.0, extra=1)


@pytest.mark.parametrize("real", TYPES)
def test_large_products_and_rows_at_powers_of_two(real: str) -> None:
    rng = np.random.default_rng(8)
    for ta, tb in ((False, False), (True, False), (False, True), (True, True)):
        check(rng, real, 200, 300, 310, ta, tb)
        check(rng, real, 130, 256, 256, ta, tb, beta=1.0)
        check(rng, real, 70, 33, 3, ta, tb, beta=0.5, extra=1)


@pytest.mark.parametrize("real", TYPES)
def test_rows_in_blocks_and_panels_in_groups(real: str) -> None:
    rng = np.random.default_rng(12)
    shape = tile_shape(TYPES[real])
    rows = SECOND_CACHE // (shape.bytes * shape.depth)
    for ta, tb in ((False, False), (True, False), (False, True)):
        check(rng, real, rows + 1, 5, shape.depth + 3, ta, tb, beta=1.0)
        for n in (PANELS * shape.width + 1, 2 * PANELS * shape.width - shape.lanes):
            check(rng, real, 2 * shape.height + 1, n, 11, ta, tb, beta=1.0, extra=2)


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("tb", [False, True])
def test_transposed_rows_are_copied_for_many_panels(real: str, tb: bool) -> None:
    """Every last tile, whole blocks of tiles and one row more; memory between the rows of A is never used."""
    rng = np.random.default_rng(13)
    shape = tile_shape(TYPES[real])
    n = FEW_PANELS * shape.width + 3
    for m in range(1, 2 * shape.height + 2):
        check(rng, real, m, n, 7, True, tb, beta=1.0, extra=m % 3)
    block = COPIED // (shape.bytes * shape.depth * shape.stored_height) * shape.height
    for m in (block, block + 1):
        check(rng, real, m, n, shape.depth, True, tb, alpha=-0.5, extra=1)
    check(rng, real, block - 1, n, 2 * shape.depth + 5, True, tb, beta=0.5)


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("ta, tb", [(False, False), (False, True), (True, False)])
def test_rows_on_the_same_lines_of_the_cache(real: str, ta: bool, tb: bool) -> None:
    """Tiles that are less high, and a transposed factor that is copied for fewer panels."""
    rng = np.random.default_rng(17)
    shape = tile_shape(TYPES[real])
    length, n = SAME_LINES // shape.bytes, SOME_PANELS * shape.width + 3
    for rows in range(1, 2 * KEPT_ROWS + 2):
        m, k = (length - 3, rows) if ta else (rows, length - 3)
        check(rng, real, m, n, k, ta, tb, beta=0.5, extra=3)
    check(rng, real, length, n, shape.depth + 5, ta, tb, alpha=-0.5)


@pytest.mark.parametrize("real", TYPES)
def test_products_that_blas_takes(real: str) -> None:
    """Sizes beyond the border, whatever it is on this machine; BLAS counts columns first."""
    rng = np.random.default_rng(11)
    n, k = 321, 640
    m = max(BLAS_FROM, BLAS_TRANSPOSED_FROM, LARGE * n) // (n * k) + 1
    for ta, tb in ((False, False), (True, False), (False, True), (True, True)):
        check(rng, real, m, n, k, ta, tb, alpha=-0.5, beta=0.5, extra=3)


@pytest.mark.parametrize("real", TYPES)
def test_rows_and_columns(real: str) -> None:
    rng = np.random.default_rng(9)
    for ta in (False, True):
        for tb in (False, True):
            for m, n in ((1, 1), (1, 50), (50, 1)):
                for k in (1, 3, 4, 50, 300):
                    check(rng, real, m, n, k, ta, tb, alpha=-1.5, beta=0.5, extra=2)
                    check(rng, real, m, n, k, ta, tb)


@pytest.mark.parametrize("real", TYPES)
def test_outer_and_shallow_products(real: str) -> None:
    rng = np.random.default_rng(14)
    for ta in (False, True):
        for tb in (False, True):
            for m, n in ((2, OUTER_FROM - 1), (2, OUTER_FROM), (33, 50), (130, 140)):
                for k in (1, 2, 5, 16):
                    check(rng, real, m, n, k, ta, tb, alpha=-1.5, beta=0.5, extra=2)
                    check(rng, real, m, n, k, ta, tb)


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("ta", [False, True])
def test_corners_of_a_transposed_factor(real: str, ta: bool) -> None:
    """Every part of a block of numbers that are transposed together, beside whole ones and alone."""
    rng = np.random.default_rng(15)
    lanes = tile_shape(TYPES[real]).lanes
    for n in range(1, 2 * lanes + 2):
        for k in range(1, 2 * lanes + 2):
            check(rng, real, 7, n, k, ta, True, alpha=0.5, beta=1.0, extra=n % 2, forced="tile")


@pytest.mark.parametrize("real", TYPES)
def test_panels_of_a_transposed_factor_have_room_for_whole_blocks(real: str) -> None:
    """As many panels as the room has, each with one row of a block more than whole ones."""
    rng = np.random.default_rng(16)
    shape = tile_shape(TYPES[real])
    for k in (1, 3, 4 * shape.lanes + 1):
        check(rng, real, 7, PANELS * shape.depth // k * shape.width, k, False, True, forced="tile")


@pytest.mark.parametrize("real", TYPES)
def test_an_empty_sum_only_scales(real: str) -> None:
    c = np.array([[1.0, np.nan], [2.0, 3.0]], real)
    a, b = np.zeros((2, 0), real), np.zeros((0, 2), real)
    multiply(real, False, False, 1.0, a, b, 1.0, c)
    assert np.array_equal(c, np.array([[1.0, np.nan], [2.0, 3.0]], real), equal_nan=True)
    multiply(real, False, False, 1.0, a, b, 0.0, c)
    assert c.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("real", TYPES)
def test_an_empty_result_is_left_alone(real: str) -> None:
    a, b = np.ones((3, 4), real), np.ones((4, 5), real)
    for rows, columns in ((0, 5), (3, 0)):
        c = np.full((3, 5), 7.0, real)
        load_gemm(TYPES[real]).ctypes(
            FORCED[""], 0, 0, rows, columns, 4, 1.0, a.ctypes.data, 4, b.ctypes.data, 5, 0.0, c.ctypes.data, 5
        )
        assert (c == 7).all()


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("side", [2, 6, 7, 40])
def test_nan_and_infinity_reach_the_result(real: str, side: int) -> None:
    a, b = np.ones((side, side), real), np.ones((side, side), real)
    a[1, 1], b[0, 0] = np.nan, np.inf
    c = np.zeros((side, side), real)
    multiply(real, False, False, 1.0, a, b, 0.0, c)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(c, a @ b, equal_nan=True)


@pytest.mark.parametrize(("view", "real"), [(f32, "float32"), (f64, "float64")])
def test_shards_of_rows_in_a_region(view, real: str) -> None:
    gemm = {"float32": kernels.gemm_f32, "float64": kernels.gemm_f64}[real]

    def rows(table, shard, shards):
        m = size(table, 0)
        x, w, y = view(table, 1, m, 20), view(table, 2, 20, 30), view(table, 3, m, 30)
        low, high = m * shard // shards, m * (shard + 1) // shards
        gemm(
            False,
            False,
            high - low,
            30,
            20,
            1.0,
            address(x, low, 0),
            20,
            address(w, 0, 0),
            30,
            0.0,
            address(y, low, 0),
            30,
        )

    region = numba.cfunc(REGION_SIGNATURE, **FLAGS)(rows)
    rng = np.random.default_rng(1)
    x, w, y = rng.normal(size=(17, 20)).astype(real), rng.normal(size=(20, 30)).astype(real), np.zeros((17, 30), real)
    table = np.array([17, x.ctypes.data, w.ctypes.data, y.ctypes.data])
    kernels.Program([(region, 8)])(table)
    assert np.allclose(y, x @ w, rtol=1e-4, atol=1e-4)


def test_operands_of_another_type_do_not_compile() -> None:
    gemm = kernels.gemm_f32

    def region(table, shard, shards):
        x = f64(table, 0, 2, 2)
        gemm(False, False, 2, 2, 2, 1.0, address(x, 0, 0), 2, address(x, 0, 0), 2, 0.0, address(x, 0, 0), 2)

    with pytest.raises(numba.TypingError):
        numba.cfunc(REGION_SIGNATURE, **FLAGS)(region)


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("forced", ["tile", "blas"])
def test_forced_implementations_at_every_remainder(forced: str, real: str) -> None:
    """Each extent from 1 to 33 with two others that leave remainders too, operands as they are and transposed."""
    rng = np.random.default_rng(13)
    for ta, tb in ((False, False), (True, False), (False, True), (True, True)):
        for side in range(1, 34):
            for m, n, k in ((side, 13, 7), (7, side, 5), (5, 9, side), (side, side, side)):
                check(rng, real, m, n, k, ta, tb, alpha=1.0, beta=0.5, extra=side % 3, forced=forced)
        check(rng, real, 3, 4, 0, ta, tb, beta=0.5, forced=forced)


def test_rows_that_overlap_are_left_to_the_tile() -> None:
    """Windows of a vector are a matrix whose rows begin one element apart: BLAS does not take it."""
    x, w = np.arange(12.0), np.arange(20.0).reshape(4, 5)
    c = np.zeros((9, 5))
    load_gemm(TYPES["float64"]).ctypes(
        FORCED["blas"], 0, 0, 9, 5, 4, 1.0, x.ctypes.data, 1, w.ctypes.data, 5, 0.0, c.ctypes.data, 5
    )
    assert np.array_equal(c, np.lib.stride_tricks.sliding_window_view(x, 4) @ w)
