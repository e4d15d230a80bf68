"""What a graph means: an interpreter that is slow and plainly right, against which everything else is tested.

An expression is evaluated at a list of *points*, which give values to its indices; the result has one element per
point.  ``Select`` splits the points, so that a branch is evaluated exactly where it is taken; a reduction multiplies
the points by the values of its indices.  Reals are float64 with IEEE semantics, integers are int64 and exact (an
overflow is the author's), division rounds down, and a read outside a tensor is an error that says where.  ``and``
and ``or`` look at an argument only where those before it leave the answer open.

The elements of a recurrence are computed one after the other, as they come to be known (``unfold``): no schedule is
taken for granted, and elements that need each other in a circle are an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dlc.compiler.ir.arithmetic import Array, EvaluationError, operator, reduction, solved
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, Size, Solve, identity_of, walk
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.unfold import CircularElementsError, UnknownElementError, Work, unfold

_TYPES: dict[str, type] = {"real": np.float64, "int": np.int64, "bool": np.bool_}
_KINDS = {"real": "fiu", "int": "iu", "bool": "b"}  # of the arrays that are accepted for each type
_MOST_POINTS = 1 << 20  # a reduction over more is evaluated for a part of the points at a time


def evaluate(
    graph: Graph,
    inputs: Mapping[str, Any],
    sizes: Mapping[str, int] | None = None,
    wanted: Iterable[str] | None = None,
) -> dict[str, Array]:
    """All tensors of the graph, or the ``wanted`` ones; sizes that no input's shape tells are given in ``sizes``."""
    values = dict(bind_sizes(graph, inputs, sizes or {}))
    tensors = _given(graph, inputs, values)
    needed = set(graph.tensors) if wanted is None else _needed(graph, wanted)
    with np.errstate(all="ignore"):
        for component in graph.components:
            members = [graph.tensors[name] for name in component]
            if members[0].kind != "computed" or members[0].id not in needed:
                continue
            if component[0] in graph.recurrence_of:
                tensors |= _recurrence(members, tensors, values)
            else:
                tensors[members[0].id] = _computed(members[0], tensors, values)
    return {name: tensors[name] for name in (graph.tensors if wanted is None else wanted)}


def _needed(graph: Graph, wanted: Iterable[str]) -> set[str]:
    needed: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        for equation in graph.tensors[name].equations:
            waiting.extend(node.tensor for node in walk(equation.value, *equation.subscripts) if isinstance(node, Read))
    return needed


# -- sizes and inputs -----------------------------------------------------------------------------------------------


def bind_sizes(graph: Graph, inputs: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, int]:
    """The value of every size symbol, from the shapes of the inputs; checks that all shapes and requirements agree."""
    values = dict(sizes)
    for name, value in inputs.items():
        tensor, shape = _tensor(graph, name), np.shape(value)
        if len(shape) != tensor.rank:
            raise EvaluationError(f"{name} has {tensor.rank} axes and was given {len(shape)}")
        for size, length in zip(tensor.sizes, shape, strict=True):
            if isinstance(size, Size):
                values.setdefault(size.name, length)
    for name in graph.sizes:
        if name not in values:
            raise EvaluationError(f"no input gives |{name}|")
    for name, value in inputs.items():
        expected = tuple(size_value(size, values) for size in graph.tensors[name].sizes)
        if expected != np.shape(value):
            raise EvaluationError(f"{name} has shape {expected} and was given {np.shape(value)}")
    for requirement in graph.requirements:
        if size_value(requirement.value, values) < 0:
            raise EvaluationError(requirement.message)
    return values


def size_value(size: Expr, values: Mapping[str, int]) -> int:
    return int(_Points({}, 1, {}, values).value(size)[0])


def extent_value(size: Expr, values: Mapping[str, int]) -> int:
    """How many elements there are: a range such as that of ``t + 1 < |T|`` has none where ``|T|`` is 0."""
    return max(0, size_value(size, values))


def _tensor(graph: Graph, id: str) -> Tensor:
    tensor = graph.tensors.get(id)
    if tensor is None or tensor.kind == "computed":
        raise EvaluationError(f"{id} is not an input")
    return tensor


