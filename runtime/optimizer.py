"""Optimizers: what a compiled module's classes for `optimizer` blocks are.

::

    opt = module.Adam(model, lr=0.01)
    loss, gradients = model.value_and_grad(x=x, target=t)
    opt.step(gradients)
    opt.lr = 0.001
    opt.save("adam.safetensors"); opt.load("adam.safetensors")

A step moves the model's parameters in place: one loop over the flat buffer, or over each piece of it where not all
parameters are moved.  What it keeps lies in flat buffers of the same layout.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import Any, NoReturn

import numpy as np

from dlc.runtime import checkpoint
from dlc.runtime.calls import EntryCall, Prepared
from dlc.runtime.declarations import Declaration
from dlc.runtime.errors import InputError, listed, suggestion
from dlc.runtime.execution import address
from dlc.runtime.hypers import Tunable
from dlc.runtime.model import Model
from dlc.runtime.parameters import Layout, Parameters, aligned_zeros, fitting
from dlc.runtime.results import Gradients

Vector = np.ndarray[Any, Any]

#: The input that says which places of the flat buffer hold an element of a parameter.
INSIDE = "#inside"


class Optimizer(Tunable):
    """The base of every compiled optimizer, which adds its ``declaration``; its first state is the parameters."""

    OWN = ("state",)
    state: OptimizerState

    def __init__(self, model: Model, over: str | Iterable[str] | None = None, **hypers: Any) -> None:
        """An optimizer of the parameters of ``model``, all that its losses are minimised over.

        ``over`` names a loss of the model, whose parameters are meant, or parameters and instances.  Raises InputError.
        """
        declaration = self.declaration
        self._prepare_hypers()
        missing = [hyper.name for hyper in declaration.hypers if hyper.default is None and hyper.name not in hypers]
        if missing:
            raise InputError(f"{declaration.name} needs {listed(missing)}: {declaration.name}(model, {missing[0]}=..)")
        for name, value in hypers.items():
            self.set_hyper(name, value)
        self._layout, self._flat = model.params.layout, model.params.flat
        if self._flat.dtype != declaration.dtype("real"):
            raise InputError(
                f"{declaration.name} is compiled for {declaration.real}, and the model's parameters are "
                f"{self._flat.dtype}: compile both alike"
            )
        self._names = _moved(model, over)
        self._spans = self._layout.spans(self._names)
        self.state = OptimizerState(declaration, self._layout, self._spans, self._names)
        inside = _inside(self._layout, self._names)
        self._pieces = [_Piece(self, span, inside[span]) for span in self._spans]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that a step moves."""
        return self._names

    def step(self, gradients: Mapping[str, Any]) -> None:
        """Move the parameters, given the gradients that ``value_and_grad`` gave.  Raises InputError."""
        flat = self._gradient(gradients)
        totals: dict[str, Any] = {}
        for number in range(len(self.declaration.entries) - 1):
            found = [piece.total(number, flat, totals) for piece in self._pieces]
            totals |= {name: sum(one[name] for one in found) for name in found[0]}
        scalars = [piece.step(flat, totals) for piece in self._pieces]
        for name, value in scalars[-1].items() if scalars else ():  # the same in all pieces
            self.state.flat(name)[...] = value

    def check_moves(self, parameters: Parameters) -> None:
        """Raises InputError where a step moves those of another model, or is not the compiled one."""
        if parameters.flat is not self._flat:
            raise InputError(f"this {self.declaration.name} moves the parameters of another model")
        if type(self).step is not Optimizer.step:
            raise InputError(f"{type(self).__name__} has a step of its own, which is not compiled")

    def scripted(self, gradients: Gradients) -> tuple[list[tuple[int, ...]], Any]:
        """A step, with gradients that are always in the same place, as a script, and what that points to."""
        from dlc.runtime.kernels.scripts import ADD, CLEAR, RUN

        flat = self._gradient(gradients)
        lines: list[tuple[int, ...]] = []
        kept: list[Any] = []
        totals: dict[str, Vector] = {}
        for number in range(len(self.declaration.entries) - 1):
            found = [piece.prepared(number, flat, totals) for piece in self._pieces]
            sums = {name: _number(one.found(source)) for one in found for name, source in one.plan.results.items()}
            lines += [(CLEAR, address(total)) for total in sums.values()]
            for one in found:
                sources = {name: one.found(source) for name, source in one.plan.results.items()}
                lines.append((RUN, *one.pointed()))
                lines += [(ADD, address(sums[name]), address(part), part.itemsize) for name, part in sources.items()]
            totals |= sums
            kept += [found, sums]
        scalars: list[tuple[Vector, Vector]] = []
        for piece in self._pieces:
            one = piece.prepared(-1, flat, totals)
            updates = piece.updates(one)
            lines += [(RUN, *one.pointed()), *_copied([pair for pair in updates if pair[0].ndim], kept)]
            scalars = [pair for pair in updates if not pair[0].ndim]  # the same in all pieces
            kept.append(one)
        return [*lines, *_copied(scalars, kept)], kept

    def _gradient(self, gradients: Mapping[str, Any]) -> Vector:
        flat = getattr(gradients, "flat", None)
        if isinstance(flat, np.ndarray) and flat.shape == self._flat.shape and flat.dtype == self._flat.dtype:
            missing = {*self._names} - {*gradients}
            if missing:
                first = next(name for name in self._names if name in missing)
                raise InputError(
                    f"the gradient of {first} is missing: say what is moved, {self.declaration.name}(model, over=..)"
                )
            return flat
        if not isinstance(gradients, Mapping):
            raise InputError(f"{self.declaration.name}.step takes the gradients by the names of parameters")
        result = np.zeros_like(self._flat)
        for name in self._names:
            if name not in gradients:
                raise InputError(f"the gradient of {name} is missing")
            shape, dtype = self._layout.shapes[name], self._layout.dtype
            self._layout.view(result, name)[...] = fitting(name, gradients[name], shape, dtype)
        return result

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what the optimizer keeps between steps to a safetensors file."""
        metadata = {"optimizer": self.declaration.name, "spec": self.declaration.spec, "format": "dlc"}
        checkpoint.write(path, self.state.named(), metadata)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Set what is kept from such a file.  Raises CheckpointError, with nothing changed, if it does not fit."""
        checkpoint.read_into(path, self.state.named(), "the optimizer")

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self.declaration.name} belongs to its model: make another for a copy, and load its state")

    def __repr__(self) -> str:
        hypers = ", ".join(f"{name}={value}" for name, value in self.hypers.items())
        return f"{self.declaration.name}({hypers})\n  moves  {listed(self._names) if self._names else 'nothing'}"


