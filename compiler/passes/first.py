"""Places of extremes are looked for where the extreme is known.

    z[b] = argmax[d] x[b,d]        z.best[b] = max[d] x[b,d]
                                   z[b] = argmax[d] [x[b,d] == z.best[b] or x[b,d] != x[b,d]]

An extreme is found many elements at a time, and so is the first place where a condition holds; the place of the best
element so far is not, for every element has to wait for the one before.  What is no number is best, and the first of
these is found, as each differs from itself.  The extreme is often there already: the gradient of a maximum asks for
its place.

Left out: few elements, which are written out, elements that are computed with rounding, which might be another one in
another loop, and what is under conditions.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.expr import Const, Expr, Op, Read, Reduce, Select, free_indices, op, reads, walk
from dlc.compiler.ir.forms import is_window
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique, whole
from dlc.compiler.ir.rewriting import rename_bound

NAME = "first"

_FEW = 8  # elements
_EXACT = frozenset(("neg", "abs", "relu", "max", "min"))
_EXTREMES = {"argmax": "max", "argmin": "min"}


def run(graph: Graph) -> Graph:
    tensors: list[Tensor] = []
    names: dict[str, object] = dict(graph.tensors)
    for tensor in graph.tensors.values():
        if tensor.id not in graph.recurrence_of and len(tensor.equations) == 1 and _is_long(tensor.equations[0]):
            names[name := unique(f"{tensor.id}.best", names)] = None
            tensors += _of_place(tensor, name)
        else:
            tensors.append(tensor)
    return graph.with_tensors(tensors)


def _is_long(equation: Equation) -> bool:
    """Whether it is the place of an extreme of many elements that are as they are read, but for a sign or a bound."""
    value = equation.value
    if not isinstance(value, Reduce) or value.op not in _EXTREMES or not equation.is_whole or is_window(equation):
        return False
    extents = [known(index.size) for index in value.indices]
    if None not in extents and prod(extent or 0 for extent in extents) < _FEW:
        return False
    return value.body.type == "real" and all(map(_is_exact, walk(value.body))) and bool(reads(value.body))


def _is_exact(node: Expr) -> bool:
    """Whether the node itself rounds nothing, and is no choice."""
    if isinstance(node, Op) and node.type == "real":
        return node.name in _EXACT
    return node.type == "int" or isinstance(node, Read | Const)


def _of_place(tensor: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The extreme under that name, and its place."""
    (equation,) = tensor.equations
    value = equation.value
    assert isinstance(value, Reduce)
    extreme = rename_bound(Reduce(_EXTREMES[value.op], value.indices, value.body))
    axes = tuple(index for index in equation.indices if index in free_indices(value.body))
    best = whole(name, axes, extreme, equation.span)
    found = op("or", op("eq", value.body, Read(name, axes, "real")), op("ne", value.body, value.body))
    first = Reduce("argmax", value.indices, Select(found, Const(1.0), Const(0.0)))
    return best, replace(tensor, equations=(replace(equation, value=first),))
