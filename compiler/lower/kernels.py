"""Kernels in the making: each the loops of one or more equations, or one matrix product."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.ir.affine import Polynomial, equal, integer, known, polynomial
from dlc.compiler.ir.expr import (
    ONE,
    ZERO,
    Const,
    Expr,
    Index,
    Reduce,
    free_indices,
    fresh,
    op,
    reads,
)
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import (
    SHARD,
    SHARDS,
    START,
    STOP,
    Buffer,
    For,
    If,
    Matmul,
    Statement,
    Store,
    expressions,
    statements,
    written,
)
from dlc.compiler.lower import omission, scatter
from dlc.compiler.lower.blocks import blocked
from dlc.compiler.lower.fusion import Body, contractible_axes, forwarded, touches, with_axes_dropped, writes
from dlc.compiler.lower.parts import Product
from dlc.compiler.lower.products import Plan
from dlc.compiler.lower.rows import kept
from dlc.compiler.lower.shares import in_shares
from dlc.compiler.lower.tables import Tabled
from dlc.compiler.lower.terms import with_terms

_BLOCK = 4096  # numbers that one local adds up
_MANY = 16  # of samples: enough for all shards
# Elements between the pieces of two shards: a page of the narrower float and two lines of the cache. What fetches ahead
# goes on behind the end of a row that is swept again and again, up to the end of the page, and would take lines away
# from the processor that writes them.
_APART = 1056
_LINE = Const(32)  # elements of a piece of one number, which is written once


@dataclass
class Draft:
    """A kernel in the making.  ``body`` loops over whole ranges until it is finished; ``before`` and ``after`` are what
    every shard does around its part of them, ``before_block`` and ``after_block`` around every block of that.

    ``equations`` are those that it computes, with the packed copies that it reads instead of what they were made of: in
    a recurrence at one time, the rounds around it being ``over``; it is run in rounds, or for sizes, for which ``when``
    holds.
    ``formulas`` are the same equations as the graph has them.  A kernel that is finished stays alone and is split as it
    was made, along ``split_at`` if it is a product.  One that is split twice has its two outermost loops shared out
    together, or shares of its samples, or it is known when it runs along which of two indices it is split.
    ``beside`` are tensors that are read together with what it computes, a copy of what is at hand anyway.
    """

    equations: list[tuple[Tensor, Equation]]
    body: Body
    split: Expr | None = None
    split_at: Index | None = None
    work: list[Polynomial] = field(default_factory=list)
    is_finished: bool = False
    formulas: list[tuple[Tensor, Equation]] = field(default_factory=list)
    beside: frozenset[str] = frozenset()
    over: tuple[Index, ...] = ()
    when: tuple[Expr, ...] = ()
    before: Body = ()
    after: Body = ()
    before_block: Body = ()
    after_block: Body = ()
    products: dict[str, Product] = field(default_factory=dict)  # by their labels
    called: dict[str, Plan | Tabled] = field(default_factory=dict)  # likewise, those through tables among them
    is_split_twice: bool = False

    @property
    def whole(self) -> Body:
        """All statements."""
        return (*self.before, *self.before_block, *self.body, *self.after_block, *self.after)

    @property
    def computes(self) -> tuple[str, ...]:
        """The tensors of which it computes a part, and the pieces that shards have of their own."""
        stored = (written(statement) for statement in statements(self.whole))
        return tuple(dict.fromkeys((*(tensor.id for tensor, _ in self.equations), *filter(None, stored))))

    @property
    def outermost(self) -> For | None:
        """The loop that all of the kernel stands in, if there is one."""
        only = self.body[0] if len(self.body) == 1 else None
        return only if isinstance(only, For) and not self.is_finished else None


@dataclass
class Cycle:
    """The kernels of a recurrence, in rounds."""

    index: Index
    items: list[Draft | Cycle]

    @property
    def work(self) -> list[Polynomial]:
        return [polynomial(self.index.size) * part for item in self.items for part in item.work]


Item = Draft | Cycle


def leaves(items: Iterable[Item]) -> Iterator[Draft]:
    """All kernels, in order."""
    for item in items:
        if isinstance(item, Draft):
            yield item
        else:
            yield from leaves(item.items)


# -- finishing -------------------------------------------------------------------------------------------------------


def finish(
    draft: Draft,
    private: set[str],
    buffers: dict[str, Buffer],
    names: Callable[[str], str],
    fresh_id: Callable[[str], str],
) -> None:
    """Forward stored values, keep rows of what takes long, shrink the buffers that only this kernel touches, and make
    the kernel splittable.
    """
    if draft.is_finished:
        return
    mine = writes(draft.body) & private
    draft.body = forwarded(draft.body, mine, names)
    draft.body = blocked(draft.body, mine, draft.products, buffers, names)
    draft.body = with_terms(draft.body, mine, draft.called, buffers)
    split = _split_loops(draft)

    def row(label: str, indices: tuple[Index, ...]) -> tuple[str, tuple[Expr, ...]]:
        sizes = tuple(index.size for index in indices)
        lead, sizes = a_piece_each(sizes) if split is not None else ((), sizes)
        name = fresh_id(label)
        buffers[name] = Buffer(name, sizes, "real", "workspace")
        return name, lead

    draft.body = kept(draft.body, row, names)
    _shrink(draft, mine, buffers, split is not None)
    _share_out(draft, split, buffers, names)
    draft.body = (*draft.before, *_in_blocks(draft), *draft.after)


def _shrink(draft: Draft, mine: set[str], buffers: dict[str, Buffer], is_split: bool) -> None:
    """Drop what the kernel alone touched and touches no more, and the axes of which one element is alive at a time."""
    alive = touches(draft.body)
    for key in [key for key in buffers if key in mine]:
        if key not in alive:
            del buffers[key]
            continue
        axes = contractible_axes(draft.body, key, draft.over)
        if not axes:
            continue
        left = tuple(size for axis, size in enumerate(buffers[key].sizes) if axis not in axes)
        instead: tuple[Expr, ...] = ()
        if is_split:
            instead, left = a_piece_each(left)
        draft.body = with_axes_dropped(draft.body, key, axes, instead)
        buffers[key] = replace(buffers[key], sizes=left)


def _share_out(
    draft: Draft, split: tuple[Index, ...] | None, buffers: dict[str, Buffer], names: Callable[[str], str]
) -> None:
    """Have every shard compute its part, if the kernel may be split."""
    if split is None:
        return
    pair = _split_pair(draft)
    if pair is not None:
        draft.body = _restricted_pair(draft.body)
        draft.split = polynomial(op("mul", *(index.size for index in pair))).expression()
        draft.is_split_twice = True
    elif (shares := _shares(draft, buffers, names)) is not None:
        draft.body = shares
        draft.split = op("mul", split[0].size, SHARDS)
        draft.is_split_twice = True
    else:
        draft.body = _restricted(draft.body, split)
        draft.split = split[0].size


def _in_blocks(draft: Draft) -> Body:
    """The body, block by block if it is to do something for each."""
    if not draft.before_block:
        return draft.body
    (loop,) = draft.body
    assert isinstance(loop, For)
    length = op("add", loop.stop, op("neg", loop.start), Const(_BLOCK - 1))  # as it is read, not in normal form
    count = op("floordiv", length, Const(_BLOCK))
    block = fresh(count, "block")
    start = op("add", loop.start, op("mul", block, Const(_BLOCK)))
    stop = op("min", loop.stop, op("add", start, Const(_BLOCK)))
    return (For(block, ZERO, count, (*draft.before_block, replace(loop, start=start, stop=stop), *draft.after_block)),)


def a_piece_each(sizes: tuple[Expr, ...]) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """Leading subscripts and sizes of a buffer of which every shard has a piece, far enough from those of others."""
    if not sizes:
        return (SHARD, ZERO), (SHARDS, _LINE)
    row = integer(op("mul", *sizes[1:])) if sizes[1:] else ONE
    extent = known(row)
    rows = Const(-(-_APART // max(extent, 1))) if extent is not None else _rows_apart(row)
    return (SHARD,), (SHARDS, integer(op("add", sizes[0], rows)), *sizes[1:])


def _rows_apart(row: Expr) -> Expr:
    """How many rows of an open length lie between the pieces of two shards, or one more."""
    return op("add", ONE, op("floordiv", Const(_APART), op("max", ONE, row)))


def can_split(draft: Draft) -> bool:
    """Whether shards may divide the kernel's loops among themselves."""
    return _split_loops(draft) is not None


