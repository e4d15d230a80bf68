"""Training the model of a spec from the command line: which model and which optimizer, and what stands against it.

What a training run does is the runtime's business (`dlc.runtime.training`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dlc.compiler import driver, files, sources
from dlc.compiler.diagnostics import CompileError, Diagnostic, suggestion

if TYPE_CHECKING:
    from dlc.runtime.model import Model
    from dlc.runtime.optimizer import Optimizer


def train(
    spec: str | Path,
    data: str,
    epochs: int = 10,
    optimizer: str | None = None,
    lr: float | None = None,
    batch: int = 64,
    seed: int = 0,
    save: Path | None = None,
    **options: Any,
) -> None:
    """Train the model of a spec and print how it goes; see `dlc.runtime.training`. Raises `CompileError`.

    `optimizer` names one of the spec or of the standard library, in capitals or not; without it the spec's own is
    taken, if there is one, else Adam.
    """
    from dlc.runtime import training
    from dlc.runtime.data import DataError, read
    from dlc.runtime.errors import InputError, ParameterError

    module = driver.load(spec, **options)
    models = _models(module)
    if not models:
        raise CompileError(CannotTrain(None, f"{spec} has no model to train"))
    if len(models) != 1:
        raise CompileError(SeveralModels(None, str(spec), tuple(models)))
    (kind,) = models.values()
    taken = _optimizer(module, optimizer, options.get("dtype", "float32"))
    try:
        training.check_trainable(kind.declaration)
        training.train(kind, read(data, kind.declaration), taken, epochs, lr, batch, seed, save)
    except (DataError, training.TrainingError, InputError, ParameterError) as error:
        raise CompileError(CannotTrain(None, str(error))) from error
    except OSError as error:
        raise CompileError(files.UnwritableFile(None, str(error.filename or save), files.reason(error))) from error


def _models(module: ModuleType) -> dict[str, type[Model]]:
    from dlc.runtime.model import Model

    classes = {name: getattr(module, name) for name in module.__all__}
    return {name: one for name, one in classes.items() if isinstance(one, type) and issubclass(one, Model)}


def _optimizer(module: ModuleType, wanted: str | None, dtype: str) -> type[Optimizer]:
    """The optimizer that is meant: one of the module, or of the standard library, which is compiled."""
    from dlc.compiler import library
    from dlc.runtime.optimizer import Optimizer

    classes = {name: getattr(module, name) for name in module.__all__}
    own = {name: one for name, one in classes.items() if isinstance(one, type) and issubclass(one, Optimizer)}
    if wanted is None and len(own) > 1:
        raise CompileError(SeveralOptimizers(None, tuple(own)))
    name = wanted or next(iter(own), "Adam")
    for known, one in own.items():
        if known.lower() == name.lower():
            return one
    places = {found: place for place in library.standard_modules("optim") for found in _optimizers_of(place)}
    exact = next((known for known in places if known.lower() == name.lower()), None)
    if exact is None:
        raise CompileError(UnknownOptimizer(None, name, (*own, *places)))
    return getattr(driver.load(places[exact], dtype=dtype, model=exact), exact)


def _optimizers_of(module: str) -> list[str]:
    from dlc.compiler.syntax import ast
    from dlc.compiler.syntax.parse import parse

    file = parse(sources.read(module).source)
    return [item.name.text for item in file.definitions if isinstance(item, ast.Optimizer)]


@dataclass(frozen=True)
class SeveralOptimizers(Diagnostic):
    """The spec has several optimizers, and training takes one."""

    code = "DL936"
    title = "several optimizers"
    names: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"the spec has several optimizers: {', '.join(self.names)}"

    @property
    def help(self) -> str | None:
        return f"choose one: --optimizer {self.names[0]}"


@dataclass(frozen=True)
class UnknownOptimizer(Diagnostic):
    """Neither the spec nor the standard library has the optimizer."""

    code = "DL937"
    title = "unknown optimizer"
    name: str
    known: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"there is no optimizer `{self.name}`"

    @property
    def help(self) -> str | None:
        return suggestion(self.name, self.known) or f"there are {', '.join(self.known)}"


@dataclass(frozen=True)
class SeveralModels(Diagnostic):
    """One model is trained; the file has several."""

    code = "DL930"
    title = "several models"
    spec: str
    names: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"`{self.spec}` has several models: {', '.join(self.names)}"

    @property
    def help(self) -> str | None:
        return f"choose one, such as --model {self.names[0]}"


@dataclass(frozen=True)
class CannotTrain(Diagnostic):
    """The data do not fit the model, or there is nothing to minimise; `reason` says which, in full."""

    code = "DL931"
    title = "training is not possible"
    reason: str

    @property
    def message(self) -> str:
        return self.reason
