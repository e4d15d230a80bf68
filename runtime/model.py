"""Models: what a compiled module's classes are.

::

    model = module.Mlp(seed=0, p=0.3)
    out = model.forward(x=x, target=t)                    # out.loss, out.logits
    loss, grads = model.value_and_grad(x=x, target=t)     # grads["fc1.w"]
    loss, grads = gan.value_and_grad("d_loss", x=x)       # of a model with several losses
    outputs, grads = layer.vjp({"y": dy}, x=x)            # of a layer
    model.state["bn1.m"]                                  # what is kept between training steps
    model.save("m.safetensors"); model.load("m.safetensors")

Several threads may call one model at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import numpy as np

from dlc.runtime import checkpoint
from dlc.runtime.bound import BoundModedStep, BoundStep
from dlc.runtime.calls import EntryCall
from dlc.runtime.compiled_fit import Fit
from dlc.runtime.declarations import FORWARD, VALUE_AND_GRAD, VJP, Array, Declaration, Input
from dlc.runtime.errors import InputError, listed, suggestion
from dlc.runtime.execution import workspace_bytes
from dlc.runtime.hypers import Tunable
from dlc.runtime.modes import SETTINGS, Modes
from dlc.runtime.parameters import Layout, Parameters, aligned_zeros, initialise, joint_layout, told_sizes
from dlc.runtime.results import Gradients, Outputs
from dlc.runtime.states import States
from dlc.runtime.threads import shards

if TYPE_CHECKING:
    from dlc.runtime.optimizer import Optimizer

Vector = np.ndarray[Any, Any]


class Model(Tunable):
    """The base of every compiled class, which adds its ``declaration``."""

    OWN = ("params", "state")
    params: Parameters
    state: States

    def __init__(
        self,
        seed: int = 0,
        *,
        sizes: Mapping[str, int] | None = None,
        parameters: Parameters | Model | None = None,
        **hypers: Any,
    ) -> None:
        """Initialise the parameters from ``seed``, which random numbers start from too; set hyper-parameters by name.

        ``sizes`` fixes sizes that only the inputs would tell: needed where the shape of a parameter depends on one.
        ``parameters`` are those of another model, or ``joint`` ones: they are shared by name, and stay as they are.
        Raises ParameterError where that model lacks one, or has it of another shape.
        """
        shared = parameters.params if isinstance(parameters, Model) else parameters
        self._prepare(sizes or {}, seed, shared)
        for name, value in hypers.items():
            self.set_hyper(name, value)
        self._modes.set("seed", seed)
        if shared is None:
            initialise(self.params, self._fixed, seed)

    @classmethod
    def joint(cls, *others: type[Model], seed: int = 0, sizes: Mapping[str, int] | None = None) -> Parameters:
        """The parameters of this class and of others, each name once: what several models are made over.

        ::

            parameters = module.Train.joint(module.Decode, seed=0)
            train, decode = module.Train(parameters=parameters), module.Decode(parameters=parameters)
        """
        known = dict(sizes or {})
        layout = joint_layout([cls.declaration, *(other.declaration for other in others)], known)
        made = Parameters(layout, aligned_zeros(layout.length, layout.dtype))
        initialise(made, known, seed)
        return made

    def _prepare(self, sizes: Mapping[str, int], seed: int = 0, shared: Parameters | None = None) -> None:
        declaration = self.declaration
        told = told_sizes(declaration, shared.layout) if shared is not None else {}
        self._fixed = {**told, **_checked_sizes(declaration, sizes)}
        self._layout = Layout(declaration, self._fixed, None if shared is None else shared.layout)
        flat = aligned_zeros(self._layout.length, self._layout.dtype) if shared is None else shared.flat
        self.params = Parameters(self._layout, flat)
        self._prepare_hypers()
        self.state = States(declaration, self._fixed, seed)
        calls = [
            EntryCall(declaration, entry, self._layout, self.params.flat, self._hypers, self._fixed, self.state)
            for entry in declaration.entries
        ]
        self._calls = {call.entry.name: call for call in calls}
        self._forwards = [call for call in calls if call.entry.name.split(".")[0] == FORWARD]
        self._input_names = frozenset(value.name for value in declaration.inputs)
        self._mode_names = frozenset(mode.name for mode in declaration.modes)
        self._modes = Modes()
        objectives = list(declaration.objectives.values())
        self._only = self._calls[objectives[0].name] if len(objectives) == 1 else None

    # -- calls --------------------------------------------------------------------------------------------------------

    def forward(self, given: Mapping[str, Any] | None = None, /, **inputs: Any) -> Outputs:
        """The outputs, and the loss if all that it needs is given.  Inputs are given by name, or as a mapping.

        ``train=``, ``seed=`` and ``step=`` say for this call how it runs, here and in the other calls: see ``train``.
        """
        values, _ = self._given(given, inputs, False)
        return self._outputs(values)

    def _outputs(self, values: dict[str, Any]) -> Outputs:
        for call in self._forwards:
            if call.required <= values.keys():
                return call.outputs(values)
        if not self._forwards:
            raise InputError(f"{self.declaration.name} has no output to compute")
        return self._forwards[0].outputs(values)

    def value_and_grad(
        self, objective: str | Mapping[str, Any] | None = None, given: Mapping[str, Any] | None = None, /, **inputs: Any
    ) -> tuple[Any, Gradients]:
        """The loss and its gradients with respect to the parameters, and to the inputs it was compiled for.

        ``objective`` names the loss; it may be left out where the model has one.  Inputs that this loss does not need
        may be left out, and parameters that its step does not move have no gradient.

        It is a training step, after which states have their next values, and the next call is another step: with
        ``step=`` it is not counted, with ``train=False`` it is none.
        """
        if objective is not None and not isinstance(objective, str):
            objective, given = None, objective
        call = self._only if objective is None and self._only is not None else self._objective(objective)
        values = given if type(given) is dict and not inputs else inputs
        if (given is None or values is given) and not self._mode_names and self._input_names.issuperset(values):
            return call.value_and_grad(values, self._modes.counted())
        values, trains = self._given(given, inputs, True)
        return call.value_and_grad(values, trains)

    def bind(
        self, objective: str | Mapping[str, Any] | None = None, given: Mapping[str, Any] | None = None, /, **inputs: Any
    ) -> BoundStep:
        """``value_and_grad`` with arguments that stay: ``step = model.bind(x=x, target=t)``, then ``loss = step()``.

        Arrays that fit are read where they are, in each call; others are copied once.  ``step.gradients`` are those of
        the last call.
        """
        if objective is not None and not isinstance(objective, str):
            objective, given = None, objective
        call = self._objective(objective)
        modes = self._modes.current(self._modes.train is not False)
        own = {name: modes[name].copy() for name in self._mode_names}
        arrays = call.accepted({**self._named(given, inputs), **own})
        prepared = call.prepared(arrays, aligned_zeros(self._layout.length, self._layout.dtype))
        prepared.check_bounds(arrays)
        return (BoundModedStep if own else BoundStep)(prepared, arrays, self._modes)

    def fit_compiled(
        self,
        optimizer: Optimizer,
        inputs: Mapping[str, Any],
        *,
        batch: int,
        order: Any = None,
        constants: Mapping[str, Any] | None = None,
        objective: str | None = None,
    ) -> Vector:
        """Training steps on one batch after the other, in one compiled call; the loss of each.

        ::

            order = np.array([rng.permutation(len(x)) for _ in range(epochs)])
            losses = model.fit_compiled(module.Adam(model), {"x": x, "target": t}, batch=8, order=order)

        ``inputs`` have the samples as their first axis; ``constants`` are given to every step as they are.  ``order``
        are the numbers of the samples of a pass, or a row of them for each of several; left out, it is one pass as they
        come.  The last batch of a pass may be smaller.  Every bit is as if each step were ``value_and_grad`` and then
        ``optimizer.step``.  Steps end after a loss that is not finite, of which the optimizer makes no step; Ctrl-C is
        heard between steps.
        """
        samples, fixed = self._named(inputs, {}), self._named(constants or {}, {})
        fit = Fit(self._objective(objective), optimizer, self.params, samples, fixed, self._modes)
        return fit.run(batch, order)

    def _objective(self, name: str | None) -> EntryCall:
        known = self.declaration.objectives
        if not known:
            return self._call(VALUE_AND_GRAD, "it has no loss: differentiate it with vjp")
        if name is None and len(known) > 1:
            example = f"{self.declaration.name}.value_and_grad({next(iter(known))!r}, ..)"
            raise InputError(f"{self.declaration.name} has the losses {listed(known)}: say which, {example}")
        if name is not None and name not in known:
            raise InputError(f"there is no loss {name}{suggestion(name, known) or f': there is {listed(known)}'}")
        return self._calls[known[name or next(iter(known))].name]

    def regions(self, entry: str, given: Mapping[str, Any]) -> tuple[Any, Vector, Any]:
        """The regions of an entry with their numbers of shards, after a run with these inputs (and cotangents, by their
        own names), the table that they read, and what must be kept meanwhile: for those who time them."""
        cotangents = {cotangent.name for cotangent in self.declaration.cotangents}
        inputs = {name: value for name, value in given.items() if name not in cotangents}
        values, _ = self._given(inputs, {}, True)
        return self._call(entry, "").regions({**values, **{name: given[name] for name in cotangents & {*given}}})

    def vjp(self, cotangents: Any, /, **inputs: Any) -> tuple[Outputs, Gradients]:
        """The outputs, and the gradients of the sum of ``cotangents[y] * y`` over all outputs y.

        ``cotangents`` maps outputs to arrays of their shapes; those left out count as 0.  Where there is one output,
        its array alone will do.
        """
        call = self._call(VJP, "it has a loss: differentiate it with value_and_grad")
        values, trains = self._given(None, inputs, False)
        outputs, gradients = call.with_gradients({**values, **self._weights(cotangents)}, trains)
        if not call.entry.results:
            outputs = self._outputs(values)
        return outputs, gradients

    def _call(self, entry: str, otherwise: str) -> EntryCall:
        if entry not in self._calls:
            raise InputError(f"{self.declaration.name} has no {entry}: {otherwise}")
        return self._calls[entry]

    def _given(
        self, given: Mapping[str, Any] | None, inputs: dict[str, Any], is_training: bool
    ) -> tuple[dict[str, Any], bool]:
        """What is given and how the call runs, as the kernels know it; and whether it trains."""
        told = {name: inputs.pop(name) for name in SETTINGS if name in inputs and name not in self._input_names}
        values = self._named(given, inputs)
        if self._mode_names:
            modes = self._modes.of_call(told, is_training)
            return {**values, **{name: modes[name] for name in self._mode_names}}, bool(modes["#train"])
        if told:
            return values, bool(self._modes.of_call(told, is_training)["#train"])
        return values, self._modes.counted() if is_training else self._modes.train is True

    def _named(self, given: Mapping[str, Any] | None, inputs: dict[str, Any]) -> dict[str, Any]:
        if given is not None and not isinstance(given, Mapping):
            raise InputError(f"inputs are given by name: {self.declaration.name}.forward({_example(self.declaration)})")
        values = {**given, **inputs} if given else inputs
        if values.keys() <= self._input_names:
            return values
        # Python normalises the names of arguments, as it does all identifiers
        names = {normalize("NFKC", name): name for name in sorted(self._input_names)}
        values = {names.get(name, name): value for name, value in values.items()}
        for name in values:
            if name not in self._input_names:
                takes = f": {self.declaration.name} takes {listed(self.inputs) if self.inputs else 'nothing'}"
                raise InputError(f"there is no input {name}{suggestion(name, self.inputs) or takes}")
        return values

    def _weights(self, cotangents: Any) -> dict[str, Any]:
        known = {value.output: value.name for value in self.declaration.cotangents}
        if not isinstance(cotangents, Mapping):
            if len(known) != 1:
                raise InputError(f"cotangents are given by output: a mapping with {listed(known, 'or')}")
            cotangents = {next(iter(known)): cotangents}
        for output in cotangents:
            if output not in known:
                found = suggestion(output, known) or f": there are {listed(known)}"
                raise InputError(f"there is no output {output} to give a cotangent for{found}")
        return {known[output]: value for output, value in cotangents.items()}

    # -- how calls run ------------------------------------------------------------------------------------------------

    @property
    def train(self) -> bool | None:
        """Whether calls train.  None, the default: ``value_and_grad`` does, ``forward`` and ``vjp`` do not."""
        return self._modes.train

    @train.setter
    def train(self, value: bool | None) -> None:
        self._modes.set("train", value)

    @property
    def seed(self) -> int:
        """What random numbers are made from, together with the step."""
        return self._modes.seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._modes.set("seed", value)

    @property
    def step(self) -> int:
        """How many training steps there have been: the number of the next one."""
        return self._modes.step

    @step.setter
    def step(self, value: int) -> None:
        self._modes.set("step", value)

    # -- sizes, losses and inputs -----------------------------------------------------------------------------------

    @property
    def sizes(self) -> dict[str, int | None]:
        """The size of every index set that was left open when compiling: None where each call tells it."""
        return {name: self._fixed.get(name) for name in self.declaration.sizes}

    def workspace_bytes(self, entry: str | None = None, /, **sizes: int) -> int:
        """The bytes of the intermediate arrays of a call, ``forward``, ``value_and_grad`` or ``vjp``, for inputs of
        these sizes; without an entry, of the one that needs most.
        """
        chosen = [call.entry for name, call in self._calls.items() if entry in (None, name)]
        if not chosen:
            raise InputError(f"{self.declaration.name} has no entry {entry}; it has {', '.join(self._calls)}")
        given = {**self._fixed, **sizes}
        wanting = [name for name in self.declaration.sizes if name not in given]
        if wanting:
            raise InputError(f"the size of {wanting[0]} is not given")
        return max(workspace_bytes(self.declaration, one, given, shards()) for one in chosen)

    @property
    def objectives(self) -> dict[str, tuple[str, ...]]:
        """The parameters that a step of each loss moves, by the name of the loss."""
        return {name: entry.over or tuple(self.params) for name, entry in self.declaration.objectives.items()}

    @property
    def inputs(self) -> dict[str, str]:
        """What ``forward`` takes: ``{"x": "float32[B, 784]", "target": "int64[B] in Y"}``."""
        return {value.name: _described(value, self.declaration) for value in self.declaration.inputs}

    # -- files and copies ---------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters, the states, the seed and the step to a safetensors file."""
        metadata = {"model": self.declaration.name, "spec": self.declaration.spec, "format": "dlc"}
        metadata |= {"seed": str(self.seed), "step": str(self.step)}
        checkpoint.save(path, self.params, self.state, metadata)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Set the parameters and the states from a safetensors file, and the seed and the step if it has them.

        float32 and float64 are converted into each other.  A file of another model of the same spec may hold more.
        """
        metadata = checkpoint.load(path, self.params, self.state, (self.declaration.name, self.declaration.spec))
        for name in ("seed", "step"):
            if re.fullmatch(r"-?[0-9]{1,30}", metadata.get(name, "")):
                self._modes.set(name, int(metadata[name]))

    def __getstate__(self) -> dict[str, Any]:
        params = {name: value.copy() for name, value in self.params.items()}
        kept = {"params": params, "state": self.state.copies(), "modes": self._modes.state()}
        return {"sizes": self._fixed, "hypers": self.hypers, **kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._prepare(state["sizes"])
        for name, value in state["hypers"].items():
            self.set_hyper(name, value)
        self.params.update(state["params"])
        self.state.update(state["state"])
        for name, value in state["modes"].items():
            self._modes.set(name, value)

    def __repr__(self) -> str:
        declaration = self.declaration
        count = self.params.count
        parameters = f"{count:,} in {len(self.params)} arrays of {declaration.real}" if self.params else "none"
        lines = [
            f"{declaration.name}({', '.join(f'{name}={value}' for name, value in self.hypers.items())})",
            f"  inputs      {', '.join(f'{name}: {text}' for name, text in self.inputs.items()) or 'none'}",
            f"  parameters  {parameters}",
        ]
        return "\n".join(lines)


def _checked_sizes(declaration: Declaration, sizes: Mapping[str, int]) -> dict[str, int]:
    for name, value in sizes.items():
        if name not in declaration.sizes:
            known = f": open sizes are {listed(declaration.sizes)}" if declaration.sizes else ": all sizes are fixed"
            raise InputError(f"{declaration.name} has no size {name}{suggestion(name, declaration.sizes) or known}")
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
            raise InputError(f"the size of {name} should be a whole number, 0 or more, and not {value!r}")
    return {name: int(value) for name, value in sizes.items()}


def _described(value: Array, declaration: Declaration) -> str:
    """``float32[B, 784]``."""
    sets = getattr(value, "sets", ())
    axes = [
        str(size) if isinstance(size, int | str) else (sets[axis] if axis < len(sets) else "..")
        for axis, size in enumerate(value.sizes)
    ]
    text = f"{declaration.dtype(value.type)}[{', '.join(axes)}]" if axes else str(declaration.dtype(value.type))
    bound_set = value.bound_set if isinstance(value, Input) else ""
    return f"{text} in {bound_set}" if bound_set else text


def _example(declaration: Declaration) -> str:
    return ", ".join(f"{value.name}=.." for value in declaration.inputs)