def _split_loops(draft: Draft) -> tuple[Index, ...] | None:
    """The loops over one and the same axis that together make up the kernel: what shards divide among themselves.

    Either the one outermost loop, where it runs over an index that every equation writes at; or, in a row form, the
    loops over the only free index.
    """
    loop = draft.outermost
    if loop is not None and equal(loop.stop, loop.index.size) and _writes_at(draft, loop.index):
        return (loop.index,)
    if len(draft.equations) != 1:
        return None
    ((_, equation),) = draft.equations
    if len(equation.indices) != 1 or not isinstance(equation.value, Reduce) or not equation.is_whole:
        return None
    found = _loops_storing(draft.body)
    return found if found and all(equal(index.size, found[0].size) for index in found) else None


def _split_pair(draft: Draft) -> tuple[Index, Index] | None:
    """The two outermost loops of a kernel that multiplies matrices, where shards may share out all their iterations: a
    batch may be one sample, with many heads.
    """
    loop = draft.outermost
    inner = loop.body[0] if loop is not None and len(loop.body) == 1 else None
    if loop is None or not isinstance(inner, For) or draft.over or draft.before or draft.after:
        return None
    if not any(isinstance(statement, Matmul) for statement in statements(inner.body)):
        return None
    most = known(loop.index.size)
    if most is not None and most >= _MANY:
        return None
    pair = loop.index, inner.index
    if free_indices(inner.stop) or not all(o.start is ZERO and equal(o.stop, o.index.size) for o in (loop, inner)):
        return None
    return pair if all(_multiplies_at(draft, index) for index in pair) else None


