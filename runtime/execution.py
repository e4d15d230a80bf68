"""A call made ready: for one entry and one set of sizes, everything that does not change from call to call.

A *plan* knows the shapes of all arrays, where intermediate ones lie in the workspace, and in how many shards each
region runs.  An *execution* is a workspace with its table, used by one call at a time; concurrent calls take one
each.  What is new in a call are the inputs and the large arrays that it returns, which follow each other in a tuple;
one compiled function compares them with the plan's frame, writes their addresses into the table, and runs the regions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import itemgetter
from typing import Any

import numpy as np

from dlc.runtime.boundary import check_bound
from dlc.runtime.declarations import (
    SHARDS,
    VALUE_AND_GRAD,
    VJP,
    Cotangent,
    Declaration,
    Entry,
    Sizes,
    Step,
    evaluated,
    if_known,
    shape_of,
)
from dlc.runtime.host import thresholds
from dlc.runtime.parameters import ALIGNMENT, Layout
from dlc.runtime.spares import Spares
from dlc.runtime.workspace import placed

Vector = np.ndarray[Any, Any]

#: A region of fewer scalar operations than this is run by one thread: waking the others takes longer.
PARALLEL_WORK = thresholds().parallel_work
#: Results of at most so many bytes are copied out of an array that stays in place, rather than written to a new one.
SMALL = 1 << 14


@dataclass(frozen=True, slots=True)
class Execution:
    """By their names the ``arrays`` that stay in place: what the model holds, and what is computed and not returned as
    it is, of which ``loss`` is one if the plan is plain.  ``frame`` is the address of what a call needs to know, with
    the ``table``; behind them, all is ``kept``."""

    arrays: Mapping[str, Vector]
    loss: Any
    frame: int
    table: Vector
    kept: tuple[Any, ...]


class Plan:
    """What is known of an entry's calls once the sizes are; ``hypers`` are arrays that hold one number each,
    ``states`` are what the caller keeps."""

    def __init__(
        self,
        declaration: Declaration,
        entry: Entry,
        sizes: Sizes,
        shards: int,
        layout: Layout,
        parameters: Vector,
        held: Mapping[str, Vector],
        given: Sequence[str],
        spares: Spares,
    ) -> None:
        from dlc.runtime.kernels import frames  # loads Numba, which importing a module of models need not

        self.sizes = sizes
        known = _known(declaration, entry, sizes, shards)
        #: `run(frame, id(tuple of arrays), address of gradients)`: 0 where what is given is as planned, and it ran
        self.run = frames.run
        self.regions = [(step.region, _shards_of(step, known)) for step in entry.steps]
        self._program = frames.Program(self.regions)
        arrays = {array.name: array for array in (*declaration.given, *declaration.arrays)}
        self._dtypes = {name: declaration.dtype(array.type) for name, array in arrays.items()}
        self._shapes = {name: shape_of(arrays[name], known) for name in _mentioned(declaration, entry)}
        self.slots = {name: array.slot for name, array in arrays.items()}
        self._known, self._spares = known, spares
        self._fixed = (*declaration.sizes, *declaration.derived, SHARDS)
        self._held, self._parameters, self._layout = held, parameters, layout
        sizes_of = {name: self._bytes(name) for name in entry.workspace}
        self._offsets, self._length = placed(sizes_of, entry.workspace)
        self._plan_outputs(declaration, entry)
        self._plan_inputs(declaration, entry, given)
        self.idle: list[Execution] = []

    def _plan_inputs(self, declaration: Declaration, entry: Entry, given: Sequence[str]) -> None:
        """``given``: what a call takes, in order; ``index``: places of arrays in the tuple of a call."""
        inputs = {value.name: value for value in (*declaration.inputs, *declaration.cotangents)}
        arrays = inputs | {mode.name: mode for mode in declaration.modes}
        bounds = {name: if_known(v.bound, self._known) for name, v in inputs.items() if v.bound is not None}
        self.bounded = [(name, bound, inputs[name].bound_set) for name, bound in bounds.items() if bound is not None]
        self._defaults = {
            value.name: np.full(shape_of(value, self._known), value.default, declaration.dtype(value.type))
            for value in inputs.values()
            if value.default is not None
            and value.name not in given
            and (entry.name == VJP or not isinstance(value, Cotangent))
            and all(if_known(size, self._known) is not None for size in value.sizes)
        }
        for name, bound, bound_set in self.bounded:
            if name in self._defaults:
                check_bound(name, self._defaults[name], bound, bound_set)
        self.given = tuple(given)
        #: The arrays of a call as a tuple, in order.  Raises KeyError.
        self.ordered = _in_order(self.given)
        self.index = {name: place for place, name in enumerate((*given, *(name for name, _, _ in self.fresh)))}
        shapes = [(name, shape_of(arrays[name], self._known), declaration.dtype(arrays[name].type)) for name in given]
        self._records: list[tuple[int, tuple[int, ...], np.dtype[Any], int | None]] = [
            (self.slots[name], shape, dtype, bounds.get(name)) for name, shape, dtype in (*shapes, *self.fresh)
        ]

    def _plan_outputs(self, declaration: Declaration, entry: Entry) -> None:
        """``fresh``: arrays that every call has of its own; and which places are in the flat gradient buffer;
        ``copies``: gradients of parameters that are computed elsewhere and have to be copied there."""
        given = {array.name for array in declaration.given}
        homes: dict[str, str] = {}
        self.copies: list[tuple[str, str]] = []
        self.other_gradients: dict[str, str] = {}
        self.results = _returned(entry)
        returned = set(self.results.values())
        wanted = dict.fromkeys((*entry.results.values(), *entry.updates.values()))
        for name, source in entry.gradients.items():
            if name not in self._layout.parameters:
                self.other_gradients[name] = source
                wanted[source] = None
                returned.add(source)
            elif source in given or source in entry.results.values() or source in homes:
                self.copies.append((name, source))
            else:
                homes[source] = name
        item = self._layout.dtype.itemsize
        self._gradient_slots = [
            (self.slots[source], self._layout.offsets[name] * item) for source, name in homes.items()
        ]
        self.gradient_homes = homes
        made = [
            (source, self._shapes[source], self._dtypes[source])
            for source in wanted
            if source not in given and source not in homes
        ]
        self.fresh = [array for array in made if array[0] in returned and self._bytes(array[0]) > SMALL]
        self._kept = [array for array in made if array not in self.fresh]
        self.made = frozenset(name for name, _, _ in self.fresh)
        names = (name for name in self._layout.parameters if name in entry.gradients)
        self.gradient_places = {name: self._layout.places[name] for name in names}
        self.updates = tuple(entry.updates.items())
        self.loss = next(iter(self.results.values()), "")
        self.absent = [name for name in self._layout.parameters if entry.gradients and name not in entry.gradients]

        work = (self.copies, self.other_gradients, self.updates, self.absent)
        self.is_plain = not any(work) and self.loss in {name for name, _, _ in self._kept}

    def _bytes(self, name: str) -> int:
        return _bytes(self._shapes[name], self._dtypes[name])

    # -- executions ---------------------------------------------------------------------------------------------------

    def made_anew(self) -> list[Vector]:
        return self._spares.empty((shape, dtype) for _, shape, dtype in self.fresh)

    def take(self) -> Execution:
        """An execution that no other call uses."""
        try:
            return self.idle.pop()
        except IndexError:
            return self._execution()

    def pointed(self, execution: Execution, values: Sequence[Vector], base: int) -> tuple[int, int, int]:
        """Write all addresses into the table once and for all: what regions are run with, the address of the steps,
        how many there are, and the table's."""
        table = execution.table
        for (slot, _, _, _), value in zip(self._records, values, strict=True):
            table[slot] = address(value)
        for slot, offset in self._gradient_slots:
            table[slot] = base + offset
        return address(self._program.steps), len(self._program.steps), address(table)

    def _execution(self) -> Execution:
        table = np.zeros(max((slot for slot in self.slots.values()), default=0) + len(self._fixed) + 1, np.int64)
        for slot, size in enumerate(self._fixed):
            table[slot] = self._known.get(size, 0)  # 0: of an index set that this entry does not need
        workspace = np.empty(self._length + ALIGNMENT, np.uint8)
        start = address(workspace)
        start += -start % ALIGNMENT
        for name, offset in self._offsets.items():
            table[self.slots[name]] = start + offset
        arrays = {name: self._layout.view(self._parameters, name) for name in self._layout.parameters}
        arrays |= {**self._held, **self._defaults}
        arrays |= {name: np.empty(shape, dtype) for name, shape, dtype in self._kept}
        for name, value in arrays.items():
            table[self.slots[name]] = address(value)
        frame = self._program.frame(table, self._records, self._gradient_slots)
        return Execution(arrays, arrays.get(self.loss), frame.address, table, (frame, workspace))


