"""The tiles of Winograd's products: images, results and taps, as rows lie in memory, and their planes of sums.

A row is brought into the order of its tiles, and goes through the transformations along both axes, see
``transforms.py``. `rows` is room for some rows between, and the planes lie `plane` numbers apart.
"""

from __future__ import annotations

from dlc.runtime.kernels.compilation import compact
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import like
from dlc.runtime.kernels.tile_shape import flat, itemsize
from dlc.runtime.kernels.transforms import (
    copied_plus,
    data_tiles,
    exchanged,
    finite,
    pair,
    pair_spread,
    results_across,
    results_along,
    spread_tiles,
    taps,
    taps_spread,
)
from dlc.runtime.kernels.winograd_portions import number_at, portions, portions_at, taps_of_portion

#: Numbers between two planes, so that they do not fall on the same lines of the cache.
GAP = 16


@part
def tiles_along(extent, apart) -> int:
    """How many tiles cover so many results; those of a tile lie so far apart."""
    return extent // (2 * apart) * apart + min(extent % (2 * apart), apart)


@part
def first_of(tile, apart) -> int:
    """The first result of a tile."""
    return tile // apart * 2 * apart + tile % apart


@part
def fetched(source, step, count, apart, pairs, target, one) -> int:
    """The address of a copy of a row whose numbers lie side by side, those of a tile in pairs. What is in pairs goes on
    with zeros."""
    compact()
    x, y, zero = flat(source, one), flat(target, one), like(0.0, one)
    if apart == 1:
        for i in range(count):
            y[i] = x[i * step]
        return target
    whole = count // (2 * apart) * apart
    begin = 0
    if apart == 2 and step == 1:
        exchanged(source, target, 2 * whole, one)
        begin = whole
    for i in range(begin, whole, apart):
        for r in range(apart):
            y[2 * (i + r)] = x[(2 * i + r) * step]
            y[2 * (i + r) + 1] = x[(2 * i + r + apart) * step]
    for i in range(whole, pairs):
        place = first_of(i, apart)
        y[2 * i] = x[place * step] if place < count else zero
        y[2 * i + 1] = x[(place + apart) * step] if place + apart < count else zero
    return target


@part
def in_rows(pairs, apart, count, target, one):
    """Results in pairs, as they lie in a row."""
    compact()
    x, y = flat(pairs, one), flat(target, one)
    whole = count // (2 * apart) * apart
    begin = 0
    if apart == 2:
        exchanged(pairs, target, 2 * whole, one)
        begin = whole
    for i in range(begin, whole, apart):
        for r in range(apart):
            y[2 * i + r] = x[2 * (i + r)]
            y[2 * i + r + apart] = x[2 * (i + r) + 1]
    for i in range(whole, tiles_along(count, apart)):
        place = first_of(i, apart)
        y[place] = x[2 * i]
        if place + apart < count:
            y[place + apart] = x[2 * i + 1]


@part
def fill(count, target, one):
    """Zeros"""
    numbers, zero = flat(target, one), like(0.0, one)
    for i in range(count):
        numbers[i] = zero


@part
def tiles_of(
    is_image, depth, height, width, down, across, first, tile_rows, along, x, in_depth, in_height, in_width, planes,
    plane, tiles, rows, one,
):  # fmt: skip
    """The planes of some rows of tiles, whose matrices have so many columns: of an image, by B, or of what has the size
    of the results, by A."""
    compact()
    size = itemsize(one)
    pairs = along + (across if is_image else 0)
    reach = 2 * pairs
    count = min(reach, width)
    have, is_in_order = count if across == 1 else reach, in_width == 1 and across == 1
    step, apart = size * 2 * (along + across + 1), size * plane
    zeros, copies = rows, rows + step
    fill(reach, zeros, one)
    for c in range(depth):
        for u in range(tile_rows):
            top = 2 * (first + u) if down == 1 else first_of(first + u, down)
            at, row = x + size * (c * in_depth + top * in_height), size * in_height * down
            x0, x1, x2, x3 = at, zeros, zeros, zeros
            if not is_in_order:
                x0 = fetched(at, in_width, count, across, pairs, copies, one)
            if top + down < height:
                x1 = at + row
                if not is_in_order:
                    x1 = fetched(x1, in_width, count, across, pairs, copies + step, one)
            target = planes + size * (c * tiles + u * along)
            if not is_image:
                spread_tiles(x0, x1, target, apart, 0, along, have, one)
                continue
            if top + 2 * down < height:
                x2 = at + 2 * row
                if not is_in_order:
                    x2 = fetched(x2, in_width, count, across, pairs, copies + 2 * step, one)
            if top + 3 * down < height:
                x3 = at + 3 * row
                if not is_in_order:
                    x3 = fetched(x3, in_width, count, across, pairs, copies + 3 * step, one)
            data_tiles(x0, x1, x2, x3, target, apart, 2 * across, along, have, one)


