"""What the compiler says to the author of a spec: diagnostics, their collection, and their rendering.

Every kind of error is a frozen dataclass derived from `Diagnostic`: its fields are the facts, its class holds the code
and the title, and its properties word the facts:

    @dataclass(frozen=True)
    class UnknownTensor(Diagnostic):
        code = "DL031"
        title = "unknown tensor"
        name: str
        candidates: tuple[str, ...]

        @property
        def message(self) -> str:
            return f"no tensor is called `{self.name}`"

        @property
        def help(self) -> str | None:
            return suggestion(self.name, self.candidates)

`Diagnostics` collects several of them, so that all independent errors of a file are reported in one run; `CompileError`
carries them out of the compiler. `render` gives the text that users and the error tests see:

    error[DL031]: no tensor is called `hh`
      --> net.dl:4:14
       |
     4 |     y[i] = w*hh[i]
       |              ^^
       |
       = help: did you mean `h`?
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from dlc.compiler.source import Source, Span

TAB_STOP = 4
_BIDIRECTIONAL_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
WIDEST_LINE = 160
MARGIN_OF_CLIPPED_LINE = 40


class Severity(Enum):
    """How bad it is: only errors stop a compilation."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Label:
    """A second place that explains the first, with a few words under it."""

    span: Span
    text: str = ""


@dataclass(frozen=True)
class Diagnostic:
    """The base of every error: where (None: nowhere in a source, as for a missing file), and in subclasses, what."""

    code: ClassVar[str] = "DL000"
    title: ClassVar[str] = "error"
    severity: ClassVar[Severity] = Severity.ERROR

    span: Span | None

    @property
    def message(self) -> str:
        """The headline: one sentence with the facts of this case; the title when there is nothing to add."""
        return self.title

    @property
    def label(self) -> str:
        """The words under the carets at `span`; may be empty."""
        return ""

    @property
    def secondary(self) -> Sequence[Label]:
        """Other places, each with its words."""
        return ()

    @property
    def notes(self) -> Sequence[str]:
        """Facts worth adding below the excerpt."""
        return ()

    @property
    def help(self) -> str | None:
        """What to write instead."""
        return None

    def place(self) -> tuple[str, int, int, str, str]:
        """Sort key: by file, then by place, then by code."""
        if self.span is None:
            return ("", -1, -1, self.code, self.message)
        return (self.span.source.name, self.span.start, self.span.end, self.code, self.message)

    def render(self, color: bool = False) -> str:
        return render(self, color=color)


class CompileError(Exception):
    """A compilation that ended in errors; `diagnostics` holds them all, sorted, without repetition."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        found = [diagnostics] if isinstance(diagnostics, Diagnostic) else list(diagnostics)
        self.diagnostics: tuple[Diagnostic, ...] = sorted_unique(found)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return self.render()

    def render(self, color: bool = False) -> str:
        return render_all(self.diagnostics, color=color)


class Diagnostics:
    """Collects diagnostics, so that one run can report several."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []

    def add(self, diagnostic: Diagnostic) -> None:
        self._found.append(diagnostic)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        self._found.extend(diagnostics)

    @property
    def has_errors(self) -> bool:
        return any(diagnostic.severity is Severity.ERROR for diagnostic in self._found)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(sorted_unique(self._found))

    def __len__(self) -> int:
        return len(sorted_unique(self._found))


