"""Winograd's tiles in numbers: how many there are, whether they pay, how many stand in a block, and in how much room.

The kernel asks again where the compiler does not know the sizes: ``runtime/kernels/winograd.py`` has the same rules.
"""

from __future__ import annotations

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import Const, op

# along an axis, and those of F(2,3); of more, few channels have room in the panel of a product that is for all portions
FEWEST_TAPS, TAPS, MOST_TAPS = 2, 3, 7
TILE = 2
_FEWEST, MOST = 32, 128  # tiles of a block: enough for the columns of a product, and few enough for the cache,
_IN_CACHE = 1 << 14  # which has room for so many times a channel or a map, of all planes
_LANES, _PANEL = 16, 32  # tiles of a vector and of a panel of the product, in the longest ones
_MANY_SAMPLES = 64  # for as many as there may be
_TIMES = 2  # as many tiles as a block has otherwise, where they fill vectors better
PLANES, _GAP = 16, 16

# What additions take, in multiplications of a product: of a row of tiles of one channel or map, of each of its tiles,
# and of the taps of a pair, as much for each portion as for reading them; and what a vector of tiles takes that is
# copied for a portion, in a row and for a product.
# Products of planes are smaller, and take somewhat longer than they have multiplications.
_OF_ROW, _OF_TILE, _OF_TAPS, _OF_COPY = 1050, 75, 150, 120


def tiles_of(size: Polynomial, apart: int) -> Polynomial:
    """Tiles along an axis, at most."""
    if size.value is not None:
        return Polynomial.constant(tiles_along(size.value, apart))
    reach = TILE * apart
    return polynomial(integer(op("floordiv", (size + (reach - 1)).expression(), Const(reach)))) * apart


def tiles_along(extent: int, apart: int) -> int:
    """How many tiles cover so many results; those of a tile lie so far apart."""
    whole, rest = divmod(extent, TILE * apart)
    return whole * apart + min(rest, apart)


def portions(taps: int) -> int:
    """Pairs of taps along an axis, the last of which may be three: what F(2,3) takes at a time."""
    return taps // 2


def products_of(tall: int, broad: int) -> int:
    """Products of a channel and a map that a tile takes: for every portion along an axis at three points, and at the
    last one for three taps."""
    return (3 * portions(tall) + tall % 2) * (3 * portions(broad) + broad % 2)


