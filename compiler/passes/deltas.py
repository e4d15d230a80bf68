"""Solve Iverson deltas: ``sum[i] [a == i + 3]*x[i]`` is ``[3 <= a]*x[a-3]``, and no longer a sum.

Adjoints are written with a delta for each subscript of each read, and users write them too.  In a sum guarded by an
equation that is linear in one of its indices, that index is solved for and substituted; what the solution must fulfil
to lie in the index's range, and to be whole, becomes a guard where it is not provable.

Which index goes, if there is a choice: first one that takes others with it (``a == g*|C| + c`` gives ``g = a // |C|``
and ``c = a mod |C|``), then the one with the greatest range, so that the gradient of a convolution keeps its sum over
the small kernel; of ranges that are about the same, or if it leaves less than half, the one with the greatest
coefficient, since so many times fewer values of the others are left; where it is read with samples, the number of which
is not known, also if it leaves no more, for otherwise weights are copied with a border as large as the image; then one
with coefficient 1 or -1. Of ranges that are not known, one that shrinks as another one grows counts as greatest, as the
places of a window do; then one that grows with the axis that is asked about, and one that an input's shape tells rather
than a parameter's: the rows of an image are many, those of a kernel few; then one that is proved to be no smaller than
the others. Of two that nothing else tells apart, that which moves in steps goes: what is left of the other one are the
elements between two steps. Equations that hold data (``j == z[b]``) come last: solved for a bound index they are
gathers. An equation without a bound index that could be solved for stays: a scatter. What is read at ``n`` beside the
sum's own indices, under ``n == z[b]``, is then read at ``z[b]``: so much is there for each b, not for each b and n. One
with an index of a small window, ``h == z[b] + i`` for ``i < 2``, stays too.

A quotient is undone first: ``h == v // 2`` is ``v == 2*h + r`` for one ``r < 2``, which is known where a remainder is
asked for too, and summed over otherwise; ``h == v mod |H|`` likewise.  A shift around a circle, ``h == (w + p) mod
|H|`` with ``w`` over the circle, has one solution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dlc.compiler.ir.affine import Polynomial, known, polynomial, shrinks, size_symbols
from dlc.compiler.ir.bounds import facts_of_all, implied, nonnegative, positive
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_inside, guard_of, guarded, is_comparison
from dlc.compiler.ir.expr import (
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    free_indices,
    fresh,
    identity_of,
    op,
    reads,
    walk,
)
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.products import factors_of, quotient
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.ir.simplifier import Simplifier
from dlc.compiler.ir.sums import rules_of

NAME = "deltas"

_LARGE = 1 << 40  # counts for a range that is not known when compiling
_SMALL = 8  # counts for one that the shapes of parameters alone tell


def run(graph: Graph) -> Graph:
    solver = _Solver(
        _bounds_of_data(graph), frozenset(_extremes(graph)), _sizes_of_inputs(graph), Simplifier(rules_of(graph))
    )
    return graph.with_tensors(
        replace(tensor, equations=tuple(replace(e, value=transform(e.value, solver.solved)) for e in tensor.equations))
        for tensor in graph.tensors.values()
    )


def _bounds_of_data(graph: Graph) -> dict[str, Expr]:
    """For integer tensors: elements are at least 0 and less than this."""
    bounds = {name: op("mul", Const(1), *(i.size for i in value.indices)) for name, value in _extremes(graph).items()}
    return bounds | {name: tensor.bound for name, tensor in graph.tensors.items() if tensor.bound is not None}


def _extremes(graph: Graph) -> dict[str, Reduce]:
    """The tensors of the places of extremes: each lies in its set, unless that is empty."""
    only = {name: tensor.equations[0].value for name, tensor in graph.tensors.items() if len(tensor.equations) == 1}
    return {
        name: value for name, value in only.items() if isinstance(value, Reduce) and value.op in ("argmax", "argmin")
    }


def _sizes_of_inputs(graph: Graph) -> frozenset[str]:
    """The sizes that inputs tell, be it together with parameters."""
    return frozenset(name for tensor in graph.of_kind("input") for size in tensor.sizes for name in size_symbols(size))


def _places(cond: Expr, bound: set[Index]) -> Iterator[tuple[Index, Expr]]:
    """Each index of a scattered sum's result that a condition sets, and to which data."""
    for index, place in (cond.args, cond.args[::-1]) if isinstance(cond, Op) and cond.name == "eq" else ():
        if isinstance(index, Index) and index not in bound and reads(place) and set(free_indices(place)) <= bound:
            yield index, place


