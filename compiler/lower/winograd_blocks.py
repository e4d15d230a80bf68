"""Winograd's tiles in numbers: how many there are, whether they pay, how many stand in a block, and in how much room.

The kernel asks again where the compiler does not know the sizes: ``runtime/kernels/winograd.py`` has the same rules.
"""

from __future__ import annotations

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import Const, op

TAPS, TILE = 3, 2
_FEWEST, MOST = 32, 128  # tiles of a block: enough for the columns of a product, and few enough for the cache,
_IN_CACHE = 1 << 14  # which has room for so many times a channel or a map, of all planes
_LANES, _PANEL = 16, 32  # tiles of a vector and of a panel of the product, in the longest ones
_MANY_SAMPLES = 64  # for as many as there may be
PLANES, _GAP = 16, 16

# What additions take, in multiplications of a product: of a row of tiles of one channel or map, of each of its tiles,
# and of the taps of a pair. Products of planes are smaller, and take somewhat longer than they have multiplications.
_OF_ROW, _OF_TILE, _OF_TAPS = 1600, 75, 300
_OF_PLANES = 18


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


def is_faster(samples: int, maps: int, channels: int, height: int, width: int, down: int = 1, across: int = 1) -> bool:
    """Whether the multiplications that are saved take longer than the additions."""
    rows = samples * tiles_along(height, down)
    tiles = rows * tiles_along(width, across)
    saved = maps * channels * (TAPS * TAPS * samples * height * width - _OF_PLANES * tiles)
    return saved > (_OF_ROW * rows + _OF_TILE * tiles) * (channels + maps) + _OF_TAPS * maps * channels


def block(most: int, samples: int | None, height: int, width: int, down: int = 1, across: int = 1) -> int:
    """Rows of tiles that are computed together, of all samples one after the other: so many that their tiles fill
    vectors, and that blocks are few, for each reads all taps; at most so many tiles, if a row has no more."""
    along, of_sample = tiles_along(width, across), tiles_along(height, down)
    rows = of_sample * (_MANY_SAMPLES if samples is None else samples)
    best, least = 1, 0
    for number in range(1, min(max(most // along, 1), rows) + 1):
        whole, rest = divmod(rows, number)
        cost = whole * (-(-number * along // _LANES) + 1) + (-(-rest * along // _LANES) + 1 if rest else 0)
        if number == 1 or cost <= least:
            best, least = number, cost
    return best


def numbers(maps: int, channels: int, width: int, rows: int, across: int = 1) -> int:
    """How many there is room for where sizes and the rows of tiles of a block are known."""
    along = tiles_along(width, across)
    constant = Polynomial.constant
    found = numbers_of(constant(maps), constant(channels), constant(along), constant(rows * along), across)
    assert found.value is not None
    return found.value


def numbers_of(maps: Polynomial, channels: Polynomial, along: Polynomial, tiles: Polynomial, across: int) -> Polynomial:
    """The planes of taps, image and results of a block, and rows, which lie one behind the other in
    ``runtime/kernels/winograd.py``."""
    columns = tiles + (_PANEL - 1) if tiles.value is None else Polynomial.constant(-(-tiles.value // _PANEL) * _PANEL)
    planes = maps * channels + channels * columns + maps * columns + 3 * _GAP
    of_taps, of_tiles = channels * 12, along * 18 + tiles * 8 + 18 * (across + 1)
    rows = of_taps if nonnegative(of_taps - of_tiles) else of_tiles if nonnegative(of_tiles - of_taps) else None
    return planes * PLANES + _GAP + (of_taps + of_tiles if rows is None else rows)


def most_tiles(maps: int, channels: int) -> int:
    """Tiles of a block, if a row has no more, so that those of the image and of the results stay in the cache."""
    return min(max(_IN_CACHE // max(maps + channels, 1) // _FEWEST * _FEWEST, _FEWEST), MOST)
