"""How far rounding can carry a computed value: a graph whose tensors bound the errors of another's.

Beside every real tensor ``T`` that is computed stands ``T.error``, a bound (to first order) on the distance between the
float64 value of ``T`` and its true value, the inputs taken as exact: Wilkinson's running error analysis (Higham,
"Accuracy and stability of numerical algorithms", section 3.3), written as equations.  So a difference of two sides of a
claim is weighed against what float64 can do at that very element, and neither cancellation nor scale deceives::

    error(a + b) = error(a) + error(b) + u (|a| + |b|)
    error(a * b) = |a| error(b) + |b| error(a) + u |a b|
    error(f(a))  = |f'(a)| error(a) + 4 u |f(a)|

Beside every tensor stands ``T.doubt`` where a choice may have gone wrong by rounding: a comparison of nearly equal
numbers, the position of a maximum that has a rival, a root of what may be negative.  Nothing is known of such elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dlc.compiler.ir.expr import FALSE, Const, Expr, Index, Op, Read, Reduce, Select, Solve, number, op, refresh
from dlc.compiler.ir.graph import Graph, Tensor
from dlc.compiler.ir.rewriting import substitute

UNIT = 2.0**-52
_ZERO, _ONE, _TWO = Const(0.0), Const(1.0), Const(2.0)
_ULPS = Const(4 * UNIT)  # of an elementary function
_MOST_DIGITS = 2**53


@dataclass(frozen=True)
class Bounds:
    """A graph with the bounds in it, and the tensors that hold them by the tensor that they speak of."""

    graph: Graph
    errors: dict[str, str]
    doubts: dict[str, str]


def bounded(graph: Graph) -> Bounds:
    """The graph with ``T.error`` and ``T.doubt`` for every tensor that is not exact."""
    result = Bounds(graph, {}, {})
    tensors = dict(graph.tensors)
    for component in graph.components:
        recurrent = component[0] in graph.recurrence_of
        for name in component if recurrent else ():
            _announce(result, tensors, graph.tensors[name])
        for name in component:
            tensor = graph.tensors[name]
            if tensor.kind != "computed":
                continue
            rules = _Rules(result.errors, result.doubts)
            for kind, bound in (("error", rules.error), ("doubt", rules.doubt)):
                made = _companion(tensor, kind, bound)
                table = result.errors if kind == "error" else result.doubts
                if made is None or (kind == "error" and tensor.type != "real"):
                    continue
                if not recurrent and all(e.value in (_ZERO, FALSE) for e in made.equations):
                    continue
                tensors[made.id] = made
                table[name] = made.id
    return replace(result, graph=graph.with_tensors(tensors.values()))


def _announce(result: Bounds, tensors: dict[str, Tensor], tensor: Tensor) -> None:
    """The members of a recurrence read each other's bounds before these are made."""
    if tensor.type == "real":
        result.errors[tensor.id] = f"{tensor.id}.error"
    result.doubts[tensor.id] = f"{tensor.id}.doubt"


def _companion(tensor: Tensor, kind: str, bound: Callable[[Expr], Expr]) -> Tensor | None:
    equations = tuple(replace(equation, value=bound(equation.value)) for equation in tensor.equations)
    made = "real" if kind == "error" else "bool"
    return replace(tensor, id=f"{tensor.id}.{kind}", type=made, equations=equations, bound=None, bound_set="")


# -- small expressions that stay small ------------------------------------------------------------------------------


def _sum(*terms: Expr) -> Expr:
    kept = [term for term in terms if term is not _ZERO]
    return op("add", *kept) if len(kept) > 1 else kept[0] if kept else _ZERO


def _times(scale: Expr, error: Expr) -> Expr:
    """``scale*error``; 0 where there is no error, however great the scale."""
    if error is _ZERO:
        return _ZERO
    return Select(op("eq", error, _ZERO), _ZERO, op("mul", scale, error))


def _rounding(value: Expr, unit: float = UNIT) -> Expr:
    return op("mul", Const(unit), op("abs", value))


