"""Programs -> the text of one Python module, and of its stub.

The module is meant to be read: header, kernels with the equations they compute above them, regions that name the views
they pass to kernels, and for every model a class whose declaration says what is given, computed and returned.
The same programs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from dlc.compiler.emit import functions, kernels, powers, regions
from dlc.compiler.emit.declarations import DeclarationWriter
from dlc.compiler.emit.names import Names
from dlc.compiler.emit.stub import stub
from dlc.compiler.emit.writer import WIDTH, Writer, literal
from dlc.compiler.ir.functions import ScalarFunction
from dlc.compiler.ir.loops import Program, Step, Value

Real = Literal["float32", "float64"]

#: How a matrix product reads an operand.
_ORDERS = ("AS_IS", "TRANSPOSED")
#: What the band of a product is of.
_BANDS = ("COLUMNS", "INNER")

#: Names that the module takes from elsewhere, by where; what is not listed is no name that generated code may use.
IMPORTS: dict[str, tuple[str, ...]] = {
    "dlc.runtime.compatibility": ("require_kernels",),
    "dlc.runtime.declarations": (
        "Array", "Cotangent", "Declaration", "Entry", "Hyper", "Input", "Mode", "Parameter", "Requirement", "SHARDS",
        "State",
        "Step",
    ),
    "dlc.runtime.functions": ("scalar_function",),
    "dlc.runtime.kernels": (
        "absolute", "address", "b1", "ceil", "contract_f32", "contract_f64", "contract_plus_f32", "contract_plus_f64",
        "copy_strided", "cos", "cosh", "difference", "erf", "exp", "expm1", "f32", "f64", "floor", "gemm_band_f32",
        "gemm_band_f64", "gemm_blas_band_f32", "gemm_blas_band_f64", "gemm_blas_f32", "gemm_blas_f64",
        "gemm_blas_plus_f32", "gemm_blas_plus_f64", "gemm_f32", "gemm_f64", "gemm_plus_f32", "gemm_plus_f64",
        "gemm_tile_band_f32", "gemm_tile_band_f64", "gemm_tile_f32", "gemm_tile_f64", "gemm_tile_plus_f32",
        "gemm_tile_plus_f64", "gesv_f32", "gesv_f64", "i32", "i64", "integer", "kernel", "log", "log1p", "masked_rest",
        "maximum", "minimum", "noalias", "power", "quotient", "random_integer", "random_normal_f32",
        "random_normal_f64", "random_uniform_f32", "random_uniform_f64", "region", "relu", "rounded", "rows_apart",
        "rows_if_faster", "rows_of_tiles", "running_max", "running_min", "running_prod", "running_sum", "short_row",
        "sigmoid", "sign", "sin", "sinh", "size", "softplus", "sqrt", "tan", "tanh", "transpose", "wide",
        "winograd_f32", "winograd_f64", "winograd_plus_f32", "winograd_plus_f64", "winograd_share_f32",
        "winograd_share_f64", "winograd_taps_f32", "winograd_taps_f64",
    ),
    "dlc.runtime.model": ("Model",),
    "dlc.runtime.optimizer": ("Optimizer",),
}  # fmt: skip


def emit(
    programs: Sequence[Program],
    real: Real,
    header: str = "",
    *,
    spec: str = "",
    fingerprint: str = "",
    exports: Sequence[ScalarFunction] = (),
) -> tuple[str, str]:
    """The text of the ``.py`` file and of the ``.pyi`` file.

    ``exports`` are functions that the module has beside its classes.
    ``header`` says in the module's docstring where it comes from; ``spec`` is the name of the spec, which files of
    parameters repeat; ``fingerprint`` is that of the runtime's kernels, compared when the module is imported (not if
    it is empty).
    """
    module = _Module(programs, real, header, spec, fingerprint, exports)
    return module.text(), stub(programs, module.classes, real, module.exports)


class _Module:
    def __init__(
        self,
        programs: Sequence[Program],
        real: Real,
        header: str,
        spec: str,
        fingerprint: str,
        exports: Sequence[ScalarFunction],
    ) -> None:
        taken = [name for names in IMPORTS.values() for name in names]
        kernel_names = (*taken, *powers.NAMES, "real", *_ORDERS, *_BANDS) if programs else ("scalar_function",)
        imported = Names((*kernel_names, functions.SCIPY))
        self._names = Names(("table", "shard", "shards", "n"), imported)
        self._programs, self._real, self._spec = programs, real, spec
        self._header, self._fingerprint = header, fingerprint
        self.classes = [self._names.fresh(program.name) for program in programs]
        self.exports = {self._names.fresh(export.name): export for export in exports}
        self._used: set[str] = {_base(program) for program in programs}
        self._body = Writer()
        self._functions = kernels.Functions(self._names, imported, real)
        self._regions: list[regions.Function] = []
        self._region_texts: dict[tuple[Step, ...], str] = {}

    def text(self) -> str:
        declared = [self._program(p, name) for p, name in zip(self._programs, self.classes, strict=True)]
        for function in self._functions.functions.values():
            self._kernel(function)
        for function in self._regions:
            self._region(function)
        for writer in declared:
            self._body.blank(2)
            self._body.include(writer.written)
        for name, export in self.exports.items():
            self._used.add("scalar_function")
            self._body.blank(2)
            functions.write(self._body, export, name)
        return f"{self._head().text()}\n\n{self._body.text()}"

    def _head(self) -> Writer:
        writer = Writer()
        writer.docstring(list(self._about()))
        writer.blank()
        writer.line("import numpy as np")
        if functions.uses_scipy(self.exports.values()):
            writer.line(f"from scipy import {functions.SCIPY}")
        writer.blank()
        if self._fingerprint and self._programs:
            self._used.add("require_kernels")
        for module, names in IMPORTS.items():
            used = [name for name in names if name in self._used]
            if used:
                writer.line(_import(module, used))
        writer.blank()
        if self._fingerprint and self._programs:
            writer.line(f"require_kernels({literal(self._fingerprint)}, __name__)")
            writer.blank()
        writer.line(f"__all__ = [{', '.join(map(literal, (*self.classes, *self.exports)))}]")
        writer.blank()
        if self._programs:
            writer.line(f"real = np.{self._real}")
        if not self._used.isdisjoint(_ORDERS):
            writer.line(f"{', '.join(_ORDERS)} = 0, 1  # how a matrix product reads an operand")
        if not self._used.isdisjoint(_BANDS):
            writer.line(f"{', '.join(_BANDS)} = 0, 1  # of which of a row of a product only a band counts")
        for name in filter(self._used.__contains__, powers.NAMES):
            writer.blank(2)
            writer.include(("@kernel", *powers.lines(name)))
        return writer

    def _about(self) -> Iterable[str]:
        yield f"{', '.join(self.classes)}, in {self._real}." if self.classes else f"{', '.join(self.exports)}."
        yield ""
        yield from self._header.strip().splitlines() or ["Generated by dlc."]

    # -- functions ----------------------------------------------------------------------------------------------------

    def _program(self, program: Program, class_name: str) -> Writer:
        functions = {name: self._functions.add(kernel, program.buffers) for name, kernel in program.kernels.items()}
        names = self._region_names(program, functions)
        return self._class(program, class_name, names)

    def _region_names(self, program: Program, functions: Mapping[str, str]) -> dict[tuple[Step, ...], str]:
        """The function of every region, by its kernels; entries share those that are the same."""
        writer = regions.RegionWriter(program, self._names, self._real, functions)
        found: dict[tuple[Step, ...], str] = {}
        for entry in program.entries:
            stem = f"{program.name}_{entry.name}" if len(self._programs) > 1 else entry.name
            for number, region in enumerate(entry.regions, 1):
                if region.steps in found:
                    continue
                name = self._names.fresh(f"{stem}_{number}" if len(entry.regions) > 1 else stem)
                self._regions.append(writer.function(region, name))
                found[region.steps] = name
        return found

    def _kernel(self, function: kernels.Function) -> None:
        self._used.update(function.used | {"kernel", "noalias"})
        body = self._body
        body.blank(2)
        body.line("@kernel")
        with body.block(function.head):
            body.docstring(function.formulas or (function.name,))
            body.line("noalias()")
            if function.is_wide:
                self._used.add("wide")
                body.line("wide()")
            body.include(function.body)

    def _region(self, function: regions.Function) -> None:
        self._used.update(function.used | {"region"})
        self._body.blank(2)
        self._body.line("@region")
        with self._body.block(f"def {function.name}(table, shard, shards):"):
            self._body.include(function.lines)

    def _class(self, program: Program, name: str, functions: Mapping[tuple[Step, ...], str]) -> Writer:
        writer = Writer()
        with writer.block(f"class {name}({_base(program)}):"):
            writer.docstring(list(described(program)))
            writer.blank()
            declaration = DeclarationWriter(program, self._real, self._spec, functions, writer)
            declaration.write()
            self._used |= declaration.used
        return writer


def _base(program: Program) -> str:
    return "Optimizer" if program.is_optimizer else "Model"


_TITLES = {"input": "Inputs", "parameter": "Parameters", "hyper": "Hyper-parameters", "state": "States"}


def described(program: Program) -> Iterable[str]:
    """What ``help`` says of the class."""
    doc = program.doc.strip().splitlines() or [f"{program.name}."]
    yield from (line.rstrip() for line in doc)
    for role, title in _TITLES.items():
        values = [value for value in program.values if value.role == role]
        if program.is_optimizer:  # the parameters and their gradient go without saying
            values = [value for value in values[role == "state" :] if role in ("hyper", "state")]
        if values:
            yield ""
            yield f"{title}:"
            yield from (f"    {_value_line(value)}" for value in values)
    outputs = [result.name for result in program.entries[0].results] if program.entries else []
    if outputs and not program.is_optimizer:
        yield ""
        yield f"Outputs: {', '.join(outputs)}"
    for entry in program.entries:
        objective = entry.name.removeprefix("value_and_grad.")
        if objective != entry.name:
            yield f"Step of {objective}: moves {', '.join(entry.over) or 'no parameter'}"


def _value_line(value: Value) -> str:
    axes = f"[{', '.join(value.sets)}]" if value.sets else ""
    members = f" in {value.bound_set}" if value.bound_set else f" : {value.type}" if value.type != "real" else ""
    start = f" = {value.default}" if value.default is not None else ""
    doc = f"    {' '.join(value.doc.split())}" if value.doc else ""
    return f"{value.name}{axes}{members}{start}{doc}"


def _import(module: str, names: Sequence[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    return line if len(line) <= WIDTH else f"from {module} import ({', '.join(names)})"
