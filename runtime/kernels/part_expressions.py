"""Expressions of the small part of Python in which the drivers of matrix products are written: see `parts.py`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from dlc.runtime.kernels.compilation import FLAGS, types
from dlc.runtime.kernels.views import View, element_pointer

WORD, BIT = ir.IntType(64), ir.IntType(1)
_FAST = tuple(sorted(FLAGS["fastmath"]))
_BUILTINS = {"min": min, "max": max}


class Value(NamedTuple):
    """A Numba type, and LLVM's value."""

    type: Any
    value: Any


class Expressions:
    """Values at the place of a builder; ``variables`` are types and where the values stand, ``names`` the globals."""

    def __init__(self, name: str, names: dict[str, Any], context: Any, builder: Any) -> None:
        self.name, self.names, self.context, self.builder = name, names, context, builder
        self.variables: dict[str, Value] = {}

    def refuse(self, node: ast.AST) -> TypeError:
        return TypeError(f"{self.name}: {ast.unparse(node)} cannot be part of a C function")

    def variable(self, node: ast.Name) -> Value:
        if node.id in self.variables:
            found = self.variables[node.id]
            return Value(found.type, self.builder.load(found.value))
        known = self.known(node)
        if isinstance(known, int):
            return Value(types.int64, WORD(known))
        raise self.refuse(node)

    def known(self, node: ast.Name) -> Any:
        """What a name means outside of the function."""
        return self.names[node.id] if node.id in self.names else _BUILTINS.get(node.id)

    def value(self, node: ast.expr) -> Value:
        rule = getattr(self, f"of_{type(node).__name__.lower()}", None)
        if rule is None:
            raise self.refuse(node)
        return rule(node)

    def values(self, node: ast.expr, count: int) -> list[Value]:
        """Those of a tuple, or of a choice between two."""
        if isinstance(node, ast.Tuple) and len(node.elts) == count:
            return [self.value(each) for each in node.elts]
        if isinstance(node, ast.IfExp):
            return self.chosen(node, lambda branch: self.values(branch, count))
        raise self.refuse(node)

    def integer(self, node: ast.expr) -> Any:
        return self.converted(node, self.value(node), types.int64)

    def converted(self, node: ast.AST, value: Value, wanted: Any) -> Any:
        """The LLVM value in another type."""
        if value.type == wanted:
            return value.value
        if value.type == types.boolean and wanted == types.int64:
            return self.builder.zext(value.value, WORD)
        if isinstance(value.type, types.Integer) and isinstance(wanted, types.Integer) and value.type.signed:
            cast = self.builder.sext if wanted.bitwidth > value.type.bitwidth else self.builder.trunc
            return cast(value.value, ir.IntType(wanted.bitwidth))
        raise self.refuse(node)

    def truth(self, node: ast.expr) -> Any:
        value = self.value(node)
        if value.type == types.boolean:
            return value.value
        return self.builder.icmp_signed("!=", self.converted(node, value, types.int64), WORD(0))

    def of_constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, bool):
            return Value(types.boolean, BIT(node.value))
        if isinstance(node.value, int):
            return Value(types.int64, WORD(node.value))
        if isinstance(node.value, float):
            return Value(types.float64, ir.Constant(ir.DoubleType(), node.value))
        raise self.refuse(node)

    def of_name(self, node: ast.Name) -> Value:
        return self.variable(node)

    def of_subscript(self, node: ast.Subscript) -> Value:
        return self.element(node)[0]

    def element(self, node: ast.expr) -> tuple[Value, Any]:
        """An element of a view, and its address."""
        if not isinstance(node, ast.Subscript):
            raise self.refuse(node)
        view = self.value(node.value)
        if not isinstance(view.type, View):
            raise self.refuse(node)
        place = element_pointer(self.context, self.builder, view.type, view.value, [self.integer(node.slice)])
        return Value(view.type.dtype, self.builder.load(place)), place

    def of_unaryop(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            return Value(types.boolean, self.builder.not_(self.truth(node.operand)))
        operand = self.value(node.operand)
        if isinstance(node.op, ast.USub) and isinstance(operand.type, types.Float):
            return Value(operand.type, self.builder.fneg(operand.value))
        if isinstance(node.op, ast.USub):
            number = self.converted(node, operand, types.int64)
            if isinstance(number, ir.Constant):
                return Value(types.int64, WORD(-number.constant))
            return Value(types.int64, self.builder.neg(number))
        raise self.refuse(node)

    def of_binop(self, node: ast.BinOp) -> Value:
        return self.binary(node, node.op, self.value(node.left), self.value(node.right))

    def binary(self, node: ast.AST, op: ast.operator, left: Value, right: Value) -> Value:
        if isinstance(left.type, types.Float):
            method = _OF_REALS.get(type(op))
            if method is None or left.type != right.type:
                raise self.refuse(node)
            return Value(left.type, getattr(self.builder, method)(left.value, right.value, flags=_FAST))
        x, y = (self.converted(node, each, types.int64) for each in (left, right))
        if type(op) in _OF_INTEGERS:
            return Value(types.int64, getattr(self.builder, _OF_INTEGERS[type(op)])(x, y, flags=("nsw",)))
        if isinstance(op, ast.BitAnd):
            return Value(types.int64, self.builder.and_(x, y))
        if isinstance(op, ast.FloorDiv | ast.Mod):
            return Value(types.int64, self.quotient(x, y, isinstance(op, ast.Mod)))
        raise self.refuse(node)

    def quotient(self, x: Any, y: Any, wants_rest: bool) -> Any:
        """Rounded down, or what is left of it: LLVM rounds towards zero."""
        rest = self.builder.srem(x, y)
        differs = self.builder.icmp_signed("<", self.builder.xor(rest, y), WORD(0))
        is_below = self.builder.and_(self.builder.icmp_signed("!=", rest, WORD(0)), differs)
        if wants_rest:
            return self.builder.select(is_below, self.builder.add(rest, y), rest)
        return self.builder.sub(self.builder.sdiv(x, y), self.builder.zext(is_below, WORD))

    def of_compare(self, node: ast.Compare) -> Value:
        if len(node.ops) > 1:
            raise self.refuse(node)
        (op,), (right,) = node.ops, node.comparators
        if type(op) not in _COMPARISONS:
            raise self.refuse(node)
        x, y = self.value(node.left), self.value(right)
        if isinstance(x.type, types.Float) and x.type == y.type:
            compare = self.builder.fcmp_unordered if isinstance(op, ast.NotEq) else self.builder.fcmp_ordered
            return Value(types.boolean, compare(_COMPARISONS[type(op)], x.value, y.value))
        given = (self.converted(node, each, types.int64) for each in (x, y))
        return Value(types.boolean, self.builder.icmp_signed(_COMPARISONS[type(op)], *given))

    def of_boolop(self, node: ast.BoolOp) -> Value:
        """The later ones are computed only if they are needed."""
        stops = isinstance(node.op, ast.Or)
        end, ways = self.builder.append_basic_block("known"), []
        for operand in node.values[:-1]:
            truth, rest = self.truth(operand), self.builder.append_basic_block("more")
            ways.append((BIT(stops), self.builder.block))
            self.builder.cbranch(truth, *((end, rest) if stops else (rest, end)))
            self.builder.position_at_end(rest)
        ways.append((self.truth(node.values[-1]), self.builder.block))
        self.builder.branch(end)
        self.builder.position_at_end(end)
        return Value(types.boolean, self.met(ways))

    def of_ifexp(self, node: ast.IfExp) -> Value:
        return self.chosen(node, lambda branch: [self.value(branch)])[0]

    def chosen(self, node: ast.IfExp, of: Callable[[ast.expr], list[Value]]) -> list[Value]:
        found: list[tuple[list[Value], ir.Block]] = []
        with self.builder.if_else(self.truth(node.test)) as branches:
            for branch, expression in zip(branches, (node.body, node.orelse), strict=True):
                with branch:
                    found.append((of(expression), self.builder.block))
        (firsts, at_first), (others, at_other) = found
        results = []
        for first, other in zip(firsts, others, strict=True):
            if first.type != other.type:
                raise self.refuse(node)
            results.append(Value(first.type, self.met([(first.value, at_first), (other.value, at_other)])))
        return results

    def met(self, ways: Sequence[tuple[Any, ir.Block]]) -> Any:
        phi = self.builder.phi(ways[0][0].type)
        for value, block in ways:
            phi.add_incoming(value, block)
        return phi

    def of_call(self, node: ast.Call) -> Value:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise self.refuse(node)
        function, given = self.known(node.func), [self.value(each) for each in node.args]
        if function in (min, max):
            return self.extremum("<" if function is min else ">", node)
        if hasattr(function, "part"):
            return Value(*function.part.call(self.context, self.builder, given))
        found = function._defn(None, *(each.type for each in given)) if hasattr(function, "_defn") else None
        if found is None:
            raise self.refuse(node)
        signature, codegen = found
        wanted = zip(node.args, given, signature.args, strict=True)
        values = [self.converted(place, value, kind) for place, value, kind in wanted]
        return Value(signature.return_type, codegen(self.context, self.builder, signature, values))

    def extremum(self, relation: str, node: ast.Call) -> Value:
        first, *others = (self.integer(each) for each in node.args)
        for other in others:
            first = self.builder.select(self.builder.icmp_signed(relation, other, first), other, first)
        return Value(types.int64, first)


_OF_REALS: dict[type, str] = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul"}
_OF_INTEGERS: dict[type, str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}
_COMPARISONS: dict[type, str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
