"""Index variables: bound, summed, left over, and subscripts in range.  DL050 to DL064."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import Label, suggestion
from dlc.compiler.semantics.errors import SemanticDiagnostic, at_place, counted
from dlc.compiler.source import Span


@dataclass(frozen=True)
class LeftOver(SemanticDiagnostic):
    code = "DL050"
    title = "unbound index variable"
    name: str
    on_the_left: str | None = None  # the element `i` where the name is the whole axis `I`, or the other way round
    called: str | None = None  # a reduction that is called as if it were a function: `mean(x[i])`

    @property
    def message(self) -> str:
        if self.name[0].isupper():
            return f"the whole axis `{self.name}` is neither on the left nor summed"
        return f"`{self.name}` is neither on the left side nor summed"

    @property
    def label(self) -> str:
        return "only one factor contains it"

    @property
    def help(self) -> str | None:
        if self.on_the_left is not None:
            whole, element = sorted((self.name, self.on_the_left))
            return (
                f"`{whole}` is the whole axis, `{element}` one element of it: write `{self.on_the_left}` as on the left"
            )
        if self.called is not None:
            return f"a reduction names its index variable: `{self.called}[{self.name}] ..`"
        side = f"put `{self.name}` on the left side"
        return f"write `sum[{self.name}]` before the term if a sum is meant, or {side}"


@dataclass(frozen=True)
class OrphanedByReduction(SemanticDiagnostic):
    """`sum[j] a[j] + b[j]`: the reduction ended before the term that its writer meant it to take."""

    code = "DL051"
    title = "reduction that swallowed less than its writer meant"
    name: str
    kind: str
    reduction: Span

    @property
    def message(self) -> str:
        return f"`{self.name}` is unbound here: `{self.kind}[{self.name}]` ends before this term"

    @property
    def places(self) -> Sequence[Label]:
        return (Label(self.reduction, "the reduction takes the product to its right, up to here"),)

    @property
    def help(self) -> str | None:
        return f"put what it is to take in parentheses: `{self.kind}[{self.name}] (.. + ..)`"


@dataclass(frozen=True)
class SummedInside(SemanticDiagnostic):
    code = "DL052"
    title = "variable summed in one factor, unbound in another"
    name: str
    inner: Span

    @property
    def message(self) -> str:
        return f"`{self.name}` is summed inside another factor of this product, and unbound here"

    @property
    def places(self) -> Sequence[Label]:
        return (Label(self.inner, f"the sum over `{self.name}` is in here"),)

    @property
    def help(self) -> str | None:
        return f"say where the sum stands with `sum[{self.name}]`, or use another variable here: `{self.name}'`"


@dataclass(frozen=True)
class ReboundIndex(SemanticDiagnostic):
    code = "DL053"
    title = "index variable bound twice"
    name: str
    first: Span | None = None

    @property
    def message(self) -> str:
        return f"`{self.name}` is bound already"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.first, "it is bound for this occurrence too")

    @property
    def help(self) -> str | None:
        return f"use another variable over the same set: `{self.name}'`"


@dataclass(frozen=True)
class UnknownBinder(SemanticDiagnostic):
    code = "DL054"
    title = "reduction over something that is no index variable"
    name: str
    set: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return f"`{self.name}` is not an index variable: there is no index set `{self.set}`"

    @property
    def help(self) -> str | None:
        if found := suggestion(self.set, self.candidates):
            return found
        declare = f"declare the set: `index {self.set}`"
        if not self.candidates:
            return declare
        first, rest = self.candidates[0][0].lower(), self.candidates[0][1:]
        return f"{declare}; a second variable over a set that is there has a prime, `{first}{rest}'` say"


@dataclass(frozen=True)
class OutOfRange(SemanticDiagnostic):
    code = "DL055"
    title = "subscript out of range"
    tensor: str
    axis: str
    subscript: str
    least: str | None
    greatest: str | None
    last: str

    @property
    def message(self) -> str:
        end = f"{self.axis} of `{self.tensor}` has 0 .. {self.last}"
        if self.least is None or self.greatest is None:
            return f"`{self.subscript}` can leave its axis: {end}"
        run = f"is {self.least}" if self.least == self.greatest else f"runs over {self.least} .. {self.greatest}"
        return f"`{self.subscript}` {run}, but {end}"

    @property
    def help(self) -> str | None:
        inside = self.subscript
        return (
            f"reading outside on purpose is written `pad({inside})` (zero there), `clamp({inside})`, `wrap({inside})`, "
            "or with a guard: `.. if cond else ..`"
        )


@dataclass(frozen=True)
class MayLeaveRange(SemanticDiagnostic):
    """Not provable, and no requirement on the sizes says it either (data or a guard is involved)."""

    code = "DL056"
    title = "subscript that may leave its axis"
    tensor: str
    axis: str
    subscript: str
    size: str
    reason: str

    @property
    def message(self) -> str:
        axis = f"{self.axis} of `{self.tensor}`, which has {self.size} elements"
        return f"it cannot be shown that `{self.subscript}` stays on {axis}"

    @property
    def notes(self) -> Sequence[str]:
        return (self.reason,) if self.reason else ()

    @property
    def help(self) -> str | None:
        inside = self.subscript
        return f"write `pad({inside})` (zero outside), `clamp({inside})`, `wrap({inside})`, or a guard that says it"


@dataclass(frozen=True)
class WrongRank(SemanticDiagnostic):
    code = "DL057"
    title = "wrong number of subscripts"
    tensor: str
    rank: int
    given: int
    declared: Span | None
    sets: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        if self.given == 0:
            return f"`{self.tensor}` has {counted(self.rank, 'axis')} and stands here without subscripts"
        if self.rank == 0:
            return f"`{self.tensor}` is a scalar and takes no subscripts"
        return f"`{self.tensor}` has {counted(self.rank, 'axis')}, but {counted(self.given, 'subscript')}"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.declared, "its axes")

    @property
    def help(self) -> str | None:
        if self.given or not self.rank:
            return None
        only = "a tensor without subscripts may only be passed as a parameter, behind the `;`"
        if not self.sets or not all(self.sets):
            return only
        return f"write its axes, `{self.tensor}[{','.join(self.sets)}]`; {only}"


@dataclass(frozen=True)
class OutsideMisplaced(SemanticDiagnostic):
    code = "DL058"
    title = "pad, clamp or wrap outside a subscript"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` stands around a whole subscript and nowhere else"

    @property
    def help(self) -> str | None:
        return f"write it in the square brackets of the tensor: `x[{self.name}(t-1)]`"


@dataclass(frozen=True)
class RepeatedOnLeft(SemanticDiagnostic):
    code = "DL059"
    title = "index variable twice on the left side"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` stands twice on the left side, so only a diagonal would be defined"

    @property
    def help(self) -> str | None:
        i = self.name
        return f"use a second variable and say where it is not zero: `y[{i},{i}'] = a[{i}]*[{i} == {i}']`"


@dataclass(frozen=True)
class BadLeftSubscript(SemanticDiagnostic):
    code = "DL060"
    title = "left side that is no place"
    reason: str
    is_data: bool = False

    @property
    def message(self) -> str:
        return f"a left side cannot have this subscript: {self.reason}"

    @property
    def help(self) -> str | None:
        if self.is_data:
            return (
                "let a condition say where what goes: `h[v] = sum[e : z[e] == v] m[e]`, `q[i] <- x if i == k else q[i]`"
            )
        return "a left side takes index variables, size expressions, `a*i + c`, whole sets and groups `(g,c)`"


@dataclass(frozen=True)
class Overlap(SemanticDiagnostic):
    code = "DL061"
    title = "parts that overlap"
    tensor: str
    other: Span
    surely: bool

    @property
    def message(self) -> str:
        verb = "define" if self.surely else "may define"
        return f"two equations {verb} the same elements of `{self.tensor}`"

    @property
    def places(self) -> Sequence[Label]:
        return (Label(self.other, "the other part"),)

    @property
    def help(self) -> str | None:
        return "move one of them: `y[|C1| + c2] = ..` starts where `y[c1] = ..` ends"


@dataclass(frozen=True)
class Hole(SemanticDiagnostic):
    code = "DL062"
    title = "elements without an equation"
    tensor: str
    gap: str | None

    @property
    def message(self) -> str:
        where = f": {self.gap}" if self.gap else ""
        return f"the equations of `{self.tensor}` leave elements undefined{where}"

    @property
    def help(self) -> str | None:
        return "each axis extends to the end of its last part; give the missing part an equation, `= 0` perhaps"


@dataclass(frozen=True)
class PartsOfDifferentRank(SemanticDiagnostic):
    code = "DL063"
    title = "parts with different numbers of axes"
    tensor: str
    rank: int
    given: int
    first: Span

    @property
    def message(self) -> str:
        return f"`{self.tensor}` has {counted(self.rank, 'axis')} in its first equation, {self.given} here"

    @property
    def places(self) -> Sequence[Label]:
        return (Label(self.first, "the first equation"),)


@dataclass(frozen=True)
class AllAxesMisplaced(SemanticDiagnostic):
    code = "DL064"
    title = "`..` without axes"
    reason: str

    @property
    def message(self) -> str:
        return f"`..` has no meaning here: {self.reason}"

    @property
    def help(self) -> str | None:
        return "`[..]` belongs to layers with a data argument `x[..]`, and to reductions: `sum[..] x[I,J]`"
