"""Sizes of index sets, some not found yet: unification, and what is left to check when the inputs arrive.

A size that is not known when an expression over it is built is a `Size` symbol whose name begins with `?`.  Evidence
(an axis matched with another) binds it; what cannot be decided yet waits.  ``settle`` ends it: defaults are taken,
waiting evidence is looked at again, and two sizes that may or may not be equal become a requirement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.ir.affine import Polynomial, polynomial
from dlc.compiler.ir.bounds import nonnegative
from dlc.compiler.ir.expr import Expr, Size, walk
from dlc.compiler.ir.graph import Requirement
from dlc.compiler.ir.rewriting import resize
from dlc.compiler.semantics.errors_sizes import SizeConflict
from dlc.compiler.semantics.words import UNKNOWN, in_words, is_unknown
from dlc.compiler.source import Span


@dataclass(frozen=True)
class Evidence:
    """Where a size shows: ``text`` completes "... has size 3"."""

    text: str
    span: Span | None


@dataclass
class _Waiting:
    left: Expr
    right: Expr
    left_evidence: Evidence
    right_evidence: Evidence
    report: Report


Report = Callable[[Diagnostic], None]


@dataclass(eq=False)
class Sizes:
    bindings: dict[Expr, Expr] = field(default_factory=dict)
    origins: dict[Expr, Evidence] = field(default_factory=dict)
    names: dict[Expr, Evidence] = field(default_factory=dict)  # of unknown sizes, for messages
    waiting: list[_Waiting] = field(default_factory=list)
    weak: list[tuple[Expr, Expr, Evidence]] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    _resolved: dict[Expr, Expr] = field(default_factory=dict)

    def unknown(self, evidence: Evidence) -> Expr:
        symbol = Size(f"{UNKNOWN}{len(self.names)}")
        self.names[symbol] = evidence
        return symbol

    # -- what is known -------------------------------------------------------------------------------------------------

    def resolve(self, node: Expr) -> Expr:
        """``node`` with the sizes found so far, in the ranges of its indices too."""
        known = self._resolved.get(node)
        if known is not None:
            return known
        mapping = {symbol: self.value(symbol) for symbol in unknown_sizes(node) if symbol in self.bindings}
        result = resize(node, mapping) if mapping else node
        self._resolved[node] = result
        return result

    def value(self, size: Expr) -> Expr:
        """A size in normal form, with what is found so far."""
        if is_unknown(size):
            bound = self.bindings.get(size)
            return size if bound is None else self.value(bound)
        mapping = {symbol: self.value(symbol) for symbol in unknown_sizes(size) if symbol in self.bindings}
        return polynomial(resize(size, mapping) if mapping else size).expression()

    def is_known(self, size: Expr) -> bool:
        return not unknown_sizes(self.value(size))

    def show(self, size: Expr) -> str:
        return in_words(self.value(size))

    # -- evidence ------------------------------------------------------------------------------------------------------

    def bind(self, symbol: Expr, size: Expr, evidence: Evidence) -> bool:
        """Give an unknown size its value; False if it depends on itself."""
        value = self.value(size)
        if value is symbol:
            return True
        if symbol in unknown_sizes(value):
            return False
        self.bindings[symbol] = value
        self.origins[symbol] = evidence
        self._resolved.clear()
        return True

    def unify(self, left: Expr, right: Expr, left_evidence: Evidence, right_evidence: Evidence, report: Report) -> None:
        """The two sizes are equal; contradictions are reported now or when everything is settled."""
        if not self._tried(_Waiting(left, right, left_evidence, right_evidence, report)):
            self.waiting.append(_Waiting(left, right, left_evidence, right_evidence, report))

    def suggest(self, symbol: Expr, size: Expr, evidence: Evidence) -> None:
        """Weak evidence: taken if nothing else says what ``symbol`` is."""
        if is_unknown(self.value(symbol)):
            self.weak.append((symbol, size, evidence))

    def _tried(self, pair: _Waiting, last: bool = False) -> bool:
        left, right = self.value(pair.left), self.value(pair.right)
        if left is right:
            return True
        if is_unknown(left) and is_unknown(right):
            older, newer = sorted((left, right), key=lambda size: int(size.name[1:]))
            return self.bind(newer, older, pair.left_evidence if older is left else pair.right_evidence)
        for symbol, size, evidence in ((left, right, pair.right_evidence), (right, left, pair.left_evidence)):
            if is_unknown(symbol) and self.bind(symbol, size, self._origin_of(size, evidence)):
                return True
        difference = polynomial(left) - polynomial(right)
        if any(unknown_sizes(atom) for atom in difference.atoms):
            if not _surely_nonzero(difference):
                return last and self._solved(difference, pair)
        self._compare(difference, left, right, pair)
        return True

    def _origin_of(self, size: Expr, evidence: Evidence) -> Evidence:
        return self.origins.get(size, evidence)

    def _solved(self, difference: Polynomial, pair: _Waiting) -> bool:
        """Solve for an unknown size that occurs once, with factor 1 or -1."""
        for monomial, factor in difference.terms:
            if len(monomial) == 1 and is_unknown(monomial[0]) and factor in (1, -1):
                symbol = monomial[0]
                rest = difference - Polynomial(((monomial, factor),))
                value = (rest * -factor).expression()
                if symbol not in unknown_sizes(value) and self.bind(symbol, value, pair.left_evidence):
                    return True
        return False

    def _compare(self, difference: Polynomial, left: Expr, right: Expr, pair: _Waiting) -> None:
        if not difference.terms:
            return
        if _surely_nonzero(difference):
            pair.report(self._conflict(left, right, pair))
            return
        message = (
            f"{pair.left_evidence.text} has size {in_words(left)}, "
            f"{pair.right_evidence.text} has size {in_words(right)}: they must be equal"
        )
        for value in (difference, -difference):
            self.require(value.expression(), message, pair.left_evidence.span)

    def _conflict(self, left: Expr, right: Expr, pair: _Waiting) -> Diagnostic:
        origins = [self._origin(size) for size in (pair.left, pair.right)]
        known = tuple((one.text.rstrip(","), one.span) for one in origins if one is not None and one.span is not None)
        return SizeConflict(
            pair.left_evidence.span,
            pair.left_evidence.text,
            in_words(left),
            pair.right_evidence.text,
            in_words(right),
            pair.right_evidence.span,
            known,
        )

    def _origin(self, size: Expr) -> Evidence | None:
        """Where an unknown size came to be known: the last evidence on the way to its value."""
        found: Evidence | None = None
        while size in self.origins:
            found = self.origins[size]
            size = self.bindings[size]
        return found

    def require(self, value: Expr, message: str, span: Span | None) -> None:
        """``value >= 0`` is checked when the sizes are known."""
        if all(known.value is not value for known in self.requirements):
            self.requirements.append(Requirement(value, message, span))

    def required(self) -> tuple[Polynomial, ...]:
        """What holds of the sizes because it is checked when they are known."""
        return tuple(polynomial(requirement.value) for requirement in self.requirements)

    # -- the end -------------------------------------------------------------------------------------------------------

    def settle(self, report: Report) -> None:
        """Look at everything that waits again, until nothing more is found."""
        while self._again(False) or self._weakly() or self._again(True):
            pass
        for pair in self.waiting:
            left, right = self.value(pair.left), self.value(pair.right)
            self._compare(polynomial(left) - polynomial(right), left, right, pair)
        self.waiting.clear()

    def _again(self, last: bool) -> bool:
        """Try what waits; at ``last``, one solved equation at a time."""
        waiting, self.waiting = self.waiting, []
        done = False
        for pair in waiting:
            if (last and done) or not self._tried(pair, last):
                self.waiting.append(pair)
            else:
                done = True
        return done

    def _weakly(self) -> bool:
        while self.weak:
            symbol, size, evidence = self.weak.pop(0)
            value = self.value(symbol)
            if is_unknown(value) and not unknown_sizes(self.value(size)):
                return self.bind(value, size, evidence)
        return False


def _surely_nonzero(difference: Polynomial) -> bool:
    return nonnegative(difference - 1) or nonnegative(-difference - 1)


@lru_cache(maxsize=1 << 16)
def unknown_sizes(node: Expr) -> tuple[Expr, ...]:
    """The unknown sizes in an expression and in the ranges of its indices."""
    found: dict[Expr, None] = {}
    for part in walk(node):
        if is_unknown(part):
            found[part] = None
        size = getattr(part, "size", None)
        if isinstance(size, Expr):
            found.update(dict.fromkeys(unknown_sizes(size)))
        for index in getattr(part, "indices", ()):
            found.update(dict.fromkeys(unknown_sizes(index.size)))
    return tuple(found)
