"""Calling an entry: check what is given, run the plan for its sizes, hand back what was computed.

What a call costs beside its kernels is a few microseconds, so the work of a call that does not depend on the numbers is
done once for all calls with the same shapes, and kept in a ``Plan``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlc.runtime.boundary import accepted, check_bound
from dlc.runtime.declarations import VJP, Declaration, Entry, Type
from dlc.runtime.errors import InputError, listed
from dlc.runtime.execution import Plan, address
from dlc.runtime.parameters import Layout, aligned_zeros
from dlc.runtime.results import Gradients, Outputs
from dlc.runtime.sizes import bound_sizes
from dlc.runtime.threads import shards

Vector = np.ndarray[Any, Any]

#: Plans kept for an entry; beyond this the oldest is forgotten with its workspace.
MOST_PLANS = 16
#: Gradient buffers kept for reuse: two, because a loop holds one result while it asks for the next.
MOST_BUFFERS = 2


class EntryCall:
    """One entry of one model.  ``flat`` is the parameter buffer, ``hypers`` hold one number each, ``states`` are
    what the caller keeps between calls."""

    def __init__(
        self,
        declaration: Declaration,
        entry: Entry,
        layout: Layout,
        flat: Vector,
        hypers: Mapping[str, Vector],
        fixed: Mapping[str, int],
        states: Mapping[str, Vector],
    ) -> None:
        self.entry = entry
        self._declaration = declaration
        self._layout, self._flat, self._hypers, self._fixed = layout, flat, hypers, fixed
        values = (*declaration.inputs, *(declaration.cotangents if entry.name == VJP else ()))
        labels = [*((v, v.label) for v in values), *((mode, mode.name) for mode in declaration.modes)]
        self._values: list[tuple[str, str, Type, np.dtype[Any]]] = [
            (array.name, label, array.type, declaration.dtype(array.type)) for array, label in labels
        ]
        self._states = states
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._buffers: list[tuple[Vector, int]] = []
        needed = set(entry.inputs)
        self.required = frozenset(v.name for v in values if v.name in needed and v.default is None)

    # -- what a call gives --------------------------------------------------------------------------------------------

    def outputs(self, given: Mapping[str, Any]) -> Outputs:
        arrays = self._accepted(given)
        plan = self._plan(arrays)
        self._execute(plan, arrays, 0)
        return self._outputs(plan, arrays, None)

    def with_gradients(self, given: Mapping[str, Any], is_training: bool) -> tuple[Outputs, Gradients]:
        """The outputs and the gradients; a training step gives the states their next values."""
        arrays = self._accepted(given)
        plan = self._plan(arrays)
        flat, base = self._gradient_buffer()
        self._execute(plan, arrays, base)
        outputs = self._outputs(plan, arrays, flat)
        for name, source in plan.copies:
            self._layout.view(flat, name)[...] = self._found(source, plan, arrays, flat)
        for name in plan.absent:
            self._layout.view(flat, name)[...] = 0
        others = {
            name: _own(self._found(source, plan, arrays, flat), source in plan.made)
            for name, source in plan.other_gradients.items()
        }
        if is_training:
            for name, source in plan.updates:
                self._states[name][...] = self._found(source, plan, arrays, flat)
        self._keep(flat, base)
        return outputs, Gradients(self._layout, flat, plan.gradient_names, others)

    def next_states(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The next values of the states that are not updated in place, for the caller to put there."""
        arrays = self._accepted(given)
        plan = self._plan(arrays)
        self._execute(plan, arrays, 0)
        return {name: self._found(source, plan, arrays, None) for name, source in plan.updates}

    # -- a call -------------------------------------------------------------------------------------------------------

    def _accepted(self, given: Mapping[str, Any]) -> dict[str, Vector]:
        """What is given as arrays that kernels can read, in the order of declaration."""
        return {
            name: accepted(label, given[name], type_, dtype)
            for name, label, type_, dtype in self._values
            if name in given
        }

    def _plan(self, arrays: Mapping[str, Vector]) -> Plan:
        key = tuple((name, array.shape) for name, array in arrays.items())
        return self._plans.get(key) or self._new_plan(key, arrays)

    def _execute(self, plan: Plan, arrays: dict[str, Vector], base: int) -> None:
        """Run the plan; ``arrays`` then holds all that was given and made; ``base`` is where gradients go."""
        for name, default in plan.defaults.items():
            arrays.setdefault(name, default)
        for name, bound, bound_set in plan.bounded:
            if name in arrays:
                check_bound(name, arrays[name], bound, bound_set)
        for name, shape, dtype in plan.large:
            arrays[name] = np.empty(shape, dtype)
        execution = plan.take()
        table, slots, small = execution.table, plan.slots, execution.small
        for name, array in arrays.items():
            if name in small:
                small[name][...] = array
            else:
                table[slots[name]] = address(array)
        for slot, offset in plan.gradient_slots:
            table[slot] = base + offset
        plan.program(table)
        for name, shape, _ in plan.small:
            arrays[name] = small[name].copy() if shape else small[name][()]
        plan.give_back(execution)

    def _outputs(self, plan: Plan, arrays: Mapping[str, Vector], flat: Vector | None) -> Outputs:
        made = plan.made
        return Outputs(
            {name: _own(self._found(source, plan, arrays, flat), source in made) for name, source in plan.results}
        )

    def _found(self, source: str, plan: Plan, arrays: Mapping[str, Vector], flat: Vector | None) -> Vector:
        """The array of that name: given, made, a parameter, a hyper-parameter, a state, or a parameter's gradient."""
        if source in arrays:
            return arrays[source]
        if source in self._hypers:
            return self._hypers[source]
        if source in self._states:
            return self._states[source]
        if source in self._layout.parameters:
            return self._layout.view(self._flat, source)
        assert flat is not None, source
        return self._layout.view(flat, plan.gradient_homes[source])

    # -- plans --------------------------------------------------------------------------------------------------------

    def _new_plan(self, key: tuple[Any, ...], arrays: Mapping[str, Vector]) -> Plan:
        self._check_missing(arrays)
        shapes = {name: array.shape for name, array in arrays.items()}
        sizes = bound_sizes(self._declaration, shapes, self._fixed, self.entry.sizes)
        known = self._declaration, self.entry, sizes, shards(), self._layout
        plan = Plan(*known, self._flat, self._hypers, self._states)
        while len(self._plans) >= MOST_PLANS:
            self._plans.pop(next(iter(self._plans)), None)
        self._plans[key] = plan
        return plan

    def _check_missing(self, given: Mapping[str, Any]) -> None:
        known = [value.name for value in self._declaration.inputs]
        takes = f"{self._declaration.name} takes {listed(known) if known else 'nothing'}"
        missing = [name for name in known if name in self.required and name not in given]
        if missing:
            raise InputError(f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} missing: {takes}")

    # -- gradient buffers ---------------------------------------------------------------------------------------------

    def _gradient_buffer(self) -> tuple[Vector, int]:
        """A buffer that nobody else holds a view of, and its address."""
        for _ in range(len(self._buffers)):
            try:
                flat, base = self._buffers.pop(0)
            except IndexError:  # another thread was quicker
                break
            if _references(flat) == _UNSHARED:
                return flat, base
            self._keep(flat, base)
        flat = aligned_zeros(self._layout.length, self._layout.dtype)
        return flat, address(flat)

    def _keep(self, flat: Vector, base: int) -> None:
        self._buffers.append((flat, base))
        del self._buffers[:-MOST_BUFFERS]


def _own(array: Vector, is_made: bool) -> Any:
    """The array, or a copy of it if it was not made for this call; a scalar as a number."""
    if not array.ndim:
        return array[()]
    return array if is_made else array.copy()


def _references(flat: Vector) -> tuple[int, int]:
    """How many hold the buffer, and its memory."""
    return sys.getrefcount(flat), sys.getrefcount(flat.base)


def _unshared() -> tuple[int, int]:
    buffers = [(aligned_zeros(1, np.dtype(np.float32)), 0)]
    flat, _ = buffers.pop(0)
    return _references(flat)


_UNSHARED = _unshared()
