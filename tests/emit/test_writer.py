"""Lines stay within the width, mean what they meant before they were broken, and hold no text that could be code."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.compiler.emit.writer import Writer, broken, literal


def test_blocks_are_indented_and_brackets_closed() -> None:
    writer = Writer()
    with writer.block("for i in range(3):"):
        writer.line("x[i] = 0")
        with writer.bracket("f(", ")"):
            writer.line("1,")
    assert writer.text() == "for i in range(3):\n    x[i] = 0\n    f(\n        1,\n    )\n"


def test_blank_lines_are_counted_and_never_first() -> None:
    writer = Writer()
    writer.blank(2)
    writer.line("a = 1")
    writer.blank()
    writer.blank(2)
    writer.line("b = 2")
    assert writer.text() == "a = 1\n\n\nb = 2\n"


def test_a_long_line_is_broken_at_its_weakest_operators() -> None:
    terms = [f"some_long_name_{n}[i, j]*another_name_{n}[j]" for n in range(6)]
    lines = broken(f"total = ({' + '.join(terms)})", 80)
    assert len(lines) > 3 and all(len(line) <= 80 for line in lines)
    assert all(line.strip().startswith("+ ") for line in lines[2:-1])
    assert ast.dump(ast.parse("\n".join(lines))) == ast.dump(ast.parse(f"total = ({' + '.join(terms)})"))


def test_a_nested_call_is_broken_inside() -> None:
    inner = ", ".join(f"argument_number_{n}" for n in range(12))
    text = f"f(g({inner}), h({inner}))"
    lines = broken(text, 60)
    assert all(len(line) <= 60 for line in lines)
    assert ast.dump(ast.parse("\n".join(lines))) == ast.dump(ast.parse(text))


def test_brackets_and_commas_in_strings_are_text() -> None:
    text = f'f("{"a, (b" * 30}", 1)'
    assert ast.literal_eval(ast.parse("\n".join(broken(text, 60))).body[0].value.args[0]) == "a, (b" * 30  # type: ignore[attr-defined]


_names = st.sampled_from(["x", "total", "w_2", "x[i, j]", "real(1)"])
_texts = st.recursive(
    _names,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " - ", "*", " / ", " and ", ", "]), inner).map(
            lambda parts: f"f({parts[0]}{parts[1]}{parts[2]})"
        ),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})"),
    ),
    max_leaves=30,
)


@given(_texts, st.integers(20, 110))
def test_breaking_never_changes_the_meaning(text: str, width: int) -> None:
    lines = broken(f"y = ({text})", width)
    assert ast.dump(ast.parse("\n".join(lines))) == ast.dump(ast.parse(f"y = ({text})"))


@given(st.text())
def test_a_literal_is_one_line_that_means_the_text(text: str) -> None:
    written = literal(text)
    assert len(written.splitlines()) == 1 and ast.literal_eval(written) == text


@pytest.mark.parametrize(
    "text", ['"""', '\\"""', "\\", 'a"', "\n", "\r", "\u2028", "\u202e", "\x00", "#", "\\N{BULLET}"]
)
def test_a_docstring_ends_where_it_should(text: str) -> None:
    writer = Writer()
    with writer.block("def f():"):
        writer.docstring([text, text])
        writer.line("return 1")
    (function,) = ast.parse(writer.text()).body
    assert isinstance(function, ast.FunctionDef) and len(function.body) == 2
    assert len(writer.text().splitlines()) == 5


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_docstring_leaves_the_code_alone(first: str, second: str) -> None:
    writer = Writer()
    with writer.block("def f():"):
        writer.docstring([first, second])
        writer.line("return 1")
    (function,) = ast.parse(writer.text()).body
    assert isinstance(function, ast.FunctionDef) and isinstance(function.body[-1], ast.Return)
    assert len(function.body) == 2 and writer.text().count("\n") == 5
