"""The tree of a `.dl` file: what was written, every node with its span, nothing resolved.

    File         = File(items: Item*, comments: Comment*)
    Item         = Use(module: Name*, names: Name*)                        use nn.linear: Linear, Conv2d
                 | IndexLine(sets: IndexSet*)                              index B, I = 784     (also a Statement)
                 | Function(name, parameters: Declaration*, value)         fn gelu(x) = ...
                 | Layer(name, signature, body: Statement*)                layer, model and optimizer: one shape
                 | Model(name, signature, body: Statement*)
                 | Optimizer(name, signature, body: Statement*)
    IndexSet     = IndexSet(name, size: Expression?)
    Signature    = Signature(data, parameters, hyper_parameters, outputs: Declaration*)
    Declaration  = Declaration(name, axes: (Name | AllAxes)*, type: "int" | "bool" | "real" | none, element_of: Name?,
                               initialiser: Expression?, value: Expression?)
                                   x[B,I]    z[B] in V    n : int    w[I,J] ~ normal(0, 1)    b[I] = 0    heads = 8

    Statement    = IndexLine
                 | Equation(target, value)                                 y[i] = e       fc1 = Linear(I=128)
                 | Draw(target, distribution)                              u[b,i] ~ uniform(0, 1)
                 | Update(target, value)                                   m[c] <- e
                 | Param(declarations: Declaration*)                       param w[I,J] ~ normal(0, 0.02)
                 | State(declarations: Declaration*)                       state m[C] = 0, k = 0
                 | Total(name, value)                                      total n = e
                 | Minimize(loss: Name, over: Expression*)                 minimize loss over gen
                 | Check(left, right)                                      check a == b
    Target       = Target(name, subscripts: Subscript*)                    no subscripts: a scalar, or an instance

    Expression   = Number(text)                                            an integer if the text has no `.` and no `e`
                 | Name(text)                                              i   i'   x   I   pi   true   train
                 | Size(set: Name)                                         |I|
                 | Unary("-" | "not", operand)
                 | Sum(terms, operators: ("+" | "-")*)                     a - b + c: three terms, two operators
                 | Product(factors, operators: ("*" | "/")*)               one chain of factors
                 | Binary("//" | "mod" | "^", left, right)
                 | Comparison(operands, operators)                         0 <= i < n, e in S; == != < <= > >= in
                 | Logical("and" | "or", operands)
                 | Conditional(value, condition, otherwise)                value if condition else otherwise
                 | Iverson(condition)                                      [condition]
                 | Reduction(kind, indices: Name*, everything: bool, condition: Expression?, body)
                                                                           sum[j : j <= i] e    sum[..] e
                 | Indexed(base, subscripts: Subscript+)                   x[i]   f(x[I])[i]   blocks[l]   fc1.w[i,j]
                 | Member(base, name)                                      fc1.w
                 | Call(function, groups: (Argument*)+)                    f(x[I]; w, c, stride=2): two groups
    Argument     = Argument(name: Name?, value: Expression)
    Subscript    = Expression | Group(parts: Expression+) | AllAxes        x[i+1, (g,c)]    x[..]
    Comment      = Comment(text, own_line, is_doc)                         kept for the formatter

Things to know:

- Parentheses leave no node, but the chains keep them apart: `a*b*c` is one `Product` of three factors, `(a*b)*c` a
  product whose first factor is a product. The summation rule ("the innermost product") reads the tree as it is.
  `a*b//c*d` is `((a*b)//c)*d`: `//` and `mod` end a chain.
- A reduction's body is a product, one factor, or a nested reduction, unless it was put in parentheses. That
  `a / sum[i] b*c` needs parentheses is checked by the parser; it never reaches the tree.
- An instance (`fc1 = Linear(I=128)`, `blocks[L] = Block(heads=8)`) is an `Equation` whose value is a `Call`: only
  names tell it from a formula.
- `blocks[l](x)` is `Call(Indexed(..), ..)`, `blocks[l].w[i]` is `Indexed(Member(Indexed(..), w), ..)`. `grad`, `stop`,
  `solve`, `pad`, `clamp`, `wrap` and the scalar functions are ordinary calls; so is `max(a, b)`, while `max[i] a[i]` is
  a `Reduction`.
- Constants (`pi`, `inf`, `true`, `false`) and `train` are `Name`s: a tensor may take their name.
- Spellings are gone (`Σ` is "sum", `·` is "*"), names are in Unicode normal form NFKC, and `′` is `'`.
- Spans take no part in equality or hashing; doc comments do.
- The tree is at most `MAX_DEPTH` expressions deep, so it may be walked by recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeAlias, TypeVar

from dlc.compiler.source import Span

MAX_DEPTH = 64
"""The parser refuses expressions nested deeper than this."""


@dataclass(frozen=True)
class Node:
    span: Span = field(compare=False, repr=False, kw_only=True)


# --- expressions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expression(Node):
    pass


@dataclass(frozen=True)
class Number(Expression):
    """A literal, as digits: `3`, `0.1`, `1e-8`; the text is kept so that its value is exact."""

    text: str

    @property
    def is_integer(self) -> bool:
        return self.text.isdigit()

    @property
    def exact(self) -> Fraction:
        return Fraction(self.text)

    @property
    def value(self) -> int | float:
        return int(self.text) if self.is_integer else float(self.text)


@dataclass(frozen=True)
class Name(Expression):
    """An identifier with its primes: an index variable, a tensor, a constant, a whole set, an instance, a function."""

    text: str

    @property
    def stem(self) -> str:
        return self.text.rstrip("'")

    @property
    def primes(self) -> int:
        return len(self.text) - len(self.stem)

    @property
    def is_capital(self) -> bool:
        """Whether it names an index set (or a layer)."""
        return self.text[0].isupper()


@dataclass(frozen=True)
class Size(Expression):
    set: Name


@dataclass(frozen=True)
class Unary(Expression):
    operator: str
    operand: Expression


@dataclass(frozen=True)
class Sum(Expression):
    """`terms[0] operators[0] terms[1] operators[1] ...`, at least two terms."""

    terms: tuple[Expression, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Product(Expression):
    """`factors[0] operators[0] factors[1] ...`, at least two factors; `/` divides by the one factor behind it."""

    factors: tuple[Expression, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Binary(Expression):
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Comparison(Expression):
    """`operands[0] operators[0] operands[1] ...`: true where every link of the chain is."""

    operands: tuple[Expression, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Logical(Expression):
    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True)
class Conditional(Expression):
    value: Expression
    condition: Expression
    otherwise: Expression


@dataclass(frozen=True)
class Iverson(Expression):
    condition: Expression


@dataclass(frozen=True)
class Reduction(Expression):
    """`kind[indices : condition] body`; with `everything`, `kind[..] body` and no indices."""

    kind: str
    indices: tuple[Name, ...]
    everything: bool
    condition: Expression | None
    body: Expression


@dataclass(frozen=True)
class Indexed(Expression):
    base: Expression
    subscripts: tuple[Subscript, ...]


@dataclass(frozen=True)
class Member(Expression):
    base: Expression
    name: Name


@dataclass(frozen=True)
class Argument(Node):
    name: Name | None
    value: Expression


@dataclass(frozen=True)
class Call(Expression):
    """`function(groups[0]; groups[1]; ...)`: always at least one group, which may be empty."""

    function: Expression
    groups: tuple[tuple[Argument, ...], ...]

    @property
    def arguments(self) -> tuple[Argument, ...]:
        return tuple(argument for group in self.groups for argument in group)

    @property
    def named(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if argument.name is not None)


@dataclass(frozen=True)
class Group(Node):
    """A flattened group in a subscript, `(g, c)`: at least two parts."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class AllAxes(Node):
    """`..` in a subscript or a declaration."""


