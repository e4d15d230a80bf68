"""Functions of scalars, as the author of a spec wrote them for callers: `fn warm_up(step, d) = ..`.

A function has parameters, each with a type, and a value in terms of them: a parameter is a read without subscripts of
its name.  It has no index variables, and nothing is differentiated or optimised: what a model calls was written out
where it is called.  These are for the module's users, as schedules are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dlc.compiler.ir.expr import Expr
from dlc.compiler.ir.graph import Tensor
from dlc.compiler.ir.ops import Type
from dlc.compiler.source import Span


@dataclass(frozen=True)
class FunctionParameter:
    """``default`` may read the parameters before it."""

    name: str
    type: Type
    default: Expr | None = None


@dataclass(frozen=True)
class ScalarFunction:
    """``text`` is the right side as it was written."""

    name: str
    parameters: tuple[FunctionParameter, ...]
    value: Expr
    text: str = ""
    tensors: tuple[Tensor, ...] = ()  # scalars that the value reads besides: derivatives, and what they are of and by
    doc: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)
