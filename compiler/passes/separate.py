"""An extreme over a rectangle is one along its columns, of extremes along its rows.

    y[u,v] = max[p,q] x[u+p,v+q]           y.rows[h,v] = max[q] x[h,v+q]          h < |H|
                                           y[u,v] = max[p] y.rows[u+p,v]

Windows that overlap have their rows in common, so that P + Q elements are compared in the place of P*Q. It is the same
element, for extremes are not rounded, and of equal ones the first in the first row that has one is the first of all:
the derivative, which is made after this, asks for the row and for the place in it, and adds up along each.

Left out: windows of few elements, and those that have too little in common.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import prod

from dlc.compiler.ir.affine import equal, known, step_of
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_inside, guarded
from dlc.compiler.ir.expr import Expr, Index, Read, Reduce, free_indices, fresh, identity_of
from dlc.compiler.ir.graph import Graph, Tensor, unique, whole
from dlc.compiler.ir.rewriting import rename_bound

NAME = "separate"

_FEWEST = 25  # elements of a window
_WORTH = 2  # as many comparisons as before, to those that are left


def run(graph: Graph) -> Graph:
    there = dict(graph.tensors)
    tensors: list[Tensor] = []
    for tensor in graph.tensors.values():
        is_one = tensor.id not in graph.recurrence_of and len(tensor.equations) == 1
        while is_one and (found := _separated(tensor, there)) is not None:
            rows, tensor = found
            there[rows.id] = rows
            tensors.append(rows)
        tensors.append(tensor)
    return graph.with_tensors(tensors)


def _separated(tensor: Tensor, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """The extremes of rows, and the tensor as extremes of these; None if it is left as it is."""
    (equation,) = tensor.equations
    value = equation.value
    if not isinstance(value, Reduce) or value.op not in ("max", "min") or len(value.indices) < 2:
        return None
    if not equation.is_whole:
        return None
    cond, body = guard_inside(value)
    *others, last = value.indices
    if not isinstance(body, Read) or body.type != "real":
        return None
    along = [n for n, subscript in enumerate(body.subscripts) if last in free_indices(subscript)]
    axes = _axes(body, along[0], others, tensors[body.tensor].sizes) if len(along) == 1 else None
    if axes is None or not _pays(value, body, axes):
        return None
    moving = _indices(body.subscripts[along[0]]) - set(axes)
    inside = [one for one in conjuncts(cond) if moving & set(free_indices(one))]
    outside = [one for one in conjuncts(cond) if one not in inside]
    across = _indices(*(body.subscripts[axis] for axis in axes.values())).union(others)
    if moving & across or not _indices(*inside) <= moving | set(axes):
        return None
    row = [one for one in equation.indices if one in moving]
    first = min(along[0], len(axes))
    indices = (*list(axes)[:first], *row, *list(axes)[first:])
    subscripts = list(body.subscripts)
    for index, axis in axes.items():
        subscripts[axis] = index
    neutral = identity_of(value.op, value.body.type)
    element = guarded(conjunction(inside), Read(body.tensor, tuple(subscripts), body.type), neutral)
    name = unique(f"{tensor.id}.rows", tensors)
    rows = whole(name, indices, rename_bound(Reduce(value.op, (last,), element)), equation.span)
    at = tuple(body.subscripts[axes[index]] if index in axes else index for index in indices)
    extreme = Reduce(value.op, tuple(others), guarded(conjunction(outside), Read(name, at, body.type), neutral))
    return rows, replace(tensor, equations=(replace(equation, value=extreme),))


def _indices(*parts: Expr) -> set[Index]:
    return {index for part in parts for index in free_indices(part)}


def _axes(body: Read, along: int, others: Collection[Index], sizes: Sequence[Expr]) -> dict[Index, int] | None:
    """An index over every other axis of the tensor that is read, and the axis; None where part of one is read alone."""
    axes: dict[Index, int] = {}
    for axis, subscript in enumerate(body.subscripts):
        if axis == along:
            continue
        if isinstance(subscript, Index) and equal(subscript.size, sizes[axis]) and subscript not in others:
            axes[subscript] = axis
        elif set(free_indices(subscript)) & set(others):
            axes[fresh(sizes[axis], "i")] = axis
        else:
            return None
    return axes if len(axes) == len(body.subscripts) - 1 else None


def _pays(value: Reduce, body: Read, axes: Mapping[Index, int]) -> bool:
    """Whether windows are large, and have so much in common that less is compared: of windows that move by two rows,
    there are twice as many rows.
    """
    *others, last = value.indices
    extents = [known(index.size) for index in value.indices]
    if None in extents:
        return False
    number = prod(extent or 0 for extent in extents)
    rows = 1
    for index, axis in axes.items():
        subscript = body.subscripts[axis]
        if subscript is index:
            continue
        moving = [one for one in free_indices(subscript) if one not in others]
        step = step_of(subscript, moving[0]) if len(moving) == 1 else None
        if step is None or step[0] < 1:
            return False
        rows *= step[0]
    length = known(last.size) or 1
    return number >= _FEWEST and _WORTH * (rows * length + number // length) <= number
