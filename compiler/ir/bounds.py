"""What can be proved about integer expressions: ``p >= 0`` for every value of the indices and sizes in it.

Hypotheses are the ranges of indices, ``|S| >= 0``, the defining inequalities of ``floordiv``, ``mod``, ``max``,
``min``, products of these with what is not negative, and *facts*: polynomials that are not negative where the
question is asked (guards).  The proof is Fourier-Motzkin elimination over the monomials, with the rounding that
integers allow.  It is sound and gives up early: an answer ``False`` means *not proved*.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from math import gcd
from typing import Any

from dlc.compiler.ir.affine import Monomial, Polynomial, order_key, polynomial
from dlc.compiler.ir.expr import ZERO, Expr, Index, Op, Select, Size, free_indices, op

_MOST_INEQUALITIES = 300  # beyond this the proof is given up
_MOST_GROUPED = 4  # indices of one flattened group
_MOST_ROUNDS = 3  # of adding hypotheses about the atoms that earlier hypotheses mention

_Row = dict[Monomial, int]  # sum of factor*monomial >= 0, the constant under ()


def nonnegative(goal: Polynomial, facts: Sequence[Polynomial] = ()) -> bool:
    """Whether ``goal >= 0`` follows from the ranges of its atoms and ``facts``."""
    value = goal.value
    if value is not None and value >= 0:
        return True
    known = tuple(facts)
    other = without_quotient(goal)
    return _proved(goal, known) or (other is not goal and _proved(other, known))


def without_quotient(slack: Polynomial) -> Polynomial:
    """Another p with slack >= 0 where p >= 0: a // m <= c is a < (c + 1)*m, and c <= a // m is c*m <= a."""
    for monomial, factor in slack.terms:
        atom = monomial[0] if len(monomial) == 1 and abs(factor) == 1 else None
        if not (isinstance(atom, Op) and atom.name == "floordiv"):
            continue
        rest = slack - Polynomial(((monomial, factor),))
        over, under = map(polynomial, atom.args)
        if atom in rest.atoms or not _proved(under, ()):
            continue
        return over + rest * under if factor > 0 else (rest + 1) * under - over - 1
    return slack


def positive(goal: Polynomial, facts: Sequence[Polynomial] = ()) -> bool:
    return nonnegative(goal - 1, facts)


def within(node: Expr, size: Expr, facts: Sequence[Polynomial] = ()) -> bool:
    """Whether ``0 <= node < size`` is proved."""
    subscript = polynomial(node)
    return nonnegative(subscript, facts) and nonnegative(polynomial(size) - subscript - 1, facts)


@lru_cache(maxsize=1 << 15)
def _proved(goal: Polynomial, facts: tuple[Polynomial, ...]) -> bool:
    negated = -goal - 1
    rows = [dict(row.terms) for row in (negated, *_hypotheses(negated, facts))]
    if _infeasible(rows):
        return True
    more = (*_about_groups(goal), *_about_factors(goal, facts), *_about_divided((negated, *facts)))
    return bool(more) and _infeasible([*rows, *(dict(row.terms) for row in more)])


def _hypotheses(goal: Polynomial, facts: tuple[Polynomial, ...]) -> list[Polynomial]:
    """The facts, and what holds of every atom and product that they and the goal mention."""
    known: dict[Polynomial, None] = dict.fromkeys(facts)
    done: dict[Monomial, None] = {}
    frontier = [goal, *facts]
    for _ in range(_MOST_ROUNDS):
        added: list[Polynomial] = []
        for row in frontier:
            for monomial, _factor in row.terms:
                for part in (monomial, *((atom,) for atom in monomial)):
                    if part and part not in done:
                        done[part] = None
                        added.extend(_about(part))
        frontier = [row for row in added if row not in known]
        known.update(dict.fromkeys(frontier))
        if not frontier or len(known) > _MOST_INEQUALITIES:
            break
    return [*known, *_about_remainders({monomial[0]: None for monomial in done if len(monomial) == 1})]


def _about_remainders(atoms: Collection[Expr]) -> Iterator[Polynomial]:
    """``a == b*(a // b) + a mod b``, where both are spoken of."""
    for atom in atoms:
        if isinstance(atom, Op) and atom.name == "mod" and Op("floordiv", atom.args) in atoms:
            left, right = map(polynomial, atom.args)
            quotient = Polynomial((((Op("floordiv", atom.args),), 1),))
            rest = left - quotient * right - Polynomial((((atom,), 1),))
            yield from (rest, -rest)


