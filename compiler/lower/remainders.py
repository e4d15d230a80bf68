"""Rows that are no whole number of vectors, in vectors all the same: the last one begins early enough.

::

    for v < 28                         for block < 4
        y[u,v] = ..                        first = min(8*block, 20)
                                           for v = first .. first + 8
                                               y[u,v] = ..

Four elements are then computed twice, which takes less than computing them one by one.  So it is done where an element
takes some arithmetic, and where computing it again changes nothing: a loop that adds to something stays as it is.

Rows that are filled with a number, one after the other, go in such blocks. So does what copies every second element of
a row, were it a whole number of vectors, because LLVM has loops end before a vector would reach beyond the last element
that is read. It goes by four elements: four rounds are unrolled, and read no further. Of a row of open length, what the
blocks leave is copied one by one. Plain copies in small steps stay: the runtime makes them (`ir/strided_copies.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dlc.compiler.ir.affine import integer, polynomial
from dlc.compiler.ir.expr import ZERO, Const, Index, Op, Read, Select, free_indices, fresh, op, reads, refresh, walk
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var, expressions
from dlc.compiler.ir.short_rows import keeps_rows_apart
from dlc.compiler.ir.strided_copies import strided_copy
from dlc.compiler.lower.fusion import Body, renamed

_LANES = 8  # elements that LLVM takes together, however few there are
_FEW, _MORE = (
    4,
    16,
)  # elements of a block that LLVM unrolls, and of one with choices or long sums, which take long to come
_LONG = 256  # elements of a row of which a rest is a small part
_MUCH = 6  # operations and reads of one element
_MUCH_WITH_CHOICES = 30  # such as several comparisons: less is computed one by one as fast

Names = Callable[[str], str]


def without_rests(body: Body, names: Names) -> Body:
    """The body with its innermost loops block by block, where they would leave a rest."""

    def one(statement: Statement, is_inside: bool = False) -> Body:
        if isinstance(statement, If):
            return (replace(statement, body=tuple(made for each in statement.body for made in one(each, is_inside))),)
        if not isinstance(statement, For) or strided_copy(statement) is not None:
            return (statement,)
        is_once = not is_inside and _is_filled(statement.body)
        if not is_once and _leaves_a_rest(statement) and _may_run_again(statement.body):
            return (_in_blocks(statement, names),)
        if _is_copied_with_gaps(statement) and _extent(statement) is None:
            return _with_a_rest(statement, names)
        return (replace(statement, body=tuple(made for each in statement.body for made in one(each, True))),)

    return tuple(made for statement in body for made in one(statement))


def _leaves_a_rest(loop: For) -> bool:
    """Whether LLVM would compute some elements one by one, and that takes longer than to begin early."""
    extent = _extent(loop)
    if extent is None or not _LANES < extent < _LONG:
        return False
    if _takes_much(loop.body):
        return loop.start is ZERO and extent % _lanes(loop, extent) != 0
    if _is_filled(loop.body):
        return extent % _LANES != 0
    return _is_read_with_gaps(loop) and not _has_choices(loop.body)


def _lanes(loop: For, extent: int) -> int:
    """Elements of a block."""
    if not _takes_much(loop.body):
        return _LANES if _is_filled(loop.body) else _FEW
    is_as_little = extent >= _MORE and -(-extent // _MORE) * _MORE <= -(-extent // _LANES) * _LANES
    return _MORE if is_as_little and (_has_choices(loop.body) or keeps_rows_apart(loop)) else _LANES


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


def _is_copied_with_gaps(loop: For) -> bool:
    is_copied = all(isinstance(one, Store) for one in loop.body) and not _has_choices(loop.body)
    return is_copied and not _takes_much(loop.body) and _is_read_with_gaps(loop)


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
    lanes = _lanes(loop, extent)
    block = fresh(Const(-(-extent // lanes)), "block")
    first = Read(names("first"), (), "int")
    start = op("mul", Const(lanes), block)
    if extent % lanes:
        start = op("min", start, Const(extent - lanes))
    if loop.start is not ZERO:
        start = op("add", loop.start, start)
    inner = replace(loop, start=first, stop=op("add", first, Const(lanes)))
    return For(block, ZERO, block.size, (Let(first.tensor, start), inner))


def _with_a_rest(loop: For, names: Names) -> Body:
    """Blocks of a row of open length, and what they leave, element by element."""
    count, first = (Read(names(hint), (), "int") for hint in ("count", "first"))
    blocks = op("floordiv", count, Const(_FEW))
    block = fresh(blocks, "block")
    start = integer(op("add", loop.start, op("mul", Const(_FEW), block)))
    rest = integer(op("add", loop.start, op("mul", Const(_FEW), blocks)))
    names_of_rest: dict[Index, Index] = {loop.index: refresh(loop.index)}
    (other,) = renamed((replace(loop, start=rest),), names_of_rest)
    inner = replace(loop, start=first, stop=op("add", first, Const(_FEW)))
    length = op("max", ZERO, loop.length)
    return Let(count.tensor, length), For(block, ZERO, blocks, (Let(first.tensor, start), inner)), other
