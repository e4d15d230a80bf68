"""Looking names up in a frame: index sets, hyper-parameters, tensors.  Everything is made when it is first asked for,
so the order of lines does not matter, and a name that is asked for while it is being made is a circle."""

from __future__ import annotations

from collections.abc import Callable

from dlc.compiler.diagnostics import CompileError
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, Size, walk
from dlc.compiler.ir.graph import Tensor
from dlc.compiler.semantics.contexts import Context, evaluate, static_context
from dlc.compiler.semantics.errors_calls import MissingValue
from dlc.compiler.semantics.errors_names import UnknownSet
from dlc.compiler.semantics.errors_sizes import BadSetting, BadSize, CircularSizes, NegativeSize
from dlc.compiler.semantics.errors_types import NotAnInteger
from dlc.compiler.semantics.frames import Draft, Frame, Poisoned, Restart
from dlc.compiler.semantics.scope import Scope, SetEntry, set_of
from dlc.compiler.semantics.sizes import Evidence
from dlc.compiler.semantics.wholes import whole
from dlc.compiler.source import Span
from dlc.compiler.syntax import ast

# -- index sets ------------------------------------------------------------------------------------------------------


def set_size(frame: Frame, name: str, span: Span | None) -> Expr:
    """The size of a set of the frame's definition."""
    owner = frame.instance.statics if name in static_sets(frame.scope) else frame
    if name in owner.sets:
        return owner.sets[name]
    entry = frame.scope.sets.get(name)
    if entry is None:
        raise CompileError(UnknownSet(span, name, None, tuple(frame.scope.sets)))
    if f"|{name}|" in owner.failed:
        raise Poisoned
    if f"|{name}|" in owner.open:
        circle = list(owner.open)[list(owner.open).index(f"|{name}|") :]
        raise CompileError(CircularSizes(span, (*(one.strip("|") for one in circle), name)))
    owner.open[f"|{name}|"] = span or entry.span
    try:
        size = _new_size(owner, entry)
    except CompileError as error:
        owner.failed.add(f"|{name}|")
        for problem in error.diagnostics:
            owner.report(problem)
        raise Poisoned from None
    except Poisoned:
        owner.failed.add(f"|{name}|")
        raise
    finally:
        owner.open.pop(f"|{name}|", None)
    return owner.sets.setdefault(name, size)


def _new_size(frame: Frame, entry: SetEntry) -> Expr:
    build = frame.build
    is_top = frame.instance.path == "" and frame.instance.passed is None
    given = build.given_sizes.get(entry.name) if is_top else None
    if entry.size is not None:
        size = size_expression(frame, entry.size)
        if given is not None and size is not Const(given):
            problem = BadSetting(entry.size_span, entry.name, str(given), f"its size is {build.sizes.show(size)} here")
            raise CompileError(problem)
        symbol = build.sizes.unknown(Evidence(f"`{entry.name}`", entry.span))
        build.sizes.bind(symbol, size, Evidence(f"`{entry.name}` is fixed here", entry.size_span))
        return symbol
    if given is not None:
        return Const(given)
    if is_top and entry.default is not None and not entry.of_data:
        return size_expression(frame, entry.default)
    if is_top and entry.of_data:
        return Size(entry.name)
    evidence = Evidence(f"`{entry.name}`", entry.span)
    if frame.is_static and frame.instance.path:
        evidence = Evidence(f"`{entry.name}` of `{frame.instance.path}`", frame.instance.span)
    symbol = build.sizes.unknown(evidence)
    if is_top and build.generic and entry.in_signature and entry.default is None:
        # open only if the body does not say: `y[b,V] = Conv1d(..)` binds the V of an output
        build.sizes.suggest(symbol, Size(entry.name), evidence)
    return symbol


def take_default(frame: Frame, name: str) -> None:
    """A set with a default that nothing has bound gets it."""
    entry = frame.scope.sets[name]
    size = set_size(frame, name, entry.span)
    if entry.default is None or frame.build.sizes.is_known(size):
        return
    value = size_expression(frame, entry.default)
    evidence = Evidence(f"the default of `{name}`", entry.default.span)
    frame.build.sizes.unify(size, value, Evidence(f"`{name}`", entry.span), evidence, frame.report)


def static_sets(scope: Scope) -> frozenset[str]:
    """Sets that parameters, states and nested instances depend on: all uses of an instance share them."""
    known = scope.static_sets
    if known is None:
        known = scope.static_sets = frozenset(_static_sets(scope))
    return known


