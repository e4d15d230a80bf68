"""An optimizer in parts: what is added up before the step, and the step.

::

    total.1    the totals that depend on no other total
    total.2    those that depend on them, and so on
    step       the next parameters and states; totals are given

The parameters that a step moves need not lie in one piece: each part runs over every piece, and the totals of all
pieces are added before what comes next reads them.  A number that all elements share is computed once, before them; a
total adds blocks of elements, which can be done side by side and is the same whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, fresh, op, reads, walk
from dlc.compiler.ir.graph import Equation, Graph, Output, Tensor, reads_of, unique
from dlc.compiler.ir.rewriting import substitute

TOTAL, STEP = "total", "step"
BLOCK = 4096  # elements that are added in one go


def parts(graph: Graph) -> dict[str, Graph]:
    """The graph of every entry, in the order in which they run."""
    needed = set[str]().union(*(_needs(graph, update.value) for update in graph.updates))
    graph = replace(graph, totals=tuple(name for name in graph.totals if name in needed))
    levels: dict[int, list[str]] = {}
    for name in graph.totals:
        needs = _needs(graph, name)
        level = 1 + max((number for number, found in levels.items() if needs.intersection(found)), default=0)
        levels.setdefault(level, []).append(name)
    graph = with_shared_numbers(graph)
    result: dict[str, Graph] = {}
    for level, names in sorted(levels.items()):
        result[f"{TOTAL}.{level}"] = _added(graph, names)
    return {**result, STEP: _given(graph, graph.totals)}


def _needs(graph: Graph, name: str) -> set[str]:
    """The tensors that a tensor depends on."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = reads_of(graph.tensors[waiting.pop()]) - found
        found |= new
        waiting.extend(new)
    return found


def _added(graph: Graph, names: Sequence[str]) -> Graph:
    """The graph of these totals; others are known."""
    sums = [replace(graph.tensors[name], id=graph.fresh_id(f"{name}.sum")) for name in names]
    sums = [replace(one, equations=tuple(replace(e, value=_in_blocks(e.value)) for e in one.equations)) for one in sums]
    known = _given(graph, graph.totals)
    outputs = tuple(Output(name, one.id) for name, one in zip(names, sums, strict=True))
    return replace(known.with_tensors([*known.tensors.values(), *sums]), outputs=outputs, updates=())


def _in_blocks(value: Expr) -> Expr:
    """``sum[n] f(n) = sum[b] sum[j] [BLOCK*b + j < N]*f(BLOCK*b + j)``"""
    assert isinstance(value, Reduce)
    (index,) = value.indices
    blocks = op("floordiv", op("add", index.size, Const(BLOCK - 1)), Const(BLOCK))
    block, inner = fresh(blocks, "b"), fresh(Const(BLOCK), "j")
    place = op("add", op("mul", Const(BLOCK), block), inner)
    body = Select(op("lt", place, index.size), substitute(value.body, {index: place}), Const(0.0))
    return Reduce("sum", (block, inner), body)


def _given(graph: Graph, names: Iterable[str]) -> Graph:
    """The graph in which these totals are known."""
    known = {name: replace(graph.tensors[name], kind="input", equations=()) for name in names}
    return graph.with_tensors(known.get(name, tensor) for name, tensor in graph.tensors.items())


def with_shared_numbers(graph: Graph) -> Graph:
    """``1 - beta1^k`` is the same for all elements: what is computed from scalars alone is a scalar of its own."""
    numbers = _SharedNumbers(dict(graph.tensors))
    tensors: list[Tensor] = []
    for tensor in graph.tensors.values():
        if tensor.rank or tensor.id in graph.totals:
            equations = tuple(replace(one, value=numbers.replaced(one.value, tensor, one)) for one in tensor.equations)
            tensor = replace(tensor, equations=equations)
        tensors.append(tensor)
    made = [*numbers.made, *tensors]
    return graph.with_tensors(sorted(made, key=_is_over_the_axis))  # so that one loop follows all scalars


def _is_over_the_axis(tensor: Tensor) -> bool:
    return tensor.kind == "computed" and tensor.rank > 0


@dataclass
class _SharedNumbers:
    taken: dict[str, object]
    made: list[Tensor] = field(default_factory=list)
    known: dict[Expr, Expr] = field(default_factory=dict)

    def replaced(self, node: Expr, owner: Tensor, equation: Equation) -> Expr:
        if node not in self.known:
            self.known[node] = (
                self._scalar(node, owner, equation) if _is_shared(node) else self._kept(node, owner, equation)
            )
        return self.known[node]

    def _kept(self, node: Expr, owner: Tensor, equation: Equation) -> Expr:
        children = tuple(self.replaced(child, owner, equation) for child in node.children)
        return node if children == node.children else node.rebuild(children)

    def _scalar(self, node: Expr, owner: Tensor, equation: Equation) -> Expr:
        name = unique(f"{owner.id}.part", self.taken)
        self.taken[name] = None
        self.made.append(Tensor(name, (), node.type, "computed", (Equation((), (), node, equation.span),)))
        return Read(name, (), node.type)


def _is_shared(node: Expr) -> bool:
    if not isinstance(node, Op | Select) or not reads(node):
        return False
    return not any(isinstance(part, Index | Reduce) for part in walk(node))
