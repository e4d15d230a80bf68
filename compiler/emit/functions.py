"""The functions of a spec as Python functions of NumPy: numbers and arrays alike, in double precision.

They run outside the kernels, once for a step say, so they are written to be read.  Both sides of an `if` are computed,
and one is chosen for each element.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from dlc.compiler.emit.names import Names
from dlc.compiler.emit.writer import Writer, literal
from dlc.compiler.ir.expr import Const, Expr, Op, Read, Select, reads, walk
from dlc.compiler.ir.functions import FunctionParameter, ScalarFunction

SCIPY = "special"
"""The name under which a module has `scipy.special`."""

_SUM, _PRODUCT, _UNARY, _ATOM = range(4)

_INFIX = {"floordiv": "//", "mod": " % "}

#: Operators that are calls.
_CALLS = {
    "add": "np.add", "mul": "np.multiply", "max": "np.maximum", "min": "np.minimum", "abs": "np.abs", "sign": "np.sign",
    "div": "np.divide", "pow": "np.power", "exp": "np.exp", "log": "np.log", "sqrt": "np.sqrt", "sin": "np.sin",
    "cos": "np.cos", "tan": "np.tan", "sinh": "np.sinh", "cosh": "np.cosh", "tanh": "np.tanh",
    "sigmoid": f"{SCIPY}.expit", "erf": f"{SCIPY}.erf", "floor": "np.floor", "ceil": "np.ceil", "log1p": "np.log1p",
    "expm1": "np.expm1", "lt": "np.less", "le": "np.less_equal", "eq": "np.equal", "ne": "np.not_equal",
    "not": "np.logical_not", "real": "np.float64", "int": "np.int64",
}  # fmt: skip
#: Operators of two or more arguments that are calls of two.
_PAIRS = {"and": "np.logical_and", "or": "np.logical_or"}
#: Operators with a constant argument in NumPy.
_WITH_ZERO = {"relu": "np.maximum", "softplus": "np.logaddexp"}

OPERATORS = frozenset((*_CALLS, *_PAIRS, *_WITH_ZERO, *_INFIX, "neg", "stop"))
"""Everything that can be spelled; a test compares it with the operators of the language."""


def write(writer: Writer, function: ScalarFunction, name: str) -> None:
    """The definition of a function that the module calls ``name``."""
    spelled = spelled_parameters(function)
    text = _Text(spelled)
    types = ", ".join(literal(parameter.type) for parameter in function.parameters)
    arguments = ", ".join(_argument(parameter, spelled, text) for parameter in function.parameters)
    writer.line(f"@scalar_function({types})")
    with writer.block(f"def {name}({arguments}):"):
        writer.docstring(list(described(function)))
        for parameter in function.parameters:
            if parameter.default is not None and not isinstance(parameter.default, Const):
                own = spelled[parameter.name]
                writer.line(f"{own} = {text.of(parameter.default)} if {own} is None else {own}")
        writer.line(f"return {text.of(function.value)}")


def spelled_parameters(function: ScalarFunction) -> dict[str, str]:
    """They hide what else the module calls so, which a function does not need."""
    names = Names((SCIPY,))
    return {parameter.name: names.fresh(parameter.name) for parameter in function.parameters}


def described(function: ScalarFunction) -> Iterable[str]:
    """The author's words, and the formula."""
    given = ", ".join(parameter.name for parameter in function.parameters)
    yield from (line.rstrip() for line in function.doc.strip().splitlines())
    if function.doc.strip():
        yield ""
    yield f"{function.name}({given}) = {function.text}"


def uses_scipy(functions: Iterable[ScalarFunction]) -> bool:
    parts = [p for f in functions for p in (f.value, *(q.default for q in f.parameters)) if p is not None]
    calls = [_CALLS.get(node.name, "") for node in walk(*parts) if isinstance(node, Op)]
    return any(call.startswith(f"{SCIPY}.") for call in calls)


def _argument(parameter: FunctionParameter, spelled: Mapping[str, str], text: _Text) -> str:
    name = spelled[parameter.name]
    if parameter.default is None:
        return name
    return f"{name}={text.of(parameter.default) if isinstance(parameter.default, Const) else None}"


class _Text:
    """Expressions with the names of one function."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def of(self, node: Expr, level: int = _SUM) -> str:
        """The expression, in parentheses where it binds weaker than ``level``."""
        written, strength = self._spell(node)
        return f"({written})" if strength < level else written

    def _spell(self, node: Expr) -> tuple[str, int]:
        match node:
            case Const(value=value):
                return _constant(value)
            case Read(tensor=name):
                return self._names[name], _ATOM
            case Select():
                return f"np.where({self.of(node.cond)}, {self.of(node.yes)}, {self.of(node.no)})", _ATOM
            case Op(name="neg", args=(arg,)):
                return f"-{self.of(arg, _UNARY)}", _UNARY
            case Op(name="stop", args=(arg,)):
                return self._spell(arg)
            case Op(name="add") if reads(node):
                return self._sum(node), _SUM
            case Op(name="mul") if reads(node):
                return "*".join(self.of(arg, _UNARY) for arg in node.args), _PRODUCT
            case Op(name="div", args=(left, right)) if reads(node):
                return f"{self.of(left, _PRODUCT)}/{self.of(right, _UNARY)}", _PRODUCT
            case Op(name=name, args=(left, right)) if name in _INFIX:
                return f"{self.of(left, _PRODUCT)}{_INFIX[name]}{self.of(right, _UNARY)}", _PRODUCT
            case Op(name=name, args=args) if name in _PAIRS or (name in _CALLS and len(args) > 2):
                return self._call(_PAIRS.get(name) or _CALLS[name], args), _ATOM
            case Op(name=name, args=(arg,)) if name in _WITH_ZERO:
                return f"{_WITH_ZERO[name]}({self.of(arg)}, 0.0)", _ATOM
            case Op(name=name, args=args):
                return self._call(_CALLS[name], args), _ATOM
        raise TypeError(f"{type(node).__name__} does not stand in a function")

    def _sum(self, node: Op) -> str:
        first, *rest = node.args
        written = self.of(first, _PRODUCT)
        for term in rest:
            match term:
                case Op(name="neg", args=(arg,)):
                    written += f" - {self.of(arg, _PRODUCT)}"
                case Const(value=value) if _constant(value)[0].startswith("-"):
                    written += f" - {_constant(value)[0][1:]}"
                case _:
                    written += f" + {self.of(term, _PRODUCT)}"
        return written

    def _call(self, function: str, args: tuple[Expr, ...]) -> str:
        if len(args) <= 2:
            return f"{function}({', '.join(map(self.of, args))})"
        return f"{function}({self._call(function, args[:-1])}, {self.of(args[-1])})"


def _constant(value: float | int | bool) -> tuple[str, int]:
    if isinstance(value, float) and not math.isfinite(value):
        return ("np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"), _UNARY
    return repr(value), _UNARY if repr(value).startswith("-") else _ATOM
