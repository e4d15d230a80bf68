"""Winograd's products against sums as written: every remainder of a tile, any layout, what is not finite."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import pytest

from dlc.compiler.lower.winograd_blocks import block, is_faster, numbers
from dlc.runtime.kernels.contract import load_contract
from dlc.runtime.kernels.winograd import load_winograd, rows_if_faster, rows_of_tiles

TYPES = {"float32": numba.types.float32, "float64": numba.types.float64}
#: Maps, channels, height and width of the results, with tiles that fill a vector and parts of one; the last ones have
#: several blocks, of unequal numbers of rows.
SIZES = [
    (1, 1, 1, 1),
    (3, 2, 2, 2),
    (2, 5, 3, 1),
    (4, 3, 1, 7),
    (17, 9, 7, 7),
    (3, 2, 4, 13),
    (5, 20, 8, 33),
    (6, 3, 26, 25),
]
Indices = Sequence[tuple[int, int, int]]
Term = tuple[int, int, int]  # where it is, and how far its numbers are apart along rows and columns
NO_TERM, EVERY_TAP = (0, 0, 0), 0
GUARD = 77.0


def strides(array: np.ndarray, *axes: int) -> list[int]:
    return [array.strides[axis] // array.itemsize for axis in axes]


def listed(extents: Sequence[int], one: Sequence[int], other: Sequence[int]) -> Indices:
    return list(zip(extents, one, other, strict=True))


def call(
    load,
    real: str,
    lists: Sequence[Indices],
    operands: Sequence[np.ndarray],
    accumulate: bool,
    *more: int,
    term: Term = NO_TERM,
) -> None:
    """`more` is what contract or winograd alone takes."""
    words = [np.array(part, np.int64) for part in lists]
    described = [word for part in words for word in (part.ctypes.data, len(part))]
    load(TYPES[real]).ctypes(*described, *(each.ctypes.data for each in operands), accumulate, *term, *more, 1.0)


def in_tiles(
    real: str,
    lists,
    operands,
    accumulate: bool,
    geometry: tuple[int, int, int, int],
    rows: int | None = None,
    term: Term = NO_TERM,
    apart: tuple[int, int] = (1, 1),
    of_taps: bool | None = None,
    share: tuple[int, int] = (0, 0),
) -> None:
    """The product, which stays inside the room that the compiler asks for; of one sample its lists tell which it is. A
    share begins with one of so many maps."""
    of_taps = len(lists[2]) == 2 if of_taps is None else of_taps
    rows = block(64, 1, *geometry[2:], *apart) if rows is None else rows
    taps = operands[2 if of_taps else 0].shape[2:]
    room = np.full(numbers(*geometry, max(rows, 1), *apart, *taps) + 32, GUARD, real)
    place = room.ctypes.data + 16 * room.itemsize
    call(load_winograd, real, lists, operands, accumulate, rows, place, of_taps, *share, term=term)
    assert (room[:16] == GUARD).all() and (room[-16:] == GUARD).all()


def laid_out(rng, real: str, order: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Random numbers whose axes lie in memory in this order."""
    inverse = [order.index(axis) for axis in range(len(shape))]
    return rng.standard_normal([shape[axis] for axis in order]).astype(real).transpose(inverse)


def windows(
    x: np.ndarray, height: int, width: int, down: int = 1, across: int = 1, taps: tuple[int, int] = (3, 3)
) -> np.ndarray:
    rows, columns = range(0, taps[0] * down, down), range(0, taps[1] * across, across)
    return np.stack([[x[:, p : p + height, q : q + width] for q in columns] for p in rows]).astype(np.float64)


def forward(
    k: np.ndarray, x: np.ndarray, y: np.ndarray, down: int = 1, across: int = 1
) -> tuple[Indices, Indices, Indices]:
    maps, height, width = y.shape
    rows = listed([maps], strides(k, 0), strides(y, 0))
    columns = listed([height, width], strides(x, 1, 2), strides(y, 1, 2))
    depth, row, column = strides(x, 0, 1, 2)
    return rows, columns, listed(k.shape[1:], strides(k, 1, 2, 3), (depth, down * row, across * column))


