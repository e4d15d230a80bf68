"""What the runtime says with each call of how to run: whether it trains, and what random numbers are made from.

A mode is a scalar tensor of its own kind.  Its name starts with `#`, which no name of a spec does.
"""

from __future__ import annotations

from dlc.compiler.ir.expr import Const, Expr, Read
from dlc.compiler.ir.graph import Tensor
from dlc.compiler.ir.ops import Type
from dlc.compiler.semantics.frames import Draft, Frame


def training(frame: Frame) -> Expr:
    """`train`: a truth value that is given with each call, unless it is fixed when compiling."""
    fixed = frame.build.fixed.get("train")
    return _mode(frame, "#train", "bool") if fixed is None else Const(bool(fixed))


def seed(frame: Frame) -> Expr:
    return _mode(frame, "#seed", "int")


def step(frame: Frame) -> Expr:
    return _mode(frame, "#step", "int")


def _mode(frame: Frame, name: str, type: Type) -> Expr:
    if name not in frame.build.drafts:
        frame.build.add(Draft(Tensor(name, (), type, "mode", default=False if type == "bool" else 0)))
    return Read(name, (), type)
