"""Whether an expression reads in range: what a pass asks before it moves an expression out of a guard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dlc.compiler.ir.affine import Polynomial
from dlc.compiler.ir.bounds import facts_of_all, tells
from dlc.compiler.ir.dependences import reads_under
from dlc.compiler.ir.elements import Bounds, lies_within
from dlc.compiler.ir.expr import Expr, reads

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
    return all(lies_within(one, size, bounds or {}, more) for one, size, (more,) in _subscripts(value, sizes, known))


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
    return any(
        not lies_within(one, size, bounds or {}, known)
        and ((cautious and not reads(one)) or lies_within(one, size, bounds or {}, more))
        for one, size, (known, more) in _subscripts(value, sizes, few, many)
    )


def _knowing(guards: Iterable[Expr], facts: Iterable[Polynomial]) -> list[Polynomial]:
    facts = list(facts)
    return [*facts, *facts_of_all([(cond, True) for cond in guards], facts)]


def _subscripts(
    value: Expr, sizes: Sizes, *outside: list[Polynomial]
) -> Iterator[tuple[Expr, Expr, list[list[Polynomial]]]]:
    """Every subscript, with the size of its axis and what holds where it is read, if this or that holds outside."""
    for read, guards in reads_under(value, tells):
        known = [[*facts, *facts_of_all(guards, facts)] for facts in outside]
        for subscript, size in zip(read.subscripts, sizes[read.tensor], strict=True):
            yield subscript, size, known
