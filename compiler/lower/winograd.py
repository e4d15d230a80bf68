"""Convolutions that multiply less, by Winograd's F(2,3): which products are such, and which gain by it.

Among products whose factors are read through tables, one is a convolution if its image is read at the sum of a place
and a tap along two axes; that shows from strides alone::

    y[o,u,v] = sum[c,p,q] k[o,c,p,q]*x[c,u+p,v+q]             height and width are columns, taps reduced
    d_k[o,c,p,q] = sum[u,v] d_y[o,u,v]*x[c,u+p,v+q]           the reverse

Both may be of a batch, with an index of samples before height and width.  The taps may lie some places apart, as those
of a dilated convolution do: so do the results of a tile, then.

A tile is 2x2 results, for which 4x4 elements of the image and 3x3 taps take 16 products in the place of 36; additions
make those and the results.  2x2 taps take 9 in the place of 16.  More than 3 are cut into portions that are added up,
5 into 2 and 3: 5x5 taps take 49 products in the place of 100.  Here the operands are brought into the order that
``runtime/kernels/winograd.py`` asks for, and one room is made for what is between, which all products of the program
use in turn.

Left out: a single tap along an axis, and many more of them, and strides; and sums over few channels, whose additions
would take longer than the multiplications that are saved. Extents that are not known count 64 for that, and the kernel
asks again when it runs, with those that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from dlc.compiler.ir.affine import Polynomial, guessed, known, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Size, free_indices, op, reads
from dlc.compiler.ir.graph import unique
from dlc.compiler.ir.loops import (
    SHARDS,
    START,
    STOP,
    Buffer,
    For,
    If,
    Kernel,
    Matmul,
    OpenRows,
    Operand,
    Program,
    Statement,
    Steps,
    Tiles,
    statements,
)
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.ways import Ways
from dlc.compiler.lower.winograd_blocks import (
    FEWEST_TAPS,
    MOST,
    MOST_TAPS,
    PLANES,
    TAPS,
    block,
    is_better_together,
    is_faster,
    most_tiles,
    most_tiles_of_rows,
    numbers_of,
    portions,
    products_of,
    tiles_of,
    tiles_of_images,
)

_Stride = Callable[["_Step"], Polynomial]


@dataclass(frozen=True)
class _Step:
    """An index: its extent in sizes and its strides in two operands; ``size`` is what is written."""

    extent: Expr
    one: Polynomial
    other: Polynomial
    size: Expr

    @property
    def turned(self) -> _Step:
        """Counted from the end."""
        return replace(self, one=-self.one, other=-self.other)


@dataclass(frozen=True)
class Sliding:
    """A product in order: ``rows`` in a and c, ``columns`` in b and c, ``reduced`` in a and b; b is the image.

    ``has_taps``: whether taps are reduced, and places are columns; ``back``: how far the operands begin further on,
    because a tap is counted from its end; ``apart``: how many places the taps along height and width are; ``taps``: how
    many there are.
    """

    product: Matmul
    rows: tuple[_Step, ...]
    columns: tuple[_Step, ...]
    reduced: tuple[_Step, ...]
    has_taps: bool
    back: tuple[Polynomial, Polynomial, Polynomial]
    apart: tuple[int, int]
    taps: tuple[int, int]

    @property
    def geometry(self) -> tuple[Expr, Expr, Expr, Expr, Expr]:
        """Samples, maps, channels, height and width of the results; of maps or channels that are shared out, all."""
        one, other = self.places
        samples = one[0].extent if len(one) == 3 else ONE
        return samples, self.rows[0].extent, other[0].extent, one[-2].extent, one[-1].extent

    @property
    def places(self) -> tuple[tuple[_Step, ...], tuple[_Step, ...]]:
        """The indices of the places of the image, and those of the taps."""
        return (self.columns, self.reduced) if self.has_taps else (self.reduced, self.columns)

    @property
    def is_faster(self) -> bool:
        """Whether it is, as far as sizes are known."""
        samples, maps, channels, height, width = map(guessed, self.geometry)
        return is_faster(samples, maps, channels, height, width, *self.apart, *self.taps)

    @property
    def is_better_together(self) -> bool:
        """Whether samples are better taken together than one by one, as far as sizes are known: so that the taps are
        transformed once for all, which takes longer than what else might be computed of a sample while it is at hand.
        """
        _, maps, channels, height, width = map(guessed, self.geometry)
        return self.is_faster and is_better_together(maps, channels, height, width, *self.apart, *self.taps)

    @property
    def portions(self) -> int:
        """How many there are of the taps, along both axes."""
        return portions(self.taps[0]) * portions(self.taps[1])

    @property
    def computed(self) -> tuple[Expr, Expr, Expr, Expr, Expr]:
        """The same of what one call computes: a part of what is shared out, or all maps of some samples."""
        one, other = self.places
        samples, maps = one[0].size if len(one) == 3 else ONE, self.rows[0]
        of_maps = maps.extent if self.shares_samples else maps.size
        return samples, of_maps, other[0].size, one[-2].size, one[-1].size

    @property
    def shares_samples(self) -> bool:
        """Whether shards that share out the maps of several samples may share out the samples instead: images and
        results are written, and maps are the index along which the kernel is split."""
        has_samples = self.has_taps and len(self.columns) == 3 and self.product.term is None
        maps = self.rows[0]
        return has_samples and self.product.part_of is None and polynomial(maps.size) != polynomial(maps.extent)

    @property
    def block(self) -> int | None:
        """Rows of tiles that are computed together, if they are known; of samples that are not, as many as there is
        room for."""
        samples, _, _, height, width = map(known, self.computed)
        if height is None or width is None:
            return None
        return block(self.most_tiles, samples, height, width, *self.apart)

    @property
    def most_tiles(self) -> int:
        """Tiles of a block, if a row of them has no more: of images and results as many as stay in the cache; sums of
        taps are visited once for a block, and taps in portions read, so there are few of these."""
        _, maps, channels, _, _ = map(guessed, self.geometry)
        return most_tiles(maps, channels) if self.has_taps and self.portions == 1 else MOST

    def tile_rows(self, ways: Ways) -> int | OpenRows:
        most, *apart = map(Const, (self.most_tiles, *self.apart))
        if ways.conv == "winograd":
            samples, _, _, *places = self.computed
            return self.block or OpenRows((most, samples, *places, *apart), False)
        if self.block and self.is_surely_faster:
            return self.block
        return OpenRows((most, *self.computed, *apart, *map(Const, self.taps)), True)

    @property
    def is_surely_faster(self) -> bool:
        """Whether it is for what one call computes, also of a single sample if their number is not known."""
        samples, *others = map(known, self.computed)
        sizes = [size for size in others if size is not None]
        if len(sizes) < len(others):
            return False
        maps, channels, height, width = sizes
        return is_faster(1 if samples is None else samples, maps, channels, height, width, *self.apart, *self.taps)

    @property
    def room(self) -> Polynomial:
        """How many numbers there must be room for, at least."""
        _, maps, channels, height, width = map(polynomial, self.geometry)
        along, most = tiles_of(width, self.apart[1]), most_tiles_of_rows(self.most_tiles)
        if along.value is None or height.value is None or width.value is None or self.block is None:
            tiles = along + most
            down, across = ((portions(taps) - 1) * apart for taps, apart in zip(self.taps, self.apart, strict=True))
            of_images = (tiles + most * across) * (1 + down)  # of no more samples than there are rows
        else:  # of some numbers of samples that are not known the kernel takes more rows than of others
            rows = max(most // along.value, 1) if known(self.computed[0]) is None else self.block
            tiles = along * rows
            found = tiles_of_images(rows, height.value, width.value, *self.apart, *self.taps)
            of_images = Polynomial.constant(found)
        return numbers_of(maps, channels, along, tiles, of_images, self.apart[1], *self.taps)

    @property
    def operations(self) -> Expr:
        """Multiplications and additions of the products, and additions of the transformations."""
        samples, maps, channels, height, width = map(polynomial, self.computed)
        tiles = samples * tiles_of(height, self.apart[0]) * tiles_of(width, self.apart[1])
        of_tiles = maps * tiles * (channels * (2 * products_of(*self.taps)) + 24) + channels * tiles * (2 * PLANES)
        return (of_tiles + maps * channels * (28 * self.portions)).expression()


def in_tiles(program: Program, ways: Ways) -> Program:
    """The program with convolutions by Winograd's products, where that is faster or asked for."""
    if ways.conv not in ("", "winograd"):
        return program
    room = unique("tiles", program.buffers)
    kernels = {name: _with_tiles(kernel, room, ways) for name, kernel in program.kernels.items()}
    sizes = [found.room for kernel in kernels.values() for found in _in_tiles(kernel)]
    if not sizes:
        return program
    formulas: dict[Expr, Expr] = {Size(name): formula for name, formula in program.derived.items()}
    numbers = _greatest(polynomial(substitute(size.expression(), formulas)) for size in sizes)
    derived = dict(program.derived)
    if known(numbers) is None:
        name = unique("Tiles", {**derived, **dict.fromkeys(program.sizes)})
        derived[name], numbers = numbers, Size(name)
    buffer = Buffer(room, (SHARDS, numbers), "real", "workspace")
    return replace(program, kernels=kernels, buffers={**program.buffers, room: buffer}, derived=derived)


