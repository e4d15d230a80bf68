"""An axis that is read through quotients and remainders by a known number is taken by its residue classes::

    d[h] = sum[p] [(h + p) mod 2 == 0 and p <= h]*g[(h-p) // 2]*k[p]

    d[2*i] = sum[p] [p <= i]*g[i-p]*k[2*p]            over the even p, which are half as many
    d[2*i+1] = sum[p] [p <= i]*g[i-p]*k[2*p+1]

so that subscripts are affine again, and what a remainder forbids is neither looked at nor multiplied. Adjoints of reads
that move in steps (pooling, convolutions with a stride) are of this kind, and what repeats or takes apart its elements.

The classes of all axes together are the parts of a tensor. One that is a matrix product is a tensor of its own, which
the part copies: only so do its rows lie evenly in memory.

Where an axis of a matrix product is read through its quotient and its remainder by one number or size that divides its
extent, as in the adjoint of a convolution in groups, it is taken in blocks of so many: ``d[4*g+e]`` for all ``g`` and
``e``.
What lies behind the last whole block, or behind the end up to which a condition holds, is a part of its own.

An index that stands together with another one in a quotient or a remainder is taken by classes too; of the classes of a
reduced index the conditions leave one, or none. Where more are left, where a divisor is not known, and where there
would be many classes, the equation stays as it is; and so do recurrences. Products of many classes have the place in a
step as an index instead (``interleave``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from dlc.compiler.ir.affine import integer, known, polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_of, guarded
from dlc.compiler.ir.expr import (
    FALSE,
    TRUE,
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Reduce,
    Select,
    Solve,
    free_indices,
    fresh,
    identity_of,
    op,
    reads,
    walk,
)
from dlc.compiler.ir.forms import axes_by_factor, is_contraction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, read, unique, whole
from dlc.compiler.ir.quotients import moduli as moduli_of
from dlc.compiler.ir.quotients import quotients
from dlc.compiler.ir.rewriting import replaced, substitute
from dlc.compiler.ir.simplifier import Simplifier
from dlc.compiler.ir.sums import neutral_body

NAME = "residues"

_MOST_CLASSES = 16  # parts of one tensor: each is a loop nest to compile
_BOUNDED = ("sum", "prod", "max", "min")  # what a condition leaves out has no say in them, and they ask for no position

Moduli = dict[Index, int]


def run(graph: Graph) -> Graph:
    simplified = Simplifier(SCALAR_RULES)
    tensors: dict[str, Tensor] = {}
    for name, tensor in graph.tensors.items():
        equations = tensor.equations
        if name not in graph.recurrence_of:
            equations = tuple(part for equation in equations for part in _affine(equation, simplified))
        if equations != tensor.equations:
            taken = {**graph.tensors, **tensors}
            equations = tuple(_with_own_product(tensor, one, taken, tensors) for one in equations)
        tensors[name] = replace(tensor, equations=equations)
    return graph.with_tensors(tensors.values())


def _with_own_product(
    tensor: Tensor, equation: Equation, taken: dict[str, Tensor], made: dict[str, Tensor]
) -> Equation:
    """The part, as a copy of a tensor of its own if it is a matrix product."""
    if not is_contraction(equation):
        return equation
    axes = axes_by_factor(equation)
    renamed = {index: fresh(index.size, index.hint) for index in axes}
    value = substitute(equation.value, renamed)
    own = whole(unique(f"{tensor.id}.part", taken), tuple(renamed.values()), value, equation.span)
    taken[own.id] = made[own.id] = own
    return replace(equation, indices=axes, value=read(own, *axes))


# -- one equation -----------------------------------------------------------------------------------------------------


def _affine(equation: Equation, simplified: Simplifier) -> tuple[Equation, ...]:
    """The equation with axes in blocks and in classes, as far as that is possible and worth it."""
    if isinstance(equation.value, Solve) or not equation.is_whole:
        return (equation,)
    inside, edges = _peeled(equation)
    in_blocks = _in_blocks(inside)
    parts = _parts(in_blocks, simplified) or ((in_blocks,) if in_blocks is not inside else ())
    return (*parts, *edges) if parts else (equation,)


def _in_blocks(equation: Equation) -> Equation:
    """A matrix product with two axes for each that it reads through its quotient and its remainder by one number."""
    found = equation
    decided = {index for test in _comparisons(equation.value) for index in free_indices(test)}
    for index in equation.indices:
        if index in decided:  # classes leave out what is zero
            continue
        atoms = [atom for atom in quotients(equation.value) if index in free_indices(atom)]
        numbers = {atom.args[1] if atom.args[0] is index else None for atom in atoms}
        by = numbers.pop() if len(numbers) == 1 else None
        if by is None or free_indices(by) or reads(by) or len({atom.name for atom in atoms}) < 2:
            continue
        blocks, rest = polynomial(index.size).divide(polynomial(by))
        if rest.terms or known(by) == 1:
            continue
        block, place = fresh(blocks.expression(), index.hint), fresh(by, index.hint)
        joined = polynomial(op("add", op("mul", by, block), place)).expression()
        changes: dict[Expr, Expr] = {op("floordiv", index, by): block, op("mod", index, by): place, index: joined}
        at = found.indices.index(index)
        found = Equation(
            (*found.indices[:at], block, place, *found.indices[at + 1 :]),
            tuple(replaced(subscript, changes) for subscript in found.subscripts),
            replaced(found.value, changes),
            found.span,
        )
    return found if is_contraction(found) else equation


def _parts(equation: Equation, simplified: Simplifier) -> tuple[Equation, ...]:
    """The equation in classes; nothing if that is not possible, or not worth it."""
    moduli = moduli_of(equation.value)
    free = [index for index in equation.indices if index in moduli]
    if not free or prod(moduli[index] for index in free) > _MOST_CLASSES:
        return ()
    found: list[Equation] = []
    for residues in product(*(range(moduli[index]) for index in free)):
        places = [_Class(index, moduli[index], residue) for index, residue in zip(free, residues, strict=True)]
        part = _part(equation, places, moduli, simplified)
        if part is None or any(index in moduli for atom in quotients(part.value) for index in free_indices(atom)):
            return ()
        if all(known(index.size) != 0 for index in part.indices):
            found.append(part)
    inner, edges = zip(*map(_peeled, found), strict=True) if found else ((), ())
    return (*inner, *(edge for group in edges for edge in group))  # loops over parts of one range can be one loop


def _peeled(part: Equation) -> tuple[Equation, tuple[Equation, ...]]:
    """The part where conditions on single indices hold, and what is left of it at the ends of their ranges, where it
    has one value: ``2*i + 2 <= |H|`` for ``i < (|H| + 1) // 2`` holds for the first ``|H| // 2``.
    """
    edges: list[Equation] = []
    for index in part.indices:
        cond, outside = _guard(part.value)
        tests = list(conjuncts(cond))
        stops = {test: stop for test in tests if (stop := _stop(test, index)) is not None}
        if len(set(stops.values())) != 1:
            continue
        stop = next(iter(stops.values()))
        rest = integer(op("add", index.size, op("neg", stop)))
        if known(rest) != 0:
            edges.append(_moved(replace(part, value=outside), index, rest, stop))
        inside = _under([test for test in tests if test not in stops], part.value)
        part = _moved(replace(part, value=inside), index, stop, ZERO)
    return part, tuple(edges)


def _guard(value: Expr) -> tuple[Expr, Expr]:
    """The condition that leaves more than one value, and the value where it does not hold."""
    if isinstance(value, Select) and isinstance(value.no, Const):
        return value.cond, value.no
    if isinstance(value, Reduce) and value.op in _BOUNDED:
        identity = identity_of(value.op, value.type)
        return guard_of(value.body, identity)[0], identity
    return TRUE, ZERO


def _under(tests: Sequence[Expr], value: Expr) -> Expr:
    """The value under these conditions in the place of its own."""
    if isinstance(value, Select):
        return guarded(conjunction(tests), value.yes, value.no)
    assert isinstance(value, Reduce)
    identity = identity_of(value.op, value.type)
    return value.rebuild((guarded(conjunction(tests), guard_of(value.body, identity)[1], identity),))


def _stop(test: Expr, index: Index) -> Expr | None:
    """The end of the index where the condition, which is on nothing else, holds up to somewhere in its range."""
    if not isinstance(test, Op) or test.name not in ("le", "lt") or any(arg.type != "int" for arg in test.args):
        return None
    if free_indices(test) != (index,) or reads(test):
        return None
    slack = polynomial(test.args[1]) - polynomial(test.args[0]) - (1 if test.name == "lt" else 0)
    parts = slack.split(index)
    factor = parts[0].value if parts is not None else None
    if parts is None or factor is None or factor >= 0:
        return None
    stop = integer(op("floordiv", (parts[1] - factor).expression(), Const(-factor)))
    return stop if nonnegative(polynomial(stop)) and nonnegative(polynomial(index.size) - polynomial(stop)) else None


def _moved(part: Equation, index: Index, extent: Expr, start: Expr) -> Equation:
    """The part for so many values of an index from ``start`` on."""
    number = fresh(extent, index.hint)
    changes: dict[Expr, Expr] = {index: integer(op("add", number, start))}
    return Equation(
        tuple(number if one is index else one for one in part.indices),
        tuple(integer(substitute(subscript, changes)) for subscript in part.subscripts),
        substitute(part.value, changes),
        part.span,
    )


@dataclass(frozen=True)
class _Class:
    """The values of an index that leave this remainder."""

    index: Index
    modulus: int
    residue: int

    @property
    def count(self) -> Expr:
        return integer(op("floordiv", op("add", self.index.size, Const(self.modulus - 1 - self.residue)), self._by))

    def member(self, number: Expr) -> Expr:
        return polynomial(op("add", op("mul", self._by, number), Const(self.residue))).expression()

    @property
    def _by(self) -> Expr:
        return Const(self.modulus)


def _part(equation: Equation, places: Sequence[_Class], moduli: Moduli, simplified: Simplifier) -> Equation | None:
    """The elements of one class for every axis; None if the conditions leave several classes of a reduced index."""
    numbers = {place.index: fresh(place.count, place.index.hint) for place in places}
    members: dict[Expr, Expr] = {place.index: place.member(numbers[place.index]) for place in places}
    value = _settled(substitute(equation.value, members), moduli, simplified)
    if value is None:
        return None
    return Equation(
        tuple(numbers.get(index, index) for index in equation.indices),
        tuple(substitute(subscript, members) for subscript in equation.subscripts),
        value,
        equation.span,
    )


def _settled(value: Expr, moduli: Moduli, simplified: Simplifier) -> Expr | None:
    """The value with reduced indices by the one class that is left of each; None if there are more."""
    if not isinstance(value, Reduce):
        return simplified(value)
    reduced = [index for index in value.indices if index in moduli]
    if not reduced:
        alone = value.rebuild((simplified(value.body),))
        return neutral_body(alone) or alone
    if value.op not in _BOUNDED:
        return None
    left = list(_left(value, [[_Class(i, moduli[i], r) for r in range(moduli[i])] for i in reduced], simplified))
    if len(left) > 1:
        return None
    if not left:
        return identity_of(value.op, value.type)
    return left[0]


def _left(value: Reduce, classes: Sequence[Sequence[_Class]], simplified: Simplifier) -> Iterator[Expr]:
    """The reduction over every choice of classes that the conditions do not rule out."""
    identity = identity_of(value.op, value.type)
    for places in product(*classes):
        counts = {place.index: known(place.count) for place in places}
        if 0 in counts.values():
            continue
        numbers = {p.index: ZERO if counts[p.index] == 1 else fresh(p.count, p.index.hint) for p in places}
        members: dict[Expr, Expr] = {place.index: place.member(numbers[place.index]) for place in places}
        body = simplified(substitute(value.body, members))
        if body is identity or guard_of(body, identity)[0] is FALSE:
            continue
        indices = tuple(numbers.get(index, index) for index in value.indices)
        rest = tuple(index for index in indices if isinstance(index, Index))
        yield Reduce(value.op, rest, body) if rest else body


# -- which conditions --------------------------------------------------------------------------------------------------


def _comparisons(value: Expr) -> Iterator[Op]:
    """The comparisons of remainders."""
    for node in walk(value):
        if isinstance(node, Op) and node.name in ("eq", "ne", "lt", "le") and any(quotients(node)):
            yield node
