"""A statement for some of its rows: what a block of them does of a loop, and of a matrix product.

Of buffers that hold the rows of one block, the first row is the block's.  The other extents of a product end where its
facts tell that nothing is needed, or that all terms are zero.  Where that moves by one from row to row, as under a
causal mask, the product is told of the band that is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.expr import ZERO, Expr, Index, Read, free_indices, op
from dlc.compiler.ir.loops import Band, For, If, Matmul, Operand, Statement, Store
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.lower.fusion import Body, mapped, writes
from dlc.compiler.lower.products import Plan
from dlc.compiler.lower.ranges import extreme, solved_for


@dataclass(frozen=True)
class Product:
    """A matrix product of a kernel; ``facts`` are not negative where it matters what an element, or a term, is."""

    plan: Plan
    facts: tuple[Polynomial, ...] = ()

    @property
    def groups(self) -> dict[str, tuple[Index, ...]]:
        product = self.plan.product
        return {"rows": product.rows, "columns": product.columns, "inner": self.plan.inner}

    def within(self, around: tuple[Index, ...]) -> list[Polynomial]:
        """The facts inside these loops, which may have become one with those over the batch."""
        names: dict[Expr, Expr] = dict(zip(self.plan.product.batch, around, strict=False))
        return [polynomial(substitute(fact.expression(), names)) for fact in self.facts]

    @property
    def strides_of_batch(self) -> list[Polynomial]:
        """How far apart the results lie."""
        product = self.plan.product
        return [product.result.strides[index] for index in product.batch]


@dataclass(frozen=True)
class Member:
    """A statement of a run: over its own index for the rows.  ``at`` tells the axis of each buffer on which only the
    rows of the block are touched (None: more than these); ``role`` the group of a product that the index is.
    """

    statement: Statement
    index: Index
    at: Mapping[str, int | None]
    role: str = ""
    product: Product | None = None

    @property
    def written(self) -> set[str]:
        return writes((self.statement,))

    @property
    def facts(self) -> list[Polynomial]:
        """The facts that the rows of a block have a say in."""
        facts = self.product.facts if self.product is not None else ()
        return [fact for fact in facts if self.index in free_indices(fact.expression())]

    def diagonals(self, around: tuple[Index, ...] = ()) -> Diagonals | None:
        """The bounds that follow the rows one by one, inside these loops, if there are any."""
        if self.product is None:
            return None
        for role in ("columns", "inner") if self.role == "rows" else ("rows",):
            group = self.product.groups[role]
            if len(group) != 1:
                continue
            low: list[Polynomial] = []
            high: list[Polynomial] = []
            for fact in self.product.within(around):
                for bounds, found in zip(solved_for(fact, group[0]) or ((), ()), (low, high), strict=True):
                    found += filter(None, (_beside(bound, self.index, around) for bound in bounds))
            if low or high:
                return Diagonals(role, low, high)
        return None


@dataclass(frozen=True)
class Diagonals:
    """What is left of a group of indices for a row of a block: from the number of the row and ``low`` to below that and
    ``high``, whichever is least.
    """

    role: str
    low: Sequence[Polynomial]
    high: Sequence[Polynomial]


@dataclass(frozen=True)
class Block:
    """The rows ``first`` .. ``last`` - 1, in the loops ``around``; buffers that are ``shrinking`` hold only these."""

    first: Read
    last: Read
    extent: Expr
    shrinking: Mapping[str, int]
    around: tuple[Index, ...] = ()

    def of(self, member: Member) -> tuple[Statement, ...]:
        """The member for the rows of the block."""
        if isinstance(member.statement, For):
            loop = member.statement
            body = mapped(loop.body, self._moved)
            return (replace(loop, start=self.first, stop=self.last, body=self._stored(body)),)
        assert isinstance(member.statement, Matmul) and member.product is not None
        return (self._product(member, member.statement, member.product),)

    def _stored(self, body: Body) -> Body:
        def one(statement: Statement) -> Statement:
            if isinstance(statement, Store):
                return replace(statement, subscripts=self._subscripts(statement.buffer, statement.subscripts))
            if isinstance(statement, For | If):
                return replace(statement, body=self._stored(statement.body))
            return statement

        return tuple(map(one, body))

    def _moved(self, expression: Expr) -> Expr:
        def change(node: Expr) -> Expr | None:
            if isinstance(node, Read) and node.tensor in self.shrinking:
                return Read(node.tensor, self._subscripts(node.tensor, node.subscripts), node.type)
            return None

        return transform(expression, change)

    def _subscripts(self, key: str, subscripts: tuple[Expr, ...]) -> tuple[Expr, ...]:
        axis = self.shrinking.get(key)
        if axis is None:
            return subscripts
        inside = op("add", subscripts[axis], op("neg", self.first))
        return (*subscripts[:axis], inside, *subscripts[axis + 1 :])

    # -- products -----------------------------------------------------------------------------------------------------

    def _product(self, member: Member, call: Matmul, product: Product) -> Matmul:
        facts = product.within(self.around)
        ranges = {role: self._range(member, role, group, facts) for role, group in product.groups.items()}
        (m0, m1), (n0, n1), (k0, k1) = (
            ranges[role] or (ZERO, whole) for role, whole in (("rows", call.m), ("columns", call.n), ("inner", call.k))
        )
        return Matmul(
            _length(m0, m1),
            _length(n0, n1),
            _length(k0, k1),
            self._part(call.a, member, (m0, "rows"), (k0, "inner")),
            self._part(call.b, member, (k0, "inner"), (n0, "columns")),
            self._part(call.c, member, (m0, "rows"), (n0, "columns")),
            call.accumulate or member.role == "inner",
            way=call.way,
            band=self._band(member, {"rows": (m0, m1), "columns": (n0, n1), "inner": (k0, k1)}),
            label=call.label,
        )

    def _band(self, member: Member, ranges: Mapping[str, tuple[Expr, Expr]]) -> Band | None:
        """Counted from where the product begins, what is left of a row of it; a sum over the rows of the block is told
        from the other side.
        """
        found = member.diagonals(self.around)
        if found is None:
            return None
        low, high = found.low, found.high
        if member.role == "inner":
            moved = polynomial(ranges["rows"][0]) - polynomial(self.first)
            low, high = [moved - bound + 1 for bound in high], [moved - bound + 1 for bound in low]
        else:
            moved = polynomial(self.first) - polynomial(ranges[found.role][0])
            low, high = [moved + bound for bound in low], [moved + bound for bound in high]
        of: Literal["columns", "inner"] = "columns" if found.role == "columns" else "inner"
        rows, count = (_length(*ranges[role]) for role in ("rows", of))
        return Band(
            of,
            extreme("max", low) if low else (-polynomial(rows)).expression(),
            extreme("min", high) if high else count,
        )

    def _part(self, operand: Operand, member: Member, row: tuple[Expr, str], column: tuple[Expr, str]) -> Operand:
        offset = polynomial(operand.offset)
        for (start, role), step in ((row, operand.row), (column, operand.column)):
            if not (role == member.role and operand.buffer in self.shrinking):
                offset = offset + polynomial(start) * polynomial(step)
        return replace(operand, offset=offset.expression())

    def _range(
        self, member: Member, role: str, group: tuple[Index, ...], facts: Sequence[Polynomial]
    ) -> tuple[Expr, Expr] | None:
        """What has to be computed of a group of indices; None: all."""
        if role == member.role:
            return self.first, self.last
        if len(group) != 1:
            return None
        (index,) = group
        low, high = [Polynomial(())], [polynomial(index.size)]
        for fact in facts:
            bounds = solved_for(fact, index)
            if bounds is not None:
                low += filter(None, (self._outermost(one, member.index, least=True) for one in bounds[0]))
                high += filter(None, (self._outermost(one, member.index, least=False) for one in bounds[1]))
        if len(low) == len(high) == 1:
            return None
        first, last = polynomial(self.first), polynomial(self.last)
        known_ = (first, last - first - 1, polynomial(self.extent) - last)
        return extreme("max", low, known_), extreme("min", high, known_)

    def _outermost(self, bound: Polynomial, index: Index, least: bool) -> Polynomial | None:
        """The least or greatest value of a bound for a row of the block."""
        parts = bound.split(index)
        factor = parts[0].value if parts is not None else None
        if parts is None or factor is None or not set(free_indices(parts[1].expression())) <= set(self.around):
            return None
        at = polynomial(self.first) if (factor > 0) == least else polynomial(self.last) - 1
        return at * factor + parts[1]


def _beside(bound: Polynomial, index: Index, around: tuple[Index, ...]) -> Polynomial | None:
    """How far a bound is from the index, if it moves with it one by one."""
    parts = bound.split(index)
    if parts is None or parts[0].value != 1 or not set(free_indices(parts[1].expression())) <= set(around):
        return None
    return parts[1]


def _length(start: Expr, stop: Expr) -> Expr:
    return (polynomial(stop) - polynomial(start)).expression()
