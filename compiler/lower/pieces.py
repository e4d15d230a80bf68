"""Reductions across the extent that shards divide: each shard reduces its own part, and the pieces are combined.

``d_gamma[d] = sum[b] f(b,d)`` beside a kernel that runs over ``b`` and has ``f``'s rows at hand would read them all
again, after every shard has finished.  Here the kernel accumulates as it goes: one row ``piece[shard,d]`` for every
shard, set to the neutral element before its loop.  ``d_gamma[d] = sum[s] piece[s,d]`` is what is left.

A scalar accumulates in a local and is stored after the loop, which takes the elements in blocks and adds up the sums of
these: one local for millions of numbers would lose digits.  The pieces, and so the rounding, depend on the number of
shards and not on which thread runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import equal, known
from dlc.compiler.ir.expr import ZERO, Const, Expr, Index, Read, Reduce, free_indices, fresh, identity_of, reads
from dlc.compiler.ir.forms import is_few
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import (
    SHARD,
    SHARDS,
    For,
    If,
    Matmul,
    Statement,
    Store,
    Update,
    Var,
    expressions,
    statements,
)
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.lower import omission, scatter
from dlc.compiler.lower.contractions import Contraction
from dlc.compiler.lower.fusion import Body, joined, renamed
from dlc.compiler.lower.kernels import Draft, a_piece_each
from dlc.compiler.lower.nests import nest, volume, work
from dlc.compiler.lower.products import Plan, product_body, seen
from dlc.compiler.lower.ranges import combined, loops
from dlc.compiler.lower.scatter import Facts
from dlc.compiler.lower.tables import Tabled

_WINDOW = 8  # elements along an axis
_LONG = 100  # elements of a sum that are worth a visit of all its results
_CACHED, _LONGER = 1 << 18, 128  # results that stay in a second cache, and elements that are worth a visit of more

Names = Callable[[str], str]


@dataclass(frozen=True)
class Pieces:
    """A reduction in two steps: the kernel that every shard runs over its part, and the equation that combines."""

    draft: Draft
    combining: Equation
    scratch: tuple[Tensor, ...]


def outer_indices(equation: Equation, windows: Set[str] = frozenset()) -> Iterator[Index]:
    """The reduced indices that shards may divide among themselves: their rows lie one after the other in some tensor
    that the equation reads, or it is a scalar and any will do; ``windows`` are open sizes that count as small.
    """
    value = equation.value
    if not isinstance(value, Reduce) or value.op in ("argmax", "argmin") or not equation.is_whole:
        return
    if omission.omitted(equation, value) or scatter.places(equation, value):
        return
    for index in value.indices:
        if free_indices(index.size) or any(index in free_indices(other.size) for other in value.indices):
            continue
        if not equation.indices or any(_leads(index, equation, read, windows) for read in reads(value.body)):
            yield index


def _leads(index: Index, equation: Equation, read: Read, windows: Set[str]) -> bool:
    """Whether the read moves along with all free indices, on axes behind that of ``index``; a few places of a window
    may share an axis with what is summed.
    """
    if index not in read.subscripts:
        return False
    behind = read.subscripts[read.subscripts.index(index) + 1 :]
    return all(free in behind or _is_of_window(free, behind, windows) for free in equation.indices)


def _is_of_window(free: Index, subscripts: Sequence[Expr], windows: Set[str]) -> bool:
    extent = known(free.size)
    is_small = is_few(free, windows) if extent is None else extent <= _WINDOW
    return is_small and any(free in free_indices(one) for one in subscripts)


def rows_of(index: Index, equation: Equation, windows: Set[str] = frozenset()) -> set[str]:
    """The tensors whose rows at ``index`` the equation reads."""
    assert isinstance(equation.value, Reduce)
    return {read.tensor for read in reads(equation.value.body) if _leads(index, equation, read, windows)}


def pieces(
    tensor: Tensor,
    equation: Equation,
    outer: Index,
    names: Names,
    fresh_id: Callable[[str], str],
    facts: Facts,
    windows: Set[str] = frozenset(),
) -> Pieces | None:
    """The reduction with its index ``outer`` divided among the shards; None if its rows are not computed one by one."""
    value = equation.value
    assert isinstance(value, Reduce)
    rest = tuple(index for index in value.indices if index is not outer)
    row = Tensor(fresh_id(f"{tensor.id}.row"), (outer.size, *tensor.sizes), tensor.type, "computed")
    inner = Equation(
        (outer, *equation.indices),
        (outer, *equation.subscripts),
        Reduce(value.op, rest, value.body) if rest else value.body,
        equation.span,
    )
    lead, sizes = a_piece_each(tensor.sizes)
    piece = Tensor(fresh_id(f"{tensor.id}.piece"), sizes, tensor.type, "computed")
    element = Read(row.id, inner.subscripts, row.type) if rest else value.body
    neutral = identity_of(value.op, value.body.type)
    if equation.indices:
        draft = _in_memory(piece, lead, equation, value.op, neutral, element)
    else:
        draft = _in_a_local(piece, lead, names, value.op, neutral, element)
    kept = False
    if rest:
        loop, *others = nest(row, inner, names, facts, windows=windows)
        if others or not isinstance(loop, For):
            return None
        straight = _added_straight(loop.body, row.id, piece, lead, value.op) if equation.indices else ()
        draft.body = straight or joined(loop.body, draft.body)
        kept = not straight
    draft.body = loops((outer,), draft.body)
    draft.equations, draft.work, draft.formulas = [(row, inner)], [work(equation)], [(tensor, equation)]
    return Pieces(draft, _combining(equation, value, piece, lead), (row, piece) if kept else (piece,))


def _in_memory(
    piece: Tensor, lead: tuple[Expr, ...], equation: Equation, operation: str, neutral: Expr, element: Expr
) -> Draft:
    place = (*lead, *equation.subscripts)
    total = combined(operation, Read(piece.id, place, piece.type), element)
    return Draft(
        [],
        _over_own(equation.indices, Store(piece.id, place, total)),
        before=_over_own(equation.indices, Store(piece.id, place, neutral)),
    )


def _added_straight(body: Body, row: str, piece: Tensor, lead: tuple[Expr, ...], operation: str) -> Body:
    """The body with what it stores in a row added to the piece at once; nothing where it reads the row again."""
    if any(read.tensor == row for one in statements(body) for e in expressions(one) for read in reads(e)):
        return ()

    def one(statement: Statement) -> Statement:
        if isinstance(statement, For | If):
            return replace(statement, body=tuple(map(one, statement.body)))
        if not isinstance(statement, Store) or statement.buffer != row:
            return statement
        place = (*lead, *statement.subscripts[1:])
        total = combined(operation, Read(piece.id, place, piece.type), statement.value)
        return Store(piece.id, place, total)

    return tuple(map(one, body))


def _over_own(indices: tuple[Index, ...], store: Store) -> Body:
    return renamed(loops(indices, (store,)), {index: fresh(index.size, index.hint) for index in indices})


def _in_a_local(
    piece: Tensor, lead: tuple[Expr, ...], names: Names, operation: str, neutral: Expr, element: Expr
) -> Draft:
    whole = Read(names(piece.id), (), piece.type)
    before, after = (Var(whole.tensor, neutral),), (Store(piece.id, lead, whole),)
    if operation != "sum" or piece.type != "real":
        return Draft([], (Update(whole.tensor, combined(operation, whole, element)),), before=before, after=after)
    block = Read(names(f"{piece.id}.block"), (), piece.type)
    return Draft(
        [],
        (Update(block.tensor, combined(operation, block, element)),),
        before=before,
        after=after,
        before_block=(Var(block.tensor, neutral),),
        after_block=(Update(whole.tensor, combined(operation, whole, block)),),
    )


def _combining(equation: Equation, value: Reduce, piece: Tensor, lead: tuple[Expr, ...]) -> Equation:
    shard = fresh(SHARDS, "s")
    found = Read(piece.id, (*(substitute(part, {SHARD: shard}) for part in lead), *equation.subscripts), piece.type)
    return replace(equation, value=Reduce(value.op, (shard,), found))


def product_pieces(
    tensor: Tensor, equation: Equation, product: Plan | Tabled, fresh_id: Callable[[str], str]
) -> Pieces:
    """Likewise of a matrix product for every value of an outer index, which ``product`` takes for a free one: each is
    added to the piece of its shard.
    """
    value = equation.value
    assert isinstance(value, Reduce)
    lead, sizes = a_piece_each(tensor.sizes)
    piece = Tensor(fresh_id(f"{tensor.id}.piece"), sizes, tensor.type, "computed")

    def added(statement: Statement) -> tuple[Statement, ...]:
        match statement:
            case For():
                body = tuple(one for inner in statement.body for one in added(inner))
                return (replace(statement, body=body),) if body else ()
            case Matmul():
                c = replace(statement.c, buffer=piece.id, piece=(*lead, *statement.c.piece[1:]))
                return (replace(statement, c=c, accumulate=True),)
        return ()  # what sets the result to 0

    body = tuple(one for statement in product_body(product, piece.id) for one in added(statement))
    place = (*lead, *equation.subscripts)
    draft = Draft(
        [(product.product.tensor, seen(product))],
        body,
        work=[work(equation)],
        formulas=[(tensor, equation)],
        called={piece.id: product},
        before=_over_own(equation.indices, Store(piece.id, place, Const(0.0))),
    )
    return Pieces(draft, _combining(equation, value, piece, lead), (piece,))


def with_outer(tensor: Tensor, equation: Equation, outer: Index) -> tuple[Tensor, Equation] | None:
    """The sum for one value of its index ``outer`` at a time; None if that leaves nothing to sum."""
    value = equation.value
    assert isinstance(value, Reduce)
    rest = tuple(index for index in value.indices if index is not outer)
    if not rest or free_indices(outer.size) or any(outer in free_indices(other.size) for other in rest):
        return None
    row = Tensor(f"{tensor.id}.row", (outer.size, *tensor.sizes), tensor.type, "computed")
    indices = (outer, *equation.indices)
    return row, Equation(indices, (outer, *equation.subscripts), Reduce(value.op, rest, value.body), equation.span)


def divides(draft: Draft, index: Index) -> bool:
    """Whether the kernel's outermost loop runs over the extent of ``index``."""
    loop = draft.outermost
    return loop is not None and loop.start is ZERO and equal(loop.stop, index.size)


def worth_a_visit(within: Contraction) -> bool:
    """Whether a product for one sample is long enough for all results to be added to once more."""
    results = [index for index in within.equation.indices if index not in within.batch]
    return volume(within.reduced) >= (_LONG if volume(results) <= _CACHED else _LONGER)


def visits_often(product: Contraction) -> bool:
    """Whether a sum over samples would add to a large result for each: it is computed after all kernels that have a
    sample at hand, from copies of its own, which leave theirs small."""
    if volume(product.equation.indices) <= _CACHED:
        return False
    leading = {read.subscripts[0] for read in reads(product.left.value, product.right.value) if read.subscripts}
    return any(leading == {outer} and volume(product.reduced) < _LONGER * volume((outer,)) for outer in product.reduced)
