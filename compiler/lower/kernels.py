"""Equations grouped into kernels: each the loops of one or more equations, or one matrix product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.ir.affine import Polynomial, equal, integer, polynomial
from dlc.compiler.ir.expr import (
    ONE,
    ZERO,
    Const,
    Expr,
    Index,
    Read,
    Reduce,
    Solve,
    free_indices,
    op,
    reads,
    refresh,
    rename_bound,
    substitute,
)
from dlc.compiler.ir.graph import Equation, Graph, Tensor, ordered
from dlc.compiler.ir.loops import SHARD, SHARDS, START, STOP, Buffer, For, If, Statement, Store, statements
from dlc.compiler.lower.contractions import Packer, Plan, contraction, plan, product_body
from dlc.compiler.lower.fusion import Body, contractible_axes, forwarded, merged, touches, with_axes_dropped, writes
from dlc.compiler.lower.nests import nest, sizes_product, work
from dlc.compiler.lower.systems import solving

_APART = Const(32)  # elements between the pieces of two shards: two cache lines of the narrower float
_MOST_EQUATIONS = 24  # in one kernel: compile time grows faster than a function's length


@dataclass
class Draft:
    """A kernel in the making.  ``body`` loops over whole ranges until it is finished."""

    equations: list[tuple[Tensor, Equation]]
    body: Body
    split: Expr | None = None
    product: Plan | None = None
    work: list[Polynomial] = field(default_factory=list)
    is_system: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether it calls a library, stays alone and is split as it was made."""
        return self.product is not None or self.is_system

    @property
    def outermost(self) -> For | None:
        """The loop that all of the kernel stands in, if there is one."""
        only = self.body[0] if len(self.body) == 1 else None
        return only if isinstance(only, For) and not self.is_finished else None


def drafts(
    graph: Graph, names: Callable[[str], str], fresh_id: Callable[[str], str]
) -> tuple[list[Draft], list[Tensor]]:
    """The kernels of a graph in an order in which they may run, and the tensors that they need besides."""
    sizes = {key: tensor.sizes for key, tensor in graph.tensors.items()}
    packer = Packer(sizes, fresh_id)
    scratch: list[Tensor] = []
    facts = _facts(graph)
    made: list[Draft] = []
    home: dict[str, int] = {}  # tensor -> number of the last kernel that computes a part of it
    for key in ordered(graph):
        tensor = graph.tensors[key]
        for equation in map(_with_own_indices, tensor.equations):
            if isinstance(equation.value, Solve):
                made.append(_system_draft(tensor, equation, equation.value, fresh_id, scratch))
                home[key] = len(made) - 1
                continue
            product = contraction(tensor, equation)
            if product is None:
                _place(made, home, _draft(tensor, equation, names, facts))
                continue
            before = len(packer.tensors)
            found = plan(product, packer)
            for packed in packer.tensors[before:]:
                _place(made, home, _draft(packed, packed.equations[0], names, facts))
            made.append(_product_draft(found))
            home[key] = len(made) - 1
    return made, [*packer.tensors, *scratch]


def _with_own_indices(equation: Equation) -> Equation:
    """The equation with indices that occur in no other: its loops may come to stand inside those of another."""
    names = {index: refresh(index) for index in equation.indices}
    changes: dict[Expr, Expr] = {old: new for old, new in names.items()}  # noqa: C416  # widens the type
    return Equation(
        tuple(names.values()),
        tuple(substitute(subscript, changes) for subscript in equation.subscripts),
        substitute(rename_bound(equation.value), changes),
        equation.span,
    )


def _draft(tensor: Tensor, equation: Equation, names: Callable[[str], str], facts: Callable) -> Draft:
    return Draft([(tensor, equation)], nest(tensor, equation, names, facts), work=[work(equation)])


def _product_draft(found: Plan) -> Draft:
    body, extent = product_body(found)
    work = sizes_product((*found.product.equation.indices, *found.product.reduced))
    return Draft([(found.product.tensor, found.product.equation)], body, extent, found, [work])


def _system_draft(
    tensor: Tensor, equation: Equation, value: Solve, fresh_id: Callable[[str], str], scratch: list[Tensor]
) -> Draft:
    found = solving(tensor, equation, value, fresh_id)
    scratch.extend(found.scratch)
    return Draft([(tensor, equation)], found.body, found.split, work=[found.work], is_system=True)


def _facts(graph: Graph) -> Callable[[Expr], list[Polynomial]]:
    """What the sizes are required to fulfil, and what integer tensors declare of the reads in an expression."""
    required = [polynomial(requirement.value) for requirement in graph.requirements]

    def facts(expression: Expr) -> list[Polynomial]:
        found = list(required)
        for read in reads(expression):
            tensor = graph.tensors.get(read.tensor)
            if tensor is not None and tensor.bound is not None:
                element = polynomial(read)
                found += [element, polynomial(tensor.bound) - element - 1]
        return found

    return facts


# -- fusion of kernels -----------------------------------------------------------------------------------------------


