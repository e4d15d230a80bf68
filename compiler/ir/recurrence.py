"""The order of a recurrence: loops over time in which every element is computed after those that it reads.

A strongly connected component of a graph is ordered as Allen and Kennedy order the statements of a loop nest.  Every
tensor of the component gets a *time*: an axis, a direction and a shift, so that the element at subscript ``s`` of that
axis has the time ``direction*s + shift``.  A read must be of an element of the same or an earlier time.  Reads of an
earlier time are then taken care of by the loop; what still forms a cycle at one and the same time is ordered in the
same way along other axes.

    h[t+1] = f(h[t])              t upwards
    d[i+1,j+1] = min(d[i,j+1], d[i+1,j], d[i,j])      i upwards, and in it j upwards
    path[r] = back[r, path[r+1]]  r downwards

Times are polynomials in the sizes; what a guard, the range of a summed index or a requirement of the graph says is
used in the proofs, so ``sum[s : s < t] a[t,s]*h[s]`` has an order, and so has ``h[t-|K|]`` where |K| must not be 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from dlc.compiler.ir.affine import guessed
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.dependences import Dependence, Place, dependences, places_of
from dlc.compiler.ir.expr import Reduce, walk
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.timings import Time, Timings, reduced

_MOST_FINDS = 400  # orders tried for one component
_MOST_CLOCKS = 16  # looked at for one component
_MOST_REMEMBERED = 256  # orders of components


@dataclass(frozen=True)
class Loop:
    """``body`` in order, for one time after the other; every tensor of the body has its time."""

    times: Mapping[str, Time]
    body: tuple[Loop | Place, ...]

    def places(self) -> Iterator[Place]:
        for step in self.body:
            if isinstance(step, Loop):
                yield from step.places()
            else:
                yield step


@dataclass(frozen=True)
class Conflict:
    """Reads, one behind the other and round in a circle, that no order of the elements satisfies: each ``reader`` is
    the ``writer`` of the one before.  Of an equation that reads its own tensor, all these reads.
    """

    circle: tuple[Dependence, ...]


Order = tuple[Loop | Place, ...]


def order(graph: Graph, component: Sequence[str]) -> Order | Conflict:
    """The equations of a component of the graph in an order in which they may be computed.

    Every pass is followed by a look for the orders of all recurrences, and changes few of them: what has been found for
    the same equations, sizes and requirements is remembered.
    """
    key = _told(graph, component)
    found = _found.get(key)
    if found is None:
        found = _Search(graph).arranged(dependences(graph, component), places_of(graph, component), {})
        for old in list(_found)[: len(_found) + 1 - _MOST_REMEMBERED]:
            _found.pop(old, None)
        _found[key] = found
    return found


_found: dict[tuple[object, ...], Order | Conflict] = {}  # by all that an order depends on


def _told(graph: Graph, component: Sequence[str]) -> tuple[object, ...]:
    """What the order of a component depends on; expressions are equal where they are identical."""
    required = tuple(one.value for one in graph.requirements)
    tensors = (graph.tensors[name] for name in component)
    return required, tuple((one.id, one.sizes, one.equations) for one in tensors)


def conflicts(
    graph: Graph, among: Iterable[tuple[str, ...]] | None = None
) -> Iterator[tuple[tuple[str, ...], Conflict]]:
    """The recurrences of the graph, or those among some, that have no order, and why."""
    for component in graph.recurrences if among is None else among:
        found = order(graph, component)
        if isinstance(found, Conflict):
            yield component, found


def keeping_orders(graph: Graph, change: Callable[[Graph, frozenset[str]], Graph]) -> Graph:
    """The graph changed by ``change(graph, left)``, which leaves some tensors alone: those of recurrences that would
    have no order afterwards.
    """
    result = change(graph, frozenset())
    lost = frozenset(name for component, _ in conflicts(result) for name in component)
    return change(graph, lost) if lost else result


def clocks(graph: Graph, component: Sequence[str]) -> Iterator[tuple[Mapping[str, Time], Mapping[str, int]]]:
    """Ways to time a component in which every read looks back by a number of steps, and how far each tensor is looked
    back at; what is read at its own time may have an order along further axes.
    """
    timings = Timings(graph)
    edges = dependences(graph, component)
    ways = (way(edges, component, {}) for way in timings.ways[:2])
    for times in islice(timings.possible(edges, component, chain.from_iterable(ways)), _MOST_CLOCKS):
        back = dict.fromkeys(component, 0)
        steps = [(edge, reduced(timings.distance(edge, times), edge.facts).value) for edge in edges]
        for edge, step in steps:
            back[edge.read.tensor] = max(back[edge.read.tensor], -1 if step is None else step)
        if any(back.values()) and all(step is not None and step >= 0 for _, step in steps):
            yield times, back


class _Search:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.timings = Timings(graph)
        self.tries = 0

    def arranged(
        self, edges: Sequence[Dependence], places: Sequence[Place], used: Mapping[str, frozenset[int]]
    ) -> tuple[Loop | Place, ...] | Conflict:
        """``places`` in an order, where ``used`` axes have been taken for loops around."""
        result: list[Loop | Place] = []
        for group in _groups(edges, places):
            inner = [edge for edge in edges if edge.reader in group and edge.writer in group]
            if len(group) == 1 and not inner:
                result.append(group[0])
                continue
            found = self.looped(inner, group, used)
            if isinstance(found, Conflict):
                return found
            result.append(found)
        return tuple(result)

    def looped(
        self, edges: Sequence[Dependence], group: Sequence[Place], used: Mapping[str, frozenset[int]]
    ) -> Loop | Conflict:
        """The loop around a cycle of equations: of all possible ones the one with the least inside further loops, and
        of these the shortest, because what stands outside a further loop is computed for all its rounds at once.

        Axes are guessed only where those that the reads relate give no loop.
        """
        names = list(dict.fromkeys(place.tensor for place in group))
        for choices in self.timings.ways:
            found = self.best(self.timings.possible(edges, names, choices(edges, names, used)), edges, group, used)
            if found is not None:
                return found
        scalars = {place for place in group if not self.graph.tensors[place.tensor].rank}
        told = (edge for edge in edges if edge.reader != edge.writer or edge.reader in scalars)  # what no loop orders
        return Conflict(_circle(tuple(told) if scalars else edges))

    def best(
        self,
        candidates: Iterable[dict[str, Time]],
        edges: Sequence[Dependence],
        group: Sequence[Place],
        used: Mapping[str, frozenset[int]],
    ) -> Loop | None:
        best: tuple[tuple[int, int, int], Loop] | None = None
        for times in candidates:
            self.tries += 1
            if self.tries > _MOST_FINDS:
                break
            later = [edge for edge in edges if not nonnegative(self.timings.distance(edge, times) - 1, edge.facts)]
            if len(later) == len(edges):
                continue
            now = {name: used.get(name, frozenset()) | {time.axis} for name, time in times.items()}
            same = [self.at_one_time(edge, times) for edge in later]
            body = self.arranged(same, group, {**used, **now})
            if isinstance(body, Conflict):
                continue
            inside = [place for step in body if isinstance(step, Loop) for place in step.places()]
            sums = sum(any(isinstance(n, Reduce) for n in walk(self.timings.equation(place).value)) for place in inside)
            cost = sums, self.rounds(times), len(inside)
            if best is None or cost < best[0]:
                best = cost, Loop(times, body)
            if not inside:
                break
        return best[1] if best is not None else None

    def rounds(self, times: Mapping[str, Time]) -> int:
        """How often a loop runs, at a guess where a size is not known."""
        return max(guessed(self.graph.tensors[name].sizes[time.axis]) for name, time in times.items())

    def at_one_time(self, edge: Dependence, times: Mapping[str, Time]) -> Dependence:
        distance = self.timings.distance(edge, times)
        facts = (*edge.facts, distance, -distance) if distance.terms else edge.facts
        return Dependence(edge.reader, edge.read, edge.writer, facts)


def _groups(edges: Sequence[Dependence], places: Sequence[Place]) -> list[tuple[Place, ...]]:
    """Equations that depend on each other, in an order in which the groups may be computed."""
    import networkx

    position = {place: number for number, place in enumerate(places)}
    known = networkx.DiGraph()
    known.add_nodes_from(places)
    known.add_edges_from((edge.writer, edge.reader) for edge in edges if edge.reader in position)
    condensed = networkx.condensation(known)
    members = {
        node: tuple(sorted(data["members"], key=position.__getitem__)) for node, data in condensed.nodes(data=True)
    }
    found = networkx.lexicographical_topological_sort(condensed, key=lambda node: position[members[node][0]])
    return [members[node] for node in found]


def _circle(edges: Sequence[Dependence]) -> tuple[Dependence, ...]:
    """A shortest circle of reads; of an equation that reads its own tensor, all these reads."""
    import networkx

    known = networkx.MultiDiGraph()
    for number, edge in enumerate(edges):
        known.add_edge(edge.reader, edge.writer, key=number)
    best: list[Place] | None = None
    for start in dict.fromkeys(edge.reader for edge in edges):
        for edge in edges:
            if edge.reader is not start and edge.reader != start:
                continue
            try:
                path = networkx.shortest_path(known, edge.writer, start)
            except networkx.NetworkXNoPath:
                continue
            if best is None or len(path) < len(best):
                best = path
    assert best is not None
    if len(best) == 1:
        return tuple(edge for edge in edges if edge.reader == edge.writer == best[0])
    steps = zip(best, [*best[1:], best[0]], strict=True)
    return tuple(next(e for e in edges if (e.reader, e.writer) == pair) for pair in steps)
