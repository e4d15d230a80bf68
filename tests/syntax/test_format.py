"""The formatter keeps the tree and the comments, and leaves its own output alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from syntax.trees import EXPRESSIONS, SIGNATURES, STATEMENTS

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.format import WIDTH, format
from dlc.compiler.syntax.parse import parse_text
from dlc.compiler.syntax.spell import Speller

ROOT = Path(__file__).parent.parent.parent
SPECS = sorted(ROOT.glob("specs/**/*.dl"))
EVERY_CHECK: Any = list(HealthCheck)  # its type is lost on the type checker
THOROUGH = settings(max_examples=80, deadline=None, suppress_health_check=EVERY_CHECK)


def formatted(text: str, math: bool = False) -> str:
    file = parse_text(text)
    return format(file, file.span.source, math=math)


def comments(file: ast.File) -> list[str]:
    return sorted(comment.text for comment in file.comments if not comment.is_doc)


def check_formatting(text: str) -> None:
    file = parse_text(text)
    for math in (False, True):
        once = format(file, file.span.source, math=math)
        again = parse_text(once)
        assert again == file
        assert comments(again) == comments(file)
        assert format(again, again.span.source, math=math) == once


def in_body(statement: str, **options: bool) -> str:
    text = formatted(f"layer F(x) -> y:\n    {statement}\n", **options)
    return "\n".join(line[4:] for line in text.split("\n")[1:]).rstrip("\n")


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_specs(path: Path) -> None:
    check_formatting(path.read_text(encoding="utf-8"))


@THOROUGH
@given(EXPRESSIONS, st.booleans())
def test_parentheses_keep_any_tree(expression: ast.Expression, math: bool) -> None:
    text = Speller(math).expression(expression)
    try:
        (statement,) = parse_text(f"layer F(x) -> y:\n  y = {text}").definitions[0].body
    except CompileError as error:
        raise AssertionError(f"{ast.dump(expression)} was spelled\n{error}") from None
    assert isinstance(statement, ast.Equation)
    assert statement.value == expression


@THOROUGH
@given(STATEMENTS)
def test_any_statement(statement: ast.Statement) -> None:
    text = f"model F(x) -> y:\n  {Speller().line(statement)}  # why\n"
    assert parse_text(text).definitions[0].body == (statement,)
    check_formatting(text)


@THOROUGH
@given(SIGNATURES)
def test_any_signature(signature: ast.Signature) -> None:
    text = f"optimizer F{Speller().signature(signature)}:\n  y = 1\n"
    assert parse_text(text).definitions[0].signature == signature
    check_formatting(text)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("y=(a*b)+(c)", "y = a*b + c"),
        ("y = (a*b)*c", "y = (a*b)*c"),
        ("y = a*(b*c)", "y = a*(b*c)"),
        ("y = ((a^b))^(c^d)", "y = (a^b)^c^d"),
        ("y = -(x^2) + (-x)^2", "y = -x^2 + (-x)^2"),
        ("y = a - (b + c) - (d*e)", "y = a - (b + c) - d*e"),
        ("y = (a if b else c) if d else (e if f else g)", "y = (a if b else c) if d else e if f else g"),
        ("y = (a or b) and (not (c < d))", "y = (a or b) and not c < d"),
        ("y = (sum[i] a*b) + c", "y = sum[i] a*b + c"),
        ("y = (sum[i] a)*b", "y = (sum[i] a)*b"),
        ("y = a // (not any[i] [b])", "y = a // (not any[i] [b])"),
        ("y = a*(sum[i] b*c)", "y = a * sum[i] b*c"),
        ("y = a/(sum[i] b)", "y = a / sum[i] b"),
        ("y = a/(sum[i] b*c)", "y = a / (sum[i] b*c)"),
        ("y = (sum[i] a)*(sum[i] b)", "y = (sum[i] a)*(sum[i] b)"),
        ("y = sum[ i,j:i<=j ](a*b)", "y = sum[i,j : i <= j] a*b"),
        ("y = x [ i , j ]/2", "y = x[i,j]/2"),
        ("y = a*b / c", "y = a*b / c"),
        ("y = (a+b)/c", "y = (a + b) / c"),
        ("y = a//b*c", "y = (a//b)*c"),
        ("y = i//2 + |I|//n + (i + 1)//2", "y = i//2 + |I| // n + (i + 1) // 2"),
        ("y = h[t + 1,d'] + x[u+p,v+q] + w[z[t],d]", "y = h[t+1,d'] + x[u+p, v+q] + w[z[t], d]"),
        ("y = x[c, pad( u*s + p - 1 )] + x[pad(t - 1)]", "y = x[c, pad(u*s + p - 1)] + x[pad(t-1)]"),
        ("y = f( x ;w,c ; h = 1 )", "y = f(x; w, c; h=1)"),
        ("y = f(x ; ; h = 1)", "y = f(x;; h=1)"),
        ("y = x[( g , c ),..]", "y = x[(g,c),..]"),
        ("y = .5 + 1.", "y = 0.5 + 1.0"),
        ("state m[C]=0,k:int=0", "state m[C] = 0, k : int = 0"),
        ("check a==b", "check a == b"),
        ("m<-Σ[i] a⊙b", "m <- sum[i] a*b"),
        ("y = f(a,\n      b)", "y = f(a, b)"),
        ("y = x#why", "y = x  #why"),
    ],
)
def test_style(written: str, expected: str) -> None:
    assert in_body(written) == expected


def test_mathematical_style() -> None:
    written = "y = (sum[i : i <= n] a*b) * prod[j] c if i in S and a != b >= c else max[i] d"
    assert in_body(written, math=True) == "y = (Σ[i : i ≤ n] a·b)·(∏[j] c) if i ∈ S and a ≠ b ≥ c else max[i] d"
    broken = formatted("layer F(x) -> y:\n    m <- f(sum, a,  # why\n           a*b >= sum[i] c)\n", math=True)
    assert broken == "layer F(x) -> y:\n    m ← f(sum, a,  # why\n           a·b ≥ Σ[i] c)\n"


def test_layout_of_a_file() -> None:
    text = """

