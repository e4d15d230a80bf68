"""Optimisers over the flat buffers of parameters and gradients, in place and in their own precision."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any, Protocol

import numpy as np

Vector = np.ndarray[Any, Any]


class Optimiser(Protocol):
    """``step`` moves the parameters, given the gradient at them; both are flat and stay in place."""

    def step(self, parameters: Vector, gradient: Vector) -> None: ...


class SGD:
    """Steepest descent, with Polyak's momentum: ``u <- momentum*u + g``, ``θ <- θ - lr*u``."""

    def __init__(self, size: int, dtype: np.dtype[Any], lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr, self.momentum = lr, momentum
        self._velocity = np.zeros(size, dtype)
        self._scratch = np.empty(size, dtype)

    def step(self, parameters: Vector, gradient: Vector) -> None:
        self._velocity *= self.momentum
        self._velocity += gradient
        np.multiply(self._velocity, self.lr, out=self._scratch)
        parameters -= self._scratch


class Adam:
    """Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1."""

    def __init__(
        self,
        size: int,
        dtype: np.dtype[Any],
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self._steps = 0
        self._mean, self._square = np.zeros(size, dtype), np.zeros(size, dtype)
        self._scratch, self._other = np.empty(size, dtype), np.empty(size, dtype)

    def step(self, parameters: Vector, gradient: Vector) -> None:
        self._steps += 1
        scratch, other = self._scratch, self._other
        # m <- β1 m + (1 - β1) g
        self._mean *= self.beta1
        np.multiply(gradient, 1 - self.beta1, out=scratch)
        self._mean += scratch
        # v <- β2 v + (1 - β2) g²
        self._square *= self.beta2
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 1 - self.beta2
        self._square += scratch
        # θ <- θ - lr (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + ε)
        np.sqrt(self._square, out=scratch)
        scratch *= 1 / sqrt(1 - self.beta2**self._steps)
        scratch += self.eps
        np.divide(self._mean, scratch, out=other)
        other *= self.lr / (1 - self.beta1**self._steps)
        parameters -= other


OPTIMISERS: dict[str, Callable[..., Optimiser]] = {"sgd": SGD, "adam": Adam}
