"""What is asked of a compilation, and which definitions of the file it concerns.

A file may hold several models, and `-D I=784` need not concern each of them: a value goes to the definitions that know
its name, and one that none of them knows is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dlc.compiler.diagnostics import CompileError, Diagnostic, Severity, suggestion
from dlc.compiler.ir.graph import Graph
from dlc.compiler.ir.ways import CONVS, GEMMS, OPEN, Conv, Gemm, Ways
from dlc.compiler.syntax import ast

Number = int | float | bool
Real = Literal["float32", "float64"]
GEMM_VARIABLE, CONV_VARIABLE = "DLC_GEMM", "DLC_CONV"
REALS: tuple[Real, ...] = ("float32", "float64")


@dataclass(frozen=True)
class Options:
    """`wrt` names inputs to differentiate by (`*`: all); `model` is the one definition that is meant, if it is one;
    `checkpoint`: how many steps a recurrence goes from one state that is kept to the next (0: about the root of how
    many there are), None: all are kept; `ways` are the implementations that are forced."""

    dtype: Real = "float32"
    sizes: Mapping[str, int] = field(default_factory=dict)
    hyper: Mapping[str, Number] = field(default_factory=dict)
    wrt: tuple[str, ...] = ()
    model: str | None = None
    checkpoint: int | None = None
    ways: Ways = OPEN

    @classmethod
    def of(
        cls,
        dtype: str = "float32",
        sizes: Mapping[str, int] | None = None,
        wrt: str | Iterable[str] | None = None,
        hyper: Mapping[str, Number] | None = None,
        model: str | None = None,
        checkpoint: bool | int | None = None,
        gemm: str | None = None,
        conv: str | None = None,
    ) -> Options:
        """From arguments in Python; raises `CompileError` (DL910, DL911, DL924, DL925, DL932) for what no spec could
        take. Without `gemm` and `conv`, DLC_GEMM and DLC_CONV may force implementations.
        """
        problems: list[Diagnostic] = []
        wanted = str(getattr(dtype, "__name__", dtype))  # np.float64 is meant as it reads
        real: Real | None = next((name for name in REALS if name == wanted), None)
        if real is None:
            problems.append(UnknownReal(None, wanted))
        for name, value in (sizes or {}).items():
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
                problems.append(BadSize(None, name, repr(value)))
        for name, value in (hyper or {}).items():
            if not isinstance(value, bool | int | float) and not hasattr(value, "item"):
                problems.append(BadHyper(None, name, repr(value)))
        if checkpoint is not None and (not hasattr(checkpoint, "__index__") or checkpoint < 0):
            problems.append(BadCheckpoint(None, repr(checkpoint)))
        forced = os.environ.get(GEMM_VARIABLE, "") if gemm is None else gemm
        way: Gemm | None = next((known for known in ("", *GEMMS) if known == forced), None)
        if way is None:
            problems.append(UnknownWay(None, "matrix products", forced, GEMMS, "--gemm", GEMM_VARIABLE))
        wished = os.environ.get(CONV_VARIABLE, "") if conv is None else conv
        windows: Conv | None = next((known for known in ("", *CONVS) if known == wished), None)
        if windows is None:
            problems.append(UnknownWay(None, "convolutions", wished, CONVS, "--conv", CONV_VARIABLE))
        if problems or real is None or way is None or windows is None:
            raise CompileError(problems)
        return cls(
            real,
            {name: int(value) for name, value in (sizes or {}).items()},
            {name: _plain(value) for name, value in (hyper or {}).items()},
            (wrt,) if isinstance(wrt, str) else tuple(wrt or ()),
            model,
            None if checkpoint is None or checkpoint is False else 0 if checkpoint is True else int(checkpoint),
            Ways(way, windows),
        )

    def with_loops_below(self, multiplications: int) -> Options:
        """The options for a machine on which smaller products are better loops."""
        return replace(self, ways=replace(self.ways, loops_below=multiplications))

    def described(self) -> dict[str, Any]:
        """As JSON can write it, for a key; the order in which names were given does not matter."""
        return {
            "dtype": self.dtype,
            "sizes": sorted(self.sizes.items()),
            "hyper": [(name, repr(value)) for name, value in sorted(self.hyper.items())],
            "wrt": sorted(set(self.wrt)),
            "model": self.model,
            "checkpoint": self.checkpoint,
            "gemm": self.ways.gemm,
            "loops_below": self.ways.loops_below,
            "conv": self.ways.conv,
        }


def _plain(value: Any) -> Number:
    return value.item() if hasattr(value, "item") else value


# --- which definitions ------------------------------------------------------------------------------------------------


def chosen(file: ast.File, options: Options) -> tuple[ast.Definition, ...]:
    """The definitions to compile: the one that is named, else all models, else (a file of layers) all layers; none of
    a file of functions.

    The optimizers of the file come with them. Raises `CompileError` (DL912, DL913) if there is nothing.
    """
    known = file.definitions
    optimizers = tuple(item for item in known if isinstance(item, ast.Optimizer))
    if options.model is not None:
        found = next((item for item in known if item.name.text == options.model), None)
        if found is None:
            names = tuple(item.name.text for item in known)
            raise CompileError(UnknownModel(None, options.model, file.span.source.name, names))
        return (found, *(item for item in optimizers if not isinstance(found, ast.Optimizer)))
    models = tuple(item for item in known if isinstance(item, ast.Model))
    if not known and not file.functions:
        raise CompileError(NothingToCompile(None, file.span.source.name))
    return (models or tuple(item for item in known if isinstance(item, ast.Layer))) + optimizers


def check_names(file: ast.File, definitions: Sequence[ast.Definition], options: Options) -> None:
    """Every name given a value is known to one of the definitions; raises `CompileError` (DL914, DL915)."""
    sets = tuple(dict.fromkeys(name for item in definitions for name in index_sets(file, item)))
    hypers = tuple(dict.fromkeys(name for item in definitions for name in hyper_parameters(item)))
    problems: list[Diagnostic] = [UnknownSize(None, name, sets) for name in options.sizes if name not in sets]
    problems += [UnknownHyper(None, name, hypers) for name in options.hyper if name not in hypers]
    if problems:
        raise CompileError(problems)


def sizes_for(file: ast.File, definition: ast.Definition, options: Options) -> dict[str, int]:
    """The sizes that concern this definition."""
    known = index_sets(file, definition)
    return {name: size for name, size in options.sizes.items() if name in known}


def hypers_for(definition: ast.Definition, options: Options) -> dict[str, Number]:
    """The hyper-parameters that concern this definition."""
    known = hyper_parameters(definition)
    return {name: value for name, value in options.hyper.items() if name in known}


def index_sets(file: ast.File, definition: ast.Definition) -> tuple[str, ...]:
    """The sets of the signature and of the `index` lines that hold in the definition, without primes."""
    signature = definition.signature
    declared = (*signature.data, *signature.parameters, *signature.hyper_parameters, *signature.outputs)
    names: list[ast.Name] = [item.name for item in signature.hyper_parameters if item.name.is_capital]
    for item in declared:
        names += [axis for axis in item.axes if isinstance(axis, ast.Name)]
        names += [item.element_of] if item.element_of is not None else []
    lines = [line for line in (*file.index_lines, *definition.body) if isinstance(line, ast.IndexLine)]
    names += [entry.name for line in lines for entry in line.sets]
    return tuple(dict.fromkeys(name.stem for name in names))


def hyper_parameters(definition: ast.Definition) -> tuple[str, ...]:
    return tuple(item.name.text for item in definition.signature.hyper_parameters if not item.name.is_capital)


def check_wrt(graphs: Sequence[Graph], wrt: Iterable[str]) -> None:
    """Every name in `wrt` is a real input of one of the graphs; raises `CompileError` (DL916, DL917)."""
    inputs = {tensor.id: tensor for graph in graphs for tensor in graph.of_kind("input", "parameter")}
    problems: list[Diagnostic] = []
    for name in wrt:
        if name == "*":
            continue
        if name not in inputs:
            problems.append(UnknownInput(None, name, tuple(inputs)))
        elif inputs[name].type != "real":
            problems.append(NoDerivative(None, name, inputs[name].type))
    if problems:
        raise CompileError(problems)


# --- what can be wrong ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UnknownReal(Diagnostic):
    """The real type of a compilation is float32 or float64."""

    code = "DL910"
    title = "unknown real type"
    name: str

    @property
    def message(self) -> str:
        return f"the real type is float32 or float64, not `{self.name}`"


@dataclass(frozen=True)
class BadSize(Diagnostic):
    """A size given in Python is no positive integer (the command line refuses those itself)."""

    code = "DL911"
    title = "size is not a positive integer"
    name: str
    value: str

    @property
    def message(self) -> str:
        return f"the size of `{self.name}` must be a positive integer, not {self.value}"


@dataclass(frozen=True)
class BadHyper(Diagnostic):
    """A hyper-parameter given in Python is no number."""

    code = "DL924"
    title = "hyper-parameter is not a number"
    name: str
    value: str

    @property
    def message(self) -> str:
        return f"the hyper-parameter `{self.name}` must be a number, not {self.value}"


@dataclass(frozen=True)
class UnknownWay(Diagnostic):
    """Matrix products or convolutions are to be computed by an implementation that there is not."""

    code = "DL932"
    title = "unknown implementation"
    what: str
    name: str
    known: tuple[str, ...]
    option: str
    variable: str

    @property
    def message(self) -> str:
        return f"{self.what} are computed by {', '.join(self.known[:-1])} or {self.known[-1]}, not `{self.name}`"

    @property
    def help(self) -> str | None:
        return suggestion(self.name, self.known) or f"without {self.option} and {self.variable}, the best is chosen"


@dataclass(frozen=True)
class BadCheckpoint(Diagnostic):
    """The distance of kept states given in Python is no positive integer (the command line refuses those itself)."""

    code = "DL925"
    title = "distance of kept states is not a positive integer"
    value: str

    @property
    def message(self) -> str:
        return f"`checkpoint` must be True or a positive number of steps, not {self.value}"


@dataclass(frozen=True)
class KeepsAllStates(Diagnostic):
    """Kept states were asked to be far apart, and a recurrence is such that none of its states can be left out."""

    code = "DL926"
    title = "recurrence keeps all its states"
    severity = Severity.NOTE
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` keeps all its states for the backward pass"

    @property
    def help(self) -> str | None:
        return "checkpoints need an axis of at least 4 steps, each of which looks back by a fixed number of steps"


@dataclass(frozen=True)
class NothingToCheckpoint(Diagnostic):
    """Kept states were asked to be far apart, and no recurrence has a backward pass."""

    code = "DL927"
    title = "no recurrence with a backward pass"
    severity = Severity.NOTE
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` has no recurrence with a backward pass, and nothing to keep less of"


@dataclass(frozen=True)
class UnknownModel(Diagnostic):
    """No model or layer of the file has the name that was asked for."""

    code = "DL912"
    title = "unknown model"
    name: str
    file: str
    candidates: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"`{self.file}` has no model or layer `{self.name}`"

    @property
    def help(self) -> str | None:
        known = f"it has {', '.join(self.candidates)}" if self.candidates else None
        return suggestion(self.name, self.candidates) or known


@dataclass(frozen=True)
class NothingToCompile(Diagnostic):
    """A file of optimisers or comments."""

    code = "DL913"
    title = "nothing to compile"
    file: str

    @property
    def message(self) -> str:
        return f"`{self.file}` has no model, no layer and no function"


@dataclass(frozen=True)
class UnknownSize(Diagnostic):
    """A size was given for a set that the spec does not have."""

    code = "DL914"
    title = "unknown index set"
    name: str
    candidates: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"a size is given for `{self.name}`, which is no index set of the spec"

    @property
    def help(self) -> str | None:
        known = f"its index sets are {', '.join(self.candidates)}" if self.candidates else None
        return suggestion(self.name, self.candidates) or known


@dataclass(frozen=True)
class UnknownHyper(Diagnostic):
    """A value was given for a hyper-parameter that the spec does not have."""

    code = "DL915"
    title = "unknown hyper-parameter"
    name: str
    candidates: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"a value is given for `{self.name}`, which is no hyper-parameter of the spec"

    @property
    def help(self) -> str | None:
        known = f"its hyper-parameters are {', '.join(self.candidates)}" if self.candidates else "it has none"
        return suggestion(self.name, self.candidates) or known


@dataclass(frozen=True)
class UnknownInput(Diagnostic):
    """`wrt` names what is no input."""

    code = "DL916"
    title = "unknown input"
    name: str
    candidates: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"a derivative with respect to `{self.name}` is wanted, which is no input or parameter"

    @property
    def help(self) -> str | None:
        known = f"there are {', '.join(self.candidates)}" if self.candidates else None
        return suggestion(self.name, self.candidates) or known


@dataclass(frozen=True)
class NoDerivative(Diagnostic):
    """`wrt` names an input of integers or truth values."""

    code = "DL917"
    title = "no derivative"
    name: str
    type: Literal["int", "bool", "real"]

    @property
    def message(self) -> str:
        what = "integers" if self.type == "int" else "truth values"
        return f"a derivative with respect to `{self.name}` is wanted, which holds {what}"
