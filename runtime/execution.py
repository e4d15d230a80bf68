"""A call made ready: for one entry and one set of sizes, everything that does not change from call to call.

A *plan* knows the shapes of all arrays, where intermediate ones lie in the workspace, and in how many shards each
region runs.  An *execution* is a workspace with its table, used by one call at a time; concurrent calls take one
each.  So a call has only to write the addresses of what is new: the inputs, and the fresh arrays that it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dlc.runtime.declarations import (
    SHARDS,
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
from dlc.runtime.parameters import ALIGNMENT, Layout
from dlc.runtime.workspace import placed

Vector = np.ndarray[Any, Any]

#: A region of fewer scalar operations than this is run by one thread: waking the others takes longer.
PARALLEL_WORK = 1 << 15
#: Arrays of at most so many bytes are copied rather than pointed to.
SMALL = 1 << 14


@dataclass(frozen=True, slots=True)
class Execution:
    """The table that regions read, the workspace that it points into, and the ``small`` arrays that stay in place:
    copying what is given into them, and results out of them, is quicker than asking NumPy for an address."""

    table: Vector
    workspace: Vector
    small: Mapping[str, Vector]


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
        hypers: Mapping[str, Vector],
        states: Mapping[str, Vector],
    ) -> None:
        from dlc.runtime.kernels import Program  # loads Numba, which importing a module of models need not

        self.sizes = sizes
        known = _known(declaration, entry, sizes, shards)
        self.program = Program([(step.region, _shards_of(step, known)) for step in entry.steps])
        arrays = {array.name: array for array in (*declaration.given, *declaration.arrays)}
        self._dtypes = {name: declaration.dtype(array.type) for name, array in arrays.items()}
        self._shapes = {name: shape_of(arrays[name], known) for name in _mentioned(declaration, entry)}
        self.slots = {name: array.slot for name, array in arrays.items()}
        self._known = known
        self._fixed = (*declaration.sizes, *declaration.derived, SHARDS)
        self._held, self._parameters, self._layout = {**hypers, **states}, parameters, layout
        self._plan_workspace(entry)
        self._plan_outputs(declaration, entry)
        values = (*declaration.inputs, *declaration.cotangents)
        bounds = [(value, if_known(value.bound, known)) for value in values if value.bound is not None]
        self.bounded = [(value.name, bound, value.bound_set) for value, bound in bounds if bound is not None]
        values = tuple(v for v in values if all(if_known(size, known) is not None for size in v.sizes))
        self.defaults = {
            value.name: np.full(shape_of(value, known), value.default, declaration.dtype(value.type))
            for value in values
            if value.default is not None and (entry.name == VJP or not isinstance(value, Cotangent))
        }
        given = [(value.name, shape_of(value, known), declaration.dtype(value.type)) for value in values]
        given += [(mode.name, (), declaration.dtype(mode.type)) for mode in declaration.modes]
        self._small_inputs = [(name, shape, dtype) for name, shape, dtype in given if _bytes(shape, dtype) <= SMALL]
        self._idle: list[Execution] = []

    def _plan_workspace(self, entry: Entry) -> None:
        sizes = {name: self._bytes(name) for name in entry.workspace}
        self._offsets, self._length = placed(sizes, entry.workspace)

    def _plan_outputs(self, declaration: Declaration, entry: Entry) -> None:
        """``large``, ``small``: arrays made anew by every call; ``gradient_slots``: places in the flat gradient
        buffer; ``copies``: gradients of parameters that are computed elsewhere and have to be copied there."""
        given = {array.name for array in declaration.given}
        homes: dict[str, str] = {}
        self.copies: list[tuple[str, str]] = []
        self.other_gradients: dict[str, str] = {}
        wanted = dict.fromkeys((*entry.results.values(), *entry.updates.values()))
        for name, source in entry.gradients.items():
            if name not in self._layout.parameters:
                self.other_gradients[name] = source
                wanted[source] = None
            elif source in given or source in entry.results.values() or source in homes:
                self.copies.append((name, source))
            else:
                homes[source] = name
        item = self._layout.dtype.itemsize
        self.gradient_slots = [
            (self.slots[source], self._layout.offsets[name] * item) for source, name in homes.items()
        ]
        self.gradient_homes = homes
        fresh = [
            (source, self._shapes[source], self._dtypes[source])
            for source in wanted
            if source not in given and source not in homes
        ]
        self.made = frozenset(name for name, _, _ in fresh)
        self.large = [array for array in fresh if self._bytes(array[0]) > SMALL]
        self.small = [array for array in fresh if self._bytes(array[0]) <= SMALL]
        self.results = list(entry.results.items())
        self.gradient_names = tuple(name for name in self._layout.parameters if name in entry.gradients)
        self.updates = list(entry.updates.items())
        self.absent = [name for name in self._layout.parameters if entry.gradients and name not in entry.gradients]

    def _bytes(self, name: str) -> int:
        return _bytes(self._shapes[name], self._dtypes[name])

    # -- executions ---------------------------------------------------------------------------------------------------

    def take(self) -> Execution:
        """An execution that no other call uses."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._execution()

    def give_back(self, execution: Execution) -> None:
        self._idle.append(execution)

    def _execution(self) -> Execution:
        table = np.zeros(max((slot for slot in self.slots.values()), default=0) + len(self._fixed) + 1, np.int64)
        for slot, size in enumerate(self._fixed):
            table[slot] = self._known.get(size, 0)  # 0: of an index set that this entry does not need
        workspace = np.empty(self._length + ALIGNMENT, np.uint8)
        start = address(workspace)
        start += -start % ALIGNMENT
        for name, offset in self._offsets.items():
            table[self.slots[name]] = start + offset
        base = address(self._parameters)
        for name, offset in self._layout.offsets.items():
            table[self.slots[name]] = base + offset * self._layout.dtype.itemsize
        for name, value in self._held.items():
            table[self.slots[name]] = address(value)
        small = {name: np.empty(shape, dtype) for name, shape, dtype in (*self.small, *self._small_inputs)}
        for name, value in small.items():
            table[self.slots[name]] = address(value)
        return Execution(table, workspace, small)


def workspace_bytes(declaration: Declaration, entry: Entry, sizes: Sizes, shards: int) -> int:
    """The length of the block in which the intermediate arrays of an entry lie."""
    known = _known(declaration, entry, sizes, shards)
    arrays = {array.name: array for array in (*declaration.given, *declaration.arrays) if array.name in entry.workspace}
    lengths = {name: _bytes(shape_of(one, known), declaration.dtype(one.type)) for name, one in arrays.items()}
    return placed(lengths, entry.workspace)[1]


def _known(declaration: Declaration, entry: Entry, sizes: Sizes, shards: int) -> dict[str, int]:
    """All sizes that can be told, derived ones and the number of shards among them."""
    derived = {name: if_known(size, sizes) for name, size in declaration.derived.items()}
    known = {**sizes, **{name: size for name, size in derived.items() if size is not None}}
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
