"""The graph language: tensors, each with the equations that define it.

::

    graph    ::= sizes, tensors, outputs, objectives, gradients, updates, requirements
    tensor   ::= id [size, ..] : type, kind, equations
    equation ::= tensor[subscript, ..] = value   for all values of its indices

A computed tensor has one or more equations.  The usual equation writes every element: its subscripts are its
indices, in order.  A tensor made of parts has several, whose subscripts are affine in their indices and whose
images together cover every element once.  Tensors name each other by id, so a graph is a dictionary and a pass gives
a new one; ``networkx`` sees it through ``dependencies``.

Types are real, int and bool (``ops``); float32 or float64 is chosen when lowering.  A size is an integer expression
over ``Size`` symbols and constants; what is fixed when compiling is a constant already.

Left out: order of evaluation, memory, parallelism (the loop language has them) and layers, instances, names in scope
(semantics resolved them).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.expr import Expr, Index, Read, free_indices, fresh, reads
from dlc.compiler.ir.ops import Type
from dlc.compiler.ir.rewriting import rename_bound, substitute

if TYPE_CHECKING:
    import networkx

    from dlc.compiler.source import Span

#: input: given with each call; parameter: lives in the flat parameter buffer; hyper: a scalar that may be changed
#: on the compiled object; mode: a scalar that the runtime gives with each call (``#train``, the ``#seed`` and ``#step``
#: of random numbers); state: kept between calls, read as its value at the start of a call; cotangent: given with a
#: vector-Jacobian product; computed: has equations; derivative: what ``derivative`` says, until a pass has put
#: equations in its place.
Kind = Literal["input", "parameter", "hyper", "mode", "state", "cotangent", "computed", "derivative"]


INSIDE = "#inside"
"""The input of an optimizer that says which places of its axis hold an element of a parameter: the others are gaps."""


@dataclass(frozen=True)
class Equation:
    """``tensor[subscripts] = value`` for all values of ``indices``; every index is free in ``subscripts``."""

    indices: tuple[Index, ...]
    subscripts: tuple[Expr, ...]
    value: Expr
    span: Span | None = field(default=None, compare=False)  # the equation of the spec that it comes from

    @property
    def is_whole(self) -> bool:
        """Whether the left side is just the indices in order: ``y[i,j] = ..``."""
        return self.subscripts == self.indices

    @property
    def is_slice(self) -> bool:
        """Whether every index stands alone on an axis, in their order, the other axes being fixed: ``h[0,i]``."""
        own = tuple(s for s in self.subscripts if not set(free_indices(s)).isdisjoint(self.indices))
        return own == self.indices


@dataclass(frozen=True)
class Initialiser:
    """How a parameter starts: ``name`` is a row of the runtime's table; ``arguments`` are its numbers.

    ``fan_in`` and ``fan_out`` are sizes: the number of products summed into one output element, and the number of
    output elements that one input element reaches.
    """

    name: str
    arguments: tuple[float, ...] = ()
    fan_in: Expr | None = None
    fan_out: Expr | None = None


@dataclass(frozen=True)
class Derivative:
    """Every element of tensor ``of`` by every element of tensor ``wrt``, which counts as a variable: what it is
    computed from stays as it is.  The axes are those of ``of``, then those of ``wrt``."""

    of: str
    wrt: str


@dataclass(frozen=True)
class Tensor:
    id: str
    sizes: tuple[Expr, ...]
    type: Type
    kind: Kind
    equations: tuple[Equation, ...] = ()
    sets: tuple[str, ...] = ()  # the index set of each axis as the spec calls it, for messages and printing
    bound: Expr | None = None  # of an integer input: its elements lie in 0 .. bound-1
    bound_set: str = ""  # and the set's name
    initialiser: Initialiser | None = None
    default: float | int | bool | None = None  # of a hyper-parameter, or of an input that may be left out
    derivative: Derivative | None = None
    output: str = ""  # of a cotangent: the name of the output that it weighs
    doc: str = field(default="", compare=False)
    span: Span | None = field(default=None, compare=False)

    @property
    def rank(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True)
class Output:
    """A value that the compiled model returns under ``name``."""

    name: str
    tensor: str


@dataclass(frozen=True)
class Objective:
    """What a training step minimises: the scalar ``loss``, by moving the parameters ``over``.

    ``name`` is what the spec calls the loss, and its users the step.
    """

    name: str
    loss: str
    over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gradient:
    """``adjoint`` holds the derivative of the loss with respect to ``tensor``."""

    tensor: str
    adjoint: str


@dataclass(frozen=True)
class Update:
    """A training step gives ``state`` the value of the tensor ``value``, once all has been computed."""

    state: str
    value: str


@dataclass(frozen=True)
class Requirement:
    """``value >= 0`` must hold once the sizes are known; ``message`` says in the spec's words what fails if not."""

    value: Expr
    message: str
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Claim:
    """The tensors ``left`` and ``right``, of equal axes, are equal element by element; ``text`` is what was written.

    ``unsummed`` are indices that stand twice in a product of the left side and nowhere on the right: perhaps a sum was
    meant, which the left side of a claim writes out.
    """

    left: str
    right: str
    text: str
    unsummed: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Graph:
    name: str
    tensors: Mapping[str, Tensor]  # in the order of definition; do not rely on it being an order of evaluation
    outputs: tuple[Output, ...] = ()
    sizes: tuple[str, ...] = ()  # the Size symbols that inputs bind
    objectives: tuple[Objective, ...] = ()  # one for each step; the graph of a derivative has the one that it is of
    gradients: tuple[Gradient, ...] = ()
    updates: tuple[Update, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    claims: tuple[Claim, ...] = ()  # only where the graph is made for verifying them
    is_optimizer: bool = False  # over one axis, on which all parameters stand; the first state is the parameters
    totals: tuple[str, ...] = ()  # of an optimizer: scalars that are known before it takes its step, in their order
    doc: str = field(default="", compare=False)

    def of_kind(self, *kinds: Kind) -> list[Tensor]:
        return [tensor for tensor in self.tensors.values() if tensor.kind in kinds]

    @property
    def roots(self) -> tuple[str, ...]:
        """What must be computed: outputs, losses, gradients, next states, both sides of claims, without repetition."""
        losses = (objective.loss for objective in self.objectives)
        claimed = (side for claim in self.claims for side in (claim.left, claim.right))
        wanted = (*(o.tensor for o in self.outputs), *losses, *(g.adjoint for g in self.gradients), *claimed)
        wanted += tuple(update.value for update in self.updates)
        return tuple(dict.fromkeys(wanted))

    @property
    def held(self) -> frozenset[str]:
        """The tensors that derivatives speak of: they stay what they are, and are not looked through."""
        derivatives = (tensor.derivative for tensor in self.tensors.values())
        return frozenset(name for one in derivatives if one is not None for name in (one.of, one.wrt))

    @property
    def kept(self) -> frozenset[str]:
        """The tensors that are asked for by their names: roots, and what gradients are by."""
        return frozenset((*self.roots, *(gradient.tensor for gradient in self.gradients)))

    @cached_property
    def facts(self) -> tuple[Polynomial, ...]:
        """What the requirements say: none of these is negative."""
        return tuple(polynomial(requirement.value) for requirement in self.requirements)

    @cached_property
    def components(self) -> tuple[tuple[str, ...], ...]:
        """The tensors in strongly connected components, each after all that it reads; ties, and the members of one, in
        the order of definition."""
        return tuple(_components(dependencies(self)))

    @cached_property
    def recurrences(self) -> tuple[tuple[str, ...], ...]:
        """The components that depend on themselves: of several tensors, or of one that reads itself."""
        loops = {name for name, tensor in self.tensors.items() if name in reads_of(tensor)}
        return tuple(one for one in self.components if len(one) > 1 or not loops.isdisjoint(one))

    @cached_property
    def recurrence_of(self) -> Mapping[str, tuple[str, ...]]:
        """Each tensor of a recurrence, with all members of that."""
        return {name: component for component in self.recurrences for name in component}

    @property
    def ordered(self) -> tuple[str, ...]:
        """The tensors, each after all that it reads, except within a recurrence; ties in the order of definition."""
        return tuple(name for component in self.components for name in component)

    def with_tensors(self, tensors: Iterable[Tensor]) -> Graph:
        return replace(self, tensors={tensor.id: tensor for tensor in tensors})

    def fresh_id(self, wanted: str) -> str:
        """``wanted``, or ``wanted.2``, ``wanted.3``, .. if that is taken."""
        return unique(wanted, self.tensors)


def unique(wanted: str, taken: Mapping[str, object] | set[str]) -> str:
    """``wanted``, or the first of ``wanted.2``, ``wanted.3``, .. that is not taken."""
    if wanted not in taken:
        return wanted
    number = 2
    while f"{wanted}.{number}" in taken:
        number += 1
    return f"{wanted}.{number}"


def whole(
    id: str, indices: tuple[Index, ...], value: Expr, span: Span | None = None, sets: tuple[str, ...] = ()
) -> Tensor:
    """A computed tensor with one equation over all its elements."""
    sizes = tuple(index.size for index in indices)
    return Tensor(id, sizes, value.type, "computed", (Equation(indices, indices, value, span),), sets, span=span)


def inlined(equation: Equation, subscripts: tuple[Expr, ...]) -> Expr:
    """The value of a whole equation at ``subscripts``, with bound indices of its own."""
    return substitute(rename_bound(equation.value), dict(zip(equation.indices, subscripts, strict=True)))


def read(tensor: Tensor, *subscripts: Expr) -> Read:
    return Read(tensor.id, subscripts, tensor.type)


def axes_of(tensor: Tensor, hints: Iterable[str] = ()) -> tuple[Index, ...]:
    """Fresh indices over the tensor's axes, named after its index sets."""
    names = list(hints) or [(name[:1].lower() + name[1:]) or "i" for name in tensor.sets] or ["i"] * tensor.rank
    return tuple(fresh(size, name) for size, name in zip(tensor.sizes, names, strict=True))


def dependencies(graph: Graph) -> networkx.DiGraph:
    """An edge from A to C where an equation of C reads A.  Nodes stand in the order of definition."""
    import networkx

    result = networkx.DiGraph()
    result.add_nodes_from(graph.tensors)
    for tensor in graph.tensors.values():
        for equation in tensor.equations:
            for node in reads(equation.value, *equation.subscripts):
                result.add_edge(node.tensor, tensor.id)
        if tensor.derivative is not None:
            result.add_edges_from((name, tensor.id) for name in (tensor.derivative.of, tensor.derivative.wrt))
    return result


def _components(known: networkx.DiGraph) -> Iterator[tuple[str, ...]]:
    import networkx

    position = {name: number for number, name in enumerate(known)}
    condensed = networkx.condensation(known)
    members = {
        node: tuple(sorted(data["members"], key=position.__getitem__)) for node, data in condensed.nodes(data=True)
    }
    order = networkx.lexicographical_topological_sort(condensed, key=lambda node: position[members[node][0]])
    return (members[node] for node in order)


def reads_of(tensor: Tensor) -> set[str]:
    """The tensors that the equations of ``tensor`` read, or that it is the derivative of."""
    found = {node.tensor for equation in tensor.equations for node in reads(equation.value, *equation.subscripts)}
    if tensor.derivative is not None:
        found.update((tensor.derivative.of, tensor.derivative.wrt))
    return found
