"""A product that is read in long steps is computed with the place in a step as an index, and its rows are interleaved::

    d[n,c,w] = sum[o,p] [(w - p) mod 32 == 0 and ..]*g[n,o,(w-p) // 32]*k[o,c,p]            p < 64

    d.part[n,c,r,i] = sum[o,j] [j <= i and ..]*g[n,o,i-j]*k[o,c,32*j+r]                     r < 32, j < 2
    d[n,c,32*i+r] = d.part[n,c,r,i]

Adjoints of convolutions that move in steps are of this kind. One product takes the place of one for each residue class
of the step (``residues``), of which there would be many. Places of a step that fewer taps reach, of a last step of taps
that is not whole, are a product of their own: none is multiplied by zero. Where taps lie apart, ``(w - 2*p) mod 32 ==
0``, what lies between two places that are reached is zero.

Where the axis does not begin or end with a whole step, what is interleaved is a tensor of whole steps, and the result
is cut out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import gcd, lcm, prod

from dlc.compiler.ir.affine import equal, integer, known, polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.bounds import within
from dlc.compiler.ir.conditions import conjunction, guarded
from dlc.compiler.ir.expr import (
    FALSE,
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Reduce,
    free_indices,
    fresh,
    number,
    op,
    reads,
)
from dlc.compiler.ir.forms import axes_by_factor, is_contraction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, read, unique, whole
from dlc.compiler.ir.products import guarded_product
from dlc.compiler.ir.quotients import moduli, quotients
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.simplifier import Simplifier

NAME = "interleave"

_FEW_CLASSES = 4  # so many are products of their own, none of which reads a copy
_FEW_WINDOWS = 16  # of sums of taps alone, which are written out for a row of each class


def run(graph: Graph) -> Graph:
    simplified = Simplifier(SCALAR_RULES)
    tensors: dict[str, Tensor] = {}
    for name, tensor in graph.tensors.items():
        made: Sequence[Tensor] = ()
        if len(tensor.equations) == 1 and name not in graph.recurrence_of:
            made = _interleaved(tensor, {**graph.tensors, **tensors}, simplified)
        tensors.update((one.id, one) for one in made or (tensor,))
    return graph.with_tensors(tensors.values())


@dataclass(frozen=True)
class _Axis:
    """An index that moves in steps: every ``apart``-th place of a step is reached, if steps begin at ``-shift``, by one
    of each ``period`` of ``taps``. Without an index of taps it is the first ``reached`` of these places.
    """

    index: Index
    step: int
    apart: int
    shift: int
    taps: Index | None
    reached: int

    @property
    def period(self) -> int:
        """Places of a step that are reached: also how far apart taps are that reach the same place."""
        return self.step // self.apart

    @property
    def blocks(self) -> Expr:
        return integer(op("floordiv", op("add", self.index.size, Const(self.shift + self.step - 1)), Const(self.step)))

    @property
    def extent(self) -> Expr:
        return (polynomial(self.blocks) * self.step).expression()

    @property
    def is_in_whole_steps(self) -> bool:
        return not self.shift and equal(self.index.size, self.extent)


@dataclass(frozen=True)
class _Places:
    """Some of the places of a step, in each of its blocks; ``taps`` of the tap index reach each of them."""

    axis: _Axis
    first: int
    apart: int
    taps: int
    block: Index
    place: Index

    @property
    def subscript(self) -> Expr:
        steps = polynomial(self.block) * self.axis.step
        return (steps + polynomial(self.place) * self.apart + self.first).expression()

    @property
    def digits(self) -> tuple[Index, Index]:
        return self.block, self.place

    def members(self) -> dict[Expr, Expr]:
        """What stands in the place of the axis, and of its taps."""
        shifted = polynomial(self.subscript) - self.axis.shift
        members: dict[Expr, Expr] = {self.axis.index: shifted.expression()}
        if self.axis.taps is not None:
            turn = ZERO if self.taps == 1 else fresh(Const(self.taps), self.axis.taps.hint)
            place = polynomial(self.place) + self.first // self.axis.apart
            members[self.axis.taps] = (polynomial(turn) * self.axis.period + place).expression()
        return members


def _interleaved(tensor: Tensor, taken: Mapping[str, Tensor], simplified: Simplifier) -> list[Tensor]:
    """The tensor, behind those that it is made of; nothing if it is not such a product, or has few classes."""
    equation = tensor.equations[0]
    axes = _axes(equation, simplified)
    parts = [_part(equation, places, taken, simplified) for places in product(*map(_places, axes))] if axes else []
    if not any(map(is_contraction, parts)) or any(True for part in parts for _ in quotients(part.value)):
        return []
    made: dict[str, Tensor] = {}
    equations = tuple(_copied(part, tensor.id, taken, made) for part in parts)
    if all(axis.is_in_whole_steps for axis in axes):
        return [*made.values(), replace(tensor, equations=equations)]
    extents = {axis.index: axis.extent for axis in axes}
    in_steps = replace(
        whole(unique(f"{tensor.id}.steps", taken), equation.indices, equation.value, equation.span),
        sizes=tuple(extents.get(index, index.size) for index in equation.indices),
        equations=equations,
    )
    shifts = {axis.index: axis.shift for axis in axes}
    places = [(polynomial(index) + shifts.get(index, 0)).expression() for index in equation.indices]
    return [*made.values(), in_steps, replace(tensor, equations=(replace(equation, value=read(in_steps, *places)),))]


def _part(
    equation: Equation, places: Sequence[_Places], tensors: Mapping[str, Tensor], simplified: Simplifier
) -> Equation:
    """The elements of the result at these places of their steps."""
    assert isinstance(equation.value, Reduce)
    blocks = {one.axis.index: one for one in places}
    indices = tuple(index for old in equation.indices for index in (blocks[old].digits if old in blocks else (old,)))
    subscripts = tuple(blocks[old].subscript if old in blocks else old for old in equation.indices)
    if not all(one.taps for one in places):
        return Equation(indices, subscripts, number(0, equation.value.type), equation.span)
    members = {old: new for one in places for old, new in one.members().items()}
    body = substitute(equation.value.body, members)
    inside = [] if all(one.axis.is_in_whole_steps for one in places) else _inside(body, tensors)
    body = simplified(guarded(conjunction(inside), body))
    reduced = dict.fromkeys(index for old in equation.value.indices for index in free_indices(members.get(old, old)))
    bound = tuple(index for index in reduced if index not in indices)
    value = simplified(Reduce("sum", bound, body)) if bound else body
    return Equation(indices, subscripts, value, equation.span)


def _inside(body: Expr, tensors: Mapping[str, Tensor]) -> list[Expr]:
    """What holds where the result is, and must be asked where a step goes on outside of it: that all that is read is
    there.
    """
    found = [
        (s, size) for one in reads(body) for s, size in zip(one.subscripts, tensors[one.tensor].sizes, strict=True)
    ]
    return [
        test
        for s, size in found
        if not within(s, size)
        for test in (op("le", ZERO, integer(s)), op("lt", integer(s), size))
    ]


def _copied(part: Equation, name: str, taken: Mapping[str, Tensor], made: dict[str, Tensor]) -> Equation:
    """The part, as a copy of a product of its own, of which the rows lie evenly in memory."""
    if not is_contraction(part):
        return part
    axes = axes_by_factor(part)
    renamed = {index: fresh(index.size, index.hint) for index in axes}
    value = substitute(part.value, renamed)
    own = whole(unique(f"{name}.part", {**taken, **made}), tuple(renamed.values()), value, part.span)
    made[own.id] = own
    return replace(part, indices=axes, value=read(own, *axes))


# -- how an axis moves ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tie:
    """``(index + offset + sum of factor*other) // under``, or the remainder."""

    under: int
    offset: int
    factors: Mapping[Index, int]

    @property
    def content(self) -> int:
        return gcd(self.under, *self.factors.values())


