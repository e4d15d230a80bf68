"""Names that mean nothing where they stand, and what to say of them."""

from __future__ import annotations

from dlc.compiler.diagnostics import Diagnostic, did_you_mean
from dlc.compiler.semantics.contexts import Context
from dlc.compiler.semantics.errors_names import UnknownName, UnknownSet
from dlc.compiler.semantics.scope import CONSTANTS, set_of
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast


def unknown_name(context: Context, name: str, span: Span) -> UnknownName | UnknownSet:
    """A letter, or a short name that resembles no other, is taken for an index variable."""
    scope = context.frame.scope
    candidates = (*scope.tensor_names, *scope.instances, *context.env)
    letters = len(name.rstrip("'"))
    if letters == 1 or (letters == 2 and did_you_mean(name, candidates) is None):
        return UnknownSet(span, set_of(name), name, tuple(scope.sets))
    return UnknownName(span, name, "tensor, scalar or index variable", candidates)


def unknown_tensor(context: Context, name: str, span: Span) -> UnknownName:
    scope = context.frame.scope
    return UnknownName(span, name, "tensor", (*scope.tensor_names, *scope.instances))


def unknown_names(context: Context, value: ast.Expression) -> list[Diagnostic]:
    """The small names of an expression that is not evaluated, because something else is wrong with it."""
    found: dict[str, Diagnostic] = {}
    elsewhere = _named_elsewhere(value)
    binders = {name.text for node in ast.walk(value) if isinstance(node, ast.Reduction) for name in node.indices}
    bases = {id(node.base) for node in ast.walk(value) if isinstance(node, ast.Indexed)}
    for node in ast.walk(value):
        if not isinstance(node, ast.Name) or id(node) in elsewhere or node.text in binders:
            continue
        if _means_something(context, node.text):
            continue
        say = unknown_tensor if id(node) in bases else unknown_name
        found.setdefault(node.text, say(context, node.text, node.span))
    return list(found.values())


def _named_elsewhere(value: ast.Expression) -> set[int]:
    """Names that are not looked up among tensors and index variables: of functions, members, formals."""
    found: set[int] = set()
    for node in ast.walk(value):
        match node:
            case ast.Call(function=ast.Name() as name) | ast.Member(name=name) | ast.Argument(name=ast.Name() as name):
                found.add(id(name))
    return found


def _means_something(context: Context, name: str) -> bool:
    scope = context.frame.scope
    is_known = name in context.env or name in CONSTANTS or name in context.frame.values or name in scope.broken
    return name[0].isupper() or is_known or scope.is_index(name) or scope.is_tensor(name) or name in scope.instances
