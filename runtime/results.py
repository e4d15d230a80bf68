"""What a call gives back: named arrays that belong to the caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dlc.runtime.errors import suggestion
from dlc.runtime.parameters import Place

Vector = np.ndarray[Any, Any]


class Outputs(Mapping[str, Any]):
    """The outputs of a call by name: ``out.logits`` or ``out["logits"]``.  Numbers come as NumPy scalars."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return object.__getattribute__(self, "_values")[name]
        except KeyError:
            raise AttributeError(f"there is no output {name}{suggestion(name, self._values)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def __getstate__(self) -> dict[str, Any]:
        return self._values

    def __setstate__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __repr__(self) -> str:
        return _described("Outputs", self._values)


class Gradients(Mapping[str, Vector]):
    """The gradients of a call by the names of parameters, and of inputs where the model was compiled for them.

    ``flat`` has the layout of the parameters, and zeros where the gradient of a parameter was not asked for.
    """

    __slots__ = ("_others", "_places", "flat")

    def __init__(self, flat: Vector, places: dict[str, Place], others: dict[str, Any]) -> None:
        self.flat = flat
        self._places = places
        self._others = others

    def __getitem__(self, name: str) -> Vector:
        if name in self._places:
            place, shape = self._places[name]
            return self.flat[place] if shape is None else self.flat[place].reshape(shape)
        if name in self._others:
            return self._others[name]
        raise KeyError(f"there is no gradient of {name}{suggestion(name, self)}")

    def __iter__(self) -> Iterator[str]:
        yield from self._places
        yield from self._others

    def __len__(self) -> int:
        return len(self._places) + len(self._others)

    def __repr__(self) -> str:
        return _described("Gradients", dict(self))


def _described(kind: str, values: Mapping[str, Any]) -> str:
    """``Outputs(loss=2.31, logits: float32[64, 10])``."""
    parts = [
        f"{name}: {value.dtype}{list(value.shape)}" if np.ndim(value) else f"{name}={value}"
        for name, value in values.items()
    ]
    return f"{kind}({', '.join(parts)})"