def _about_divided(rows: Iterable[Polynomial]) -> Iterator[Polynomial]:
    """What a remainder by a number says of what is divided, of whose quotient nothing is said: where d mod 2 is 1, d is
    at least 1, and d + 1 is less than any even number that is more than d if it is 0.
    """
    atoms = dict.fromkeys(atom for row in rows for atom in row.atoms)
    for atom in atoms:
        if not (isinstance(atom, Op) and atom.name == "mod") or Op("floordiv", atom.args) in atoms:
            continue
        left, right = map(polynomial, atom.args)
        if (right.value or 0) > 0:
            quotient = Op("floordiv", atom.args)
            rest = left - Polynomial((((quotient,), 1),)) * right - Polynomial((((atom,), 1),))
            yield from (rest, -rest, *_about_atom(quotient), *(row for one in left.atoms for row in _about_atom(one)))


def _about(monomial: Monomial) -> list[Polynomial]:
    """Inequalities about an atom or a product of atoms."""
    if len(monomial) == 1:
        return _about_atom(monomial[0])
    rows = [Polynomial(((monomial, 1),))] if all(_is_nonnegative_atom(atom) for atom in monomial) else []
    for position, atom in enumerate(monomial):
        others = monomial[:position] + monomial[position + 1 :]
        if all(_is_nonnegative_atom(other) for other in others):
            rest = Polynomial(((others, 1),))
            rows.extend(row * rest for row in _about_atom(atom))
    return rows


def _about_groups(goal: Polynomial) -> list[Polynomial]:
    """Inequalities about flattened groups, ``u*|V| + v`` where ``|V|`` is itself a sum: the range of each index times
    the sizes of the others, which are not negative, whatever their terms.
    """
    indices = _indices(goal)
    if not 1 < len(indices) <= _MOST_GROUPED or all(len(polynomial(index.size).terms) == 1 for index in indices):
        return []
    rows: list[Polynomial] = []
    for index in indices:
        others = products(polynomial(other.size) for other in indices if other is not index)
        rows.extend(row * extent for row in _about_atom(index) for extent in others)
    return [*rows, *products(polynomial(index.size) for index in indices)]


def _about_factors(goal: Polynomial, facts: Sequence[Polynomial]) -> list[Polynomial]:
    """Facts about an index times the sizes that the index is multiplied by: (y - 1)*|X| where 1 <= y."""
    rows: list[Polynomial] = []
    for monomial, _ in goal.terms:
        sizes = Polynomial((((*(atom for atom in monomial if isinstance(atom, Size)),), 1),))
        others = [atom for atom in monomial if not isinstance(atom, Size)]
        if len(others) == 1 and len(monomial) > 1 and isinstance(others[0], Index):
            rows.extend(fact * sizes for fact in facts if others[0] in fact.atoms)
    return rows


def _indices(goal: Polynomial) -> list[Index]:
    return [atom for atom in goal.atoms if isinstance(atom, Index)]


def products(factors: Iterable[Polynomial]) -> list[Polynomial]:
    """The factors, and all products of several of them."""
    found: list[Polynomial] = []
    for factor in factors:
        found += [factor, *(factor * one for one in found)]
    return found


def _is_nonnegative_atom(atom: Expr) -> bool:
    return isinstance(atom, Index | Size) or _is_quotient(atom) or _is_remainder_or_greatest(atom)


def _is_remainder_or_greatest(atom: Expr) -> bool:
    if not isinstance(atom, Op):
        return False
    return atom.name == "mod" or (atom.name == "max" and any(nonnegative(polynomial(arg)) for arg in atom.args))


def _is_quotient(atom: Expr) -> bool:
    """``a // b`` of what is not negative; were ``b`` zero, there would be no value."""
    return isinstance(atom, Op) and atom.name == "floordiv" and all(nonnegative(polynomial(arg)) for arg in atom.args)


