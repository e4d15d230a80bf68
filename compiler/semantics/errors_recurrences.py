"""Recurrences that no order of the indices computes.  DL078."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dlc.compiler.diagnostics import Label
from dlc.compiler.semantics.errors import SemanticDiagnostic
from dlc.compiler.source import Span

Way = Literal["same", "earlier", "later", "unknown"]
"""Where an element that is read stands, seen from the one that is computed, along one axis."""

_WORDS: dict[Way, str] = {
    "same": "the same element",
    "earlier": "an element before it along {axis}",
    "later": "an element after it along {axis}",
    "unknown": "any element along {axis}, for all that is known",
}


@dataclass(frozen=True)
class Link:
    """One read of a circle: ``written`` is the left side of the equation, ``read`` what it reads."""

    written: str
    read: str
    span: Span | None
    has_axes: bool
    way: Way | None = None  # of a tensor that reads itself
    axis: str = ""

    @property
    def words(self) -> str:
        text = f"`{self.written}` reads `{self.read}`"
        return text if self.way is None else f"{text}: {_WORDS[self.way].format(axis=self.axis)}"


@dataclass(frozen=True)
class NoOrder(SemanticDiagnostic):
    code = "DL078"
    title = "recurrence without an order"
    links: tuple[Link, ...]
    names: tuple[str, ...]

    @property
    def message(self) -> str:
        if len(self.names) == 1 and self.links[0].has_axes:
            return f"no order of its indices computes every element of `{self.names[0]}` before it is read"
        if len(self.names) == 1:
            return f"`{self.names[0]}` depends on itself"
        circle = " -> ".join((*self.names, self.names[0]))
        return f"no order of their indices computes these tensors before they are read: {circle}"

    @property
    def label(self) -> str:
        return self.links[0].words

    @property
    def places(self) -> Sequence[Label]:
        return tuple(Label(link.span, link.words) for link in self.links[1:] if link.span is not None)

    @property
    def help(self) -> str | None:
        ways = {link.way for link in self.links}
        if len({link.has_axes for link in self.links}) == 2:
            return (
                "a number stands before or behind the whole loop of a tensor: give the element that it reads a name of "
                "its own, `h0 = ..` and `h[0] = h0`, or give the number the axis of the loop"
            )
        if not all(link.has_axes for link in self.links):
            return "a value cannot depend on itself: take one of these reads out, or give the result another name"
        if ways == {"same"}:
            return "read an element that is known by then, `[pad(t-1)]` say, or give the result another name"
        if {"earlier", "later"} <= ways:
            return "let all reads run one way, or make two tensors, one for each direction"
        if None in ways:
            return "one of these reads must be of an earlier element: `[pad(t-1)]`, or `[t]` where `[t+1]` is defined"
        if "unknown" in ways:
            return (
                "say which elements are known by then: with a condition, `sum[s : s < t] ..`, or a guard, `[s < t]*..`"
            )
        return "the loop runs along one index variable of the left side: give that axis one of its own, as in `h[t]`"
