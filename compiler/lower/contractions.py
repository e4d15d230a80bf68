"""Sums of products of two tensors as matrix products.

``c[..] = sum[K] f*g``: every index stands in a group.  *Batch* indices are free and occur in both factors, the others
that are free belong to one factor, the reduced ones occur in both.  The last axes of ``c`` that belong to one factor
are the columns of the product, the axes before them that belong to the other factor its rows; what is left is looped
over.

A factor is read in place where its rows (columns) and a run of reduced indices lie evenly in memory.  Otherwise it is
*packed*: copied once into a tensor with one axis an index, an ordinary equation that is lowered like any other.  So a
convolution packs its windows, a gather or a guard is evaluated while packing, and a packed tensor is shared by all
contractions that want the same elements (a convolution and its weight gradient).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.alike import key
from dlc.compiler.ir.expr import (
    ONE,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    free_indices,
    op,
    reads,
    refresh,
    rename_bound,
    substitute,
)
from dlc.compiler.ir.graph import Equation, Tensor, whole
from dlc.compiler.ir.loops import START, STOP, For, Matmul, Operand, Statement, Store
from dlc.compiler.ir.safety import needs_more
from dlc.compiler.lower.nests import is_unit, sizes_product, volume
from dlc.compiler.lower.ranges import band, guarded, loops

#: Below this many multiplications a loop nest is at least as fast as a call.
SMALLEST = 2048
_SHORT_RUN = 16  # elements that lie side by side; copying so few at a time is slow
_BAND = 4  # a product does this many multiplications in the time that a loop needs for one


@dataclass(frozen=True)
class Factor:
    """One factor, the conditions that concern it, and its own free indices (rows or columns)."""

    value: Expr
    own: tuple[Index, ...]


@dataclass(frozen=True)
class Contraction:
    """``rows`` are consecutive axes of the result and of ``left``, ``columns`` of ``right``; ``batch`` the others."""

    tensor: Tensor
    equation: Equation
    result: Layout
    left: Factor
    right: Factor
    batch: tuple[Index, ...]
    rows: tuple[Index, ...]
    columns: tuple[Index, ...]
    reduced: tuple[Index, ...]


def contraction(
    tensor: Tensor,
    equation: Equation,
    sizes: Mapping[str, Sequence[Expr]],
    over: frozenset[Index] = frozenset(),
) -> Contraction | None:
    """The equation as a matrix product, or None if it is none or not worth a call; in a recurrence at one time, which
    the indices ``over`` tell.  ``sizes`` are those of the tensors that it reads.
    """
    value = equation.value
    if not (isinstance(value, Reduce) and value.op == "sum" and value.type == "real"):
        return None
    factors = _factors(value.body, sizes, over)
    if factors is None:
        return None
    reduced = set(value.indices)
    free = [set(free_indices(factor)) for factor in factors]
    if not all(reduced <= indices for indices in free):
        return None
    own = [tuple(i for i in equation.indices if i in free[n] and i not in free[1 - n]) for n in (0, 1)]
    if not (own[0] and own[1]):
        return None
    if volume((*equation.indices, *value.indices)) < SMALLEST or _is_banded(value):
        return None
    last = 0 if equation.indices[-1] in own[0] else 1
    if equation.indices[-1] not in own[last]:
        return None
    columns = _trailing(equation.indices, own[last])
    rest = equation.indices[: len(equation.indices) - len(columns)]
    rows = _last_run(rest, own[1 - last])
    if not rows or volume(rows) < 2 or volume(columns) < 2:
        return None
    result = layout(Read(tensor.id, equation.subscripts, "real"), tensor.sizes, over)
    if result is None or result.stride(rows) is None or not _is_one(result.stride(columns)):
        return None
    batch = tuple(index for index in rest if index not in rows)
    left, right = Factor(factors[1 - last], own[1 - last]), Factor(factors[last], own[last])
    return Contraction(tensor, equation, result, left, right, batch, rows, columns, value.indices)


def _is_banded(value: Reduce) -> bool:
    """Whether the conditions leave so few values to a reduced index that loops over them do far less work."""
    conditions, _ = guarded(value)
    widths = ((band(index, conditions), volume((index,))) for index in value.indices)
    return any(width is not None and _BAND * width <= extent for width, extent in widths)


def _factors(body: Expr, sizes: Mapping[str, Sequence[Expr]], over: frozenset[Index]) -> tuple[Expr, Expr] | None:
    """The two factors of a product; conditions around it go to the first factor that has their indices, and to the
    other one where it reads out of range without them.
    """
    conditions: list[Expr] = []
    if isinstance(body, Select) and isinstance(body.no, Const) and body.no.value == 0:
        conditions = list(body.cond.args) if isinstance(body.cond, Op) and body.cond.name == "and" else [body.cond]
        body = body.yes
    if not (isinstance(body, Op) and body.name == "mul" and len(body.args) == 2):
        return None
    guarded: list[list[Expr]] = [[], []]
    free = [set(free_indices(factor)) for factor in body.args]
    for cond in conditions:
        needed = set(free_indices(cond)) - over
        place = next((n for n in (0, 1) if needed <= free[n]), None)
        if place is None:
            return None
        guarded[place].append(cond)
    for conds, factor, indices in zip(guarded, body.args, free, strict=True):
        if needs_more(factor, sizes, conds, conditions):
            conds[:] = [cond for cond in conditions if set(free_indices(cond)) - over <= indices]
            if needs_more(factor, sizes, conds, conditions):
                return None
    pair = [
        Select(op("and", *conds), factor, Const(0.0)) if conds else factor
        for factor, conds in zip(body.args, guarded, strict=True)
    ]
    return pair[0], pair[1]


def _trailing(indices: Sequence[Index], group: Sequence[Index]) -> tuple[Index, ...]:
    """The longest run of ``group`` members at the end of ``indices``."""
    count = 0
    while count < len(indices) and indices[len(indices) - 1 - count] in group:
        count += 1
    return tuple(indices[len(indices) - count :])


def _is_one(stride: Polynomial | None) -> bool:
    return stride is not None and stride.value == 1


def _last_run(indices: Sequence[Index], group: Sequence[Index]) -> tuple[Index, ...]:
    """The last run of ``group`` members in ``indices``; others may stand behind it."""
    end = max((n + 1 for n, index in enumerate(indices) if index in group), default=0)
    return _trailing(indices[:end], group)


# -- memory layout ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """Where the elements of a read lie: ``offset`` plus the sum of index times stride, in elements."""

    read: Read
    sizes: tuple[Expr, ...]
    strides: dict[Index, Polynomial]
    offset: Polynomial

    @property
    def buffer(self) -> str:
        return self.read.tensor

    def stride(self, indices: Sequence[Index]) -> Polynomial | None:
        """The one stride of a group of indices taken as one, in row-major order; None if they do not lie evenly."""
        step = self.strides.get(indices[-1])
        if step is None:
            return None
        expected = step
        for inner, outer in zip(reversed(indices), list(reversed(indices))[1:], strict=False):
            expected = expected * polynomial(inner.size)
            if self.strides.get(outer) != expected:
                return None
        return step

    def piece(self, looped: Sequence[Index]) -> tuple[Expr, ...]:
        """The leading subscripts that do not move but with the indices that are looped over."""
        moving = set(self.strides) - set(looped)
        fixed = takewhile(lambda subscript: moving.isdisjoint(free_indices(subscript)), self.read.subscripts)
        return tuple(fixed)


def layout(value: Expr, sizes: Sequence[Expr], over: frozenset[Index] = frozenset()) -> Layout | None:
    """The layout of an affine read of a tensor with these axes; None for anything else.  The indices ``over`` are
    fixed, and part of the offset.
    """
    if not isinstance(value, Read) or not value.subscripts:
        return None
    step = polynomial(ONE)
    address = Polynomial(())
    for subscript, size in zip(reversed(value.subscripts), reversed(sizes), strict=True):
        address = address + polynomial(subscript) * step
        step = step * polynomial(size)
    strides: dict[Index, Polynomial] = {}
    for index in free_indices(value):
        if index in over:
            continue
        parts = address.split(index)
        if parts is None:
            return None
        strides[index], address = parts
    return Layout(value, tuple(sizes), strides, address)


@dataclass(frozen=True)
class Placed:
    """A factor in memory and the strides of its own group and of the inner reduced indices."""

    layout: Layout
    own: Polynomial
    inner: Polynomial


def _placed(place: Layout, own: tuple[Index, ...], inner: tuple[Index, ...]) -> Placed | None:
    own_stride, inner_stride = place.stride(own), place.stride(inner)
    if own_stride is None or inner_stride is None or 1 not in (own_stride.value, inner_stride.value):
        return None
    return Placed(place, own_stride, inner_stride)


class Packer:
    """Makes packed copies of factors and remembers them, so that equal ones are made once; in a recurrence, where
    elements change from round to round (``over``), every product makes its own.
    """

    def __init__(
        self, sizes: dict[str, tuple[Expr, ...]], fresh_id: Callable[[str], str], over: frozenset[Index] = frozenset()
    ) -> None:
        self._sizes = sizes
        self._fresh_id = fresh_id
        self._over = over
        self._made: dict[Expr, list[tuple[str, tuple[int, ...]]]] = {}
        self.tensors: list[Tensor] = []

    def among(self, names: Collection[str]) -> Packer:
        """One that knows these copies only."""
        found = Packer(self._sizes, self._fresh_id, self._over)
        for form, copies in self._made.items():
            found._made[form] = [copy for copy in copies if copy[0] in names]
        return found

    def in_place(self, value: Expr) -> list[Layout]:
        """The layouts in which the elements of ``value`` lie in memory already."""
        found = [layout(value, self._sizes[value.tensor], self._over)] if isinstance(value, Read) else []
        form, free = key(value)
        for tensor, order in self._made.get(form, []):
            found.append(layout(Read(tensor, tuple(free[n] for n in order), "real"), self._sizes[tensor]))
        return [place for place in found if place is not None]

    def pack(self, value: Expr, order: Sequence[Index], owner: Tensor, equation: Equation) -> Layout:
        """A new tensor that holds the elements of ``value`` with its axes in this order."""
        own = tuple(refresh(index) for index in order)
        name = self._fresh_id(f"{value.tensor if isinstance(value, Read) else owner.id}.packed")
        copied = substitute(rename_bound(value), dict(zip(order, own, strict=True)))
        self.tensors.append(whole(name, own, copied, equation.span))
        self._sizes[name] = tuple(index.size for index in own)
        if not self._over:
            form, free = key(value)
            self._made.setdefault(form, []).append((name, tuple(map(free.index, order))))
        result = layout(Read(name, tuple(order), "real"), self._sizes[name])
        assert result is not None
        return result


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


def plan(product: Contraction, packer: Packer) -> Plan:
    """Place both factors, packing what does not lie evenly."""
    best: Plan | None = None
    for order in _orders(product):
        for left in packer.in_place(product.left.value):
            for right in packer.in_place(product.right.value):
                found = _in_place(product, left, right, order)
                if found is not None and (best is None or volume(found.outer) < volume(best.outer)):
                    best = found
    if best is not None and _worth(best):
        return best
    return _packed(product, packer)


def packs(product: Contraction, sizes: dict[str, tuple[Expr, ...]]) -> bool:
    """Whether a factor has to be packed."""
    untouched = Packer(sizes, str)
    places = [untouched.in_place(factor.value) for factor in (product.left, product.right)]
    return not any(
        _in_place(product, left, right, order) is not None
        for order in _orders(product)
        for left in places[0]
        for right in places[1]
    )


def _orders(product: Contraction) -> list[tuple[Index, ...]]:
    """Orders of the reduced indices worth trying: as each factor has them in memory, and as written."""
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
        a, b = _placed(left, product.rows, inner), _placed(right, product.columns, inner)
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
                    placed = _placed(place, own, inner)
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
        found = _placed(place, own, inner)
        if found is not None:
            return found
    group = set(own) | set(order)
    leading = tuple(i for i in free_indices(factor.value) if i not in group and i in product.equation.indices)
    leading = tuple(sorted(leading, key=product.equation.indices.index))
    outer = order[: len(order) - len(inner)]
    axes = (
        (*leading, *outer, *inner, *own)
        if _copies_along(factor.value, own, inner)
        else (*leading, *outer, *own, *inner)
    )
    found = _placed(packer.pack(factor.value, axes, product.tensor, product.equation), own, inner)
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


def seen(found: Plan) -> Equation:
    """The equation as the kernel computes it, from packed copies where there are some."""
    value = op("mul", found.left.layout.read, found.right.layout.read)
    return replace(found.product.equation, value=Reduce("sum", found.product.reduced, value))


def shared_rows(found: Plan) -> bool:
    """Whether shards share out the rows of one product; otherwise whole products, along the first index looped over."""
    return found.product.rows[0] is found.product.equation.indices[0]


def product_body(found: Plan) -> tuple[Statement, ...]:
    """The statements of a contraction's kernel.  One whose rows are shared out is restricted to a shard's part."""
    product = found.product
    result = product.result
    split_rows = shared_rows(found)
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
        _operand(found.left.layout, looped, start * found.left.own, found.left.own, found.left.inner),
        _operand(found.right.layout, looped, Polynomial(()), found.right.inner, found.right.own),
        _operand(result, looped, start * row_step, row_step, polynomial(ONE)),
        accumulate=bool(found.outer),
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


def _operand(place: Layout, looped: Sequence[Index], start: Polynomial, row: Polynomial, column: Polynomial) -> Operand:
    offset = place.offset + start
    for index in looped:
        if index in place.strides:
            offset = offset + place.strides[index] * polynomial(index)
    piece = place.piece(looped)
    step = polynomial(ONE)
    for axis in reversed(range(len(place.sizes))):
        if axis < len(piece):
            offset = offset - polynomial(piece[axis]) * step
        step = step * polynomial(place.sizes[axis])
    return Operand(place.buffer, offset.expression(), row.expression(), column.expression(), piece)
