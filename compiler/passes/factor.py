"""Order the products inside sums: less work, and sums of products of two, which become matrix products.

Three steps for each sum, in this order.  What does not depend on a summed index moves out: ``sum[j] a[i]*b[i,j]`` is
``a[i]*sum[j] b[i,j]``.  What alone depends on one is summed alone: ``sum[j,k] a[i,j]*b[j,k]`` is ``sum[j] a[i,j]*
(sum[k] b[j,k])``.  A product of three or more is contracted in pairs, in the order that opt_einsum finds cheapest for
the sizes (one that is not known counts as 64), if that saves work or gives a matrix product; each pair but the last
becomes a tensor of its own.  So does a matrix product whose place is data, ``sum[j,k] [n == z[j]]*a[j,k]*b[k,i]``.

A condition goes with the pair that has its indices.  A factor leaves a condition only where its reads are in range
without it, and moves out of a sum whose condition might never hold only if it cannot turn the empty sum into a nan.

Last, what is not cheap and depends on fewer indices than the loops around it, ``sqrt(v[b])`` for all (b, i), becomes
a tensor over those it depends on; and deviations from a mean sum to nothing.

Where a sum has several terms, what all of them share is taken out first: ``sum[j] (a[j]*b[i,j] + a[j]*c[i])`` is
that of ``a[j]*(b[i,j] + c[i])``, and ``sum[j] (a[j] if p[i] else a[j]*c[i])`` that of ``a[j]*(1 if p[i] else c[i])``.
If nothing is, each term is summed alone where that is less work for every one of them.

What is made of the elements of a recurrence is read under the guard that they were read under, so that it needs no
element before its time.  A recurrence that would lose its order all the same stays as it is.

Left out: multiplying out sums inside products, which pays rarely and costs digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import integer
from dlc.compiler.ir.alike import key
from dlc.compiler.ir.bounds import decide
from dlc.compiler.ir.conditions import conjunction, conjuncts, guard_of, guarded
from dlc.compiler.ir.contraction import cheapest_order, is_matrix_product, volume
from dlc.compiler.ir.costs import is_costly
from dlc.compiler.ir.elements import bounds_of
from dlc.compiler.ir.expr import (
    TRUE,
    ZERO,
    Binder,
    Const,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    free_indices,
    op,
    reads,
    walk,
)
from dlc.compiler.ir.graph import Equation, Graph, Tensor, inlined, unique, whole
from dlc.compiler.ir.precise import sums_to_nothing
from dlc.compiler.ir.products import factors_of, quotient, terms_of, unsigned, with_common_factors
from dlc.compiler.ir.recurrence import keeping_orders
from dlc.compiler.ir.rewriting import substitute, transform
from dlc.compiler.ir.safety import needs_more, reads_in_range
from dlc.compiler.ir.simplifier import Simplifier
from dlc.compiler.ir.sums import rules_of

NAME = "factor"

_MOST_FACTORS = 24
_MANY_TERMS = 8  # of a sum: a matrix product of them takes longer than to write and read its results
_ONE = Const(1.0)


def run(graph: Graph) -> Graph:
    return keeping_orders(graph, _factored)


def _factored(graph: Graph, left: frozenset[str]) -> Graph:
    """The graph with all equations factored but those of some tensors."""
    factoring = _Factoring(graph)
    tensors: list[Tensor] = []
    for tensor in graph.tensors.values():
        made: list[Tensor] = []
        if tensor.id not in left:
            equations = tuple(_Place(factoring, tensor, equation, made).done() for equation in tensor.equations)
            tensor = replace(tensor, equations=equations)
        tensors.extend((*made, tensor))
    return graph.with_tensors(tensors)


class _Factoring:
    """What the places in a graph share: the sizes of all tensors, and the tensors that hold what was hoisted."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sizes: dict[str, Sequence[Expr]] = {name: tensor.sizes for name, tensor in graph.tensors.items()}
        self.facts = graph.facts
        self.bounds = bounds_of(graph)
        self.simplified = Simplifier(rules_of(graph))
        self.hoisted: dict[Expr, tuple[str, tuple[int, ...]]] = {}  # form -> tensor, which free index each axis is
        circles = {component: set(component) for component in graph.recurrences}
        self.circles = {name: circles[component] for name, component in graph.recurrence_of.items()}

    def definition(self, node: Expr) -> Expr:
        """What an element of a tensor is computed from, one step back."""
        if not isinstance(node, Read):
            return node
        equations = self.graph.tensors[node.tensor].equations if node.tensor in self.graph.tensors else ()
        return inlined(equations[0], node.subscripts) if len(equations) == 1 and equations[0].is_whole else node


