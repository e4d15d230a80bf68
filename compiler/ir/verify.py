"""What makes a graph valid: ``verify`` yields a sentence for each thing that is wrong, ``check`` runs after every pass.

A graph is valid when every name means a tensor, every element read has as many subscripts as the tensor has axes,
types agree, every index is bound exactly once where it occurs, left sides are affine and use all their indices,
sizes depend on nothing but sizes, recurrences have an order, and the roots exist.  Whether subscripts stay in range,
and whether the parts of a tensor meet without holes, is proved when the graph is made, not here.
"""

from __future__ import annotations

from collections.abc import Iterator

from dlc.compiler.ir.affine import equal
from dlc.compiler.ir.expr import (
    Binder,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    Size,
    Solve,
    free_indices,
    reads,
    text,
    walk,
)
from dlc.compiler.ir.graph import Equation, Graph, Objective, Tensor
from dlc.compiler.ir.ops import OPERATORS
from dlc.compiler.ir.recurrence import conflicts
from dlc.compiler.ir.steps import with_needs

_SCALARS = {"hyper": "hyper-parameter", "mode": "mode"}
_NUMERIC = ("real", "int")


class InternalError(Exception):
    """The compiler broke one of its own rules; no spec is to blame."""


def check(graph: Graph, after: str, orders: bool = True) -> None:
    """Raises ``InternalError`` with the pass that gave an invalid graph, and why it is invalid; without ``orders``,
    recurrences may wait for other passes to find an order for them."""
    problems = list(verify(graph) if orders else _problems(graph))
    if problems:
        raise InternalError("\n".join(f"after {after}: {problem}" for problem in problems))


def verify(graph: Graph) -> Iterator[str]:
    """A sentence for each thing that is wrong; orders are looked for where all else is right."""
    valid = True
    for problem in _problems(graph):
        valid = False
        yield problem
    if valid:
        yield from _cycles(graph)


def _problems(graph: Graph) -> Iterator[str]:
    for name, tensor in graph.tensors.items():
        if name != tensor.id:
            yield f"{tensor.id} is kept under the name {name}"
        told = _told(tensor, graph)
        if told not in _right:
            found = list(_tensor_problems(tensor, graph))
            yield from found
            if not found and tensor.kind != "derivative":
                _remember(told)
    yield from _root_problems(graph)


# Most tensors are what they were before a pass: what was right is not looked at again.
_right: set[tuple[object, ...]] = set()
_MOST_REMEMBERED = 1 << 14


def _told(tensor: Tensor, graph: Graph) -> tuple[object, ...]:
    """All that a tensor which is no derivative is right by."""
    known = (graph.tensors.get(node.tensor) for e in tensor.equations for node in reads(e.value, *e.subscripts))
    return tensor, graph.sizes, tuple(one and (one.id, one.rank, one.type) for one in known)


def _remember(told: tuple[object, ...]) -> None:
    if len(_right) >= _MOST_REMEMBERED:
        _right.clear()
    _right.add(told)


# -- tensors --------------------------------------------------------------------------------------------------------


def _tensor_problems(tensor: Tensor, graph: Graph) -> Iterator[str]:
    for size in tensor.sizes:
        yield from _size_problems(size, f"a size of {tensor.id}", graph)
    if tensor.sets and len(tensor.sets) != tensor.rank:
        yield f"{tensor.id} has {tensor.rank} axes and {len(tensor.sets)} index sets"
    if tensor.bound is not None:
        yield from _size_problems(tensor.bound, f"the bound of {tensor.id}", graph)
        if tensor.type != "int":
            yield f"{tensor.id} has a bound and is {tensor.type}"
    if tensor.kind == "computed" and not tensor.equations:
        yield f"{tensor.id} is computed and has no equation"
    if tensor.kind == "derivative":
        yield from _derivative_problems(tensor, graph)
    if tensor.kind != "computed" and tensor.equations:
        yield f"{tensor.id} is {_a(tensor.kind)} and has equations"
    if tensor.kind in _SCALARS and tensor.rank:
        yield f"{tensor.id} is a {_SCALARS[tensor.kind]} and not a scalar"
    for equation in tensor.equations:
        yield from _equation_problems(tensor, equation, graph)


