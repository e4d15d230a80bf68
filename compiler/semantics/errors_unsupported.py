"""What the language has and this compiler does not translate yet: one code a construct.  DL110 to DL119."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dlc.compiler.semantics.errors import SemanticDiagnostic


@dataclass(frozen=True)
class NotSupportedYet(SemanticDiagnostic):
    code = "DL110"
    title = "not supported yet"
    what: ClassVar[str] = "this"

    @property
    def message(self) -> str:
        return f"{self.what} not supported yet"


@dataclass(frozen=True)
class OptimizerNotSupported(NotSupportedYet):
    code = "DL118"
    what = "optimizers are"