def _shares(draft: Draft, buffers: Mapping[str, Buffer], names: Callable[[str], str]) -> Body | None:
    """The kernel with its samples shared out, if they may be few."""
    loop = draft.outermost
    most = known(loop.index.size) if loop is not None else None
    if loop is None or draft.over or draft.before_block or (most is not None and most >= _MANY):
        return None
    return in_shares(loop, draft.called, buffers, names)


def _multiplies_at(draft: Draft, index: Index) -> bool:
    """Whether all that the kernel computes stands at the index, or at the shard, on some axis: matrices too, which may
    have more axes in front of this one.
    """
    for one in statements(draft.body):
        if isinstance(one, Store) and not any(e in (index, SHARD) for e in one.subscripts):
            return False
        if isinstance(one, Matmul) and not any(e in (index, SHARD) for e in one.c.piece):
            product = draft.products.get(one.label)
            parts = polynomial(one.c.offset).split(index)
            if product is None or parts is None or parts[0] not in product.strides_of_batch:
                return False
    return True


def _writes_at(draft: Draft, index: Index) -> bool:
    """Whether all that the loop stores stands at the index, or at the shard, on some axis, wherever it reads it too:
    shards then write to disjoint places, and none needs what another one has written, such as the step before.
    """
    found = list(statements(draft.body))
    stored: dict[str, list[tuple[Expr, ...]]] = {}
    for store in found:
        if isinstance(store, Store):
            stored.setdefault(store.buffer, []).append(store.subscripts)
    for read in reads(*(one for statement in found for one in expressions(statement))):
        if read.tensor in stored:
            stored[read.tensor].append(read.subscripts)
    pieces = [[one.c.piece] for one in found if isinstance(one, Matmul)]
    groups = [*stored.values(), *pieces]
    return bool(groups or draft.after) and all(_share_an_axis(places, index) for places in groups)