def _any(*doubts: Expr) -> Expr:
    kept = tuple(dict.fromkeys(doubt for doubt in doubts if doubt is not FALSE))
    return op("or", *kept) if len(kept) > 1 else kept[0] if kept else FALSE


def _both(condition: Expr, doubt: Expr) -> Expr:
    return FALSE if doubt is FALSE else op("and", condition, doubt)


def _near(distance: Expr, error: Expr) -> Expr:
    """Whether an error may carry over this distance; never without one."""
    if error is _ZERO:
        return FALSE
    return op("and", op("lt", _ZERO, error), op("le", distance, error))


# -- the rules ------------------------------------------------------------------------------------------------------


@dataclass
class _Rules:
    errors: dict[str, str]
    doubts: dict[str, str]
    _error: dict[Expr, Expr] = field(default_factory=dict)
    _doubt: dict[Expr, Expr] = field(default_factory=dict)

    def error(self, node: Expr) -> Expr:
        if node not in self._error:
            self._error[node] = self._error_of(node) if node.type == "real" else _ZERO
        return self._error[node]

    def doubt(self, node: Expr) -> Expr:
        if node not in self._doubt:
            self._doubt[node] = self._doubt_of(node)
        return self._doubt[node]

    # errors

    def _error_of(self, node: Expr) -> Expr:
        match node:
            case Const(value=value):
                exact = value != value or abs(value) == float("inf") or (value % 1 == 0 and abs(value) < _MOST_DIGITS)
                return _ZERO if exact else Const(UNIT * abs(value))
            case Read(tensor=tensor, subscripts=subscripts):
                return Read(self.errors[tensor], subscripts, "real") if tensor in self.errors else _ZERO
            case Select(cond=cond, yes=yes, no=no):
                taken, other = self.error(yes), self.error(no)
                return taken if taken is other else Select(cond, taken, other)
            case Reduce():
                return self._reduced(node)
            case Solve():
                return self._solved(node)
            case Op(name=name, args=args) if name in _ERRORS:
                return _ERRORS[name](node, args, tuple(map(self.error, args)))
        return _ZERO

    def _reduced(self, node: Reduce) -> Expr:
        inner = self.error(node.body)
        match node.op:
            case "sum":
                count = op("real", op("mul", *(index.size for index in node.indices)))
                own = op("mul", Const(UNIT), count, op("abs", node.body))
                return Reduce("sum", node.indices, _sum(inner, own))
            case "prod":
                largest = Reduce("prod", node.indices, _sum(op("abs", node.body), inner))
                count = op("real", op("mul", *(index.size for index in node.indices)))
                lost = op("add", largest, op("neg", Reduce("prod", node.indices, op("abs", node.body))))
                return _sum(lost, op("mul", Const(UNIT), count, largest))
            case _:  # max, min: as far as the furthest
                return _ZERO if inner is _ZERO else op("max", _ZERO, Reduce("max", node.indices, inner))

    def _solved(self, node: Solve) -> Expr:
        """Σ_k |A⁻¹_{.k}| r_k with the residual r_k = error(b_k) + Σ_c (error(A_kc) + 4 n u |A_kc|) |x_c| + u |b_k|."""
        row, column = node.row, node.column
        indices = (refresh(row), refresh(column))
        x = Solve(indices, *self._renamed(node, *indices), column)
        size = op("mul", Const(4 * UNIT), op("real", row.size), op("abs", node.matrix))
        carried = op("mul", _sum(self.error(node.matrix), size), op("abs", x))
        residual = _sum(self.error(node.vector), _rounding(node.vector), Reduce("sum", (column,), carried))
        others = (refresh(row), refresh(column))
        unit = Select(op("eq", others[0], row), _ONE, _ZERO)
        influence = op("abs", Solve(others, self._renamed(node, *others)[0], unit, node.position))
        return _sum(Reduce("sum", (row,), op("mul", influence, residual)), _rounding(node))

    def _renamed(self, node: Solve, row: Index, column: Index) -> tuple[Expr, Expr]:
        names: dict[Expr, Expr] = {node.row: row, node.column: column}
        return substitute(node.matrix, names), substitute(node.vector, names)

    # doubts

    def _doubt_of(self, node: Expr) -> Expr:
        match node:
            case Read(tensor=tensor, subscripts=subscripts):
                own = Read(self.doubts[tensor], subscripts, "bool") if tensor in self.doubts else FALSE
                at = _any(*map(self.doubt, subscripts))
                return own if at is FALSE else _any(at, own)
            case Select(cond=cond, yes=yes, no=no):
                taken, other = self.doubt(yes), self.doubt(no)
                inner = taken if taken is other else Select(cond, taken, other)
                return _any(self.doubt(cond), inner)
            case Reduce():
                inner = self.doubt(node.body)
                inside = FALSE if inner is FALSE else Reduce("any", node.indices, inner)
                return _any(inside, self._rivalled(node))
            case Solve():
                matrix, vector = self.doubt(node.matrix), self.doubt(node.vector)
                unknown = _any(matrix, vector)
                return FALSE if unknown is FALSE else Reduce("any", node.indices, unknown)
            case Op(name="and" | "or" as name, args=(first, *rest)):
                others = self.doubt(op(name, *rest)) if rest else FALSE
                return _any(self.doubt(first), _both(first if name == "and" else op("not", first), others))
            case Op(name=name, args=args):
                own = _DOUBTS[name](args, tuple(map(self.error, args))) if name in _DOUBTS else FALSE
                return _any(*map(self.doubt, args), own)
        return FALSE

    def _rivalled(self, node: Reduce) -> Expr:
        """Whether another position of ``argmax`` has a value that may be the greatest."""
        error = self.error(node.body)
        if node.op not in ("argmax", "argmin") or error is _ZERO:
            return FALSE
        extreme = Reduce(node.op.removeprefix("arg"), node.indices, node.body)
        furthest = Reduce("max", node.indices, error)
        renamed: dict[Expr, Expr] = {index: refresh(index) for index in node.indices}
        body, its = substitute(node.body, renamed), substitute(error, renamed)
        mine = tuple(index for index in renamed.values() if isinstance(index, Index))
        position: Expr = number(0, "int")
        for index in mine:
            position = op("add", op("mul", position, index.size), index)
        distance = op("abs", op("add", extreme, op("neg", body)))
        rival = op("and", op("ne", position, node), _near(distance, op("add", its, furthest)))
        return Reduce("any", mine, rival)


