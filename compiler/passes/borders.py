"""Small windows that reach over the border of a tensor read from a copy that has a border::

    y[u] = max[p : 0 < u + p <= |X|] x[u+p-1]

    x.bordered[a] = x[a-1] if 0 < a <= |X| else -inf          a < |X| + 2
    y[u] = max[p] x.bordered[u+p]

so that nothing is asked of an element in the middle, and a row of windows is computed without a branch. A copy costs
less than a question for every element of every window. What stands around it leaves the reduction as it is: its neutral
element, a factor 0, or a place (-1) that is never the one asked for.

A window may be of open size, if it is that of a kernel: one that leaves fewer places the greater it is.

Where windows move by two elements, the copy has every second one side by side: ``x.bordered[a mod 2, a // 2]``. Such
windows read a copy if they overlap, even where they stay inside: every vector of every second element is put together
from two, and in a copy that is done once.
Parts of one tensor that read the same one read the same copy, and so does a long sum that comes later, such as the
derivative by the window's factors. Matrix products copy windows, or read them through a
table; only those that are parts of one tensor, as in the adjoint of a convolution that moves in steps, read a copy made
here, where each would make one with a border of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import isfinite

from dlc.compiler.ir.affine import Polynomial, integer, known, polynomial
from dlc.compiler.ir.algebra import SCALAR_RULES
from dlc.compiler.ir.bounds import extreme, nonnegative, within
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_of, guarded, reads_nothing
from dlc.compiler.ir.expr import (
    ZERO,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    free_indices,
    fresh,
    identity_of,
    number,
    op,
    reads,
)
from dlc.compiler.ir.forms import is_contraction, is_window, window_sizes
from dlc.compiler.ir.graph import Equation, Graph, Tensor, read, unique, whole
from dlc.compiler.ir.products import guarded_product
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.ir.simplifier import Simplifier

NAME = "borders"

_NOWHERE = Const(-1)


def run(graph: Graph) -> Graph:
    copies = _Copies(dict(graph.tensors), window_sizes(graph.facts), Simplifier(SCALAR_RULES), {}, {})
    circles = graph.recurrence_of
    tensors = {name: tensor if name in circles else copies.reading(tensor) for name, tensor in graph.tensors.items()}
    for products in _products_of_parts(graph):
        tensors.update(copies.sharing(products))
    there: set[str] = set()
    for name, tensor in tensors.items():
        there.update(copy.id for copy in copies.made.get(name, ()))
        if name not in circles:
            tensors[name] = copies.joining(tensor, there)
    return graph.with_tensors(part for tensor in tensors.values() for part in (*copies.made.get(tensor.id, ()), tensor))


def _products_of_parts(graph: Graph) -> Iterator[list[Tensor]]:
    """The matrix products of which one tensor, and nothing else, has a part each."""
    kept = {*graph.roots, *graph.recurrence_of}
    made = [one for one in graph.of_kind("computed") if len(one.equations) == 1 and one.id not in kept]
    readers: dict[str, set[str]] = {}
    for tensor in graph.tensors.values():
        for one in (one for e in tensor.equations for one in reads(e.value, *e.subscripts)):
            readers.setdefault(one.tensor, set()).add(tensor.id)
    found: dict[str, list[Tensor]] = {}
    for tensor in made:
        of = readers.get(tensor.id, set())
        if len(of) == 1 and is_contraction(tensor.equations[0]):
            found.setdefault(next(iter(of)), []).append(tensor)
    yield from found.values()


@dataclass(frozen=True)
class _Border:
    """What is read outside of a tensor, from where to where on each axis, and by which step along the last one."""

    around: Const
    ranges: tuple[tuple[Polynomial, Polynomial], ...]
    step: int

    def holds(self, other: _Border) -> bool:
        """Whether all that is read with the other border is there with this one."""
        ends = zip(self.ranges, other.ranges, strict=True)
        is_wide = all(nonnegative(low - mine) and nonnegative(yours - high) for (mine, yours), (low, high) in ends)
        return self.around is other.around and is_wide


@dataclass(frozen=True)
class _Copies:
    """The copies that are made; ``made`` has them by the first tensor that reads them."""

    tensors: dict[str, Tensor]
    windows: frozenset[str]
    simplified: Simplifier
    known: dict[tuple[str, _Border], Tensor]
    made: dict[str, list[Tensor]]

    def reading(self, tensor: Tensor) -> Tensor:
        """The tensor as it reads copies with borders, where that spares it conditions."""
        free = [
            self._without_border(one) or self._in_steps(one)
            if is_window(one, self.windows) and not is_contraction(one)
            else None
            for one in tensor.equations
        ]
        if any(free):
            free = [one or self._one_element(part) for one, part in zip(free, tensor.equations, strict=True)]
        around: dict[str, Const] = {}
        for one in free:
            for name, value in (one.around if one is not None else {}).items():
                if around.setdefault(name, value) is not value:
                    return tensor
        if not around:
            return tensor
        values = [
            one.value if one is not None else equation.value
            for one, equation in zip(free, tensor.equations, strict=True)
        ]
        rows = [equation.indices[-1] for equation in tensor.equations if equation.indices]
        borders = {name: self._border(name, values, value, rows) for name, value in around.items()}
        sources = {name: self._copy(name, border, tensor) for name, border in borders.items() if border is not None}
        if len(sources) < len(around):
            return tensor
        equations = tuple(
            replace(equation, value=_from_copies(value, sources, borders))
            for equation, value in zip(tensor.equations, values, strict=True)
        )
        return replace(tensor, equations=equations)

    def sharing(self, products: Sequence[Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Those of the products that would each make a copy of the same tensor, as they read one."""
        readers: dict[str, list[tuple[Tensor, Expr]]] = {}
        for product in products:
            free = self._without_border(product.equations[0])
            if free is not None and len(free.around) == 1:
                readers.setdefault(next(iter(free.around)), []).append((product, free.value))
        for name, group in readers.items():
            around = number(0, group[0][1].type)
            own = {self._border(name, [value], around, ()) for _, value in group}
            border = self._border(name, [value for _, value in group], around, ())
            if border is None or len(own) < 2:
                continue
            copy = self._copy(name, border, group[0][0])
            for product, value in group:
                (equation,) = product.equations
                value = _from_copies(value, {name: copy}, {name: border})
                yield product.id, replace(product, equations=(replace(equation, value=value),))

    def joining(self, tensor: Tensor, there: Set[str]) -> Tensor:
        """The tensor as it reads a copy that is there already, if it is one long sum that needs no other border."""
        equation, *others = tensor.equations or (None,)
        if equation is None or others or is_window(equation, self.windows) or is_contraction(equation):
            return tensor
        free = self._without_border(equation) or self._as_it_is(equation, self._in_same_steps(equation))
        if free is None or len(free.around) != 1:
            return tensor
        ((name, around),) = free.around.items()
        own = self._border(name, [free.value], around, ())
        for (source, border), copy in self.known.items():
            if own is not None and source == name and copy.id in there and border.holds(own):
                value = _from_copies(free.value, {name: copy}, {name: border})
                return replace(tensor, equations=(replace(equation, value=value),))
        return tensor

    def _one_element(self, equation: Equation) -> _Free | None:
        """Such a value of a part that is no reduction, as of a sum of one element: others of the tensor make a copy."""
        value = equation.value
        if not isinstance(value, Select):
            return None
        free = self._without_border(replace(equation, value=Reduce("sum", (), value)))
        return replace(free, value=free.value.children[0]) if free is not None else None

    def _without_border(self, equation: Equation) -> _Free | None:
        """The value without the conditions that keep its reads inside; None if there are none, or others."""
        value = equation.value
        if not isinstance(value, Reduce):
            return None
        neutral = identity_of(value.op, value.body.type)
        cond, body = guard_of(value.body, neutral)
        asked = [part for part in conjuncts(cond) if reads_nothing(part)]
        by_data = [part for part in conjuncts(cond) if not reads_nothing(part)]
        outside = [one for one in reads(*by_data, body) if not self._is_inside(one)]
        if not asked or any(reads(*one.subscripts) for one in outside):
            return None
        decisive = {one: self._decisive(one, value.op, by_data, body, neutral) for one in outside}
        answered = {cond for one in outside if decisive[one] is not None for cond in self._bounds(one)}
        if not answered.issuperset(asked):
            return None
        around = {one.tensor: decisive[one] or _nothing(one) for one in outside}
        if any(around[one.tensor] is not (decisive[one] or _nothing(one)) for one in outside):
            return None
        left_out = {cond for one in outside if decisive[one] is _NOWHERE for cond in self._bounds(one)}
        if not left_out.issuperset(asked) and not self._are_numbers(body, {one: around[one.tensor] for one in outside}):
            return None
        return _Free(value.rebuild((guarded(conjunction(by_data), body, neutral),)), around)

    def _in_steps(self, equation: Equation) -> _Free | None:
        """The value as it reads what goes by every second element of a row, say, and reads most of them several times;
        None if it asks for a border, or nothing is read so.
        """
        value, row = equation.value, equation.indices[-1]
        moving = [one for one in reads(value) if one.type == "real" and row in free_indices(one)]
        return self._as_it_is(equation, {one.tensor for one in moving if _overlaps(one.subscripts[-1], row)})

    def _in_same_steps(self, equation: Equation) -> set[str]:
        """Those tensors of which there is a copy for such steps as the equation goes by."""
        lasts: dict[str, list[Expr]] = {}
        for one in (one for one in reads(equation.value) if one.subscripts):
            lasts.setdefault(one.tensor, []).append(one.subscripts[-1])
        steps = {name: border.step for name, border in self.known if name in lasts and border.step > 1}
        return {name for name, step in steps.items() if all(_moves_by(last, step) for last in lasts[name])}

    def _as_it_is(self, equation: Equation, names: Set[str]) -> _Free | None:
        """The value, if it reads these of its tensors inside of them, whatever the conditions."""
        found = [one for one in reads(equation.value) if one.tensor in names]
        if not found or not all(self._is_inside(one) for one in found):
            return None
        return _Free(equation.value, {one.tensor: number(0, one.type) for one in found})

    def _is_inside(self, one: Read) -> bool:
        sizes = self.tensors[one.tensor].sizes
        return all(reads(s) or within(s, size) for s, size in zip(one.subscripts, sizes, strict=True))

    def _bounds(self, one: Read) -> Iterator[Expr]:
        """The conditions that the element is there, as they are written."""
        for subscript, size in zip(one.subscripts, self.tensors[one.tensor].sizes, strict=True):
            yield self.simplified(op("le", ZERO, subscript))
            yield self.simplified(op("lt", subscript, size))

    def _decisive(self, one: Read, reduction: str, by_data: Sequence[Expr], body: Expr, neutral: Const) -> Const | None:
        """What an element must be so that the reduction is as without it; None if nothing of that kind is known."""
        if body is one:
            return neutral
        if reduction == "sum" and one in guarded_product(body).factors:
            return number(0, body.type)
        if any(_asks_for(cond, one) for cond in by_data):
            return _NOWHERE
        return None

    def _are_numbers(self, body: Expr, around: Mapping[Expr, Expr]) -> bool:
        """Whether no factor is infinite or nan for what stands outside: 0 times that would not be 0."""
        factors = guarded_product(body).factors
        for factor in factors if len(factors) > 1 else ():
            if not isinstance(factor, Read) and any(one in around for one in reads(factor)):
                value = self.simplified(substitute(factor, around))
                if not isinstance(value, Const) or not isfinite(value.value):
                    return False
        return True

    # -- copies -------------------------------------------------------------------------------------------------------

    def _border(self, name: str, values: Sequence[Expr], around: Const, rows: Sequence[Index]) -> _Border | None:
        """The part of the tensor, and beyond it, that is read."""
        found: list[tuple[Polynomial, Polynomial]] = []
        for axis in range(self.tensors[name].rank):
            places = [polynomial(one.subscripts[axis]) for one in reads(*values) if one.tensor == name]
            low = _outermost([extreme(place, greatest=False) for place in places], -1)
            high = _outermost([extreme(place, greatest=True) for place in places], 1)
            if low is None or high is None:
                return None
            found.append((low, high))
        lasts = [polynomial(one.subscripts[-1]) for one in reads(*values) if one.tensor == name and one.subscripts]
        steps = {parts[0].value for last in lasts for row in rows if (parts := last.split(row)) and parts[0].terms}
        step = steps.pop() if len(steps) == 1 else None
        return _Border(around, tuple(found), step or 1)

    def _copy(self, name: str, border: _Border, reader: Tensor) -> Tensor:
        if (name, border) not in self.known:
            source = self.tensors[name]
            indices, subscripts, inside = [], [], []
            hints = [one.hint for one in _indices_of(name, reader)]
            for (low, high), size in zip(border.ranges, source.sizes, strict=True):
                count = high - low + 1
                extent = count.expression() if nonnegative(count) else op("max", ZERO, count.expression())
                indices.append(fresh(extent, hints[len(indices)]))
                subscripts.append((polynomial(indices[-1]) + low).expression())
                inside += [op("le", ZERO, subscripts[-1]), op("lt", subscripts[-1], size)]
            value = guarded(op("and", *inside), read(source, *subscripts), border.around)
            if border.step > 1:
                last = indices.pop()
                indices += _digits(last, border.step)
                value = substitute(value, {last: _number(indices[-2:])})
            made = whole(unique(f"{name}.bordered", self.tensors), tuple(indices), self.simplified(value), source.span)
            self.known[name, border] = self.tensors[made.id] = made
            self.made.setdefault(reader.id, []).append(made)
        return self.known[name, border]