def _greatest(sizes: Iterable[Polynomial]) -> Expr:
    """The greatest of them, without those that are never greater than another one."""
    found: list[Polynomial] = []
    for size in dict.fromkeys(sizes):
        if not any(nonnegative(other - size) for other in found):
            found = [other for other in found if not nonnegative(size - other)]
            found.append(size)
    first, *others = (size.expression() for size in found)
    return op("max", first, *others) if others else first


def _in_tiles(kernel: Kernel) -> Iterator[Sliding]:
    for statement in statements(kernel.body):
        if isinstance(statement, Matmul) and statement.tiles is not None:
            found = sliding(statement, kernel.split)
            assert found is not None
            yield found


def _with_tiles(kernel: Kernel, room: str, ways: Ways) -> Kernel:
    """The kernel with products in tiles."""

    def one(statement: Statement) -> Statement:
        if isinstance(statement, For | If):
            return replace(statement, body=tuple(map(one, statement.body)))
        found = sliding(statement, kernel.split) if isinstance(statement, Matmul) else None
        if found is None or not (ways.conv == "winograd" or found.is_faster):
            return statement
        return _in_order(found, room, ways)

    return replace(kernel, body=tuple(map(one, kernel.body)))


# -- which products ----------------------------------------------------------------------------------------------------