Subscript: TypeAlias = Expression | Group | AllAxes
Type: TypeAlias = Literal["int", "bool", "real"]


# --- statements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement(Node):
    """One line of a body; `doc` is the text of the `##` lines above it."""

    doc: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Declaration(Node):
    """A tensor or hyper-parameter where it is declared. At most one of `initialiser` (`~`) and `value` (`=`)."""

    name: Name
    axes: tuple[Name | AllAxes, ...] = ()
    type: Type | None = None
    element_of: Name | None = None
    initialiser: Expression | None = None
    value: Expression | None = None


@dataclass(frozen=True)
class IndexSet(Node):
    name: Name
    size: Expression | None = None


@dataclass(frozen=True)
class Target(Node):
    """A left side. `..` stands in it as the one subscript `AllAxes`."""

    name: Name
    subscripts: tuple[Subscript, ...] = ()


@dataclass(frozen=True)
class IndexLine(Statement):
    sets: tuple[IndexSet, ...]


@dataclass(frozen=True)
class Equation(Statement):
    target: Target
    value: Expression


@dataclass(frozen=True)
class Draw(Statement):
    target: Target
    distribution: Expression


@dataclass(frozen=True)
class Update(Statement):
    target: Target
    value: Expression


@dataclass(frozen=True)
class Param(Statement):
    declarations: tuple[Declaration, ...]


