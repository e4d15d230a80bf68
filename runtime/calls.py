"""Calling an entry: check what is given, run the plan for its sizes, hand back what was computed.

The work of a call that does not depend on the numbers is done once for all calls with the same shapes, and kept in a
``Plan``.  A call first tries the plans that arrays of these names were run by before, whose compiled function looks at
the arrays itself: it is only where none of them fits that Python looks at what was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from sys import getrefcount
from typing import Any

import numpy as np

from dlc.runtime.boundary import accepted, check_bound
from dlc.runtime.declarations import VJP, Declaration, Entry, Type
from dlc.runtime.errors import InputError, listed
from dlc.runtime.execution import Execution, Plan, address
from dlc.runtime.parameters import Layout, aligned_zeros
from dlc.runtime.results import Gradients, Outputs
from dlc.runtime.sizes import bound_sizes
from dlc.runtime.spares import Spares
from dlc.runtime.threads import shards

Vector = np.ndarray[Any, Any]

#: Plans kept for an entry; beyond this the oldest is forgotten with its workspace.
MOST_PLANS = 16
#: Plans that are tried before Python looks at what was given.
MOST_TRIED = 4
#: Gradient buffers kept for reuse: two, because a loop holds one result while it asks for the next.
MOST_BUFFERS = 2
_TURNS = range(MOST_BUFFERS)


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
        self._tried: dict[int, tuple[Plan, ...]] = {}
        self._buffers: list[tuple[Vector, int]] = []
        self.modes = frozenset(mode.name for mode in declaration.modes)
        self._spares = Spares()
        needed = set(entry.inputs)
        self.required = frozenset(v.name for v in values if v.name in needed and v.default is None)

    # -- what a call gives --------------------------------------------------------------------------------------------

    def outputs(self, given: Mapping[str, Any]) -> Outputs:
        plan, execution, values = self._executed(given, 0)
        outputs = self._outputs(plan, execution, values, None)
        plan.idle.append(execution)
        return outputs

    def with_gradients(self, given: Mapping[str, Any], is_training: bool) -> tuple[Outputs, Gradients]:
        """The outputs and the gradients; a training step gives the states their next values."""
        buffer = self._gradient_buffer()
        flat, base = buffer
        plan, execution, values = self._executed(given, base)
        outputs = self._outputs(plan, execution, values, flat)
        others = self._finished(plan, execution, values, flat, is_training)
        plan.idle.append(execution)
        self._buffers.append(buffer)
        return outputs, Gradients(flat, plan.gradient_places, others)

    def value_and_grad(self, given: Mapping[str, Any], is_training: bool) -> tuple[Any, Gradients]:
        """The loss and the gradients, as ``with_gradients``."""
        buffer = self._gradient_buffer()
        flat, base = buffer
        plan, execution, values = self._executed(given, base)
        if plan.is_plain:
            loss, others = execution.loss[()], _NOTHING
        else:
            loss = _own(self._found(plan.loss, plan, execution, values, flat), False)
            others = self._finished(plan, execution, values, flat, is_training)
        plan.idle.append(execution)
        self._buffers.append(buffer)
        return loss, Gradients(flat, plan.gradient_places, others)

    def next_states(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The next values of the states that are not updated in place, for the caller to put there."""
        plan, execution, values = self._executed(given, 0)
        found = {name: _own(self._found(source, plan, execution, values, None), False) for name, source in plan.updates}
        plan.idle.append(execution)
        return found

    # -- calls that are made later -----------------------------------------------------------------------------------

    def prepared(self, given: Mapping[str, Any], flat: Vector) -> Prepared:
        """A call on these arrays, with the gradients in `flat`, that is made when somebody likes."""
        arrays = self.accepted(given)
        plan = self._plan(arrays)
        values = (*arrays.values(), *plan.made_anew())
        execution = plan.take()
        return Prepared(self, plan, execution, values, flat)

    def regions(self, given: Mapping[str, Any]) -> tuple[Any, Vector, Any]:
        """The regions with their shards, after a run, the table that they read, and what must be kept meanwhile."""
        buffer = self._gradient_buffer()
        plan, execution, values = self._executed(given, buffer[1])
        return plan.regions, execution.table, (buffer, plan, execution, values, given)

    # -- a call -------------------------------------------------------------------------------------------------------

    def _executed(self, given: Mapping[str, Any], base: int) -> tuple[Plan, Execution, tuple[Any, ...]]:
        """The plan that was run, with its execution, which the caller gives back, and the arrays that were its own.

        ``base`` is where gradients go.
        """
        for plan in self._tried.get(len(given), ()):
            try:
                values = plan.ordered(given)
            except KeyError:  # a plan for others
                continue
            if plan.fresh:
                values = (*values, *plan.made_anew())
            execution = plan.take()
            if not plan.run(execution.frame, id(values), base):
                return plan, execution, values
            plan.idle.append(execution)
        return self._executed_after_checks(given, base)

    def _executed_after_checks(self, given: Mapping[str, Any], base: int) -> tuple[Plan, Execution, tuple[Any, ...]]:
        arrays = self.accepted(given)
        plan = self._plan(arrays)
        execution = plan.take()
        values = (*arrays.values(), *plan.made_anew())
        if plan.run(execution.frame, id(values), base):
            plan.idle.append(execution)
            for name, bound, bound_set in plan.bounded:
                if name in arrays:
                    check_bound(name, arrays[name], bound, bound_set)
            raise InputError("what was given has been changed by another thread meanwhile")
        self._remember(plan)
        return plan, execution, values

    def _remember(self, plan: Plan) -> None:
        """Calls with as many arrays try the plan first."""
        count = len(plan.given)
        others = [one for one in self._tried.get(count, ()) if one is not plan and one in self._plans.values()]
        self._tried[count] = (plan, *others)[:MOST_TRIED]

    def accepted(self, given: Mapping[str, Any]) -> dict[str, Vector]:
        """What is given as arrays that kernels can read, in the order of declaration."""
        return {
            name: accepted(label, given[name], type_, dtype)
            for name, label, type_, dtype in self._values
            if name in given
        }

    def _plan(self, arrays: Mapping[str, Vector]) -> Plan:
        key = tuple((name, array.shape) for name, array in arrays.items())
        return self._plans.get(key) or self._new_plan(key, arrays)

    def _outputs(self, plan: Plan, execution: Execution, values: tuple[Any, ...], flat: Vector | None) -> Outputs:
        return Outputs(
            {
                name: _own(self._found(source, plan, execution, values, flat), source in plan.made)
                for name, source in plan.results.items()
            }
        )

    def _finished(
        self, plan: Plan, execution: Execution, values: tuple[Any, ...], flat: Vector, is_training: bool
    ) -> dict[str, Any]:
        """Complete the step; the gradients that no parameter has are given back."""
        others = {
            name: _own(self._found(source, plan, execution, values, flat), source in plan.made)
            for name, source in plan.other_gradients.items()
        }
        self._complete(plan, execution, values, flat, is_training)
        return others

    def _complete(
        self, plan: Plan, execution: Execution, values: tuple[Any, ...], flat: Vector, is_training: bool
    ) -> None:
        """Complete the gradients of parameters, and put the next values of states in their place."""
        for name, source in plan.copies:
            self._layout.view(flat, name)[...] = self._found(source, plan, execution, values, flat)
        for name in plan.absent:
            self._layout.view(flat, name)[...] = 0
        for name, source in plan.updates if is_training else ():
            self._states[name][...] = self._found(source, plan, execution, values, flat)

    def _found(
        self, source: str, plan: Plan, execution: Execution, values: tuple[Any, ...], flat: Vector | None
    ) -> Vector:
        """The array of that name: given, made anew, one that stays in place, or a parameter's gradient."""
        if source in plan.index:
            return values[plan.index[source]]
        if source in execution.arrays:
            return execution.arrays[source]
        assert flat is not None, source
        return self._layout.view(flat, plan.gradient_homes[source])

    # -- plans --------------------------------------------------------------------------------------------------------

    def _new_plan(self, key: tuple[Any, ...], arrays: Mapping[str, Vector]) -> Plan:
        self._check_missing(arrays)
        shapes = {name: array.shape for name, array in arrays.items()}
        sizes = bound_sizes(self._declaration, shapes, self._fixed, self.entry.sizes)
        known = self._declaration, self.entry, sizes, shards(), self._layout
        plan = Plan(*known, self._flat, {**self._hypers, **self._states}, tuple(arrays), self._spares)
        while len(self._plans) >= MOST_PLANS:
            old = self._plans.pop(next(iter(self._plans)), None)
            self._tried = {count: tuple(one for one in plans if one is not old) for count, plans in self._tried.items()}
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
        """A buffer that nobody else holds a view of, and its address; the caller puts it back."""
        buffers = self._buffers
        for _ in _TURNS:
            try:
                buffer = buffers.pop(0)
            except IndexError:  # none is left
                break
            flat = buffer[0]
            if getrefcount(flat) == _UNSHARED:
                return buffer
            buffers.append(buffer)
        del buffers[: -MOST_BUFFERS + 1]
        flat = _held_by_views(aligned_zeros(self._layout.length, self._layout.dtype))
        return flat, address(flat)


