"""The scalar operators of the graph language: one row an operator.

A row gives the number of arguments (``None``: two or more) and the type of the result.  What an operator computes
(``reference.py``), its derivative (``grad/rules.py``) and its spelling in generated code (``emit``) are tables
over the same names; a test checks that each of them has every row.

Types are ``real``, ``int`` and ``bool``.  Nothing is converted silently: an integer enters real arithmetic through
``real``.  ``same`` in a row means: all arguments have one numeric type, and so has the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["real", "int", "bool"]


@dataclass(frozen=True)
class Operator:
    """``arity`` is None for the operators that take two or more arguments."""

    name: str
    arity: int | None
    arguments: Literal["same", "real", "int", "bool", "any"]
    result: Literal["same", "real", "int", "bool"]


_ROWS = (
    # arithmetic: real with real, int with int
    ("add", None, "same", "same"),
    ("mul", None, "same", "same"),
    ("neg", 1, "same", "same"),
    ("max", 2, "same", "same"),  # the greater; nan if either is nan
    ("min", 2, "same", "same"),
    ("abs", 1, "same", "same"),
    ("sign", 1, "same", "same"),
    ("div", 2, "real", "real"),
    ("floordiv", 2, "int", "int"),  # rounds down
    ("mod", 2, "int", "int"),  # has the sign of the divisor
    ("isqrt", 1, "int", "int"),  # of what is not negative: the root, rounded down
    ("pow", 2, "any", "same"),  # result has the type of the base; an int base takes an int exponent >= 0
    ("real", 1, "any", "real"),  # an integer, or a truth value as 0 or 1, as a real number
    # real functions
    ("exp", 1, "real", "real"),
    ("log", 1, "real", "real"),
    ("sqrt", 1, "real", "real"),
    ("sin", 1, "real", "real"),
    ("cos", 1, "real", "real"),
    ("tan", 1, "real", "real"),
    ("sinh", 1, "real", "real"),
    ("cosh", 1, "real", "real"),
    ("tanh", 1, "real", "real"),
    ("sigmoid", 1, "real", "real"),
    ("erf", 1, "real", "real"),
    ("floor", 1, "real", "real"),
    ("ceil", 1, "real", "real"),
    ("log1p", 1, "real", "real"),
    ("expm1", 1, "real", "real"),
    ("relu", 1, "real", "real"),
    ("softplus", 1, "real", "real"),
    ("stop", 1, "same", "same"),  # its argument, with derivative 0
    ("after", 2, "any", "same"),  # its first argument, which is not computed before the second
    # random numbers, functions of (seed, step, number of the tensor, position in it): see ``philox.py``
    ("random_uniform", 4, "int", "real"),  # in [0, 1)
    ("random_normal", 4, "int", "real"),  # of mean 0 and variance 1
    ("random_integer", 5, "int", "int"),  # in 0 .. n-1 for n, the fifth
    # truth values
    ("lt", 2, "same", "bool"),
    ("le", 2, "same", "bool"),
    ("eq", 2, "any", "bool"),
    ("ne", 2, "any", "bool"),
    ("and", None, "bool", "bool"),
    ("or", None, "bool", "bool"),
    ("not", 1, "bool", "bool"),
)

OPERATORS: dict[str, Operator] = {row[0]: Operator(*row) for row in _ROWS}  # type: ignore[arg-type]  # rows are typed by Operator

#: Operators that take as long as a function like ``exp``, whatever their type.
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
