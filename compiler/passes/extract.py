"""Normal form: a reduction stands only at the root of an equation, and its body holds none.

Every other reduction becomes a tensor of its own over the free indices that it depends on, so that it is computed once
for each of their values (the denominator of a softmax: once a row).  Reductions that are alike, in one equation or in
several, become one tensor.

A reduction under a condition is needed only where that holds, and may read out of range or meet a nan elsewhere, so
the parts of the condition that mention nothing but its free indices move into its body, as ``Select(condition, body,
identity)``.  If a read is in range only because of another part, the tensor gets the axes of that part too.  So it does
within a recurrence, where an index that a part fixes says when the reduction is computed.

An element of a recurrence that is the only one along an axis, `y[1,d]`, or one over an index with a single value, may
be the only one at its time, and reads nothing that says so.  What is taken out of it gets axes with one element, along
which it has a time of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dlc.compiler.ir.affine import known
from dlc.compiler.ir.alike import key
from dlc.compiler.ir.bounds import facts_of
from dlc.compiler.ir.conditions import conjunction, conjuncts, guarded, negation
from dlc.compiler.ir.elements import below, bounds_of
from dlc.compiler.ir.expr import (
    ONE,
    TRUE,
    ZERO,
    Expr,
    Index,
    Op,
    Read,
    Reduce,
    Select,
    Solve,
    free_indices,
    fresh,
    identity_of,
    op,
    reads,
    walk,
)
from dlc.compiler.ir.forms import is_reduction
from dlc.compiler.ir.graph import Equation, Graph, Tensor, unique, whole
from dlc.compiler.ir.safety import needs_more

NAME = "extract"


def run(graph: Graph) -> Graph:
    extraction = _Extraction(graph)
    for name in graph.ordered:
        extraction.visit(graph.tensors[name])
    return graph.with_tensors(tensor for name in graph.tensors for tensor in extraction.result[name])


class _Extraction:
    """``result`` has, for each tensor, the tensors that come out of it, itself last."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names: dict[str, object] = dict(graph.tensors)
        self.result: dict[str, list[Tensor]] = {}
        # form -> the tensor, and for each of its axes which free index of the form runs along it, or None
        self.known: dict[Expr, tuple[str, tuple[int | None, ...]]] = {}
        self.sizes = {name: tensor.sizes for name, tensor in graph.tensors.items()}
        self.bounds = bounds_of(graph)
        self.facts = graph.facts
        self.circle = dict(graph.recurrence_of)

    def visit(self, tensor: Tensor) -> None:
        self.result[tensor.id] = []
        equations = tuple(_EquationVisit(self, tensor, equation).done() for equation in tensor.equations)
        self.result[tensor.id].append(replace(tensor, equations=equations))
        if len(equations) == 1 and equations[0].is_whole and is_reduction(equations[0]):
            self.remember(tensor.id, equations[0].indices, equations[0].value)

    def remember(self, name: str, axes: tuple[Index, ...], value: Expr) -> None:
        form, free = key(value)
        if set(free) <= set(axes) and all(axis in free or known(axis.size) == 1 for axis in axes):
            self.known.setdefault(form, (name, tuple(free.index(axis) if axis in free else None for axis in axes)))

    def is_recurrent(self, value: Reduce, owner: Tensor) -> bool:
        """Whether the reduction is part of a recurrence that its owner belongs to."""
        circle = self.circle.get(owner.id)
        return circle is not None and any(self.circle.get(read.tensor) == circle for read in reads(value))

    def tensor_of(self, value: Reduce, order: Iterable[Index], owner: Tensor, equation: Equation) -> Read:
        """A read of the tensor that holds the reduction; its axes are the free indices, in the given order."""
        form, free = key(value)
        if form not in self.known:
            in_circle = self.is_recurrent(value, owner)
            times = _times(equation, free) if in_circle else ()
            axes = (*times, *(index for index in order if index in free))
            name = unique(f"{owner.id}.{value.op}", self.names)
            self.names[name] = self.sizes[name] = tuple(index.size for index in axes)
            if in_circle:
                self.circle[name] = self.circle[owner.id]
            bound = below(value, self.bounds)
            if bound is not None:
                self.bounds[name] = bound
            self.result[owner.id].append(whole(name, axes, value, equation.span))
            self.remember(name, axes, value)
        name, positions = self.known[form]
        return Read(name, tuple(ZERO if at is None else free[at] for at in positions), value.type)


