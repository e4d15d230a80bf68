"""What operators and reductions compute, in NumPy: IEEE semantics for reals, exact 64-bit integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from dlc.compiler.ir import philox

Array = np.ndarray[Any, Any]


class EvaluationError(Exception):
    """The inputs do not fit the graph, the graph reads outside a tensor, or elements depend on themselves."""


def operator(name: str) -> Callable[..., Array]:
    """What an operator of ``ops.OPERATORS`` computes, element by element."""
    return _VALUES[name]


def reduction(name: str) -> Callable[[Array], Array]:
    """What a reduction of ``ops.REDUCTIONS`` computes, over the second axis."""
    return _REDUCED[name]


def solved(matrix: Array, vector: Array) -> Array:
    """The x with ``matrix @ x = vector``: nan if the matrix is singular."""
    try:
        return np.linalg.solve(matrix, vector)
    except np.linalg.LinAlgError:
        return np.full(vector.shape, np.nan)


def _divisor(value: Array) -> Array:
    if np.any(value == 0):
        raise EvaluationError("an integer is divided by zero")
    return value


def _power(base: Array, exponent: Array) -> Array:
    if base.dtype.kind == "i" and np.any(exponent < 0):
        raise EvaluationError("an integer is raised to a negative power")
    return np.power(base, exponent)


def _folded(function: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def fold(*args: Array) -> Array:
        result = args[0]
        for arg in args[1:]:
            result = function(result, arg)
        return result

    return fold


#: What each row of ``OPERATORS`` computes, apart from ``and`` and ``or``, which do not look at all their arguments.
_VALUES: dict[str, Callable[..., Array]] = {
    "add": _folded(np.add),
    "mul": _folded(np.multiply),
    "neg": np.negative,
    "max": np.maximum,
    "min": np.minimum,
    "abs": np.abs,
    "sign": np.sign,
    "div": np.divide,
    "floordiv": lambda left, right: np.floor_divide(left, _divisor(right)),
    "mod": lambda left, right: np.mod(left, _divisor(right)),
    "isqrt": lambda x: np.sqrt(x).astype(np.int64),
    "pow": _power,
    "real": lambda x: x.astype(np.float64),
    "int": lambda x: np.where(x < 2.0**62, np.maximum(x, -(2.0**62)), 2.0**62).astype(np.int64),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "sigmoid": scipy.special.expit,
    "erf": scipy.special.erf,
    "floor": np.floor,
    "ceil": np.ceil,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "relu": lambda x: np.maximum(x, 0.0),
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "stop": lambda x: x,
    "after": lambda x, _: x,
    "random_uniform": philox.uniform,
    "random_normal": philox.normal,
    "random_integer": philox.below,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "not": np.logical_not,
}


#: Each row of ``REDUCTIONS``, over the second axis.  For max, min and their positions the first nan is the extreme.
_REDUCED: dict[str, Callable[[Array], Array]] = {
    "sum": lambda values: np.sum(values, axis=1),
    "prod": lambda values: np.prod(values, axis=1),
    "max": lambda values: np.max(values, axis=1),
    "min": lambda values: np.min(values, axis=1),
    "argmax": lambda values: np.argmax(values, axis=1),
    "argmin": lambda values: np.argmin(values, axis=1),
    "any": lambda values: np.any(values, axis=1),
    "all": lambda values: np.all(values, axis=1),
}
