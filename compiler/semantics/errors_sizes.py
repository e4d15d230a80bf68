"""Index sets and their sizes.  DL065 to DL079."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import Label
from dlc.compiler.semantics.errors import SemanticDiagnostic, at_place, counted
from dlc.compiler.source import Span


@dataclass(frozen=True)
class SizeDiagnostic(SemanticDiagnostic):
    """An error in sizes: what would follow from them, such as the range of a subscript, is not looked at any more."""


@dataclass(frozen=True)
class SizeConflict(SizeDiagnostic):
    """Two axes that must agree, and do not."""

    code = "DL065"
    title = "sizes that do not agree"
    left: str
    left_size: str
    right: str
    right_size: str
    other: Span | None = None
    known: tuple[tuple[str, Span], ...] = ()
    hint: str | None = None

    @property
    def help(self) -> str | None:
        return self.hint

    @property
    def message(self) -> str:
        return f"{self.left} has size {self.left_size}, but {self.right} has size {self.right_size}"

    @property
    def places(self) -> Sequence[Label]:
        here = at_place(self.other, self.right) if self.other != self.span else ()
        known = [Label(span, text) for text, span in self.known if span not in (self.span, self.other)]
        return (*here, *known)


@dataclass(frozen=True)
class UnboundSet(SizeDiagnostic):
    code = "DL066"
    title = "index set without a size"
    name: str
    hint: str

    @property
    def message(self) -> str:
        return f"nothing says how large {self.name} is"

    @property
    def help(self) -> str | None:
        return self.hint


@dataclass(frozen=True)
class CircularSizes(SizeDiagnostic):
    code = "DL067"
    title = "sizes that depend on each other"
    circle: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"the sizes of index sets depend on each other: {' -> '.join(self.circle)}"


@dataclass(frozen=True)
class BadSize(SizeDiagnostic):
    """Something that is no size expression."""

    code = "DL068"
    title = "not a size"
    reason: str

    @property
    def message(self) -> str:
        return f"this is not a size: {self.reason}"

    @property
    def help(self) -> str | None:
        return "a size is made of integers, hyper-parameters, `|S|`, `+ - * // mod`, `min` and `max`"


@dataclass(frozen=True)
class NegativeSize(SizeDiagnostic):
    code = "DL069"
    title = "negative size"
    name: str
    size: str

    @property
    def message(self) -> str:
        return f"`{self.name}` has the size {self.size}" if self.name else f"this size is {self.size}"

    @property
    def help(self) -> str | None:
        return "a size is 0 or more"


@dataclass(frozen=True)
class GroupPart(SizeDiagnostic):
    """A part of a flattened group `(g,c)` whose number of values is not known."""

    code = "DL076"
    title = "part of a group without a size"
    part: str

    @property
    def message(self) -> str:
        return f"how many values `{self.part}` can have is not known, so it cannot be part of a group"

    @property
    def help(self) -> str | None:
        return (
            "a part is an index variable, a set, an element of a tensor declared `in V`, or `e mod n`; "
            "else write the sum: `g*|C| + c`"
        )


@dataclass(frozen=True)
class WholeAxesMismatch(SizeDiagnostic):
    """A call's value has another number of whole axes than stand on the left."""

    code = "DL070"
    title = "whole axes that do not match"
    value: str
    has: int
    left: int

    @property
    def message(self) -> str:
        if self.left == 0:
            return f"{self.value} has {counted(self.has, 'whole axis')}, but the left side has no capital to take them"
        verb = "is" if self.left == 1 else "are"
        return f"{self.value} has {counted(self.has, 'whole axis')}, but there {verb} {self.left} here"

    @property
    def help(self) -> str | None:
        if self.left == 0:
            return "write capitals on the left (`y[b,I] = f(x[b,J])`), or take an element: `f(x[b,J])[i]`"
        return "the k-th whole axis of a call's value is the k-th capital on the left"


@dataclass(frozen=True)
class AxisOfAnotherSize(SizeDiagnostic):
    """`h[T,D]` on an axis of `|T|+1` rows."""

    code = "DL071"
    title = "whole axis of another size"
    tensor: str
    axis: int
    size: str
    set: str
    set_size: str
    declared: Span | None
    sets: tuple[str, ...]  # of the tensor's axes, "" where they have no name
    set_span: Span | None

    @property
    def message(self) -> str:
        return f"axis {self.axis} of `{self.tensor}` has {self.size} elements, but `{self.set}` has {self.set_size}"

    @property
    def places(self) -> Sequence[Label]:
        fixed = at_place(self.set_span, f"`{self.set}` is fixed here")
        return (*at_place(self.declared, f"`{self.tensor}` is defined here"), *fixed)

    @property
    def help(self) -> str | None:
        variables = [name[:1].lower() + name[1:] or "i" for name in self.sets]
        small = variables[self.axis - 1] = self.set[0].lower() + self.set[1:]
        first = f"{self.tensor}[{','.join(variables)}]"
        variables[self.axis - 1] = f"{small}+1"
        later = f"{self.tensor}[{','.join(variables)}]"
        return f"a capital means the whole axis; a part of it is read with an index variable: `{first}` or `{later}`"


@dataclass(frozen=True)
class SizeTooLarge(SizeDiagnostic):
    code = "DL072"
    title = "number too large"
    what: str

    @property
    def message(self) -> str:
        return f"{self.what} does not fit into a 64-bit integer"


@dataclass(frozen=True)
class BadSetting(SizeDiagnostic):
    """A size given when compiling contradicts the spec."""

    code = "DL073"
    title = "size given that the spec contradicts"
    name: str
    given: str
    reason: str

    @property
    def message(self) -> str:
        return f"`{self.name}` was given as {self.given}, but {self.reason}"
