"""No text gives anything but a tree or a `CompileError`, and what parses can be formatted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.syntax.format import format
from dlc.compiler.syntax.parse import parse_text
from dlc.compiler.syntax.vocabulary import FOREIGN, LINE_KEYWORDS, REDUCTIONS, SYNONYMS

ROOT = Path(__file__).parent.parent.parent
TEXTS = tuple(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("specs/**/*.dl")))
SIGNS = (
    "( ) [ ] | , ; : . .. = == ~ <- -> + - * / // ^ != < <= > >= # ## ' \" \\ \0 \ufeff \t".split(" ")  # noqa: SIM905
)
NAMES = ["if", "else", "and", "or", "not", "in", "mod", "over", "x", "i'", "I", "3", ".5", "1e9"]
WORDS = [*SIGNS, *FOREIGN, *SYNONYMS, *LINE_KEYWORDS, *REDUCTIONS, *NAMES]
PIECES = st.sampled_from([*WORDS, "\n", "\n    ", "\n  ", "\r\n", "\r", " ", "²", "\x0b", "\u2028", "\ud800", "0" * 80])
EVERY_CHECK: Any = list(HealthCheck)  # its type is lost on the type checker
OFTEN = settings(max_examples=150, deadline=None, suppress_health_check=EVERY_CHECK)
LONG = settings(max_examples=20_000, derandomize=False, deadline=None, suppress_health_check=EVERY_CHECK)


def survives(text: str) -> None:
    """Parse, and either render the errors or format and parse again."""
    try:
        file = parse_text(text)
    except CompileError as error:
        assert error.diagnostics
        assert error.render()
        assert error.render(color=True)
        return
    once = format(file, file.span.source)
    again = parse_text(once)
    assert again == file
    assert format(again, again.span.source) == once


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A part of a real file with a few places changed."""
    lines = draw(st.sampled_from(TEXTS)).split("\n")
    first = draw(st.integers(0, len(lines) - 1))
    text = "\n".join(lines[first : first + draw(st.integers(1, 25))])
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(PIECES | st.just("")) + text[place + draw(st.integers(0, 4)) :]
    return text


MIXED = st.lists(PIECES, max_size=40).map("".join)
SPACED = st.lists(PIECES, max_size=40).map(" ".join)
ANY = st.text(st.characters(codec=None), max_size=60)


@OFTEN
@given(MIXED | SPACED | ANY)
def test_any_text(text: str) -> None:
    survives(text)


@OFTEN
@given(mutated())
def test_mutated_specs(text: str) -> None:
    survives(text)


@pytest.mark.fuzz
@LONG
@given(MIXED | SPACED | ANY | mutated())
def test_any_text_for_long(text: str) -> None:
    survives(text)


@OFTEN
@given(st.binary(max_size=60))
def test_any_bytes(content: bytes) -> None:
    survives(content.decode("utf-8", "surrogateescape"))
    survives(content.decode("latin-1"))


OPENINGS = ["(", "[", "f(", "x[", "-", "not ", "2^", "sum[i] ", "a if b else ", "|", "f(h=", "x[(i,"]


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("count", [10, 60, 70, 1000, 10_000])
def test_deep_nesting(opening: str, count: int) -> None:
    survives(f"layer F(x) -> y:\n    y = {opening * count}x")
    closing = "".join({"(": ")", "[": "]"}.get(character, "") for character in reversed(opening * min(count, 1000)))
    survives(f"layer F(x) -> y:\n    y = {opening * min(count, 1000)}x{closing}")


@pytest.mark.parametrize("link", [" + x", "*x", "//x", " < x", " and x", "[i]", ".x", "(x)", "^x", " mod x"])
def test_long_chains(link: str) -> None:
    survives("layer F(x) -> y:\n    y = x" + link * 50)
    survives("layer F(x) -> y:\n    y = x" + link * 3000)


def test_many_items() -> None:
    survives("index I\n" * 5000)
    survives("layer F(x) -> y:\n" + "    y = x\n" * 5000)
