"""What is found of a claim, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.ir.graph import Claim, Graph, reads_of
from dlc.compiler.source import Span
from dlc.compiler.verification.points import Array, Point
from dlc.compiler.verification.testing import Difference

Outcome = Literal["proved", "tested", "untested", "failed"]

_MOST_SHOWN = 24  # elements of a tensor


@dataclass(frozen=True)
class Verdict:
    """``definition`` is the layer or model in which the claim stands; ``points`` how many points tested it."""

    definition: str
    text: str
    span: Span
    outcome: Outcome
    points: int = 0
    failure: ClaimFails | NothingTested | None = field(default=None, compare=False)

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the claim, and something for it."""
        return self.outcome in ("proved", "tested")

    @property
    def words(self) -> str:
        if self.outcome == "tested":
            return f"tested on {self.points} point{'' if self.points == 1 else 's'}"
        return {"proved": "proved", "untested": "not tested", "failed": "FAILED"}[self.outcome]


@dataclass(frozen=True)
class ClaimFails(Diagnostic):
    """A claim that is wrong, with a point at which its sides differ."""

    code = "DL940"
    title = "claim fails"
    sizes: tuple[tuple[str, int], ...]
    values: tuple[tuple[str, str], ...]
    element: tuple[tuple[str, int], ...]
    left: str
    right: str
    unsummed: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        where = ", ".join(f"{name} = {value}" for name, value in self.element)
        sides = f"the left side is {self.left}, the right {self.right}"
        return f"this claim fails at {where}: {sides}" if where else f"this claim fails: {sides}"

    @property
    def help(self) -> str | None:
        if not self.unsummed:
            return None
        names = ",".join(self.unsummed)
        return f"the left side of a claim sums nothing by itself: if a sum is meant, write `sum[{names}]`"

    @property
    def notes(self) -> Sequence[str]:
        sizes = [f"|{name}| = {size}" for name, size in self.sizes]
        lines = [", ".join(sizes)] if sizes else []
        lines += [f"{name} = {value}" for name, value in self.values]
        return ["\n".join(lines)] if lines else []


@dataclass(frozen=True)
class NothingTested(Diagnostic):
    """At no point did both sides of a claim have values that can be compared."""

    code = "DL941"
    title = "claim not tested"
    points: int

    @property
    def message(self) -> str:
        if not self.points:
            return "this claim is not tested: no small sizes were found with which the definition can be run"
        return f"this claim is not tested: at none of {self.points} random points do both sides have a value"

    @property
    def help(self) -> str | None:
        if not self.points:
            return "fix a size with -D, such as -D T=16"
        return "a side that is infinite or not a number cannot be compared, nor what rounding decides"


def failure(graph: Graph, claim: Claim, point: Point, difference: Difference) -> ClaimFails:
    """The counterexample in the words of the spec: only what the claim depends on."""
    needed = _needed(graph, claim)
    names = [index.hint[:1].lower() + index.hint[1:] for index in graph.tensors[claim.left].equations[0].indices]
    sizes = {
        name: size
        for name, size in point.sizes.items()
        if any(name in tensor.sets for tensor in (graph.tensors[one] for one in needed))
    }
    return ClaimFails(
        claim.span,
        tuple((sizes or point.sizes).items()),
        tuple(
            (name.removeprefix("#"), _shown(point.values[name]))  # `#train` is the spec's `train`
            for name in graph.tensors
            if name in needed and name in point.values
        ),
        tuple(zip(names, difference.element, strict=True)),
        *_told(difference),
        claim.unsummed,
    )


def _needed(graph: Graph, claim: Claim) -> set[str]:
    found: set[str] = set()
    waiting = [claim.left, claim.right]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(reads_of(graph.tensors[name]))
    return found


def _shown(value: Array) -> str:
    if value.size > _MOST_SHOWN:
        if (value == value.flat[0]).all():
            return f"{_number(value.flat[0].item())} everywhere, of shape {_shape(value)}"
        flat = ", ".join(_number(one) for one in value.reshape(-1)[: _MOST_SHOWN // 2].tolist())
        return f"[{flat}, ..] of shape {_shape(value)}"
    return _nested(value.tolist())


def _shape(value: Array) -> str:
    return "×".join(map(str, value.shape))


def _nested(value: object) -> str:
    return f"[{', '.join(map(_nested, value))}]" if isinstance(value, list) else _number(value)


def _number(value: object, digits: int = 6) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value + 0.0:.{digits}g}" if isinstance(value, float) else str(value)  # no -0: it compares equal to 0


def _told(difference: Difference) -> tuple[str, str]:
    """Both numbers with as many digits as tell them apart."""
    for digits in range(6, 17):
        left, right = _number(difference.left, digits), _number(difference.right, digits)
        if left != right:
            break
    return left, right


def summary(verdicts: Sequence[Verdict]) -> str:
    """`5 claims: 2 proved, 2 tested, 1 failed`."""
    counts: Mapping[str, int] = {
        outcome: sum(verdict.outcome == outcome for verdict in verdicts)
        for outcome in ("proved", "tested", "failed", "untested")
    }
    told = [f"{counts['proved']} proved", f"{counts['tested']} tested", f"{counts['failed']} failed"]
    told += [f"{counts['untested']} not tested"] if counts["untested"] else []
    return f"{len(verdicts)} claim{'' if len(verdicts) == 1 else 's'}: {', '.join(told)}"


def listed(verdicts: Sequence[Verdict]) -> Sequence[str]:
    """A line for each verdict."""
    rows = [(f"{one.span.source.name}:{one.span.line}", one.definition, one.words, one.text) for one in verdicts]
    widths = [max(len(row[column]) for row in rows) if rows else 0 for column in range(3)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows]
