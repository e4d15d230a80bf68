"""Solve Iverson deltas: ``sum[i] [a == i + 3]*x[i]`` is ``[3 <= a]*x[a-3]``, and no longer a sum.

Adjoints are written with a delta for each subscript of each read, and users write them too.  In a sum guarded by an
equation that is linear in one of its indices, that index is solved for and substituted; what the solution must fulfil
to lie in the index's range, and to be whole, becomes a guard where it is not provable.

Which index goes, if there is a choice: first one that takes others with it (``a == g*|C| + c`` gives ``g = a // |C|``
and ``c = a mod |C|``), then the one with the greatest range, so that the gradient of a convolution keeps its sum over
the small kernel, then one with coefficient 1 or -1.  Equations that hold data (``j == z[b]``) come last: solved for a
bound index they are gathers.  An equation without a bound index that could be solved for stays: a scatter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import Polynomial, known, polynomial
from dlc.compiler.ir.bounds import facts_of, nonnegative, positive
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_of, guarded, is_comparison
from dlc.compiler.ir.expr import (
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    free_indices,
    identity_of,
    op,
    reads,
    substitute,
    transform,
    walk,
)
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.simplifier import Simplifier
from dlc.compiler.ir.sums import RULES

NAME = "deltas"

_LARGE = 1 << 40  # counts for a range that is not known when compiling


def run(graph: Graph) -> Graph:
    solver = _Solver(_bounds_of_data(graph))
    return graph.with_tensors(
        replace(tensor, equations=tuple(replace(e, value=transform(e.value, solver.solved)) for e in tensor.equations))
        for tensor in graph.tensors.values()
    )


def _bounds_of_data(graph: Graph) -> dict[str, Expr]:
    """For integer tensors: elements are at least 0 and less than this."""
    bounds: dict[str, Expr] = {}
    for tensor in graph.tensors.values():
        if tensor.bound is not None:
            bounds[tensor.id] = tensor.bound
        elif len(tensor.equations) == 1 and isinstance(tensor.equations[0].value, Reduce):
            value = tensor.equations[0].value
            if value.op in ("argmax", "argmin"):
                bounds[tensor.id] = op("mul", Const(1), *(index.size for index in value.indices))
    return bounds


@dataclass(frozen=True)
class _Solution:
    """``index = value`` wherever ``remainder`` (an equation, or true) holds and the value is in range."""

    cond: Expr  # the equation that was solved
    index: Index
    value: Expr
    remainder: Expr
    rank: tuple[int, ...]  # the least is the best


class _Solver:
    def __init__(self, bounds: dict[str, Expr]) -> None:
        self.bounds = bounds
        self.simplified = Simplifier(RULES)

    def solved(self, node: Expr) -> Expr | None:
        """The reduction without the deltas that can be solved; None if there are none."""
        if not isinstance(node, Reduce) or node.op not in ("sum", "prod", "max", "min"):
            return None
        identity = identity_of(node.op, node.type)
        cond, body = guard_of(node.body, identity)
        best = min(self._solutions(node, cond), key=lambda solution: solution.rank, default=None)
        if best is None:
            return self._split(node, cond, body)
        rest = tuple(index for index in node.indices if index is not best.index)
        guards = (best.remainder, *self._range(best, cond))
        others = (part for part in conjuncts(cond) if part is not best.cond)
        inner = guarded(conjunction(others), body, identity)
        inner = guarded(conjunction(guards), substitute(inner, {best.index: best.value}), identity)
        result = self.simplified(Reduce(node.op, rest, inner) if rest else inner)
        return transform(result, self.solved)

    def _split(self, node: Reduce, cond: Expr, body: Expr) -> Expr | None:
        """A sum of terms, some with deltas of their own."""
        if node.op != "sum" or not (isinstance(body, Op) and body.name == "add"):
            return None
        sums = [Reduce("sum", node.indices, guarded(cond, term)) for term in body.args]
        if not any(any(True for _ in self._solutions(part, guard_of(part.body)[0])) for part in sums):
            return None
        return transform(self.simplified(op("add", *sums)), self.solved)

    def _solutions(self, node: Reduce, cond: Expr) -> Iterator[_Solution]:
        for part in conjuncts(cond):
            if not (is_comparison(part) and isinstance(part, Op) and part.name == "eq"):
                continue
            difference = polynomial(part.args[0]) - polynomial(part.args[1])
            for position, index in enumerate(node.indices):
                solution = _solve(part, difference, index, node.indices, position)
                if solution is not None:
                    yield solution

    def _range(self, solution: _Solution, cond: Expr) -> Iterator[Expr]:
        """What is not provable of ``0 <= value < size``."""
        value = polynomial(solution.value)
        free = set(free_indices(cond)) - {solution.index}
        facts = [fact for part in conjuncts(cond) if set(free_indices(part)) <= free for fact in facts_of(part)]
        facts.extend(self._facts_of_data(solution.value))
        if not nonnegative(value, facts):
            yield op("le", Const(0), solution.value)
        if not nonnegative(polynomial(solution.index.size) - value - 1, facts):
            yield op("lt", solution.value, solution.index.size)

    def _facts_of_data(self, value: Expr) -> Iterator[Polynomial]:
        for node in walk(value):
            if isinstance(node, Read) and node.tensor in self.bounds:
                yield polynomial(node)
                yield polynomial(self.bounds[node.tensor]) - polynomial(node) - 1


def _solve(cond: Expr, difference: Polynomial, index: Index, bound: Sequence[Index], position: int) -> _Solution | None:
    """Solve ``difference = 0`` for the index, whose factor must be a number or a size."""
    parts = difference.split(index)
    if parts is None:
        return None
    factor, rest = parts
    if not factor.terms or any(free_indices(atom) or reads(atom) for atom in factor.atoms):
        return None
    facts = [polynomial(other.size) - 1 for other in free_indices(cond)]  # where there is a value, there is a range
    if positive(-factor, facts):
        factor, rest = -factor, -rest
    elif not positive(factor, facts):
        return None
    # factor*index = -rest = target - digit, and the digit may be a remainder of the division by factor
    digit = Polynomial(tuple(term for term in rest.terms if any(_mentions(atom, bound) for atom in term[0])))
    takes_others = bool(digit.terms) and nonnegative(digit, facts) and positive(factor - digit, facts)
    target = -(rest - digit) if takes_others else -rest
    size = known(index.size)
    rank = (
        bool(reads(cond)),
        not takes_others,
        -(_LARGE if size is None else size),
        factor.value != 1,
        position,
    )
    if factor.value == 1:
        return _Solution(cond, index, target.expression(), Const(True), tuple(map(int, rank)))
    over, under = target.expression(), factor.expression()
    remainder = op("eq", digit.expression() if takes_others else Const(0), op("mod", over, under))
    return _Solution(cond, index, op("floordiv", over, under), remainder, tuple(map(int, rank)))


def _mentions(atom: Expr, indices: Sequence[Index]) -> bool:
    return not set(free_indices(atom)).isdisjoint(indices)