def of_taps(
    y: np.ndarray, x: np.ndarray, k: np.ndarray, down: int = 1, across: int = 1
) -> tuple[Indices, Indices, Indices]:
    maps, height, width = y.shape
    rows = listed([maps], strides(y, 0), strides(k, 0))
    depth, row, column = strides(x, 0, 1, 2)
    columns = listed(k.shape[1:], (depth, down * row, across * column), strides(k, 1, 2, 3))
    return rows, columns, listed([height, width], strides(y, 1, 2), strides(x, 1, 2))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("real", TYPES)
def test_results_and_derivatives(real: str, sizes: tuple[int, int, int, int], order: tuple[int, ...]) -> None:
    maps, channels, height, width = sizes
    rng = np.random.default_rng(sum(sizes))
    x = laid_out(rng, real, order, (channels, height + 2, width + 2))
    y, wanted = (laid_out(rng, real, order, (maps, height, width)) for _ in range(2))
    k = laid_out(rng, real, (0, 1, 2, 3) if order[0] == 0 else (2, 3, 1, 0), (maps, channels, 3, 3))
    seen = windows(x, height, width)
    tolerance = 8 * float(np.finfo(real).eps) * (9 * channels * height * width) ** 0.5
    in_tiles(real, forward(k, x, y), (k, x, y), False, sizes)
    np.testing.assert_allclose(y, np.einsum("ocpq,pqchw->ohw", k, seen), 0, 4 * tolerance)
    before = k.astype(np.float64)
    found = np.einsum("ohw,pqchw->ocpq", wanted, seen)
    in_tiles(real, of_taps(wanted, x, k), (wanted, x, k), True, sizes)
    np.testing.assert_allclose(k, before + found, 0, 4 * tolerance)
    in_tiles(real, of_taps(wanted, x, k), (wanted, x, k), False, sizes)
    np.testing.assert_allclose(k, found, 0, 4 * tolerance)


@pytest.mark.parametrize("sizes", [(5, 4, 9, 8), (13, 3, 1, 1)])
@pytest.mark.parametrize("samples", [1, 2, 3, 7])
def test_shards_take_samples_in_the_place_of_maps(samples: int, sizes: tuple[int, int, int, int]) -> None:
    """All shards together compute everything, however many there are: to the bit, and what is not finite as in the sum
    as written. Where a sample is too small for it, a shard takes its maps of all."""
    maps, channels, height, width = sizes
    rng = np.random.default_rng(samples)
    x = rng.standard_normal((samples, channels, height + 2, width + 2))
    k, y = rng.standard_normal((maps, channels, 3, 3)), np.empty((samples, maps, height, width))
    of_maps, of_places, reduced = forward(k, x[0], y[0])
    of_places = [(samples, x[0].size, y[0].size), *of_places]

    def computed(shards: int) -> np.ndarray:
        y[:] = GUARD
        for shard in range(shards):
            first, stop = maps * shard // shards, maps * (shard + 1) // shards
            rows = [(stop - first, *of_maps[0][1:])]
            lists, operands = (rows, of_places, reduced), (k[first:], x, y[:, first:])
            in_tiles("float64", lists, operands, False, sizes, 3, of_taps=False, share=(first, maps))
        return y.copy()

    for worst in (1.0, np.inf):
        x[-1, 0, 1, 1] = worst
        plain = np.stack([np.einsum("ocpq,pqchw->ohw", k, windows(one, height, width)) for one in x])
        found = {shards: computed(shards) for shards in (1, 2, 3, 5, 16)}
        for result in found.values():
            np.testing.assert_allclose(result, plain, 0, 1e-12)
            if worst == 1.0:
                np.testing.assert_array_equal(result, found[1])


