"""One equation as a loop nest.

A map becomes loops over its indices around one store; single elements with one more term are another matter, see
``spikes.py`` and ``spikes_of_blocks.py``.  A reduction takes one of these forms:

- *register*: loops over the free indices, an accumulator, loops over the reduced ones (row sums, dot products);
- *row*: the innermost loop runs over the last free index, so that a whole row accumulates at once (column sums,
  small windows): chosen where that index, not a reduced one, walks through memory one by one; and where the reduced one
  is that of a kernel of open size, of which four elements at a time are then added to a row;
- *taps*: few results that read the same elements have an accumulator each, see ``taps.py``;
- *window*: few terms that lie side by side are written out, see ``windows.py``;
- *extreme*: the place of an extreme, or the first one where a condition holds, in the register or the row form, see
  ``extremes.py``;
- *omission*: ``prod[j : j != i] ..`` with ``i`` free, see ``omission.py``;
- *scatter*: ``sum[k] [v == z[k]] * e`` with ``v`` free visits each ``k`` once, see ``scatter.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from functools import partial

from dlc.compiler.ir.affine import Polynomial, equal, guessed, known, polynomial
from dlc.compiler.ir.bounds import positive
from dlc.compiler.ir.conditions import conjuncts
from dlc.compiler.ir.expr import (
    ONE,
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    free_indices,
    identity_of,
    op,
    reads,
    refresh,
)
from dlc.compiler.ir.forms import is_few
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.loops import For, Statement, Store, Update, Var, statements
from dlc.compiler.lower import extremes, omission, scatter, spikes, spikes_of_blocks, taps
from dlc.compiler.lower.fusion import renamed
from dlc.compiler.lower.ranges import (
    apart,
    bounded_loops,
    combined,
    extreme,
    guarded,
    in_groups,
    loops,
    under,
)
from dlc.compiler.lower.scatter import Facts
from dlc.compiler.lower.windows import settled, window

Names = Callable[[str], str]  # a fresh name for a local

_SHORTEST_BOUNDED = 8  # elements of a row, of which some are not computed: fewer are a loop with a condition
_SMALL_EXTENT = 16  # a reduced loop known to be this short is no place for vector lanes


def nest(
    tensor: Tensor,
    equation: Equation,
    names: Names,
    facts: Facts,
    needed: Sequence[Polynomial] = (),
    given: Collection[Expr] = (),
    windows: Set[str] = frozenset(),
    scratch: extremes.Scratch | None = None,
    shapes: Mapping[str, Sequence[Expr]] | None = None,
) -> tuple[Statement, ...]:
    """The statements that compute one equation of ``tensor``, at least where the polynomials ``needed`` are not
    negative; ``given`` are the reads that may stand in the bounds of loops, ``windows`` the open sizes that count as
    small, ``scratch`` makes tensors that only the nest touches, and ``shapes`` are the sizes of the others.
    """
    value = equation.value
    if not isinstance(value, Reduce):
        if not needed and (single := _single_elements(tensor, equation, names, facts, shapes or {})):
            return single
        return _bounded_rows(tensor, equation, given) or _needed_rows(tensor, equation, needed)
    left_out = omission.omitted(equation, value)
    if left_out:
        return omission.nest(tensor, equation, value, left_out, names)
    places = scatter.places(equation, value)
    if places:
        return scatter.nest(tensor, equation, value, places, facts)
    written_out = window(tensor, equation, value, names)
    if written_out:
        return written_out
    if value.op in ("argmax", "argmin"):
        by_rows = _rows_are_contiguous(equation, value, windows)
        return extremes.nest(tensor, equation, value, by_rows, names, scratch)
    side_by_side = taps.nest(tensor, equation, value, names, windows)
    if side_by_side:
        return side_by_side
    if _rows_are_contiguous(equation, value, windows):
        return _row_form(tensor, equation, value, given, windows)
    return _register_form(tensor, equation, value, names, given)


def _single_elements(
    tensor: Tensor, equation: Equation, names: Names, facts: Facts, shapes: Mapping[str, Sequence[Expr]]
) -> tuple[Statement, ...]:
    """The loops of what only single elements add to; a plane before its rows, which it is made of too."""
    plane = spikes_of_blocks.nest(tensor, equation, names, facts, shapes)
    return plane or spikes.nest(tensor, equation, facts)


# -- maps -----------------------------------------------------------------------------------------------------------


def _bounded_rows(tensor: Tensor, equation: Equation, given: Collection[Expr]) -> tuple[Statement, ...]:
    """``y[t,s] = e if s <= t else 0``: every row is computed between bounds, and filled with what stands outside of
    them, so that the loops hold no condition; nothing if the condition gives no bounds.
    """
    value = equation.value
    if not isinstance(value, Select) or not isinstance(value.no, Const) or len(equation.indices) < 2:
        return ()
    *outer, last = equation.indices
    extent = known(last.size)
    conditions = list(conjuncts(value.cond))
    before, conditions = apart(conditions, (last,))
    around, left = bounded_loops((last,), conditions, given)
    if (extent is not None and extent < _SHORTEST_BOUNDED) or len(left) == len(conditions):
        return ()
    inside = Select(op("and", *left), value.yes, value.no) if left else value.yes
    row = around((Store(tensor.id, equation.subscripts, inside),))
    outside = Store(tensor.id, equation.subscripts, value.no)
    if before:
        fill = renamed(loops((last,), (outside,)), {last: refresh(last)})
        return loops(outer, (*fill, *under(before, row)))
    return loops(outer, (*_around(row, outside), *row))


def _around(row: tuple[Statement, ...], outside: Store) -> tuple[Statement, ...]:
    """What is stored in a row before its loop begins, and behind its end."""
    (loop,) = row
    assert isinstance(loop, For)
    start, stop = polynomial(loop.start), polynomial(loop.stop)
    size, zero = polynomial(loop.index.size), Polynomial(())
    parts = ((ZERO, extreme("min", (start, size))), (extreme("max", (stop, zero)), loop.index.size))
    return tuple(
        one
        for first, last in parts
        if not equal(first, last)
        for one in renamed((For(loop.index, first, last, (outside,)),), {loop.index: refresh(loop.index)})
    )


def _needed_rows(tensor: Tensor, equation: Equation, needed: Sequence[Polynomial]) -> tuple[Statement, ...]:
    """Loops over all elements, of a row over those that are needed."""
    body: tuple[Statement, ...] = (Store(tensor.id, equation.subscripts, equation.value),)
    if not needed or len(equation.indices) < 2:
        return loops(equation.indices, body)
    *outer, last = equation.indices
    conditions = [op("le", ZERO, fact.expression()) for fact in needed]
    around, _ = bounded_loops((last,), conditions, reads(*conditions))
    return loops(outer, around(body))


# -- reductions -----------------------------------------------------------------------------------------------------


def _register_form(
    tensor: Tensor, equation: Equation, value: Reduce, names: Names, given: Collection[Expr]
) -> tuple[Statement, ...]:
    total = Read(names(tensor.id), (), value.type)
    conditions, body = guarded(value)
    before, conditions = apart(conditions, value.indices)
    around, left = _asking_early(value, conditions, given) or bounded_loops(value.indices, conditions, given)
    neutral = identity_of(value.op, value.body.type)
    inside, found = _bounds_last(value, body, total, around(())) if not before and not left else (body, total)
    update: Statement = Update(total.tensor, combined(value.op, total, inside))
    inner = under(before, around(under(left, (update,))))
    return loops(equation.indices, (Var(total.tensor, neutral), *inner, Store(tensor.id, equation.subscripts, found)))


def _asking_early(
    value: Reduce, conditions: Sequence[Expr], given: Collection[Expr]
) -> tuple[Callable[[tuple[Statement, ...]], tuple[Statement, ...]], list[Expr]] | None:
    """The loops of a sum with those outermost that conditions are about which give no bounds, such as remainders, so
    that these are asked before the others begin; None where there are none such, or where rows would be left for
    columns although most elements count.
    """
    _, left = bounded_loops(value.indices, conditions, given)
    asked = {index for condition in left for index in free_indices(condition)}
    outer = [index for index in value.indices if index in asked]
    inner = [index for index in value.indices if index not in asked]
    if value.op != "sum" or not outer or not inner:
        return None
    early, late = apart(conditions, inner)
    around, asks = bounded_loops(outer, early, given)
    if not asks or (outer[-1] is value.indices[-1] and not any(map(_leaves_few, asks))):
        return None
    within, left = bounded_loops(inner, late, given)
    return (lambda body: around(under(asks, within(body)))), left


def _leaves_few(condition: Expr) -> bool:
    """Whether it is an equation of indices, such as one of a remainder: most elements are left out."""
    return isinstance(condition, Op) and condition.name == "eq" and not reads(condition)


def _bounds_last(value: Reduce, body: Expr, total: Expr, around: Sequence[Statement]) -> tuple[Expr, Expr]:
    """``max[i] max(min(e, c), d)`` takes the bounds of the greatest e, if there is any: what is reduced, and what the
    result is then, ``around`` being the loops.
    """
    bounds: list[Op] = []
    while value.op in ("max", "min") and isinstance(body, Op) and body.name in ("max", "min"):
        first, second = body.args
        if not isinstance(second, Const):
            break
        bounds.append(body)
        body = first
    if not bounds:
        return body, total
    ranges = [one for one in statements(tuple(around)) if isinstance(one, For)]
    whole, result = bounds[0], total
    if any(set(free_indices(op("add", one.start, one.stop))) & set(value.indices) for one in ranges):
        return whole, total
    for bound in reversed(bounds):
        result = op(bound.name, result, bound.args[1])
    open_ = [op("lt", r.start, r.stop) for r in ranges if not positive(polynomial(r.stop) - polynomial(r.start))]
    return body, Select(op("and", *open_), result, identity_of(value.op, value.body.type)) if open_ else result


def _row_form(
    tensor: Tensor, equation: Equation, value: Reduce, given: Collection[Expr], windows: Set[str]
) -> tuple[Statement, ...]:
    *outer, last = equation.indices
    target = Read(tensor.id, equation.subscripts, value.type)
    first = loops((last,), (Store(tensor.id, equation.subscripts, identity_of(value.op, value.body.type)),))
    conditions, body = guarded(value)
    before, conditions = apart(conditions, (last, *value.indices))
    around, left = bounded_loops(value.indices, [c for c in conditions if last not in free_indices(c)], given)
    left = [c for c in conditions if c in left or last in free_indices(c)]  # one may keep the next in range
    extent = known(last.size)
    if extent is None or extent >= _SHORTEST_BOUNDED:
        row, left = bounded_loops((last,), left)
    else:
        row = partial(loops, (last,))
    neutral = identity_of(value.op, value.body.type)
    if left:
        body = Select(op("and", *left), body, neutral)
    *_, inner = value.indices

    def rows(places: Sequence[Expr]) -> tuple[Statement, ...]:
        found = target
        for one in places:
            found = combined(value.op, found, settled(body, {inner: one}) if one is not inner else body)
        return renamed(row((Store(tensor.id, equation.subscripts, found),)), {last: refresh(last)})

    if not conditions and is_few(inner, windows):
        around, _ = bounded_loops(value.indices[:-1], (), given)
        return loops(outer, (*first, *under(before, around(in_groups(inner, rows)))))
    return loops(outer, (*first, *under(before, around(rows((inner,))))))


# -- row form or register form ---------------------------------------------------------------------------------------


def _rows_are_contiguous(equation: Equation, value: Reduce, windows: Set[str]) -> bool:
    """Whether the innermost loop should run over the last free index: fewer reads then jump through memory, or it is
    longer."""
    if not equation.indices or not equation.is_slice or value.op in ("any", "all"):
        return False
    row, inner = equation.indices[-1], value.indices[-1]
    row_extent, extent = known(row.size), known(inner.size)
    if row_extent is not None and row_extent < 4:
        return False
    found = reads(value.body)
    row_jumps = sum(row in free_indices(read) and not is_unit(read, row) for read in found)
    inner_jumps = sum(inner in free_indices(read) and not is_unit(read, inner) for read in found)
    if row_jumps == inner_jumps == 0 and extent is not None and extent <= _SMALL_EXTENT:
        return row_extent is None or row_extent > extent
    if row_jumps == inner_jumps == 0 and is_few(inner, windows):
        return not is_few(row, windows)
    return row_jumps < inner_jumps


def is_unit(read: Read, index: Index) -> bool:
    """Whether the read's address moves by one element when the index does."""
    if not read.subscripts or any(index in free_indices(s) for s in read.subscripts[:-1]):
        return False
    parts = polynomial(read.subscripts[-1]).split(index)
    return parts is not None and parts[0].value == 1


# -- cost ------------------------------------------------------------------------------------------------------------


def volume(indices: Sequence[Index]) -> int:
    """The number of iterations, with an assumption for sizes that are not known."""
    result = 1
    for index in indices:
        result *= max(guessed(index.size), 1)
    return result


def work(equation: Equation) -> Polynomial:
    """How often the innermost loops of an equation run, whatever its conditions say."""
    value = equation.value
    if not isinstance(value, Reduce):
        return sizes_product(equation.indices)
    if omission.omitted(equation, value):
        return sizes_product(equation.indices)
    places = scatter.places(equation, value)
    return sizes_product((*(index for index in equation.indices if index not in places), *value.indices))


def sizes_product(indices: Sequence[Index]) -> Polynomial:
    """The number of iterations as a polynomial in the sizes."""
    result = polynomial(ONE)
    for index in indices:
        result = result * polynomial(index.size)
    return result
