"""A plane that is zero but for one element, or for one element in each of its blocks.

::

    for h < |H|                                      for h < |H|
        for w < |W|                                      for w < |W|
            d[h,w] = c[h // P, w // Q]                       d[h,w] = 0
                if z[h // P, w // Q] ==              for u < |U|
                    Q*(h mod P) + w mod Q                for v < |V|
                else 0                                       place = z[u,v]
                                                             if 0 <= place < P*Q
                                                                 d[P*u + place // Q, Q*v + place mod Q] = c[u,v]

Such is the gradient of the greatest element of an image, or of every window where windows do not overlap: the place of
an extreme counts through the rows of its window, so its quotient and its remainder are the row and the column.  All
elements would be compared with it otherwise, and those of blocks whose size is not known divided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.bounds import decide, within
from dlc.compiler.ir.conditions import conjuncts, is_zero
from dlc.compiler.ir.expr import ZERO, Const, Expr, Index, Op, Read, Select, free_indices, fresh, op, reads
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import Let, Statement, Store
from dlc.compiler.ir.rewriting import replaced, substitute
from dlc.compiler.lower.ranges import loops, under
from dlc.compiler.lower.scatter import Facts
from dlc.compiler.lower.spikes import Spike

_SMALL_BLOCK = 16  # elements: of so few, all are as fast compared, in vectors

Names = Callable[[str], str]
Sizes = Mapping[str, Sequence[Expr]]


@dataclass(frozen=True)
class _Digit:
    """An index, or what is left of it within a block, in the place of an element, and how many values it has."""

    index: Index
    quotient: Expr | None  # the number of the block, if there are blocks along this index
    radix: Expr


def nest(tensor: Tensor, equation: Equation, names: Names, facts: Facts, sizes: Sizes) -> tuple[Statement, ...]:
    """The loops of a map that is such a plane; nothing if it is none."""
    value = equation.value
    if not isinstance(value, Select) or value.type != "real" or not is_zero(value.no):
        return ()
    for cond in conjuncts(value.cond):
        for side, place in _sides(cond):
            digits = _digits(side, equation)
            blocks = _blocks(digits, place, sizes) if _is_large(digits) else None
            if blocks is not None:
                others = [one for one in conjuncts(value.cond) if one is not cond]
                return _filled(tensor, equation, digits, blocks, Spike(place, tuple(others), value.yes), names, facts)
    return ()


def _sides(cond: Expr) -> tuple[tuple[Expr, Expr], ...]:
    if isinstance(cond, Op) and cond.name == "eq" and cond.args[0].type == cond.args[1].type == "int":
        left, right = cond.args
        return (left, right), (right, left)
    return ()


# -- what the place counts through ------------------------------------------------------------------------------------


def _digits(side: Expr, equation: Equation) -> list[_Digit]:
    """The digits of a number of which each counts through all of the next ones, the last first; those of the last axes
    of the tensor. Nothing if it is not such a number.
    """
    left: dict[Polynomial, _Digit] = {}
    for monomial, factor in polynomial(side).terms:
        (atom, *more) = [one for one in monomial if free_indices(one)] or [ZERO]
        digit = _digit(atom)
        weight = Polynomial.of([(tuple(one for one in monomial if one is not atom), factor)])
        if digit is None or more or weight in left:
            return []
        left[weight] = digit
    found: list[_Digit] = []
    weight = Polynomial.constant(1)
    while weight in left:
        found.append(left.pop(weight))
        weight = weight * polynomial(found[-1].radix)
    indices = {digit.index for digit in found}
    last = equation.indices[len(equation.indices) - len(found) :]
    if left or len(indices) != len(found) or indices != set(last) or equation.subscripts[-len(last) :] != last:
        return []
    before = equation.subscripts[: -len(last)]
    return [] if indices & {index for one in before for index in free_indices(one)} else found


def _digit(atom: Expr) -> _Digit | None:
    match atom:
        case Index(size=size):
            return _Digit(atom, None, size)
        case Op(name="mod", args=(Index() as index, divisor)) if not free_indices(divisor):
            return _Digit(index, integer(op("floordiv", index, divisor)), divisor)
    return None


def _is_large(digits: Sequence[_Digit]) -> bool:
    if not digits or (len(digits) == 1 and digits[0].quotient is None):
        return False  # none, or a row: see ``spikes.py``
    count = _count(digits).value
    return count is None or count > _SMALL_BLOCK


def _count(digits: Sequence[_Digit]) -> Polynomial:
    count = Polynomial.constant(1)
    for digit in digits:
        count = count * polynomial(digit.radix)
    return count


def _blocks(digits: Sequence[_Digit], place: Expr, sizes: Sizes) -> dict[_Digit, Index] | None:
    """An index over the blocks for each digit that has some; None where the place is not one for each block alone.
    There are as many as have a place that is read: no other is asked for.
    """
    numbers: dict[_Digit, Index] = {}
    for digit in digits:
        if digit.quotient is None:
            continue
        size = next((size for read in reads(place) for size in _counted(read, digit.quotient, sizes)), None)
        if size is None:
            return None
        numbers[digit] = fresh(size, digit.index.hint)
    left = replaced(place, {digit.quotient: number for digit, number in numbers.items() if digit.quotient})
    return None if {digit.index for digit in digits} & set(free_indices(left)) else numbers


def _counted(read: Read, quotient: Expr, sizes: Sizes) -> list[Expr]:
    axes = zip(read.subscripts, sizes.get(read.tensor, ()), strict=False)
    return [size for subscript, size in axes if subscript is quotient]


# -- the statements ---------------------------------------------------------------------------------------------------


def _filled(
    tensor: Tensor,
    equation: Equation,
    digits: Sequence[_Digit],
    blocks: Mapping[_Digit, Index],
    spike: Spike,
    names: Names,
    facts: Facts,
) -> tuple[Statement, ...]:
    count = len(equation.indices) - len(digits)
    zeros = loops(equation.indices[count:], (Store(tensor.id, equation.subscripts, Const(0.0)),))
    quotients: dict[Expr, Expr] = {one.quotient: number for one, number in blocks.items() if one.quotient is not None}
    place = replaced(spike.place, quotients)
    local = Read(names(f"{tensor.id}.place"), (), "int")
    elements = _count(digits).expression()
    inside = [] if within(place, elements, facts(place)) else [op("le", ZERO, local), op("lt", local, elements)]
    within_block = {digit: fresh(digit.radix, digit.index.hint) for digit in digits}
    at = {
        digit.index: op("add", op("mul", digit.radix, blocks[digit]), own) if digit in blocks else own
        for digit, own in within_block.items()
    }

    def there(part: Expr) -> Expr:
        """Where the element stands, said by its digits."""
        return substitute(replaced(part, quotients), dict(at))

    checks = [there(cond) for cond in spike.conditions]
    checks += [op("lt", at[one.index], one.index.size) for one in blocks]
    checks = [one for one in checks if decide(one, facts(one)) is not True]
    numbers: dict[Expr, Expr] = dict(zip(within_block.values(), _taken_apart(local, digits), strict=True))
    subscripts = tuple(integer(substitute(there(one), numbers)) for one in equation.subscripts)
    store = Store(tensor.id, subscripts, substitute(there(spike.value), numbers))
    added = under(inside, under([substitute(one, numbers) for one in checks], (store,)))
    visits = loops([blocks[one] for one in reversed(digits) if one in blocks], (Let(local.tensor, place), *added))
    return loops(equation.indices[:count], (*zeros, *visits))


def _taken_apart(number: Expr, digits: Sequence[_Digit]) -> list[Expr]:
    """The digits of a number, the last first."""
    found: list[Expr] = []
    for digit in digits[:-1]:
        found.append(op("mod", number, digit.radix))
        number = op("floordiv", number, digit.radix)
    return [*found, number]
