"""Linear combinations of real expressions, in which equal terms cancel exactly.

An exponent is kept like this while it is still being put together: ``(x - m) - (max x - m)`` is ``x - max x``, whatever
m is.  Terms that differ by the names of bound indices alone count as equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dlc.compiler.ir.alike import key
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Reduce, free_indices, op, walk

_ONE = Const(1.0)


@dataclass(frozen=True)
class Linear:
    """The sum of factor times term; no factor is 0.  The constant stands with the term 1."""

    terms: tuple[tuple[Expr, float], ...] = ()

    @staticmethod
    def collected(terms: Iterable[tuple[Expr, float]]) -> Linear:
        total: dict[object, tuple[Expr, float]] = {}
        for term, factor in terms:
            identity = _identity(term)
            first, sofar = total.get(identity, (term, 0.0))
            total[identity] = (first, sofar + factor)
        return Linear(tuple((term, factor) for term, factor in total.values() if factor))

    @staticmethod
    def of(node: Expr) -> Linear:
        return Linear.collected(_terms(node, 1.0))

    def __add__(self, other: Linear) -> Linear:
        return Linear.collected((*self.terms, *other.terms))

    def __neg__(self) -> Linear:
        return self.times(-1.0)

    def __sub__(self, other: Linear) -> Linear:
        return self + (-other)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def times(self, number: float) -> Linear:
        return Linear.collected((term, factor * number) for term, factor in self.terms)

    def parted(self, indices: Iterable[Index]) -> tuple[Linear, Linear]:
        """The terms that depend on any of the indices, and the others."""
        chosen = set(indices)
        inside = tuple(part for part in self.terms if not chosen.isdisjoint(free_indices(part[0])))
        return Linear(inside), Linear(tuple(part for part in self.terms if part not in inside))

    def expression(self) -> Expr:
        """Positive terms first: ``a - b`` and not ``-b + a``."""
        ordered = sorted(self.terms, key=lambda part: (part[0] is _ONE, part[1] < 0))
        return op("add", *(_scaled(term, factor) for term, factor in ordered)) if ordered else Const(0.0)


def _identity(term: Expr) -> object:
    if not any(isinstance(node, Reduce) for node in walk(term)):
        return term
    return key(term)


def _terms(node: Expr, factor: float) -> list[tuple[Expr, float]]:
    match node:
        case Const(value=value):
            return [(_ONE, factor * float(value))] if value else []
        case Op(name="add", args=args):
            return [part for arg in args for part in _terms(arg, factor)]
        case Op(name="neg", args=(arg,)):
            return _terms(arg, -factor)
        case Op(name="mul", args=(Const(value=value), *rest)):
            return _terms(op("mul", *rest), factor * float(value))
        case Op(name="div", args=(arg, Const(value=value))) if value:
            return _terms(arg, factor / float(value))
    return [(node, factor)]


def _scaled(term: Expr, factor: float) -> Expr:
    if term is _ONE:
        return Const(factor)
    size = term if abs(factor) == 1 else op("mul", Const(abs(factor)), term)
    return size if factor > 0 else op("neg", size)
