"""Derivatives inside a recurrence: of what a step computes, by what the same step reads.

    w[k+1,i] = w[k,i] - 0.1*grad(f[k], w[k,i])

Such a derivative is itself part of the recurrence.  It has a meaning that can be computed if nothing in the recurrence
reads a later step, for then no way leads from ``w[k]`` over another step back to ``f[k]``: what is read from earlier
steps counts as constant.  ``one_step`` gives the graph of what remains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import Polynomial
from dlc.compiler.ir.expr import Expr, Read, op, reads, transform
from dlc.compiler.ir.graph import Equation, Graph, Tensor, components, dependencies, is_recurrent
from dlc.compiler.ir.recurrence import Loop, Time, order


def recurrent_derivatives(graph: Graph) -> Iterator[Tensor]:
    """The derivatives that their own tensors depend on."""
    if not graph.of_kind("derivative"):
        return
    for component in components(graph):
        if is_recurrent(graph, component):
            yield from (graph.tensors[name] for name in component if graph.tensors[name].derivative is not None)


def with_needs(graph: Graph) -> Graph:
    """The graph with what a derivative is of, and by, in its place: for asking what must be computed before."""

    def change(node: Expr) -> Expr | None:
        derivative = graph.tensors[node.tensor].derivative if isinstance(node, Read) else None
        if derivative is None or not isinstance(node, Read):
            return None
        rank = graph.tensors[derivative.of].rank
        of, wrt = node.subscripts[:rank], node.subscripts[rank:]
        value = op("mul", Read(derivative.of, of, "real"), Read(derivative.wrt, wrt, "real"))
        return transform(value, change) if graph.tensors[derivative.of].derivative is not None else value

    if not graph.of_kind("derivative"):
        return graph
    kept = (tensor for tensor in graph.tensors.values() if tensor.derivative is None)
    return graph.with_tensors(
        replace(one, equations=tuple(replace(e, value=transform(e.value, change)) for e in one.equations))
        for one in kept
    )


def one_step(graph: Graph, tensor: Tensor) -> tuple[Graph, dict[str, str]] | None:
    """The graph in which the other steps are given, each tensor of them by another name, and these names; None if the
    derivative reaches over steps."""
    assert tensor.derivative is not None
    component = next(names for names in components(graph) if tensor.id in names)
    steps = next((steps for steps in _counts(graph, component) if _is_read_within_steps(graph, tensor, steps)), None)
    if steps is None:
        return None
    tensors = dict(graph.tensors)
    others: dict[str, str] = {}
    for name in component:
        one = graph.tensors[name]
        if name == tensor.derivative.wrt or one.derivative is not None:
            tensors[name] = replace(one, kind="input", equations=(), derivative=None)
        else:
            equations = tuple(_with_given(equation, name, steps, others) for equation in one.equations)
            tensors[name] = replace(one, equations=equations)
    for name, given in others.items():
        tensors[given] = replace(graph.tensors[name], id=given, kind="input", equations=(), derivative=None)
    return replace(graph, tensors=tensors), {given: name for name, given in others.items()}


def _with_given(equation: Equation, name: str, steps: Mapping[str, Time], others: dict[str, str]) -> Equation:
    """The equation, with what it reads of other steps under other names."""
    here = steps[name].of(equation.subscripts)

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Read) or node.tensor not in steps or steps[node.tensor].of(node.subscripts) == here:
            return None
        return Read(others.setdefault(node.tensor, f"{node.tensor} given"), node.subscripts, node.type)

    return replace(equation, value=transform(equation.value, change))


def _counts(graph: Graph, component: Sequence[str]) -> Iterator[Mapping[str, Time]]:
    """Ways to count the steps of a recurrence so that none reads a later one."""
    plain = with_needs(graph)
    members = [name for name in component if name in plain.tensors]
    found = order(plain, members)
    for loop in found if isinstance(found, tuple) else ():
        if isinstance(loop, Loop):
            level = {name: replace(time, shift=Polynomial(())) for name, time in loop.times.items()}
            yield from (steps for steps in (loop.times, level) if _never_ahead(plain, steps))


def _never_ahead(graph: Graph, steps: Mapping[str, Time]) -> bool:
    if len({time.direction for time in steps.values()}) > 1:
        return False
    for name, time in steps.items():
        for equation in graph.tensors[name].equations:
            here = time.of(equation.subscripts)
            read = [one for one in reads(equation.value) if one.tensor in steps]
            ahead = [(steps[one.tensor].of(one.subscripts) - here).value for one in read]
            if any(value is None or value > 0 for value in ahead):
                return False
    return True


def _is_read_within_steps(graph: Graph, tensor: Tensor, steps: Mapping[str, Time]) -> bool:
    assert tensor.derivative is not None
    of, wrt = tensor.derivative.of, tensor.derivative.wrt
    if of not in steps or wrt not in steps:
        return False
    rank = graph.tensors[of].rank
    return all(
        steps[of].of(read.subscripts[:rank]) == steps[wrt].of(read.subscripts[rank:])
        for reader in graph.tensors.values()
        for equation in reader.equations
        for read in reads(equation.value)
        if read.tensor == tensor.id
    )


def depths(graph: Graph) -> dict[str, int]:
    """How many derivatives each is taken through, itself included; around a recurrence, once."""
    import networkx

    known = dependencies(graph)
    derivatives = {tensor.id: tensor.derivative for tensor in graph.of_kind("derivative") if tensor.derivative}
    above = {name: networkx.ancestors(known, name) for name in derivatives}
    found: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in found:
            found[name] = 0  # while it is asked for
            inner = [other for other in derivatives if other in above[name] and derivatives[name].wrt in above[other]]
            found[name] = 1 + max(map(depth, inner), default=0)
        return found[name]

    return {name: depth(name) for name in derivatives}
