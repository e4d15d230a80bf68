"""States: what a layer or a model keeps between steps, and the updates that give it its next value.

Each instance has states of its own, those of an instance array stacked on a first axis, as parameters are.  Reading a
state gives its value at the start of the step; an update is a tensor with the next value, which nothing reads.  An
update that concerns a part of the state leaves the rest as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.conditions import conjunction
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Select, free_indices, fresh, op, refresh, walk
from dlc.compiler.ir.graph import Equation, Initialiser, Tensor, Update
from dlc.compiler.ir.ops import Type
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.semantics.arithmetic import real
from dlc.compiler.semantics.contexts import Context, evaluate, static_context
from dlc.compiler.semantics.elements import at_most, bound_of_all
from dlc.compiler.semantics.errors_indices import AllAxesMisplaced, Overlap, WrongRank
from dlc.compiler.semantics.errors_state import (
    BadStateStart,
    BadUpdatedPart,
    MappedState,
    UpdatedTwice,
    UpdateOfAnotherType,
)
from dlc.compiler.semantics.errors_types import NotWithinSet
from dlc.compiler.semantics.folding import known_value
from dlc.compiler.semantics.frames import (
    Axis,
    Draft,
    Elaboration,
    Frame,
    Instance,
    Poisoned,
    StatefulUse,
    Value,
    scope_of,
    tensor_value,
)
from dlc.compiler.semantics.names import set_size
from dlc.compiler.semantics.parameters import initialiser
from dlc.compiler.semantics.parts import overlaps
from dlc.compiler.semantics.scope import Scope, set_of
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.semantics.targets import LeftSide, end_of, left_side
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

NEXT = "next"


def state(instance: Instance, frame: Frame, name: str, subscripts: tuple[Expr, ...] | None = None) -> Value:
    """A state as a frame reads it; it becomes a tensor of the graph when it is first asked for."""
    draft = instance.states.get(name)
    if draft is None:
        draft = instance.states[name] = _made(instance, name)
        frame.build.add(draft)
    return tensor_value(draft, name, frame.subscripts if subscripts is None else subscripts, draft.tensor.span)


def has_states(scope: Scope) -> bool:
    """Whether a layer, or an instance that it makes, keeps something between steps."""
    inner = (entry.layer for entry in scope.instances.values())
    layers = [scope_of(layer, layer.item) for layer in inner if isinstance(layer.item, ast.Layer)]
    return bool(scope.states) or any(map(has_states, layers))


def _made(instance: Instance, name: str) -> Draft:
    declaration = instance.scope.states[name]
    statics = instance.statics
    axes: list[Axis] = list(instance.axes)
    for axis in declaration.axes:
        if isinstance(axis, ast.AllAxes):
            raise CompileError(AllAxesMisplaced(axis.span, "the axes of a state are named"))
        axes.append(Axis(set_size(statics, set_of(axis.text), axis.span), set_of(axis.text)))
    kind: Type = "int" if declaration.element_of is not None else declaration.type or "real"
    path = f"{instance.path}.{name}" if instance.path else name
    tensor = Tensor(
        statics.build.fresh_id(path),
        tuple(axis.size for axis in axes),
        kind,
        "state",
        sets=tuple(axis.set for axis in axes),
        span=declaration.span,
    )
    if declaration.element_of is not None:
        members = set_of(declaration.element_of.text)
        tensor = replace(tensor, bound=set_size(statics, members, declaration.element_of.span), bound_set=members)
    draft = Draft(tensor, report=statics.report)
    if declaration.value is None and declaration.initialiser is None:
        raise CompileError(BadStateStart(declaration.span, f"nothing says how the state `{name}` starts"))
    if declaration.initialiser is not None and kind != "real":
        raise CompileError(BadStateStart(declaration.initialiser.span, f"the state `{name}` is not real"))
    start = initialiser(instance, declaration) if kind != "bool" else _truth(instance, declaration)

    def later() -> None:
        draft.tensor = replace(draft.tensor, initialiser=_of_type(start(), kind, declaration))

    statics.build.late.append(later)
    return draft


def _of_type(start: Initialiser | None, kind: str, declaration: ast.Declaration) -> Initialiser | None:
    """An integer state starts from an integer."""
    if start is None or kind != "int" or start.arguments[0].is_integer():
        return start
    raise CompileError(BadStateStart(declaration.span, f"`{declaration.name.text}` cannot start from this"))


def _truth(instance: Instance, declaration: ast.Declaration) -> Callable[[], Initialiser]:
    assert declaration.value is not None
    value = known_value(evaluate(static_context(instance.statics), declaration.value))
    if not isinstance(value, bool):
        raise CompileError(BadStateStart(declaration.span, f"`{declaration.name.text}` cannot start from this"))
    return lambda: Initialiser("constant", (float(value),))


# -- uses --------------------------------------------------------------------------------------------------------------


def remember_use(frame: Frame, caller: Frame, node: ast.Call) -> None:
    """A layer with updates was called: they are worked out when everything else has been."""
    if frame.scope.updates:
        frame.build.stateful.append(StatefulUse(frame, caller, node))


@dataclass(frozen=True)
class _Piece:
    """One update, in terms of indices of its own."""

    equation: Equation
    span: Span
    place: Span | None


@dataclass
class Updates:
    """All updates of a definition, by the state that they concern."""

    build: Elaboration
    pieces: dict[str, list[_Piece]] = field(default_factory=dict)
    bodies: dict[str, list[Expr]] = field(default_factory=dict)
    seen: set[tuple[str, int, str]] = field(default_factory=set)

    def collect(self, top: Frame) -> tuple[Update, ...]:
        """Give every state that is updated a tensor with its next value."""
        if top.scope.updates:
            self._use(StatefulUse(top, None, None))
        position = 0
        while position < len(self.build.stateful):  # an update may call another layer with a state
            self._use(self.build.stateful[position])
            position += 1
        return tuple(Update(name, self._assembled(name)) for name in self.pieces)

    def _use(self, use: StatefulUse) -> None:
        for name, statements in use.frame.scope.updates.items():
            try:
                self._update(use, name, statements)
            except CompileError as error:
                for problem in use.frame.trail(error.diagnostics):
                    self.build.report(problem)
            except Poisoned:
                continue

    def _update(self, use: StatefulUse, name: str, statements: Sequence[ast.Update]) -> None:
        frame = use.frame
        value = state(frame.instance, frame, name)
        assert isinstance(value.body, Read)
        key = (value.body.tensor, id(use.caller), ast.dump(use.call) if use.call is not None else "")
        if key in self.seen:
            return  # another output of the same call
        self.seen.add(key)
        self._check_mapped(use, name)
        for statement in statements:
            self._piece(use, value, statement)

    def _check_mapped(self, use: StatefulUse, name: str) -> None:
        """What the arguments depend on is the same for all elements of the instance array."""
        frame = use.frame
        own = {index for subscript in frame.subscripts for index in free_indices(subscript)}
        arguments = [frame.values[one] for one in frame.scope.data if one in frame.values]
        for argument in arguments if use.call is not None else ():
            for index in sorted(set(free_indices(argument.body)) - own - set(argument.indices), key=lambda i: i.id):
                declared = frame.scope.states[name].span
                span = use.call.span if use.call is not None else None
                raise CompileError(MappedState(span, frame.scope.name, name, index.hint, declared))

    def _piece(self, use: StatefulUse, value: Value, statement: ast.Update) -> None:
        frame = use.frame
        left = left_side(frame, statement.target)
        if len(left.subscripts) != value.rank:
            raise CompileError(WrongRank(left.span, value.name, value.rank, len(left.subscripts), value.span))
        for axis, subscript in enumerate(left.subscripts):
            evidence = Evidence(f"axis {axis + 1} of the update", left.span_of(axis))
            if isinstance(subscript, Index):
                frame.build.sizes.unify(
                    subscript.size, value.axes[axis].size, evidence, value.evidence(axis), frame.report
                )
            else:
                end_of(left, axis)  # says what is wrong with it
        sums = frame.sums(statement)
        if sums.problems:
            raise CompileError(sums.problems)
        body = evaluate(Context(frame, left.env, sums, left.axes), statement.value)
        body = self._typed(value, body, statement, frame)
        assert isinstance(value.body, Read)
        self.bodies.setdefault(value.body.tensor, []).append(body)
        place = use.call.span if use.call is not None else left.span
        piece = _Piece(_own_equation(use, value, left, body, statement.span), left.span, place)
        self.pieces.setdefault(value.body.tensor, []).append(piece)

    def _typed(self, value: Value, body: Expr, statement: ast.Update, frame: Frame) -> Expr:
        if value.type == "real" and body.type == "int":
            body = real(body)
        if body.type != value.type:
            written, declared = statement.value.span, value.span
            raise CompileError(UpdateOfAnotherType(written, value.name, value.type, body.type, declared))
        if value.bound is not None:
            bound, _ = bound_of_all(frame.build, [body])
            if bound is None:
                reason = "nothing bounds what it is updated to"
                raise CompileError(
                    NotWithinSet(statement.value.span, value.name, value.bound_set, reason, True, value.span)
                )
            at_most(frame, bound, value.bound, statement.value.span, value.name, value.bound_set, value.span)
        return body

    # -- the next value ------------------------------------------------------------------------------------------------

    def _assembled(self, name: str) -> str:
        tensor = self.build.drafts[name].tensor
        pieces = self.pieces[name]
        self.build.late.append(lambda: self._check_overlap(name))
        if len(pieces) == 1 and pieces[0].equation.is_whole:
            equation = pieces[0].equation
        else:
            equation = _with_the_rest(tensor, pieces)
        made = Tensor(
            self.build.fresh_id(f"{name}.{NEXT}"),
            tensor.sizes,
            tensor.type,
            "computed",
            (equation,),
            tensor.sets,
            span=pieces[0].span,
        )
        return self.build.add(Draft(made, bodies=tuple(self.bodies[name])))

    def _check_overlap(self, name: str) -> None:
        """Two updates of one element: of the same statement through two calls, or of two statements."""
        pieces = self.pieces[name]
        tensor = replace(
            self.build.drafts[name].tensor, kind="computed", equations=tuple(piece.equation for piece in pieces)
        )
        if len(pieces) > 1 and all(piece.equation.is_whole for piece in pieces):
            self.build.report(_twice(name, pieces[1], pieces[0], True))
            return
        by_span = {id(piece.span): piece for piece in pieces}
        for problem in overlaps(self._resolved(tensor), name, self.build.sizes, [p.span for p in pieces]):
            if isinstance(problem, Overlap):
                second, first = by_span[id(problem.span)], by_span[id(problem.other)]
                self.build.report(_twice(name, second, first, problem.surely))
            else:
                self.build.report(problem)

    def _resolved(self, tensor: Tensor) -> Tensor:
        sizes = self.build.sizes
        equations = tuple(
            replace(
                one,
                indices=tuple(index for index in map(sizes.resolve, one.indices) if isinstance(index, Index)),
                subscripts=tuple(map(sizes.resolve, one.subscripts)),
            )
            for one in tensor.equations
        )
        return replace(tensor, sizes=tuple(map(sizes.value, tensor.sizes)), equations=equations)


def _twice(name: str, second: _Piece, first: _Piece, surely: bool) -> UpdatedTwice:
    return UpdatedTwice(second.place, name, first.place, surely, by_calls=second.place is not second.span)


def _own_equation(use: StatefulUse, value: Value, left: LeftSide, body: Expr, span: Span) -> Equation:
    """The update over all axes of the state: those of an instance array first, at the caller's subscripts."""
    chosen = use.frame.subscripts
    for subscript in chosen:
        if any(isinstance(part, Read) for part in walk(subscript)):
            raise CompileError(BadUpdatedPart(use.call.span if use.call else None, value.name, "data decide it"))
    lead = tuple(dict.fromkeys(node for node in walk(*chosen) if isinstance(node, Index)))
    names: dict[Expr, Expr] = {index: refresh(index) for index in lead}
    mine = tuple(index for index in names.values() if isinstance(index, Index))
    places = tuple(substitute(subscript, names) for subscript in chosen)
    return Equation((*mine, *left.indices), (*places, *left.subscripts), substitute(body, names), span)