class Prepared:
    """A call with all its arrays, which stay where they are.  One thread at a time may make it."""

    def __init__(
        self, call: EntryCall, plan: Plan, execution: Execution, values: tuple[Vector, ...], flat: Vector
    ) -> None:
        self.plan, self.execution, self.flat = plan, execution, flat
        self._call, self._values = call, values
        #: `run(*arguments)` gives 0 if it ran.
        self.arguments = execution.frame, id(values), address(flat)

    def check_bounds(self, arrays: Mapping[str, Vector]) -> None:
        """Raises InputError where an array has an integer that is no element of its index set."""
        for name, bound, bound_set in self.plan.bounded:
            if name in arrays:
                check_bound(name, arrays[name], bound, bound_set)

    def pointed(self) -> tuple[int, int, int]:
        """What its regions are run with, by a script."""
        return self.plan.pointed(self.execution, self._values, address(self.flat))

    def found(self, source: str) -> Vector:
        """The array of that name."""
        return self._call._found(source, self.plan, self.execution, self._values, self.flat)

    def finish(self, is_training: bool) -> None:
        self._call._complete(self.plan, self.execution, self._values, self.flat, is_training)

    @property
    def loss(self) -> Vector:
        return self.found(self.plan.loss)

    def pairs(self, is_training: bool) -> list[tuple[Vector, Vector]]:
        """(to, from): what has to be copied after the regions, in this order."""
        layout = self._call._layout
        copies = [(layout.view(self.flat, name), self.found(source)) for name, source in self.plan.copies]
        updates = self.plan.updates if is_training else ()
        return [*copies, *((self._call._states[name], self.found(source)) for name, source in updates)]

    def gradients(self) -> Gradients:
        """Those of parameters and of inputs, as arrays that stay."""
        layout = self._call._layout
        views = {name: layout.view(self.flat, name) for name in self.plan.gradient_places}
        others = {name: self.found(source) for name, source in self.plan.other_gradients.items()}
        return Gradients(self.flat, {}, {**views, **others})

    def __del__(self) -> None:
        self.plan.idle.append(self.execution)


def _own(array: Vector, is_made: bool) -> Any:
    """The array, or a copy of it if it was not made for this call; a scalar as a number."""
    if not array.ndim:
        return array[()]
    return array if is_made else array.copy()


def _held_by_views(array: Vector) -> Vector:
    """The same memory, as an array that all its views hold: they hold the one at the end of the row of bases."""
    return np.asarray(array.data)


def _unshared() -> int:
    """How many references there are to a buffer when nobody else holds it, or a view of it."""
    buffers = [(_held_by_views(aligned_zeros(1, np.dtype(np.float32))), 0)]
    buffer = buffers.pop(0)
    flat = buffer[0]
    return getrefcount(flat)


_UNSHARED = _unshared()
_NOTHING: dict[str, Any] = {}
