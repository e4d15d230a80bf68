"""Names that are asked for while they are being made: the tensors of a recurrence.

Such a name stands for a *provisional* value.  Its axes come from the left sides, its id is reserved.  What only the
right sides tell is guessed: the type, whether its integers lie in a set, and which index variables of the caller it
depends on (at first all that the frame could depend on).  When everything is made, guesses are compared with what
came of them; those that were wrong are corrected, and elaboration begins again.  Whether some order of the indices
computes every element before it is read is decided when the sizes are found (``orders``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.ir.expr import Const, Expr, Index, Read, free_indices, fresh
from dlc.compiler.ir.ops import Type
from dlc.compiler.semantics.elements import alternatives, bounds_of_all, joined
from dlc.compiler.semantics.frames import (
    Axis,
    Draft,
    Elaboration,
    Frame,
    Guess,
    Provisional,
    Restart,
    Value,
)
from dlc.compiler.semantics.sizes import Evidence, unknown_sizes
from dlc.compiler.semantics.targets import LeftSide

_TYPES: tuple[Type, ...] = ("int", "real", "bool")
"""In the order in which they are tried where nothing says more: what is an integer if the rest is, is one."""

_MOST_CORRECTIONS = 12  # of one guess; more would mean that they run in a circle


@dataclass(eq=False)
class Making:
    """A tensor whose equations are being made; ``types`` are those of the right sides that are."""

    frame: Frame
    name: str
    lefts: Sequence[LeftSide]
    ends: Sequence[Expr]
    sets: Sequence[str]
    declared: Type | None
    types: list[Type] = field(default_factory=list)
    provisional: Provisional | None = None

    def value(self) -> Value:
        """What the name stands for meanwhile."""
        if self.provisional is None:
            self.provisional = self._guessed()
            self.frame.build.provisional[self.provisional.id] = self.provisional
        return self.provisional.value

    def _guessed(self) -> Provisional:
        frame, build, span = self.frame, self.frame.build, self.lefts[0].span
        key = (*frame.key, self.name)
        is_certain = self.declared is not None or any(one != "int" for one in self.types)
        guess = build.guesses.setdefault(key, Guess(self.declared or _common(self.types)))
        candidates = outer_indices(frame)
        lead = candidates if guess.lead is None else tuple(candidates[number] for number in guess.lead)
        reserved = frame.local_id(self.name)
        symbol = None
        if guess.type == "int" and guess.is_bounded:
            symbol = build.sizes.unknown(Evidence(f"the elements of `{self.name}`", span))
        axes = tuple(Axis(size, name) for size, name in zip(self.ends, self.sets, strict=True))
        indices = tuple(fresh(axis.size, axis.set or "i") for axis in axes)
        body = Read(reserved, (*lead, *indices), guess.type)
        value = Value(self.name, axes, indices, body, span, symbol)
        return Provisional(reserved, key, value, candidates, lead, is_certain, symbol)

    @property
    def id(self) -> str:
        return self.frame.local_id(self.name) if self.provisional is None else self.provisional.id

    def lead(self, found: tuple[Index, ...]) -> tuple[Index, ...]:
        """The leading axes of the tensor: those that it was read with."""
        known = self.provisional
        if known is None:
            return found
        assert set(found) <= set(known.candidates), "an index that the frame does not depend on"
        if not set(found) <= set(known.lead):
            guesses = self.frame.build.guesses
            guesses[known.key] = guesses[known.key].corrected(lead=None)
            raise Restart(())
        return known.lead

    def bound(self, bodies: Sequence[Expr]) -> tuple[Expr | None, str]:
        """The bound of the elements, if what is read of the tensor itself lies below it."""
        provisional, build = self.provisional, self.frame.build
        found = bounds_of_all(build, bodies)
        if provisional is None or provisional.bound is None:
            return joined(build, found) if found else (None, "")
        symbol = provisional.bound
        others: dict[Expr, str] = {}
        for bound, name in (found or {}).items():
            others.update({one: name for one in alternatives(build, bound) if one is not symbol})
        provisional.is_unbounded = found is None or any(symbol in unknown_sizes(one) for one in others)
        if provisional.is_unbounded or not others:
            build.sizes.bind(symbol, Const(0), Evidence("nothing", None))
            return None, ""
        bound, name = joined(build, others)
        build.sizes.bind(symbol, bound, Evidence(f"the equations of `{self.name}`", self.lefts[0].span))
        return bound, name

    def finished(self, draft: Draft) -> None:
        if self.provisional is not None:
            self.provisional.draft = draft

    def failed(self) -> None:
        """Nothing will say how large the elements are."""
        if self.provisional is not None and self.provisional.bound is not None:
            self.frame.build.sizes.bind(self.provisional.bound, Const(0), Evidence("nothing", None))


def _common(types: Iterable[Type]) -> Type:
    known = set(types)
    return "bool" if "bool" in known else "real" if "real" in known else "int"


def outer_indices(frame: Frame) -> tuple[Index, ...]:
    """The index variables of the caller that the tensors of a frame can depend on."""
    passed = frame.instance.passed or {}
    values = [frame.values[name] for name in frame.scope.data if name in frame.values]
    bodies = [(value.body, value.indices) for value in (*values, *passed.values())]
    bodies += [(one, ()) for one in (*frame.subscripts, *frame.instance.hypers.values())]
    found = {index for body, own in bodies for index in free_indices(body) if index not in own}
    return tuple(sorted(found.union(frame.mapped), key=lambda index: index.id))


# -- what came of the guesses ------------------------------------------------------------------------------------------


def correct(build: Elaboration) -> None:
    """Begin again where a guess was wrong."""
    needs = _needs(build)
    corrected = {one.key: _corrected(build, one, needs) for one in build.provisional.values()}
    changed = {key: guess for key, guess in corrected.items() if guess != build.guesses[key]}
    if changed:
        build.guesses.update(changed)
        raise Restart(())


def _corrected(build: Elaboration, one: Provisional, needs: dict[str, set[int]]) -> Guess:
    guess = build.guesses[one.key]
    if len(guess.history) > _MOST_CORRECTIONS or guess.is_final:
        return guess
    if one.draft is None:
        return guess if one.is_certain else _another_type(guess)
    found = one.draft.tensor.type
    if found != guess.type:
        return _another_type(guess) if found in guess.history else guess.corrected(type=found)
    if one.is_unbounded and guess.is_bounded:
        return guess.corrected(is_bounded=False)
    needed = tuple(
        number for number, index in enumerate(one.candidates) if index in one.lead and _is_needed(one, index, needs)
    )
    current = guess.lead if guess.lead is not None else tuple(range(len(one.candidates)))
    return guess if needed == current else guess.corrected(lead=needed)


def _is_needed(one: Provisional, index: Index, needs: dict[str, set[int]]) -> bool:
    return one.lead.index(index) in needs.get(one.id, ())


def _another_type(guess: Guess) -> Guess:
    """The next type that was not tried; in the end the first one, whose errors are shown."""
    tried = (*guess.history, guess.type)
    following = next((one for one in _TYPES if one not in tried), None)
    if following is None:
        return replace(guess, type=tried[0], is_final=True)
    return guess.corrected(type=following)


def _needs(build: Elaboration) -> dict[str, set[int]]:
    """The leading axes that tensors really depend on: a least fixed point through what reads what."""
    outer = {index for one in build.provisional.values() for index in one.lead}
    drafts = {name: draft for name, draft in build.drafts.items() if outer.intersection(draft.lead)}
    needs: dict[str, set[int]] = {name: set() for name in drafts}
    grew = True
    while grew:
        grew = False
        for name, draft in drafts.items():
            used = _used(draft.bodies, drafts, needs)
            now = {number for number, index in enumerate(draft.lead) if index in used}
            grew |= now != needs[name]
            needs[name] = now
    return needs


def _used(bodies: Iterable[Expr], drafts: dict[str, Draft], needs: dict[str, set[int]]) -> set[Expr]:
    """The index variables in expressions, those at leading axes that are not needed left out."""
    found: set[Expr] = set()
    waiting = list(bodies)
    while waiting:
        node = waiting.pop()
        if node in found:
            continue
        found.add(node)
        if isinstance(node, Read) and node.tensor in drafts:
            skipped = len(drafts[node.tensor].lead)
            waiting.extend(
                child
                for number, child in enumerate(node.subscripts)
                if number >= skipped or number in needs[node.tensor]
            )
        else:
            waiting.extend(node.children)
    return found
