"""Rows that read at a quotient of their index go block by block, without a division for every element.

::

    for w < 4*(|W| // 4)                   for w4 < 4
        d[w] = c[w // (|W| // 4)]              for w < |W| // 4
                                                   d[w4*(|W| // 4) + w] = c[w4]

The gradient of a mean over windows side by side is such a row. The rounds stay in their order.

Left out: rows and blocks of known length, where LLVM divides by a multiplication, in vectors.
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.ir.affine import Polynomial, integer, known, polynomial
from dlc.compiler.ir.expr import ZERO, Expr, Index, Op, free_indices, fresh, op, walk
from dlc.compiler.ir.loops import For, If, Statement, expressions
from dlc.compiler.ir.rewriting import replaced
from dlc.compiler.lower.fusion import Body, mapped


def by_quotients(body: Body) -> Body:
    """The body with its innermost loops over such rows as loops over blocks."""
    return tuple(map(_in_blocks, body))


def _in_blocks(statement: Statement) -> Statement:
    if not isinstance(statement, For | If):
        return statement
    if isinstance(statement, For) and not any(isinstance(one, For | If) for one in statement.body):
        return _blocks(statement) or statement
    return replace(statement, body=by_quotients(statement.body))


def _blocks(loop: For) -> For | None:
    nodes = dict.fromkeys(node for one in loop.body for e in expressions(one) for node in walk(e))
    divisors = dict.fromkeys(size for node in nodes if (size := _divisor(node, loop.index)) is not None)
    if len(divisors) != 1 or loop.start is not ZERO or known(loop.stop) is not None:
        return None
    (size,) = divisors
    count, rest = polynomial(loop.stop).divide(polynomial(size))
    if rest != Polynomial(()) or known(size) == 0:
        return None
    block, inside = fresh(count.expression(), loop.index.hint), fresh(size, loop.index.hint)
    changes: dict[Expr, Expr] = {
        op("floordiv", loop.index, size): block,
        op("mod", loop.index, size): inside,
        loop.index: integer(op("add", op("mul", size, block), inside)),
    }
    body = mapped(loop.body, lambda e: replaced(e, changes))
    return For(block, ZERO, block.size, (For(inside, ZERO, size, body),))


def _divisor(node: Expr, index: Index) -> Expr | None:
    if isinstance(node, Op) and node.name in ("floordiv", "mod") and node.args[0] is index:
        return None if free_indices(node.args[1]) else node.args[1]
    return None
