"""What the numeric tests share: a case, random inputs for it, and its values and gradients in three ways.

    expected      PyTorch in float64, by automatic differentiation of an independent formula
    interpreted   the compiler's graphs, evaluated by the interpreter of the graph language: no kernel is compiled
    compiled      the kernels

All three give a `Results`: the outputs by name, and the gradients by every parameter and every real input. A layer is
differentiated with random cotangents, which are inputs named `d_` and the output; a model by its loss.

Without PyTorch the first way is missing, and `torch` below skips the module that imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.random import Generator

from dlc.compiler import library, pipeline, semantics
from dlc.compiler.ir.graph import Graph, Tensor
from dlc.compiler.ir.reference import evaluate, size_value
from dlc.compiler.syntax.parse import parse_text

Array = np.ndarray[Any, Any]
Draw = Callable[[Generator, tuple[int, ...]], Array]

EXACT = 1e-9
"""The tolerance of float64."""
SINGLE = 2e-4
"""The tolerance of float32."""


def __getattr__(name: str) -> Any:
    if name != "torch":
        raise AttributeError(name)
    return pytest.importorskip(
        "torch", reason="PyTorch is what values are compared with: pip install -e '.[reference]'"
    )


@dataclass(frozen=True)
class Case:
    """A spec, what it should compute, and the sizes to try.

    `reference` takes a namespace of PyTorch tensors (parameters too: `fc1.w` is `t["fc1.w"]`) and gives the outputs in
    their order; those of a model begin with the loss. `draws` make inputs that are not just standard normal.
    """

    name: str
    text: str
    reference: Callable[[Any], Any]
    sizes: tuple[Mapping[str, int], ...]
    draws: Mapping[str, Draw] = field(default_factory=dict)
    definition: str = ""

    def __str__(self) -> str:
        return self.name


class Results(NamedTuple):
    outputs: dict[str, Array]
    gradients: dict[str, Array]


class Tensors(SimpleNamespace):
    """`t.x`, and `t["fc1.w"]` for a name with a dot."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


# --- graphs -----------------------------------------------------------------------------------------------------------


def library_text(module: str) -> str:
    """A module of the standard library, `nn.conv`."""
    path = library.find_module(module)
    assert path is not None, module
    return path.read_text(encoding="utf-8")


@cache
def graph_of(text: str, definition: str = "", sizes: tuple[tuple[str, int], ...] = ()) -> Graph:
    """The graph of a definition in a spec, of the first one if none is named, with some sizes fixed."""
    file = parse_text(text)
    return semantics.elaborate(file, definition or file.definitions[0].name.text, semantics.Loader(), dict(sizes))


_ENTRIES: dict[int, tuple[Graph, dict[str, Graph]]] = {}


def entries_of(graph: Graph) -> dict[str, Graph]:
    """The finished graphs, differentiated by all parameters and real inputs; made once for a graph."""
    if id(graph) not in _ENTRIES:
        _ENTRIES[id(graph)] = graph, pipeline.entries(graph, wrt="*")
    return _ENTRIES[id(graph)][1]


_PLAIN: dict[int, tuple[Graph, dict[str, Graph]]] = {}


def plain_entries_of(graph: Graph) -> dict[str, Graph]:
    """The same before the passes that make them fast: what they take and give is soon known."""
    if id(graph) not in _PLAIN:
        _PLAIN[id(graph)] = graph, pipeline.entries(graph, wrt="*", off=pipeline.OPTIONAL)
    return _PLAIN[id(graph)][1]


# --- inputs -----------------------------------------------------------------------------------------------------------


def inputs_of(case: Case, graph: Graph, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Array]:
    """Random values for every input, parameter and cotangent: normal reals, elements of the set, fair booleans."""
    random = np.random.default_rng(seed)
    tensors = (*graph.of_kind("input", "parameter"), *_cotangents(graph))
    return {tensor.id: _drawn(tensor, case.draws.get(tensor.id), sizes, random) for tensor in tensors}


