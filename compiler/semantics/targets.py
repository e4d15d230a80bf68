"""Left sides: which elements of a tensor an equation defines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.bounds import extreme, nonnegative
from dlc.compiler.ir.expr import Expr, Index, Read, Reduce, fresh, walk
from dlc.compiler.semantics.arithmetic import added, negative
from dlc.compiler.semantics.contexts import Context, WholeAxes
from dlc.compiler.semantics.errors_indices import AllAxesMisplaced, BadLeftSubscript, RepeatedOnLeft
from dlc.compiler.semantics.errors_limits import TooManyAxes
from dlc.compiler.semantics.frames import Axis, Frame
from dlc.compiler.semantics.groups import group
from dlc.compiler.semantics.names import integer, set_size
from dlc.compiler.semantics.scope import capitals_of, set_of
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.semantics.summation import NO_SUMS, left_names
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

MOST_AXES = 16


@dataclass(frozen=True)
class LeftSide:
    """``env`` are the index variables by name, ``subscripts`` the place of an element, ``axes`` the whole axes."""

    target: ast.Target
    env: dict[str, Index]
    indices: tuple[Index, ...]
    subscripts: tuple[Expr, ...]
    axes: WholeAxes
    sets: tuple[str, ...]

    @property
    def span(self) -> Span:
        return self.target.span

    def span_of(self, axis: int) -> Span:
        written = self.target.subscripts
        return written[axis].span if axis < len(written) else self.target.span


def left_side(frame: Frame, target: ast.Target) -> LeftSide:
    if len(target.subscripts) > MOST_AXES:
        raise CompileError(TooManyAxes(target.span, target.name.text, len(target.subscripts), MOST_AXES))
    if any(isinstance(subscript, ast.AllAxes) for subscript in target.subscripts):
        return _all_axes(frame, target)
    _check_repetition(frame, target)
    env = {
        name: fresh(set_size(frame, set_of(name), span), name) for name, span in left_names(frame.scope, target).items()
    }
    context = Context(frame, env, NO_SUMS, WholeAxes(), static=True)
    subscripts = tuple(_place(context, subscript) for subscript in target.subscripts)
    capitals = list(dict.fromkeys(name.text for name in capitals_of(target.subscripts)))
    axes = WholeAxes(
        [env[name] for name in capitals],
        [Axis(env[name].size, set_of(name)) for name in capitals],
        False,
        [Evidence(f"`{name}`", target.span) for name in capitals],
    )
    sets = tuple(_set_name(frame, subscript) for subscript in target.subscripts)
    indices = dict.fromkeys(node for subscript in subscripts for node in walk(subscript) if isinstance(node, Index))
    return LeftSide(target, env, tuple(indices), subscripts, axes, sets)


def _all_axes(frame: Frame, target: ast.Target) -> LeftSide:
    if len(target.subscripts) > 1:
        raise CompileError(AllAxesMisplaced(target.span, "it stands for all axes, so it stands alone"))
    if frame.all_axes is None:
        dots = next(subscript.span for subscript in target.subscripts)
        raise CompileError(AllAxesMisplaced(dots, "no data argument has `[..]`"))
    indices = tuple(fresh(axis.size, axis.set or "i") for axis in frame.all_axes)
    evidence = [Evidence(f"axis {number + 1} of `..`", target.span) for number in range(len(indices))]
    axes = WholeAxes(list(indices), list(frame.all_axes), False, evidence)
    return LeftSide(target, {}, indices, indices, axes, tuple(axis.set for axis in frame.all_axes))


def _check_repetition(frame: Frame, target: ast.Target) -> None:
    seen: set[str] = set()
    for subscript in target.subscripts:
        names = list(_variables(frame, (subscript,)))
        for name in names:
            if name.text in seen:
                raise CompileError(RepeatedOnLeft(name.span, name.text))
        seen.update(name.text for name in names)


def _variables(frame: Frame, subscripts: Sequence[ast.Subscript]) -> Iterator[ast.Name]:
    yield from capitals_of(subscripts)
    for subscript in subscripts:
        for node in ast.walk(subscript):
            if isinstance(node, ast.Name) and not node.is_capital and frame.scope.is_index(node.text):
                yield node


def _place(context: Context, subscript: ast.Subscript) -> Expr:
    if _reads_data(context, subscript):
        raise CompileError(BadLeftSubscript(subscript.span, "it depends on data", True))
    match subscript:
        case ast.Group():
            result = group(context, subscript)
        case ast.Name() if subscript.is_capital:
            return context.env[subscript.text]
        case ast.Sum(terms=terms) if any(isinstance(t, ast.Name) and t.is_capital for t in terms):
            result = _with_capital(context, subscript)
        case ast.AllAxes():
            raise AssertionError("handled by left_side")
        case _:
            result = integer(context, subscript, "a left side")
    if any(isinstance(node, Read | Reduce) for node in walk(result)):
        raise CompileError(BadLeftSubscript(subscript.span, "it depends on data", True))
    return result


def _reads_data(context: Context, subscript: ast.Subscript) -> bool:
    scope = context.frame.scope
    names = {node.text for node in ast.walk(subscript) if isinstance(node, ast.Name) and not node.is_capital}
    return any(
        scope.is_tensor(name) and set_of(name) not in scope.sets and name not in (*scope.hypers, *context.env)
        for name in names
    )


def _with_capital(context: Context, written: ast.Sum) -> Expr:
    """`|C1| + C2`: a whole axis behind another."""
    terms: list[Expr] = []
    for sign, term in zip(("+", *written.operators), written.terms, strict=True):
        is_capital = isinstance(term, ast.Name) and term.is_capital
        if is_capital and sign == "-":
            raise CompileError(BadLeftSubscript(term.span, "a whole axis cannot be subtracted"))
        assert isinstance(term, ast.Expression)
        value = (
            context.env[term.text]
            if isinstance(term, ast.Name) and is_capital
            else integer(context, term, "a left side")
        )
        terms.append(value if sign == "+" else negative(value))
    return added(terms, written.span)


def _set_name(frame: Frame, subscript: ast.Subscript) -> str:
    if isinstance(subscript, ast.Name) and frame.scope.is_index(subscript.text):
        return set_of(subscript.text)
    return ""


def end_of(left: LeftSide, axis: int) -> Expr:
    """One more than the greatest place on an axis that the equation defines."""
    subscript = left.subscripts[axis]
    if isinstance(subscript, Index):
        return subscript.size
    last = extreme(polynomial(subscript), True)
    first = extreme(polynomial(subscript), False)
    if last is None or first is None:
        raise CompileError(BadLeftSubscript(left.span_of(axis), "it is not affine in its index variables"))
    if nonnegative(-first - 1):
        raise CompileError(BadLeftSubscript(left.span_of(axis), "it can be negative"))
    return (last + 1).expression()