def _given(graph: Graph, inputs: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for tensor in graph.tensors.values():
        if tensor.kind == "computed":
            continue
        if tensor.id in inputs:
            tensors[tensor.id] = _accepted(tensor, np.asarray(inputs[tensor.id]), sizes)
        elif tensor.default is not None or _starts_as_a_number(tensor):
            number = tensor.default if tensor.initialiser is None else tensor.initialiser.arguments[0]
            shape = [size_value(size, sizes) for size in tensor.sizes]
            tensors[tensor.id] = np.full(shape, number, _TYPES[tensor.type])
        else:
            raise EvaluationError(f"{tensor.id} is not given")
    return tensors


def _starts_as_a_number(tensor: Tensor) -> bool:
    """A state that is not given is as at the first step."""
    start = tensor.initialiser
    return tensor.kind == "state" and start is not None and start.name == "constant"


def _accepted(tensor: Tensor, value: Array, sizes: Mapping[str, int]) -> Array:
    if value.dtype.kind not in _KINDS[tensor.type]:
        raise EvaluationError(f"{tensor.id} is {tensor.type} and was given {value.dtype}")
    value = value.astype(_TYPES[tensor.type])
    if tensor.bound is not None:
        outside = np.argwhere((value < 0) | (value >= size_value(tensor.bound, sizes)))
        if len(outside):
            position = tuple(int(place) for place in outside[0])
            raise EvaluationError(f"{tensor.id}{list(position)} is {value[position]}, outside {tensor.bound_set}")
    return value


# -- equations ------------------------------------------------------------------------------------------------------


def _computed(tensor: Tensor, tensors: Mapping[str, Array], sizes: Mapping[str, int]) -> Array:
    shape = tuple(extent_value(size, sizes) for size in tensor.sizes)
    result = np.zeros(prod(shape), _TYPES[tensor.type])
    written: list[Array] = []
    for equation in tensor.equations:
        points, positions = _elements(tensor, equation, shape, tensors, sizes)
        result[positions] = points.value(equation.value)
        written.append(positions)
    _check_written_once(tensor, shape, written)
    return result.reshape(shape)


def _elements(
    tensor: Tensor, equation: Equation, shape: Sequence[int], tensors: Mapping[str, Array], sizes: Mapping[str, int]
) -> tuple[_Points, Array]:
    """All points of an equation, and the positions, in row-major order over the tensor, that it writes there."""
    points = _Points({}, 1, tensors, sizes).times(equation.indices)
    subscripts = [points.value(subscript) for subscript in equation.subscripts]
    return points, points.position(f"{tensor.id} (written)", subscripts, shape)


def _check_written_once(tensor: Tensor, shape: Sequence[int], written: Sequence[Array]) -> None:
    times = np.bincount(np.concatenate(written), minlength=prod(shape))
    if np.any(times != 1):
        place = int(np.argmax(times != 1))
        raise EvaluationError(f"{tensor.id}{_subscripts(place, shape)} is written {times[place]} times")


def _subscripts(position: int, shape: Sequence[int]) -> list[int]:
    return [int(number) for number in np.unravel_index(position, shape)] if shape else []


def _recurrence(members: Sequence[Tensor], tensors: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array]:
    """The tensors of a component, whose elements are numbered one tensor after the other."""
    shapes = {member.id: tuple(extent_value(size, sizes) for size in member.sizes) for member in members}
    results = {member.id: np.zeros(shapes[member.id], _TYPES[member.type]) for member in members}
    starts = dict(zip(shapes, np.cumsum([0, *map(prod, shapes.values())]).tolist(), strict=False))
    known = np.zeros(sum(map(prod, shapes.values())), bool)
    works: list[Work] = []
    for member in members:
        written: list[Array] = []
        for equation in member.equations:
            points, positions = _elements(member, equation, shapes[member.id], {**tensors, **results}, sizes)
            points.unfolding = _Unfolding(known, starts)
            works.append(_work(equation, points, positions, results[member.id], starts[member.id]))
            written.append(positions)
        _check_written_once(member, shapes[member.id], written)
    try:
        unfold(works, known)
    except CircularElementsError as circle:
        names = " -> ".join(_element_name(number, starts, shapes) for number in circle.elements)
        raise EvaluationError(f"elements depend on themselves: {names}") from None
    return results


def _work(equation: Equation, points: _Points, positions: Array, result: Array, start: int) -> Work:
    def compute(places: Array) -> None:
        result.reshape(-1)[positions[places]] = points.where(places).value(equation.value)

    return Work(start + positions, compute)


def _element_name(number: int, starts: Mapping[str, int], shapes: Mapping[str, Sequence[int]]) -> str:
    name = [one for one, start in starts.items() if start <= number and prod(shapes[one])][-1]
    return f"{name}{_subscripts(number - starts[name], shapes[name])}"


@dataclass(frozen=True)
class _Unfolding:
    """Which elements of a recurrence are known; ``starts`` has the number of the first element of each tensor."""

    known: Array
    starts: Mapping[str, int]

    def check(self, tensor: str, positions: Array, origins: Array) -> None:
        if tensor in self.starts:
            elements = self.starts[tensor] + positions
            unknown = ~self.known[elements]
            if np.any(unknown):
                raise UnknownElementError(origins[unknown], elements[unknown])


class _Points:
    """``count`` points; ``indices`` has the value of each index at each of them.

    ``origins`` is the place of the point that each comes from among those that a recurrence tries at once.
    """

    def __init__(
        self, indices: Mapping[Index, Array], count: int, tensors: Mapping[str, Array], sizes: Mapping[str, int]
    ) -> None:
        self.indices, self.count, self.tensors, self.sizes = indices, count, tensors, sizes
        self.known: dict[Expr, Array] = {}
        self.unfolding: _Unfolding | None = None
        self.origins: Array | None = None

    def where(self, chosen: Array | slice) -> _Points:
        """Some of the points."""
        indices = {index: value[chosen] for index, value in self.indices.items()}
        result = _Points(indices, len(np.arange(self.count)[chosen]), self.tensors, self.sizes)
        if self.unfolding is not None:
            result.unfolding = self.unfolding
            result.origins = np.arange(result.count) if self.origins is None else self.origins[chosen]
        return result

    def times(self, bound: Sequence[Index]) -> _Points:
        """Each point once for each value of ``bound``, in row-major order."""
        ranges = [extent_value(index.size, self.sizes) for index in bound]
        many = prod(ranges)
        indices = {index: np.repeat(value, many) for index, value in self.indices.items()}
        for axis, index in enumerate(bound):
            once = np.repeat(np.arange(ranges[axis]), prod(ranges[axis + 1 :]))
            indices[index] = np.tile(once, self.count * prod(ranges[:axis]))
        result = _Points(indices, self.count * many, self.tensors, self.sizes)
        if self.origins is not None:
            result.unfolding, result.origins = self.unfolding, np.repeat(self.origins, many)
        return result

    def value(self, node: Expr) -> Array:
        """The value at each point."""
        if node not in self.known:
            self.known[node] = self._value(node)
        return self.known[node]

    def _value(self, node: Expr) -> Array:
        match node:
            case Const(value=value):
                return np.full(self.count, value, _TYPES[node.type])
            case Size(name=name):
                return np.full(self.count, self.sizes[name])
            case Index():
                return self.indices[node]
            case Read(tensor=id, subscripts=subscripts):
                array = self.tensors[id]
                positions = self.position(id, [self.value(s) for s in subscripts], array.shape)
                if self.unfolding is not None and self.origins is not None:
                    self.unfolding.check(id, positions, self.origins)
                return array.reshape(-1)[positions]
            case Select():
                return self._choice(node)
            case Reduce():
                return self._reduction(node)
            case Solve():
                return self._solution(node)
            case Op(name="and" | "or", args=args):
                return self._until(node.name == "or", args)
            case Op(name=name, args=args):
                return operator(name)(*(self.value(arg) for arg in args))
        raise TypeError(type(node).__name__)

    def position(self, what: str, subscripts: Sequence[Array], shape: Sequence[int]) -> Array:
        """Where the element with these subscripts stands in row-major order."""
        result = np.zeros(self.count, np.int64)
        for subscript, length in zip(subscripts, shape, strict=True):
            outside = (subscript < 0) | (subscript >= length)
            if np.any(outside):
                first = int(np.argmax(outside))
                element = ",".join(str(int(s[first])) for s in subscripts)
                at = ", ".join(f"{index.hint}={int(value[first])}" for index, value in self.indices.items())
                raise EvaluationError(f"{what}[{element}] is outside the shape {tuple(shape)}, at {at}")
            result = result * length + subscript
        return result

    def _choice(self, node: Select) -> Array:
        taken = self.value(node.cond)
        result = np.empty(self.count, _TYPES[node.type])
        for chosen, branch in ((taken, node.yes), (~taken, node.no)):
            if np.all(chosen):
                return self.value(branch)
            if np.any(chosen):
                result[chosen] = self.where(chosen).value(branch)
        return result

    def _until(self, answer: bool, args: Sequence[Expr]) -> Array:
        """``or`` ends at the first true argument, ``and`` at the first false one."""
        result = np.full(self.count, not answer)
        for arg in args:
            open_ = result != answer
            if np.any(open_):
                result[open_] = (self if np.all(open_) else self.where(open_)).value(arg)
        return result

    def _solution(self, node: Solve) -> Array:
        n = size_value(node.row.size, self.sizes)
        matrices = self.times(node.indices).value(node.matrix).reshape(self.count, n, n)
        vectors = self.times((node.row,)).value(node.vector).reshape(self.count, n)
        systems = zip(matrices, vectors, self.value(node.position), strict=True)
        known: dict[bytes, Array] = {}  # one solution is asked for all its elements
        result = np.empty(self.count)
        for number, (matrix, vector, position) in enumerate(systems):
            key = matrix.tobytes() + vector.tobytes()
            if key not in known:
                known[key] = solved(matrix, vector)
            result[number] = known[key][position]
        return result

    def _reduction(self, node: Reduce) -> Array:
        many = prod(extent_value(index.size, self.sizes) for index in node.indices)
        if self.count > 1 and self.count * many > _MOST_POINTS:
            step = max(1, _MOST_POINTS // many)
            parts = [self.where(slice(start, start + step)).value(node) for start in range(0, self.count, step)]
            return np.concatenate(parts)
        if many == 0:
            return np.full(self.count, _of_nothing(node), _TYPES[node.type])
        values = self.times(node.indices).value(node.body) if self.count else np.zeros(0, _TYPES[node.body.type])
        return np.asarray(reduction(node.op)(values.reshape(self.count, many)), _TYPES[node.type])


def _of_nothing(node: Reduce) -> float | int | bool:
    return 0 if node.op in ("argmax", "argmin") else identity_of(node.op, node.type).value
