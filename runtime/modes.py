"""How a call runs: whether it trains, and the seed and the step that its random numbers are made from.

A random number is a function of seed, step, tensor and place, so the same three give the same numbers.  The step counts
the training steps: ``value_and_grad`` takes the next one, unless it is told which; everything else looks at the
current one without moving it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from dlc.runtime.errors import InputError

#: What a call may be told by these names, where the model has no input that is called so.
SETTINGS = ("train", "seed", "step")

_MOST_STEPS = 1 << 48  # what the counter of the random numbers has room for
_TRUTHS = {truth: np.array(truth) for truth in (False, True)}


@dataclass
class Modes:
    """``train`` is None where it depends on the call: ``value_and_grad`` trains, nothing else does."""

    seed: int = 0
    step: int = 0
    train: bool | None = None
    _lock: Lock = field(default_factory=Lock)

    def set(self, name: str, value: Any) -> None:
        setattr(self, name, _CHECKED[name](name, value))

    def of_call(self, told: dict[str, Any], is_training: bool) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays that kernels read; ``told`` is what the call says for itself."""
        told = {name: _CHECKED[name](name, value) for name, value in told.items()}
        train = told.get("train", self.train)
        train = is_training if train is None else train
        step = told.get("step")
        if step is None:
            step = self._next() if is_training and train else self.step
        return {"#train": _TRUTHS[train], "#seed": _word(told.get("seed", self.seed)), "#step": np.array(step)}

    def current(self, trains: bool) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays that kernels read in the next step."""
        return {"#train": _TRUTHS[trains], "#seed": _word(self.seed), "#step": np.array(self.step)}

    def counted(self) -> bool:
        """Whether ``value_and_grad`` trains, where it is told nothing; if so, its step is counted."""
        if self.train is False:
            return False
        with self._lock:
            self.step += 1
        return True

    def _next(self) -> int:
        """The step, which then counts one more; of two threads each gets its own."""
        with self._lock:
            step = self.step
            self.step = step + 1
        return step

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
