"""What is measured: a spec, the numbers that it is given, and the same formula in PyTorch (and in JAX).

Every implementation gets the same float32 numbers and gives the same list: the value (the loss of a model, the output
`y` of a layer) and the derivatives by `wrt`, in that order; a layer's are those of the sum of `d_y * y`. Without `wrt`
the value is all: a spec may compute derivatives itself. A step computes all of them anew.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Numbers = Mapping[str, Array]
Step = Callable[[], Sequence[Any]]

COTANGENT = "d_y"
IMPLEMENTATIONS = ("dlc", "torch", "torch.compile", "jax")


class Named(SimpleNamespace):
    """Numbers by name: `n.x`, and `n["fc1.w"]` for a name with a dot."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


@dataclass(frozen=True)
class Workload:
    """`torch` and `jax` map the named numbers to the value; the modules are given to them, so that nothing is imported
    that is not measured.
    """

    name: str
    title: str
    spec: str  # a path, or a name of the standard library
    definition: str
    sizes: Mapping[str, Sequence[int]]
    numbers: Callable[..., dict[str, Array]]  # sizes -> inputs, parameters and cotangents, named as in the spec
    wrt: Sequence[str]
    torch: Callable[[Any, Named], Any]
    jax: Callable[[Any, Named], Any] | None = None

    def step(self, implementation: str, sizes: Mapping[str, int], threads: int) -> Step:
        """The compiled step; raises ImportError if the implementation is not installed."""
        numbers = self.numbers(**sizes)
        maker = {"dlc": _dlc, "torch": _torch, "torch.compile": _torch_compile, "jax": _jax}[implementation]
        return maker(self, numbers, threads)


def names() -> list[str]:
    from benchmarks import workloads

    return sorted(module.name for module in pkgutil.iter_modules(workloads.__path__))


def load(name: str) -> Workload:
    return importlib.import_module(f"benchmarks.workloads.{name}").WORKLOAD


# --- implementations --------------------------------------------------------------------------------------------------


def _dlc(workload: Workload, numbers: Numbers, threads: int) -> Step:
    import dlc

    dlc.set_num_threads(threads)
    inputs_of_wrt = [name for name in workload.wrt if "." not in name]
    module = dlc.compile(workload.spec, dtype="float32", wrt=inputs_of_wrt, model=workload.definition)
    model = getattr(module, workload.definition)()
    for name in model.params:
        model.params[name][...] = numbers[name]
    inputs = {name: value for name, value in numbers.items() if name in model.inputs}
    if not workload.wrt:
        return lambda: [model.forward(inputs)["y"]]
    if COTANGENT not in numbers:

        def step() -> Sequence[Any]:
            loss, gradients = model.value_and_grad(inputs)
            return [loss, *(gradients[name] for name in workload.wrt)]

        return step

    def layer_step() -> Sequence[Any]:
        outputs, gradients = model.vjp(numbers[COTANGENT], **inputs)
        return [outputs["y"], *(gradients[name] for name in workload.wrt)]

    return layer_step


def _torch(workload: Workload, numbers: Numbers, threads: int) -> Step:
    import torch

    torch.set_num_threads(threads)
    return _torch_step(workload, numbers, workload.torch)


def _torch_compile(workload: Workload, numbers: Numbers, threads: int) -> Step:
    import torch

    torch.set_num_threads(threads)
    return _torch_step(workload, numbers, torch.compile(workload.torch))


def _torch_step(workload: Workload, numbers: Numbers, value_of: Callable[[Any, Named], Any]) -> Step:
    import torch

    tensors = {name: torch.from_numpy(value) for name, value in numbers.items()}
    moving = [tensors[name].requires_grad_() for name in workload.wrt]
    named, weight = Named(**tensors), tensors.get(COTANGENT)

    if not moving:
        return lambda: [value_of(torch, named)]

    def step() -> Sequence[Any]:
        value = value_of(torch, named)
        return [value.detach(), *torch.autograd.grad(value, moving, weight)]

    return step


def _jax(workload: Workload, numbers: Numbers, threads: int) -> Step:
    if workload.jax is None:
        raise ImportError("this workload has no formula for it")
    import jax  # pyright: ignore[reportMissingImports]

    formula = workload.jax
    fixed = {name: jax.numpy.array(value) for name, value in numbers.items() if name not in workload.wrt}
    moving = {name: jax.numpy.array(numbers[name]) for name in workload.wrt}
    if not moving:
        value_of = jax.jit(lambda fixed: formula(jax, Named(**fixed)))
        return lambda: [jax.block_until_ready(value_of(fixed))]

    @jax.jit
    def differentiated(moving: Any, fixed: Any) -> Any:
        value, pull_back = jax.vjp(lambda moving: formula(jax, Named(**moving, **fixed)), moving)
        return value, pull_back(fixed.get(COTANGENT, jax.numpy.ones_like(value)))[0]

    def step() -> Sequence[Any]:
        value, gradients = jax.block_until_ready(differentiated(moving, fixed))
        return [value, *(gradients[name] for name in workload.wrt)]

    return step
