"""Words a refusal of the parser: what was found, what could stand there, and which common mistake it looks like.

`_MISTAKES` is the list of those mistakes, each a function that returns its diagnostic or None; the first match wins.
What none of them knows becomes "expected .., found ..".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dlc.compiler.diagnostics import Diagnostic, did_you_mean
from dlc.compiler.source import Span
from dlc.compiler.syntax.errors_statements import (
    KeywordAsName,
    MissingColon,
    MissingName,
    MissingOperator,
    ReductionAsName,
    ReductionNeedsParentheses,
    SecondEquals,
    SeveralTargets,
    UnexpectedWord,
    UnknownStatement,
    UpdateInExpression,
    WrongEquals,
)
from dlc.compiler.syntax.vocabulary import CLOSING, HARD_KEYWORDS, LINE_KEYWORDS
from dlc.compiler.syntax.words import Token

_OPERATORS = frozenset(
    [
        "PLUS",
        "MINUS",
        "TIMES",
        "DIVIDE",
        "FLOOR_DIVIDE",
        "MOD",
        "POWER",
        "EQUAL",
        "UNEQUAL",
        "LESS",
        "LESS_EQUAL",
        "GREATER",
        "GREATER_EQUAL",
        "IN",
        "AND",
        "OR",
        "IF",
    ]
)
_COMPARISONS = frozenset(["EQUAL", "UNEQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "IN"])
_TRAILERS = frozenset(["LPAR", "LSQB", "DOT"])
_EXPRESSION_STARTS = frozenset(["NAME", "NUMBER", "LPAR", "LSQB", "BAR", "MINUS", "NOT", "REDUCTION"])
_OPERANDS = _EXPRESSION_STARTS - {"MINUS", "NOT"}
_HEADERS = frozenset(["LAYER", "MODEL", "OPTIMIZER"])
_LINE_KEYWORDS = frozenset(word.upper() for word in LINE_KEYWORDS)
_FOREIGN_STATEMENTS = {
    "def": "a function is written `fn f(x) = e`, a layer `layer F(x[I]) -> y[I]:`",
    "class": "write `layer F(x[I]) -> y[I]:` or `model M(x[B,I]) -> loss:`",
    "import": "write `use nn.linear: Linear`",
    "from": "write `use nn.linear: Linear`",
    "for": "there are no loops: an equation holds for every value of its index variables",
    "while": "there are no loops: an equation holds for every value of its index variables",
    "return": "the outputs stand behind `->` in the signature; give each an equation",
    "let": "write the equation alone: `x = e`",
    "var": "write the equation alone: `x = e`",
}

_EXAMPLES = {
    "USE": "use nn.linear: Linear, Conv2d",
    "INDEX": "index B, I = 784",
    "FN": "fn cube(x) = x^3",
    "LAYER": "layer Scale(x[I]; a[I] = 1) -> y[I]:",
    "MODEL": "model Mlp(x[B,P], target[B] in Y) -> loss:",
    "OPTIMIZER": "optimizer Sgd(theta[..], g[..];; lr = 0.1):",
    "PARAM": "param w[I,J] ~ normal(0, 0.02)",
    "STATE": "state m[C] = 0",
    "TOTAL": "total n = g[..]^2",
    "MINIMIZE": "minimize loss over gen",
    "CHECK": "check grad(y, x) == 2*x",
}
"""What to show when a line stops too early."""

_DESCRIPTIONS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "REDUCTION": "a reduction",
    "NEWLINE": "the end of the line",
    "INDENT": "an indented line",
    "BLOCK": "`:`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "BAR": "`|`",
    "COMMA": "`,`",
    "SEMICOLON": "`;`",
    "COLON": "`:`",
    "DOT": "`.`",
    "DOTS": "`..`",
    "EQUALS": "`=`",
    "TILDE": "`~`",
    "UPDATE": "`<-`",
    "ARROW": "`->`",
    "EQUAL": "`==`",
}
"""How expected words are called, in the order in which they are listed; keywords are called by themselves."""


@dataclass(frozen=True)
class Refused:
    """A line, the number of the word that was refused, and the types of the words that could have stood there."""

    tokens: tuple[Token, ...]
    number: int
    accepted: frozenset[str]
    in_body: bool

    @property
    def word(self) -> Token:
        return self.tokens[self.number]

    @property
    def previous(self) -> Token | None:
        return self.tokens[self.number - 1] if self.number else None

    @property
    def open_brackets(self) -> list[Token]:
        """The brackets that are open before the word, innermost last."""
        found: list[Token] = []
        for token in self.tokens[: self.number]:
            if token.text in CLOSING:
                found.append(token)
            elif token.text in CLOSING.values() and found:
                found.pop()
        return found


def explain(refused: Refused) -> Diagnostic:
    """The diagnostic for a refused word."""
    for mistake in _MISTAKES:
        problem = mistake(refused)
        if problem is not None:
            return problem
    return _unexpected(refused)


# --- common mistakes --------------------------------------------------------------------------------------------------


def _unknown_statement(refused: Refused) -> Diagnostic | None:
    """A line that begins with two names, with a keyword and no name, or at the margin with what only a body holds."""
    first, word = refused.tokens[0], refused.word
    if refused.number == 0 and not refused.in_body and word.type == "NAME":
        if word.text in LINE_KEYWORDS:
            return MissingName(word.span, word.text)
        if word.text in _FOREIGN_STATEMENTS or _begins_two_names(refused.tokens):
            return UnknownStatement(word.span, word.text, _statement_hint(word.text))
        return UnexpectedWord(
            word.span,
            _found(word),
            ("`use`", "`index`", "`fn`", "`layer`", "`model`", "`optimizer`"),
            hint="an equation stands in the body of a layer or a model, indented",
        )
    if refused.number == 0 and refused.in_body and word.type in ("IF", "ELSE"):
        return UnknownStatement(word.span, word.text, "a choice is an expression: `y[i] = a if c else b`")
    if refused.number == 1 and first.type == "NAME" and first.text in LINE_KEYWORDS:
        return MissingName(first.span, first.text)
    if refused.number == 1 and first.type == "NAME" and word.type in ("NAME", "NUMBER"):
        return UnknownStatement(first.span, first.text, _statement_hint(first.text))
    return None


def _begins_two_names(tokens: tuple[Token, ...]) -> bool:
    return len(tokens) > 1 and tokens[1].type == "NAME"


def _statement_hint(word: str) -> str:
    if word in _FOREIGN_STATEMENTS:
        return _FOREIGN_STATEMENTS[word]
    close = did_you_mean(word, LINE_KEYWORDS)
    if close is not None:
        return f"did you mean `{close}`?"
    return "a line of a body is an equation `y[i] = e`, or begins with `index`, `param`, `state`, `minimize` or `check`"


def _misplaced_statement(refused: Refused) -> Diagnostic | None:
    """A keyword that stands on the wrong level."""
    word = refused.word
    if refused.number != 0 or word.type not in _LINE_KEYWORDS:
        return None
    if refused.in_body:
        hint = f"`{word.text}` stands at the margin, not in a body"
        return UnexpectedWord(word.span, _found(word), ("a line of a body",), hint)
    hint = f"`{word.text}` stands in the body of a layer, a model or an optimizer, indented"
    return UnexpectedWord(word.span, _found(word), ("a definition",), hint)


def _missing_colon(refused: Refused) -> Diagnostic | None:
    is_header = refused.tokens[0].type in _HEADERS
    if is_header and refused.word.type == "NEWLINE" and "BLOCK" in refused.accepted:
        return MissingColon(refused.word.span, refused.tokens[0].text)
    return None


def _update_in_expression(refused: Refused) -> Diagnostic | None:
    if refused.word.type == "UPDATE" and "LESS" in refused.accepted:
        return UpdateInExpression(refused.word.span)
    return None


def _several_targets(refused: Refused) -> Diagnostic | None:
    """`h[t+1,D], c[t+1,D] = Cell(..)`, in parentheses or not."""
    tokens, word = refused.tokens, refused.word
    in_parentheses = refused.number == 0 and word.type == "LPAR"
    if not refused.in_body or not (in_parentheses or (word.type == "COMMA" and "EQUALS" in refused.accepted)):
        return None
    equals = _depths(tokens)[0]
    if equals is None:
        return None
    left = tokens[1 : equals - 1] if in_parentheses else tokens[:equals]
    commas = [place for place, depth in enumerate(_depths(left)[1]) if depth == 0 and left[place].type == "COMMA"]
    ends = zip([-1, *commas], [*commas, len(left)], strict=True)
    targets = [left[start + 1 : end] for start, end in ends]
    if len(targets) < 2 or any(not one or one[0].type != "NAME" for one in targets):
        return None
    right = tokens[equals + 1 :]
    call = None
    if tokens[equals].type == "EQUALS" and [token.type for token in right[:2]] == ["NAME", "LPAR"]:
        call = f"{right[0].text}(..)"
    texts = tuple(one[0].span.merge(one[-1].span).text for one in targets)
    span = left[0].span.merge(left[-1].span)
    return SeveralTargets(span, texts, call)


def _depths(tokens: tuple[Token, ...]) -> tuple[int | None, list[int]]:
    """Where the first `=`, `~` or `<-` outside brackets stands, and how deep in brackets each word is."""
    depths: list[int] = []
    depth, equals = 0, None
    for place, token in enumerate(tokens):
        depth -= token.text in CLOSING.values()
        depths.append(depth)
        depth += token.text in CLOSING
        if depth == 0 and equals is None and token.type in ("EQUALS", "TILDE", "UPDATE"):
            equals = place
    return equals, depths


def _wrong_equals(refused: Refused) -> Diagnostic | None:
    word = refused.word
    if word.type == "EQUAL" and "EQUALS" in refused.accepted:
        return WrongEquals(word.span, "=")
    if word.type not in ("EQUALS", "TILDE", "UPDATE") or "EQUAL" not in refused.accepted:
        return None
    first = _first_equals(refused)
    before = {token.type for token in refused.tokens[: refused.number]}
    if first is not None and not refused.open_brackets and not before & {"IF", "AND", "OR", "NOT"}:
        return SecondEquals(word.span, first)
    return WrongEquals(word.span, "==") if word.type == "EQUALS" else None


def _first_equals(refused: Refused) -> Span | None:
    place = _depths(refused.tokens[: refused.number])[0]
    return None if place is None else refused.tokens[place].span


def _keyword_as_name(refused: Refused) -> Diagnostic | None:
    word = refused.word
    if word.type not in HARD_KEYWORDS or "NAME" not in refused.accepted:
        return None
    brackets = refused.open_brackets
    return KeywordAsName(word.span, word.text, bool(brackets) and brackets[-1].text == "[")


def _reduction_as_name(refused: Refused) -> Diagnostic | None:
    if refused.word.type != "REDUCTION" or "NAME" not in refused.accepted:
        return None
    previous = refused.previous
    if previous is not None and previous.type in ("POWER", "MINUS"):
        reason = "a reduction takes the whole product to its right, so it cannot be an exponent without parentheses"
        return ReductionNeedsParentheses(refused.word.span, reason, f"write `({refused.word.text}[..] ..)`")
    return ReductionAsName(refused.word.span, refused.word.text)


def _missing_operator(refused: Refused) -> Diagnostic | None:
    previous, word = refused.previous, refused.word
    if previous is None or word.type not in _OPERANDS or "TIMES" not in refused.accepted:
        return None
    after = _size_text(refused.tokens, refused.number) if word.type == "BAR" else word.span.text
    return MissingOperator(word.span, _ending_with(previous, refused), after)


def _size_text(tokens: tuple[Token, ...], number: int) -> str:
    return "".join(token.text for token in tokens[number : number + 3])


def _ending_with(previous: Token, refused: Refused) -> str:
    """What stands before: a name with its subscripts reads better than its closing bracket."""
    if previous.type == "BAR":
        return _size_text(refused.tokens, refused.number - 3)
    depth = 0
    for number in range(refused.number - 1, -1, -1):
        token = refused.tokens[number]
        depth += (token.text in CLOSING.values()) - (token.text in CLOSING)
        before = refused.tokens[number - 1] if number else None
        is_call = token.text in CLOSING and before is not None and before.type == "NAME"
        if depth == 0 and not is_call:
            text = token.span.merge(previous.span).text
            return text if len(text) <= 30 and "\n" not in text else previous.text
    return previous.text


_MISTAKES: tuple[Callable[[Refused], Diagnostic | None], ...] = (
    _unknown_statement,
    _misplaced_statement,
    _missing_colon,
    _update_in_expression,
    _several_targets,
    _wrong_equals,
    _keyword_as_name,
    _reduction_as_name,
    _missing_operator,
)


# --- everything else --------------------------------------------------------------------------------------------------


def _unexpected(refused: Refused) -> Diagnostic:
    brackets = refused.open_brackets
    opening = brackets[-1].span if brackets and brackets[-1].span.line != refused.word.span.line else None
    return UnexpectedWord(refused.word.span, _found(refused.word), _expected(refused), _hint(refused), opening)


def _found(token: Token) -> str:
    if token.type == "NAME":
        return f"the name `{_short(token.text)}`"
    if token.type == "NUMBER":
        return f"the number `{_short(token.text)}`"
    if token.type == "REDUCTION":
        return f"the reduction `{token.text}[`"
    if token.type == "NEWLINE":
        return "the end of the line"
    return f"`{token.text}`"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _expected(refused: Refused) -> tuple[str, ...]:
    """The accepted words, with the many that begin an expression, or continue one, called by one name."""
    accepted = set(refused.accepted) - {"$END", "INDENT", "DEDENT"}
    called: list[str] = []
    if {"NAME", "NUMBER", "LPAR"} <= accepted:
        accepted -= _EXPRESSION_STARTS
        called.append("an expression")
    if {"PLUS", "TIMES"} <= accepted:
        accepted -= _OPERATORS | _TRAILERS
        called.append("an operator")
    called.extend(text for kind, text in _DESCRIPTIONS.items() if kind in accepted)
    called.extend(f"`{kind.lower()}`" for kind in sorted(accepted) if kind not in _DESCRIPTIONS)
    return tuple(dict.fromkeys(called))


def _binds(refused: Refused, bracket: Token) -> bool:
    """Whether the bracket is that of a reduction."""
    place = refused.tokens.index(bracket)
    return place > 0 and refused.tokens[place - 1].type == "REDUCTION"


def _hint(refused: Refused) -> str | None:
    word, previous = refused.word, refused.previous
    brackets = refused.open_brackets
    in_subscript = bool(brackets) and brackets[-1].text == "["
    if refused.tokens[0].type == "CHECK" and word.type in _COMPARISONS:
        return "a claim is `a == b`; a side that compares stands in parentheses: `check (x > 0) == true`"
    if in_subscript and _binds(refused, brackets[-1]):
        return "an index variable runs over its whole set; a condition leaves some out: `sum[i : i < n] x[i]`"
    if "ELSE" in refused.accepted:
        return "a choice has two branches, `a if c else b`; a term that is 0 elsewhere is written `[c]*a`"
    if word.type in ("COLON", "BLOCK") and in_subscript:
        return "a whole axis is written as its index set: `x[i, J]`"
    if word.type == "NEWLINE" and previous is not None and previous.type in _OPERATORS:
        return "inside `( )` and `[ ]` a formula may go on over several lines"
    if word.type == "NEWLINE" and refused.tokens[0].type in _EXAMPLES:
        return f"as in `{_EXAMPLES[refused.tokens[0].type]}`"
    if word.type == "NEWLINE" and "NUMBER" in refused.accepted:
        return "inside `( )` and `[ ]` a formula may go on over several lines"
    if word.type == "LPAR" and refused.number == 1 and refused.in_body:
        return f"subscripts stand in square brackets: `{refused.tokens[0].text}[..]`"
    if refused.tokens[0].type in _HEADERS and brackets and word.type == "NAME" and "COMMA" in refused.accepted:
        return "arguments are separated by commas"
    if word.type == "SEMICOLON" and not brackets:
        return "write one statement per line"
    if refused.accepted == {"BAR"}:
        return "`|I|` is the size of an index set; an absolute value is written `abs(x)`"
    if previous is not None and previous.type == "BAR":
        return "`|I|` is the size of an index set; an absolute value is written `abs(x)`"
    return None
