"""Derivatives as expressions: `grad(e, x[i,j])`.

What is differentiated becomes a tensor over its free index variables, if it is not an element of one; the derivative
is a tensor over these and the axes of `x`, of which the element at hand is read.  Equations come in its place when the
graph is prepared (``grad/expand.py``).

`x` counts as a variable: only paths that lead through it count.  So a formal that a layer or a function differentiates
by is a tensor of its own, different from the tensor that the caller passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Select, op
from dlc.compiler.ir.graph import Derivative, Tensor
from dlc.compiler.semantics.arithmetic import numeric
from dlc.compiler.semantics.contexts import Context, evaluate
from dlc.compiler.semantics.errors_derivatives import NotAVariable, NotRealVariable
from dlc.compiler.semantics.frames import Draft, Elaboration, Frame, Value, collecting
from dlc.compiler.semantics.temporaries import materialised
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

_NOTHING = Const(0.0)


def derivative(context: Context, of: ast.Expression, wrt: ast.Expression) -> Expr:
    """The derivative of the scalar ``of`` by the element ``wrt``; 0 if the one does not depend on the other."""
    build = context.frame.build
    value, variable = collecting([lambda: evaluate(context, of), lambda: _variable(context, wrt)])
    (value,), kind = numeric([value], [of.span])
    cond, element = (variable.cond, variable.yes) if isinstance(variable, Select) else (None, variable)
    assert isinstance(element, Read)
    if kind == "int" or isinstance(value, Const):
        return _NOTHING
    differentiated = _element_of_a_tensor(context, value, of)
    made = _tensor_of(build, differentiated.tensor, element.tensor, wrt.span, context.frame.report)
    result = Read(made, (*differentiated.subscripts, *element.subscripts), "real")
    place = build.places.get(element)
    if place is not None:
        build.places.setdefault(result, place)
    return result if cond is None else Select(cond, result, _NOTHING)


def _variable(context: Context, node: ast.Expression) -> Expr:
    """An element of a tensor, under a guard if its subscript leaves the axis on purpose (`pad`)."""
    base = node.base if isinstance(node, ast.Indexed) else node
    owner = base.base if isinstance(base, ast.Member) else base
    while isinstance(owner, ast.Indexed | ast.Member):
        owner = owner.base
    if not isinstance(owner, ast.Name) or (base is node and _is_index(context, node)):
        raise CompileError(NotAVariable(node.span))
    value = evaluate(context, node)
    if value.type != "real":
        raise CompileError(NotRealVariable(node.span, value.type))
    element = value.yes if isinstance(value, Select) and value.no is _NOTHING else value
    if not isinstance(element, Read):
        raise CompileError(NotAVariable(node.span, is_number=isinstance(element, Const)))
    return value


def _is_index(context: Context, node: ast.Expression) -> bool:
    if not isinstance(node, ast.Name):
        return False
    return node.text in context.env or (context.frame.scope.is_index(node.text) and node.is_capital)


def _element_of_a_tensor(context: Context, value: Expr, written: ast.Expression) -> Read:
    build = context.frame.build
    if isinstance(value, Read):
        size = build.sizes.value
        pairs = zip(value.subscripts, _axes(build, value.tensor)[0], strict=True)
        if all(isinstance(one, Index) and size(one.size) is size(extent) for one, extent in pairs):
            return value
    body = _guarded(value, context.guards)
    made = materialised(context.frame, "grad.of", "this", body, (), (), written.span).body
    assert isinstance(made, Read)
    return made


def _guarded(value: Expr, guards: Sequence[Expr]) -> Expr:
    """The tensor is computed everywhere, its value only where the guards around it let it be read."""
    return Select(op("and", *guards), value, _NOTHING) if guards else value


def _tensor_of(build: Elaboration, of: str, wrt: str, span: Span, report: Callable[[Diagnostic], None]) -> str:
    """The tensor with every element of the derivative, made once."""
    known = build.derivatives.get((of, wrt))
    if known is None:
        (left, left_sets), (right, right_sets) = _axes(build, of), _axes(build, wrt)
        name, sets = build.fresh_id(f"grad.{of}.{wrt}"), (*left_sets, *right_sets)
        derivative = Derivative(of, wrt)
        tensor = Tensor(name, (*left, *right), "real", "derivative", sets=sets, derivative=derivative, span=span)
        known = build.derivatives[of, wrt] = build.add(Draft(tensor, is_local=True, report=report))
    return known


def _axes(build: Elaboration, name: str) -> tuple[tuple[Expr, ...], tuple[str, ...]]:
    """Sizes and sets of a tensor, also of one that is being made."""
    if name in build.drafts:
        tensor = build.drafts[name].tensor
        return tensor.sizes, tensor.sets or ("",) * tensor.rank
    meanwhile = build.provisional[name]
    axes = meanwhile.value.axes
    sizes = (*(index.size for index in meanwhile.lead), *(axis.size for axis in axes))
    return sizes, (*("" for _ in meanwhile.lead), *(axis.set for axis in axes))


# -- formals ---------------------------------------------------------------------------------------------------------


def variables_of(item: ast.Definition | ast.Function) -> tuple[str, ...]:
    """The names that a definition differentiates by."""
    found: dict[str, None] = {}
    for node in ast.walk(item):
        match node:
            case ast.Call(function=ast.Name(text="grad"), arguments=(_, argument)):
                base = argument.value.base if isinstance(argument.value, ast.Indexed) else argument.value
                if isinstance(base, ast.Name):
                    found[base.text] = None
    return tuple(found)


def as_variable(frame: Frame, value: Value, wanted: str, guards: Sequence[Expr] = ()) -> Value:
    """What a formal stands for as a tensor of its own."""
    if value.type != "real":
        return value
    span = value.span or frame.scope.definition.name.span
    body = _guarded(value.body, guards)
    return materialised(frame, wanted, value.name, body, value.indices, value.axes, span)
