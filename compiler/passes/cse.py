"""Common sub-expressions: what is computed twice is computed once.

Two steps.  Tensors with equal definitions become one; of two that must both exist (outputs, gradients) the second
becomes a copy.  Then a sub-expression that some map holds, ``C[i] = e(i)`` or ``h[t+1] = e(t)``, is read from there,
which is how a backward pass comes to read the activations of the forward pass; so is a reduction whose elements stand
in a tensor in another order, ``sum[d] z[j,d]*x[i,d]`` in that of ``sum[d] x[i,d]*z[j,d]``, and then what is computed
from it alike.  If C is there under a condition only, so is the read; a product reads the factors that C holds together.
Nothing is replaced by a read of a tensor that comes later in the order of evaluation, so no cycle arises, and nothing
that costs no more than the read.
Within a recurrence that order is any one: an element of C needs what the sub-expression needs, so elements do not come
to depend on themselves.

Left out: sub-expressions that no tensor holds.  Within one kernel they are shared anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.alike import form, key, shape
from dlc.compiler.ir.conditions import conjuncts, guard_of, negation
from dlc.compiler.ir.costs import is_cheap
from dlc.compiler.ir.expr import Const, Expr, Index, Op, Read, Reduce, Select, walk
from dlc.compiler.ir.forms import is_map, is_reduction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, inlined
from dlc.compiler.ir.products import factors_of, quotient
from dlc.compiler.ir.recurrence import conflicts
from dlc.compiler.ir.rewriting import substitute, transform

NAME = "cse"


def run(graph: Graph) -> Graph:
    merged = _merged(graph)
    reusing = _reusing(merged)
    return reusing if _keeps_orders(merged, reusing) else merged


def _keeps_orders(before: Graph, after: Graph) -> bool:
    """Whether the recurrences that have changed still have an order: a first step that reads that of another tensor
    may leave none that the search finds."""
    changed = (one for one in after.recurrences if any(before.tensors.get(name) != after.tensors[name] for name in one))
    return not any(conflicts(after, changed))


def _with_values(tensor: Tensor, change: Callable[[Expr], Expr]) -> Tensor:
    equations = tuple(replace(equation, value=change(equation.value)) for equation in tensor.equations)
    return tensor if equations == tensor.equations else replace(tensor, equations=equations)


# -- equal definitions ----------------------------------------------------------------------------------------------


def _merged(graph: Graph) -> Graph:
    kept = graph.kept
    first = _firsts(graph)
    holder: dict[str, str] = {}  # the first of a class -> the one that stays: one that must, if there is any
    for name in graph.tensors:
        if name in kept:
            holder.setdefault(first[name], name)
    for name in first.values():
        holder.setdefault(name, name)
    same = {name: holder[first[name]] for name in graph.tensors}
    return graph.with_tensors(
        _redirected(tensor, same) if same[name] == name else _copy(tensor, same[name])
        for name, tensor in graph.tensors.items()
        if same[name] == name or name in kept
    )


def _firsts(graph: Graph) -> dict[str, str]:
    """Every tensor with the first one that is equal to it."""
    first: dict[str, str] = {}
    classes: dict[tuple[object, ...], tuple[str, ...]] = {}
    for component in graph.components:
        members = {name: graph.tensors[name] for name in component}
        if any(tensor.kind != "computed" for tensor in members.values()):
            first.update(zip(component, component, strict=True))
            continue
        own = _classes(members, first)
        order = list(dict.fromkeys(own.values()))
        names = {**first, **{name: f"#{order.index(own[name])}" for name in component}}
        definitions = tuple(_definition(members[name], names) for name in order)
        known = classes.setdefault(definitions, tuple(order))
        first.update({name: known[order.index(own[name])] for name in component})
        if component[0] in graph.recurrence_of:  # what equals a member and stands outside reads the member
            for name in order:
                classes.setdefault((_definition(members[name], first),), (first[name],))
    return first


def _classes(members: Mapping[str, Tensor], first: Mapping[str, str]) -> dict[str, str]:
    """The members of a component with the first one that each is equal to.

    Those of a recurrence are taken for equal as long as their equations do not tell them apart: elements of the same
    time are then equal because those of earlier times are.
    """
    own = dict.fromkeys(members, next(iter(members)))
    while True:
        names = {**first, **own}
        seen: dict[tuple[object, ...], str] = {}
        finer = {
            name: seen.setdefault((own[name], _definition(tensor, names)), name) for name, tensor in members.items()
        }
        if len(set(finer.values())) == len(set(own.values())):
            return finer
        own = finer


def _definition(tensor: Tensor, first: Mapping[str, str]) -> tuple[object, ...]:
    """What two tensors that are equal have in common."""
    equations = tuple(
        (
            tuple(index.size for index in equation.indices),
            tuple(form(subscript, equation.indices) for subscript in equation.subscripts),
            form(_renamed(equation.value, first), equation.indices),
        )
        for equation in tensor.equations
    )
    return (tensor.type, tensor.sizes, equations)


def _renamed(value: Expr, names: Mapping[str, str]) -> Expr:
    """``value`` with other names; what has none (in a recurrence: a tensor that comes later) keeps its own."""

    def rename(node: Expr) -> Expr | None:
        if isinstance(node, Read) and names.get(node.tensor, node.tensor) != node.tensor:
            return Read(names[node.tensor], node.subscripts, node.type)
        return None

    return transform(value, rename)


def _redirected(tensor: Tensor, same: dict[str, str]) -> Tensor:
    return _with_values(tensor, lambda value: _renamed(value, same))


def _copy(tensor: Tensor, source: str) -> Tensor:
    """The tensor, equal to ``source`` and needed beside it.  One made of parts is copied part by part."""
    equations = tuple(
        replace(equation, value=Read(source, equation.subscripts, tensor.type)) for equation in tensor.equations
    )
    return replace(tensor, equations=equations)


# -- sub-expressions that a map tensor holds ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Holder:
    """A map ``name[subscripts] = value`` where ``conditions`` hold; ``free`` are the indices of all of them."""

    name: str
    value: Expr
    conditions: tuple[Expr, ...]
    free: tuple[Index, ...]
    subscripts: tuple[Expr, ...]

    def at(self, free: Sequence[Index], known: frozenset[Expr]) -> Read | None:
        """The element with other indices, if its conditions are known to hold there."""
        place = self.place(free)
        if any(substitute(cond, place) not in known for cond in self.conditions):
            return None
        return Read(self.name, tuple(substitute(one, place) for one in self.subscripts), self.value.type)

    def place(self, free: Sequence[Index]) -> dict[Expr, Expr]:
        return dict(zip(self.free, free, strict=True))


def _reusing(graph: Graph) -> Graph:
    tensors = dict(graph.tensors)
    held = _Held(tensors)
    copies: dict[str, Equation] = {}
    for name in graph.ordered:
        tensor = _with_values(graph.tensors[name], lambda value: _through(copies, value))
        tensor = tensors[name] = _with_values(tensor, held.reused)
        for before, after in zip(graph.tensors[name].equations, tensor.equations, strict=True):
            held.add(name, before)
            held.add(name, after)
        if tensor != graph.tensors[name] and name not in graph.recurrence_of and _is_copy(tensor):
            (copies[name],) = tensor.equations
    return graph.with_tensors(tensors.values())


def _is_copy(tensor: Tensor) -> bool:
    return len(tensor.equations) == 1 and tensor.equations[0].is_whole and isinstance(tensor.equations[0].value, Read)


def _through(copies: Mapping[str, Equation], value: Expr) -> Expr:
    """What is read of a copy is read where it is from: what is computed from the two is then alike."""

    def from_there(node: Expr) -> Expr | None:
        if isinstance(node, Read) and node.tensor in copies:
            return inlined(copies[node.tensor], node.subscripts)
        return None

    return transform(value, from_there) if copies else value


class _Held:
    """What map tensors hold, by form; and products by the form of their most costly factor."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        self._shapes: set[str] = set()
        self._holders: dict[Expr, list[_Holder]] = {}
        self._products: dict[Expr, list[_Holder]] = {}

    def add(self, name: str, equation: Equation) -> None:
        cond, value = guard_of(equation.value)
        is_sum = equation.is_whole and is_reduction(equation)
        if not is_sum and (not is_map(equation) or not _is_worth_reading(value)):
            return
        self._add_to(self._holders, name, equation, value, value, conjuncts(cond))
        anchor = next((factor for factor in factors_of(value)[0] if _is_costly(factor)), None)
        if anchor is not None and anchor is not value:
            self._add_to(self._products, name, equation, value, anchor, conjuncts(cond))

    def _add_to(
        self,
        table: dict[Expr, list[_Holder]],
        name: str,
        equation: Equation,
        value: Expr,
        part: Expr,
        conditions: tuple[Expr, ...],
    ) -> None:
        """Found by ``part`` of the value, which must have all indices of the equation."""
        pattern, free = key(part)
        if set(free) == set(equation.indices):
            self._shapes.add(shape(part))
            table.setdefault(pattern, []).append(_Holder(name, value, conditions, free, equation.subscripts))

    def reused(self, value: Expr) -> Expr:
        """The largest sub-expressions that are held become reads."""
        return _Reuse(self).visit(value, frozenset()) if self._shapes else value

    def element(self, node: Expr, known: frozenset[Expr]) -> Expr | None:
        """The element of a tensor that holds this expression."""
        if not isinstance(node, Op | Select | Reduce) or shape(node) not in self._shapes:
            return None
        pattern, free = key(node)
        found = (holder.at(free, known) for holder in self._holders.get(pattern, ()))
        return next((element for element in found if element is not None), None)

    def product(self, node: Expr, known: frozenset[Expr]) -> Expr | None:
        """A product some of whose factors and divisors are one element: ``d*e/s`` is ``p*d`` where p = e/s is held."""
        if not (isinstance(node, Op) and node.name in ("mul", "div")):
            return None
        factors, divisors = factors_of(node)
        for anchor in factors:
            if shape(anchor) not in self._shapes:
                continue
            pattern, free = key(anchor)
            for holder in self._products.get(pattern, ()):
                element = holder.at(free, known)
                rest = element and self._rest(holder, holder.place(free), factors, divisors)
                found = quotient((element, *rest[0]), rest[1]) if element is not None and rest is not None else node
                if found is not node:  # the element may stand there already
                    return found
        return None

    def _rest(
        self, holder: _Holder, place: dict[Expr, Expr], factors: list[Expr], divisors: list[Expr]
    ) -> tuple[list[Expr], list[Expr]] | None:
        """What is left of the product without the holder's; a factor that is itself a quotient is looked into."""
        above, below = ([substitute(part, place) for part in parts] for parts in factors_of(holder.value))
        elements = (factor for factor in factors if isinstance(factor, Read) and factor.tensor != holder.name)
        for expanded in (None, *elements):
            left, right = (factors, divisors) if expanded is None else self._expanded(expanded, factors, divisors)
            rest = _removed(left, above), _removed(right, below)
            if rest[0] is not None and rest[1] is not None:
                return rest[0], rest[1]
        return None

    def _expanded(self, element: Read, factors: list[Expr], divisors: list[Expr]) -> tuple[list[Expr], list[Expr]]:
        """The product with the quotient that the element is computed from in its place."""
        equations = self.tensors[element.tensor].equations
        if len(equations) != 1 or not equations[0].is_whole or not is_map(equations[0]):
            return factors, divisors
        value, sign = inlined(equations[0], element.subscripts), []
        if isinstance(value, Op) and value.name == "neg":
            value, sign = value.args[0], [Const(-1.0)]
        above, below = factors_of(value)
        if len(above) > 1 or len(below) != 1:
            return factors, divisors
        others = [factor for factor in factors if factor is not element]
        return [*sign, *others, *above], [*divisors, *below]


