"""What the compiler accepts never reads outside a tensor: random specs, interpreted at random sizes.

The programs are made of the pieces in which ranges are hard: affine subscripts, quotients, gathers, padding, guards of
every kind, conditions of reductions, parts, and layers called in the middle of it all.  Many of them are wrong, and are
then refused; those that are accepted must be valid graphs whose requirements say all that can go wrong.
"""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.arithmetic import EvaluationError
from dlc.compiler.ir.expr import Const, Expr
from dlc.compiler.ir.graph import Graph, Tensor
from dlc.compiler.ir.reference import bind_sizes, evaluate, size_value
from tests.semantics.spec_texts import graph_of

PROGRAMS = 60
LAYERS = """
fn square(x) = x*x
fn mixed(x, k = 2) = k*x + square(x)
layer Linear(x[J]; w[I,J] ~ normal(0,1), b[I] = 0) -> y[I]:
    y[i] = w[i,j]*x[j] + b[i]
layer Softmax(x[I]) -> y[I]:
    y[i] = exp(x[i]) / sum[i'] exp(x[i'])
layer Tanh(x[..];; beta = 1) -> y[..]:
    y[..] = tanh(beta*x[..])
layer Dot(u[K], v[K]) -> d:
    d = u[k]*v[k]
layer Joined(a[C1], b[C2]) -> y[C], s:
    index C = |C1| + |C2|
    y[c1] = a[c1]
    y[|C1| + c2] = b[c2]
    s = sum[c1] a[c1]
layer Pool(x[W];; P = 2, stride = |P|, padding = 0) -> y[V]:
    index V = (|W| + 2*padding - |P|) // stride + 1
    y[v] = max[p : v*stride + p - padding in W] x[v*stride + p - padding]
"""
SETS = ("B", "T", "D")
REALS = {"x": ("B", "T"), "y": ("T", "D"), "v": ("T",), "u": ("D",), "s": ()}
INTEGERS = {"z": ("B",), "n": ("B",)}
LEFTS = (
    (("", ""),),
    (("[t]", "t"),),
    (("[b,t]", "bt"),),
    (("[d,b]", "db"),),
    (("[t]", "t"), ("[|T| + d]", "d")),
    (("[t+1]", "t"), ("[0]", "")),
    (("[(b,t)]", "bt"),),
    (("[2*t]", "t"), ("[2*t + 1]", "t")),
)


