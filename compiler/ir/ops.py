"""The scalar operators of the graph language: one row an operator.

A row gives the number of arguments (``None``: two or more), the types of arguments and result, and the operations that
one element takes (``costs.py``; 0 for what finds a place, decides or only passes a number on).  What an operator
computes (``arithmetic.py``), its derivative (``grad/rules.py``) and its spelling in generated code (``emit``) are
tables over the same names; a test checks that each of them has every row.

Types are ``real``, ``int`` and ``bool``. Nothing is converted silently: an integer enters real arithmetic through
``real``, and a whole number counts as one through ``int``. ``same`` in a row means: all arguments have one numeric
type, and so has the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["real", "int", "bool"]
Arguments = Literal["same", "real", "int", "bool", "any"]
Result = Literal["same", "real", "int", "bool"]


@dataclass(frozen=True)
class Operator:
    """``arity`` is None for the operators that take two or more arguments."""

    name: str
    arity: int | None
    arguments: Arguments
    result: Result
    cost: int


_ROWS: tuple[tuple[str, int | None, Arguments, Result, int], ...] = (
    # arithmetic: real with real, int with int
    ("add", None, "same", "same", 1),
    ("mul", None, "same", "same", 1),
    ("neg", 1, "same", "same", 1),
    ("max", 2, "same", "same", 1),  # the greater; nan if either is nan
    ("min", 2, "same", "same", 1),
    ("abs", 1, "same", "same", 1),
    ("sign", 1, "same", "same", 2),
    ("div", 2, "real", "real", 4),
    ("floordiv", 2, "int", "int", 0),  # rounds down
    ("mod", 2, "int", "int", 0),  # has the sign of the divisor
    ("isqrt", 1, "int", "int", 0),  # of what is not negative: the root, rounded down
    ("pow", 2, "any", "same", 40),  # result has the type of the base; an int base takes an int exponent >= 0
    ("real", 1, "any", "real", 0),  # an integer, or a truth value as 0 or 1, as a real number
    ("int", 1, "real", "int", 1),  # a whole number as an integer, 2^62 in magnitude at most; nan is as great
    # real functions
    ("exp", 1, "real", "real", 16),
    ("log", 1, "real", "real", 20),
    ("sqrt", 1, "real", "real", 6),
    ("sin", 1, "real", "real", 24),
    ("cos", 1, "real", "real", 24),
    ("tan", 1, "real", "real", 24),
    ("sinh", 1, "real", "real", 24),
    ("cosh", 1, "real", "real", 24),
    ("tanh", 1, "real", "real", 24),
    ("sigmoid", 1, "real", "real", 20),
    ("erf", 1, "real", "real", 20),
    ("floor", 1, "real", "real", 2),
    ("ceil", 1, "real", "real", 2),
    ("log1p", 1, "real", "real", 20),
    ("expm1", 1, "real", "real", 16),
    ("relu", 1, "real", "real", 2),
    ("softplus", 1, "real", "real", 40),
    ("stop", 1, "same", "same", 0),  # its argument, with derivative 0
    ("after", 2, "any", "same", 0),  # its first argument, which is not computed before the second
    # random numbers, functions of (seed, step, number of the tensor, position in it): see ``philox.py``
    ("random_uniform", 4, "int", "real", 40),  # in [0, 1)
    ("random_normal", 4, "int", "real", 100),  # of mean 0 and variance 1
    ("random_integer", 5, "int", "int", 40),  # in 0 .. n-1 for n, the fifth
    # truth values
    ("lt", 2, "same", "bool", 0),
    ("le", 2, "same", "bool", 0),
    ("eq", 2, "any", "bool", 0),
    ("ne", 2, "any", "bool", 0),
    ("and", None, "bool", "bool", 0),
    ("or", None, "bool", "bool", 0),
    ("not", 1, "bool", "bool", 0),
)

OPERATORS: dict[str, Operator] = {row[0]: Operator(*row) for row in _ROWS}

#: Operators that draw a number: too slow to be computed in vain.
RANDOM = frozenset(("random_uniform", "random_normal", "random_integer"))

#: Reductions.  argmax and argmin over several indices give the position in row-major order over them.
REDUCTIONS: dict[str, Literal["same", "int", "bool"]] = {
    "sum": "same",
    "prod": "same",
    "max": "same",
    "min": "same",
    "argmax": "int",  # the first maximal position; 0 if there is none
    "argmin": "int",
    "any": "bool",
    "all": "bool",
}

#: What a reduction over nothing gives; also the value that leaves it unchanged.
IDENTITY: dict[str, float | int | bool] = {
    "sum": 0, "prod": 1, "max": float("-inf"), "min": float("inf"),
    "argmax": float("-inf"), "argmin": float("inf"), "any": False, "all": True,
}  # fmt: skip
