"""A call whose arrays are chosen once: what is left of it is one compiled call.

::

    step = model.bind(x=x, target=t)
    x[...] = ..                 # other numbers in the same place
    loss = step()
    step.gradients["w"]         # the same array each time, of the last call
"""

from __future__ import annotations

from typing import Any

from dlc.runtime.calls import Prepared
from dlc.runtime.errors import InputError
from dlc.runtime.modes import Modes


class BoundStep:
    """``value_and_grad`` on arrays that stay where they are; one thread at a time may call it.

    It is a training step as ``value_and_grad`` is, and what is given is checked in each call.
    """

    __slots__ = ("_arguments", "_arrays", "_counted", "_finish", "_loss", "_modes", "_prepared", "_run", "gradients")

    def __init__(self, prepared: Prepared, arrays: dict[str, Any], modes: Modes) -> None:
        self._prepared, self._arrays, self._modes = prepared, arrays, modes
        self._run, self._arguments = prepared.plan.run, prepared.arguments
        self._counted, self._finish = modes.counted, None if prepared.plan.is_plain else prepared.finish
        self._loss = prepared.loss
        #: Overwritten by every call.
        self.gradients = prepared.gradients()

    def __call__(self) -> Any:
        """The loss; raises InputError where an integer is out of bounds, or an array has another shape than before."""
        trains = self._counted()
        if self._run(*self._arguments):
            self._report()
        if self._finish is not None:
            self._finish(trains)
        return self._loss[()]

    def _report(self) -> None:
        self._prepared.check_bounds(self._arrays)
        raise InputError("an array of a bound step has changed its shape: bind it again")


class BoundModedStep(BoundStep):
    """The same of a model with random tensors, or which does other things when it trains."""

    __slots__ = ()

    def __call__(self) -> Any:
        modes = self._modes.of_call({}, True)
        for name, value in modes.items():
            if name in self._arrays:
                self._arrays[name][...] = value
        if self._run(*self._arguments):
            self._report()
        self._prepared.finish(bool(modes["#train"]))
        return self._loss[()]
