"""Rows that are no whole number of vectors, in vectors all the same: the last one begins early enough.

::

    for v < 28                         for block < 4
        y[u,v] = ..                        first = min(8*block, 20)
                                           for v = first .. first + 8
                                               y[u,v] = ..

Four elements are then computed twice, which takes less than computing them one by one.  So it is done where an element
takes some arithmetic, and where computing it again changes nothing: a loop that adds to something stays as it is.

Rows that are filled with a number, one after the other, go in such blocks, and what copies every second element of a
row, were it a whole number of vectors: LLVM has loops end before a vector would reach beyond the last element that is
read. Eight rounds are unrolled, and read no further.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.expr import ZERO, Const, Op, Read, Select, free_indices, fresh, op, reads, walk
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var, expressions
from dlc.compiler.lower.fusion import Body

_LANES = 8  # elements that LLVM takes together, however few there are
_LONG = 256  # elements of a row of which a rest is a small part
_MUCH = 6  # operations and reads of one element
_MUCH_WITH_CHOICES = 30  # LLVM unrolls eight rounds of less than that, and finds no vectors in choices side by side

Names = Callable[[str], str]


def without_rests(body: Body, names: Names) -> Body:
    """The body with its innermost loops block by block, where they would leave a rest."""

    def one(statement: Statement, is_inside: bool = False) -> Statement:
        if isinstance(statement, If):
            return replace(statement, body=tuple(one(each, is_inside) for each in statement.body))
        if not isinstance(statement, For):
            return statement
        is_once = not is_inside and _is_filled(statement.body)
        if not is_once and _leaves_a_rest(statement) and _may_run_again(statement.body):
            return _in_blocks(statement, names)
        return replace(statement, body=tuple(one(each, True) for each in statement.body))

    return tuple(map(one, body))


def _leaves_a_rest(loop: For) -> bool:
    """Whether LLVM would compute some elements one by one, and that takes longer than to begin early."""
    extent = _extent(loop)
    if extent is None or not _LANES < extent < _LONG:
        return False
    if _takes_much(loop.body):
        return loop.start is ZERO and extent % _LANES != 0
    if _is_filled(loop.body):
        return extent % _LANES != 0
    return _is_read_with_gaps(loop) and not _has_choices(loop.body)


def _is_filled(body: Body) -> bool:
    return all(isinstance(one, Store) and isinstance(one.value, Const) for one in body)


def _extent(loop: For) -> int | None:
    return (polynomial(loop.stop) - polynomial(loop.start)).value


def _is_read_with_gaps(loop: For) -> bool:
    """Whether some row is read at every second place or the like, and the places in between are not read."""
    places: dict[object, set[int]] = {}
    strides: dict[object, int] = {}
    for read in (found for one in loop.body for e in expressions(one) for found in reads(e) if found.subscripts):
        *outer, last = read.subscripts
        parts = polynomial(last).split(loop.index)
        stride = parts[0].value if parts is not None else None
        if parts is None or stride is None or not 1 < stride <= _LANES:
            continue
        if any(loop.index in free_indices(subscript) for subscript in outer):
            continue
        offset = parts[1].offset
        row = (read.tensor, *outer, parts[1] - offset, stride)
        places.setdefault(row, set()).add(offset % stride)
        strides[row] = stride
    return any(len(found) < strides[row] for row, found in places.items())


def _may_run_again(body: Body) -> bool:
    """Whether the body stores elements of buffers that it does not read, and changes nothing else."""
    own = {one.name for one in body if isinstance(one, Var)}
    stored = {one.buffer for one in body if isinstance(one, Store)}
    read = {found.tensor for one in body for e in expressions(one) for found in reads(e)}
    if any(isinstance(one, Update) and one.name not in own for one in body):
        return False
    return all(isinstance(one, Let | Var | Update | Store) for one in body) and not stored & read


def _takes_much(body: Body) -> bool:
    """Whether computing some elements twice costs less than computing as many one by one."""
    nodes = [node for one in body for e in expressions(one) for node in walk(e)]
    work = sum(isinstance(node, Op | Select) and node.type != "int" for node in nodes)
    work += sum(isinstance(node, Read) and bool(node.subscripts) for node in nodes)
    return work >= (_MUCH_WITH_CHOICES if _has_choices(body) else _MUCH)


def _has_choices(body: Body) -> bool:
    return any(isinstance(node, Select) for one in body for e in expressions(one) for node in walk(e))


def _in_blocks(loop: For, names: Names) -> For:
    extent = _extent(loop) or 0
    block = fresh(Const(-(-extent // _LANES)), "block")
    first = Read(names("first"), (), "int")
    start = op("mul", Const(_LANES), block)
    if extent % _LANES:
        start = op("min", start, Const(extent - _LANES))
    if loop.start is not ZERO:
        start = op("add", loop.start, start)
    inner = replace(loop, start=first, stop=op("add", first, Const(_LANES)))
    return For(block, ZERO, block.size, (Let(first.tensor, start), inner))
