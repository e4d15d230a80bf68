"""Simplification of expressions: tables of rules, applied from the leaves up until none fits.

A rule is a row with a name, the kind of node that it looks at, its equation, and a function that gives the new
expression or None.  The tables are ``algebra.SCALAR_RULES`` and ``sums.SUM_RULES``.  What is known from an enclosing
condition is used inside its branches by a rule of the table (``algebra``: *assume*), so a simplified expression
depends on nothing but the expression, and results are remembered by node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dlc.compiler.ir.expr import Expr, Index, Op

_MOST_REWRITES = 64  # of one node by one rule after another; beyond it the node stays as it is


@dataclass(frozen=True)
class Rule:
    """``kind`` is the name of an operator, or ``op``, ``select``, ``reduce``, ``read`` for every node of that class."""

    name: str
    kind: str
    equation: str
    apply: Callable[[Expr], Expr | None]


def kinds_of(node: Expr) -> tuple[str, ...]:
    if isinstance(node, Op):
        return ("op", node.name)
    return (type(node).__name__.lower(),)


@dataclass
class Simplifier:
    """Applies rules in the order of the table.  ``used`` counts rewrites by rule; ``trace`` is told of each."""

    rules: Sequence[Rule]
    used: dict[str, int] = field(default_factory=dict)
    trace: Callable[[Rule, Expr, Expr], None] | None = None

    def __post_init__(self) -> None:
        self._table: dict[tuple[str, ...], list[Rule]] = {}
        self._done: dict[Expr, Expr] = {}

    def __call__(self, root: Expr) -> Expr:
        """The simplified expression; the same node is simplified once in the life of this object."""
        done = self._done
        stack = [root]
        while stack:
            node = stack[-1]
            missing = [child for child in node.children if child not in done]
            if node in done or not missing:
                stack.pop()
                if node not in done:
                    done[node] = self._settled(node)
                continue
            stack.extend(missing)
        return done[root]

    def _settled(self, node: Expr) -> Expr:
        children = tuple(self._done[child] for child in node.children)
        current = node if children == node.children else node.rebuild(children)
        for _ in range(_MOST_REWRITES):
            if current in self._done:
                return self._done[current]
            changed = self._rewritten(current)
            if changed is None:
                break
            current = self._over_simple_children(changed)
        self._done[current] = current
        return current

    def _over_simple_children(self, node: Expr) -> Expr:
        """A rule may have built new nodes below the root."""
        if node in self._done or isinstance(node, Index):
            return node
        children = tuple(self(child) for child in node.children)
        return node if children == node.children else node.rebuild(children)

    def _rewritten(self, node: Expr) -> Expr | None:
        kinds = kinds_of(node)
        if kinds not in self._table:
            self._table[kinds] = [rule for rule in self.rules if rule.kind in kinds]
        for rule in self._table[kinds]:
            changed = rule.apply(node)
            if changed is not None and changed is not node:
                self.used[rule.name] = self.used.get(rule.name, 0) + 1
                if self.trace is not None:
                    self.trace(rule, node, changed)
                return changed
        return None