@part
def tiles_of_taps(
    maps, start, channels, k, in_maps, in_channels, in_height, in_width, tall, broad, planes, plane, rows, one
):  # fmt: skip
    """The planes of the taps of some channels, by G: each a matrix of maps by channels of all its portions, behind
    those of the channels before `start`."""
    compact()
    size = itemsize(one)
    step, apart = size * channels, size * plane
    for o in range(maps):
        for n in range(portions(tall) * portions(broad)):
            u, v = n // portions(broad), n % portions(broad)
            high, wide = taps_of_portion(u, tall), taps_of_portion(v, broad)
            first = k + size * (o * in_maps + 2 * u * in_height + 2 * v * in_width)
            for q in range(wide):
                at, t, down = first + size * q * in_width, rows + step * q, size * in_height
                if high == 3:
                    taps_spread(
                        at, at + down, at + 2 * down, t, t + 3 * step, t + 6 * step, t + 9 * step, in_channels,
                        channels, one,
                    )  # fmt: skip
                else:
                    pair_spread(at, at + down, t, t + 3 * step, t + 6 * step, in_channels, channels, one)
            for p in range(high + 1):
                at, t = rows + step * 3 * p, planes + 4 * p * apart
                t += size * place_of(4 * p, maps, start, channels, o, u, v, tall, broad)
                if wide == 3:
                    last = planes + (4 * p + 3) * apart
                    last += size * place_of(4 * p + 3, maps, start, channels, o, u, v, tall, broad)
                    taps_spread(at, at + step, at + 2 * step, t, t + apart, t + 2 * apart, last, 1, channels, one)
                else:
                    pair_spread(at, at + step, t, t + apart, t + 2 * apart, 1, channels, one)


@part
def place_of(plane, maps, start, channels, o, u, v, tall, broad) -> int:
    """Where the taps of a map and a portion begin in a plane."""
    count = portions_at(plane, tall, broad)
    return maps * start * count + (o * count + number_at(plane, tall, broad, u, v)) * channels


@part
def begin_total(rows, one):
    """Nothing is added up in the first numbers of the rows."""
    fill(GAP, rows, one)


@part
def is_total_finite(rows, one) -> bool:
    """Whether the sum of the first numbers of the rows is finite: so is all that was added up in them, then."""
    numbers, total = flat(rows, one), like(0.0, one)
    for i in range(GAP):
        total += numbers[i]
    return finite(total)