@dataclass(frozen=True)
class _Free:
    """A value that asks for no border, and what stands around the tensors that it reads."""

    value: Expr
    around: dict[str, Const]


def _indices_of(name: str, reader: Tensor) -> list[Index]:
    """An index of the reader for each axis of what it reads: the names that a person knows."""
    equation, found = next(
        (equation, one) for equation in reader.equations for one in reads(equation.value) if one.tensor == name
    )
    free = [[index for index in equation.indices if index in free_indices(s)] for s in found.subscripts]
    return [indices[0] if indices else fresh(ZERO, "a") for indices in free]


def _digits(index: Index, step: int) -> tuple[Index, Index]:
    """The remainder and the quotient of an index by the step, as indices."""
    count = integer(op("floordiv", op("add", index.size, Const(step - 1)), Const(step)))
    return fresh(Const(step), "r"), fresh(count, index.hint)


def _number(digits: Sequence[Index]) -> Expr:
    remainder, quotient = digits
    return polynomial(op("add", op("mul", remainder.size, quotient), remainder)).expression()


def _moves_by(subscript: Expr, step: int) -> bool:
    split = (polynomial(subscript).split(index) for index in free_indices(subscript))
    return any(parts is not None and parts[0].value == step for parts in split)


def _overlaps(subscript: Expr, row: Index) -> bool:
    """Whether it goes along the row in steps that are shorter than what it reads at a time."""
    parts = polynomial(subscript).split(row)
    step = parts[0].value if parts is not None else None
    if parts is None or step is None or step < 2:
        return False
    indices = [index for index in free_indices(subscript) if index is not row]
    places = [known(index.size) or 0 for index in indices]
    return len(places) == 1 and places[0] > step


