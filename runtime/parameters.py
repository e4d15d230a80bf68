"""The parameters of a model: one flat buffer, and a NumPy view of it under every dotted name.

Every parameter begins at a multiple of 64 bytes, as vector loads like it; the gaps are zero and stay so, which lets an
optimiser run over the whole buffer.  Gradients have the same layout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from dlc.runtime.boundary import accepted
from dlc.runtime.declarations import Declaration, Parameter, Size, Sizes, State, evaluated, shape_of
from dlc.runtime.errors import InputError, ParameterError, listed, suggestion
from dlc.runtime.initialisers import INITIALISERS, Draw, generator

Vector = np.ndarray[Any, Any]

ALIGNMENT = 64
Place = tuple[Any, tuple[int, ...] | None]
"""By what the buffer is indexed for a parameter, and the shape that is to be given to what is found."""


def aligned_zeros(count: int, dtype: np.dtype[Any]) -> Vector:
    """``count`` zeros whose address is a multiple of 64 bytes."""
    raw = np.zeros(count * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count * dtype.itemsize].view(dtype)


class Layout:
    """Where each parameter lies in the flat buffer: ``offsets`` and ``length`` count elements.

    ``within`` is the layout of a buffer that another model holds, which has all these parameters and perhaps more.
    """

    def __init__(self, declaration: Declaration, sizes: Sizes, within: Layout | None = None) -> None:
        self.dtype = declaration.dtype("real")
        self.owner = declaration.name
        self.parameters = {parameter.name: parameter for parameter in declaration.parameters}
        self.shapes = {name: known_shape(parameter, sizes) for name, parameter in self.parameters.items()}
        self.offsets: dict[str, int] = {}
        self.length = 0
        if within is not None:
            self._check_shared(within)
            self.offsets, self.length = {name: within.offsets[name] for name in self.shapes}, within.length
            return
        for name in self.shapes:
            self.offsets[name] = self.length
            self.length += self._room(name)

    def _room(self, name: str) -> int:
        step = ALIGNMENT // self.dtype.itemsize
        return -(-prod(self.shapes[name]) // step) * step

    def _check_shared(self, other: Layout) -> None:
        """Raises ParameterError for a parameter that the other has not, or has of another shape."""
        if other.dtype != self.dtype:
            raise ParameterError(f"{self.owner} is in {self.dtype}, and {other.owner} in {other.dtype}")
        missing = [name for name in self.shapes if name not in other.shapes]
        if missing:
            raise ParameterError(
                f"{self.owner} has {listed(missing)}, which {other.owner} has not: make both over the parameters of "
                f"both, {self.owner}.joint({other.owner})"
            )
        for name in self.shapes:
            self.check_alike(other, name)

    def check_alike(self, other: Layout, name: str) -> None:
        """Raises ParameterError for a parameter that has two shapes."""
        if self.shapes[name] != other.shapes[name]:
            mine, theirs = (_with_sets(one.parameters[name], one.shapes[name]) for one in (self, other))
            raise ParameterError(f"{name} has shape {mine} in {self.owner} and {theirs} in {other.owner}")

    def spans(self, names: Collection[str] = ()) -> list[slice]:
        """The runs of the flat buffer that hold these parameters (without names: all), and no others."""
        found: list[slice] = []
        for name, start in sorted(self.offsets.items(), key=lambda item: item[1]):
            if names and name not in names:
                continue
            end = start + self._room(name)
            if found and found[-1].stop == start:
                start = found.pop().start
            found.append(slice(start, end))
        return found

    @cached_property
    def places(self) -> dict[str, Place]:
        found: dict[str, Place] = {}
        for name, shape in self.shapes.items():
            start = self.offsets[name]
            place = slice(start, start + prod(shape)) if shape else (start, ...)
            found[name] = place, shape if len(shape) > 1 else None
        return found

    def view(self, flat: Vector, name: str) -> Vector:
        place, shape = self.places[name]
        return flat[place] if shape is None else flat[place].reshape(shape)


def _with_sets(parameter: Parameter, shape: tuple[int, ...]) -> str:
    """``(4, 3) [I, J]``."""
    return f"{shape} [{', '.join(parameter.sets)}]" if parameter.sets else str(shape)


def joint_layout(declarations: Sequence[Declaration], sizes: Sizes) -> Layout:
    """The parameters of several models in one buffer, each name once.  Raises ParameterError where shapes disagree."""
    first = declarations[0]
    known: dict[str, Parameter] = {}
    for declaration in declarations:
        for parameter in declaration.parameters:
            known.setdefault(parameter.name, parameter)
    names = " and ".join(declaration.name for declaration in declarations)
    made = Layout(replace(first, name=names, parameters=tuple(known.values())), sizes)
    shapes: dict[str, Layout] = {}
    for declaration in declarations:
        own = Layout(declaration, sizes)
        for name in own.shapes:
            shapes.setdefault(name, own).check_alike(own, name)
    return made


def told_sizes(declaration: Declaration, layout: Layout) -> dict[str, int]:
    """The sizes of index sets that the shapes of parameters in a layout tell."""
    found: dict[str, int] = {}
    for parameter in declaration.parameters:
        shape = layout.shapes.get(parameter.name, ())
        if len(shape) == len(parameter.sizes):
            for size, length in zip(parameter.sizes, shape, strict=True):
                if isinstance(size, str) and size in declaration.sizes:
                    found.setdefault(size, length)
    return found


def known_shape(parameter: Parameter | State, sizes: Sizes) -> tuple[int, ...]:
    """The shape of what a model holds.  Raises ParameterError where a size is missing."""
    try:
        shape = shape_of(parameter, sizes)
    except KeyError as error:
        size = error.args[0]
        raise ParameterError(
            f"the shape of {parameter.name} depends on the size of {size}: give it when compiling, or when the model "
            f"is made, sizes={{{size!r}: ..}}"
        ) from None
    if any(length < 0 for length in shape):
        raise ParameterError(f"{parameter.name} has shape {shape}: no size can be negative")
    return shape


class Parameters(Mapping[str, Vector]):
    """``parameters["fc1.w"]`` is a view: writing into it changes the model.  ``parameters["fc1.w"] = w`` copies."""

    def __init__(self, layout: Layout, flat: Vector) -> None:
        self.layout = layout
        self.flat = flat
        self._views = {name: layout.view(flat, name) for name in layout.parameters}

    def __getitem__(self, name: str) -> Vector:
        try:
            return self._views[name]
        except KeyError:
            raise KeyError(self._unknown(name)) from None

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._views:
            raise ParameterError(self._unknown(name))
        self._views[name][...] = fitting(name, value, self.layout.shapes[name], self.layout.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        lines = [f"{name}: {self.flat.dtype}{list(shape)}" for name, shape in self.layout.shapes.items()]
        return "\n".join(lines) or "no parameters"

    @property
    def count(self) -> int:
        """How many numbers the parameters hold."""
        return sum(prod(shape) for shape in self.layout.shapes.values())

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several parameters; none is changed if one does not fit."""
        unknown = [name for name in values if name not in self._views]
        if unknown:
            raise ParameterError(self._unknown(unknown[0]))
        shapes, dtype = self.layout.shapes, self.layout.dtype
        fitted = {name: fitting(name, value, shapes[name], dtype) for name, value in values.items()}
        for name, value in fitted.items():
            self._views[name][...] = value

    def _unknown(self, name: object) -> str:
        known = list(self._views)
        found = suggestion(name, known) if isinstance(name, str) else ""
        return f"there is no parameter {name}{found or _known(known)}"


def _known(names: Sequence[str]) -> str:
    return f"; there are {listed(names)}" if names else ""


def fitting(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Vector:
    """``value`` as an array of exactly that shape.  Raises ParameterError."""
    try:
        array = accepted(name, value, "real", dtype)
    except InputError as error:
        raise ParameterError(str(error)) from None
    if array.shape != shape:
        raise ParameterError(f"{name} has shape {shape}; what was given has shape {array.shape}")
    return array


def initialise(parameters: Parameters, sizes: Sizes, seed: int) -> None:
    """Set every parameter to what the spec says it starts from."""
    for name, parameter in parameters.layout.parameters.items():
        rule, *arguments = parameter.initialiser or ("zeros",)
        shape = parameters.layout.shapes[name]
        fans = (_fan(parameter.fan_in, sizes), _fan(parameter.fan_out, sizes))
        draw = Draw(generator(seed, name), shape, tuple(arguments), fans)
        try:
            parameters[name][...] = INITIALISERS[rule](draw)
        except ParameterError as error:
            raise ParameterError(f"{name} cannot be initialised: {error}") from None


def _fan(size: Size | None, sizes: Sizes) -> int | None:
    try:
        return None if size is None else evaluated(size, sizes)
    except KeyError:
        return None