@dataclass(frozen=True)
class _Solution:
    """``index = value`` wherever ``remainder`` (an equation, or true) holds and the value is in range."""

    cond: Expr  # the equation that was solved
    index: Index
    value: Expr
    remainder: Expr
    rank: tuple[int, ...]  # the least is the best


class _Weight(NamedTuple):
    """What an index is weighed by: its extent, the greatest of the others, its place among them, and whether it is read
    with samples.
    """

    extent: int
    rival: int
    position: int
    has_samples: bool


class _Solver:
    def __init__(
        self,
        bounds: dict[str, Expr],
        extremes: frozenset[str],
        sizes_of_inputs: frozenset[str],
        simplified: Simplifier,
    ) -> None:
        self.bounds = bounds
        self.extremes = extremes
        self.sizes_of_inputs = sizes_of_inputs
        self.simplified = simplified

    def solved(self, node: Expr) -> Expr | None:
        """The reduction without the deltas that can be solved; None if there are none."""
        if not isinstance(node, Reduce) or node.op not in ("sum", "prod", "max", "min"):
            return None
        identity = identity_of(node.op, node.type)
        cond, body = guard_of(node.body, identity)
        undone = self._without_quotient(node, cond, body)
        if undone is not None:
            return transform(self.simplified(undone), self.solved)
        best = min(self._solutions(node, cond), key=lambda solution: solution.rank, default=None)
        if best is None:
            return self._split(node, cond, body) or self._at_places(node, cond, body)
        rest = tuple(index for index in node.indices if index is not best.index)
        others = [part for part in conjuncts(cond) if part is not best.cond]
        known = implied(others, best.index) if reads(best.value) else ()
        guards = (*known, best.remainder, *self._range(best, cond))
        inner = guarded(conjunction(others), body, identity)
        inner = guarded(conjunction(guards), substitute(inner, {best.index: best.value}), identity)
        result = self.simplified(Reduce(node.op, rest, inner) if rest else inner)
        return transform(result, self.solved)

    def _at_places(self, node: Reduce, cond: Expr, body: Expr) -> Expr | None:
        """A scattered sum that reads at the place that data names what it would read at the index of its result."""
        factors, divisors = factors_of(body)
        bound = set(node.indices)
        for part in conjuncts(cond) if node.op == "sum" and node.type == "real" else ():
            for index, place in _places(part, bound):

                def there(factor: Expr, index: Index = index, place: Expr = place) -> Expr:
                    free = free_indices(factor)
                    return substitute(factor, {index: place}) if index in free and bound & set(free) else factor

                moved = quotient(map(there, factors), list(map(there, divisors)))
                if moved is not quotient(factors, divisors):
                    return self.solved(changed := Reduce("sum", node.indices, guarded(cond, moved))) or changed
        return None

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
            extents = {index: self._extent(index, part, node.indices) for index in node.indices}
            for position, index in enumerate(node.indices):
                if _is_narrow(part, index, node.indices):
                    continue
                rival = max((extents[i] for i in free_indices(part) if i in extents and i is not index), default=0)
                weight = _Weight(extents[index], rival, position, _is_read_with_samples(node, index))
                solution = _solve(part, difference, index, node.indices, weight)
                if solution is not None:
                    yield solution
                solution = _around_a_circle(part, index, weight)
                if solution is not None:
                    yield solution

    def _extent(self, index: Index, cond: Expr, bound: Sequence[Index]) -> int:
        """The size of the index, for weighing."""
        size = known(index.size)
        if size is not None:
            return size
        free = free_indices(cond)
        mine = set(size_symbols(index.size))
        others = {name for one in free if one in bound and one is not index for name in size_symbols(one.size)}
        asked = {name for one in free if one not in bound for name in size_symbols(one.size)}
        if shrinks(index.size, others):
            return _LARGE + 4
        rivals = [one for one in free if one in bound and one is not index and known(one.size) is None]
        is_greatest = all(nonnegative(polynomial(index.size) - polynomial(one.size)) for one in rivals)
        weight = _LARGE if mine & self.sizes_of_inputs else _SMALL
        return weight + 2 * bool(mine & asked) + (bool(rivals) and is_greatest)

    def _without_quotient(self, node: Reduce, cond: Expr, body: Expr) -> Reduce | None:
        """The sum with ``h == v // 2`` or ``h == v mod |H|`` written as a multiple and a remainder."""
        parts = conjuncts(cond)
        facts = [polynomial(index.size) - 1 for index in free_indices(cond)]  # where there is a value, there is a range
        for part in parts:
            for atom, value in _values_of(part, "floordiv"):
                over, under = map(polynomial, atom.args)
                if not _is_linear(over, node.indices) or not positive(under, facts):
                    continue
                remainders = ((p, r) for p in parts for r in _remainders(p, over, under))
                partner = next((one for one in remainders if not _mentions(one[1].expression(), node.indices)), None)
                digit = partner[1] if partner else polynomial(fresh(atom.args[1], "r"))
                return self._with_digits(node, cond, body, (part, partner and partner[0]), (over, under, value, digit))
        for part in parts:
            for atom, value in _values_of(part, "mod"):
                index, asked = atom.args[0], value.expression()
                if not isinstance(index, Index) or not isinstance(asked, Index):
                    continue
                if index not in node.indices or asked in node.indices:
                    continue
                size, under = polynomial(index.size), polynomial(atom.args[1])
                if nonnegative(under - size) or not positive(under, facts):
                    continue
                rounds = -polynomial(op("floordiv", (-size).expression(), atom.args[1]))
                turn = polynomial(fresh(rounds.expression(), "k"))
                return self._with_digits(node, cond, body, (part,), (polynomial(index), under, turn, value))
        return None

    def _with_digits(
        self,
        node: Reduce,
        cond: Expr,
        body: Expr,
        solved: Sequence[Expr | None],
        digits: tuple[Polynomial, Polynomial, Polynomial, Polynomial],
    ) -> Reduce:
        """``over = under*value + digit`` in the place of conditions that say the same."""
        over, under, value, digit = digits
        low, equation, high = (
            op("le", Const(0), digit.expression()),
            op("eq", over.expression(), (under * value + digit).expression()),
            op("lt", digit.expression(), under.expression()),
        )
        others = (part for part in conjuncts(cond) if not any(part is one for one in solved))
        made = [one.expression() for one in (value, digit)]
        indices = (*node.indices, *(i for i in made if isinstance(i, Index) and i not in free_indices(cond)))
        inner = guarded(conjunction((*others, low, high, equation)), body, identity_of(node.op, node.type))
        return Reduce(node.op, indices, inner)

    def _range(self, solution: _Solution, cond: Expr) -> Iterator[Expr]:
        """What is not provable of ``0 <= value < size``."""
        value = polynomial(solution.value)
        free = set(free_indices(cond)) - {solution.index}
        facts = facts_of_all([(part, True) for part in conjuncts(cond) if set(free_indices(part)) <= free])
        facts.extend(self._facts_of_data(solution.value))
        if not nonnegative(value, facts):
            yield op("le", Const(0), solution.value)
        if not nonnegative(polynomial(solution.index.size) - value - 1, facts):
            yield op("lt", solution.value, solution.index.size)
        elif any(isinstance(node, Read) and node.tensor in self.extremes for node in walk(solution.value)):
            size = polynomial(solution.index.size)
            if not positive(size, [polynomial(index.size) - 1 for index in free]):
                yield op("lt", Const(0), solution.index.size)  # of no elements none is the greatest

    def _facts_of_data(self, value: Expr) -> Iterator[Polynomial]:
        for node in walk(value):
            if isinstance(node, Read) and node.tensor in self.bounds:
                yield polynomial(node)
                yield polynomial(self.bounds[node.tensor]) - polynomial(node) - 1


