"""Simplify every equation by the rules of algebra, and read through tensors that say nothing of their own.

The rules are the tables ``ir.algebra`` and ``ir.sums``; what the graph requires of its sizes is known.  A tensor whose
one equation is a constant, a size, an index or an element of another tensor (a copy, a transpose, a row) is trivial:
its readers read what it stands for, and it goes, unless it is an output, the loss or takes part in a gradient.  Left
out: anything that weighs work against memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dlc.compiler.ir.affine import integer
from dlc.compiler.ir.conditions import assuming
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Select, Size, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor, reads_of
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.simplifier import Rule, Simplifier
from dlc.compiler.ir.sums import rules_of

NAME = "simplify"


def run(graph: Graph) -> Graph:
    trivial: dict[str, Equation] = {}

    def see_through(node: Expr) -> Expr | None:
        assert isinstance(node, Read)
        equation = trivial.get(node.tensor)
        return equation and substitute(equation.value, dict(zip(equation.indices, node.subscripts, strict=True)))

    simplified = Simplifier((Rule("trivial-tensor", "read", "t[i] = a[i,0]: read a", see_through), *rules_of(graph)))
    facts = graph.facts

    def simple(value: Expr) -> Expr:
        return simplified(assuming(simplified(value), facts))

    kept = graph.kept | graph.held
    tensors = dict(graph.tensors)
    for name in graph.ordered:
        tensor = tensors[name] = _simplified(graph.tensors[name], simple)
        if name not in kept and _is_trivial(tensor) and not _leads_to(name, tensor, trivial):
            trivial[name] = tensor.equations[0]
    if any(trivial.keys() & reads_of(tensor) for name, tensor in tensors.items() if name not in trivial):
        # within a recurrence, a reader may stand before what it reads; what was remembered did not see through that
        simplified = Simplifier(simplified.rules)
        tensors = {name: _simplified(tensor, simple) for name, tensor in tensors.items()}
    return graph.with_tensors(tensor for name, tensor in tensors.items() if name not in trivial)


def _leads_to(name: str, tensor: Tensor, trivial: Mapping[str, Equation]) -> bool:
    """Whether what a tensor stands for is an element of itself, by way of others that stand for another."""
    waiting = list(reads_of(tensor))
    while waiting:
        source = waiting.pop()
        if source == name:
            return True
        if source in trivial:
            waiting += [node.tensor for node in reads(trivial[source].value)]
    return False


def _simplified(tensor: Tensor, simplified: Callable[[Expr], Expr]) -> Tensor:
    equations = tuple(
        replace(
            equation,
            subscripts=tuple(map(integer, equation.subscripts)),
            value=simplified(equation.value),
        )
        for equation in tensor.equations
    )
    return tensor if equations == tensor.equations else replace(tensor, equations=equations)


def _is_trivial(tensor: Tensor) -> bool:
    if len(tensor.equations) != 1 or not tensor.equations[0].is_whole:
        return False
    return _stands_for_another(tensor.equations[0].value)


def _stands_for_another(value: Expr) -> bool:
    match value:
        case Const() | Size() | Index():
            return True
        case Op(name="real", args=(Size() | Index(),)):
            return True
        case Read(subscripts=subscripts):
            return all(isinstance(subscript, Index | Size | Const) or _is_plain(subscript) for subscript in subscripts)
    return False


def _is_plain(subscript: Expr) -> bool:
    """Whether a subscript reads nothing and chooses nothing, so that copying it into readers costs nothing."""
    if isinstance(subscript, Read | Select):
        return False
    if isinstance(subscript, Op):
        return subscript.name in ("add", "mul", "neg") and all(map(_is_plain, subscript.args))
    return isinstance(subscript, Index | Size | Const)
