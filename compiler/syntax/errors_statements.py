"""What is wrong with statements and expressions.  Each error teaches the spelling that was meant.

DL001, DL008 to DL019 but for DL012, and DL024 to DL028 but for DL026; the others of the syntax stand in
``errors_words``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from dlc.compiler.diagnostics import Diagnostic, Label
from dlc.compiler.source import Span
from dlc.compiler.syntax.vocabulary import SPELLED_REDUCTIONS


@dataclass(frozen=True)
class UnexpectedWord(Diagnostic):
    """Something stands where the grammar has no place for it, and nothing better can be said."""

    code: ClassVar[str] = "DL001"
    title: ClassVar[str] = "unexpected word"

    found: str
    expected: tuple[str, ...]
    hint: str | None = None
    opening: Span | None = None

    @property
    def message(self) -> str:
        if not self.expected:
            return f"{self.found} has no place here"
        return f"expected {listed(self.expected)}, found {self.found}"

    @property
    def secondary(self) -> Sequence[Label]:
        return () if self.opening is None else [Label(self.opening, f"inside this `{self.opening.text}`")]

    @property
    def help(self) -> str | None:
        return self.hint


@dataclass(frozen=True)
class MissingColon(Diagnostic):
    code: ClassVar[str] = "DL008"
    title: ClassVar[str] = "missing colon"

    kind: str

    @property
    def message(self) -> str:
        return f"the first line of {article(self.kind)} ends with `:`"

    @property
    def label(self) -> str:
        return "expected `:`"


@dataclass(frozen=True)
class EmptyBody(Diagnostic):
    code: ClassVar[str] = "DL009"
    title: ClassVar[str] = "empty body"

    kind: str

    @property
    def message(self) -> str:
        return f"this {self.kind} has no body"

    @property
    def help(self) -> str | None:
        return "its equations follow on the next lines, indented"


@dataclass(frozen=True)
class WrongEquals(Diagnostic):
    """`=` where things are compared, or `==` where a thing is defined."""

    code: ClassVar[str] = "DL010"
    title: ClassVar[str] = "wrong equals sign"

    wanted: str

    @property
    def message(self) -> str:
        if self.wanted == "==":
            return "`=` defines a tensor, it does not compare"
        return "`==` compares, it does not define"

    @property
    def help(self) -> str | None:
        return f"write `{self.wanted}`"


@dataclass(frozen=True)
class SecondEquals(Diagnostic):
    """`a = b = c`."""

    code: ClassVar[str] = "DL011"
    title: ClassVar[str] = "second equals sign"

    first: Span

    @property
    def message(self) -> str:
        return "an equation has one left side"

    @property
    def label(self) -> str:
        return f"second `{self.span.text if self.span else '='}`"

    @property
    def secondary(self) -> Sequence[Label]:
        return [Label(self.first, "first")]

    @property
    def help(self) -> str | None:
        return "write one equation per line; to compare, write `==`"


@dataclass(frozen=True)
class UpdateInExpression(Diagnostic):
    """`x <-1` inside an expression."""

    code: ClassVar[str] = "DL013"
    title: ClassVar[str] = "update inside an expression"

    @property
    def message(self) -> str:
        assert self.span is not None
        return f"`{self.span.text}` updates a state, and stands only behind the name at the beginning of a line"

    @property
    def help(self) -> str | None:
        return "to compare with a negative value write `< -`, with a space between"


@dataclass(frozen=True)
class MissingOperator(Diagnostic):
    code: ClassVar[str] = "DL014"
    title: ClassVar[str] = "missing operator"

    before: str
    after: str

    @property
    def message(self) -> str:
        return f"`{self.before}` and `{self.after}` stand side by side"

    @property
    def label(self) -> str:
        return "expected an operator before this"

    @property
    def help(self) -> str | None:
        reduction, _, index = self.before.partition("_")
        if reduction in SPELLED_REDUCTIONS:
            return f"a reduction names its index variable in brackets: `{reduction}[{index or 'i'}] ..`"
        if {self.before, self.after} & {"elif", "then"}:
            return "a choice is written `a if c else b`, and goes on as `a if c else b if d else e`"
        return "a product is written with `*`"


@dataclass(frozen=True)
class ReductionNeedsParentheses(Diagnostic):
    """`a / sum[i] b*c`, or a reduction where only a factor can stand."""

    code: ClassVar[str] = "DL015"
    title: ClassVar[str] = "reduction needs parentheses"

    reason: str
    hint: str

    @property
    def message(self) -> str:
        return self.reason

    @property
    def help(self) -> str | None:
        return self.hint


@dataclass(frozen=True)
class KeywordAsName(Diagnostic):
    code: ClassVar[str] = "DL016"
    title: ClassVar[str] = "keyword as a name"

    keyword: str
    in_subscript: bool

    @property
    def message(self) -> str:
        return f"`{self.keyword}` is a keyword and cannot be a name"

    @property
    def help(self) -> str | None:
        capital = self.keyword[0].upper() + self.keyword[1:]
        if self.in_subscript and self.keyword.isascii():
            return f"an index set `{capital}` has no usable index variable: call the set something else"
        return "choose another name"


@dataclass(frozen=True)
class ReductionAsName(Diagnostic):
    code: ClassVar[str] = "DL017"
    title: ClassVar[str] = "reduction as a name"

    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}[` begins a reduction, so a tensor with axes cannot be called `{self.name}`"

    @property
    def help(self) -> str | None:
        return f"choose another name, such as `{self.name}_`"


@dataclass(frozen=True)
class TooManyGroups(Diagnostic):
    code: ClassVar[str] = "DL018"
    title: ClassVar[str] = "too many groups"

    count: int
    empty_parameters: bool

    @property
    def message(self) -> str:
        return f"a signature has at most three groups (data; parameters; hyper-parameters), this one has {self.count}"

    @property
    def help(self) -> str | None:
        if self.empty_parameters:
            return "`;;` stands only where there are no parameters: after a parameter group one `;` is enough"
        return "separate the entries of one group with commas"


@dataclass(frozen=True)
class UnknownStatement(Diagnostic):
    code: ClassVar[str] = "DL019"
    title: ClassVar[str] = "unknown statement"

    word: str
    hint: str

    @property
    def message(self) -> str:
        return f"`{self.word}` does not begin a statement"

    @property
    def help(self) -> str | None:
        return self.hint


@dataclass(frozen=True)
class MissingName(Diagnostic):
    """A line that begins with a keyword that nothing follows, or not a name."""

    code: ClassVar[str] = "DL027"
    title: ClassVar[str] = "missing name"

    keyword: str

    @property
    def message(self) -> str:
        return f"`{self.keyword}` is followed by a name"


@dataclass(frozen=True)
class PositionalAfterNamed(Diagnostic):
    code: ClassVar[str] = "DL024"
    title: ClassVar[str] = "positional after named"

    named: Span

    @property
    def message(self) -> str:
        return "an argument without a name stands behind a named one"

    @property
    def secondary(self) -> Sequence[Label]:
        return [Label(self.named, "named")]

    @property
    def help(self) -> str | None:
        return "within a group, the named arguments come last"


@dataclass(frozen=True)
class UnknownType(Diagnostic):
    code: ClassVar[str] = "DL025"
    title: ClassVar[str] = "unknown type"

    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` is not a type"

    @property
    def help(self) -> str | None:
        if self.name[0].isupper():
            return f"integers that are elements of a set are declared with `in {self.name}`"
        return "the types are `int`, `bool` and `real`; the body of a definition begins on the line behind its `:`"


@dataclass(frozen=True)
class SeveralTargets(Diagnostic):
    code: ClassVar[str] = "DL028"
    title: ClassVar[str] = "several left sides"

    targets: tuple[str, ...]
    call: str | None

    @property
    def message(self) -> str:
        return "an equation defines one tensor"

    @property
    def help(self) -> str:
        if self.call is None:
            return "write an equation for each of them"
        first, *others = self.targets
        lines = [f"`{first} = {self.call}`", *(f"`{other} = {self.call}.NAME`" for other in others)]
        return (
            f"write an equation for each output: {listed(lines, 'and')}, where NAME is what the layer calls it; "
            "equal calls are computed once"
        )


def listed(words: Sequence[str], joint: str = "or") -> str:
    """`a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} {joint} {last}" if most else last


def article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
