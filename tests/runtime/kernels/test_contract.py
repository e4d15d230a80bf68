"""Products over several indices against NumPy: windows, strides, dilation, every remainder, results in any order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numba
import numpy as np
import pytest

from dlc.runtime import kernels
from dlc.runtime.kernels import FLAGS, address, f32, f64, size
from dlc.runtime.kernels.compilation import REGION_SIGNATURE, native
from dlc.runtime.kernels.contract import DEPTH, ROWS, STRIP, load_contract
from dlc.runtime.kernels.panels import cost, panel_width
from dlc.runtime.kernels.table_packing import apart_in_pieces
from dlc.runtime.kernels.tile_shape import tile_shape

TYPES = {"float32": numba.types.float32, "float64": numba.types.float64}
Indices = Sequence[tuple[int, int, int]]  # extent, and the strides in both operands


def places(indices: Indices, which: int) -> np.ndarray:
    extents = [index[0] for index in indices]
    steps = [n * index[which] for n, index in zip(np.indices(extents), indices, strict=True)]
    return np.sum(steps, axis=0).ravel()


def contract(
    real: str, rows: Indices, columns: Indices, reduced: Indices, a, b, c, accumulate: bool, *term, support=()
) -> None:
    """The product, perhaps with a term: the address of its numbers, and how far apart they are in rows and columns."""
    lists = [np.array(part, np.int64) for part in (rows, columns, reduced)]
    described = [word for part in lists for word in (part.ctypes.data, len(part))]
    operands = (a.ctypes.data, b.ctypes.data, c.ctypes.data)
    numbers = np.array(support, np.int64)
    of_support = numbers.ctypes.data if support else 0
    load_contract(TYPES[real]).ctypes(*described, *operands, accumulate, *(term or (0, 0, 0)), of_support, 1.0)


def check(
    rng, real: str, rows: Indices, columns: Indices, reduced: Indices, accumulate: bool = False, term: str = ""
) -> None:
    """``term``: what is added has a number for each of the "rows", of the "columns", or "one"."""
    a, b, c = (
        rng.standard_normal(1 + max((places(one, i)[:, None] + places(other, j)[None, :]).max(initial=0), 0)).astype(
            real
        )
        for (one, i), (other, j) in (((rows, 1), (reduced, 1)), ((reduced, 2), (columns, 1)), ((rows, 2), (columns, 2)))
    )
    in_a = places(rows, 1)[:, None] + places(reduced, 1)[None, :]
    in_b = places(reduced, 2)[:, None] + places(columns, 1)[None, :]
    in_c = places(rows, 2)[:, None] + places(columns, 2)[None, :]
    expected = c.astype(np.float64)
    expected[in_c] = a.astype(np.float64)[in_a] @ b.astype(np.float64)[in_b] + (expected[in_c] if accumulate else 0)
    if not accumulate:
        c[in_c] = np.nan
    d = rng.standard_normal({"rows": in_c.shape[0], "columns": in_c.shape[1]}.get(term, 1)).astype(real)
    if term:
        expected[in_c] += d[:, None] if term == "rows" else d
    contract(real, rows, columns, reduced, a, b, c, accumulate, *_where(d, term))
    tolerance = 40 * np.finfo(real).eps * np.sqrt(prod(i[0] for i in reduced) + 1)
    assert np.max(np.abs(c - expected), initial=0.0) <= tolerance, (rows, columns, reduced)


def _where(d: np.ndarray, term: str) -> tuple[int, ...]:
    return (d.ctypes.data, int(term == "rows"), int(term == "columns")) if term else ()


def convolution(c: int, h: int, w: int, o: int, p: int, stride: int = 1, dilation: int = 1):
    """The indices of its three products: maps, weights and images."""
    u, v = ((n - dilation * (p - 1) - 1) // stride + 1 for n in (h, w))
    image = (c, h * w), (p, dilation * w), (p, dilation)
    pixels = (u, stride * w, v), (v, stride, 1)
    weights = (c, p * p), (p, p), (p, 1)
    forward = (
        [(o, c * p * p, u * v)],
        pixels,
        [(n, at, step) for (n, at), (_, step) in zip(weights, image, strict=True)],
    )
    of_weights = (
        [(o, u * v, c * p * p)],
        [(n, step, at) for (n, at), (_, step) in zip(weights, image, strict=True)],
        [(u, v, stride * w), (v, 1, stride)],
    )
    return forward, of_weights


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize(
    "sizes", [(3, 9, 11, 5, 3), (6, 14, 14, 16, 5), (4, 20, 21, 24, 3, 2), (3, 16, 40, 9, 3, 1, 2), (33, 8, 40, 40, 3)]
)
def test_convolutions(real: str, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    for product in convolution(*sizes):
        check(rng, real, *product)
        check(rng, real, *product, accumulate=True)


def within_support(
    rng,
    real: str,
    image: tuple[int, int],
    maps: int,
    taps: int,
    border: int,
    stride: int,
    turned: bool,
    rows_of_border=0.0,
):
    """What a convolution with a support along the height gives, and the same of NumPy: of 3 channels, with rows of
    these numbers above and below them and columns of zeros beside them; ``turned``: with the maps side by side.
    """
    wide, channels = image[1] + 2 * border, 3
    u, v = ((n + 2 * border - taps) // stride + 1 for n in image)
    rows = [(maps, channels * taps**2, 1 if turned else u * v)]
    columns = [(u, stride * wide, v * (maps if turned else 1)), (v, stride, maps if turned else 1)]
    reduced = [(taps, taps, wide), (channels, taps**2, (image[0] + 2 * border) * wide), (taps, 1, 1)]
    a = rng.standard_normal((maps, channels, taps, taps)).astype(real)
    inside = rng.standard_normal((channels, *image)).astype(real)
    zeros = np.pad(inside, ((0, 0), (border, border), (border, border)))
    b = zeros.copy()
    b[:, :border] = b[:, border + image[0] :] = rows_of_border
    c = np.empty(maps * u * v, real)
    contract(
        real, rows, columns, reduced, a, b, c, False, support=(v, u, taps, stride, 1, border, border + image[0], 0)
    )
    windows = np.lib.stride_tricks.sliding_window_view(zeros, (taps, taps), (1, 2))[:, ::stride, ::stride]
    expected = np.einsum("ocpq,cuvpq->uvo" if turned else "ocpq,cuvpq->ouv", a, windows, dtype=np.float64)
    return c, expected.ravel()


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("image", [(1, 3), (5, 5), (4, 17), (9, 33)])
@pytest.mark.parametrize(("taps", "border", "stride"), [(5, 4, 1), (5, 2, 1), (7, 3, 2), (3, 4, 1)])
def test_within_support(real: str, turned: bool, image: tuple[int, int], taps: int, border: int, stride: int) -> None:
    """Panels and tiles that begin in one row and end in another; with 3 taps and a border of 4 some rows need none."""
    rng = np.random.default_rng(12)
    for maps in (2, 7, 40, 200):
        found, expected = within_support(rng, real, image, maps, taps, border, stride, turned)
        assert np.max(np.abs(found - expected)) <= 200 * np.finfo(real).eps, maps


def overlapping(real: str, heights: tuple[int, int], width: int, taps: int, channels: int, maps: int, parts: int):
    """A derivative by an image whose results are added where they overlap, in so many parts; the same of NumPy."""
    rng = np.random.default_rng(width)
    places, image = heights
    border = places - image
    a = rng.standard_normal((border + 1, maps, taps, channels)).astype(real)
    inside = rng.standard_normal((maps, image, width)).astype(real)
    b = np.pad(inside, ((0, 0), (border, border), (0, 0)), constant_values=np.nan)
    c = np.zeros((places, width + taps - 1, channels), real)
    expected = np.zeros(c.shape)
    for p, o, q in np.ndindex(a.shape[:3]):
        expected[p : p + image, q : q + width] += inside[o, :, :, None].astype(float) * a[p, o, q]
    row = c.shape[1] * channels
    for part in range(parts):
        start, stop = places * part // parts, places * (part + 1) // parts
        contract(
            real,
            [(taps * channels, 1, 1)],
            [(stop - start, width, row), (width, 1, channels)],
            [(border + 1, maps * taps * channels, -width), (maps, taps * channels, b.shape[1] * width)],
            a,
            b[0, border + start :],
            c[start:],
            True,
            support=(width, places, border + 1, 1, -1, 0, image, start),
        )
    return c, expected


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize(
    "sizes",
    [
        ((14, 10), 10, 5, 6, 16),
        ((7, 3), 5, 5, 4, 150),
        ((40, 36), 33, 7, 3, 3),
        ((9, 8), 2, 2, 8, 5),
        ((4, 1), 1, 9, 8, 2),
    ],
)
def test_results_that_overlap_are_added(real: str, sizes: tuple) -> None:
    """The same bit for bit in any number of parts, and nothing outside of the support is read."""
    found, expected = overlapping(real, *sizes, parts=1)
    assert np.max(np.abs(found - expected)) <= 4000 * np.finfo(real).eps
    for parts in (2, 3):
        assert np.array_equal(overlapping(real, *sizes, parts=parts)[0], found)


@pytest.mark.parametrize("real", TYPES)
def test_what_is_outside_the_support_is_not_read(real: str) -> None:
    """Where panels end with a row of the image each has its own taps: no number of the border above reaches a sum."""
    found, expected = within_support(
        np.random.default_rng(13), real, (5, tile_shape(TYPES[real]).width - 4), 7, 5, 4, 1, False, np.nan
    )
    assert np.max(np.abs(found - expected)) <= 200 * np.finfo(real).eps


@pytest.mark.parametrize("real", TYPES)
def test_every_remainder_of_the_tile_either_way_round(real: str) -> None:
    rng = np.random.default_rng(4)
    shape = tile_shape(TYPES[real])
    for m in (1, 2, shape.height - 1, shape.height, shape.height + 1, 2 * shape.height + 1):
        for n in range(1, 2 * shape.width + 2):
            check(rng, real, [(m, 9, n)], [(n, 1, 1)], [(9, 1, n)])
            check(rng, real, [(m, 9, 1)], [(n, 9, m)], [(9, 1, 1)], accumulate=True)
            check(rng, real, [(m, 1, 2 * n)], [(n, 3, 2)], [(5, m, 3 * n)])


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("accumulate", [False, True])
def test_runs_of_every_length_are_read_in_place_and_nothing_beside_them_is_written(real: str, accumulate: bool) -> None:
    rng = np.random.default_rng(8)
    shape = tile_shape(TYPES[real])
    for run in range(shape.lanes - 1, 3 * shape.width + 2):
        apart = run + 3
        rows, columns = [(2 * shape.height + 1, 5, 4 * apart)], [(4, apart, apart), (run, 1, 1)]
        check(rng, real, rows, columns, [(5, 1, 4 * apart)], accumulate)


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("accumulate", [False, True])
def test_results_whose_rows_are_neighbours_are_turned(real: str, accumulate: bool) -> None:
    rng = np.random.default_rng(9)
    lanes = tile_shape(TYPES[real]).lanes
    for m in (lanes - 1, lanes, lanes + 1, STRIP, 2 * STRIP + 3):
        for n in (1, lanes, 2 * lanes - 1, 2 * lanes + 3):
            check(rng, real, [(m, 5, 1)], [(n, 5, m + 2)], [(5, 1, 1)], accumulate)
            check(rng, real, [(3, 5 * m, m + 1), (m, 5, 1)], [(n, 5, 4 * m + 9)], [(5, 1, 1)], accumulate)


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("k", [DEPTH - 1, DEPTH, DEPTH + 1, 2 * DEPTH + 5])
def test_long_sums_visit_c_more_than_once(real: str, k: int) -> None:
    rng = np.random.default_rng(k)
    check(rng, real, [(7, k, 19)], [(19, 1, 1)], [(k, 1, 19)])
    check(rng, real, [(7, k, 19)], [(19, k, 1)], [(k, 1, 1)], accumulate=True)


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("run", [1, 3, 8, 9, 19])
def test_steps_in_runs_and_those_between_them_are_copied_to_panels(real: str, run: int) -> None:
    rng = np.random.default_rng(run)
    m = 4 * tile_shape(TYPES[real]).height
    for n in (7, 9, 17, 40):
        columns = [(n, 5 * (run + 2), 1)]
        check(rng, real, [(m, 5 * run, n)], columns, [(5, run, run + 2), (run, 1, 1)])
        check(rng, real, [(m, 5 * run, n)], [(n, 2, 1)], [(5, run, 3 * n), (run, 1, 1)])


@pytest.mark.parametrize("real", TYPES)
def test_many_rows_and_columns(real: str) -> None:
    rng = np.random.default_rng(6)
    check(rng, real, [(ROWS + 9, 6, 40)], [(40, 1, 1)], [(6, 1, 40)])
    check(rng, real, [(3, 1, 1)], [(ROWS + 9, 6, 3)], [(6, 3, 1)])


@pytest.mark.parametrize("real", TYPES)
def test_rows_at_powers_of_two(real: str) -> None:
    check(np.random.default_rng(7), real, [(40, 1, 512)], [(40, 1, 1)], [(20, 40, 1024)])
    check(np.random.default_rng(7), real, [(29, 1024, 40)], [(40, 1, 1)], [(20, 1, 40)])


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("term", ["rows", "columns", "one"])
def test_a_term_is_added_once(real: str, term: str) -> None:
    rng = np.random.default_rng(8)
    for sizes in ((3, 9, 11, 5, 3), (4, 20, 21, 24, 3, 2), (66, 8, 30, 40, 3), (6, 7, 7, 64, 3), (2, 5, 6, 4, 3)):
        forward, of_weights = convolution(*sizes)
        check(rng, real, *forward, term=term)
        check(rng, real, forward[1], forward[0], [(n, two, one) for n, one, two in forward[2]], term=term)
        check(rng, real, *of_weights, term=term)
    check(rng, real, [(ROWS + 9, 6, 40)], [(40, 1, 1)], [(6, 1, 40)], term=term)
    check(rng, real, [(7, DEPTH + 5, 3)], [(3, 1, 1)], [(DEPTH + 5, 1, 3)], term=term)
    check(rng, real, [(3, 0, 5)], [(5, 1, 1)], [(0, 1, 1)], term=term)


@pytest.mark.parametrize("real", TYPES)
def test_empty_lists_of_values(real: str) -> None:
    a = b = np.ones(4, real)
    for accumulate, expected in ((True, 7.0), (False, 0.0)):
        c = np.full(6, 7.0, real)
        contract(real, [(2, 1, 3)], [(3, 1, 1)], [(0, 1, 1)], a, b, c, accumulate)
        assert (c == expected).all()
    for rows, columns in ((0, 3), (2, 0)):
        c = np.full(6, 7.0, real)
        contract(real, [(rows, 1, 3)], [(columns, 1, 1)], [(1, 1, 1)], a, b, c, False)
        assert (c == 7).all()


@pytest.mark.parametrize(("view", "real"), [(f32, "float32"), (f64, "float64")])
def test_nan_and_infinity_reach_the_result_from_a_region(view, real: str) -> None:
    product = {"float32": kernels.contract_f32, "float64": kernels.contract_f64}[real]

    def region(table, shard, shards):
        n = size(table, 0)
        x, k, y = view(table, 1, n), view(table, 2, 4, 3), view(table, 3, 4, n - 2)
        product(
            ((4, 3, n - 2),), ((n - 2, 1, 1),), ((3, 1, 1),), address(k, 0, 0), address(x, 0), address(y, 0, 0), False
        )

    compiled = numba.cfunc(REGION_SIGNATURE, **FLAGS)(region)
    rng = np.random.default_rng(1)
    x, k, y = rng.normal(size=21).astype(real), rng.normal(size=(4, 3)).astype(real), np.empty((4, 19), real)
    x[5], k[2, 1] = np.nan, np.inf
    table = np.array([21, x.ctypes.data, k.ctypes.data, y.ctypes.data])
    compiled.ctypes(table.ctypes.data, 0, 1)
    with np.errstate(invalid="ignore"):
        expected = k @ np.stack([x[i : i + 19] for i in range(3)])
    assert np.allclose(y, expected, rtol=1e-4, atol=1e-4, equal_nan=True)


def cost_of(rows, row_count, columns, column_count, steps, step_count, one):
    """What the columns in the lanes would take."""
    return cost(rows, row_count, columns, column_count, steps, step_count, 1, 2, one)


def test_taps_side_by_side_are_one_run_of_steps() -> None:
    """Three by three taps of weights are copied to a panel as nine numbers in a row are: in vectors."""
    function = native(numba.types.int64(*[numba.types.int64] * 6, numba.types.float32))(cost_of).ctypes
    rows, columns = [(7, 9, 1), (7, 1, 7)], [(64, 288, 49)]
    costs = []
    for taps in ([(3, 9, 3), (3, 1, 1)], [(9, 1, 1)]):
        lists = [np.array(part, np.int64) for part in (rows, columns, [(32, 81, 9), *taps])]
        costs.append(function(*(word for part in lists for word in (part.ctypes.data, len(part))), 1.0))
    assert costs[0] == costs[1]


def test_rows_of_pixels_that_leave_a_vector_unfilled_are_not_its_columns() -> None:
    """Sixteen maps fill a vector; rows of fourteen pixels do not, and each is a tile of its own."""
    if tile_shape(numba.types.float32).lanes != 16:
        pytest.skip("sixteen maps are a vector of 512 bits")
    function = native(numba.types.int64(*[numba.types.int64] * 6, numba.types.float32))(cost_of).ctypes
    (maps, pixels, steps), _ = convolution(16, 16, 16, 16, 3)
    turned = [(n, two, one) for n, one, two in steps]
    costs = []
    for given in ((maps, pixels, steps), (pixels, maps, turned)):
        lists = [np.array(part, np.int64) for part in given]
        costs.append(function(*(word for part in lists for word in (part.ctypes.data, len(part))), 1.0))
    assert costs[1] < costs[0]


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("columns", [1, 3, 5])
def test_few_columns_that_lie_apart_are_copied_in_blocks_of_steps(real: str, columns: int) -> None:
    """What fills a vector beside them is not read as if it were a column: infinity stays where it is."""
    rng = np.random.default_rng(2)
    m, k = 50, 71
    check(rng, real, [(m, 1, columns)], [(columns, k, 1)], [(k, m, 1)])
    a, b = rng.standard_normal((k, m)).astype(real), rng.standard_normal((columns, k)).astype(real)
    b[0, 3] = np.inf
    c = np.full((m, columns + 1), 7, real)
    contract(real, [(m, 1, columns + 1)], [(columns, k, 1)], [(k, m, 1)], a, b, c, False)
    with np.errstate(invalid="ignore"):
        assert np.allclose(c[:, :columns], (b @ a).T, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert np.all(c[:, columns] == 7)


def apart_of(table, number, one):
    """How many numbers the columns of a vector, or a part of one, stand apart, if they are copied piece by piece."""
    return apart_in_pieces(table, number, one)


def test_columns_two_apart_and_rows_that_go_on_are_copied_in_pieces() -> None:
    """Number by number took as long as a third of the products of a convolution in steps of two."""
    function = native(numba.types.int64(*[numba.types.int64] * 2, numba.types.float32))(apart_of).ctypes
    shape = tile_shape(numba.types.float32)
    for apart, row, pieces in ((1, 64, 1), (2, 64, 1), (1, 5, 2), (2, 6, 2), (2, 5, 3), (3, 64, shape.lanes)):
        number = min(shape.lanes, pieces * row)
        table = np.array([[4 * (1000 * u + apart * v) for v in range(row)] for u in range(pieces)], np.int64).ravel()
        is_few = pieces == 1 or (shape.has_masks and pieces < 4)
        if shape.has_masks or number == shape.lanes:
            assert function(table.ctypes.data, number, 1.0) == (apart if is_few else 0), (apart, row)


@pytest.mark.parametrize("real", TYPES)
@pytest.mark.parametrize("stride", [1, 2])
def test_columns_in_pieces(real: str, stride: int) -> None:
    rng = np.random.default_rng(stride)
    shape = tile_shape(TYPES[real])
    for v in (2, 3, shape.lanes // 2 + 1, shape.lanes - 1, shape.lanes + 3, shape.width + 5):
        for u in (1, 2, 5):
            columns = [(u, 2 * stride * (v + 1), v), (v, stride, 1)]
            apart = u * 2 * stride * (v + 1)
            check(rng, real, [(4 * shape.height, 5, u * v)], columns, [(5, 1, apart)])


def width_of(left, one):
    """Columns of the next panel."""
    return panel_width(left, one)


def test_few_columns_more_than_a_panel_are_a_part_of_a_vector() -> None:
    """Two panels that are hardly half full take as long as two."""
    function = native(numba.types.int64(numba.types.int64, numba.types.float32))(width_of).ctypes
    shape = tile_shape(numba.types.float32)
    for rest in range(1, shape.lanes + 1):
        first = function(shape.width + rest, 1.0)
        assert first == shape.width if rest >= shape.few else first == (shape.width + rest + 1) // 2
