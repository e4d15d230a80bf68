"""Derivatives of tensors: a graph with every element of ``∂of[i]/∂wrt[j]``, symbolically.

The reverse walk gives ``Σ_i s[i]·∂of[i]/∂wrt[j]`` for a seed ``s``. With the seed ``s[i] = [i = i*]`` that is the
derivative of the element ``i*``, so every tensor that depends on the seed is given the axes of ``i*`` and the seed's
reads become deltas, which the pass ``deltas`` solves and the pass ``diagonals`` keeps out of memory. What is wanted of
a derivative is often less than all of it: a vector-Jacobian product is far cheaper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from dlc.compiler.grad.reverse import differentiate
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Select, op, reads, refresh
from dlc.compiler.ir.graph import Equation, Graph, Output, Tensor, axes_of, unique, whole
from dlc.compiler.ir.rewriting import transform

_ONE, _NOTHING = Const(1.0), Const(0.0)


def jacobian(graph: Graph, of: str, wrt: str) -> Graph:
    """The extracted graph with the derivative of ``of`` by ``wrt`` as its one output.

    The derivative has the axes of ``of``, then those of ``wrt``.
    """
    made, derivatives = jacobians(graph, of, [wrt])
    return replace(made, outputs=(Output("derivative", derivatives[wrt]),), objectives=(), gradients=())


def jacobians(graph: Graph, of: str, wrt: Sequence[str]) -> tuple[Graph, dict[str, str]]:
    """The extracted graph with the derivatives of ``of`` by each of ``wrt``, and the tensors that hold these."""
    target = graph.tensors[of]
    if not target.rank:
        made = differentiate(graph, of, wrt)
    else:
        seed = Tensor(unique("seed", graph.tensors), target.sizes, "real", "cotangent", sets=target.sets)
        seeded = replace(graph, tensors={**graph.tensors, seed.id: seed})
        made = _lifted(differentiate(seeded, of, wrt, seed=seed.id), seed)
    derivatives = {gradient.tensor: gradient.adjoint for gradient in made.gradients}
    return replace(made, gradients=graph.gradients), derivatives


def _lifted(graph: Graph, seed: Tensor) -> Graph:
    """The tensors that depend on the seed with its axes in front, the seed itself gone."""
    lifted: dict[str, Tensor] = {}
    for component in graph.components:
        members = [graph.tensors[name] for name in component]
        if any(_depends(equation, lifted, seed) for tensor in members for equation in tensor.equations):
            names = {seed.id, *lifted, *component}
            lifted.update({tensor.id: _with_axes_of(seed, tensor, names) for tensor in members})
    tensors = {name: lifted.get(name, tensor) for name, tensor in graph.tensors.items() if name != seed.id}
    for adjoint in dict.fromkeys(gradient.adjoint for gradient in graph.gradients):
        if adjoint == seed.id:  # the derivative of a tensor by itself
            tensors[seed.id] = _identity(seed)
        elif adjoint not in lifted:  # a constant, which is 0: something that does not depend on the seed
            tensor = tensors[adjoint]
            axes = tuple(map(refresh, (*axes_of(seed), *axes_of(tensor))))
            tensors[adjoint] = whole(adjoint, axes, _NOTHING)
    return replace(graph, tensors=tensors)


def _depends(equation: Equation, lifted: Mapping[str, Tensor], seed: Tensor) -> bool:
    return any(node.tensor in lifted or node.tensor == seed.id for node in reads(equation.value))


def _with_axes_of(seed: Tensor, tensor: Tensor, lifted: Set[str]) -> Tensor:
    sets = (*(seed.sets or ("",) * seed.rank), *(tensor.sets or ("",) * tensor.rank))
    equations = tuple(_with_axes(equation, seed, lifted) for equation in tensor.equations)
    return replace(tensor, sizes=(*seed.sizes, *tensor.sizes), equations=equations, sets=sets if all(sets) else ())


def _with_axes(equation: Equation, seed: Tensor, lifted: Set[str]) -> Equation:
    axes = tuple(map(refresh, axes_of(seed)))

    def change(node: Expr) -> Expr | None:
        if not isinstance(node, Read):
            return None
        if node.tensor == seed.id:
            return _delta(axes, node.subscripts)
        if node.tensor in lifted:
            return Read(node.tensor, (*axes, *node.subscripts), node.type)
        return None

    indices, subscripts = (*axes, *equation.indices), (*axes, *equation.subscripts)
    return replace(equation, indices=indices, subscripts=subscripts, value=transform(equation.value, change))


def _delta(axes: tuple[Index, ...], subscripts: tuple[Expr, ...]) -> Expr:
    equal = [op("eq", axis, subscript) for axis, subscript in zip(axes, subscripts, strict=True)]
    return Select(op("and", *equal), _ONE, _NOTHING)


def _identity(seed: Tensor) -> Tensor:
    left, right = axes_of(seed), tuple(map(refresh, axes_of(seed)))
    return whole(seed.id, (*left, *right), _delta(left, right))
