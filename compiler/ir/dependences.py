"""What the equations of a recurrence read of each other, each read with what is known where it is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.bounds import facts_of_all, tells
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Select, Size, free_indices, walk
from dlc.compiler.ir.graph import Equation, Graph
from dlc.compiler.ir.rewriting import substitute

_MOST_WAYS = 32  # to a shared part of an expression that are told apart

Facts = tuple[Polynomial, ...]
Guards = tuple[tuple[Expr, bool], ...]  # conditions, and whether they hold


@dataclass(frozen=True)
class Place:
    """An equation of the graph, by its tensor and number."""

    tensor: str
    number: int


@dataclass(frozen=True)
class Dependence:
    """The equation ``reader`` reads ``read``, an element that ``writer`` may define, where ``facts`` hold."""

    reader: Place
    read: Read
    writer: Place
    facts: Facts


def dependences(graph: Graph, component: Sequence[str]) -> list[Dependence]:
    """Every read of the component inside it."""
    members = set(component)
    required = [polynomial(one.value) for one in graph.requirements]
    found: dict[Dependence, None] = {}
    for place in places_of(graph, component):
        equation = graph.tensors[place.tensor].equations[place.number]
        filled = tuple(_filled(equation.indices))
        for read, facts in guarded_reads(equation.value):
            if read.tensor in members:
                read = _solved(read, facts, equation)
                sizes = {part for part in walk(*read.subscripts) if isinstance(part, Size)}
                facts = (*facts, *filled, *(one for one in required if sizes.intersection(one.atoms)))
                for number in range(len(graph.tensors[read.tensor].equations)):
                    found.setdefault(Dependence(place, read, Place(read.tensor, number), facts))
    return list(found)


def _filled(indices: Iterable[Index]) -> Iterator[Polynomial]:
    """No size of a product is 0 where an index runs over it."""
    for index in indices:
        terms = polynomial(index.size).terms
        if len(terms) == 1 and len(terms[0][0]) > 1:
            yield from (polynomial(atom) - 1 for atom in dict.fromkeys(terms[0][0]) if isinstance(atom, Size))


def _solved(read: Read, facts: Facts, equation: Equation) -> Read:
    """The read in the indices of the left side as far as equations tell: where t == t' - 1, h[t'] is h[t+1]."""
    for place, fact in enumerate(facts):
        if -fact not in facts[place + 1 :]:
            continue
        for index in free_indices(read):
            parts = fact.split(index)
            if index not in equation.indices and parts is not None and parts[0].value in (1, -1):
                value = parts[1] * -parts[0].value
                subscripts = (integer(substitute(one, {index: value.expression()})) for one in read.subscripts)
                read = Read(read.tensor, tuple(subscripts), read.type)
    return read


def places_of(graph: Graph, component: Sequence[str]) -> list[Place]:
    return [Place(name, number) for name in component for number in range(len(graph.tensors[name].equations))]


def guarded_reads(value: Expr) -> Iterator[tuple[Read, Facts]]:
    """Every read with what is known where it is evaluated; one that stands under several guards occurs as often."""
    known: dict[Guards, Facts] = {}
    for read, guards in reads_under(value, tells):
        if guards not in known:
            known[guards] = tuple(facts_of_all(guards))
        yield read, known[guards]


def reads_under(value: Expr, matters: Callable[[Expr, bool], bool] | None = None) -> list[tuple[Read, Guards]]:
    """Every read with the guards around it that matter, from the outermost to the innermost.

    What stands under some guards need not be looked at under more.  A shared part that stands under many different
    ones is looked at under those that they have in common: the work grows with the nodes, not with the ways to them.
    """
    nodes = list(walk(value))
    ways: dict[Expr, list[Guards]] = {node: [] for node in nodes}

    def reach(node: Expr, guards: Guards) -> None:
        now = set(guards)
        if not any(now.issuperset(fewer) for fewer in ways[node]):
            ways[node] = [*(one for one in ways[node] if not now.issubset(one)), guards]

    def more(guards: Guards, cond: Expr, holds: bool) -> Guards:
        return (*guards, (cond, holds)) if matters is None or matters(cond, holds) else guards

    def descend(node: Expr, guards: Guards) -> None:
        match node:
            case Select(cond=cond, yes=yes, no=no):
                reach(cond, guards)
                reach(yes, more(guards, cond, True))
                reach(no, more(guards, cond, False))
            case Op(name="and" | "or", args=args):
                for arg in args:
                    reach(arg, guards)
                    guards = more(guards, arg, node.name == "and")
            case _:
                for child in node.children:
                    reach(child, guards)

    reach(value, ())
    for node in reversed(nodes):  # after all that it is part of
        if len(ways[node]) > _MOST_WAYS:
            first, *others = ways[node]
            common = set(first).intersection(*others)
            ways[node] = [tuple(guard for guard in first if guard in common)]
        for guards in ways[node]:
            descend(node, guards)
    return [(node, guards) for node in nodes if isinstance(node, Read) for guards in reversed(ways[node])]
