"""Convolutions with 3x3 taps that multiply less, by Winograd's F(2,3): which products are such, and which gain by it.

Among products whose factors are read through tables, one is a convolution if its image is read at the sum of a place
and a tap along two axes; that shows from strides alone::

    y[o,u,v] = sum[c,p,q] k[o,c,p,q]*x[c,u+p,v+q]             height and width are columns, taps reduced
    d_k[o,c,p,q] = sum[n,u,v] d_y[n,o,u,v]*x[n,c,u+p,v+q]     the reverse, perhaps of a batch

A tile is 2x2 results, for which 4x4 elements of the image take 16 products in the place of 36; additions make those
and the results.  Here the operands are brought into the order that ``runtime/kernels/winograd.py`` asks for, and one
room is made for what is between, which all products of the program use in turn.

Left out: other numbers of taps, strides, and extents that are not known, but for a batch; and sums over few channels,
whose additions would take longer than the multiplications that are saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.expr import Const, Expr
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
    Operand,
    Program,
    Statement,
    Steps,
    Tiles,
    statements,
)
from dlc.compiler.ir.ways import Ways

TAPS, TILE = 3, 2
_COLUMNS = 64  # tiles of a block: enough for the columns of a product, and few enough for the cache
_PLANES, _GAP = 16, 16

# What additions take, in multiplications of a product: of one tile of one channel or map, and of the taps of a pair.
_OF_TILE, _OF_TAPS = 230, 300


@dataclass(frozen=True)
class _Step:
    """An index: its extent, as far as it is known, and its strides in two operands; ``size`` is what is written."""

    extent: int
    one: int
    other: int
    size: Expr

    @property
    def turned(self) -> _Step:
        """Counted from the end."""
        return replace(self, one=-self.one, other=-self.other)


@dataclass(frozen=True)
class _Sliding:
    """A product in order: ``rows`` in a and c, ``columns`` in b and c, ``reduced`` in a and b; b is the image.

    ``back``: how far the operands begin further on, because a tap is counted from its end.
    """

    product: Matmul
    rows: tuple[_Step, ...]
    columns: tuple[_Step, ...]
    reduced: tuple[_Step, ...]
    back: tuple[int, int, int]

    @property
    def geometry(self) -> tuple[int, int, int, int]:
        """Maps, channels, height and width of the results; of maps that are shared out, all."""
        has_taps = len(self.columns) == 2
        one, other = (self.columns, self.reduced) if has_taps else (self.reduced, self.columns)
        return self.rows[0].extent, other[0].extent, one[-2].extent, one[-1].extent

    @property
    def operations(self) -> Expr:
        """Multiplications and additions of the products, and additions of the transformations."""
        _, channels, height, width = self.geometry
        tiles, maps = -(-height // TILE) * -(-width // TILE), polynomial(self.rows[0].size)
        images = polynomial(self.reduced[0].size) if len(self.columns) == len(self.reduced) else Polynomial.constant(1)
        of_tiles = maps * ((2 * _PLANES * channels + 24) * tiles) + 32 * channels * tiles
        return (of_tiles * images + maps * (28 * channels)).expression()


def in_tiles(program: Program, ways: Ways) -> Program:
    """The program with convolutions by Winograd's products, where that is faster or asked for."""
    if ways.conv not in ("", "winograd"):
        return program
    room = unique("tiles", program.buffers)
    kernels = {name: _with_tiles(kernel, room, ways) for name, kernel in program.kernels.items()}
    sizes = [numbers(*found.geometry) for kernel in kernels.values() for found in _in_tiles(kernel)]
    if not sizes:
        return program
    buffer = Buffer(room, (SHARDS, Const(max(sizes))), "real", "workspace")
    return replace(program, kernels=kernels, buffers={**program.buffers, room: buffer})


def _in_tiles(kernel: Kernel) -> Iterator[_Sliding]:
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
        if found is None or not (ways.conv == "winograd" or is_faster(*found.geometry)):
            return statement
        return _in_order(found, room)

    return replace(kernel, body=tuple(map(one, kernel.body)))


