"""Numbers that may be changed on a compiled object: attributes of its class, one for each hyper-parameter."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from dlc.runtime.boundary import accepted
from dlc.runtime.declarations import Declaration, Hyper
from dlc.runtime.errors import InputError, listed, suggestion

Vector = np.ndarray[Any, Any]


class Tunable:
    """What models and optimizers have in common; ``OWN`` are the attributes that instances set themselves."""

    declaration: ClassVar[Declaration]
    OWN: ClassVar[tuple[str, ...]] = ()
    _hypers: dict[str, Vector]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for hyper in cls.__dict__["declaration"].hypers if "declaration" in cls.__dict__ else ():
            if not hasattr(cls, hyper.name):
                setattr(cls, hyper.name, _hyper_property(hyper))

    def _prepare_hypers(self) -> None:
        self._hypers = {
            hyper.name: np.array(0 if hyper.default is None else hyper.default, self.declaration.dtype(hyper.type))
            for hyper in self.declaration.hypers
        }

    def set_hyper(self, name: str, value: Any) -> None:
        """Set a hyper-parameter, as ``model.p = value`` does."""
        declared = {hyper.name: hyper for hyper in self.declaration.hypers}
        if name not in declared:
            kinds = f"hyper-parameters are {listed(declared)}" if declared else "it has no hyper-parameters"
            if name in self.declaration.sizes:
                kinds = f"sizes are given as sizes={{{name!r}: ..}}"
            raise InputError(f"{self.declaration.name} has no {name}{suggestion(name, declared) or f': {kinds}'}")
        array = accepted(name, value, declared[name].type, self._hypers[name].dtype)
        if array.ndim:
            raise InputError(f"{name} should be a single number; what was given has shape {array.shape}")
        self._hypers[name][...] = array

    @property
    def hypers(self) -> dict[str, Any]:
        """The hyper-parameters that may be changed, by name."""
        return {name: _shortest(value) for name, value in self._hypers.items()}

    def __setattr__(self, name: str, value: Any) -> None:
        """A misspelled hyper-parameter is an error; a class derived by hand may have attributes of its own."""
        own = "declaration" in type(self).__dict__
        if own and not name.startswith("_") and name not in self.OWN and not hasattr(type(self), name):
            known = [*(hyper.name for hyper in self.declaration.hypers), *self.OWN]
            raise AttributeError(f"{self.declaration.name} has no attribute {name}{suggestion(name, known)}")
        object.__setattr__(self, name, value)


def _hyper_property(hyper: Hyper) -> property:
    def read(self: Tunable) -> Any:
        return _shortest(self._hypers[hyper.name])

    def write(self: Tunable, value: Any) -> None:
        self.set_hyper(hyper.name, value)

    return property(read, write, doc=hyper.doc or None)


def _shortest(number: Vector) -> Any:
    """The value as Python's own type: a float32 as 0.3 rather than 0.30000001192."""
    value = number[()]
    return float(str(value)) if isinstance(value, np.floating) else value.item()
