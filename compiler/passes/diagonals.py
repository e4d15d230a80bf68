"""Keep tensors along a diagonal only, where the rest is zero or nobody reads it.

The derivative of one tensor by another has the axes of both, and often a structure that makes most of it superfluous:

    zero        t[i,i',j] = [i == i']*a[i,j], so t is kept as a[i,j]; t[p,q,j] is read as [p == q]*a[p,j]
    not read    t is read as t[p,p,j] only, so it is kept as t[p,j]; as t[p,0] only: as t[p]

What is known to be zero off a diagonal is carried through products and sums from tensor to tensor, so that the
derivative of a chain of functions applied sample by sample never has two axes over the samples.  In a recurrence it
is assumed of all its tensors until an equation says otherwise: elements rest on elements computed before.  Left out:
tensors of several equations, and what is zero off several diagonals at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from dlc.compiler.ir.affine import Polynomial, equal, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.conditions import conjunction, conjuncts, guarded, is_comparison, is_zero
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Reduce, Select, op, reads, walk
from dlc.compiler.ir.graph import Graph, Tensor
from dlc.compiler.ir.rewriting import substitute, transform

NAME = "diagonals"

Pairs = frozenset[tuple[Index, Index]]
Axes = frozenset[tuple[int, int]]


def run(graph: Graph) -> Graph:
    return _without_zeros(_without_unread(graph))


def _candidates(graph: Graph) -> dict[str, Tensor]:
    """The tensors that may lose an axis."""
    kept = graph.kept | graph.held
    return {
        name: tensor
        for name, tensor in graph.tensors.items()
        if name not in kept and tensor.rank and len(tensor.equations) == 1 and tensor.equations[0].is_whole
    }


def _with(graph: Graph, changed: Mapping[str, Tensor]) -> Graph:
    return graph.with_tensors(changed.get(name, tensor) for name, tensor in graph.tensors.items())


def _narrowed(tensor: Tensor, dropped: Mapping[int, Expr]) -> Tensor:
    """The tensor without some axes, whose indices have the given values."""
    (equation,) = tensor.equations
    kept = [axis for axis in range(tensor.rank) if axis not in dropped]
    names: dict[Expr, Expr] = {equation.indices[axis]: value for axis, value in dropped.items()}
    indices = tuple(equation.indices[axis] for axis in kept)
    value = substitute(equation.value, names)
    return replace(
        tensor,
        sizes=tuple(tensor.sizes[axis] for axis in kept),
        sets=tuple(tensor.sets[axis] for axis in kept) if tensor.sets else (),
        equations=(replace(equation, indices=indices, subscripts=indices, value=value),),
    )


# -- zero off a diagonal --------------------------------------------------------------------------------------------


def _without_zeros(graph: Graph) -> Graph:
    zero = _zero_off(graph)
    places = {name: _representatives(graph.tensors[name], axes) for name, axes in zero.items() if axes}
    if not places:
        return graph
    changed: dict[str, Tensor] = {}
    for name, tensor in graph.tensors.items():
        if name in places:
            (equation,) = tensor.equations
            tensor = _narrowed(tensor, {a: equation.indices[first] for a, first in places[name].items() if a != first})
        equations = tuple(replace(one, value=_read_on_diagonals(one.value, places)) for one in tensor.equations)
        changed[name] = replace(tensor, equations=equations)
    return _with(graph, changed)


def _representatives(tensor: Tensor, axes: Axes) -> dict[int, int]:
    """For each axis the shortest one that it is equal to, the first of these."""
    first = {axis: axis for axis in range(tensor.rank)}
    for low, high in sorted(axes):
        one, other = sorted((first[low], first[high]))
        kept = one if _is_shorter(tensor.sizes[one], tensor.sizes[other]) else other
        if not _is_shorter(tensor.sizes[kept], tensor.sizes[one]):
            continue
        first = {axis: kept if place in (one, other) else place for axis, place in first.items()}
    return first


def _is_shorter(size: Expr, other: Expr) -> bool:
    """Whether one axis is surely not longer than another."""
    return equal(size, other) or nonnegative(polynomial(other) - polynomial(size))


def _read_on_diagonals(value: Expr, places: Mapping[str, Mapping[int, int]]) -> Expr:
    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Read) or node.tensor not in places:
            return None
        first = places[node.tensor]
        same = [
            op("eq", node.subscripts[place], node.subscripts[axis])
            for axis, place in first.items()
            if axis != place and node.subscripts[axis] is not node.subscripts[place]
        ]
        kept = tuple(subscript for axis, subscript in enumerate(node.subscripts) if first[axis] == axis)
        return guarded(conjunction(same), Read(node.tensor, kept, node.type))

    return transform(value, change)


def _zero_off(graph: Graph) -> dict[str, Axes]:
    """For each tensor the pairs of axes off whose diagonal it is zero."""
    found = {name: axes for name, tensor in _candidates(graph).items() if (axes := _comparable(tensor))}
    order = [name for name in graph.ordered if name in found]
    waiting = True
    while waiting:
        waiting = False
        for name in order:
            (equation,) = graph.tensors[name].equations
            known = _Support(found).of(equation.value)
            holds = frozenset(
                (a, b) for a, b in found[name] if known is None or (equation.indices[a], equation.indices[b]) in known
            )
            waiting = waiting or holds != found[name]
            found[name] = holds
    return found


def _comparable(tensor: Tensor) -> Axes:
    """The pairs of axes of which one is surely not longer than the other."""
    if tensor.type == "bool":
        return frozenset()
    sizes = tensor.sizes
    pairs = combinations(range(tensor.rank), 2)
    return frozenset((a, b) for a, b in pairs if _is_shorter(sizes[a], sizes[b]) or _is_shorter(sizes[b], sizes[a]))


class _Support:
    """The pairs of indices that are equal wherever an expression is not zero, in both orders; None: it is zero."""

    def __init__(self, axes: Mapping[str, Axes]) -> None:
        self.axes = axes

    def of(self, root: Expr) -> Pairs | None:
        done: dict[Expr, Pairs | None] = {}
        for node in walk(root):
            done[node] = self._of(node, done)
        return done[root]

    def _of(self, node: Expr, done: Mapping[Expr, Pairs | None]) -> Pairs | None:
        if is_zero(node):
            return None
        match node:
            case Read(subscripts=subscripts):
                pairs = self.axes.get(node.tensor, ())
                return _closed((subscripts[a], subscripts[b]) for a, b in pairs)
            case Select(cond=cond, yes=yes, no=no):
                here = _closed(_equalities(cond))
                return _either(_both((here, done[yes])), done[no])
            case Op(name="mul", args=args):
                return _both(done[arg] for arg in args)
            case Op(name="neg" | "div" | "stop" | "abs" | "sqrt" | "sign" | "relu", args=args):
                return done[args[0]]
            case Op(name="real", args=(arg,)):
                return _closed(_equalities(arg)) if arg.type == "bool" else done[arg]
            case Op(name="add", args=args):
                result = done[args[0]]
                for arg in args[1:]:
                    result = _either(result, done[arg])
                return result
            case Reduce(op="sum", indices=indices, body=body):
                inner = done[body]
                return inner and frozenset(pair for pair in inner if not set(pair) & set(indices))
        return frozenset()


def _equalities(cond: Expr) -> Iterator[tuple[Expr, Expr]]:
    for part in conjuncts(cond):
        if is_comparison(part) and isinstance(part, Op) and part.name == "eq":
            yield part.args[0], part.args[1]


def _closed(equalities: Iterable[tuple[Expr, Expr]]) -> Pairs:
    """All equalities of indices that follow from those given."""
    groups: list[set[Index]] = []
    for left, right in equalities:
        if isinstance(left, Index) and isinstance(right, Index):
            touched = [group for group in groups if left in group or right in group]
            groups = [group for group in groups if group not in touched] + [{left, right}.union(*touched)]
    return frozenset((one, other) for group in groups for one in group for other in group if one is not other)


def _both(parts: Iterable[Pairs | None]) -> Pairs | None:
    known = list(parts)
    if any(part is None for part in known):
        return None
    return _closed(pair for part in known for pair in part or ())


def _either(left: Pairs | None, right: Pairs | None) -> Pairs | None:
    if left is None or right is None:
        return right if left is None else left
    return left & right


# -- not read off a diagonal ----------------------------------------------------------------------------------------


def _without_unread(graph: Graph) -> Graph:
    """From the outputs inwards: what is left out of a tensor is not read from those that it is made of."""
    tensors = dict(graph.tensors)
    candidates = _candidates(graph)
    facts = graph.facts
    readers: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        for read in dict.fromkeys(node.tensor for one in tensor.equations for node in reads(one.value)):
            readers.setdefault(read, []).append(name)
    for name in reversed(graph.ordered):
        if name not in candidates or name not in readers:
            continue
        places = [r for reader in readers[name] for r in _reads_of(tensors[reader], name)]
        dropped = _superfluous(tensors[name], places, facts)
        if not dropped:
            continue
        tensors[name] = _narrowed(tensors[name], dropped)
        for reader in readers[name]:
            tensors[reader] = _reading_less(tensors[reader], name, set(dropped))
    return _with(graph, tensors)


def _reads_of(tensor: Tensor, name: str) -> list[Read]:
    return [node for one in tensor.equations for node in reads(one.value) if node.tensor == name]


def _superfluous(tensor: Tensor, places: list[Read], facts: Sequence[Polynomial]) -> dict[int, Expr]:
    """The axes whose subscript is known wherever the tensor is read, with its value."""
    (equation,) = tensor.equations
    dropped: dict[int, Expr] = {}
    for axis in range(tensor.rank):
        given = dict.fromkeys(read.subscripts[axis] for read in places)
        first = next(iter(given), None)
        if len(given) == 1 and first is not None and _is_an_element(first, tensor.sizes[axis], facts):
            dropped[axis] = first
            continue
        for other in range(tensor.rank):
            if other == axis or other in dropped or (other > axis and equal(tensor.sizes[other], tensor.sizes[axis])):
                continue
            same = all(read.subscripts[other] is read.subscripts[axis] for read in places)
            if same and _is_shorter(tensor.sizes[other], tensor.sizes[axis]):
                dropped[axis] = equation.indices[other]
                break
    return dropped


def _is_an_element(subscript: Expr, size: Expr, facts: Sequence[Polynomial]) -> bool:
    """Whether it is the same number everywhere, and surely on the axis."""
    if any(isinstance(part, Index | Read | Reduce) for part in walk(subscript)):
        return False
    value = polynomial(subscript)
    return nonnegative(value, facts) and nonnegative(polynomial(size) - value - 1, facts)


def _reading_less(tensor: Tensor, name: str, dropped: set[int]) -> Tensor:
    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Read) or node.tensor != name:
            return None
        return Read(name, tuple(s for axis, s in enumerate(node.subscripts) if axis not in dropped), node.type)

    return replace(tensor, equations=tuple(replace(e, value=transform(e.value, change)) for e in tensor.equations))
