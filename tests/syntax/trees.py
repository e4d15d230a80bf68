"""Random trees: every tree that the parser can build may come out, and no other."""

from __future__ import annotations

from hypothesis import strategies as st

from dlc.compiler.source import Source, Span
from dlc.compiler.syntax import ast

PLACE = Span(Source("random", ""), 0, 0)


def _at(kind: type[ast.Node], *parts: st.SearchStrategy) -> st.SearchStrategy:
    return st.tuples(*parts).map(lambda values: kind(*values, span=PLACE))  # pyright: ignore[reportCallIssue]


def _some(strategy: st.SearchStrategy, least: int = 0, most: int = 3) -> st.SearchStrategy:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


NAMES = _at(ast.Name, st.sampled_from(["x", "i", "i'", "j", "w", "I", "J'", "θ", "state", "over", "pi"]))
NUMBERS = _at(ast.Number, st.sampled_from(["0", "1", "42", "0.5", "1e-8", "2.50"]))
LEAVES = NAMES | NUMBERS | _at(ast.Size, NAMES) | _at(ast.Name, st.sampled_from(["max", "sum"]))


@st.composite
def _chains(draw: st.DrawFn, kind: type[ast.Sum] | type[ast.Product] | type[ast.Comparison], operators: list[str],
            operands: st.SearchStrategy) -> ast.Expression:  # fmt: skip
    parts = draw(_some(operands, least=2))
    signs = tuple(draw(st.sampled_from(operators)) for _ in parts[1:])
    return kind(parts, signs, span=PLACE)


@st.composite
def _groups(draw: st.DrawFn, inner: st.SearchStrategy) -> tuple[ast.Argument, ...]:
    positional = draw(_some(_at(ast.Argument, st.none(), inner), most=2))
    return (*positional, *draw(_some(_at(ast.Argument, NAMES, inner), most=2)))


def _callables(inner: st.SearchStrategy) -> st.SearchStrategy:
    """Names with any number of `(..)`, `[..]` and `.name` behind them."""
    subscripts = _some(inner | _at(ast.Group, _some(inner, least=2)) | _at(ast.AllAxes), least=1)
    return st.recursive(
        NAMES,
        lambda base: (
            _at(ast.Call, base, _some(_groups(inner), least=1))
            | _at(ast.Indexed, base, subscripts)
            | _at(ast.Member, base, NAMES)
        ),
        max_leaves=3,
    )


def _grown(inner: st.SearchStrategy) -> st.SearchStrategy:
    subscripts = _some(inner, least=1)
    return st.one_of(
        _at(ast.Unary, st.sampled_from(["-", "not"]), inner),
        _chains(ast.Sum, ["+", "-"], inner),
        _chains(ast.Product, ["*", "/"], inner),
        _chains(ast.Comparison, ["==", "!=", "<", "<=", ">", ">=", "in"], inner),
        _at(ast.Binary, st.sampled_from(["//", "mod", "^"]), inner, inner),
        _at(ast.Logical, st.sampled_from(["and", "or"]), _some(inner, least=2)),
        _at(ast.Conditional, inner, inner, inner),
        _at(ast.Iverson, inner),
        _at(ast.Reduction, st.sampled_from(["sum", "max", "any"]), _some(NAMES, least=1), st.just(False),
            st.none() | inner, inner),
        _at(ast.Reduction, st.sampled_from(["prod", "mean"]), st.just(()), st.just(True), st.none(), inner),
        _at(ast.Indexed, inner, subscripts),
        _callables(inner),
    )  # fmt: skip


EXPRESSIONS = st.recursive(LEAVES, _grown, max_leaves=12)
TARGETS = _at(ast.Target, NAMES, _some(LEAVES | _at(ast.Group, _some(NAMES, least=2)), most=2))
_AXES = _some(NAMES | _at(ast.AllAxes), most=2)
_TYPES: st.SearchStrategy[ast.Type | None] = st.sampled_from([None, "int", "bool", "real"])


@st.composite
def _declarations(draw: st.DrawFn) -> ast.Declaration:
    name, axes, kind = draw(NAMES), draw(_AXES), draw(_TYPES)
    element_of = draw(st.none() | NAMES) if kind is None else None
    given = draw(st.none() | EXPRESSIONS)
    either = (given, None) if draw(st.booleans()) else (None, given)
    return ast.Declaration(name, axes, kind, element_of, *either, span=PLACE)


DECLARATIONS = _some(_declarations(), most=2)
SOME_DECLARATIONS = _some(_declarations(), least=1, most=2)
STATEMENTS = st.one_of(
    _at(ast.Equation, TARGETS, EXPRESSIONS),
    _at(ast.Update, TARGETS, EXPRESSIONS),
    _at(ast.Draw, TARGETS, EXPRESSIONS),
    _at(ast.Param, SOME_DECLARATIONS),
    _at(ast.State, SOME_DECLARATIONS),
    _at(ast.Total, NAMES, EXPRESSIONS),
    _at(ast.Minimize, NAMES, _some(_callables(LEAVES), most=2)),
    _at(ast.Check, EXPRESSIONS, EXPRESSIONS),
    _at(ast.IndexLine, _some(_at(ast.IndexSet, NAMES, st.none() | EXPRESSIONS), least=1)),
)
SIGNATURES = _at(ast.Signature, DECLARATIONS, DECLARATIONS, DECLARATIONS, DECLARATIONS)
