"""Guards of a recurrence that stand where a tensor is read, and are needed where it is defined.

    s[t,t'] = h[t',d]*v[d]                                   reads elements of h that are not known at t
    h[t,d] = x[t,d] + sum[t' : t' < t] s[t,t']*h[t',d]       but only these are read

A tensor that every reader reads under ``t' < t``, and that nobody else needs, is defined under ``t' < t``: elsewhere it
is 0, and nothing is read.  What it reads itself is then read under that guard, and so on.  Only comparisons of index
variables are taken along.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from dlc.compiler.ir.conditions import conjuncts, is_comparison, negation
from dlc.compiler.ir.dependences import Guards, reads_under
from dlc.compiler.ir.expr import Expr, Index, Read, Select, Solve, free_indices, identity_of, number, op, reads
from dlc.compiler.ir.graph import Tensor, reads_of
from dlc.compiler.ir.rewriting import substitute


def sunk(tensors: Mapping[str, Tensor], component: Sequence[str], needed: Collection[str]) -> dict[str, Tensor]:
    """The tensors, members of the component under the guards of their readers; ``needed`` are read by others too."""
    result = dict(tensors)
    others = [tensor for name, tensor in tensors.items() if name not in component]
    outside = set(needed).union(*map(reads_of, others))
    inside = [name for name in component if name not in outside and _takes_guards(tensors[name])]
    changed = True
    while changed:
        changed = False
        for name in inside:
            found = _guarded(result[name], [result[other] for other in component])
            changed = changed or found is not result[name]
            result[name] = found
    return result


def _takes_guards(tensor: Tensor) -> bool:
    if len(tensor.equations) != 1:
        return False
    (equation,) = tensor.equations
    return equation.is_whole and not isinstance(equation.value, Solve)


def _guarded(tensor: Tensor, readers: Sequence[Tensor]) -> Tensor:
    """The tensor under what holds at all its reads, and is not said yet."""
    (equation,) = tensor.equations
    values = [one.value for reader in readers for one in reader.equations]
    found = [
        set(_translated(read, guards, equation.indices))
        for value in values
        for read, guards in reads_under(value)
        if read.tensor == tensor.id
    ]
    if not found:
        return tensor
    common = found[0].intersection(*found[1:])
    known = set(conjuncts(equation.value.cond)) if isinstance(equation.value, Select) else set[Expr]()
    new = [cond for value in values for cond in _in_order(value, tensor.id, equation.indices) if cond in common - known]
    if not new:
        return tensor
    rest = identity_of("any", "bool") if tensor.type == "bool" else number(0, tensor.type)
    value = Select(op("and", *dict.fromkeys(new)), equation.value, rest)
    return replace(tensor, equations=(replace(equation, value=value),))


def _in_order(value: Expr, tensor: str, axes: Sequence[Index]) -> Iterator[Expr]:
    for read, guards in reads_under(value):
        if read.tensor == tensor:
            yield from _translated(read, guards, axes)


def _translated(read: Read, guards: Guards, axes: Sequence[Index]) -> Iterator[Expr]:
    """The comparisons among the guards, in the indices of the tensor that is read."""
    names: dict[Expr, Expr] = {}
    for subscript, axis in zip(read.subscripts, axes, strict=True):
        if isinstance(subscript, Index):
            names.setdefault(subscript, axis)
    for cond, holds in guards:
        for part in conjuncts(cond if holds else negation(cond)):
            indices = free_indices(part)
            if is_comparison(part) and indices and names.keys() >= set(indices) and not any(reads(part)):
                yield substitute(part, names)