@dataclass(frozen=True)
class _Term:
    """A factor, with the conditions that go with it."""

    value: Expr
    conditions: tuple[Expr, ...] = ()

    @property
    def indices(self) -> frozenset[Index]:
        return frozenset(free_indices(self.value)).union(*map(free_indices, self.conditions))

    @property
    def expression(self) -> Expr:
        return guarded(conjunction(self.conditions), self.value)


class _Place:
    """The equation that a sum stands in: new tensors are made for it, in front of its tensor."""

    def __init__(self, shared: _Factoring, tensor: Tensor, equation: Equation, made: list[Tensor]) -> None:
        self.shared, self.tensor, self.equation, self.made = shared, tensor, equation, made
        self.sizes = shared.sizes
        self.circle = shared.circles.get(tensor.id, set[str]())
        self.costly: set[Expr] = set()
        self.known: dict[tuple[Expr, frozenset[Index]], Expr] = {}

    def done(self) -> Equation:
        value = transform(self.equation.value, self._changed)
        if value is not self.equation.value:
            value = self.shared.simplified(value)
        self.costly = _costly(value)
        return replace(self.equation, value=self._hoisted(value, frozenset(self.equation.indices)))

    def _changed(self, node: Expr) -> Expr | None:
        if not (isinstance(node, Reduce) and node.op == "sum" and node.type == "real"):
            return None
        return Const(0.0) if sums_to_nothing(node, self.shared.definition) else self.factored(node)

    # -- what depends on fewer indices ------------------------------------------------------------------------------

    def _hoisted(self, node: Expr, loops: frozenset[Index]) -> Expr:
        """``node``, computed for every value of ``loops``, with the parts that need not be read from tensors."""
        if not isinstance(node, Binder) and node not in self.costly:
            return node
        if (node, loops) not in self.known:
            self.known[node, loops] = self._hoisted_anew(node, loops)
        return self.known[node, loops]

    def _hoisted_anew(self, node: Expr, loops: frozenset[Index]) -> Expr:
        if self._is_worth_a_tensor(node, loops):
            return self._part(node)
        if isinstance(node, Binder):
            loops = loops | set(node.indices)
        children = tuple(self._hoisted(child, loops) for child in node.children)
        return node if children == node.children else node.rebuild(children)

    def _is_worth_a_tensor(self, node: Expr, loops: frozenset[Index]) -> bool:
        if isinstance(node, Binder) or node.type != "real":
            return False
        free = frozenset(free_indices(node))
        if not free < loops or not any(isinstance(part, Index | Read) for part in walk(node)):
            return False
        return self._in_range(node, ())

    def _in_range(self, node: Expr, guards: Iterable[Expr]) -> bool:
        return reads_in_range(node, self.sizes, guards, self.shared.facts, self.shared.bounds)

    def _part(self, node: Expr) -> Expr:
        pattern, free = key(node)
        if pattern not in self.shared.hoisted:
            axes = [index for index in self.equation.indices if index in free]
            axes.extend(index for index in free if index not in axes)
            name = self._made("part", axes, node)
            self.shared.hoisted[pattern] = name, tuple(free.index(axis) for axis in axes)
        name, places = self.shared.hoisted[pattern]
        read = Read(name, tuple(free[place] for place in places), "real")
        return guarded(guard_of(node)[0], read) if self._is_in_circle(node) else read

    def _is_in_circle(self, node: Expr) -> bool:
        """Whether elements of the recurrence that the equation belongs to are read."""
        return bool(self.circle) and any(isinstance(part, Read) and part.tensor in self.circle for part in walk(node))

    def _made(self, kind: str, axes: Sequence[Index], value: Expr) -> str:
        """The name of a new tensor in front of this one."""
        name = unique(f"{self.tensor.id}.{kind}", self.sizes)
        self.made.append(whole(name, tuple(axes), value, self.equation.span))
        if self._is_in_circle(value):
            self.circle.add(name)
        self.sizes[name] = self.made[-1].sizes
        return name

    # -- sums ---------------------------------------------------------------------------------------------------------

    def factored(self, node: Reduce) -> Expr | None:
        if not set(node.indices) <= set(free_indices(node.body)):
            return None  # a sum of equal terms: simplify has a rule
        cond, body = guard_of(node.body)
        if body.type == "real" and isinstance(body, Select):
            return self._with_common_factors(node, cond, body)
        if body.type == "real" and len(terms_of(body)) > 1:
            return self._with_common_factors(node, cond, body) or self._of_several_terms(node, cond, body)
        factors, divisors = factors_of(body)
        certain = _has_a_term(node, cond)
        outside = ([], [])
        if certain:
            outside, factors, divisors = self._moved_out(node, cond, factors, divisors)
        terms, spanning = _attached([_Term(f) for f in _with_divisors(factors, divisors)], conjuncts(cond))
        spanning = [*self._needed_by(spanning, conjuncts(cond)), *spanning]
        bound, order = list(node.indices), None
        if all(self._stands_alone(term, conjuncts(cond)) for term in terms):
            bound, terms = self._summed_alone(bound, terms, spanning, certain)
            order = self._order(bound, terms, spanning, certain) if len(terms) > 2 else None
            if len(terms) == 2 and spanning and self._is_product_to_scatter(bound, terms, spanning):
                order = [(0, 1)]
        is_product = isinstance(body, Op) and body.name == "mul" and len(body.args) == len(terms)
        if not (any(outside) or order) and len(bound) == len(node.indices) and (is_product or len(terms) < 2):
            return None
        for pair in order or ():
            terms = self._paired(bound, terms, pair, spanning)
        inside = _summed(bound, terms, spanning, conjuncts(cond))
        if isinstance(inside, Reduce) and sums_to_nothing(inside, self.shared.definition):
            return Const(0.0)
        return quotient((*outside[0], inside), outside[1])

    def _stands_alone(self, term: _Term, conditions: Iterable[Expr]) -> bool:
        """Whether a factor, and the conditions that go with it, read in range without the others."""
        shared = self.shared
        return self._in_range(term.value, term.conditions) and not any(
            needs_more(one, self.sizes, term.conditions, conditions, shared.facts, shared.bounds, True)
            for one in term.conditions
        )

    def _is_product_to_scatter(self, bound: Sequence[Index], terms: Sequence[_Term], spanning: Sequence[Expr]) -> bool:
        """Whether data says where a matrix product goes, which is then computed before: a scatter is made of loops."""
        left, right = terms
        if not any(reads(cond) for cond in spanning) or left.conditions or right.conditions:
            return False
        if self._pair(bound, terms, (0, 1), spanning) is None:
            return False
        return is_matrix_product(
            [term.indices for term in terms],
            _only_here(bound, left, right, [frozenset(free_indices(cond)) for cond in spanning]),
        )

    def _needed_by(self, spanning: Sequence[Expr], conditions: Iterable[Expr]) -> Iterator[Expr]:
        """What may keep the data in range that conditions of no factor read: a factor does not take it away."""
        indices = {index for one in spanning if not self._in_range(one, ()) for index in free_indices(one)}
        for cond in conditions:
            if cond not in spanning and not reads(cond) and indices & set(free_indices(cond)):
                yield cond

    def _with_common_factors(self, node: Reduce, cond: Expr, body: Expr) -> Expr | None:
        """``sum[j] (a[j]*b + a[j]*c)`` as that of ``a[j]*(b + c)``."""
        together = with_common_factors(body)
        if together is body:
            return None
        changed = Reduce("sum", node.indices, guarded(cond, together))
        return self.factored(changed) or changed

    def _of_several_terms(self, node: Reduce, cond: Expr, body: Expr) -> Expr | None:
        """A sum for each term, if every one gains by that."""
        terms = [unsigned(term) for term in terms_of(body)]
        sums = [Reduce("sum", node.indices, guarded(cond, term)) for term, _ in terms]
        if not all(self._gains_alone(each, node) for each in sums):
            return None
        alone = [self.factored(each) or each for each in sums]
        return op("add", *(op("neg", e) if negative else e for e, (_, negative) in zip(alone, terms, strict=True)))

    def _gains_alone(self, term: Reduce, node: Reduce) -> bool:
        """Whether a term of a sum is summed with less work on its own: over fewer indices, or as a matrix product."""
        cond, body = guard_of(term.body)
        parts = [_Term(factor) for factor in _with_divisors(*factors_of(body))]
        if len(parts) < 2 or not set(term.indices) <= set(free_indices(body)):
            return False
        if len(parts) > 2:
            return self._order(term.indices, parts, conjuncts(cond), False) is not None
        return set(free_indices(term.body)) < set(free_indices(node.body)) or is_matrix_product(
            [part.indices for part in parts], term.indices
        )

    def _moved_out(
        self, node: Reduce, cond: Expr, factors: list[Expr], divisors: list[Expr]
    ) -> tuple[tuple[list[Expr], list[Expr]], list[Expr], list[Expr]]:
        """``((factors, divisors) that leave the sum, factors, divisors that stay)``"""
        outer = [part for part in conjuncts(cond) if set(free_indices(part)).isdisjoint(node.indices)]

        def leaves(factor: Expr) -> bool:
            return set(free_indices(factor)).isdisjoint(node.indices) and (
                cond is TRUE or self._in_range(factor, outer)
            )

        out = [factor for factor in factors if leaves(factor)], [factor for factor in divisors if leaves(factor)]
        return out, [f for f in factors if f not in out[0]], [f for f in divisors if f not in out[1]]

    # -- contraction ------------------------------------------------------------------------------------------------

    def _summed_alone(
        self, bound: list[Index], terms: list[_Term], spanning: Sequence[Expr], certain: bool
    ) -> tuple[list[Index], list[_Term]]:
        """A factor that alone depends on an index is summed over it before it is multiplied."""
        if len(terms) < 2:
            return bound, terms
        result: list[_Term] = []
        for term in terms:
            others = frozenset().union(
                *(other.indices for other in terms if other is not term), *map(free_indices, spanning)
            )
            own = tuple(index for index in bound if index in term.indices and index not in others)
            if own and (certain or not term.conditions):
                term = _Term(Reduce("sum", own, term.expression))
                bound = [index for index in bound if index not in own]
            result.append(term)
        return bound, result

    def _order(
        self, bound: Sequence[Index], terms: Sequence[_Term], spanning: Sequence[Expr], certain: bool
    ) -> list[tuple[int, int]] | None:
        """The pairs to contract before the last one, if that is worth it."""
        if len(terms) > _MOST_FACTORS:
            return None
        needed = frozenset().union(*(term.indices for term in terms), *map(free_indices, spanning))
        output = needed - set(bound) | frozenset().union(*map(free_indices, spanning))
        pairs = cheapest_order([term.indices for term in terms], output)
        alive, full = list(terms), volume(needed)
        volumes: list[int] = []
        is_product = False
        for pair in pairs[:-1]:
            left, right = alive[pair[0]], alive[pair[1]]
            merged = self._pair(bound, alive, pair, spanning)
            volumes.append(volume(left.indices | right.indices))
            if merged is None:
                return None
            if isinstance(merged.value, Reduce) and not certain and (left.conditions or right.conditions):
                return None
            summed = (left.indices | right.indices) - merged.indices
            multiplies = is_matrix_product((left.indices, right.indices), summed)
            is_small = _MANY_TERMS * volume(merged.indices) <= full
            if _grows(left, right, merged) and 2 * volumes[-1] > full and not (multiplies and is_small):
                return None
            is_product = is_product or (multiplies and 2 * volume(merged.indices) <= full)
            alive = [term for place, term in enumerate(alive) if place not in pair] + [merged]
        if len(alive) != 2:
            return None
        volumes.append(volume(alive[0].indices | alive[1].indices))
        worthwhile = (
            max(volumes) * 2 <= full or is_product or is_matrix_product([term.indices for term in alive], bound)
        )
        return pairs[:-1] if worthwhile else None

    def _pair(
        self, bound: Sequence[Index], terms: Sequence[_Term], pair: tuple[int, int], spanning: Sequence[Expr]
    ) -> _Term | None:
        """The pair as one factor; None if it would read out of range."""
        left, right = terms[pair[0]], terms[pair[1]]
        others = [term.indices for place, term in enumerate(terms) if place not in pair]
        summed = _only_here(bound, left, right, [*others, *map(frozenset[Index], map(free_indices, spanning))])
        value = op("mul", left.value, right.value)
        if not self._in_range(value, (*left.conditions, *right.conditions)):
            return None
        conditions = (*left.conditions, *right.conditions)
        if not summed:
            return _Term(value, conditions)
        return _Term(Reduce("sum", summed, guarded(conjunction(conditions), value)))

    def _paired(
        self, bound: Sequence[Index], terms: list[_Term], pair: tuple[int, int], spanning: Sequence[Expr]
    ) -> list[_Term]:
        """The terms with a tensor in the place of the pair."""
        merged = self._pair(bound, terms, pair, spanning)
        assert merged is not None  # it was weighed
        axes = [index for index in self.equation.indices if index in merged.indices]
        axes.extend(index for index in free_indices(merged.expression) if index not in axes)
        name = self._made("sum" if isinstance(merged.value, Reduce) else "factor", axes, merged.expression)
        conditions = dict.fromkeys(cond for place in pair for cond in terms[place].conditions)
        kept = (cond for cond in conditions if name in self.circle and set(free_indices(cond)) <= set(axes))
        element = _Term(Read(name, tuple(axes), "real"), tuple(kept))
        return [term for place, term in enumerate(terms) if place not in pair] + [element]


