"""`solve(a[I,I'], b[I'])`: a layer of the language's own, whose value is the solution of a square linear system.

It is matched and mapped as any layer is: index variables and further whole axes in its arguments give one system for
each of their values. The solution becomes a tensor of its own, because a system is solved as a whole.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dlc.compiler.ir.expr import Solve, fresh
from dlc.compiler.semantics.binding import materialised
from dlc.compiler.semantics.frames import Axis, Frame, Value, scope_of
from dlc.compiler.semantics.modules import Module, Resolved
from dlc.compiler.semantics.scope import Scope
from dlc.compiler.source import Source, Span
from dlc.compiler.syntax import ast
from dlc.compiler.syntax.parse import parse

SOLVE = "solve"

_DECLARED = Source("the language", "layer solve(a[I,I'], b[I']) -> x[I]:\n    x[i] = b[i]\n")
"""What errors show as the declaration; the body stands for what no equation can say."""


@cache
def scope_of_solve() -> Scope:
    file = parse(_DECLARED)
    (layer,) = file.definitions
    assert isinstance(layer, ast.Layer)
    return scope_of(Resolved(Module(file, Path(_DECLARED.name)), layer), layer)


def solution(frame: Frame, span: Span) -> Value:
    """The solution, in a frame in which `a` and `b` are bound."""
    matrix, vector = frame.values["a"], frame.values["b"]
    row, column, place = (fresh(matrix.axes[0].size, hint) for hint in ("i", "i'", "i"))
    body = Solve((row, column), matrix.at((row, column)), vector.at((row,)), place)
    axis = Axis(matrix.axes[0].size, matrix.axes[0].set)
    return materialised(frame, "solution", "solve(..)", body, (place,), (axis,), span)
