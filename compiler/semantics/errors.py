"""What semantics has to say about a spec: the base of its errors; the errors themselves stand by subject.

=============================  ==============
``errors_names``               DL030 to DL049
``errors_indices``             DL050 to DL064
``errors_sizes``               DL065 to DL077, but
``errors_reductions``          DL075
``errors_recurrences``         DL078
``errors_derivatives``         DL080 to DL083
``errors_calls``               DL085 to DL099
``errors_types``               DL100 to DL109
``errors_limits``              DL124 to DL130
``errors_state``               DL150 to DL156
``errors_optimizers``          DL160 to DL167
=============================  ==============
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.diagnostics import Diagnostic, Label
from dlc.compiler.source import Span


@dataclass(frozen=True)
class SemanticDiagnostic(Diagnostic):
    """An error inside an inlined layer carries the calls that led there, innermost first."""

    calls: tuple[Label, ...] = field(default=(), kw_only=True)

    @property
    def places(self) -> Sequence[Label]:
        """The other places that this kind of error points to."""
        return ()

    @property
    def secondary(self) -> Sequence[Label]:
        return (*self.places, *self.calls)


def called_from(problems: Iterable[Diagnostic], span: Span, name: str) -> list[Diagnostic]:
    """The problems with the call at ``span`` added to their trail; of a deep nest, the innermost calls are kept."""
    label = Label(span, f"in this call of `{name}`")
    return [
        replace(problem, calls=(*problem.calls, label))
        if isinstance(problem, SemanticDiagnostic) and len(problem.calls) < 3
        else problem
        for problem in problems
    ]


def at_place(span: Span | None, text: str) -> tuple[Label, ...]:
    """A secondary label, if the place is known."""
    return () if span is None else (Label(span, text),)


def quoted(names: Iterable[str]) -> str:
    """`` `a`, `b` and `c` ``"""
    words = [f"`{name}`" for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def counted(number: int, word: str) -> str:
    """``1 axis``, ``2 axes``"""
    plural = {"axis": "axes", "index": "indices", "whole axis": "whole axes"}.get(word, f"{word}s")
    return f"{number} {word if number == 1 else plural}"