def _has_a_term(node: Reduce, cond: Expr) -> bool:
    """Whether the condition holds somewhere whatever the free indices are: at the first or the last position, say."""
    first: dict[Expr, Expr] = dict.fromkeys(node.indices, ZERO)
    last: dict[Expr, Expr] = {index: integer(op("add", index.size, Const(-1))) for index in node.indices}
    return cond is TRUE or any(decide(substitute(cond, place)) is True for place in (first, last))


def _summed(
    bound: Sequence[Index], terms: Sequence[_Term], spanning: Sequence[Expr], conditions: Iterable[Expr]
) -> Expr:
    """The sum of the product of all terms under those of the ``conditions`` that are left, in their order: one may keep
    the next in range.
    """
    left = {*(cond for term in terms for cond in term.conditions), *spanning}
    cond = conjunction(one for one in conditions if one in left)
    used = tuple(index for index in bound if index in free_indices(cond) or any(index in t.indices for t in terms))
    body = guarded(cond, op("mul", *(term.value for term in terms)))
    return Reduce("sum", used, body) if used else body


# -- factors --------------------------------------------------------------------------------------------------------


def _with_divisors(factors: list[Expr], divisors: list[Expr]) -> list[Expr]:
    """Each divisor under the smallest factor that has its indices."""
    result = list(factors)
    under: dict[int, list[Expr]] = {}
    for divisor in divisors:
        needed = set(free_indices(divisor))
        holding = [place for place, factor in enumerate(factors) if needed <= set(free_indices(factor))]
        if holding:
            under.setdefault(min(holding, key=lambda place: volume(free_indices(factors[place]))), []).append(divisor)
        else:
            result.append(op("div", _ONE, divisor))
    for place, parts in under.items():
        result[place] = op("div", factors[place], op("mul", *parts))
    return result or [_ONE]