@pytest.mark.parametrize("apart", [(1, 1), (2, 3)])
@pytest.mark.parametrize("taps", [(5, 5), (4, 4), (7, 7), (6, 3), (3, 5), (5, 4), (2, 2), (2, 3), (5, 2)])
@pytest.mark.parametrize("real", TYPES)
def test_taps_in_portions(real: str, taps: tuple[int, int], apart: tuple[int, int]) -> None:
    """Of several samples and blocks, which begin anywhere; several blocks of channels have the panel of a product."""
    rng = np.random.default_rng(sum(taps))
    for (maps, channels, height, width), rows in (
        ((1, 1, 1, 1), 1), ((3, 2, 2, 5), 2), ((5, 70, 7, 6), 3), ((4, 3, 9, 37), 40), ((17, 20, 15, 8), 7),
    ):  # fmt: skip
        wide = (height + (taps[0] - 1) * apart[0], width + (taps[1] - 1) * apart[1])
        shapes = (3, channels, *wide), (maps, channels, *taps), (3, maps, height, width), (maps, 1)
        x, k, y, d = (rng.standard_normal(shape).astype(real) for shape in shapes)
        tolerance = 32 * float(np.finfo(real).eps) * (taps[0] * taps[1] * channels * height * width) ** 0.5
        of_maps, (down, across), reduced = forward(k, x[0], y[0], *apart)
        lists = of_maps, [(3, x[0].size, y[0].size), down, across], reduced
        geometry = maps, channels, height, width
        seen = [windows(one, height, width, *apart, taps) for one in x]
        found = sum(np.einsum("ohw,pqchw->ocpq", w, one) for w, one in zip(y, seen, strict=True))
        before, results = k.astype(np.float64), [np.einsum("ocpq,pqchw->ohw", k, one) for one in seen]
        into = y.copy()
        in_tiles(real, lists, (k, x, into), False, geometry, rows, (d.ctypes.data, 1, 0), apart, False)
        np.testing.assert_allclose(into, np.stack(results) + d[:, None], 0, tolerance)
        of_maps, columns, (down, across) = of_taps(y[0], x[0], k, *apart)
        lists = of_maps, columns, [(3, y[0].size, x[0].size), down, across]
        for accumulate in (True, False):
            in_tiles(real, lists, (y, x, k), accumulate, geometry, rows, apart=apart, of_taps=True)
            np.testing.assert_allclose(k, before + found if accumulate else found, 0, 2 * tolerance)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
@pytest.mark.parametrize("apart", [(2, 2), (3, 1), (1, 4), (5, 3)])
@pytest.mark.parametrize("real", TYPES)
def test_taps_that_lie_apart(real: str, apart: tuple[int, int], order: tuple[int, ...]) -> None:
    for sizes in (*SIZES, (3, 4, 12, 19), (2, 3, 5, 40)):
        maps, channels, height, width = sizes
        rng = np.random.default_rng(sum(sizes))
        x = laid_out(rng, real, order, (channels, height + 2 * apart[0], width + 2 * apart[1]))
        y, wanted = (laid_out(rng, real, order, (maps, height, width)) for _ in range(2))
        k, d = (
            rng.standard_normal((maps, channels, 3, 3)).astype(real),
            rng.standard_normal((height, width)).astype(real),
        )
        seen = windows(x, height, width, *apart)
        tolerance = 32 * float(np.finfo(real).eps) * (9 * channels * height * width) ** 0.5
        lists, term = forward(k, x, y, *apart), (d.ctypes.data, 0, 1)
        in_tiles(real, lists, (k, x, y), False, sizes, term=term, apart=apart)
        np.testing.assert_allclose(y, np.einsum("ocpq,pqchw->ohw", k, seen) + d, 0, tolerance)
        in_tiles(real, of_taps(wanted, x, k, *apart), (wanted, x, k), False, sizes, apart=apart)
        np.testing.assert_allclose(k, np.einsum("ohw,pqchw->ocpq", wanted, seen), 0, tolerance)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
@pytest.mark.parametrize("real", TYPES)
def test_a_term_is_added_to_results(real: str, order: tuple[int, ...]) -> None:
    for sizes in SIZES:
        maps, channels, height, width = sizes
        rng = np.random.default_rng(sum(sizes))
        x, k = (
            rng.standard_normal(shape).astype(real) for shape in ((channels, height + 2, width + 2), (*sizes[:2], 3, 3))
        )
        y = laid_out(rng, real, order, (maps, height, width))
        plain = np.einsum("ocpq,pqchw->ohw", k, windows(x, height, width))
        for shape, steps in (((maps, 1, 1), (1, 0)), ((height, width), (0, 1)), ((1,), (0, 0))):
            d = rng.standard_normal(shape).astype(real)
            for rows in (None, 0):
                in_tiles(real, forward(k, x, y), (k, x, y), False, sizes, rows, (d.ctypes.data, *steps))
                tolerance = 32 * float(np.finfo(real).eps) * (9 * channels * height * width) ** 0.5
                np.testing.assert_allclose(y, plain + d, 0, tolerance)