class _EquationVisit:
    def __init__(self, extraction: _Extraction, tensor: Tensor, equation: Equation) -> None:
        self.extraction, self.tensor, self.equation = extraction, tensor, equation
        self.order = dict.fromkeys(equation.indices)  # then bound indices, outermost first: the order of axes
        self.holds_reduction = _holding_reductions(equation.value)
        self.done_under: dict[tuple[Expr, tuple[Expr, ...]], Expr] = {}

    def done(self) -> Equation:
        if not self.holds_reduction:
            return self.equation
        return replace(self.equation, value=self._root(self.equation.value, ()))

    def _root(self, value: Expr, guards: tuple[Expr, ...]) -> Expr:
        """A reduction at the root stays; so does a guarded one, whose condition moves into it."""
        if isinstance(value, Reduce):
            return self._reduction(value, guards)
        if isinstance(value, Select) and isinstance(value.yes, Reduce):
            inner = value.yes
            if inner.op in ("sum", "prod", "max", "min") and value.no is identity_of(inner.op, inner.type):
                cond = self._map(value.cond, guards)
                return self._guarded(self._reduction(inner, (*guards, *conjuncts(cond))), (*guards, *conjuncts(cond)))
        return self._map(value, guards)

    def _map(self, node: Expr, guards: tuple[Expr, ...]) -> Expr:
        """The expression with a read in the place of each reduction.  ``guards`` hold where it is evaluated."""
        if node not in self.holds_reduction:
            return node
        done = self.done_under.get((node, guards))
        if done is None:
            done = self.done_under[node, guards] = self._mapped(node, guards)
        return done

    def _mapped(self, node: Expr, guards: tuple[Expr, ...]) -> Expr:
        match node:
            case Reduce():
                return self._extracted(self._reduction(node, guards), guards)
            case Select():
                cond = self._map(node.cond, guards)
                yes = self._map(node.yes, (*guards, *conjuncts(cond)))
                return Select(cond, yes, self._map(node.no, (*guards, *conjuncts(negation(cond)))))
            case Op(name="and" | "or", args=args):
                seen: list[Expr] = []
                for arg in args:
                    earlier = seen if node.name == "and" else [negation(cond) for cond in seen]
                    seen.append(self._map(arg, (*guards, *conjuncts(conjunction(earlier)))))
                return op(node.name, *seen)
        if isinstance(node, Solve):
            self.order.update(dict.fromkeys(node.indices))
        return node.rebuild(tuple(self._map(child, guards) for child in node.children))

    def _reduction(self, node: Reduce, guards: tuple[Expr, ...]) -> Reduce:
        """The reduction with a body that holds none."""
        self.order.update(dict.fromkeys(node.indices))
        return Reduce(node.op, node.indices, self._map(node.body, guards))

    def _extracted(self, node: Reduce, guards: tuple[Expr, ...]) -> Expr:
        available = set(free_indices(node))
        within_reach = self._in_range([cond for cond in guards if set(free_indices(cond)) <= available], guards)
        about_ranges = self._in_range([cond for cond in guards if cond in within_reach or facts_of(cond)], guards)
        known = self.extraction.facts, self.extraction.bounds
        kept = next(
            (
                some
                for some in (within_reach, about_ranges)
                if not needs_more(node.body, self.extraction.sizes, some, guards, *known, cautious=True)
            ),
            list(guards),
        )
        if self.extraction.is_recurrent(node, self.tensor):
            kept = [*kept, *(cond for cond in guards if cond not in kept and _fixes(cond, self.equation.indices))]
        return self.extraction.tensor_of(self._guarded(node, kept), self.order, self.tensor, self.equation)

    def _in_range(self, chosen: Sequence[Expr], guards: Sequence[Expr]) -> list[Expr]:
        """Those of the chosen guards that need none that was not chosen to read in range."""
        known = self.extraction.facts, self.extraction.bounds
        kept: list[Expr] = []
        for cond in chosen:
            before = guards[: guards.index(cond)]
            if not needs_more(cond, self.extraction.sizes, kept, before, *known):
                kept.append(cond)
        return kept

    def _guarded(self, node: Reduce, guards: Iterable[Expr]) -> Reduce:
        cond = conjunction(guards)
        if cond is TRUE:
            return node
        if node.op == "any":
            return Reduce(node.op, node.indices, op("and", cond, node.body))
        if node.op == "all":
            return Reduce(node.op, node.indices, op("or", negation(cond), node.body))
        body = guarded(cond, node.body, identity_of(node.op, node.body.type))
        return Reduce(node.op, node.indices, body)


def _times(equation: Equation, free: Iterable[Index]) -> tuple[Index, ...]:
    """An axis with one element for each subscript on the left that has one value, which the reduction cannot read."""
    ends = [subscript for subscript in equation.subscripts if not set(free_indices(subscript)) & set(free)]
    single = [end for end in ends if all(known(index.size) == 1 for index in free_indices(end))]
    return tuple(fresh(ONE, next((index.hint for index in free_indices(end)), "t")) for end in single)


def _fixes(cond: Expr, indices: tuple[Index, ...]) -> bool:
    """Whether the condition gives an index of the equation its value."""
    return isinstance(cond, Op) and cond.name == "eq" and any(arg in indices for arg in cond.args)


def _holding_reductions(value: Expr) -> set[Expr]:
    result: set[Expr] = set()
    for node in walk(value):
        if isinstance(node, Reduce) or any(child in result for child in node.children):
            result.add(node)
    return result
