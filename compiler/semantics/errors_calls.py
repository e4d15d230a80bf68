"""Calls of layers, instances and functions.  DL085 to DL099."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlc.compiler.diagnostics import Label, suggestion
from dlc.compiler.semantics.errors import SemanticDiagnostic, at_place, counted, quoted
from dlc.compiler.source import Span


@dataclass(frozen=True)
class WrongCount(SemanticDiagnostic):
    """``what`` is data argument, parameter or hyper-parameter."""

    code = "DL085"
    title = "wrong number of arguments"
    name: str
    what: str
    expected: tuple[str, ...]
    given: int
    hint: str | None = None
    declared: Span | None = None

    @property
    def message(self) -> str:
        takes = (
            f"{counted(len(self.expected), self.what)} ({', '.join(self.expected)})"
            if self.expected
            else f"no {self.what}s"
        )
        return f"`{self.name}` takes {takes}, and {self.given} {'is' if self.given == 1 else 'are'} given"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.declared, "declared here")

    @property
    def help(self) -> str | None:
        return self.hint


@dataclass(frozen=True)
class UnknownArgument(SemanticDiagnostic):
    code = "DL086"
    title = "unknown argument"
    name: str
    layer: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return f"`{self.layer}` has no argument `{self.name}`"

    @property
    def help(self) -> str | None:
        listed = f"it has {quoted(self.candidates)}" if self.candidates else None
        return suggestion(self.name, self.candidates) or listed


@dataclass(frozen=True)
class RepeatedArgument(SemanticDiagnostic):
    code = "DL087"
    title = "argument given twice"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` is given twice"


@dataclass(frozen=True)
class ParametersMissing(SemanticDiagnostic):
    code = "DL088"
    title = "layer with parameters called without them"
    layer: str
    parameters: tuple[str, ...]
    inside: bool

    @property
    def message(self) -> str:
        if self.inside:
            return f"`{self.layer}` makes parameters of its own ({', '.join(self.parameters)}), so it needs an instance"
        return f"`{self.layer}` has the parameters {quoted(self.parameters)}, and none are given"

    @property
    def help(self) -> str | None:
        first = f"make an instance that holds them, `f = {self.layer}(..)`, and call that: `f(x[..])`"
        if self.inside:
            return first
        return f"{first}; or pass them: `{self.layer}(x[..]; {', '.join(self.parameters)})`"


@dataclass(frozen=True)
class WrongArgumentRank(SemanticDiagnostic):
    code = "DL089"
    title = "argument with another number of whole axes"
    argument: str
    layer: str
    formal: tuple[str, ...]
    given: int
    declared: Span | None
    is_data: bool
    summed: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        axes = f"{self.argument}[{','.join(self.formal)}]" if self.formal else self.argument
        return f"`{axes}` of `{self.layer}` takes {counted(len(self.formal), 'whole axis')}, and this has {self.given}"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.declared, "declared here")

    @property
    def help(self) -> str | None:
        if self.summed:
            return (
                f"{quoted(self.summed)} stands in two factors, so it is summed here: "
                "give the product a name of its own first, "
                "in an equation with the set on its left side"
            )
        if self.given < len(self.formal) and self.is_data:
            return "capitals in the subscript are whole axes: `x[b,I]` is the vector over `I` for one `b`"
        return None


@dataclass(frozen=True)
class InstanceSubscript(SemanticDiagnostic):
    code = "DL090"
    title = "bad subscript of an instance"
    name: str

    @property
    def message(self) -> str:
        return (
            f"`{self.name}` is a layer without its data, so this makes an instance; "
            "its subscripts can only be index sets"
        )

    @property
    def help(self) -> str | None:
        return f"`{self.name}[L] = Layer(..)` makes one for each element of `L`; an equation passes the layer its data"


@dataclass(frozen=True)
class InstanceRank(SemanticDiagnostic):
    code = "DL091"
    title = "instance with a wrong number of subscripts"
    name: str
    axes: tuple[str, ...]
    given: int

    @property
    def message(self) -> str:
        if not self.axes:
            return f"`{self.name}` is one instance and takes no subscripts"
        takes = counted(len(self.axes), "subscript")
        return f"`{self.name}[{','.join(self.axes)}]` is an array of instances: it takes {takes}, not {self.given}"

    @property
    def help(self) -> str | None:
        if not self.axes:
            return None
        one = f"{self.name}[{','.join(axis[:1].lower() + axis[1:] for axis in self.axes)}]"
        return f"say which instance is meant, right behind the name of the array: `{one}(..)`, `{one}.w[..]`"


@dataclass(frozen=True)
class NotACallable(SemanticDiagnostic):
    code = "DL092"
    title = "not something that can be called"
    what: str
    member: str | None = None  # that is asked of it

    @property
    def message(self) -> str:
        return f"{self.what} cannot be called" if self.member is None else f"{self.what} has no member `{self.member}`"

    @property
    def help(self) -> str | None:
        if self.member is None:
            return "layers, instances and functions can; a product needs its `*`"
        return "instances have members, their parameters, and calls of layers have, their outputs"


@dataclass(frozen=True)
class InstanceAsValue(SemanticDiagnostic):
    code = "DL093"
    title = "instance where a value is needed"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` is an instance of a layer, not a tensor"

    @property
    def help(self) -> str | None:
        return f"call it, `{self.name}(x[..])`, or read a parameter of it, `{self.name}.w[i,j]`"


@dataclass(frozen=True)
class FixedInInstance(SemanticDiagnostic):
    """A parameter or a hyper-parameter passed to a call of an instance."""

    code = "DL094"
    title = "argument that belongs to the instance"
    name: str
    argument: str
    made: Span | None

    @property
    def message(self) -> str:
        return f"`{self.argument}` belongs to the instance `{self.name}` and cannot be given when it is called"

    @property
    def places(self) -> Sequence[Label]:
        return at_place(self.made, "give it here")


@dataclass(frozen=True)
class NotKnownHere(SemanticDiagnostic):
    """An argument of an instance that depends on data."""

    code = "DL095"
    title = "value that is not known when the instance is made"
    name: str

    @property
    def message(self) -> str:
        return f"`{self.name}` depends on data, and what stands here must be known when compiling"

    @property
    def help(self) -> str | None:
        return "sizes, sets, numbers and hyper-parameters are; data is passed when an instance is called"


@dataclass(frozen=True)
class Recursive(SemanticDiagnostic):
    code = "DL096"
    title = "layer or function that contains itself"
    circle: tuple[str, ...]

    @property
    def message(self) -> str:
        return f"a definition contains itself: {' -> '.join(self.circle)}"

    @property
    def help(self) -> str | None:
        return "a definition is written out where it is called; repetition is an index, as in `blocks[L] = Block(..)`"


@dataclass(frozen=True)
class MissingValue(SemanticDiagnostic):
    """A hyper-parameter without a default that is not given."""

    code = "DL097"
    title = "hyper-parameter without a value"
    name: str
    owner: str

    @property
    def message(self) -> str:
        return f"the hyper-parameter `{self.name}` of `{self.owner}` has no default and is not given"

    @property
    def help(self) -> str | None:
        return f"give it when calling, `{self.name}=..`, or a default in the signature"


@dataclass(frozen=True)
class BadInitialiser(SemanticDiagnostic):
    code = "DL098"
    title = "bad initialiser"
    reason: str
    candidates: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return self.reason

    @property
    def help(self) -> str | None:
        return (
            "initialisers: `uniform(a,b)`, `normal(m,s)`, `xavier_uniform`, `xavier_normal`, `kaiming_uniform`, "
            "`kaiming_normal`, `zeros`, `ones`, or `= number`"
        )


@dataclass(frozen=True)
class WrongKind(SemanticDiagnostic):
    """A model or an optimiser where a layer is needed."""

    code = "DL099"
    title = "not a layer"
    name: str
    kind: str

    @property
    def message(self) -> str:
        article = "an" if self.kind[0] in "aeiou" else "a"
        return f"`{self.name}` is {article} {self.kind}; only layers and functions can be called"