def test_rows_of_tiles_are_those_that_the_compiler_takes() -> None:
    @numba.njit
    def found(most, samples, maps, channels, height, width, down, across, tall=3, broad=3):
        of_block = rows_of_tiles(most, samples, height, width, down, across)
        return of_block, rows_if_faster(most, samples, maps, channels, height, width, down, across, tall, broad)

    for samples, maps, channels in ((1, 16, 16), (1, 64, 64), (2, 512, 500), (7, 3, 64), (33, 64, 60)):
        for size in ((1, 1), (4, 4), (7, 7), (15, 9), (33, 32), (5, 150), (200, 3)):
            for apart in ((1, 1), (2, 2), (1, 3), (12, 5)):
                most = 32 if maps > channels else 128
                rows = block(most, samples, *size, *apart)
                for taps in ((3, 3), (5, 5), (4, 7), (3, 6)):
                    faster = rows if is_faster(samples, maps, channels, *size, *apart, *taps) else 0
                    assert found(most, samples, maps, channels, *size, *apart, *taps) == (rows, faster)
    for height, width in ((0, 5), (5, 0), (0, 0)):
        assert found(64, 1, 64, 64, height, width, 1, 1) == (0, 0)
    assert found(64, 0, 64, 64, 9, 9, 1, 1) == (0, 0)
    assert found(64, 1, 0, 64, 9, 9, 1, 1)[1] == found(64, 1, 64, 0, 9, 9, 1, 1)[1] == 0


def test_without_rows_of_tiles_it_is_the_sum_as_written() -> None:
    rng = np.random.default_rng(5)
    sizes = (64, 64, 20, 18)
    x, k, y = (rng.standard_normal(s).astype(np.float32) for s in ((64, 22, 20), (64, 64, 3, 3), (64, 20, 18)))
    for lists, (a, c) in ((forward(k, x, y), (k, y)), (of_taps(y, x, k), (y, k))):
        plain, found = np.zeros_like(c), np.zeros_like(c)
        call(load_contract, "float32", lists, (a, x, plain), False, EVERY_TAP)
        in_tiles("float32", lists, (a, x, found), False, sizes, 0)
        np.testing.assert_array_equal(found, plain)
        in_tiles("float32", lists, (a, x, found), False, sizes)
        assert (found != plain).any()


@pytest.mark.parametrize("apart", [(1, 1), (2, 3)])
@pytest.mark.parametrize("size", [(7, 6), (3, 3)])
@pytest.mark.parametrize("rows", [1, 3, 5, 9, 40])
def test_blocks_with_tiles_of_several_samples(rows: int, size: tuple[int, int], apart: tuple[int, int]) -> None:
    """They begin and end anywhere in a sample; also where an image is as small as the taps."""
    rng = np.random.default_rng(rows)
    height, width = size
    wide = (height + 2 * apart[0], width + 2 * apart[1])
    x, wanted, y = (rng.standard_normal((4, *shape)) for shape in ((4, *wide), (5, *size), (5, *size)))
    k, d = rng.standard_normal((5, 4, 3, 3)), rng.standard_normal((4, *size))
    geometry = (5, 4, *size)
    of_maps, (down, across), reduced = forward(k, x[0], y[0], *apart)
    lists = of_maps, [(4, x[0].size, y[0].size), down, across], reduced
    in_tiles("float64", lists, (k, x, y), False, geometry, rows, (d.ctypes.data, 0, 1), apart, False)
    seen = [windows(one, *size, *apart) for one in x]
    results = [np.einsum("ocpq,pqchw->ohw", k, one) for one in seen]
    np.testing.assert_allclose(y, np.stack(results) + d[:, None], 0, 1e-13)
    of_maps, columns, (down, across) = of_taps(wanted[0], x[0], k, *apart)
    lists = of_maps, columns, [(4, wanted[0].size, x[0].size), down, across]
    in_tiles("float64", lists, (wanted, x, k), False, geometry, rows, apart=apart, of_taps=True)
    found = sum(np.einsum("ohw,pqchw->ocpq", w, one) for w, one in zip(wanted, seen, strict=True))
    np.testing.assert_allclose(k, found, 0, 1e-12)


