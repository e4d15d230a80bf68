"""Expressions of equations: one rule for each kind of node.  Calls, reductions and reads have files of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.bounds import decide
from dlc.compiler.ir.conditions import is_zero, negation
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, fresh, number, op, walk
from dlc.compiler.semantics.arithmetic import (
    added,
    compared,
    literal,
    multiplied,
    negative,
    numeric,
    power,
    quotient,
    real,
)
from dlc.compiler.semantics.contexts import Context, evaluate, rule, whole_value
from dlc.compiler.semantics.errors_calls import InstanceAsValue
from dlc.compiler.semantics.errors_indices import LeftOver, WrongRank
from dlc.compiler.semantics.errors_names import UnknownSet
from dlc.compiler.semantics.errors_types import BadExponent, MixedTypes, NotACondition, NotASet, SetAsNumber
from dlc.compiler.semantics.folding import known_truth
from dlc.compiler.semantics.frames import Restart, collecting
from dlc.compiler.semantics.lookup import tensor
from dlc.compiler.semantics.modes import training
from dlc.compiler.semantics.names import as_integer, fix_hypers, hypers_in, set_size
from dlc.compiler.semantics.scope import CONSTANTS, set_of
from dlc.compiler.semantics.unknown import unknown_name
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

_CONSTANTS = {"pi": math.pi, "inf": math.inf, "true": True, "false": False}


def many(context: Context, nodes: Sequence[ast.Expression]) -> list[Expr]:
    return collecting([lambda node=node: evaluate(context, node) for node in nodes])


# -- leaves ------------------------------------------------------------------------------------------------------------


@rule(ast.Number)
def _number(context: Context, node: ast.Number) -> Expr:
    return literal(node.value, node.span)


@rule(ast.Name)
def _name(context: Context, node: ast.Name) -> Expr:
    name = node.text
    scope = context.frame.scope
    if name in context.env and not node.is_capital:
        return context.env[name]
    if node.is_capital:
        raise CompileError(
            SetAsNumber(node.span, name)
            if set_of(name) in scope.sets
            else UnknownSet(node.span, name, None, tuple(scope.sets))
        )
    if name in scope.instances:
        raise CompileError(InstanceAsValue(node.span, name))
    if scope.is_index(name):
        raise CompileError(LeftOver(node.span, name))
    if scope.is_tensor(name) or name in context.frame.values:
        value = tensor(context, name, node.span)
        if value.rank:
            raise CompileError(WrongRank(node.span, name, value.rank, 0, value.span, context.frame.written_axes(value)))
        return value.at(())
    if name in CONSTANTS:
        return training(context.frame) if name == "train" else Const(_CONSTANTS[name])
    raise CompileError(unknown_name(context, name, node.span))


@rule(ast.Size)
def _size(context: Context, node: ast.Size) -> Expr:
    if not node.set.is_capital:
        raise CompileError(UnknownSet(node.set.span, node.set.text, None))
    return context.frame.build.sizes.value(set_size(context.frame, set_of(node.set.text), node.set.span))


@rule(ast.Member)
def _member(context: Context, node: ast.Member) -> Expr:
    value = whole_value(context, node)
    assert value is not None
    if isinstance(node.base, ast.Call):
        words = f"`{' '.join(node.base.function.span.text.split())}(..).{node.name.text}`"
        return value.at(context.axes.take(context.frame, value, words, node.span))
    if value.rank:
        raise CompileError(WrongRank(node.span, value.name, value.rank, 0, value.span))
    return value.at(())


# -- arithmetic --------------------------------------------------------------------------------------------------------


@rule(ast.Unary)
def _unary(context: Context, node: ast.Unary) -> Expr:
    if node.operator == "not":
        return op("not", condition(context, node.operand))
    (operand,), _ = numeric([evaluate(context, node.operand)], [node.operand.span])
    return negative(operand)


@rule(ast.Sum)
def _sum(context: Context, node: ast.Sum) -> Expr:
    terms, _ = numeric(many(context, node.terms), [term.span for term in node.terms])
    signs = ("+", *node.operators)
    return added([term if sign == "+" else negative(term) for sign, term in zip(signs, terms, strict=True)], node.span)


@rule(ast.Product)
def _product(context: Context, node: ast.Product) -> Expr:
    """Factors in order; Iverson brackets guard the rest; the variables that the summation rule names are summed."""
    names = context.sums.of(node)
    indices = {name: fresh(set_size(context.frame, set_of(name), node.span), name) for name in names}
    body = _guarded_product(context.binding(indices), node)
    return Reduce("sum", tuple(indices.values()), body) if indices else body


def _guarded_product(context: Context, node: ast.Product) -> Expr:
    guards: list[ast.Expression] = []
    factors: list[tuple[str, ast.Expression]] = []
    minus = False
    for operator, factor in zip(("*", *node.operators), node.factors, strict=True):
        inner, negated = _without_minus(factor)
        if operator == "*" and isinstance(inner, ast.Iverson):
            guards.append(inner.condition)
            minus ^= negated
        else:
            factors.append((operator, factor))
    conditions = dict.fromkeys(collecting([lambda guard=guard: condition(context, guard) for guard in guards]))
    inside = context.guarded(*conditions) if conditions else context
    values = many(inside, [factor for _, factor in factors])
    for place, (operator, _) in enumerate(factors):
        chosen = _zero_by_choice(values[place]) if operator == "*" else None
        if chosen is not None:
            conditions[chosen[0]] = None
            values[place] = chosen[1]
    body = _chain(values, [(operator, factor.span) for operator, factor in factors], node.span)
    body = negative(body) if minus else body
    return Select(op("and", *conditions), body, number(0, body.type)) if conditions else body


def _zero_by_choice(factor: Expr) -> tuple[Expr, Expr] | None:
    """``(cond, e)`` of a factor that is 0 where the condition is false: it guards the others as ``[cond]`` does."""
    match factor:
        case Select(cond=cond, yes=yes, no=no) if is_zero(no):
            return cond, yes
        case Select(cond=cond, yes=yes, no=no) if is_zero(yes):
            return negation(cond), no
        case Op(name="neg", args=(arg,)):
            found = _zero_by_choice(arg)
            return found and (found[0], op("neg", found[1]))
    return None


def _without_minus(node: ast.Expression) -> tuple[ast.Expression, bool]:
    negated = False
    while isinstance(node, ast.Unary) and node.operator == "-":
        node, negated = node.operand, not negated
    return node, negated


def _chain(factors: list[Expr], written: list[tuple[str, Span]], span: Span) -> Expr:
    """`a*b/c*d` from left to right; real as soon as one is, or something is divided."""
    if not factors:
        return Const(1)
    numbers, kind = numeric(factors, [place for _, place in written])
    divides = any(operator == "/" for operator, _ in written)
    if kind == "int" and not divides:
        return multiplied(numbers, span)
    numbers = [real(one) for one in numbers]
    result = numbers[0] if written[0][0] == "*" else op("div", Const(1.0), numbers[0])
    for (operator, _), factor in zip(written[1:], numbers[1:], strict=True):
        result = op("mul", result, factor) if operator == "*" else op("div", result, factor)
    return result


@rule(ast.Binary)
def _binary(context: Context, node: ast.Binary) -> Expr:
    left, right = many(context, (node.left, node.right))
    if node.operator == "^":
        return _power(context, left, right, node)
    words = f"`{node.operator}`"
    left = as_integer(context, left, node.left.span, words)
    right = as_integer(context, right, node.right.span, words)
    return quotient("floordiv" if node.operator == "//" else "mod", left, right, node.span)


def _power(context: Context, base: Expr, exponent: Expr, node: ast.Binary) -> Expr:
    numeric([base, exponent], [node.left.span, node.right.span])
    if (
        isinstance(exponent, Const)
        and exponent.type == "real"
        and isinstance(base, Const)
        and base.value == 0
        and exponent.value < 0
    ):
        raise CompileError(BadExponent(node.span, "zero to a negative power"))
    return power(base, exponent, node.span)


# -- conditions --------------------------------------------------------------------------------------------------------


def condition(context: Context, node: ast.Expression) -> Expr:
    """A truth value; an Iverson bracket in its place is its condition."""
    if isinstance(node, ast.Iverson):
        return condition(context, node.condition)
    value = evaluate(context, node)
    if value.type != "bool":
        raise CompileError(NotACondition(node.span, value.type))
    return value


@rule(ast.Iverson)
def _iverson(context: Context, node: ast.Iverson) -> Expr:
    return Select(condition(context, node.condition), Const(1), Const(0))


@rule(ast.Logical)
def _logical(context: Context, node: ast.Logical) -> Expr:
    return op(node.operator, *collecting([lambda part=part: condition(context, part) for part in node.operands]))


@rule(ast.Comparison)
def _comparison(context: Context, node: ast.Comparison) -> Expr:
    links = zip(node.operators, node.operands, node.operands[1:], strict=False)
    return op("and", *collecting([lambda link=link: _link(context, *link) for link in links]))


def _link(context: Context, operator: str, left: ast.Expression, right: ast.Expression) -> Expr:
    if operator == "in":
        if not isinstance(right, ast.Name) or not right.is_capital:
            raise CompileError(NotASet(right.span))
        value = as_integer(context, evaluate(context, left), left.span, "`in`")
        size = set_size(context.frame, set_of(right.text), right.span)
        return op("and", op("le", Const(0), value), op("lt", value, size))
    one, other = many(context, (left, right))
    if one.type == other.type == "bool" and operator in ("==", "!="):
        return compared(operator, one, other)
    for first, second in ((one, other), (other, one)):
        if first.type == "int" and second.type == "real":
            fix_hypers(context, second)
    (one, other), _ = numeric([one, other], [left.span, right.span])
    return compared(operator, one, other)


@rule(ast.Conditional)
def _conditional(context: Context, node: ast.Conditional) -> Expr:
    """One that is decided when compiling keeps one branch, and what only the other used does not exist."""
    test = condition(context, node.condition)
    taken = truth(context, test)
    if taken is not None:
        return evaluate(context, node.value if taken else node.otherwise)
    sides = ((context.guarded(test), node.value), (context.guarded(negation(test)), node.otherwise))
    yes, no = collecting([lambda side=side: evaluate(*side) for side in sides])
    if (yes.type == "bool") != (no.type == "bool"):
        raise CompileError(MixedTypes(node.value.span, "the branches", node.otherwise.span, no.type == "bool"))
    if yes.type != no.type:
        yes, no = real(yes), real(no)
    return Select(test, yes, no)


def truth(context: Context, test: Expr) -> bool | None:
    """Whether a condition holds, if that is known when compiling; hyper-parameters that it depends on are fixed."""
    build = context.frame.build
    if any(isinstance(part, Index | Reduce) for part in walk(test)):
        return None
    hypers = hypers_in(context, test)
    reads = [part for part in walk(test) if isinstance(part, Read)]
    if len([part for part in reads if part.tensor in build.hypers]) < len(reads):
        return None
    if hypers:
        raise Restart(hypers)
    answer = known_truth(test)
    return answer if answer is not None else decide(build.sizes.resolve(test))
