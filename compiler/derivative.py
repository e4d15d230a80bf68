"""The derivative of one tensor by another as a person would write it: few equations, in the names of the spec.

A derivative of any order is asked for like one of a spec: by tensors that the passes put equations in the place of.
Adjoints that stand in one place, or are short, are written into their readers; what the spec defines keeps its name,
and what else is needed is listed below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice

from dlc.compiler.ir import verify
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_of, guarded
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Reduce, Select, number, op, reads, walk
from dlc.compiler.ir.forms import is_map
from dlc.compiler.ir.graph import Derivative, Equation, Graph, Output, Tensor, inlined, reads_of, unique
from dlc.compiler.ir.printer import Naming, equation_text, expression_text
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.passes import cse, dce, deltas, simplify

_SHORT = 12  # nodes; an expression of so few may be repeated
_ROUNDS = 20  # of writing adjoints into each other: as deep as a chain of them may be


@dataclass(frozen=True)
class Wanted:
    """`grad(grad(of, wrt), wrt)` for the order 2; compressed: only where it is not zero."""

    of: str
    wrt: str
    order: int = 1
    compressed: bool = False


def with_derivatives(graph: Graph, wanted: Wanted) -> Graph:
    """The graph that semantics gives, with the derivatives of all orders as outputs behind its own."""
    of, tensors, outputs = wanted.of, dict(graph.tensors), list(graph.outputs)
    for _ in range(wanted.order):
        left, right = tensors[of], tensors[wanted.wrt]
        sizes, sets = (*left.sizes, *right.sizes), (*_sets(left), *_sets(right))
        derivative = Derivative(of, wanted.wrt)
        of = unique("derivative", tensors)
        tensors[of] = Tensor(of, sizes, "real", "derivative", sets=sets, derivative=derivative)
        outputs.append(Output(of, of))
    return replace(graph, tensors=tensors, outputs=tuple(outputs))


def _sets(tensor: Tensor) -> tuple[str, ...]:
    return tensor.sets or ("",) * tensor.rank


def derivative_lines(graph: Graph, wanted: Wanted, forward: Set[str], named: Set[str]) -> Iterator[str]:
    """The equations of the last output, which is the derivative; `forward` are the tensors that the graph has without
    it, and `named` those of them that the spec defines."""
    result = _tidied(replace(graph, outputs=graph.outputs[-1:], objectives=(), gradients=()))
    for _ in range(_ROUNDS):
        shorter = _tidied(dce.run(_written_in(result, forward)))  # cse would read again what was written in
        if len(shorter.tensors) == len(result.tensors):
            break
        result = shorter
    name = result.outputs[0].tensor
    naming = Naming(tensor.id for tensor in result.tensors.values() if not tensor.rank)
    yield from _lines_of_derivative(result.tensors[name], graph, wanted, naming)
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
    return [graph.tensors[name] for name in graph.ordered if name in found and graph.tensors[name].equations]


def _tidied(graph: Graph) -> Graph:
    for step in (simplify, deltas, simplify, cse, dce):
        graph = step.run(graph)
        verify.check(graph, step.NAME)
    return graph


def _written_in(graph: Graph, forward: Set[str]) -> Graph:
    """The adjoints that may be, written into the equations that read them."""
    root = graph.outputs[0].tensor
    uses = Counter(node.tensor for t in graph.tensors.values() for e in t.equations for node in reads(e.value))
    gone = {
        tensor.id: tensor.equations[0]
        for tensor in graph.tensors.values()
        if tensor.id != root and tensor.id not in forward and _may_be_written(tensor, uses)
    }
    # one that reads another that goes waits for the next round; in a recurrence they all do, and one goes first
    first = {
        name: equation
        for name, equation in gone.items()
        if not any(node.tensor in gone for node in reads(equation.value))
    } or dict(islice(gone.items(), 1))
    return graph.with_tensors(_with(tensor, first) for tensor in graph.tensors.values())


def _may_be_written(tensor: Tensor, uses: Mapping[str, int]) -> bool:
    if len(tensor.equations) != 1 or not tensor.equations[0].is_whole or tensor.id in reads_of(tensor):
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


def _lines_of_derivative(tensor: Tensor, graph: Graph, wanted: Wanted, naming: Naming) -> Iterator[str]:
    """`grad(grad(of[i], wrt[j]), wrt[j']) = ..`"""
    rank, step = graph.tensors[wanted.of].rank, graph.tensors[wanted.wrt].rank
    for equation in map(_in_first_indices, tensor.equations):
        equation = _compressed(equation) if wanted.compressed else equation
        names = naming.extend({}, dict.fromkeys(equation.indices))
        spelled = [expression_text(subscript, names, naming) for subscript in equation.subscripts]
        left = _element(wanted.of, spelled[:rank])
        for times in range(wanted.order):
            start = rank + times * step
            left = f"grad({left}, {_element(wanted.wrt, spelled[start : start + step])})"
        yield f"{left} = {expression_text(equation.value, names, naming)}"


def _element(name: str, subscripts: Sequence[str]) -> str:
    return f"{name}[{','.join(subscripts)}]" if subscripts else name


def _compressed(equation: Equation) -> Equation:
    """Where the derivative is not zero: under `[i == i']`, only the elements with `i' = i`."""
    cond, body = guard_of(equation.value)
    names: dict[Expr, Expr] = {}
    kept: list[Expr] = []
    for part in conjuncts(cond):
        match part:
            case Op(name="eq", args=(Index() as one, Index() as other)) if {one, other} <= set(equation.indices):
                first, later = sorted((one, other), key=equation.indices.index)
                names[later] = names.get(first, first)
            case _:
                kept.append(part)
    value = substitute(guarded(conjunction(kept), body), names)
    indices = tuple(index for index in equation.indices if index not in names)
    return Equation(indices, tuple(substitute(s, names) for s in equation.subscripts), value, equation.span)


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