# about this file


use   nn.linear:Linear
index B
## Adds.
layer F( x[I] , z in V;w ~ ones;h = 1 )->y[I] :   # header
  # first

  ## The sum.
  y[i]=x[i]   # sum


  index I=3
    # last
# next
fn f(x)=x
model M(x)->y:
\ty=x
# end
"""
    text = text.replace("    # last", "  # last")
    expected = """\
# about this file

use nn.linear: Linear
index B

## Adds.
layer F(x[I], z in V; w ~ ones; h = 1) -> y[I]:  # header
    # first

    ## The sum.
    y[i] = x[i]  # sum

    index I = 3
    # last

# next
fn f(x) = x

model M(x) -> y:
    y = x

# end
"""
    assert formatted(text) == expected
    check_formatting(text)


def test_comments_inside_brackets_keep_the_lines() -> None:
    text = """\
layer F(x[I];  # the input
        w[I] ~ ones,

        # the bias
        b = 0) -> y[I]:
  y[i] = f(x[i],   # one
           b≥0)  # two
"""
    expected = """\
layer F(x[I];  # the input
        w[I] ~ ones,

        # the bias
        b = 0) -> y[I]:
    y[i] = f(x[i],   # one
             b>=0)  # two
"""
    assert formatted(text) == expected
    check_formatting(text)


def test_signs_that_become_letters_stay_apart() -> None:
    text = "layer F(x) -> y:\n    y = f(i∈S,  # why\n          3∈S or i'∈S or |I|∈S if∑[i] x else 1)\n"
    expected = (
        "layer F(x) -> y:\n    y = f(i in S,  # why\n          3 in S or i' in S or |I|in S if sum[i] x else 1)\n"
    )
    assert formatted(text) == expected
    check_formatting(text)


def test_long_lines_are_broken_inside_brackets() -> None:
    arguments = ", ".join(f"argument{number}[i,j]" for number in range(20))
    lines = in_body(f"y[i] = sum[j] function({arguments})").split("\n")
    assert len(lines) == 4
    assert all(len(line) + 4 <= WIDTH for line in lines)
    assert all(line.startswith(" " * len("y[i] = sum[j] function(")) for line in lines[1:])
    check_formatting(f"layer F(x) -> y:\n  y[i] = sum[j] function({arguments})  # why\n")


def test_long_lines_keep_the_breaks_of_the_author() -> None:
    terms = " + ".join(f"term{number}" for number in range(12))
    text = f"layer F(x) -> y:\n  y = ({terms}\n       + {terms})\n"
    assert formatted(text) == text.replace("\n  y", "\n    y").replace("\n       +", "\n         +")
    check_formatting(text)


def test_a_line_that_cannot_be_broken_stays() -> None:
    chain = " + ".join(["x"] * 60)
    assert in_body(f"y = {chain}") == f"y = {chain}"
