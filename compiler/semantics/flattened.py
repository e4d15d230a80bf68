"""Recurrences along a flattened group: one index variable in the place of those of the group.

    s[(y,x)] = f(s[pad((y,x)-1)])    is computed as    s[k] = f(s[pad(k-1)])    with y = k // |X|, x = k mod |X|

Time runs along one index variable (``ir.recurrence``).  This is done only where a recurrence has no order without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dlc.compiler.ir.affine import Polynomial, integer, polynomial
from dlc.compiler.ir.expr import Expr, Index, Read, fresh, op
from dlc.compiler.ir.graph import Equation, Graph, Requirement, Tensor
from dlc.compiler.ir.recurrence import Conflict, order
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.ir.steps import with_needs


def along_groups(tensors: Mapping[str, Tensor], requirements: tuple[Requirement, ...]) -> dict[str, Tensor]:
    """The tensors, with a single index along the groups of those recurrences that have an order then."""
    result = dict(tensors)
    plain = with_needs(Graph("", tensors, requirements=requirements))
    for component in plain.recurrences:
        if not any(_groups(tensors[name]) for name in component):
            continue
        if not isinstance(order(plain, component), Conflict):
            continue
        changed = {name: _along_groups(tensors[name]) for name in component}
        found = with_needs(Graph("", {**result, **changed}, requirements=requirements))
        if not isinstance(order(found, component), Conflict):
            result |= changed
    return result


def _groups(tensor: Tensor) -> bool:
    return any(len(_strides(subscript)) > 1 for one in tensor.equations for subscript in one.subscripts)


def _along_groups(tensor: Tensor) -> Tensor:
    equations = tensor.equations
    for axis in range(tensor.rank):
        equations = tuple(_along_group(equation, axis) for equation in equations)
    return replace(tensor, equations=equations)


def _along_group(equation: Equation, axis: int) -> Equation:
    """The equation with one index along the axis, if its subscript there is a group and nothing else."""
    strides = _strides(equation.subscripts[axis])
    if len(strides) < 2:
        return equation
    hint = "".join(index.hint for index in reversed(strides))
    size = Polynomial.constant(1)
    for index in strides:
        size = size * polynomial(index.size)
    place = fresh(size.expression(), hint)
    names: dict[Expr, Expr] = {}
    quotient: Expr = place
    for index in strides[:-1]:
        names[index] = op("mod", quotient, index.size)
        quotient = op("floordiv", quotient, index.size)
    names[strides[-1]] = quotient
    rest = polynomial(equation.subscripts[axis]) - _place(strides)
    subscripts = list(equation.subscripts)
    subscripts[axis] = (polynomial(place) + rest).expression()
    front = next(number for number, index in enumerate(equation.indices) if index in names)
    indices = [index for index in equation.indices if index not in names]
    indices.insert(min(front, len(indices)), place)
    value = transform(substitute(equation.value, names), _normal)
    return replace(equation, indices=tuple(indices), subscripts=tuple(subscripts), value=value)


def _strides(subscript: Expr) -> list[Index]:
    """The indices of a group, the last one first: each has the product of the sizes of those after it as its factor."""
    value = polynomial(subscript)
    left = [atom for atom in value.atoms if isinstance(atom, Index)]
    found: list[Index] = []
    factor = Polynomial.constant(1)
    while left:
        parts = {index: value.split(index) for index in left}
        index = next((one for one, split in parts.items() if split is not None and split[0] == factor), None)
        if index is None:
            return []
        found.append(index)
        left.remove(index)
        factor = factor * polynomial(index.size)
    return found


def _place(strides: list[Index]) -> Polynomial:
    """Where the group stands on its axis."""
    total, factor = Polynomial(()), Polynomial.constant(1)
    for index in strides:
        total = total + polynomial(index) * factor
        factor = factor * polynomial(index.size)
    return total


def _normal(node: Expr) -> Expr | None:
    return Read(node.tensor, tuple(map(integer, node.subscripts)), node.type) if isinstance(node, Read) else None