ErrorRule = Callable[[Op, tuple[Expr, ...], tuple[Expr, ...]], Expr]


def _add(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    """u Σ|a_k| for every addition but the last, which the bound of the first covers."""
    own = [_rounding(arg, UNIT * (len(args) - 1)) for arg in args]
    return _sum(*errors, *own)


def _mul(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    """(|a| + error(a)) (|b| + error(b)) - |a b| + u |a b|, factor by factor."""
    product, error = args[0], errors[0]
    for factor, its in zip(args[1:], errors[1:], strict=True):
        crossed = _ZERO if error is _ZERO or its is _ZERO else op("mul", error, its)
        error = _sum(_times(op("abs", product), its), _times(op("abs", factor), error), crossed)
        product = op("mul", product, factor)
        error = _sum(error, _rounding(product))
    return error


def _div(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    """2 (error(a) + |a/b| error(b)) / |b| + u |a/b|, for error(b) <= |b|/2."""
    carried = _sum(errors[0], _times(op("abs", node), errors[1]))
    return _sum(_times(op("div", _TWO, op("abs", args[1])), carried), _rounding(node))


def _pow(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    base, exponent = args
    own = _rounding(node, 4 * UNIT)
    if isinstance(exponent, Const) and exponent.value >= 1:
        reach = op("pow", _sum(op("abs", base), errors[0]), Const(float(exponent.value) - 1))
        return _sum(_times(op("mul", Const(float(exponent.value)), reach), errors[0]), own)
    power = exponent if exponent.type == "real" else op("real", exponent)
    slope = op("mul", _TWO, op("abs", op("div", op("mul", power, node), base)))
    steepness = op("abs", op("mul", node, op("log", op("abs", base))))
    return _sum(_times(slope, errors[0]), _times(steepness, errors[1]), own)


def _exp(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    """e^a (e^error(a) - 1) + 4 u e^a."""
    return _sum(_times(node, op("expm1", errors[0])) if errors[0] is not _ZERO else _ZERO, op("mul", _ULPS, node))


def _sqrt(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    """error(a)/√a, and where a is no greater than its error √(2 error(a))."""
    own, error = _rounding(node), errors[0]
    if error is _ZERO:
        return own
    small = op("le", op("abs", args[0]), error)
    return _sum(Select(small, op("sqrt", op("mul", _TWO, error)), op("div", error, node)), own)


def _steep(slope: Callable[[Op, Expr], Expr | None]) -> ErrorRule:
    """``slope*error + 4 u |f|``; a slope of None is 1."""

    def rule(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
        scale = slope(node, args[0])
        carried = errors[0] if scale is None else _times(scale, errors[0])
        return _sum(carried, _rounding(node, 4 * UNIT))

    return rule


def _carried(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    return errors[0]


def _furthest(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    return errors[0] if errors[0] is errors[1] else op("max", *errors)


def _wave(node: Op, args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    """sin and cos: error(a) + 4 u, for near a zero they are no more exact than their argument is reduced."""
    return _sum(errors[0], _ULPS)


def _grown(node: Op, arg: Expr) -> Expr:
    return op("mul", _TWO, op("add", _ONE, op("abs", node)))


_ERRORS: dict[str, ErrorRule] = {
    "add": _add,
    "mul": _mul,
    "neg": _carried,
    "abs": _carried,
    "stop": _carried,
    "relu": _carried,
    "max": _furthest,
    "min": _furthest,
    "div": _div,
    "pow": _pow,
    "exp": _exp,
    "sqrt": _sqrt,
    "log": _steep(lambda node, a: op("div", _TWO, op("abs", a))),
    "log1p": _steep(lambda node, a: op("div", _TWO, op("abs", op("add", _ONE, a)))),
    "expm1": _steep(_grown),
    "sin": _wave,
    "cos": _wave,
    "tan": _steep(lambda node, a: op("mul", _TWO, op("add", _ONE, op("mul", node, node)))),
    "sinh": _steep(_grown),
    "cosh": _steep(_grown),
    "tanh": _steep(lambda node, a: None),
    "sigmoid": _steep(lambda node, a: op("mul", _TWO, node)),
    "erf": _steep(lambda node, a: _TWO),
    "softplus": _steep(lambda node, a: None),
}

DoubtRule = Callable[[tuple[Expr, ...], tuple[Expr, ...]], Expr]


def _compared(args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    if args[0].type != "real":
        return FALSE
    return _near(op("abs", op("add", args[0], op("neg", args[1]))), _sum(*errors))


def _small(which: int) -> DoubtRule:
    """Whether an argument is no greater than twice its error."""
    return lambda args, errors: _near(op("abs", args[which]), _times(_TWO, errors[which]))


def _stepped(args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    """Whether a whole number lies within reach of floor and ceil."""
    distance = op("abs", op("add", args[0], op("neg", op("floor", op("add", args[0], Const(0.5))))))
    return _near(distance, errors[0])


def _root(args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    """What is negative may be no less than 0."""
    return _both(op("lt", args[0], _ZERO), _near(op("abs", args[0]), errors[0]))


def _powered(args: tuple[Expr, ...], errors: tuple[Expr, ...]) -> Expr:
    exponent = args[1]
    if args[0].type != "real" or (isinstance(exponent, Const) and exponent.value >= 1 and exponent.value % 1 == 0):
        return FALSE
    return _small(0)(args, errors)


_DOUBTS: dict[str, DoubtRule] = {
    "lt": _compared,
    "le": _compared,
    "eq": _compared,
    "ne": _compared,
    "sign": _small(0),
    "floor": _stepped,
    "ceil": _stepped,
    "div": _small(1),
    "log": _small(0),
    "log1p": lambda args, errors: _near(op("abs", op("add", _ONE, args[0])), _times(_TWO, errors[0])),
    "sqrt": _root,
    "pow": _powered,
}
