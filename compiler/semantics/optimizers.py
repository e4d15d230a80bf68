"""One optimizer becomes a graph over one axis, on which all elements of all parameters stand.

The lines run in their order: an update gives its state a new value, which the lines below see.  So every update is a
tensor of its own, and the name stands for the last one.  A total is a sum over the axis; it reads what there is before
any update.  Parameters and states are of kind state; the gradient is an input, and may be given another value for the
lines below, which the caller does not see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import Const, Expr, Read, Reduce, Select, Size
from dlc.compiler.ir.graph import INSIDE, Equation, Graph, Initialiser, Tensor, Update
from dlc.compiler.ir.ops import Type
from dlc.compiler.semantics.arithmetic import real
from dlc.compiler.semantics.contexts import Context, evaluate, static_context
from dlc.compiler.semantics.errors_indices import WrongRank
from dlc.compiler.semantics.errors_optimizers import (
    BadOptimizerSignature,
    ElementsOfNumber,
    NotInAnOptimizer,
    ParametersNotUpdated,
    ReadTooEarly,
    ScalarOfElements,
    SeveralEquations,
    SumInAnOptimizer,
    TotalAfterUpdate,
)
from dlc.compiler.semantics.errors_state import BadStateStart, UpdateOfAnotherType
from dlc.compiler.semantics.errors_types import BoolInArithmetic
from dlc.compiler.semantics.finish import assemble, settle
from dlc.compiler.semantics.folding import known_value
from dlc.compiler.semantics.frames import Axis, Draft, Elaboration, Frame, Instance, Poisoned, Value, tensor_value
from dlc.compiler.semantics.names import fix_hypers, hyper
from dlc.compiler.semantics.scope import Scope
from dlc.compiler.semantics.summation import sums_of
from dlc.compiler.semantics.targets import left_side
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

Line = ast.Equation | ast.Update | ast.Total

_REFUSED: dict[type[ast.Statement], tuple[str, str | None]] = {
    ast.IndexLine: ("index sets", "its tensors have the axes `[..]`, whatever the parameters have"),
    ast.Draw: ("random tensors", None),
    ast.Param: ("parameters of its own", "what it keeps between steps is a state: `state m[..] = 0`"),
    ast.Minimize: ("a loss", "`minimize` stands in a model"),
    ast.Check: ("claims", "a claim stands in a layer or a model"),
}


@dataclass
class OptimizerGraph:
    """One attempt to elaborate an optimizer."""

    build: Elaboration
    scope: Scope
    updated: dict[str, Span] = field(default_factory=dict)  # states, each with its last update so far
    late: dict[str, Span] = field(default_factory=dict)  # names whose value depends on an update
    totals: list[str] = field(default_factory=list)

    def run(self) -> Graph | None:
        self.frame = self._new_frame()
        self.attempt(self._signature)
        for name in self.scope.states:
            self.attempt(lambda name=name: self._state(name))
        for name, declaration in self.scope.hypers.items():
            self.attempt(lambda n=name, d=declaration: hyper(self.frame, n, d.span))
        for statement in self.scope.definition.body:
            self.attempt(lambda s=statement: self._statement(s))
        self.attempt(self._moved)
        for use in self.build.stateful:
            span = use.call.span if use.call is not None else None
            self.build.report(NotInAnOptimizer(span, "layers with states", "declare the state in the optimizer"))
        settle(self.build, self.frame)
        if self.build.problems.has_errors or self.scope.problems:
            return None
        graph = assemble(self.build, self.scope.name, (), (), self._updates(), (), self.scope.definition.doc or "")
        return None if graph is None else replace(graph, totals=tuple(self.totals), is_optimizer=True)

    def attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except CompileError as error:
            for problem in error.diagnostics:
                self.build.report(problem)
        except Poisoned:
            pass

    # -- what is given -------------------------------------------------------------------------------------------------

    def _new_frame(self) -> Frame:
        instance = Instance(self.scope, "", self.scope.definition.name.span)
        frame = Frame(self.build, self.scope, instance)
        instance.statics = frame
        name = next(one for one in ("N", "N1", "N2", "N3") if one not in self.scope.sets)
        frame.all_axes = (Axis(Size(name), name),)
        return frame

    def _signature(self) -> None:
        for problem in self._signature_problems():
            self.build.report(problem)
        for number, (name, declaration) in enumerate(self.scope.data.items()):
            kind = "input" if number else "state"
            self._given(name, Tensor(name, self._sizes, "real", kind, sets=self._sets, span=declaration.span))

    def _signature_problems(self) -> Iterator[BadOptimizerSignature]:
        signature, name = self.scope.definition.signature, self.scope.name
        if not 1 <= len(signature.data) <= 2:
            span = signature.data[2].span if signature.data else self.scope.definition.name.span
            yield BadOptimizerSignature(span, f"`{name}` has {len(signature.data)} data arguments")
        for one in signature.data:
            plain = one.type in (None, "real") and one.element_of is None and one.value is None
            if not plain or not _is_element_wise(one):
                yield BadOptimizerSignature(one.span, f"`{one.name.text}` has to be real, with the axes `[..]`")
        for one in (*signature.parameters, *signature.outputs):
            what = "outputs" if one in signature.outputs else "parameters of its own: write `;;` before the others"
            yield BadOptimizerSignature(one.span, f"an optimizer has no {what}")

    @property
    def _sizes(self) -> tuple[Expr, ...]:
        return tuple(axis.size for axis in self.frame.all_axes or ())

    @property
    def _sets(self) -> tuple[str, ...]:
        return tuple(axis.set for axis in self.frame.all_axes or ())

    def _given(self, name: str, tensor: Tensor) -> None:
        draft = Draft(tensor)
        self.build.add(draft)
        self.frame.values[name] = tensor_value(draft, name, (), tensor.span)

    def _state(self, name: str) -> None:
        """A state has an element for each of the parameters, or is one number."""
        declaration = self.scope.states[name]
        self.frame.failed.add(name)
        if declaration.axes and not _is_element_wise(declaration):
            reason = f"the state `{name}` has the axes `[..]`, or none"
            raise CompileError(BadOptimizerSignature(declaration.span, reason))
        if declaration.element_of is not None:
            raise CompileError(NotInAnOptimizer(declaration.span, "index sets", "a state may hold integers: `: int`"))
        kind: Type = declaration.type or "real"
        sizes, sets = (self._sizes, self._sets) if declaration.axes else ((), ())
        start = Initialiser("constant", (self._start(declaration, kind),))
        self._given(name, Tensor(name, sizes, kind, "state", (), sets, initialiser=start, span=declaration.span))
        self.frame.failed.discard(name)

    def _start(self, declaration: ast.Declaration, kind: str) -> float:
        name = declaration.name.text
        if declaration.value is None:
            raise CompileError(BadStateStart(declaration.span, f"nothing says how the state `{name}` starts"))
        context = static_context(self.frame)
        value = evaluate(context, declaration.value)
        fix_hypers(context, value, whole_only=False)
        number = known_value(value)
        fits = number is not None and (kind == "bool") == isinstance(number, bool)
        if number is None or not fits or (kind == "int" and not float(number).is_integer()):
            raise CompileError(BadStateStart(declaration.span, f"`{name}` cannot start from this"))
        return float(number)

    # -- lines ---------------------------------------------------------------------------------------------------------

    def _statement(self, statement: ast.Statement) -> None:
        match statement:
            case ast.Equation() if statement.target.name.text in self.scope.instances:
                raise CompileError(NotInAnOptimizer(statement.span, "instances of layers", "they have parameters"))
            case ast.Equation(target=target) if target.name.text in self.scope.equations:
                self._line(statement, target.name.text, self._equation)
            case ast.Update(target=target) if target.name.text in self.scope.updates:
                self._line(statement, target.name.text, self._update)
            case ast.Total(name=name) if name.text in self.scope.totals:
                self._line(statement, name.text, self._total)
            case _ if type(statement) in _REFUSED:
                what, way_out = _REFUSED[type(statement)]
                raise CompileError(NotInAnOptimizer(statement.span, what, way_out))

    def _line(self, statement: Line, name: str, work: Callable[..., None]) -> None:
        try:
            self._check_names(statement)
            work(statement, name)
        except (CompileError, Poisoned):
            self.frame.failed.add(name)
            self.frame.values.pop(name, None)
            raise

    def _check_names(self, statement: Line) -> None:
        """Nothing is read before its line, nor summed."""
        for node in ast.walk(statement.value):
            if isinstance(node, ast.Reduction):
                raise CompileError(SumInAnOptimizer(node.span, node.kind))
            if isinstance(node, ast.Indexed) and isinstance(node.base, ast.Name):
                self._check_axes(node.base.text, node.subscripts, node.span)
            if not isinstance(node, ast.Name) or node.text in (*self.frame.values, *self.frame.failed):
                continue
            if node.text in self.scope.equations or node.text in self.scope.totals:
                raise CompileError(ReadTooEarly(node.span, node.text, self.scope.place(node.text)))

    def _check_axes(
        self, name: str, subscripts: tuple[ast.Subscript, ...], span: Span, is_target: bool = False
    ) -> None:
        """What is one number has no elements: elsewhere `[..]` may stand for no axis at all."""
        value = self.frame.values.get(name)
        is_number = name in self.scope.hypers or (value is not None and not value.rank)
        if not is_number or not any(isinstance(one, ast.AllAxes) for one in subscripts):
            return
        tables = ((self.scope.states, "a state"), (self.scope.totals, "a total"), (self.scope.hypers, "a setting"))
        what = next((words for table, words in tables if name in table), "a scalar")
        raise CompileError(ElementsOfNumber(span, name, what, self.scope.place(name), is_target))

    def _evaluated(self, statement: Line, target: ast.Target) -> tuple[Equation, Expr]:
        dots = next((node for node in ast.walk(statement.value) if isinstance(node, ast.AllAxes)), None)
        if dots is not None and not target.subscripts:
            raise CompileError(ScalarOfElements(dots.span, target.name.text, target.name.span))
        left = left_side(self.frame, target)
        sums = sums_of(self.scope, statement.value, {})
        if sums.problems:
            raise CompileError(sums.problems)
        body = evaluate(Context(self.frame, left.env, sums, left.axes), statement.value)
        return Equation(left.indices, left.subscripts, body, statement.span), body

    def _equation(self, statement: ast.Equation, name: str) -> None:
        if name in self.frame.values:
            raise CompileError(SeveralEquations(statement.span, name, self.scope.place(name)))
        equation, body = self._evaluated(statement, statement.target)
        self._made(name, name, equation, body)
        self._remember_update(statement, name)

    def _update(self, statement: ast.Update, name: str) -> None:
        target, before = statement.target, self.frame.values.get(name)
        if before is None:
            raise Poisoned
        self._check_axes(name, target.subscripts, target.span, True)
        if len(target.subscripts) != before.rank:
            span, place = target.span, self.scope.place(name)
            raise CompileError(WrongRank(span, name, before.rank, len(target.subscripts), place, ("..",)))
        equation, body = self._evaluated(statement, target)
        if before.type == "real" and body.type == "int":
            body = real(body)
        if body.type != before.type:
            raise CompileError(
                UpdateOfAnotherType(statement.value.span, name, before.type, body.type, self.scope.place(name))
            )
        self._made(name, f"{name}.next", replace(equation, value=body), body)
        self.updated[name] = self.late[name] = statement.span

    def _total(self, statement: ast.Total, name: str) -> None:
        late = [one for one in self._names(statement) if one in self.late]
        if late:
            raise CompileError(TotalAfterUpdate(statement.span, late[0], self.late[late[0]]))
        dots = ast.AllAxes(span=statement.name.span)
        equation, body = self._evaluated(statement, ast.Target(statement.name, (dots,), span=statement.name.span))
        if body.type == "bool":
            raise CompileError(BoolInArithmetic(statement.value.span))
        inside = Read(INSIDE, equation.indices, "bool")
        value = Reduce("sum", equation.indices, Select(inside, real(body), Const(0.0)))
        if INSIDE not in self.build.drafts:
            self.build.add(Draft(Tensor(INSIDE, self._sizes, "bool", "input", sets=self._sets)))
        self._made(name, name, Equation((), (), value, statement.span), body)
        total = self.frame.values[name].body
        assert isinstance(total, Read)
        self.totals.append(total.tensor)

    def _made(self, name: str, wanted: str, equation: Equation, body: Expr) -> None:
        sizes = tuple(index.size for index in equation.indices)
        sets = self._sets if sizes else ()
        made = self.build.fresh_id(wanted)
        tensor = Tensor(made, sizes, equation.value.type, "computed", (equation,), sets, span=equation.span)
        draft = Draft(tensor, bodies=(body,))
        self.build.add(draft)
        self.frame.values[name] = tensor_value(draft, name, (), equation.span)

    def _names(self, statement: Line) -> Iterator[str]:
        return (node.text for node in ast.walk(statement.value) if isinstance(node, ast.Name))

    def _remember_update(self, statement: Line, name: str) -> None:
        late = next((self.late[one] for one in self._names(statement) if one in self.late), None)
        if late is not None:
            self.late[name] = late

    # -- the whole -----------------------------------------------------------------------------------------------------

    def _moved(self) -> None:
        name = next(iter(self.scope.data), None)
        if name is not None and name not in (*self.scope.updates, *self.scope.broken, *self.frame.failed):
            raise CompileError(ParametersNotUpdated(self.scope.definition.name.span, self.scope.name, name))

    def _updates(self) -> tuple[Update, ...]:
        """The last value of the parameters and of every state; what becomes of the gradient is forgotten."""
        gradient = list(self.scope.data)[1:]
        found: list[Update] = []
        for name in self.updated:
            value: Value = self.frame.values[name]
            assert isinstance(value.body, Read)
            if name not in gradient:
                found.append(Update(name, value.body.tensor))
        return tuple(found)


def _is_element_wise(declaration: ast.Declaration) -> bool:
    return len(declaration.axes) == 1 and isinstance(declaration.axes[0], ast.AllAxes)
