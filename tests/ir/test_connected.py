"""Strongly connected components, beside those of networkx."""

from __future__ import annotations

import random

import networkx
import pytest

from dlc.compiler.ir.connected import strongly_connected


def of_networkx(known: dict[str, list[str]]) -> list[tuple[str, ...]]:
    position = {name: number for number, name in enumerate(known)}
    edges = networkx.DiGraph()
    edges.add_nodes_from(known)
    edges.add_edges_from((other, name) for name, others in known.items() for other in others)
    condensed = networkx.condensation(edges)
    members = {
        node: tuple(sorted(data["members"], key=position.__getitem__)) for node, data in condensed.nodes(data=True)
    }
    order = networkx.lexicographical_topological_sort(condensed, key=lambda node: position[members[node][0]])
    return [members[node] for node in order]


@pytest.mark.parametrize("density", [0.05, 0.1, 0.2, 0.4])
def test_components_are_those_of_networkx(density: float) -> None:
    drawn = random.Random(0)
    for size in (*range(10), *range(10), 30, 60):
        names = [f"t{number}" for number in range(size)]
        drawn.shuffle(names)
        known = {name: [other for other in names if drawn.random() < density] for name in names}
        assert strongly_connected(known) == of_networkx(known)


def test_a_long_chain_needs_no_deep_stack() -> None:
    names = [f"t{number}" for number in range(3000)]
    known = {name: [other] for name, other in zip(names, [*names[1:], names[-1]], strict=True)}
    assert strongly_connected(known) == [(name,) for name in reversed(names)]


def test_what_is_no_name_is_left_out() -> None:
    assert strongly_connected({"a": ["b", "x"], "b": ["a"], "c": ["x", "a"]}) == [("a", "b"), ("c",)]