def _cotangents(graph: Graph) -> Sequence[Tensor]:
    entries = plain_entries_of(graph)
    return next(iter(entry.of_kind("cotangent") for name, entry in entries.items() if name != "forward"), [])


def _drawn(tensor: Tensor, draw: Draw | None, sizes: Mapping[str, int], random: Generator) -> Array:
    shape = tuple(size_value(size, sizes) for size in tensor.sizes)
    if draw is not None:
        return np.asarray(draw(random, shape))
    if tensor.type == "bool":
        return random.random(shape) < 0.5
    if tensor.type == "int":
        assert tensor.bound is not None, f"{tensor.id} has no set: give the case a draw"
        return random.integers(0, size_value(tensor.bound, sizes), shape)
    # rounded to float32, so that every precision is given the same numbers
    return np.asarray(random.standard_normal(shape)).astype(np.float32).astype(np.float64)


# --- three ways -------------------------------------------------------------------------------------------------------


def expected(case: Case, graph: Graph, inputs: Mapping[str, Array]) -> Results:
    torch = __getattr__("torch")
    tensors = {name: torch.tensor(value) for name, value in inputs.items()}
    moving = [name for name, tensor in tensors.items() if _is_moving(graph, name, tensor)]
    for name in moving:
        tensors[name].requires_grad_()
    found = case.reference(Tensors(**tensors))
    found = found if isinstance(found, tuple) else (found,)
    outputs = dict(zip(output_names(graph), found, strict=True))
    scalar = (
        outputs[output_names(graph)[0]]
        if graph.objectives
        else sum((outputs[one.output] * tensors[one.id]).sum() for one in _cotangents(graph))
    )
    found = torch.autograd.grad(scalar, [tensors[name] for name in moving], allow_unused=True)
    gradients = {
        name: np.zeros(np.shape(inputs[name])) if gradient is None else gradient.numpy()
        for name, gradient in zip(moving, found, strict=True)
    }
    return Results({name: value.detach().numpy() for name, value in outputs.items()}, gradients)


def _is_moving(graph: Graph, name: str, tensor: Any) -> bool:
    return name in graph.tensors and tensor.dtype.is_floating_point


def interpreted(graph: Graph, inputs: Mapping[str, Array]) -> Results:
    entries = entries_of(graph)
    forward = entries["forward"]
    values = evaluate(forward, {name: inputs[name] for name in inputs if name in forward.tensors})
    outputs = {output.name: values[output.tensor] for output in forward.outputs}
    backward = next(entry for name, entry in entries.items() if name != "forward")
    values = evaluate(backward, {name: inputs[name] for name in inputs if name in backward.tensors})
    return Results(outputs, {gradient.tensor: values[gradient.adjoint] for gradient in backward.gradients})


def forward(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of the graph as semantics gives it: what the spec says, before any pass."""
    values = evaluate(graph, inputs, wanted=[output.tensor for output in graph.outputs])
    return {output.name: values[output.tensor] for output in graph.outputs}


def output_names(graph: Graph) -> list[str]:
    return [output.name for output in plain_entries_of(graph)["forward"].outputs]


# --- agreement --------------------------------------------------------------------------------------------------------


def assert_agree(actual: Results, wanted: Results, tolerance: float) -> None:
    """Equal shapes, and differences of at most `tolerance` beside the largest element of each tensor."""
    assert list(actual.outputs) == list(wanted.outputs)
    assert set(actual.gradients) == set(wanted.gradients)
    for name, value in wanted.outputs.items():
        assert_close(actual.outputs[name], value, tolerance, name)
    for name, value in wanted.gradients.items():
        assert_close(actual.gradients[name], value, tolerance, f"gradient of {name}")


def assert_close(actual: Any, wanted: Any, tolerance: float, name: str = "") -> None:
    scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
    assert np.shape(actual) == np.shape(wanted), name
    np.testing.assert_allclose(actual, wanted, tolerance, tolerance * scale, err_msg=name)