def is_faster(
    samples: int,
    maps: int,
    channels: int,
    height: int,
    width: int,
    down: int = 1,
    across: int = 1,
    tall: int = 3,
    broad: int = 3,
) -> bool:
    """Whether the multiplications that are saved take longer than the additions."""
    rows = samples * tiles_along(height, down)
    along, products, count = tiles_along(width, across), products_of(tall, broad), portions(tall) * portions(broad)
    tiles = rows * along
    saved = maps * channels * (tall * broad * samples * height * width - 9 * products * tiles // 8)
    additions = (_OF_ROW * rows + _OF_TILE * tiles) * (channels + maps) + _OF_TAPS * (1 + count) * maps * channels
    return saved > additions + _copies(channels, rows, along, tall, broad)


def _copies(channels: int, rows: int, along: int, tall: int, broad: int) -> int:
    """What takes the tiles of the image to the products of all portions but one."""
    if portions(tall) * portions(broad) == 1:
        return 0
    return _OF_COPY * products_of(tall, broad) * rows * -(-along // _LANES) * channels


def is_better_together(
    maps: int, channels: int, height: int, width: int, down: int, across: int, tall: int, broad: int
) -> bool:
    """Whether the taps take longer than the image and the results of one sample, which every shard would read that has
    a part of the maps of all."""
    rows, along = tiles_along(height, down), tiles_along(width, across)
    of_taps = _OF_TAPS * (1 + portions(tall) * portions(broad)) * maps * channels
    return of_taps > 2 * _OF_TILE * rows * along * (maps + channels) + _copies(channels, rows, along, tall, broad)


def block(most: int, samples: int | None, height: int, width: int, down: int = 1, across: int = 1) -> int:
    """Rows of tiles that are computed together, of all samples one after the other: so many that their tiles fill
    vectors, and that blocks are few, for each reads all taps; at most so many tiles, if a row has no more, or twice as
    many where that leaves fewer vectors by a fifteenth."""
    along, of_sample = tiles_along(width, across), tiles_along(height, down)
    rows = of_sample * (_MANY_SAMPLES if samples is None else samples)
    few, many = (_fullest(rows, along, max(number // along, 1)) for number in (most, _TIMES * most))
    return many if 15 * _vectors(rows, along, many) <= 14 * _vectors(rows, along, few) else few


def _fullest(rows: int, along: int, most: int) -> int:
    best, least = 1, 0
    for number in range(1, min(most, rows) + 1):
        cost = _vectors(rows, along, number) - (-rows // number)
        if number == 1 or cost <= least:
            best, least = number, cost
    return best


def _vectors(rows: int, along: int, number: int) -> int:
    """How many vectors of tiles so many rows are, so many at a time."""
    whole, rest = divmod(rows, number)
    return whole * -(-number * along // _LANES) - (-rest * along // _LANES)


def most_tiles_of_rows(most: int) -> int:
    """Tiles of the rows of a block, at most, if a row has no more."""
    return _TIMES * most


def tiles_of_images(
    rows: int, height: int, width: int, down: int = 1, across: int = 1, tall: int = 3, broad: int = 3
) -> int:
    """Tiles of the images that so many rows of tiles read, at most: more than there are of results, for portions begin
    some tiles further on."""
    of_one = tiles_along(height, down)
    samples = (rows + of_one - 2) // of_one + 1
    along = tiles_along(width, across) + (portions(broad) - 1) * across
    return (rows + samples * (portions(tall) - 1) * down) * along


def numbers(
    maps: int,
    channels: int,
    height: int,
    width: int,
    rows: int,
    down: int = 1,
    across: int = 1,
    tall: int = 3,
    broad: int = 3,
) -> int:
    """How many there is room for where sizes and the rows of tiles of a block are known."""
    constant, along = Polynomial.constant, tiles_along(width, across)
    of_images = constant(tiles_of_images(rows, height, width, down, across, tall, broad))
    of_rows = constant(along), constant(rows * along)
    found = numbers_of(constant(maps), constant(channels), *of_rows, of_images, across, tall, broad)
    assert found.value is not None
    return found.value


def numbers_of(
    maps: Polynomial,
    channels: Polynomial,
    along: Polynomial,
    tiles: Polynomial,
    of_images: Polynomial,
    across: int,
    tall: int,
    broad: int,
) -> Polynomial:
    """The planes of taps, image and results of a block, copies of the image, and rows, which lie one behind the other
    in ``runtime/kernels/winograd.py``."""
    count, columns = portions(tall) * portions(broad), _in_panels(tiles)
    planes = maps * channels * count + channels * _in_panels(of_images) + maps * columns + 3 * _GAP
    copies = channels * columns * (count if count > 1 else 0)
    longest = along + (portions(broad) - 1) * across
    of_taps, of_tiles = channels * 12, longest * 18 + tiles * 10 + 18 * (across + 1)
    rows = of_taps if nonnegative(of_taps - of_tiles) else of_tiles if nonnegative(of_tiles - of_taps) else None
    return planes * PLANES + copies + _GAP + (of_taps + of_tiles if rows is None else rows)


def _in_panels(tiles: Polynomial) -> Polynomial:
    if tiles.value is None:
        return tiles + (_PANEL - 1)
    return Polynomial.constant(-(-tiles.value // _PANEL) * _PANEL)


def most_tiles(maps: int, channels: int) -> int:
    """Tiles of a block, if a row has no more, so that those of the image and of the results stay in the cache."""
    return min(max(_IN_CACHE // max(maps + channels, 1) // _FEWEST * _FEWEST, _FEWEST), MOST)
