"""One style for `.dl` files: `format` keeps the tree and every comment, and formats its own output to itself.

Each statement stands on one line, if that fits and no comment stands inside it; else it keeps the author's line breaks,
and if it has none, it is broken inside its brackets. Bodies are indented by four spaces. One empty line at most is kept
between lines; definitions are set off by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dlc.compiler.source import Source, Span
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.parse import grammar
from dlc.compiler.syntax.spell import Speller
from dlc.compiler.syntax.vocabulary import CLOSING
from dlc.compiler.syntax.words import Token, cut

WIDTH = 120
INDENT = 4


def format(file: ast.File, source: Source, math: bool = False) -> str:  # noqa: A001  # what the command is called
    """The text of `file`, which was parsed from `source`; with `math`, in mathematical signs."""
    return _Layout(file, source, Speller(math)).text()


@dataclass(frozen=True)
class _Entry:
    """Lines that belong together, and the lines of the source that they come from."""

    first: int
    last: int
    lines: tuple[str, ...]
    is_definition: bool = False
    is_comment: bool = False


class _Layout:
    """Walks the tree and the comments side by side, in the order of the source."""

    def __init__(self, file: ast.File, source: Source, speller: Speller) -> None:
        self.file = file
        self.source = source
        self.speller = speller
        self.comments = [comment for comment in file.comments if not comment.is_doc]
        self.docs = [comment for comment in file.comments if comment.is_doc]
        self.words: list[Token] | None = None

    def text(self) -> str:
        lines = _spaced([*self.sequence(self.file.items, 0), *self.own_lines(len(self.source.text) + 1, 0)])
        return "".join(f"{line}\n" for line in lines)

    def sequence(self, nodes: Iterable[ast.Item | ast.Statement], indent: int) -> Iterator[_Entry]:
        for node in nodes:
            yield from self.own_lines(node.span.start, indent)
            yield self.definition(node) if isinstance(node, ast.Definition) else self.statement(node, indent)

    # --- comments -----------------------------------------------------------------------------------------------------

    def own_lines(self, end: int, indent: int, indented_only: bool = False) -> Iterator[_Entry]:
        """The comments on lines of their own before the offset `end`."""
        while self.comments and self.comments[0].span.start < end:
            span = self.comments[0].span
            if indented_only and span.column == 1:
                return
            text = " " * indent + self.comments.pop(0).text
            yield _Entry(span.line, span.line, (text,), is_comment=True)

    def comments_inside(self, end: int) -> bool:
        """Drop the comments before `end`, which the verbatim text contains; whether there were any."""
        found = False
        while self.comments and self.comments[0].span.start < end:
            self.comments.pop(0)
            found = True
        return found

    def trailing(self, line: int) -> str:
        """The comment behind a statement that ends on `line`, if any."""
        if self.comments and not self.comments[0].own_line and self.comments[0].span.line == line:
            return "  " + self.comments.pop(0).text
        return ""

    def first_line(self, node: ast.Node) -> int:
        """The source line of the node, or of the first of its doc comments."""
        first = node.span.line
        while self.docs and self.docs[0].span.start < node.span.start:
            first = min(first, self.docs.pop(0).span.line)
        return first

    # --- statements and definitions -----------------------------------------------------------------------------------

    def statement(self, node: ast.Item | ast.Statement, indent: int) -> _Entry:
        first = self.first_line(node)
        lines = [*_doc_lines(node.doc, indent), *self.head(node, node.span, indent)]
        lines[-1] += self.trailing(node.span.end_line)
        return _Entry(first, node.span.end_line, tuple(lines))

    def definition(self, node: ast.Definition) -> _Entry:
        first = self.first_line(node)
        head = Span(self.source, node.span.start, node.signature.span.end)
        lines = [*_doc_lines(node.doc, 0), *self.head(node, head, 0)]
        lines[-1] += self.trailing(head.end_line)
        entries = list(self.sequence(node.body, INDENT))
        entries += self.own_lines(self.next_item(node), INDENT, indented_only=True)
        lines += _spaced(entries)
        return _Entry(first, entries[-1].last, tuple(lines), is_definition=True)

    def next_item(self, node: ast.Definition) -> int:
        starts = [item.span.start for item in self.file.items if item.span.start > node.span.start]
        return min(starts, default=len(self.source.text) + 1)

    def head(self, node: ast.Node, span: Span, indent: int) -> list[str]:
        """The lines of a statement, or of the signature of a definition."""
        flat = " " * indent + self.speller.line(node)
        several_lines = span.line != span.end_line
        if self.comments_inside(span.end) or (several_lines and len(flat) > WIDTH):
            lines = self.verbatim(span, indent)
            lines[-1] += ":" if isinstance(node, ast.Definition) else ""
            return lines
        return [flat] if len(flat) <= WIDTH else wrapped(flat, indent)

    def verbatim(self, span: Span, indent: int) -> list[str]:
        """The author's lines, with the words in this style and the indentation moved."""
        first, *rest = self.respelled(span).split("\n")
        old = _margin(self.source.line_text(span.line))
        lines = [" " * indent + first.rstrip()]
        for line in rest:
            margin = _margin(line)
            moved = max(indent + margin - old, indent + 1 if margin > old else 0)
            lines.append((" " * moved + line.strip()).rstrip())
        return lines

    def respelled(self, span: Span) -> str:
        if self.words is None:
            lines = cut(self.source, grammar().vocabulary).lines
            self.words = [token for line in lines for token in line.tokens if token.type != "NEWLINE"]
        pieces, place = [], span.start
        for token in self.words:
            if span.start <= token.span.start and token.span.end <= span.end:
                pieces += [self.source.text[place : token.span.start], self.set_apart(token)]
                place = token.span.end
        return "".join(pieces)

    def set_apart(self, token: Token) -> str:
        """A word in this style; where a sign becomes letters (`a∈S`), it does not grow into its neighbours."""
        written = self.speller.word(token)
        if not written.isalpha() or token.span.text.isalpha():
            return written
        before = self.source.text[token.span.start - 1 : token.span.start]
        after = self.source.text[token.span.end : token.span.end + 1]
        left = " " if _in_name(before) else ""
        return left + written + (" " if _in_name(after) else "")


