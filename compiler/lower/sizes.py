"""Names for sizes that follow from others.

The extent of a convolution's output is an expression such as ``(|H| + 2) // 2 - 1``.  Strides multiply such extents,
and every loop and every address would spell them out again.  Here each becomes a size of its own, named after the
index set that has it, which the runtime computes once for each set of shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.expr import Binder, Const, Expr, Index, Op, Size, walk
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique
from dlc.compiler.ir.rewriting import transform


class DerivedSizes:
    """``formulas`` gives the sizes that were named, in the order in which they were met."""

    def __init__(self, graphs: Iterable[Graph]) -> None:
        self.formulas: dict[str, Expr] = {}
        self._names: dict[Expr, Size] = {}
        graphs = list(graphs)
        hints: dict[Expr, str] = {}
        for hint, size in (found for graph in graphs for found in _sizes(graph)):
            if not isinstance(size, Const | Size):
                hints[size] = hints.get(size) or hint
                if is_costly(size):  # its parts too occur by themselves
                    hints.update({atom: hints.get(atom) or hint for atom in polynomial(size).atoms if is_costly(atom)})
        taken: dict[str, object] = {name: None for graph in graphs for name in graph.sizes}
        for size, hint in hints.items():
            name = unique(hint or "N", taken)
            taken[name] = None
            self._names[size] = Size(name)
            self.formulas[name] = size

    def used_in(self, graph: Graph) -> Graph:
        """The graph with the names in the place of what they stand for: axes, and ranges of indices."""
        return graph.with_tensors(self._tensor(tensor) for tensor in graph.tensors.values())

    def _tensor(self, tensor: Tensor) -> Tensor:
        sizes = tuple(self._names.get(size, size) for size in tensor.sizes)
        return replace(tensor, sizes=sizes, equations=tuple(map(self._equation, tensor.equations)))

    def _equation(self, equation: Equation) -> Equation:
        return replace(
            equation,
            indices=tuple(map(self._index, equation.indices)),
            subscripts=tuple(map(self._expression, equation.subscripts)),
            value=self._expression(equation.value),
        )

    def _index(self, index: Index) -> Index:
        return Index(index.id, self._names.get(index.size, index.size), index.hint)

    def _expression(self, expression: Expr) -> Expr:
        expression = shortened(expression, self.formulas)

        def change(node: Expr) -> Expr | None:
            if isinstance(node, Index):
                return self._index(node)
            if isinstance(node, Binder):
                return node.rebound(tuple(map(self._index, node.indices)), node.children)
            return None

        return transform(expression, change)


def is_costly(size: Expr) -> bool:
    """Whether nobody would want to work a size out for every element."""
    return any(isinstance(node, Op) and node.name == "isqrt" for node in walk(size))


def shortened(expression: Expr, formulas: Mapping[str, Expr]) -> Expr:
    """The expression with the names of sizes in the place of costly formulas."""
    if not is_costly(expression):
        return expression
    done: dict[Expr, Expr] = {size: Size(name) for name, size in formulas.items() if is_costly(size)}

    def named(node: Expr) -> Expr:
        if node not in done:
            done[node] = node.rebuild(tuple(map(named, node.children))) if node.children else node
        return done[node]

    return named(expression)


def _sizes(graph: Graph) -> Iterator[tuple[str, Expr]]:
    """Every extent in the graph, with the name of an index set that has it ('' if none is known)."""
    for tensor in graph.tensors.values():
        yield from zip(_named(tensor), tensor.sizes, strict=True)
    for tensor in graph.tensors.values():
        for equation in tensor.equations:
            for node in walk(equation.value, *equation.subscripts):
                if isinstance(node, Binder):
                    yield from ((_set_name(index), index.size) for index in node.indices)
            yield from ((_set_name(index), index.size) for index in equation.indices)


def _named(tensor: Tensor) -> tuple[str, ...]:
    return tensor.sets if len(tensor.sets) == tensor.rank else ("",) * tensor.rank


def _set_name(index: Index) -> str:
    stem = index.hint.rstrip("'")
    return stem[:1].upper() + stem[1:]
