"""Limits that keep a spec from exhausting the compiler.  DL124 to DL130."""

from __future__ import annotations

from dataclasses import dataclass

from dlc.compiler.semantics.errors import SemanticDiagnostic


@dataclass(frozen=True)
class TooMuchExpansion(SemanticDiagnostic):
    code = "DL125"
    title = "expansion too large"
    name: str
    what: str
    count: str
    limit: int

    @property
    def message(self) -> str:
        have = f"{self.count} {self.what}; the limit is {self.limit}"
        return f"with its layers and functions inlined `{self.name}` would have {have}"

    @property
    def help(self) -> str | None:
        return "repeat a layer with an index, `blocks[L] = Block(..)`, so that the code does not grow with the depth"


@dataclass(frozen=True)
class NestedTooDeep(SemanticDiagnostic):
    code = "DL126"
    title = "calls nested too deep"
    name: str
    limit: int

    @property
    def message(self) -> str:
        return f"what `{self.name}` needs is nested deeper than {self.limit}: calls, and equations that use each other"


@dataclass(frozen=True)
class TooManyParts(SemanticDiagnostic):
    code = "DL130"
    title = "too many parts"
    name: str
    count: int
    limit: int

    @property
    def message(self) -> str:
        return f"`{self.name}` has {self.count} equations, each for its own part; the limit is {self.limit}"

    @property
    def help(self) -> str | None:
        return "elements that follow one rule are one equation, with an index variable on the left"


@dataclass(frozen=True)
class TooManyAxes(SemanticDiagnostic):
    code = "DL127"
    title = "too many axes"
    name: str
    count: int
    limit: int

    @property
    def message(self) -> str:
        return f"`{self.name}` would have {self.count} axes; the limit is {self.limit}"


@dataclass(frozen=True)
class ConstantTooLarge(SemanticDiagnostic):
    code = "DL128"
    title = "constant too large"
    value: str

    @property
    def message(self) -> str:
        return f"{self.value} does not fit into a 64-bit integer"

    @property
    def help(self) -> str | None:
        return "with a decimal point it is a real number"


@dataclass(frozen=True)
class DivisionByZero(SemanticDiagnostic):
    code = "DL129"
    title = "division by zero"

    @property
    def message(self) -> str:
        return "this divides by zero when compiling"


@dataclass(frozen=True)
class ExpressionTooLarge(SemanticDiagnostic):
    """Functions that use their argument several times, inside each other."""

    code = "DL124"
    title = "expression too large"
    limit: int
    what: str

    @property
    def message(self) -> str:
        return f"with its functions written out, this expression has more than {self.limit} {self.what}"

    @property
    def help(self) -> str | None:
        return "give an intermediate result a name of its own: `h[i] = f(x[i])`"
