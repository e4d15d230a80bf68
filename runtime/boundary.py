"""What a caller gives becomes an array that kernels can read, or an error in the words of the spec.

Reals are accepted from floats, integers and truth values, integers from integers, truth values from truth values and
from the integers 0 and 1.  Lists, views that are not contiguous and other widths are copied; an array that fits is
used as it is.  Integers that are elements of an index set are checked against its size before any kernel reads them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.runtime.declarations import Type
from dlc.runtime.errors import InputError

Vector = np.ndarray[Any, Any]

_WORDS = {"real": "real numbers", "int": "integers", "bool": "truth values"}
_ACCEPTED = {"real": "fiub", "int": "iu", "bool": "bui"}


def accepted(name: str, value: Any, type_: Type, dtype: np.dtype[Any]) -> Vector:
    """``value`` as a contiguous array of ``dtype``, that very object; itself if it is one."""
    if type(value) is np.ndarray and value.dtype is dtype:
        flags = value.flags
        if flags.c_contiguous and flags.aligned:
            return value
    array = _array(name, value)
    if not array.size and isinstance(value, list | tuple):
        array = array.astype(dtype)  # an empty list has no type of its own
    if array.dtype.kind not in _ACCEPTED[type_]:
        raise InputError(f"{name} should be {_WORDS[type_]}; what was given is {array.dtype}{_advice(array, type_)}")
    if array.dtype.kind == "u" and type_ == "int" and array.size and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"{name} has an element beyond the range of 64-bit integers")
    if type_ == "bool" and array.dtype.kind != "b" and np.any((array != 0) & (array != 1)):
        raise InputError(f"{name} should be truth values; what was given has integers other than 0 and 1")
    with np.errstate(over="ignore"):
        found = np.require(array, dtype, ("C_CONTIGUOUS", "ALIGNED"))
    return found if found.dtype is dtype else found.view(dtype)  # of two that are equal, long and long long, the one


def _array(name: str, value: Any) -> Vector:
    if value is None:
        raise InputError(f"{name} is None")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{name} is no array: {error}") from None
    if array.dtype.kind == "O":
        raise InputError(f"{name} is no array of numbers, but of Python objects")
    return array


def _advice(array: Vector, type_: Type) -> str:
    if type_ == "int" and array.dtype.kind == "f":
        return " (convert it with .astype(int) if its values are whole)"
    return ""


def check_bound(name: str, value: Vector, bound: int, bound_set: str) -> None:
    """Every element of an int64 array lies in ``0 .. bound-1``: as unsigned numbers, negative ones are the greatest."""
    if value.size and np.maximum.reduce(value.view(np.uint64), axis=None) >= bound:
        _report_outside(name, value, bound, bound_set)


def _report_outside(name: str, value: Vector, bound: int, bound_set: str) -> None:
    position = tuple(int(place) for place in np.argwhere((value < 0) | (value >= bound))[0])
    where = f"[{', '.join(map(str, position))}]" if position else ""
    what = f"no element of {bound_set}, whose elements are" if bound_set else "outside"
    raise InputError(f"{name}{where} is {value[position]}, {what} 0 to {bound - 1}")
