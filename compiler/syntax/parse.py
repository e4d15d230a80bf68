"""From text to AST: `parse`.

The lines that words.py cuts are fed to the LALR parser of dl.lark one by one, and tree.py builds the nodes. When a line
is refused, the parser goes back to where that line began, a harmless line takes its place, and reading goes on: every
line can have its own error. Nothing but `CompileError` leaves this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from dlc.compiler.diagnostics import CompileError, Diagnostic, sorted_unique
from dlc.compiler.source import Source, Span
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.errors_statements import EmptyBody
from dlc.compiler.syntax.errors_words import BadIndentation, TooManyErrors
from dlc.compiler.syntax.explain import Refused, explain
from dlc.compiler.syntax.tree import RefusalError, TreeBuilder
from dlc.compiler.syntax.vocabulary import Vocabulary
from dlc.compiler.syntax.words import MAX_ERRORS, CommentWord, Line, Token, cut

if TYPE_CHECKING:
    from lark.parsers.lalr_interactive_parser import InteractiveParser

_HEADERS = ("LAYER", "MODEL", "OPTIMIZER")
_HARMLESS_HEADER = ("LAYER", "NAME", "LPAR", "RPAR", "BLOCK", "NEWLINE")
_HARMLESS_STATEMENT = ("NAME", "EQUALS", "NAME", "NEWLINE")


@dataclass(frozen=True)
class Grammar:
    """The tables of dl.lark, made once per process."""

    parser: Any
    vocabulary: Vocabulary

    def start(self) -> InteractiveParser:
        return self.parser.parse_interactive("")


@cache
def grammar(strict: bool = False) -> Grammar:
    """Read dl.lark; with `strict`, any conflict in it raises `lark.exceptions.GrammarError`."""
    from lark import Lark
    from lark.lexer import Lexer

    class NoLexer(Lexer):
        """Words are fed by hand."""

        def __init__(self, _configuration: Any) -> None:
            pass

        def lex(self, _state: Any, _parser_state: Any) -> Any:
            return iter(())

    parser = Lark(
        files("dlc.compiler.syntax").joinpath("dl.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer=NoLexer,
        start="file",
        strict=strict,
        keep_all_tokens=True,
        maybe_placeholders=False,
        transformer=TreeBuilder(),
    )
    patterns = {terminal.name: terminal.pattern.to_regexp() for terminal in parser.terminals}
    return Grammar(parser, Vocabulary.of_terminals(patterns))


def parse(source: Source) -> ast.File:
    """The tree of `source`. Raises `CompileError` with all the errors of its lines."""
    rules = grammar()
    words = cut(source, rules.vocabulary)
    reader = _Reader(source, rules.start())
    items = reader.read(words.lines)
    problems = sorted_unique([*words.problems, *reader.problems])
    if problems:
        raise CompileError(_capped(problems))
    return ast.File(items, tuple(_comment(comment) for comment in words.comments), span=source.whole)


def parse_text(text: str, name: str = "<text>") -> ast.File:
    """The tree of a text."""
    return parse(Source(name, text))


def _comment(comment: CommentWord) -> ast.Comment:
    return ast.Comment(comment.span.text, comment.own_line, comment.is_doc, span=comment.span)


def _capped(problems: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    if len(problems) <= MAX_ERRORS:
        return problems
    kept = problems[:MAX_ERRORS]
    return (*kept, TooManyErrors(kept[-1].span))


class _Reader:
    """Feeds lines to the parser, and replaces those that it refuses."""

    def __init__(self, source: Source, parser: InteractiveParser) -> None:
        self.source = source
        self.parser: Any = parser  # it wants words of lark's own, and takes all that have a `type`
        self.problems: list[Diagnostic] = []
        self.in_body = False

    def read(self, lines: tuple[Line, ...]) -> tuple[ast.Item, ...]:
        for number, line in enumerate(lines):
            begins_body = line.level == 0 and number + 1 < len(lines) and lines[number + 1].level == 1
            self.place(line)
            self.line(line, begins_body)
        self.leave_body()
        end = len(self.source.text)
        return self.feed("$END", self.source.span(end, end))

    def place(self, line: Line) -> None:
        """Leave the body for a line at the margin; an indented line without a header gets one."""
        if line.level == 0:
            self.leave_body()
        elif not self.in_body:
            margin = line.tokens[0].span
            hint = "only what stands under a `layer`, `model` or `optimizer` line is indented"
            self.refuse(line, BadIndentation(margin, "this line is indented, but no body begins here", hint))
            self.feed_all(_HARMLESS_HEADER, margin)
            self.enter_body(margin)

    def line(self, line: Line, begins_body: bool) -> None:
        """One line, or a harmless one in its place."""
        before = self.parser.copy(deepcopy_values=False)
        if not line.failed:
            problem = self.feed_line(line.tokens)
            if problem is not None:
                self.refuse(line, problem)
        is_header = line.tokens[0].type in _HEADERS
        place = line.tokens[0].span
        if line.failed:
            self.parser = before
            if self.in_body:
                self.feed_all(_HARMLESS_STATEMENT, place)
            elif begins_body:
                self.feed_all(_HARMLESS_HEADER, place)
        elif is_header and not begins_body and not self.in_body:
            self.problems.append(EmptyBody(line.tokens[1].span, line.tokens[0].text))
            self.parser = before
        if begins_body and (line.failed or is_header):
            self.enter_body(place)

    def refuse(self, line: Line, problem: Diagnostic) -> None:
        if not line.failed:
            self.problems.append(problem)
        line.failed = True

    def feed_line(self, tokens: list[Token]) -> Diagnostic | None:
        """Feed a whole line; what is wrong with it, or None."""
        from lark.exceptions import UnexpectedToken

        before = self.parser.copy(deepcopy_values=False)
        for number, token in enumerate(tokens):
            try:
                self.parser.feed_token(token)
            except RefusalError as refusal:
                return refusal.problem
            except UnexpectedToken:
                for earlier in tokens[:number]:
                    before.feed_token(earlier)
                return explain(Refused(tuple(tokens), number, frozenset(before.accepts()), self.in_body))
        return None

    def enter_body(self, place: Span) -> None:
        self.feed("INDENT", place)
        self.in_body = True

    def leave_body(self) -> None:
        if self.in_body:
            end = len(self.source.text)
            self.feed("DEDENT", self.source.span(end, end))
            self.in_body = False

    def feed_all(self, kinds: tuple[str, ...], place: Span) -> None:
        for kind in kinds:
            self.feed(kind, place)

    def feed(self, kind: str, place: Span) -> Any:
        return self.parser.feed_token(Token(kind, "x", place))