def sliding(product: Matmul, split: Expr | None) -> Sliding | None:
    """The product as a convolution with taps along two axes, or the derivative of one by its taps."""
    a, b, c = product.a, product.b, product.c
    pairs = ((a.row, c.row), (b.column, c.column), (a.column, b.row))
    rows, columns, reduced = (_steps(one, other, split, product.part_of) for one, other in pairs)
    if rows is None or columns is None or reduced is None:
        return None
    term = product.term
    if term is not None:
        term = replace(term, row=term.column, column=term.row)
    swapped = replace(product, m=product.n, n=product.m, a=b, b=a, term=term)
    turned = tuple(replace(one, one=one.other, other=one.one) for one in reduced)
    return _sliding(product, rows, columns, reduced) or _sliding(swapped, columns, rows, turned)


def _steps(
    one: Expr | Steps, other: Expr | Steps, split: Expr | None, part_of: Expr | None
) -> tuple[_Step, ...] | None:
    """The indices; None where there are none, or where sizes alone do not tell their extents and strides."""
    if not isinstance(one, Steps) or not isinstance(other, Steps):
        return None
    found: list[_Step] = []
    for size, *strides in zip(one.extents, one.strides, other.strides, strict=True):
        is_part = split is not None and polynomial(size) == polynomial(STOP) - polynomial(START)
        extent = split if is_part and split is not None else size
        if part_of is not None and reads(size):
            extent = part_of
        if any(reads(one) or free_indices(one) for one in (extent, *strides)):
            return None
        first, second = map(polynomial, strides)
        found.append(_Step(extent, first, second, size))
    return tuple(found)


def _sliding(
    product: Matmul, rows: tuple[_Step, ...], columns: tuple[_Step, ...], reduced: tuple[_Step, ...]
) -> Sliding | None:
    if len(rows) != 1 or (len(columns), len(reduced)) not in ((2, 3), (3, 2), (3, 3)):
        return None
    # in the order of one that is in tiles, where images and kernels are small the other may seem the taps
    sides = (True, False) if product.tiles is None else (not product.tiles.of_taps,)
    groups = [_in_groups(product, rows, columns, reduced, has_taps) for has_taps in sides]
    return min((found for found in groups if found is not None), key=lambda found: prod(found.taps), default=None)