def _in_order(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What finds the values of these names: a call to C where there are several, as there mostly are."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda given: tuple(given[name] for name in names)


def _returned(entry: Entry) -> dict[str, str]:
    """What callers are given by name: of a loss with its gradients, nothing but the loss."""
    if entry.name.partition(".")[0] != VALUE_AND_GRAD:
        return dict(entry.results)
    name = entry.loss or next(iter(entry.results))
    return {name: entry.results[name]}


def workspace_bytes(declaration: Declaration, entry: Entry, sizes: Sizes, shards: int) -> int:
    """The length of the block in which the intermediate arrays of an entry lie."""
    known = _known(declaration, entry, sizes, shards)
    arrays = {array.name: array for array in (*declaration.given, *declaration.arrays) if array.name in entry.workspace}
    lengths = {name: _bytes(shape_of(one, known), declaration.dtype(one.type)) for name, one in arrays.items()}
    return placed(lengths, entry.workspace)[1]


def _known(declaration: Declaration, entry: Entry, sizes: Sizes, shards: int) -> dict[str, int]:
    """All sizes that can be told, derived ones and the number of shards among them."""
    derived = {name: if_known(size, sizes) for name, size in declaration.derived.items()}
    # none where the formula, |T| - 1 say, is negative: two such would be as many elements as their product says
    known = {**sizes, **{name: max(0, size) for name, size in derived.items() if size is not None}}
    known[SHARDS] = _shards(entry, known, shards)
    return known


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return prod(shape) * dtype.itemsize


def address(array: Vector) -> int:
    return array.__array_interface__["data"][0]


def _mentioned(declaration: Declaration, entry: Entry) -> list[str]:
    """The arrays whose shapes an entry needs."""
    names = [*entry.workspace, *entry.results.values(), *entry.gradients.values(), *entry.updates.values()]
    return list(dict.fromkeys(names))


def _shards(entry: Entry, sizes: Sizes, most: int) -> int:
    """All of them, or one where no region has enough work to share."""
    probe = {**sizes, SHARDS: most}
    return most if any(_is_worth(step, probe) for step in entry.steps) else 1


def _shards_of(step: Step, sizes: Sizes) -> int:
    if not step.parallel:
        return 1
    return sizes[SHARDS] if step.all_shards or _is_worth(step, sizes) else 1


def _is_worth(step: Step, sizes: Sizes) -> bool:
    return step.parallel and (step.work is None or evaluated(step.work, sizes) >= PARALLEL_WORK)
