"""Prefix sums in one go: what is summed for every end of a range is added up once, and so are products and extremes.

    y[b,t] = sum[s : s <= t] x[b,s]        y.prefix[b,0] = 0;  y.prefix[b,t+1] = y.prefix[b,t] + x[b,t]
                                           y[b,t] = y.prefix[b,t+1]

A sum over ``s <= t``, ``s < t``, ``t <= s`` or ``t < s``, in which nothing else depends on ``t``, becomes a recurrence,
so that its time grows with |T| and no longer with |T|².  The numbers are added in the order of the range.  Of ``s < t``
the last step belongs to no sum: what would be read out of range there is not computed.

The place of an extreme is that of the step before unless the element is better than all before it:

    z[t] = argmax[s : s <= t] x[s]         z[t] = (t if x[t] is better than z.best[t] else z[t-1]) if 1 <= t else t

Left out: sums of what depends on both ends, such as a mask of attention, tensors of a recurrence, and short axes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import Polynomial, equal, integer, known, polynomial
from dlc.compiler.ir.bounds import facts_of
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_of, guarded
from dlc.compiler.ir.elements import bounds_of
from dlc.compiler.ir.expr import (
    ONE,
    ZERO,
    Const,
    Expr,
    Index,
    Read,
    Reduce,
    Select,
    free_indices,
    fresh,
    identity_of,
    op,
)
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique, whole
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.safety import reads_in_range

NAME = "prefix"

_SHORT = 8  # elements of which a sum of all is as good
_STEPS = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}
_PLACES = {"argmax": "max", "argmin": "min"}


@dataclass(frozen=True)
class _Prefix:
    """A sum, product or extreme of ``term`` over the ``summed`` index from the first to the one at ``end``, or from
    there to the last if it ``descends``; the end itself belongs to it or not."""

    reduction: str
    end: Index
    summed: Index
    descends: bool
    has_end: bool
    term: Expr

    @property
    def neutral(self) -> Const:
        return identity_of(self.reduction, self.term.type)

    @property
    def within(self) -> _Prefix:
        """The same where the last step, that belongs to no sum, adds nothing."""
        near, far = (ZERO, self.summed) if self.descends else (integer(op("add", self.summed, ONE)), self.summed.size)
        inner = self.term if isinstance(self.term, Reduce) else None
        cond, value = guard_of(inner.body if inner is not None else self.term, self.neutral)
        value = guarded(conjunction((op("lt", near, far), *conjuncts(cond))), value, self.neutral)
        return replace(self, term=Reduce(self.reduction, inner.indices, value) if inner is not None else value)


def run(graph: Graph) -> Graph:
    return _with_steps(graph, (*_STEPS, *_PLACES))


def products(graph: Graph) -> Graph:
    """Products alone: before differentiation, where the derivative of a product by each of its factors, which is that
    of all others, takes all pairs, and that of a recurrence one walk back."""
    return _with_steps(graph, ("prod",))


def _with_steps(graph: Graph, reductions: Collection[str]) -> Graph:
    sizes = {name: tensor.sizes for name, tensor in graph.tensors.items()}
    facts, bounds = graph.facts, bounds_of(graph)
    made = _Made(dict(graph.tensors))
    for tensor in graph.tensors.values():
        is_single = len(tensor.equations) == 1 and tensor.id not in graph.recurrence_of
        found = _prefix(tensor.equations[0]) if is_single else None
        if found is not None and found.reduction not in reductions:
            found = None
        if found is not None and not found.has_end and not reads_in_range(found.term, sizes, (), facts, bounds):
            found = found.within
        if found is None:
            made.tensors.append(tensor)
        elif found.reduction in _STEPS:
            made.add(tensor, found)
        else:
            made.add_place(tensor, found)
    return graph.with_tensors(made.tensors)


def _prefix(equation: Equation) -> _Prefix | None:
    value = equation.value
    if not equation.is_whole or not isinstance(value, Reduce) or not _is_supported(value):
        return None
    neutral = identity_of(value.op, value.body.type)
    cond, body = guard_of(value.body, neutral)
    parts = conjuncts(cond)
    for number, part in enumerate(parts):
        rest = guarded(conjunction((*parts[:number], *parts[number + 1 :])), body, neutral)
        for end, summed in _pairs(part, equation.indices, value.indices):
            way = _way(part, end, summed)
            if way is None or end in free_indices(rest) or summed not in free_indices(rest):
                continue
            if value.op in _PLACES and way != (False, True):
                continue
            left = tuple(index for index in value.indices if index is not summed)
            return _Prefix(value.op, end, summed, *way, Reduce(value.op, left, rest) if left else rest)
    return None


def _is_supported(value: Reduce) -> bool:
    """Whether it is known how a step goes on from the one before."""
    if value.op in _PLACES:
        return len(value.indices) == 1 and value.body.type == "real"
    return value.op in _STEPS and value.type == "real"


def _pairs(part: Expr, ends: Iterable[Index], summed: Iterable[Index]) -> list[tuple[Index, Index]]:
    """An end and a summed index of equal size that a condition, which speaks of nothing else, compares."""
    free = set(free_indices(part))
    pairs = [(end, index) for end in ends for index in summed if {end, index} == free]
    return [(e, s) for e, s in pairs if equal(e.size, s.size) and (known(e.size) or _SHORT) >= _SHORT]


def _way(part: Expr, end: Index, summed: Index) -> tuple[bool, bool] | None:
    """Whether the condition says that the summed index comes behind the end, and whether it may be the end."""
    facts = facts_of(part)
    distance = polynomial(end) - polynomial(summed)
    for descends, inside in ((False, distance), (True, -distance)):
        for has_end in (True, False):
            if facts == [inside if has_end else inside - 1]:
                return descends, has_end
    return None


class _Made:
    """The tensors of the new graph; those that add up alike are one."""

    def __init__(self, names: dict[str, object]) -> None:
        self.tensors: list[Tensor] = []
        self._names = names
        self._known: dict[tuple[object, ...], str] = {}

    def _name(self, tensor: Tensor, kind: str) -> str:
        self._names[made := unique(f"{tensor.id}.{kind}", self._names)] = None
        return made

    def add(self, tensor: Tensor, found: _Prefix) -> None:
        """The tensor, behind those from which it reads its sums."""
        (equation,) = tensor.equations
        prefix = self._prefix(tensor, found, "prefix")
        shift = Polynomial.constant(int(found.has_end != found.descends))
        place = (polynomial(found.end) + shift).expression()
        axes = tuple(place if index is found.end else index for index in equation.indices)
        read = Read(prefix, axes, tensor.type)
        self.tensors.append(replace(tensor, equations=(replace(equation, value=read),)))

    def add_place(self, tensor: Tensor, found: _Prefix) -> None:
        """The tensor as a recurrence, behind the extremes that it compares with."""
        (equation,) = tensor.equations
        extreme = replace(found, reduction=_PLACES[found.reduction])
        best = Read(self._prefix(tensor, extreme, "best"), equation.indices, found.term.type)
        element = substitute(found.term, {found.summed: found.end})
        before = integer(op("add", found.end, Const(-1)))
        axes = tuple(before if index is found.end else index for index in equation.indices)
        left, right = (best, element) if found.reduction == "argmax" else (element, best)
        is_better = op("and", op("not", op("le", right, left)), op("eq", best, best))  # the first nan is best
        following = Select(is_better, found.end, Read(tensor.id, axes, "int"))
        value = Select(op("le", ONE, found.end), following, found.end)
        self.tensors.append(replace(tensor, equations=(replace(equation, value=value),)))

    def _prefix(self, tensor: Tensor, found: _Prefix, kind: str) -> str:
        """The name of a tensor with all steps, which may be there."""
        (equation,) = tensor.equations
        names: dict[Expr, Expr] = {index: Read(f"#{n}", (), "int") for n, index in enumerate(equation.indices)}
        term = substitute(found.term, {**names, found.summed: names[found.end]})
        key = (found.reduction, found.descends, equation.indices.index(found.end), tensor.sizes, term)
        if isinstance(term, Reduce) or key not in self._known:  # a sum has an index of its own
            self._known[key] = self._steps(tensor, found, kind)
        return self._known[key]

    def _steps(self, tensor: Tensor, found: _Prefix, kind: str) -> str:
        (equation,) = tensor.equations
        axis = equation.indices.index(found.end)
        indices = tuple(fresh(index.size, index.hint) for index in equation.indices)
        step = indices[axis]
        term = substitute(found.term, {**dict(zip(equation.indices, indices, strict=True)), found.summed: step})
        if isinstance(term, Reduce):
            self.tensors.append(whole(self._name(tensor, "term"), indices, term, equation.span))
            term = Read(self.tensors[-1].id, indices, term.type)
        prefix, length = self._name(tensor, kind), found.end.size

        def at(place: Expr, axes: Sequence[Expr]) -> tuple[Expr, ...]:
            return (*axes[:axis], place, *axes[axis + 1 :])

        behind = integer(op("add", step, ONE))
        before, after = (behind, step) if found.descends else (step, behind)
        others = tuple(index for index in equation.indices if index is not found.end)
        start = Equation(others, at(length if found.descends else ZERO, equation.indices), found.neutral, equation.span)
        following = op(_STEPS[found.reduction], Read(prefix, at(before, indices), term.type), term)
        sizes = at(integer(op("add", length, ONE)), tensor.sizes)
        equations = (start, Equation(indices, at(after, indices), following, equation.span))
        self.tensors.append(Tensor(prefix, sizes, term.type, "computed", equations, span=tensor.span))
        return prefix
