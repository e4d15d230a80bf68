"""Products that a term is added to: the tile adds it to the sums in its registers, and nothing goes through them again.

Where a loop adds to the results of a product, which it alone reads, something that is the same in all columns or in all
rows, such as the bias of a map or of a neuron::

    maps = kernel . image                        y[n] = b + kernel . image
    for all elements of the maps
        y[n,o,u,v] = maps[o,u,v] + b[o]

the product writes what the loop wrote. What lies evenly as its results do, such as the input of a residual layer, is
a term too, except beside tables of offsets. Nothing need be added: the results of a group are written among those of
all groups, ``y[n,M*g+m,u,v]``, where a loop would copy them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import Polynomial, equal
from dlc.compiler.ir.expr import ZERO, Expr, Index, Op, Read, free_indices
from dlc.compiler.ir.loops import Buffer, For, If, Matmul, Operand, Statement, Store, statements
from dlc.compiler.lower.fusion import Body, touches, writes
from dlc.compiler.lower.layouts import Layout, layout, operand
from dlc.compiler.lower.products import Plan
from dlc.compiler.lower.tables import Tabled

_NONE = Polynomial(())


def with_terms(
    body: Body, private: set[str], called: Mapping[str, Plan | Tabled], buffers: Mapping[str, Buffer]
) -> Body:
    """The body with what loops add to products, of which the results are ``private``, as terms of these."""
    whole = list(statements(body))
    written = writes(body)

    def visit(inner: Body) -> Body:
        found = [replace(one, body=visit(one.body)) if isinstance(one, For | If) else one for one in inner]
        for number, product in enumerate(found):
            if not isinstance(product, Matmul) or product.label not in called or not _is_read_once(product, whole):
                continue
            reader = next((n for n in range(number + 1, len(found)) if product.c.buffer in touches((found[n],))), None)
            if reader is None or product.c.buffer not in private:
                continue
            merged = _with_term(product, found[reader], called[product.label], written, buffers)
            if merged is not None and merged.c.buffer not in touches(found[number:reader]):
                found[number] = merged
                del found[reader]
        return tuple(found)

    return visit(body)


def _is_read_once(product: Matmul, whole: Sequence[Statement]) -> bool:
    """Whether one loop reads the results, and nothing else touches them."""
    if product.accumulate or product.term is not None or product.c.offset is not ZERO:
        return False
    users = [one for one in whole if not isinstance(one, For | If) and product.c.buffer in touches((one,))]
    return len(users) == 2 and isinstance(users[1], Store)


def _with_term(
    product: Matmul, reader: Statement, found: Plan | Tabled, written: set[str], buffers: Mapping[str, Buffer]
) -> Matmul | None:
    """The product with what the reader adds to it, if anything, written where that writes."""
    loops, store = _nest(reader)
    if store is None:
        return None
    results, rest = _parts(store, product.c.buffer)
    if results is None or (rest is not None and rest.tensor in written):
        return None
    source = buffers[product.c.buffer]
    lead, inner = results.subscripts[: len(product.c.piece)], results.subscripts[len(product.c.piece) :]
    if lead != product.c.piece or set(inner) != set(loops) or len(inner) != len(loops):
        return None
    sizes: dict[Expr, Expr] = dict(zip(inner, source.sizes[len(lead) :], strict=True))
    place = _place(store, results, loops, buffers)
    if place is None or any(not equal(index.size, sizes[index]) for index in loops):
        return None
    term = _term(rest, loops, results, found, buffers) if rest is not None else None
    if rest is not None and term is None:
        return None
    return replace(product, c=operand(place, (), _NONE, product.c.row, product.c.column), term=term)


def _place(store: Store, results: Read, loops: Sequence[Index], buffers: Mapping[str, Buffer]) -> Layout | None:
    """Where the loops store, if that lies as the results do: of a group, say, among those of all groups."""
    reads = Read(store.buffer, store.subscripts, results.type), results
    fixed = frozenset(index for read in reads for index in free_indices(read) if index not in loops)
    target, source = (layout(read, buffers[read.tensor].sizes, fixed) for read in reads)
    if target is None or source is None or target.strides.keys() != source.strides.keys():
        return None
    is_alike = all(
        equal(step.expression(), source.strides[index].expression()) for index, step in target.strides.items()
    )
    return target if is_alike else None


def _nest(statement: Statement) -> tuple[list[Index], Store | None]:
    """The loops, all over whole ranges, in which one element is stored and nothing else done."""
    loops: list[Index] = []
    while isinstance(statement, For) and len(statement.body) == 1:
        if statement.start is not ZERO or not equal(statement.stop, statement.index.size):
            return loops, None
        loops.append(statement.index)
        statement = statement.body[0]
    return loops, statement if isinstance(statement, Store) else None


def _parts(store: Store, results: str) -> tuple[Read | None, Read | None]:
    """The result of the product that is stored, and what is added to it, if anything."""
    value = store.value
    if isinstance(value, Read) and value.tensor == results and value.subscripts:
        return value, None
    if not isinstance(value, Op) or value.name != "add" or len(value.args) != 2:
        return None, None
    one, other = value.args
    if not isinstance(one, Read) or not isinstance(other, Read) or not (one.subscripts and other.subscripts):
        return None, None
    if other.type != "real" or results not in (one.tensor, other.tensor) or one.tensor == other.tensor:
        return None, None
    return (one, other) if one.tensor == results else (other, one)


def _term(
    value: Read, loops: Sequence[Index], results: Read, found: Plan | Tabled, buffers: Mapping[str, Buffer]
) -> Operand | None:
    """Where the term lies, if it does so evenly along the rows and along the columns of the product."""
    fixed = frozenset(index for index in free_indices(value) if index not in loops)
    place = layout(value, buffers[value.tensor].sizes, fixed)
    if place is None:
        return None
    at = dict(zip(found.product.equation.subscripts, results.subscripts, strict=True))
    steps: list[Polynomial] = []
    for group in (found.rows, found.columns):
        own = [at.get(index) for index in group]
        moving = [index for index in own if index in place.strides]
        step = place.stride([index for index in own if isinstance(index, Index)]) if moving else _NONE
        if step is None or any(index not in loops for index in own):
            return None
        steps.append(step)
    row, column = steps
    if column.value not in (0, 1) or (isinstance(found, Tabled) and (row.value, column.value) not in _OF_TABLES):
        return None
    return operand(place, (), _NONE, row.expression(), column.expression())


#: Steps of a term along rows and columns that a product through tables takes.
_OF_TABLES = ((0, 0), (1, 0), (0, 1))
