"""Rows in blocks: products and loops over one and the same index take turns, a block of its range at a time.

Attention multiplies queries by keys, does something to every row of scores, and multiplies the rows by values.  Done
for all rows one after the other, this keeps a matrix of scores that leaves the cache where sequences are long.  Here
neighbouring statements that run over the same rows become one loop over blocks of them::

    matmul s = q . k               for block
    for t < |T|                        matmul s = q[first:last] . k
        a[t] = .. s[t] ..     ->       for t in first .. last
    matmul y = a . v                       a[t - first] = .. s[t - first] ..
                                       matmul y[first:last] = a . v

What lives in memory between them shrinks to a block.  A product that sums over the rows, as the gradients of keys and
values do, is accumulated: its result is set to 0 before.

A block is also what masks are told of.  Where the elements of a product that are needed, or the factors that may
differ from zero, lie between bounds for the rows of a block, only those are multiplied: with ``s <= t``, keys up to the
last query of the block.  Bounds that move with the rows one by one, as these do, are a band that the product itself
keeps to; blocks are low only where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dlc.compiler.ir.affine import equal, polynomial
from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Index, Read, fresh, op, refresh
from dlc.compiler.ir.loops import Buffer, For, If, Let, Matmul, Operand, Statement, Store, statements
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower.fusion import Body, accesses, touches
from dlc.compiler.lower.parts import Block, Member, Product
from dlc.compiler.lower.ranges import loops

#: Rows of a block at least, and under a mask without a band: higher blocks multiply more that is zero, lower ones read
#: the other factor more often.
_MASKED_ROWS = 48
_ELEMENTS = 1 << 16  # of a block: a quarter of a megabyte

Names = Callable[[str], str]


@dataclass
class _Run:
    """Neighbours that may take turns."""

    members: list[Member] = field(default_factory=list)

    def holds(self, member: Member) -> bool:
        """Whether no block of the member needs anything of another block of what is there already."""
        for other in self.members:
            for key in member.at.keys() & other.at.keys() & (member.written | other.written):
                if member.at[key] is None or member.at[key] != other.at[key]:
                    return False
        return True

    def writes_rows(self, key: str) -> bool:
        return any(key in one.written and one.at[key] is not None for one in self.members)


@dataclass
class _Blocking:
    """``private`` are the buffers that nobody reads but this kernel; those that shrink are replaced in ``buffers``."""

    whole: Body
    private: set[str]
    products: Mapping[str, Product]
    buffers: dict[str, Buffer]
    names: Names

    def body(self, body: Body, around: tuple[Index, ...] = ()) -> Body:
        for extent in self._extents(body):
            found = self._first_run(body, extent)
            if found is not None:
                first, run = found
                before, after = body[:first], body[first + len(run.members) :]
                return (*self.body(before, around), *self._blocked(run, extent, around), *self.body(after, around))
        return tuple(self._inside(one, around) if isinstance(one, For) else one for one in body)

    def _inside(self, loop: For, around: tuple[Index, ...]) -> For:
        return replace(loop, body=self.body(loop.body, (*around, loop.index)))

    def _extents(self, body: Body) -> list[Expr]:
        """The extents of rows that products run over."""
        found: dict[Expr, None] = {}
        for product in filter(None, map(self._product, body)):
            if len(product.plan.product.rows) == 1:
                found[product.plan.product.rows[0].size] = None
        return list(found)

    def _product(self, statement: Statement) -> Product | None:
        return self.products.get(statement.label) if isinstance(statement, Matmul) else None

    # -- finding ------------------------------------------------------------------------------------------------------

    def _first_run(self, body: Body, extent: Expr) -> tuple[int, _Run] | None:
        """The first neighbours for which blocks are worth while, and the place of the first of them."""
        run, first = _Run(), 0
        for number, statement in enumerate(body):
            member = self._member(run, statement, extent)
            if member is None:
                if self._is_worth(run):
                    return first, run
                run, first = _Run(), number
                member = self._member(run, statement, extent)
            if member is None:
                first = number + 1
            else:
                run.members.append(member)
        return (first, run) if self._is_worth(run) else None

    def _member(self, run: _Run, statement: Statement, extent: Expr) -> Member | None:
        return next((one for one in self._roles(run, statement, extent) if run.holds(one)), None)

    def _roles(self, run: _Run, statement: Statement, extent: Expr) -> Iterator[Member]:
        product = self._product(statement)
        if isinstance(statement, For):
            if statement.start is ZERO and equal(statement.stop, extent):
                yield Member(statement, statement.index, _rows_of_loop(statement))
        elif product is not None and isinstance(statement, Matmul) and not statement.accumulate:
            for role in ("rows", "inner"):
                group = product.groups[role]
                if len(group) != 1 or not equal(group[0].size, extent):
                    continue
                at = _rows_of_product(statement, product, group[0])
                if role == "rows" or any(run.writes_rows(key) for key in (statement.a.buffer, statement.b.buffer)):
                    yield Member(statement, group[0], at, role, product)

    def _is_worth(self, run: _Run) -> bool:
        """Whether a product leaves something to a block, and another takes it from there; or whether a mask leaves less
        to multiply.
        """
        if _masked(run):
            return True
        shrinking = self._shrinking(run)
        made = {one.statement.c.buffer for one in run.members if isinstance(one.statement, Matmul)}
        taken = {
            operand.buffer
            for one in run.members
            if isinstance(one.statement, Matmul)
            for operand in (one.statement.a, one.statement.b)
        }
        return bool(made & shrinking.keys() and taken & shrinking.keys())

    def _shrinking(self, run: _Run) -> dict[str, int]:
        """The buffers that need no more than the rows of one block, with the axis of the rows."""
        found: dict[str, int] = {}
        inside = [one.statement for one in run.members]
        for key in dict.fromkeys(key for one in run.members for key in one.at):
            users = [one for one in run.members if key in one.at]
            axis = users[0].at[key]
            if axis is None or key not in self.private or any(one.at[key] != axis for one in users):
                continue
            if _count(inside, key) != _count(self.whole, key) or not any(key in one.written for one in users):
                continue
            operands = [o for one in users for o in _operands(one.statement) if o.buffer == key]
            if operands and all(len(operand.piece) == axis for operand in operands):
                found[key] = axis
        return found

    # -- making -------------------------------------------------------------------------------------------------------

    def _blocked(self, run: _Run, extent: Expr, around: tuple[Index, ...]) -> Body:
        shrinking = self._shrinking(run)
        rows = _height(run, shrinking, self.buffers, extent, around)
        hint = run.members[0].index.hint
        height, named = rows, ()
        if not isinstance(rows, Const):
            height = Read(self.names(f"{hint}.rows"), (), "int")
            named = (Let(height.tensor, rows),)
        count = op("floordiv", polynomial(op("add", extent, height, Const(-1))).expression(), height)
        number = fresh(count, f"{hint}.block")
        first = Read(self.names(f"{hint}.first"), (), "int")
        last = Read(self.names(f"{hint}.last"), (), "int")
        block = Block(first, last, extent, shrinking, around)
        body: list[Statement] = [
            Let(first.tensor, op("mul", height, number)),
            Let(last.tensor, op("min", extent, op("add", first, height))),
        ]
        cleared: list[Statement] = []
        for member in run.members:
            if member.role == "inner":
                assert member.product is not None
                cleared += _cleared(member.product, around)
            body += block.of(member)
        for key, axis in shrinking.items():
            sizes = self.buffers[key].sizes
            self.buffers[key] = replace(self.buffers[key], sizes=(*sizes[:axis], rows, *sizes[axis + 1 :]))
        return (*cleared, *named, For(number, ZERO, count, tuple(body)))


def blocked(
    body: Body, private: set[str], products: Mapping[str, Product], buffers: dict[str, Buffer], names: Names
) -> Body:
    """The body of a kernel with rows in blocks where that is worth while."""
    return _Blocking(body, private, products, buffers, names).body(body) if products else body


def _masked(run: _Run) -> bool:
    """Whether the rows of a block tell what has to be multiplied."""
    return any(member.facts for member in run.members)


def _height(
    run: _Run, shrinking: Mapping[str, int], buffers: Mapping[str, Buffer], extent: Expr, around: tuple[Index, ...]
) -> Expr:
    """The number of rows of a block: as many as stay in the cache, or few under a mask of which products are told
    nothing but where a block ends.
    """
    if not shrinking or any(member.facts and member.diagonals(around) is None for member in run.members):
        return Const(_MASKED_ROWS)
    width = max(
        (polynomial(op("mul", ONE, *buffers[key].sizes[axis + 1 :])) for key, axis in shrinking.items()),
        key=lambda size: (len(size.terms), size.value or 0),
    )
    fitting = op("floordiv", Const(_ELEMENTS), op("max", width.expression(), ONE))
    height = op("min", op("max", fitting, Const(_MASKED_ROWS)), op("max", extent, ONE))
    return polynomial(height).expression()


def _operands(statement: Statement) -> tuple[Operand, ...]:
    return (statement.a, statement.b, statement.c) if isinstance(statement, Matmul) else ()


def _count(body: Iterable[Statement], key: str) -> int:
    """How many statements, without those inside them, touch the buffer."""
    return sum(key in touches((s,)) for s in statements(tuple(body)) if not isinstance(s, For | If))


def _rows_of_loop(loop: For) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for key, places in accesses(loop.body).items():
        axes = range(min(map(len, places)))
        found[key] = next((axis for axis in axes if all(place[axis] is loop.index for place in places)), None)
    return found


def _rows_of_product(call: Matmul, product: Product, index: Index) -> dict[str, int | None]:
    plan = product.plan
    found: dict[str, int | None] = {}
    for operand, place in ((call.a, plan.left.layout), (call.b, plan.right.layout), (call.c, plan.product.result)):
        axis = next((n for n, s in enumerate(place.read.subscripts) if s is index), None)
        key = operand.buffer
        found[key] = axis if found.get(key, axis) == axis else None
    return found


def _cleared(product: Product, around: tuple[Index, ...]) -> Body:
    """The result of a product set to 0, for the values of the indices of the loops around it."""
    found = product.plan.product
    own = (*found.rows, *found.columns)
    cleared = tuple(refresh(index) for index in own)
    names: dict[Expr, Expr] = dict(zip(own, cleared, strict=True))
    names.update(zip(found.batch, around, strict=True))  # loops that became one with others keep their places
    target = tuple(substitute(subscript, names) for subscript in found.equation.subscripts)
    return loops(cleared, (Store(found.tensor.id, target, Const(0.0)),))