def sorted_unique(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By place; of several with the same place, code and message, one."""
    by_place = {diagnostic.place(): diagnostic for diagnostic in diagnostics}
    return tuple(by_place[place] for place in sorted(by_place))


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate closest to a misspelt `name`, or None if none is close; one that differs only in case wins."""
    ordered = sorted(set(candidates) - {name})
    for candidate in ordered:
        if candidate.casefold() == name.casefold():
            return candidate
    close = difflib.get_close_matches(name, ordered, n=1, cutoff=0.6)
    return close[0] if close else None


def suggestion(name: str, candidates: Iterable[str]) -> str | None:
    """The help line ``did you mean `x`?``, or None."""
    close = did_you_mean(name, candidates)
    return None if close is None else f"did you mean `{close}`?"


# --- rendering --------------------------------------------------------------------------------------------------------

_COLORS = {
    "error": "\x1b[1;31m",
    "warning": "\x1b[1;33m",
    "note": "\x1b[1;36m",
    "frame": "\x1b[1;34m",
    "bold": "\x1b[1m",
}
_COLOR_END = "\x1b[0m"


def render_all(diagnostics: Iterable[Diagnostic], color: bool = False) -> str:
    """All of them, separated by empty lines."""
    return "\n".join(render(diagnostic, color=color) for diagnostic in diagnostics)


def render(diagnostic: Diagnostic, color: bool = False) -> str:
    """One diagnostic as text that ends in a line end."""
    return "\n".join(_Renderer(color).lines(diagnostic)) + "\n"


@dataclass(frozen=True)
class _Mark:
    """One underline on one line, in display columns (0-based, half-open)."""

    start: int
    end: int
    text: str
    primary: bool

    @property
    def sign(self) -> str:
        return "^" if self.primary else "-"


@dataclass(frozen=True)
class _Renderer:
    """Draws the excerpt: one block per source, the primary one first."""

    color: bool

    def lines(self, diagnostic: Diagnostic) -> Iterator[str]:
        severity = diagnostic.severity.value
        head = self._paint(severity, f"{severity}[{diagnostic.code}]")
        yield head + self._paint("bold", f": {visible(diagnostic.message)}")
        labels = [*([Label(diagnostic.span, diagnostic.label)] if diagnostic.span else []), *diagnostic.secondary]
        gutter = max((len(str(label.span.line)) for label in labels), default=0)
        yield from self._blocks(diagnostic, labels, gutter)
        remarks = [("note", note) for note in diagnostic.notes]
        if diagnostic.help:
            remarks.append(("help", diagnostic.help))
        if labels and remarks:
            yield self._paint("frame", " " * (gutter + 2) + "|")
        for kind, text in remarks:
            yield from self._remark(kind, text, gutter if labels else 0)

    def _remark(self, kind: str, text: str, gutter: int) -> Iterator[str]:
        first, *rest = text.split("\n")
        head = f"{kind}: "
        yield self._paint("frame", " " * (gutter + 2) + "= ") + self._paint("bold", head) + visible(first)
        for line in rest:
            yield " " * (gutter + 4 + len(head)) + visible(line)

    def _blocks(self, diagnostic: Diagnostic, labels: Sequence[Label], gutter: int) -> Iterator[str]:
        sources: dict[str, Source] = {}
        for label in labels:
            sources.setdefault(label.span.source.name, label.span.source)
        for number, (name, source) in enumerate(sources.items()):
            here = [label for label in labels if label.span.source.name == name]
            arrow = "-->" if number == 0 else ":::"
            if number > 0:
                yield self._paint("frame", " " * (gutter + 2) + "|")
            yield self._paint("frame", " " * (gutter + 1) + arrow) + f" {visible(str(here[0].span))}"
            yield self._paint("frame", " " * (gutter + 2) + "|")
            yield from self._excerpt(diagnostic, source, here, gutter)

    def _excerpt(self, diagnostic: Diagnostic, source: Source, labels: Sequence[Label], gutter: int) -> Iterator[str]:
        previous: int | None = None
        for line in sorted({label.span.line for label in labels}):
            if previous is not None and line == previous + 2:
                yield self._source_line(previous + 1, clip(source.line_text(previous + 1), 0).text, gutter)
            elif previous is not None and line > previous + 1:
                yield self._paint("frame", "...")
            previous = line
            here = [label for label in labels if label.span.line == line]
            view = clip(source.line_text(line), min(label.span.column - 1 for label in here))
            yield self._source_line(line, view.text, gutter)
            marks = [_mark(label, view, label.span is diagnostic.span) for label in here]
            severity = diagnostic.severity.value
            for text in _underlines(marks):
                yield self._paint("frame", " " * (gutter + 2) + "| ") + self._paint(severity, text)

    def _source_line(self, number: int, text: str, gutter: int) -> str:
        return (self._paint("frame", f" {number:>{gutter}} |") + f" {text}").rstrip()

    def _paint(self, style: str, text: str) -> str:
        return f"{_COLORS[style]}{text}{_COLOR_END}" if self.color else text


def _mark(label: Label, view: Clipped, primary: bool) -> _Mark:
    """Where a label stands on its (first) line; a span over several lines is underlined to the end of the first."""
    span = label.span
    end_column = span.end_column - 1 if span.end_line == span.line else len(span.source.line_text(span.line))
    start = view.column(span.column - 1)
    return _Mark(start, max(view.column(end_column), start + 1), visible(label.text), primary)


def _underlines(marks: Sequence[_Mark]) -> Iterator[str]:
    """The underline of a line with the words of its rightmost mark; the words of the others hang below."""
    ordered = sorted(marks, key=lambda mark: (mark.start, mark.end))
    width = max(mark.end for mark in ordered)
    row = [" "] * width
    for mark in sorted(ordered, key=lambda mark: mark.primary):  # carets win over dashes
        row[mark.start : mark.end] = mark.sign * (mark.end - mark.start)
    worded = [mark for mark in ordered if mark.text]
    inline = worded[-1] if worded and not any(mark.end > worded[-1].end for mark in ordered) else None
    yield "".join(row) + (f" {inline.text}" if inline else "")
    hanging = [mark for mark in worded if mark is not inline]
    if hanging:
        yield _bars(hanging)
    while hanging:
        last = hanging.pop()
        same = [mark for mark in hanging if mark.start == last.start]
        rest = [mark for mark in hanging if mark.start != last.start]
        yield f"{_bars(rest):<{last.start}}{'; '.join(mark.text for mark in [*same, last])}"
        hanging = rest


def _bars(marks: Sequence[_Mark]) -> str:
    row = [" "] * (max((mark.start for mark in marks), default=-1) + 1)
    for mark in marks:
        row[mark.start] = "|"
    return "".join(row)


@dataclass(frozen=True)
class Clipped:
    """A source line as displayed: tabs expanded, control characters replaced, a very long line cut to a window."""

    text: str
    columns: tuple[int, ...]

    def column(self, character: int) -> int:
        """The display column at which the `character`-th character of the line begins."""
        return self.columns[min(character, len(self.columns) - 1)]


def clip(line: str, focus: int) -> Clipped:
    """`line` as displayed, with the character number `focus` in sight."""
    first = 0
    if len(line) > WIDEST_LINE:
        first = max(0, min(focus - MARGIN_OF_CLIPPED_LINE, len(line) - WIDEST_LINE))
    window = line[first : first + WIDEST_LINE]
    shown, columns, width = [], [], 0
    if first:
        shown.append("...")
        width = 3
    columns.extend([width] * first)
    for character in window:
        columns.append(width)
        piece = " " * (TAB_STOP - width % TAB_STOP) if character == "\t" else visible(character)
        shown.append(piece)
        width += sum(display_width(part) for part in piece)
    columns.append(width)
    if first + len(window) < len(line):
        shown.append("...")
    return Clipped("".join(shown), tuple(columns))


def display_width(character: str) -> int:
    """Columns that a character takes on a terminal: 0 for combining marks, 2 for wide East Asian ones, else 1."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def visible(text: str) -> str:
    """Control characters (which could drive a terminal) and lone surrogates replaced by a sign."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_hidden(character) else character for character in text)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _BIDIRECTIONAL_CONTROLS
