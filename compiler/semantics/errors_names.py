"""Names: DL030 to DL047."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import Label, suggestion
from dlc.compiler.semantics.errors import SemanticDiagnostic, at_place, quoted
from dlc.compiler.source import Span
from dlc.compiler.syntax.vocabulary import REDUCTIONS


@dataclass(frozen=True)
class UnknownName(SemanticDiagnostic):
    """A small name that is no tensor, scalar, instance or index variable here."""

    code = "DL030"
    title = "unknown name"
    name: str
    what: str
    candidates: tuple[str, ...] = ()
    hint: str | None = None

    @property
    def message(self) -> str:
        return f"no {self.what} is called `{self.name}`"

    @property
    def help(self) -> str | None:
        before, _, behind = self.name.partition("_")
        if before in self.candidates and behind:
            return f"subscripts stand in brackets: `{before}[{','.join(behind)}]`"
        return suggestion(self.name, self.candidates) or self.hint


@dataclass(frozen=True)
class UnknownSet(SemanticDiagnostic):
    """An index variable or `|S|` of a set that nothing declares."""

    code = "DL031"
    title = "unknown index set"
    name: str
    variable: str | None
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        if self.variable is None:
            return f"no index set is called `{self.name}`"
        return f"`{self.variable}` is not an index variable: there is no index set `{self.name}`"

    @property
    def help(self) -> str | None:
        if self.name[0].islower():
            return "`|I|` is the size of a set; the absolute value is `abs(x)`, a norm `sqrt(sum[i] x[i]^2)`"
        declare = f"declare the set: `index {self.name}`, with `= size` if it is fixed"
        if self.variable is None and self.name == "T":
            declare += "; a transpose is written with other subscripts: `w[j,i]`"
        return suggestion(self.name, self.candidates) or declare


@dataclass(frozen=True)
class UnknownFunction(SemanticDiagnostic):
    code = "DL032"
    title = "unknown function or layer"
    name: str
    candidates: tuple[str, ...] = ()
    is_tensor: bool = False
    home: tuple[str, str] | None = None  # the module of the standard library that has it, and its name there

    @property
    def message(self) -> str:
        if self.is_tensor:
            return f"`{self.name}` is a tensor, not a function"
        return f"no function, layer or instance is called `{self.name}`"

    @property
    def help(self) -> str | None:
        if self.is_tensor:
            return f"an element is written in square brackets: `{self.name}[..]`; a product needs its `*`"
        if self.name in REDUCTIONS:
            return f"a reduction names its index variable: `{self.name}[i] x[i]`"
        if self.home is not None and self.home[1] not in self.candidates:
            module, name = self.home
            return f"the standard library has it: `use {module}: {name}`"
        return (
            suggestion(self.name, self.candidates)
            or "layers and functions of other files come in with `use module: Name`"
        )


@dataclass(frozen=True)
class UnknownModule(SemanticDiagnostic):
    code = "DL033"
    title = "unknown module"
    name: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return f"there is no module `{self.name}`"

    @property
    def help(self) -> str | None:
        return suggestion(self.name, self.candidates) or (
            f"`{self.name}` is looked up as {self.name.replace('.', '/')}.dl beside this file, "
            "then on DLC_PATH, then in the standard library"
        )


@dataclass(frozen=True)
class UnknownInModule(SemanticDiagnostic):
    code = "DL034"
    title = "name not in the module"
    name: str
    module: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return f"module `{self.module}` has no `{self.name}`"

    @property
    def help(self) -> str | None:
        listed = f"it has {quoted(self.candidates[:12])}" if self.candidates else "it defines nothing"
        return suggestion(self.name, self.candidates) or listed


@dataclass(frozen=True)
class CircularUse(SemanticDiagnostic):
    code = "DL035"
    title = "circular use"
    circle: tuple[str, ...]
    others: tuple[Span, ...] = ()

    @property
    def message(self) -> str:
        if len(self.circle) == 2:
            return f"`{self.circle[0]}` uses itself"
        return f"modules use each other in a circle: {' -> '.join(self.circle)}"

    @property
    def label(self) -> str:
        return "this `use` closes the circle" if self.others else ""

    @property
    def places(self) -> Sequence[Label]:
        return tuple(Label(span, "part of the circle") for span in self.others)

    @property
    def help(self) -> str | None:
        if len(self.circle) == 2:
            return "what a file defines is known in all of it: leave this line out"
        return "move what both need into a third file"


@dataclass(frozen=True)
class Duplicate(SemanticDiagnostic):
    """Two declarations of one name."""

    code = "DL036"
    title = "duplicate definition"
    name: str
    what: str
    first: Span | None

    @property
    def message(self) -> str:
        return f"{self.what} `{self.name}` is defined twice"

    @property
    def places(self) -> Sequence[Label]:
        if self.first is not None and self.span is not None and self.first.source == self.span.source:
            return at_place(
                self.first, "first defined here" if self.first.start < self.span.start else "and defined here"
            )
        return at_place(self.first, "first defined here")


@dataclass(frozen=True)
class CapitalTensor(SemanticDiagnostic):
    code = "DL037"
    title = "tensor with a capital name"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` starts with a capital, so it is an index set, not a tensor"

    @property
    def help(self) -> str | None:
        return f"tensors start with a small letter: `{self.name[0].lower()}{self.name[1:]}`"


@dataclass(frozen=True)
class SmallSet(SemanticDiagnostic):
    code = "DL038"
    title = "index set with a small name"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` stands where an index set is declared, but starts with a small letter"

    @property
    def help(self) -> str | None:
        return (
            f"index sets start with a capital: `{self.name[0].upper()}{self.name[1:]}`; its elements are `{self.name}`"
        )


@dataclass(frozen=True)
class KeywordSet(SemanticDiagnostic):
    code = "DL039"
    title = "index set whose variable is a keyword"
    name: str

    @property
    def message(self) -> str:
        variable = self.name[0].lower() + self.name[1:]
        return (
            f"`{self.name}` cannot be an index set: its index variable would be `{variable}`, "
            "which has a meaning of its own"
        )

    @property
    def help(self) -> str | None:
        return f"call it otherwise, `{self.name}1` say"


@dataclass(frozen=True)
class ScalarAndIndex(SemanticDiagnostic):
    code = "DL040"
    title = "scalar with the name of an index variable"
    name: str
    set: str
    set_span: Span | None

    @property
    def message(self) -> str:
        return f"the scalar `{self.name}` has the name of the index variable of `{self.set}`"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.set_span, f"`{self.name}` runs over this set")

    @property
    def help(self) -> str | None:
        return "rename one of them: where both are in scope nobody can tell which is meant"


@dataclass(frozen=True)
class UnknownMember(SemanticDiagnostic):
    code = "DL041"
    title = "unknown member"
    name: str
    owner: str
    layer: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        if self.owner == self.layer:
            return f"`{self.layer}` has no output `{self.name}`"
        return f"`{self.owner}` is a `{self.layer}`, which has no `{self.name}`"

    @property
    def help(self) -> str | None:
        listed = f"it has {quoted(self.candidates[:12])}" if self.candidates else None
        return suggestion(self.name, self.candidates) or listed


@dataclass(frozen=True)
class UndefinedOutput(SemanticDiagnostic):
    code = "DL042"
    title = "output without an equation"
    name: str
    definition: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return f"`{self.definition}` gives `{self.name}`, but no equation defines it"

    @property
    def help(self) -> str | None:
        return suggestion(self.name, self.candidates) or f"add an equation `{self.name}.. = ..` to the body"


@dataclass(frozen=True)
class NoOutput(SemanticDiagnostic):
    code = "DL043"
    title = "definition without an output"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` has no outputs"

    @property
    def help(self) -> str | None:
        return "name what it gives behind the signature: `-> y[I]`"


@dataclass(frozen=True)
class RedefinedInput(SemanticDiagnostic):
    code = "DL044"
    title = "equation for something that is given"
    name: str
    what: str
    first: Span | None
    is_updated: bool = False

    @property
    def message(self) -> str:
        return f"`{self.name}` is {self.what} and cannot have an equation"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.first, "declared here")

    @property
    def help(self) -> str | None:
        if self.is_updated:
            return f"`{self.name}[..] <- ..` gives it its next value"
        return "give the result a name of its own"


@dataclass(frozen=True)
class UnknownDefinition(SemanticDiagnostic):
    code = "DL045"
    title = "nothing of that name to compile"
    name: str
    file: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return f"`{self.file}` has no model or layer `{self.name}`"

    @property
    def help(self) -> str | None:
        if not self.candidates:
            return "the file defines no model and no layer"
        return suggestion(self.name, self.candidates) or f"it has {quoted(self.candidates)}"


@dataclass(frozen=True)
class AmbiguousDefinition(SemanticDiagnostic):
    code = "DL046"
    title = "several definitions"
    file: str
    candidates: tuple[str, ...]

    @property
    def message(self) -> str:
        if not self.candidates:
            return f"`{self.file}` defines no model and no layer"
        return f"`{self.file}` defines {quoted(self.candidates)}: say which one is meant"


@dataclass(frozen=True)
class UnknownSetting(SemanticDiagnostic):
    """A size or hyper-parameter given when compiling that the definition does not have."""

    code = "DL047"
    title = "unknown size or hyper-parameter"
    name: str
    what: str
    definition: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return f"`{self.definition}` has no {self.what} `{self.name}`"

    @property
    def help(self) -> str | None:
        listed = f"it has {quoted(self.candidates)}" if self.candidates else f"it has no {self.what}"
        return suggestion(self.name, self.candidates) or listed