def _solve(
    cond: Expr, difference: Polynomial, index: Index, bound: Sequence[Index], weight: _Weight
) -> _Solution | None:
    """Solve ``difference = 0`` for the index, whose factor is a number or a size."""
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
    extent, rival, position, has_samples = weight
    is_second = factor.value in (None, 1) if extent >= _LARGE else factor.value != 1
    step = factor.value or 1
    leaves_few = 3 * extent > 2 * rival or step * extent > 2 * rival
    if extent < _LARGE and step > 1 and (leaves_few or (has_samples and step * extent >= rival)):
        # of what is left of the others, one in so many values takes part
        extent, is_second = min(extent * step, _LARGE - 1), -1 if has_samples else is_second
    rank = (bool(reads(cond)), not takes_others, -extent, is_second, position)
    if factor.value == 1:
        return _Solution(cond, index, target.expression(), Const(True), tuple(map(int, rank)))
    base, left_over = target - target.offset, -target.offset % (factor.value or 1)
    if (
        left_over and not takes_others and isinstance(base.expression(), Index)
    ):  # a == 2*i + 1: i = a // 2 where a mod 2 == 1
        over, under = base.expression(), factor.expression()
        value = polynomial(op("floordiv", over, under)) + (target.offset + left_over) // (factor.value or 1)
        odd = op("eq", op("mod", over, under), Const(left_over))
        return _Solution(cond, index, value.expression(), odd, tuple(map(int, rank)))
    over, under = target.expression(), factor.expression()
    remainder = op("eq", digit.expression() if takes_others else Const(0), op("mod", over, under))
    return _Solution(cond, index, op("floordiv", over, under), remainder, tuple(map(int, rank)))


