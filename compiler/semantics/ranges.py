"""Every subscript stays on its axis: proved, or turned into a requirement on the sizes, or an error.

The proof is asked for where all sizes are found, under the conditions that guard the read: those of `if`, of Iverson
factors, and of reductions.  Integers that are read from tensors lie below the size of the set that they are declared
in, which is checked when the inputs arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import extreme, facts_of, nonnegative
from dlc.compiler.ir.expr import Expr, Index, Op, Read, Reduce, Select, free_indices, fresh, op, walk
from dlc.compiler.ir.rewriting import substitute
from dlc.compiler.semantics.elements import alternatives, bound_of
from dlc.compiler.semantics.errors_indices import MayLeaveRange, OutOfRange
from dlc.compiler.semantics.frames import Draft, Elaboration, Place
from dlc.compiler.semantics.words import in_words, polynomial_in_words
from dlc.compiler.source import Span

Facts = tuple[Polynomial, ...]
DataBounds = Mapping[Expr, Expr | None]
"""Integers that are read, with the sizes below which they lie; None if nothing bounds one."""

_MOST_CHOICES = 64


def check_ranges(build: Elaboration) -> None:
    """Report every subscript of the graph that can leave its axis."""
    proof = _Proof(build)
    for draft in list(build.drafts.values()):
        for number, body in enumerate(draft.bodies):
            proof.draft = draft
            equations = draft.tensor.equations
            proof.span = equations[number].span if len(equations) == len(draft.bodies) else draft.tensor.span
            proof.visit(body, ())
    for value, place in build.positions:
        proof.position(value, place)


def demands(build: Elaboration, node: Expr) -> Iterator[tuple[str, Polynomial]]:
    """What must not be negative for a node to have a value, with words for it."""
    sizes = build.sizes
    match node:
        case Reduce(op="argmax" | "argmin" as name, indices=indices):
            for index in indices:
                words = f"`{name}[{index.hint}]` needs an element to choose, and {sizes.show(index.size)} may be 0"
                yield words, polynomial(sizes.value(index.size)) - 1
        case Op(name="floordiv" | "mod", args=(_, divisor)) if node not in build.clamped:
            is_negative = nonnegative(-polynomial(sizes.value(divisor)) - 1)
            if not is_negative and not any(isinstance(part, Index | Read | Reduce) for part in walk(divisor)):
                yield f"{sizes.show(divisor)} divides and must not be 0", polynomial(sizes.value(divisor)) - 1


@dataclass
class _Proof:
    build: Elaboration
    draft: Draft | None = None
    span: Span | None = None  # of the equation
    seen: set[tuple[Expr, Facts]] = field(default_factory=set)
    told: set[tuple[str, str, Span | None]] = field(default_factory=set)

    def visit(self, node: Expr, facts: Facts) -> None:
        if (node, facts) in self.seen:
            return
        self.seen.add((node, facts))
        match node:
            case Select(cond=cond, yes=yes, no=no):
                self.visit(cond, facts)
                self.visit(yes, self.knowing(facts, cond, True))
                self.visit(no, self.knowing(facts, cond, False))
            case Op(name="and" | "or", args=args):
                for arg in args:
                    self.visit(arg, facts)
                    facts = self.knowing(facts, arg, node.name == "and")
            case _:
                for child in node.children:
                    self.visit(child, facts)
        if isinstance(node, Read):
            self.read(node, facts)
        elif isinstance(node, Op | Reduce):
            for name, least in demands(self.build, node):
                self.demand(name, least, facts)

    def demand(self, name: str, least: Polynomial, facts: Facts) -> None:
        if not nonnegative(least, facts):
            self.build.sizes.require(least.expression(), name, self.span)

    def knowing(self, facts: Facts, cond: Expr, holds: bool) -> Facts:
        return (*facts, *facts_of(self.build.sizes.resolve(cond), holds, facts))

    def read(self, node: Read, facts: Facts) -> None:
        place = self.build.places.get(node)
        if node.tensor not in self.build.drafts:
            return  # a tensor of a recurrence that could not be made: that was said
        tensor = self.build.drafts[node.tensor].tensor
        # what is read for an element of an index set is read only if that has elements
        extents = (polynomial(self.build.sizes.value(index.size)) for index in free_indices(node))
        facts = (*facts, *dict.fromkeys(extent - 1 for extent in extents))
        for axis, (subscript, size) in enumerate(zip(node.subscripts, tensor.sizes, strict=True)):
            skipped = len(node.subscripts) - (len(place.subscripts) if place is not None else 0)
            written = axis - skipped if place is not None and axis >= skipped else None
            self.subscript(subscript, size, facts, _Where(self, place, written, tensor.id, axis, subscript))

    def position(self, value: Expr, place: Place) -> None:
        self.draft = None
        self.subscript(value, place.value.axes[0].size, (), _Where(self, place, 0, place.value.name, 0, value))

    def subscript(self, subscript: Expr, size: Expr, facts: Facts, where: _Where) -> None:
        sizes = self.build.sizes
        if isinstance(subscript, Index) and sizes.value(subscript.size) is sizes.value(size):
            return
        extent = polynomial(sizes.value(size))
        if subscript in self.build.clamped:
            self.not_empty(extent, facts, where)
            return
        resolved = sizes.resolve(subscript)
        for bounds in self.data_bounds(resolved):
            self.within(resolved, extent, facts, bounds, where)

    def within(self, node: Expr, extent: Polynomial, facts: Facts, bounds: DataBounds, where: _Where) -> None:
        value = polynomial(node)
        known = facts
        for part, bound in bounds.items():
            if bound is not None:
                known = (*known, polynomial(part), polynomial(bound) - polynomial(part) - 1)
        for more in ((), self.build.sizes.required()):
            if nonnegative(value, (*known, *more)) and nonnegative(extent - value - 1, (*known, *more)):
                return
        filled = (*known, extent - 1)  # all that `u*|H| // |U|` needs to stay on |H| elements
        if nonnegative(value, filled) and nonnegative(extent - value - 1, filled):
            self.not_empty(extent, facts, where)
        else:
            self.unproved(node, extent, facts, bounds, where)

    def not_empty(self, extent: Polynomial, facts: Facts, where: _Where) -> None:
        """Something can be clamped to an axis, or wrapped around it, only if that has elements."""
        if not nonnegative(extent - 1, facts):
            message = f"`{where.text}` needs {where.axis_words} to have an element"
            self.build.sizes.require((extent - 1).expression(), message, where.span)

    def data_bounds(self, node: Expr) -> list[DataBounds]:
        """For each integer that is read, below which size it lies; one table for each choice where it has several."""
        parts = [
            part for part in walk(node) if part.type == "int" and (isinstance(part, Read | Reduce) or _is_rounded(part))
        ]
        bounds = [bound_of(self.build, part)[0] for part in parts]
        choices: list[list[Expr | None]] = [
            [None] if bound is None else [*alternatives(self.build, bound)] for bound in bounds
        ]
        if prod(map(len, choices)) > _MOST_CHOICES:
            choices = [[None if bound is None else self.build.sizes.value(bound)] for bound in bounds]
        return [dict(zip(parts, chosen, strict=True)) for chosen in product(*choices)]

    def unproved(self, node: Expr, extent: Polynomial, facts: Facts, bounds: DataBounds, where: _Where) -> None:
        free, reason = _with_free_data(node, bounds)
        if reason is not None:
            self.report(
                where,
                MayLeaveRange(
                    where.span, where.name, where.axis_words, where.text, polynomial_in_words(extent), reason
                ),
            )
            return
        least, greatest = ends(polynomial(free))
        size = polynomial_in_words(extent)
        if least is None or greatest is None:
            reason = "the sign of a factor of an index variable is not known"
            self.report(where, MayLeaveRange(where.span, where.name, where.axis_words, where.text, size, reason))
            return
        if _guards(facts, node):
            reason = "the conditions around it do not say it"
            self.report(where, MayLeaveRange(where.span, where.name, where.axis_words, where.text, size, reason))
            return
        shown = polynomial_in_words(least), polynomial_in_words(greatest)
        if nonnegative(-least - 1) or nonnegative(greatest - extent):
            last = polynomial_in_words(extent - 1)
            self.report(where, OutOfRange(where.span, where.name, where.axis_words, where.text, *shown, last))
            return
        message = f"`{where.text}` runs over {shown[0]} .. {shown[1]}, but {where.axis_words} has {size} elements"
        for slack in (least, extent - greatest - 1):
            if not nonnegative(slack):
                self.build.sizes.require(slack.expression(), message, where.span)

    def report(self, where: _Where, problem: Diagnostic) -> None:
        key = (where.name, where.text, where.span)
        if key in self.told:
            return
        self.told.add(key)
        report = self.draft.report if self.draft is not None and self.draft.report is not None else self.build.report
        report(problem)


def _with_free_data(node: Expr, bounds: DataBounds) -> tuple[Expr, str | None]:
    """Integers read from tensors replaced by index variables over the sets that they lie in, or why that cannot be."""
    replaced: dict[Expr, Expr] = {}
    for part, bound in bounds.items():
        if bound is None and _is_rounded(part):
            return node, "it is rounded from a real number, which may be any"
        if bound is None:
            name = part.tensor if isinstance(part, Read) else f"{getattr(part, 'op', '')}[..]"
            return node, f"nothing bounds the elements of `{name}`: declare it `in V`, with V the set of the axis"
        replaced[part] = fresh(bound, "v")
    return substitute(node, replaced), None


def _is_rounded(node: Expr) -> bool:
    return isinstance(node, Op) and node.name == "int"


@dataclass(frozen=True)
class _Where:
    """Words for one subscript of a read; ``written`` is its number among the subscripts that were written."""

    proof: _Proof
    place: Place | None
    written: int | None
    tensor: str
    axis: int
    subscript: Expr

    @property
    def span(self) -> Span | None:
        if self.place is None:
            draft = self.proof.draft
            return draft.tensor.span if draft is not None else None
        if self.written is None:
            spans: Sequence[Span] = self.place.subscripts
            return spans[0].merge(*spans) if spans else self.place.value.span
        return self.place.subscripts[self.written]

    @property
    def text(self) -> str:
        if self.place is None or self.written is None:
            return in_words(self.proof.build.sizes.resolve(self.subscript))
        return self.place.texts[self.written]

    @property
    def name(self) -> str:
        return self.tensor if self.place is None or self.written is None else self.place.value.name

    @property
    def axis_words(self) -> str:
        if self.place is None or self.written is None:
            return f"axis {self.axis + 1}"
        name = self.place.value.axes[self.written].set
        return f"axis `{name}`" if name else f"axis {self.written + 1}"


def _guards(facts: Iterable[Polynomial], node: Expr) -> bool:
    """Whether a condition says something about the index variables of a subscript, or about what it reads.

    Which element is read, a condition may say without saying anything of its value.
    """
    mine: set[Expr] = set()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Index | Read):
            mine.add(part)
        else:
            waiting.extend(part.children)
    return any(part in mine for fact in facts for atom in fact.atoms for part in walk(atom))


def ends(value: Polynomial) -> tuple[Polynomial | None, Polynomial | None]:
    """The least and the greatest value over the ranges of the index variables, also in quotients and remainders."""
    replaced: dict[Expr, Expr] = {}
    for atom in value.atoms:
        if isinstance(atom, Index) or not any(isinstance(part, Index) for part in walk(atom)):
            continue
        if not isinstance(atom, Op) or atom.name not in ("floordiv", "mod"):
            return None, None
        left, right = atom.args
        if not nonnegative(polynomial(right) - 1) or any(isinstance(part, Index) for part in walk(right)):
            return None, None
        if atom.name == "mod":
            replaced[atom] = fresh(right, "r")
            continue
        low, high = ends(polynomial(left))
        if low is None or high is None:
            return None, None
        first, last = (polynomial(op("floordiv", one.expression(), right)) for one in (low, high))
        replaced[atom] = op("add", first.expression(), fresh((last - first + 1).expression(), "q"))
    if replaced:
        value = polynomial(substitute(value.expression(), replaced))
    return extreme(value, False), extreme(value, True)
