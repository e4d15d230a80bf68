"""The summation rule: which index variables a product sums.

    A product is a chain of factors joined by `*` and `/`.  An index variable bound neither by the left side nor by a
    reduction is summed over the innermost product in which two or more factors contain it.

The rule reads the tree as it was written and needs no sizes, so it is applied once to an equation of a definition.
What it finds is kept by the identity of the nodes:

- ``sums``: the variables that a product sums, in order of appearance;
- ``axes``: the whole axes of an argument of a layer, or of the body of `sum[..]`: capitals that are bound there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.semantics.errors_indices import (
    LeftOver,
    OrphanedByReduction,
    ReboundIndex,
    SummedInside,
    UnknownBinder,
    WrongRank,
)
from dlc.compiler.semantics.scope import LAYERS, Scope, capitals_of, set_of
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.vocabulary import REDUCTIONS

Places = dict[str, Span]  # names, each with its first occurrence, in order


@dataclass
class Found:
    """What an expression holds: unbound variables, those summed inside it by the rule, those that a reduction binds."""

    unbound: Places = field(default_factory=dict)
    summed: Places = field(default_factory=dict)
    reduced: Places = field(default_factory=dict)

    def add(self, other: Found) -> None:
        for mine, theirs in ((self.unbound, other.unbound), (self.summed, other.summed), (self.reduced, other.reduced)):
            for name, span in theirs.items():
                mine.setdefault(name, span)


@dataclass
class Sums:
    """The rule applied to one equation."""

    sums: dict[int, tuple[str, ...]] = field(default_factory=dict)
    axes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)

    def of(self, product: ast.Product) -> tuple[str, ...]:
        return self.sums.get(id(product), ())

    def axes_of(self, node: ast.Node) -> tuple[str, ...]:
        return self.axes.get(id(node), ())


NO_SUMS = Sums()


def sums_of_equation(scope: Scope, equation: ast.Equation | ast.Update) -> Sums:
    return sums_of(scope, equation.value, left_names(scope, equation.target))


def sums_of(scope: Scope, value: ast.Expression, left: Places) -> Sums:
    """The rule applied to ``value``, in which the variables of the left side are bound."""
    nodes = tuple(ast.walk(value))
    reductions = tuple(node for node in nodes if isinstance(node, ast.Reduction))
    rule = _Rule(scope, Sums(), left, reductions, tuple(node for node in nodes if isinstance(node, ast.Call)))
    found = rule.visit(value, _Around(frozenset(left)))
    if not any(isinstance(problem, WrongRank) for problem in rule.result.problems):
        for name, span in found.unbound.items():
            rule.left_over(name, span)
    return rule.result


def sums_of_claim(scope: Scope, claim: ast.Check) -> tuple[Sums, Sums, Places]:
    """The rule applied to both sides of `check a == b`, and what is free in them: the unbound variables of ``a``.

    Sums in ``a`` are written out, so no product sums there; in ``b`` the variables of ``a`` are bound.
    """
    rule = _Rule(scope, Sums(), {}, summing=False)
    free = rule.visit(claim.left, _Around(frozenset())).unbound
    return rule.result, sums_of(scope, claim.right, free), free


def left_names(scope: Scope, target: ast.Target) -> Places:
    """The index variables and whole axes of a left side."""
    names: Places = {}
    for capital in capitals_of(target.subscripts):
        names.setdefault(capital.text, capital.span)
    for subscript in target.subscripts:
        for node in ast.walk(subscript):
            if isinstance(node, ast.Name) and not node.is_capital and scope.is_index(node.text):
                names.setdefault(node.text, node.span)
    return names


@dataclass(frozen=True)
class _Around:
    """Where an expression stands; ``kept`` are names that are not summed though unbound."""

    bound: frozenset[str]
    kept: frozenset[str] = frozenset()
    in_subscript: bool = False

    def binding(self, names: Iterable[str]) -> _Around:
        return _Around(self.bound.union(names), self.kept, self.in_subscript)

    def whole_axes_free(self) -> _Around:
        """Inside an argument, whole axes are the argument's own; those of the left side are not summed there."""
        capitals = frozenset(name for name in self.bound if name[0].isupper())
        return _Around(self.bound - capitals, self.kept | capitals, self.in_subscript)

    @property
    def subscript(self) -> _Around:
        return _Around(self.bound, self.kept, True)


