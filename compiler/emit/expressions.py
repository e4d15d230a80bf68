"""Scalar expressions as Python that Numba compiles: one table row an operator.

Every value has one of three types and keeps it.  A real constant is written ``real(0.1)``, where the module says
``real = np.float32``, because a bare ``0.1`` would turn a float32 expression into float64; where real is float64 the
bare number is the same and reads better.  Integers are int64, which is what indices and literals are to Numba.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dlc.compiler.emit import powers
from dlc.compiler.ir.affine import equal, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Select, Size, walk

# Binding strength, weakest first: the levels of Python's grammar.
CHOICE, OR, AND, NOT, COMPARE, BITS, SUM, PRODUCT, UNARY, ATOM = range(10)

_COMPARISONS = {"lt": "<", "le": "<=", "eq": "==", "ne": "!="}

#: Operators that are calls of ``dlc.runtime.kernels``: the function for real arguments, and the one for integers.
CALLS: dict[str, tuple[str, str | None]] = {
    "max": ("maximum", "maximum"),
    "min": ("minimum", "minimum"),
    "abs": ("absolute", "absolute"),
    "sign": ("sign", None),
    "exp": ("exp", None),
    "log": ("log", None),
    "sqrt": ("sqrt", None),
    "sin": ("sin", None),
    "cos": ("cos", None),
    "tan": ("tan", None),
    "sinh": ("sinh", None),
    "cosh": ("cosh", None),
    "tanh": ("tanh", None),
    "sigmoid": ("sigmoid", None),
    "erf": ("erf", None),
    "floor": ("floor", None),
    "ceil": ("ceil", None),
    "int": ("integer", None),
    "log1p": ("log1p", None),
    "expm1": ("expm1", None),
    "relu": ("relu", None),
    "softplus": ("softplus", None),
}
#: Powers up to this of a name are written as products.
_LONGEST_PRODUCT = 3


@dataclass
class Spelling:
    """Writes expressions with the names of one function; remembers what the module has to import.

    ``name`` gives the identifier of an index, a local, a size or a buffer; ``scalars`` are the rank-0 buffers that
    come as plain numbers.
    """

    real: str  # float32 or float64
    name: Callable[[Expr | str], str]
    scalars: frozenset[str] = frozenset()
    locals: Mapping[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    sizes: Mapping[str, Sequence[Expr]] = field(default_factory=dict)  # of the truth values that are read
    is_plain: bool = False  # Python that is not compiled: integers only, builtins for ``max``, ``min`` and ``abs``

    def text(self, node: Expr, level: int = CHOICE) -> str:
        """The expression, in parentheses where it binds weaker than ``level``."""
        written, strength = self._spell(node)
        return f"({written})" if strength < level else written

    def element(self, buffer: str, subscripts: tuple[Expr, ...]) -> str:
        """An element of a buffer; the only element of one without axes is its first."""
        return f"{self.name(buffer)}[{', '.join(map(self.text, subscripts)) or '0'}]"

    def call(self, function: str, *arguments: str) -> str:
        self.used.add(function)
        return f"{function}({', '.join(arguments)})"

    # -- kinds of nodes -----------------------------------------------------------------------------------------------

    def _spell(self, node: Expr) -> tuple[str, int]:
        match node:
            case Const(value=value):
                return self._constant(value)
            case Size() | Index():
                return self.name(node), ATOM
            case Read():
                return self._read(node), ATOM
            case Select():
                yes, no = self.text(node.yes, OR), self.text(node.no, CHOICE)
                return f"{yes} if {self.text(node.cond, OR)} else {no}", CHOICE
            case Op():
                return _OPERATORS[node.name](self, node)
        raise TypeError(f"{type(node).__name__} has no spelling")

    def _read(self, node: Read) -> str:
        if not node.subscripts and (node.tensor in self.locals or node.tensor in self.scalars):
            return self.locals.get(node.tensor) or self.name(node.tensor)
        return self.element(node.tensor, node.subscripts)

    def _constant(self, value: float | int | bool) -> tuple[str, int]:
        if isinstance(value, bool):
            return repr(value), ATOM
        if isinstance(value, int):
            return repr(value), UNARY if value < 0 else ATOM
        if math.isnan(value) or math.isinf(value):
            text = "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"
        elif self.real == "float32" and value.is_integer() and abs(value) < 1 << 24 and repr(value) != "-0.0":
            text = str(int(value))
        else:
            text = repr(value)
        if self.real == "float32":
            self.used.add("real")
            return f"real({text})", ATOM
        return text, UNARY if text.startswith("-") else ATOM

    # -- operators ----------------------------------------------------------------------------------------------------

    def _add(self, node: Op) -> tuple[str, int]:
        first, *rest = _positive_first(node)
        written, strength = self.text(first, PRODUCT), SUM
        for term in rest:
            negated = _negated(term)
            if negated is not None and _is_scale(negated):
                written, strength = self.call("difference", written, self.text(negated)), ATOM
                continue
            sign, shown = (" - ", negated) if negated is not None else (" + ", term)
            written, strength = written + sign + self.text(shown, PRODUCT), SUM
        return written, strength

    def _mul(self, node: Op) -> tuple[str, int]:
        """Quotients among the factors stand in parentheses, so that nothing is divided in another order."""
        return "*".join(self.text(factor, UNARY) for factor in node.args), PRODUCT

    def _neg(self, node: Op) -> tuple[str, int]:
        """The sign of a product or of a quotient of reals may stand before it."""
        (arg,) = node.args
        if isinstance(arg, Op) and arg.name in ("mul", "div"):
            return f"-{self.text(arg, PRODUCT)}", PRODUCT
        return f"-{self.text(arg, UNARY)}", UNARY

    def _quotient(self, node: Op) -> tuple[str, int]:
        left, right = node.args
        if node.name == "floordiv" and not self.is_plain and _may_be_minus_one(right):
            return self.call("quotient", self.text(left), self.text(right)), ATOM
        shown = self.text(left, UNARY if isinstance(left, Op) and left.name != "mul" else PRODUCT)
        return f"{shown}{_QUOTIENTS[node.name]}{self.text(right, UNARY)}", PRODUCT

    def _compare(self, node: Op) -> tuple[str, int]:
        left, right = (self.text(arg, SUM) for arg in node.args)
        return f"{left} {_COMPARISONS[node.name]} {right}", COMPARE

    def _and(self, node: Op) -> tuple[str, int]:
        """Comparisons that share a side are chained: ``0 <= i < n``."""
        if self._is_quick(node):
            return " & ".join(self.text(arg, SUM) for arg in node.args), BITS
        parts: list[str] = []
        end: Expr | None = None
        for arg in node.args:
            ordered = arg if isinstance(arg, Op) and arg.name in ("lt", "le") else None
            if ordered and ordered.args[0] is end and isinstance(end, Index | Const | Size | Read):
                parts[-1] += f" {_COMPARISONS[ordered.name]} {self.text(ordered.args[1], SUM)}"
            else:
                parts.append(self.text(arg, NOT))
            end = ordered.args[1] if ordered else None
        return " and ".join(parts), AND if len(parts) > 1 else COMPARE

    def _or(self, node: Op) -> tuple[str, int]:
        if self._is_quick(node):
            return " | ".join(self.text(arg, SUM) for arg in node.args), BITS
        return " or ".join(self.text(arg, AND) for arg in node.args), OR

    def _is_quick(self, node: Op) -> bool:
        """Whether it takes no longer to look at all of them than to branch: comparisons of what is at hand, and truth
        values that lie along the loops.  LLVM makes vectors of no loop in which one such value says whether another
        is read."""
        parts = list(walk(*node.args))
        far = [part for part in parts if isinstance(part, Read) and part.subscripts]
        if self.is_plain or not all(map(self._is_there, far)):
            return False
        operators = [part for part in parts if isinstance(part, Op)]
        if any(one.name not in _QUICK for one in operators):
            return False
        near = (part for part in parts if isinstance(part, Read) and part.tensor in self.locals)
        return bool(far) or any(part.type != "int" for part in near)

    def _is_there(self, read: Read) -> bool:
        """Whether loops over whole axes read a truth value, and so never behind the end of one."""
        sizes = self.sizes.get(read.tensor)
        if read.type != "bool" or sizes is None:
            return False
        pairs = zip(read.subscripts, sizes, strict=True)
        return all(isinstance(subscript, Index) and equal(subscript.size, size) for subscript, size in pairs)

    def _not(self, node: Op) -> tuple[str, int]:
        return f"not {self.text(node.args[0], NOT)}", NOT

    def _real(self, node: Op) -> tuple[str, int]:
        self.used.add("real")
        return f"real({self.text(node.args[0])})", ATOM

    def _first(self, node: Op) -> tuple[str, int]:
        return self._spell(node.args[0])

    def _isqrt(self, node: Op) -> tuple[str, int]:
        return f"int({self.text(node.args[0], ATOM)}**0.5)", ATOM

    def _call(self, node: Op) -> tuple[str, int]:
        function, for_integers = CALLS[node.name]
        if self.is_plain and node.name in ("max", "min", "abs"):
            return f"{node.name}({', '.join(map(self.text, node.args))})", ATOM
        if node.args[0].type == "int":
            if for_integers is None:
                shown = self.text(node.args[0], SUM)
                return f"int({shown} > 0) - int({shown} < 0)", SUM
            function = for_integers
        distance = _distance(node.args[0]) if function == "exp" else None
        if distance is not None:
            x, scale = distance
            return self.call(function, f"{self.text(x, SUM)} - {self.text(scale, PRODUCT)}"), ATOM
        return self.call(function, *map(self.text, node.args)), ATOM

    def _random(self, node: Op) -> tuple[str, int]:
        """Real random numbers have a function for each precision: their arguments, integers, do not tell."""
        function = node.name if node.type == "int" else f"{node.name}_f{self.real.removeprefix('float')}"
        return self.call(function, *map(self.text, node.args)), ATOM

    def _pow(self, node: Op) -> tuple[str, int]:
        base, exponent = node.args
        count = _whole_number(exponent)
        if count is not None:
            return self._integer_power(base, count)
        if base.type == "int":
            return self.call(powers.VARIABLE, self.text(base), self.text(exponent)), ATOM
        shown = self.text(exponent) if exponent.type == "real" else self._real(Op("real", (exponent,)))[0]
        return self.call("power", self.text(base), shown), ATOM

    def _integer_power(self, base: Expr, count: int) -> tuple[str, int]:
        if count < 0:
            one, _ = self._constant(1.0)
            below, strength = self._integer_power(base, -count)
            return f"{one} / {below if strength == ATOM else f'({below})'}", PRODUCT
        if count == 0:
            return self._constant(1 if base.type == "int" else 1.0)
        if count == 1:
            return self._spell(base)
        if count <= _LONGEST_PRODUCT and _is_short(base):
            return "*".join([self.text(base, ATOM)] * count), PRODUCT
        return self.call(powers.name(count), self.text(base)), ATOM


_QUICK = frozenset((*_COMPARISONS, "and", "or", "not", "add", "neg"))
_QUOTIENTS = {"div": " / ", "floordiv": " // ", "mod": " % "}

_OPERATORS: dict[str, Callable[[Spelling, Op], tuple[str, int]]] = {
    "add": Spelling._add,
    "mul": Spelling._mul,
    "neg": Spelling._neg,
    "div": Spelling._quotient,
    "floordiv": Spelling._quotient,
    "mod": Spelling._quotient,
    "lt": Spelling._compare,
    "le": Spelling._compare,
    "eq": Spelling._compare,
    "ne": Spelling._compare,
    "and": Spelling._and,
    "or": Spelling._or,
    "not": Spelling._not,
    "real": Spelling._real,
    "stop": Spelling._first,
    "after": Spelling._first,
    "isqrt": Spelling._isqrt,
    "pow": Spelling._pow,
    "random_uniform": Spelling._random,
    "random_normal": Spelling._random,
    "random_integer": Spelling._random,
    **dict.fromkeys(CALLS, Spelling._call),
}


def _may_be_minus_one(node: Expr) -> bool:
    """Whether a quotient by the node may be larger than the integers."""
    return node.value == -1 if isinstance(node, Const) else not nonnegative(polynomial(node))


def _positive_first(node: Op) -> tuple[Expr, ...]:
    """``stop - start`` rather than ``-start + stop``, where that does not change the order of a real sum."""
    args = node.args
    place = next((n for n, term in enumerate(args) if _negated(term) is None), 0)
    if node.type == "real" and len(args) > 2:
        return args
    return (args[place], *args[:place], *args[place + 1 :])


def _negated(term: Expr) -> Expr | None:
    """What is subtracted, if adding the term is a subtraction."""
    if isinstance(term, Op) and term.name == "neg":
        return term.args[0]
    if isinstance(term, Const) and not isinstance(term.value, bool) and -(2**63) < term.value < 0:
        return Const(-term.value)
    if isinstance(term, Op) and term.name == "mul" and isinstance(term.args[0], Const):
        first = _negated(term.args[0])
        if first is None:
            return None
        return Op("mul", (first, *term.args[1:]))
    return None


def _is_scale(term: Expr) -> bool:
    """Whether a number is taken off so that what is left is small: that must not be regrouped."""
    return isinstance(term, Op) and term.name == "stop" and term.type == "real"


def _distance(node: Expr) -> tuple[Expr, Expr] | None:
    """The terms of ``x - stop(m)``: in an exponential it is safe, for exp keeps its order of operations."""
    if not isinstance(node, Op) or node.name != "add" or len(node.args) != 2:
        return None
    x, negated = node.args[0], _negated(node.args[1])
    return (x, negated) if _negated(x) is None and negated is not None and _is_scale(negated) else None


def _whole_number(exponent: Expr) -> int | None:
    """The exponent as an integer, if it is a constant that is one (and small enough for products to be exact)."""
    if isinstance(exponent, Const) and float(exponent.value).is_integer() and abs(exponent.value) <= powers.GREATEST:
        return int(exponent.value)
    return None


def _is_short(base: Expr) -> bool:
    """Whether writing the base twice costs the reader nothing: a name, or an element at plain indices."""
    if isinstance(base, Read):
        return all(isinstance(subscript, Index | Const | Size) for subscript in base.subscripts)
    return isinstance(base, Index | Size)
