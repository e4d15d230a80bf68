"""Random valid graphs: expressions over a few tensors, whose reads stay in range and whose values stay finite."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from building import add, at, given, graph, mul, sub
from passes.corpus import Model

from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, Select, Size, fresh, op
from dlc.compiler.ir.graph import Tensor, whole

_SIZES: tuple[Expr, ...] = (Const(1), Const(3), Const(4), Size("N"), Size("M"))
_SMOOTH = ("tanh", "sin", "cos", "sigmoid", "softplus", "relu", "abs", "neg", "erf", "floor", "sign")
_REDUCTIONS = ("sum", "sum", "sum", "max", "min", "prod")
_VALUES = {"N": 3, "M": 2}


class _Writer:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tensors: list[Tensor] = []

    def size(self) -> Expr:
        return self.random.choice(_SIZES)

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    # -- expressions ------------------------------------------------------------------------------------------------

    def real(self, scope: Sequence[Index], depth: int) -> Expr:
        if depth == 0:
            return self.leaf(scope)
        match self.pick("leaf", "add", "sub", "mul", "mul", "div", "function", "select", "guard", "reduce", "power"):
            case "add":
                return add(self.real(scope, depth - 1), self.real(scope, depth - 1))
            case "sub":
                return sub(self.real(scope, depth - 1), self.real(scope, depth - 1))
            case "mul":
                return mul(*(self.real(scope, depth - 1) for _ in range(self.random.choice((2, 2, 3)))))
            case "div":
                under = add(Const(1.5), op("pow", self.real(scope, depth - 1), Const(2)))
                return op("div", self.real(scope, depth - 1), under)
            case "function":
                return op(self.random.choice(_SMOOTH), self.real(scope, depth - 1))
            case "power":
                return op("pow", op("sin", self.real(scope, depth - 1)), Const(self.random.choice((0, 1, 2, 3, 2.0))))
            case "select":
                return Select(self.cond(scope), self.real(scope, depth - 1), self.real(scope, depth - 1))
            case "guard":
                return Select(self.cond(scope), self.real(scope, depth - 1), Const(0.0))
            case "reduce":
                return self.reduction(scope, depth)
        return self.leaf(scope)

    def reduction(self, scope: Sequence[Index], depth: int) -> Expr:
        bound = tuple(fresh(self.size(), "ijk"[n]) for n in range(self.random.choice((1, 1, 2))))
        name = self.random.choice(_REDUCTIONS)
        inner = (*scope, *bound)
        body = self.real(inner, depth - 1)
        if name == "prod":
            body = op("tanh", body)
        if name == "sum" and self.random.random() < 0.5:
            body = Select(self.cond(inner), body, Const(0.0))
        if name == "sum" and scope and self.random.random() < 0.3:
            body = Select(self.delta(scope, bound), body, Const(0.0))
        return Reduce(name, bound, body)

    def delta(self, scope: Sequence[Index], bound: Sequence[Index]) -> Expr:
        factor = self.random.choice((1, 1, 2, 3, -1))
        right = add(mul(Const(factor), self.random.choice(bound)), Const(self.random.choice((-1, 0, 0, 2))))
        if len(bound) > 1 and self.random.random() < 0.5:
            right = add(right, bound[0])
        return op("eq", self.random.choice(scope), right)

    def leaf(self, scope: Sequence[Index]) -> Expr:
        match self.pick("read", "read", "read", "read", "const", "index"):
            case "read":
                return self.read(scope)
            case "index" if scope:
                return op("real", self.random.choice(scope))
        return Const(self.random.choice((0.0, 1.0, -1.0, 2.0, 0.5)))

    def read(self, scope: Sequence[Index]) -> Expr:
        tensor = self.random.choice(self.tensors)
        subscripts = [self.subscript(size, scope) for size in tensor.sizes]
        guards = [cond for _, conds in subscripts for cond in conds]
        element = Read(tensor.id, tuple(subscript for subscript, _ in subscripts), tensor.type)
        return Select(op("and", *guards), element, Const(0.0)) if guards else element

    def subscript(self, size: Expr, scope: Sequence[Index]) -> tuple[Expr, list[Expr]]:
        """A subscript for an axis of that size, and what must hold for it to be in range."""
        fitting = [i for i in scope if i.size is size]
        if fitting and self.random.random() < 0.8:
            return self.random.choice(fitting), []
        if scope and self.random.random() < 0.8:
            shifted = add(self.random.choice(scope), Const(self.random.choice((-1, 0, 1))))
            if self.random.random() < 0.3:
                shifted = add(shifted, self.random.choice(scope))
            return shifted, [op("le", Const(0), shifted), op("lt", shifted, size)]
        return Const(0), []

    def cond(self, scope: Sequence[Index]) -> Expr:
        match self.pick("compare", "compare", "real", "and", "or", "not"):
            case "compare" if scope:
                left, right = self.random.choice(scope), self.random.choice((*scope, Const(1), Const(2)))
                name = self.pick("lt", "le", "eq", "ne")
                return op(name, add(left, Const(self.random.choice((-1, 0, 1)))), right)
            case "and":
                return op("and", self.cond(scope), self.cond(scope))
            case "or":
                return op("or", self.cond(scope), self.cond(scope))
            case "not":
                return op("not", self.cond(scope))
        return op("lt", self.read(scope), Const(0.25))


def random_model(seed: int, tensors: int = 4, depth: int = 3) -> Model:
    """A few inputs, a chain of computed tensors that read each other, and a loss over the last."""
    writer = _Writer(seed)
    inputs: dict[str, np.ndarray] = {}
    numbers = np.random.default_rng(seed)
    for name in ("x", "y", "w"):
        sizes = tuple(writer.size() for _ in range(writer.random.choice((1, 2, 2))))
        writer.tensors.append(given(name, *sizes))
        shape = tuple(_VALUES[s.name] if isinstance(s, Size) else int(s.value) for s in sizes)  # type: ignore[attr-defined]  # sizes are symbols or numbers
        inputs[name] = numbers.normal(size=shape)
    for number in range(tensors):
        axes = tuple(fresh(writer.size(), "ab"[n]) for n in range(writer.random.choice((0, 1, 2))))
        value = writer.real(axes, depth)
        if writer.random.random() < 0.3 and axes:
            inner = fresh(writer.size(), "k")
            value = Reduce("sum", (inner,), writer.real((*axes, inner), depth - 1))
        writer.tensors.append(whole(f"t{number}", axes, value))
    last = writer.tensors[-1]
    axes = tuple(fresh(size, "c") for size in last.sizes)
    total = op("sin", at(last, *axes))
    loss = whole("loss", (), Reduce("sum", axes, total) if axes else total)
    made = graph(*writer.tensors, loss, loss="loss", outputs=[last.id, "t0"], sizes=["N", "M"])
    return Model(f"random-{seed}", made, inputs, _VALUES)
