"""Reverse-mode differentiation of a graph, which gives a graph.

The adjoint of a tensor ``A`` collects every place that reads it: if ``C[φ(I)] = op_J f(I, J)`` reads ``A[ψ(I, J)]``,

    d_A[a]  gets  Σ_{I,J} [a = ψ(I, J)] · d_C[φ(I)] · ∂op/∂f · ∂f/∂A[ψ]

whatever ``C`` is.  Where a subscript is just an index over the whole axis, that index is replaced by ``a`` here and
now; the other Iverson deltas are written down and solved by a pass.  The derivative of a reduction:

    sum     1
    max     [J is the first maximal position], which is a tensor of its own: C.argmax;  min likewise
    prod    the product over all other positions, which is right where factors are zero, at any order

and of the solution of a system ``a·x = b``, with ``y`` the solution of ``aᵀ·y = d_x``:

    d_b = y,   d_a[i,j] = -y[i]·x[j]

What is differentiated is in extracted form (``ir/forms.py``); the result in general is not, and after extraction it
can be differentiated again.  Only what lies between ``wrt`` and the differentiated tensors gets an adjoint.

Nothing of this is about order.  The adjoints of a recurrence read each other as its members do, with every arrow
turned round: they form a recurrence that runs the other way, over time, depth or whatever the first one ran over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dlc.compiler.grad.rules import add, mul
from dlc.compiler.grad.squares import Squares
from dlc.compiler.grad.walk import Contribution, Guards, active_nodes, contributions
from dlc.compiler.ir.affine import equal
from dlc.compiler.ir.expr import Const, Expr, Index, Read, Reduce, Select, Solve, free_indices, fresh, op, refresh
from dlc.compiler.ir.forms import is_extracted
from dlc.compiler.ir.graph import (
    Equation,
    Gradient,
    Graph,
    Tensor,
    read,
    reads_of,
    unique,
    whole,
)
from dlc.compiler.ir.rewriting import rename_bound, substitute
from dlc.compiler.ir.verify import InternalError

_ONE, _NOTHING = Const(1.0), Const(0.0)


def differentiate(graph: Graph, of: str, wrt: Sequence[str], seed: str | None = None) -> Graph:
    """The graph with the derivative of ``of`` with respect to each of ``wrt``, named by its ``gradients``.

    ``of`` is a scalar, or ``seed`` names a tensor of its shape: then its product with ``seed`` is differentiated.
    """
    if seed is None and graph.tensors[of].rank:
        raise InternalError(f"{of} is differentiated and is not a scalar")
    return _differentiated(graph, {of: seed}, wrt)


def differentiate_vjp(graph: Graph, outputs: Sequence[str], wrt: Sequence[str]) -> Graph:
    """The vector-Jacobian product: every real output ``y`` gets a cotangent ``d_y``, a tensor of the caller's."""
    tensors = dict(graph.tensors)
    names = {output.tensor: output.name for output in graph.outputs}
    seeds: dict[str, str | None] = {}
    for name in dict.fromkeys(outputs):
        output = graph.tensors[name]
        if output.type == "real":
            unused = unique(f"d_{name}", tensors)
            weighs = names.get(name, name)
            cotangent = Tensor(unused, output.sizes, "real", "cotangent", sets=output.sets, output=weighs)
            tensors[cotangent.id] = cotangent
            seeds[name] = cotangent.id
    return _differentiated(replace(graph, tensors=tensors), seeds, wrt)


def _differentiated(graph: Graph, seeds: Mapping[str, str | None], wrt: Sequence[str]) -> Graph:
    problems = is_extracted(graph.with_tensors(graph.tensors[name] for name in _needed(graph, seeds)))
    discrete = [name for name in (*seeds, *wrt) if graph.tensors[name].type != "real"]
    problems += [f"{name} is not real and has no derivative" for name in discrete]
    if problems:
        raise InternalError("; ".join(problems))
    reverse = _Reverse(graph, seeds, wrt)
    gradients = tuple(Gradient(name, reverse.gradient(name)) for name in dict.fromkeys(wrt))
    return replace(graph, tensors=reverse.tensors, gradients=gradients)


def _needed(graph: Graph, names: Iterable[str]) -> list[str]:
    """What these tensors are computed from, themselves included."""
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting.extend(sorted(reads_of(graph.tensors[name])))
    return list(found)


class _Share(NamedTuple):
    """What an equation of ``reader`` passes on to an element that it reads, for all values of ``indices``."""

    indices: tuple[Index, ...]
    equation: Equation
    contribution: Contribution


