"""Lines of Python: indentation, long lines, and text of the spec made safe inside comments and strings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

WIDTH = 110  # lines are broken beyond this
_INDENT = "    "


class Writer:
    """Collects lines; ``with writer.block("for i in range(n):"):`` indents what is written inside."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    def line(self, text: str = "") -> None:
        """One statement, broken over several lines where it is too long; it may have line breaks of its own."""
        for part in text.split("\n"):
            indent = _INDENT * self._depth
            self._lines.extend(f"{indent}{piece}".rstrip() for piece in broken(part, WIDTH - len(indent)))

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.line(text)

    def include(self, lines: Iterable[str]) -> None:
        """Finished lines, indented as a whole."""
        indent = _INDENT * self._depth
        self._lines.extend(f"{indent}{line}".rstrip() for line in lines)

    def blank(self, count: int = 1) -> None:
        """At least ``count`` empty lines; nothing at the start of the file."""
        if not self._lines:
            return
        present = 0
        while present < len(self._lines) and not self._lines[-1 - present]:
            present += 1
        self._lines.extend([""] * (count - present))

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def bracket(self, opening: str, closing: str) -> Iterator[None]:
        """A bracket whose contents stand on lines of their own."""
        with self.block(opening):
            yield
        self.line(closing)

    def docstring(self, texts: Sequence[str]) -> None:
        """The lines of a docstring, none of which can end it."""
        safe = [_inside_docstring(text) for text in texts]
        indent = _INDENT * self._depth
        if len(safe) == 1:
            self._lines.append(f'{indent}"""{safe[0]}"""')
            return
        self._lines.append(f'{indent}"""{safe[0]}')
        self._lines.extend(f"{indent}{text}".rstrip() for text in safe[1:])
        self._lines.append(f'{indent}"""')

    @property
    def written(self) -> Sequence[str]:
        return self._lines

    def text(self) -> str:
        return "\n".join(self._lines).rstrip("\n") + "\n"


def printable(text: str) -> str:
    """``text`` on one line: what could break it, hide in it or turn it around is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def escaped(text: str) -> str:
    """``text`` as it may stand between double quotes."""
    return printable(text.replace("\\", "\\\\").replace('"', '\\"'))


def _inside_docstring(text: str) -> str:
    """Like ``escaped``, but quotes stay as they are where they end nothing."""
    safe = printable(text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"'))
    return f'{safe[:-1]}\\"' if safe.endswith('"') else safe


def literal(value: object) -> str:
    """A Python literal of a string, number, truth value, None, or tuple of these; strings in double quotes."""
    if isinstance(value, str):
        return '"' + escaped(value) + '"'
    if isinstance(value, tuple):
        parts = [literal(part) for part in value]
        return "(" + ", ".join(parts) + ("," if len(parts) == 1 else "") + ")"
    return repr(value)


# -- long lines -----------------------------------------------------------------------------------------------------

_OPEN, _CLOSE = "([{", ")]}"
#: Where a line may end, weakest binding first; the break stands before the operator, after a comma.
_BREAKS = (", ", " if ", " else ", " or ", " and ", " + ", " - ", " / ", "*")


def broken(line: str, width: int) -> list[str]:
    """The line, broken inside its outermost bracket that is worth it, so that no piece is wider than ``width``."""
    if len(line) <= width or line.lstrip().startswith("#"):
        return [line]
    assignment = re.match(r"[^\"(]* \+?= (?=[^=])", line)
    if assignment and len(_split(line[assignment.end() :])) > 1:
        line = f"{assignment[0]}({line[assignment.end() :]})"
    inner = _long_bracket(line)
    if inner is None:
        return [line]
    start, stop = inner
    body = line[start + 1 : stop]
    pieces = _filled(body, width - len(_INDENT))
    return [line[: start + 1], *(f"{_INDENT}{piece}" for piece in pieces), *broken(line[stop:], width)]


def _long_bracket(line: str) -> tuple[int, int] | None:
    """The widest outermost bracket of the line."""
    spans = [(start, stop) for start, stop, depth in _brackets(line) if depth == 0 and stop - start > 20]
    return max(spans, key=lambda span: span[1] - span[0], default=None)


def _brackets(line: str) -> Iterator[tuple[int, int, int]]:
    """``(opens at, closes at, depth)`` of every bracket outside strings."""
    stack: list[int] = []
    for position, character in _code(line):
        if character in _OPEN:
            stack.append(position)
        elif character in _CLOSE and stack:
            yield stack.pop(), position, len(stack)


def _code(line: str) -> Iterator[tuple[int, str]]:
    """The characters outside string literals."""
    inside, skip = False, False
    for position, character in enumerate(line):
        if skip:
            skip = False
        elif inside and character == "\\":
            skip = True
        elif character == '"':
            inside = not inside
        elif not inside:
            yield position, character


def _filled(body: str, width: int) -> list[str]:
    """``body`` in lines, broken at its weakest operators."""
    parts = _split(body)
    if len(parts) == 1:
        return broken(body, width)
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) <= width:
            lines[-1] += part
        else:
            lines.append(part.lstrip())
    return [piece for line in lines for piece in broken(line.rstrip(), width)]


def _split(body: str) -> list[str]:
    """The body cut at the weakest operator that stands outside its brackets; commas end a part, operators begin one."""
    outside = _outside(body)
    for mark in _BREAKS:
        cuts = [at for at in outside if body.startswith(mark, at)]
        if cuts:
            places = [at + len(mark) if mark == ", " else at for at in cuts]
            edges = [0, *places, len(body)]
            return [part for part in (body[a:b] for a, b in pairwise(edges)) if part]
    return [body]


def _outside(body: str) -> list[int]:
    """The positions outside brackets and strings."""
    depth, found = 0, []
    for position, character in _code(body):
        depth += (character in _OPEN) - (character in _CLOSE)
        if depth == 0:
            found.append(position)
    return found
