"""The derivative of one tensor by another as a person would write it: few equations, in the names of the spec.

Adjoints that stand in one place, or are short, are written into their readers; what the spec defines keeps its name,
and what else is needed is listed below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import replace

from dlc.compiler.grad.jacobian import jacobian
from dlc.compiler.ir import verify
from dlc.compiler.ir.conditions import conjuncts
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Reduce, Select, number, op, reads, substitute, transform, walk
from dlc.compiler.ir.forms import is_map
from dlc.compiler.ir.graph import Equation, Graph, Tensor, inlined, ordered
from dlc.compiler.ir.printer import Naming, equation_text, expression_text
from dlc.compiler.passes import cse, dce, deltas, simplify

_SHORT = 12  # nodes; an expression of so few may be repeated
_ROUNDS = 20  # of writing adjoints into each other: as deep as a chain of them may be


def derivative_lines(graph: Graph, of: str, wrt: str, named: Set[str]) -> Iterator[str]:
    """The equations of `grad(of, wrt)`, of a prepared graph; `named` are the tensors that the spec defines."""
    forward = set(graph.tensors)
    result = _tidied(jacobian(graph, of, wrt))
    for _ in range(_ROUNDS):
        shorter = _tidied(_written_in(result, forward))
        if len(shorter.tensors) == len(result.tensors):
            break
        result = shorter
    name = result.outputs[0].tensor
    naming = Naming(tensor.id for tensor in result.tensors.values() if not tensor.rank)
    yield from _lines_of_derivative(result.tensors[name], graph, of, wrt, naming)
    needed = _needed(result, name, named)
    if needed:
        yield "where"
    for tensor in needed:
        yield from (f"    {equation_text(tensor, equation, naming)}" for equation in tensor.equations)


def _needed(graph: Graph, root: str, named: Set[str]) -> list[Tensor]:
    """What the equations of `root` speak of and the spec does not define, the inputs of others first."""
    found: set[str] = set()
    waiting = [root]
    while waiting:
        for equation in graph.tensors[waiting.pop()].equations:
            new = {node.tensor for node in reads(equation.value)} - found - named
            found |= new
            waiting.extend(new)
    return [graph.tensors[name] for name in ordered(graph) if name in found and graph.tensors[name].equations]


def _tidied(graph: Graph) -> Graph:
    for step in (simplify, deltas, simplify, cse, dce):
        graph = step.run(graph)
        verify.check(graph, step.NAME)
    return graph


def _written_in(graph: Graph, forward: set[str]) -> Graph:
    """The adjoints that may be, written into the equations that read them."""
    root = graph.outputs[0].tensor
    uses = Counter(node.tensor for t in graph.tensors.values() for e in t.equations for node in reads(e.value))
    gone = {
        tensor.id: tensor.equations[0]
        for tensor in graph.tensors.values()
        if tensor.id != root and tensor.id not in forward and _may_be_written(tensor, uses)
    }
    # one that is read by another that goes waits for the next round
    first = {
        name: equation
        for name, equation in gone.items()
        if not any(node.tensor in gone for node in reads(equation.value))
    }
    return graph.with_tensors(_with(tensor, first) for tensor in graph.tensors.values())


def _may_be_written(tensor: Tensor, uses: Mapping[str, int]) -> bool:
    if len(tensor.equations) != 1 or not tensor.equations[0].is_whole:
        return False
    value = tensor.equations[0].value
    return uses[tensor.id] <= 1 or (is_map(tensor.equations[0]) and len(list(walk(value))) <= _SHORT)


def _with(tensor: Tensor, definitions: Mapping[str, Equation]) -> Tensor:
    def change(node: Expr) -> Expr | None:
        if isinstance(node, Read) and node.tensor in definitions:
            return inlined(definitions[node.tensor], node.subscripts)
        return None

    equations = tuple(replace(e, value=_merged(transform(e.value, change))) for e in tensor.equations)
    return replace(tensor, equations=equations)


def _merged(value: Expr) -> Expr:
    """A sum that is all of the body of a sum, or of its guarded body, becomes one sum over the indices of both."""

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Reduce) or node.op != "sum":
            return None
        match node.body:
            case Reduce(op="sum", indices=inner, body=body):
                return Reduce("sum", (*node.indices, *inner), body)
            case Select(cond=cond, yes=Reduce(op="sum", indices=inner, body=body), no=no) if no is number(0, no.type):
                return Reduce("sum", (*node.indices, *inner), Select(cond, body, no))
        return None

    return transform(value, change)


def _lines_of_derivative(tensor: Tensor, graph: Graph, of: str, wrt: str, naming: Naming) -> Iterator[str]:
    """`grad(of[i], wrt[j]) = ..`"""
    rank = graph.tensors[of].rank
    for equation in map(_in_first_indices, tensor.equations):
        names = naming.extend({}, equation.indices)
        spelled = [expression_text(subscript, names, naming) for subscript in equation.subscripts]
        left, right = (
            f"{name}[{','.join(s)}]" if s else name for name, s in ((of, spelled[:rank]), (wrt, spelled[rank:]))
        )
        yield f"grad({left}, {right}) = {expression_text(equation.value, names, naming)}"


def _in_first_indices(equation: Equation) -> Equation:
    """Under `[i == i']`, what is multiplied speaks of `i`."""
    place = {index: number for number, index in enumerate(equation.indices)}

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Select):
            return None
        conditions, names = [], {}
        for condition in conjuncts(node.cond):
            match condition:
                case Op(name="eq", args=(Index() as one, Index() as other)) if one in place and other in place:
                    first, later = sorted((one, other), key=place.__getitem__)
                    conditions.append(op("eq", first, later))
                    names[later] = names.get(first, first)
                case _:
                    conditions.append(condition)
        return Select(op("and", *conditions), substitute(node.yes, names), node.no)

    return replace(equation, value=transform(equation.value, change))
