"""Spells nodes as text on one line, with no more parentheses than the tree needs.

`Speller.line` gives a statement, or the first line of a definition, without its comments. What the parser makes of that
text is the same tree: a parenthesis stands exactly where leaving it out would give another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatchmethod

from dlc.compiler.syntax import ast
from dlc.compiler.syntax.vocabulary import REDUCTIONS
from dlc.compiler.syntax.words import Token

# How strongly an expression holds together; an operand weaker than its place asks for is put in parentheses.
CONDITIONAL, OR, AND, NOT, COMPARISON, SUM, TERM, FACTOR, POWER, ATOM = range(10)

_STRENGTHS: dict[type[ast.Expression], int] = {
    ast.Conditional: CONDITIONAL,
    ast.Comparison: COMPARISON,
    ast.Sum: SUM,
    ast.Product: TERM,
    ast.Reduction: TERM,
}
_OPERATOR_STRENGTHS = {"or": OR, "and": AND, "not": NOT, "-": FACTOR, "//": TERM, "mod": TERM, "^": POWER}
_MATH = {"*": "·", "<=": "≤", ">=": "≥", "!=": "≠", "in": "∈", "<-": "←", "sum": "Σ", "prod": "∏"}
_WORDS = (ast.Name, ast.Number)
_PLAIN_SUBSCRIPTS = (*_WORDS, ast.Size, ast.AllAxes)
_SUBSCRIPT_FUNCTIONS = ("pad", "clamp", "wrap")
_MATH_TYPES = ("TIMES", "LESS_EQUAL", "GREATER_EQUAL", "UNEQUAL", "IN", "UPDATE", "REDUCTION")


def strength(node: ast.Expression) -> int:
    if isinstance(node, ast.Unary | ast.Binary | ast.Logical):
        return _OPERATOR_STRENGTHS[node.operator]
    return _STRENGTHS.get(type(node), ATOM)


def ends_in_reduction(node: ast.Expression) -> bool:
    """Whether a `*` behind the spelled node would be taken by a reduction at its end."""
    if isinstance(node, ast.Reduction):
        return True
    if isinstance(node, ast.Unary):  # behind a sign; `not` as a factor stands in parentheses
        opens = isinstance(node.operand, ast.Reduction | ast.Unary) and ends_in_reduction(node.operand)
        return opens and node.operator == "-"
    if isinstance(node, ast.Product):
        return _last_stays_open(node)
    return isinstance(node, ast.Binary) and node.operator != "^" and _stays_open(node.right, node.operator)


def swallows_product(node: ast.Expression) -> bool:
    """Whether a node that ends in a reduction has a product as its body: behind `/` that needs parentheses."""
    if isinstance(node, ast.Reduction):
        return swallows_product(node.body)
    if isinstance(node, ast.Unary):
        return swallows_product(node.operand)
    return isinstance(node, ast.Product) or (isinstance(node, ast.Binary) and node.operator != "^")


def _last_stays_open(node: ast.Product) -> bool:
    """Where another factor is a reduction too, which needs parentheses, the last one gets them for symmetry."""
    *others, last = node.factors
    return _stays_open(last, node.operators[-1]) and not any(ends_in_reduction(factor) for factor in others)


def _stays_open(last: ast.Expression, operator: str) -> bool:
    """Whether the last factor of a product is a reduction that stands without parentheses."""
    if not isinstance(last, ast.Reduction | ast.Unary) or not ends_in_reduction(last):
        return False
    return operator == "*" or not swallows_product(last)


@dataclass(frozen=True)
class Speller:
    """One of the two styles: ASCII, or with mathematical signs."""

    math: bool = False

    def sign(self, word: str) -> str:
        return _MATH.get(word, word) if self.math else word

    def word(self, token: Token) -> str:
        """A word of the source in this style."""
        return self.sign(token.text) if token.type in _MATH_TYPES else token.text

    # --- lines --------------------------------------------------------------------------------------------------------

    @singledispatchmethod
    def line(self, node: ast.Node) -> str:
        raise TypeError(f"{type(node).__name__} is not a line")

    @line.register
    def _(self, node: ast.Use) -> str:
        return f"use {'.'.join(part.text for part in node.module)}: {', '.join(name.text for name in node.names)}"

    @line.register
    def _(self, node: ast.IndexLine) -> str:
        return "index " + ", ".join(
            entry.name.text if entry.size is None else f"{entry.name.text} = {self.expression(entry.size)}"
            for entry in node.sets
        )

    @line.register
    def _(self, node: ast.Function) -> str:
        return f"fn {node.name.text}({self.declarations(node.parameters)}) = {self.expression(node.value)}"

    @line.register
    def _(self, node: ast.Definition) -> str:
        return f"{type(node).__name__.lower()} {node.name.text}{self.signature(node.signature)}:"

    @line.register
    def _(self, node: ast.Equation) -> str:
        return f"{self.target(node.target)} = {self.expression(node.value)}"

    @line.register
    def _(self, node: ast.Draw) -> str:
        return f"{self.target(node.target)} ~ {self.expression(node.distribution)}"

    @line.register
    def _(self, node: ast.Update) -> str:
        return f"{self.target(node.target)} {self.sign('<-')} {self.expression(node.value)}"

    @line.register
    def _(self, node: ast.Param) -> str:
        return f"param {self.declarations(node.declarations)}"

    @line.register
    def _(self, node: ast.State) -> str:
        return f"state {self.declarations(node.declarations)}"

    @line.register
    def _(self, node: ast.Total) -> str:
        return f"total {node.name.text} = {self.expression(node.value)}"

    @line.register
    def _(self, node: ast.Minimize) -> str:
        over = ", ".join(self.expression(entry) for entry in node.over)
        return f"minimize {node.loss.text} over {over}" if over else f"minimize {node.loss.text}"

    @line.register
    def _(self, node: ast.Check) -> str:
        return f"check {self.operand(node.left, SUM)} == {self.expression(node.right)}"

    def signature(self, node: ast.Signature) -> str:
        groups = [self.declarations(group) for group in (node.data, node.parameters, node.hyper_parameters)]
        while len(groups) > 1 and not groups[-1]:
            groups.pop()
        outputs = f" -> {self.declarations(node.outputs)}" if node.outputs else ""
        return f"({_grouped(groups)}){outputs}"

    def declarations(self, nodes: tuple[ast.Declaration, ...]) -> str:
        return ", ".join(self.declaration(node) for node in nodes)

    def declaration(self, node: ast.Declaration) -> str:
        text = node.name.text + (self.subscripts(node.axes) if node.axes else "")
        if node.type is not None:
            text += f" : {node.type}"
        if node.element_of is not None:
            text += f" {self.sign('in')} {node.element_of.text}"
        if node.initialiser is not None:
            text += f" ~ {self.expression(node.initialiser)}"
        if node.value is not None:
            text += f" = {self.expression(node.value)}"
        return text

    def target(self, node: ast.Target) -> str:
        return node.name.text + (self.subscripts(node.subscripts) if node.subscripts else "")

    # --- expressions --------------------------------------------------------------------------------------------------

    def operand(self, node: ast.Expression, place: int) -> str:
        """`node` where an operand of strength `place` is asked for."""
        text = self.expression(node)
        return text if strength(node) >= place else f"({text})"

    @singledispatchmethod
    def expression(self, node: ast.Expression) -> str:
        raise TypeError(f"{type(node).__name__} is not an expression")

    @expression.register
    def _(self, node: ast.Number) -> str:
        return node.text

    @expression.register
    def _(self, node: ast.Name) -> str:
        return node.text

    @expression.register
    def _(self, node: ast.Size) -> str:
        return f"|{node.set.text}|"

    @expression.register
    def _(self, node: ast.Unary) -> str:
        if node.operator == "not":
            return f"not {self.operand(node.operand, NOT)}"
        if isinstance(node.operand, ast.Reduction):
            return f"-{self.expression(node.operand)}"
        return f"-{self.operand(node.operand, FACTOR)}"

    @expression.register
    def _(self, node: ast.Sum) -> str:
        return self.chain(node.terms, node.operators, TERM)

    @expression.register
    def _(self, node: ast.Product) -> str:
        *others, last = node.factors
        opens = _last_stays_open(node)
        written = [*(self.factor(factor, may_open=False) for factor in others), self.factor(last, opens)]
        divide = "/" if len(written) == 2 and " " not in "".join(written) else " / "
        signs = [divide if operator == "/" else self.sign(operator) for operator in node.operators]
        signs[-1] = _set_off(signs[-1]) if opens else signs[-1]
        return written[0] + "".join(sign + factor for sign, factor in zip(signs, written[1:], strict=True))

    @expression.register
    def _(self, node: ast.Binary) -> str:
        if node.operator == "^":
            return f"{self.operand(node.left, ATOM)}^{self.exponent(node.right)}"
        left = self.expression(node.left) if _is_chain(node.left) else self.factor(node.left, may_open=False)
        opens = _stays_open(node.right, node.operator)
        right = self.factor(node.right, opens)
        tight = node.operator == "//" and all(isinstance(part, _WORDS) for part in (node.left, node.right))
        return f"{left}{node.operator if tight else _set_off(node.operator)}{right}"

    def factor(self, node: ast.Expression, may_open: bool) -> str:
        """A factor; `a // b` gets parentheses also where it might begin the product, for the reader's sake."""
        if may_open:
            return self.expression(node)
        return f"({self.expression(node)})" if ends_in_reduction(node) else self.operand(node, FACTOR)

    def exponent(self, node: ast.Expression) -> str:
        if isinstance(node, ast.Unary) and node.operator == "-":
            return f"-{self.exponent(node.operand)}"
        return self.operand(node, POWER)

    @expression.register
    def _(self, node: ast.Comparison) -> str:
        return self.chain(node.operands, node.operators, SUM)

    @expression.register
    def _(self, node: ast.Logical) -> str:
        place = _OPERATOR_STRENGTHS[node.operator] + 1
        return f" {node.operator} ".join(self.operand(operand, place) for operand in node.operands)

    @expression.register
    def _(self, node: ast.Conditional) -> str:
        value, condition = self.operand(node.value, OR), self.operand(node.condition, OR)
        return f"{value} if {condition} else {self.expression(node.otherwise)}"

    @expression.register
    def _(self, node: ast.Iverson) -> str:
        return f"[{self.expression(node.condition)}]"

    @expression.register
    def _(self, node: ast.Reduction) -> str:
        header = ".." if node.everything else ",".join(index.text for index in node.indices)
        if node.condition is not None:
            header += f" : {self.expression(node.condition)}"
        return f"{self.sign(node.kind)}[{header}] {self.operand(node.body, TERM)}"

    @expression.register
    def _(self, node: ast.Indexed) -> str:
        base = self.expression(node.base)
        is_reduction_name = isinstance(node.base, ast.Name) and node.base.text in REDUCTIONS
        if is_reduction_name or not isinstance(node.base, ast.Name | ast.Indexed | ast.Member | ast.Call):
            base = f"({base})"
        return base + self.subscripts(node.subscripts)

    @expression.register
    def _(self, node: ast.Member) -> str:
        return f"{self.expression(node.base)}.{node.name.text}"

    @expression.register
    def _(self, node: ast.Call) -> str:
        function = self.expression(node.function)
        if function in _SUBSCRIPT_FUNCTIONS and len(node.arguments) == 1 and not node.named:
            return f"{function}({self.subscript(node.arguments[0].value)})"
        groups = [", ".join(self.argument(argument) for argument in group) for group in node.groups]
        return f"{function}({_grouped(groups)})"

    def argument(self, node: ast.Argument) -> str:
        value = self.expression(node.value)
        return value if node.name is None else f"{node.name.text}={value}"

    def subscripts(self, nodes: tuple[ast.Subscript, ...]) -> str:
        """`x[i,j]` and `h[t+1,d]`, but `x[u+p, v+q]` and `w[z[t], d]`."""
        written = [self.subscript(node) for node in nodes]
        composed = [node for node in nodes if not isinstance(node, _PLAIN_SUBSCRIPTS)]
        airy = len(composed) > 1 or any(not isinstance(node, ast.Sum | ast.Group) for node in composed)
        return f"[{(', ' if airy or any(' ' in text for text in written) else ',').join(written)}]"

    def subscript(self, node: ast.Subscript) -> str:
        """`i+1` is written without spaces, larger sums with them."""
        if isinstance(node, ast.AllAxes):
            return ".."
        if isinstance(node, ast.Group):
            return f"({','.join(self.subscript(part) for part in node.parts)})"
        text = self.expression(node)
        if isinstance(node, ast.Sum) and all(isinstance(term, ast.Name | ast.Number) for term in node.terms):
            return text.replace(" ", "")
        return text

    def chain(self, operands: tuple[ast.Expression, ...], operators: tuple[str, ...], place: int) -> str:
        written = [self.operand(operand, place) for operand in operands]
        signs = [self.sign(operator) for operator in operators]
        return written[0] + "".join(f" {sign} {text}" for sign, text in zip(signs, written[1:], strict=True))


def _set_off(sign: str) -> str:
    return f" {sign.strip()} "


def _is_chain(node: ast.Expression) -> bool:
    """Whether `node // b` is read as written: a chain of factors that no reduction ends."""
    is_binary = isinstance(node, ast.Binary) and node.operator != "^"
    return (is_binary or isinstance(node, ast.Product)) and not ends_in_reduction(node)


def _grouped(groups: list[str]) -> str:
    """`x; w, c`, and `x;; h` where the middle group is empty."""
    return groups[0] + "".join(f"; {group}" if group else ";" for group in groups[1:])
