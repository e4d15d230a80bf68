"""What a recurrence computes at one time lies together in memory: its tensors get the axes of time in front.

    h[b,t,d], read and written one t at a time      h[t,b,d], a matrix for every t

So a product has rows that follow each other, in a step and over all steps: `sum[t,b] d[t,b,i]*h[t,b,j]` is one product
of long sums, and what stands outside and has time in front, as sequences usually do, needs no copy in another order.
Where a layer is used for every sample of a batch its tensors come with the batch in front.

Only recurrences with products of matrices are changed, and what they read that is computed before them. What is needed
outside keeps its axes. Loops inside loops over time: the outermost first. The last axis stays the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dlc.compiler.ir.axes import with_axes_permuted
from dlc.compiler.ir.dependences import Place
from dlc.compiler.ir.expr import Expr, Index, Solve, free_indices, reads
from dlc.compiler.ir.forms import is_contraction, is_map
from dlc.compiler.ir.graph import Equation, Graph
from dlc.compiler.ir.recurrence import Conflict, Loop, order

NAME = "timewise"

Leads = dict[str, tuple[int, ...]]  # tensor -> its axes of time, the outermost loop's first


def run(graph: Graph) -> Graph:
    kept = graph.kept | graph.held
    leads: Leads = {}
    for component in graph.recurrences:
        if _multiplies(graph, component):
            steps = order(graph, component)
            leads.update(_of_loops(steps) if not isinstance(steps, Conflict) else ())
    _spread(graph, leads, frozenset(leads))
    axes: dict[str, tuple[int, ...]] = {}
    for name, lead in leads.items():
        tensor = graph.tensors[name]
        turned = (*lead, *(axis for axis in range(tensor.rank) if axis not in lead))
        is_last = tensor.rank - 1 in lead
        if name not in kept and tensor.kind == "computed" and not is_last and turned != tuple(range(tensor.rank)):
            axes[name] = turned
    return with_axes_permuted(graph, axes)


def _multiplies(graph: Graph, component: Iterable[str]) -> bool:
    equations = [equation for name in component for equation in graph.tensors[name].equations]
    solves = any(isinstance(equation.value, Solve) for equation in equations)
    return not solves and any(is_contraction(equation) for equation in equations)


def _spread(graph: Graph, leads: Leads, members: frozenset[str]) -> None:
    """Give axes of time to what is read with times, by a member or in a map, and to maps of what has them."""
    while True:
        found: dict[str, set[tuple[int, ...]]] = {}
        for tensor in graph.tensors.values():
            for equation in tensor.equations:
                if tensor.id in members or is_map(equation):
                    for name, way in _told(tensor.id, equation, leads):
                        found.setdefault(name, set()).add(way)
        longest = {name: max(ways, key=len) for name, ways in found.items()}
        agreed = {name: way for name, way in longest.items() if all(set(one) <= set(way) for one in found[name])}
        new = {name: way for name, way in agreed.items() if _continues(way, leads.get(name, ()))}
        if not new:
            return
        leads.update(new)


def _continues(way: tuple[int, ...], before: tuple[int, ...]) -> bool:
    return len(way) > len(before) and way[: len(before)] == before


def _told(name: str, equation: Equation, leads: Leads) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What the axes of the tensor say of those that the equation reads, and the other way round."""
    times = [_index_of(equation.subscripts[axis]) for axis in leads.get(name, ())]
    for read in reads(equation.value):
        theirs = [_index_of(read.subscripts[axis]) for axis in leads.get(read.tensor, ())]
        for tensor, subscripts, indices in ((read.tensor, read.subscripts, times), (name, equation.subscripts, theirs)):
            way = _axes_of(subscripts, indices)
            if way:
                yield tensor, way


def _of_loops(steps: Iterable[Loop | Place]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for step in steps:
        if isinstance(step, Loop):
            inner = dict(_of_loops(step.body))
            for name, time in step.times.items():
                yield name, (time.axis, *inner.get(name, ()))


def _index_of(subscript: Expr) -> Index | None:
    free = free_indices(subscript)
    return free[0] if len(free) == 1 else None


def _axes_of(subscripts: Sequence[Expr], times: Sequence[Index | None]) -> tuple[int, ...] | None:
    """The axes along which an element moves with these indices, if every index has one of its own."""
    places = [[n for n, s in enumerate(subscripts) if time in free_indices(s)] for time in times]
    if not all(len(place) == 1 for place in places):
        return None
    axes = tuple(place[0] for place in places)
    return axes if len(set(axes)) == len(axes) else None