def is_faster(maps: int, channels: int, height: int, width: int) -> bool:
    """Whether the multiplications that are saved take longer than the additions."""
    tiles = -(-height // TILE) * -(-width // TILE)
    saved = maps * channels * (TAPS * TAPS * height * width - _PLANES * tiles)
    return saved > _OF_TILE * tiles * (channels + maps) + _OF_TAPS * maps * channels


def block(height: int, width: int) -> int:
    """Rows of tiles that are computed together: as many in each block, as far as they go."""
    rows, along = -(-height // TILE), -(-width // TILE)
    blocks = -(-rows // max(_COLUMNS // along, 1))
    return -(-rows // blocks)


def numbers(maps: int, channels: int, height: int, width: int) -> int:
    """How many there is room for: the planes of taps, image and results of a block, and rows, which lie one behind the
    other in ``runtime/kernels/winograd.py``."""
    along = -(-width // TILE)
    tiles = block(height, width) * along
    planes = maps * channels + channels * tiles + maps * tiles + 3 * _GAP
    return _PLANES * planes + _GAP + max(12 * channels, 9 * (2 * along + 4) + 8 * tiles)


# -- which products ----------------------------------------------------------------------------------------------------


def sliding(product: Matmul, split: Expr | None) -> _Sliding | None:
    """The product as a convolution with 3x3 taps, or the derivative of one by its taps."""
    a, b, c = product.a, product.b, product.c
    pairs = ((a.row, c.row), (b.column, c.column), (a.column, b.row))
    rows, columns, reduced = (_steps(one, other, split) for one, other in pairs)
    if rows is None or columns is None or reduced is None:
        return None
    swapped = replace(product, m=product.n, n=product.m, a=b, b=a)
    turned = tuple(replace(one, one=one.other, other=one.one) for one in reduced)
    return _sliding(product, rows, columns, reduced) or _sliding(swapped, columns, rows, turned)


def _steps(one: Expr | Steps, other: Expr | Steps, split: Expr | None) -> tuple[_Step, ...] | None:
    """The indices; None where there are none, or their strides are not known."""
    if not isinstance(one, Steps) or not isinstance(other, Steps):
        return None
    found: list[_Step] = []
    for size, *strides in zip(one.extents, one.strides, other.strides, strict=True):
        first, second = map(known, strides)
        if first is None or second is None:
            return None
        is_part = split is not None and polynomial(size) == polynomial(STOP) - polynomial(START)
        found.append(_Step(known(split if is_part and split is not None else size) or 0, first, second, size))
    return tuple(found)


def _sliding(
    product: Matmul, rows: tuple[_Step, ...], columns: tuple[_Step, ...], reduced: tuple[_Step, ...]
) -> _Sliding | None:
    has_taps = len(columns) == 2
    if len(rows) != 1 or (len(columns), len(reduced)) not in ((2, 3), (3, 2), (3, 3)):
        return None
    if has_taps and product.accumulate:
        return None  # an image is written, and nothing added to it; derivatives by taps may be
    places, taps = (columns, reduced) if has_taps else (reduced, columns)
    in_image, of_tap = (_one, _other) if has_taps else (_other, _one)
    pairs = _pairs(places[-2:], taps, in_image, of_tap)
    others = [tap for tap in taps if all(tap is not taken for _, taken in pairs)]
    if len(pairs) != 2 or len(others) != 1:
        return None
    back, turned = [0, 0, 0], []
    for _, tap in pairs:
        if of_tap(tap) < 0:
            for operand, stride in zip((0, 1) if has_taps else (1, 2), (tap.one, tap.other), strict=True):
                back[operand] += (TAPS - 1) * stride
            tap = tap.turned
        turned.append(tap)
    ordered = (*others, *turned)
    one, other = (places, ordered) if has_taps else (ordered, places)
    found = _Sliding(product, rows, one, other, (back[0], back[1], back[2]))
    return found if all(found.geometry) else None


def _one(step: _Step) -> int:
    return step.one


def _other(step: _Step) -> int:
    return step.other


def _pairs(
    places: Sequence[_Step], taps: Sequence[_Step], in_image: Callable[[_Step], int], of_tap: Callable[[_Step], int]
) -> list[tuple[_Step, _Step]]:
    """Places with the taps along them: three, at the same distance in the image, in one direction or the other."""
    found: list[tuple[_Step, _Step]] = []
    for place in places:
        for tap in taps:
            is_free = all(tap is not taken for _, taken in found)
            if is_free and tap.extent == TAPS and abs(of_tap(tap)) == in_image(place) > 0:
                found.append((place, tap))
                break
    return found


# -- statements --------------------------------------------------------------------------------------------------------


def _in_order(found: _Sliding, room: str) -> Matmul:
    a, b, c = (
        _moved(operand, distance) for operand, distance in zip(_operands(found.product), found.back, strict=True)
    )
    rows, columns, reduced = found.rows, found.columns, found.reduced
    _, _, height, width = found.geometry
    return replace(
        found.product,
        a=replace(a, row=_of(rows, 0), column=_of(reduced, 0)),
        b=replace(b, row=_of(reduced, 1), column=_of(columns, 0)),
        c=replace(c, row=_of(rows, 1), column=_of(columns, 1)),
        tiles=Tiles(block(height, width), found.operations, room),
    )


def _operands(product: Matmul) -> tuple[Operand, Operand, Operand]:
    return product.a, product.b, product.c


def _moved(operand: Operand, distance: int) -> Operand:
    return replace(operand, offset=(polynomial(operand.offset) + distance).expression()) if distance else operand


def _of(steps: Sequence[_Step], number: int) -> Steps:
    strides = tuple(Const((step.one, step.other)[number]) for step in steps)
    return Steps(tuple(step.size for step in steps), strides)
