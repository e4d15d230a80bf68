"""Conditions on the elements of a product of matrices stand where the product is read.

    p[t,s] = sum[d] [m[t,s]]*a[t,d]*b[s,d]           p[t,s] = sum[d] a[t,d]*b[s,d]
    y[t,s] = [m[t,s]]*p[t,s]*c[t,s]            ->    y[t,s] = [m[t,s]]*p[t,s]*c[t,s]

A condition that both rows and columns have a say in belongs to neither factor, so with it there would be no product of
matrices. Without it there is one, which is computed where nobody needs it too, and still takes less time. A tensor
that is read elsewhere as well is split into the product and a guarded copy of it.

Two products that differ in their conditions alone, as where a function has a case for `x > 0` and one for the rest, are
one after this.

Left out: conditions that leave few elements (an equation, a narrow band), for which loops do less work; those without
indices, which decide whether anything is computed at all; and those that keep a factor in range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from dlc.compiler.ir.affine import guessed
from dlc.compiler.ir.bounds import facts_of
from dlc.compiler.ir.conditions import conjunction, conjuncts, guarded
from dlc.compiler.ir.dependences import reads_under
from dlc.compiler.ir.elements import Bounds, bounds_of
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Reduce, free_indices, op, reads, walk
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique, whole
from dlc.compiler.ir.products import guarded_product
from dlc.compiler.ir.recurrence import keeping_orders
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.safety import needs_more

NAME = "lift"

_BAND = 4  # a product does this many multiplications in the time that a loop needs for one


@dataclass(frozen=True)
class _Lift:
    """The conditions that leave a product: those that all its readers ask anyway, and those that a copy has to ask."""

    asked: tuple[Expr, ...]
    others: tuple[Expr, ...]


def run(graph: Graph) -> Graph:
    return keeping_orders(graph, _lifted)


def _lifted(graph: Graph, left: frozenset[str]) -> Graph:
    """The graph with conditions lifted out of all products but those of some tensors."""
    bounds = bounds_of(graph)
    candidates = {
        name: movable
        for name, tensor in graph.tensors.items()
        if name not in left and (movable := _movable(graph, tensor, bounds))
    }
    readers = _readers(graph, candidates)
    taken: dict[str, object] = dict(graph.tensors)
    tensors: list[Tensor] = []
    for name, tensor in graph.tensors.items():
        if name in candidates:
            lift = _lift(graph, tensor, candidates[name], readers[name])
            tensors += _split(tensor, lift, taken) if _reads_in_range(graph, tensor, lift, bounds) else [tensor]
        else:
            tensors.append(tensor)
    return graph.with_tensors(tensors)


def _movable(graph: Graph, tensor: Tensor, bounds: Bounds) -> tuple[Expr, ...]:
    """The conditions of a product over its results alone, if it reads in range without them."""
    if tensor.kind != "computed" or len(tensor.equations) != 1 or not tensor.equations[0].is_whole:
        return ()
    (equation,) = tensor.equations
    value = equation.value
    if not is_contraction(equation) or not isinstance(value, Reduce):
        return ()
    conditions, factors = guarded_product(value.body)
    found = tuple(one for one in conditions if free_indices(one) and not set(free_indices(one)) & set(value.indices))
    rest = [one for one in conditions if one not in found]
    if not found or any(map(_says_which, found)) or _leaves_a_band(found):
        return ()
    sizes = {name: one.sizes for name, one in graph.tensors.items()}
    needed = any(needs_more(one, sizes, rest, conditions, graph.facts, bounds, True) for one in (*factors, *rest))
    return () if needed else found


def _says_which(cond: Expr) -> bool:
    return any(isinstance(node, Op) and node.name == "eq" for node in walk(cond))


def _leaves_a_band(conditions: Iterable[Expr]) -> bool:
    """Whether two conditions leave few values to an index for any one value of the others."""
    facts = [fact for cond in conditions for fact in facts_of(cond)]
    for one, other in combinations(facts, 2):
        width = (one + other).value
        sizes = [guessed(atom.size) for atom in one.atoms if isinstance(atom, Index)]
        if width is not None and sizes and _BAND * (width + 1) <= max(sizes):
            return True
    return False


# -- readers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reader:
    """A read of a product, and what holds where it is done."""

    read: Read
    held: frozenset[Expr]


def _readers(graph: Graph, names: Iterable[str]) -> Mapping[str, Sequence[_Reader]]:
    found: dict[str, list[_Reader]] = {name: [] for name in names}
    for equation in (one for tensor in graph.tensors.values() for one in tensor.equations):
        if any(read.tensor in found for read in reads(equation.value, *equation.subscripts)):
            for reader in _reads(equation):
                if reader.read.tensor in found:
                    found[reader.read.tensor].append(reader)
    return found


def _reads(equation: Equation) -> Iterator[_Reader]:
    for read in reads(*equation.subscripts):
        yield _Reader(read, frozenset())
    for read, guards in reads_under(equation.value):
        yield _Reader(read, frozenset(part for cond, holds in guards if holds for part in conjuncts(cond)))


def _lift(graph: Graph, tensor: Tensor, movable: tuple[Expr, ...], readers: Sequence[_Reader]) -> _Lift:
    (equation,) = tensor.equations
    names = [dict(zip(equation.indices, reader.read.subscripts, strict=True)) for reader in readers]

    def is_asked(cond: Expr) -> bool:
        return tensor.id not in graph.kept | graph.held and all(
            reader.held.issuperset(conjuncts(substitute(cond, dict(own))))
            for reader, own in zip(readers, names, strict=True)
        )

    asked = tuple(filter(is_asked, movable))
    factors = guarded_product(equation.value.children[-1]).factors
    apart = [one for one in movable if one not in asked]
    of_both = (one for one in apart if not any(set(free_indices(one)) <= set(free_indices(f)) for f in factors))
    return _Lift(asked, tuple(of_both))


def _reads_in_range(graph: Graph, tensor: Tensor, lift: _Lift, bounds: Bounds) -> bool:
    """Whether neither the conditions that stay are kept in range by those that leave, nor these by those."""
    (equation,) = tensor.equations
    conditions = guarded_product(equation.value.children[-1]).conditions
    stay = [one for one in conditions if one not in {*lift.asked, *lift.others}]
    sizes = {name: one.sizes for name, one in graph.tensors.items()}
    return not any(
        needs_more(one, sizes, together, conditions, graph.facts, bounds, True)
        for together in (stay, lift.others)
        for one in together
    )


def _split(tensor: Tensor, lift: _Lift, taken: dict[str, object]) -> list[Tensor]:
    """The product, and the tensor in its place if others than those who ask the conditions anyway read it."""
    (equation,) = tensor.equations
    value = equation.value
    assert isinstance(value, Reduce)
    gone = {*lift.asked, *lift.others}
    if not gone:
        return [tensor]
    conditions, factors = guarded_product(value.body)
    body = op("mul", *factors)
    left = conjunction(one for one in conditions if one not in gone)
    product = Reduce(value.op, value.indices, guarded(left, body))
    if not lift.others:
        return [replace(tensor, equations=(replace(equation, value=product),))]
    name = unique(f"{tensor.id}.all", taken)
    taken[name] = None
    made = whole(name, equation.indices, product, equation.span)
    copy = guarded(conjunction(lift.others), Read(name, equation.indices, "real"))
    return [made, replace(tensor, equations=(replace(equation, value=copy),))]
