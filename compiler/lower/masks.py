"""What of a tensor is needed, and where it is zero: conditions on its indices that nothing has to be computed outside.

``score[t,s] = ..`` is *needed* only where ``s <= t`` if all that reads it does so under that condition, as in
``sum[s : s <= t] exp(score[t,s])``.  ``a[t,s] = e if s <= t else 0`` is *zero* elsewhere, and so are the terms of a sum
that have it as a factor.  Both are told as polynomials, in sizes and the indices of the tensor's axes, that are not
negative where it is needed, or may differ from zero.

A length that is data tells as much, ``s < n[b]``, if it is given before anything is computed.

Only reals are left out: what is computed from a number that was never set is one that nobody needs, but an integer may
say where to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.ir.affine import Polynomial, equal, polynomial
from dlc.compiler.ir.bounds import facts_of, nonnegative
from dlc.compiler.ir.conditions import conjuncts, is_zero
from dlc.compiler.ir.expr import Expr, Index, Read, Select, Size, fresh, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.rewriting import substitute

_WAYS = 8  # conditions under which one node stands: what is nested has twice as many for each level
_ROUNDS = 8  # along a circle: tensors that are needed where another is


@dataclass(frozen=True)
class Mask:
    """``facts`` are not negative where it matters what an element with these indices is."""

    indices: tuple[Index, ...] = ()
    facts: tuple[Polynomial, ...] = ()

    def at(self, subscripts: Sequence[Expr]) -> list[Polynomial]:
        """The facts of an element of the tensor."""
        if not self.facts:
            return []
        names: dict[Expr, Expr] = dict(zip(self.indices, subscripts, strict=True))
        return [polynomial(substitute(fact.expression(), names)) for fact in self.facts]


EVERYWHERE = Mask()


def given(graph: Graph, *expressions: Expr) -> list[Read]:
    """What is read of integer inputs at indices that stay in range wherever they go: bounds of loops may read it."""
    return [read for read in reads(*expressions) if _is_given(graph.tensors.get(read.tensor), read)]


def _is_given(tensor: Tensor | None, read: Read) -> bool:
    if tensor is None or tensor.kind != "input" or tensor.type != "int":
        return False
    pairs = zip(read.subscripts, tensor.sizes, strict=True)
    return all(isinstance(subscript, Index) and equal(subscript.size, size) for subscript, size in pairs)


def zeros(graph: Graph, tensor: Tensor) -> Mask:
    """Where an element of the tensor may differ from zero, as far as its equation says so in indices and lengths."""
    equation = tensor.equations[0] if len(tensor.equations) == 1 else None
    if equation is None or not equation.is_whole or not isinstance(equation.value, Select):
        return EVERYWHERE
    value = equation.value
    if not is_zero(value.no) or not all(isinstance(s, Index) for s in equation.subscripts):
        return EVERYWHERE
    subscripts = [s for s in equation.subscripts if isinstance(s, Index)]
    return Mask(tuple(subscripts), tuple(_about(graph, _facts(value.cond), subscripts)))


def needed(
    graph: Graph, reads_all: Callable[[Tensor, Equation], bool], times: Mapping[str, frozenset[int]]
) -> Mapping[str, Mask]:
    """Where the elements of each tensor are needed; those that are left out of the mapping are needed everywhere.

    ``reads_all`` tells the equations whose kernels do not keep to the conditions in them, ``times`` the axes that
    recurrences run along, of which no facts are told.
    """
    return _Needs(graph, reads_all, times).found()


class _Needs:
    def __init__(
        self, graph: Graph, reads_all: Callable[[Tensor, Equation], bool], times: Mapping[str, frozenset[int]]
    ) -> None:
        self._graph, self._reads_all, self._times = graph, reads_all, times
        self._roots = set(graph.roots)
        self._axes = {key: tuple(fresh(size, "n") for size in tensor.sizes) for key, tensor in graph.tensors.items()}
        self._masks: dict[str, Mask] = {}
        self._readers: dict[str, dict[str, list[list[Polynomial]]]] = {}  # tensor -> reader -> facts of its reads

    def found(self) -> Mapping[str, Mask]:
        for component in reversed(self._graph.components):
            if component[0] not in self._graph.recurrence_of:
                self._tell(component)
                self._look(component)
                continue
            # At first all is needed of the tensors on a circle; what is told of one tells more of those that it reads.
            self._look(component)
            for _ in range(_ROUNDS):
                before = dict(self._masks)
                self._tell(component)
                self._look(component)
                if before == self._masks:
                    break
        return self._masks

    def _tell(self, names: Iterable[str]) -> None:
        """Where these tensors are needed, as far as it is known what their readers ask for."""
        for name in names:
            tensor = self._graph.tensors[name]
            if name in self._roots or name in self._masks or tensor.type != "real" or not _is_plain(tensor):
                continue
            facts = _in_common([each for own in self._readers.get(name, {}).values() for each in own])
            moving = {self._axes[name][axis] for axis in self._times.get(name, ())}
            facts = [fact for fact in facts if moving.isdisjoint(fact.atoms)]
            if facts:
                self._masks[name] = Mask(self._axes[name], tuple(facts))

    def _look(self, names: Iterable[str]) -> None:
        """What these tensors read, and where."""
        for name in names:
            tensor = self._graph.tensors[name]
            found: dict[str, list[list[Polynomial]]] = {}
            for equation in tensor.equations:
                strict = self._reads_all(tensor, equation)
                own = self._masks[name].at(equation.subscripts) if name in self._masks else []
                for read, facts in _reads(equation, [] if strict else own, strict):
                    told = self._of_axes(read, facts)
                    found.setdefault(read.tensor, []).append(told)
            for key, facts in found.items():
                self._readers.setdefault(key, {})[name] = facts

    def _of_axes(self, read: Read, facts: Iterable[Polynomial]) -> list[Polynomial]:
        """The facts that speak of nothing but the subscripts of the read, in terms of the axes of its tensor."""
        pairs = zip(read.subscripts, self._axes[read.tensor], strict=True)
        names: dict[Expr, Expr] = {subscript: axis for subscript, axis in pairs if isinstance(subscript, Index)}
        kept = _about(self._graph, facts, names)
        return [polynomial(substitute(fact.expression(), names)) for fact in kept]


def _is_plain(tensor: Tensor) -> bool:
    return tensor.kind == "computed" and len(tensor.equations) == 1 and tensor.equations[0].is_whole


def _in_common(readers: Sequence[Sequence[Polynomial]]) -> list[Polynomial]:
    """What holds wherever one of the readers reads."""
    if not readers:
        return []
    first, *others = readers
    return [fact for fact in first if all(nonnegative(fact, tuple(other)) for other in others)]


def _about(graph: Graph, facts: Iterable[Polynomial], indices: Iterable[Expr]) -> list[Polynomial]:
    """The facts about these indices, sizes and lengths at these indices alone."""
    allowed = set(indices)

    def is_told(atom: Expr) -> bool:
        if isinstance(atom, Read):
            return bool(given(graph, atom)) and allowed.issuperset(atom.subscripts)
        return isinstance(atom, Size) or atom in allowed

    return [fact for fact in facts if all(map(is_told, fact.atoms)) and allowed.intersection(fact.atoms)]


def _facts(cond: Expr) -> list[Polynomial]:
    return [fact for part in conjuncts(cond) for fact in facts_of(part)]


def _reads(equation: Equation, facts: list[Polynomial], strict: bool) -> Iterator[tuple[Read, list[Polynomial]]]:
    """Every read, and what holds where it is done."""
    for read in reads(*equation.subscripts):
        yield read, []
    for node, conditions in _within(equation.value, strict):
        if isinstance(node, Read):
            yield node, [*facts, *(fact for cond in conditions for fact in _facts(cond))]
            for read in reads(*node.subscripts):
                yield read, []


def _within(root: Expr, strict: bool) -> Iterator[tuple[Expr, tuple[Expr, ...]]]:
    """Every node that is no part of a subscript, and the conditions under which it stands; not those that only add to
    others under which it stands too.  Where a node stands in very many ways, its conditions are told no more.
    """
    seen: dict[Expr, list[tuple[Expr, ...]]] = {}
    stack: list[tuple[Expr, tuple[Expr, ...]]] = [(root, ())]
    while stack:
        node, held = stack.pop()
        ways = seen.get(node, ())
        if any(set(less) <= set(held) for less in ways):
            continue
        held = held if len(ways) < _WAYS else ()
        seen.setdefault(node, []).append(held)
        yield node, held
        if isinstance(node, Select) and not strict:
            stack.append((node.yes, (*held, node.cond)))  # last of all: what `no` has too adds nothing
            stack += [(node.no, held), (node.cond, held)]
        elif not isinstance(node, Read):
            stack.extend((child, held) for child in reversed(node.children))
