"""How often the statements of a kernel run, what they compute and which memory they touch, at chosen sizes.

Loops multiply.  Where the bounds of an inner loop, a condition or the extents of a product depend on an outer index,
that index is set to each of its values, or to some of many, spread evenly; so a triangle counts as half a square.
What depends on data counts as if it always ran.

An elementary function counts as many operations as its polynomial takes; both branches of a choice count, because
vectors compute both.  A buffer is charged once, however often a kernel comes back to an element.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from dlc.compiler.analysis.values import UnknownError, value, whole, widest
from dlc.compiler.ir.costs import operations
from dlc.compiler.ir.expr import ZERO, Expr, Index, Read, free_indices, reads, walk
from dlc.compiler.ir.loops import (
    SHARD,
    SHARDS,
    START,
    STOP,
    Buffer,
    For,
    If,
    Kernel,
    Let,
    Matmul,
    OpenRows,
    Operand,
    Program,
    Repeat,
    Statement,
    Step,
    Steps,
    Store,
    System,
    Tiles,
    Update,
    Var,
    When,
    expressions,
    statements,
)
from dlc.compiler.lower.winograd_blocks import is_faster

_SAMPLES = 24  # values of an index on which other loops depend


@dataclass(frozen=True)
class Product:
    """Matrix products of one statement: its extents, how often it runs, and the distances of stored rows; of one
    through tables there are none.
    """

    m: int
    n: int
    k: int
    transposed: tuple[bool, bool]
    steps: tuple[int, int, int]
    times: float
    way: str = ""  # the implementation, if it is forced
    is_tabled: bool = False
    taps: tuple[int, int] | None = None  # of a convolution in Winograd's tiles
    has_term: bool = False

    @property
    def is_in_tiles(self) -> bool:
        return self.taps is not None


@dataclass
class Count:
    """What a kernel does in one call of its entry.  ``elements`` are those of each buffer that it reads and writes."""

    flops: float = 0.0
    runs: float = 0.0  # of the kernel, by one shard
    products: list[Product] = field(default_factory=list)
    read: dict[str, float] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Place:
    """Where a statement stands: the loops around it with their trip counts, and how often it runs."""

    scope: dict[Any, Any]
    trips: dict[Index, float]
    times: float
    is_divided: bool  # inside a loop that shards share out

    def inside(self, index: Index, at: int, trips: float, times: float, is_divided: bool) -> _Place:
        scope, known = {**self.scope, index: at}, {**self.trips, index: trips}
        return _Place(scope, known, self.times * times, self.is_divided or is_divided)


def counts(program: Program, steps: Sequence[Step], sizes: Mapping[str, int]) -> dict[str, Count]:
    """What each kernel of a region does; ``sizes`` has the derived ones, and the number of shards."""
    counter = _Counter(program, sizes)
    counter.steps(steps, _Place(dict(sizes), {}, 1.0, False))
    return counter.found


class _Counter:
    def __init__(self, program: Program, sizes: Mapping[str, int]) -> None:
        self._program, self._sizes = program, sizes
        self._lengths = {name: length(buffer, sizes) for name, buffer in program.buffers.items()}
        self.found: dict[str, Count] = {}
        self._accesses: dict[str, dict[tuple[str, bool], dict[Any, float]]] = {}

    # -- steps of a region --------------------------------------------------------------------------------------------

    def steps(self, steps: Iterable[Step], place: _Place) -> None:
        for step in steps:
            match step:
                case Repeat(index=index, stop=stop, steps=inner):
                    for part in _rounds(index, 0, whole(stop, place.scope), place, _bounds_of(self._program, inner)):
                        self.steps(inner, part)
                case When(cond=cond, steps=inner):
                    if _holds(cond, place.scope):
                        self.steps(inner, place)
                case str():
                    self._kernel(self._program.kernels[step], place)

    def _kernel(self, kernel: Kernel, place: _Place) -> None:
        count = self.found.setdefault(kernel.name, Count())
        count.runs += place.times
        extent = whole(kernel.split, place.scope) if kernel.split is not None else 0
        body = _Body(kernel, count, self._lengths, self._sizes[SHARDS.name])
        for shard, start, stop in self._parts(kernel.split, extent):
            scope = {**place.scope, SHARD.tensor: shard, START.tensor: start, STOP.tensor: stop}
            body.run(kernel.body, _Place(scope, place.trips, place.times, kernel.split is None))
        body.settle()

    def _parts(self, split: Expr | None, extent: int) -> list[tuple[int, int, int]]:
        """What is run, by whom: of samples that are cut into shares the part of each shard, which may be whole samples
        or pieces of them, and else everything at once."""
        shards = self._sizes[SHARDS.name]
        if split is None or SHARDS not in walk(split):
            return [(0, 0, extent)]
        return [(shard, extent * shard // shards, extent * (shard + 1) // shards) for shard in range(shards)]


def _takes_tiles(tiles: Tiles, scope: Mapping[Any, Any]) -> bool:
    """Whether a product takes the tiles for which there is room: where the sizes are not known before, that is asked
    when it runs."""
    if not isinstance(tiles.rows, OpenRows) or not tiles.rows.if_faster:
        return True
    return is_faster(*(whole(size, scope) for size in tiles.rows.sizes[1:]))


def _bounds_of(program: Program, steps: Iterable[Step]) -> set[Index]:
    """The indices on which it depends how often something inside the steps runs."""
    found: set[Index] = set()
    for step in steps:
        match step:
            case str():
                found |= _deciding(program.kernels[step].body)
            case Repeat(stop=stop, steps=inner):
                found |= {*free_indices(stop)} | _bounds_of(program, inner)
            case When(cond=cond, steps=inner):
                found |= {*free_indices(cond)} | _bounds_of(program, inner)
    return found


def _deciding(body: Iterable[Statement]) -> set[Index]:
    found: set[Index] = set()
    bounds: dict[str, set[Index]] = {}  # the indices that an integer local depends on
    for statement in statements(tuple(body)):
        match statement:
            case Let(name=name, value=bound) if bound.type == "int":
                bounds[name] = _indices_of(bound, bounds)
                continue
            case For() | If():
                extents = expressions(statement)
            case Matmul(m=m, n=n, k=k):
                extents = (m, n, k)
            case System(n=n, count=count):
                extents = (n, count)
            case _:
                continue
        found.update(index for extent in extents for index in _indices_of(extent, bounds))
    return found


def _indices_of(extent: Expr, bounds: Mapping[str, set[Index]]) -> set[Index]:
    return {*free_indices(extent), *(index for read in reads(extent) for index in bounds.get(read.tensor, ()))}


def _rounds(
    index: Index, start: int, stop: int, place: _Place, deciding: set[Index], is_divided: bool = False
) -> Iterator[_Place]:
    """The places inside a loop: one that stands for all rounds, or several where the rounds differ."""
    trips = stop - start
    if trips <= 0:
        return
    points = min(trips, _SAMPLES) if index in deciding else 1
    for point in range(points):
        at = start + (2 * point + 1) * trips // (2 * points)
        yield place.inside(index, at, trips / points if points > 1 else trips, trips / points, is_divided)


def _set(name: str, expression: Expr, scope: dict[Any, Any]) -> None:
    try:
        scope[name] = value(expression, scope)
    except UnknownError:
        scope.pop(name, None)


def _holds(cond: Expr, scope: Mapping[Any, Any]) -> bool:
    try:
        return bool(value(cond, scope))
    except UnknownError:
        return True


# -- the body of a kernel ---------------------------------------------------------------------------------------------


class _Body:
    def __init__(self, kernel: Kernel, count: Count, lengths: Mapping[str, int], shards: int) -> None:
        self._count, self._lengths, self._shards = count, lengths, shards
        self._deciding = _deciding(kernel.body)
        self._locals: dict[str, frozenset[Index]] = {}  # a local, and the loops that change it
        self._bounding: dict[Index, frozenset[Index]] = {}
        self._touched: dict[tuple[str, bool], dict[Any, float]] = {}

    def run(self, body: Iterable[Statement], place: _Place) -> None:
        for statement in body:
            self._statement(statement, place)

    def _statement(self, statement: Statement, place: _Place) -> None:
        match statement:
            case For():
                self._loop(statement, place)
            case If(cond=cond, body=inner):
                self._expression(cond, place)
                if _holds(cond, place.scope):
                    self.run(inner, place)
            case Let(name, expression) | Var(name, expression) | Update(name, expression):
                self._locals[name] = self._locals.get(name, frozenset()) | self._loops_of((expression,))
                self._expression(expression, place)
                if isinstance(statement, Let) and expression.type == "int":
                    _set(name, expression, place.scope)
            case Store(buffer, subscripts, expression):
                self._expression(expression, place)
                for subscript in subscripts:
                    self._reads(subscript, place)
                self._touch(buffer, subscripts, place, True)
            case Matmul():
                self._matmul(statement, place)
            case System():
                self._system(statement, place)

    def _loop(self, loop: For, place: _Place) -> None:
        divided = _mentions_part(loop.start, loop.stop)
        self._bounding[loop.index] = self._loops_of((loop.start, loop.stop))
        try:
            start, stop = widest(loop.start, place.scope), widest(loop.stop, place.scope)
        except UnknownError:
            start, stop = 0, whole(loop.index.size, place.scope)
        for part in _rounds(loop.index, start, stop, place, self._deciding, divided):
            self.run(loop.body, part)

    def _times(self, place: _Place) -> float:
        """How often all shards together run what stands there."""
        return place.times if place.is_divided else place.times * self._shards

    def _expression(self, expression: Expr, place: _Place) -> None:
        self._count.flops += operations(expression) * self._times(place)
        self._reads(expression, place)

    def _reads(self, expression: Expr, place: _Place) -> None:
        for read in reads(expression):
            if read.tensor in self._lengths:
                self._touch(read.tensor, read.subscripts, place, False)

    def _loops_of(self, parts: Iterable[Expr]) -> frozenset[Index]:
        """The loops on which the expressions depend, also by way of locals and of the bounds of loops."""
        found: set[Index] = set()
        for part in parts:
            for index in free_indices(part):
                found |= {index, *self._bounding.get(index, ())}
            for node in walk(part):
                if isinstance(node, Read) and node.tensor in self._locals:
                    found |= self._locals[node.tensor]
        return frozenset(found)

    def _touch(self, buffer: str, subscripts: Sequence[Expr], place: _Place, writes: bool, extent: float = 1.0) -> None:
        """Note that an element of the buffer, or so many, are touched for every value of the subscripts."""
        loops = self._loops_of(subscripts)
        elements = extent * prod(place.trips.get(index, 1) for index in loops)
        if any(SHARD in set(walk(part)) for part in subscripts):
            elements *= self._shards
        decided = (place.scope[index] for index in sorted(self._deciding & loops, key=lambda index: index.id))
        key = tuple(subscripts), place.scope[SHARD.tensor], tuple(decided)
        self._touched.setdefault((buffer, writes), {}).setdefault(key, elements)

    def settle(self) -> None:
        """Charge every buffer for what was touched of it."""
        for (buffer, writes), places in self._touched.items():
            kept = self._count.written if writes else self._count.read
            kept[buffer] = min(float(self._lengths[buffer]), kept.get(buffer, 0.0) + sum(places.values()))

    # -- library routines ---------------------------------------------------------------------------------------------

    def _matmul(self, product: Matmul, place: _Place) -> None:
        divided = _mentions_part(product.m, product.n, product.k)
        place = _Place(place.scope, place.trips, place.times, place.is_divided or divided)
        m, n, k = (widest(extent, place.scope) for extent in (product.m, product.n, product.k))
        times = self._times(place)
        part = product.support.part if product.support is not None else 1.0
        once = 2.0 * part * self._multiplications(product, m, n, k, place)
        tiles = product.tiles if product.tiles is not None and _takes_tiles(product.tiles, place.scope) else None
        if tiles is not None:
            once = float(whole(tiles.operations, place.scope))
        self._count.flops += once * times
        self._operand(product.a, m * k, place, False)
        self._operand(product.b, k * n, place, False)
        self._operand(product.c, m * n, place, True)
        if product.accumulate:
            self._operand(product.c, m * n, place, False)
        if product.term is not None:
            extents = zip((m, n), (product.term.row, product.term.column), strict=True)
            self._operand(product.term, prod(extent for extent, step in extents if step is not ZERO), place, False)
        if isinstance(product.c.row, Steps):
            taps = tiles.taps if tiles is not None else None
            self._count.products.append(Product(m, n, k, (False, False), (0, 0, 0), times, "", True, taps))
            return
        if divided:  # what one shard multiplies
            m, times = -(-m // self._shards), times * self._shards
        transposed = tuple(_is_transposed(operand, place.scope) for operand in (product.a, product.b))
        steps = [_step(operand, place.scope) for operand in (product.a, product.b, product.c)]
        found = Product(m, n, k, (transposed[0], transposed[1]), (steps[0], steps[1], steps[2]), times, product.way)
        self._count.products.append(replace(found, has_term=product.term is not None))

    def _multiplications(self, product: Matmul, m: int, n: int, k: int, place: _Place) -> int:
        """All of them, or those of a band."""
        if product.band is None:
            return m * n * k
        try:
            low, high = whole(product.band.low, place.scope), whole(product.band.high, place.scope)
        except UnknownError:
            return m * n * k
        count, other = (n, k) if product.band.of == "columns" else (k, n)
        return other * sum(max(0, min(count, high + row) - max(0, low + row)) for row in range(m))

    def _operand(self, operand: Operand, elements: int, place: _Place, writes: bool) -> None:
        if isinstance(operand.row, Steps) and isinstance(operand.column, Steps):
            steps = [
                step for pair in (operand.row, operand.column) for step in zip(pair.extents, pair.strides, strict=True)
            ]
            spans = [(whole(extent, place.scope) - 1) * abs(whole(stride, place.scope)) for extent, stride in steps]
            elements = min(elements, sum(spans) + 1)  # windows overlap
        self._touch(operand.buffer, (*operand.piece, operand.offset), place, writes, float(elements))

    def _system(self, system: System, place: _Place) -> None:
        n, count = whole(system.n, place.scope), whole(system.count, place.scope)
        self._count.flops += (2 * n**3 / 3 + 2 * n * n * count) * self._times(place)
        for writes in (False, True):
            self._touch(system.matrix, system.piece, place, writes, float(n * n))
            self._touch(system.sides, system.piece, place, writes, float(n * count))


def _is_transposed(operand: Operand, scope: Mapping[Any, Any]) -> bool:
    assert not isinstance(operand.column, Steps)
    return whole(operand.column, scope) != 1


def _step(operand: Operand, scope: Mapping[Any, Any]) -> int:
    """The distance of stored rows."""
    assert not isinstance(operand.row, Steps) and not isinstance(operand.column, Steps)
    return max(whole(operand.row, scope), whole(operand.column, scope))


def _mentions_part(*bounds: Expr) -> bool:
    """Whether the bounds are those of a shard's part."""
    return any(node is START or node is STOP for node in walk(*bounds))


# -- buffers --------------------------------------------------------------------------------------------------------


def length(buffer: Buffer, sizes: Mapping[str, int]) -> int:
    """The number of elements."""
    return prod(whole(size, sizes) for size in buffer.sizes)