class Author:
    """Writes specs; the same seed, the same spec."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def program(self) -> str:
        sizes = f"    index T = {self.random.randint(2, 4)}, D = {self.random.randint(1, 3)}\n"
        lines = [
            sizes if self.random.random() < 0.6 else "",
            "    index L = 2\n    fc = Linear(I=2)\n    many[L] = Linear(I=2)\n",
        ]
        terms: list[str] = []
        for name in ("o", "p", "q")[: self.random.randint(1, 3)]:
            parts = self.random.choice(LEFTS)
            for left, letters in parts:
                lines.append(f"    {name}{left} = {self.expression(tuple(letters), self.random.randint(1, 3))}\n")
            inside = parts[0][0]
            rank = 0 if not inside else 1 if "(" in inside else inside.count(",") + 1
            axes = ",".join(f"{name.upper()}{axis}" for axis in range(rank))
            terms.append(f"(sum[..] {name}[{axes}])" if rank else name)
        signature = "model M(x[B,T], y[T,D], v[T], u[D], s, z[B] in T, n[B] : int) -> loss:\n"
        return f"{LAYERS}{signature}{''.join(lines)}    loss = {' + '.join(terms)}\n"

    def integer(self, scope: tuple[str, ...], depth: int) -> str:
        if depth == 0 or self.random.random() < 0.3:
            return self.pick(*scope, "0", "1", "2", f"|{self.pick(*SETS)}|")
        left = self.integer(scope, depth - 1)
        return self.pick(
            f"{left} + {self.integer(scope, depth - 1)}", f"{left} - 1", f"2*{self.pick(*scope, '1')}", f"({left}) // 2"
        )

    def subscript(self, set: str, scope: tuple[str, ...]) -> str:
        own = [name for name in scope if name[0].upper() == set]
        if own and self.random.random() < 0.6:
            return self.random.choice(own)
        inner = self.integer(scope, 1)
        choices = [f"pad({inner})", f"clamp({inner})", f"wrap({inner})", inner, f"({inner}) mod |{set}|", "0"]
        choices += [f"|{set}| - 1 - {own[0]}", own[0]] if own else []
        choices += ["z[b]"] if set == "T" and "b" in scope else []
        return self.random.choice(choices)

    def element(self, scope: tuple[str, ...]) -> str:
        tables = REALS | INTEGERS if self.random.random() < 0.3 else REALS
        name = self.random.choice(sorted(tables))
        inside = ",".join(self.subscript(axis, scope) for axis in tables[name])
        return f"{name}[{inside}]" if inside else name

    def condition(self, scope: tuple[str, ...]) -> str:
        one, other = self.integer(scope, 1), self.integer(scope, 1)
        kind = self.random.randrange(6)
        if kind == 0:
            return f"{one} {self.pick('<', '<=', '>', '>=', '==', '!=')} {other}"
        if kind == 1:
            return f"{one} in {self.pick(*SETS)}"
        if kind == 2:
            return f"{self.element(scope)} > 0"
        if kind == 3:
            return f"0 <= {one} < |{self.pick(*SETS)}|"
        if kind == 4:
            return f"({self.condition(scope)}) {self.pick('and', 'or')} ({self.condition(scope)})"
        return f"not ({self.condition(scope)})"

    def expression(self, scope: tuple[str, ...], depth: int) -> str:
        if depth == 0:
            return self.pick(self.element(scope), self.element(scope), "2.5", *scope)
        inner = self.expression(scope, depth - 1)
        kind = self.random.randrange(10)
        if kind == 0:
            return f"{inner} + {self.expression(scope, depth - 1)}"
        if kind == 1:
            return f"({inner})*({self.expression(scope, depth - 1)})"
        if kind == 2:
            return f"{self.pick('tanh', 'abs', 'relu', 'square', 'mixed')}({inner})"
        if kind == 3:
            return f"[{self.condition(scope)}]*({inner})"
        if kind == 4:
            return f"(({inner}) if {self.condition(scope)} else ({self.expression(scope, depth - 1)}))"
        if kind in (5, 6):
            return self.reduction(scope, depth)
        return self.call(scope, inner) if kind < 9 else f"-{self.element(scope)}"

    def reduction(self, scope: tuple[str, ...], depth: int) -> str:
        name = next(
            f"{letter}{primes}"
            for primes in ("", "'", "''", "'''")
            for letter in "tdb"
            if f"{letter}{primes}" not in scope
        )
        inside = (*scope, name)
        guard = f" : {self.condition(inside)}" if self.random.random() < 0.5 else ""
        return (
            f"({self.pick('sum', 'max', 'mean', 'min', 'prod')}[{name}{guard}] ({self.expression(inside, depth - 1)}))"
        )

    def call(self, scope: tuple[str, ...], inner: str) -> str:
        b = self.pick(*([name for name in scope if name[0] == "b"] or ["0"]))
        t = self.pick(*([name for name in scope if name[0] == "t"] or ["0"]))
        return self.pick(
            f"Softmax(x[{b},T])[{t}]", f"Dot(y[{t},D], u[D])", f"Dot(x[{b},T], Tanh(v[T]))", f"fc(Tanh(x[{b},T]))[0]",
            f"fc.w[0,{t}]", f"many[{self.pick('0', '1')}](u[D])[0]", f"Joined(x[{b},T], u[D]).s",
            f"Joined(x[{b},T], u[D])[{t}]", "(sum[..] Pool(v[T];; padding=1))", f"Tanh({inner})",
            f"Dot(x[clamp({b} - 1),T], v[T])", f"Dot(y[pad({t} + 1),D], u[D])",
        )  # fmt: skip


def shape(tensor: Tensor, sizes: dict[str, int]) -> list[int]:
    return [value_of(size, name, sizes) for size, name in zip(tensor.sizes, tensor.sets, strict=True)]


def value_of(size: Expr, set: str, sizes: dict[str, int]) -> int:
    return int(size.value) if isinstance(size, Const) else sizes[set]


def inputs(graph: Graph, random: np.random.Generator) -> dict[str, np.ndarray]:
    sizes = {name: int(random.integers(1, 5)) for name in SETS}
    given: dict[str, np.ndarray] = {}
    for tensor in graph.of_kind("input"):
        where = shape(tensor, sizes)
        if tensor.bound is not None:
            given[tensor.id] = random.integers(0, value_of(tensor.bound, tensor.bound_set, sizes), where)
        else:
            given[tensor.id] = random.integers(-3, 5, where) if tensor.type == "int" else random.normal(size=where)
    return given


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_accepted_programs_stay_in_range(seed: int) -> None:
    text = Author(seed).program()
    try:
        graph = graph_of(text, "M")
    except CompileError as error:
        assert all(one.span is not None for one in error.diagnostics)
        assert error.render()
        return
    random = np.random.default_rng(seed)
    for _ in range(3):
        given = inputs(graph, random)
        try:
            sizes = bind_sizes(graph, given, {})
        except EvaluationError:
            continue  # a requirement that these sizes do not meet
        for tensor in graph.of_kind("parameter"):
            given[tensor.id] = random.normal(size=[size_value(size, sizes) for size in tensor.sizes])
        evaluate(graph, given)


def test_most_programs_are_accepted() -> None:
    """Else the test above shows nothing."""
    accepted = 0
    for seed in range(PROGRAMS):
        try:
            graph_of(Author(seed).program(), "M")
        except CompileError:
            continue
        accepted += 1
    assert PROGRAMS // 2 < accepted < PROGRAMS
