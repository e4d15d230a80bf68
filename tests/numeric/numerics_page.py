"""docs/numerics.md as data: its tables, the spec that has an output for each of their lines, and what a line expects.

A table is known by the first cell of its head: `value at` and `slope at` have a column for each point, `expression` a
line for each case, `distribution` a range, `error of` two bounds. A table of any other kind is an error, and so is a
cell that cannot be read: there is no line on the page that nothing is made of.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numeric.layouts import APART, TOGETHER, axes, subscripts

PAGE = Path(__file__).parents[2] / "docs" / "numerics.md"
KINDS = ("value at", "slope at", "expression", "distribution", "error of")
#: What stands for an input in an expression of the page, by its letter.
INPUTS = {
    **dict.fromkeys("xyz", ""),
    **dict.fromkeys("nk", " : int"),
    **dict.fromkeys("ab", "[I]"),
    "q": "[I] : int",
    "m": "[I] : bool",
    "s": "[I,I]",
}
WORDS = re.compile(r"(?<![\w.])([abkmnqsxyz]|[iI])(?!\w)")
NUMBERS = {name: getattr(math, name) for name in ("inf", "nan", "pi", "e", "exp", "log", "tanh", "sqrt", "erf", "cos")}
NUMBERS |= {name: getattr(math, name) for name in ("sin", "sinh", "cosh", "tan", "log1p", "expm1")}


@dataclass(frozen=True)
class Table:
    kind: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Points:
    """A function of `x` at the points of a table's head; `values` are its values, or its slopes."""

    name: str
    text: str
    points: tuple[float, ...]
    values: tuple[float, ...]
    slope: bool


@dataclass(frozen=True)
class Line:
    """An expression at given inputs; `slopes` is empty where the page does not speak of derivatives."""

    name: str
    text: str
    given: dict[str, Any]
    value: Any
    slopes: tuple[Any, ...]


@cache
def tables() -> tuple[Table, ...]:
    found: list[list[tuple[str, ...]]] = [[]]
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            found[-1].append(tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]))
        elif found[-1]:
            found.append([])
    return tuple(Table(rows[0][0], rows[0][1:], tuple(rows[2:])) for rows in found if rows)


def rows(kind: str) -> Iterator[tuple[Table, tuple[str, ...]]]:
    return ((table, row) for table in tables() if table.kind == kind for row in table.rows)


def code(cell: str) -> str:
    """What stands between the ticks of a cell."""
    found = re.fullmatch(r"`([^`]+)`", cell)
    assert found, f"`..` is expected in the place of {cell}"
    return found[1]


def number(text: str) -> Any:
    return eval(text.replace("^", "**"), {"__builtins__": {}}, NUMBERS)


@cache
def functions() -> tuple[Points, ...]:
    """The lines of the tables of values and slopes."""
    found = []
    for kind in ("value at", "slope at"):
        for table, (text, *cells) in rows(kind):
            points = tuple(number(code(point)) for point in table.head)
            assert len(cells) == len(points), text
            values = tuple(number(cell) for cell in cells)
            found.append(Points(f"f{len(found)}", code(text), points, values, kind == "slope at"))
    return tuple(found)


@cache
def lines() -> tuple[Line, ...]:
    """The lines of the tables of expressions. Lines of one expression share an output."""
    names: dict[tuple[str, bool], str] = {}
    found = []
    for _, (text, at, value, slopes) in rows("expression"):
        expression, result = code(text), number(value)
        name = names.setdefault((expression, isinstance(result, list)), f"e{len(names)}")
        given = dict(one.split(" = ") for one in code(at).split("; ")) if at else {}
        given = {letter: number(value) for letter, value in given.items()}
        found.append(Line(name, expression, given, result, tuple(map(number, slopes.split("; "))) if slopes else ()))
    return tuple(found)


def declared(line: Line) -> Iterator[tuple[str, str]]:
    """The letters of a line's inputs and what they declare."""
    letters = dict.fromkeys(word for word in WORDS.findall(line.text) if word in INPUTS)
    return ((letter, INPUTS[letter]) for letter in letters)


def renamed(text: str, suffix: str) -> str:
    """Each line has inputs and an index set of its own."""
    return WORDS.sub(rf"\1_{suffix}", text)


@cache
def spec() -> str:
    """The layers that the lines are tested with."""
    return "\n".join((functions_in(TOGETHER), _expressions(), _drawn(), _errors()))


def functions_in(layout: str) -> str:
    """The layer `Functions`: an output over points for each line of the tables of values and slopes."""
    arguments = ", ".join(f"x_{one.name}[{axes(layout, f'I_{one.name}')}]" for one in functions())
    outputs = ", ".join(f"{one.name}[I_{one.name}]" for one in functions())
    pair = ["    index Pair = 2"] * (layout == APART)
    body = [f"    {one.name}[i_{one.name}] = {_read_in(layout, renamed(one.text, one.name))}" for one in functions()]
    return "\n".join((f"layer Functions({arguments}) -> {outputs}:", *pair, *body, ""))


def _read_in(layout: str, text: str) -> str:
    """`x_3` read at `i_3`."""
    return re.sub(r"\b[xyab]_(\w+)", lambda read: f"{read[0]}[{subscripts(layout, f'i_{read[1]}')}]", text)


def _expressions() -> str:
    """An output for each expression."""
    inputs, outputs, body = [], [], []
    for name, line in {line.name: line for line in lines()}.items():
        inputs += [renamed(letter + axes, name) for letter, axes in declared(line)]
        vector, whole = isinstance(line.value, list), "I'" in line.text
        outputs.append(f"{name}[I_{name}]" if vector else name)
        left = f"{name}[{'I' if whole else 'i'}_{name}]" if vector else name
        body.append(f"    {left} = {renamed(line.text, name)}")
    return "\n".join((f"layer Expressions({', '.join(inputs)}) -> {', '.join(outputs)}:", *body, ""))


def _drawn() -> str:
    """An output for each distribution."""
    texts = [code(row[0]) for _, row in rows("distribution")]
    body = [f"    d{number}[k] ~ {text}" for number, text in enumerate(texts)]
    head = f"layer Drawn() -> {', '.join(f'd{number}[K]' for number in range(len(texts)))}:"
    return "\n".join((head, "    index K = 5000, S = 3", *body, ""))


@cache
def errors() -> tuple[tuple[str, float, float], ...]:
    """The bounds of the page: of a function by its name, or of an expression."""
    return tuple((code(text), number(single), number(double)) for _, (text, single, double) in rows("error of"))


def _errors() -> str:
    """An output for each expression that has a bound; functions that are only named have tests of their own."""
    texts = {f"r{place}": text for place, (text, _, _) in enumerate(errors()) if not text.isalnum()}
    reduced = {name for name, text in texts.items() if "[i]" in text}
    outputs = [name if name in reduced else f"{name}[I]" for name in texts]
    elements = {name: re.sub(r"(?<![a-z])[xy](?![a-z])", r"\g<0>[i]", text) for name, text in texts.items()}
    body = [f"    {name}{'' if name in reduced else '[i]'} = {text}" for name, text in elements.items()]
    return "\n".join((f"layer Errors(x[I], y[I], a[I], b[I]) -> {', '.join(outputs)}:", *body, ""))
