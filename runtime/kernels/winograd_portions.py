"""Taps that are more than three, in portions that Winograd's F(2,3) takes.

Along an axis they are cut into pairs, and three at the end if their number is odd: 5 = 2 + 3, 7 = 2 + 2 + 3. What a
portion multiplies begins two places further on than what the one before it does, which is the tile that follows: the
image is transformed once, and portion r of a tile reads the sums of the r-th tile behind it. The products of all
portions are added up before results are made of them.

A pair is three taps of which the last is 0, so it has nothing at the last of the four points, which is infinity. There
only the three at the end count: 3 * 2 + 1 products of two results take the place of 10. On both axes a plane of sums
has as many portions as its points have along either, which is one for three by three taps.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import compact, intrinsic, types
from dlc.runtime.kernels.parts import part
from dlc.runtime.kernels.primitives import is_real
from dlc.runtime.kernels.tile_shape import itemsize, tile_shape
from dlc.runtime.kernels.vectors import constant, masked_load, masked_store, splat


@part
def portions(taps) -> int:
    """How many there are along an axis."""
    return taps // 2


@part
def taps_of_portion(number, taps) -> int:
    """Two, or three at the end."""
    return 2 + taps % 2 if number == portions(taps) - 1 else 2


@part
def first_portion(point, taps) -> int:
    """The first that has products at this point of an axis, as those behind it have."""
    return 0 if point < 3 else portions(taps) - taps % 2


@part
def portions_at(plane, tall, broad) -> int:
    """How many portions of so many taps down and across have products in this plane."""
    down, across = portions(tall) - first_portion(plane // 4, tall), portions(broad) - first_portion(plane % 4, broad)
    return down * across


@part
def number_at(plane, tall, broad, down, across) -> int:
    """Which one of these a portion is."""
    wide = portions(broad) - first_portion(plane % 4, broad)
    return (down - first_portion(plane // 4, tall)) * wide + across - first_portion(plane % 4, broad)


@part
def distance_of(number, plane, tall, broad, of_row, of_column) -> int:
    """How many tiles behind its own the ones are that such a portion reads."""
    first = first_portion(plane % 4, broad)
    wide = portions(broad) - first
    return (first_portion(plane // 4, tall) + number // wide) * of_row + (first + number % wide) * of_column


@part
def tiles_of_images(tile_rows, images, of_one, more, along) -> int:
    """Tiles of the images that some rows of tiles read, at most: of each image `more` rows than of its results."""
    return (tile_rows + min(images, (tile_rows + of_one - 2) // of_one + 1) * more) * along


@part
def copy_tiles(
    depth, begin, count, along, of_image, first, of_one, more, image, pitch, target, target_pitch, one
):  # fmt: skip
    """The tiles of the image, `pitch` numbers a channel, that tiles of results are made of: rows of these are `along`
    tiles long, those of the image `of_image`, and behind `of_one` rows of a sample it has so many more. The first is in
    row `first` of its sample."""
    compact()
    size, done = itemsize(one), 0
    while done < count:
        row, column = (begin + done) // along, (begin + done) % along
        number = min(along - column, count - done)
        place = (row + more * ((first + row) // of_one)) * of_image + column
        copy_block(depth, number, image + size * place, pitch, target + size * done, target_pitch, one)
        done += number


@intrinsic
def copy_block(typing_context, rows, columns, source, row_source, target, row_target, like):
    """Copy a matrix; nothing else is touched."""
    if not is_real(like):
        return None
    shape = tile_shape(like)

    def codegen(context, builder, sig, args):
        rows, columns, source, row_source, target, row_target, one = args
        source, target = (builder.inttoptr(address, one.type.as_pointer()) for address in (source, target))

        def strip(first, kind, mask=None):
            with cgutils.for_range(builder, rows) as loop:
                spots = [
                    builder.bitcast(
                        builder.gep(start, [builder.add(builder.mul(loop.index, row), first)]), kind.as_pointer()
                    )
                    for start, row in ((source, row_source), (target, row_target))
                ]
                if mask is None:
                    builder.store(builder.load(spots[0], align=shape.bytes), spots[1], align=shape.bytes)
                else:
                    masked_store(
                        builder, masked_load(builder, spots[0], mask, shape.bytes), spots[1], mask, shape.bytes
                    )

        vector = ir.VectorType(one.type, shape.lanes)
        whole = builder.and_(columns, constant(-shape.lanes))
        with cgutils.for_range_slice(builder, constant(0), whole, constant(shape.lanes), inc=True) as (place, _):
            strip(place, vector)
        if not shape.has_masks:
            with cgutils.for_range_slice(builder, whole, columns, constant(1), inc=True) as (place, _):
                strip(place, one.type)
            return context.get_dummy_value()
        with builder.if_then(builder.icmp_signed("<", whole, columns)):
            rest = splat(builder, builder.sub(columns, whole), shape.lanes)
            strip(whole, vector, builder.icmp_signed("<", ir.Constant(rest.type, list(range(shape.lanes))), rest))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, like), codegen