def _static_sets(scope: Scope) -> set[str]:
    found: set[str] = set()
    for declaration in (*scope.parameters.values(), *scope.own_parameters.values(), *scope.states.values()):
        found.update(set_of(axis.text) for axis in declaration.axes if isinstance(axis, ast.Name))
    for entry in scope.instances.values():
        found.update(set_of(axis.text) for axis in entry.axes)
        for argument in entry.call.arguments:
            found.update(_sets_in(argument.value))
    waiting = list(found)
    while waiting:
        one = scope.sets.get(waiting.pop())
        for size in (one.size, one.default) if one is not None else ():
            new = _sets_in(size) - found if size is not None else set()
            found |= new
            waiting.extend(new)
    return found


def _sets_in(node: ast.Node) -> set[str]:
    return {set_of(name.text) for name in ast.walk(node) if isinstance(name, ast.Name) and name.is_capital}


def size_expression(frame: Frame, node: ast.Expression) -> Expr:
    """A size: an integer expression over sizes and constants, in normal form."""
    if isinstance(node, ast.Name) and node.is_capital:
        return set_size(frame, set_of(node.text), node.span)
    value = integer(static_context(frame), node, "a size")
    for part in walk(value):
        if isinstance(part, Index | Read | Reduce):
            raise CompileError(BadSize(node.span, "it depends on data"))
    if isinstance(value, Const) and value.value < 0:
        raise CompileError(NegativeSize(node.span, "", str(value.value)))
    return frame.build.sizes.value(value)


# -- integers --------------------------------------------------------------------------------------------------------


def integer(context: Context, node: ast.Expression, where: str) -> Expr:
    return as_integer(context, evaluate(context, node), node.span, where)


def as_integer(context: Context, value: Expr, span: Span, where: str) -> Expr:
    """``value`` where an integer is needed; a hyper-parameter that shows up here is fixed."""
    if value.type == "int":
        return value
    rounded = None if context.static else whole(context.frame.build, value)  # a size is a polynomial
    if rounded is not None:
        return rounded
    fix_hypers(context, value)
    raise CompileError(NotAnInteger(span, value.type, where))


def fix_hypers(context: Context, value: Expr, whole_only: bool = True) -> None:
    """Begin again with the hyper-parameters in ``value`` fixed, if they are whole numbers (or any, if asked)."""
    names = hypers_in(context, value)
    build = context.frame.build
    if whole_only:
        names = [name for name in names if build.hypers[name]]
    if names:
        raise Restart(names)


def hypers_in(context: Context, value: Expr) -> list[str]:
    build = context.frame.build
    return [part.tensor for part in walk(value) if isinstance(part, Read) and part.tensor in build.hypers]


# -- hyper-parameters ------------------------------------------------------------------------------------------------


def hyper(frame: Frame, name: str, span: Span) -> Expr:
    if name in frame.hypers:
        return frame.hypers[name]
    if name in frame.instance.hypers:
        return frame.instance.hypers[name]
    declaration = frame.scope.hypers[name]
    if frame.instance.path == "" and frame.instance.passed is None:
        result = _own_hyper(frame, name, declaration)
    elif declaration.value is None:
        raise CompileError(MissingValue(span, name, frame.scope.name))
    else:
        result = _entered(frame, name, span, lambda: evaluate(static_context(frame), _value(declaration)))
    return frame.hypers.setdefault(name, result)


def _own_hyper(frame: Frame, name: str, declaration: ast.Declaration) -> Expr:
    """A hyper-parameter of the definition that is compiled: a number if it is fixed, else a tensor."""
    build = frame.build
    if name in build.fixed:
        return _constant(build.fixed[name], declaration)
    default: Expr | None = None
    if declaration.value is not None:
        default = _entered(frame, name, declaration.span, lambda: evaluate(static_context(frame), _value(declaration)))
        if not isinstance(default, Const) or default.type == "bool":
            return default
    elif build.checking:
        return Size(name)
    whole = isinstance(default, Const) and default.type == "int"
    number = float(default.value) if isinstance(default, Const) else None
    tensor = Tensor(name, (), "real", "hyper", default=number, span=declaration.span)
    build.add(Draft(tensor))
    build.hypers[name] = whole
    return Read(name, (), "real")


def _constant(value: int | float | bool, declaration: ast.Declaration) -> Const:
    """A given number; whole numbers are integers unless the default is written as a real."""
    written = declaration.value
    is_real = isinstance(written, ast.Number) and not written.is_integer
    if isinstance(value, float) and value.is_integer() and not is_real:
        return Const(int(value))
    return Const(float(value)) if is_real and not isinstance(value, bool) else Const(value)


def _value(declaration: ast.Declaration) -> ast.Expression:
    assert declaration.value is not None
    return declaration.value


def _entered(frame: Frame, name: str, span: Span, work: Callable[[], Expr]) -> Expr:
    if name in frame.open:
        circle = tuple(frame.open)[tuple(frame.open).index(name) :]
        raise CompileError(CircularSizes(span, (*circle, name)))
    frame.open[name] = span
    try:
        return work()
    finally:
        frame.open.pop(name, None)
