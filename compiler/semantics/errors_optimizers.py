"""What is wrong with an optimizer.  DL160 to DL168."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import Label
from dlc.compiler.semantics.errors import SemanticDiagnostic, at_place
from dlc.compiler.source import Span


@dataclass(frozen=True)
class BadOptimizerSignature(SemanticDiagnostic):
    """`optimizer Name(theta[..], g[..];; lr = 0.1)`: the parameters, their gradient, and hyper-parameters."""

    code = "DL160"
    title = "signature of an optimizer"
    reason: str

    @property
    def message(self) -> str:
        return self.reason

    @property
    def help(self) -> str | None:
        return "an optimizer takes the parameters and their gradient: `optimizer Sgd(theta[..], g[..];; lr = 0.1):`"


@dataclass(frozen=True)
class NotInAnOptimizer(SemanticDiagnostic):
    code = "DL161"
    title = "something that an optimizer cannot have"
    what: str
    way_out: str | None = None

    @property
    def message(self) -> str:
        return f"an optimizer cannot have {self.what}"

    @property
    def help(self) -> str | None:
        return self.way_out


@dataclass(frozen=True)
class ParametersNotUpdated(SemanticDiagnostic):
    code = "DL162"
    title = "optimizer that moves nothing"
    name: str
    parameters: str

    @property
    def message(self) -> str:
        return f"`{self.name}` never updates `{self.parameters}`, so it moves no parameter"

    @property
    def help(self) -> str | None:
        return f"its last line may be `{self.parameters}[..] <- {self.parameters}[..] - lr*..`"


@dataclass(frozen=True)
class ReadTooEarly(SemanticDiagnostic):
    """The lines of an optimizer run in their order."""

    code = "DL163"
    title = "tensor of a later line"
    name: str
    later: Span | None

    @property
    def message(self) -> str:
        return f"`{self.name}` is computed further down: the lines of an optimizer run in their order"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.later, "computed here")

    @property
    def help(self) -> str | None:
        return "move that line up"


@dataclass(frozen=True)
class TotalAfterUpdate(SemanticDiagnostic):
    """A total is known before any update: all tensors of the step have to be read for it."""

    code = "DL164"
    title = "total of something that was updated"
    name: str
    update: Span | None

    @property
    def message(self) -> str:
        return f"a total adds up what there is before any update, and `{self.name}` depends on one"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.update, "this update")

    @property
    def help(self) -> str | None:
        return "put the total above it, of what there is at the start of the step"


@dataclass(frozen=True)
class SumInAnOptimizer(SemanticDiagnostic):
    """The elements of all tensors lie in one row: there is no sum over those of one tensor."""

    code = "DL165"
    title = "reduction in an optimizer"
    kind: str

    @property
    def message(self) -> str:
        return f"an optimizer works element by element: `{self.kind}` has nothing to run over"

    @property
    def help(self) -> str | None:
        return "`total n = g[..]^2` adds over all elements of all tensors"


@dataclass(frozen=True)
class SeveralEquations(SemanticDiagnostic):
    code = "DL166"
    title = "several equations in an optimizer"
    name: str
    first: Span | None

    @property
    def message(self) -> str:
        return f"`{self.name}` has two equations; in an optimizer, a tensor has one, of all its elements"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.first, "the first one")

    @property
    def help(self) -> str | None:
        return "what changes from line to line is a state, and is updated: `<-`"


@dataclass(frozen=True)
class ScalarOfElements(SemanticDiagnostic):
    code = "DL167"
    title = "number that would have many values"
    name: str
    target: Span

    @property
    def message(self) -> str:
        return f"`{self.name}` is one number, and this has an element for each of the parameters'"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.target, "no axes")

    @property
    def help(self) -> str | None:
        return f"write `{self.name}[..]` if it has one too; `total n = ..` adds over all elements"


@dataclass(frozen=True)
class ElementsOfNumber(SemanticDiagnostic):
    """`m[..]` of a state that is one number, of a total or of a hyper-parameter."""

    code = "DL168"
    title = "elements of one number"
    name: str
    what: str
    declared: Span | None
    is_target: bool

    @property
    def message(self) -> str:
        return f"`{self.name}` is {self.what}, one number: it has no element for each of the parameters'"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.declared, "no axes")

    @property
    def help(self) -> str | None:
        start = f"declare it `state {self.name}[..] = 0`, with one for each" if self.what == "a state" else None
        plain = f"write `{self.name} <- ..`" if self.is_target else f"write `{self.name}`"
        return f"{plain}, or {start}" if start else plain
