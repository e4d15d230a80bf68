"""Whole powers as products: ``power_5(x)`` of a generated module multiplies three times, exactly as often as it must.

A call of the C library's ``pow`` would keep the loop around it from becoming vectors.  Each function is written for one
exponent and works for real numbers and integers alike.
"""

from __future__ import annotations

import re

GREATEST = 64
#: An integer to the power of an integer that is known when the program runs.
VARIABLE = "integer_power"
NAMES = (*(f"power_{exponent}" for exponent in range(2, GREATEST + 1)), VARIABLE)

_VARIABLE_LINES = (
    "def integer_power(x, n):",
    '    """x to the power n of integers, n >= 0, by repeated squaring"""',
    "    result = 1",
    "    while n > 0:",
    "        if n % 2 == 1:",
    "            result *= x",
    "        x *= x",
    "        n //= 2",
    "    return result",
)


def name(exponent: int) -> str:
    return f"power_{exponent}"


def lines(function: str) -> tuple[str, ...]:
    """The definition of one of ``NAMES``."""
    found = re.fullmatch(r"power_(\d+)", function)
    if found is None:
        return _VARIABLE_LINES
    exponent = int(found[1])
    head = (f"def {function}(x):", f'    """x^{exponent}"""')
    digits = exponent.bit_length()
    squares = [f"    x{2**k} = {_factor(2 ** (k - 1))}*{_factor(2 ** (k - 1))}" for k in range(1, digits)]
    factors = [_factor(2**k) for k in range(digits) if exponent >> k & 1]
    return (*head, *squares, f"    return {'*'.join(factors)}")


def _factor(exponent: int) -> str:
    return "x" if exponent == 1 else f"x{exponent}"
