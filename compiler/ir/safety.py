"""Whether an expression reads in range: what a pass asks before it moves an expression out of a guard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dlc.compiler.ir.affine import Polynomial
from dlc.compiler.ir.bounds import facts_of, facts_of_all
from dlc.compiler.ir.elements import Bounds, lies_within
from dlc.compiler.ir.expr import Expr, Op, Read, Select, reads

Sizes = Mapping[str, Sequence[Expr]]


def reads_in_range(
    value: Expr,
    sizes: Sizes,
    guards: Iterable[Expr] = (),
    facts: Iterable[Polynomial] = (),
    bounds: Bounds | None = None,
) -> bool:
    """Whether every read stays in range where ``guards`` hold and ``facts`` are not negative.

    ``bounds`` are those of integers that are read.  Nothing is known of others but what the guards say.
    """
    known = _knowing(guards, facts)
    return all(lies_within(one, size, bounds or {}, more) for one, size, more in _subscripts(value, sizes, known))


def needs_more(
    value: Expr,
    sizes: Sizes,
    some: Iterable[Expr],
    every: Iterable[Expr],
    facts: Iterable[Polynomial] = (),
    bounds: Bounds | None = None,
    cautious: bool = False,
) -> bool:
    """Whether a read is in range where ``every`` guard holds, and may leave it where only ``some`` do.

    What is not proved even with all of them is in range for a reason that is not known here.  A cautious caller takes
    only integers from data to have one: those were looked at where they are read, and when the data arrives.
    """
    few, many = _knowing(some, facts), _knowing(every, facts)
    pairs = zip(_subscripts(value, sizes, few), _subscripts(value, sizes, many), strict=True)
    return any(
        not lies_within(one, size, bounds or {}, known)
        and ((cautious and not reads(one)) or lies_within(one, size, bounds or {}, more))
        for (one, size, known), (_, _, more) in pairs
    )


def _knowing(guards: Iterable[Expr], facts: Iterable[Polynomial]) -> list[Polynomial]:
    facts = list(facts)
    return [*facts, *facts_of_all([(cond, True) for cond in guards], facts)]


def _subscripts(value: Expr, sizes: Sizes, facts: list[Polynomial]) -> Iterator[tuple[Expr, Expr, list[Polynomial]]]:
    """Every subscript, with the size of its axis and what holds where it is read."""
    for read, known in _reads_with_facts(value, facts):
        for subscript, size in zip(read.subscripts, sizes[read.tensor], strict=True):
            yield subscript, size, known


def _reads_with_facts(node: Expr, facts: list[Polynomial]) -> Iterator[tuple[Read, list[Polynomial]]]:
    match node:
        case Select(cond=cond, yes=yes, no=no):
            yield from _reads_with_facts(cond, facts)
            yield from _reads_with_facts(yes, facts + facts_of(cond, True, facts))
            yield from _reads_with_facts(no, facts + facts_of(cond, False, facts))
        case Op(name="and" | "or", args=args):
            for position, arg in enumerate(args):
                earlier = facts_of_all([(cond, node.name == "and") for cond in args[:position]], facts)
                yield from _reads_with_facts(arg, facts + earlier)
        case _:
            if isinstance(node, Read):
                yield node, facts
            for child in node.children:
                yield from _reads_with_facts(child, facts)
