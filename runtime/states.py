"""What a model keeps between its training steps: an array for every state, under its dotted name.

``model.state["bn1.m"]`` is the array itself: writing into it changes the model, assigning copies into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from dlc.runtime.boundary import accepted
from dlc.runtime.declarations import Declaration, Sizes, State
from dlc.runtime.errors import InputError, ParameterError, listed, suggestion
from dlc.runtime.initialisers import INITIALISERS, Draw, generator
from dlc.runtime.parameters import aligned_zeros, known_shape

Vector = np.ndarray[Any, Any]


class States(Mapping[str, Vector]):
    """The states of one model, as they start."""

    def __init__(self, declaration: Declaration, sizes: Sizes, seed: int = 0) -> None:
        self._declared = {state.name: state for state in declaration.states}
        self._dtypes = {name: declaration.dtype(state.type) for name, state in self._declared.items()}
        self._seed = seed
        self._arrays: dict[str, Vector] = {}
        for name, state in self._declared.items():
            shape = known_shape(state, sizes)
            self._arrays[name] = aligned_zeros(prod(shape), self._dtypes[name]).reshape(shape)
        self.reset()

    def reset(self) -> None:
        """Every state as it starts."""
        for name, state in self._declared.items():
            self._arrays[name][...] = self._start(name, state)

    def _start(self, name: str, state: State) -> Any:
        rule, *arguments = state.initialiser
        draw = Draw(generator(self._seed, name), self._arrays[name].shape, tuple(arguments), (None, None))
        return INITIALISERS[rule](draw)

    def __getitem__(self, name: str) -> Vector:
        try:
            return self._arrays[name]
        except KeyError:
            raise KeyError(self._unknown(name)) from None

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        lines = [f"{name}: {value.dtype}{list(value.shape)}" for name, value in self._arrays.items()]
        return "\n".join(lines) or "no states"

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several states; none is changed if one does not fit.  Raises ParameterError."""
        fitted = {name: self._fitting(name, value) for name, value in values.items()}
        for name, value in fitted.items():
            self._arrays[name][...] = value

    def copies(self) -> dict[str, Vector]:
        return {name: value.copy() for name, value in self._arrays.items()}

    def _fitting(self, name: str, value: Any) -> Vector:
        if name not in self._arrays:
            raise ParameterError(self._unknown(name))
        try:
            array = accepted(name, value, self._declared[name].type, self._dtypes[name])
        except InputError as error:
            raise ParameterError(str(error)) from None
        if array.shape != self._arrays[name].shape:
            raise ParameterError(f"{name} has shape {self._arrays[name].shape}; what was given has {array.shape}")
        return array

    def _unknown(self, name: object) -> str:
        found = suggestion(name, self._arrays) if isinstance(name, str) else ""
        known = f"; there are {listed(self._arrays)}" if self._arrays else ""
        return f"there is no state {name}{found or known}"