def _axes(equation: Equation, simplified: Simplifier) -> list[_Axis]:
    """Those of a product that would be divided into many classes; none if one of them does not move in steps."""
    value = equation.value
    if not (equation.is_whole and isinstance(value, Reduce) and value.op == "sum"):
        return []
    by = moduli(value)
    free = [index for index in equation.indices if index in by]
    conditions, factors = guarded_product(value.body)
    decided = {index for cond in conditions if any(True for _ in quotients(cond)) for index in free_indices(cond)}
    few = _FEW_WINDOWS if set(value.indices) <= set(by) else _FEW_CLASSES
    if prod(by[index] for index in free) <= few or len(factors) != 2:
        return []
    axes = [axis for index in free if (axis := _axis(index, by, value, simplified)) is not None]
    if len(axes) < len(free) or set(by) - set(free) - {axis.taps for axis in axes}:
        return []
    classes = prod(axis.step for axis in axes if axis.index in decided or not axis.is_in_whole_steps)
    return axes if classes > few else []  # whole blocks of which nothing is asked are axes in any case


def _axis(index: Index, by: Mapping[Index, int], value: Reduce, simplified: Simplifier) -> _Axis | None:
    """How the index moves; None if that is not by steps from one place on, with one index of taps at most."""
    step = by[index]
    read_by = [_tie(atom, index) for atom in quotients(value.body) if index in free_indices(atom) and _is_flat(atom)]
    asked = [_tie(atom, index, rest) for atom, rest in _remainders(value.body) if index in free_indices(atom)]
    ties, conditions = [t for t in read_by if t is not None], [t for t in asked if t is not None]
    if len(ties) < len(read_by) or len(conditions) < len(asked):
        return None
    shifts = {tie.offset % step for tie in conditions or ties if tie.under == step}
    shifts = shifts or {tie.offset % step for tie in ties if tie.under == step}
    apart = lcm(1, *(tie.content for tie in conditions))
    taps = {tap for tie in ties for tap in tie.factors}
    if len(shifts) != 1 or len(taps) > 1 or step % apart:
        return None
    (shift,) = shifts
    if any((tie.offset - shift) % tie.content for tie in conditions):
        return None
    found = _Axis(index, step, apart, shift, next(iter(taps), None), step // apart)
    if found.taps is None:
        return replace(found, reached=_reached(found, guarded_product(value.body).conditions, simplified))
    leads = [tie for tie in conditions if tie.under == step and (tie.factors.get(found.taps, 0) + apart) % step == 0]
    return found if leads and by[found.taps] == found.period and known(found.taps.size) is not None else None


def _reached(axis: _Axis, conditions: Sequence[Expr], simplified: Simplifier) -> int:
    """The places of a step up to the last one for which these conditions may hold."""
    steps = polynomial(fresh(axis.blocks, axis.index.hint)) * axis.step - axis.shift
    own = [cond for cond in conditions if free_indices(cond) == (axis.index,)]
    for place in reversed(range(axis.period)):
        here = (steps + axis.apart * place).expression()
        if all(simplified(substitute(cond, {axis.index: here})) is not FALSE for cond in own):
            return place + 1
    return 0


def _tie(atom: Op, index: Index, rest: int = 0) -> _Tie | None:
    """None if the index does not stand alone, or something else than an index stands beside it."""
    parts, under = polynomial(atom.args[0]).split(index), known(atom.args[1])
    if parts is None or parts[0].value != 1 or under is None:
        return None
    factors: dict[Index, int] = {}
    for monomial, factor in parts[1].terms:
        if len(monomial) == 1 and isinstance(monomial[0], Index):
            factors[monomial[0]] = factor
        elif monomial:
            return None
    return _Tie(under, parts[1].offset - rest, factors)


def _is_flat(atom: Op) -> bool:
    """Whether no quotient or remainder stands inside."""
    return not any(True for arg in atom.args for _ in quotients(arg))


def _remainders(body: Expr) -> Iterator[tuple[Op, int]]:
    """The remainders that the value is not 0 for, and what they are."""
    for cond in guarded_product(body).conditions:
        if isinstance(cond, Op) and cond.name == "eq":
            for atom, rest in (cond.args, cond.args[::-1]):
                if isinstance(atom, Op) and atom.name == "mod" and isinstance(rest, Const) and _is_flat(atom):
                    yield atom, int(rest.value)


def _places(axis: _Axis) -> Iterator[_Places]:
    """The places of a step, by the number of taps that reach them."""
    period, apart = axis.period, axis.apart
    groups = [(0, axis.reached, 1), (axis.reached, period - axis.reached, 0)]
    if axis.taps is not None:
        turns, rest = divmod(known(axis.taps.size) or 0, period)
        groups = [(0, rest, turns + 1), (rest, period - rest, turns)]
    for start, count, taps in groups:
        if count:
            yield _made(axis, start * apart, apart, count, taps)
    for between in range(1, apart):
        yield _made(axis, between, apart, period, 0)


def _made(axis: _Axis, first: int, apart: int, count: int, taps: int) -> _Places:
    block, place = fresh(axis.blocks, axis.index.hint), fresh(Const(count), "r")
    return _Places(axis, first, apart, taps, block, place)
