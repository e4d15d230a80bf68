"""Derivatives inside a recurrence: of what a step computes, by what the same step reads.

    w[k+1,i] = w[k,i] - 0.1*grad(f[k], w[k,i])

Such a derivative is itself part of the recurrence.  It has a meaning that can be computed if nothing in the recurrence
reads a later step, for then no way leads from ``w[k]`` over another step back to ``f[k]``: what is read from earlier
steps counts as constant.  ``one_step`` gives the graph of what remains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dlc.compiler.ir.expr import Expr, Read, op, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor, dependencies
from dlc.compiler.ir.recurrence import Loop, order
from dlc.compiler.ir.rewriting import transform
from dlc.compiler.ir.timings import Lead, Time, least_shifts


def recurrent_derivatives(graph: Graph) -> Iterator[Tensor]:
    """The derivatives that their own tensors depend on."""
    if not graph.of_kind("derivative"):
        return
    for component in graph.recurrences:
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
    component = graph.recurrence_of[tensor.id]
    steps = next(_counts(graph, component, tensor), None)
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


def _counts(graph: Graph, component: Sequence[str], tensor: Tensor) -> Iterator[Mapping[str, Time]]:
    """Ways to count the steps of a recurrence so that none reads a later one, and the derivative is read within one.

    They agree on what the derivative is: what leads from what it is by to what it is of stands in the same step.
    """
    plain = with_needs(graph)
    members = [name for name in component if name in plain.tensors]
    found = order(plain, members)
    for loop in found if isinstance(found, tuple) else ():
        if isinstance(loop, Loop) and len({time.direction for time in loop.times.values()}) == 1:
            leads = [*_leads(plain, loop.times), *_leads_of_derivative(graph, tensor, loop.times)]
            shifts = least_shifts(loop.times, leads)
            if shifts is not None:
                times = loop.times.items()
                yield {name: replace(time, shift=time.shift + shifts[name]) for name, time in times}


def _leads(graph: Graph, times: Mapping[str, Time]) -> Iterator[Lead]:
    for name, time in times.items():
        for equation in graph.tensors[name].equations:
            here = time.of(equation.subscripts)
            for one in reads(equation.value):
                if one.tensor in times:
                    yield Lead(name, one.tensor, (here - times[one.tensor].of(one.subscripts)).value)


def _leads_of_derivative(graph: Graph, tensor: Tensor, times: Mapping[str, Time]) -> Iterator[Lead]:
    """What the derivative is of and by stand in one step: neither of them behind the other."""
    assert tensor.derivative is not None
    of, wrt = tensor.derivative.of, tensor.derivative.wrt
    if of not in times or wrt not in times:
        yield Lead(tensor.id, tensor.id, None)
        return
    rank = graph.tensors[of].rank
    for reader in graph.tensors.values():
        for equation in reader.equations:
            for one in reads(equation.value):
                if one.tensor == tensor.id:
                    lead = times[of].of(one.subscripts[:rank]) - times[wrt].of(one.subscripts[rank:])
                    yield Lead(of, wrt, lead.value)
                    yield Lead(wrt, of, (-lead).value)


def depths(graph: Graph) -> dict[str, int]:
    """How many derivatives each is taken through, itself included; around a recurrence, once."""
    derivatives = {tensor.id: tensor.derivative for tensor in graph.of_kind("derivative") if tensor.derivative}
    if not derivatives:
        return {}
    import networkx

    known = dependencies(graph)
    above = {name: networkx.ancestors(known, name) for name in derivatives}
    found: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in found:
            found[name] = 0  # while it is asked for
            inner = [other for other in derivatives if other in above[name] and derivatives[name].wrt in above[other]]
            found[name] = 1 + max(map(depth, inner), default=0)
        return found[name]

    return {name: depth(name) for name in derivatives}
