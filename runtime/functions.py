"""Functions of numbers that a spec exports, schedules of learning rates say: what is given to them, and what they give.

Numbers give a number, arrays an array of their common shape.  Reals are taken and computed in double precision.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.runtime.boundary import accepted
from dlc.runtime.declarations import Type
from dlc.runtime.errors import InputError

_DTYPES: dict[Type, np.dtype[Any]] = {
    "real": np.dtype(np.float64),
    "int": np.dtype(np.int64),
    "bool": np.dtype(np.bool_),
}


def scalar_function(*types: Type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes a function of arrays of these types one of what callers have: lists, integers for reals, Python numbers.

    A parameter whose default follows from the others is None until the body computes it.
    """

    def made(body: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(body)
        kinds = dict(zip(signature.parameters, types, strict=True))

        @functools.wraps(body)
        def function(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = {name: _given(name, value, kinds[name]) for name, value in bound.arguments.items()}
            try:
                with np.errstate(all="ignore"):
                    result = np.asarray(body(**given))
                    shape = np.broadcast_shapes(*(np.shape(value) for value in given.values()), result.shape)
            except ValueError as error:
                raise InputError(f"{body.__name__}: {error}") from None
            return result.item() if not shape else np.array(np.broadcast_to(result, shape))

        return function

    return made


def _given(name: str, value: Any, type: Type) -> Any:
    if value is None:
        return None
    if type == "int":
        array = np.asarray(value)
        if array.dtype.kind == "f" and np.all(array == np.floor(array)) and np.all(np.abs(array) < 2**53):
            value = array.astype(np.int64)  # 10.0 is the integer 10
    return accepted(name, value, type, _DTYPES[type])
