"""Quantities built from exponentials: a mantissa, which is a number of moderate size, and a scale, an exponent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from dlc.compiler.ir.conditions import conjunction, conjuncts, guarded
from dlc.compiler.ir.expr import TRUE, ZERO, Const, Expr, Index, Op, Reduce, free_indices, op, reads, refresh
from dlc.compiler.ir.linear import Linear
from dlc.compiler.ir.rewriting import rename_bound, substitute

_ONE = Const(1.0)
GREATEST = 1e38  # a finite float32: what scales are kept below


@dataclass(frozen=True)
class Scaled:
    """``Select(guard, top/bottom * exp(scale), 0)``; ``bounded`` if it cannot overflow as it stands (a quotient).

    Where ``some`` is false, the sum that it is has no terms: the mantissa is 0, and the scale says nothing.
    """

    scale: Linear
    top: Expr = _ONE
    bottom: Expr = _ONE
    guard: Expr = TRUE
    bounded: bool = False
    some: Expr = TRUE

    @property
    def is_pure(self) -> bool:
        return self.top is _ONE and self.bottom is _ONE and self.guard is TRUE

    @property
    def mantissa(self) -> Expr:
        return divided(self.top, self.bottom)

    @property
    def present(self) -> Expr:
        """Where its scale counts among those of others."""
        return conjunction((self.guard, self.some))

    @property
    def unguarded(self) -> Scaled:
        """The same with the guard in the mantissa."""
        if self.guard is TRUE:
            return self
        scale = Linear.of(guarded(self.guard, self.scale.expression()))
        return Scaled(scale, guarded(self.guard, self.mantissa), bounded=self.bounded, some=self.some)


def divided(top: Expr, bottom: Expr) -> Expr:
    return top if bottom is _ONE else op("div", top, bottom)


def exponent_of(value: float) -> Const:
    return Const(int(value)) if value.is_integer() else Const(value)


def exponential(exponent: Linear) -> Expr:
    """exp of it; exp(-softplus(u)) = sigmoid(-u) and exp(u - softplus(u)) = sigmoid(u)"""
    if not exponent:
        return _ONE
    for term, factor in exponent.terms:
        if isinstance(term, Op) and term.name == "softplus" and factor == -1:
            argument = Linear.of(term.args[0])
            rest = exponent + Linear(((term, 1.0),))
            if not rest:
                return op("sigmoid", (-argument).expression())
            if not (rest - argument):
                return op("sigmoid", argument.expression())
    return op("exp", exponent.expression())


def sigmoid(argument: Expr) -> Scaled:
    return Scaled(-Linear.of(op("softplus", (-Linear.of(argument)).expression())), bounded=True)


def is_softplus(scale: Linear) -> bool:
    return len(scale.terms) == 1 and isinstance(scale.terms[0][0], Op) and scale.terms[0][0].name == "softplus"


def hyperbolic(node: Op) -> Expr:
    """cosh x = (exp x + exp -x)/2;  sinh x = (exp x - exp -x)/2"""
    (arg,) = node.args
    other = op("exp", op("neg", arg))
    both = op("add", op("exp", arg), other if node.name == "cosh" else op("neg", other))
    return op("mul", Const(0.5), both)


def finite(scale: Expr) -> Expr:
    return op("max", op("min", scale, Const(GREATEST)), Const(-GREATEST))


def logarithm(scaled: Scaled) -> Expr:
    """log(top/bottom) + scale; of a sum without terms it is -inf, and has no slope by the scale"""
    exponent = scaled.scale.expression()
    if scaled.top is _ONE and scaled.bottom is not _ONE:
        value = op("add", exponent, op("neg", op("log", scaled.bottom)))
    elif scaled.is_pure or scaled.mantissa is _ONE:
        value = exponent
    else:
        value = op("add", exponent, op("log", scaled.mantissa))
    return guarded(scaled.present, value, Const(-inf))


def greatest_of(node: Reduce, part: Linear, guard: Expr) -> tuple[Linear, Expr]:
    """A part of the exponents of a sum, and the greatest value of it where the guard holds."""
    names = {index: refresh(index) for index in node.indices}
    exponents = rename_bound(guarded(guard, finite(part.expression()), Const(-inf)))
    return part, op("stop", Reduce("max", tuple(names.values()), substitute(exponents, dict(names))))


def has_terms(node: Reduce, outer: Linear, guard: Expr, greatest: Expr | None = None) -> Expr:
    """Whether a sum has terms, asked where what they are all multiplied by has slopes.

    What the guard leaves is counted, unless the greatest of the exponents, which are finite, is known.
    """
    if not any(reads(term) for term, _ in outer.terms):
        return TRUE
    if guard is TRUE:
        return conjunction(op("lt", ZERO, index.size) for index in node.indices if not _is_positive(index.size))
    if greatest is not None:
        return op("ne", greatest, Const(-inf))
    return op("ne", Reduce("sum", node.indices, guarded(guard, _ONE)), Const(0.0))


def is_some(factor: Expr) -> Expr:
    """Whether a sum whose terms are all equal has some: it has been made a product with their number."""
    if isinstance(factor, Op) and factor.name == "real" and not reads(factor) and not free_indices(factor):
        return op("ne", factor.args[0], ZERO)
    return TRUE


def _is_positive(size: Expr) -> bool:
    return isinstance(size, Const) and size.value > 0


def by_factors(exponent: Linear, summed: Sequence[Index], guard: Expr) -> list[tuple[Linear, Expr]]:
    """The exponents of both factors of a product of matrices, `f(q[t,d])*f(k[s,d])` summed over `d`, each with the
    conditions on it alone; nothing for what is none.

    With one scale for each pair of a row and a column there would be an exponential for each term of every sum.
    """
    groups: dict[frozenset[Index], list[tuple[Expr, float]]] = {}
    for term, factor in exponent.terms:
        groups.setdefault(frozenset(free_indices(term)) - set(summed), []).append((term, factor))
    parts = [Linear(tuple(terms)) for terms in groups.values()]
    own = [set(free_indices(part.expression())) for part in parts]
    if len(groups) != 2 or any(one <= other for one in groups for other in groups if one is not other):
        return []
    if not all(indices.issuperset(summed) for indices in own) or set(summed) & set(free_indices(guard)):
        return []
    held = (conjunction(one for one in conjuncts(guard) if known.issuperset(free_indices(one))) for known in own)
    return list(zip(parts, held, strict=True))
