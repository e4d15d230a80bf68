"""What is wrong before there are statements: characters, numbers, brackets, indentation, and what is too long or deep.

DL002 to DL007, DL012, DL020, DL021 and DL026; the others of the syntax stand in ``errors_statements``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from dlc.compiler.diagnostics import Diagnostic, Label
from dlc.compiler.source import Span


@dataclass(frozen=True)
class BadCharacter(Diagnostic):
    code: ClassVar[str] = "DL002"
    title: ClassVar[str] = "bad character"

    character: str
    hint: str | None

    @property
    def message(self) -> str:
        shown = f"`{self.character}`" if self.character.isprintable() and self.character != "`" else "this character"
        return f"{shown} (U+{ord(self.character):04X}) does not belong to the language"

    @property
    def help(self) -> str | None:
        return self.hint


@dataclass(frozen=True)
class BadNumber(Diagnostic):
    code: ClassVar[str] = "DL003"
    title: ClassVar[str] = "bad number"

    reason: str
    hint: str | None = None

    @property
    def message(self) -> str:
        return self.reason

    @property
    def help(self) -> str | None:
        return self.hint or "numbers look like 3, 0.5 or 1e-8"


@dataclass(frozen=True)
class UnclosedBracket(Diagnostic):
    """`span` is the opening bracket; `stopped` where it became clear that it is never closed."""

    code: ClassVar[str] = "DL004"
    title: ClassVar[str] = "unclosed bracket"

    closing: str
    stopped: Span | None

    @property
    def message(self) -> str:
        assert self.span is not None
        return f"this `{self.span.text}` is never closed"

    @property
    def label(self) -> str:
        return "opened here"

    @property
    def secondary(self) -> Sequence[Label]:
        return () if self.stopped is None else [Label(self.stopped, f"expected `{self.closing}` before this")]


@dataclass(frozen=True)
class UnopenedBracket(Diagnostic):
    code: ClassVar[str] = "DL005"
    title: ClassVar[str] = "unopened bracket"

    @property
    def message(self) -> str:
        assert self.span is not None
        return f"this `{self.span.text}` closes nothing"


@dataclass(frozen=True)
class MismatchedBrackets(Diagnostic):
    code: ClassVar[str] = "DL006"
    title: ClassVar[str] = "mismatched brackets"

    opening: Span

    @property
    def message(self) -> str:
        assert self.span is not None
        return f"`{self.span.text}` cannot close `{self.opening.text}`"

    @property
    def secondary(self) -> Sequence[Label]:
        return [Label(self.opening, "opened here")]


@dataclass(frozen=True)
class BadIndentation(Diagnostic):
    code: ClassVar[str] = "DL007"
    title: ClassVar[str] = "bad indentation"

    reason: str
    hint: str | None = None

    @property
    def message(self) -> str:
        return self.reason

    @property
    def help(self) -> str | None:
        return self.hint


@dataclass(frozen=True)
class ForeignOperator(Diagnostic):
    """An operator of another language."""

    code: ClassVar[str] = "DL012"
    title: ClassVar[str] = "unknown operator"

    instead: str

    @property
    def message(self) -> str:
        assert self.span is not None
        return f"there is no operator `{self.span.text}`"

    @property
    def help(self) -> str | None:
        return self.instead


@dataclass(frozen=True)
class NestedTooDeep(Diagnostic):
    code: ClassVar[str] = "DL020"
    title: ClassVar[str] = "nested too deep"

    limit: int

    @property
    def message(self) -> str:
        return f"this expression is nested more than {self.limit} levels deep"

    @property
    def help(self) -> str | None:
        return "give a name to a part of it, in an equation of its own"


@dataclass(frozen=True)
class TooLong(Diagnostic):
    """A file, a number or a name beyond its limit."""

    code: ClassVar[str] = "DL021"
    title: ClassVar[str] = "too long"

    what: str
    length: int
    limit: int

    @property
    def message(self) -> str:
        return f"{self.what} has {self.length} characters; the limit is {self.limit}"


@dataclass(frozen=True)
class TooManyErrors(Diagnostic):
    code: ClassVar[str] = "DL026"
    title: ClassVar[str] = "too many errors"

    @property
    def message(self) -> str:
        return "too many errors; the rest of the file was not read"