def _about_atom(atom: Expr) -> list[Polynomial]:
    me = Polynomial((((atom,), 1),))
    match atom:
        case Size():
            return [me]
        case Index(size=size):
            return [me, polynomial(size) - me - 1]
        case Op(name="floordiv", args=(left, right)):
            product = me * polynomial(right)
            rows = [polynomial(left) - product, product + polynomial(right) - polynomial(left) - 1]
            return [*rows, me] if _is_quotient(atom) else rows
        case Op(name="mod", args=(_, right)):
            return [me, polynomial(right) - me - 1]
        case Op(name="max", args=(left, right)):
            return [me - polynomial(left), me - polynomial(right)]
        case Op(name="min", args=(left, right)):
            below = [polynomial(left) - me, polynomial(right) - me]
            both_are = nonnegative(polynomial(left)) and nonnegative(polynomial(right))
            return [*below, me] if both_are else below
        case Select(yes=yes, no=no) if atom.type == "int":
            low = [p for p in (polynomial(yes), polynomial(no)) if not nonnegative(p)]
            return [] if low else [me]
    return []


# -- Fourier-Motzkin ------------------------------------------------------------------------------------------------


def _infeasible(rows: list[_Row]) -> bool:
    """Whether no integers satisfy all rows (proved)."""
    rows = _distinct(rows)
    while True:
        if any(set(row) <= {()} and row.get((), 0) < 0 for row in rows):
            return True
        variable = _cheapest(rows)
        if variable is None:
            return False
        above = [row for row in rows if row.get(variable, 0) > 0]
        below = [row for row in rows if row.get(variable, 0) < 0]
        rest = [row for row in rows if not row.get(variable, 0)]
        combined = [_combine(low, high, variable) for low in below for high in above]
        rows = _distinct(rest + combined)
        if len(rows) > _MOST_INEQUALITIES:
            return False


def _cheapest(rows: list[_Row]) -> Monomial | None:
    """The monomial whose elimination loses nothing that integers allow, if there is one, and adds the fewest rows."""
    counts: dict[Monomial, tuple[int, int]] = {}
    larger: dict[Monomial, set[bool]] = {}  # the signs with which it stands several times
    for row in rows:
        for monomial, factor in row.items():
            if monomial:
                up, down = counts.get(monomial, (0, 0))
                counts[monomial] = (up + (factor > 0), down + (factor < 0))
                if abs(factor) > 1:
                    larger.setdefault(monomial, set()).add(factor > 0)
    if not counts:
        return None

    def cost(monomial: Monomial) -> tuple[Any, ...]:
        up, down = counts[monomial]
        return len(larger.get(monomial, ())) > 1, up * down, len(monomial), [order_key(atom) for atom in monomial]

    return min(counts, key=cost)


def _combine(low: _Row, high: _Row, variable: Monomial) -> _Row:
    a, b = high[variable], -low[variable]
    result = {monomial: factor * b for monomial, factor in high.items()}
    for monomial, factor in low.items():
        result[monomial] = result.get(monomial, 0) + factor * a
    return {monomial: factor for monomial, factor in result.items() if factor}