@dataclass
class _Reverse:
    """The adjoints of one graph; making it computes them all."""

    graph: Graph
    seeds: Mapping[str, str | None]  # the differentiated tensors, each with its cotangent (None: 1)
    wrt: Sequence[str]
    tensors: dict[str, Tensor] = field(init=False)
    squares: Squares = field(init=False)
    adjoints: dict[str, Expr | str] = field(init=False, default_factory=dict)  # a tensor's id, or the constant 1
    shares: dict[str, list[_Share]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = dict(self.graph.tensors)
        self.squares = Squares(self.graph)
        order = self.graph.components
        moving = self._moving(order)
        for component in reversed(order):
            members = self._between(component, moving)
            if component[0] in self.graph.recurrence_of:
                self._visit_together(members, moving)
            elif members:
                (tensor,) = members
                self.adjoints[tensor.id] = self._adjoint(tensor)
                self._pass_on(tensor, moving)

    def gradient(self, name: str) -> str:
        """The id of the adjoint of ``name``: made here where it is nothing but a constant."""
        adjoint = self.adjoints.setdefault(name, _NOTHING)
        if isinstance(adjoint, str):
            return adjoint
        tensor = self.graph.tensors[name]
        axes = _axes(tensor)
        result = replace(whole(self._unused(f"d_{name}"), axes, adjoint, tensor.span), sets=tensor.sets)
        self.tensors[result.id] = result
        self.adjoints[name] = result.id
        return result.id

    def _unused(self, wanted: str) -> str:
        return unique(wanted, self.tensors)

    # which tensors take part

    def _moving(self, order: Sequence[Sequence[str]]) -> set[str]:
        """The tensors whose value changes with ``wrt``, as far as derivatives see it."""
        moving = set(self.wrt)
        for component in order:
            found = set(component)
            while found:  # in a recurrence, one member may move another that stands before it
                still = [self.graph.tensors[name] for name in component if name not in moving]
                found = {tensor.id for tensor in still if self._is_active(tensor, moving)}
                moving |= found
        return moving

    def _is_active(self, tensor: Tensor, moving: set[str]) -> bool:
        return any(equation.value in active_nodes(equation.value, moving) for equation in tensor.equations)

    def _between(self, component: Sequence[str], moving: set[str]) -> list[Tensor]:
        """The members of a component that get an adjoint: from outside, or through others that do."""
        found = {name for name in component if name in self.shares or (name in self.seeds and name in moving)}
        waiting = list(found)
        while waiting:
            for equation in self.graph.tensors[waiting.pop()].equations:
                active = active_nodes(equation.value, moving)
                new = {node.tensor for node in active if isinstance(node, Read)} & set(component) - found
                found |= new
                waiting.extend(new)
        return [self.graph.tensors[name] for name in component if name in found]

    # adjoints

    def _visit_together(self, members: Sequence[Tensor], moving: set[str]) -> None:
        """The adjoints of a recurrence: a recurrence that runs the other way.  Each is known by its name first."""
        names = {tensor.id: self._reserved(tensor) for tensor in members}
        self.adjoints |= names
        for tensor in members:
            self._pass_on(tensor, moving)
        for tensor in members:
            self._define(tensor, names[tensor.id])

    def _pass_on(self, tensor: Tensor, moving: set[str]) -> None:
        """What ``tensor`` gives to those that it reads."""
        for equation in tensor.equations:
            if equation.value not in active_nodes(equation.value, moving):
                continue
            if isinstance(equation.value, Solve):
                self._visit_system(tensor, equation, equation.value, moving)
                continue
            body, indices, guards, factor = self._reduction(tensor, equation)
            arriving = self._read_adjoint(tensor.id, equation.subscripts)
            for contribution in contributions(body, mul(arriving, factor), guards, moving, self.squares.has_kink):
                share = _Share((*equation.indices, *indices), equation, contribution)
                self.shares.setdefault(contribution.read.tensor, []).append(share)

    def _visit_system(self, tensor: Tensor, equation: Equation, value: Solve, tensors: set[str]) -> None:
        """What the parts of a linear system get from the adjoint of its solution."""
        assert isinstance(value.position, Index)
        row, column = value.indices
        batch = tuple(index for index in equation.indices if index is not value.position)
        solution = tuple(substitute(subscript, {value.position: column}) for subscript in equation.subscripts)
        place = refresh(row)
        transposed = Solve((column, row), value.matrix, self._read_adjoint(tensor.id, solution), place)
        axes = tuple(refresh(index) for index in (*batch, place))
        defined = substitute(rename_bound(transposed), dict(zip((*batch, place), axes, strict=True)))
        adjoint = whole(self._unused(f"d_{tensor.id}.system"), axes, defined, equation.span)
        self.tensors[adjoint.id] = adjoint
        arriving = read(adjoint, *batch, row)
        found = Read(tensor.id, solution, "real")
        parts = (
            ((*batch, row), value.vector, arriving),
            ((*batch, row, column), value.matrix, op("neg", mul(arriving, found))),
        )
        for indices, part, factor in parts:
            for contribution in contributions(part, factor, (), tensors, self.squares.has_kink):
                self.shares.setdefault(contribution.read.tensor, []).append(_Share(indices, equation, contribution))

    def _read_adjoint(self, name: str, subscripts: tuple[Expr, ...]) -> Expr:
        adjoint = self.adjoints[name]
        return Read(adjoint, subscripts, "real") if isinstance(adjoint, str) else adjoint

    def _adjoint(self, tensor: Tensor) -> Expr | str:
        """The adjoint of ``tensor`` from what its readers gave."""
        if tensor.id in self.shares:
            return self._define(tensor, self._reserved(tensor))
        seed = self.seeds[tensor.id]
        return seed if seed is not None else _ONE

    def _reserved(self, tensor: Tensor) -> str:
        """The name of an adjoint; until it is defined, the tensor itself stands under it."""
        wanted = f"d_{tensor.id}"
        name = self._unused(f"{wanted}.total" if wanted == self.seeds.get(tensor.id) else wanted)
        self.tensors[name] = tensor
        return name

    def _define(self, tensor: Tensor, name: str) -> str:
        """Σ over the shares, and the seed."""
        shares = self.shares.pop(tensor.id, [])
        axes = _axes(tensor)
        terms = [_collected(tensor, axes, share) for share in shares]
        if tensor.id in self.seeds:
            seed = self.seeds[tensor.id]
            terms.insert(0, read(self.tensors[seed], *axes) if seed is not None else _ONE)
        span = shares[0].equation.span if len(shares) == 1 else tensor.span
        self.tensors[name] = replace(whole(name, axes, add(*terms) if terms else _NOTHING, span), sets=tensor.sets)
        return name

    def _reduction(self, tensor: Tensor, equation: Equation) -> tuple[Expr, tuple[Index, ...], Guards, Expr]:
        """The body of a reduction, its indices, and the derivative of the whole with respect to the body."""
        value = equation.value
        if not isinstance(value, Reduce):
            return value, (), (), _ONE
        if value.op in ("max", "min"):
            chosen = self._position(tensor, equation, value)
            return value.body, value.indices, ((op("eq", _flat(value.indices), chosen), True),), _ONE
        if value.op == "prod":
            return value.body, value.indices, (), _product_of_others(value)
        return value.body, value.indices, (), _ONE

    def _position(self, tensor: Tensor, equation: Equation, value: Reduce) -> Expr:
        """Reads the position of the first extreme element, from a tensor over the indices of the equation."""
        axes = tuple(refresh(index) for index in equation.indices)
        position = Reduce(f"arg{value.op}", value.indices, value.body)
        defined = substitute(rename_bound(position), dict(zip(equation.indices, axes, strict=True)))
        result = whole(self._unused(f"{tensor.id}.arg{value.op}"), axes, defined, equation.span)
        self.tensors[result.id] = result
        return read(result, *equation.indices)


def _collected(tensor: Tensor, axes: tuple[Index, ...], share: _Share) -> Expr:
    """Σ over the indices of the share of ``[a = ψ]·value``, as an element of the adjoint at ``axes``."""
    names: dict[Expr, Expr] = {}
    deltas: list[tuple[Index, Expr]] = []
    for axis, size, subscript in zip(axes, tensor.sizes, share.contribution.read.subscripts, strict=True):
        whole_axis = isinstance(subscript, Index) and subscript not in names and equal(subscript.size, size)
        if whole_axis:
            names[subscript] = axis
        else:
            deltas.append((axis, subscript))
    summed: dict[Expr, Index] = {index: refresh(index) for index in share.indices if index not in names}
    names |= summed
    # what guards the value may guard the subscripts too: it is looked at before them
    conditions = [substitute(cond, names) for cond in share.contribution.conditions]
    conditions += [op("eq", axis, substitute(subscript, names)) for axis, subscript in deltas]
    value = substitute(share.contribution.value, names)
    if conditions:
        value = Select(op("and", *conditions), value, _NOTHING)
    return Reduce("sum", tuple(summed.values()), value) if summed else value


def _flat(indices: tuple[Index, ...]) -> Expr:
    """The position in row-major order."""
    result: Expr = indices[0]
    for index in indices[1:]:
        result = op("add", op("mul", result, index.size), index)
    return result


def _product_of_others(value: Reduce) -> Expr:
    """∂(Π_j f_j)/∂f_j = Π_{j' ≠ j} f_{j'}"""
    others = {index: refresh(index) for index in value.indices}
    differs = op("or", *(op("ne", other, index) for index, other in others.items()))
    body = Select(differs, substitute(value.body, dict(others.items())), _ONE)
    return Reduce("prod", tuple(others.values()), body)


def _axes(tensor: Tensor) -> tuple[Index, ...]:
    """Fresh indices over the axes, named as in the equation of the tensor, or after its index sets."""
    hints = [_hint(tensor, axis) for axis in range(tensor.rank)]
    if tensor.equations and tensor.equations[0].is_whole:
        hints = [index.hint for index in tensor.equations[0].indices]
    return tuple(fresh(size, hint) for size, hint in zip(tensor.sizes, hints, strict=True))


def _hint(tensor: Tensor, axis: int) -> str:
    """The name of an axis; of one that is no index set (h[t+1]) the index that its parts have there."""
    if tensor.sets and tensor.sets[axis].isidentifier():
        return tensor.sets[axis][:1].lower() + tensor.sets[axis][1:]
    parts = (free_indices(equation.subscripts[axis]) for equation in tensor.equations)
    return next((indices[0].hint for indices in parts if indices), "i")