def _nothing(one: Read) -> Const:
    return Const(False) if one.type == "bool" else number(0, one.type)


def _asks_for(cond: Expr, one: Read) -> bool:
    """Whether the condition is that the element is a number that is not negative."""
    if not (isinstance(cond, Op) and cond.name == "eq" and one in cond.args and one.type == "int"):
        return False
    other = cond.args[1] if cond.args[0] is one else cond.args[0]
    return not reads(other) and nonnegative(polynomial(other))


def _outermost(places: Sequence[Polynomial | None], sign: int) -> Polynomial | None:
    """The greatest of them (the least for the sign -1), where it is known which one that is."""
    found = [place for place in places if place is not None]
    if len(found) < len(places):
        return None
    return next((one for one in found if all(nonnegative((one - other) * sign) for other in found)), None)


def _from_copies(value: Expr, sources: Mapping[str, Tensor], borders: Mapping[str, _Border | None]) -> Expr:
    def change(node: Expr) -> Expr | None:
        border = borders.get(node.tensor) if isinstance(node, Read) else None
        if border is None or not isinstance(node, Read):
            return None
        places = [polynomial(s) - low for s, (low, _) in zip(node.subscripts, border.ranges, strict=True)]
        subscripts = [place.expression() for place in places]
        if border.step > 1:
            last, step = subscripts.pop(), Const(border.step)
            subscripts += [integer(op("mod", last, step)), integer(op("floordiv", last, step))]
        return read(sources[node.tensor], *subscripts)

    return transform(value, change)
