"""Random tensors: `u[b,i] ~ uniform(0, 1)` is an equation whose right side draws numbers.

A drawn number is a function of the model's seed and step, which are given with each call, of a number that only this
tensor has, and of the element's place: its row-major position over the axes of the tensor, the index variables that
the layer is mapped over among them.  Everything else, the parameters of the distribution, is ordinary arithmetic on
it, through which derivatives go: `normal(m, s)` is `m + s*ε`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

from dlc.compiler.diagnostics import CompileError, did_you_mean
from dlc.compiler.ir.expr import Const, Expr, Select, op
from dlc.compiler.semantics.arithmetic import numeric, real
from dlc.compiler.semantics.contexts import Context, evaluate
from dlc.compiler.semantics.errors_types import BadDistribution
from dlc.compiler.semantics.frames import Elaboration, Frame, collecting
from dlc.compiler.semantics.modes import seed, step
from dlc.compiler.semantics.names import set_size
from dlc.compiler.semantics.scope import set_of
from dlc.compiler.semantics.summation import left_names, sums_of
from dlc.compiler.semantics.targets import LeftSide, end_of
from dlc.compiler.syntax import ast

_ZERO, _ONE = Const(0.0), Const(1.0)


def drawn(frame: Frame, draw: ast.Draw, left: LeftSide, id: Callable[[], str]) -> Expr:
    """The element of a random tensor at the index variables of its left side; ``id`` gives its name in the graph."""
    name, arguments = _distribution(draw.distribution)
    form = DISTRIBUTIONS[name]
    if len(arguments) != form.count:
        reason = f"`{name}` takes {_numbers(form.count)}, and {len(arguments) or 'none'} {_are(len(arguments))} given"
        raise CompileError(BadDistribution(draw.distribution.span, reason))
    values = collecting([lambda written=one: form.argument(frame, draw, left, written) for one in arguments])
    place = (seed(frame), step(frame), Const(_number(frame.build, id())), _position(frame, left))
    return form.value(place, *values)


def _distribution(written: ast.Expression) -> tuple[str, list[ast.Expression]]:
    match written:
        case ast.Name(text=name):
            arguments: list[ast.Expression] = []
        case ast.Call(function=ast.Name(text=name)):
            if written.named or len(written.groups) > 1:
                raise CompileError(BadDistribution(written.span, "the arguments of a distribution have no names"))
            arguments = [argument.value for argument in written.arguments]
        case _:
            raise CompileError(BadDistribution(written.span, "this is not a distribution"))
    if name not in DISTRIBUTIONS:
        close = did_you_mean(name, DISTRIBUTIONS)
        meant = f"; did you mean `{close}`?" if close else ""
        raise CompileError(BadDistribution(written.span, f"there is no distribution `{name}`{meant}"))
    return name, arguments


def _numbers(count: int) -> str:
    return "an index set" if count == 1 else "two numbers"


def _are(count: int) -> str:
    return "are" if count != 1 else "is"


# -- where a number stands ---------------------------------------------------------------------------------------------


def _position(frame: Frame, left: LeftSide) -> Expr:
    """The row-major place of the element, over what the layer is mapped over and then the tensor's own axes."""
    axes: list[tuple[Expr, Expr]] = [(index, index.size) for index in frame.mapped]
    axes += [(place, end_of(left, axis)) for axis, place in enumerate(left.subscripts)]
    position: Expr | None = None
    for place, size in axes:
        position = place if position is None else op("add", op("mul", position, size), place)
    return Const(0) if position is None else position


def _number(build: Elaboration, id: str) -> int:
    """A number for the tensor that follows from its name in the graph: other tensors, and the order of lines, have no
    say in it."""
    number = crc32(id.encode())
    while build.draws.setdefault(number, id) != id:
        number = (number + 1) % 2**32
    return number


# -- distributions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Distribution:
    """``argument`` evaluates one of its ``count`` arguments; ``value`` is given (seed, step, tensor, position) and
    these."""

    count: int
    argument: Callable[[Frame, ast.Draw, LeftSide, ast.Expression], Expr]
    value: Callable[..., Expr]


def _real(frame: Frame, draw: ast.Draw, left: LeftSide, written: ast.Expression) -> Expr:
    """A number, with the sums of the summation rule; derivatives go through it."""
    sums = sums_of(frame.scope, written, left_names(frame.scope, draw.target))
    if sums.problems:
        raise CompileError(sums.problems)
    (value,), _ = numeric([evaluate(Context(frame, left.env, sums, left.axes), written)], [written.span])
    return Const(float(value.value)) if isinstance(value, Const) else real(value)


def _set(frame: Frame, draw: ast.Draw, left: LeftSide, written: ast.Expression) -> Expr:
    """The size of an index set."""
    if not isinstance(written, ast.Name) or not written.is_capital:
        raise CompileError(BadDistribution(written.span, "`randint` takes an index set, of which it draws elements"))
    return set_size(frame, set_of(written.text), written.span)


def _uniform(place: Sequence[Expr], start: Expr, end: Expr) -> Expr:
    """start + (end - start)·u, in [start, end)"""
    unit = op("random_uniform", *place)
    if start is _ZERO:
        return unit if end is _ONE else op("mul", end, unit)
    # rounding, of the width too, may reach the end or pass it: the more often, the closer start and end are
    if isinstance(start, Const) and isinstance(end, Const):
        value = op("add", start, op("mul", Const(end.value - start.value), unit))
        if start.value == -end.value:
            return value
        reached = op("le", value, end) if start.value > end.value else op("le", end, value)
        return Select(reached, start, value)
    value = op("add", start, op("mul", op("add", end, op("neg", start)), unit))
    return Select(Select(op("lt", start, end), op("le", end, value), op("le", value, end)), start, value)


def _normal(place: Sequence[Expr], mean: Expr, deviation: Expr) -> Expr:
    """mean + deviation·ε"""
    unit = op("random_normal", *place)
    scaled = unit if deviation is _ONE else op("mul", deviation, unit)
    return scaled if mean is _ZERO else op("add", mean, scaled)


def _element(place: Sequence[Expr], size: Expr) -> Expr:
    return op("random_integer", *place, size)


DISTRIBUTIONS: dict[str, Distribution] = {
    "uniform": Distribution(2, _real, _uniform),
    "normal": Distribution(2, _real, _normal),
    "randint": Distribution(1, _set, _element),
}
