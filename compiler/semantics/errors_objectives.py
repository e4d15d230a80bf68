"""What is wrong with `minimize`: DL048, DL049, DL120, DL121."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import Label, suggestion
from dlc.compiler.semantics.errors import SemanticDiagnostic
from dlc.compiler.source import Span


@dataclass(frozen=True)
class BadLoss(SemanticDiagnostic):
    code = "DL048"
    title = "loss that cannot be minimised"
    name: str
    reason: str

    @property
    def message(self) -> str:
        return f"`{self.name}` cannot be minimised: {self.reason}"

    @property
    def help(self) -> str | None:
        return "a loss is one real number, the mean over the samples say: `loss = mean[b] ..`"


@dataclass(frozen=True)
class NotAParameter(SemanticDiagnostic):
    """``reason`` where the name is known, and has no parameters all the same."""

    code = "DL049"
    title = "not a parameter"
    name: str
    candidates: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def message(self) -> str:
        if self.reason is not None:
            return f"there is nothing to move in `{self.name}`: {self.reason}"
        return f"there is no parameter or instance `{self.name}` to minimise over"

    @property
    def help(self) -> str | None:
        if self.reason is None and self.candidates:
            return suggestion(self.name, self.candidates) or f"there are: {', '.join(self.candidates)}"
        return suggestion(self.name, self.candidates)


@dataclass(frozen=True)
class MinimisedTwice(SemanticDiagnostic):
    """A training step is called by the name of its loss."""

    code = "DL120"
    title = "two steps of one name"
    name: str
    first: Span

    @property
    def message(self) -> str:
        return f"`{self.name}` is minimised already, and a step is called by the name of its loss"

    @property
    def places(self) -> Sequence[Label]:
        return (Label(self.first, "the first step"),)

    @property
    def help(self) -> str | None:
        return f"move both at once, `over a, b`, or give the loss a second name: `{self.name}2 = {self.name}`"


@dataclass(frozen=True)
class PartOfAnArray(SemanticDiagnostic):
    """The parameters of an instance array are stacked, and are moved together."""

    code = "DL121"
    title = "step over a part of an array"
    name: str
    axes: tuple[str, ...]

    @property
    def message(self) -> str:
        if not self.axes:
            return f"`{self.name}` is no array, and takes no subscript"
        return f"a step moves all of the array `{self.name}`, not some of its elements"

    @property
    def help(self) -> str | None:
        return f"write `over {self.name}`" + (f", or `over {self.name}[{','.join(self.axes)}]`" if self.axes else "")
