"""Matrix products as statements: each factor is read in place where it lies evenly, or else packed.

A factor is read in place where its rows (columns) and a run of reduced indices lie evenly in memory; reduced indices
outside this run are looped over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from dlc.compiler.ir.affine import Polynomial, guessed, known, polynomial
from dlc.compiler.ir.conditions import conjuncts
from dlc.compiler.ir.expr import ONE, Const, Expr, Index, Op, Reduce, Select, free_indices, op, reads, refresh, walk
from dlc.compiler.ir.graph import Equation
from dlc.compiler.ir.loops import START, STOP, For, Matmul, Operand, Statement, Steps, Store
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.ways import Ways
from dlc.compiler.lower.contractions import Contraction, Factor
from dlc.compiler.lower.layouts import Layout, Packer, Placed, evenly_placed, operand
from dlc.compiler.lower.nests import is_unit, sizes_product, volume
from dlc.compiler.lower.ranges import loops
from dlc.compiler.lower.tables import (
    Tabled,
    are_few,
    are_open,
    tabled,
    tabled_body,
    tabled_in_place,
    with_part_of_table,
)

_CROWDED = 256  # elements: rows that lie a multiple of so many apart fall on few lines of the cache
_SMALL, _MORE = 1 << 15, 8  # multiplications of a product, and how many times as many are worth tables of offsets
_SPARSE = 16  # elements of which one is not zero
_SHALLOW = 64  # steps: what so short a product loads and stores of its results counts beside its multiplications
_SHORT_RUN = 16  # elements that lie side by side; copying so few at a time is slow


@dataclass(frozen=True)
class Plan:
    """A contraction with both factors in memory; ``outer`` reduced indices are looped over, ``inner`` are the
    product's.
    """

    product: Contraction
    left: Placed
    right: Placed
    outer: tuple[Index, ...]
    inner: tuple[Index, ...]

    @property
    def layouts(self) -> tuple[Layout, Layout]:
        return self.left.layout, self.right.layout

    @property
    def rows(self) -> tuple[Index, ...]:
        return self.product.rows

    @property
    def columns(self) -> tuple[Index, ...]:
        return self.product.columns

    @property
    def shares_rows(self) -> bool:
        """Whether shards share out the rows of one product; otherwise whole products, along the first index looped
        over.
        """
        return self.product.rows[0] is self.product.equation.indices[0]

    @property
    def split(self) -> Index | None:
        """The index of the rows that shards share out, if they do."""
        return self.product.rows[0] if self.shares_rows else None


def plan(product: Contraction, packer: Packer, ways: Ways) -> Plan | Tabled | None:
    """Place both factors: where they lie if that is evenly, or through tables, or else packed; None if the result does
    not lie evenly and tables cannot be used.
    """
    found = list(_plans_in_place(product, packer))
    if found and _worth(best := min(found, key=lambda one: volume(one.outer))):
        return _larger(best, found, packer, ways) or _steadied(best, packer)
    through_tables = None if ways.packs else tabled(product, packer, ways)
    is_packed = product.is_even and not (_is_sparse(product.left.value) or _is_sparse(product.right.value))
    return through_tables or (_packed(product, packer) if is_packed else None)


def _is_sparse(value: Expr) -> bool:
    """Whether remainders forbid nearly all elements of a factor, as in the derivative by the image of a convolution
    whose steps are long and whose taps lie apart: a copy of it would be zeros, thousands of times what is read.
    """
    if not isinstance(value, Select):
        return False
    tests = [test for test in conjuncts(value.cond) if isinstance(test, Op) and test.name == "eq"]
    atoms = {atom for test in tests for atom in walk(test) if isinstance(atom, Op) and atom.name == "mod"}
    return prod(guessed(atom.args[1]) for atom in atoms) > _SPARSE


def _plans_in_place(product: Contraction, packer: Packer) -> Iterator[Plan]:
    """Both factors where they lie evenly, in all orders of the reduced indices."""
    for order in _orders(product):
        for left in packer.in_place(product.left.value):
            for right in packer.in_place(product.right.value):
                found = _in_place(product, left, right, order)
                if found is not None:
                    yield found


def _larger(found: Plan, others: Sequence[Plan], packer: Packer, ways: Ways) -> Tabled | None:
    """Through tables, if so one product takes the place of many small ones: such as of two columns each, or those of
    samples that have too few columns for the other factor to be read anew, or those of few steps each, such as the taps
    of one channel; or where the factors disagree about which of the reduced indices runs within the others, of open
    sizes, and either may turn out to be short."""
    product = found.product
    one = volume((*found.rows, *found.columns, *found.inner))
    joins = are_few(product.right.own, product.equation.indices[0]) and not packer.is_in_rounds
    joins = joins or (are_open(found.inner) and any(other.inner != found.inner for other in others))
    is_shallow = bool(found.outer) and volume(found.inner) < _SHALLOW and not packer.is_in_rounds
    if ways.packs or (one >= _SMALL and not (joins or is_shallow)) or not tabled_in_place(product, packer, ways):
        return None
    larger = tabled(product, packer, ways)
    if larger is None or is_shallow:
        return larger
    return larger if volume((*larger.rows, *larger.columns, *product.reduced)) >= _MORE * one else None


def _steadied(found: Plan, packer: Packer) -> Plan:
    """A recurrence reads the same columns in every round: once and for all, they are copied as the tile reads them."""
    product, (own, inner) = found.product, (found.right.own.value, found.right.inner.value)
    is_crowded = own == 1 and inner is not None and inner % _CROWDED == 0
    if not packer.is_steady(product.right.value) or not (own != 1 or is_crowded):
        return found
    group = {*product.columns, *found.inner, *found.outer}
    leading = [i for i in product.equation.indices if i in free_indices(product.right.value) and i not in group]
    axes = (*leading, *found.outer, *found.inner, *product.columns)
    if any(len(run) > 1 for run in (found.inner, product.columns)):
        return found
    packed = packer.pack(product.right.value, axes, product.tensor, product.equation, product.columns)
    place = evenly_placed(packed, product.columns, found.inner)
    return replace(found, right=place) if place is not None else found


def copies(product: Contraction, sizes: dict[str, tuple[Expr, ...]], ways: Ways) -> bool:
    """Whether a factor has to be copied."""
    untouched = Packer(sizes, str)
    if not ways.packs and tabled_in_place(product, untouched, ways):
        return False
    places = [untouched.in_place(factor.value) for factor in (product.left, product.right)]
    return not any(
        _in_place(product, left, right, order) is not None
        for order in _orders(product)
        for left in places[0]
        for right in places[1]
    )


def leads(product: Contraction, outer: Index, sizes: dict[str, tuple[Expr, ...]]) -> bool:
    """Whether what is copied of the factors for one value of the reduced index at a time is a part of them: the index
    stands first.
    """
    untouched = Packer(sizes, str)
    values = [factor.value for factor in (product.left, product.right)]
    copied = [value for value in values if not untouched.in_place(value)]
    return any(
        all(read.subscripts[0] is outer for read in reads(value) if read.subscripts) for value in copied or values
    )


def _orders(product: Contraction) -> list[tuple[Index, ...]]:
    """Orders of the reduced indices worth trying: as each factor has them in memory, and as written."""
    if not product.is_even:
        return []
    found: dict[tuple[Index, ...], None] = {}
    for factor in (product.left, product.right):
        order = [i for i in free_indices(factor.value) if i in product.reduced]
        found[tuple(order)] = None
    found[product.reduced] = None
    return list(found)


def _in_place(product: Contraction, left: Layout, right: Layout, order: tuple[Index, ...]) -> Plan | None:
    """The plan with the longest run of inner reduced indices for these layouts."""
    for count in range(len(order), 0, -1):
        outer, inner = order[: len(order) - count], order[len(order) - count :]
        a, b = evenly_placed(left, product.rows, inner), evenly_placed(right, product.columns, inner)
        if a is not None and b is not None:
            return Plan(product, a, b, outer, inner)
    return None


def _worth(found: Plan) -> bool:
    """Whether the calls are long enough: many short ones cost more than packing."""
    return (
        not found.outer
        or volume(found.inner) >= 16
        or volume(found.product.rows) * volume(found.product.columns) >= 4096
    )


@dataclass(frozen=True)
class _Kept:
    """A factor that stays in place for this order of the reduced indices; the other one is packed at ``cost``
    elements.
    """

    factor: Factor
    cost: int
    keeps_left: bool
    placed: Placed
    order: tuple[Index, ...]
    inner: tuple[Index, ...]

    @property
    def outer(self) -> tuple[Index, ...]:
        return self.order[: len(self.order) - len(self.inner)]


def _packed(product: Contraction, packer: Packer) -> Plan:
    """Keep the factor that lies well and pack the other, or pack both."""
    kept = min(_keepers(product, packer), key=lambda k: (bool(k.outer), k.cost, len(k.outer)), default=None)
    if kept is None or (kept.outer and volume(free_indices(kept.factor.value)) <= kept.cost):
        order = product.reduced
        left = _pack(product, packer, product.left, product.rows, order, order)
        right = _pack(product, packer, product.right, product.columns, order, order)
        return Plan(product, left, right, (), order)
    if kept.keeps_left:
        other = _pack(product, packer, product.right, product.columns, kept.order, kept.inner)
        return Plan(product, kept.placed, other, kept.outer, kept.inner)
    other = _pack(product, packer, product.left, product.rows, kept.order, kept.inner)
    return Plan(product, other, kept.placed, kept.outer, kept.inner)


def _keepers(product: Contraction, packer: Packer) -> Iterator[_Kept]:
    """Every way to keep one factor in place, with its longest run of inner reduced indices."""
    sides = ((product.left, product.rows, product.right), (product.right, product.columns, product.left))
    for order in _orders(product):
        for number, (factor, own, other) in enumerate(sides):
            for place in packer.in_place(factor.value):
                for count in range(len(order), 0, -1):
                    inner = order[len(order) - count :]
                    placed = evenly_placed(place, own, inner)
                    if placed is not None and (count == len(order) or volume(inner) >= 16):
                        yield _Kept(factor, volume(free_indices(other.value)), number == 0, placed, order, inner)
                        break


def _pack(
    product: Contraction,
    packer: Packer,
    factor: Factor,
    own: tuple[Index, ...],
    order: tuple[Index, ...],
    inner: tuple[Index, ...],
) -> Placed:
    """A factor packed: batch and outer reduced indices, the group's indices, the inner reduced ones."""
    for place in packer.in_place(factor.value):
        found = evenly_placed(place, own, inner)
        if found is not None:
            return found
    group = set(own) | set(order)
    leading = tuple(i for i in free_indices(factor.value) if i not in group and i in product.equation.indices)
    leading = tuple(sorted(leading, key=product.equation.indices.index))
    outer = order[: len(order) - len(inner)]
    column, row = (inner, own) if _copies_along(factor.value, own, inner) else (own, inner)
    axes = (*leading, *outer, *column, *row)
    found = evenly_placed(packer.pack(factor.value, axes, product.tensor, product.equation, row), own, inner)
    assert found is not None
    return found


