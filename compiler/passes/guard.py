"""Random numbers are drawn only where something comes of them::

    u[i] = random(..)                                       u[i] = [train]*random(..)
    y[i] = x[i]*[u[i] > p] if train else x[i]      ->       y[i] = x[i]*[u[i] > p] if train else x[i]

Where every read of a tensor stands under a condition that modes and hyper-parameters alone decide, and the tensor's
equations draw, they draw under that condition.  What reads the tensor may itself be read under such a condition only.
For that such conditions come first among those that a guard asks for: ``[u[i] > p and train]`` reads ``u`` in vain.

Left out: equations that do not draw, which cost little beside the test, and conditions over indices or data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlc.compiler.ir.conditions import conjuncts, negation
from dlc.compiler.ir.expr import (
    Expr,
    Op,
    Read,
    Reduce,
    Select,
    Solve,
    free_indices,
    identity_of,
    number,
    op,
    reads,
    walk,
)
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.ops import RANDOM
from dlc.compiler.ir.rewriting import transform

NAME = "guard"

Conditions = dict[Expr, None]  # a set in order


def run(graph: Graph) -> Graph:
    if not any(_draws(equation) for tensor in graph.tensors.values() for equation in tensor.equations):
        return graph
    graph = graph.with_tensors(_settled_first(graph, tensor) for tensor in graph.tensors.values())
    needed = _needed(graph)
    return graph.with_tensors(_guarded(tensor, needed.get(tensor.id, {})) for tensor in graph.tensors.values())


def _draws(equation: Equation) -> bool:
    return any(isinstance(node, Op) and node.name in RANDOM for node in walk(equation.value))


def _settled_first(graph: Graph, tensor: Tensor) -> Tensor:
    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Op) or node.name != "and":
            return None
        first = _settled(graph, node)
        return op("and", *first, *(part for part in node.args if part not in first)) if first else None

    equations = tuple(replace(one, value=transform(one.value, change)) for one in tensor.equations)
    return replace(tensor, equations=equations)


# -- where a tensor is needed ------------------------------------------------------------------------------------------


def _needed(graph: Graph) -> dict[str, Conditions]:
    """The conditions that hold wherever a tensor is read, from the last of the graph to the first.

    What the tensors of a recurrence read of each other is needed only where one of them is.
    """
    found: dict[str, Conditions] = {root: {} for root in graph.roots}
    for component in reversed(graph.components):
        known = [found[name] for name in component if name in found]
        common = _common(known)
        for name in component:
            found[name] = common
        for reader in component:
            for equation in graph.tensors[reader].equations:
                for name, conditions in _reads(graph, equation):
                    if name not in component:
                        here = {**common, **conditions}
                        found[name] = _common([found[name], here]) if name in found else here
    return found


def _common(sets: list[Conditions]) -> Conditions:
    return {one: None for one in sets[0] if all(one in other for other in sets)} if sets else {}


def _reads(graph: Graph, equation: Equation) -> Iterator[tuple[str, Conditions]]:
    """The tensors read in an equation, each time with the settled conditions around."""
    seen: set[tuple[Expr, tuple[Expr, ...]]] = set()
    stack: list[tuple[Expr, tuple[Expr, ...]]] = [(part, ()) for part in (equation.value, *equation.subscripts)]
    while stack:
        node, around = stack.pop()
        if (node, around) in seen:
            continue
        seen.add((node, around))
        if isinstance(node, Read):
            yield node.tensor, dict.fromkeys(around)
        stack += _inside(graph, node, around)


def _inside(graph: Graph, node: Expr, around: tuple[Expr, ...]) -> Iterator[tuple[Expr, tuple[Expr, ...]]]:
    """The parts of a node, each under the conditions on which it is evaluated."""
    match node:
        case Select(cond=cond, yes=yes, no=no):
            yield cond, around
            yield yes, (*around, *_settled(graph, cond))
            yield no, (*around, *_settled(graph, negation(cond)))
        case Op(name="and" | "or" as name, args=args):
            for arg in args:
                yield arg, around
                around = (*around, *_settled(graph, arg if name == "and" else negation(arg)))
        case _:
            yield from ((child, around) for child in node.children)


def _settled(graph: Graph, cond: Expr) -> list[Expr]:
    """The conjuncts that nothing but modes and hyper-parameters decides."""
    return [
        part
        for part in conjuncts(cond)
        if not free_indices(part)
        and all(graph.tensors[node.tensor].kind in ("mode", "hyper") for node in reads(part))
        and not any(isinstance(node, Reduce | Solve) for node in walk(part))
    ]


# -- equations under a condition ---------------------------------------------------------------------------------------


def _guarded(tensor: Tensor, conditions: Conditions) -> Tensor:
    if not conditions or not any(map(_draws, tensor.equations)):
        return tensor
    cond = op("and", *conditions)
    return replace(tensor, equations=tuple(_under(cond, one) if _draws(one) else one for one in tensor.equations))


def _under(cond: Expr, equation: Equation) -> Equation:
    value = equation.value
    if isinstance(value, Solve):
        return equation
    if isinstance(value, Reduce):
        body = Select(cond, value.body, identity_of(value.op, value.body.type))
        return replace(equation, value=value.rebuild((body,)))
    nothing = identity_of("any", "bool") if value.type == "bool" else number(0, value.type)
    return replace(equation, value=Select(cond, value, nothing))