def _share_an_axis(places: Sequence[tuple[Expr, ...]], index: Index) -> bool:
    """Whether the index, or the shard, stands at one and the same axis of all places."""
    axes = range(min(map(len, places)))
    return any(all(place[axis] in (index, SHARD) for place in places) for axis in axes)


def _loops_storing(body: Body) -> tuple[Index, ...]:
    """The indices of the innermost loops around the stores, if every store stands at its loop's
    index.
    """
    found: list[Index] = []
    good = True

    def visit(inner: Sequence[Statement], loop: Index | None) -> None:
        nonlocal good
        for statement in inner:
            if isinstance(statement, For):
                visit(statement.body, statement.index)
            elif isinstance(statement, If):
                visit(statement.body, loop)
            elif isinstance(statement, Store):
                at_loop = loop is not None and statement.subscripts == (loop,)
                good = good and at_loop
                if at_loop and loop is not None:
                    found.append(loop)

    visit(body, None)
    return tuple(found) if good else ()


def _restricted(body: Body, split: Sequence[Index]) -> Body:
    """The body with the loops over the split indices run from start to stop, within their own bounds."""

    def visit(statement: Statement) -> Statement:
        if isinstance(statement, For):
            inner = tuple(visit(s) for s in statement.body)
            if statement.index in split:
                first = START if statement.start is ZERO else op("max", START, statement.start)
                is_whole = equal(statement.stop, statement.index.size)
                last = STOP if is_whole else op("min", STOP, statement.stop)
                return For(statement.index, first, last, inner)
            return replace(statement, body=inner)
        if isinstance(statement, If):
            return replace(statement, body=tuple(visit(s) for s in statement.body))
        return statement

    return tuple(visit(statement) for statement in body)


def _restricted_pair(body: Body) -> Body:
    """The body with the iterations of its two outermost loops, taken as one, from start to stop."""
    (loop,) = body
    assert isinstance(loop, For)
    (inner,) = loop.body
    assert isinstance(inner, For)
    before = op("neg", op("mul", loop.index, inner.stop))
    first, last = op("max", ZERO, op("add", START, before)), op("min", inner.stop, op("add", STOP, before))
    return (replace(loop, body=(replace(inner, start=first, stop=last),)),)


def split_axes(draft: Draft) -> Mapping[str, frozenset[int]]:
    """For each tensor that the kernel touches, the axes at which every access stands at the split index of its
    equation.
    """
    found: dict[str, frozenset[int]] = {}
    for tensor, equation in draft.equations:
        index = _split_index(draft, equation)
        accesses = [(tensor.id, equation.subscripts)]
        accesses += [(read.tensor, read.subscripts) for read in reads(equation.value, *equation.subscripts)]
        for key, subscripts in accesses:
            axes = frozenset(n for n, s in enumerate(subscripts) if index is not None and s is index)
            found[key] = found[key] & axes if key in found else axes
    return found


def _split_index(draft: Draft, equation: Equation) -> Index | None:
    if draft.split is None or draft.is_split_twice or not equation.indices:
        return None
    first = draft.split_at or _outermost(equation)
    if first is None:
        return None
    return first if equal(first.size, draft.split) and first not in free_indices(first.size) else None


def _outermost(equation: Equation) -> Index | None:
    """The index of the outermost loop; where factors are left out, or elements scattered, it need not be the first."""
    value = equation.value
    left_out = omission.omitted(equation, value) if isinstance(value, Reduce) else {}
    if left_out:
        return next((index for index in equation.indices if index not in left_out.values()), None)
    places = scatter.places(equation, value) if isinstance(value, Reduce) else {}
    if places:
        return next(iter(scatter.around(equation, places)), None)
    return equation.indices[0]
