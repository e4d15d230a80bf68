"""Claims: `check a == b` becomes two tensors, one for each side, whose axes are what is free in ``a``.

The unbound index variables of ``a`` run over all their values, and so do whole axes: `check y[I] == Softmax(x[I])`.
A claim is elaborated like an equation, so that whatever is wrong in it is said; the tensors are part of a graph that is
made for verifying, and of no other.  Left out: whether the claim holds (``verification``).
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import Expr, Index, fresh
from dlc.compiler.ir.graph import Claim, whole
from dlc.compiler.semantics.arithmetic import real
from dlc.compiler.semantics.contexts import Context, WholeAxes, evaluate
from dlc.compiler.semantics.equations import set_name
from dlc.compiler.semantics.errors_indices import AllAxesMisplaced
from dlc.compiler.semantics.errors_limits import TooManyAxes
from dlc.compiler.semantics.errors_types import MixedTypes
from dlc.compiler.semantics.frames import Axis, Draft, Frame, collecting
from dlc.compiler.semantics.names import set_size
from dlc.compiler.semantics.scope import Scope, set_of
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.semantics.summation import Places, sums_of, sums_of_claim
from dlc.compiler.semantics.targets import MOST_AXES
from dlc.compiler.syntax import ast


def claims_of(scope: Scope) -> tuple[ast.Check, ...]:
    """The claims of a definition, in order."""
    return tuple(statement for statement in scope.definition.body if isinstance(statement, ast.Check))


def claim(frame: Frame, written: ast.Check, number: int) -> Claim:
    """The tensors of both sides, added to the drafts; raises `CompileError` with what is wrong in either."""
    left, right, free = sums_of_claim(frame.scope, written)
    problems = [*left.problems, *right.problems]
    if problems:
        raise CompileError(problems)
    env = {name: fresh(set_size(frame, set_of(name), span), name) for name, span in free.items()}
    axes = _whole_axes(frame, written, env, free)
    sides = ((left, written.left), (right, written.right))
    bodies = collecting(
        [lambda sums=sums, side=side: evaluate(Context(frame, env, sums, axes), side) for sums, side in sides]
    )
    indices = tuple(dict.fromkeys((*env.values(), *axes.indices)))
    if len(indices) > MOST_AXES:
        raise CompileError(TooManyAxes(written.left.span, "check", len(indices), MOST_AXES))
    a, b = _comparable(bodies, written)
    name = f"check.{number}"
    return Claim(
        _draft(frame, f"{name}.left", indices, a, written),
        _draft(frame, f"{name}.right", indices, b, written),
        " ".join(written.span.text.split()),
        _unsummed(frame.scope, written),
        written.span,
    )


def _unsummed(scope: Scope, written: ast.Check) -> tuple[str, ...]:
    """What the summation rule would sum on the left, if it held there, and the right side does not speak of."""
    sums = sums_of(scope, written.left, {})
    named = {node.text for node in ast.walk(written.right) if isinstance(node, ast.Name)}
    found = (name for names in sums.sums.values() for name in names)
    return tuple(dict.fromkeys(name for name in found if name not in named))


def _whole_axes(frame: Frame, written: ast.Check, env: dict[str, Index], free: Places) -> WholeAxes:
    """What values without subscripts take: all axes where `..` stands on the left, else the capitals of the left.

    Where it has none, the first value with whole axes of its own decides: `LogSoftmax(x[I]) == log(Softmax(x[I]))`.
    """
    dots = _dots(written.left)
    if dots is None:
        capitals = [name for name in env if name[0].isupper()]
        return WholeAxes(
            [env[name] for name in capitals],
            [Axis(env[name].size, set_of(name)) for name in capitals],
            not capitals,
            [Evidence(f"`{name}`", free[name]) for name in capitals],
        )
    if frame.all_axes is None:
        raise CompileError(AllAxesMisplaced(dots.span, "no data argument has `[..]`"))
    indices = [fresh(axis.size, axis.set or "i") for axis in frame.all_axes]
    evidence = [Evidence(f"axis {number + 1} of `..`", dots.span) for number in range(len(indices))]
    return WholeAxes(indices, list(frame.all_axes), False, evidence)


def _dots(node: ast.Node) -> ast.AllAxes | None:
    """A `..` that no reduction binds."""
    if isinstance(node, ast.AllAxes):
        return node
    inside = () if isinstance(node, ast.Reduction) and node.everything else ast.children(node)
    return next((found for found in map(_dots, inside) if found is not None), None)


def _comparable(bodies: Sequence[Expr], written: ast.Check) -> Sequence[Expr]:
    """Both sides of one type: reals if one of them is."""
    left, right = bodies
    if left.type == right.type:
        return bodies
    if "bool" in (left.type, right.type):
        what = "the sides of the claim"
        raise CompileError(MixedTypes(written.left.span, what, written.right.span, left.type != "bool"))
    return [real(body) for body in bodies]


def _draft(frame: Frame, name: str, indices: tuple[Index, ...], body: Expr, written: ast.Check) -> str:
    tensor = whole(frame.build.fresh_id(name), indices, body, written.span, tuple(map(set_name, indices)))
    return frame.build.add(Draft(tensor, (), (body,), False, frame.report, (written.left.span,)))
