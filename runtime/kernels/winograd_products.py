"""The products of Winograd's planes: all taps by some tiles, plane after plane.

A register tile reads its rows of taps from one end of a plane to the other, which are too many for the second cache
and are wanted once for every few panels of tiles: those of the next tile are fetched meanwhile, a line in each step.
"""

from __future__ import annotations

from dlc.runtime.kernels.compilation import compact
from dlc.runtime.kernels.macro_kernel import SECOND_CACHE, evenly
from dlc.runtime.kernels.packing import pack_rows
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import like
from dlc.runtime.kernels.tile import LINE, full_tile, narrow_tile
from dlc.runtime.kernels.tile_shape import height, itemsize, lanes, most_depth, panel_memory, width
from dlc.runtime.kernels.winograd_portions import copy_tiles, distance_of, portions, portions_at

PLANES = 16


@part
def whole_panels(columns, one) -> int:
    """Columns of as many panels as it takes."""
    return (columns + width(one) - 1) // width(one) * width(one)


@part
def steps_of_product(channels, count, one) -> int:
    """Channels that are summed between two visits of the results, of so many portions; taps of so many lie together."""
    most = most_depth(one) // count // lanes(one) * lanes(one)
    return (evenly(channels, most) + lanes(one) - 1) // lanes(one) * lanes(one)


@part
def column_of_tiles(maps, columns, depth, taps, panel, kept, target, pitch, coming, one):
    """One panel of tiles, for all maps. The rows of the next register tile are fetched, and at last those at `coming`,
    if that is not 0."""
    compact()
    size = itemsize(one)
    tiles = (maps + height(one) - 1) // height(one)
    low, taller = maps // tiles, maps % tiles
    a, c = taps, target
    for t in range(tiles):
        rows = low + 1 if t < taller else low
        following = a + size * rows * depth
        fetched, step = panel, 0
        if coming != 0:
            fetched, step = following if t + 1 < tiles else coming, LINE // size
        if columns > lanes(one):
            full_tile(
                rows, a, depth, 1, panel, width(one), depth, c, pitch, columns, c, pitch, 1, fetched, step, one, kept
            )  # fmt: skip
        else:
            narrow_tile(
                rows, a, depth, 1, panel, width(one), depth, c, pitch, columns, c, pitch, 1, fetched, step, one, kept
            )  # fmt: skip
        a, c = following, c + size * rows * pitch


@part
def products(
    maps, tiles, channels, tall, broad, taps, of_taps, image, of_image, in_image, down, across, along, of_one, more,
    first, found, of_results, pitch, one,
):  # fmt: skip
    """Of every plane the taps, a block of channels behind the other and maps by channels of all portions in each, times
    the image, channels by tiles; rows of tiles are `pitch` numbers long, and written in whole vectors."""
    compact()
    size, panel, broadest = itemsize(one), panel_memory(one), along + (portions(broad) - 1) * across
    most = steps_of_product(channels, portions(tall) * portions(broad), one)
    for plane in range(PLANES):
        of_plane, from_image, target = size * plane * of_taps, size * plane * of_image, size * plane * of_results
        count = portions_at(plane, tall, broad)
        for start in range(0, channels if count > 0 else 0, most):
            depth = min(most, channels - start)
            a = taps + of_plane + size * maps * start * count
            following = a + size * maps * depth * count
            if start + depth >= channels:
                following = taps + of_plane + size * of_taps
            kept = like(1.0, one) if start > 0 else like(0.0, one)
            for j in range(0, tiles, width(one)):
                columns = min(width(one), tiles - j)
                for n in range(count):
                    source = from_image + size * (
                        start * in_image + distance_of(n, plane, tall, broad, down * broadest, across)
                    )
                    place = panel + size * n * depth * width(one)
                    if broadest == along and more == 0:
                        pack_rows(depth, columns, image + source + size * j, in_image, place, one)
                    else:
                        copy_tiles(
                            depth, j, columns, along, broadest, first, of_one, more, image + source, in_image, place,
                            width(one), one,
                        )  # fmt: skip
                last = j + width(one) >= tiles
                coming = following if last else a
                if j > 0 and size * maps * depth * count <= SECOND_CACHE:
                    coming = 0
                column_of_tiles(
                    maps, columns, depth * count, a, panel, kept, found + target + size * j, pitch, coming, one
                )  # fmt: skip
