"""Results of calls under the names that callers give them.

`logits[b,Y] = fc(h[b,H])` copies the tensor `fc.y` that the layer made.  The copy goes, and the tensor takes its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dlc.compiler.ir.expr import Expr, Read
from dlc.compiler.ir.graph import Derivative, Equation, Tensor
from dlc.compiler.ir.rewriting import substitute, transform


def forwarded(tensors: dict[str, Tensor], local: set[str]) -> dict[str, Tensor]:
    """`logits[b,Y] = fc(h[b,H])`: the tensor that the layer made takes the name that the caller gives it."""
    renamed: dict[str, str] = {}
    variables = {tensor.derivative.wrt for tensor in tensors.values() if tensor.derivative is not None}
    for name, tensor in tensors.items():
        source = _copied(tensor)
        if name in variables or source in variables:
            continue  # differentiated by the one and not by the other
        if source is None or source not in local or source in renamed or source not in tensors or source == name:
            continue
        if tensors[source].kind == "computed" and tensors[source].type == tensor.type:
            renamed[source] = name
    if not renamed:
        return tensors
    final = {name: _end(renamed, name) for name in tensors}
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if final[name] != name:
            continue
        origin = next((one for one in tensors if final[one] == name and one not in renamed.values()), name)
        made = tensors[origin]
        equations = tuple(replace(one, value=_renamed(one.value, final)) for one in made.equations)
        equations = _with_indices_of(tensor, equations) if origin != name else equations
        made = replace(made, derivative=_derivative_of(made.derivative, final))
        result[name] = replace(made, id=name, sets=tensor.sets, equations=equations, span=tensor.span, doc=tensor.doc)
    return result


def _derivative_of(derivative: Derivative | None, final: Mapping[str, str]) -> Derivative | None:
    return derivative and Derivative(final[derivative.of], final[derivative.wrt])


def _with_indices_of(copy: Tensor, equations: tuple[Equation, ...]) -> tuple[Equation, ...]:
    """A whole equation with the index variables that the caller wrote."""
    wanted = copy.equations[0].indices
    if len(equations) != 1 or not equations[0].is_whole:
        return equations
    one = equations[0]
    if any(mine.size is not its.size for mine, its in zip(wanted, one.indices, strict=True)):
        return equations
    names: dict[Expr, Expr] = dict(zip(one.indices, wanted, strict=True))
    return (replace(one, indices=wanted, subscripts=wanted, value=substitute(one.value, names)),)


def _copied(tensor: Tensor) -> str | None:
    """The tensor that a tensor is a plain copy of."""
    if len(tensor.equations) != 1 or not tensor.equations[0].is_whole:
        return None
    equation = tensor.equations[0]
    value = equation.value
    if isinstance(value, Read) and value.subscripts == equation.indices:
        return value.tensor
    return None


def _end(renamed: Mapping[str, str], name: str) -> str:
    while name in renamed:
        name = renamed[name]
    return name


def _renamed(value: Expr, final: Mapping[str, str]) -> Expr:
    def change(node: Expr) -> Expr | None:
        if isinstance(node, Read) and final[node.tensor] != node.tensor:
            return Read(final[node.tensor], node.subscripts, node.type)
        return None

    return transform(value, change)
