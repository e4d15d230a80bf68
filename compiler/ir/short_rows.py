"""Loops along rows that have fewer elements than a vector, or may have, and may go in vectors under masks; and such as
store in several rows at once."""

from __future__ import annotations

from collections.abc import Iterator

from dlc.compiler.ir.affine import known, polynomial, step_of
from dlc.compiler.ir.conditions import conjuncts
from dlc.compiler.ir.costs import is_slow
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Select, free_indices, reads, walk
from dlc.compiler.ir.loops import For, Let, Statement, Store, Update, Var, expressions

_FEWEST, _MOST = 5, 7  # elements: four are a vector
_MUCH = 6  # operations and reads of one element, from where on a mask costs less than elements one by one
_WINDOW = 3  # elements of one tensor that are read for one
_WRITTEN_OUT = 7  # rounds of a loop inside of which nothing is left


def is_short_row(loop: For) -> bool:
    """Whether the row is shorter than a vector, its elements lie side by side in all that it touches, and take some
    arithmetic.

    A row of sums counts if each element adds several terms: adding up the vector takes as long as adding few numbers.
    """
    if not _FEWEST <= (known(loop.length) or 0) <= _MOST:
        return False
    (inner, *others) = loop.body
    if not others and isinstance(inner, For) and 1 < (known(inner.length) or 0) <= _WRITTEN_OUT:
        return _is_plain(inner.body, loop.index)
    own = {one.name for one in loop.body if isinstance(one, Var)}
    is_sum = any(isinstance(one, Update) and one.name not in own for one in loop.body)
    if is_sum or _reads_where_its_place_is(loop):
        return False
    return _is_plain(loop.body, loop.index) and _work(loop.body) >= _MUCH


def is_row_of_an_image(loop: For) -> bool:
    """Whether windows of several rows go along this one, of open length: it may be as short, or leave as much. Where it
    stores every second element, say, each has to take a choice, such as whether it was the greatest of a window: others
    are as fast one by one, and LLVM refuses those that read an element under a condition on its place.
    """
    if known(loop.length) is not None or not _is_plain(loop.body, loop.index):
        return False
    if not _rows_in_steps(loop.body, loop.index):
        return _goes_through_windows(loop)
    choices = {node for one in loop.body for e in expressions(one) for node in walk(e) if isinstance(node, Select)}
    are_by_data = all(reads(part) for choice in choices for part in conjuncts(choice.cond))
    return bool(choices) and are_by_data and _work(loop.body) >= _MUCH


def keeps_rows_apart(loop: For) -> bool:
    """Whether the loop stores in several rows of one buffer, of which it reads nothing, and no round of it stores what
    another one does: its own elements of every row.
    """
    own = {one.name for one in loop.body if isinstance(one, Let | Var)}
    stores = [one for one in loop.body if isinstance(one, Store)]
    if not all(
        isinstance(one, Let | Var | Store) or (isinstance(one, Update) and one.name in own) for one in loop.body
    ):
        return False
    stored = {(one.buffer, one.subscripts[:-1]) for one in stores}
    buffers = {name for name, _ in stored}
    if len(buffers) == len(stored) or any(not one.subscripts for one in stores):
        return False
    if buffers & {read.tensor for one in loop.body for read in reads(*expressions(one))}:
        return False
    return all(_has_its_own_places([one for one in stores if one.buffer == name], loop.index) for name in buffers)


def _has_its_own_places(stores: list[Store], index: Index) -> bool:
    """Whether a round of the loop stores elements of its own in each row."""
    if any(index in free_indices(subscript) for one in stores for subscript in one.subscripts[:-1]):
        return False
    steps = [step_of(one.subscripts[-1], index) for one in stores]
    found = [step for step in steps if step is not None]
    if len(found) < len(steps):
        return False
    return len({(step, first - first.offset) for step, first in found}) == 1 and all(
        0 <= first.offset < abs(step) for step, first in found
    )


