"""Every recurrence has an order: its elements can be computed so that each one is there before it is read.

The order itself is found by ``ir.recurrence``; here the reads that are in its way become an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.compiler.ir.affine import polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.dependences import Dependence
from dlc.compiler.ir.expr import Expr, Size, reads, walk
from dlc.compiler.ir.graph import Graph, Requirement, Tensor
from dlc.compiler.ir.recurrence import Conflict, conflicts, order
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.ir.steps import depths, one_step, recurrent_derivatives, with_needs
from dlc.compiler.semantics.errors_derivatives import DerivativeOverSteps, NestedDerivatives
from dlc.compiler.semantics.errors_recurrences import Link, NoOrder, Way
from dlc.compiler.semantics.frames import Draft, Elaboration, Place
from dlc.compiler.semantics.sinking import sunk
from dlc.compiler.semantics.words import in_words

DEEPEST_DERIVATIVES = 10
"""Each about doubles the number of terms."""


def in_order(build: Elaboration, tensors: Mapping[str, Tensor], needed: Collection[str]) -> dict[str, Tensor]:
    """The tensors, whose sizes are found, with every cycle of them in some order; reports those that have none.

    ``needed`` are those that are not only read.
    """
    result = dict(tensors)
    required = (replace(one, value=build.sizes.value(one.value)) for one in build.sizes.requirements)
    graph = Graph("", tensors, requirements=tuple(required))
    for name, depth in depths(graph).items():
        if depth > DEEPEST_DERIVATIVES:
            problem = NestedDerivatives(tensors[name].span, DEEPEST_DERIVATIVES)
            (build.drafts[name].report or build.report)(problem)
            break
    derivatives, graph = tuple(_over_steps(graph)), with_needs(graph)
    without: set[str] = set()
    for component, found in conflicts(graph):
        changed = sunk(result, component, needed)
        if not isinstance(order(with_needs(graph.with_tensors(changed.values())), component), Conflict):
            result = changed
            continue
        if not _required(build, graph, component, found):
            draft = build.drafts[found.circle[0].reader.tensor]
            circle = tuple(dict.fromkeys(one.reader.tensor for one in found.circle))
            (draft.report or build.report)(_Words(build, tensors, circle).problem(found))
            without.update(component)
    for tensor, needs in derivatives:
        if without.isdisjoint(needs):  # without an order there are no steps either: that was said
            (build.drafts[tensor.id].report or build.report)(DerivativeOverSteps(tensor.span))
    return result


def _over_steps(graph: Graph) -> Iterator[tuple[Tensor, Sequence[str]]]:
    """The derivatives that reach over steps of the recurrence that they belong to, with its members."""
    for tensor in recurrent_derivatives(graph):
        if one_step(graph, tensor) is None:
            yield tensor, graph.recurrence_of[tensor.id]


def _required(build: Elaboration, graph: Graph, component: Sequence[str], conflict: Conflict) -> bool:
    """Whether there is an order if no set is empty by whose size a read looks back: `h[t-|K|]`."""
    sizes = [one for edge in conflict.circle for one in walk(*edge.read.subscripts) if isinstance(one, Size)]
    for size in dict.fromkeys(sizes):
        message = f"a recurrence reads |{size.name}| elements back: |{size.name}| must not be 0"
        more = Requirement((polynomial(size) - 1).expression(), message, build.drafts[component[0]].tensor.span)
        if not isinstance(order(replace(graph, requirements=(*graph.requirements, more)), component), Conflict):
            build.sizes.require(more.value, message, more.span)
            return True
    return False


@dataclass(frozen=True)
class _Words:
    build: Elaboration
    tensors: Mapping[str, Tensor]
    circle: tuple[str, ...]

    def problem(self, conflict: Conflict) -> NoOrder:
        links = tuple(dict.fromkeys(self.link(one) for one in conflict.circle))
        return NoOrder(links[0].span, links, tuple(map(self.name, self.circle)))

    def link(self, one: Dependence) -> Link:
        tensor = self.tensors[one.reader.tensor]
        equation = tensor.equations[one.reader.number]
        draft = self.build.drafts[tensor.id]
        skipped = len(draft.lead)
        written = _element(self.name(tensor.id), equation.subscripts[skipped:])
        place = self.place(draft, one)
        if place is None or not place.texts:
            other = len(self.build.drafts[one.read.tensor].lead)
            read, span = _element(self.name(one.read.tensor), one.read.subscripts[other:]), equation.span
        else:
            read = f"{self.name(one.read.tensor)}[{','.join(place.texts)}]"
            span = place.subscripts[0].merge(*place.subscripts[1:])
        if one.read.tensor != tensor.id:
            return Link(written, read, span, bool(one.read.subscripts))
        way = _way(tensor, equation.subscripts, one) if tensor.rank else (None, "")
        return Link(written, read, span, bool(tensor.rank), *way)

    def name(self, tensor: str) -> str:
        """What a layer calls its own tensor; the layer's name stands before it if the circle leads out of the layer."""
        draft = self.build.drafts[tensor]
        prefixes = {one.removesuffix(self.build.drafts[one].name) for one in self.circle}
        return tensor if len(prefixes) > 1 else draft.name

    def place(self, draft: Draft, one: Dependence) -> Place | None:
        """Where the read was written."""
        if not draft.bodies:
            return None
        number = one.reader.number
        own = draft.tensor.equations[number].indices[: len(draft.lead)]
        renamed: dict[Expr, Expr] = dict(zip(draft.lead, own, strict=True))
        for read in reads(draft.bodies[number]):
            if read in self.build.places and self.build.sizes.resolve(substitute(read, renamed)) is one.read:
                return self.build.places[read]
        return None


def _element(name: str, subscripts: Sequence[Expr]) -> str:
    inside = ",".join(in_words(one).replace(" ", "") for one in subscripts)
    return f"{name}[{inside}]" if inside else name


def _way(tensor: Tensor, written: Sequence[Expr], one: Dependence) -> tuple[Way, str]:
    """Along which axis, and where, an element of the tensor itself is read."""
    unknown: tuple[Way, str] | None = None
    for axis, (mine, its) in enumerate(zip(written, one.read.subscripts, strict=True)):
        words = f"`{tensor.sets[axis]}`" if axis < len(tensor.sets) and tensor.sets[axis] else f"axis {axis + 1}"
        distance = polynomial(mine) - polynomial(its)
        if not distance.terms:
            continue
        if nonnegative(distance - 1, one.facts):
            return "earlier", words
        if nonnegative(-distance - 1, one.facts):
            return "later", words
        unknown = unknown or ("unknown", words)
    return unknown or ("same", "")