def _derivative_problems(tensor: Tensor, graph: Graph) -> Iterator[str]:
    if tensor.derivative is None:
        yield f"{tensor.id} is a derivative of nothing"
        return
    of, wrt = (graph.tensors.get(name) for name in (tensor.derivative.of, tensor.derivative.wrt))
    if of is None or wrt is None:
        yield f"{tensor.id} is a derivative of {tensor.derivative}, which no equation defines"
        return
    if {of.type, wrt.type, tensor.type} != {"real"}:
        yield f"{tensor.id} is a derivative of what is not real"
    sizes = (*of.sizes, *wrt.sizes)
    if len(sizes) != tensor.rank or not all(map(_same, sizes, tensor.sizes)):
        yield f"{tensor.id} has not the axes of {of.id} and {wrt.id}"


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "input" else f"a {kind}"


def _size_problems(size: Expr, what: str, graph: Graph) -> Iterator[str]:
    if size.type != "int":
        yield f"{what} is {size.type}"
    for node in walk(size):
        if isinstance(node, Index | Read | Binder):
            yield f"{what} depends on {node!r}"
        if isinstance(node, Size) and node.name not in graph.sizes:
            yield f"{what} depends on |{node.name}|, which no input binds"


def _equation_problems(tensor: Tensor, equation: Equation, graph: Graph) -> Iterator[str]:
    where = tensor.id
    if len(equation.subscripts) != tensor.rank:
        yield f"{where} has {tensor.rank} axes and an equation with {len(equation.subscripts)} subscripts"
    if equation.value.type != tensor.type:
        yield f"{where} is {tensor.type} and its equation is {equation.value.type}"
    if len(set(equation.indices)) != len(equation.indices):
        yield f"{where} has an equation that lists an index twice"
    used = {node for node in walk(*equation.subscripts) if isinstance(node, Index)}
    for index in equation.indices:
        yield from _size_problems(index.size, f"the range of {index!r} in {where}", graph)
        if index not in used:
            yield f"{where}: {index!r} does not occur on the left"
    for subscript in equation.subscripts:
        if not _is_affine(subscript):
            yield f"{where}: the left side has {subscript!r}, which is not affine"
    if equation.is_whole and len(tensor.equations) == 1:
        for index, size in zip(equation.indices, tensor.sizes, strict=False):
            if not _same(index.size, size):
                yield f"{where}: {index!r} runs over {index.size!r} on an axis of {size!r}"
    for node in walk(equation.value, *equation.subscripts):
        yield from _node_problems(node, where, graph)
    yield from _binding_problems(equation, where)
    yield from _system_problems(equation, where)


def _same(size: Expr, other: Expr) -> bool:
    return size is other or (size.type == other.type == "int" and equal(size, other))


def _is_affine(node: Expr) -> bool:
    """A sum of indices with factors that contain none."""
    match node:
        case Index() | Size() | Const():
            return node.type == "int"
        case Op(name="add" | "neg", args=args):
            return all(map(_is_affine, args))
        case Op(name="mul", args=args):
            return all(map(_is_affine, args)) and sum(map(_mentions_index, args)) <= 1
    return not _mentions_index(node) and not reads(node)


def _mentions_index(node: Expr) -> bool:
    return any(isinstance(part, Index) for part in walk(node))


