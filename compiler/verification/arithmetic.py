"""Arithmetic of polynomials over atoms: products, powers, and what brackets say of the factors beside them."""

from __future__ import annotations

import math
from fractions import Fraction

from dlc.compiler.ir.affine import integer
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Reduce, Select, Size, free_indices, op
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.verification.ordering import Ordering, Text
from dlc.compiler.verification.polynomials import (
    ONE_MONOMIAL,
    Monomial,
    Polynomial,
    TooLarge,
    constant,
    plus,
    scaled,
)

_MOST_TERMS = 400
_MOST_STEPS = 10_000
_ONE = Const(1.0)


def _is_bracket(atom: Expr) -> bool:
    return atom.type == "bool"


class Arithmetic:
    """What a normaliser does with polynomials; how an expression becomes one is its own business."""

    def __init__(self) -> None:
        self._bases: dict[Expr, Polynomial] = {}  # atoms that stand for a polynomial of several terms
        self._text = Ordering()
        self._steps = 0

    def __call__(self, node: Expr) -> Polynomial:
        raise NotImplementedError

    def bracket(self, condition: Expr) -> Polynomial:
        raise NotImplementedError

    def count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _MOST_STEPS:
            raise TooLarge

    @staticmethod
    def _limited(polynomial: Polynomial) -> Polynomial:
        if len(polynomial) > _MOST_TERMS:
            raise TooLarge
        return polynomial

    def _atom(self, atom: Expr) -> Polynomial:
        return {frozenset(((atom, Fraction(1)),)): Fraction(1)}

    # -- products and powers ----------------------------------------------------------------------------------------

    def times(self, left: Polynomial, right: Polynomial) -> Polynomial:
        if len(left) * len(right) > 4 * _MOST_TERMS:
            raise TooLarge
        self.count(len(left) * len(right))
        products = [
            scaled(self._merged(one, other), its * others)
            for one, its in left.items()
            for other, others in right.items()
        ]
        return plus(*products)

    def _merged(self, left: Monomial, right: Monomial) -> Polynomial:
        """Exponents add; brackets are idempotent; a base of several terms with a whole exponent is multiplied out."""
        exponents: dict[Expr, Fraction] = dict(left)
        for atom, exponent in right:
            exponents[atom] = exponents.get(atom, Fraction(0)) + exponent
        outside: list[tuple[Expr, int]] = []
        for atom, exponent in list(exponents.items()):
            if _is_bracket(atom):
                exponents[atom] = Fraction(1)
            elif not exponent:
                del exponents[atom]
            elif atom in self._bases and exponent > 0 and exponent.denominator == 1:
                outside.append((atom, int(exponent)))
                del exponents[atom]
        result: Polynomial = self._contracted(exponents)
        for atom, exponent in outside:
            for _ in range(exponent):
                result = self.times(result, self._bases[atom])
        return result

    def _contracted(self, exponents: dict[Expr, Fraction]) -> Polynomial:
        """``[i == e]`` says what ``i`` is in the other factors; brackets that exclude each other are 0."""
        for atom in exponents:
            if isinstance(atom, Op) and atom.name == "eq" and atom.args[0].type == "int":
                name, value = _solved(atom)
                others = [other for other in exponents if other is not atom and name in free_indices(other)]
                if name is not None and others:
                    kept = frozenset(pair for pair in exponents.items() if pair[0] not in others)
                    result: Polynomial = {kept: Fraction(1)}
                    for other in others:
                        renamed = self._renamed(other, exponents[other], {name: value})
                        result = self.times(result, renamed)
                    return result
        for atom in exponents:
            if isinstance(atom, Op) and atom.name == "eq" and atom.args[0].type == "real":
                solved = self._root_of(self(atom.args[0]), exponents)
                if solved is not None:
                    exponent = exponents.pop(solved[0])
                    rest: Polynomial = {frozenset(exponents.items()): Fraction(1)}
                    return self.times(rest, self.power(solved[1], exponent))
        return {frozenset(exponents.items()): Fraction(1)}

    def _root_of(self, zero: Polynomial, exponents: dict[Expr, Fraction]) -> tuple[Expr, Polynomial] | None:
        """A factor that a polynomial known to be 0 is linear in, and what it is equal to: of several one."""
        linear = [monomial for monomial in zero if len(monomial) == 1 and next(iter(monomial))[1] == 1]
        if not linear:
            return None
        monomial = max(linear, key=self._order_of)
        atom = next(iter(monomial))[0]
        others = {other: coefficient for other, coefficient in zero.items() if other != monomial}
        exponent = exponents.get(atom, Fraction(0))
        if exponent <= 0 or exponent.denominator != 1 or any(name is atom for other in others for name, _ in other):
            return None
        return atom, scaled(others, -1 / zero[monomial])

    def _renamed(self, atom: Expr, exponent: Fraction, names: dict[Expr, Expr]) -> Polynomial:
        if _is_bracket(atom):
            return self.bracket(substitute(atom, names))
        return self.power(self(substitute(self._factor(atom, Fraction(1)), names)), exponent)

    def power(self, base: Polynomial, exponent: Fraction) -> Polynomial:
        if exponent == 0:
            return constant(1)
        if not base:
            return {} if exponent > 0 else self._atom(Const(math.inf))
        whole = exponent.denominator == 1
        if whole and exponent > 0:
            if exponent > 12:
                raise TooLarge
            result = base
            for _ in range(int(exponent) - 1):
                result = self._limited(self.times(result, base))
            return result
        coefficient, common, rest = self._content(base, whole)
        result = self._number(coefficient, exponent)
        outside: dict[Expr, Fraction] = {atom: its * exponent for atom, its in common}
        result = self.times(result, {frozenset(outside.items()): Fraction(1)})
        if len(rest) == 1 and (ONE_MONOMIAL in rest):
            return result
        base_atom = self.expression(rest)
        if len(rest) == 1:
            ((monomial, _),) = rest.items()
            if len(monomial) == 1:
                ((atom, its),) = monomial
                if its == 1:
                    return self.times(result, {frozenset(((atom, exponent),)): Fraction(1)})
        self._bases[base_atom] = rest
        return self.times(result, {frozenset(((base_atom, exponent),)): Fraction(1)})

    def _number(self, value: Fraction, exponent: Fraction) -> Polynomial:
        if exponent.denominator == 1:
            return constant(value**exponent)
        if value == 1:
            return constant(1)
        base = Const(float(value))
        self._bases[base] = constant(value)
        return {frozenset(((base, exponent),)): Fraction(1)}

    def _content(self, polynomial: Polynomial, whole: bool) -> tuple[Fraction, Monomial, Polynomial]:
        """``coefficient*common*rest``; for a root only what is positive leaves it."""
        common: dict[Expr, Fraction] | None = None
        for monomial in polynomial:
            mine = dict(monomial)
            if common is None:
                common = mine
            else:
                for atom in (*common, *mine):
                    common[atom] = min(common.get(atom, Fraction(0)), mine.get(atom, Fraction(0)))
        chosen = {
            atom: exponent
            for atom, exponent in (common or {}).items()
            if exponent and not _is_bracket(atom) and (whole or self.is_positive_atom(atom))
        }
        inverse = frozenset((atom, -exponent) for atom, exponent in chosen.items())
        rest = self.times(polynomial, {inverse: Fraction(1)})
        leading = rest[min(rest, key=self._order_of)] if rest else Fraction(1)
        coefficient = leading if whole else abs(leading)
        return coefficient, frozenset(chosen.items()), scaled(rest, 1 / coefficient)

    def is_positive_atom(self, atom: Expr) -> bool:
        match atom:
            case Op(name="exp") | Size():
                return True
            case Const(value=value):
                return value > 0
            case Reduce(op="sum", body=body):
                return self._is_positive(self(body))
        return atom in self._bases and self._is_positive(self._bases[atom])

    def _is_positive(self, polynomial: Polynomial) -> bool:
        return all(
            coefficient > 0 and all(self.is_positive_atom(atom) for atom, _ in monomial)
            for monomial, coefficient in polynomial.items()
        )

    # -- back to expressions, in one order --------------------------------------------------------------------------

    def expression(self, polynomial: Polynomial, whole: bool = False) -> Expr:
        """The polynomial as an expression; ``whole`` as one of integers."""
        if whole:
            return integer(self._integer(polynomial))
        terms = [self._term(monomial, polynomial[monomial]) for monomial in sorted(polynomial, key=self._order_of)]
        return op("add", *terms) if terms else Const(0.0)

    def _integer(self, polynomial: Polynomial) -> Expr:
        terms: list[Expr] = []
        for monomial in sorted(polynomial, key=self._order_of):
            coefficient = polynomial[monomial]
            if coefficient.denominator != 1 or any(its.denominator != 1 or its < 1 for _, its in monomial):
                raise TooLarge
            factors = [atom for atom, its in sorted(monomial, key=self._place) for _ in range(int(its))]
            if any(factor.type != "int" for factor in factors):
                raise TooLarge
            terms.append(op("mul", Const(int(coefficient)), *factors) if factors else Const(int(coefficient)))
        return op("add", *terms) if terms else Const(0)

    def _term(self, monomial: Monomial, coefficient: Fraction) -> Expr:
        if not monomial:
            return Const(float(coefficient))
        product = self._product(monomial)
        return product if coefficient == 1 else op("mul", Const(float(coefficient)), product)

    def _product(self, monomial: Monomial) -> Expr:
        factors = [self._factor(*pair) for pair in sorted(monomial, key=self._place)]
        return op("mul", *factors) if factors else _ONE

    def _factor(self, atom: Expr, exponent: Fraction) -> Expr:
        if _is_bracket(atom):
            return Select(atom, _ONE, Const(0.0))
        if isinstance(atom, Op) and atom.name == "exp" and exponent != 1:
            return op("exp", op("mul", Const(float(exponent)), atom.args[0]))
        base = op("real", atom) if atom.type == "int" else atom
        return base if exponent == 1 else Op("pow", (base, Const(float(exponent))))

    def _place(self, pair: tuple[Expr, Fraction]) -> tuple[Text, Fraction]:
        return self._text(pair[0]), pair[1]

    def _order_of(self, monomial: Monomial) -> tuple[tuple[Text, Fraction], ...]:
        return tuple(sorted(map(self._place, monomial)))


def _solved(equation: Op) -> tuple[Index | None, Expr]:
    """``i`` and what it is equal to: of two indices the later goes."""
    one, other = equation.args
    if isinstance(one, Index) and isinstance(other, Index):
        return (one, other) if one.id > other.id else (other, one)
    for name, value in ((one, other), (other, one)):
        if isinstance(name, Index) and name not in free_indices(value):
            return name, value
    return None, one