def _moved(model: Model, over: str | Iterable[str] | None) -> tuple[str, ...]:
    objectives = model.objectives
    if over is None:
        chosen = {name for names in objectives.values() for name in names}
        return tuple(name for name in model.params if name in chosen or not objectives)
    if isinstance(over, str) and over in objectives:
        return objectives[over]
    paths = (over,) if isinstance(over, str) else tuple(over)
    for path in paths:
        if not any(_is_under(name, path) for name in model.params):
            known = {*objectives, *model.params, *(name.rpartition(".")[0] for name in model.params if "." in name)}
            raise InputError(f"there is no parameter {path}{suggestion(path, sorted(known))}")
    return tuple(name for name in model.params if any(_is_under(name, path) for path in paths))


def _is_under(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")


def _inside(layout: Layout, names: Iterable[str]) -> Vector:
    """Where the flat buffer holds elements of these parameters: parameters are aligned, so there are gaps."""
    inside = np.zeros(layout.length, np.bool_)
    for name in names:
        inside[layout.offsets[name] :][: prod(layout.shapes[name])] = True
    return inside


def _number(like: Vector) -> Vector:
    """A number of that type, with room for a word."""
    return np.zeros(8 // like.itemsize, like.dtype)[:1].reshape(())


def _copied(pairs: list[tuple[Vector, Vector]], kept: list[Any]) -> list[tuple[int, ...]]:
    """Instructions that copy (to, from) at once: of two states that change places neither is lost."""
    from dlc.runtime.kernels.scripts import COPY

    first: list[tuple[int, ...]] = []
    second: list[tuple[int, ...]] = []
    for to, source in pairs:
        if any(np.may_share_memory(source, other) for other, _ in pairs):
            place = np.empty_like(source)
            kept.append(place)
            first.append((COPY, address(place), address(source), to.nbytes))
            source = place
        second.append((COPY, address(to), address(source), to.nbytes))
    return [*first, *second]


class _Piece:
    """A run of the flat buffer, with the entries made ready for its length."""

    def __init__(self, optimizer: Optimizer, span: slice, inside: Vector) -> None:
        declaration = optimizer.declaration
        self._span, self._inside = span, inside
        length: int = span.stop - span.start
        sizes: dict[str, int] = dict.fromkeys(declaration.sizes, length)
        self._states = optimizer.state.piece(span) | {declaration.states[0].name: optimizer._flat[span]}
        nothing = Layout(declaration, {})
        self._empty = aligned_zeros(0, nothing.dtype)
        self._calls = [
            EntryCall(declaration, entry, nothing, self._empty, optimizer._hypers, sizes, self._states)
            for entry in declaration.entries
        ]
        self._gradient = next((i.name for i in declaration.inputs if i.sizes and i.name != INSIDE), None)

    def total(self, number: int, flat: Vector, totals: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._calls[number].outputs(self._given(self._calls[number], flat, totals))

    def step(self, flat: Vector, totals: Mapping[str, Any]) -> dict[str, Any]:
        """Take the step; the next values of the scalars, which all pieces share, are given back."""
        call = self._calls[-1]
        found = call.next_states(self._given(call, flat, totals))
        for name, value in found.items():
            if self._states[name].ndim:
                self._states[name][...] = value
        return {name: value for name, value in found.items() if not self._states[name].ndim}

    def prepared(self, number: int, flat: Vector, totals: Mapping[str, Any]) -> Prepared:
        call = self._calls[number]
        return call.prepared(self._given(call, flat, totals), self._empty)

    def updates(self, one: Prepared) -> list[tuple[Vector, Vector]]:
        """(state, its next value) after a step that was prepared."""
        return [(self._states[name], one.found(source)) for name, source in one.plan.updates]

    def _given(self, call: EntryCall, flat: Vector, totals: Mapping[str, Any]) -> dict[str, Any]:
        known = {**totals, INSIDE: self._inside}
        if self._gradient is not None:
            known[self._gradient] = flat[self._span]
        return {name: known[name] for name in call.entry.inputs}


class OptimizerState(Mapping[str, Any]):
    """What an optimizer keeps: ``opt.state["m"]["fc1.w"]`` for what has an element for each parameter's, ``["k"]``."""

    def __init__(self, declaration: Declaration, layout: Layout, spans: Iterable[slice], names: Iterable[str]) -> None:
        self._declared = {state.name: state for state in declaration.states[1:]}
        self._layout, self._names = layout, tuple(names)
        self._starts: dict[int, int] = {}  # of each span: where its elements lie in the buffers
        length = 0
        self._spans = list(spans)
        for span in self._spans:
            self._starts[span.start] = length
            length += span.stop - span.start
        self._buffers = {
            name: aligned_zeros(length if state.sizes else 1, declaration.dtype(state.type))
            for name, state in self._declared.items()
        }
        self.reset()

    def reset(self) -> None:
        """Everything as before the first step."""
        for name, state in self._declared.items():
            _, number = state.initialiser  # a constant
            self._buffers[name][...] = number

    def flat(self, name: str) -> Vector:
        """The buffer of a state; a scalar's has no axis."""
        return self._buffers[name] if self._declared[name].sizes else self._buffers[name].reshape(())

    def piece(self, span: slice) -> dict[str, Vector]:
        """The states as a piece of the flat buffer of parameters sees them."""
        start = self._starts[span.start]
        own = slice(start, start + span.stop - span.start)
        return {name: self.flat(name)[own] if one.sizes else self.flat(name) for name, one in self._declared.items()}

    def _views(self, name: str) -> dict[str, Vector]:
        return {parameter: self._view(name, parameter) for parameter in self._names}

    def _view(self, name: str, parameter: str) -> Vector:
        place, shape = self._layout.offsets[parameter], self._layout.shapes[parameter]
        span = next(one for one in self._spans if one.start <= place < one.stop)
        start = self._starts[span.start] + place - span.start
        return self._buffers[name][start : start + prod(shape)].reshape(shape)

    def named(self) -> dict[str, Vector]:
        """Every array under the name that files have: ``m/fc1.w``, ``k``."""
        found: dict[str, Vector] = {}
        for name, state in self._declared.items():
            if state.sizes:
                found |= {f"{name}/{parameter}": view for parameter, view in self._views(name).items()}
            else:
                found[name] = self.flat(name)
        return found

    def __getitem__(self, name: str) -> Any:
        if name not in self._declared:
            raise KeyError(f"there is no state {name}{suggestion(name, self._declared)}")
        return self._views(name) if self._declared[name].sizes else self.flat(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)

    def __repr__(self) -> str:
        return f"the states {listed(self)}" if self._declared else "no states"
