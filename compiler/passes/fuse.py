"""Write tensors into the equations that read them, where that never costs.

A map that one equation reads, and reads no more often than it has elements, is computed where it is read.  A map that
is as cheap as a read (a constant, a sign, a multiple) is computed wherever it is read; so is a mask that compares
positions and lengths, for it becomes the bounds of loops.  A reduction whose only reader
is a copy of it becomes that copy.

A matrix product reads its operands from memory, so nothing is written into it.  What a recurrence reads and does not
compute is computed before it, for all steps at once, unless it is cheap; and a tensor that reads itself stays what it
is.  What is needed outside (outputs, the loss, gradients) stays.  Sharing loops between tensors that stay is the work
of lowering.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.costs import is_cheap
from dlc.compiler.ir.expr import Binder, Expr, Index, Op, Read, Reduce, Select, Solve, free_indices, reads, walk
from dlc.compiler.ir.forms import is_contraction, is_map
from dlc.compiler.ir.graph import Equation, Graph, Tensor, inlined, reads_of
from dlc.compiler.ir.ops import RANDOM
from dlc.compiler.ir.rewriting import transform
from dlc.compiler.ir.simplifier import Simplifier

NAME = "fuse"

_COMPARISONS = frozenset(("and", "or", "not", "lt", "le", "eq", "ne"))
_MOST_NODES = 200  # of an equation: greater ones take long to compile
_LONGEST_MASK = 40  # nodes


def run(graph: Graph) -> Graph:
    readers = _readers(graph)
    tensors = dict(graph.tensors)
    for component in graph.components:
        outside = _outside(graph, component) if component[0] in graph.recurrence_of else set()
        for name in component:
            tensor = tensors[name]
            equations = tuple(_fused(equation, tensors, graph.kept, readers, outside) for equation in tensor.equations)
            tensors[name] = replace(tensor, equations=equations)
    return _without_unread(graph.with_tensors(tensors.values()), graph, graph.kept)


def _outside(graph: Graph, component: Sequence[str]) -> set[str]:
    """What a recurrence reads and does not compute."""
    return set[str]().union(*(reads_of(graph.tensors[name]) for name in component)) - set(component)


def _readers(graph: Graph) -> Counter[str]:
    """How many places read each tensor: different elements in one equation count apart."""
    return Counter(
        node.tensor
        for tensor in graph.tensors.values()
        for equation in tensor.equations
        for node in reads(equation.value)
    )


def _without_unread(graph: Graph, before: Graph, kept: Collection[str]) -> Graph:
    """Without the tensors that were read and are not any more."""
    was, still = _readers(before), _readers(graph)
    return graph.with_tensors(
        tensor
        for name, tensor in graph.tensors.items()
        if tensor.kind != "computed" or name in kept or still[name] or not was[name]
    )


def _fused(
    equation: Equation, tensors: dict[str, Tensor], kept: Collection[str], readers: Counter[str], outside: set[str]
) -> Equation:
    copied = _copied_reduction(equation, tensors, kept, readers)
    if copied is not None:
        return replace(equation, value=copied)
    loops = (*equation.indices, *(equation.value.indices if isinstance(equation.value, Binder) else ()))
    product = is_contraction(equation)
    room = _MOST_NODES - sum(1 for _ in walk(equation.value))
    copies = _copies(equation.value)

    def change(node: Expr) -> Expr | None:
        nonlocal room
        if not isinstance(node, Read) or node.tensor in kept:
            return None
        producer = _map_of(tensors[node.tensor])
        if producer is None or node.tensor in reads_of(tensors[node.tensor]):
            return None
        if node.tensor in outside and not _is_cheap(producer.value):
            return None
        size = max(sum(1 for _ in walk(producer.value)), copies.get(node, 1) * _length(producer.value))
        bounds = size <= min(room, _LONGEST_MASK) and _compares_positions(producer)
        free_of_charge = _is_plain(producer.value) if product else _is_trivial(producer.value) or bounds
        once = not product and readers[node.tensor] == 1 and size <= room and _reads_each_once(node.subscripts, loops)
        if not (free_of_charge or once):
            return None
        room -= size
        return inlined(producer, node.subscripts)

    value = transform(equation.value, change)
    return equation if value is equation.value else replace(equation, value=_simplified(value))


def _length(value: Expr) -> int:
    """The nodes of an integer or a truth value as a tree: where such a value is needed again it is computed again."""
    lengths: dict[Expr, int] = {}
    for node in walk(value):
        lengths[node] = 1 if node.type == "real" else 1 + sum(lengths[child] for child in node.children)
    return lengths[value]


def _copies(value: Expr) -> dict[Expr, int]:
    """How often each node is computed: a real number once, what it is not as often as there are ways to it."""
    found = {value: 1}
    for node in reversed(list(walk(value))):  # after all that it is part of
        found[node] = 1 if node.type == "real" else found[node]
        for child in node.children:
            found[child] = found.get(child, 0) + found[node]
    return found


def _simplified(value: Expr) -> Expr:
    """The signs and factors of what has been put together collected; a reduction stays at the root."""
    if isinstance(value, Binder):
        return value.rebuild(tuple(map(Simplifier(SCALAR_RULES), value.children)))
    return Simplifier(SCALAR_RULES)(value)


def _copied_reduction(
    equation: Equation, tensors: dict[str, Tensor], kept: Collection[str], readers: Counter[str]
) -> Expr | None:
    """The value of a reduction that nothing but this copy reads."""
    value = equation.value
    if not isinstance(value, Read) or value.tensor in kept or readers[value.tensor] != 1:
        return None
    source = tensors[value.tensor]
    if len(source.equations) != 1 or not source.equations[0].is_whole:
        return None
    if isinstance(source.equations[0].value, Solve):
        permuted = len(set(value.subscripts)) == source.rank and all(isinstance(s, Index) for s in value.subscripts)
        return inlined(source.equations[0], value.subscripts) if permuted else None
    return inlined(source.equations[0], value.subscripts) if isinstance(source.equations[0].value, Reduce) else None


def _map_of(tensor: Tensor) -> Equation | None:
    if len(tensor.equations) != 1 or not tensor.equations[0].is_whole or not is_map(tensor.equations[0]):
        return None
    return tensor.equations[0]


def _is_plain(value: Expr) -> bool:
    """Whether a matrix product can read the value in place: an element, or none at all."""
    return isinstance(value, Read) or not reads(value)


def _is_trivial(value: Expr) -> bool:
    """Whether computing the value costs no more than reading it: one cheap operator on one element, or only sizes."""
    if not reads(value) and not free_indices(value):
        return True
    operators = [node for node in walk(value) if isinstance(node, Op | Select) and _counts(node)]
    if not all(node.type == "real" and isinstance(node, Op) and is_cheap(node) for node in operators):
        return False
    return sum(1 for node in reads(value) if node.subscripts) <= 1 and len(operators) <= 2


def _compares_positions(equation: Equation) -> bool:
    """Whether truth values say where an element stands, and read nothing along a row."""
    value = equation.value
    if value.type != "bool" or not equation.indices or any(isinstance(node, Select | Binder) for node in walk(value)):
        return False
    of_integers = all(read.type == "int" and equation.indices[-1] not in free_indices(read) for read in reads(value))
    return of_integers and all(node.type == "int" or node.name in _COMPARISONS for node in _operators(value))


def _operators(value: Expr) -> list[Op]:
    return [node for node in walk(value) if isinstance(node, Op)]


def _counts(node: Op | Select) -> bool:
    """Arithmetic of subscripts is free."""
    return node.type != "int" or (isinstance(node, Op) and node.name in RANDOM)


def _is_cheap(value: Expr) -> bool:
    return all(node.type == "real" and is_cheap(node) for node in walk(value) if isinstance(node, Op) and _counts(node))


def _reads_each_once(subscripts: Sequence[Expr], loops: Sequence[Index]) -> bool:
    """Whether the loops never read one element twice: each index moves a subscript of its own."""
    moved: set[Index] = set()
    for subscript in subscripts:
        indices = free_indices(subscript)
        if len(indices) == 1 and polynomial(subscript).split(indices[0]) is not None and not reads(subscript):
            moved.add(indices[0])
    return moved.issuperset(loops)
