"""Prefix sums in one go: what is summed for every end of a range is added up once, and so are products and extremes.

    y[b,t] = sum[s : s <= t] x[b,s]        y.prefix[b,0] = 0;  y.prefix[b,t+1] = y.prefix[b,t] + x[b,t]
                                           y[b,t] = y.prefix[b,t+1]

A sum over ``s <= t``, ``s < t``, ``t <= s`` or ``t < s``, in which nothing else depends on ``t``, becomes a recurrence,
so that its time grows with |T| and no longer with |T|².  Of ``s < t`` the last step belongs to no sum: what would be
read out of range there is not computed.

The place of an extreme is that of the step before unless the element is better than all before it:

    z[t] = argmax[s : s <= t] x[s]         z[t] = (t if x[t] is better than z.best[t] else z[t-1]) if 1 <= t else t

A sum of exponentials that all stay below 1 depends on its end through their scale, the greatest exponent so far.  What
is summed up to there is taken from the old scale to the new one:

    m[t] = max[s : s <= t] x[s]            y.prefix[t+1] = y.prefix[t]*y.decay[t] + exp(x[t] - m.prefix[t+1])
    y[t] = sum[s : s <= t] exp(x[s] - m[t])    y.decay[t] = exp(m.prefix[t] - m.prefix[t+1])

These are made before differentiation: the derivative of the recurrence goes from scale to scale too, where that of the
sum would have scales of its own.

Left out: sums of what depends on both ends otherwise, such as a mask of attention, tensors of a recurrence, and short
axes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf

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
    Op,
    Read,
    Reduce,
    Select,
    free_indices,
    fresh,
    identity_of,
    op,
    walk,
)
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique, whole
from dlc.compiler.ir.linear import Linear
from dlc.compiler.ir.products import factors_of
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.safety import reads_in_range

NAME = "prefix"

_UNIT = Const(1.0)
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
    scale: Read | None = None  # the element at the end, of a tensor with extremes, that exponentials are divided by

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


def before_derivatives(graph: Graph) -> Graph:
    """Products and scaled sums alone: the derivative of a product by each of its factors, which is that of all others,
    takes all pairs, and that of a recurrence one walk back."""
    return _with_steps(graph, ("prod",))


def _with_steps(graph: Graph, reductions: Collection[str]) -> Graph:
    """The graph with the prefixes of some reductions, and all that have a scale, with the scales."""
    found = _prefixes(graph)
    scales = {one.scale.tensor for one in found.values() if one.scale is not None}
    made = _Made(graph, found)
    for tensor in graph.tensors.values():
        one = found.get(tensor.id)
        if one is None or (one.reduction not in reductions and one.scale is None and tensor.id not in scales):
            made.tensors.append(tensor)
        elif one.reduction in _STEPS:
            made.add(tensor, one)
        else:
            made.add_place(tensor, one)
    return graph.with_tensors(made.tensors)


def _prefixes(graph: Graph) -> dict[str, _Prefix]:
    """All that may become recurrences, by their tensors."""
    sizes = {name: tensor.sizes for name, tensor in graph.tensors.items()}
    facts, bounds = graph.facts, bounds_of(graph)
    result: dict[str, _Prefix] = {}
    for tensor in graph.tensors.values():
        is_single = len(tensor.equations) == 1 and tensor.id not in graph.recurrence_of
        found = _prefix(tensor.equations[0]) if is_single else None
        if found is not None and not found.has_end and not reads_in_range(found.term, sizes, (), facts, bounds):
            found = found.within
        if found is not None:
            result[tensor.id] = found
    return {name: found for name, found in result.items() if found.scale is None or _is_scaled(graph, found, result)}


def _is_scaled(graph: Graph, found: _Prefix, known: Mapping[str, _Prefix]) -> bool:
    """Whether the scale is the greatest so far of the same range, is not below all numbers where something is summed,
    and nothing is differentiated by it."""
    assert found.scale is not None
    name = found.scale.tensor
    greatest = known.get(name)
    if greatest is None or not _is_bounded(greatest) or name in graph.kept:
        return False
    (equation,) = graph.tensors[name].equations
    axis = found.scale.subscripts.index(found.end)
    if equation.indices[axis] is not greatest.end or not equal(greatest.end.size, found.end.size):
        return False
    if (greatest.descends, greatest.has_end) != (found.descends, found.has_end):
        return False
    values = [equation.value for tensor in graph.tensors.values() for equation in tensor.equations]
    nodes = list(walk(*values))
    bare = {read for node in nodes if not _is_stopped(node) for read in node.children if isinstance(read, Read)}
    return all(read.tensor != name for read in (*bare, *values) if isinstance(read, Read))


def _is_bounded(greatest: _Prefix) -> bool:
    """Whether it is the greatest of numbers none of which is below a certain one."""
    _, body = guard_of(greatest.term, greatest.neutral)
    bounds = body.args if greatest.reduction == "max" and isinstance(body, Op) and body.name == "max" else ()
    return any(isinstance(bound, Const) and bound.value > -inf for bound in bounds)


def _is_stopped(node: Expr) -> bool:
    return isinstance(node, Op) and node.name == "stop"


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
            if way is None or summed not in free_indices(rest):
                continue
            scale = _scale(rest, equation.indices, end) if value.op == "sum" else None
            if (scale is None and end in free_indices(rest)) or (value.op in _PLACES and way != (False, True)):
                continue
            left = tuple(index for index in value.indices if index is not summed)
            return _Prefix(value.op, end, summed, *way, Reduce(value.op, left, rest) if left else rest, scale)
    return None


def _scale(term: Expr, axes: Collection[Index], end: Index) -> Read | None:
    """``m[.., end]``, where the term is ``exp(u - stop(m[.., end]))`` times what does not depend on the end."""
    cond, body = guard_of(term)
    over, under = factors_of(body)
    with_end = [part for part in (cond, *over, *under) if end in free_indices(part)]
    if len(with_end) != 1 or not (isinstance(with_end[0], Op) and with_end[0].name == "exp") or with_end[0] in under:
        return None
    match [(part, factor) for part, factor in Linear.of(with_end[0].args[0]).terms if end in free_indices(part)]:
        case [(Op(name="stop", args=(Read() as scale,)), -1.0)]:
            is_element = len(set(scale.subscripts)) == len(scale.subscripts) and set(scale.subscripts) <= set(axes)
            return scale if is_element else None
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

    def __init__(self, graph: Graph, found: Mapping[str, _Prefix]) -> None:
        self.tensors: list[Tensor] = []
        self._graph, self._found = graph, found
        self._names: dict[str, object] = dict(graph.tensors)
        self._known: dict[tuple[object, ...], str] = {}
        self._of_tensor: dict[str, str] = {}

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
        if tensor.id not in self._of_tensor:
            self._of_tensor[tensor.id] = self._shared(tensor, found, kind)
        return self._of_tensor[tensor.id]

    def _shared(self, tensor: Tensor, found: _Prefix, kind: str) -> str:
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
        behind = integer(op("add", step, ONE))
        before, after = (behind, step) if found.descends else (step, behind)
        place = {**dict(zip(equation.indices, indices, strict=True)), found.summed: step}
        term, decay = substitute(found.term, place), None
        if found.scale is not None:
            scale = substitute(found.scale, place)
            assert isinstance(scale, Read)
            old, new = (self._scale(scale, step, reached) for reached in (before, after))
            term = substitute(term, {scale: new})
            decay = Select(op("lt", old, new), op("exp", op("add", op("stop", old), op("neg", op("stop", new)))), _UNIT)
        made = partial(self._made, tensor, indices)
        if isinstance(term, Reduce) or decay is not None:
            term = made("term", term)
        prefix, length = self._name(tensor, kind), found.end.size

        def at(place: Expr, axes: Sequence[Expr]) -> tuple[Expr, ...]:
            return (*axes[:axis], place, *axes[axis + 1 :])

        before_it: Expr = Read(prefix, at(before, indices), term.type)
        if decay is not None:
            before_it = op("mul", before_it, made("decay", decay))
        others = tuple(index for index in equation.indices if index is not found.end)
        start = Equation(others, at(length if found.descends else ZERO, equation.indices), found.neutral, equation.span)
        following = op(_STEPS[found.reduction], before_it, term)
        sizes = at(integer(op("add", length, ONE)), tensor.sizes)
        equations = (start, Equation(indices, at(after, indices), following, equation.span))
        self.tensors.append(Tensor(prefix, sizes, term.type, "computed", equations, span=tensor.span))
        return prefix

    def _scale(self, scale: Read, step: Index, reached: Expr) -> Read:
        """The scale when so much is summed, for a scale at the step."""
        tensor = self._graph.tensors[scale.tensor]
        prefix = self._prefix(tensor, self._found[tensor.id], "prefix")
        return Read(prefix, tuple(reached if place is step else place for place in scale.subscripts), scale.type)

    def _made(self, tensor: Tensor, indices: Sequence[Index], kind: str, value: Expr) -> Read:
        """An element of a new tensor over those of the indices that the value depends on."""
        axes = tuple(index for index in indices if index in free_indices(value))
        self.tensors.append(whole(self._name(tensor, kind), axes, value, tensor.span))
        return Read(self.tensors[-1].id, axes, value.type)
