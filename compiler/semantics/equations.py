"""Tensors of a body: the equations of a name become one tensor of the graph.

Inside an inlined layer an equation may depend on index variables of the caller (the layer is mapped over them); they
become leading axes of the tensor, exactly those that it depends on, in the order in which they were bound.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.compiler.diagnostics import CompileError, Diagnostic
from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import Expr, Index, free_indices, op, refresh
from dlc.compiler.ir.graph import Equation, Tensor
from dlc.compiler.ir.ops import Type
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.semantics.arithmetic import real
from dlc.compiler.semantics.contexts import Context, evaluate
from dlc.compiler.semantics.elements import bound_of_all, set_name
from dlc.compiler.semantics.errors_indices import PartsOfDifferentRank
from dlc.compiler.semantics.errors_limits import TooManyAxes, TooManyParts
from dlc.compiler.semantics.errors_types import MixedTypes, WrongType
from dlc.compiler.semantics.frames import Draft, Frame, Poisoned, Value, collecting, tensor_value
from dlc.compiler.semantics.outputs import matched
from dlc.compiler.semantics.randomness import drawn
from dlc.compiler.semantics.recurrences import Making
from dlc.compiler.semantics.targets import MOST_AXES, LeftSide, end_of, left_side
from dlc.compiler.semantics.unknown import unknown_names
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

Written = ast.Equation | ast.Draw

MOST_PARTS = 400
"""Equations of one tensor: each part is compared with every other."""


def define(frame: Frame, name: str, span: Span | None) -> Value:
    """The tensor that the equations of ``name`` define."""
    if name in frame.open:
        return frame.meanwhile[name]()
    frame.open[name] = span or frame.scope.written(name)[0].target.span
    try:
        value = _defined(frame, name)
    except CompileError as error:
        frame.failed.add(name)
        for problem in frame.trail(error.diagnostics):
            frame.build.report(problem)
        raise Poisoned from None
    except Poisoned:
        frame.failed.add(name)
        raise
    finally:
        frame.open.pop(name, None)
        frame.meanwhile.pop(name, None)
    frame.values[name] = value
    return value


def _defined(frame: Frame, name: str) -> Value:
    equations = frame.scope.written(name)
    if len(equations) > MOST_PARTS:
        raise CompileError(TooManyParts(equations[MOST_PARTS].target.span, name, len(equations), MOST_PARTS))
    lefts = _lefts(frame, name, equations)
    making = _making(frame, name, lefts)
    frame.meanwhile[name] = making.value
    try:
        draft = _made(making, equations)
    except (CompileError, Poisoned):
        making.failed()
        raise
    making.finished(draft)
    frame.build.add(draft)
    return tensor_value(draft, name, draft.lead, lefts[0].span)


def _making(frame: Frame, name: str, lefts: Sequence[LeftSide]) -> Making:
    ends = _ends(frame, lefts)
    sets = [_common_set(lefts, axis) for axis in range(len(ends))]
    declaration = frame.scope.outputs.get(name)
    return Making(frame, name, lefts, ends, sets, None if declaration is None else _declared_type(declaration))


def _made(making: Making, equations: Sequence[Written]) -> Draft:
    frame, name, lefts = making.frame, making.name, making.lefts
    bodies = _typed(_bodies(making, equations), equations)
    declaration = frame.scope.outputs.get(name)
    if declaration is not None:
        bodies = _as_declared(bodies, declaration, equations)
    ends = _ends(frame, lefts)
    draft = draft_of(frame, name, lefts, bodies, ends, [equation.span for equation in equations], making)
    if declaration is not None:
        draft.tensor = matched(frame, draft.tensor, declaration, lefts, ends)
    return draft


def _bodies(making: Making, equations: Sequence[Written]) -> list[Expr]:
    """The right sides; those that do not read the tensor itself are made first, they tell its type."""
    found: dict[int, Expr] = {}

    def step(number: int) -> Expr:
        found[number] = _body(making, equations[number], making.lefts[number])
        making.types.append(found[number].type)
        return found[number]

    order = sorted(range(len(equations)), key=lambda number: _mentions(_right(equations[number]), making.name))
    collecting([lambda number=number: step(number) for number in order])
    return [found[number] for number in range(len(equations))]


def _mentions(value: ast.Expression, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.text == name for part in ast.walk(value))


def _lefts(frame: Frame, name: str, equations: Sequence[Written]) -> list[LeftSide]:
    problems: list[Diagnostic] = []
    lefts: list[LeftSide] = []
    for equation in equations:
        try:
            lefts.append(left_side(frame, equation.target))
        except CompileError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise CompileError(problems)
    rank = len(lefts[0].subscripts)
    for left in lefts[1:]:
        if len(left.subscripts) != rank:
            raise CompileError(PartsOfDifferentRank(left.span, name, rank, len(left.subscripts), lefts[0].span))
    return lefts


def _body(making: Making, equation: Written, left: LeftSide) -> Expr:
    frame = making.frame
    if isinstance(equation, ast.Draw):
        return drawn(frame, equation, left, lambda: making.id)
    sums = frame.sums(equation)
    context = Context(frame, left.env, sums, left.axes)
    if sums.problems:
        raise CompileError([*sums.problems, *unknown_names(context, equation.value)])
    return evaluate(context, equation.value)


def _typed(bodies: list[Expr], equations: Sequence[Written]) -> list[Expr]:
    """All parts of one type: reals if one of them is."""
    types = {body.type for body in bodies}
    if len(types) == 1:
        return bodies
    if "bool" in types:
        other = next(
            e for b, e in zip(bodies, equations, strict=True) if (b.type == "bool") != (bodies[0].type == "bool")
        )
        first, second = _right(equations[0]).span, _right(other).span
        raise CompileError(MixedTypes(first, "the parts of the tensor", second, bodies[0].type != "bool"))
    return [real(body) for body in bodies]


def _declared_type(declaration: ast.Declaration) -> Type | None:
    return "int" if declaration.element_of is not None else declaration.type


def _as_declared(bodies: list[Expr], declaration: ast.Declaration, equations: Sequence[Written]) -> list[Expr]:
    declared = _declared_type(declaration)
    if declared is None or bodies[0].type == declared:
        return bodies
    if declared == "real" and bodies[0].type == "int":
        return [real(body) for body in bodies]
    raise CompileError(
        WrongType(_right(equations[0]).span, declaration.name.text, declared, bodies[0].type, declaration.span)
    )


def _right(equation: Written) -> ast.Expression:
    return equation.distribution if isinstance(equation, ast.Draw) else equation.value


def _ends(frame: Frame, lefts: Sequence[LeftSide]) -> list[Expr]:
    """The extent of each axis: the end of its last part."""
    if len(lefts) == 1:
        return [end_of(lefts[0], axis) for axis in range(len(lefts[0].subscripts))]
    result: list[Expr] = []
    value = frame.build.sizes.value
    known = dict.fromkeys(polynomial(value(index.size)) for left in lefts for index in left.indices)
    facts = tuple(size for size in known if not nonnegative(size))  # `R` with |T| - 1 elements: that is not negative
    for axis in range(len(lefts[0].subscripts)):
        ends = list(dict.fromkeys(frame.build.sizes.value(end_of(left, axis)) for left in lefts))
        last = next((end for end in ends if all(_at_most(other, end, facts) for other in ends)), None)
        result.append(last if last is not None else _greatest(ends))
    return result


def _at_most(left: Expr, right: Expr, facts: Sequence[Polynomial]) -> bool:
    return left is right or nonnegative(polynomial(right) - polynomial(left), facts)


def _greatest(sizes: Sequence[Expr]) -> Expr:
    result = sizes[0]
    for size in sizes[1:]:
        result = op("max", result, size)
    return result


def draft_of(
    frame: Frame,
    name: str,
    lefts: Sequence[LeftSide],
    bodies: Sequence[Expr],
    ends: Sequence[Expr],
    spans: Sequence[Span],
    making: Making | None = None,
) -> Draft:
    """The tensor, with the caller's index variables that it depends on as leading axes."""
    lead = leading(bodies, lefts)
    lead = lead if making is None else making.lead(lead)
    parts = tuple(
        equation_of(lead, left.indices, left.subscripts, body, span)
        for left, body, span in zip(lefts, bodies, spans, strict=True)
    )
    sizes = (*(index.size for index in lead), *ends)
    if len(sizes) > MOST_AXES:
        raise CompileError(TooManyAxes(lefts[0].span, name, len(sizes), MOST_AXES))
    sets = (*(set_name(index) for index in lead), *(_common_set(lefts, axis) for axis in range(len(ends))))
    bound, bound_set = bound_of_all(frame.build, bodies) if making is None else making.bound(bodies)
    tensor_id = frame.local_id(name) if making is None else making.id
    tensor = Tensor(tensor_id, sizes, bodies[0].type, "computed", parts, sets, bound, bound_set, span=lefts[0].span)
    left_spans = tuple(left.span for left in lefts)
    return Draft(tensor, lead, tuple(bodies), bool(frame.instance.path), frame.report, left_spans, name)


def leading(bodies: Sequence[Expr], lefts: Sequence[LeftSide]) -> tuple[Index, ...]:
    own = {index for left in lefts for index in left.indices}
    free = {index for body in bodies for index in free_indices(body) if index not in own}
    return tuple(sorted(free, key=lambda index: index.id))


def equation_of(
    lead: Sequence[Index], indices: Sequence[Index], subscripts: Sequence[Expr], body: Expr, span: Span | None
) -> Equation:
    """An equation with index variables of its own in the place of the caller's."""
    renamed: dict[Expr, Expr] = {index: refresh(index) for index in lead}
    mine = tuple(index for index in renamed.values() if isinstance(index, Index))
    return Equation((*mine, *indices), (*mine, *subscripts), substitute(body, renamed), span)


def _common_set(lefts: Sequence[LeftSide], axis: int) -> str:
    names = {left.sets[axis] for left in lefts}
    return names.pop() if len(names) == 1 else ""