def _in_name(character: str) -> bool:
    return character.isalnum() or character in ("_", "'", "′", "″")


def _doc_lines(doc: str | None, indent: int) -> list[str]:
    return [] if doc is None else [" " * indent + f"## {line}".rstrip() for line in doc.split("\n")]


def _margin(line: str) -> int:
    expanded = line.expandtabs(INDENT)
    return len(expanded) - len(expanded.lstrip())


def _spaced(entries: list[_Entry]) -> Iterator[str]:
    """The lines of the entries, with an empty line where the source has one, and around definitions."""
    previous: _Entry | None = None
    for entry in entries:
        if previous is not None:
            wide = entry.first > previous.last + 1
            set_off = previous.is_definition or (entry.is_definition and not previous.is_comment)
            if wide or set_off:
                yield ""
        yield from entry.lines
        previous = entry


# --- breaking long lines ----------------------------------------------------------------------------------------------


def wrapped(flat: str, indent: int) -> list[str]:
    """A long line broken inside its brackets, behind commas and before `+` and `-`; as it is where it has none."""
    lines: list[str] = []
    rest, columns = flat, [0]
    while len(rest) > WIDTH:
        place, columns = _break_place(rest, columns)
        if place is None:
            break
        lines.append(rest[:place].rstrip())
        rest = " " * columns[-1] + rest[place:].lstrip()
    return [*lines, rest]


def _break_place(line: str, open_columns: list[int]) -> tuple[int | None, list[int]]:
    """Where to break: the outermost bracket that offers a place before the width is full, and there the last place.

    With it come the columns to which text inside the brackets open there is aligned.
    """
    columns = list(open_columns)
    best: tuple[int, int, list[int]] | None = None
    margin = len(line) - len(line.lstrip())
    for place, character in enumerate(line[:WIDTH]):
        if character in CLOSING:
            columns.append(place + 1)
        elif character in CLOSING.values() and len(columns) > 1:
            columns.pop()
        is_place = place > margin and len(columns) > 1 and character == " " and _may_break(line, place)
        if is_place and (best is None or len(columns) <= best[0]):
            best = (len(columns), place, list(columns))
    return (None, columns) if best is None else (best[1], best[2])


def _may_break(line: str, place: int) -> bool:
    return line[place - 1] in ",;" or line[place + 1 : place + 3] in ("+ ", "- ")