def _copies_along(value: Expr, own: tuple[Index, ...], inner: tuple[Index, ...]) -> bool:
    """Whether a packed copy is made in longer runs along the group's last index than along the last reduced one."""
    extent = known(inner[-1].size)
    found = reads(value)
    return (
        extent is not None
        and extent < _SHORT_RUN
        and volume(own[-1:]) > extent
        and all(is_unit(read, own[-1]) for read in found if own[-1] in free_indices(read))
    )


# -- statements ------------------------------------------------------------------------------------------------------


def seen(found: Plan | Tabled) -> Equation:
    """The equation as the kernel computes it, from copies where there are some."""
    value = op("mul", *(place.read for place in found.layouts))
    return replace(found.product.equation, value=Reduce("sum", found.product.reduced, value))


def product_body(found: Plan | Tabled, label: str = "") -> tuple[Statement, ...]:
    """The statements of a contraction's kernel, with this label for the product.  One whose rows are shared out is
    restricted to a shard's part.
    """
    if isinstance(found, Tabled):
        return tabled_body(found, label)
    product = found.product
    result = product.result
    split_rows = found.shares_rows
    rows = sizes_product(product.rows)
    per_split = sizes_product(product.rows[1:]) if split_rows else Polynomial(())
    start = polynomial(START) * per_split
    m = (polynomial(STOP) - polynomial(START)) * per_split if split_rows else rows
    looped = (*product.batch, *found.outer)
    row_step = result.stride(product.rows)
    assert row_step is not None
    call = Matmul(
        m.expression(),
        sizes_product(product.columns).expression(),
        sizes_product(found.inner).expression(),
        _even(found.left.layout, looped, start * found.left.own, found.left.own, found.left.inner),
        _even(found.right.layout, looped, Polynomial(()), found.right.inner, found.right.own),
        _even(result, looped, start * row_step, row_step, polynomial(ONE)),
        accumulate=bool(found.outer),
        label=label,
    )
    body: tuple[Statement, ...] = loops(found.outer, (call,))
    if found.outer:
        cleared = tuple(refresh(index) for index in (*product.rows, *product.columns))
        names: dict[Expr, Expr] = dict(zip((*product.rows, *product.columns), cleared, strict=True))
        target = tuple(substitute(subscript, names) for subscript in product.equation.subscripts)
        zero = loops(cleared, (Store(product.tensor.id, target, Const(0.0)),))
        if split_rows:
            (loop,) = zero
            assert isinstance(loop, For)
            zero = (For(loop.index, START, STOP, loop.body),)
        body = (*zero, *body)
    return loops(product.batch, body)


def with_part(found: Plan | Tabled, call: Matmul, index: Index, start: Expr, stop: Expr) -> Matmul:
    """The product for a part of the first index of its rows, or of its columns."""
    if isinstance(found, Tabled):
        return with_part_of_table(found, call, index, start, stop)
    in_rows = index in found.rows
    inner = sizes_product((found.rows if in_rows else found.columns)[1:])
    count = ((polynomial(stop) - polynomial(start)) * inner).expression()

    def moved(operand: Operand) -> Operand:
        step = operand.row if in_rows else operand.column
        assert not isinstance(step, Steps)
        offset = polynomial(operand.offset) + polynomial(start) * inner * polynomial(step)
        return replace(operand, offset=offset.expression())

    term = moved(call.term) if call.term is not None else None
    if in_rows:
        return replace(call, m=count, a=moved(call.a), c=moved(call.c), term=term, band=None)
    return replace(call, n=count, b=moved(call.b), c=moved(call.c), term=term, band=None)


def _even(place: Layout, looped: Sequence[Index], start: Polynomial, row: Polynomial, column: Polynomial) -> Operand:
    return operand(place, looped, start, row.expression(), column.expression())
