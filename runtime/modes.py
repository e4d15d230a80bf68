"""How a call runs: whether it trains, and the seed and the step that its random numbers are made from.

A random number is a function of seed, step, tensor and place, so the same three give the same numbers.  The step counts
the training steps: ``value_and_grad`` takes the next one, unless it is told which; everything else looks at the
current one without moving it.
"""

from __future__ import annotations

from itertools import count
from threading import Lock
from typing import Any

import numpy as np

from dlc.runtime.errors import InputError

#: What a call may be told by these names, where the model has no input that is called so.
SETTINGS = ("train", "seed", "step")

_MOST_STEPS = 1 << 48  # what the counter of the random numbers has room for
_TRUTHS = {truth: np.array(truth) for truth in (False, True)}


class Counter:
    """A number that threads count up without a lock, which would take a third of a small model's step.  To look at it
    is to draw a number too: looks are counted, and wait for each other."""

    def __init__(self, start: int = 0) -> None:
        #: Count one more.
        self.advance = count(start).__next__
        self._looks, self._lock = 0, Lock()

    def look(self) -> int:
        with self._lock:
            value = self.advance() - self._looks
            self._looks += 1
        return value

    def take(self) -> int:
        """The number, which then counts one more: of two threads each gets its own."""
        with self._lock:
            return self.advance() - self._looks


class Modes:
    """``train`` is None where it depends on the call: ``value_and_grad`` trains, nothing else does."""

    def __init__(self, seed: int = 0, step: int = 0, train: bool | None = None) -> None:
        self.seed, self.train = seed, train
        self.step = step

    @property
    def step(self) -> int:
        return self._steps.look()

    @step.setter
    def step(self, value: int) -> None:
        self._steps = Counter(value)

    def set(self, name: str, value: Any) -> None:
        setattr(self, name, _CHECKED[name](name, value))

    def of_call(self, told: dict[str, Any], is_training: bool) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays that kernels read; ``told`` is what the call says for itself."""
        told = {name: _CHECKED[name](name, value) for name, value in told.items()}
        train = told.get("train", self.train)
        train = is_training if train is None else train
        step = told.get("step")
        if step is None:
            step = self._steps.take() if is_training and train else self.step
        return {"#train": _TRUTHS[train], "#seed": _word(told.get("seed", self.seed)), "#step": np.array(step)}

    def current(self, trains: bool) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays that kernels read in the next step."""
        return {"#train": _TRUTHS[trains], "#seed": _word(self.seed), "#step": np.array(self.step)}

    def counted(self) -> bool:
        """Whether ``value_and_grad`` trains, where it is told nothing; if so, its step is counted."""
        if self.train is False:
            return False
        self._steps.advance()
        return True

    def state(self) -> dict[str, Any]:
        return {"seed": self.seed, "step": self.step, "train": self.train}


def _word(seed: int) -> np.ndarray[Any, Any]:
    """The low 64 bits of a seed."""
    return np.array(seed % (1 << 64), np.uint64).view(np.int64)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise InputError(f"{name} should be a whole number, and not {value!r}")
    return int(value)


def _step(name: str, value: Any) -> int:
    step = _whole(name, value)
    if not 0 <= step < _MOST_STEPS:
        raise InputError(f"step should be at least 0 and below 2^48, and not {step}")
    return step


def _truth(name: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    raise InputError(f"{name} should be True, False or None, and not {value!r}")


_CHECKED = {"train": _truth, "seed": _whole, "step": _step}
