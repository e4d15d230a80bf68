"""Equations grouped into kernels, and the kernels of recurrences into rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.dependences import Place
from dlc.compiler.ir.expr import Expr, Index, Read, Solve, free_indices, op, reads, refresh
from dlc.compiler.ir.graph import Equation, Graph, Tensor
from dlc.compiler.ir.ops import Type
from dlc.compiler.ir.recurrence import Loop
from dlc.compiler.ir.rewriting import rename_bound, replaced, substitute
from dlc.compiler.ir.ways import OPEN, Ways
from dlc.compiler.lower import systems
from dlc.compiler.lower.addends import addends, scattered_into, scattered_once
from dlc.compiler.lower.borders import guarded_factors, with_factors
from dlc.compiler.lower.contractions import Contraction
from dlc.compiler.lower.fusion import touches
from dlc.compiler.lower.interchange import interchanged
from dlc.compiler.lower.kernels import Cycle, Draft, Item
from dlc.compiler.lower.layouts import Packer, spread, steady_factors
from dlc.compiler.lower.levels import Level
from dlc.compiler.lower.masks import given, zeros
from dlc.compiler.lower.nests import nest, sizes_product, work
from dlc.compiler.lower.orders import orders
from dlc.compiler.lower.overlap_add import overlap_add, pays, slides
from dlc.compiler.lower.parts import Product
from dlc.compiler.lower.pieces import (
    Pieces,
    divides,
    outer_indices,
    pieces,
    product_pieces,
    rows_of,
    visits_often,
    with_outer,
    worth_a_visit,
)
from dlc.compiler.lower.premises import Premises, beside_copies
from dlc.compiler.lower.products import Plan, copies, leads, plan, product_body, seen
from dlc.compiler.lower.recurrences import (
    Equations,
    Ring,
    kept,
    on_rings,
    ring_sized,
    rings,
    rounds_of,
    steps_of,
    times_of,
)
from dlc.compiler.lower.spacing import spaced
from dlc.compiler.lower.support import with_support
from dlc.compiler.lower.tables import Tabled, is_better_together, shares_samples
from dlc.compiler.lower.ties import without_ties
from dlc.compiler.lower.transposed import transposed
from dlc.compiler.lower.windows import is_written_out, read_early

Names = Callable[[str], str]


@dataclass(frozen=True)
class Drafts:
    """The kernels of a graph in an order in which they may run, and the tensors as they lie in memory, packed copies
    among them.
    """

    items: list[Item]
    tensors: list[Tensor]


def drafts(
    graph: Graph,
    plain: Graph,
    formulas: Mapping[str, Expr],
    names: Names,
    fresh_id: Callable[[str], str],
    ways: Ways = OPEN,
) -> Drafts:
    """The kernels of ``graph``, which is ``plain`` with names for the sizes of ``formulas``: what is proved of sizes is
    proved of ``plain``.
    """
    return _Drafting(graph, plain, formulas, names, fresh_id, ways).run()


class _Drafting:
    def __init__(
        self,
        graph: Graph,
        plain: Graph,
        formulas: Mapping[str, Expr],
        names: Names,
        fresh_id: Callable[[str], str],
        ways: Ways,
    ) -> None:
        self.ways = ways
        self.graph, self.formulas, self.names, self.fresh_id = without_ties(graph), formulas, names, fresh_id
        graph = self.graph
        self.orders = {c: steps_of(plain, c) for c in plain.components if plain.tensors[c[0]].equations}
        self.orders = {component: tuple(kept(steps, graph)) for component, steps in self.orders.items()}
        outermost = [step for steps in self.orders.values() for step in steps if isinstance(step, Loop)]
        self.rings: Mapping[str, Ring] = rings(without_ties(plain), outermost)
        room = spaced(graph)
        self.stored = {
            key: ring_sized(replace(tensor, sizes=room[key]), self.rings.get(key))
            for key, tensor in graph.tensors.items()
        }
        for name in steady_factors(self.graph):
            self.stored[name] = replace(self.stored[name], sizes=spread(graph.tensors[name].sizes))
        self.sizes = {key: tensor.sizes for key, tensor in self.stored.items()}
        self.done: set[str] = set()
        self.added: list[Tensor] = []
        self.premises = Premises(graph, self.sizes, formulas, ways, times_of(self.orders.values()))
        self.beside = beside_copies(graph)
        self.scattered = scattered_once(graph)
        self.ways_to = orders(graph, fresh_id, self.premises.is_product)
        self.stored.update(self.ways_to.made)
        self.sizes.update({key: tensor.sizes for key, tensor in self.ways_to.made.items()})

    def run(self) -> Drafts:
        level = Level(Packer(self.sizes, self.fresh_id, formulas=self.formulas))
        for component, steps in self.orders.items():
            equations = {
                Place(name, number): equation
                for name in component
                if name in self.graph.tensors
                for number, equation in enumerate(self.graph.tensors[name].equations)
            }
            for step in steps:
                self._step(level, step, equations, {})
        return Drafts(level.items, [*map(self.ways_to.of_room, self.stored.values()), *self.added])

    def _step(
        self, level: Level, step: Loop | Place, equations: Equations, when: Mapping[Place, tuple[Expr, ...]]
    ) -> None:
        if isinstance(step, Place):
            self._equation(level, step, equations[step], when.get(step, ()))
            return
        rounds = rounds_of(step, equations, self.formulas)
        own = frozenset(place.tensor for place in step.places())
        members = level.members | own
        over = (*level.over, rounds.index)
        packer = Packer(self.sizes, self.fresh_id, frozenset(over), members, self.formulas)
        inner = Level(packer, over, members, level)
        conditions = {place: (*when.get(place, ()), *found) for place, found in rounds.conditions.items()}
        for one in step.body:
            self._step(inner, one, rounds.equations, conditions)
        cycle = Cycle(rounds.index, inner.items)
        rows = interchanged(cycle, level.over)
        if rows is not None:
            level.place(rows)
        else:
            level.append(cycle, own)

    def _equation(self, level: Level, place: Place, equation: Equation, when: tuple[Expr, ...]) -> None:
        name = place.tensor
        if name in self.done:
            return
        self.done.update({name} & self.ways_to.firsts)
        other = self.ways_to.others.get(name)
        needed = (*when, *self.ways_to.needed(name))
        formula = self.graph.tensors[name], self.graph.tensors[name].equations[place.number]
        usual = (other.usual,) if other is not None else ()
        self._drafted(level, name, equation, (*needed, *usual), formula, f"{name} {place.number}")
        if other is None:
            return
        first = other.first
        if first not in self.done:
            self.done.add(first)
            (before,) = (self.ways_to.made.get(first) or self.graph.tensors[first]).equations
            self._drafted(level, first, before, self.ways_to.needed(first), (self.stored[first], before), f"{first} 0")
        formula = formula[0], other.equation
        self._drafted(level, name, other.equation, (*needed, other.cond), formula, f"{name} 1")

    def _drafted(
        self,
        level: Level,
        name: str,
        equation: Equation,
        when: tuple[Expr, ...],
        shown: tuple[Tensor, Equation],
        label: str,
    ) -> None:
        tensor = self.stored[name]
        own = _with_own_indices(on_rings(equation, name, self.rings))
        if isinstance(own.value, Solve):
            solving = systems.solving(tensor, own, own.value, self.fresh_id)
            self.added.extend(solving.scratch)
            draft = Draft([(tensor, own)], solving.body, solving.split, work=[solving.work], is_finished=True)
            level.append(replace(draft, formulas=[shown], over=level.over, when=when), [tensor.id])
            return
        product = self.premises.contraction(tensor, own, level.over)
        if product is None or not self._product(level, tensor, own, product, when, shown, label):
            self._loops(level, tensor, own, when, shown)

    def _product(
        self,
        level: Level,
        tensor: Tensor,
        equation: Equation,
        product: Contraction,
        when: tuple[Expr, ...],
        shown: tuple[Tensor, Equation],
        label: str,
    ) -> bool:
        """Draft `equation` by the implementation that pays for `product`, if one does."""
        is_chosen = bool(when) and level.outer is None  # by the sizes of a call: nothing else may need what it makes
        if not is_chosen:
            if level.outer is None and self._product_in_pieces(level, tensor, equation, product):
                return True
            if self._overlap_added(level, tensor, equation, product, when):
                return True
        packer = level.packer.among(()) if is_chosen or visits_often(product) else level.packer
        before = len(packer.tensors)
        found = plan(product, packer, self.ways)
        if found is None:
            return False
        for packed in packer.tensors[before:]:
            self._pack(level, packed, when)
        if isinstance(found, Tabled) and level.outer is None:
            found = with_support(found, self.premises.zeros)
        count = sizes_product((*equation.indices, *product.reduced))
        draft = Draft([(tensor, seen(found))], product_body(found, label), work=[count], formulas=[shown])
        products = {label: Product(found, self.premises.mattering(found))} if isinstance(found, Plan) else {}
        beside = frozenset(read.tensor for read in reads(equation.value))
        draft = replace(draft, over=level.over, when=when, products=products, called={label: found}, beside=beside)
        if found.split is None:
            level.place(draft)
            return True
        by_samples = isinstance(found, Tabled) and shares_samples(found, self.ways)
        draft = replace(draft, split=found.split.size, split_at=found.split, is_split_twice=by_samples)
        level.append(replace(draft, is_finished=True), draft.computes)
        return True

    def _loops(
        self, level: Level, tensor: Tensor, equation: Equation, when: tuple[Expr, ...], shown: tuple[Tensor, Equation]
    ) -> None:
        if level.outer is None:
            if self._scattered(level, tensor, equation, shown) or self._in_pieces(level, tensor, equation):
                return
        level.place(self._nest(level, tensor, self._turned(level, tensor, equation, when), shown, when))
        if not self.premises.needed(tensor, equation):  # all of it is computed
            level.packer.remember(tensor, equation)

    def _scattered(self, level: Level, tensor: Tensor, equation: Equation, shown: tuple[Tensor, Equation]) -> bool:
        """Scatter terms of a sum into it, behind its other terms."""
        names, rest = addends(equation, level, self.scattered)
        if not names or self.premises.needed(tensor, equation):
            return False
        if rest:
            level.place(self._nest(level, tensor, replace(equation, value=op("add", *rest)), shown, ()))
        for number, name in enumerate(names):
            draft = scattered_into(level.taken(name), tensor, shown, adds=bool(rest) or number > 0)
            level.append(draft, draft.computes)
            del self.stored[name]
        return True

    def _overlap_added(
        self, level: Level, tensor: Tensor, equation: Equation, product: Contraction, when: tuple[Expr, ...]
    ) -> bool:
        """Add results that overlap, sample by sample, if that takes less than reading zeros around an image."""
        if level.outer is not None:
            return False
        slide = next(slides(product, self.graph), None)
        scratch = Packer(dict(self.sizes), str, formulas=self.formulas)
        if slide is None or not pays(product, slide, self.graph, scratch, self.ways, self.premises.zeros):
            return False
        before = len(level.packer.tensors)
        found = overlap_add(product, slide, level.packer, self.ways, self.fresh_id)
        assert found is not None
        for packed in level.packer.tensors[before:]:
            self._pack(level, packed, when)
        self.added.append(found.turned)
        self.sizes[found.turned.id] = found.turned.sizes
        called = with_support(found.product, self.premises.zeros)
        label = f"{found.turned.id} 0"
        computed = found.turned, seen(called)
        count = sizes_product((*called.product.equation.indices, *called.product.reduced))
        body = product_body(called, label)
        draft = Draft([computed], body, work=[count], formulas=[(found.turned, found.turned.equations[0])], when=when)
        level.place(replace(draft, over=level.over, called={label: called}))
        level.place(self._nest(level, tensor, found.equation, (tensor, found.equation), when))
        return True

    def _turned(self, level: Level, tensor: Tensor, equation: Equation, when: tuple[Expr, ...]) -> Equation:
        """The equation with copies in the place of what it would go through row by row."""
        copies_of: dict[Expr, Expr] = {}
        for read, axes in (transposed(equation, self.sizes) if level.outer is None else {}).items():
            before = len(level.packer.tensors)
            lying = [place for place in level.packer.in_place(read) if place.strides[axes[-1]].value == 1]
            place = lying[0] if lying else level.packer.pack(read, axes, tensor, equation, axes[-1:])
            for packed in level.packer.tensors[before:]:
                self._pack(level, packed, when)
            copies_of[read] = place.read
        return replace(equation, value=replaced(equation.value, copies_of)) if copies_of else equation

    def _in_pieces(self, level: Level, tensor: Tensor, equation: Equation) -> bool:
        """Reduce in every shard what a kernel has at hand, and combine the pieces; a scalar in any case."""
        known = self.premises
        for outer in outer_indices(equation, known.windows):
            for number in level.candidates(tensor, equation):
                item = level.items[number]
                if not isinstance(item, Draft) or not divides(item, outer):
                    continue
                rows = rows_of(outer, equation, known.windows) if equation.indices else touches(item.body)
                if not rows & touches(item.body):
                    continue
                packer = level.packer.among([name for name, home in level.home.items() if home == number])
                bare = self._bordered(packer, tensor, equation)
                found = pieces(tensor, bare, outer, self.names, self.fresh_id, known.facts, known.windows)
                if found is not None and self._fuse_all(level, number, [*self._copies(level, packer), found.draft]):
                    self.added.extend(packer.tensors)
                    self._combine(level, tensor, found)
                    return True
        if equation.indices:
            return False
        for outer in outer_indices(equation):
            found = pieces(tensor, equation, outer, self.names, self.fresh_id, known.facts)
            if found is not None:
                level.append(found.draft, found.draft.computes)
                self._combine(level, tensor, found)
                return True
        return False

    def _product_in_pieces(self, level: Level, tensor: Tensor, equation: Equation, product: Contraction) -> bool:
        """Multiply in every shard what a kernel has at hand, where copies have to be packed, which then stay small."""
        if not equation.is_whole or not copies(product, self.sizes, self.ways):
            return False
        for outer in product.reduced:
            if not leads(product, outer, self.sizes):
                continue
            inner = with_outer(tensor, equation, outer)
            within = self.premises.contraction(*inner) if inner is not None else None
            if within is None or within.batch[:1] != (outer,) or not worth_a_visit(within):
                continue
            for number in level.candidates(tensor, equation):
                item = level.items[number]
                if not isinstance(item, Draft) or not divides(item, outer) or item.is_finished:
                    continue
                if not touches(item.body) & {read.tensor for read in reads(equation.value)}:
                    continue
                packer = level.packer.among([name for name, home in level.home.items() if home == number])
                planned = plan(within, packer, self.ways)
                if planned is None:
                    continue
                if isinstance(planned, Tabled) and is_better_together(planned, self.ways):
                    return False
                found = product_pieces(tensor, equation, planned, self.fresh_id)
                if self._fuse_all(level, number, [*self._copies(level, packer), found.draft]):
                    self.added.extend(packer.tensors)
                    self._combine(level, tensor, found)
                    return True
        return False

    def _copies(self, level: Level, packer: Packer) -> list[Draft]:
        return [self._nest(level, one, one.equations[0], (one, one.equations[0]), ()) for one in packer.tensors]

    def _bordered(self, packer: Packer, tensor: Tensor, equation: Equation) -> Equation:
        """A guarded sum over an image as one over an image with a border: all its rows have one length."""
        for guarded, others in guarded_factors(equation, self.sizes, self.premises.facts(equation.value)):
            border = packer.bordered(guarded)
            if border is not None:
                return with_factors(equation, (*others, packer.copied(border, guarded, tensor, equation).read))
        return equation

    def _fuse_all(self, level: Level, number: int, drafts: list[Draft]) -> bool:
        """Fuse all of them into one kernel, or none."""
        before, home = level.items[number], dict(level.home)
        if all(level.fuse(number, draft) for draft in drafts):
            return True
        level.items[number], level.home = before, home
        return False

    def _combine(self, level: Level, tensor: Tensor, found: Pieces) -> None:
        self.added.extend(found.scratch)
        level.place(self._nest(level, tensor, found.combining, (tensor, found.combining), ()))

    def _pack(self, level: Level, packed: Tensor, when: tuple[Expr, ...]) -> None:
        """A packed copy is made where it is used, or before the loop if it is the same in every round."""
        (equation,) = packed.equations
        self.added.append(packed)
        self.premises.zeros[packed.id] = zeros(self.graph, packed)
        while level.outer is not None and not _changes(equation, level):
            level, when = level.outer, ()
        level.place_early(self._nest(level, packed, equation, (packed, equation), when))

    def _nest(
        self,
        level: Level,
        tensor: Tensor,
        equation: Equation,
        shown: tuple[Tensor, Equation],
        when: tuple[Expr, ...],
    ) -> Draft:
        known, lengths = self.premises, given(self.graph, equation.value)
        needed = known.needed(tensor, equation)
        body = nest(
            tensor, equation, self.names, known.facts, needed, lengths, known.windows, self._scratch, known.shapes
        )
        if not equation.is_whole or is_written_out(equation):
            body = read_early(body, self.sizes, self.names)
        draft = Draft([(tensor, equation)], body, work=[work(equation)], formulas=[shown], over=level.over, when=when)
        return replace(draft, beside=self.beside.get(tensor.id, frozenset()))

    def _scratch(self, name: str, indices: Sequence[Index], type: Type) -> Read:
        """An element of a tensor that only one nest touches, which fills it before it reads it."""
        made = Tensor(self.fresh_id(name), tuple(index.size for index in indices), type, "computed")
        self.added.append(made)
        self.sizes[made.id] = made.sizes
        return Read(made.id, tuple(indices), type)


def _changes(equation: Equation, level: Level) -> bool:
    """Whether the equation has other values in other rounds of the level's innermost loop."""
    if level.over[-1] in free_indices(equation.value):
        return True
    return any(read.tensor in level.members for read in reads(equation.value))


def _with_own_indices(equation: Equation) -> Equation:
    """The equation with indices that occur in no other: its loops may come to stand inside those of another."""
    names = {index: refresh(index) for index in equation.indices}
    changes: dict[Expr, Expr] = {**names}
    return Equation(
        tuple(names.values()),
        tuple(substitute(subscript, changes) for subscript in equation.subscripts),
        substitute(rename_bound(equation.value), changes),
        equation.span,
    )
