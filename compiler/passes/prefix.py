"""Prefix sums in one go: what is summed for every end of a range is added up once.

    y[b,t] = sum[s : s <= t] x[b,s]        y.prefix[b,0] = 0;  y.prefix[b,t+1] = y.prefix[b,t] + x[b,t]
                                           y[b,t] = y.prefix[b,t+1]

A sum over ``s <= t``, ``s < t``, ``t <= s`` or ``t < s``, in which nothing else depends on ``t``, becomes a recurrence,
so that its time grows with |T| and no longer with |T|².  The numbers are added in the order of the range.  Of ``s < t``
the last step belongs to no sum: what would be read out of range there is not computed.

Left out: sums of what depends on both ends, such as a mask of attention, tensors of a recurrence, and short axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import Polynomial, equal, integer, known, polynomial
from dlc.compiler.ir.bounds import facts_of
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_of, guarded
from dlc.compiler.ir.elements import bounds_of
from dlc.compiler.ir.expr import ONE, ZERO, Const, Expr, Index, Read, Reduce, free_indices, fresh, op, substitute
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique, whole
from dlc.compiler.ir.safety import reads_in_range

NAME = "prefix"

_SHORT = 8  # elements of which a sum of all is as good


@dataclass(frozen=True)
class _Prefix:
    """A sum of ``term`` over the ``summed`` index from the first to the one at ``end``, or from there to the last if it
    ``descends``; the end itself belongs to it or not."""

    end: Index
    summed: Index
    descends: bool
    has_end: bool
    term: Expr

    @property
    def within(self) -> _Prefix:
        """The same where the last step, that belongs to no sum, adds 0."""
        near, far = (ZERO, self.summed) if self.descends else (integer(op("add", self.summed, ONE)), self.summed.size)
        inner = self.term if isinstance(self.term, Reduce) else None
        cond, value = guard_of(inner.body if inner is not None else self.term)
        value = guarded(conjunction((op("lt", near, far), *conjuncts(cond))), value)
        return replace(self, term=Reduce("sum", inner.indices, value) if inner is not None else value)


def run(graph: Graph) -> Graph:
    names: dict[str, object] = dict(graph.tensors)
    sizes = {name: tensor.sizes for name, tensor in graph.tensors.items()}
    facts, bounds = graph.facts, bounds_of(graph)
    tensors: list[Tensor] = []
    for tensor in graph.tensors.values():
        is_single = len(tensor.equations) == 1 and tensor.id not in graph.recurrence_of
        found = _prefix(tensor.equations[0]) if is_single else None
        if found is not None and not found.has_end and not reads_in_range(found.term, sizes, (), facts, bounds):
            found = found.within
        tensors += [tensor] if found is None else _added_up(tensor, found, names)
    return graph.with_tensors(tensors)


def _prefix(equation: Equation) -> _Prefix | None:
    value = equation.value
    if not equation.is_whole or not (isinstance(value, Reduce) and value.op == "sum" and value.type == "real"):
        return None
    cond, body = guard_of(value.body)
    parts = conjuncts(cond)
    for number, part in enumerate(parts):
        rest = guarded(conjunction((*parts[:number], *parts[number + 1 :])), body)
        for end, summed in _pairs(part, equation.indices, value.indices):
            way = _way(part, end, summed)
            if way is None or end in free_indices(rest) or summed not in free_indices(rest):
                continue
            left = tuple(index for index in value.indices if index is not summed)
            return _Prefix(end, summed, *way, Reduce("sum", left, rest) if left else rest)
    return None


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


def _added_up(tensor: Tensor, found: _Prefix, names: dict[str, object]) -> list[Tensor]:
    """The tensor, behind those from which it reads its sums."""
    (equation,) = tensor.equations
    axis = equation.indices.index(found.end)

    def name(kind: str) -> str:
        names[made := unique(f"{tensor.id}.{kind}", names)] = None
        return made

    indices = tuple(fresh(index.size, index.hint) for index in equation.indices)
    step = indices[axis]
    term = substitute(found.term, {**dict(zip(equation.indices, indices, strict=True)), found.summed: step})
    made: list[Tensor] = []
    if isinstance(term, Reduce):
        made.append(whole(name("term"), indices, term, equation.span))
        term = Read(made[0].id, indices, "real")
    prefix, length = name("prefix"), found.end.size

    def at(place: Expr, axes: Sequence[Expr]) -> tuple[Expr, ...]:
        return (*axes[:axis], place, *axes[axis + 1 :])

    behind = integer(op("add", step, ONE))
    before, after = (behind, step) if found.descends else (step, behind)
    others = tuple(index for index in equation.indices if index is not found.end)
    start = Equation(others, at(length if found.descends else ZERO, equation.indices), Const(0.0), equation.span)
    following = op("add", Read(prefix, at(before, indices), "real"), term)
    sizes = at(integer(op("add", length, ONE)), tensor.sizes)
    equations = (start, Equation(indices, at(after, indices), following, equation.span))
    made.append(Tensor(prefix, sizes, "real", "computed", equations, span=tensor.span))
    shift = Polynomial.constant(int(found.has_end != found.descends))
    place = (polynomial(found.end) + shift).expression()
    read = Read(prefix, at(place, equation.indices), "real")
    return [*made, replace(tensor, equations=(replace(equation, value=read),))]
