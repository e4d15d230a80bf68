"""Parts of this package's C functions, translated to LLVM without Numba's compiler.

What drives the register tiles is loops, whole numbers and calls. Numba takes 50 to 100 ms for such a function, most of
it to find out types that are plain to see here; this takes some milliseconds. A *part* is a function in a small part
of Python, which is all that there is:

    types        int64, bool, the real types, and views with one axis
    statements   assignments, of tuples and of elements too; `if`, `while`, `for .. in range(..)`, `break`, `continue`,
                 `return`
    expressions  numbers, variables, globals that are integers; + - * // % &, comparisons, `and`, `or`, `not`,
                 `.. if .. else ..`; `min` and `max` of integers; calls of other parts and of intrinsics

A part whose result is used says its type, `-> int` or `-> bool`. Nothing is checked when it runs: integers do not
overflow, divisors are not zero, and a variable is not read before it is assigned. Sums of reals may be reordered and
contracted, as in kernels. Functions that Numba compiles call parts as they call intrinsics.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from dlc.runtime.kernels.compilation import intrinsic, types
from dlc.runtime.kernels.part_expressions import WORD, Expressions, Value

_RESULTS = {"int": types.int64, "bool": types.boolean}


class Part:
    """A function that is translated once in every module that calls it, for each types of its arguments."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.__name__, self.__doc__ = function, function.__name__, function.__doc__

    @cached_property
    def tree(self) -> ast.FunctionDef:
        (found,) = ast.parse(textwrap.dedent(inspect.getsource(self.function))).body
        assert isinstance(found, ast.FunctionDef)
        return found

    @cached_property
    def result(self) -> Any:
        """The type of what it returns."""
        returned = self.tree.returns
        return types.none if returned is None else _RESULTS[ast.unparse(returned)]

    def in_module(self, context: Any, module: ir.Module, given: Sequence[Any]) -> ir.Function:
        """The function for arguments of these types."""
        name = f"{self.function.__module__}.{self.__name__}.{'.'.join(map(str, given))}"
        if name in module.globals:
            return module.globals[name]
        returned = ir.VoidType() if self.result == types.none else context.get_value_type(self.result)
        signature = ir.FunctionType(returned, [context.get_value_type(each) for each in given])
        made = ir.Function(module, signature, name)
        made.linkage = "linkonce_odr"
        _Translation(self, context, made, given).run()
        return made

    def call(self, context: Any, builder: Any, given: Sequence[Value]) -> Value:
        function = self.in_module(context, builder.module, [each.type for each in given])
        return Value(self.result, builder.call(function, [each.value for each in given]))


def part(function: Callable[..., Any]) -> Any:
    """A part of C functions, which functions that Numba compiles call too."""
    made = Part(function)

    @intrinsic
    def called(typing_context, *given):
        if len(given) == 1 and isinstance(given[0], types.BaseTuple | tuple):
            given = tuple(given[0])
        given = tuple(map(types.unliteral, given))

        def codegen(context, builder, sig, args):
            values = map(Value, given, cgutils.unpack_tuple(builder, args[0]))
            found = made.call(context, builder, list(values))
            return context.get_dummy_value() if found.type == types.none else found.value

        return made.result(types.StarArgTuple(given)), codegen

    called.part = made
    return called