def _removed(parts: Sequence[Expr], gone: Sequence[Expr]) -> list[Expr] | None:
    """``parts`` without each of ``gone``, which must be among them."""
    rest = list(parts)
    for part in gone:
        if part not in rest:
            return None
        rest.remove(part)
    return rest


class _Reuse:
    """One walk over a value."""

    def __init__(self, held: _Held) -> None:
        self.held = held
        self.done: dict[tuple[Expr, frozenset[Expr]], Expr] = {}

    def visit(self, node: Expr, known: frozenset[Expr]) -> Expr:
        """``known``: conditions that hold where the node is evaluated."""
        if (node, known) not in self.done:
            self.done[node, known] = self.held.element(node, known) or self._over(node, known)
        return self.done[node, known]

    def _over(self, node: Expr, known: frozenset[Expr]) -> Expr:
        product = self.held.product(node, known)
        if product is not None:
            return self.visit(product, known)
        if isinstance(node, Select):
            yes, no = known | set(conjuncts(node.cond)), known | set(conjuncts(negation(node.cond)))
            return Select(self.visit(node.cond, known), self.visit(node.yes, yes), self.visit(node.no, no))
        children = tuple(self.visit(child, known) for child in node.children)
        return node if children == node.children else node.rebuild(children)


def _is_costly(node: Expr) -> bool:
    """Whether computing the expression takes an operator that costs more than reading."""
    return not all(map(is_cheap, walk(node)))


def _is_worth_reading(node: Expr) -> bool:
    """Whether computing the expression costs more than reading one element."""
    nodes = list(walk(node))
    operators = [part for part in nodes if isinstance(part, Op | Select) and part.type != "int"]
    elements = [part for part in nodes if isinstance(part, Read)]
    if not elements:
        return False
    return _is_costly(node) or (bool(operators) and len(operators) + len(elements) > 2)
