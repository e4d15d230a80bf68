"""What all readers of a tensor ask for becomes a condition of the tensor itself, where products of matrices read it.

    p[t,s] = exp(x[t,s])                             p[t,s] = [m[t,s]]*exp(x[t,s])
    z[t] = sum[s] [m[t,s]]*p[t,s]                    z[t] = sum[s] p[t,s]
    y[t,e] = sum[s] [m[t,s]]*p[t,s]*v[s,e]     ->    y[t,e] = sum[s] p[t,s]*v[s,e]

A product reads its factors from memory, so a factor under a condition is a copy of its own, with zeros in it. Here the
tensor has the zeros, and is computed where it is needed only. What is no number elsewhere, such as the exponential of a
score that a mask hides, is 0 there.

A condition that the other factor could have too, such as the length of a row, stays there besides: what it hides of
that factor may be an infinity. Conditions on indices stay in sums that are no products, whose loops they bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.bounds import facts_of
from dlc.compiler.ir.conditions import conjunction, conjuncts, guarded
from dlc.compiler.ir.dependences import reads_under
from dlc.compiler.ir.elements import bounds_of
from dlc.compiler.ir.expr import Expr, Index, Read, Reduce, free_indices, reads
from dlc.compiler.ir.forms import is_contraction, is_map
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.products import guarded_product, product
from dlc.compiler.ir.recurrence import keeping_orders
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.safety import needs_more, reads_in_range

NAME = "sink"

Conditions = tuple[Expr, ...]


@dataclass(frozen=True)
class _Place:
    """A read of an element, and the conditions that hold where it is done, both in indices of the reader."""

    read: Read
    held: Conditions
    by_product: bool


def run(graph: Graph) -> Graph:
    return keeping_orders(graph, _sunk)


def _sunk(graph: Graph, left: frozenset[str]) -> Graph:
    """The graph with conditions sunk into all tensors but some."""
    places = _places(graph)
    sunk = {
        name: found
        for name, tensor in graph.tensors.items()
        if name in places and name not in left and (found := _common(graph, tensor, places[name]))
    }
    if not sunk:
        return graph
    return graph.with_tensors(
        tensor if tensor.id in left else _changed(graph, tensor, sunk) for tensor in graph.tensors.values()
    )


def _places(graph: Graph) -> Mapping[str, Sequence[_Place]]:
    """Where each tensor is read, for those that a product reads under a condition."""
    found: dict[str, list[_Place]] = {}
    wanted: set[str] = set()
    for equation in (one for tensor in graph.tensors.values() for one in tensor.equations):
        by_product = is_contraction(equation)
        for place in _reads(equation, by_product):
            found.setdefault(place.read.tensor, []).append(place)
            if by_product and place.held:
                wanted.add(place.read.tensor)
    return {name: places for name, places in found.items() if name in wanted}


def _reads(equation: Equation, by_product: bool) -> Iterator[_Place]:
    for read in reads(*equation.subscripts):
        yield _Place(read, (), False)
    for read, guards in reads_under(equation.value):
        held = tuple(part for cond, holds in guards if holds for part in conjuncts(cond))
        yield _Place(read, held, by_product)


# -- what the readers have in common ----------------------------------------------------------------------------------


def _common(graph: Graph, tensor: Tensor, places: Sequence[_Place]) -> Conditions:
    """The conditions that all readers ask of an element, in the indices of the tensor."""
    if tensor.kind != "computed" or tensor.type != "real" or tensor.id in graph.kept | graph.held:
        return ()
    if len(tensor.equations) != 1 or not tensor.equations[0].is_whole or not is_map(tensor.equations[0]):
        return ()
    (equation,) = tensor.equations
    told = [_of_axes(equation.indices, place) for place in places]
    common = [cond for cond in told[0] if all(cond in other for other in told)]
    return tuple(_safe(graph, tensor, common))


def _of_axes(axes: tuple[Index, ...], place: _Place) -> Conditions:
    """The conditions on nothing but the subscripts of the read, in terms of the axes of its tensor."""
    subscripts = place.read.subscripts
    if len(set(subscripts)) != len(axes) or not all(isinstance(one, Index) for one in subscripts):
        return ()
    names: dict[Expr, Expr] = dict(zip(subscripts, axes, strict=True))
    return tuple(
        substitute(cond, dict(names))
        for cond in place.held
        if free_indices(cond) and names.keys() >= set(free_indices(cond))
    )


def _safe(graph: Graph, tensor: Tensor, conditions: Iterable[Expr]) -> Iterator[Expr]:
    """Those that can be looked at for every element, before any of the tensor is computed."""
    order = {name: number for number, name in enumerate(graph.ordered)}
    sizes = {name: one.sizes for name, one in graph.tensors.items()}
    bounds = bounds_of(graph)
    kept: list[Expr] = []
    for cond in conditions:
        is_known = all(order[read.tensor] < order[tensor.id] for read in reads(cond))
        if is_known and reads_in_range(cond, sizes, kept, graph.facts, bounds):
            kept.append(cond)
            yield cond


# -- the tensors after it ---------------------------------------------------------------------------------------------


def _changed(graph: Graph, tensor: Tensor, sunk: Mapping[str, Conditions]) -> Tensor:
    equations = tuple(_without(graph, equation, sunk) for equation in tensor.equations)
    own = conjunction(sunk.get(tensor.id, ()))
    equations = tuple(replace(equation, value=guarded(own, equation.value)) for equation in equations)
    return tensor if equations == tensor.equations else replace(tensor, equations=equations)


def _without(graph: Graph, equation: Equation, sunk: Mapping[str, Conditions]) -> Equation:
    """The equation without the conditions that a factor has itself now."""
    value = equation.value
    if not isinstance(value, Reduce) or value.op != "sum" or value.type != "real":
        return equation
    conditions, factors = guarded_product(value.body)
    is_product = is_contraction(equation)
    if not (is_product or len(factors) == 1):
        return equation
    gone = {
        cond
        for number, factor in enumerate(factors)
        for cond in _own(graph, factor, sunk)
        if not _is_needed(cond, [one for other, one in enumerate(factors) if other != number])
    }
    left = [cond for cond in conditions if cond not in gone]
    sizes = {name: one.sizes for name, one in graph.tensors.items()}
    if any(needs_more(one, sizes, left, conditions, graph.facts, None, True) for one in (*factors, *left)):
        return equation
    body = guarded(conjunction(left), product(factors))
    return replace(equation, value=Reduce(value.op, value.indices, body))


def _own(graph: Graph, factor: Expr, sunk: Mapping[str, Conditions]) -> set[Expr]:
    """The conditions that a factor has itself now."""
    if not isinstance(factor, Read) or factor.tensor not in sunk:
        return set()
    (own,) = graph.tensors[factor.tensor].equations
    names: dict[Expr, Expr] = dict(zip(own.indices, factor.subscripts, strict=True))
    return {substitute(each, dict(names)) for each in sunk[factor.tensor]}


def _is_needed(cond: Expr, others: Sequence[Expr]) -> bool:
    """Whether a condition does more than its factor does: it bounds a loop, or hides what another factor is."""
    if not others and facts_of(cond):
        return True
    return any(set(free_indices(cond)) <= set(free_indices(other)) for other in others)
