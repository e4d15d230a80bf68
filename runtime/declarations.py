"""What a compiled module says of a model, as plain data: inputs, parameters, buffers, and the regions of every entry.

A *size* is a number, the name of an index set whose size the inputs tell, or a function of all sizes
(``lambda n: 2*n["T"] + 1``) that is given a mapping from names to numbers; ``n[SHARDS]`` is the number of shards.
Every array has a *slot*: the place of its address in the table that regions read.  The first slots hold the sizes in
their order, and the number of shards after them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Sizes = Mapping[str, int]
Size = int | str | Callable[[Sizes], int]
Type = Literal["real", "int", "int32", "bool"]  # int32: of what is not seen from outside

SHARDS = "#shards"

#: The entries of a model, or of a layer; where there are several of a kind, `value_and_grad.d_loss`.
FORWARD, VALUE_AND_GRAD, VJP = "forward", "value_and_grad", "vjp"


@dataclass(frozen=True)
class Array:
    """A result, a gradient or an intermediate value."""

    name: str
    slot: int
    sizes: tuple[Size, ...] = ()
    type: Type = "real"


@dataclass(frozen=True)
class Input(Array):
    """``sets`` names the index set of each axis; integers lie in ``0 .. bound-1``, the elements of ``bound_set``."""

    sets: tuple[str, ...] = ()
    bound: Size | None = None
    bound_set: str = ""
    default: float | int | bool | None = None
    doc: str = ""

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.name


@dataclass(frozen=True)
class Cotangent(Input):
    """The weight of each element of an output in a vector-Jacobian product; ``output`` is the output's name."""

    output: str = ""

    @property
    def label(self) -> str:
        return f"the cotangent of {self.output}"


@dataclass(frozen=True)
class Parameter(Array):
    """``initialiser`` is a name of ``initialisers.INITIALISERS`` and its numbers."""

    sets: tuple[str, ...] = ()
    initialiser: tuple[Any, ...] = ()
    fan_in: Size | None = None
    fan_out: Size | None = None
    doc: str = ""


@dataclass(frozen=True)
class Hyper(Array):
    """A number that may be changed on the model."""

    default: float | int | bool | None = None
    doc: str = ""


@dataclass(frozen=True)
class Mode(Array):
    """A scalar that the model gives with each call: ``#train``, ``#seed`` or ``#step``."""


@dataclass(frozen=True)
class State(Array):
    """What a model keeps between training steps; ``initialiser`` is as of a parameter."""

    sets: tuple[str, ...] = ()
    initialiser: tuple[Any, ...] = ("zeros",)
    doc: str = ""


@dataclass(frozen=True)
class Step:
    """One region of an entry.

    ``parallel``: shards may run it side by side; ``work`` estimates its scalar operations; ``all_shards``: every shard
    must run, even one after the other, because a later region reads what each of them wrote.
    """

    region: Any
    parallel: bool = False
    work: Size | None = None
    all_shards: bool = False


@dataclass(frozen=True)
class Entry:
    """What can be called: steps in order, and which arrays are given and returned.

    ``results`` and ``gradients`` map the names that users know to arrays, ``updates`` states to their next values,
    which are put in their place after a training step; ``workspace`` tells of every intermediate array the first and
    the last step that touch it.  ``over`` are the parameters that a training step moves, if these are not all;
    ``sizes`` the index sets whose sizes must be known, likewise.
    """

    name: str
    steps: tuple[Step, ...]
    inputs: tuple[str, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    loss: str | None = None
    gradients: Mapping[str, str] = field(default_factory=dict)
    updates: Mapping[str, str] = field(default_factory=dict)
    workspace: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    over: tuple[str, ...] = ()
    sizes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Requirement:
    """``value`` must not be negative; ``message`` says what it means if it is."""

    value: Size
    message: str


@dataclass(frozen=True)
class Declaration:
    """A model or layer; ``derived`` are sizes that follow from ``sizes``."""

    name: str
    real: Literal["float32", "float64"]
    spec: str = ""
    sizes: tuple[str, ...] = ()
    derived: Mapping[str, Size] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    cotangents: tuple[Cotangent, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    hypers: tuple[Hyper, ...] = ()
    modes: tuple[Mode, ...] = ()
    states: tuple[State, ...] = ()
    arrays: tuple[Array, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    entries: tuple[Entry, ...] = ()

    def dtype(self, type: Type) -> np.dtype[Any]:
        """The dtype of arrays of that type in memory."""
        return _DTYPES[self.real if type == "real" else type]

    @property
    def objectives(self) -> dict[str, Entry]:
        """The entries that give a loss and its gradients, by the name of the loss, in the order of the spec."""
        found = [entry for entry in self.entries if entry.name.partition(".")[0] == VALUE_AND_GRAD]
        return {entry.name.partition(".")[2] or entry.loss or entry.name: entry for entry in found}

    @property
    def given(self) -> tuple[Array, ...]:
        """Everything that is not computed."""
        return (*self.inputs, *self.cotangents, *self.parameters, *self.hypers, *self.modes, *self.states)


_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "int": np.dtype(np.int64),
    "int32": np.dtype(np.int32),
    "bool": np.dtype(np.bool_),
}


def evaluated(size: Size, sizes: Sizes) -> int:
    """The number that a size is.  Raises KeyError for a size that is not known."""
    if isinstance(size, int):
        return size
    return sizes[size] if isinstance(size, str) else int(size(sizes))


def if_known(size: Size, sizes: Sizes) -> int | None:
    """The number that a size is: None if it depends on a size that is not known."""
    try:
        return evaluated(size, sizes)
    except KeyError:
        return None


def shape_of(array: Array, sizes: Sizes) -> tuple[int, ...]:
    return tuple(evaluated(size, sizes) for size in array.sizes)