def _place(made: list[Draft], home: dict[str, int], new: Draft) -> None:
    """Fuse the new equation into the first kernel that may hold it, or make it a kernel of its own."""
    ((tensor, equation),) = new.equations
    producers = [home[r.tensor] for r in reads(equation.value, *equation.subscripts) if r.tensor in home]
    earliest = max([*producers, home.get(tensor.id, 0)], default=0)
    for number in range(earliest, len(made)):
        fused = _fused(made[number], new)
        if fused is not None:
            made[number] = fused
            home[tensor.id] = number
            return
    made.append(new)
    home[tensor.id] = len(made) - 1


def _fused(draft: Draft, new: Draft) -> Draft | None:
    first, second = draft.outermost, new.outermost
    if first is None or second is None or len(draft.equations) >= _MOST_EQUATIONS:
        return None
    if not equal(first.stop, second.stop) or not touches(draft.body) & touches(new.body):
        return None
    loop = merged(first, second)
    if loop is None:
        return None
    return Draft([*draft.equations, *new.equations], (loop,), work=[*draft.work, *new.work])


# -- finishing -------------------------------------------------------------------------------------------------------


def finish(draft: Draft, private: set[str], buffers: dict[str, Buffer], names: Callable[[str], str]) -> None:
    """Forward stored values, shrink the buffers that only this kernel touches, and make the kernel splittable."""
    if draft.is_finished:
        return
    mine = writes(draft.body) & private
    draft.body = forwarded(draft.body, mine, names)
    split = _split_loops(draft)
    alive = touches(draft.body)
    for key in [key for key in buffers if key in mine]:
        if key not in alive:
            del buffers[key]
            continue
        axes = contractible_axes(draft.body, key)
        if not axes:
            continue
        kept = tuple(size for axis, size in enumerate(buffers[key].sizes) if axis not in axes)
        instead: tuple[Expr, ...] = ()
        if split is not None:
            instead, kept = _a_piece_each(kept)
        draft.body = with_axes_dropped(draft.body, key, axes, instead)
        buffers[key] = Buffer(key, kept, buffers[key].type, buffers[key].role)
    if split is not None:
        draft.body = _restricted(draft.body, split)
        draft.split = split[0].size


def _a_piece_each(sizes: tuple[Expr, ...]) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """Leading subscripts and sizes of a buffer of which every shard has a piece; no two pieces share a cache line."""
    if not sizes:
        return (SHARD, ZERO), (SHARDS, _APART)
    padded = _APART if len(sizes) == 1 else ONE
    return (SHARD,), (SHARDS, integer(op("add", sizes[0], padded)), *sizes[1:])


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
    ((tensor, equation),) = draft.equations
    if len(equation.indices) != 1 or not isinstance(equation.value, Reduce) or not equation.is_whole:
        return None
    found = _loops_storing(draft.body, tensor.id)
    return found if found and all(equal(index.size, found[0].size) for index in found) else None


def _writes_at(draft: Draft, index: Index) -> bool:
    """Whether every store in the kernel stands at the index on some axis: shards then write to disjoint places."""
    stores = [s for s in statements(draft.body) if isinstance(s, Store)]
    return bool(stores) and all(any(e is index for e in s.subscripts) for s in stores)


def _loops_storing(body: Body, buffer: str) -> tuple[Index, ...]:
    """The indices of the innermost loops around the stores of a rank-1 buffer, if every store stands at its loop's
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
    """The body with the loops over the split indices run from start to stop."""

    def visit(statement: Statement) -> Statement:
        if isinstance(statement, For):
            inner = tuple(visit(s) for s in statement.body)
            if statement.index in split:
                return For(statement.index, START, STOP, inner)
            return replace(statement, body=inner)
        if isinstance(statement, If):
            return replace(statement, body=tuple(visit(s) for s in statement.body))
        return statement

    return tuple(visit(statement) for statement in body)


def split_axes(draft: Draft) -> Mapping[str, frozenset[int]]:
    """For each tensor that the kernel touches, the axes at which every access stands at the split index of its
    equation.
    """
    found: dict[str, frozenset[int]] = {}
    for tensor, equation in draft.equations:
        index = _split_index(draft, equation)
        accesses = [(tensor.id, equation.subscripts)]
        accesses += [(read.tensor, read.subscripts) for read in _reads(draft, equation)]
        for key, subscripts in accesses:
            axes = frozenset(n for n, s in enumerate(subscripts) if index is not None and s is index)
            found[key] = found[key] & axes if key in found else axes
    return found


def _reads(draft: Draft, equation: Equation) -> list[Read]:
    """What the kernel reads to compute the equation: a product may read packed copies."""
    if draft.product is not None:
        return [draft.product.left.layout.read, draft.product.right.layout.read]
    return reads(equation.value, *equation.subscripts)


def _split_index(draft: Draft, equation: Equation) -> Index | None:
    if draft.split is None or not equation.indices:
        return None
    first = equation.indices[0]
    return first if equal(first.size, draft.split) and first not in free_indices(first.size) else None
