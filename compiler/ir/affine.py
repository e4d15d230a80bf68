"""Integer expressions as polynomials.

A subscript or a size is a polynomial with integer coefficients over *atoms*: indices, sizes, and whatever arithmetic
does not expand (``floordiv``, ``mod``, ``max``, reads of integer tensors, ..).  The normal form decides equality of
what is affine, gives one spelling to sizes that were written in different ways, and is what deltas are solved in.
What can be proved of it is in ``bounds.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Any

from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, Size, Solve, free_indices, op, walk

_USUAL_SIZE = 64
Monomial = tuple[Expr, ...]  # a product of atoms in the order of ``order_key``; () is the constant


@lru_cache(maxsize=1 << 16)
def order_key(node: Expr) -> tuple[Any, ...]:
    """A total order of expressions that depends on nothing but their structure and the order of index creation."""
    match node:
        case Index():
            return (0, node.id)
        case Size():
            return (1, node.name)
        case Const():
            return (2, str(type(node.value)), float(node.value))
        case Read():
            return (3, node.tensor, *map(order_key, node.subscripts))
        case Op():
            return (4, node.name, len(node.args), *map(order_key, node.args))
        case Select():
            return (5, *map(order_key, node.children))
        case Reduce():
            return (6, node.op, *map(order_key, node.indices), order_key(node.body))
        case Solve():
            return (7, *map(order_key, node.indices), *map(order_key, node.children))
    raise TypeError(type(node).__name__)


@dataclass(frozen=True)
class Polynomial:
    """``terms`` are sorted, without zero coefficients; equality is equality of polynomials."""

    terms: tuple[tuple[Monomial, int], ...]

    @staticmethod
    def of(terms: Iterable[tuple[Monomial, int]]) -> Polynomial:
        total: dict[Monomial, int] = {}
        for monomial, factor in terms:
            total[monomial] = total.get(monomial, 0) + factor
        kept = [(monomial, factor) for monomial, factor in total.items() if factor]
        # longer products after shorter ones, the constant last
        kept.sort(key=lambda term: (not term[0], [order_key(atom) for atom in term[0]]))
        return Polynomial(tuple(kept))

    @staticmethod
    def constant(value: int) -> Polynomial:
        return Polynomial((((), value),) if value else ())

    def __add__(self, other: Polynomial | int) -> Polynomial:
        other = Polynomial.constant(other) if isinstance(other, int) else other
        return Polynomial.of((*self.terms, *other.terms))

    def __neg__(self) -> Polynomial:
        return Polynomial(tuple((monomial, -factor) for monomial, factor in self.terms))

    def __sub__(self, other: Polynomial | int) -> Polynomial:
        return self + (-other)

    def __mul__(self, other: Polynomial | int) -> Polynomial:
        if isinstance(other, int):
            return Polynomial.of((monomial, factor * other) for monomial, factor in self.terms)
        return Polynomial.of(
            (tuple(sorted(m + n, key=order_key)), a * b) for m, a in self.terms for n, b in other.terms
        )

    @property
    def value(self) -> int | None:
        """The number that this polynomial is, if it is one."""
        if not self.terms:
            return 0
        monomial, factor = self.terms[0]
        return factor if len(self.terms) == 1 and not monomial else None

    @property
    def offset(self) -> int:
        """The constant term."""
        return next((factor for monomial, factor in self.terms if not monomial), 0)

    @property
    def atoms(self) -> tuple[Expr, ...]:
        return tuple(dict.fromkeys(atom for monomial, _ in self.terms for atom in monomial))

    @property
    def content(self) -> int:
        """The greatest common divisor of the coefficients (0 for the zero polynomial)."""
        return gcd(*(factor for _, factor in self.terms)) if self.terms else 0

    def split(self, index: Index) -> tuple[Polynomial, Polynomial] | None:
        """``(c, rest)`` with self = c*index + rest and neither containing the index; None if it is not linear in it."""
        inside: list[tuple[Monomial, int]] = []
        outside: list[tuple[Monomial, int]] = []
        for monomial, factor in self.terms:
            if any(atom is not index and index in free_indices(atom) for atom in monomial):
                return None
            power = monomial.count(index)
            if power > 1:
                return None
            if power:
                inside.append((tuple(atom for atom in monomial if atom is not index), factor))
            else:
                outside.append((monomial, factor))
        return Polynomial.of(inside), Polynomial.of(outside)

    def divide(self, divisor: Polynomial) -> tuple[Polynomial, Polynomial]:
        """``(q, r)`` with self = q*divisor + r, where q takes every term that a one-term divisor divides."""
        if len(divisor.terms) != 1:
            return Polynomial(()), self
        ((base, factor),) = divisor.terms
        quotient: list[tuple[Monomial, int]] = []
        rest: list[tuple[Monomial, int]] = []
        for monomial, coefficient in self.terms:
            left = list(monomial)
            try:
                for atom in base:
                    left.remove(atom)
            except ValueError:
                rest.append((monomial, coefficient))
                continue
            whole, remainder = divmod(coefficient, factor)
            quotient.append((tuple(left), whole))
            rest.append((monomial, remainder))
        return Polynomial.of(quotient), Polynomial.of(rest)

    def expression(self) -> Expr:
        """The normal form as an expression: terms in order, the constant last."""
        terms = [_term(monomial, factor) for monomial, factor in self.terms]
        return op("add", *terms) if terms else Const(0)


def _term(monomial: Monomial, factor: int) -> Expr:
    if not monomial:
        return Const(factor)
    product = op("mul", *monomial)
    if factor == 1:
        return product
    if factor == -1:
        return op("neg", product)
    return op("mul", Const(factor), product)


@lru_cache(maxsize=1 << 16)
def polynomial(node: Expr) -> Polynomial:
    """The normal form of an integer expression.  Integer sub-expressions inside atoms are normalised too."""
    if node.type != "int":
        raise TypeError(f"not an integer expression: {node!r}")
    match node:
        case Const(value=value):
            return Polynomial.constant(int(value))
        case Op(name="add", args=args):
            return _recombined(Polynomial.of(term for arg in args for term in polynomial(arg).terms))
        case Op(name="neg", args=(arg,)):
            return -polynomial(arg)
        case Op(name="mul", args=args):
            result = Polynomial.constant(1)
            for arg in args:
                result = result * polynomial(arg)
            return result
        case Op(name="floordiv" | "mod", args=(left, right)):
            return _quotient(node.name, polynomial(left), polynomial(right))
        case Op(name="max" | "min", args=(left, right)):
            return _extreme(node.name, polynomial(left), polynomial(right))
        case Op(args=args):
            return _atom(op(node.name, *(integer(arg) if arg.type == "int" else arg for arg in args)))
        case Read(tensor=tensor, subscripts=subscripts):
            return _atom(Read(tensor, tuple(integer(s) for s in subscripts), "int"))
    return _atom(node)


def _atom(node: Expr) -> Polynomial:
    return Polynomial((((node,), 1),))


def _quotient(name: str, left: Polynomial, right: Polynomial) -> Polynomial:
    """floor(left/right) or left mod right, for a divisor that is positive; the divisible part leaves the atom."""
    divisor = right.value
    if divisor is not None and divisor <= 0:
        return _atom(op(name, left.expression(), right.expression()))
    whole, rest = left.divide(right)
    if divisor is not None:
        value = rest.value
        if value is not None:
            return whole + value // divisor if name == "floordiv" else Polynomial.constant(value % divisor)
    from dlc.compiler.ir.bounds import nonnegative  # bounds are built on polynomials; this is the one use here

    if nonnegative(rest) and nonnegative(right - rest - 1):
        return whole if name == "floordiv" else rest
    if name == "mod" and not right.terms:
        return _atom(op(name, left.expression(), right.expression()))
    if name == "mod" and divisor is not None:
        coarser = _finer_remainder(rest, divisor)
        if coarser is not None:
            return coarser
    atom = _atom(op(name, rest.expression(), right.expression()))
    return whole + atom if name == "floordiv" else atom


def _finer_remainder(value: Polynomial, divisor: int) -> Polynomial | None:
    """(a mod 4 + b) mod 2 = (a + b) mod 2"""
    for monomial, factor in value.terms:
        atom = monomial[0] if len(monomial) == 1 else None
        if isinstance(atom, Op) and atom.name == "mod":
            over, under = map(polynomial, atom.args)
            if under.value is not None and under.value > 0 and under.value % divisor == 0:
                rest = value + Polynomial(((monomial, -factor),)) + over * factor
                return _quotient("mod", rest, Polynomial.constant(divisor))
    return None


def _recombined(total: Polynomial) -> Polynomial:
    """m*(a // m) + a mod m = a"""
    for monomial, factor in total.terms:
        for place, atom in enumerate(monomial):
            if not (isinstance(atom, Op) and atom.name == "mod"):
                continue
            over, under = map(polynomial, atom.args)
            others = Polynomial(((monomial[:place] + monomial[place + 1 :], factor),))
            quotients = others * under * _atom(op("floordiv", *atom.args))
            if quotients.terms and set(quotients.terms) <= set(total.terms):
                return _recombined(total - quotients - Polynomial(((monomial, factor),)) + others * over)
    return total


def _extreme(name: str, left: Polynomial, right: Polynomial) -> Polynomial:
    from dlc.compiler.ir.bounds import nonnegative

    if nonnegative(left - right):
        return left if name == "max" else right
    if nonnegative(right - left):
        return right if name == "max" else left
    first, second = sorted((left, right), key=lambda p: [[order_key(a) for a in m] for m, _ in p.terms])
    return _atom(op(name, first.expression(), second.expression()))


def integer(node: Expr) -> Expr:
    """The integer expression in normal form: equal polynomials give the same object."""
    return polynomial(node).expression()


def equal(left: Expr, right: Expr) -> bool:
    """Whether two integer expressions are the same polynomial (they may be equal without it)."""
    return left is right or polynomial(left) == polynomial(right)


def known(node: Expr) -> int | None:
    """The value of an integer expression that is a number."""
    return polynomial(node).value


def guessed(node: Expr) -> int:
    """The value of an integer expression that is a number, else that of a usual size: for weighing only."""
    value = known(node)
    return _USUAL_SIZE if value is None else value


def size_symbols(node: Expr) -> tuple[str, ...]:
    """Names of the sizes that the expression and the ranges of its indices depend on."""
    names: dict[str, None] = {}
    for part in walk(node):
        if isinstance(part, Size):
            names[part.name] = None
        elif isinstance(part, Index):
            names.update(dict.fromkeys(size_symbols(part.size)))
    return tuple(names)


def shrinks(size: Expr, names: Collection[str]) -> bool:
    """Whether a size is less where one of those named is greater: ``(|H| - |P|) // 2 + 1``."""
    for monomial, factor in polynomial(size).terms:
        for atom in monomial:
            if factor < 0 and not set(size_symbols(atom)).isdisjoint(names):
                return True
            if factor > 0 and isinstance(atom, Op) and atom.name == "floordiv" and shrinks(atom.args[0], names):
                return True
    return False


def step_of(subscript: Expr, index: Index) -> tuple[int, Polynomial] | None:
    """``(a, b)`` for a subscript ``a*index + b`` where ``a`` is a number other than 0."""
    parts = polynomial(subscript).split(index)
    factor = parts[0].value if parts is not None else None
    return (factor, parts[1]) if parts is not None and factor else None