@pytest.mark.parametrize("images", [0, 1, 3])
@pytest.mark.parametrize("real", TYPES)
def test_derivatives_of_a_batch(real: str, images: int) -> None:
    rng = np.random.default_rng(images)
    sizes = (5, 4, 7, 6)
    x, wanted = (rng.standard_normal((images, *shape)).astype(real) for shape in ((4, 9, 8), (5, 7, 6)))
    k = rng.standard_normal((5, 4, 3, 3)).astype(real)
    rows, columns, (down, across) = of_taps(np.empty((5, 7, 6), real), np.empty((4, 9, 8), real), k)
    lists = rows, columns, [(images, 5 * 42, 4 * 72), down, across]
    seen = [np.einsum("ohw,pqchw->ocpq", w, windows(one, 7, 6)) for w, one in zip(wanted, x, strict=True)]
    before = k.astype(np.float64)
    for accumulate in (True, False):
        in_tiles(real, lists, (wanted, x, k), accumulate, sizes, of_taps=True)
        expected = (before if accumulate else 0) + sum(seen, np.zeros_like(before))
        np.testing.assert_allclose(k, expected, 0, 2000 * float(np.finfo(real).eps))


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("which", ["x", "k", "y"])
def test_what_is_not_finite_is_as_in_the_sum_as_written(which: str, number: float, taps: int) -> None:
    rng = np.random.default_rng(1)
    sizes = (3, 4, 5, 6)
    shapes = (4, 4 + taps, 5 + taps), (3, 4, taps, taps), (3, 5, 6)
    x, k, y = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    changed = {"x": x, "k": k, "y": y}[which]
    changed[1, 2, 2] = number
    k[0], x[0] = 0, 0
    for lists, (a, c) in ((forward(k, x, y), (k, y)), (of_taps(y, x, k), (y, k))):
        plain, fast = np.zeros_like(c), np.zeros_like(c)
        call(load_contract, "float32", lists, (a, x, plain), False, EVERY_TAP)
        in_tiles("float32", lists, (a, x, fast), False, sizes)
        if changed is not c and abs(number) != 1e38:
            assert not np.isfinite(plain).all()
        same = np.isfinite(plain)
        np.testing.assert_array_equal(np.where(same, 0, plain), np.where(np.isfinite(fast), 0, fast))
        np.testing.assert_allclose(fast[same], plain[same], 1e-5, 1e-5 * max(1, np.abs(plain[same]).max(initial=0)))
        if which == "x" and c is y:  # tiles that do not see it
            np.testing.assert_allclose(fast[:, 4:, 4:], plain[:, 4:, 4:], 1e-5, 1e-5)


@pytest.mark.parametrize("taps", [3, 5, 7])
@pytest.mark.parametrize(("real", "bound"), [("float32", 1e-6), ("float64", 2e-15)])
def test_the_error_that_docs_numerics_states(real: str, bound: float, taps: int) -> None:
    """And that it is not greater than that of the sum as written, but for a quarter."""
    rng = np.random.default_rng(2)
    sizes = (64, 64, 32, 32)
    shapes = ((64, 31 + taps, 31 + taps), (64, 64, taps, taps), (64, 32, 32))
    x, k, y = (rng.standard_normal(shape) for shape in shapes)
    exact = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}[np.dtype(real)]
    errors: dict[str, list[float]] = {"plain": [], "fast": []}
    x, k, y = (each.astype(real) for each in (x, k, y))
    for lists, (a, c), formula in (
        (forward(k, x, y), (k, y), _results),
        (of_taps(y, x, k), (y, k), _derivatives),
    ):
        expected = formula(a.astype(exact), x.astype(exact))
        plain, fast = np.zeros_like(c), np.zeros_like(c)
        call(load_contract, real, lists, (a, x, plain), False, EVERY_TAP)
        in_tiles(real, lists, (a, x, fast), False, sizes)
        for name, found in (("plain", plain), ("fast", fast)):
            errors[name].append(float(np.abs(found - expected).max() / np.abs(expected).max()))
    assert max(errors["fast"]) <= bound
    assert max(errors["fast"]) <= 1.25 * max(errors["plain"])


def _results(k: np.ndarray, x: np.ndarray) -> np.ndarray:
    maps, channels = k.shape[:2]
    taps = list(np.ndindex(k.shape[2:]))
    return sum(
        (k[:, :, p, q] @ x[:, p : p + 32, q : q + 32].reshape(channels, -1) for p, q in taps),
        np.zeros((maps, 1024), k.dtype),
    ).reshape(maps, 32, 32)


def _derivatives(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    maps, channels, taps = len(y), len(x), (x.shape[1] - 31, x.shape[2] - 31)
    found = np.empty((maps, channels, *taps), y.dtype)
    for p, q in np.ndindex(taps):
        found[:, :, p, q] = y.reshape(maps, -1) @ x[:, p : p + 32, q : q + 32].reshape(channels, -1).T
    return found
