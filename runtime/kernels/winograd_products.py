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

PLANES = 16


@part
def whole_panels(columns, one) -> int:
    """Columns of as many panels as it takes."""
    return (columns + width(one) - 1) // width(one) * width(one)


@part
def steps_of_product(channels, one) -> int:
    """Channels that are summed between two visits of the results; taps of so many lie together."""
    return (evenly(channels, most_depth(one)) + lanes(one) - 1) // lanes(one) * lanes(one)


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
def products(maps, tiles, channels, taps, of_taps, image, of_image, found, of_results, pitch, one):
    """Of every plane the taps, a block of channels behind the other and maps by channels in each, times the image,
    channels by tiles; rows of tiles are `pitch` numbers long, and written in whole vectors."""
    compact()
    size, panel, most = itemsize(one), panel_memory(one), steps_of_product(channels, one)
    for plane in range(PLANES):
        of_plane, from_image, target = size * plane * of_taps, size * plane * of_image, size * plane * of_results
        for start in range(0, channels, most):
            depth = min(most, channels - start)
            a = taps + of_plane + size * maps * start
            following = a + size * maps * depth if start + depth < channels else taps + of_plane + size * of_taps
            kept = like(1.0, one) if start > 0 else like(0.0, one)
            for j in range(0, tiles, width(one)):
                columns = min(width(one), tiles - j)
                pack_rows(depth, columns, image + from_image + size * (start * pitch + j), pitch, panel, one)
                last = j + width(one) >= tiles
                coming = following if last else a
                if j > 0 and size * maps * depth <= SECOND_CACHE:
                    coming = 0
                column_of_tiles(
                    maps, columns, depth, a, panel, kept, found + target + size * j, pitch, coming, one
                )  # fmt: skip
