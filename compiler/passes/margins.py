"""Windows that find something else beyond the edges of an image read a copy that has it there::

    y[o,h,w] = sum[c,p,q] k[o,c,p,q]*x[c,clamp(h+p-1),clamp(w+q-1)]

    x.margins[c,u,v] = x[c,clamp(u-1),clamp(v-1)]                       u < |H| + |P| - 1, v < |W| + |Q| - 1
    y[o,h,w] = sum[c,p,q] k[o,c,p,q]*x.margins[c,h+p,w+q]

So it is with the nearest element, with ``wrap`` and with mirrored edges: whatever is computed of a sum of a place and a
tap alone.  The sum is a convolution like others then, where all windows would be packed, and its derivative by the
image is one too: what is left of the edges is a sum over the few places of the copy that an element stands at.

Left out: what is zero outside, which ``borders`` sees to, quotients, which ``residues`` does, remainders by a size that
may be 0, and recurrences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import Polynomial, guessed, known, polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.bounds import nonnegative, positive
from dlc.compiler.ir.conditions import conjunction, guarded
from dlc.compiler.ir.expr import ZERO, Expr, Index, Op, Read, Reduce, free_indices, fresh, op, reads, walk
from dlc.compiler.ir.graph import Equation, Graph, Tensor, read, unique, whole
from dlc.compiler.ir.products import guarded_product
from dlc.compiler.ir.rewriting import replaced, substitute
from dlc.compiler.ir.simplifier import Simplifier

NAME = "margins"

_RULES = frozenset({"min", "max", "abs", "mod"})


def run(graph: Graph) -> Graph:
    made: dict[str, Tensor] = {}
    for name, tensor in graph.tensors.items():
        equations = tensor.equations
        if name not in graph.recurrence_of:
            equations = tuple(_with_margins(one, graph, made) for one in equations)
        made[name] = tensor if equations == tensor.equations else replace(tensor, equations=equations)
    return graph.with_tensors(made.values())


def _with_margins(equation: Equation, graph: Graph, made: dict[str, Tensor]) -> Equation:
    """The equation, reading copies, which are added to what is made."""
    value = equation.value
    if not (isinstance(value, Reduce) and value.op == "sum" and value.type == "real"):
        return equation
    if len(guarded_product(value.body).factors) < 2:
        return equation
    copies: dict[Expr, Expr] = {}
    for one in reads(value.body):
        copy = _copied(one, value.indices, graph, made) if one.type == "real" else None
        if copy is not None:
            copies[one] = copy
    return replace(equation, value=replaced(value, copies)) if copies else equation


def _copied(one: Read, summed: tuple[Index, ...], graph: Graph, made: dict[str, Tensor]) -> Read | None:
    """The read from a copy with margins; None if it goes through no edges, or none that are known."""
    source = graph.tensors[one.tensor]
    moved = {axis: _moved(one.subscripts[axis], summed, size, graph) for axis, size in enumerate(source.sizes)}
    margins = {axis: found for axis, found in moved.items() if found is not None}
    if not margins or one.tensor in graph.recurrence_of:
        return None
    axes = [margins[axis].index if axis in margins else fresh(size, "i") for axis, size in enumerate(source.sizes)]
    places = [margins[axis].place if axis in margins else index for axis, index in enumerate(axes)]
    conditions = dict.fromkeys(cond for found in margins.values() for cond in found.conditions)
    value = guarded(conjunction(conditions), read(source, *places))
    taken: Mapping[str, object] = {**graph.tensors, **made}
    copy = whole(unique(f"{source.id}.margins", taken), tuple(axes), value, source.span)
    made[copy.id] = copy
    return read(copy, *(margins[axis].at if axis in margins else one.subscripts[axis] for axis in moved))


@dataclass(frozen=True)
class _Margin:
    """An axis of a copy: at its ``index`` stands what is at the ``place`` of the image, which is read ``at`` a sum of a
    place and a tap; ``conditions`` hold where there is anything to read.
    """

    index: Index
    place: Expr
    at: Expr
    conditions: tuple[Expr, ...]


def _moved(subscript: Expr, summed: tuple[Index, ...], size: Expr, graph: Graph) -> _Margin | None:
    free = free_indices(subscript)
    names = {node.name for node in walk(subscript) if isinstance(node, Op)}
    if not names & _RULES or "floordiv" in names or reads(subscript) or set(free) <= set(summed):
        return None
    if set(free).isdisjoint(summed) or any(index in summed and known(index.size) is None for index in free):
        return None
    factors = _factors(subscript, free)
    index = next((one for one in free if factors.get(one) in (1, -1)), None)
    if index is None or any(abs(factor) > guessed(index.size) for factor in factors.values()):
        return None  # the copy would have elements that nobody reads
    sums = [polynomial(one) * factors[one] for one in free]
    spans = [(polynomial(one.size) - 1) * factors[one] for one in free]
    low = sum((span for one, span in zip(free, spans, strict=True) if factors[one] < 0), Polynomial(()))
    extent = sum((-s if factors[one] < 0 else s for one, s in zip(free, spans, strict=True)), Polynomial(())) + 1
    total = sum(sums, Polynomial(()))
    axis = fresh(extent.expression(), index.hint)
    alone = (polynomial(axis) + low - (total - polynomial(index) * factors[index])) * factors[index]
    place = Simplifier(SCALAR_RULES)(substitute(subscript, {index: alone.expression()}))
    some = [one.size for one in free if not positive(polynomial(one.size), graph.facts)]
    if "mod" in names and some:
        return None
    facts = (*graph.facts, *(polynomial(one) - 1 for one in some))
    if set(free_indices(place)) != {axis} or not nonnegative(extent, graph.facts) or not _stays(place, size, facts):
        return None
    return _Margin(axis, place, (total - low).expression(), tuple(op("lt", ZERO, one) for one in some))


def _stays(place: Expr, size: Expr, facts: Sequence[Polynomial]) -> bool:
    """Whether ``0 <= place < size`` is proved, also of the least and the greatest of several."""

    def holds(goal: Callable[[Expr], bool], node: Expr, all_of: str, any_of: str) -> bool:
        match node:
            case Op(name=name, args=args) if name in (all_of, any_of):
                return (all if name == all_of else any)(holds(goal, arg, all_of, any_of) for arg in args)
        return goal(node)

    is_from_0 = holds(lambda node: nonnegative(polynomial(node), facts), place, "min", "max")
    room = polynomial(size) - 1
    return is_from_0 and holds(lambda node: nonnegative(room - polynomial(node), facts), place, "max", "min")


def _factors(subscript: Expr, free: tuple[Index, ...]) -> dict[Index, int]:
    """The factors of all indices in the first sum inside of the subscript that has all of them; none if there is no
    such sum, or the subscript is one itself.
    """
    for node in walk(subscript):
        if set(free_indices(node)) != set(free):
            continue
        parts = [polynomial(node).split(index) for index in free]
        factors = {i: part[0].value for i, part in zip(free, parts, strict=True) if part is not None and part[0].value}
        if len(factors) == len(free):
            return {} if node is subscript else {index: factor for index, factor in factors.items() if factor}
    return {}
