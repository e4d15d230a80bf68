"""Cuts a source into lines of words, for the grammar.

A `Line` here is a logical one: it runs on while a bracket is open. Its words are `Token`s whose types are the terminals
of dl.lark; the spellings come from there too. Comments are set aside; doc comments go with the line that follows.

Nothing is given up at the first mistake: a line with a bad word is marked `failed` and the rest is cut all the same.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.source import Source, Span
from dlc.compiler.syntax.errors_words import (
    BadCharacter,
    BadIndentation,
    BadNumber,
    ForeignOperator,
    MismatchedBrackets,
    NestedTooDeep,
    TooLong,
    TooManyErrors,
    UnclosedBracket,
    UnopenedBracket,
)
from dlc.compiler.syntax.vocabulary import (
    CLOSING,
    FOREIGN,
    HARD_KEYWORDS,
    LINE_KEYWORDS,
    REDUCTIONS,
    SYNONYMS,
    Vocabulary,
    canonical_number,
    hint_for,
    unrepresentable,
)

MAX_FILE = 1 << 18
MAX_NUMBER = 64
MAX_NAME = 128
MAX_BRACKETS = 64
MAX_ERRORS = 40

_STATEMENT_AHEAD = re.compile(r"[ \t]*[^\W\d]\w*['′″]*[ \t]*(\[[^\[\]\n]*\])?[ \t]*(=(?!=)|<-|←)")
_ITEM_AHEAD = re.compile(rf"({'|'.join(LINE_KEYWORDS)})[ \t]+[^\W\d]")


@dataclass(frozen=True, slots=True)
class Token:
    """A word: a terminal, its text in ASCII spelling, its place. The first word of a line carries its doc comment."""

    type: str
    text: str
    span: Span
    doc: str | None = None


@dataclass(slots=True)
class Line:
    """A logical line, NEWLINE included. `level` is 0 at the margin, 1 in a body."""

    level: int
    tokens: list[Token] = field(default_factory=list)
    failed: bool = False


@dataclass(frozen=True, slots=True)
class CommentWord:
    """A comment where it stands; `is_doc` if its text went to a line as documentation."""

    span: Span
    own_line: bool
    is_doc: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """A source cut into words."""

    lines: tuple[Line, ...]
    comments: tuple[CommentWord, ...]
    problems: tuple[Diagnostic, ...]


def cut(source: Source, vocabulary: Vocabulary) -> Cut:
    """All lines of `source`, its comments, and what is wrong with its words."""
    if len(source.text) > MAX_FILE:
        problem = TooLong(source.span(0, 0), f"`{source.name}`", len(source.text), MAX_FILE)
        return Cut((), (), (problem,))
    return _Cutter(source, vocabulary).run()


class _Cutter:
    """The state of one walk through a source."""

    def __init__(self, source: Source, vocabulary: Vocabulary) -> None:
        self.source = source
        self.text = source.text
        self.vocabulary = vocabulary
        self.place = 1 if source.text.startswith("\ufeff") else 0
        self.lines: list[Line] = []
        self.comments: list[CommentWord] = []
        self.problems: list[Diagnostic] = []
        self.line: Line | None = None
        self.indentation = ""
        self.body_indentation: str | None = None
        self.brackets: list[Token] = []
        self.waiting_docs: list[int] = []
        self.ending_docs: set[int] = set()
        self.in_body = False
        self.in_block = False  # of a statement that a body does not have: `for i in I:`

    def run(self) -> Cut:
        while self.place < len(self.text):
            if len(self.problems) >= MAX_ERRORS:
                self.problems.append(TooManyErrors(self.span(self.place, self.place)))
                break
            if self.line is None:
                self.begin_line()
            else:
                self.next_word(self.line)
        if self.line is not None:
            self.end_line(self.line)
        self.undocument(self.waiting_docs)
        return Cut(tuple(self.lines), tuple(self.comments), tuple(self.problems))

    def span(self, start: int, end: int) -> Span:
        return Span(self.source, start, end)

    def complain(self, problem: Diagnostic) -> None:
        """Report the first problem of a line; the others may follow from it."""
        if self.line is None or not self.line.failed:
            self.problems.append(problem)
        if self.line is not None:
            self.line.failed = True

    # --- lines --------------------------------------------------------------------------------------------------------

    def begin_line(self) -> None:
        """At the start of a physical line, with no bracket open."""
        start = self.place
        self.place = _skip(_BLANKS, self.text, start)
        if self.text.startswith("\n", self.place):
            self.place += 1
        elif self.text.startswith("#", self.place):
            self.comment(own_line=True)
        elif self.place < len(self.text):
            self.indentation = self.text[start : self.place].replace("\r", "").lstrip("\ufeff")
            self.line = Line(1 if self.indentation else 0)
            self.check_indentation(self.span(start, self.place))

    def check_indentation(self, span: Span) -> None:
        self.in_block = self.continues_block()
        if not self.indentation:
            self.body_indentation = None
        elif self.body_indentation is None:
            self.body_indentation = self.indentation
        elif self.in_block and self.line is not None:
            self.line.failed = True  # what is wrong is said of the line that begins the block
        elif self.indentation != self.body_indentation:
            self.complain(self.wrong_indentation(self.body_indentation, span))

    def continues_block(self) -> bool:
        """Whether the line stands under one of the body that ends with a colon."""
        if self.body_indentation is None or len(self.indentation) <= len(self.body_indentation):
            return False
        last = self.lines[-1].tokens
        return self.in_block or (len(last) > 1 and last[-2].text == ":")

    def wrong_indentation(self, expected: str, span: Span) -> Diagnostic:
        if set(self.indentation) != set(expected):
            hint = "indent with four spaces everywhere"
            return BadIndentation(span, "tabs and spaces are mixed in the indentation of this body", hint)
        if len(self.indentation) > len(expected):
            hint = "a formula goes on over several lines inside `( )` or `[ ]`"
            return BadIndentation(span, "this line is indented more than the body it stands in", hint)
        return BadIndentation(span, "this line is indented less than the body it stands in")

    def end_line(self, line: Line) -> None:
        """At the end of a logical line: classify what needs sight of the whole line."""
        end = line.tokens[-1].span.end if line.tokens else self.place
        if self.brackets:
            opening = self.brackets[-1]
            stopped = self.span(self.place, self.place)
            self.complain(UnclosedBracket(opening.span, CLOSING[opening.text], self.next_words(stopped)))
            self.brackets.clear()
        line.tokens = _classified(line.tokens)
        line.tokens.append(Token("NEWLINE", "", self.span(end, end)))
        self.attach_docs(line)
        self.lines.append(line)
        self.line = None

    def next_words(self, place: Span) -> Span | None:
        """The first word behind `place`, where a bracket should have been closed; None at the end of the file."""
        start = _skip(_WHITE, self.text, place.start)
        end = start + len(self.text[start:].split("\n", 1)[0].split(" ", 1)[0])
        return self.span(start, end) if end > start else None

    def attach_docs(self, line: Line) -> None:
        """The doc comments above go with `line`; those that end a body go with no line at the margin below."""
        ending = [number for number in self.waiting_docs if line.level == 0 and number in self.ending_docs]
        documenting = [number for number in self.waiting_docs if number not in ending]
        self.undocument(ending)
        self.in_body = line.level == 1
        texts = [self.comments[number].span.text[2:].removeprefix(" ") for number in documenting]
        self.waiting_docs = []
        if texts:
            line.tokens[0] = replace(line.tokens[0], doc="\n".join(texts))

    def undocument(self, numbers: list[int]) -> None:
        """Make doc comments that nothing follows ordinary comments."""
        for number in numbers:
            self.comments[number] = replace(self.comments[number], is_doc=False)

    # --- words --------------------------------------------------------------------------------------------------------

    def next_word(self, line: Line) -> None:
        self.place = _skip(_BLANKS, self.text, self.place)
        if self.text.startswith("\n", self.place):
            self.line_end(line)
        elif self.text.startswith("#", self.place):
            before = self.text.rfind("\n", 0, self.place) + 1
            self.comment(own_line=not self.text[before : self.place].strip())
        elif self.place < len(self.text):
            self.word(line)

    def line_end(self, line: Line) -> None:
        self.place += 1
        if not self.brackets or self.bracket_was_forgotten():
            self.end_line(line)

    def bracket_was_forgotten(self) -> bool:
        """Whether the next physical line looks like the beginning of a statement, at the margin of this one."""
        if _ITEM_AHEAD.match(self.text, self.place):
            return True
        margin = _skip(_BLANKS, self.text, self.place) - self.place
        return margin <= len(self.indentation) and _STATEMENT_AHEAD.match(self.text, self.place) is not None

    def comment(self, own_line: bool) -> None:
        end = self.text.find("\n", self.place)
        end = len(self.text) if end < 0 else end
        text = self.text[self.place : end]
        is_doc = own_line and self.line is None and text.startswith("##") and not text.startswith("###")
        if own_line and self.source.column_of(self.place) == 1:
            self.in_body = False
        if is_doc:
            self.waiting_docs.append(len(self.comments))
            self.ending_docs.update([len(self.comments)] if self.in_body else [])
        self.comments.append(CommentWord(self.span(self.place, self.place + len(text.rstrip())), own_line, is_doc))
        self.place = end

    def word(self, line: Line) -> None:
        found = self.vocabulary.pattern.match(self.text, self.place)
        if found is None:
            self.bad_character(self.place)
            self.place += 1
            return
        span = self.span(self.place, found.end())
        self.place = found.end()
        match found.lastgroup:
            case "NUMBER":
                line.tokens.append(self.number(span))
            case "NAME":
                line.tokens.append(self.name(span))
            case "SIGN":
                line.tokens.append(Token(self.vocabulary.types[span.text], SYNONYMS.get(span.text, span.text), span))
                self.bracket(line.tokens[-1])
            case _:
                self.complain(ForeignOperator(span, FOREIGN[span.text]))

    def bad_character(self, place: int) -> None:
        character = self.text[place]
        self.complain(BadCharacter(self.span(place, place + 1), character, hint_for(character)))

    def bracket(self, token: Token) -> None:
        """Keep account of the open brackets."""
        if token.text in CLOSING:
            self.brackets.append(token)
            if len(self.brackets) > MAX_BRACKETS:
                self.complain(NestedTooDeep(token.span, MAX_BRACKETS))
        elif token.text in CLOSING.values() and not self.brackets:
            self.complain(UnopenedBracket(token.span))
        elif token.text in CLOSING.values():
            opening = self.brackets.pop()
            if CLOSING[opening.text] != token.text:
                self.complain(MismatchedBrackets(token.span, opening.span))

    def name(self, span: Span) -> Token:
        """Names are normalised (NFKC); words with a meaning get their type, unless primed."""
        stem = span.text.rstrip("'′″")
        primes = sum(2 if mark == "″" else 1 for mark in span.text[len(stem) :])
        if stem in ("∑", "∏"):
            return Token("NAME", SYNONYMS[stem] + "'" * primes, span)
        if len(stem) > MAX_NAME or primes > MAX_NAME:
            self.complain(TooLong(span, "this name", len(span.text), MAX_NAME))
        if not stem.isidentifier():
            good = next(length for length in range(len(stem)) if not stem[: length + 1].isidentifier())
            self.bad_character(span.start + good)
        text = unicodedata.normalize("NFKC", stem)
        text = SYNONYMS.get(text, text)
        kind = self.vocabulary.types.get(text, "NAME") if not primes else "NAME"
        return Token(kind if kind in HARD_KEYWORDS else "NAME", text + "'" * primes, span)

    def number(self, span: Span) -> Token:
        """Numbers are written one way (`.5` is `0.5`), and must be representable."""
        tail = _NUMBER_TAIL.match(self.text, span.end)
        if tail and tail.group() and not self.text.startswith("..", span.end):
            self.place = tail.end()
            whole = self.span(span.start, tail.end())
            meant = _FACTOR_AND_NAME.fullmatch(whole.text)
            hint = f"write `{meant.group(1)}*{meant.group(2)}`" if meant else None
            self.complain(BadNumber(whole, f"`{_shortened(whole.text)}` is not a number", hint))
            return Token("NUMBER", "0", whole)
        if len(span.text) > MAX_NUMBER:
            self.complain(TooLong(span, "this number", len(span.text), MAX_NUMBER))
            return Token("NUMBER", "0", span)
        text = canonical_number(span.text)
        reason = unrepresentable(text)
        if reason:
            self.complain(BadNumber(span, f"`{span.text}` {reason}", "the limits are those of int64 and float64"))
        return Token("NUMBER", text, span)


_BLANKS = re.compile(r"[ \t\r]*")
_WHITE = re.compile(r"[ \t\r\n]*")
_FACTOR_AND_NAME = re.compile(r"([1-9][0-9.]*)((?![eE]$)[^\W\d_]\w*)")
_NUMBER_TAIL = re.compile(r"[\w.]*")


def _skip(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    assert found is not None  # both patterns match the empty text
    return found.end()


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_NUMBER else f"{text[:20]}..."


def _classified(tokens: list[Token]) -> list[Token]:
    """The types that depend on neighbours: keywords at the start of a line, reductions, the `:` before a body."""
    tokens = [
        replace(token, type="REDUCTION") if _begins_reduction(tokens, number) else token
        for number, token in enumerate(tokens)
    ]
    if not tokens or not _begins_statement(tokens):
        return tokens
    tokens[0] = replace(tokens[0], type=tokens[0].text.upper())
    if tokens[0].type == "MINIMIZE" and len(tokens) > 2 and tokens[2].text == "over":
        tokens[2] = replace(tokens[2], type="OVER")
    if tokens[0].type in ("LAYER", "MODEL", "OPTIMIZER") and tokens[-1].type == "COLON":
        tokens[-1] = replace(tokens[-1], type="BLOCK")
    return tokens


def _begins_reduction(tokens: list[Token], number: int) -> bool:
    token = tokens[number]
    if token.type != "NAME" or token.text not in REDUCTIONS:
        return False
    after_dot = number > 0 and tokens[number - 1].type == "DOT"
    return not after_dot and number + 1 < len(tokens) and tokens[number + 1].type == "LSQB"


def _begins_statement(tokens: list[Token]) -> bool:
    """Whether the first word is a keyword: those words are names too (`index = 3`, `state[d] = ...`)."""
    first = tokens[0]
    if first.type != "NAME" or first.text not in LINE_KEYWORDS or len(tokens) == 1:
        return False
    second = tokens[1]
    if first.text != "check":
        return second.type == "NAME"
    if second.type == "LSQB":
        return second.span.start > first.span.end
    return second.type not in ("EQUALS", "UPDATE", "TILDE")
