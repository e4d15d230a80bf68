"""Reals, integers and truth values, and what random tensors follow.  DL100 to DL109, DL122, DL140."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import Label
from dlc.compiler.semantics.errors import SemanticDiagnostic, at_place
from dlc.compiler.semantics.errors_sizes import SizeDiagnostic
from dlc.compiler.source import Span

_NAMES = {"real": "a real number", "int": "an integer", "bool": "a truth value"}
_PLACES = ("a subscript", "`pad`", "`clamp`", "`wrap`")


@dataclass(frozen=True)
class BoolInArithmetic(SemanticDiagnostic):
    code = "DL100"
    title = "truth value in arithmetic"

    @property
    def message(self) -> str:
        return "this is a truth value, and a number is needed"

    @property
    def help(self) -> str | None:
        return "the Iverson bracket makes a number of it: `[cond]` is 1 or 0"


@dataclass(frozen=True)
class NotACondition(SemanticDiagnostic):
    code = "DL101"
    title = "number where a condition is needed"
    found: str

    @property
    def message(self) -> str:
        return f"this is {_NAMES[self.found]}, and a condition is needed"

    @property
    def help(self) -> str | None:
        return "compare it: `e > 0`, `e != 0`"


@dataclass(frozen=True)
class NotAnInteger(SemanticDiagnostic):
    code = "DL102"
    title = "integer needed"
    found: str
    where: str

    @property
    def message(self) -> str:
        return f"{self.where} needs an integer, and this is {_NAMES[self.found]}"

    @property
    def help(self) -> str | None:
        if self.found == "bool":
            return "the Iverson bracket makes an integer of it: `[cond]`"
        if self.where in _PLACES:
            return (
                "`floor(..)` makes a place of a real number, `//` divides integers and rounds down; "
                "a tensor holds integers if it is declared `: int` or `in V`"
            )
        return "`//` divides integers and rounds down; a tensor holds integers if it is declared `: int` or `in V`"


@dataclass(frozen=True)
class WrongType(SemanticDiagnostic):
    """The value of a declared output, or an argument, has another type than its declaration says."""

    code = "DL103"
    title = "another type than declared"
    name: str
    declared: str
    found: str
    where: Span | None = None

    @property
    def message(self) -> str:
        return f"`{self.name}` is declared as {_NAMES[self.declared]}, but this is {_NAMES[self.found]}"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.where, "declared here")


@dataclass(frozen=True)
class MixedTypes(SemanticDiagnostic):
    code = "DL104"
    title = "truth values and numbers mixed"
    what: str
    other: Span
    other_is_condition: bool

    @property
    def message(self) -> str:
        return f"{self.what} are a truth value and a number"

    @property
    def label(self) -> str:
        return "a number" if self.other_is_condition else "a truth value"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.other, "a truth value" if self.other_is_condition else "a number")

    @property
    def help(self) -> str | None:
        return "the Iverson bracket makes a number of a truth value: `[cond]` is 1 or 0"


@dataclass(frozen=True)
class SetAsNumber(SemanticDiagnostic):
    code = "DL105"
    title = "index set where a number is needed"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` is an index set, not a number"

    @property
    def help(self) -> str | None:
        return f"its size is `|{self.name}|`"


@dataclass(frozen=True)
class NotASet(SemanticDiagnostic):
    code = "DL106"
    title = "`in` without an index set"

    @property
    def message(self) -> str:
        return "behind `in` stands an index set"

    @property
    def help(self) -> str | None:
        return "`e in S` means `0 <= e < |S|`"


@dataclass(frozen=True)
class NotWithinSet(SizeDiagnostic):
    """An integer that is declared to lie in a set, and cannot be shown to."""

    code = "DL107"
    title = "integer that may lie outside its set"
    name: str
    set: str
    reason: str
    is_output: bool
    other: Span | None = None

    @property
    def message(self) -> str:
        verb = "is declared to lie" if self.is_output else "must lie"
        return f"`{self.name}` {verb} in `{self.set}`, but {self.reason}"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.other, "declared here")

    @property
    def help(self) -> str | None:
        if self.is_output:
            size = f"|{self.set}|"
            return f"bring it into the set with `min(max(e, 0), {size}-1)` or `e mod {size}`, or declare it `: int`"
        return "declare it to lie in that set, or bring it there with `min(max(e, 0), |S|-1)` or `e mod |S|`"


@dataclass(frozen=True)
class BadExponent(SemanticDiagnostic):
    code = "DL108"
    title = "bad exponent"
    reason: str

    @property
    def message(self) -> str:
        return self.reason


@dataclass(frozen=True)
class BadDistribution(SemanticDiagnostic):
    code = "DL140"
    title = "bad distribution"
    reason: str

    @property
    def message(self) -> str:
        return self.reason

    @property
    def help(self) -> str | None:
        return "a random tensor follows `uniform(a, b)`, `normal(m, s)` or `randint(S)`"


@dataclass(frozen=True)
class BadFunctionParameter(SemanticDiagnostic):
    """``type`` and ``given`` where the default has another type."""

    code = "DL122"
    title = "parameter of a function"
    name: str
    type: str = ""
    given: str = ""

    @property
    def message(self) -> str:
        if self.type:
            return f"`{self.name}` is {_NAMES[self.type]}, and its default is {_NAMES[self.given]}"
        return f"`{self.name}` is a parameter of a function, and these are single numbers"

    @property
    def help(self) -> str | None:
        return None if self.type else "a layer takes tensors: `layer F(x[I]) -> y[I]:`"