def _binding_problems(equation: Equation, where: str) -> Iterator[str]:
    """Every index is bound once on the way from the equation to where it stands."""
    free: dict[Expr, frozenset[Index]] = {}
    bound: dict[Expr, frozenset[Index]] = {}
    none: frozenset[Index] = frozenset()
    for node in walk(equation.value, *equation.subscripts):
        free[node] = none.union(*(free[child] for child in node.children))
        bound[node] = none.union(*(bound[child] for child in node.children))
        if isinstance(node, Index):
            free[node] = frozenset((node,))
        if isinstance(node, Binder):
            for index in node.indices:
                if index in bound[node]:
                    yield f"{where}: {index!r} is bound twice"
            free[node] -= set(node.indices)
            bound[node] |= set(node.indices)
    for index in equation.indices:
        if index in bound[equation.value]:
            yield f"{where}: {index!r} is bound twice"
    for expression in (equation.value, *equation.subscripts):
        for index in sorted(free[expression] - set(equation.indices), key=lambda index: index.id):
            yield f"{where}: {index!r} is not bound"


def _system_problems(equation: Equation, where: str) -> Iterator[str]:
    """A system is solved at the root of an equation, whose indices are those of the solution and of the batch."""
    for node in walk(equation.value, *equation.subscripts):
        if not isinstance(node, Solve):
            continue
        if node is not equation.value:
            yield f"{where} has a system that is not at the root of its equation"
        elif node.position not in equation.indices:
            yield f"{where}: {node.position!r} is no index of the equation, and the position in a solution"
        elif node.position in {*free_indices(node.matrix), *free_indices(node.vector)}:
            yield f"{where}: the system depends on {node.position!r}, the position in its solution"


# -- expressions ----------------------------------------------------------------------------------------------------


def _node_problems(node: Expr, where: str, graph: Graph) -> Iterator[str]:
    match node:
        case Read():
            yield from _read_problems(node, where, graph)
        case Size(name=name) if name not in graph.sizes:
            yield f"{where} depends on |{name}|, which no input binds"
        case Select(cond=cond, yes=yes, no=no):
            if cond.type != "bool":
                yield f"{where}: the condition {cond!r} is {cond.type}"
            if yes.type != no.type:
                yield f"{where}: the branches {yes!r} and {no!r} are {yes.type} and {no.type}"
        case Reduce(op=op, indices=indices, body=body):
            if not indices:
                yield f"{where}: {op} over no index"
            if len(set(indices)) != len(indices):
                yield f"{where}: {op} lists an index twice"
            for index in indices:
                yield from _size_problems(index.size, f"the range of {index!r} in {where}", graph)
            if (body.type == "bool") != (op in ("any", "all")):
                yield f"{where}: {op} of {body!r}, which is {body.type}"
        case Solve():
            yield from _solve_problems(node, where, graph)
        case Op():
            yield from _operator_problems(node, where)


def _read_problems(node: Read, where: str, graph: Graph) -> Iterator[str]:
    tensor = graph.tensors.get(node.tensor)
    if tensor is None:
        yield f"{where} reads {node.tensor}, which no equation defines"
        return
    if len(node.subscripts) != tensor.rank:
        yield f"{where} reads {node!r} with {len(node.subscripts)} subscripts; it has {tensor.rank} axes"
    if node.type != tensor.type:
        yield f"{where} reads {node!r} as {node.type}; it is {tensor.type}"
    for subscript in node.subscripts:
        if subscript.type != "int":
            yield f"{where} reads {node!r}, whose subscript {subscript!r} is {subscript.type}"


def _solve_problems(node: Solve, where: str, graph: Graph) -> Iterator[str]:
    if len(set(node.indices)) != 2:
        yield f"{where}: a system has a row and a column, not {node.indices!r}"
        return
    for index in node.indices:
        yield from _size_problems(index.size, f"the range of {index!r} in {where}", graph)
    extents = [node.row.size, node.column.size, *([node.position.size] if isinstance(node.position, Index) else [])]
    if not all(_same(extents[0], size) for size in extents[1:]):
        yield f"{where}: the system is not square: {extents!r}"
    if node.matrix.type != "real" or node.vector.type != "real":
        yield f"{where}: the system has the types {node.matrix.type} and {node.vector.type}"
    if node.column in free_indices(node.vector):
        yield f"{where}: the right side of the system depends on the column {node.column!r}"


