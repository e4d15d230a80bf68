"""Products of a recurrence that differ in one factor become one product over one more index.

    f[t,d] = sum[e] wf[d,e]*h[t,e]       s[t,g,d] = sum[e] w[e,|D|*g+d]*h[t,e],  and s[t,0,d] where f[t,d] is read
    o[t,d] = sum[e] wo[d,e]*h[t,e]       w[e,d] = wf[d,e],  w[e,|D|+d] = wo[d,e]

A sum of products of equal shapes, which is what the adjoint of the above is, becomes one sum over one more index:

    d_h[t,e] = sum[d] d_f[t,d]*wf[d,e] + sum[d] d_o[t,d]*wo[d,e]
    d_h[t,e] = sum[g,d] d[t,g,d]*w[g,d,e],  where d[t,0,d] = .. and d[t,1,d] = .. are d_f and d_o

The factors that differ are copied side by side, once and before the recurrence, which costs little beside products that
read them in every step; so does a sum outside that reads what the recurrence has stacked. The copies have the order of
axes in which a product reads them fastest. Other products outside recurrences stay apart: they have rows enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dlc.compiler.ir.affine import integer
from dlc.compiler.ir.alike import form
from dlc.compiler.ir.elements import bounds_of
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, free_indices, fresh, op, reads, refresh, walk
from dlc.compiler.ir.forms import is_contraction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique
from dlc.compiler.ir.products import guarded_product
from dlc.compiler.ir.recurrence import conflicts
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.ir.safety import reads_in_range

NAME = "stack"

_HOLE = "#"  # stands for the tensor that differs; no tensor of a spec can be called so


def run(graph: Graph) -> Graph:
    found = _side_by_side(graph)
    for name in sorted(graph.tensors, key=lambda name: name not in graph.recurrence_of):
        found.sums(name)
    if not found.parts or _has_orders(found.graph()):
        return found.graph()
    # Parts that need each other, such as the stages of a method of Runge and Kutta, may have no order as one tensor.
    return _side_by_side(graph).graph()


def _side_by_side(graph: Graph) -> _Stacking:
    found = _Stacking(graph)
    for component in graph.recurrences:
        found.side_by_side(component)
    return found


def _has_orders(graph: Graph) -> bool:
    return not any(conflicts(graph))


class _Product(NamedTuple):
    """The tensor is, as a whole, a sum of ``shared * own``."""

    tensor: Tensor
    equation: Equation
    shared: Expr
    own: Read

    @property
    def reduced(self) -> tuple[Index, ...]:
        """In the order in which the shared factor has them."""
        assert isinstance(self.equation.value, Reduce)
        return tuple(i for i in free_indices(self.shared) if i in self.equation.value.indices)

    @property
    def columns(self) -> tuple[Index, ...]:
        """The indices that only the factor that differs has."""
        others = free_indices(self.shared)
        return tuple(i for i in self.equation.indices if i in free_indices(self.own) and i not in others)

    @property
    def batch(self) -> tuple[Index, ...]:
        others = free_indices(self.shared)
        return tuple(i for i in self.equation.indices if i in free_indices(self.own) and i in others)

    @property
    def order(self) -> tuple[Index, ...]:
        """The indices of the factor that differs, in an order in which products of one pattern agree."""
        return (*self.batch, *self.reduced, *self.columns)

    def pattern(self, differs: str | None = None) -> tuple[object, ...]:
        """What products have in common that differ in ``own``, and in which tensor ``shared`` is an element of."""

        def change(node: Expr) -> Expr | None:
            if node is self.own:
                return Read(_HOLE, self.order, "real")
            if isinstance(node, Read) and node.tensor == differs:
                return Read(f"{_HOLE}{_HOLE}", node.subscripts, node.type)
            return None

        value = transform(self.equation.value, change)
        return form(value, self.equation.indices), *(index.size for index in self.equation.indices)

    def with_factors(self, shared: Expr, own: Expr, *more: Index) -> Reduce:
        """The sum over ``more`` indices as well, of other factors."""
        assert isinstance(self.equation.value, Reduce)
        factors = {self.shared: shared, self.own: own}
        return Reduce("sum", (*more, *self.equation.value.indices), substitute(self.equation.value.body, factors))


class _Place(NamedTuple):
    """Number ``number`` on axis ``axis`` of a stack."""

    stack: str
    axis: int
    number: int

    def of(self, subscripts: Sequence[Expr]) -> tuple[Expr, ...]:
        return (*subscripts[: self.axis], Const(self.number), *subscripts[self.axis :])


@dataclass
class _Stacking:
    """``places``: the tensors that are parts of a stack; ``added``: what is new; ``gone``: what nothing reads now;
    ``totals``: what stands in the place of the first of some terms, of which the others are ``dropped``; ``parts``: how
    many tensors have become parts of one with their equations."""

    before: Graph

    def __post_init__(self) -> None:
        graph = self.before
        self.places: dict[str, _Place] = {}
        self.added: dict[str, Tensor] = {}
        self.gone: set[str] = set()
        self.totals: dict[Expr, Read] = {}
        self.dropped: set[Expr] = set()
        self.parts = 0
        self.sizes = {name: tensor.sizes for name, tensor in graph.tensors.items()}
        self.facts = graph.facts
        self.bounds = bounds_of(graph)
        self.kept = graph.kept | graph.held
        self.readers = Counter(
            read.tensor
            for tensor in graph.tensors.values()
            for equation in tensor.equations
            for read in reads(equation.value, *equation.subscripts)
        )

    # -- products that share a factor -------------------------------------------------------------------------------

    def side_by_side(self, component: Sequence[str]) -> None:
        groups: dict[tuple[object, ...], list[_Product]] = {}
        for name in component:
            for product in self.products(name):
                if product.own.tensor not in component and any(r.tensor in component for r in reads(product.shared)):
                    groups.setdefault(product.pattern(), []).append(product)
        for products in groups.values():
            if len(products) > 1 and products[0].columns:
                self.stack_products(products)

    def products(self, name: str) -> Iterator[_Product]:
        """The ways to see a tensor as a product of which one factor is an element."""
        tensor = self.before.tensors[name]
        if name in self.kept or name in self.places or len(tensor.equations) != 1:
            return
        (equation,) = tensor.equations
        if not (equation.is_whole and is_contraction(equation)):
            return
        assert isinstance(equation.value, Reduce)
        left, right = guarded_product(equation.value.body).factors
        for own, shared in ((left, right), (right, left)):
            if isinstance(own, Read) and own is not shared and self.is_copyable(own):
                yield _Product(tensor, equation, shared, own)

    def is_copyable(self, own: Read) -> bool:
        """Whether all its elements are there, whatever the guard of the sum says."""
        return reads_in_range(own, self.sizes, (), self.facts, self.bounds)

    def stack_products(self, products: Sequence[_Product]) -> None:
        first = products[0]
        number = fresh(Const(len(products)), "g")
        run = _last_run(first.equation.indices, first.columns)
        axis = first.equation.indices.index(run[0])
        indices = (*first.equation.indices[:axis], number, *first.equation.indices[axis:])
        are_columns = run[-1] is first.equation.indices[-1]
        own = (number, *first.columns)
        reduced = [(index,) for index in first.reduced]
        weights = self.copies(products, [*reduced, own] if are_columns else [own, *reduced], number)
        value = first.with_factors(first.shared, weights)
        name = self.fresh_id(f"{first.tensor.id}.stack")
        sizes = tuple(index.size for index in indices)
        equation = Equation(indices, indices, value, first.equation.span)
        self.added[name] = Tensor(name, sizes, "real", "computed", (equation,), span=first.tensor.span)
        for n, product in enumerate(products):
            self.places[product.tensor.id] = _Place(name, axis, n)
            self.gone.add(product.tensor.id)

    def copies(self, products: Sequence[_Product], groups: Sequence[tuple[Index, ...]], number: Index) -> Read:
        """An element of the stack of the factors that differ, behind the batch axes an axis for every group of the
        indices of the first product: what lies side by side is one axis, whatever follows its end in memory."""
        first = products[0]
        groups = [*((index,) for index in first.batch), *groups]
        axes = [index for group in groups for index in group if index is not number]
        name = self.fresh_id(f"{first.own.tensor}.stack")
        equations: list[Equation] = []
        for n, product in enumerate(products):
            theirs = dict(zip(first.order, product.order, strict=True))
            own = {index: refresh(theirs[index]) for index in axes}
            names: dict[Expr, Expr] = {theirs[index]: own[index] for index in axes}
            places: dict[Expr, Expr] = {**own, number: Const(n)}
            subscripts = tuple(substitute(_flat(group), places) for group in groups)
            equations.append(
                Equation(tuple(own.values()), tuple(map(integer, subscripts)), substitute(product.own, names))
            )
        sizes = tuple(_extent(group) for group in groups)
        self.added[name] = Tensor(name, sizes, "real", "computed", tuple(equations))
        return Read(name, tuple(map(_flat, groups)), "real")

    # -- sums of products -------------------------------------------------------------------------------------------

    def sums(self, name: str) -> None:
        """Make one product of those that the equations of the tensor add."""
        for equation in self.before.tensors[name].equations:
            nodes = list(walk(equation.value))
            uses = Counter(child for node in nodes for child in node.children)
            for node in nodes:
                if isinstance(node, Op) and node.name == "add" and node.type == "real":
                    self.added_up([arg for arg in node.args if isinstance(arg, Read) and uses[arg] == 1])

    def added_up(self, terms: Sequence[Read]) -> None:
        groups: dict[tuple[object, ...], list[tuple[Read, _Product, str]]] = {}
        for read in terms:
            if self.readers[read.tensor] != 1:
                continue
            for product in self.products(read.tensor):
                if isinstance(product.shared, Read) and self.is_stackable(product):
                    name = product.shared.tensor
                    sizes = self.before.tensors[name].sizes
                    key = (product.pattern(name), read.subscripts, sizes, self.stack_of(product))
                    groups.setdefault(key, []).append((read, product, name))
        for found in groups.values():
            reads, products, names = zip(*found, strict=True)
            if len(set(names)) == len(names) > 1:
                self.stack_sum(reads, products, names)

    def is_stackable(self, product: _Product) -> bool:
        """Whether the factor that differs, other than a weight, is computed in a recurrence for nobody outside."""
        assert isinstance(product.shared, Read)
        name, weight = product.shared.tensor, product.own.tensor
        circles = self.before.recurrence_of
        if name in self.kept or weight in (*circles.get(name, (weight,)), *circles.get(product.tensor.id, ())):
            return False
        return self.before.tensors[name].type == "real" and (name in self.places or name not in self.gone)

    def stack_of(self, product: _Product) -> tuple[object, ...]:
        """What products must agree in: the recurrence, and the stack if there is one."""
        assert isinstance(product.shared, Read)
        name = product.shared.tensor
        place = self.places.get(name)
        return self.before.recurrence_of[name], place.stack if place is not None else ""

    def number_of(self, product: _Product) -> int:
        assert isinstance(product.shared, Read)
        return self.places[product.shared.tensor].number

    def stack_sum(self, terms: Sequence[Read], products: Sequence[_Product], names: Sequence[str]) -> None:
        first = products[0]
        assert isinstance(first.shared, Read)
        moving = [n for n, s in enumerate(first.shared.subscripts) if set(free_indices(s)) & set(first.reduced)]
        if names[0] not in self.places:
            self.stack_parts(names, moving[0])
        products = sorted(products, key=self.number_of)
        first, start = products[0], self.number_of(products[0])
        if [self.number_of(product) - start for product in products] != list(range(len(products))):
            return
        place = self.places[names[0]]
        number = fresh(Const(len(products)), "g")
        reduced = [(index,) for index in first.reduced]
        weights = self.copies(products, [(number,), *reduced, first.columns], number)
        assert isinstance(first.shared, Read)
        shared = first.shared.subscripts
        at = op("add", number, Const(start)) if start else number
        element = Read(place.stack, (*shared[: place.axis], at, *shared[place.axis :]), "real")
        value = first.with_factors(element, weights, number)
        name = self.fresh_id(f"{first.tensor.id}.stack")
        equation = replace(first.equation, value=value)
        self.added[name] = replace(first.tensor, id=name, equations=(equation,))
        self.gone.update(product.tensor.id for product in products)
        self.totals[terms[0]] = Read(name, terms[0].subscripts, "real")
        self.dropped.update(terms[1:])

    def stack_parts(self, names: Sequence[str], axis: int) -> None:
        """Make parts of one tensor of these, with the new axis in front of ``axis``."""
        self.parts += len(names)
        first = self.before.tensors[names[0]]
        name = self.fresh_id(f"{names[0]}.stack")
        for number, part in enumerate(names):
            self.places[part] = _Place(name, axis, number)
        equations = [
            replace(equation, subscripts=self.places[part].of(equation.subscripts))
            for part in names
            for equation in self.before.tensors[part].equations
        ]
        sizes = (*first.sizes[:axis], Const(len(names)), *first.sizes[axis:])
        self.added[name] = replace(first, id=name, sizes=sizes, equations=tuple(equations), sets=())
        self.gone.update(names)

    # -- the result -------------------------------------------------------------------------------------------------

    def graph(self) -> Graph:
        if not self.added:
            return self.before
        old = [tensor for name, tensor in self.before.tensors.items() if name not in self.gone]
        return self.before.with_tensors(self.changed(tensor) for tensor in (*old, *self.added.values()))

    def changed(self, tensor: Tensor) -> Tensor:
        equations = tuple(replace(one, value=transform(one.value, self.change)) for one in tensor.equations)
        return tensor if equations == tensor.equations else replace(tensor, equations=equations)

    def change(self, node: Expr) -> Expr | None:
        if node in self.totals:
            return self.totals[node]
        if isinstance(node, Read) and node.tensor in self.places:
            place = self.places[node.tensor]
            return Read(place.stack, place.of(node.subscripts), node.type)
        if isinstance(node, Op) and node.name == "add" and not self.dropped.isdisjoint(node.args):
            return op("add", *(arg for arg in node.args if arg not in self.dropped))
        return None

    def fresh_id(self, wanted: str) -> str:
        return unique(wanted, {**self.before.tensors, **self.added})


def _flat(group: Sequence[Index]) -> Expr:
    """The place of an element on the one axis of a group of indices, in row-major order."""
    place: Expr = group[0]
    for index in group[1:]:
        place = op("add", op("mul", place, index.size), index)
    return integer(place)


def _extent(group: Sequence[Index]) -> Expr:
    return integer(op("mul", *(index.size for index in group))) if len(group) > 1 else group[0].size


def _last_run(indices: Sequence[Index], group: Sequence[Index]) -> tuple[Index, ...]:
    """The last run of neighbours in ``indices`` that are of the group."""
    end = max(n + 1 for n, index in enumerate(indices) if index in group)
    start = end
    while start and indices[start - 1] in group:
        start -= 1
    return tuple(indices[start:end])
