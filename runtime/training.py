"""Training: epochs of shuffled batches, a test after each, and how it goes in words.

On a terminal a bar shows where the training is; elsewhere there is one line for each epoch. The last line is
``test accuracy 0.987`` for a model that classifies, else ``test loss 0.123``. Losses and accuracies are means over
samples: that of a part counts as often as it has samples. Equal seeds give equal runs, to the last bit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlc.runtime.data import Data, Samples, bound_of
from dlc.runtime.declarations import FORWARD, Declaration, Input
from dlc.runtime.model import Model
from dlc.runtime.optimizer import Optimizer

TEST_BATCH = 256

Say = Callable[[str], None]


class TrainingError(ValueError):
    """The model has nothing to minimise, or the training went wrong."""


@dataclass(frozen=True)
class Score:
    """Means over samples, of each loss by name; ``accuracy`` is None for a model that does not classify."""

    losses: Mapping[str, float]
    accuracy: float | None = None

    def __str__(self) -> str:
        return _in_words(self.losses) + ("" if self.accuracy is None else f", accuracy {self.accuracy:.3f}")


@dataclass
class History:
    """The mean training losses, by name, and the test score of every epoch."""

    losses: list[Mapping[str, float]] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)

    @property
    def last_line(self) -> str:
        score = self.scores[-1]
        return f"test {_in_words(score.losses)}" if score.accuracy is None else f"test accuracy {score.accuracy:.3f}"


def _in_words(losses: Mapping[str, float]) -> str:
    """``loss 0.1234``, or each of several by its name."""
    if len(losses) == 1:
        return f"loss {next(iter(losses.values())):.4f}"
    return ", ".join(f"{name} {value:.4f}" for name, value in losses.items())


class TrainingStep:
    """Forward, backward and update of one loss: moves the parameters that it is minimised over, and no others.

    The optimizer keeps what it remembers (moments, say) for each step apart.
    """

    def __init__(self, model: Model, name: str, optimizer: Optimizer) -> None:
        self.name = name
        self._model = model
        self._is_only = len(model.declaration.objectives) == 1
        self._optimizer = optimizer

    def run(self, given: Mapping[str, Any]) -> float:
        """One step; returns the loss before it."""
        call = self._model.value_and_grad
        loss, gradients = call(given) if self._is_only else call(self.name, given)
        if np.isfinite(loss):
            self._optimizer.step(gradients)
        return float(loss)


def train(
    kind: type[Model],
    data: Data,
    optimizer: Callable[..., Optimizer],
    epochs: int = 10,
    lr: float | None = None,
    batch: int = 64,
    seed: int = 0,
    save: Path | None = None,
) -> tuple[Model, History]:
    """Train a model of this kind and print how it goes; ``save`` is where its parameters are written at the end.

    ``optimizer`` is the class of one; each loss has its own.

    Raises TrainingError, and InputError where the data do not fit.
    """
    check_trainable(kind.declaration)
    path = save or Path(f"{kind.declaration.name}.safetensors")
    if not path.absolute().parent.is_dir():
        raise TrainingError(f"the parameters cannot be saved in {path}: there is no folder {path.parent}")
    open_sizes = {name: size for name, size in data.sizes.items() if name in kind.declaration.sizes}
    model = kind(seed=seed, sizes=open_sizes)
    rate = {} if lr is None else {"lr": lr}
    steps = [TrainingStep(model, name, optimizer(model, name, **rate)) for name in kind.declaration.objectives]
    start = time.perf_counter()
    with progress(epochs * -(-len(data.train) // batch)) as (say, advance):
        say(f"{kind.declaration.name}: {model.params.count:,} parameters, {len(data.train):,} samples to learn from")
        history = fit(model, data, steps, epochs, batch, seed, say, advance)
        model.save(path)
        say(f"trained in {time.perf_counter() - start:.1f} s, parameters in {path}")
    print(history.last_line, flush=True)
    return model, history


def check_trainable(declaration: Declaration) -> None:
    """Raises TrainingError for a layer, and for a model without parameters."""
    if not declaration.objectives:
        raise TrainingError(f"{declaration.name} has no loss to minimise: only a model with a loss can be trained")
    if not declaration.parameters:
        raise TrainingError(f"{declaration.name} has no parameters to train")


def fit(
    model: Model,
    data: Data,
    steps: Sequence[TrainingStep],
    epochs: int,
    batch: int,
    seed: int,
    say: Say = lambda line: None,
    advance: Callable[[], None] = lambda: None,
) -> History:
    """Train a model in place; where it has several losses, a batch is a step of each, in their order."""
    history = History()
    random = np.random.default_rng(seed)
    for epoch in range(1, epochs + 1):
        history.losses.append(_epoch(data.train, steps, batch, random, advance, epoch))
        history.scores.append(score(model, data.test))
        say(f"epoch {epoch}/{epochs}: {_in_words(history.losses[-1])}; test {history.scores[-1]}")
    return history


def _epoch(
    samples: Samples,
    steps: Sequence[TrainingStep],
    batch: int,
    random: np.random.Generator,
    advance: Callable[[], None],
    epoch: int,
) -> dict[str, float]:
    """One pass over the samples in random order; the mean of each loss."""
    total = {step.name: 0.0 for step in steps}
    order = random.permutation(len(samples))
    for start in range(0, len(samples), batch):
        chosen = order[start : start + batch]
        given = samples.take(chosen)
        for step in steps:
            loss = step.run(given)
            if not np.isfinite(loss):
                what = "the loss" if len(steps) == 1 else step.name
                raise TrainingError(f"{what} became {loss} in epoch {epoch}: a smaller learning rate (--lr) may help")
            total[step.name] += loss * len(chosen)
        advance()
    return {name: value / len(samples) for name, value in total.items()}


def score(model: Model, samples: Samples) -> Score:
    """The mean losses and, for a classifier, the share of samples whose greatest output is at the target."""
    losses = dict.fromkeys(_loss_names(model.declaration), 0.0)
    right, asked = 0, 0
    for start in range(0, len(samples), TEST_BATCH):
        given = samples.take(slice(start, start + TEST_BATCH))
        outputs = model.forward(given)
        count = min(TEST_BATCH, len(samples) - start)
        for name in losses:
            losses[name] += float(outputs[name]) * count
        found = classified(model, given, outputs)
        if found is not None:
            right += int(found.sum())
            asked += found.size
    means = {name: value / len(samples) for name, value in losses.items()}
    return Score(means, right / asked if asked else None)


def _loss_names(declaration: Declaration) -> list[str]:
    """The losses as the outputs of `forward`."""
    if len(declaration.objectives) > 1:
        return list(declaration.objectives)
    entry = next(entry for entry in declaration.entries if entry.name == FORWARD)
    return [entry.loss or next(iter(entry.results))]


def classified(model: Model, given: Mapping[str, Any], outputs: Mapping[str, Any]) -> np.ndarray[Any, Any] | None:
    """Whether each sample is classified rightly; None if the model is no classifier.

    The target is an integer input that the outputs do not depend on; the scores are the output called ``logits``, or
    the first, whose last axis runs over the target's classes and whose other axes are the target's.
    """
    for target in _targets(model.declaration):
        truth = np.asarray(given[target.name]) if target.name in given else None
        classes = bound_of(target, {name: size for name, size in model.sizes.items() if size is not None})
        for name in sorted(outputs, key=lambda name: name != "logits"):
            scores = np.asarray(outputs[name])
            if truth is None or not scores.ndim or scores.shape[:-1] != truth.shape:
                continue
            if classes in (None, scores.shape[-1]):
                return scores.argmax(axis=-1) == truth
    return None


def _targets(declaration: Declaration) -> list[Input]:
    outputs = next((e for e in declaration.entries if e.name.startswith(f"{FORWARD}.")), None)
    used = outputs.inputs if outputs is not None else ()
    return [
        v for v in declaration.inputs if v.type == "int" and (v.bound is not None or v.bound_set) and v.name not in used
    ]


# -- what is shown ----------------------------------------------------------------------------------------------------


@contextmanager
def progress(steps: int) -> Iterator[tuple[Say, Callable[[], None]]]:
    """``say`` prints a line, ``advance`` moves the bar, which there is on a terminal only."""
    if not sys.stdout.isatty():
        yield lambda line: print(line, flush=True), lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("training", total=steps)
        yield lambda line: bar.console.print(line, markup=False, highlight=False), lambda: bar.advance(task)