def _operator_problems(node: Op, where: str) -> Iterator[str]:
    row = OPERATORS.get(node.name)
    if row is None:
        yield f"{where}: there is no operator {node.name}"
        return
    if len(node.args) < 2 if row.arity is None else len(node.args) != row.arity:
        yield f"{where}: {node.name} has {len(node.args)} arguments"
        return
    types = tuple(arg.type for arg in node.args)
    if not _fits(node.name, row.arguments, types):
        yield f"{where}: {node!r} of {', '.join(types)}"


def _fits(name: str, wanted: str, types: tuple[str, ...]) -> bool:
    if name == "pow":
        return types in (("real", "real"), ("real", "int"), ("int", "int"))
    if name == "after":
        return True
    if name == "real":
        return types[0] in ("int", "bool")
    if wanted == "any":
        return len(set(types)) == 1
    if wanted == "same":
        return len(set(types)) == 1 and types[0] in _NUMERIC
    return set(types) == {wanted}


# -- the graph ------------------------------------------------------------------------------------------------------


def _root_problems(graph: Graph) -> Iterator[str]:
    tensors = graph.tensors
    for output in graph.outputs:
        if output.tensor not in tensors:
            yield f"the output {output.name} is {output.tensor}, which no equation defines"
    for objective in graph.objectives:
        yield from _objective_problems(objective, graph)
    if len({objective.name for objective in graph.objectives}) != len(graph.objectives):
        yield "two objectives have one name"
    for gradient in graph.gradients:
        missing = [name for name in (gradient.tensor, gradient.adjoint) if name not in tensors]
        if missing:
            yield f"a gradient names {missing[0]}, which no equation defines"
            continue
        of, adjoint = tensors[gradient.tensor], tensors[gradient.adjoint]
        same_shape = of.rank == adjoint.rank and all(map(_same, of.sizes, adjoint.sizes))
        if adjoint.type != "real" or not same_shape:
            yield f"the gradient {adjoint.id} has not the shape of {of.id}"
    yield from _update_problems(graph)
    if len(set(graph.sizes)) != len(graph.sizes):
        yield "a size is listed twice"
    for requirement in graph.requirements:
        yield from _size_problems(requirement.value, "a requirement", graph)


def _objective_problems(objective: Objective, graph: Graph) -> Iterator[str]:
    loss = graph.tensors.get(objective.loss)
    if loss is None:
        yield f"the loss is {objective.loss}, which no equation defines"
    elif loss.rank or loss.type != "real":
        yield f"the loss {loss.id} is not a real scalar"
    for name in objective.over:
        if name not in graph.tensors or graph.tensors[name].kind != "parameter":
            yield f"{name} is trained and is not a parameter"


def _update_problems(graph: Graph) -> Iterator[str]:
    for update in graph.updates:
        missing = [name for name in (update.state, update.value) if name not in graph.tensors]
        if missing:
            yield f"an update names {missing[0]}, which no equation defines"
            continue
        state, value = graph.tensors[update.state], graph.tensors[update.value]
        if state.kind != "state":
            yield f"{state.id} is updated and is not a state"
        same_shape = state.rank == value.rank and all(map(_same, state.sizes, value.sizes))
        if state.type != value.type or not same_shape:
            yield f"the next value {value.id} has not the shape and type of {state.id}"
    states = [update.state for update in graph.updates]
    if len(set(states)) != len(states):
        yield "a state is updated twice"


def _cycles(graph: Graph) -> Iterator[str]:
    for _, conflict in conflicts(with_needs(graph)):
        circle = ", ".join(f"{edge.reader.tensor} reads {text(edge.read)}" for edge in conflict.circle)
        yield f"no order of the elements of a recurrence: {circle}"
