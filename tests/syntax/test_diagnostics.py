"""How diagnostics look, and how they are collected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from dlc.compiler.diagnostics import (
    CompileError,
    Diagnostic,
    Diagnostics,
    Label,
    Severity,
    did_you_mean,
    suggestion,
)
from dlc.compiler.source import Source, Span, merge


@dataclass(frozen=True)
class Overlap(Diagnostic):
    code: ClassVar[str] = "DL999"
    title: ClassVar[str] = "overlap"

    others: tuple[Label, ...] = ()
    advice: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return "here"

    @property
    def secondary(self) -> Sequence[Label]:
        return self.others

    @property
    def notes(self) -> Sequence[str]:
        return self.remarks

    @property
    def help(self) -> str | None:
        return self.advice


@dataclass(frozen=True)
class Hint(Diagnostic):
    code: ClassVar[str] = "DL998"
    title: ClassVar[str] = "hint"
    severity: ClassVar[Severity] = Severity.WARNING


def at(source: Source, text: str, number: int = 0) -> Span:
    """The place of the `number`-th occurrence of a text."""
    start = [match.start() for match in re.finditer(re.escape(text), source.text)][number]
    return source.span(start, start + len(text))


def shown(diagnostic: Diagnostic) -> list[str]:
    return diagnostic.render().split("\n")[:-1]


def test_one_place() -> None:
    source = Source("a.dl", "index I\ny[i] = w*hh[i]\n")
    assert shown(Overlap(at(source, "hh"), advice="first\nsecond", remarks=("known",))) == [
        "error[DL999]: overlap",
        "  --> a.dl:2:10",
        "   |",
        " 2 | y[i] = w*hh[i]",
        "   |          ^^ here",
        "   |",
        "   = note: known",
        "   = help: first",
        "           second",
    ]


def test_several_places_on_one_line_and_on_others() -> None:
    source = Source("a.dl", "one two three\nfour\n\nfive\n\n\n\nsix\n")
    others = (
        Label(at(source, "one"), "first"),
        Label(at(source, "three"), "third"),
        Label(at(source, "four"), "near"),
        Label(at(source, "five")),
        Label(at(source, "six"), "far"),
    )
    assert shown(Overlap(at(source, "two"), others)) == [
        "error[DL999]: overlap",
        "  --> a.dl:1:5",
        "   |",
        " 1 | one two three",
        "   | --- ^^^ ----- third",
        "   | |   |",
        "   | |   here",
        "   | first",
        " 2 | four",
        "   | ---- near",
        " 3 |",
        " 4 | five",
        "   | ----",
        "...",
        " 8 | six",
        "   | --- far",
    ]


def test_another_file_and_wide_line_numbers() -> None:
    source = Source("a.dl", "\n" * 99 + "x = y\n")
    other = Source("b.dl", "layer F\n")
    assert shown(Overlap(at(source, "y"), (Label(at(other, "F"), "declared here"),))) == [
        "error[DL999]: overlap",
        "    --> a.dl:100:5",
        "     |",
        " 100 | x = y",
        "     |     ^ here",
        "     |",
        "    ::: b.dl:1:7",
        "     |",
        "   1 | layer F",
        "     |       - declared here",
    ]


@pytest.mark.parametrize(
    ("text", "target", "column"),
    [
        ("重x", "x", 2),
        ("é\u0301x", "x", 1),
        ("\tx", "x", 4),
        ("ab\tx", "x", 4),
        ("a\u202ex", "x", 2),
        ("\x1bx", "x", 1),
    ],
)
def test_carets_stand_below_their_characters(text: str, target: str, column: int) -> None:
    source = Source("a.dl", text)
    line = shown(Overlap(at(source, target)))[4]
    assert line.index("^") - len("   | ") == column


def test_carets_are_as_wide_as_the_text() -> None:
    source = Source("a.dl", "重重 = 1")
    assert shown(Overlap(at(source, "重重")))[4] == "   | ^^^^ here"


def test_control_characters_are_not_printed() -> None:
    source = Source("a\x1b[31m.dl", "x = \x1b[31m \u202e 1")
    assert not set(Overlap(at(source, "x")).render()) & set("\x1b\u202e")


def test_spans_over_lines_and_empty_spans() -> None:
    source = Source("a.dl", "f(a,\n  b)\n")
    assert shown(Overlap(source.span(1, 8)))[3:] == [" 1 | f(a,", "   |  ^^^ here"]
    assert shown(Overlap(source.span(10, 10)))[3:] == [" 3 |", "   | ^ here"]


def test_long_lines_are_cut_around_the_place() -> None:
    source = Source("a.dl", "a" * 500 + "!" + "b" * 500)
    line, marks = shown(Overlap(at(source, "!")))[3:5]
    assert len(line) < 180
    assert line.index("!") == marks.index("^")
    assert line.startswith(" 1 | ...") and line.endswith("...")


def test_without_a_place() -> None:
    assert shown(Overlap(None, advice="do")) == ["error[DL999]: overlap", "  = help: do"]


def test_color_only_adds_escapes() -> None:
    source = Source("a.dl", "x = y\n")
    diagnostic = Overlap(at(source, "y"), (Label(at(source, "x"), "there"),), "do")
    colored = diagnostic.render(color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == diagnostic.render()


def test_collection_is_sorted_without_repetition() -> None:
    first, second = Source("a.dl", "x y"), Source("b.dl", "x")
    found = Diagnostics()
    found.extend([Overlap(at(second, "x")), Overlap(at(first, "y")), Overlap(at(first, "x"))])
    found.add(Overlap(at(first, "y")))
    assert [str(entry.span) for entry in found] == ["a.dl:1:1", "a.dl:1:3", "b.dl:1:1"]
    assert len(found) == 3
    error = CompileError(found)
    assert list(error.diagnostics) == list(found)
    assert str(error).count("error[DL999]") == 3


def test_warnings_stop_nothing() -> None:
    found = Diagnostics()
    found.add(Hint(None))
    assert not found.has_errors
    assert shown(Hint(None)) == ["warning[DL998]: hint"]


def test_did_you_mean() -> None:
    assert did_you_mean("relu", ["Relu", "selu"]) == "Relu"
    assert did_you_mean("sigmod", ["tanh", "sigmoid"]) == "sigmoid"
    assert did_you_mean("x", ["tanh", "sigmoid"]) is None
    assert did_you_mean("tanh", ["tanh"]) is None
    assert suggestion("tahn", ["tanh"]) == "did you mean `tanh`?"


def test_lines_and_columns() -> None:
    source = Source("a.dl", "ab\n\nc")
    assert [source.line_of(offset) for offset in range(6)] == [1, 1, 1, 2, 3, 3]
    assert [source.column_of(offset) for offset in range(6)] == [1, 2, 3, 1, 1, 2]
    assert [source.line_text(line) for line in (1, 2, 3)] == ["ab", "", "c"]
    assert source.whole.text == source.text
    assert (source.whole.end_line, source.whole.end_column) == (3, 2)


def test_merging() -> None:
    source = Source("a.dl", "one two three")
    assert at(source, "three").merge(at(source, "one")).text == source.text
    assert merge([at(source, "two")]) == at(source, "two")
    with pytest.raises(ValueError, match="different sources"):
        at(source, "one").merge(Source("b.dl", "x").whole)