def _is_plain(body: tuple[Statement, ...], index: Index) -> bool:
    """Whether nothing branches, and all elements lie side by side, or those of several stores together do."""
    if not all(isinstance(one, Let | Var | Update | Store) for one in body):
        return False
    if not all(_is_even(read.subscripts, index) for one in body for read in reads(*expressions(one))):
        return False
    in_steps = _rows_in_steps(body, index)
    stored = sum(isinstance(one, Store) and not _is_even(one.subscripts, index) for one in body)
    return stored == sum(map(len, in_steps.values())) and all(
        {place % step for place in places} == set(range(step)) for (_, step), places in in_steps.items()
    )


def _reads_where_its_place_is(loop: For) -> bool:
    """Whether an element is read under a condition on its place in the row, as copies with a border do: LLVM takes the
    ends of such a row apart, and refuses the mask.
    """
    choices = {node for one in loop.body for e in expressions(one) for node in walk(e) if isinstance(node, Select)}
    return any(
        loop.index in free_indices(part) and not reads(part) and any(reads(choice.yes, choice.no))
        for choice in choices
        for part in conjuncts(choice.cond)
    )


def _rows_in_steps(body: tuple[Statement, ...], index: Index) -> dict[tuple[object, int], list[int]]:
    """The rows of which every second element is stored, say, with the step, and where in a step each store stands."""
    found: dict[tuple[object, int], list[int]] = {}
    for one in body:
        if not isinstance(one, Store) or not one.subscripts:
            continue
        *outer, last = one.subscripts
        place = step_of(last, index)
        if place is not None and place[0] > 1 and not any(index in free_indices(subscript) for subscript in outer):
            step, first = place
            row = (one.buffer, *outer, first - first.offset)
            found.setdefault((row, step), []).append(first.offset)
    return found


def _goes_through_windows(loop: For) -> bool:
    """Whether several elements near each other are read for each, in more than one row, and nothing takes longer than
    that. Rows of images are short; those of sequences are long, and masks would cost more than they save. So they would
    where rows of a matrix are added to one.
    """
    if _adds_up_rows(loop):
        return False
    nodes = {node for one in loop.body for e in expressions(one) for node in walk(e)}
    moving = [one for one in nodes if isinstance(one, Read) and loop.index in free_indices(one)]
    rows = {(one.tensor, one.subscripts[:-1]) for one in moving}
    most = max((len([one for one in moving if one.tensor == name]) for name, _ in rows), default=0)
    is_image = len({name for name, _ in rows}) < len(rows)
    return is_image and most >= _WINDOW and not any(map(is_slow, nodes))


def _adds_up_rows(loop: For) -> bool:
    """Whether all of it adds to rows, element by element, what stands above and below one another."""
    stores = [one for one in loop.body if isinstance(one, Store)]
    if len(stores) < len(loop.body) or not all(any(_is_place(r, one) for r in reads(one.value)) for one in stores):
        return False
    along = [places[-1] for one in stores for places in _places(one) if places]
    return len({place for place in along if loop.index in free_indices(place)}) == 1


def _is_place(read: Read, store: Store) -> bool:
    return read.tensor == store.buffer and read.subscripts == store.subscripts


def _places(statement: Statement) -> Iterator[tuple[Expr, ...]]:
    """The subscripts of all that the statement touches."""
    if isinstance(statement, Store):
        yield statement.subscripts
    yield from (read.subscripts for read in reads(*expressions(statement)))


def _is_even(subscripts: tuple[Expr, ...], index: Index) -> bool:
    """Whether the next element of the row is the next in memory, or the same."""
    if not any(index in free_indices(subscript) for subscript in subscripts):
        return True
    *outer, last = subscripts
    parts = polynomial(last).split(index)
    is_row = parts is not None and parts[0].value == 1
    return is_row and not any(index in free_indices(subscript) for subscript in outer)


def _work(body: tuple[Statement, ...]) -> int:
    nodes = [node for one in body for e in expressions(one) for node in walk(e)]
    return sum(
        (isinstance(node, Op | Select) and node.type != "int") or (isinstance(node, Read) and bool(node.subscripts))
        for node in nodes
    )
