"""Outputs: a tensor of the body has the axes, and lies in the set, that the signature says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import extreme, nonnegative
from dlc.compiler.ir.expr import Expr
from dlc.compiler.ir.graph import Tensor
from dlc.compiler.semantics.elements import at_most
from dlc.compiler.semantics.errors_indices import WrongRank
from dlc.compiler.semantics.errors_sizes import SizeConflict
from dlc.compiler.semantics.errors_types import NotWithinSet
from dlc.compiler.semantics.frames import Frame
from dlc.compiler.semantics.names import set_size
from dlc.compiler.semantics.scope import set_of, variable_of
from dlc.compiler.semantics.sizes import Evidence, Report
from dlc.compiler.semantics.targets import LeftSide
from dlc.compiler.semantics.words import polynomial_in_words
from dlc.compiler.syntax import ast


def matched(
    frame: Frame, tensor: Tensor, declaration: ast.Declaration, lefts: Sequence[LeftSide], ends: Sequence[Expr]
) -> Tensor:
    """An output has the axes that the signature says."""
    name = declaration.name.text
    if any(isinstance(axis, ast.AllAxes) for axis in declaration.axes):
        return _element_of(frame, tensor, declaration)
    if len(declaration.axes) != len(ends):
        raise CompileError(WrongRank(lefts[0].span, name, len(declaration.axes), len(ends), declaration.span))
    lead = len(tensor.sizes) - len(ends)
    sets = list(tensor.sets)
    for number, (axis, end) in enumerate(zip(declaration.axes, ends, strict=True)):
        assert isinstance(axis, ast.Name)
        size = set_size(frame, set_of(axis.text), axis.span)
        left = Evidence(f"axis {number + 1} of `{name}`", lefts[-1].span_of(number))
        right = Evidence(f"`{axis.text}` in the signature", axis.span)
        proposing = _proposing(frame, declaration, number, lefts, end, size)
        frame.build.sizes.unify(end, size, left, right, proposing)
        sets[lead + number] = set_of(axis.text)
    return _element_of(frame, replace(tensor, sets=tuple(sets)), declaration)


def _element_of(frame: Frame, tensor: Tensor, declaration: ast.Declaration) -> Tensor:
    """`-> path[T] in V`: shown to lie in `V` when the sizes are found."""
    if declaration.element_of is None:
        return tensor
    name, wanted = declaration.name.text, set_of(declaration.element_of.text)
    size = set_size(frame, wanted, declaration.element_of.span)
    bound = tensor.bound
    if bound is None:
        reason = "nothing bounds what its equation gives"
        raise CompileError(NotWithinSet(tensor.span, name, wanted, reason, True, declaration.element_of.span))
    at_most(frame, bound, size, tensor.span, name, wanted, declaration.element_of.span)
    return replace(tensor, bound=size, bound_set=wanted)


# -- what to write where the tensor has more rows --------------------------------------------------------------------


def _proposing(
    frame: Frame, declaration: ast.Declaration, axis: int, lefts: Sequence[LeftSide], end: Expr, size: Expr
) -> Report:
    """Reports a conflict of sizes with the equation that takes the rows that are meant."""

    def report(problem: Diagnostic) -> None:
        more = polynomial(frame.build.sizes.value(end)) - polynomial(frame.build.sizes.value(size))
        if isinstance(problem, SizeConflict) and len(lefts) > 1 and nonnegative(more - 1):
            problem = replace(problem, hint=_proposal(frame, declaration, axis, lefts, more))
        frame.report(problem)

    return report


def _proposal(
    frame: Frame, declaration: ast.Declaration, axis: int, lefts: Sequence[LeftSide], more: Polynomial
) -> str:
    """`y[t,d] = h[t+1,d]`: without the rows that a recurrence starts from, the first ones or the last ones."""
    name = declaration.name.text
    taken = {*frame.scope.tensor_names, *frame.scope.outputs}
    other = next(one for one in ("y", "out", f"{name}_out", f"{name}'") if one not in taken)
    variables: list[str] = []
    for one in declaration.axes:
        assert isinstance(one, ast.Name)
        variable = variable_of(one.text)
        while variable in variables:
            variable += "'"
        variables.append(variable)
    written = ",".join(variables)
    starts = [left.subscripts[axis] for left in lefts]
    if any(extreme(polynomial(start), True) == Polynomial(()) for start in starts):
        variables[axis] += f"+{polynomial_in_words(more)}".replace(" ", "")
        which = "all but the first"
    else:
        which = "all but the last"
    rows = which if more.value == 1 else f"{which} {polynomial_in_words(more)}"
    axes = ",".join(one.text for one in declaration.axes if isinstance(one, ast.Name))
    return (
        f"an output is the whole tensor; give the part that is meant a name of its own: "
        f"`-> {other}[{axes}]` and `{other}[{written}] = {name}[{','.join(variables)}]` ({rows})"
    )
