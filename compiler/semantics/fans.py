"""Fan-in and fan-out of parameters, from how they are contracted.

In the first equation that reads a parameter, an axis whose index is summed is an input axis: fan-in counts the
products that are summed into one output element.  Axes whose index is free are output axes.  A summed index that
stands together with a free one in a subscript of another factor (`x[c, u+p]`) runs over a kernel: every input element
reaches as many outputs as the kernel has places, so it counts for fan-out too.  A copy, as the layer that a parameter
is passed to may make, is read in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dlc.compiler.ir.affine import integer
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, free_indices, op, walk
from dlc.compiler.ir.graph import Tensor
from dlc.compiler.ir.rewriting import substitute

FANNED = ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal")


def with_fans(tensors: Mapping[str, Tensor], arrays: Mapping[str, int]) -> dict[str, Tensor]:
    """The tensors, with fans where an initialiser needs them; ``arrays`` counts the axes of instance arrays."""
    result = dict(tensors)
    wanted = {name for name, tensor in tensors.items() if tensor.initialiser and tensor.initialiser.name in FANNED}
    copies = {name for name, tensor in tensors.items() if _is_copy(tensor)}
    for name, tensor in tensors.items():
        for equation in () if name in copies else tensor.equations:
            for place, summed, factors in _uses(equation.value, (), equation.value, set()):
                read = _origin(place, tensors, copies)
                if read.tensor in wanted:
                    wanted.discard(read.tensor)
                    kernel = _kernel(place, summed, factors)
                    result[read.tensor] = _fanned(tensors[read.tensor], read, summed, kernel, arrays)
    for name in sorted(wanted):
        result[name] = _unused(tensors[name], arrays)
    return result


def _is_copy(tensor: Tensor) -> bool:
    """Whether each element is an element of one other tensor: `a[i,j] = w[i,j]`, also with the axes exchanged."""
    if tensor.kind != "computed" or len(tensor.equations) != 1 or not tensor.equations[0].is_whole:
        return False
    value = tensor.equations[0].value
    return (
        isinstance(value, Read)
        and value.tensor != tensor.id
        and all(isinstance(one, Index) for one in value.subscripts)
    )


def _origin(read: Read, tensors: Mapping[str, Tensor], copies: set[str]) -> Read:
    while read.tensor in copies:
        (equation,) = tensors[read.tensor].equations
        places: dict[Expr, Expr] = dict(zip(equation.indices, read.subscripts, strict=True))
        found = substitute(equation.value, places)
        assert isinstance(found, Read)
        read = found
    return read


def _uses(
    node: Expr, summed: tuple[Index, ...], factors: Expr, seen: set[tuple[Expr, Expr]]
) -> Iterator[tuple[Read, tuple[Index, ...], Expr]]:
    """Every read, with the indices that are reduced around it and the body of the innermost reduction."""
    if (node, factors) in seen:
        return
    seen.add((node, factors))
    if isinstance(node, Read):
        yield node, summed, factors
    inside = (*summed, *node.indices) if isinstance(node, Reduce) else summed
    body = node.body if isinstance(node, Reduce) else factors
    for child in node.children:
        yield from _uses(child, inside, body, seen)


def _fanned(
    parameter: Tensor, read: Read, summed: tuple[Index, ...], kernel: set[Index], arrays: Mapping[str, int]
) -> Tensor:
    fan_in: list[Expr] = []
    fan_out: list[Expr] = []
    for subscript, size in list(zip(read.subscripts, parameter.sizes, strict=True))[arrays.get(parameter.id, 0) :]:
        indices = free_indices(subscript)
        is_summed = any(index in summed for index in indices)
        if is_summed:
            fan_in.append(size)
        if (indices and not is_summed) or any(index in kernel for index in indices):
            fan_out.append(size)
    assert parameter.initialiser is not None
    initialiser = replace(parameter.initialiser, fan_in=_product(fan_in), fan_out=_product(fan_out))
    return replace(parameter, initialiser=initialiser)


def _kernel(read: Read, summed: tuple[Index, ...], factors: Expr) -> set[Index]:
    """Summed indices of the parameter that stand beside a free index in a subscript of another factor."""
    mine = {index for subscript in read.subscripts for index in free_indices(subscript) if index in summed}
    found: set[Index] = set()
    for other in walk(factors):
        if not isinstance(other, Read) or other is read:
            continue
        for subscript in other.subscripts:
            indices = free_indices(subscript)
            if any(index not in summed for index in indices):
                found.update(index for index in indices if index in mine)
    return found


def _unused(parameter: Tensor, arrays: Mapping[str, int]) -> Tensor:
    """A parameter that nothing reads: its first axis counts as output, the others as input."""
    assert parameter.initialiser is not None
    sizes = list(parameter.sizes[arrays.get(parameter.id, 0) :])
    initialiser = replace(parameter.initialiser, fan_in=_product(sizes[1:]), fan_out=_product(sizes[:1]))
    return replace(parameter, initialiser=initialiser)


def _product(sizes: list[Expr]) -> Expr:
    return integer(op("mul", *sizes)) if sizes else Const(1)
