"""Tensors by name: an equation is made into a tensor when its name is first asked for.

So the order of lines does not matter, and a name that is asked for while it is being made is a circle.
"""

from __future__ import annotations

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.semantics.contexts import Context
from dlc.compiler.semantics.equations import define
from dlc.compiler.semantics.errors_calls import NotKnownHere
from dlc.compiler.semantics.frames import Poisoned, Value, scalar_value
from dlc.compiler.semantics.names import hyper
from dlc.compiler.semantics.parameters import parameter
from dlc.compiler.semantics.states import state
from dlc.compiler.semantics.unknown import unknown_name, unknown_tensor
from dlc.compiler.source import Span


def tensor(context: Context, name: str, span: Span) -> Value:
    """What a name of the definition stands for; raises what is wrong with it, or `Poisoned` if that was said."""
    frame = context.frame
    if name in frame.values:
        return frame.values[name]
    if name in frame.failed or name in frame.scope.broken:
        raise Poisoned
    if name in frame.scope.hypers:
        return scalar_value(name, hyper(frame, name, span), frame.scope.hypers[name].span)
    if name in frame.scope.parameters or name in frame.scope.own_parameters:
        return parameter(frame.instance, frame, name)
    if context.static:
        raise CompileError(
            NotKnownHere(span, name) if frame.scope.is_tensor(name) else unknown_name(context, name, span)
        )
    if name in frame.scope.states:
        return state(frame.instance, frame, name)
    if frame.scope.is_computed(name):
        return define(frame, name, span)
    raise CompileError(unknown_tensor(context, name, span))
