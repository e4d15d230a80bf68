"""The operations of a kernel as a polynomial in the sizes, where they are one.

A loop multiplies what stands in it by its trip count; where that depends on an outer index, as in a triangle, the sum
over the index is written out.  Bounds that are the greater or the lesser of two numbers have no formula.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import gcd

from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.costs import operations
from dlc.compiler.ir.expr import ZERO, Expr, Index, Op, Size, free_indices, op, walk
from dlc.compiler.ir.loops import (
    SHARDS,
    START,
    STOP,
    For,
    If,
    Kernel,
    Let,
    Matmul,
    Statement,
    Store,
    System,
    Update,
    Var,
    expressions,
)
from dlc.compiler.ir.printer import expression_text
from dlc.compiler.ir.rewriting import substitute


class _NoFormulaError(Exception):
    pass


@dataclass(frozen=True)
class _Amount:
    """``over / under``: sums over an index have halves."""

    over: Polynomial
    under: int = 1

    def __add__(self, other: _Amount) -> _Amount:
        return _Amount(self.over * other.under + other.over * self.under, self.under * other.under).reduced()

    def __mul__(self, other: Polynomial) -> _Amount:
        return _Amount(self.over * other, self.under).reduced()

    def reduced(self) -> _Amount:
        common = gcd(self.over.content, self.under) or 1
        terms = tuple((monomial, factor // common) for monomial, factor in self.over.terms)
        return _Amount(Polynomial(terms), self.under // common)

    def summed(self, index: Index, start: Polynomial, count: Polynomial) -> _Amount:
        """Over ``count`` values of the index from ``start`` on."""
        parts = self.over.split(index)
        if parts is None:
            raise _NoFormulaError
        slope, rest = parts
        if not slope.terms:
            return self * count
        whole = rest * count + slope * start * count
        return _Amount(whole * 2 + slope * count * (count - 1), self.under * 2).reduced()


_NOTHING = _Amount(Polynomial(()))


def formula(kernel: Kernel, rounds: Iterable[tuple[Index, Expr]]) -> str:
    """The operations of all shards, as text; '' where they are no polynomial.  ``rounds`` are the repetitions around
    the kernel, the outermost first.
    """
    try:
        total = _Formula(kernel).of(kernel.body, kernel.split is None)
        for index, stop in reversed(tuple(rounds)):
            total = total.summed(index, Polynomial(()), _plain(polynomial(stop)))
    except _NoFormulaError:
        return ""
    if any(not isinstance(atom, Size) for atom in total.over.atoms):
        return ""
    text = expression_text(total.over.expression(), {}).replace(f"|{SHARDS.name}|", "shards")
    if total.under == 1:
        return text
    return f"({text})/{total.under}" if len(total.over.terms) > 1 else f"{text}/{total.under}"


def _plain(found: Polynomial) -> Polynomial:
    """A trip count of sizes and indices alone."""
    if all(isinstance(atom, Size | Index) for atom in found.atoms):
        return found
    raise _NoFormulaError


class _Formula:
    def __init__(self, kernel: Kernel) -> None:
        self._part: Mapping[Expr, Expr] = {START: ZERO, STOP: kernel.split if kernel.split is not None else ZERO}

    def of(self, body: Iterable[Statement], is_divided: bool) -> _Amount:
        total = _NOTHING
        for statement in body:
            total = total + self._statement(statement, is_divided)
        return total

    def _statement(self, statement: Statement, is_divided: bool) -> _Amount:
        match statement:
            case For():
                return self._loop(statement, is_divided)
            case If(cond=cond, body=inner):
                once = self.of(inner, is_divided)
                if once.over.terms and free_indices(cond):
                    raise _NoFormulaError
                return once
            case Let(value=value) | Var(value=value) | Update(value=value) | Store(value=value):
                return self._times(Polynomial.constant(operations(value)), is_divided)
            case Matmul(m=m, n=n, k=k):
                divided = is_divided or self._is_part(statement)
                if statement.tiles is not None:
                    return self._times(self._extent(statement.tiles.operations), divided)
                whole = self._times(self._extent(m) * self._extent(n) * self._extent(k) * 2, divided)
                support = statement.support
                if support is not None:
                    return _Amount(whole.over * support.needed, whole.under * support.places * support.taps).reduced()
                return whole
            case System(n=n, count=count):
                size, sides = self._extent(n), self._extent(count)
                cubes = _Amount(size * size * size * 2, 3) + _Amount(size * size * sides * 2)
                return cubes if is_divided else cubes * polynomial(SHARDS)
        raise _NoFormulaError

    def _loop(self, loop: For, is_divided: bool) -> _Amount:
        divided = is_divided or self._is_part(loop)
        block = _block(loop)
        if block is not None:
            inner, numbers = block
            return self.of(inner.body, divided) * self._extent(numbers)
        once = self.of(loop.body, divided)
        if not once.over.terms:  # copies, whatever their bounds
            return once
        start = self._extent(loop.start)
        return once.summed(loop.index, start, self._extent(loop.stop) - start)

    def _times(self, amount: Polynomial, is_divided: bool) -> _Amount:
        return _Amount(amount if is_divided else amount * polynomial(SHARDS))

    def _extent(self, size: Expr) -> Polynomial:
        return _plain(polynomial(substitute(size, self._part)))

    def _is_part(self, statement: Statement) -> bool:
        return any(node is START or node is STOP for node in walk(*expressions(statement)))


def _block(loop: For) -> tuple[For, Expr] | None:
    """Of a loop over blocks, the loop over the numbers of a block, and how many numbers there are in all."""
    if not (isinstance(loop.stop, Op) and loop.stop.name == "floordiv"):
        return None
    inner = [one for one in loop.body if isinstance(one, For)]
    others = sum(operations(value) for one in loop.body if not isinstance(one, For) for value in expressions(one))
    if len(inner) != 1 or others > len(loop.body):  # what is done once a block is little
        return None
    (rows,) = inner
    if not (isinstance(rows.stop, Op) and rows.stop.name == "min" and loop.index in free_indices(rows.start)):
        return None
    first = substitute(rows.start, {loop.index: ZERO})
    return rows, op("add", rows.stop.args[0], op("neg", first))