def _is_read_with_samples(node: Reduce, index: Index) -> bool:
    """Whether a factor that is read at the index is another one for each of so many results, a number not known, in a
    sum over channels too: sums of taps alone, as depthwise convolutions have, are no products, and as quick as few.
    """
    cond, body = guard_inside(node)
    if set(node.indices) <= set(free_indices(cond)):
        return False
    factors, _ = factors_of(body)
    beside = (other for factor in factors if index in (free := free_indices(factor)) for other in free)
    return any(known(other.size) is None for other in beside if other not in node.indices)


def _is_narrow(cond: Op, index: Index, bound: Sequence[Index]) -> bool:
    """Whether data and an index of a known range name one of more places, ``h == z[b] + i``: a little is added to a few
    elements, and each element would look at all that may be added to it.
    """
    extent = known(index.size)
    if extent is None or not (reads(cond) or any(isinstance(part, Op) and part.name == "int" for part in walk(cond))):
        return False
    named = (side for side in cond.args if isinstance(side, Index) and side not in bound)
    return any((known(side.size) or extent + 1) > extent for side in named)


def _values_of(cond: Expr, name: str) -> Iterator[tuple[Op, Polynomial]]:
    """The quotients (or remainders) that an equation gives a value to, with it."""
    if not (is_comparison(cond) and isinstance(cond, Op) and cond.name == "eq"):
        return
    difference = polynomial(cond.args[0]) - polynomial(cond.args[1])
    for monomial, factor in difference.terms:
        atom = monomial[0] if len(monomial) == 1 and abs(factor) == 1 else None
        rest = difference - Polynomial(((monomial, factor),))
        if isinstance(atom, Op) and atom.name == name and atom not in rest.atoms:
            yield atom, rest * -factor


def _remainders(cond: Expr, over: Polynomial, under: Polynomial) -> Iterator[Polynomial]:
    """What an equation says that ``over mod under`` is."""
    for atom, value in _values_of(cond, "mod"):
        other, divisor = map(polynomial, atom.args)
        apart = over - other
        if divisor == under and (not apart.terms or (under.value is not None and apart.content % under.value == 0)):
            yield value


def _is_linear(value: Polynomial, indices: Sequence[Index]) -> bool:
    """Whether an equation with ``value`` on one side can be solved for one of the indices."""
    parts = [value.split(index) for index in indices]
    return any(part is not None and part[0].value not in (None, 0) for part in parts)


def _around_a_circle(cond: Expr, index: Index, weight: _Weight) -> _Solution | None:
    """``h == (index + rest) mod m`` has one solution in 0 .. m-1, and perhaps none if the index has a smaller range."""
    for atom, value in _values_of(cond, "mod"):
        over, under = map(polynomial, atom.args)
        parts = over.split(index)
        if parts is None or parts[0].value not in (1, -1) or index in free_indices(value.expression()):
            continue
        if not nonnegative(under - polynomial(index.size)) or index in free_indices(under.expression()):
            continue
        place = op("mod", ((value - parts[1]) * parts[0].value).expression(), under.expression())
        inside = op("and", op("le", Const(0), value.expression()), op("lt", value.expression(), under.expression()))
        rank = (bool(reads(cond)), True, -weight.extent, False, weight.position)
        return _Solution(cond, index, polynomial(place).expression(), inside, tuple(map(int, rank)))
    return None


def _mentions(atom: Expr, indices: Sequence[Index]) -> bool:
    return not set(free_indices(atom)).isdisjoint(indices)