def _in_groups(
    product: Matmul,
    rows: tuple[_Step, ...],
    columns: tuple[_Step, ...],
    reduced: tuple[_Step, ...],
    has_taps: bool,
) -> Sliding | None:
    """The same, if the taps are reduced, or if they are columns."""
    if product.accumulate if has_taps else product.term is not None:
        return (
            None  # an image is written, or added to a term; derivatives by taps are written or added to what is there
        )
    places, taps = (columns, reduced) if has_taps else (reduced, columns)
    if len(taps) != 3:
        return None
    in_image, of_tap = (_one, _other) if has_taps else (_other, _one)
    pairs = _pairs(places[-2:], taps, in_image, of_tap)
    others = [tap for tap in taps if all(tap is not taken for _, taken, _ in pairs)]
    if len(pairs) != 2 or len(others) != 1:
        return None
    back, turned = [Polynomial(())] * 3, []
    for _, tap, distance in pairs:
        if distance < 0:
            for operand, stride in zip((0, 1) if has_taps else (1, 2), (tap.one, tap.other), strict=True):
                back[operand] += polynomial(tap.extent) * stride - stride
            tap = tap.turned
        turned.append(tap)
    ordered = (*others, *turned)
    one, other = (places, ordered) if has_taps else (ordered, places)
    apart = abs(pairs[0][2]), abs(pairs[1][2])
    down, across = (known(tap.extent) for _, tap, _ in pairs)
    assert down is not None and across is not None
    found = Sliding(product, rows, one, other, has_taps, (back[0], back[1], back[2]), apart, (down, across))
    return None if any(extent is ZERO for extent in found.geometry) else found


def _one(step: _Step) -> Polynomial:
    return step.one


def _other(step: _Step) -> Polynomial:
    return step.other


def _pairs(
    places: Sequence[_Step], taps: Sequence[_Step], in_image: _Stride, of_tap: _Stride
) -> list[tuple[_Step, _Step, int]]:
    """Places with the taps along them, and how many places these are apart, negative in the other direction."""
    found: list[tuple[_Step, _Step, int]] = []
    for place in places:
        free = [tap for tap in taps if _are_few(tap, place) and all(tap is not taken for _, taken, _ in found)]
        near = [(place, tap, _apart(of_tap(tap), in_image(place))) for tap in free]
        if near := [pair for pair in near if pair[2]]:
            found.append(min(near, key=lambda pair: abs(pair[2])))
    return found


def _are_few(taps: _Step, places: _Step) -> bool:
    """Whether so many may be taps: no more than there are places, or these would rather be the taps."""
    count, others = known(taps.extent), known(places.extent)
    most = MOST_TAPS if others is None else min(max(others, TAPS), MOST_TAPS)
    return count is not None and FEWEST_TAPS <= count <= most


def _apart(tap: Polynomial, place: Polynomial) -> int:
    """How many steps of a place through the image a tap is, in one direction or the other; 0 if it is no number."""
    if place.content == 0 or not nonnegative(place):
        return 0
    steps = tap.content // place.content
    return next((distance for distance in (steps, -steps) if place * distance == tap), 0)


# -- statements --------------------------------------------------------------------------------------------------------


def _in_order(found: Sliding, room: str, ways: Ways) -> Matmul:
    a, b, c = (
        _moved(operand, distance) for operand, distance in zip(_operands(found.product), found.back, strict=True)
    )
    rows, columns, reduced = found.rows, found.columns, found.reduced
    of = rows[0].extent if found.shares_samples else None
    return replace(
        found.product,
        a=replace(a, row=_of(rows, 0), column=_of(reduced, 0)),
        b=replace(b, row=_of(reduced, 1), column=_of(columns, 0)),
        c=replace(c, row=_of(rows, 1), column=_of(columns, 1)),
        tiles=Tiles(found.tile_rows(ways), found.operations, room, found.taps, not found.has_taps, of),
        support=None,  # tiles take all taps, in their own order
    )


def _operands(product: Matmul) -> tuple[Operand, Operand, Operand]:
    return product.a, product.b, product.c


def _moved(operand: Operand, distance: Polynomial) -> Operand:
    return replace(operand, offset=(polynomial(operand.offset) + distance).expression())


def _of(steps: Sequence[_Step], number: int) -> Steps:
    strides = tuple((step.one, step.other)[number].expression() for step in steps)
    return Steps(tuple(step.size for step in steps), strides)
