"""Products of three factors whose order is chosen when the sizes are known.

::

    p[i,k] = sum[j] a[i,j]*b[j,k]           when |I|*|K|*(|J| + |L|) <= |J|*|L|*(|I| + |K|)
    y[i,l] = sum[k] p[i,k]*c[k,l]               p = a . b,  y = p . c
                                            when it is more
                                                q = b . c,  y = a . q

Which two factors are multiplied first may make the one way take a hundred times as long as the other.  The passes
choose for the sizes that they know; where some are open, both ways are compiled, and the sizes of a call choose.  What
several products are made of first, as a gradient and what it is the gradient of are, is computed once, if any of them
takes the way that needs it.

Left out: products in recurrences, factors under conditions, and chains of which all orders are to be weighed together:
each three neighbours choose for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

from dlc.compiler.ir.affine import Polynomial, order_key
from dlc.compiler.ir.alike import key
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.contraction import is_matrix_product
from dlc.compiler.ir.expr import ONE, ZERO, Expr, Index, Op, Read, Reduce, free_indices, op, reads
from dlc.compiler.ir.graph import Equation, Graph, Tensor, inlined, whole
from dlc.compiler.ir.rewriting import rename_bound
from dlc.compiler.lower.nests import sizes_product

IsProduct = Callable[..., bool]


@dataclass(frozen=True)
class Other:
    """Another way to a tensor, taken where ``cond`` holds, and ``usual`` does not: its equation, and what is multiplied
    before.
    """

    usual: Expr
    cond: Expr
    equation: Equation
    first: str


@dataclass
class Orders:
    """``others`` has the other way for each tensor with two; ``made`` the tensors that only those ways need; ``when``
    tells of what is multiplied first when it is needed, and ``room``, 0 or 1, whether it has a place in memory.
    """

    others: dict[str, Other] = field(default_factory=dict)
    made: dict[str, Tensor] = field(default_factory=dict)
    room: dict[str, Expr] = field(default_factory=dict)
    when: dict[str, Expr] = field(default_factory=dict)

    @property
    def firsts(self) -> set[str]:
        """What other ways multiply before."""
        return {other.first for other in self.others.values()}

    def needed(self, name: str) -> tuple[Expr, ...]:
        """When a tensor is: always, if nothing is said."""
        return (self.when[name],) if name in self.when else ()

    def of_room(self, tensor: Tensor) -> Tensor:
        """The tensor as it lies in memory: of a way that is not taken one row, since no array of a model is empty."""
        if tensor.id not in self.room:
            return tensor
        rows = op("max", ONE, op("mul", tensor.sizes[0], self.room[tensor.id]))
        return replace(tensor, sizes=(rows, *tensor.sizes[1:]))


@dataclass(frozen=True)
class _Way:
    """Two factors multiplied first, over indices that nothing else has, and then by the third; ``work`` is what both
    products take.
    """

    pair: tuple[Read, Read]
    third: Read
    summed: tuple[Index, ...]
    rest: tuple[Index, ...]
    work: Polynomial

    @property
    def first(self) -> Reduce:
        return Reduce("sum", self.summed, op("mul", *self.pair))


def orders(graph: Graph, fresh_id: Callable[[str], str], is_product: IsProduct) -> Orders:
    """The tensors of the graph that are computed in one of two orders."""
    readers = _readers(graph)
    firsts = {name for name in readers if _pair(graph, name) is not None and is_product(graph.tensors[name])}
    firsts -= graph.kept | graph.recurrence_of.keys()
    found: dict[str, tuple[str, _Way, _Way]] = {}
    for name in graph.ordered:
        pair = _pair(graph, name) if name not in graph.recurrence_of else None
        if pair is not None and is_product(graph.tensors[name]):
            found.update((name, ways) for ways in _ways(graph, name, pair, firsts))
    while left_over := {name for name in firsts if not readers[name] <= found.keys()}:  # it is there anyway
        firsts -= left_over
        found = {name: ways for name, ways in found.items() if ways[0] in firsts}
    return _Weighing(graph, fresh_id, is_product, sorted(firsts)).made(found)


class _Weighing:
    def __init__(
        self, graph: Graph, fresh_id: Callable[[str], str], is_product: IsProduct, firsts: Iterable[str]
    ) -> None:
        self.graph, self.fresh_id, self.is_product = graph, fresh_id, is_product
        self.known: dict[object, Tensor] = {}  # what is multiplied first, by its form and by when it is needed
        for name in firsts:
            self.known[key(graph.tensors[name].equations[0].value)[0], None] = graph.tensors[name]

    def made(self, found: Mapping[str, tuple[str, _Way, _Way]]) -> Orders:
        result = Orders()
        needed: dict[str, dict[Expr, Expr]] = {}  # when, and 1 then and 0 else
        for name, (first, usual, other) in found.items():
            excess = usual.work - other.work
            way = self._other(result, name, other, excess.expression())
            takes, instead = (one.work.expression() for one in (usual, other))
            less, more = op("le", takes, instead), op("lt", instead, takes)
            if order_key(instead) < order_key(takes):  # of two that take as much all readers take the same
                less, more = op("lt", takes, instead), op("le", instead, takes)
            needed.setdefault(first, {})[ONE if way is None else less] = _is_positive(-excess + 1)
            if way is not None:
                equation, before = way
                result.others[name] = Other(less, more, equation, before)
                needed.setdefault(before, {})[more] = _is_positive(excess + 1)
        for name, conditions in needed.items():
            if ONE not in conditions:
                result.when[name] = op("or", *conditions)
            if ONE not in conditions and len(conditions) == 1:
                (result.room[name],) = conditions.values()
        return result

    def _other(self, result: Orders, name: str, way: _Way, excess: Expr) -> tuple[Equation, str] | None:
        """The equation of the other way, and the tensor that it multiplies first, unless those are no products."""
        form, free = key(way.first)
        own = self.graph.tensors[name].equations[0]
        before = self.known.get((form, None)) or self.known.get((form, excess))
        if before is not None:
            places = key(before.equations[0].value)[1]
            axes = tuple(free[places.index(index)] for index in before.equations[0].indices)
        else:
            axes = tuple(dict.fromkeys(index for index in (*own.indices, *free) if index in free))
            value = rename_bound(way.first)
            before = whole(self.fresh_id(f"{name}.other"), axes, value, own.span)
            if not self.is_product(before):
                return None
        read = Read(before.id, axes, "real")
        equation = replace(own, value=Reduce("sum", way.rest, op("mul", read, way.third)))
        if not self.is_product(replace(self.graph.tensors[name], equations=(equation,)), before):
            return None
        if before.id not in self.graph.tensors:
            self.known[form, excess] = result.made[before.id] = before
        return equation, before.id


def _is_positive(value: Polynomial) -> Expr:
    """1 if it is, and 0 if it is not."""
    return op("min", ONE, op("max", ZERO, value.expression()))


def _readers(graph: Graph) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for tensor in graph.tensors.values():
        for equation in tensor.equations:
            for read in reads(equation.value, *equation.subscripts):
                found.setdefault(read.tensor, set()).add(tensor.id)
    return found


def _pair(graph: Graph, name: str) -> tuple[Read, Read] | None:
    """The two tensors that another one is the product of."""
    equations = graph.tensors[name].equations
    if len(equations) != 1 or not equations[0].is_whole:
        return None
    match equations[0].value:
        case Reduce(op="sum", body=Op(name="mul", args=(Read() as left, Read() as right))):
            plain = not reads(*left.subscripts, *right.subscripts) and left.tensor != right.tensor
            return (left, right) if plain else None
    return None


def _ways(graph: Graph, name: str, pair: tuple[Read, Read], firsts: Set[str]) -> Iterator[tuple[str, _Way, _Way]]:
    """What a product multiplies first, and the two ways, if sizes have a say in which takes less."""
    equation = graph.tensors[name].equations[0]
    assert isinstance(equation.value, Reduce)
    for one, third in (pair, pair[::-1]):
        if one.tensor not in firsts:
            continue
        value = inlined(graph.tensors[one.tensor].equations[0], one.subscripts)
        assert isinstance(value, Reduce) and isinstance(value.body, Op)
        left, right = value.body.args
        assert isinstance(left, Read) and isinstance(right, Read)
        if not firsts.isdisjoint((left.tensor, right.tensor, third.tensor)):
            continue  # it may not be there
        bound = {*value.indices, *equation.value.indices}
        usual = _way((left, right), third, bound)
        others = [_way((part, third), kept, bound) for part, kept in ((left, right), (right, left))]
        for other in others:
            if usual is not None and other is not None and _depends(usual.work - other.work):
                yield one.tensor, usual, other
                return


def _way(pair: tuple[Read, Read], third: Read, bound: Set[Index]) -> _Way | None:
    """The way, if both of it are matrix products; indices that all have count for nothing."""
    left, right, last = (frozenset(free_indices(part)) for part in (*pair, third))
    summed = tuple(index for index in free_indices(op("mul", *pair)) if index in bound and index not in last)
    first = (left | right) - set(summed)
    rest = tuple(index for index in free_indices(third) if index in bound)
    if not summed or not is_matrix_product((left, right), summed) or not is_matrix_product((first, last), rest):
        return None
    if len(summed) + len(rest) != len(bound) or not {*rest} <= first:
        return None
    everywhere = left & right & last
    work = sizes_product(sorted((left | right) - everywhere, key=_number))
    work += sizes_product(sorted((first | last) - everywhere, key=_number))
    return _Way(pair, third, summed, rest, work)


def _number(index: Index) -> int:
    return index.id


def _depends(excess: Polynomial) -> bool:
    """Whether the sizes say which of two ways takes less."""
    return not nonnegative(excess) and not nonnegative(-excess)
