"""Strongly connected components of what depends on what, in topological order.

Every graph is put in order, most specs need nothing else of networkx, and importing that takes a tenth of a second.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence

Component = tuple[str, ...]


def strongly_connected(known: Mapping[str, Sequence[str]]) -> list[Component]:
    """Components of the names, each after all that its members depend on; ties, and members, in the order of ``known``.

    ``known`` tells what each name depends on; what is not a name there is left out.
    """
    position = {name: number for number, name in enumerate(known)}
    found = [tuple(sorted(component, key=position.__getitem__)) for component in _components(known)]
    home = {name: number for number, component in enumerate(found) for name in component}
    readers: list[set[int]] = [set() for _ in found]
    for name, others in known.items():
        for other in others:
            if other in home and home[other] != home[name]:
                readers[home[other]].add(home[name])
    waiting = [0] * len(found)
    for number in (number for each in readers for number in each):
        waiting[number] += 1
    ready = [(position[component[0]], number) for number, component in enumerate(found) if not waiting[number]]
    heapq.heapify(ready)
    order: list[Component] = []
    while ready:
        _, number = heapq.heappop(ready)
        order.append(found[number])
        for reader in readers[number]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, (position[found[reader][0]], reader))
    return order


def _components(known: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Tarjan's algorithm (1972), with a stack of its own: chains may be longer than Python's."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_names: list[str] = []
    is_open: set[str] = set()
    for root in known:
        path = [] if root in number else [(root, iter(known[root]))]
        while path:
            name, others = path[-1]
            if name not in number:
                number[name] = lowest[name] = len(number)
                open_names.append(name)
                is_open.add(name)
            for other in others:
                if other not in known:
                    continue
                if other not in number:
                    path.append((other, iter(known[other])))
                    break
                if other in is_open:
                    lowest[name] = min(lowest[name], number[other])
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[name])
                if lowest[name] == number[name]:
                    start = open_names.index(name)
                    component, open_names[start:] = open_names[start:], []
                    is_open.difference_update(component)
                    yield component
