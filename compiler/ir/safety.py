"""Whether an expression reads in range: what a pass asks before it moves an expression out of a guard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dlc.compiler.ir.affine import Polynomial
from dlc.compiler.ir.bounds import facts_of, facts_of_all, within
from dlc.compiler.ir.expr import Expr, Op, Read, Select, reads


def reads_in_range(
    value: Expr,
    sizes: Mapping[str, Sequence[Expr]],
    guards: Iterable[Expr] = (),
    facts: Iterable[Polynomial] = (),
) -> bool:
    """Whether every read stays in range where ``guards`` hold and ``facts`` are not negative.

    Subscripts that depend on data are taken to be in range: that is checked when the data arrives.
    """
    facts = list(facts)
    facts = [*facts, *facts_of_all([(cond, True) for cond in guards], facts)]
    return all(
        within(subscript, size, known)
        for read, known in _reads_with_facts(value, facts)
        for subscript, size in zip(read.subscripts, sizes[read.tensor], strict=True)
        if not reads(subscript)
    )


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
