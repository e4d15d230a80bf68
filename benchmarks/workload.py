"""What is measured: a spec, the numbers that it is given, and the same formula in PyTorch (and in JAX).

Every implementation gets the same float32 numbers and gives the same list: the value (the loss of a model, the output
`y` of a layer) and the derivatives by `wrt`, in that order; a layer's are those of the sum of `d_y * y`. Without `wrt`
the value is all: a spec may compute derivatives itself. A step computes all of them anew; that of a workload of the
group `step` then moves the parameters.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Numbers = Mapping[str, Array]
Sizes = Mapping[str, int]

COTANGENT = "d_y"
GROUPS = ("table", "step", "variant", "derivative")
"""The kernels of everyday use; whole training steps; other sizes and options of both; derivatives of higher order."""


class Named(SimpleNamespace):
    """Numbers by name: `n.x`, and `n["fc1.w"]` for a name with a dot. The attributes are called as variables may be:
    torch.compile wants it so.
    """

    def __init__(self, numbers: Mapping[str, Any]) -> None:
        super().__init__(**{_variable(name): value for name, value in numbers.items()})

    def __getitem__(self, name: str) -> Any:
        return getattr(self, _variable(name))


def _variable(name: str) -> str:
    return "of_" + name.replace(".", "_") if "." in name else name


@dataclass(frozen=True)
class Case:
    """A workload at certain sizes; the label tells it from the others of the workload."""

    workload: str
    label: str
    group: str
    sizes: Sizes

    @property
    def title(self) -> str:
        return f"{self.workload} {self.label}".strip()


@dataclass(frozen=True)
class Workload:
    """`torch`, `jax` and `pytensor` map their module, the named numbers and the sizes to the value: nothing is imported
    that is not measured.
    """

    name: str
    title: str
    group: str
    spec: str  # a path, or a name of the standard library
    definition: str
    sizes: Mapping[str, Sizes]  # by label
    numbers: Callable[..., dict[str, Array]]  # sizes -> inputs, parameters and cotangents, named as in the spec
    wrt: Sequence[str]
    torch: Callable[[Any, Named, Any], Any]
    jax: Callable[[Any, Named, Any], Any] | None = None
    pytensor: Callable[[Any, Named, Any], Any] | None = None
    variants: Mapping[str, Sizes] = field(default_factory=dict)  # by label: what differs from the first of `sizes`
    fixed: Mapping[str, str] = field(default_factory=dict)  # what the compiler is told: name in the spec -> size
    layout: Callable[[dict[str, Array]], dict[str, Array]] = dict
    """The parameters as a user of the others would hold them, from those of the spec: gates in one matrix, layers
    apart. It is linear, and maps the spec's gradients to the others' as well."""
    images: bool = False  # whether four axes mean an image, which PyTorch may hold channels last

    @property
    def trains(self) -> bool:
        """Whether a step moves the parameters, by Adam."""
        return self.group == "step"

    @property
    def cases(self) -> list[Case]:
        own = [Case(self.name, label, self.group, sizes) for label, sizes in self.sizes.items()]
        first = own[0].sizes if own else {}
        return own + [Case(self.name, label, "variant", {**first, **other}) for label, other in self.variants.items()]

    def definitions(self, sizes: Sizes) -> dict[str, dict[str, int]]:
        """The arguments of `dlc.compile` that fix index sets and hyper-parameters; a size that is a truth value in the
        workload is one there."""
        kinds = {size: type(value) for own in self.sizes.values() for size, value in own.items()}
        chosen = {name: kinds[size](sizes[size]) for name, size in self.fixed.items()}
        return {
            "sizes": {name: value for name, value in chosen.items() if name[0].isupper()},
            "hyper": {name: value for name, value in chosen.items() if not name[0].isupper()},
        }


def names() -> list[str]:
    from benchmarks import workloads

    return sorted(module.name for module in pkgutil.iter_modules(workloads.__path__))


def load(name: str) -> Workload:
    return importlib.import_module(f"benchmarks.workloads.{name}").WORKLOAD


def normal(shapes: Mapping[str, Sequence[int]], scale: float = 1.0) -> dict[str, Array]:
    """Normal numbers, the same ones in every process."""
    random = np.random.default_rng(0)
    drawn = {name: random.standard_normal(tuple(shape), dtype=np.float32) for name, shape in shapes.items()}
    return {name: np.asarray(array * np.float32(scale)) for name, array in drawn.items()}


def texts(names: Sequence[str], shape: Sequence[int], vocabulary: int) -> dict[str, Array]:
    """Random words."""
    random = np.random.default_rng(0)
    return {name: random.integers(0, vocabulary, tuple(shape)) for name in names}


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """Parameters: normal numbers whose variance is one over all axes but the first; vectors are small."""
    drawn = normal(shapes)
    scales = {name: float(np.prod(shape[1:])) ** -0.5 if len(shape) > 1 else 0.1 for name, shape in shapes.items()}
    return {name: array * np.float32(scales[name]) for name, array in drawn.items()}
