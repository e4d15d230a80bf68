"""Sums in which one factor slides over the other: convolutions, and what differentiating one gives.

    y[o,u]   = sum[c,p] k[o,c,p]*x[c,u+p-1]         the data x, a kernel k of three taps along p
    d_x[c,h] = sum[o,p] k[o,c,p]*d_y[o,h-p+1]       the taps are passed in reverse
    d_k[o,c,p] = sum[u] d_y[o,u]*x[c,u+p-1]         three results, for a kernel as long as d_y

Of each pair of a free and a summed index that the data are read at the sum or the difference of, one runs over three
values here, and is called *short*, the other one *long*. The place at which the data are read is ``long + short``, and
in case of a difference ``long + (2 - short)``: the short index then runs backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import integer, known, polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_of, guarded, is_comparison
from dlc.compiler.ir.expr import (
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Solve,
    free_indices,
    fresh,
    op,
    reads,
    substitute,
    transform,
    walk,
)
from dlc.compiler.ir.graph import Equation
from dlc.compiler.ir.safety import Sizes, needs_more
from dlc.compiler.ir.simplifier import Simplifier

SHORT = 3


@dataclass(frozen=True)
class Slide:
    """One axis along which the kernel slides over the data; ``backwards``: the short index counts from its end.

    The kernel has three taps on it, or else the result has three elements.
    """

    free: Index
    summed: Index
    backwards: bool
    has_short_kernel: bool

    @property
    def long(self) -> Index:
        return self.free if self.has_short_kernel else self.summed

    @property
    def short(self) -> Index:
        return self.summed if self.has_short_kernel else self.free

    def turned(self, place: Expr) -> Expr:
        """The value of the short index at a place counted in the direction of the long one, and the reverse."""
        return integer(op("add", Const(SHORT - 1), op("neg", place))) if self.backwards else place


@dataclass(frozen=True)
class Correlation:
    """``sum`` over the equation's summed indices of ``kernel*data``, guards included; ``other`` summed indices do not
    slide."""

    kernel: Expr
    data: Expr
    slides: tuple[Slide, ...]
    other: tuple[Index, ...]

    @property
    def has_short_kernel(self) -> bool:
        return self.slides[0].has_short_kernel

    def data_at(self, places: Sequence[Expr]) -> Expr:
        """The data at these places, one for each slide, as far as they lie within reach of it."""
        changes: dict[Expr, Expr] = {}
        for slide, place in zip(self.slides, places, strict=True):
            changes[slide.long] = place
            changes[slide.short] = slide.turned(ZERO)
        return simple(substitute(self.data, changes))


def simple(value: Expr) -> Expr:
    return Simplifier(SCALAR_RULES)(value)


def correlation(equation: Equation, sizes: Sizes) -> Correlation | None:
    """The equation as a sum in which a factor slides; None if it is none. ``sizes`` are those of all tensors."""
    value = equation.value
    if not isinstance(value, Reduce) or value.op != "sum" or value.type != "real":
        return None
    cond, body = guard_of(value.body)
    if not isinstance(body, Op) or body.name != "mul" or len(body.args) != 2:
        return None
    if any(isinstance(node, Reduce | Solve) for node in walk(body)):
        return None
    for kernel, data in (body.args, body.args[::-1]):
        found = _correlation(equation, value, conjuncts(cond), kernel, data, sizes)
        if found is not None:
            return found
    return None


def _correlation(
    equation: Equation, value: Reduce, conditions: Sequence[Expr], kernel: Expr, data: Expr, sizes: Sizes
) -> Correlation | None:
    parts = _guarded(conditions, (data, kernel), sizes)
    if parts is None:
        return None
    data, kernel = parts
    within, apart = set(free_indices(data)), set(free_indices(kernel))
    if not within.union(apart).issuperset((*equation.indices, *value.indices)):
        return None
    slides: list[Slide] = []
    for free in equation.indices:
        for summed in value.indices:
            taken = {index for slide in slides for index in (slide.free, slide.summed)}
            if {free, summed} & taken or not {free, summed} <= within or summed not in apart or free in apart:
                continue
            slides.extend(_slide(data, free, summed))
    slides = _of_one_kind(slides)
    if not slides:
        return None
    sliding = {index for slide in slides for index in (slide.free, slide.summed)}
    if not all(_apart(subscript, sliding) for read in reads(data) for subscript in read.subscripts):
        return None
    return Correlation(kernel, data, tuple(slides), tuple(index for index in value.indices if index not in sliding))


def _apart(subscript: Expr, sliding: set[Index]) -> bool:
    """Whether the indices that do not slide give a subscript of its own for each of their values: copied for each of
    them, the data are not copied twice."""
    rest, indices = polynomial(subscript), free_indices(subscript)
    steps: list[tuple[int, int]] = []
    for index in indices:
        parts = rest.split(index)
        step = None if parts is None else parts[0].value
        extent = known(index.size)
        if parts is None or step is None or (extent is None and len(indices) > 1):
            return len(indices) <= 1
        rest = parts[1]
        steps.append((abs(step), extent or 1))
    if sliding.issuperset(indices):
        return True
    reach = 0
    for step, extent in sorted(steps):
        if step <= reach:
            return False
        reach += step * (extent - 1)
    return True


def _guarded(conditions: Sequence[Expr], factors: Sequence[Expr], sizes: Sizes) -> tuple[Expr, ...] | None:
    """The factors, each under those conditions that concern it; None if that leaves one of them out of range."""
    mine: list[list[Expr]] = [[] for _ in factors]
    free = [set(free_indices(factor)) for factor in factors]
    for cond in conditions:
        place = next((n for n, indices in enumerate(free) if indices.issuperset(free_indices(cond))), None)
        if place is None:
            return None
        mine[place].append(cond)
    if any(needs_more(factor, sizes, some, conditions) for factor, some in zip(factors, mine, strict=True)):
        return None
    return tuple(guarded(conjunction(some), factor) for factor, some in zip(factors, mine, strict=True))


def _slide(data: Expr, free: Index, summed: Index) -> list[Slide]:
    """The two indices as a pair of which the data depend on the sum or on the difference alone."""
    if SHORT not in (known(free.size), known(summed.size)):
        return []
    place = fresh(free.size, "place")
    for backwards in (False, True):
        moved = op("add", place, summed if backwards else op("neg", summed))
        if summed not in free_indices(_normal(substitute(data, {free: moved}))):
            return [Slide(free, summed, backwards, known(summed.size) == SHORT)]
    return []


def _of_one_kind(slides: list[Slide]) -> list[Slide]:
    """The slides if the kernel is short on all of them or on none, where they may be taken for either if both are."""
    if all(slide.has_short_kernel for slide in slides):
        return slides
    if all(known(slide.free.size) == SHORT for slide in slides):
        return [replace(slide, has_short_kernel=False) for slide in slides]
    return []


def _normal(value: Expr) -> Expr:
    """The expression with subscripts in normal form, and comparisons of integers with zero."""

    def change(node: Expr) -> Expr | None:
        if is_comparison(node):
            assert isinstance(node, Op)
            left, right = map(polynomial, node.args)
            return Op(node.name, (ZERO, (right - left).expression()))
        if isinstance(node, Read):
            return Read(node.tensor, tuple(map(integer, node.subscripts)), node.type)
        return None

    return transform(value, change)
