"""Products that a term is added to: the tile adds it to the sums in its registers, and nothing goes through them again.

Where a loop adds to the results of a product, which it alone reads, something that is the same in all columns or in all
rows, such as the bias of a map or of a neuron::

    maps = kernel . image                        y[n] = b + kernel . image
    for all elements of the maps
        y[n,o,u,v] = maps[o,u,v] + b[o]

the product writes what the loop wrote. What lies evenly as its results do, such as the input of a residual layer, is
a term too, except beside tables of offsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import Polynomial, equal
from dlc.compiler.ir.expr import ZERO, Expr, Index, Op, Read, free_indices
from dlc.compiler.ir.loops import Buffer, For, If, Matmul, Operand, Statement, Store, statements
from dlc.compiler.lower.fusion import Body, touches, writes
from dlc.compiler.lower.layouts import layout, operand
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
    """The product with what the reader adds to it, written where that writes."""
    loops, store = _nest(reader)
    if store is None:
        return None
    results, rest = _parts(store, product.c.buffer)
    if results is None or rest is None or results.subscripts != store.subscripts or rest.tensor in written:
        return None
    target, source = buffers[store.buffer], buffers[product.c.buffer]
    lead, inner = store.subscripts[: len(product.c.piece)], store.subscripts[len(product.c.piece) :]
    if target.sizes != source.sizes or lead != product.c.piece or set(inner) != set(loops) or len(inner) != len(loops):
        return None
    sizes: dict[Expr, Expr] = dict(zip(inner, target.sizes[len(lead) :], strict=True))
    if any(not equal(index.size, sizes[index]) for index in loops):
        return None
    term = _term(rest, loops, store, found, buffers)
    return None if term is None else replace(product, c=replace(product.c, buffer=store.buffer), term=term)


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
    """The result of the product that is stored, and what is added to it."""
    value = store.value
    if not isinstance(value, Op) or value.name != "add" or len(value.args) != 2:
        return None, None
    one, other = value.args
    if not isinstance(one, Read) or not isinstance(other, Read) or not (one.subscripts and other.subscripts):
        return None, None
    if other.type != "real" or results not in (one.tensor, other.tensor) or one.tensor == other.tensor:
        return None, None
    return (one, other) if one.tensor == results else (other, one)


def _term(
    value: Read, loops: Sequence[Index], store: Store, found: Plan | Tabled, buffers: Mapping[str, Buffer]
) -> Operand | None:
    """Where the term lies, if it does so evenly along the rows and along the columns of the product."""
    fixed = frozenset(index for index in free_indices(value) if index not in loops)
    place = layout(value, buffers[value.tensor].sizes, fixed)
    if place is None:
        return None
    at = dict(zip(found.product.equation.subscripts, store.subscripts, strict=True))
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
