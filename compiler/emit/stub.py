"""The ``.pyi`` file beside a module: what a type checker and an editor know of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.compiler.emit import functions
from dlc.compiler.emit.names import identifier
from dlc.compiler.emit.writer import Writer, literal
from dlc.compiler.ir.functions import ScalarFunction
from dlc.compiler.ir.loops import Program, Value

_SETTINGS = {"train": "bool | None", "seed": "int", "step": "int"}
_NUMBERS = {"real": "float", "int": "int", "bool": "bool"}


def stub(
    programs: Sequence[Program], classes: Sequence[str], real: str, exports: Mapping[str, ScalarFunction] | None = None
) -> str:
    writer = Writer()
    several = any(entry.name.startswith("value_and_grad.") for program in programs for entry in program.entries)
    typing = "from typing import Any, Literal" if several else "from typing import Any"
    optimizers = any(program.is_optimizer for program in programs)
    abc = "Iterable, Mapping" if optimizers else "Mapping"
    writer.lines((f"from collections.abc import {abc}", typing, ""))
    writer.lines(("import numpy as np", "from numpy.typing import ArrayLike, NDArray", ""))
    writer.line("from dlc.runtime.model import Model")
    if optimizers:
        writer.line("from dlc.runtime.optimizer import Optimizer")
    writer.line("from dlc.runtime.parameters import Parameters")
    writer.line("from dlc.runtime.results import Gradients, Outputs")
    for program, name in zip(programs, classes, strict=True):
        if program.is_optimizer:
            _optimizer(writer, program, name)
        else:
            _outputs(writer, program, name, real)
            _class(writer, program, name, real)
    for name, export in (exports or {}).items():
        writer.blank(2)
        writer.line(f"def {name}({_parameters(export)}) -> Any: ...")
    return writer.text()


def _parameters(export: ScalarFunction) -> str:
    spelled = functions.spelled_parameters(export)
    return ", ".join(
        f"{spelled[one.name]}: ArrayLike{'' if one.default is None else ' = ...'}" for one in export.parameters
    )


def _optimizer(writer: Writer, program: Program, name: str) -> None:
    hypers = [value for value in program.values if value.role == "hyper" and _plain(value.name)]
    given = [f"{v.name}: {_NUMBERS[v.type]}{'' if v.default is None else ' = ...'}" for v in hypers]
    named = f", *, {', '.join(given)}" if given else ""
    writer.blank(2)
    with writer.block(f"class {name}(Optimizer):"):
        writer.lines(f"{value.name}: {_NUMBERS[value.type]}" for value in hypers)
        writer.line(f"def __init__(self, model: Model, over: str | Iterable[str] | None = None{named}) -> None: ...")


def _outputs(writer: Writer, program: Program, name: str, real: str) -> None:
    writer.blank(2)
    with writer.block(f"class {name}Outputs(Outputs):"):
        entry = program.entries[0] if program.entries else None
        found = [result for result in entry.results if _plain(result.name)] if entry is not None else []
        for result in found:
            buffer = program.buffers[result.buffer]
            dtype = {"real": f"np.{real}", "int": "np.int64", "bool": "np.bool_"}[buffer.type]
            writer.line(f"{result.name}: {f'NDArray[{dtype}]' if buffer.sizes else dtype}")
        if not found:
            writer.line("...")


def _class(writer: Writer, program: Program, name: str, real: str) -> None:
    values = {role: [v for v in program.values if v.role == role] for role in ("input", "hyper")}
    hypers = [value for value in values["hyper"] if _plain(value.name)]
    entries = [entry.name for entry in program.entries]
    inputs = _arguments(values["input"])
    writer.blank(2)
    with writer.block(f"class {name}(Model):"):
        writer.lines(f"{value.name}: {_NUMBERS[value.type]}" for value in hypers)
        given = [f"{v.name}: {_NUMBERS[v.type]} = ..." for v in hypers]
        sizes = "sizes: Mapping[str, int] | None = None, parameters: Parameters | Model | None = None"
        writer.line(f"def __init__(self, seed: int = 0, *, {', '.join([sizes, *given])}) -> None: ...")
        if "forward" in entries:
            writer.line(f"def forward(self, given: Mapping[str, Any] | None = None, /{inputs}) -> {name}Outputs: ...")
        losses = [name.partition(".")[2] for name in entries if name.partition(".")[0] == "value_and_grad"]
        if losses:
            given = "given: Mapping[str, Any] | None = None, /"
            first = f"objective: Literal[{', '.join(map(literal, losses))}], " if len(losses) > 1 else ""
            result = f"tuple[np.{real}, Gradients]"
            writer.line(f"def value_and_grad(self, {first}{given}{inputs}) -> {result}: ...")
        if "vjp" in entries:
            writer.line(f"def vjp(self, cotangents: Any, /{inputs}) -> tuple[{name}Outputs, Gradients]: ...")


def _arguments(inputs: Sequence[Value]) -> str:
    """``, *, x: ArrayLike, target: ArrayLike``; every one may be left out in favour of the mapping.

    Then how the call runs, which an input of the same name hides.
    """
    plain = [f"{value.name}: ArrayLike = ..." for value in inputs if _plain(value.name)]
    names = {value.name for value in inputs}
    settings = [f"{name}: {kind} = ..." for name, kind in _SETTINGS.items() if name not in names]
    return f", *, {', '.join((*plain, *settings))}" if plain or settings else ""


def _plain(name: str) -> bool:
    """Whether the name can be written in Python as it is."""
    return identifier(name) == name and literal(name) == f'"{name}"'
