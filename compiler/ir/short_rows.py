"""Loops along rows of fewer elements than a vector has, which may go in one vector under a mask."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.compiler.ir.affine import integer, known, polynomial
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Select, free_indices, op, reads, walk
from dlc.compiler.ir.loops import For, Let, Statement, Store, Update, Var, expressions

_FEWEST, _MOST = 5, 7  # elements: four are a vector
_MUCH = 6  # operations and reads of one element, from where on a mask costs less than elements one by one
_WRITTEN_OUT = 7  # rounds of a loop inside of which nothing is left


def is_short_row(loop: For) -> bool:
    """Whether the elements of the row lie side by side in all that it touches, and take some arithmetic.

    A row of sums counts if each element adds several terms: adding up the vector takes as long as adding few numbers.
    """
    if not _FEWEST <= (_rounds(loop) or 0) <= _MOST:
        return False
    (inner, *others) = loop.body
    adds_several = not others and isinstance(inner, For) and 1 < (_rounds(inner) or 0) <= _WRITTEN_OUT
    body = inner.body if adds_several and isinstance(inner, For) else loop.body
    own = {one.name for one in body if isinstance(one, Var)}
    if any(isinstance(one, Update) and one.name not in own for one in body) and not adds_several:
        return False
    if not all(isinstance(one, Let | Var | Update | Store) for one in body):
        return False
    is_even = all(_is_even(subscripts, loop.index) for one in body for subscripts in _places(one))
    return is_even and (adds_several or _work(body) >= _MUCH)


def _rounds(loop: For) -> int | None:
    return known(integer(op("add", loop.stop, op("neg", loop.start))))


def _places(statement: Statement) -> Iterator[tuple[Expr, ...]]:
    """The subscripts of all that the statement touches."""
    if isinstance(statement, Store):
        yield statement.subscripts
    yield from (read.subscripts for read in reads(*expressions(statement)))


def _is_even(subscripts: tuple[Expr, ...], index: Index) -> bool:
    """Whether the next element of the row is the next in memory, or the same."""
    if not any(index in free_indices(subscript) for subscript in subscripts):
        return True
    *outer, last = subscripts
    parts = polynomial(last).split(index)
    is_row = parts is not None and parts[0].value == 1
    return is_row and not any(index in free_indices(subscript) for subscript in outer)


def _work(body: tuple[Statement, ...]) -> int:
    nodes = [node for one in body for e in expressions(one) for node in walk(e)]
    return sum(
        (isinstance(node, Op | Select) and node.type != "int") or (isinstance(node, Read) and bool(node.subscripts))
        for node in nodes
    )