@part
def results_of(
    maps, height, width, down, across, first, tile_rows, along, planes, plane, tiles, y, in_maps, in_height, in_width,
    d, row_d, column_d, rows, one,
):  # fmt: skip
    """The results of some rows of tiles, whose matrices have so many columns, by A', and a term if `d` is not 0. What
    tiles have beyond the border is left out when rows are copied: tiles of all rows fill vectors, those of a short row
    would not. All results without the term are added to the first numbers of the rows."""
    compact()
    size, count = itemsize(one), tile_rows * along
    step, apart, zero = size * count, size * plane, like(0.0, one)
    lines = rows + size * GAP
    pairs = lines + 8 * step
    line = pairs + 2 * step
    for o in range(maps):
        for q in range(4):
            m, t = planes + q * apart + size * tiles * o, lines + q * step
            results_across(m, m + 4 * apart, m + 8 * apart, m + 12 * apart, t, t + 4 * step, count, one)
        number = flat(d + size * o * row_d, one)[0] if d != 0 and column_d == 0 else zero
        for r in range(2):
            m = lines + 4 * r * step
            results_along(m, m + step, m + 2 * step, m + 3 * step, pairs, rows, count, one)
            for u in range(tile_rows):
                place = first_of(first + u, down) + r * down
                if place >= height:
                    continue
                target, source = y + size * (o * in_maps + place * in_height), pairs + size * 2 * along * u
                if across > 1:
                    in_rows(source, across, width, line, one)
                    source = line
                if in_width == 1 and (d == 0 or column_d == 0):
                    copied_plus(source, target, width, number)
                else:
                    x, of_y, c = flat(source, one), flat(target, one), flat(d + size * o * row_d, one)
                    for v in range(width):
                        term = c[(place * width + v) * column_d] if d != 0 else zero
                        of_y[v * in_width] = x[v] + term


@part
def taps_of(
    maps, channels, planes, plane, k, in_maps, in_channels, in_height, in_width, tall, broad, accumulate, rows, one
) -> bool:  # fmt: skip
    """The taps, by G', if they are finite; whether they are. What they are added to stays as it is if they are not."""
    compact()
    size, step = itemsize(one), itemsize(one) * plane
    begin_total(rows, one)
    for o in range(maps):
        for n in range(portions(tall) * portions(broad)):
            u, v = n // portions(broad), n % portions(broad)
            high, wide = taps_of_portion(u, tall), taps_of_portion(v, broad)
            for q in range(wide + 1):
                m = planes + step * q + size * place_of(q, maps, 0, channels, o, u, v, tall, broad)
                if high == 3:
                    last = planes + step * (q + 12)
                    last += size * place_of(q + 12, maps, 0, channels, o, u, v, tall, broad)
                    taps(m, m + 4 * step, m + 8 * step, last, rows, channels, one)
                else:
                    pair(m, m + 4 * step, m + 8 * step, rows, channels, one)
            for p in range(high):
                m = planes + step * 4 * p + size * place_of(4 * p, maps, 0, channels, o, u, v, tall, broad)
                if wide == 3:
                    last = planes + step * (4 * p + 3)
                    last += size * place_of(4 * p + 3, maps, 0, channels, o, u, v, tall, broad)
                    taps(m, m + step, m + 2 * step, last, rows, channels, one)
                else:
                    pair(m, m + step, m + 2 * step, rows, channels, one)
        if not accumulate:
            write_taps(
                maps, channels, planes, step, k + size * o * in_maps, in_channels, in_height, in_width, tall, broad, o,
                False, one,
            )  # fmt: skip
    if not is_total_finite(rows, one):
        return False
    if accumulate:
        for o in range(maps):
            write_taps(
                maps, channels, planes, step, k + size * o * in_maps, in_channels, in_height, in_width, tall, broad, o,
                True, one,
            )  # fmt: skip
    return True


@part
def write_taps(
    maps, channels, planes, step, k, in_channels, in_height, in_width, tall, broad, o, accumulate, one
):  # fmt: skip
    """The taps of a map, written or added to what is there."""
    compact()
    size = itemsize(one)
    for p in range(tall):
        for q in range(broad):
            u, v = min(p // 2, portions(tall) - 1), min(q // 2, portions(broad) - 1)
            plane = 4 * (p - 2 * u) + q - 2 * v
            place = place_of(plane, maps, 0, channels, o, u, v, tall, broad)
            target = flat(k + size * (p * in_height + q * in_width), one)
            source = flat(planes + plane * step + size * place, one)
            if accumulate:
                for c in range(channels):
                    target[c * in_channels] += source[c]
            else:
                for c in range(channels):
                    target[c * in_channels] = source[c]