def _attached(terms: list[_Term], conditions: Iterable[Expr]) -> tuple[list[_Term], list[Expr]]:
    """Conditions at every factor that has their indices, and those that no factor has."""
    result, spanning = list(terms), []
    for cond in conditions:
        needed = frozenset(free_indices(cond))
        places = [place for place, term in enumerate(terms) if needed <= frozenset(free_indices(term.value))]
        for place in places:
            result[place] = replace(result[place], conditions=(*result[place].conditions, cond))
        if not places:
            spanning.append(cond)
    return result, spanning


# -- weighing -------------------------------------------------------------------------------------------------------


def _only_here(
    bound: Sequence[Index], left: _Term, right: _Term, others: Iterable[frozenset[Index]]
) -> tuple[Index, ...]:
    """The summed indices that nothing but the two depends on."""
    elsewhere = frozenset[Index]().union(*others)
    return tuple(index for index in bound if index in left.indices | right.indices and index not in elsewhere)


def _costly(root: Expr) -> set[Expr]:
    """The nodes with an operator that takes longer than a quotient, or a sum with such a node, somewhere below."""
    result: set[Expr] = set()
    for node in walk(root):
        if is_costly(node) or any(child in result for child in node.children):
            result.add(node)
    return result


def _grows(left: _Term, right: _Term, merged: _Term) -> bool:
    """Whether an outer product makes more elements than there were."""
    return volume(merged.indices) > max(volume(left.indices), volume(right.indices))
