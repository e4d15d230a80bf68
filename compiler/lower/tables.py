"""Matrix products whose factors are read in place wherever their elements lie, through tables of offsets.

Every index is in one of four groups: rows and columns are those of one factor alone, the reduced ones are in both, and
the others are looped over; so is the first of the result, such as a batch, if that leaves products that are worth a
call, for what else is computed of a sample can then be done in the same round.  Nothing is asked of their order in
memory, nor that elements lie apart: a convolution is such a product, with windows that overlap.  What is not read by
fixed strides is not for tables (a gather, a product within a factor); what only has to stay inside an image is read
from a copy with a border, see ``borders.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Index, Read, free_indices, op, refresh
from dlc.compiler.ir.loops import START, STOP, Matmul, Operand, Statement, Steps, Store, Support, statements
from dlc.compiler.ir.ways import Ways
from dlc.compiler.lower.contractions import Contraction, Factor
from dlc.compiler.lower.layouts import Layout, Packer, operand
from dlc.compiler.lower.nests import sizes_product, volume
from dlc.compiler.lower.ranges import loops
from dlc.compiler.lower.winograd import Sliding, sliding

#: Rows and columns of a product that a loop over the first index of the result leaves, and how many times as many
#: multiplications as the smallest one has.
_MANY, _LARGE = 4, 16
#: Numbers that a first cache has room for, and uses of each that are worth a copy.
_FIRST_CACHE, _USES = 1 << 13, 1 << 8
#: Rows or columns of one value of the first index for which the other factor is not read anew.
_FEW = 64


@dataclass(frozen=True)
class AxisSupport:
    """The support of an image along the axis on which the index ``place`` of its pixels meets the index ``tap``."""

    place: Index
    tap: Index
    support: Support


@dataclass(frozen=True)
class Tabled:
    """A contraction with both factors in memory; ``looped`` are the indices looped over.  The right factor may be an
    image with a border: products need its support alone.  Results that overlap are added: see ``overlap_add.py``.
    Samples that might be looped over are taken ``together`` where the other factor is better read once for all.
    """

    product: Contraction
    left: Layout
    right: Layout
    looped: tuple[Index, ...]
    rows: tuple[Index, ...]
    columns: tuple[Index, ...]
    support: AxisSupport | None = None
    adds: bool = False
    together: bool = False

    def support_within(self, part: Index | None, start: Expr = START) -> AxisSupport | None:
        """The support, if it holds where this index of the rows or columns has some of its values only, from the start
        on."""
        if self.support is None or part not in self.columns:
            return self.support
        if part is self.support.place:
            return replace(self.support, support=replace(self.support.support, first=start))
        return self.support if self.columns.index(part) < self.columns.index(self.support.place) else None

    @property
    def layouts(self) -> tuple[Layout, Layout]:
        return self.left, self.right

    @property
    def split(self) -> Index | None:
        """The index of rows or columns that shards share out, if it is one product: the first of the result. Instead of
        few maps, of which a part would fill no vector, it is the channels; of samples of few pixels the maps, for a
        batch may be one sample.
        """
        first = self.product.equation.indices[0]
        if first in self.looped:
            return None
        own, other = (self.rows, self.columns) if first in self.rows else (self.columns, self.rows)
        is_short = volume(own) < min(_FEW, volume(other)) and volume((first,)) <= _MANY * volume(other[:1])
        return other[0] if is_short or self.together or are_few(own, first) else first


def groups(product: Contraction, packer: Packer, ways: Ways) -> tuple[tuple[Index, ...], ...] | None:
    """The indices looped over, the rows and the columns; None if the products are too small for a call.  In the rounds
    of a recurrence, samples stay apart: shards share those out from the first round to the last.
    """
    rows, columns = product.left.own, product.right.own
    first, *others = product.equation.indices
    fewer = tuple(i for i in rows if i is not first), tuple(i for i in columns if i is not first)
    is_enough = min(map(volume, fewer)) >= _MANY and _multiplications(product, *fewer) >= _LARGE * ways.loops_below
    joins = not packer.is_in_rounds and any(_joins(side, first, packer) for side in (product.left, product.right))
    if is_enough and not joins:
        rows, columns = fewer
    if min(map(volume, (rows, columns))) < 2 or _multiplications(product, rows, columns) < ways.smallest:
        return None
    return tuple(i for i in (first, *others) if i not in (*rows, *columns)), rows, columns


def are_few(own: tuple[Index, ...], first: Index) -> bool:
    """Whether so few of the rows, or columns, have one value of the first index that the other factor, such as the
    weights, would be read anew for too little: of images of few pixels."""
    return len(own) > 1 and first in own and volume(tuple(index for index in own if index is not first)) < _FEW


def _joins(factor: Factor, first: Index, packer: Packer) -> bool:
    """Whether one product for all values of the first index is better than one for each."""
    return first in factor.own and (are_few(factor.own, first) or _lies_across(factor, first, packer))


def _lies_across(factor: Factor, first: Index, packer: Packer) -> bool:
    """Whether the rows, or columns, of one value of the first index are found across those of the others, and may be
    very few: what all samples of a batch have at one time, where each sample lies by itself."""
    others = [index for index in factor.own if index is not first]
    return are_open(others) and any(next(iter(place.strides)) in others for place in packer.in_place(factor.value))


def are_open(indices: Iterable[Index]) -> bool:
    """Whether none of the sizes is known: there may be one value of all of them, or very many."""
    return not any(known(index.size) is not None for index in indices)


def _multiplications(product: Contraction, rows: tuple[Index, ...], columns: tuple[Index, ...]) -> int:
    return volume((*rows, *columns, *product.reduced))


def tabled(product: Contraction, packer: Packer, ways: Ways) -> Tabled | None:
    """The product through tables, with copies of what overlaps under a condition; None if that is not possible, or
    the products are too small for it.
    """
    found = groups(product, packer, ways)
    if found is None:
        return None
    factors = (product.left.value, product.right.value)
    known = [packer.in_place(value) for value in factors]
    borders = [None if places else packer.bordered(value) for places, value in zip(known, factors, strict=True)]
    if any(not places and border is None for places, border in zip(known, borders, strict=True)):
        return None
    looped, rows, columns = found
    left, right = (
        packer.copied(border, value, product.tensor, product.equation)
        if border is not None
        else _side_by_side(product, places, value, looped, own, packer)
        for places, border, value, own in zip(known, borders, factors, (rows, columns), strict=True)
    )
    found = Tabled(product, left, right, looped, rows, columns)
    return found if packer.is_in_rounds else _together(found, ways) or found


def is_better_together(found: Tabled, ways: Ways) -> bool:
    """Whether it is a convolution by Winograd's products that takes all samples at once, or would if it were not looped
    over them: because the taps would be transformed anew for too little."""
    return any(tiled.is_better_together for tiled in _slidings(found, ways))


def shares_samples(found: Tabled, ways: Ways) -> bool:
    """Whether shards may share out the samples of such a convolution in the place of its maps, which is known when it
    runs."""
    return any(tiled.shares_samples for tiled in _slidings(found, ways))


def _slidings(found: Tabled, ways: Ways) -> list[Sliding]:
    """The product as a convolution that tiles may take, if it is one."""
    if ways.conv not in ("", "winograd"):
        return []
    size = found.split.size if found.split is not None else None
    products = [one for one in statements(tabled_body(found, label="")) if isinstance(one, Matmul)]
    return [tiled for one in products if (tiled := sliding(one, size)) is not None]


def _together(found: Tabled, ways: Ways) -> Tabled | None:
    """The product of all samples at once, if that is better."""
    product = found.product
    first = product.equation.indices[0]
    of_one_factor = (first in product.left.own) != (first in product.right.own)
    if first not in found.looped or not of_one_factor or known(first.size) == 1:
        return None
    rows = (first, *found.rows) if first in product.left.own else found.rows
    columns = (first, *found.columns) if first in product.right.own else found.columns
    looped = tuple(index for index in found.looped if index is not first)
    joined = replace(found, looped=looped, rows=rows, columns=columns, together=True)
    return joined if is_better_together(joined, ways) else None


def _side_by_side(
    product: Contraction,
    places: Sequence[Layout],
    value: Expr,
    looped: Sequence[Index],
    own: tuple[Index, ...],
    packer: Packer,
) -> Layout:
    """The factor where it lies; or a copy, if it is read often and no two elements are neighbours, such as every second
    tap: most of each line that is read would be for nothing.  What every sample reads anew is copied once, with those
    that are added up side by side, as numbers of the left factor are read; an image without windows with its pixels
    side by side, as vectors of the right one are."""
    axes = free_indices(value)
    is_shared = not set(looped).intersection(axes)
    uses = volume((*product.equation.indices, *product.reduced)) // volume(axes)
    if packer.is_in_rounds or volume(axes) < _FIRST_CACHE or uses < _USES or not (is_shared or _is_apart(value)):
        return places[0]
    for place in places:
        if any(step.value == 1 for step in place.strides.values()):
            return place
    reduced = _in_memory_order(product.reduced, places[0])
    outer = tuple(index for index in looped if index in axes)
    if product.equation.indices[0] not in axes:
        return packer.pack(value, (*outer, *own, *reduced), product.tensor, product.equation, product.reduced)
    return packer.pack(value, (*outer, *reduced, *own), product.tensor, product.equation, own)


def _is_apart(value: Expr) -> bool:
    """Whether it reads no element twice: there are no windows."""
    return isinstance(value, Read) and all(len(free_indices(place)) <= 1 for place in value.subscripts)


def tabled_in_place(product: Contraction, packer: Packer, ways: Ways) -> bool:
    """Whether that takes no copies."""
    factors = (product.left.value, product.right.value)
    return groups(product, packer, ways) is not None and all(packer.in_place(value) for value in factors)


def tabled_body(found: Tabled, label: str) -> tuple[Statement, ...]:
    """The statements of its kernel, with this label for the product.  One whose rows or columns are shared out is
    restricted to a shard's part.
    """
    product, result = found.product, found.product.result
    looped = found.looped
    split = found.split
    part = _length(START, STOP)
    rows = _merged(found.rows, (found.left, result), split, part)
    columns = _merged(found.columns, (found.right, result), split, part)
    along = found.support_within(split)
    outermost = () if along is None else (along.tap,)
    inner = [index for index in product.reduced if index not in outermost]
    reduced = _merged((*outermost, *_in_memory_order(inner, found.left)), found.layouts)
    m, n, k = (
        sizes_product([i for i in group if i is not split]) * polynomial(part if split in group else ONE)
        for group in (found.rows, found.columns, product.reduced)
    )
    call = Matmul(
        m.expression(),
        n.expression(),
        k.expression(),
        _operand(found.left, looped, split, rows[0], reduced[0]),
        _operand(found.right, looped, split, reduced[1], columns[0]),
        _operand(result, looped, split, rows[1], columns[1]),
        accumulate=found.adds,
        support=along.support if along is not None else None,
        label=label,
    )
    return loops(looped, (*_cleared(found), call))


def _cleared(found: Tabled) -> tuple[Statement, ...]:
    """What results that overlap are added to."""
    if not found.adds:
        return ()
    tensor = found.product.tensor
    own = tuple(map(refresh, tensor.equations[0].indices[len(found.looped) :]))
    return loops(own, (Store(tensor.id, (*found.looped, *own), Const(0.0)),))


def _in_memory_order(indices: Sequence[Index], place: Layout) -> tuple[Index, ...]:
    order = list(place.strides)
    return tuple(sorted(indices, key=order.index))


def with_part_of_table(found: Tabled, call: Matmul, index: Index, start: Expr, stop: Expr) -> Matmul:
    """The product for a part of the first index of its rows, or of its columns."""
    result, part = found.product.result, _length(start, stop)

    def moved(operand: Operand, place: Layout) -> Operand:
        offset = polynomial(operand.offset) + polynomial(start) * place.strides[index]
        return replace(operand, offset=offset.expression())

    if index in found.rows:
        rows = _merged(found.rows, (found.left, result), index, part)
        m = sizes_product([i for i in found.rows if i is not index]) * polynomial(part)
        a, c = replace(moved(call.a, found.left), row=rows[0]), replace(moved(call.c, result), row=rows[1])
        term = _moved_term(call.term, found.rows, start, in_rows=True)
        return replace(call, m=m.expression(), a=a, c=c, term=term)
    columns = _merged(found.columns, (found.right, result), index, part)
    n = sizes_product([i for i in found.columns if i is not index]) * polynomial(part)
    b, c = replace(moved(call.b, found.right), column=columns[0]), replace(moved(call.c, result), column=columns[1])
    term = _moved_term(call.term, found.columns, start, in_rows=False)
    along = found.support_within(index, start)
    support = along.support if along is not None else None
    return replace(call, n=n.expression(), b=b, c=c, term=term, support=support)


def _moved_term(term: Operand | None, group: Sequence[Index], start: Expr, in_rows: bool) -> Operand | None:
    """The term from a value of the first index of the rows, or of the columns, on."""
    if term is None:
        return None
    step = term.row if in_rows else term.column
    assert not isinstance(step, Steps)
    offset = polynomial(term.offset) + polynomial(start) * sizes_product(group[1:]) * polynomial(step)
    return replace(term, offset=offset.expression())


def _length(start: Expr, stop: Expr) -> Expr:
    return op("add", stop, op("neg", start))


def _merged(
    indices: Sequence[Index],
    places: tuple[Layout, Layout],
    split: Index | None = None,
    part: Expr = ZERO,
) -> tuple[Steps, Steps]:
    """The steps of the indices in two operands, of which one has a part of its values; two that lie evenly in both are
    one."""
    extents: list[Expr] = []
    strides: list[tuple[Polynomial, ...]] = []
    for index in reversed(indices):
        step = tuple(place.strides.get(index, Polynomial(())) for place in places)
        if index is split:
            extents.insert(0, part)
            strides.insert(0, step)
        elif extents and step == tuple(inner * polynomial(extents[0]) for inner in strides[0]):
            extents[0] = (polynomial(index.size) * polynomial(extents[0])).expression()
        else:
            extents.insert(0, index.size)
            strides.insert(0, step)
    one, other = (tuple(step[n].expression() for step in strides) for n in (0, 1))
    return Steps(tuple(extents), one), Steps(tuple(extents), other)


def _operand(place: Layout, looped: Sequence[Index], split: Index | None, row: Steps, column: Steps) -> Operand:
    start = Polynomial(())
    if split is not None:
        start = polynomial(START) * place.strides.get(split, Polynomial(()))
    return operand(place, looped, start, row, column)