def _distinct(rows: Iterable[_Row]) -> list[_Row]:
    """Rows divided by their common factor (the constant rounds down), the strongest of those alike, tautologies left
    out.
    """
    strongest: dict[tuple[tuple[Monomial, int], ...], int] = {}
    for row in rows:
        constant = row.get((), 0)
        rest = {monomial: factor for monomial, factor in row.items() if monomial and factor}
        if not rest:
            if constant < 0:
                return [{(): constant}]
            continue
        common = gcd(*rest.values())
        key = tuple(sorted(((m, f // common) for m, f in rest.items()), key=lambda t: [order_key(a) for a in t[0]]))
        constant = constant // common
        strongest[key] = min(constant, strongest.get(key, constant))
    return [{**dict(key), (): constant} for key, constant in strongest.items()]


# -- conditions -----------------------------------------------------------------------------------------------------


def facts_of(cond: Expr, holds: bool = True, facts: Sequence[Polynomial] = ()) -> list[Polynomial]:
    """Polynomials that are not negative where the condition holds (or, with ``holds=False``, where it does not);
    ``facts`` are known besides.
    """
    return facts_of_all(((cond, holds),), facts)


def facts_of_all(conditions: Iterable[tuple[Expr, bool]], facts: Sequence[Polynomial] = ()) -> list[Polynomial]:
    """Polynomials that are not negative where all these conditions hold, or do not, as the truth values say."""
    found: list[Polynomial] = []
    apart: list[Polynomial] = []
    for name, difference in (one for cond, holds in conditions for one in _comparisons(cond, holds)):
        if name == "ne":
            apart.append(difference)
        else:
            found.extend([difference, -difference] if name == "eq" else [difference])
    # what differs from an end of its range, or from what bounds it, lies inside: t != 0 and i != j <= i
    while True:
        inside = [one for d in apart for one in (d, -d) if nonnegative(one, (*facts, *found))]
        if not inside:
            return found
        found.extend(one - 1 for one in inside)
        apart = [d for d in apart if d not in inside and -d not in inside]


def tells(cond: Expr, holds: bool) -> bool:
    """Whether it says anything of integers that the condition holds, or does not."""
    return any(True for _ in _comparisons(cond, holds))


def _comparisons(cond: Expr, holds: bool) -> Iterator[tuple[str, Polynomial]]:
    """What the condition says of polynomials: that they are 0 (``eq``), are not (``ne``), or are not negative."""
    match cond:
        case Op(name="and" | "or", args=args) if (cond.name == "and") == holds:
            for arg in args:
                yield from _comparisons(arg, holds)
        case Op(name="not", args=(arg,)):
            yield from _comparisons(arg, not holds)
        case Op(name="lt" | "le" | "eq" | "ne", args=(left, right)) if left.type == right.type == "int":
            difference = polynomial(right) - polynomial(left)
            if cond.name in ("eq", "ne"):
                yield ("eq" if (cond.name == "eq") == holds else "ne"), difference
            else:
                slack = difference if holds else -difference
                yield "le", slack - 1 if (cond.name == "lt") == holds else slack


def decide(cond: Expr, facts: Sequence[Polynomial] = ()) -> bool | None:
    """True or False where the condition is proved or refuted, else None."""
    match cond:
        case Op(name="and", args=args):
            answers = [decide(arg, facts) for arg in args]
            return False if False in answers else True if all(answers) else None
        case Op(name="or", args=args):
            answers = [decide(arg, facts) for arg in args]
            return True if True in answers else False if all(a is False for a in answers) else None
        case Op(name="not", args=(arg,)):
            answer = decide(arg, facts)
            return None if answer is None else not answer
        case Op(name="lt" | "le" | "eq" | "ne", args=(left, right)) if left.type == right.type == "int":
            return _decide_comparison(cond.name, polynomial(left), polynomial(right), facts)
    value = getattr(cond, "value", None)
    return value if isinstance(value, bool) else None


def _decide_comparison(name: str, left: Polynomial, right: Polynomial, facts: Sequence[Polynomial]) -> bool | None:
    if name in ("lt", "le"):
        slack = right - left - (1 if name == "lt" else 0)
        return True if nonnegative(slack, facts) else False if nonnegative(-slack - 1, facts) else None
    if left == right:
        return name == "eq"
    difference = right - left
    if nonnegative(difference - 1, facts) or nonnegative(-difference - 1, facts):
        return name == "ne"
    if nonnegative(difference, facts) and nonnegative(-difference, facts):
        return name == "eq"
    return None


def implied(conditions: Iterable[Expr], index: Index) -> Iterator[Expr]:
    """What holds for other indices where the conditions hold for any value of this one.  What takes its place may be
    read there only: ``j < i`` implies ``0 < i``, and ``j == z[i-1]`` is in range."""
    for fact in (fact for cond in conditions for fact in facts_of(cond)):
        parts = fact.split(index) if index in fact.atoms else None
        if parts is None or not (nonnegative(parts[0]) or nonnegative(-parts[0])):
            continue
        factor, rest = parts
        most = rest + factor * (polynomial(index.size) - 1) if nonnegative(factor) else rest
        if not nonnegative(most):
            yield op("le", ZERO, most.expression())


def extreme(goal: Polynomial, greatest: bool) -> Polynomial | None:
    """The least or greatest value over the ranges of its indices, as a polynomial in sizes; None if a sign is
    unknown, or an index stands inside a quotient or a remainder.
    """
    indices = _indices(goal)
    extents = products(polynomial(index.size) for index in indices) if len(indices) <= _MOST_GROUPED else []
    while True:
        index = next(iter(_indices(goal)), None)
        if index is None:
            return None if any(free_indices(atom) for atom in goal.atoms) else goal
        parts = goal.split(index)
        if parts is None:
            return None
        factor, rest = parts
        if nonnegative(factor, extents):
            rising = True
        elif nonnegative(-factor, extents):
            rising = False
        else:
            return None
        end = polynomial(index.size) - 1 if rising == greatest else Polynomial(())
        goal = factor * end + rest
