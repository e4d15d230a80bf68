"""How exact the elementary functions are to be, and how that is measured."""

from __future__ import annotations

import numpy as np

#: Extended precision, where the machine has it, is what float64 results are compared with.
EXTENDED = np.finfo(np.longdouble).nmant > 52
#: What the docstrings promise (float32, float64), in units in the last place.
BOUND = {
    "exp": (1.1, 1.1),
    "expm1": (2.1, 2.1),
    "log": (0.9, 0.9),
    "log1p": (2.1, 2.1),
    "tanh": (2.6, 2.6),
    "sinh": (2.8, 2.8),
    "cosh": (2.8, 2.8),
    "sigmoid": (2.7, 2.7),
    "softplus": (2.7, 2.7),
    "erf": (1.9, 3.0),  # math.erf, the reference, is itself wrong by up to one unit
    "sin": (1.6, 1.0),
    "cos": (1.6, 1.0),
    "tan": (3.6, 2.6),
}


def wider(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)


def units_in_the_last_place(y: np.ndarray, exact: np.ndarray) -> np.ndarray:
    rounded = exact.astype(y.dtype)
    finite = np.isfinite(rounded)
    assert np.array_equal(y[~finite], rounded[~finite], equal_nan=True), "infinities and nan differ"
    spacing = np.spacing(np.abs(rounded[finite])).astype(exact.dtype)
    return np.abs(y[finite].astype(exact.dtype) - exact[finite]) / spacing
