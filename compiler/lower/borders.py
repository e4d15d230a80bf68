"""Elements that overlap, copied once: ``f(x[c, 2*u + p - 1])`` for all u and p is ``w[c, a]`` with ``a = 2*u + p``.

A value that depends on its indices by way of a few affine *coordinates* only, such as the subscripts of a window under
the condition that they stay inside an image, is a function of the coordinates.  A tensor that holds this function at
all their values, an image with a border of zeros, has far fewer elements than there are windows, and is read without a
condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import (
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    Size,
    free_indices,
    fresh,
    op,
    reads,
    refresh,
)
from dlc.compiler.ir.graph import Equation
from dlc.compiler.ir.products import guarded_product
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.ir.safety import Sizes, reads_in_range
from dlc.compiler.lower.nests import volume

_COMPARISONS = ("lt", "le", "eq", "ne")


@dataclass(frozen=True)
class Bordered:
    """``value`` over its ``axes`` is what the tensor holds; ``subscripts`` say where the windows read it."""

    axes: tuple[Index, ...]
    value: Expr
    subscripts: tuple[Expr, ...]


@dataclass(frozen=True)
class _Axis:
    """The values of a coordinate: ``low`` and as many as ``index`` has."""

    index: Index
    low: Polynomial

    @property
    def value(self) -> Polynomial:
        return polynomial(self.index) + self.low


def bordered(value: Expr, over: frozenset[Index], formulas: Mapping[str, Expr]) -> Bordered | None:
    """The value as one of its coordinates, if that saves elements; the indices ``over`` are fixed."""
    if isinstance(value, Read) or value.type != "real":
        return None
    axes: dict[Expr, _Axis] = {}
    for subscript in (subscript for read in reads(value) for subscript in read.subscripts):
        if set(free_indices(subscript)) - over and subscript not in axes:
            axis = _axis(subscript, over, formulas)
            if axis is None:
                return None
            axes[subscript] = axis

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Read):
            subscripts = (axes[s].value.expression() if s in axes else s for s in node.subscripts)
            return Read(node.tensor, tuple(subscripts), node.type)
        if isinstance(node, Op) and node.name in _COMPARISONS and node.args[0].type == "int":
            return _comparison(node, axes, over)
        return None

    found = transform(value, change)
    own = tuple(axis.index for axis in axes.values())
    moving = [index for index in free_indices(value) if index not in over]
    if set(free_indices(found)) - set(own) - over or volume(own) >= volume(moving):
        return None
    subscripts = tuple((polynomial(each) - axis.low).expression() for each, axis in axes.items())
    return Bordered(own, found, subscripts)


def _axis(subscript: Expr, over: frozenset[Index], formulas: Mapping[str, Expr]) -> _Axis | None:
    """All values of an affine subscript whose coefficients have a known sign."""
    if isinstance(subscript, Index):
        return _Axis(refresh(subscript), Polynomial(()))
    rest = polynomial(subscript)
    low, extent = Polynomial(()), Polynomial.constant(1)
    for index in free_indices(subscript):
        if index in over:
            continue
        parts = rest.split(index)
        if parts is None:
            return None
        stride, rest = parts
        last = polynomial(index.size) - 1
        if nonnegative(stride):
            extent = extent + stride * last
        elif nonnegative(-stride):
            low, extent = low + stride * last, extent - stride * last
        else:
            return None
    if any(index not in over for atom in rest.atoms for index in free_indices(atom)) or reads(rest.expression()):
        return None
    plain = polynomial(substitute(extent.expression(), {Size(name): formula for name, formula in formulas.items()}))
    extent = plain if len(plain.terms) <= len(extent.terms) else extent
    count = extent.expression()
    if not nonnegative(extent):
        count = integer(op("max", ZERO, count))  # of indices without values
    return _Axis(fresh(count, free_indices(subscript)[0].hint), rest + low)


def _comparison(node: Op, axes: Mapping[Expr, _Axis], over: frozenset[Index]) -> Expr:
    """The comparison of one coordinate with something fixed, or as it is."""
    left, right = map(polynomial, node.args)
    difference = right - left
    for subscript, axis in axes.items():
        place = polynomial(subscript)
        for times in _multiples(difference, place):
            rest = difference - place * times
            if not any(index not in over for atom in rest.atoms for index in free_indices(atom)):
                end = (-(axis.low * times + rest)).expression()
                own = (polynomial(axis.index) * abs(times)).expression()
                return op(node.name, *((end, own) if times > 0 else (own, (-polynomial(end)).expression())))
    return node


def _multiples(difference: Polynomial, place: Polynomial) -> Iterator[int]:
    """How many times the place may stand in the difference, as each of its indices says."""
    for index in free_indices(place.expression()):
        whole, one = difference.split(index), place.split(index)
        if whole is not None and one is not None and one[0].terms:
            times, rest = whole[0].divide(one[0])
            if not rest.terms and times.value:
                yield times.value


def guarded_factors(
    equation: Equation, sizes: Sizes, facts: Sequence[Polynomial] = ()
) -> Iterator[tuple[Expr, tuple[Expr, ...]]]:
    """Of a sum of products under a guard of indices, each factor that is read, under the guard, and the others, where
    these stay in range without it.
    """
    value = equation.value
    if not isinstance(value, Reduce) or value.op != "sum" or value.type != "real":
        return
    conditions, factors = guarded_product(value.body)
    if reads(*conditions):
        return
    for number, factor in enumerate(factors if conditions else ()):
        others = (*factors[:number], *factors[number + 1 :])
        if isinstance(factor, Read) and all(reads_in_range(other, sizes, (), facts) for other in others):
            yield Select(op("and", *conditions), factor, Const(0.0)), others


def with_factors(equation: Equation, factors: Sequence[Expr]) -> Equation:
    """The sum of these products, without a guard."""
    assert isinstance(equation.value, Reduce)
    body = op("mul", *factors) if len(factors) > 1 else factors[0]
    return replace(equation, value=Reduce("sum", equation.value.indices, body))
