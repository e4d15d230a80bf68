"""Products of quotients taken apart and put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dlc.compiler.ir.expr import Const, Expr, Op, op

_ONE = Const(1.0)


def factors_of(node: Expr) -> tuple[list[Expr], list[Expr]]:
    """``(factors, divisors)``, in order; factors of 1 are left out, a sign stays with its factor."""
    match node:
        case Op(name="mul", args=args):
            parts = [factors_of(arg) for arg in args]
            return [f for above, _ in parts for f in above], [f for _, below in parts for f in below]
        case Op(name="div", args=(over, under)):
            above, below = factors_of(over)
            return above, [*below, *(under.args if isinstance(under, Op) and under.name == "mul" else (under,))]
    return ([] if node is _ONE else [node]), []


def product(factors: Iterable[Expr]) -> Expr:
    kept = [factor for factor in factors if factor is not _ONE]
    return op("mul", *kept) if kept else _ONE


def quotient(factors: Iterable[Expr], divisors: Sequence[Expr]) -> Expr:
    over = product(factors)
    return op("div", over, op("mul", *divisors)) if divisors else over
