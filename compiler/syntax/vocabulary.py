"""Which words the language has: their spellings, and what to say to those it does not have.

The terminals of dl.lark give the spellings; the tables here add what a grammar cannot say: which spellings are one
word, which words begin lines, which signs people bring along from other languages.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

SYNONYMS = {"·": "*", "⊙": "*", "≤": "<=", "≥": ">=", "≠": "!=", "∈": "in", "←": "<-", "→": "->"}
SYNONYMS |= {"Σ": "sum", "∑": "sum", "∏": "prod"}
"""Mathematical spellings; the tree knows only the ASCII ones."""

LINE_KEYWORDS = ("use", "fn", "layer", "model", "optimizer", "index", "param", "state", "total", "minimize", "check")
REDUCTIONS = ("sum", "prod", "max", "min", "mean", "logsumexp", "argmax", "argmin", "any", "all")
SPELLED_REDUCTIONS = frozenset((*REDUCTIONS, "Σ", "∑", "∏"))
CLOSING = {"(": ")", "[": "]"}

FOREIGN = {
    "**": "a power is written `^`",
    "&&": "write `and`",
    "||": "write `or`; a norm is `sqrt(sum[i] x[i]^2)`",
    "===": "write `==`",
    "!==": "write `!=`",
    "~=": "write `!=`",
    "<>": "write `!=`",
    "=<": "write `<=`",
    "=>": "write `>=`",
    ":=": "write `=`",
    "+=": "write `x <- x + e` for a state, or add a term to the equation",
    "-=": "write `x <- x - e` for a state, or add a term to the equation",
    "*=": "write `x <- x * e` for a state, or add a factor to the equation",
    "/=": "write `!=` to compare, or `x <- x / e` to update a state",
    "!": "write `not`",
    "%": "the remainder is written `mod`",
    "&": "write `and`",
    "@": "a matrix product is written with indices: `w[i,j]*x[j]`",
    "×": "write `*`",
    "÷": "write `/`",
    "−": "write `-`, the hyphen of the keyboard",
    "∧": "write `and`",
    "∨": "write `or`",
    "¬": "write `not`",
}

_HINTS = {
    '"': "there are no strings in the language",
    "“": "there are no strings in the language",
    "”": "there are no strings in the language",
    "'": "a prime follows its name: `i'`",
    "’": "a prime is written with a straight quote: `i'`",
    "{": "there are no braces: a body is indented, a subscript stands in `[ ]`",
    "}": "there are no braces: a body is indented, a subscript stands in `[ ]`",
    "\\": "inside `( )` and `[ ]` a line may go on without a sign",
    "$": "formulas are written without `$`",
    "∞": "write `inf`",
    "√": "write `sqrt(..)`",
    "∂": "a derivative is written `grad(e, x[i])`",
    "∇": "a derivative is written `grad(e, x[i])`",
    "ⁿ": "a power is written `^n`",
    "\xa0": "this is a no-break space: write an ordinary one",
    "\u3000": "this is a wide space: write an ordinary one",
    "\x00": "is this a text file?",
}
HARD_KEYWORDS = ("IF", "ELSE", "AND", "OR", "NOT", "IN", "MOD")


@dataclass(frozen=True)
class Vocabulary:
    """The words of the grammar: one pattern for all of them, and the type of each spelling."""

    pattern: re.Pattern[str]
    types: dict[str, str]

    @classmethod
    def of_terminals(cls, patterns: dict[str, str]) -> Vocabulary:
        """From the terminals of the grammar: their regular expressions by name."""
        types: dict[str, str] = {}
        for name, pattern in patterns.items():
            if name not in ("NAME", "NUMBER"):
                several = re.fullmatch(r"\(\?:(.*)\)", pattern)
                spellings = several.group(1).split("|") if several else [pattern]
                types |= {re.sub(r"\\(.)", r"\1", spelling): name for spelling in spellings}
        signs = [spelling for spelling in types if not spelling[0].isalpha() and spelling not in "∑∏"]
        parts = [
            rf"(?P<NUMBER>{patterns['NUMBER']})",
            rf"(?P<NAME>{patterns['NAME']}|[∑∏])",
            rf"(?P<FOREIGN>{_any_of([sign for sign in FOREIGN if len(sign) > 1])})",
            rf"(?P<SIGN>{_any_of(signs)})",
            rf"(?P<FOREIGN_SIGN>{_any_of([sign for sign in FOREIGN if len(sign) == 1])})",
        ]
        return cls(re.compile("|".join(parts)), types)


def _any_of(signs: list[str]) -> str:
    return "|".join(re.escape(sign) for sign in sorted(signs, key=lambda sign: (-len(sign), sign)))


def canonical_number(text: str) -> str:
    mantissa, sign, exponent = text.lower().partition("e")
    if mantissa.startswith("."):
        mantissa = "0" + mantissa
    if mantissa.endswith("."):
        mantissa += "0"
    return mantissa + sign + exponent


def unrepresentable(text: str) -> str | None:
    if text.isdigit():
        return "is too large for an integer" if int(text) >= 1 << 63 else None
    value = float(text)
    if value == float("inf"):
        return "is too large for a real number"
    if value == 0 and any(digit in "123456789" for digit in text.partition("e")[0]):
        return "is too small for a real number"
    return None


def hint_for(character: str) -> str | None:
    if character in _HINTS:
        return _HINTS[character]
    plain = unicodedata.normalize("NFKC", character)
    if plain.isdigit() and unicodedata.decomposition(character).startswith("<super>"):
        return f"a power is written `^{plain}`"
    if plain.isdigit() and plain.isascii():
        return f"write `{plain}`"
    return None
