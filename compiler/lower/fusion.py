"""Loops that share their range become one, and what lived in memory between them shrinks.

Two loops that follow each other may become one if every buffer that one writes and the other touches is, in both, only
touched at the position of the loop's own index: then iteration ``i`` of the second needs iteration ``i`` of the first
and no other.  After that a value that is stored and read in the same iteration is a local, and a buffer that is
touched in one iteration at a time only keeps what one iteration needs: a row instead of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import Polynomial, equal, step_of
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.conditions import compared_choice, is_choice, is_comparison
from dlc.compiler.ir.expr import Expr, Index, Read, free_indices, op, reads, walk
from dlc.compiler.ir.loops import (
    For,
    If,
    Let,
    Matmul,
    Operand,
    Statement,
    Steps,
    Store,
    System,
    Update,
    Var,
    expressions,
    in_place,
    statements,
    written,
)
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.lower.strides import hides_vectors

Body = tuple[Statement, ...]

# -- rewriting -------------------------------------------------------------------------------------------------------


def mapped(body: Body, change: Callable[[Expr], Expr]) -> Body:
    """The body with every expression changed."""

    def one(statement: Statement) -> Statement:
        match statement:
            case For(index, start, stop, inner):
                return For(index, change(start), change(stop), mapped(inner, change))
            case If(cond, inner):
                return If(change(cond), mapped(inner, change))
            case Let(name, value):
                return Let(name, change(value))
            case Var(name, value):
                return Var(name, change(value))
            case Update(name, value):
                return Update(name, change(value))
            case Store(buffer, subscripts, value):
                return Store(buffer, tuple(map(change, subscripts)), change(value))
            case Matmul(m, n, k):
                moved = with_operands(statement, lambda operand: _changed(operand, change))
                band = statement.band
                band = replace(band, low=change(band.low), high=change(band.high)) if band is not None else None
                part_of = change(statement.part_of) if statement.part_of is not None else None
                support = statement.support
                support = replace(support, first=change(support.first)) if support is not None else None
                changed = replace(moved, m=change(m), n=change(n), k=change(k), band=band, part_of=part_of)
                return replace(changed, support=support)
            case System(n, count, matrix, sides, piece):
                return System(change(n), change(count), matrix, sides, tuple(map(change, piece)))
        raise TypeError(type(statement).__name__)

    return tuple(one(statement) for statement in body)


def with_operands(product: Matmul, change: Callable[[Operand], Operand]) -> Matmul:
    """The product with its matrices changed."""
    term = change(product.term) if product.term is not None else None
    return replace(product, a=change(product.a), b=change(product.b), c=change(product.c), term=term)


def _changed(operand: Operand, change: Callable[[Expr], Expr]) -> Operand:
    def step(one: Expr | Steps) -> Expr | Steps:
        if isinstance(one, Steps):
            return Steps(tuple(map(change, one.extents)), tuple(map(change, one.strides)))
        return change(one)

    row, column = step(operand.row), step(operand.column)
    return Operand(operand.buffer, change(operand.offset), row, column, tuple(map(change, operand.piece)))


def renamed(body: Body, names: Mapping[Index, Index]) -> Body:
    """The body with its indices (and loops over them) renamed."""

    def loop(statement: Statement) -> Statement:
        if isinstance(statement, For):
            return replace(
                statement, index=names.get(statement.index, statement.index), body=tuple(map(loop, statement.body))
            )
        if isinstance(statement, If):
            return replace(statement, body=tuple(map(loop, statement.body)))
        return statement

    changes: dict[Expr, Expr] = {**names}
    return mapped(tuple(map(loop, body)), lambda e: substitute(e, changes))


# -- what a statement touches ----------------------------------------------------------------------------------------


def accesses(body: Iterable[Statement]) -> dict[str, list[tuple[Expr, ...]]]:
    """Every element that the body reads or writes, by buffer; of a matrix, the leading subscripts.  Locals are buffers
    without subscripts here.
    """
    found: dict[str, list[tuple[Expr, ...]]] = {}
    for statement in statements(tuple(body)):
        for expression in expressions(statement):
            for read in reads(expression):
                found.setdefault(read.tensor, []).append(read.subscripts)
        if isinstance(statement, Store):
            found.setdefault(statement.buffer, []).append(statement.subscripts)
        elif isinstance(statement, Matmul):
            for operand in statement.operands:
                found.setdefault(operand.buffer, []).append(operand.piece)
        elif isinstance(statement, System):
            for name in (statement.matrix, statement.sides):
                found.setdefault(name, []).append(statement.piece)
    return found


def _axes(accesses: Iterable[tuple[Expr, ...]]) -> range:
    """The axes at which the place of every access is known."""
    return range(min(map(len, accesses)))


def writes(body: Iterable[Statement]) -> set[str]:
    """Names of the buffers and locals that the body sets."""
    found: set[str] = set()
    for statement in statements(tuple(body)):
        match statement:
            case Store(buffer=name) | Let(name=name) | Var(name=name) | Update(name=name):
                found.add(name)
            case Matmul(c=c):
                found.add(c.buffer)
            case System(matrix=matrix, sides=sides):
                found.update((matrix, sides))
    return found


def touches(body: Iterable[Statement]) -> set[str]:
    """Names of all buffers and locals that the body reads or sets."""
    body = tuple(body)
    found = set(accesses(body)) | writes(body)
    for statement in statements(body):
        found.update(in_place(statement))
    return found


# -- merging ---------------------------------------------------------------------------------------------------------


def merged(first: For, second: For) -> For | None:
    """One loop that does both, or None."""
    if not (equal(first.start, second.start) and equal(first.stop, second.stop)):
        return None
    if not _independent_across(first, second) or hides_vectors(first, second):
        return None
    body = renamed(second.body, {second.index: first.index})
    return replace(first, body=joined(first.body, body))


def joined(first: Body, second: Body) -> Body:
    """Both bodies one after the other, with the last loop of the first and the first loop of the second made one."""
    place = next((n for n in range(len(first) - 1, -1, -1) if isinstance(first[n], For)), None)
    other = next((n for n, statement in enumerate(second) if isinstance(statement, For)), None)
    if place is None or other is None:
        return first + second
    left, right = first[place], second[other]
    assert isinstance(left, For) and isinstance(right, For)
    before, after = second[:other], first[place + 1 :]
    if any(isinstance(s, If | Matmul | System) for s in (*before, *after)):
        return first + second
    # `before` moves up over `left` and `after`; `right` moves up over `after`
    if touches(before) & (writes(after) | writes((left,))) or touches((right,)) & writes(after):
        return first + second
    if touches(after) & writes((right,)) or touches((left,)) & writes(before):
        return first + second
    both = merged(left, right)
    if both is None:
        return first + second
    return (*first[:place], *before, both, *after, *second[other + 1 :])


def _independent_across(first: For, second: For) -> bool:
    """Whether iteration i of the second loop depends on no iteration of the first but i (and the reverse)."""
    mine, theirs = accesses(first.body), accesses(second.body)
    written_first, written_second = writes(first.body), writes(second.body)
    within = _loops_in(first.body) & _loops_in(second.body)  # other values in the one than in the other
    for name in (*mine, *theirs):
        if name not in mine or name not in theirs or not (name in written_first or name in written_second):
            continue
        if not _common_axis(mine[name], first.index, theirs[name], second.index, within):
            return False
    return True


def _loops_in(body: Body) -> set[Index]:
    return {statement.index for statement in statements(body) if isinstance(statement, For)}


def _common_axis(
    mine: list[tuple[Expr, ...]], i: Index, theirs: list[tuple[Expr, ...]], j: Index, within: set[Index]
) -> bool:
    return any(
        _stay_apart([s[axis] for s in mine], i, [s[axis] for s in theirs], j, within)
        for axis in _axes((*mine, *theirs))
    )


def _stay_apart(mine: Sequence[Expr], i: Index, theirs: Sequence[Expr], j: Index, within: set[Index]) -> bool:
    """Whether subscripts of different iterations are different: ``i`` and ``j``, ``2*i`` and ``2*j + 1``, or
    ``4*i + k`` and ``4*j + l`` where ``k`` and ``l`` are less than 4 apart."""
    if all(one is i for one in mine) and all(one is j for one in theirs):
        return True
    if not within.isdisjoint(free_indices(op("add", *mine, *theirs))):
        return False
    left, right = [step_of(one, i) for one in mine], [step_of(one, j) for one in theirs]
    known = [step for step in (*left, *right) if step is not None]
    factors = {factor for factor, _ in known}
    if len(known) != len(mine) + len(theirs) or len(factors) != 1:
        return False
    (factor,) = factors
    apart = {one[1] - other[1] for one in left for other in right if one is not None and other is not None}
    return all(_never_a_multiple(one, abs(factor)) for one in apart)


def _never_a_multiple(distance: Polynomial, factor: int) -> bool:
    """Whether the distance is no multiple of the factor but 0."""
    if distance.value is not None:
        return distance.value == 0 or distance.value % factor != 0
    return nonnegative(distance + factor - 1) and nonnegative(-distance + factor - 1)


# -- storage ---------------------------------------------------------------------------------------------------------


def forwarded(body: Body, private: set[str], names: Callable[[str], str]) -> Body:
    """Values of ``private`` buffers that are stored once and read at the same place later in the same iteration
    become locals.
    """
    counts: dict[str, int] = {}
    for statement in statements(body):
        if isinstance(statement, Store):
            counts[statement.buffer] = counts.get(statement.buffer, 0) + 1
    computed = {written(s) for s in statements(body) if isinstance(s, Matmul | System)}
    single = {name for name in private - computed if counts.get(name) == 1}

    def visit(inner: Body) -> Body:
        result: list[Statement] = []
        known: dict[Expr, Expr] = {}
        for statement in inner:
            (statement,) = mapped((statement,), lambda e: _with_values(e, known)) if known else (statement,)
            if isinstance(statement, For | If):
                statement = replace(statement, body=visit(statement.body))
            if isinstance(statement, Store) and statement.buffer in single:
                value = statement.value
                if not _is_local(value) and not _is_asked_choice(value, statement.buffer, body):
                    local = Read(names(statement.buffer), (), value.type)
                    result.append(Let(local.tensor, value))
                    value = local
                known[Read(statement.buffer, statement.subscripts, value.type)] = value
                statement = replace(statement, value=value)
            result.append(statement)
        return tuple(result)

    return _without_dead_stores(visit(body), single)


def _is_local(value: Expr) -> bool:
    return isinstance(value, Read) and not value.subscripts


def _is_asked_choice(value: Expr, buffer: str, body: Body) -> bool:
    """Whether the value is a choice by locals that stay as they are, and nothing is asked of the buffer that holds it
    but whether an element is this or that number.
    """
    changed = {statement.name for statement in statements(body) if isinstance(statement, Update)}
    if not is_choice(value) or any(read.subscripts or read.tensor in changed for read in reads(value)):
        return False
    nodes = list(walk(*(e for statement in statements(body) for e in expressions(statement))))
    asked = {arg for node in nodes if is_comparison(node) for arg in node.children}
    return all(node in asked for node in nodes if isinstance(node, Read) and node.tensor == buffer)


def _with_values(root: Expr, known: Mapping[Expr, Expr]) -> Expr:
    """The expression with values in the place of elements; what is asked of a choice is asked of its conditions."""
    value = substitute(root, known)
    return value if value is root else transform(value, compared_choice)


def _without_dead_stores(body: Body, private: set[str]) -> Body:
    """The body without stores to private buffers that nothing reads."""
    read_names = {read.tensor for s in statements(body) for e in expressions(s) for read in reads(e)}
    read_names.update(name for s in statements(body) for name in in_place(s))
    dead = private - read_names

    def visit(inner: Body) -> Body:
        kept: list[Statement] = []
        for statement in inner:
            if isinstance(statement, Store) and statement.buffer in dead:
                continue
            if isinstance(statement, For | If):
                statement = replace(statement, body=visit(statement.body))
                if not statement.body:
                    continue
            kept.append(statement)
        return tuple(kept)

    return visit(body)


def contractible_axes(body: Body, buffer: str, over: Sequence[Index] = ()) -> tuple[int, ...]:
    """The axes of a buffer that hold one iteration's value at a time: every access lies in the same loops and stands
    at their indices.  In a recurrence with rounds ``over``, if no round reads what another wrote.
    """
    indices: list[Index] = []
    here = body
    while True:
        holders = [s for s in here if buffer in touches((s,))]
        if len(holders) != 1 or not isinstance(holders[0], For):
            break
        indices.append(holders[0].index)
        here = holders[0].body
    found = accesses(body)[buffer]
    rounds = set(over)
    at_round = [axis for axis in _axes(found) if any(rounds & set(free_indices(s[axis])) for s in found)]
    if any(len({subscripts[axis] for subscripts in found}) > 1 for axis in at_round):
        return ()
    return tuple(
        axis
        for axis in _axes(found)
        if axis in at_round or any(all(subscripts[axis] is index for subscripts in found) for index in indices)
    )


def with_axes_dropped(body: Body, buffer: str, axes: tuple[int, ...], instead: tuple[Expr, ...]) -> Body:
    """Accesses of the buffer without the axes, and with ``instead`` as leading subscripts."""

    def shorter(subscripts: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return (*instead, *(s for axis, s in enumerate(subscripts) if axis not in axes))

    def change(expression: Expr) -> Expr:
        mapping: dict[Expr, Expr] = {
            read: Read(read.tensor, shorter(read.subscripts), read.type)
            for read in reads(expression)
            if read.tensor == buffer
        }
        return substitute(expression, mapping)

    def store(statement: Statement) -> Statement:
        if isinstance(statement, Store) and statement.buffer == buffer:
            return replace(statement, subscripts=shorter(statement.subscripts))
        if isinstance(statement, Matmul):
            return with_operands(statement, lambda o: replace(o, piece=shorter(o.piece)) if o.buffer == buffer else o)
        if isinstance(statement, For | If):
            return replace(statement, body=tuple(map(store, statement.body)))
        return statement

    return tuple(map(store, mapped(body, change)))


def with_buffers_renamed(body: Body, names: Mapping[str, str]) -> Body:
    """The body with buffers under other ids."""
    if not names:
        return body

    def change(expression: Expr) -> Expr:
        def rename(node: Expr) -> Expr | None:
            if isinstance(node, Read) and node.tensor in names:
                return Read(names[node.tensor], node.subscripts, node.type)
            return None

        return transform(expression, rename)

    def store(statement: Statement) -> Statement:
        match statement:
            case Store(buffer=buffer):
                return replace(statement, buffer=names.get(buffer, buffer))
            case For() | If():
                return replace(statement, body=tuple(map(store, statement.body)))
            case Matmul():
                return with_operands(statement, lambda o: replace(o, buffer=names.get(o.buffer, o.buffer)))
            case System(matrix=matrix, sides=sides):
                return replace(statement, matrix=names.get(matrix, matrix), sides=names.get(sides, sides))
        return statement

    return tuple(map(store, mapped(body, change)))
