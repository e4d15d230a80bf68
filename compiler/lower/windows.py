"""Reductions over few elements that lie side by side: written out, term by term, without a loop.

``y[u,v] = max[p,q] x[2*u+p,2*v+q]`` with four elements is four lines in the loops over ``u`` and ``v``.  All of them
move along a row with ``v``, so that a vector register holds neighbours, or every second element.  Extremes and
their places are found by a tournament, since comparing one element after the other would wait for each comparison; the
outcomes have names: what is asked of the place later is asked of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TypeVar

from dlc.compiler.ir.affine import integer, known
from dlc.compiler.ir.bounds import decide, within
from dlc.compiler.ir.conditions import conjuncts
from dlc.compiler.ir.expr import Const, Expr, Op, Read, Reduce, Select, reads, walk
from dlc.compiler.ir.forms import is_window
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import For, If, Let, Statement, Store, Update, Var
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.lower.ranges import better, combined, loops

Names = Callable[[str], str]
Player = TypeVar("Player")


def window(tensor: Tensor, equation: Equation, value: Reduce, names: Names) -> tuple[Statement, ...]:
    """The loops over the free indices around the terms; nothing if the reduction is not of this kind."""
    terms = _terms(equation, value)
    if not terms:
        return ()
    written = _place if value.op in ("argmax", "argmin") else _combined
    steps, result = written(tensor, value, terms, names)
    return loops(equation.indices, (*steps, Store(tensor.id, equation.subscripts, result)))


def is_written_out(equation: Equation) -> bool:
    return isinstance(equation.value, Reduce) and bool(_terms(equation, equation.value))


def _terms(equation: Equation, value: Reduce) -> list[Expr]:
    """The elements in row-major order; none if a border would have to be looked for at each."""
    if not is_window(equation):
        return []
    places = product(*(range(known(index.size) or 0) for index in value.indices))
    terms = [_element(value, place) for place in places]
    return [] if any(map(_asks_for_a_place, terms)) else terms


def _element(value: Reduce, place: Sequence[int]) -> Expr:
    numbers: dict[Expr, Expr] = {index: Const(n) for index, n in zip(value.indices, place, strict=True)}
    return settled(value.body, numbers)


def settled(body: Expr, numbers: Mapping[Expr, Expr]) -> Expr:
    """The body with numbers in the place of indices."""
    return transform(substitute(body, numbers), _settled)


def _settled(node: Expr) -> Expr | None:
    """Subscripts in normal form; comparisons of numbers decided."""
    if isinstance(node, Read):
        return Read(node.tensor, tuple(map(integer, node.subscripts)), node.type)
    if isinstance(node, Op) and node.type == "bool":
        answer = decide(node)
        return Const(answer) if answer is not None else None
    if isinstance(node, Op) and node.type == "int":
        return integer(node)
    if isinstance(node, Select) and isinstance(node.cond, Const):
        return node.yes if node.cond.value else node.no
    return None


def _asks_for_a_place(term: Expr) -> bool:
    """Whether a condition looks at indices alone: it bounds a loop, which is better than asking everywhere."""
    asked = (node.cond for node in walk(term) if isinstance(node, Select))
    return any(not reads(part) for cond in asked for part in conjuncts(cond))


# -- the terms, one after the other -----------------------------------------------------------------------------------


def _combined(tensor: Tensor, value: Reduce, terms: Sequence[Expr], names: Names) -> tuple[list[Statement], Expr]:
    if value.op in ("max", "min"):
        return _greatest(tensor, value, terms, names)
    total = Read(names(tensor.id), (), value.type)
    first, *others, last = terms
    steps = [Update(total.tensor, combined(value.op, total, term)) for term in others]
    return [Var(total.tensor, first), *steps], combined(value.op, total, last)


def _greatest(tensor: Tensor, value: Reduce, terms: Sequence[Expr], names: Names) -> tuple[list[Statement], Expr]:
    steps: list[Statement] = []

    def of_two(first: Expr, second: Expr) -> Expr:
        return _named(combined(value.op, first, second), tensor.id, names, steps)

    found = _tournament(terms, of_two)
    last = steps.pop()
    assert isinstance(last, Let) and found == Read(last.name, (), value.type)
    return steps, last.value


def _place(tensor: Tensor, value: Reduce, terms: Sequence[Expr], names: Names) -> tuple[list[Statement], Expr]:
    """Of every two neighbours whether the later is better, and the place of the better one by that. Places have names,
    too: of choices within choices LLVM makes branches."""
    steps: list[Statement] = []
    extreme = value.op.removeprefix("arg")
    hint = f"{tensor.id}.place"

    def of_two(first: tuple[Expr, Expr], second: tuple[Expr, Expr]) -> tuple[Expr, Expr]:
        best, candidate = (_named(one, f"{tensor.id}.candidate", names, steps) for one, _ in (first, second))
        places = (one if isinstance(one, Const) else _named(one, hint, names, steps) for _, one in (second, first))
        wins = _named(better(value.op, best, candidate), f"{tensor.id}.wins", names, steps)
        return combined(extreme, best, candidate), Select(wins, *places)

    numbers: list[Expr] = [Const(number) for number in range(len(terms))]
    _, place = _tournament(list(zip(terms, numbers, strict=True)), of_two)
    return steps, place


def _tournament(found: Sequence[Player], of_two: Callable[[Player, Player], Player]) -> Player:
    """One of all, by choosing from neighbours, and then from those that are left: one after the other, each choice
    would wait for the one before."""
    while len(found) > 1:
        pairs = [of_two(*pair) for pair in zip(found[::2], found[1::2], strict=False)]
        found = [*pairs, *found[2 * len(pairs) :]]
    return found[0]


def _named(value: Expr, hint: str, names: Names, steps: list[Statement]) -> Read:
    """The value in a local of the loop."""
    if isinstance(value, Read) and not value.subscripts:
        return value
    local = Read(names(hint), (), value.type)
    steps.append(Let(local.tensor, value))
    return local


# -- reads ------------------------------------------------------------------------------------------------------------


def read_early(body: tuple[Statement, ...], sizes: Mapping[str, Sequence[Expr]], names: Names) -> tuple[Statement, ...]:
    """The statements with elements read before it is asked whether they count, where that is allowed: a choice between
    two values is no branch."""
    found: list[Statement] = []
    for statement in body:
        match statement:
            case For(body=inner) | If(body=inner):
                found.append(_with_body(statement, read_early(inner, sizes, names)))
            case Store(value=value) | Let(value=value) | Var(value=value) | Update(value=value):
                early = _early(value, sizes)
                local = {one: Read(names(one.tensor), (), one.type) for one in early}
                found += [Let(read.tensor, one) for one, read in local.items()]
                changes: dict[Expr, Expr] = {**local}
                found.append(_with_value(statement, substitute(value, changes)))
            case _:
                found.append(statement)
    return tuple(found)


def _with_body(statement: For | If, body: tuple[Statement, ...]) -> Statement:
    if isinstance(statement, For):
        return For(statement.index, statement.start, statement.stop, body)
    return If(statement.cond, body)


def _with_value(statement: Store | Let | Var | Update, value: Expr) -> Statement:
    if isinstance(statement, Store):
        return Store(statement.buffer, statement.subscripts, value)
    return type(statement)(statement.name, value)


def _early(value: Expr, sizes: Mapping[str, Sequence[Expr]]) -> list[Read]:
    """The elements in the branches of choices by data that are there whatever is chosen."""
    branches = [b for node in walk(value) if isinstance(node, Select) and reads(node.cond) for b in (node.yes, node.no)]
    return [
        one
        for one in reads(*branches)
        if one.subscripts
        and one.tensor in sizes
        and not reads(*one.subscripts)
        and all(within(s, size) for s, size in zip(one.subscripts, sizes[one.tensor], strict=True))
    ]
