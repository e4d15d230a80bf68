"""A normal form of real expressions, in which two that school algebra makes equal are the same.

An expression becomes a polynomial with rational coefficients over *atoms*::

    polynomial ::= {monomial: coefficient}          monomial ::= {(atom, exponent), ..}, exponents rational
    atom       ::= tensor element, size, index | exp(monomial) | f(polynomial) | polynomial with a divisor's exponent
                 | Iverson bracket, 1 or 0 | sum over indices of a monomial | another reduction of a polynomial

Hyperbolic and logistic functions are written in exponentials, maxima and absolute values in brackets; a sum is taken
apart into sums of monomials, from each of which goes what does not depend on its indices, and its bound indices are
numbered in one of all orders.  What is equal over the real numbers wherever both sides are defined counts as equal:
nan and infinity play no part here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations

from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, Size, free_indices, op, refresh, walk
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.verification.arithmetic import Arithmetic
from dlc.compiler.verification.ordering import Text
from dlc.compiler.verification.polynomials import (
    ONE_MONOMIAL,
    Monomial,
    Polynomial,
    TooLarge,
    constant,
    difference,
    plus,
    scaled,
)
from dlc.compiler.verification.rewriting import REWRITTEN

_MOST_PERMUTED = 3  # indices of one sum that are tried in all orders
_BOUND = -1000  # ids of bound indices: one thousand a level of nesting
_ONE = Const(1.0)


class Normaliser(Arithmetic):
    """Keeps what was normalised, and counts the steps."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[Expr, Polynomial] = {}

    def __call__(self, node: Expr) -> Polynomial:
        if node not in self._known:
            self.count(1)
            self._known[node] = self._limited(self._of(node))
        return self._known[node]

    def are_equal(self, left: Expr, right: Expr) -> bool:
        """Whether the difference is 0 once every divisor is multiplied away."""
        rest = difference(self(left), self(right))
        for _ in range(8):
            least = self._divisors(rest)
            if not least:
                break
            for base, exponent in least.items():
                rest = self.times(rest, {frozenset(((base, -exponent),)): Fraction(1)})
        return not rest

    def _divisors(self, polynomial: Polynomial) -> dict[Expr, Fraction]:
        least: dict[Expr, Fraction] = {}
        for monomial in polynomial:
            for atom, exponent in monomial:
                if atom in self._bases and exponent < 0:
                    least[atom] = min(least.get(atom, Fraction(0)), exponent)
        return least

    # -- expressions ------------------------------------------------------------------------------------------------

    def _of(self, node: Expr) -> Polynomial:
        match node:
            case Const(value=value):
                if isinstance(value, float) and not math.isfinite(value):
                    return self._atom(node)
                return constant(value)
            case Size() | Index():
                return self._atom(node)
            case Read(tensor=tensor, subscripts=subscripts, type=kind):
                made = Read(tensor, tuple(map(self._subscript, subscripts)), kind)
                return self._atom(made)
            case Select(cond=cond, yes=yes, no=no):
                bracket = self.bracket(cond)
                other = self(no)
                return plus(other, self.times(bracket, difference(self(yes), other)))
            case Reduce(op="sum", indices=indices, body=body):
                return self._sum(indices, self(body))
            case Reduce():
                return self._reduction(node)
            case Op(name=name, args=args):
                return self._operator(node, name, args)
        raise TooLarge

    def _subscript(self, node: Expr) -> Expr:
        return self.expression(self(node), whole=True) if _is_affine(node) else node

    def _operator(self, node: Op, name: str, args: tuple[Expr, ...]) -> Polynomial:
        if node.type == "bool":
            return self.bracket(node)
        match name:
            case "add":
                return plus(*map(self, args))
            case "neg":
                return scaled(self(args[0]), -1)
            case "mul":
                result = constant(1)
                for arg in args:
                    result = self._limited(self.times(result, self(arg)))
                return result
            case "real" | "stop":
                return self(args[0])
            case "div":
                return self.times(self(args[0]), self.power(self(args[1]), Fraction(-1)))
            case "pow" if isinstance(args[1], Const) and math.isfinite(args[1].value):
                return self.power(self(args[0]), Fraction(args[1].value))
            case "sqrt":
                return self.power(self(args[0]), Fraction(1, 2))
            case "exp":
                return self._exponential(self(args[0]))
            case "log":
                return self._logarithm(self(args[0]))
            case _ if name in REWRITTEN:
                return self(REWRITTEN[name](*args))
        return self._atom(Op(name, tuple(self.expression(self(arg), arg.type == "int") for arg in args)))

    # -- exponentials and logarithms --------------------------------------------------------------------------------

    def _exponential(self, argument: Polynomial) -> Polynomial:
        """e^(Σ c m) = Π (e^m)^c; the logarithm of an atom takes its exponential with it."""
        exponents: dict[Expr, Fraction] = {}
        for monomial, coefficient in argument.items():
            inner = next(iter(monomial))[0] if len(monomial) == 1 and next(iter(monomial))[1] == 1 else None
            if isinstance(inner, Op) and inner.name == "log":
                powered = self.power(self(inner.args[0]), coefficient)
                rest = {other: its for other, its in argument.items() if other != monomial}
                return self.times(powered, self._exponential(rest))
            atom = op("exp", self._product(monomial))
            exponents[atom] = exponents.get(atom, Fraction(0)) + coefficient
        return {frozenset(exponents.items()): Fraction(1)}

    def _logarithm(self, argument: Polynomial) -> Polynomial:
        """Of a product, the sum of those of its positive factors and of what is left."""
        if not argument:
            return self._atom(op("log", Const(0.0)))
        coefficient, common, rest = self._content(argument, False)
        result: Polynomial = {} if coefficient == 1 else self._atom(op("log", Const(float(coefficient))))
        for atom, exponent in common:
            if isinstance(atom, Op) and atom.name == "exp":
                result = plus(result, scaled(self(atom.args[0]), exponent))
            else:
                result = plus(result, scaled(self._atom(op("log", self._factor(atom, Fraction(1)))), exponent))
        if rest != constant(1):
            result = plus(result, self._atom(op("log", self.expression(rest))))
        return result

    # -- brackets ---------------------------------------------------------------------------------------------------

    def bracket(self, condition: Expr) -> Polynomial:
        """1 where the condition holds, else 0."""
        match condition:
            case Const(value=value):
                return constant(int(bool(value)))
            case Op(name="and", args=args):
                result = constant(1)
                for arg in args:
                    result = self.times(result, self.bracket(arg))
                return result
            case Op(name="or", args=args):
                result = constant(1)
                for arg in args:
                    result = self.times(result, difference(constant(1), self.bracket(arg)))
                return difference(constant(1), result)
            case Op(name="not", args=(arg,)):
                return difference(constant(1), self.bracket(arg))
            case Op(name="lt", args=(left, right)):
                return self._less(left, right)
            case Op(name="le", args=(left, right)):
                return difference(constant(1), self._less(right, left))
            case Op(name="ne", args=args):
                return difference(constant(1), self.bracket(op("eq", *args)))
            case Op(name="eq", args=(left, right)):
                return self._equal(left, right)
            case Select(cond=cond, yes=yes, no=no):
                chosen, other = self.bracket(cond), self.bracket(no)
                return plus(other, self.times(chosen, difference(self.bracket(yes), other)))
            case Reduce(op=name, indices=indices, body=body):
                inner = Select(body, _ONE, Const(0.0))
                made = self._reduction(Reduce("max" if name == "any" else "min", indices, inner))
                return made
        return self._atom(condition)

    def _less(self, left: Expr, right: Expr) -> Polynomial:
        distance = difference(self(right), self(left))
        if not distance:
            return {}
        if set(distance) == {ONE_MONOMIAL}:
            return constant(int(distance[ONE_MONOMIAL] > 0))
        leading = distance[min(distance, key=self._order_of)]
        positive = self.expression(scaled(distance, 1 / leading))
        less = self._atom(op("lt", Const(0.0), positive))
        if leading > 0:
            return less
        if left.type != "real":
            return self._atom(op("lt", Const(0.0), self.expression(scaled(distance, -1 / leading))))
        return difference(constant(1), plus(less, self._atom(op("eq", positive, Const(0.0)))))

    def _equal(self, left: Expr, right: Expr) -> Polynomial:
        if left.type == "bool":
            one, other = self.bracket(left), self.bracket(right)
            both = self.times(one, other)
            return plus(constant(1), scaled(one, -1), scaled(other, -1), scaled(both, 2))
        if left.type == "real":
            less, more = self._less(left, right), self._less(right, left)
            return difference(constant(1), plus(less, more))
        distance = difference(self(right), self(left))
        if not distance:
            return constant(1)
        one, other = (self.expression(self(side), whole=True) for side in (left, right))
        first, second = sorted((one, other), key=self._text)
        return self._atom(op("eq", first, second))

    # -- reductions -------------------------------------------------------------------------------------------------

    def _reduction(self, node: Reduce) -> Polynomial:
        whole = node.body.type == "int"
        body = self.expression(self(node.body), whole)
        names = self._names(node.indices, body)
        body = self.expression(self(substitute(body, names)), whole)
        made = tuple(name for name in names.values() if isinstance(name, Index))
        return self._atom(Reduce(node.op, made, body))

    def _names(self, indices: Sequence[Index], body: Expr) -> dict[Expr, Expr]:
        """Numbers for bound indices, above those of all that are bound inside."""
        ids = [index.id for part in walk(body) if isinstance(part, Reduce) for index in part.indices]
        level = 1 + max((number // _BOUND for number in ids), default=0)
        return {index: Index(level * _BOUND - number, index.size, "") for number, index in enumerate(indices)}

    def _sum(self, indices: tuple[Index, ...], body: Polynomial) -> Polynomial:
        return plus(*(scaled(self._sum_of(indices, monomial), its) for monomial, its in body.items()))

    def _sum_of(self, indices: tuple[Index, ...], monomial: Monomial) -> Polynomial:
        """The sum of one monomial: factors that do not depend on the indices stand before it."""
        flat, indices = self._flattened(monomial, indices)
        for atom, _ in flat:
            taken = _taken(atom, indices)
            if taken is not None:
                return self._substituted(flat, indices, atom, *taken)
        outside = frozenset(pair for pair in flat if not set(free_indices(pair[0])) & set(indices))
        result: Polynomial = self._merged(outside, ONE_MONOMIAL)
        for group, atoms in _components(indices, [pair for pair in flat if pair not in outside]):
            result = self.times(result, self._one_sum(group, atoms))
        return result

    def _flattened(self, monomial: Monomial, indices: tuple[Index, ...]) -> tuple[Monomial, tuple[Index, ...]]:
        """Sums inside the sum become part of it, if they depend on its indices."""
        found: dict[Expr, Fraction] = {}
        for atom, exponent in monomial:
            inner_sum = atom if isinstance(atom, Reduce) and atom.op == "sum" and exponent == 1 else None
            if inner_sum is not None and set(free_indices(atom)) & set(indices):
                names: dict[Expr, Expr] = {index: refresh(index) for index in inner_sum.indices}
                inner = self(substitute(inner_sum.body, names))
                if len(inner) == 1:
                    ((terms, coefficient),) = inner.items()
                    merged = self._merged(frozenset(found.items()), terms)
                    if coefficient == 1 and len(merged) == 1 and next(iter(merged.values())) == 1:
                        found = dict(next(iter(merged)))
                        indices = (*indices, *(name for name in names.values() if isinstance(name, Index)))
                        continue
            found[atom] = found.get(atom, Fraction(0)) + exponent
        return frozenset(found.items()), indices

    def _substituted(
        self, monomial: Monomial, indices: tuple[Index, ...], atom: Expr, name: Index, value: Index
    ) -> Polynomial:
        """``Σ_j [i == j] f(j) = f(i)``, both over one set."""
        result: Polynomial = constant(1)
        for other, exponent in monomial:
            if other is not atom:
                result = self.times(result, self._renamed(other, exponent, {name: value}))
        rest = tuple(index for index in indices if index is not name)
        return self._sum(rest, result) if rest else result

    def _one_sum(self, indices: tuple[Index, ...], atoms: Sequence[tuple[Expr, Fraction]]) -> Polynomial:
        if not atoms:
            result = constant(1)
            for index in indices:
                result = self.times(result, self(index.size))
            return result
        body = self._product(frozenset(atoms))
        orders = permutations(indices) if len(indices) <= _MOST_PERMUTED else (indices,)
        best: tuple[Text, Expr, tuple[Index, ...]] | None = None
        for order in orders:
            names = self._names(order, body)
            made = self.expression(self(substitute(body, names)))
            bound = tuple(name for name in names.values() if isinstance(name, Index))
            candidate = (self._text(made), made, bound)
            best = candidate if best is None or candidate[0] < best[0] else best
        assert best is not None
        return self._atom(Reduce("sum", best[2], best[1]))


def _is_affine(node: Expr) -> bool:
    return all(
        isinstance(part, Index | Size | Const) or (isinstance(part, Op) and part.name in ("add", "mul", "neg"))
        for part in walk(node)
    )


def _taken(atom: Expr, indices: Sequence[Index]) -> tuple[Index, Index] | None:
    """A bound index that a bracket makes equal to another over the same set."""
    if isinstance(atom, Op) and atom.name == "eq":
        one, other = atom.args
        if isinstance(one, Index) and isinstance(other, Index) and one.size is other.size:
            if one in indices:
                return one, other
            if other in indices:
                return other, one
    return None


def _components(
    indices: tuple[Index, ...], atoms: Sequence[tuple[Expr, Fraction]]
) -> list[tuple[tuple[Index, ...], list[tuple[Expr, Fraction]]]]:
    """The indices in groups that no factor connects, each with its factors."""
    groups: list[tuple[set[Index], list[tuple[Expr, Fraction]]]] = [({index}, []) for index in indices]
    for pair in atoms:
        mine = set(free_indices(pair[0]))
        touched = [group for group in groups if group[0] & mine]
        names = {name for group in touched for name in group[0]}
        factors = [factor for group in touched for factor in group[1]]
        groups = [*(group for group in groups if group not in touched), (names, [*factors, pair])]
    return [(tuple(index for index in indices if index in names), found) for names, found in groups]
