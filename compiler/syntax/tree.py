"""Builds the AST while the LALR parser reduces: a method per rule of dl.lark, called with the parts of its right side.

On the parser's stack lie `Token`s and `Piece`s. A piece is a node, or a tuple of nodes, with its span and with what is
known only here: how deep it is nested, and whether a reduction in it swallowed a product. A `Chain` is a product that
may still grow. Refused combinations raise `RefusalError`; rules that end a line never do, so that a refusal is always
of the line being read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.errors_statements import (
    PositionalAfterNamed,
    ReductionNeedsParentheses,
    TooManyGroups,
    UnknownType,
)
from dlc.compiler.syntax.errors_words import NestedTooDeep
from dlc.compiler.syntax.words import Token

TYPES: Mapping[str, ast.Type] = {"int": "int", "bool": "bool", "real": "real"}
_DEFINITIONS: dict[str, type[ast.Layer] | type[ast.Model] | type[ast.Optimizer]] = {
    "LAYER": ast.Layer,
    "MODEL": ast.Model,
    "OPTIMIZER": ast.Optimizer,
}


class RefusalError(Exception):
    """The grammar allows it, the language does not."""

    def __init__(self, problem: Diagnostic) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(slots=True)
class Piece:
    """A finished part; `span` takes in its parentheses.

    `swallows` if it is a product without parentheses, or ends in a reduction over one: `a / piece` would mislead.
    """

    node: Any
    span: Span
    depth: int = 0
    swallows: bool = False
    doc: str | None = None


@dataclass(slots=True)
class Chain:
    """A product that may still grow, `a * b / c`; `//` and `mod` close what stands before them into one factor."""

    factors: list[ast.Expression]
    operators: list[str]
    span: Span
    depth: int
    swallows: bool = False


Part: TypeAlias = Token | Piece | Chain


class TreeBuilder:
    """The callbacks of the parser. Without state: every token knows its source."""

    # --- expressions --------------------------------------------------------------------------------------------------

    def name(self, parts: list[Part]) -> Piece:
        return _leaf(_name(parts[0]))

    def number(self, parts: list[Part]) -> Piece:
        (token,) = parts
        assert isinstance(token, Token)
        return _leaf(ast.Number(token.text, span=token.span))

    def size(self, parts: list[Part]) -> Piece:
        return _leaf(ast.Size(_name(parts[1]), span=_span(parts)))

    def parenthesised(self, parts: list[Part]) -> Piece:
        inner = parts[1]
        assert isinstance(inner, Piece)
        return Piece(inner.node, _span(parts), inner.depth)

    def iverson(self, parts: list[Part]) -> Piece:
        return _grown(ast.Iverson(_node(parts[1]), span=_span(parts)), parts)

    def unary(self, parts: list[Part]) -> Piece:
        operator, operand = parts
        assert isinstance(operator, Token) and isinstance(operand, Piece)
        node = ast.Unary(operator.text, operand.node, span=_span(parts))
        return _grown(node, parts, swallows=operand.swallows)

    def raised(self, parts: list[Part]) -> Piece:
        return _grown(ast.Binary("^", _node(parts[0]), _node(parts[2]), span=_span(parts)), parts)

    def multiplier(self, parts: list[Part]) -> Part:
        return parts[0]

    def comparator(self, parts: list[Part]) -> Part:
        return parts[0]

    def product(self, parts: list[Part]) -> Chain:
        if len(parts) == 1:
            (first,) = parts
            assert isinstance(first, Piece)
            return Chain([first.node], [], first.span, first.depth, first.swallows)
        chain, operator, factor = parts
        assert isinstance(chain, Chain) and isinstance(operator, Token) and isinstance(factor, Piece)
        span = chain.span.merge(factor.span)
        if operator.text in ("*", "/"):
            chain.factors.append(factor.node)
            chain.operators.append(operator.text)
            chain.span, chain.depth = span, max(chain.depth, factor.depth)
            return chain
        left = _closed(chain)
        whole = _grown(ast.Binary(operator.text, left.node, factor.node, span=span), [left, factor])
        return Chain([whole.node], [], span, whole.depth, swallows=True)

    def open_product(self, parts: list[Part]) -> Chain:
        if len(parts) == 1:
            return self.product(parts)
        chain, operator, factor = parts
        assert isinstance(chain, Chain) and isinstance(operator, Token) and isinstance(factor, Piece)
        if factor.swallows and operator.text != "*":
            raise RefusalError(_swallowed_product(chain, operator, factor))
        grown = self.product(parts)
        grown.swallows = True
        return grown

    def term(self, parts: list[Part]) -> Piece:
        (chain,) = parts
        assert isinstance(chain, Chain)
        return _closed(chain)

    def reduction(self, parts: list[Part]) -> Piece:
        kind, body = parts[0], parts[-1]
        assert isinstance(kind, Token) and isinstance(body, Piece)
        header = parts[2:-2]
        everything = _is(header[0], "DOTS")
        indices = tuple(_name(part) for part in header if _is(part, "NAME"))
        condition = _node(header[-1]) if isinstance(header[-1], Piece) else None
        node = ast.Reduction(kind.text, indices, everything, condition, body.node, span=_span(parts))
        return _grown(node, parts, swallows=body.swallows)

    def sums(self, parts: list[Part]) -> Piece:
        return _grown(ast.Sum(_nodes(parts[::2]), _texts(parts[1::2]), span=_span(parts)), parts)

    def comparisons(self, parts: list[Part]) -> Piece:
        return _grown(ast.Comparison(_nodes(parts[::2]), _texts(parts[1::2]), span=_span(parts)), parts)

    def logical(self, parts: list[Part]) -> Piece:
        (operator, *_) = _texts(parts[1::2])
        return _grown(ast.Logical(operator, _nodes(parts[::2]), span=_span(parts)), parts)

    def conditional(self, parts: list[Part]) -> Piece:
        value, condition, otherwise = _nodes(parts[::2])
        return _grown(ast.Conditional(value, condition, otherwise, span=_span(parts)), parts)

    # --- calls and subscripts -----------------------------------------------------------------------------------------

    def call(self, parts: list[Part]) -> Piece:
        groups = tuple(tuple(part.node) for part in parts[2:-1] if isinstance(part, Piece))
        return _grown(ast.Call(_node(parts[0]), groups, span=_span(parts)), parts)

    def argument_group(self, parts: list[Part]) -> Piece:
        arguments = _nodes(parts[::2])
        named: Span | None = None
        for argument in arguments:
            if argument.name is not None:
                named = argument.name.span
            elif named is not None:
                raise RefusalError(PositionalAfterNamed(argument.span, named))
        return Piece(arguments, _span_or_nothing(parts), _depth(parts))

    def argument(self, parts: list[Part]) -> Piece:
        return _grown(ast.Argument(None, _node(parts[0]), span=_span(parts)), parts)

    def named_argument(self, parts: list[Part]) -> Piece:
        return _grown(ast.Argument(_name(parts[0]), _node(parts[2]), span=_span(parts)), parts)

    def indexed(self, parts: list[Part]) -> Piece:
        return _grown(ast.Indexed(_node(parts[0]), _nodes(parts[2:-1:2]), span=_span(parts)), parts)

    def member(self, parts: list[Part]) -> Piece:
        return _grown(ast.Member(_node(parts[0]), _name(parts[2]), span=_span(parts)), parts)

    def all_axes(self, parts: list[Part]) -> Piece:
        return _leaf(ast.AllAxes(span=_span(parts)))

    def group(self, parts: list[Part]) -> Piece:
        return _grown(ast.Group(_nodes(parts[1:-1:2]), span=_span(parts)), parts)

    # --- declarations -------------------------------------------------------------------------------------------------

    def axis(self, parts: list[Part]) -> Piece:
        return self.all_axes(parts) if _is(parts[0], "DOTS") else self.name(parts)

    def declaration(self, parts: list[Part]) -> Piece:
        behind = {mark.type: part for mark, part in pairwise(parts) if isinstance(mark, Token)}
        kind = behind.get("COLON")
        if isinstance(kind, Token) and kind.text not in TYPES:
            raise RefusalError(UnknownType(kind.span, kind.text))
        axes = _nodes(parts[2 : parts.index(_first(parts, "RSQB")) : 2]) if "LSQB" in behind else ()
        node = ast.Declaration(
            _name(parts[0]),
            axes,
            TYPES[kind.text] if isinstance(kind, Token) else None,
            _name(behind["IN"]) if "IN" in behind else None,
            _node(behind["TILDE"]) if "TILDE" in behind else None,
            _node(behind["EQUALS"]) if "EQUALS" in behind else None,
            span=_span(parts),
        )
        return Piece(node, node.span)

    def declaration_group(self, parts: list[Part]) -> Piece:
        return Piece(_nodes(parts[::2]), _span_or_nothing(parts))

    outputs = declaration_group

    def signature(self, parts: list[Part]) -> Piece:
        pieces = [part for part in parts if isinstance(part, Piece)]
        outputs = pieces.pop().node if _is(parts[-2], "ARROW") else ()
        groups = [piece.node for piece in pieces]
        if len(groups) > 3:
            marks = [part for part in parts if _is(part, "SEMICOLON")]
            raise RefusalError(TooManyGroups(marks[2].span, len(groups), any(not group for group in groups[1:-1])))
        data, parameters, hyper_parameters = [*groups, (), ()][:3]
        node = ast.Signature(data, parameters, hyper_parameters, outputs, span=_span(parts))
        return Piece(node, node.span)

    # --- statements and items -----------------------------------------------------------------------------------------

    def target(self, parts: list[Part]) -> Piece:
        node = ast.Target(_name(parts[0]), _nodes(parts[2:-1:2]), span=_span(parts))
        return Piece(node, node.span, doc=_doc(parts))

    def equation(self, parts: list[Part]) -> Piece:
        return _statement(ast.Equation(_node(parts[0]), _node(parts[2]), span=_span(parts), doc=_doc(parts)))

    def draw(self, parts: list[Part]) -> Piece:
        return _statement(ast.Draw(_node(parts[0]), _node(parts[2]), span=_span(parts), doc=_doc(parts)))

    def update(self, parts: list[Part]) -> Piece:
        return _statement(ast.Update(_node(parts[0]), _node(parts[2]), span=_span(parts), doc=_doc(parts)))

    def param(self, parts: list[Part]) -> Piece:
        return _statement(ast.Param(_nodes(parts[1:-1:2]), span=_span(parts), doc=_doc(parts)))

    def state(self, parts: list[Part]) -> Piece:
        return _statement(ast.State(_nodes(parts[1:-1:2]), span=_span(parts), doc=_doc(parts)))

    def total(self, parts: list[Part]) -> Piece:
        return _statement(ast.Total(_name(parts[1]), _node(parts[3]), span=_span(parts), doc=_doc(parts)))

    def minimize(self, parts: list[Part]) -> Piece:
        return _statement(ast.Minimize(_name(parts[1]), _nodes(parts[3:-1:2]), span=_span(parts), doc=_doc(parts)))

    def check(self, parts: list[Part]) -> Piece:
        return _statement(ast.Check(_node(parts[1]), _node(parts[3]), span=_span(parts), doc=_doc(parts)))

    def index_line(self, parts: list[Part]) -> Piece:
        return _statement(ast.IndexLine(_nodes(parts[1:-1:2]), span=_span(parts), doc=_doc(parts)))

    def index_set(self, parts: list[Part]) -> Piece:
        size = _node(parts[2]) if len(parts) > 1 else None
        return Piece(ast.IndexSet(_name(parts[0]), size, span=_span(parts)), _span(parts))

    def use(self, parts: list[Part]) -> Piece:
        colon = parts.index(_first(parts, "COLON"))
        module = tuple(_name(part) for part in parts[1:colon:2])
        names = tuple(_name(part) for part in parts[colon + 1 : -1 : 2])
        return _statement(ast.Use(module, names, span=_span(parts), doc=_doc(parts)))

    def function(self, parts: list[Part]) -> Piece:
        parameters = _nodes([part for part in parts[:-2] if isinstance(part, Piece)])
        return _statement(
            ast.Function(_name(parts[1]), parameters, _node(parts[-2]), span=_span(parts), doc=_doc(parts))
        )

    def definition(self, parts: list[Part]) -> Piece:
        keyword = parts[0]
        assert isinstance(keyword, Token)
        body = _nodes(parts[6:-1])
        kind = _DEFINITIONS[keyword.type]
        span = keyword.span.merge(body[-1].span)
        return _statement(kind(_name(parts[1]), _node(parts[2]), body, span=span, doc=_doc(parts)))

    def file(self, parts: list[Part]) -> tuple[ast.Item, ...]:
        return _nodes(parts)


# --- parts of the stack -----------------------------------------------------------------------------------------------


def _closed(chain: Chain) -> Piece:
    """A chain that grows no more: its only factor, or a product."""
    if not chain.operators:
        return Piece(chain.factors[0], chain.span, chain.depth, chain.swallows)
    node = ast.Product(tuple(chain.factors), tuple(chain.operators), span=chain.span)
    return _checked_depth(Piece(node, chain.span, chain.depth + 1, swallows=True))


def _grown(node: ast.Node, parts: list[Any], swallows: bool = False) -> Piece:
    return _checked_depth(Piece(node, node.span, _depth(parts) + 1, swallows))


def _checked_depth(piece: Piece) -> Piece:
    if piece.depth > ast.MAX_DEPTH:
        raise RefusalError(NestedTooDeep(piece.span, ast.MAX_DEPTH))
    return piece


def _leaf(node: ast.Node) -> Piece:
    return Piece(node, node.span, 1)


def _statement(node: ast.Node) -> Piece:
    return Piece(node, node.span)


def _depth(parts: list[Any]) -> int:
    return max((part.depth for part in parts if not isinstance(part, Token)), default=0)


def _is(part: Part, kind: str) -> bool:
    return isinstance(part, Token) and part.type == kind


def _first(parts: list[Part], kind: str) -> Part:
    return next(part for part in parts if _is(part, kind))


def _name(part: Part) -> ast.Name:
    assert isinstance(part, Token)
    return ast.Name(part.text, span=part.span)


def _node(part: Part) -> Any:
    assert isinstance(part, Piece)
    return part.node


def _nodes(parts: list[Part]) -> Any:
    return tuple(_node(part) for part in parts)


def _texts(parts: list[Part]) -> tuple[str, ...]:
    return tuple(part.text for part in parts if isinstance(part, Token))


def _doc(parts: list[Part]) -> str | None:
    first = parts[0]
    assert not isinstance(first, Chain)
    return first.doc


def _span(parts: list[Part]) -> Span:
    """From the first part to the last, line ends left out."""
    ends = [part for part in (parts[0], *parts[-2:]) if not _is(part, "NEWLINE")]
    return parts[0].span.merge(ends[-1].span)


def _span_or_nothing(parts: list[Part]) -> Any:
    return _span(parts) if parts else None


def _swallowed_product(chain: Chain, operator: Token, factor: Piece) -> Diagnostic:
    numerator, reduction, sign = chain.span.text, factor.span.text, operator.span.text
    if "\n" in numerator + reduction or len(numerator + reduction) > 60:
        numerator, reduction = "a", "sum[i] b*c"
    hint = f"if all of it is meant, write `{numerator} {sign} ({reduction})`; if not, put `( )` around the part that is"
    reason = f"a reduction takes the whole product to its right, which behind `{sign}` is easily misread"
    return ReductionNeedsParentheses(factor.span, reason, hint)
