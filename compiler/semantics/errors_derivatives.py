"""Derivatives as expressions.  DL080 to DL083."""

from __future__ import annotations

from dataclasses import dataclass

from dlc.compiler.semantics.errors import SemanticDiagnostic


@dataclass(frozen=True)
class NotAVariable(SemanticDiagnostic):
    """A derivative by what is no element of a tensor that has a name."""

    code = "DL080"
    title = "not a variable"
    is_number: bool = False

    @property
    def message(self) -> str:
        words = " ".join(self.span.text.split()) if self.span is not None else "this"
        if self.is_number:
            return f"`{words}` is a number that is fixed when compiling: nothing can be differentiated by it"
        return f"the second argument of `grad` is an element of a tensor, as in `grad(loss, w[i,j])`; `{words}` is none"

    @property
    def help(self) -> str | None:
        if self.is_number:
            return None
        return "give it a name in an equation of its own, use that in the first argument too, and differentiate by it"


@dataclass(frozen=True)
class NotRealVariable(SemanticDiagnostic):
    """A derivative by an integer or a truth value."""

    code = "DL081"
    title = "derivative by what is not real"
    type: str

    @property
    def message(self) -> str:
        words = " ".join(self.span.text.split()) if self.span is not None else "this"
        what = "an integer" if self.type == "int" else "a truth value"
        return f"`{words}` is {what}, which does not vary continuously: nothing can be differentiated by it"

    @property
    def help(self) -> str | None:
        return "only real tensors can: declare it without a type or a set, if it is meant to be real"


@dataclass(frozen=True)
class DerivativeOverSteps(SemanticDiagnostic):
    """A derivative on which the recurrence depends that it differentiates through."""

    code = "DL082"
    title = "derivative over the steps of a recurrence"

    @property
    def message(self) -> str:
        words = " ".join(self.span.text.split()) if self.span is not None else "this"
        return f"the recurrence of `{words}` depends on this derivative, which reaches over more than one of its steps"

    @property
    def help(self) -> str | None:
        return (
            "differentiate what a step computes by what the same step reads: `grad(f[k], w[k,i])` in `w[k+1,i] = ..`; "
            "a derivative over several steps can be carried along by the chain rule: `s[k+1] = grad(n[k], w[k])*s[k]`, "
            "where `n[k]` is what `w[k+1]` becomes"
        )


@dataclass(frozen=True)
class NestedDerivatives(SemanticDiagnostic):
    """Their size grows exponentially with the order."""

    code = "DL083"
    title = "derivatives nested too deep"
    limit: int

    @property
    def message(self) -> str:
        return f"this is a derivative of an order above {self.limit}"

    @property
    def help(self) -> str | None:
        return "each order about doubles the number of terms: work out some of them by hand"
