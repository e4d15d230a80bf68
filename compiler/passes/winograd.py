"""Convolutions with three taps multiply less: Winograd's F(2,3), along every axis that a kernel slides on.

Two results of three taps take six multiplications, or four of sums (Winograd 1980; Lavin and Gray 2016)::

    y[2i+r] = sum[p] k[p]*x[2i+r+p]        m[a,i] = (G k)[a] * (B x)[a,i]        y[2i+r] = (A' m)[r,i]

and in two axes 16 in the place of 36. Here it is a matter of equations: a tensor for the transformed kernel, one for
the transformed *tiles* of the data, one for their product at every ``a``, which is a matrix product as channels are
summed, and the results. A transformation takes one axis after the other, and is additions only. The derivative by the
kernel has three results of a long kernel: ``A`` and ``G`` in exchanged roles give it from the same tiles of the data,
``d_k = G' ((A d_y) * (B x))``.

Tiles are taken in blocks of rows, so that those of one block are in cache between the product and what surrounds it. An
axis of odd length has a last tile that sticks out: the data are 0 there, and of the results nothing is kept.

An infinity or a nan makes nan of all results of its tiles, and so does a sum that overflows. Where results of a sample
are not finite, all of them are summed as they were: what is not finite is the same as without this pass.

Left out: kernels of other lengths, strides, equations in a recurrence, lengths that are not known, and sums over few
channels, where the additions would take longer than the multiplications that they save.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, prod

from dlc.compiler.ir.affine import integer, known
from dlc.compiler.ir.conditions import conjunction, guard_of, guarded, negation
from dlc.compiler.ir.correlations import SHORT, Correlation, Slide, correlation, simple
from dlc.compiler.ir.expr import (
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    free_indices,
    fresh,
    op,
    reads,
    substitute,
)
from dlc.compiler.ir.graph import Equation, Graph, Tensor, components, is_recurrent, unique

NAME = "winograd"

Matrix = tuple[tuple[float, ...], ...]

TILE = 2  # results of a tile, or taps of a long kernel in it
WIDE = TILE + SHORT - 1  # elements of the data in a tile, and products
B: Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
G: Matrix = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
A: Matrix = ((1, 0), (1, 1), (1, -1), (0, -1))

_COLUMNS = 64  # tiles of a block: enough for the columns of a product, and few enough for the cache
_ADDITION = 6  # multiplications of a matrix product that take as long as one addition of a transformation
_ADDITION_IN_MEMORY = 18  # likewise, where tiles of the whole batch are kept, as the derivative by a kernel does


def run(graph: Graph) -> Graph:
    recurrent = {name for one in components(graph) if is_recurrent(graph, one) for name in one}
    sizes = {name: tensor.sizes for name, tensor in graph.tensors.items()}
    names: dict[str, object] = dict(graph.tensors)
    tensors: list[Tensor] = []
    for name, tensor in graph.tensors.items():
        equations: list[Equation] = []
        for equation in tensor.equations:
            found = None if name in recurrent else correlation(equation, sizes)
            if found is None or not _worth(equation, found):
                equations.append(equation)
                continue
            writing = _Writing(tensor, equation, found, names)
            equations.append(writing.written())
            tensors.extend(writing.tensors)
        tensors.append(replace(tensor, equations=tuple(equations)))
    return graph.with_tensors(tensors)


# -- whether -----------------------------------------------------------------------------------------------------------


def _worth(equation: Equation, found: Correlation) -> bool:
    """Whether the multiplications that are saved take longer than the additions."""
    kernel, data = set(free_indices(found.kernel)), set(free_indices(found.data))
    rows = [i for i in equation.indices if i in kernel - data]
    sliding = {slide.free for slide in found.slides}
    others = found.other if found.has_short_kernel else [i for i in equation.indices if i in data - kernel - sliding]
    extents = [known(index.size) for index in (*rows, *others, *(slide.long for slide in found.slides))]
    if not rows or not others or not all(extents):
        return False
    one, other = _volume(rows), _volume(others)
    lengths = [_volume((slide.long,)) for slide in found.slides]
    tiles = prod(-(-length // TILE) for length in lengths)
    saved = (prod(lengths) * SHORT ** len(lengths) - tiles * WIDE ** len(lengths)) * one * other
    addition = _ADDITION if found.has_short_kernel else _ADDITION_IN_MEMORY
    return saved > addition * tiles * WIDE ** len(lengths) * len(lengths) * (one + other)


def _volume(indices: Sequence[Index]) -> int:
    return prod(known(index.size) or 1 for index in indices)


# -- axes --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Axis:
    """A slide in tiles: ``tile`` is counted within a block, if there are any; ``product`` runs over those of a tile."""

    slide: Slide
    block: Index | None
    tile: Index
    product: Index

    @property
    def in_block(self) -> int:
        """Results, or taps of a long kernel, in a block."""
        return TILE * _volume((self.tile,))

    @property
    def length(self) -> int:
        """Results, or taps, in all tiles, of which some may stick out."""
        return self.in_block * (1 if self.block is None else _volume((self.block,)))

    def place(self, place: Expr) -> Expr:
        """A place in a block, counted from the first block."""
        return place if self.block is None else integer(op("add", op("mul", Const(self.in_block), self.block), place))

    def result(self, offset: Expr) -> Expr:
        """A place in a tile, counted from the first block."""
        return self.place(integer(op("add", op("mul", Const(TILE), self.tile), offset)))

    def side(self, matrix: Matrix, length: int, along_memory: bool) -> _Side:
        """The tiles of a factor of which a block has that many elements."""
        hint = self.slide.long.hint
        if along_memory:
            return _Side((fresh(Const(TILE), "parity"), fresh(Const(-(-length // TILE)), hint)), matrix, self.tile)
        return _Side((fresh(Const(length), hint),), matrix, self.tile)

    def sticks_out(self) -> bool:
        return self.length > _volume((self.slide.long,))


def _axes(slides: Sequence[Slide]) -> list[_Axis]:
    counts = [-(-_volume((slide.long,)) // TILE) for slide in slides]
    blocks = -(-counts[0] // max(_COLUMNS // prod(counts[1:]), 1))
    counts[0] = -(-counts[0] // blocks)
    found: list[_Axis] = []
    for number, (slide, count) in enumerate(zip(slides, counts, strict=True)):
        block = fresh(Const(blocks), "block") if number == 0 and blocks > 1 else None
        tile, product = fresh(Const(count), slide.long.hint), fresh(Const(WIDE), slide.short.hint)
        found.append(_Axis(slide, block, tile, product))
    return found


@dataclass(frozen=True)
class _Side:
    """One axis of a factor: what stands at the places 0, 1, .. of a tile is combined by ``matrix``.

    A place is known by one index; in tiles along memory by two, ``place = 2*half + parity``: of all tiles, the elements
    at a place then lie side by side, as vectors want them.
    """

    indices: tuple[Index, ...]
    matrix: Matrix
    tile: Index | None

    @property
    def place(self) -> Expr:
        if len(self.indices) == 1:
            return self.indices[0]
        parity, half = self.indices
        return integer(op("add", op("mul", Const(TILE), half), parity))

    def at(self, number: int) -> dict[Expr, Expr]:
        """The indices at a place of the tile."""
        if self.tile is None:
            return {self.indices[0]: Const(number)}
        if len(self.indices) == 1:
            return {self.indices[0]: integer(op("add", op("mul", Const(TILE), self.tile), Const(number)))}
        parity, half = self.indices
        whole, rest = divmod(number, TILE)
        return {parity: Const(rest), half: integer(op("add", self.tile, Const(whole)))}


# -- equations ---------------------------------------------------------------------------------------------------------


class _Writing:
    """What takes the place of one equation: the one that is ``written``, and the ``tensors`` that it needs."""

    def __init__(self, tensor: Tensor, equation: Equation, found: Correlation, names: dict[str, object]) -> None:
        self.tensor, self.equation, self.found, self.names = tensor, equation, found, names
        self.tensors: list[Tensor] = []
        self.axes = _axes(found.slides)
        self.products = tuple(axis.product for axis in self.axes)
        self.blocks = tuple(axis.block for axis in self.axes if axis.block is not None)
        kernel, data = set(free_indices(found.kernel)), set(free_indices(found.data))
        sliding = {index for slide in found.slides for index in (slide.free, slide.summed)}
        looped = kernel & data if not found.has_short_kernel else data - set(found.other)
        #: what products are looped over: batches, and what else each sample has one of
        self.outer = (looped - sliding) | (set() if found.has_short_kernel else set(found.other))

    def written(self) -> Equation:
        return self._checked(*self._results(*self._product(self._kernel(), self._data())))

    # .. factors

    def _data(self) -> Expr:
        sides = [
            axis.side(B, axis.in_block + SHORT - 1, _is_along_memory(self.found.data, axis.slide.long))
            for axis in self.axes
        ]
        places = [axis.place(side.place) for axis, side in zip(self.axes, sides, strict=True)]
        return self._factor(self.found.data_at(places), sides, self._within(places, SHORT - 1), self.blocks)

    def _kernel(self) -> Expr:
        if self.found.has_short_kernel:
            sides = [_Side((fresh(Const(SHORT), axis.slide.short.hint),), G, None) for axis in self.axes]
            pairs = zip((axis.slide for axis in self.axes), sides, strict=True)
            value = _at(self.found.kernel, {slide.short: slide.turned(side.place) for slide, side in pairs})
            return self._factor(value, sides, [], ())
        sides = [
            axis.side(A, axis.in_block, _is_along_memory(self.found.kernel, axis.slide.long)) for axis in self.axes
        ]
        places = [axis.place(side.place) for axis, side in zip(self.axes, sides, strict=True)]
        value = _at(self.found.kernel, {axis.slide.long: place for axis, place in zip(self.axes, places, strict=True)})
        return self._factor(value, sides, self._within(places, 0), self.blocks)

    def _within(self, places: Sequence[Expr], more: int) -> list[Expr]:
        """What is asked of places on axes where tiles stick out, which else end ``more`` elements after the results."""
        return [
            op("lt", place, Const(_volume((axis.slide.long,)) + more))
            for axis, place in zip(self.axes, places, strict=True)
            if axis.sticks_out()
        ]

    def _factor(self, value: Expr, sides: Sequence[_Side], within: Sequence[Expr], blocks: tuple[Index, ...]) -> Expr:
        """The factor transformed along every axis, element by element of what is multiplied."""
        largest = max(reads(value), key=lambda read: len(read.subscripts), default=None)
        base = self.tensor.id if largest is None else largest.tensor
        free = dict.fromkeys(free_indices(value) if largest is None else (*free_indices(largest), *free_indices(value)))
        lead = (*(index for index in free if index in self.outer), *blocks)
        rest = _with_halves([index for index in free if index not in lead], sides)
        if within or not isinstance(value, Read):
            value = self._padded(f"{base}.padded", simple(guarded(conjunction(within), value)), lead, rest, sides[-1])
        done: tuple[Index, ...] = ()
        for number, (side, product) in enumerate(zip(sides, self.products, strict=True)):
            parts = [_combined(row, [_at(value, side.at(n)) for n in range(len(row))]) for row in side.matrix]
            rest = tuple(side.tile if index is side.indices[-1] else index for index in rest)
            rest = tuple(index for index in rest if index is not None and index not in side.indices)
            last = number == len(sides) - 1
            axes = (*lead, *done, product, *rest) if last else (*lead, *rest[:-1], *done, product, *rest[-1:])
            loops = (*lead, *rest[:-1], *done, *rest[-1:])
            value = self._parts(f"{base}.{'tiles' if last else 'rows'}", axes, product, parts, loops)
            done = (*done, product)
        return value

    def _padded(self, name: str, value: Expr, lead: tuple[Index, ...], rest: tuple[Index, ...], side: _Side) -> Expr:
        """The factor as it is, with zeros around it."""
        axes = (*lead, *rest)
        if len(side.indices) == 1:
            return self._tensor(name, axes, [axes], [value], axes)
        parity = side.indices[0]
        parts = [_at(value, {parity: Const(n)}) for n in range(TILE)]
        return self._parts(name, axes, parity, parts, tuple(index for index in axes if index is not parity))

    # .. products and results

    def _product(self, kernel: Expr, data: Expr) -> tuple[Expr, tuple[Index, ...], tuple[Index, ...]]:
        """An element of the products, and its axes: what is looped over, and the others but those of the tile."""
        tiles = {axis.slide.free: axis.tile for axis in self.axes}
        lead = tuple(index for index in self.equation.indices if index in self.outer)
        rest = tuple(index for index in self.equation.indices if index not in lead)
        if self.found.has_short_kernel:
            lead, summed = (*lead, *self.blocks), self.found.other
            rest = tuple(tiles.get(index, index) for index in rest)
        else:
            summed = (*self.found.other, *self.blocks, *tiles.values())
            rest = tuple(index for index in rest if index not in tiles)
        axes = (*lead, *self.products, *rest)
        value = Reduce("sum", summed, op("mul", kernel, data))
        return self._tensor(f"{self.tensor.id}.products", axes, [axes], [value], axes), lead, rest

    def _results(self, value: Expr, lead: tuple[Index, ...], rest: tuple[Index, ...]) -> tuple[Expr, tuple[Index, ...]]:
        """An element of the results, from one of the products; and the indices of which each value stands alone."""
        matrix = _transposed(A if self.found.has_short_kernel else G)
        done: tuple[Index, ...] = ()
        for number, axis in enumerate(self.axes[:-1]):
            left = self.products[number + 1 :]
            result = fresh(Const(len(matrix)), "r")
            parts = self._combinations(matrix, value, axis.product)
            axes = (*lead, *rest[:-1], *done, result, *left, *rest[-1:])
            loops = (*lead, *rest[:-1], *done, *left, *rest[-1:])
            value = self._parts(f"{self.tensor.id}.rows", axes, result, parts, loops)
            done = (*done, result)
        parts = self._combinations(matrix, value, self.axes[-1].product)
        loops = (*lead, *rest[:-1], *done, *rest[-1:])
        equations = tuple(self._result(loops, (*done, Const(n)), part) for n, part in enumerate(parts))
        lengths = {axis.slide.free: Const(axis.length) for axis in self.axes} if self.found.has_short_kernel else {}
        sizes = tuple(lengths.get(index, index.size) for index in self.equation.indices)
        tiled = replace(self._new(f"{self.tensor.id}.tiled", sizes), equations=equations)
        self.tensors.append(tiled)
        return Read(tiled.id, self.equation.indices, "real"), lead or rest[:1]

    def _result(self, loops: tuple[Index, ...], offsets: Sequence[Expr], value: Expr) -> Equation:
        """The results at ``offsets`` in their tiles."""
        changes: dict[Expr, Expr] = {}
        for axis, offset in zip(self.axes, offsets, strict=True):
            short = self.found.has_short_kernel
            changes[axis.slide.free] = axis.result(offset) if short else axis.slide.turned(offset)
        written = tuple(integer(substitute(index, changes)) for index in self.equation.indices)
        return Equation(loops, written, value, self.equation.span)

    def _checked(self, tiled: Expr, each: tuple[Index, ...]) -> Equation:
        """The results, or the sum as it was for those of the indices ``each`` for which not all of them are finite."""
        each = tuple(index for index in each if index not in self.blocks)
        others = tuple(index for index in self.equation.indices if index not in each)
        total = self._tensor(f"{self.tensor.id}.total", each, [each], [Reduce("sum", others, tiled)], each)
        finite = op("lt", op("abs", total), Const(inf))
        value = self.equation.value
        assert isinstance(value, Reduce)
        cond, body = guard_of(value.body)
        assert isinstance(body, Op)
        # one factor more, so that nobody takes it for a product of matrices, to be computed in any case
        product = guarded(conjunction((negation(finite), cond)), op("mul", Const(1.0), *body.args))
        axes = self.equation.indices
        sums = self._tensor(f"{self.tensor.id}.plain", axes, [axes], [Reduce("sum", value.indices, product)], axes)
        return replace(self.equation, value=Select(finite, tiled, sums))

    # .. tensors

    def _combinations(self, matrix: Matrix, value: Expr, along: Index) -> list[Expr]:
        return [_combined(row, [_at(value, {along: Const(n)}) for n in range(len(row))]) for row in matrix]

    def _parts(
        self, name: str, axes: tuple[Index, ...], along: Index, parts: Sequence[Expr], loops: tuple[Index, ...]
    ) -> Expr:
        """An element of a new tensor with one equation for each value of the index ``along``."""
        places = [tuple(Const(n) if axis is along else axis for axis in axes) for n in range(len(parts))]
        return self._tensor(name, axes, places, parts, loops)

    def _tensor(
        self,
        name: str,
        axes: tuple[Index, ...],
        places: Sequence[tuple[Expr, ...]],
        values: Sequence[Expr],
        loops: tuple[Index, ...],
    ) -> Expr:
        """An element of a new tensor with these axes, whose equations loop in this order."""
        equations = tuple(
            Equation(loops, place, value, self.equation.span) for place, value in zip(places, values, strict=True)
        )
        tensor = replace(self._new(name, tuple(index.size for index in axes)), equations=equations)
        self.tensors.append(tensor)
        return Read(tensor.id, axes, "real")

    def _new(self, name: str, sizes: tuple[Expr, ...]) -> Tensor:
        name = unique(name, self.names)
        self.names[name] = None
        return Tensor(name, sizes, "real", "computed", span=self.tensor.span)


def _is_along_memory(factor: Expr, index: Index) -> bool:
    """Whether neighbours in memory are neighbours along the index."""
    return any(read.subscripts and index in free_indices(read.subscripts[-1]) for read in reads(factor))


def _with_halves(indices: Sequence[Index], sides: Sequence[_Side]) -> tuple[Index, ...]:
    """The indices, with parity and half side by side where they stand for one place."""
    halves = {side.indices[-1]: side.indices for side in sides}
    apart = {side.indices[0] for side in sides if len(side.indices) > 1}
    return tuple(one for index in indices if index not in apart for one in halves.get(index, (index,)))


def _at(value: Expr, changes: Mapping[Expr, Expr]) -> Expr:
    return simple(substitute(value, dict(changes)))


def _combined(row: Sequence[float], elements: Sequence[Expr]) -> Expr:
    """The sum of the elements times the numbers: 1, -1, 0, and halves, which are multiplied last."""
    whole = [_signed(factor, e) for factor, e in zip(row, elements, strict=True) if abs(factor) == 1]
    half = [_signed(factor, e) for factor, e in zip(row, elements, strict=True) if abs(factor) == 0.5]
    if half:
        whole.append(op("mul", Const(0.5), op("add", *half)))
    return op("add", *whole)


def _signed(factor: float, element: Expr) -> Expr:
    return element if factor > 0 else op("neg", element)


def _transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))
