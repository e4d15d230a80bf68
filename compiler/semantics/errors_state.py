"""What is wrong with states and their updates.  DL150 to DL156."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import Label, suggestion
from dlc.compiler.semantics.errors import SemanticDiagnostic, at_place
from dlc.compiler.source import Span


@dataclass(frozen=True)
class NotAState(SemanticDiagnostic):
    """`<-` changes what a definition keeps from step to step; `what` is what the name means instead, if anything."""

    code = "DL150"
    title = "update of something that is no state"
    name: str
    what: str | None
    first: Span | None
    states: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"`{self.name}` is {self.what or 'not declared'} and cannot be updated"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.first, "declared here")

    @property
    def help(self) -> str | None:
        if self.what == "a parameter":
            return "an optimizer moves the parameters: give the model a loss to minimize"
        declare = f"what is kept between steps is declared: `state {self.name}[..] = 0`"
        return (suggestion(self.name, self.states) if self.what is None else None) or declare


@dataclass(frozen=True)
class UpdatedTwice(SemanticDiagnostic):
    """A step gives a state one new value."""

    code = "DL151"
    title = "state that is updated twice"
    state: str
    other: Span | None
    surely: bool = True
    by_calls: bool = False  # of one instance

    @property
    def message(self) -> str:
        verb = "is" if self.surely else "may be"
        return f"the state `{self.state}` {verb} updated twice in one step"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.other, "the other update")

    @property
    def help(self) -> str | None:
        if self.by_calls:
            return "an instance with a state is called once in a step: make another, or call it with both at once"
        return "reading a state gives its value at the start of the step: say in one update all that changes it"


@dataclass(frozen=True)
class MappedState(SemanticDiagnostic):
    """A layer with a state is one thing: it cannot stand for one layer a sample."""

    code = "DL152"
    title = "layer with a state that is mapped"
    layer: str
    state: str
    index: str
    declared: Span | None

    @property
    def message(self) -> str:
        return f"`{self.layer}` has the state `{self.state}`, and cannot be mapped over `{self.index}`"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.declared, "the state")

    @property
    def help(self) -> str | None:
        stem = self.index.rstrip("'")
        size = stem[:1].upper() + stem[1:]
        return (
            f"let the layer take that axis (`{self.layer}(x[{size},..])`), or make an instance for each element: "
            f"`each[{size}] = {self.layer}()`"
        )


@dataclass(frozen=True)
class TotalOutsideOptimizer(SemanticDiagnostic):
    code = "DL153"
    title = "total outside an optimizer"
    name: str
    kind: str

    @property
    def message(self) -> str:
        return f"a {self.kind} has no totals: `total` adds over all parameters of a step, in an optimizer"

    @property
    def help(self) -> str | None:
        return f"a sum over the axes of one tensor is an equation: `{self.name} = sum[i] ..`"


@dataclass(frozen=True)
class BadStateStart(SemanticDiagnostic):
    """A state begins as the same number everywhere."""

    code = "DL154"
    title = "start of a state"
    reason: str

    @property
    def message(self) -> str:
        return self.reason

    @property
    def help(self) -> str | None:
        return "a state starts from a number: `state m[C] = 0`"


@dataclass(frozen=True)
class BadUpdatedPart(SemanticDiagnostic):
    """The part of a state that an update concerns has to be found from an element's place."""

    code = "DL155"
    title = "part of a state that cannot be told"
    state: str
    reason: str

    @property
    def message(self) -> str:
        return f"which elements of `{self.state}` this updates cannot be told: {self.reason}"

    @property
    def help(self) -> str | None:
        return "the left side of an update takes an index, a number, or `a*i + c` on every axis"


@dataclass(frozen=True)
class UpdateOfAnotherType(SemanticDiagnostic):
    code = "DL156"
    title = "update of another type"
    state: str
    type: str
    found: str
    declared: Span | None

    @property
    def message(self) -> str:
        words = {"real": "a real number", "int": "an integer", "bool": "a truth value"}
        return f"the state `{self.state}` holds {words[self.type]}, and this is {words[self.found]}"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.declared, "the state")

    @property
    def help(self) -> str | None:
        if self.type == "real" or self.found == "real":
            return f"say so where it is declared: `state {self.state} : {self.found} = ..`"
        return None
