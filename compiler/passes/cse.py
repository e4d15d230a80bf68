"""Common sub-expressions: what is computed twice is computed once.

Two steps.  Tensors with equal definitions become one; of two that must both exist (outputs, gradients) the second
becomes a copy.  Then a sub-expression that some map tensor holds, ``C[i] = e(i)``, is read from there, which is how a
backward pass comes to read the activations of the forward pass.  Nothing is replaced by a read of a tensor that comes
later in the order of evaluation, so no cycle arises, and nothing that costs no more than the read.

Left out: sub-expressions that no tensor holds.  Within one kernel they are shared anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dlc.compiler.ir.alike import form, key, shape
from dlc.compiler.ir.expr import Expr, Op, Read, Select, transform, walk
from dlc.compiler.ir.forms import is_map
from dlc.compiler.ir.graph import Equation, Graph, Tensor, ordered

NAME = "cse"

#: Operators that cost no more than reading an element.
_CHEAP = frozenset(
    ("add", "mul", "neg", "max", "min", "abs", "real", "stop", "lt", "le", "eq", "ne", "and", "or", "not")
)


def run(graph: Graph) -> Graph:
    return _reusing(_merged(graph))


def _with_values(tensor: Tensor, change: Callable[[Expr], Expr]) -> Tensor:
    equations = tuple(replace(equation, value=change(equation.value)) for equation in tensor.equations)
    return tensor if equations == tensor.equations else replace(tensor, equations=equations)


# -- equal definitions ----------------------------------------------------------------------------------------------


def _merged(graph: Graph) -> Graph:
    kept = {*graph.roots, *(gradient.tensor for gradient in graph.gradients)}
    first: dict[str, str] = {}  # every tensor -> the first one that is equal to it
    classes: dict[tuple[object, ...], str] = {}
    for name in ordered(graph):
        tensor = graph.tensors[name]
        first[name] = name if tensor.kind != "computed" else classes.setdefault(_definition(tensor, first), name)
    holder: dict[str, str] = {}  # the first of a class -> the one that stays: one that must, if there is any
    for name in graph.tensors:
        if name in kept:
            holder.setdefault(first[name], name)
    for name in first.values():
        holder.setdefault(name, name)
    same = {name: holder[first[name]] for name in graph.tensors}
    return graph.with_tensors(
        _redirected(tensor, same) if same[name] == name else _copy(tensor, same[name])
        for name, tensor in graph.tensors.items()
        if same[name] == name or name in kept
    )


def _definition(tensor: Tensor, first: dict[str, str]) -> tuple[object, ...]:
    """What two tensors that are equal have in common."""
    equations = tuple(
        (
            tuple(index.size for index in equation.indices),
            tuple(form(subscript, equation.indices) for subscript in equation.subscripts),
            form(_renamed(equation.value, first), equation.indices),
        )
        for equation in tensor.equations
    )
    return (tensor.type, tensor.sizes, equations)


def _renamed(value: Expr, names: dict[str, str]) -> Expr:
    def rename(node: Expr) -> Expr | None:
        if isinstance(node, Read) and names[node.tensor] != node.tensor:
            return Read(names[node.tensor], node.subscripts, node.type)
        return None

    return transform(value, rename)


def _redirected(tensor: Tensor, same: dict[str, str]) -> Tensor:
    return _with_values(tensor, lambda value: _renamed(value, same))


def _copy(tensor: Tensor, source: str) -> Tensor:
    """The tensor, equal to ``source`` and needed beside it.  One made of parts is copied part by part."""
    equations = tuple(
        replace(equation, value=Read(source, equation.subscripts, tensor.type)) for equation in tensor.equations
    )
    return replace(tensor, equations=equations)


# -- sub-expressions that a map tensor holds ------------------------------------------------------------------------


def _reusing(graph: Graph) -> Graph:
    held = _Held()
    tensors = dict(graph.tensors)
    for name in ordered(graph):
        tensor = tensors[name] = _with_values(graph.tensors[name], lambda value: _read_where_held(value, held))
        if len(tensor.equations) == 1:
            held.add(name, graph.tensors[name].equations[0])
            held.add(name, tensor.equations[0])
    return graph.with_tensors(tensors.values())


class _Held:
    """What map tensors hold."""

    def __init__(self) -> None:
        self._shapes: set[str] = set()
        self._tensors: dict[Expr, tuple[str, tuple[int, ...]]] = {}  # form -> tensor, which free index each axis is

    def add(self, name: str, equation: Equation) -> None:
        if not equation.is_whole or not is_map(equation) or not _is_worth_reading(equation.value):
            return
        pattern, free = key(equation.value)
        if set(free) == set(equation.indices):
            self._shapes.add(shape(equation.value))
            self._tensors.setdefault(pattern, (name, tuple(free.index(index) for index in equation.indices)))

    def element(self, node: Expr) -> Expr | None:
        """The element of a tensor that holds this expression."""
        if not isinstance(node, Op | Select) or shape(node) not in self._shapes:
            return None
        pattern, free = key(node)
        if pattern not in self._tensors:
            return None
        name, axes = self._tensors[pattern]
        return Read(name, tuple(free[axis] for axis in axes), node.type)


def _is_worth_reading(node: Expr) -> bool:
    """Whether computing the expression costs more than reading one element."""
    nodes = list(walk(node))
    operators = [part for part in nodes if isinstance(part, Op | Select) and part.type != "int"]
    elements = [part for part in nodes if isinstance(part, Read) and part.subscripts]
    if not elements:
        return False
    if any(isinstance(part, Op) and part.name not in _CHEAP for part in operators):
        return True
    return bool(operators) and len(operators) + len(elements) > 2


def _read_where_held(value: Expr, held: _Held) -> Expr:
    """The largest sub-expressions that are held become reads."""
    done: dict[Expr, Expr] = {}

    def visit(node: Expr) -> Expr:
        if node not in done:
            done[node] = held.element(node) or over(node)
        return done[node]

    def over(node: Expr) -> Expr:
        children = tuple(visit(child) for child in node.children)
        return node if children == node.children else node.rebuild(children)

    return visit(value)
