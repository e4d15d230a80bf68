"""Golden numbers: what a spec computes, kept in a `.golden` file beside it and compared on demand.

Every model (or layer) of the spec is compiled in float64 and run once on random inputs and parameters, drawn from a
seed; the file holds the sizes that were chosen for open index sets, and of every output and gradient its shape, its
sum, the sum of its absolute values, and some of its elements (all, if they are few). So a change of the compiler that
changes a number shows, and one that only reorders sums does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlc.compiler import driver, files
from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.runtime.declarations import SHARDS, Declaration, Input, Parameter, evaluated, shape_of
from dlc.runtime.model import Model
from dlc.runtime.optimizer import Optimizer

SUFFIX = ".golden"
SEED = 0
TOLERANCE = 1e-7  # of an array's mean absolute value: float64 leaves room for other orders of summation
MOST_VALUES = 16
ATTEMPTS = 1000

Summary = dict[str, Any]


def golden_path(spec: Path) -> Path:
    """The golden file of the spec in the file `spec`."""
    return spec.with_suffix(SUFFIX)


def update(spec: str) -> str:
    """Write the golden file where it differs; a line that says so, or nothing. Sizes that it has are kept, so that they
    may be chosen by hand, where small ones make a matrix singular, say.
    """
    path = golden_path(files.find_argument(spec))
    before = files.read_spec(path).text if path.exists() else ""
    text = _text(numbers(spec, _sizes(before)))
    if before == text:
        return ""
    files.write_text(path, text)
    return f"wrote {path}\n"


def _sizes(text: str) -> dict[str, dict[str, int]]:
    """The sizes that a golden file has for each model; none, if it cannot be read."""
    try:
        return {name: model["sizes"] for name, model in json.loads(text)["models"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def difference(spec: str) -> str:
    """Every number that is not as expected, a line each; raises `CompileError` (DL921, DL922) without a golden file."""
    path = golden_path(files.find_argument(spec))
    if not path.exists():
        raise CompileError(NoGoldenFile(None, str(path), spec))
    try:
        expected = json.loads(files.read_spec(path).text)["models"]
        sizes = {name: model["sizes"] for name, model in expected.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CompileError(BadGoldenFile(None, str(path), spec)) from error
    lines = _differences(expected, numbers(spec, sizes)["models"])
    return "".join(f"{spec}: {line}\n" for line in lines)


def _text(found: Mapping[str, Any]) -> str:
    """JSON with a line for each array, so that a difference between two files shows which changed."""
    models = []
    for name, model in found["models"].items():
        groups = [f'      "sizes": {json.dumps(model["sizes"])}']
        for group in ("outputs", "gradients"):
            rows = [f"        {json.dumps(key)}: {json.dumps(value)}" for key, value in model[group].items()]
            groups.append(
                f'      "{group}": {{\n' + ",\n".join(rows) + "\n      }" if rows else f'      "{group}": {{}}'
            )
        models.append(f"    {json.dumps(name)}: {{\n" + ",\n".join(groups) + "\n    }")
    head = f'{{\n  "seed": {SEED},\n  "real": "float64",\n  "models": {{\n'
    return head + ",\n".join(models) + "\n  }\n}\n"


# --- what a spec computes ---------------------------------------------------------------------------------------------


def numbers(spec: str, sizes: Mapping[str, Mapping[str, int]] | None = None) -> dict[str, Any]:
    """The summary of every model of the spec, with these `sizes` of open index sets, or small ones."""
    module = driver.load(spec, dtype="float64", wrt="*")
    kinds = {name: getattr(module, name) for name in module.__all__ if isinstance(getattr(module, name), type)}
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        if issubclass(kind, Optimizer):
            found[name] = {"sizes": {}, **_optimizer_numbers(kind)}
        else:
            found[name] = _model_numbers(kind, (sizes or {}).get(name))
    return {"models": found}


def _model_numbers(kind: type[Model], sizes: Mapping[str, int] | None) -> dict[str, Any]:
    declaration = kind.declaration
    chosen = dict(sizes) if sizes is not None and _is_complete(sizes, declaration) else small_sizes(declaration)
    model = kind(sizes=chosen)
    model.train = True  # what does nothing otherwise is pinned too
    for name, value in model.params.items():
        value[...] = _random(name).normal(0, 0.3, value.shape)
    given = {value.name: drawn(value, chosen, declaration) for value in declaration.inputs}
    entries = {entry.name for entry in declaration.entries}
    objectives = declaration.objectives
    outputs = dict(model.forward(given)) if "forward" in entries else {}
    gradients: Mapping[str, Any] = {}
    if len(objectives) == 1:
        outputs["loss"], gradients = model.value_and_grad(given)
    elif objectives:
        steps = {name: model.value_and_grad(name, given) for name in objectives}
        outputs.update((name, loss) for name, (loss, _) in steps.items())
        gradients = {f"{name}: {key}": value for name, (_, found) in steps.items() for key, value in found.items()}
    elif "vjp" in entries:
        weights = {c.output: drawn(c, chosen, declaration) for c in declaration.cotangents}
        _, gradients = model.vjp(weights, **given)
    return {
        "sizes": chosen,
        "outputs": {name: summary(value) for name, value in outputs.items()},
        "gradients": {name: summary(value) for name, value in gradients.items()},
    }


class _Point(Model):
    """What the optimizers of a spec are run on."""

    declaration = Declaration("Point", "float64", parameters=(Parameter("a", 0, (3, 2)), Parameter("b", 0)))


def _optimizer_numbers(kind: type[Optimizer]) -> dict[str, Any]:
    """The parameters and what the optimizer keeps after three steps."""
    point = _Point()
    random = _random(kind.declaration.name)
    for value in point.params.values():
        value[...] = random.normal(0, 0.3, value.shape)
    optimizer = kind(point)
    for _ in range(3):
        optimizer.step({name: random.normal(size=value.shape) for name, value in point.params.items()})
    found = {**point.params, **optimizer.state.named()}
    return {"outputs": {name: summary(value) for name, value in found.items()}, "gradients": {}}


def _is_complete(sizes: Mapping[str, int], declaration: Declaration) -> bool:
    return set(sizes) == set(declaration.sizes) and all(type(size) is int for size in sizes.values())


def small_sizes(declaration: Declaration) -> dict[str, int]:
    """Small numbers, all different where that may be, for the open index sets: the first that the model allows."""
    for candidate in _candidates(len(declaration.sizes)):
        chosen = dict(zip(declaration.sizes, candidate, strict=True))
        if _are_allowed(chosen, declaration):
            return chosen
    raise CompileError(NoSizes(None, declaration.name))


def _candidates(count: int) -> Iterator[list[int]]:
    """Rising numbers, falling ones (a kernel's set often stands behind the image's), then any."""
    for smallest in (3, 8, 16):
        rising = list(range(smallest, smallest + count))
        yield rising
        yield rising[::-1]
    random = np.random.default_rng(SEED)
    for _ in range(ATTEMPTS):
        yield [int(size) for size in random.integers(1, 17, count)]


def _are_allowed(sizes: dict[str, int], declaration: Declaration) -> bool:
    """Whether what the model requires holds, and no array is empty."""
    if any(evaluated(requirement.value, sizes) < 0 for requirement in declaration.requirements):
        return False
    bounds = (evaluated(value.bound, sizes) for value in declaration.inputs if value.bound is not None)
    arrays = (*declaration.given, *declaration.arrays)
    derived = {name: evaluated(size, sizes) for name, size in declaration.derived.items()}
    known = {**sizes, **derived, SHARDS: 1}
    return all(bound > 0 for bound in bounds) and all(length > 0 for a in arrays for length in shape_of(a, known))


def _random(name: str) -> np.random.Generator:
    """A generator of its own for each array, so that one more input does not change the others."""
    return np.random.default_rng([SEED, *name.encode("utf-8", "surrogatepass")])


def drawn(value: Input, sizes: Mapping[str, int], declaration: Declaration) -> np.ndarray[Any, Any]:
    """Seeded numbers for an input."""
    shape, random = shape_of(value, sizes), _random(value.name)
    if value.type == "real":
        return random.normal(size=shape)
    bound = 2 if value.bound is None else evaluated(value.bound, sizes)
    return random.integers(0, bound, shape).astype(declaration.dtype(value.type))


def summary(value: Any) -> Summary:
    """What the file holds of an array: enough to notice any change."""
    array = np.asarray(value, np.float64)
    flat = array.ravel()
    step = -(-flat.size // MOST_VALUES) if flat.size else 1
    return {
        "shape": list(array.shape),
        "sum": float(flat.sum()),
        "absolute": float(np.abs(flat).sum()),
        "every": step,
        "values": [float(number) for number in flat[::step]],
    }


# --- comparing --------------------------------------------------------------------------------------------------------


def _differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name in [*expected, *(name for name in found if name not in expected)]:
        if name not in found or name not in expected:
            yield f"{name} is {'no model of the spec any more' if name not in found else 'not in the golden file'}"
            continue
        for group in ("outputs", "gradients"):
            here = f"{name}, {group[:-1]}"
            yield from _group_differences(here, expected[name].get(group, {}), found[name][group])


def _group_differences(here: str, expected: Mapping[str, Summary], found: Mapping[str, Summary]) -> Iterator[str]:
    for name in [*expected, *(name for name in found if name not in expected)]:
        if name not in found or name not in expected:
            yield f"{here} {name} is {'missing' if name not in found else 'not in the golden file'}"
        else:
            yield from (f"{here} {name}: {text}" for text in _array_differences(expected[name], found[name]))


def _array_differences(expected: Summary, found: Summary) -> Iterator[str]:
    if expected.get("shape") != found["shape"]:
        yield f"the shape was {expected.get('shape')} and is {found['shape']}"
        return
    count = max(1, math.prod(found["shape"]))
    mean = expected["absolute"] / count
    scale = TOLERANCE * (mean + 1e-12) if math.isfinite(mean) else 0.0
    for place, (before, now) in enumerate(zip(expected["values"], found["values"], strict=False)):
        if not _is_close(before, now, scale):
            where = [int(n) for n in np.unravel_index(place * found["every"], found["shape"])] if found["shape"] else []
            yield f"element {where} was {before!r} and is {now!r}"
            return
    for key, words in (("sum", "the sum"), ("absolute", "the sum of absolute values")):
        if not _is_close(expected[key], found[key], scale * count):
            yield f"{words} was {expected[key]!r} and is {found[key]!r}"
            return


def _is_close(before: float, now: float, scale: float) -> bool:
    if math.isnan(before) or math.isnan(now):
        return math.isnan(before) and math.isnan(now)
    if math.isinf(before) or math.isinf(now):
        return before == now
    return abs(before - now) <= scale + TOLERANCE * abs(before)


# --- what can be wrong ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoGoldenFile(Diagnostic):
    """There is nothing to compare with."""

    code = "DL921"
    title = "no golden file"
    path: str
    spec: str

    @property
    def message(self) -> str:
        return f"there is no golden file `{self.path}`"

    @property
    def help(self) -> str | None:
        return f"`dlc golden --update {self.spec}` writes what the spec computes now"


@dataclass(frozen=True)
class BadGoldenFile(Diagnostic):
    """The golden file is not what `--update` wrote."""

    code = "DL922"
    title = "golden file cannot be read"
    path: str
    spec: str

    @property
    def message(self) -> str:
        return f"`{self.path}` is no golden file"

    @property
    def help(self) -> str | None:
        return f"`dlc golden --update {self.spec}` writes it anew"


@dataclass(frozen=True)
class NoSizes(Diagnostic):
    """Small sizes were tried for the open index sets, and the model's requirements allow none of them."""

    code = "DL923"
    title = "no sizes to try"
    name: str

    @property
    def message(self) -> str:
        return f"no small sizes were found that `{self.name}` can be run with"

    @property
    def help(self) -> str | None:
        return "fix some of its index sets in the spec"
