"""Many training steps in one compiled call: for models so small that Python takes longer than their kernels.

A step is written down as a script once for every size of batch: take the samples, run the regions of the loss and its
gradients, put the next values of states in their place, run those of the optimizer. It is what ``value_and_grad`` and
``step`` do, with the same kernels in the same order, so results are equal bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.runtime.calls import EntryCall
from dlc.runtime.errors import InputError, listed
from dlc.runtime.execution import address
from dlc.runtime.parameters import Parameters, aligned_zeros

if TYPE_CHECKING:
    from dlc.runtime.modes import Modes
    from dlc.runtime.optimizer import Optimizer

Vector = np.ndarray[Any, Any]

#: Seconds after which Python may look for an interruption.
PATIENCE = 0.05


def ordered(order: Any, count: int) -> list[Vector]:
    """The passes over the samples: rows of their numbers.  Raises InputError."""
    found = np.arange(count) if order is None else np.asarray(order)
    if found.dtype.kind not in "iu" or found.ndim not in (1, 2):
        raise InputError("order should be the numbers of samples, or a row of them for each pass")
    if found.size and (found.min() < 0 or found.max() >= count):
        raise InputError(f"order has numbers of samples beyond 0 to {count - 1}")
    return list(np.ascontiguousarray(np.atleast_2d(found), np.int64))


def counted(samples: Mapping[str, Any]) -> int:
    """How many samples there are.  Raises InputError where inputs disagree."""
    shapes = {name: np.shape(array) for name, array in samples.items()}
    lengths = {shape[0] for shape in shapes.values() if shape}
    if len(lengths) != 1 or () in shapes.values():
        said = [f"{name} has shape {shape}" for name, shape in shapes.items()]
        raise InputError(f"arrays of equally many samples are asked for: {listed(said) if said else 'there is none'}")
    return lengths.pop()


def _parts(order: Vector, batch: int) -> list[tuple[Vector, int]]:
    """A pass in whole batches, and the smaller one that is left."""
    whole = len(order) // batch * batch
    parts = [(order[:whole], batch), (order[whole:], len(order) - whole)]
    return [(part, size) for part, size in parts if len(part)]


class Fit:
    """Steps of one loss with one optimizer, on samples that stay where they are."""

    def __init__(
        self,
        call: EntryCall,
        optimizer: Optimizer,
        params: Parameters,
        samples: Mapping[str, Any],
        constants: Mapping[str, Any],
        modes: Modes,
    ) -> None:
        if twice := [name for name in samples if name in constants]:
            raise InputError(f"{twice[0]} is given as an input and as a constant")
        optimizer.check_moves(params)
        self._count = counted(samples)
        self._call, self._optimizer, self._modes = call, optimizer, modes
        self._samples, self._constants = call.accepted(samples), call.accepted(constants)
        self._flat = aligned_zeros(len(params.flat), params.flat.dtype)
        self._trains = modes.train is not False
        self._own = {name: value.copy() for name, value in modes.current(self._trains).items() if name in call.modes}
        self._moves: tuple[list[tuple[int, ...]], Any] | None = None
        self._made = np.zeros((), np.int64)  # how many steps there have been

    def run(self, batch: int, order: Any) -> Vector:
        """The losses of all steps; steps end after one that is not finite."""
        if isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1:
            raise InputError(f"batch should be a whole number, 1 or more, and not {batch!r}")
        parts = [part for one in ordered(order, self._count) for part in _parts(one, int(batch))]
        losses = np.zeros(sum(len(one) // size for one, size in parts), self._flat.dtype)
        steps = {size: self._step(size, losses) for size in dict.fromkeys(size for _, size in parts)}
        first = self._modes.step
        try:
            for one, size in parts:
                for start, count in _stretches(len(one) // size):
                    steps[size][0].run(one[start * size :], size, count, int(self._made))
                    if not np.isfinite(losses[self._made - 1]):
                        return losses[: int(self._made)]
            return losses
        finally:
            self._modes.step = first + int(self._made) * self._trains

    def _step(self, size: int, losses: Vector) -> tuple[Any, Any]:
        """The script of a step on so many samples, and what it points to."""
        from dlc.runtime.kernels.scripts import COPY, COUNT, LOSS, RUN, TAKE, Script

        taken = {name: np.zeros((size, *array.shape[1:]), array.dtype) for name, array in self._samples.items()}
        one = self._call.prepared({**taken, **self._constants, **self._own}, self._flat)
        one.check_bounds({**self._samples, **self._constants})
        if self._moves is None:
            self._moves = self._optimizer.scripted(one.gradients())
        moves, kept = self._moves
        counters = [self._made, *([self._own["#step"]] if self._trains and "#step" in self._own else [])]
        lines = [
            *((TAKE, address(taken[name]), address(array), _row(array)) for name, array in self._samples.items()),
            (RUN, *one.pointed()),
            *((COPY, address(to), address(source), to.nbytes) for to, source in one.pairs(self._trains)),
            *((COUNT, address(counter)) for counter in counters),
            (LOSS, address(losses), address(one.loss), losses.itemsize),
            *moves,
        ]
        return Script(lines), (one, kept, taken)


def _row(array: Vector) -> int:
    """The bytes of a sample."""
    return prod(array.shape[1:]) * array.itemsize


def _stretches(steps: int) -> Iterator[tuple[int, int]]:
    """(first, count) of the steps that are made before Python is asked again, whether it was interrupted."""
    first, count = 0, 1
    while first < steps:
        count = min(count, steps - first)
        begun = time.perf_counter()
        yield first, count
        first += count
        if time.perf_counter() - begun < PATIENCE / 2:
            count *= 2
