"""The sizes of index sets, found from the shapes of what a caller gives.

A size that inputs tell must be told alike by all of them; whatever else has a shape must then have the one that
follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.runtime.declarations import Declaration, Input, if_known, shape_of
from dlc.runtime.errors import InputError, listed

Shape = tuple[int, ...]


def bound_sizes(
    declaration: Declaration,
    shapes: Mapping[str, Shape],
    fixed: Mapping[str, int],
    needed: Sequence[str] | None = None,
) -> dict[str, int]:
    """The value of every size, from the shapes of inputs and cotangents by name, and those ``fixed`` before.

    Where only some are ``needed``, the others may be missing.

    Raises InputError where the shapes contradict each other, the spec, or one of its requirements.
    """
    given = [value for value in (*declaration.inputs, *declaration.cotangents) if value.name in shapes]
    for value in given:
        _check_rank(value, shapes[value.name])
    sizes = dict(fixed)
    told: dict[str, tuple[Input, int]] = {}
    for value in given:
        for axis, (size, length) in enumerate(zip(value.sizes, shapes[value.name], strict=True)):
            if isinstance(size, str):
                _bind(size, length, value, axis, sizes, told)
    _check_known(declaration, sizes, given, declaration.sizes if needed is None else needed)
    for value in given:
        _check_shape(value, shapes[value.name], sizes, told)
    _check_requirements(declaration, sizes)
    return {name: sizes[name] for name in declaration.sizes if name in sizes}


def _check_rank(value: Input, shape: Shape) -> None:
    rank = len(value.sizes)
    if len(shape) != rank:
        axes = f" ({', '.join(value.sets)})" if value.sets else ""
        found = "is a single number" if not shape else f"has {_count(len(shape), 'axis', 'axes')}, of shape {shape}"
        expected = "a single number" if not rank else f"an array with {_count(rank, 'axis', 'axes')}{axes}"
        raise InputError(f"{value.label} should be {expected}; what was given {found}")


def _bind(
    size: str, length: int, value: Input, axis: int, sizes: dict[str, int], told: dict[str, tuple[Input, int]]
) -> None:
    if size not in sizes:
        sizes[size], told[size] = length, (value, axis)
    elif sizes[size] != length:
        if size in told:
            other, where = told[size]
            reason = f"{other.label} has {sizes[size]} {_along(other, where)}"
        else:
            reason = f"{size} was set to {sizes[size]} when the model was made"
        raise InputError(f"{value.label} has {length} elements {_along(value, axis)}, but {reason}")


def _check_known(declaration: Declaration, sizes: Mapping[str, int], given: list[Input], needed: Sequence[str]) -> None:
    names = {value.name for value in given}
    for size in needed:
        if size in sizes:
            continue
        tellers = [v.name for v in declaration.inputs if size in v.sizes and v.name not in names]
        hint = f"give {listed(tellers, 'or')}" if tellers else f"give it when the model is made, sizes={{{size!r}: ..}}"
        raise InputError(f"the size of {size} is not known: {hint}")


def _check_shape(value: Input, shape: Shape, sizes: Mapping[str, int], told: Mapping[str, tuple[Input, int]]) -> None:
    for axis, (size, length) in enumerate(zip(value.sizes, shape, strict=True)):
        expected = if_known(size, sizes)
        if expected in (None, length):
            continue
        known = [f"{name} is {sizes[name]}" for name in sizes]
        where = f" where {listed(known)}" if callable(size) and known else ""
        raise InputError(f"{value.label} has {length} elements {_along(value, axis)}; it should have {expected}{where}")


def _check_requirements(declaration: Declaration, sizes: Mapping[str, int]) -> None:
    for requirement in declaration.requirements:
        value = if_known(requirement.value, sizes)
        if value is not None and value < 0:
            known = [f"{name} = {value}" for name, value in sizes.items()]
            raise InputError(requirement.message + (f" (here {', '.join(known)})" if known else ""))


def _along(value: Input, axis: int) -> str:
    """``along B (axis 0)``."""
    name = value.sets[axis] if axis < len(value.sets) else ""
    return f"along {name} (axis {axis})" if name else f"along axis {axis}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


__all__ = ["bound_sizes", "shape_of"]