@dataclass
class _Rule:
    scope: Scope
    result: Sums
    left: Places
    reductions: tuple[ast.Reduction, ...] = ()
    calls: tuple[ast.Call, ...] = ()
    summing: bool = True  # whether products sum at all

    def visit(self, node: ast.Node, around: _Around) -> Found:
        match node:
            case ast.Name():
                return self.name(node, around)
            case ast.Product():
                return self.product(node, around)
            case ast.Reduction():
                return self.reduction(node, around)
            case ast.Indexed():
                return self.indexed(node, around)
            case ast.Call():
                return self.call(node, around)
            case ast.Size() | ast.Number():
                return Found()
            case ast.Member(base=base):
                return self.visit(base, around) if not isinstance(base, ast.Name) else Found()
        return self.all(ast.children(node), around)

    def all(self, nodes: Iterable[ast.Node], around: _Around) -> Found:
        result = Found()
        for node in nodes:
            result.add(self.visit(node, around))
        return result

    def name(self, node: ast.Name, around: _Around) -> Found:
        name = node.text
        if name in around.bound or node.is_capital or not self.scope.is_index(name):
            return Found()
        return Found({name: node.span})

    def indexed(self, node: ast.Indexed, around: _Around) -> Found:
        result = Found()
        if isinstance(node.base, ast.Name):
            self.check_rank(node, node.base.text)
        else:
            result.add(self.base(node.base, around))
        inside = around.subscript
        for subscript in node.subscripts:
            for capital in capitals_of((subscript,)):
                if capital.text not in around.bound:
                    result.add(Found({capital.text: capital.span}))
            result.add(self.visit(subscript, inside))
        return result

    def base(self, node: ast.Expression, around: _Around) -> Found:
        """A function of whole axes with subscripts behind it, `tanh(f(x[b,D]))[d]`: the axes are its own."""
        if not self.scope.calls_scalars(node):
            return self.visit(node, around)
        found = self.visit(node, around.whole_axes_free())
        self.bind_axes(node, node, found, around.bound)
        return found

    def check_rank(self, node: ast.Indexed, name: str) -> None:
        """Said here, because a subscript too few often leaves a variable over, which is then not what is wrong."""
        rank = self.scope.rank(name)
        if rank and len(node.subscripts) != rank and not any(isinstance(one, ast.AllAxes) for one in node.subscripts):
            self.report(WrongRank(node.span, name, rank, len(node.subscripts), self.scope.place(name)))

    # -- products ----------------------------------------------------------------------------------------------------

    def product(self, node: ast.Product, around: _Around) -> Found:
        factors = [self.visit(factor, around) for factor in node.factors]
        result = Found()
        for factor in factors:
            result.add(factor)
        if around.in_subscript or not self.summing:
            return result
        names = [name for name in result.unbound if sum(name in factor.unbound for factor in factors) > 1]
        names = [name for name in names if name not in around.kept]
        for name in self.check_factors(factors, names):
            result.unbound.pop(name, None)
        self.result.sums[id(node)] = tuple(names)
        for name in names:
            if name in result.unbound:
                result.summed.setdefault(name, result.unbound.pop(name))
        return result

    def check_factors(self, factors: list[Found], names: list[str]) -> list[str]:
        """A variable may not be summed in one factor and stand unbound in another; those that do."""
        wrong: list[str] = []
        for position, factor in enumerate(factors):
            others = factors[:position] + factors[position + 1 :]
            for name, inner in factor.summed.items():
                outer = next((other.unbound[name] for other in others if name in other.unbound), None)
                if outer is not None:
                    self.report(SummedInside(outer, name, inner))
                    wrong.append(name)
            for name, inner in factor.reduced.items():
                if name in names:
                    first = next(other.unbound[name] for other in factors if name in other.unbound)
                    self.report(ReboundIndex(inner, name, first))
        return wrong

    # -- what binds --------------------------------------------------------------------------------------------------

    def reduction(self, node: ast.Reduction, around: _Around) -> Found:
        if node.everything:
            return self.everything(node, around)
        names: Places = {}
        for name in node.indices:
            if name.text in around.bound or name.text in names:
                self.report(ReboundIndex(name.span, name.text, names.get(name.text)))
            elif not self.scope.is_index(name.text):
                self.report(UnknownBinder(name.span, name.text, set_of(name.text), tuple(self.scope.sets)))
            names[name.text] = name.span
        inside = around.binding(names)
        result = self.visit(node.body, inside)
        if node.condition is not None:
            result.add(self.visit(node.condition, inside))
        result.reduced.update(names)
        return result

    def everything(self, node: ast.Reduction, around: _Around) -> Found:
        """`sum[..] e`: the whole axes of ``e`` are bound here, also those that the left side has."""
        result = self.visit(node.body, around.whole_axes_free())
        self.bind_axes(node, node.body, result, ())
        return result

    def bind_axes(self, key: ast.Node, body: ast.Expression, found: Found, left: Iterable[str]) -> None:
        capitals = [name for name in found.unbound if name[0].isupper()]
        self.result.axes[id(key)] = _in_order_of_appearance(body, capitals)
        for name in capitals:
            del found.unbound[name]

    def call(self, node: ast.Call, around: _Around) -> Found:
        kind, layer = self.scope.callee(node)
        result = Found() if isinstance(node.function, ast.Name) else self.visit(node.function, around)
        if kind == "builtin" and isinstance(node.function, ast.Name) and node.function.text in LAYERS:
            for argument in node.arguments:
                result.add(self.argument(argument.value, True, around))
            return result
        if kind in ("builtin", "function"):
            result.add(self.all((argument.value for argument in node.arguments), around))
            return result
        formals = _array_formals(layer.item) if layer is not None else frozenset()
        for number, group in enumerate(node.groups):
            for argument in group:
                whole = number < 2 if argument.name is None else argument.name.text in formals
                result.add(self.argument(argument.value, whole, around))
        return result

    def argument(self, value: ast.Expression, whole: bool, around: _Around) -> Found:
        if isinstance(value, ast.Name) and (value.is_capital or self.scope.is_tensor(value.text)):
            return Found()
        if not whole:
            return self.visit(value, around)
        found = self.visit(value, around.whole_axes_free())
        self.bind_axes(value, value, found, around.bound)
        return found

    # -- problems ----------------------------------------------------------------------------------------------------

    def left_over(self, name: str, span: Span) -> None:
        for reduction in self.reductions:
            if any(index.text == name for index in reduction.indices) and reduction.span.end <= span.start:
                self.report(OrphanedByReduction(span, name, reduction.kind, reduction.span))
                return
        other = name[0].swapcase() + name[1:]
        self.report(LeftOver(span, name, other if other in self.left else None, self.called_around(span)))

    def called_around(self, span: Span) -> str | None:
        """The name of a reduction that is called as if it were a function: `mean(x[i])`."""
        for call in self.calls:
            if isinstance(call.function, ast.Name) and call.function.text in REDUCTIONS:
                if call.span.start <= span.start < call.span.end and len(call.arguments) == 1:
                    return call.function.text
        return None

    def report(self, problem: Diagnostic) -> None:
        self.result.problems.append(problem)


def _array_formals(item: object) -> frozenset[str]:
    if not isinstance(item, ast.Definition):
        return frozenset()
    signature = item.signature
    return frozenset(declaration.name.text for declaration in (*signature.data, *signature.parameters))


def _in_order_of_appearance(body: ast.Expression, capitals: list[str]) -> tuple[str, ...]:
    """As one tensor of the expression has them all, if one has; else as they appear."""
    for node in ast.walk(body):
        if isinstance(node, ast.Indexed):
            here = [name.text for name in capitals_of(node.subscripts) if name.text in capitals]
            if len(here) == len(capitals) == len(set(here)):
                return tuple(here)
    return tuple(capitals)
