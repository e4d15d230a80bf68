"""Source text and places in it.

A `Source` is one file as text; a `Span` is a half-open range of its characters. Everything that a user may have to be
told about carries a span. Lines and columns are derived, 1-based, and count characters; how wide a character is on a
screen is the renderer's business.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Source:
    """A named text; line ends are `\\n` (whoever reads a file turns `\\r\\n` into it)."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        """The offset at which each line begins."""
        starts = [0]
        starts.extend(offset + 1 for offset, character in enumerate(self.text) if character == "\n")
        return tuple(starts)

    def line_of(self, offset: int) -> int:
        """The 1-based line that holds `offset`."""
        return bisect_right(self.line_starts, offset)

    def column_of(self, offset: int) -> int:
        """The 1-based column of `offset`, in characters."""
        return offset - self.line_starts[self.line_of(offset) - 1] + 1

    def line_text(self, line: int) -> str:
        """The text of a 1-based line, without its line end."""
        start = self.line_starts[line - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]

    def span(self, start: int, end: int) -> Span:
        return Span(self, start, end)

    @property
    def whole(self) -> Span:
        return Span(self, 0, len(self.text))


@dataclass(frozen=True)
class Span:
    """The characters `start <= offset < end` of a source; an empty span is a place between two characters."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.line_of(self.start)

    @property
    def column(self) -> int:
        return self.source.column_of(self.start)

    @property
    def end_line(self) -> int:
        return self.source.line_of(self.end)

    @property
    def end_column(self) -> int:
        return self.source.column_of(self.end)

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def merge(self, *others: Span) -> Span:
        """The smallest span that holds this one and the others; all must lie in one source."""
        return merge([self, *others])

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def __repr__(self) -> str:
        return f"Span({self.source.name}, {self.start}, {self.end})"


def merge(spans: Iterable[Span]) -> Span:
    """The smallest span that holds all of `spans` (at least one, all of one source)."""
    found = list(spans)
    if any(span.source is not found[0].source and span.source != found[0].source for span in found):
        raise ValueError("spans of different sources cannot be merged")
    return Span(found[0].source, min(span.start for span in found), max(span.end for span in found))