def _with_the_rest(tensor: Tensor, pieces: Sequence[_Piece]) -> Equation:
    """``next[a] = body(i) if a = φ(i) else state[a]``: every element, whichever update concerns it."""
    axes = tuple(fresh(size, name or "i") for size, name in zip(tensor.sizes, tensor.sets, strict=True))
    value: Expr = Read(tensor.id, axes, tensor.type)
    for piece in reversed(pieces):
        conditions: list[Expr] = []
        found: dict[Expr, Expr] = {}
        for axis, subscript in zip(axes, piece.equation.subscripts, strict=True):
            conditions.extend(_solved(tensor, piece, axis, subscript, found))
        body = substitute(piece.equation.value, found)
        value = Select(conjunction(conditions), body, value) if conditions else body
    return Equation(axes, axes, value, pieces[0].equation.span)


def _solved(tensor: Tensor, piece: _Piece, axis: Index, subscript: Expr, found: dict[Expr, Expr]) -> list[Expr]:
    """The conditions under which ``axis`` is a value of ``subscript``, whose index is then ``found``."""
    indices = sorted(free_indices(subscript), key=lambda index: index.id)
    if not indices:
        return [op("eq", axis, subscript)]
    index = indices[0]
    parts = polynomial(subscript).split(index)
    stride = parts[0].value if parts is not None else None
    if len(indices) > 1 or index in found or parts is None or not isinstance(stride, int) or stride == 0:
        raise CompileError(BadUpdatedPart(piece.span, tensor.id, "its subscript is not of this kind"))
    if subscript is index:
        found[index] = axis
        return [op("lt", axis, index.size)]
    distance = (polynomial(axis) - parts[1]) * (1 if stride > 0 else -1)
    step = Const(abs(stride))
    place = distance.expression() if step.value == 1 else op("floordiv", distance.expression(), step)
    found[index] = place
    aligned: list[Expr] = []
    if step.value != 1:
        aligned.append(op("eq", op("mod", distance.expression(), step), Const(0)))
    return [op("le", Const(0), place), op("lt", place, index.size), *aligned]
