"""Each word has one meaning, whichever way it is spelled."""

from __future__ import annotations

import pytest

from dlc.compiler.syntax import ast
from dlc.compiler.syntax.parse import grammar, parse_text
from dlc.compiler.syntax.vocabulary import FOREIGN, LINE_KEYWORDS, REDUCTIONS, SYNONYMS


def parsed(statement: str) -> str:
    return ast.dump(parse_text(f"layer F(x) -> y:\n    {statement}\n").definitions[0].body[0])


@pytest.mark.parametrize(
    ("mathematical", "plain"),
    [
        ("y = Σ[i] x[i]·w[i]", "y = sum[i] x[i]*w[i]"),
        ("y = ∑[i] x[i]", "y = sum[i] x[i]"),
        ("y = ∏[i] x[i]⊙w[i]", "y = prod[i] x[i]*w[i]"),
        ("y = [a ≤ b]", "y = [a <= b]"),
        ("y = [a ≥ b]", "y = [a >= b]"),
        ("y = [a ≠ b]", "y = [a != b]"),
        ("y = [i ∈ S]", "y = [i in S]"),
        ("y ← 1", "y <- 1"),
        ("y = Σ", "y = sum"),
        ("y = x[i′, j″]", "y = x[i', j'']"),
        ("y = µ", "y = μ"),
        ("y = 𝑥", "y = x"),
    ],
)
def test_synonyms(mathematical: str, plain: str) -> None:
    assert parsed(mathematical) == parsed(plain)


def test_arrow_and_membership_in_signatures() -> None:
    assert parse_text("layer F(z ∈ V) → y:\n    y = z\n") == parse_text("layer F(z in V) -> y:\n    y = z\n")


@pytest.mark.parametrize("name", ["θ", "Ω", "β1", "naïve", "重み", "_x", "x_", "in'", "if'", "σ''"])
def test_names(name: str) -> None:
    assert parsed(f"{name} = 1") == f"Equation(Target({name}, []), 1)"


def test_capitals() -> None:
    place = parse_text("index I").span
    capital = [text for text in ("I'", "Ω", "i", "_I", "重") if ast.Name(text, span=place).is_capital]
    assert capital == ["I'", "Ω"]
    name = ast.Name("i''", span=place)
    assert (name.stem, name.primes) == ("i", 2)


@pytest.mark.parametrize("kind", REDUCTIONS)
def test_reductions(kind: str) -> None:
    assert parsed(f"y = {kind}[i] x") == f"Equation(Target(y, []), Reduction('{kind}', [i], False, None, x))"
    assert parsed(f"y = {kind} [i] x") == parsed(f"y = {kind}[i] x")
    assert parsed(f"y = {kind}") == f"Equation(Target(y, []), {kind})"


def test_tables_agree_with_the_grammar() -> None:
    types = grammar().vocabulary.types
    assert {types[spelling] for spelling in REDUCTIONS} == {"REDUCTION"}
    assert all(types[word] == word.upper() for word in LINE_KEYWORDS)
    assert all(types[math] == types[plain] for math, plain in SYNONYMS.items())
    assert not set(FOREIGN) & set(types)
