"""Polynomials with rational coefficients and exponents: ``{monomial: coefficient}``, none of them 0."""

from __future__ import annotations

from fractions import Fraction

from dlc.compiler.ir.expr import Expr

Monomial = frozenset[tuple[Expr, Fraction]]
Polynomial = dict[Monomial, Fraction]

ONE_MONOMIAL: Monomial = frozenset()


class TooLarge(Exception):  # noqa: N818  # no mistake of anybody's
    """The polynomials grow beyond what a proof is worth."""


def constant(value: float | int | Fraction) -> Polynomial:
    return {ONE_MONOMIAL: Fraction(value)} if value else {}


def plus(*polynomials: Polynomial) -> Polynomial:
    result: Polynomial = {}
    for polynomial in polynomials:
        for monomial, coefficient in polynomial.items():
            total = result.get(monomial, Fraction(0)) + coefficient
            if total:
                result[monomial] = total
            else:
                result.pop(monomial, None)
    return result


def scaled(polynomial: Polynomial, factor: Fraction | int) -> Polynomial:
    return {monomial: coefficient * factor for monomial, coefficient in polynomial.items()} if factor else {}


def difference(left: Polynomial, right: Polynomial) -> Polynomial:
    return plus(left, scaled(right, -1))
