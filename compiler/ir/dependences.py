"""What the equations of a recurrence read of each other, each read with what is known where it is evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.bounds import facts_of_all
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Select, Size, free_indices, substitute, walk
from dlc.compiler.ir.graph import Equation, Graph

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
    for read, guards in reads_under(value):
        if guards not in known:
            known[guards] = tuple(facts_of_all(guards))
        yield read, known[guards]


def reads_under(value: Expr) -> Iterator[tuple[Read, Guards]]:
    """Every read with the guards around it, from the outermost to the innermost."""
    done: set[tuple[Expr, Guards]] = set()

    def visit(node: Expr, guards: Guards) -> Iterator[tuple[Read, Guards]]:
        if (node, guards) in done:
            return
        done.add((node, guards))
        match node:
            case Select(cond=cond, yes=yes, no=no):
                yield from visit(cond, guards)
                yield from visit(yes, (*guards, (cond, True)))
                yield from visit(no, (*guards, (cond, False)))
            case Op(name="and" | "or", args=args):
                for arg in args:
                    yield from visit(arg, guards)
                    guards = (*guards, (arg, node.name == "and"))
            case _:
                if isinstance(node, Read):
                    yield node, guards
                for child in node.children:
                    yield from visit(child, guards)

    yield from visit(value, ())