class _Translation(Expressions):
    """The translation of one part for arguments of some types."""

    def __init__(self, part: Part, context: Any, function: ir.Function, given: Sequence[Any]) -> None:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        super().__init__(part.__name__, part.function.__globals__, context, builder)
        self.part = part
        self.loops: list[tuple[ir.Block, ir.Block]] = []  # where `continue` and `break` go
        names = [argument.arg for argument in part.tree.args.args]
        for name, kind, value in zip(names, given, function.args, strict=True):
            self.assign(name, Value(kind, value))

    def run(self) -> None:
        self.block(self.part.tree.body)
        if not self.builder.block.is_terminated:
            _ = self.builder.ret_void() if self.part.result == types.none else self.builder.unreachable()

    # --- statements ---------------------------------------------------------------------------------------------------

    def block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if self.builder.block.is_terminated:
                return
            rule = getattr(self, f"do_{type(statement).__name__.lower()}", None)
            if rule is None:
                raise self.refuse(statement)
            rule(statement)

    def do_expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.value(node.value)

    def do_assign(self, node: ast.Assign) -> None:
        (target,) = node.targets
        if isinstance(target, ast.Tuple):
            for one, value in zip(target.elts, self.values(node.value, len(target.elts)), strict=True):
                self.store(one, value)
            return
        self.store(target, self.value(node.value))

    def do_augassign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            before, place = self.variable(node.target), None
        else:
            before, place = self.element(node.target)
        after = self.binary(node, node.op, before, self.value(node.value))
        if place is None:
            self.store(node.target, after)
        else:
            self.builder.store(after.value, place)

    def do_if(self, node: ast.If) -> None:
        truth = self.truth(node.test)
        if not node.orelse:
            with self.builder.if_then(truth):
                self.block(node.body)
            return
        with self.builder.if_else(truth) as (then, otherwise):
            with then:
                self.block(node.body)
            with otherwise:
                self.block(node.orelse)

    def do_while(self, node: ast.While) -> None:
        test, body, end = (self.builder.append_basic_block(name) for name in ("while", "do", "done"))
        self.builder.branch(test)
        self.builder.position_at_end(test)
        self.builder.cbranch(self.truth(node.test), body, end)
        self.loop_body(node, body, test, end)

    def do_for(self, node: ast.For) -> None:
        start, stop, step = self.range(node.iter)
        test, body, following, end = (self.builder.append_basic_block(name) for name in ("for", "do", "next", "done"))
        counter = cgutils.alloca_once_value(self.builder, start)
        self.builder.branch(test)
        self.builder.position_at_end(test)
        now = self.builder.load(counter)
        is_down = isinstance(step, ir.Constant) and step.constant < 0
        self.builder.cbranch(self.builder.icmp_signed(">" if is_down else "<", now, stop), body, end)
        self.builder.position_at_end(body)
        self.store(node.target, Value(types.int64, now))
        self.loop_body(node, body, following, end)
        self.builder.position_at_end(following)
        self.builder.store(self.builder.add(self.builder.load(counter), step, flags=("nsw",)), counter)
        self.builder.branch(test)
        self.builder.position_at_end(end)

    def loop_body(self, node: ast.For | ast.While, body: ir.Block, following: ir.Block, end: ir.Block) -> None:
        if node.orelse:
            raise self.refuse(node)
        self.builder.position_at_end(body)
        self.loops.append((following, end))
        self.block(node.body)
        self.loops.pop()
        if not self.builder.block.is_terminated:
            self.builder.branch(following)
        self.builder.position_at_end(end)

    def range(self, node: ast.expr) -> tuple[Any, Any, Any]:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"):
            raise self.refuse(node)
        given = [self.integer(each) for each in node.args]
        one = WORD(1)
        return {1: lambda: (WORD(0), given[0], one), 2: lambda: (*given, one), 3: lambda: tuple(given)}[len(given)]()

    def do_pass(self, node: ast.Pass) -> None:
        pass

    def do_break(self, node: ast.Break) -> None:
        self.builder.branch(self.loops[-1][1])

    def do_continue(self, node: ast.Continue) -> None:
        self.builder.branch(self.loops[-1][0])

    def do_return(self, node: ast.Return) -> None:
        if node.value is None:
            self.builder.ret_void()
            return
        self.builder.ret(self.converted(node, self.value(node.value), self.part.result))

    # --- places -------------------------------------------------------------------------------------------------------

    def assign(self, name: str, value: Value) -> None:
        if name not in self.variables:
            room = cgutils.alloca_once(self.builder, value.value.type, name=name)
            self.variables[name] = Value(value.type, room)
        variable = self.variables[name]
        if variable.type != value.type:
            raise TypeError(f"{self.name}: {name} is {variable.type}, and then {value.type}")
        self.builder.store(value.value, variable.value)

    def store(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.assign(target.id, value)
            return
        before, place = self.element(target)
        self.builder.store(self.converted(target, value, before.type), place)