@dataclass(frozen=True)
class State(Statement):
    declarations: tuple[Declaration, ...]


@dataclass(frozen=True)
class Total(Statement):
    name: Name
    value: Expression


@dataclass(frozen=True)
class Minimize(Statement):
    """`over` is empty when every parameter is meant; else names, members or subscripted instances."""

    loss: Name
    over: tuple[Expression, ...] = ()


@dataclass(frozen=True)
class Check(Statement):
    left: Expression
    right: Expression


# --- items ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signature(Node):
    data: tuple[Declaration, ...] = ()
    parameters: tuple[Declaration, ...] = ()
    hyper_parameters: tuple[Declaration, ...] = ()
    outputs: tuple[Declaration, ...] = ()


@dataclass(frozen=True)
class Use(Node):
    """`use module: names`; `module` is the dotted path in parts."""

    module: tuple[Name, ...]
    names: tuple[Name, ...]
    doc: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Function(Node):
    name: Name
    parameters: tuple[Declaration, ...]
    value: Expression
    doc: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Definition(Node):
    """What layers, models and optimisers share."""

    name: Name
    signature: Signature
    body: tuple[Statement, ...]
    doc: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Layer(Definition):
    pass


@dataclass(frozen=True)
class Model(Definition):
    pass


@dataclass(frozen=True)
class Optimizer(Definition):
    pass


Item: TypeAlias = Use | IndexLine | Function | Layer | Model | Optimizer


@dataclass(frozen=True)
class Comment(Node):
    """A comment with its `#`; `own_line` if nothing but blanks stands before it on its line.

    `is_doc` marks the `##` lines whose text is the `doc` of what follows them.
    """

    text: str
    own_line: bool
    is_doc: bool = False


@dataclass(frozen=True)
class File(Node):
    """Comments stand outside equality: they are kept for the formatter only."""

    items: tuple[Item, ...]
    comments: tuple[Comment, ...] = field(default=(), compare=False)

    @property
    def uses(self) -> tuple[Use, ...]:
        return tuple(item for item in self.items if isinstance(item, Use))

    @property
    def index_lines(self) -> tuple[IndexLine, ...]:
        return tuple(item for item in self.items if isinstance(item, IndexLine))

    @property
    def functions(self) -> tuple[Function, ...]:
        return tuple(item for item in self.items if isinstance(item, Function))

    @property
    def definitions(self) -> tuple[Layer | Model | Optimizer, ...]:
        return tuple(item for item in self.items if isinstance(item, Layer | Model | Optimizer))


# --- over the whole tree ----------------------------------------------------------------------------------------------

AnyNode = TypeVar("AnyNode", bound=Node)


@cache
def _field_names(kind: type[Node]) -> tuple[str, ...]:
    return tuple(entry.name for entry in fields(kind) if entry.name not in ("span", "comments"))


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below, in the order of the fields (comments left out)."""
    for name in _field_names(type(node)):
        yield from _nodes(getattr(node, name))


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for entry in value:
            yield from _nodes(entry)


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything below it, parents first, left to right."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(list(children(current))))


def map_children(function: Callable[[Node], Node], node: AnyNode) -> AnyNode:
    """`node` with `function` applied to every child; the very same object if no child changed."""
    changed: dict[str, Any] = {}
    for name in _field_names(type(node)):
        before = getattr(node, name)
        after = _map_value(function, before)
        if after is not before:
            changed[name] = after
    return replace(node, **changed) if changed else node


def _map_value(function: Callable[[Node], Node], value: Any) -> Any:
    if isinstance(value, Node):
        return function(value)
    if not isinstance(value, tuple):
        return value
    entries = tuple(_map_value(function, entry) for entry in value)
    return value if all(new is old for new, old in zip(entries, value, strict=True)) else entries


def dump(node: Node) -> str:
    """The tree on one line, for tests: `Equation(Target(y, [i]), Product([Indexed(w, [i, j]), x], ['*']))`."""
    return _dump(node)


def _dump(value: Any) -> str:
    if isinstance(value, Name | Number):
        return value.text
    if isinstance(value, tuple):
        return "[" + ", ".join(_dump(entry) for entry in value) + "]"
    if not isinstance(value, Node):
        return repr(value)
    written = [
        _dump(getattr(value, entry.name)) if not entry.kw_only else f"{entry.name}={getattr(value, entry.name)!r}"
        for entry in fields(value)
        if entry.name not in ("span", "comments") and not (entry.kw_only and getattr(value, entry.name) is None)
    ]
    return f"{type(value).__name__}({', '.join(written)})"
