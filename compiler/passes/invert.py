"""Divide once a row instead of once an element.

    y[b,d] = x[b,d]/r[b]        r.inverse[b] = 1/r[b];  y[b,d] = x[b,d]*r.inverse[b]
    y[b,d] = x[b,d]/|D|         y[b,d] = x[b,d]*(1/|D|)

A divisor that is the same along an index of the equation is inverted, provided that its inverse is a number wherever
the quotient is: a root, a size, a sum with a positive constant in it, the sum of a softmax (``ir/magnitude.py``).  The
product is rounded once more than the quotient.

Left out: means, for which a sum takes the time, matrix products, whose operands lie in memory, divisors that a
recurrence computes, and what would be read out of range without the guard that it stands under.
"""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.alike import key
from dlc.compiler.ir.elements import bounds_of
from dlc.compiler.ir.expr import Binder, Const, Expr, Index, Op, Read, free_indices, op, reads
from dlc.compiler.ir.forms import is_contraction, is_reduction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, inlined, unique, whole
from dlc.compiler.ir.magnitude import never_tiny
from dlc.compiler.ir.rewriting import transform
from dlc.compiler.ir.safety import reads_in_range

NAME = "invert"

_ONE = Const(1.0)
_FEW = 4  # rounds of a loop in which a division does not matter


def run(graph: Graph) -> Graph:
    inversion = _Inversion(graph)
    changed = [inversion.changed(tensor) for tensor in graph.tensors.values()]
    made = dict(inversion.made)
    ordered: list[Tensor] = []
    for tensor in changed:
        ordered += [made.pop(name) for name in list(made) if inversion.first[name] == tensor.id]
        ordered.append(tensor)
    return graph.with_tensors(ordered)


class _Inversion:
    """``made`` holds inverses; ``first`` says of each the tensor that it stands in front of."""

    def __init__(self, graph: Graph) -> None:
        self.tensors = dict(graph.tensors)
        self.sizes = {name: tensor.sizes for name, tensor in graph.tensors.items()}
        self.facts = graph.facts
        self.bounds = bounds_of(graph)
        self.recurrent = graph.recurrence_of
        self.made: dict[str, Tensor] = {}
        self.first: dict[str, str] = {}
        self.known: dict[Expr, tuple[str, tuple[int, ...]]] = {}  # form -> inverse, which free index each axis is

    def changed(self, tensor: Tensor) -> Tensor:
        equations = tuple(self._equation(tensor, equation) for equation in tensor.equations)
        return tensor if equations == tensor.equations else replace(tensor, equations=equations)

    def _equation(self, tensor: Tensor, equation: Equation) -> Equation:
        if is_contraction(equation) or tensor.type != "real":
            return equation
        value = equation.value
        loops = (*equation.indices, *(value.indices if isinstance(value, Binder) else ()))

        def change(node: Expr) -> Expr | None:
            if not (isinstance(node, Op) and node.name == "div"):
                return None
            over, under = node.children
            if not self._is_repeated(over, under, loops) or not never_tiny(under, self.definition):
                return None
            inverse = self._inverse(tensor, equation, under)
            return inverse and op("mul", over, inverse)

        value = transform(equation.value, change)
        return equation if value is equation.value else replace(equation, value=value)

    def definition(self, node: Expr) -> Expr:
        """What an element of a tensor is computed from, one step back."""
        if not isinstance(node, Read):
            return node
        equations = self.tensors[node.tensor].equations
        return inlined(equations[0], node.subscripts) if len(equations) == 1 and equations[0].is_whole else node

    def _is_repeated(self, over: Expr, under: Expr, loops: tuple[Index, ...]) -> bool:
        """Whether one divisor divides many elements."""
        own = set(free_indices(under))
        along = [index for index in free_indices(over) if index in loops and index not in own]
        if any(self._is_row_sum(read) and set(along) <= set(free_indices(read)) for read in reads(over)):
            return False  # a mean: what takes time is the sum
        extents = [known(index.size) for index in along]
        return any(extent is None or extent > _FEW for extent in extents)

    def _is_row_sum(self, read: Read) -> bool:
        """Whether a whole row is looked at for the element."""
        equations = self.tensors[read.tensor].equations
        return any(is_reduction(equation) and not is_contraction(equation) for equation in equations)

    def _inverse(self, tensor: Tensor, equation: Equation, under: Expr) -> Expr | None:
        """The inverse: as it stands where it is made of sizes, else an element of a tensor that holds it."""
        if not reads(under) and not free_indices(under):
            return Const(1 / under.value) if isinstance(under, Const) and under.value else op("div", _ONE, under)
        if any(read.tensor in self.recurrent for read in reads(under)) or tensor.id in self.recurrent:
            return None
        if not reads_in_range(under, self.sizes, (), self.facts, self.bounds):
            return None
        pattern, free = key(under)
        if pattern not in self.known:
            axes = [index for index in equation.indices if index in free]
            axes += [index for index in free if index not in axes]
            label = under.tensor if isinstance(under, Read) else tensor.id
            name = unique(f"{label}.inverse", self.tensors)
            made = whole(name, tuple(axes), op("div", _ONE, under), equation.span)
            self.made[name] = self.tensors[name] = made
            self.sizes[name] = made.sizes
            self.first[name] = tensor.id
            self.known[pattern] = name, tuple(free.index(axis) for axis in axes)
        name, places = self.known[pattern]
        return Read(name, tuple(free[place] for place in places), "real")
