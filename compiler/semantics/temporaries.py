"""Tensors that no equation of the author names: arguments of layers, and what is differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlc.compiler.ir.expr import Expr, Index
from dlc.compiler.semantics.contexts import WholeAxes
from dlc.compiler.semantics.equations import draft_of
from dlc.compiler.semantics.frames import Axis, Frame, Value, tensor_value
from dlc.compiler.semantics.targets import LeftSide
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast


def materialised(
    frame: Frame, wanted: str, name: str, body: Expr, indices: tuple[Index, ...], axes: Sequence[Axis], span: Span
) -> Value:
    """A tensor that holds ``body`` at all values of ``indices``, and at those that it depends on besides."""
    target = ast.Target(ast.Name(wanted, span=span), (), span=span)
    left = LeftSide(target, {}, indices, indices, WholeAxes(), tuple(axis.set for axis in axes))
    draft = draft_of(frame, wanted, [left], [body], [index.size for index in indices], [span])
    draft.is_local = True
    frame.build.add(draft)
    return replace(tensor_value(draft, name, draft.lead, span), name=name)
