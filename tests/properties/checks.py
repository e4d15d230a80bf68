"""What every spec must fulfil, as functions that raise, or say what is wrong; other processes may run them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from properties.author import sizes, specs
from properties.specs import RENAMED, Spec

from dlc.compiler import pipeline, semantics
from dlc.compiler.ir.graph import Graph, Tensor
from dlc.compiler.ir.reference import evaluate, size_value
from dlc.compiler.source import Source
from dlc.compiler.syntax.parse import parse

Array = np.ndarray
Arrays = dict[str, Array]

QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example)


def graph_of(text: str) -> Graph:
    return semantics.elaborate(parse(Source("random.dl", text)), "Random", semantics.Loader())


MODES: Arrays = {"#train": np.array(True), "#seed": np.array(11), "#step": np.array(4)}


def given_arrays(graph: Graph, extents: Mapping[str, int], seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    return {tensor.id: _drawn(tensor, extents, random) for tensor in graph.of_kind("input", "parameter")}


def _drawn(tensor: Tensor, extents: Mapping[str, int], random: np.random.Generator) -> Array:
    shape = [size_value(size, extents) for size in tensor.sizes]
    if tensor.type == "bool":
        return random.random(shape) < 0.5
    if tensor.type == "int":
        low, high = (-2, 5) if tensor.bound is None else (0, size_value(tensor.bound, extents))
        return random.integers(low, high, shape)
    return np.asarray(random.normal(size=shape))


def given_to(graph: Graph, arrays: Arrays) -> Arrays:
    return {name: value for name, value in (*arrays.items(), *MODES.items()) if name in graph.tensors}


def outputs(graph: Graph, arrays: Arrays, known: Mapping[str, int]) -> Arrays:
    graph = pipeline.derived(graph)
    values = evaluate(graph, given_to(graph, arrays), known, wanted=[output.tensor for output in graph.outputs])
    return {output.name: values[output.tensor] for output in graph.outputs}


def cotangents(graph: Graph, known: Mapping[str, int], seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    given = graph.of_kind("cotangent")
    return {t.id: np.asarray(random.normal(size=[size_value(s, known) for s in t.sizes])) for t in given}


def gradients(graph: Graph, arrays: Arrays, known: Mapping[str, int]) -> Arrays:
    wanted = [gradient.adjoint for gradient in graph.gradients]
    values = evaluate(graph, given_to(graph, arrays), known, wanted=wanted)
    return {gradient.tensor: values[gradient.adjoint] for gradient in graph.gradients}


def close(found: Mapping[str, Array], wanted: Mapping[str, Array], tolerance: float = 1e-9) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = max(1.0, float(np.max(np.abs(value), initial=0.0, where=np.isfinite(value))))
        np.testing.assert_allclose(found[name], value, tolerance, tolerance * scale, err_msg=name)


# -- the properties --------------------------------------------------------------------------------------------------


def passes_keep_the_meaning(spec: Spec, known: Mapping[str, int], off: Collection[str], seed: int) -> None:
    graph = graph_of(spec.text())
    arrays = given_arrays(graph, known, seed)
    entries, plain = pipeline.entries(graph, "*", off), pipeline.entries(graph, "*", pipeline.OPTIONAL)
    close(outputs(entries["forward"], arrays, known), outputs(graph, arrays, known))
    if "vjp" not in entries:
        return  # whole numbers have no derivatives
    weights = cotangents(entries["vjp"], known, seed)
    found = gradients(entries["vjp"], {**arrays, **weights}, known)
    close(found, gradients(plain["vjp"], {**arrays, **weights}, known), 1e-8)


def is_linear_in_its_cotangent(spec: Spec, known: Mapping[str, int], seed: int) -> None:
    graph = graph_of(spec.text())
    vjp = pipeline.entries(graph, "*").get("vjp")
    if vjp is None:
        return  # whole numbers have no derivatives
    arrays = given_arrays(graph, known, seed)
    first, second = cotangents(vjp, known, seed), cotangents(vjp, known, seed + 1)
    both = {name: 2 * first[name] - 3 * second[name] for name in first}
    parts = [gradients(vjp, {**arrays, **weights}, known) for weights in (first, second)]
    close(gradients(vjp, {**arrays, **both}, known), {n: 2 * parts[0][n] - 3 * parts[1][n] for n in parts[0]}, 1e-8)


def agrees_with_differences(spec: Spec, known: Mapping[str, int], seed: int) -> None:
    """Along a random direction. Left out: what is stopped, and points at a kink, where both sides differ."""
    if "stop(" in spec.text():
        return
    graph = graph_of(spec.text())
    vjp = pipeline.entries(graph, "*").get("vjp")
    if vjp is None:
        return  # whole numbers have no derivatives
    arrays, weights = given_arrays(graph, known, seed), cotangents(vjp, known, seed)
    found = gradients(vjp, {**arrays, **weights}, known)
    random = np.random.default_rng(seed + 1)
    direction = {name: random.normal(size=value.shape) for name, value in found.items()}

    def weighted(step: float) -> float:
        moved = {**arrays, **{name: arrays[name] + step * direction[name] for name in direction}}
        return sum(float(np.sum(value * weights[f"d_{name}"])) for name, value in outputs(graph, moved, known).items())

    behind, here, ahead = (weighted(step) for step in (-1e-5, 0, 1e-5))
    slope = sum(float(np.sum(found[name] * direction[name])) for name in found)
    scale = max(1.0, abs(here), abs(slope))
    if abs(ahead + behind - 2 * here) < 1e-8 * scale:
        np.testing.assert_allclose((ahead - behind) / 2e-5, slope, 1e-4, 1e-4 * scale)


def names_and_order_change_nothing(spec: Spec, known: Mapping[str, int], seed: int) -> None:
    graph = graph_of(spec.text())
    arrays = given_arrays(graph, known, seed)
    wanted = outputs(graph, arrays, known)
    close(outputs(graph_of(spec.text(exchanged=True)), arrays, known), wanted)
    renamed = {RENAMED[name]: extent for name, extent in known.items()}
    for entry in (graph_of(spec.renamed()), pipeline.entries(graph_of(spec.renamed()), "*")["forward"]):
        close(outputs(entry, arrays, renamed), wanted)


# -- many at once ----------------------------------------------------------------------------------------------------


def some_specs(count: int) -> list[tuple[Spec, dict[str, int]]]:
    """The same ones in every run."""
    found: list[tuple[Spec, dict[str, int]]] = []

    @settings(max_examples=count, deadline=None, phases=[Phase.generate], suppress_health_check=QUIET, derandomize=True)
    @given(specs(), sizes())
    def collect(spec: Spec, known: dict[str, int]) -> None:
        found.append((spec, known))

    collect()
    return found[:count]


Numbered = tuple[int, tuple[Spec, dict[str, int]], str]


def problem_of_passes(numbered: Numbered) -> str:
    """How the passes, some of them switched off, change what a spec means; or nothing."""
    number, (spec, known), _ = numbered
    off = [name for place, name in enumerate(pipeline.OPTIONAL) if number >> place & 1]
    try:
        passes_keep_the_meaning(spec, known, off, number)
    except Exception as error:
        return f"{type(error).__name__}: {error}\n{spec.text()}{known}, without {off}"
    return ""


def larger(known: Mapping[str, int]) -> dict[str, int]:
    """Sizes beyond the blocks and vectors that kernels work by, not multiples of them."""
    return {**known, "T": 9 * known["T"] + 1, "D": 4 * known["D"] + 1}


def compiled_problem(numbered: Numbered) -> str:
    """What is wrong with the compiled spec, or nothing."""
    import dlc

    number, (spec, known), folder = numbered
    known = larger(known) if number % 4 == 3 else known
    path = Path(folder) / f"random_{number}.dl"
    path.write_text(spec.text(), encoding="utf-8")
    graph = graph_of(spec.text())
    arrays = given_arrays(graph, known, number)
    vjp = pipeline.entries(graph, "*").get("vjp")
    if vjp is None:
        return ""  # whole numbers have no derivatives
    weights = cotangents(vjp, known, number)
    try:
        made = dlc.compile(path, dtype="float64", wrt="*").Random
        model = made(sizes={name: known[name] for name in made.declaration.sizes if name in known}, seed=11)
        for name in model.params:
            model.params[name][...] = arrays[name]
        inputs = {name: value for name, value in arrays.items() if name in model.inputs}
        given = {name.removeprefix("d_"): weight for name, weight in weights.items()}
        found, moved = model.vjp(given, **inputs, train=True, step=4)
        close({n: np.asarray(v) for n, v in found.items()}, outputs(graph, arrays, known), 1e-9)
        close({n: np.asarray(v) for n, v in moved.items()}, gradients(vjp, {**arrays, **weights}, known), 1e-8)
    except Exception as error:
        return f"{type(error).__name__}: {error}\n{spec.text()}{known}"
    return ""


def problems(test: Callable[[Numbered], str], count: int, folder: Path) -> list[str]:
    """What the test says of so many specs, on all cores."""
    work = zip(itertools.count(), some_specs(count), itertools.repeat(str(folder)), strict=False)
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        return [problem for problem in pool.map(test, work, chunksize=10) if problem]
